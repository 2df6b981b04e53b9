//! What was found, as JSON.

use std::path::Path;

use ddpm::core::{MeanKind, Sampler, TimePath};
use ddpm::eval::squared_distances;
use ddpm::files::write_atomic;
use serde_json::{Value, json};

use crate::lab::{JUDGING_NODES, Lab};
use crate::{Options, Outcome};

/// Starts on which the reference is compared with a finer one.
const CHECKED: usize = 8;

/// The paths that another run found by "quality".
pub(crate) fn paths_of_quality(file: &Path) -> Outcome<Vec<(Sampler, TimePath)>> {
    let found: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    let rows = found["rows"].as_array().ok_or("rows: expected a list")?;
    let quality = rows.iter().filter(|row| row["schedule"] == "quality");
    let path = |row: &Value| -> Outcome<(Sampler, TimePath)> {
        let nodes: Vec<usize> = serde_json::from_value(row["path"].clone())?;
        let end = nodes.last().copied().unwrap_or_default();
        let sampler = row["sampler"].as_str().unwrap_or_default().parse()?;
        Ok((sampler, TimePath::new(nodes, end)?))
    };
    quality.map(path).collect()
}

pub(crate) struct Report {
    mean: MeanKind,
    starts: usize,
    steps: Vec<usize>,
    reference_error: f64,
    ddim_error: f64,
    stand_in: bool,
    /// Network evaluations behind "quality".
    evaluations: u64,
    rows: Vec<Value>,
    /// Squared distances of "quality", by solver and number of steps, for paired differences.
    quality: Vec<(Sampler, usize, Vec<f64>)>,
}

impl Report {
    pub(crate) fn new(lab: &Lab, options: &Options, target: &[f32]) -> Outcome<Self> {
        let checked = CHECKED.min(options.starts);
        let finer = lab.reference_ends(2 * JUDGING_NODES, checked)?;
        let from = |ends: &[f32]| {
            let target = &target[..checked * lab.dims()];
            rms(&squared_distances(ends, target, lab.dims()))
        };
        Ok(Self {
            mean: options.mean,
            starts: options.starts,
            steps: options.steps.clone(),
            reference_error: from(&finer),
            ddim_error: from(&lab.ddim_ends(checked)?),
            stand_in: lab.stand_in()?,
            evaluations: lab.choosing(&options.steps)?.origin().evaluations,
            rows: Vec::new(),
            quality: Vec::new(),
        })
    }

    pub(crate) fn add(&mut self, solver: Sampler, name: &str, path: &TimePath, squares: Vec<f64>) {
        let steps = path.steps();
        if name == "quality" {
            self.quality.push((solver, steps, squares.clone()));
        }
        let best = self
            .quality
            .iter()
            .find(|(s, k, _)| *s == solver && *k == steps);
        // The standard error of the difference of the two root mean squares, over the starts.
        let difference = best.filter(|_| name != "quality").map(|(_, _, ours)| {
            let (a, b) = (rms(&squares), rms(ours));
            let influence: Vec<f64> = squares
                .iter()
                .zip(ours)
                .map(|(x, y)| x / (2.0 * a) - y / (2.0 * b))
                .collect();
            let mean = influence.iter().sum::<f64>() / influence.len() as f64;
            let variance = influence.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
                / (influence.len() - 1).max(1) as f64;
            json!({"rms": a - b, "stderr": (variance / influence.len() as f64).sqrt()})
        });
        self.rows.push(json!({
            "sampler": solver.to_string(),
            "schedule": name,
            "steps": steps,
            "rms": rms(&squares),
            "more_than_quality": difference,
            "path": path.nodes(),
        }));
    }

    pub(crate) fn write(&self, out: &Path) -> Outcome<()> {
        let mut value = json!({
            "starts": self.starts,
            "steps": self.steps,
            "reference_nodes": JUDGING_NODES,
            "reference_rms_to_twice_as_many_nodes": self.reference_error,
            "reference_rms_to_ddim_through_all_timesteps": self.ddim_error,
            "evaluations_to_choose": self.evaluations,
            "klub_on_stand_in_images": self.stand_in,
            "rows": self.rows,
        });
        // What was found before means could be calibrated does not say so.
        if self.mean != MeanKind::Network {
            value["mean"] = self.mean.to_string().into();
        }
        write_atomic(
            out,
            (serde_json::to_string_pretty(&value)? + "\n").as_bytes(),
        )?;
        Ok(())
    }
}

fn rms(squares: &[f64]) -> f64 {
    (squares.iter().sum::<f64>() / squares.len() as f64).sqrt()
}
