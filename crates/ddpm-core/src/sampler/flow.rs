//! Steps of the samplers that follow the probability flow, from a node and those before it.

use super::linear::half_log_snr_gain;
use super::multistep::phi;
use crate::{LinearStep, NoiseSchedule, Sampler};

/// Nodes before t that a step uses at most.
pub(super) const MOST_BEFORE: usize = 2;

/// What is the same for every step from `t` down to `s`, whichever nodes came before: steps of all [priced](Sampler::PRICED) samplers follow
/// from it without another look at the noise schedule. [`Sampler::flow_step`] gives one step alone.
#[derive(Clone, Copy, Debug)]
pub struct FlowEdge {
    from_x_t: f64,
    /// The weight of the estimate in the step of first order, `sqrt(alpha_bar_s) (1 - exp(-h))`.
    from_data: f64,
    /// `lambda_s - lambda_t`.
    gain: f64,
    /// `sqrt(alpha_bar_s) h phi_2(-h)` and `sqrt(alpha_bar_s) h phi_3(-h)`, which the code of DPM-Solver++(3M) multiplies the first and second
    /// divided differences of the estimate by. (The second derivative is twice the second of these.)
    moments: [f64; 2],
    /// `sqrt(alpha_bar_t / (1 - alpha_bar_t))`: what an estimate weighs in the noise that goes with it.
    root_snr: f64,
    /// `1 / sqrt(1 - alpha_bar_t)`.
    per_noise: f64,
    is_last: bool,
}

impl FlowEdge {
    /// # Panics
    ///
    /// If `t > T`.
    pub fn new(schedule: &NoiseSchedule, t: usize, s: usize) -> Self {
        let edge = schedule.transition(t, s);
        let h = half_log_snr_gain(schedule, &edge);
        let signal = schedule.alpha_bar(s).sqrt();
        let sigma = schedule.one_minus_alpha_bar(t).sqrt();
        Self {
            from_x_t: libm::exp(-0.5 * edge.log_variance_ratio),
            from_data: signal * -libm::expm1(-h),
            gain: h,
            moments: [2, 3].map(|k| signal * h * phi(k, h)),
            root_snr: schedule.alpha_bar(t).sqrt() / sigma,
            per_noise: sigma.recip(),
            is_last: s == 0,
        }
    }

    /// `(log SNR_s - log SNR_t) / 2`; infinite at `s = 0` and where no signal is left at `t`.
    pub fn gain(&self) -> f64 {
        self.gain
    }

    /// The step of a sampler. `before` are the [gains](Self::gain) from the nodes before `t` to `t`, the nearest first, `None` where the path
    /// has none; a sampler of lower order looks at as many as it uses. The step of a sampler that is not [priced](Sampler::PRICED) is its
    /// limit of first order without noise, DDIM's.
    pub fn step(&self, sampler: Sampler, before: [Option<f64>; MOST_BEFORE]) -> LinearStep {
        let first = LinearStep {
            from_x_t: self.from_x_t,
            from_xhat0: self.from_data,
            from_history: [0.0; MOST_BEFORE],
            noise: 0.0,
        };
        if self.is_last {
            return first;
        }
        // Where no signal is left nothing can be extrapolated from.
        let usable = before.map(|gain| gain.filter(|gain| gain.is_finite()));
        match (sampler, usable) {
            (Sampler::Ipndm, _) => self.adams_bashforth(first, before.iter().flatten().count()),
            (Sampler::DpmSolver2M, [Some(near), _])
            | (Sampler::DpmSolver3M, [Some(near), None]) => {
                // 1 / (2r)
                let slope = 0.5 * self.gain / near;
                LinearStep {
                    from_xhat0: self.from_data * (1.0 + slope),
                    from_history: [0.0 - self.from_data * slope, 0.0],
                    ..first
                }
            }
            (Sampler::DpmSolver3M, [Some(near), Some(far)]) => {
                let h = self.gain;
                let (r0, r1) = (near / h, (far - near) / h);
                let (share, curve) = (r0 / (r0 + r1), 1.0 / (r0 + r1));
                let [linear, quadratic] = self.moments;
                // Of the slopes between t and p, and between p and q.
                let near = (linear * (1.0 + share) + quadratic * curve) / r0;
                let far = -(linear * share + quadratic * curve) / r1;
                LinearStep {
                    from_xhat0: self.from_data + near,
                    from_history: [far - near, -far],
                    ..first
                }
            }
            _ => first,
        }
    }

    /// DDIM with the noise of some nodes before weighed as Adams and Bashforth weigh equal steps.
    fn adams_bashforth(&self, first: LinearStep, before: usize) -> LinearStep {
        const WEIGHTS: [[f64; 3]; 3] = [
            [1.0, 0.0, 0.0],
            [1.5, -0.5, 0.0],
            [23.0 / 12.0, -16.0 / 12.0, 5.0 / 12.0],
        ];
        if before == 0 {
            return first;
        }
        let [own, history @ ..] = WEIGHTS[before];
        // Of the noise: sigma_s - sigma_t alpha_s / alpha_t.
        let of_noise = -self.from_data / self.root_snr;
        let more = of_noise * (own - 1.0);
        LinearStep {
            from_x_t: first.from_x_t + more * self.per_noise,
            from_xhat0: first.from_xhat0 - more * self.root_snr,
            from_history: history.map(|weight| of_noise * weight),
            ..first
        }
    }
}
