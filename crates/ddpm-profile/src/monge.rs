//! Exact O(T) tests of the Monge (quadrangle) inequality of the interior, s >= 1, from the curves alone.
//!
//! For a < b < c < d the inequality L(c,a) + L(d,b) <= L(d,a) + L(c,b) of each cost below separates into a factor that depends on a and b and
//! has one sign, and the change of one function of t from c to d. With s >= 1 the smallest c is 3, so the function must be
//! monotone over t = 3..=T:
//! - fixed-small, and the mse objective: m non-decreasing;
//! - fixed-large: (m - (1 - abar)) / (1 - abar)^2 non-decreasing;
//! - analytic, with m frozen on these same curves: 1/m - SNR non-increasing.

use crate::{
    conventions::{Objective, StepVariances},
    cost::CostModel,
};

impl CostModel<'_> {
    /// Whether the interior of the cost is Monge, decided exactly from the curves; `None` where no such test is known (learned
    /// variance, or analytic with an m from other images).
    pub fn monge_exact(&self) -> Option<bool> {
        let (schedule, mse) = (self.schedule(), self.curves().mse());
        let noise = |t: usize| schedule.one_minus_alpha_bar(t);
        let increasing =
            |f: &dyn Fn(usize) -> f64| (3..schedule.train_steps()).all(|t| f(t) <= f(t + 1));
        if self.objective() == Objective::Mse {
            return Some(increasing(&|t| mse[t]));
        }
        match self.variances() {
            StepVariances::FixedSmall => Some(increasing(&|t| mse[t])),
            StepVariances::FixedLarge => {
                Some(increasing(&|t| (mse[t] - noise(t)) / (noise(t) * noise(t))))
            }
            StepVariances::Analytic { mse: frozen } if frozen[..] == *mse => {
                Some(increasing(&|t| schedule.snr(t) - 1.0 / mse[t]))
            }
            StepVariances::Analytic { .. } | StepVariances::Learned => None,
        }
    }
}
