//! Ranks schedules by how far samples end from where the probability-flow ODE takes the same starts.
//!
//! ```text
//! cargo run --release --example quality -- CKPT --profile P --data DIR --work DIR --out docs/quality.json [--starts 64] [--steps 5,8,..] [--only ROW,..]
//! cargo run --release --example quality -- CKPT .. --mean calibrated --earlier docs/quality.json --out docs/quality-calibrated.json
//! ```
//!
//! With `--mean calibrated` the flow is that of the network whose estimates are corrected on the profile, and the schedules that an
//! `--earlier` run found for the network's own flow are judged beside the others.
//!
//! Goes on where it was stopped: every reference, trajectory and distance is kept in the work folder. `cargo xtask quality` runs it on
//! the shipped checkpoint.
#![allow(clippy::print_stderr, reason = "an example, not a library")]

mod lab;
mod methods;
mod report;

use std::path::PathBuf;

use ddpm::core::{MeanKind, Sampler};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the command line says.
pub(crate) struct Options {
    pub(crate) checkpoint: PathBuf,
    pub(crate) profile: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) work: PathBuf,
    pub(crate) out: PathBuf,
    pub(crate) starts: usize,
    pub(crate) steps: Vec<usize>,
    /// The rows to judge; all if empty.
    pub(crate) only: Vec<String>,
    pub(crate) mean: MeanKind,
    /// What was found for another flow.
    pub(crate) earlier: Option<PathBuf>,
}

impl Options {
    fn parse() -> Outcome<Self> {
        let words: Vec<String> = std::env::args().skip(1).collect();
        let value = |flag: &str| {
            words
                .iter()
                .position(|w| w == flag)
                .and_then(|i| words.get(i + 1))
                .cloned()
        };
        let path = |flag: &str| {
            value(flag)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{flag}: expected a path"))
        };
        let checkpoint = words
            .first()
            .filter(|w| !w.starts_with("--"))
            .ok_or("expected the checkpoint first")?;
        Ok(Self {
            checkpoint: checkpoint.into(),
            profile: path("--profile")?,
            data: path("--data")?,
            work: path("--work")?,
            out: path("--out")?,
            starts: value("--starts").map_or(Ok(64), |n| n.parse())?,
            steps: value("--steps")
                .unwrap_or_else(|| "5,8,10,16,20,32".to_owned())
                .split(',')
                .map(str::parse)
                .collect::<Result<_, _>>()?,
            mean: value("--mean").map_or(Ok(MeanKind::Network), |mean| mean.parse())?,
            earlier: value("--earlier").map(PathBuf::from),
            only: value("--only").map_or_else(Vec::new, |rows| {
                rows.split(',').map(str::to_owned).collect()
            }),
        })
    }
}

fn main() -> Outcome<()> {
    let options = Options::parse()?;
    let lab = lab::Lab::new(&options)?;
    let methods = methods::Methods::new(&lab, &options)?;
    let earlier = options.earlier.as_deref().map(report::paths_of_quality);
    let earlier = earlier.transpose()?.unwrap_or_default();
    let target = lab.end_reference()?;
    let mut found = report::Report::new(&lab, &options, &target)?;
    // Few steps first: a run that is stopped has whole columns.
    for &steps in &options.steps {
        for solver in Sampler::USUAL {
            let mut paths = methods.paths(solver, steps)?;
            let others = earlier
                .iter()
                .filter(|(of, path)| *of == solver && path.steps() == steps);
            paths.extend(
                others.map(|(_, path)| ("quality of the other flow".to_owned(), path.clone())),
            );
            for (name, path) in paths {
                let wanted = options.only.is_empty() || options.only.contains(&name);
                if !wanted && !lab.knows(solver, &path) {
                    continue;
                }
                let squares = lab.distances(solver, &path, &target)?;
                found.add(solver, &name, &path, squares);
            }
        }
        found.write(&options.out)?;
        eprintln!("K={steps} done");
    }
    Ok(())
}
