//! The schedules of few steps on more images: evaluated at the nodes of these paths alone, a thousand images cost what the exhaustive
//! reference spends on 24.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use ddpm::core::TimePath;
use ddpm::data::{Split, open, selection};
use ddpm::eval::{ProfileBands, ProfilePlan, Silent, profile};
use ddpm::files::write_atomic;
use ddpm::model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet, UNetDenoiser};
use ddpm::profile::{ElboProfile, jackknife};
use serde_json::{Value, json};

use crate::loss::BUDGETS;
use crate::reference::Reference;
use crate::{Result, optima, priced, reference_schedule, rounded, write};

/// The budgets that 128 images leave undecided, and how many images decide.
const DECIDED: [usize; 1] = [8];
const IMAGES: usize = 1024;
/// Images of a block; 64 blocks for the error bars.
const PER_BLOCK: usize = 16;
/// Their noise, and the order that they are taken from.
const SEED: u64 = 4012;
/// The images of the schedules and of the reference, which these leave out: seeds and how many of the permutation each takes.
const TAKEN: [(u64, usize); 2] = [(21, 2048), (2106, 128)];
const TAKEN_BY_SEED: usize = 256;

/// Measures (or goes on where `profile_file` stops) and adds what the paths lose to `losses`.
pub(crate) fn measure(
    reference: &str,
    chosen: &str,
    losses: &str,
    checkpoint: &str,
    data: &str,
    profile_file: &str,
) -> Result<()> {
    let schedule = reference_schedule()?;
    let steps = schedule.train_steps();
    let reference = Reference::from_bytes(schedule, &fs::read(reference)?);
    let exhaustive = reference.costs(0..reference.blocks()).optima(&BUDGETS);
    let chosen: Value = serde_json::from_slice(&fs::read(chosen)?)?;
    let seeds = chosen["seeds"].as_object().ok_or("seeds: expected paths")?;
    // Of every budget: the exhaustive choice, then those of the seeds.
    let mut paths: Vec<Vec<TimePath>> = Vec::new();
    for budget in DECIDED {
        let at = BUDGETS.iter().position(|&k| k == budget);
        let mut of_budget = vec![exhaustive[at.ok_or("a budget is missing")?].clone()];
        for found in seeds.values() {
            let nodes: Vec<usize> = serde_json::from_value(found[budget.to_string()].clone())?;
            of_budget.push(TimePath::new(nodes, steps)?);
        }
        paths.push(of_budget);
    }
    let nodes: BTreeSet<usize> = paths
        .iter()
        .flatten()
        .flat_map(|path| path.nodes()[1..].iter().copied())
        .collect();
    let measured = evaluate(nodes.into_iter().collect(), checkpoint, data, profile_file)?;
    let mut larger = Vec::new();
    for (budget, paths) in DECIDED.iter().zip(&paths) {
        let found = jackknife(&measured, |curves| {
            let failed = |_| ddpm::profile::Error::Empty;
            let model = priced(curves).map_err(failed)?;
            let costs: Vec<f64> = paths.iter().map(|path| model.path_cost(path)).collect();
            Ok(costs[1..]
                .iter()
                .map(|cost| (cost - costs[0]) / std::f64::consts::LN_2)
                .collect())
        })?;
        // What the exhaustive choice of 128 images may itself lose: at most its distance to the best of these images.
        let curves = ddpm::profile::Curves::from_profile(&measured)?;
        let at = BUDGETS.iter().position(|k| k == budget).unwrap_or_default();
        let best = priced(&curves)?.path_cost(&optima(&curves)?[at]);
        let own = (priced(&curves)?.path_cost(&paths[0]) - best) / std::f64::consts::LN_2;
        for (seed, loss) in seeds.keys().zip(&found) {
            println!(
                "K = {budget}, seed {seed:>2}: {:+.4} ± {:.4}",
                loss.value, loss.standard_error
            );
        }
        println!(
            "K = {budget}: the exhaustive choice of 128 images is {own:.4} above the optimum of these"
        );
        larger.push(json!({
            "budget": budget,
            "images": IMAGES,
            "exhaustive": paths[0].nodes(),
            "exhaustive_above_best": rounded(own),
            "loss": found.iter().map(|l| rounded(l.value)).collect::<Vec<_>>(),
            "standard_error": found.iter().map(|l| rounded(l.standard_error)).collect::<Vec<_>>(),
        }));
    }
    let mut all: Value = serde_json::from_slice(&fs::read(losses)?)?;
    all["larger"] = larger.into();
    write(losses, (serde_json::to_string(&all)? + "\n").as_bytes())
}

/// The profile of other train images at these timesteps.
fn evaluate(timesteps: Vec<usize>, checkpoint: &str, data: &str, out: &str) -> Result<ElboProfile> {
    let model = ModelOptions::default();
    let file = Checkpoint::open(Path::new(checkpoint))?;
    let unet = UNet::load_on(&file, &model, Backend::Packed(Arithmetic::F32))?;
    let denoiser = UNetDenoiser::new(unet, &model)?;
    let images = open(Path::new(data), Split::Train, None)?;
    let n = images.len();
    let taken = (1..=20).map(|seed| (seed, TAKEN_BY_SEED)).chain(TAKEN);
    let taken: BTreeSet<usize> = taken
        .flat_map(|(seed, count)| selection(seed, n, count))
        .collect();
    let others = selection(SEED, n, n)
        .into_iter()
        .filter(|i| !taken.contains(i));
    let plan = ProfilePlan {
        images_per_block: PER_BLOCK,
        bands: ProfileBands::None,
        ..ProfilePlan::new(
            timesteps,
            others.take(IMAGES).collect(),
            IMAGES / PER_BLOCK,
            SEED,
        )
    };
    let earlier = match fs::read(out) {
        Ok(bytes) => Some(ElboProfile::from_bytes(&bytes)?),
        Err(_) => None,
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
            IMAGES / PER_BLOCK,
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
        None => Ok(found?),
    }
}
