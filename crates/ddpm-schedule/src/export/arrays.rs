//! Plain columns and arrays.

use std::fmt::Write;

use ddpm_core::ProcessKind;
use ddpm_files::npy::write_npy;
use ndarray::{Array1, Array2};

use super::listing::{Listing, sigma};
use crate::error::Result;
use crate::kernel::Kernel;

/// One row per step in the order of sampling. Cells that are not known are empty.
pub(super) fn csv(listing: &Listing<'_>) -> (Vec<u8>, Vec<String>) {
    let losses = csv_losses(listing);
    let lost: String = losses
        .iter()
        .map(|loss| format!("# Not taken over: {loss}.\n"))
        .collect();
    let is_chain = listing.clock() == ProcessKind::Vp;
    let clock = match listing.clock() {
        ProcessKind::Vp => "timestep from 0; sigma = sqrt((1 - alpha_bar)/alpha_bar)",
        ProcessKind::Flow => {
            "x = (1 - sigma) x0 + sigma noise; alpha_bar is of that state at variance 1"
        }
        _ => "sigma = sqrt((1 - alpha_bar)/alpha_bar)",
    };
    let whole = |timestep: usize| {
        if is_chain {
            timestep.to_string()
        } else {
            String::new()
        }
    };
    let mut text = format!(
        "# {}\n{lost}# t counts from 1, {clock}; log_variance of the step from t to s, empty where a step has no single one\nsteps,step,t,s,timestep,alpha_bar,sigma,log_variance\n",
        listing.conventions()
    );
    let known =
        |number: Option<f64>| number.map_or_else(String::new, |number| format!("{number:?}"));
    for listed in &listing.paths {
        let (steps, nodes) = (listed.path.steps(), listed.path.nodes());
        for k in (1..=steps).rev() {
            let t = nodes[k];
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{steps},{},{t},{},{},{},{},{}",
                steps - k + 1,
                nodes[k - 1],
                whole(t - 1),
                known(listing.chain.map(|chain| chain.alpha_bar(t))),
                known(listing.chain.map(|chain| sigma(chain, t))),
                known(
                    listed
                        .kernels()
                        .get(k - 1)
                        .and_then(|kernel| kernel.log_variance())
                ),
            );
        }
    }
    (text.into_bytes(), losses)
}

/// Calibrated variances and means: a step has one number here. The network's own variances are the network's to give.
fn csv_losses(listing: &Listing<'_>) -> Vec<String> {
    let calibrated =
        |kernel: &Kernel| kernel.is_per_band() || matches!(kernel, Kernel::LearnedScaled { .. });
    let mut kernels = listing.paths.iter().flat_map(|p| p.kernels());
    let variance = listing.variance().filter(|_| kernels.any(calibrated));
    let variances = variance.map(|v| format!("the {v} variances (a step has one number here)"));
    let steps = listing.step_losses(Some("it has no column"));
    variances.into_iter().chain(steps).collect()
}

/// Timesteps as int64, 0-based, noisiest first: `[K]` for one schedule, `[schedules, largest K]` filled up with -1 for several.
pub(super) fn npy(listing: &Listing<'_>) -> Result<(Vec<u8>, Vec<String>)> {
    listing.check_timesteps("npy")?;
    // A timestep is below T, which is far below 2^63.
    let rows = listing
        .paths
        .iter()
        .map(|p| p.timesteps().map(|t| t as i64));
    let rows: Vec<Vec<i64>> = rows.map(Iterator::collect).collect();
    let mut bytes = Vec::new();
    let written = if let [only] = &rows[..] {
        write_npy(&mut bytes, &Array1::from(only.clone()))
    } else {
        let width = rows.iter().map(Vec::len).max().unwrap_or(0);
        let cell = |(i, j): (usize, usize)| rows[i].get(j).copied().unwrap_or(-1);
        write_npy(
            &mut bytes,
            &Array2::from_shape_fn((rows.len(), width), cell),
        )
    };
    written.expect("memory takes every array of two dimensions");
    let losses = listing.variance_loss("an array of timesteps holds no variances");
    Ok((bytes, losses))
}
