//! Bounds and heuristics in terms of the integral over the SNR.

use ddpm_core::{NoiseSchedule, TimePath};
use ddpm_dp::CostTable;
use ddpm_schedule::Budgets;

use crate::error::{Invalid, Result};
use crate::gram::Gram;

/// The KLUB cost of every edge between grid nodes, in nats per dimension (Sabour et al. 2024, *Align Your Steps*, theorem 3.1): the
/// Girsanov bound on the divergence between the exact reverse SDE and the one whose estimate is frozen at the beginning of each step,
///
/// `L(t, s) = 1/2 int_{SNR_t}^{SNR_s} E|D_u - D_t|^2 dSNR_u`,
///
/// with D the network's estimates along one path of the forward SDE per image (the joint law of (D_u, D_t) matters). Index 0 stands
/// for the first node of the grid, where the integral ends. By the trapezoidal rule over the nodes.
///
/// For an ideal denoiser E|D_u - D_t|^2 = m(t) - m(u), so that L(t, s) = 1/2 (SNR_s - SNR_t) m(t) minus a part that telescopes: the paths
/// are those of the fixed-small interior ELBO.
///
/// # Errors
/// Those of [`CostTable::from_rows`].
pub fn klub(gram: &Gram, schedule: &NoiseSchedule, nodes: &[usize]) -> Result<CostTable> {
    assert_eq!(gram.nodes(), nodes.len(), "one node per row of products");
    let change = |t: usize, s: usize| {
        let changes = gram.squared_changes(t, s);
        changes.iter().sum::<f64>() / changes.len() as f64
    };
    Ok(CostTable::from_rows(nodes.len(), |t, row| {
        let mut sum = 0.0;
        let mut upper = 0.0;
        for s in (1..t).rev() {
            let gain = schedule.transition(nodes[s], nodes[s - 1]).snr_gain;
            let lower = change(t, s);
            sum += 0.25 * gain * (upper + lower);
            upper = lower;
            row[s] = sum;
        }
        row[0] = row.get(1).copied().unwrap_or(0.0);
    })?)
}

/// Timesteps at equal increments of the integral of m dSNR, which is twice the conditional entropy of the image given x_t (Stancevic et al.
/// 2025, entropic time): t_k is the timestep nearest to the fraction k/K of its way from t = 1 to T.
///
/// `mse` is m(t) at t = 0..=T ([`ddpm_profile Curves::mse`]).
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) for another number of values, values that are not positive and finite, and `steps` outside
/// 1..=T.
pub fn entropic_path(schedule: &NoiseSchedule, mse: &[f64], steps: usize) -> Result<TimePath> {
    let last = schedule.train_steps();
    Invalid::check_length("mse", last + 1, mse.len())?;
    Budgets::Only(vec![steps]).wanted(last)?;
    if let Some(&found) = mse[1..].iter().find(|m| !(m.is_finite() && **m > 0.0)) {
        return Err(Invalid::field("mse", "positive finite numbers", found).into());
    }
    let mut entropy = vec![0.0, 0.0];
    for t in 2..=last {
        let gain = schedule.transition(t, t - 1).snr_gain;
        entropy.push(entropy[t - 1] + 0.5 * gain * (mse[t] + mse[t - 1]));
    }
    Ok(equal_increments(&entropy, steps)?)
}

/// The timesteps at which `cumulative` (index t, not decreasing from t = 1 on) is nearest to k/K of its end, made strictly increasing.
fn equal_increments(cumulative: &[f64], steps: usize) -> ddpm_core::Result<TimePath> {
    let last = cumulative.len() - 1;
    let nodes = (1..=steps)
        .map(|k| {
            let target = cumulative[last] * k as f64 / steps as f64;
            let above = cumulative[1..]
                .partition_point(|&x| x < target)
                .min(last - 1)
                + 1;
            match above {
                1 => 1,
                t if target - cumulative[t - 1] <= cumulative[t] - target => t - 1,
                t => t,
            }
        })
        .collect();
    TimePath::moved(nodes, last)
}
