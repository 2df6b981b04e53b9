//! The schedules of few steps on more images: evaluated at the nodes of these paths alone, a thousand images cost what the exhaustive
//! reference spends on 26.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ddpm::core::TimePath;
use ddpm::data::{Split, open, selection};
use ddpm::eval::{ProfileBands, ProfilePlan, Silent, profile};
use ddpm::files::write_atomic;
use ddpm::model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser};
use ddpm::profile::{CostModel, ElboProfile, choose, jackknife};
use ddpm::schedule::Budgets;
use serde_json::{Value, json};

use crate::{Result, read_reference, rounded, scoring, write};

/// The budgets that 128 images leave undecided, and how many images are to decide.
const UNDECIDED: [usize; 1] = [8];
const IMAGES: usize = 1024;
/// Blocks of images, for the error bars.
const BLOCKS: usize = 64;
/// Their noise, and the order that they are taken from.
const SEED: u64 = 4012;

/// What the scores are made of.
pub(crate) struct Inputs<'a> {
    pub(crate) reference: &'a str,
    pub(crate) chosen: &'a str,
    pub(crate) checkpoint: &'a str,
    pub(crate) data: &'a str,
    /// `SEED:IMAGES` of every run that schedules were chosen on, and of the reference: these images are left out.
    pub(crate) taken: &'a [&'a str],
}

/// Measures (or goes on where `out` stops) and adds what the paths lose to `losses`.
pub(crate) fn measure(inputs: &Inputs<'_>, losses: &str, out: &str) -> Result<()> {
    let reference = read_reference(inputs.reference)?;
    let exhaustive = reference.costs(0..reference.blocks()).optima(&UNDECIDED);
    let chosen: Value = serde_json::from_slice(&fs::read(inputs.chosen)?)?;
    let seeds = chosen["seeds"].as_object().ok_or("seeds: expected paths")?;
    // Of every budget: the exhaustive choice, then those of the seeds.
    let mut paths: Vec<Vec<TimePath>> = Vec::new();
    for (budget, exhaustive) in UNDECIDED.iter().zip(exhaustive) {
        let mut of_budget = vec![exhaustive];
        for found in seeds.values() {
            let nodes: Vec<usize> = serde_json::from_value(found[budget.to_string()].clone())?;
            of_budget.push(TimePath::new(nodes, of_budget[0].end())?);
        }
        paths.push(of_budget);
    }
    let nodes: BTreeSet<usize> = paths
        .iter()
        .flatten()
        .flat_map(|path| path.nodes()[1..].iter().copied())
        .collect();
    let measured = evaluate(inputs, nodes.into_iter().collect(), out)?;
    let mut larger = Vec::new();
    for (&budget, paths) in UNDECIDED.iter().zip(&paths) {
        // Last, how far the exhaustive choice of 128 images is above the optimum of these: of curves that are interpolated between
        // these nodes, and on its own noise.
        let mut found = jackknife(&measured, |curves| {
            let model = CostModel::new(curves, scoring().into())?;
            let best = choose(&model, &Budgets::Only(vec![budget]), None)?;
            let exhaustive = model.path_cost(&paths[0]);
            let losses = paths[1..]
                .iter()
                .map(|path| model.path_cost(path) - exhaustive);
            let best = best.budgets.iter().map(|b| &b.schedule.path);
            let own = best.map(|path| exhaustive - model.path_cost(path));
            Ok(losses
                .chain(own)
                .map(|nats| nats / std::f64::consts::LN_2)
                .collect())
        })?;
        let own = found.pop().ok_or("no optimum")?;
        for (seed, loss) in seeds.keys().zip(&found) {
            println!(
                "K = {budget}, seed {seed:>2}: {:+.4} ± {:.4}",
                loss.value, loss.standard_error
            );
        }
        println!(
            "K = {budget}: the exhaustive choice of 128 images is {:.4} ± {:.4} above the optimum of these",
            own.value, own.standard_error
        );
        larger.push(json!({
            "budget": budget,
            "evaluations": chosen["evaluations"],
            "images": IMAGES,
            "seeds": seeds.keys().collect::<Vec<_>>(),
            "loss": found.iter().map(|l| rounded(l.value)).collect::<Vec<_>>(),
            "standard_error": found.iter().map(|l| rounded(l.standard_error)).collect::<Vec<_>>(),
            "exhaustive": paths[0].nodes(),
            "exhaustive_above_optimum": rounded(own.value),
            "exhaustive_above_optimum_standard_error": rounded(own.standard_error),
        }));
    }
    let mut all: Value = serde_json::from_slice(&fs::read(losses)?)?;
    all["larger"] = larger.into();
    write(losses, (serde_json::to_string(&all)? + "\n").as_bytes())
}

/// The images that `SEED:IMAGES` of runs have seen, of `n`.
fn seen(taken: &[&str], n: usize) -> Result<BTreeSet<usize>> {
    let mut seen = BTreeSet::new();
    for word in taken {
        let (seed, count) = word.split_once(':').ok_or("expected SEED:IMAGES")?;
        seen.extend(selection(seed.parse()?, n, count.parse()?));
    }
    Ok(seen)
}

/// The profile of other train images at these timesteps.
fn evaluate(inputs: &Inputs<'_>, timesteps: Vec<usize>, out: &str) -> Result<ElboProfile> {
    let model = ModelOptions::default();
    let file = Checkpoint::open(Path::new(inputs.checkpoint))?;
    let unet = UNet::load_on(&file, &model, Backend::Packed(Arithmetic::F32))?;
    let denoiser = UNetDenoiser::new(unet, &model)?;
    let images = open(Path::new(inputs.data), Split::Train, None)?;
    let n = images.len();
    let taken = seen(inputs.taken, n)?;
    let others = selection(SEED, n, n)
        .into_iter()
        .filter(|i| !taken.contains(i));
    let plan = ProfilePlan {
        bands: ProfileBands::None,
        ..ProfilePlan::new(timesteps, others.take(IMAGES).collect(), BLOCKS, SEED)
    };
    let earlier = match fs::read(out) {
        Ok(bytes) => Some(ElboProfile::from_bytes(&bytes)?),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(format!("{out}: {error}").into()),
    };
    let begin = std::time::Instant::now();
    let mut failure = None;
    let mut save = |found: &ElboProfile| {
        let finished = found
            .blocks()
            .iter()
            .filter(|block| block.is_finished())
            .count();
        eprintln!(
            "{finished} of {} blocks, {:.0} s",
            BLOCKS,
            begin.elapsed().as_secs_f64()
        );
        write_atomic(Path::new(out), &found.to_bytes()).map_err(|error| {
            failure = Some(error);
            ddpm::eval::Error::Interrupted
        })
    };
    let split = Split::Train;
    let found = profile(
        &denoiser, &images, &plan, split, earlier, &Silent, &mut save,
    );
    match failure {
        Some(error) => Err(error.into()),
        None => found.map_err(|error| format!("{out}: {error}; remove it to measure anew").into()),
    }
}
