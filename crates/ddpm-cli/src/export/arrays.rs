//! Plain columns and arrays.

use std::fmt::Write;

use ddpm_files::npy::write_npy;
use ndarray::{Array2, aview1};

use super::{Exported, Listing};
use crate::error::{Located, Result};

/// One row per step in the order of sampling. Cells that are not known are empty.
pub(super) fn csv(listing: &Listing) -> Result<Exported> {
    let mut text = format!(
        "# {}\n# t counts from 1, timestep from 0; sigma = sqrt((1 - alpha_bar)/alpha_bar); log_variance of the step from t to s, empty where the network supplies it\nsteps,step,t,s,timestep,alpha_bar,sigma,log_variance\n",
        listing.conventions()
    );
    for schedule in &listing.schedules {
        for (step, k) in (1..schedule.path.len()).rev().enumerate() {
            let (t, s) = (schedule.path[k], schedule.path[k - 1]);
            let (alpha_bar, sigma) = match &listing.chain {
                Some(chain) => (
                    format!("{:?}", chain.alpha_bar(t)),
                    format!("{:?}", (-0.5 * chain.log_snr(t)).exp()),
                ),
                None => (String::new(), String::new()),
            };
            let log_variance = schedule
                .log_variance
                .get(k - 1)
                .copied()
                .flatten()
                .map_or_else(String::new, |l| format!("{l:?}"));
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "{},{},{t},{s},{},{alpha_bar},{sigma},{log_variance}",
                schedule.steps,
                step + 1,
                t - 1
            );
        }
    }
    Ok(Exported {
        bytes: text.into_bytes(),
        text: true,
        losses: Vec::new(),
    })
}

/// Timesteps as int64, 0-based, noisiest first: `[K]` for one schedule, `[schedules, largest K]` filled up with -1 for several.
pub(super) fn npy(listing: &Listing) -> Result<Exported> {
    let rows: Vec<Vec<i64>> = listing
        .schedules
        .iter()
        .map(|s| {
            // A timestep is below T, which is far below 2^63.
            s.timesteps().into_iter().map(|t| t as i64).collect()
        })
        .collect();
    let mut bytes = Vec::new();
    match &rows[..] {
        [only] => write_npy(&mut bytes, &aview1(only)),
        several => {
            let width = several.iter().map(Vec::len).max().unwrap_or(0);
            let cell = |(i, j): (usize, usize)| several[i].get(j).copied().unwrap_or(-1);
            let table = Array2::from_shape_fn((several.len(), width), cell);
            write_npy(&mut bytes, &table)
        }
    }
    .or_internal()?;
    Ok(Exported {
        bytes,
        text: false,
        losses: super::listing::variance_loss(listing, "an array of timesteps holds no variances"),
    })
}
