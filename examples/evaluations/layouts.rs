//! The same number of evaluations spread in different ways over images and timesteps.
//!
//! The profiles are cut into units of as many images, each evaluated at the same timesteps. From m units, 1/m of their evaluations are
//! taken: every image at every m-th timestep, either all images at the same ones (`common`) or unit j at those of phase (j + r) mod m, so
//! that every timestep is seen by some images and every image by some timesteps (`phases`: a systematic sample of timesteps per
//! image). All phases r are computed, so every layout uses all evaluations once.

use std::fmt::Write as _;
use std::fs;

use ddpm_profile::Curves;

use crate::{
    Result,
    combined::{self, Evaluations, Measured},
    loss::{BUDGETS, Halves},
    optima, read_reference, write,
};

/// The images of a unit: 8,192 evaluations at 32 timesteps.
const IMAGES: u64 = 256;
/// How many units share the evaluations of one.
const SHARES: [usize; 3] = [1, 2, 4];
/// Penalties of the smoother over log-SNR, none first.
const PENALTIES: [f64; 4] = [0.0, 0.001, 0.01, 0.1];

/// A block of a profile.
type Place<'a> = (&'a Measured, usize);

pub(crate) fn compare(reference: &str, out: &str, names: &[&str]) -> Result<()> {
    let reference = read_reference(reference)?;
    let halves = Halves::new(&reference);
    let mut profiles = Vec::new();
    for name in names {
        profiles.push(Measured::from_bytes(&fs::read(name)?)?);
    }
    let units = units(&profiles)?;
    let timesteps = profiles[0].timesteps().len();
    let head: Vec<String> = BUDGETS.iter().map(|k| format!("K={k}")).collect();
    let mut table = format!(
        "| images x timesteps of each | which | smoothing | {} |\n|{}\n",
        head.join(" | "),
        "---|".repeat(3 + BUDGETS.len())
    );
    for share in SHARES {
        for phases in [false, true] {
            if share == 1 && phases {
                continue;
            }
            for penalty in PENALTIES {
                let mut losses = Vec::new();
                for group in units.chunks_exact(share) {
                    for phase in 0..share {
                        let curves = curves(group, timesteps, phase, phases, penalty)?;
                        let found = halves.losses(&optima(&curves)?);
                        losses.push(found.iter().map(|l| l.value).collect::<Vec<f64>>());
                    }
                }
                let row = format!(
                    "| {} x {} | {} | {penalty} | {} |",
                    IMAGES as usize * share,
                    timesteps / share,
                    if phases { "phases" } else { "common" },
                    cells(&losses).join(" | ")
                );
                println!("{row}");
                writeln!(table, "{row}")?;
            }
        }
    }
    println!("{} units", units.len());
    write(out, table.as_bytes())
}

/// Units of [`IMAGES`] images.
fn units(profiles: &[Measured]) -> Result<Vec<Vec<Place<'_>>>> {
    let mut units = Vec::new();
    for profile in profiles {
        let mut unit = Vec::new();
        let mut images = 0;
        for (i, count) in profile.images().enumerate() {
            unit.push((profile, i));
            images += count;
            if images == IMAGES {
                units.push(std::mem::take(&mut unit));
                images = 0;
            }
        }
        if images > 0 {
            return Err(format!("expected blocks that make up {IMAGES} images").into());
        }
    }
    Ok(units)
}

/// The curves from 1/m of the evaluations of m units.
fn curves(
    group: &[Vec<Place<'_>>],
    timesteps: usize,
    phase: usize,
    phases: bool,
    penalty: f64,
) -> Result<Curves> {
    let share = group.len();
    // Common timesteps keep the two ends whatever the phase.
    let common = |i: usize| i % share == phase || i == 0 || i + 1 == timesteps;
    let own = |unit: usize, i: usize| (i + unit) % share == phase;
    let masks: Vec<Vec<bool>> = (0..share)
        .map(|unit| {
            (0..timesteps)
                .map(|i| if phases { own(unit, i) } else { common(i) })
                .collect()
        })
        .collect();
    let parts: Vec<Evaluations<'_>> = group
        .iter()
        .zip(&masks)
        .flat_map(|(unit, mask)| {
            unit.iter().map(|&(profile, block)| Evaluations {
                profile,
                block,
                timesteps: mask,
            })
        })
        .collect();
    combined::curves(&parts, penalty)
}

/// Per budget: mean, its standard error, and the largest loss, in 0.001 bits/dim.
fn cells(losses: &[Vec<f64>]) -> Vec<String> {
    let n = losses.len() as f64;
    let cell = |i: usize| {
        let values = || losses.iter().map(|row| 1e3 * row[i]);
        let mean = values().sum::<f64>() / n;
        let variance = values().map(|v| (v - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let largest = values().fold(f64::MIN, f64::max);
        format!("{mean:+.1} ± {:.1}, {largest:+.1}", (variance / n).sqrt())
    };
    (0..BUDGETS.len()).map(cell).collect()
}
