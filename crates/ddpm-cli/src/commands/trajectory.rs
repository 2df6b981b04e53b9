//! `ddpm trajectory`: reference trajectories of the probability flow, or paths of the forward process.

use ddpm_core::{Denoiser, FlowSolver, Path};
use ddpm_dp::second_order;
use ddpm_eval::data::Split;
use ddpm_eval::{
    FlowPlan, GrowthPlan, ProfileOrigin, forward_trajectories, measure_growth,
    reference_trajectories, run_trials,
};
use ddpm_profile::trajectory::{Process, QualityModel, Trajectories, reference_grid};
use serde_json::json;

use crate::args::Trajectory;
use crate::error::{Error, Located, Result};
use crate::input::{Budgets, Network, RunImages, check_writable, split, write_file};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, clip, plural};

/// Nodes of the reference where `--nodes` is not given.
const NODES: usize = 160;
/// Numbers of steps that are tried where `--steps` is not given.
const TRIED: [usize; 6] = [5, 8, 10, 16, 20, 32];

/// Runs the command.
pub(crate) fn run(args: &Trajectory, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    network.check_signal_at(network.denoiser.train_steps())?;
    check_writable(&args.out)?;
    let trajectories = if args.forward {
        forward(args, network, voice)?
    } else {
        flow(args, &network, voice)?
    };
    write_file(&args.out, &trajectories.to_bytes())?;
    report(args, &trajectories)
}

fn origin(network: &Network, split: Split) -> ProfileOrigin {
    ProfileOrigin {
        checkpoint_sha256: network.sha256.clone(),
        split,
        noise_schedule: network.noise_schedule_name(),
        rescale_timesteps: network.rescales_timesteps(),
        precision: network.precision().to_owned(),
        extra: network.told_beside_weights(),
    }
}

fn grid(args: &Trajectory, network: &Network) -> Result<Path> {
    let schedule = network.denoiser.noise_schedule();
    let nodes = args
        .nodes
        .unwrap_or_else(|| NODES.min(schedule.train_steps()));
    // Before anything is evaluated: what the exact choice for two-step samplers can take.
    if nodes > second_order::MAX_NODES {
        return Err(Error::flag(
            "--nodes",
            format!(
                "expected at most {}, found {nodes}",
                second_order::MAX_NODES
            ),
        ));
    }
    reference_grid(schedule, nodes).in_flag("--nodes")
}

fn flow(args: &Trajectory, network: &Network, voice: Voice) -> Result<Trajectories> {
    if args.images.data.is_some() || args.images.split.is_some() || args.images.limit.is_some() {
        return Err(Error::usage(
            "--data, --split and --limit go with --forward: the flow starts from noise, not from images",
        ));
    }
    let grid = grid(args, network)?;
    let samplers = samplers(&args.sampler)?;
    let steps = tried(args, &grid)?;
    let plan = FlowPlan {
        first: 0,
        count: args.count as usize,
        seed: args.seed,
        labels: labels(args, network)?,
        clip_denoised: args.clip.clip_denoised.unwrap_or_else(|| network.clips()),
        batch: network.batch,
    };
    let (denoiser, schedule) = (&network.denoiser, network.denoiser.noise_schedule());
    let progress = ProgressLine::new(voice);
    voice.note(format_args!(
        "following {} through {} timesteps",
        plural(plan.count as u64, "sample"),
        grid.steps()
    ));
    let origin = origin(network, Split::Test);
    let mut made = reference_trajectories(denoiser, schedule, &plan, &grid, &origin, &progress)?;
    let growth = GrowthPlan {
        solvers: samplers.clone(),
        ..GrowthPlan::default()
    };
    let mut evaluations = growth.evaluations(made.nodes()) * plan.count;
    voice.note(format_args!(
        "measuring how errors grow: {evaluations} evaluations"
    ));
    let points = measure_growth(denoiser, schedule, &plan, &made, &growth, &progress)?;
    made = made.with_growth(points).in_file(&args.out)?;
    if !steps.is_empty() {
        let model = QualityModel::new(&made).in_file(&args.out)?;
        let mut candidates = Vec::new();
        for solver in samplers {
            let paths = model.candidates(solver, &steps).in_flag("--steps")?;
            candidates.extend(paths.into_iter().flatten().map(|path| (solver, path)));
        }
        let run: usize = candidates.iter().map(|(_, path)| path.steps()).sum();
        evaluations += run * plan.count;
        voice.note(format_args!(
            "running {}: {} evaluations",
            plural(candidates.len() as u64, "schedule"),
            run * plan.count
        ));
        let trials = run_trials(denoiser, schedule, &plan, &made, &candidates, &progress)?;
        made = made.with_trials(trials).in_file(&args.out)?;
    }
    made.set_evaluations(made.origin().evaluations + evaluations as u64);
    Ok(made)
}

fn forward(args: &Trajectory, network: Network, voice: Voice) -> Result<Trajectories> {
    if args.images.limit.is_some() {
        return Err(Error::usage("--limit: the number of images is --count"));
    }
    let (images, network) = RunImages::open(&args.images, network, args.class, args.seed)?;
    let grid = grid(args, &network)?;
    let count = args.count as usize;
    let chosen = images.chosen.get(..count).ok_or_else(|| {
        Error::flag(
            "--count",
            format!(
                "expected at most {}, the number of images there are, found {count}",
                images.chosen.len()
            ),
        )
    })?;
    Ok(forward_trajectories(
        &network.denoiser,
        network.denoiser.noise_schedule(),
        &images.set,
        chosen,
        &grid,
        args.seed,
        args.clip.clip_denoised.unwrap_or_else(|| network.clips()),
        network.batch,
        &origin(&network, split(&args.images)),
        &ProgressLine::new(voice),
    )?)
}

fn samplers(names: &[String]) -> Result<Vec<FlowSolver>> {
    if names.is_empty() {
        return Ok(FlowSolver::ALL.to_vec());
    }
    let mut found = Vec::new();
    for name in names {
        let solver = name.parse().in_flag("--sampler")?;
        if !found.contains(&solver) {
            found.push(solver);
        }
    }
    Ok(found)
}

/// The numbers of steps to try.
fn tried(args: &Trajectory, grid: &Path) -> Result<Vec<usize>> {
    match args.steps.as_deref() {
        Some("none") => Ok(Vec::new()),
        None => Ok(TRIED.into_iter().filter(|&k| k <= grid.steps()).collect()),
        Some(text) => match Budgets::parse("--steps", text, grid.steps())? {
            Budgets::List(list) => Ok(list),
            Budgets::All => Err(Error::flag(
                "--steps",
                "expected a comma list of numbers of steps, or none",
            )),
        },
    }
}

/// One class per sample for a class-conditional network: the one asked for, or all in turn.
fn labels(args: &Trajectory, network: &Network) -> Result<Option<Vec<usize>>> {
    let count = args.count as usize;
    match (network.denoiser.num_classes(), args.class) {
        (None, None) => Ok(None),
        (None, Some(_)) => Err(Error::flag(
            "--class",
            "the network is not class-conditional",
        )),
        (Some(classes), None) => Ok(Some((0..count).map(|i| i % classes).collect())),
        (Some(classes), Some(class)) if class < classes => Ok(Some(vec![class; count])),
        (Some(classes), Some(class)) => Err(Error::flag(
            "--class",
            format!("expected a class below {classes}, found {class}"),
        )),
    }
}

fn report(args: &Trajectory, made: &Trajectories) -> Result<()> {
    let origin = made.origin();
    let kind = match origin.process {
        Process::Flow => "flow",
        Process::Forward => "forward",
    };
    if args.json {
        let trials: Vec<_> = made
            .trials()
            .iter()
            .map(|t| json!({"sampler": t.sampler, "steps": t.steps(), "distance": t.rms(), "path": t.path}))
            .collect();
        return output::print_json(&json!({
            "out": args.out.display().to_string(),
            "process": kind,
            "count": made.images(),
            "nodes": made.nodes(),
            "clip_denoised": origin.clip_denoised,
            "evaluations": origin.evaluations,
            "trials": trials,
        }));
    }
    let next = match origin.process {
        Process::Flow => "--objective quality",
        Process::Forward => "--objective klub",
    };
    output::print_text(&format!(
        "{}: {kind} trajectories of {} at {} timesteps, {}, {} evaluations; for `ddpm schedule {next}`\n",
        args.out.display(),
        plural(made.images() as u64, "image"),
        made.nodes().len(),
        clip(Some(origin.clip_denoised)),
        origin.evaluations,
    ))
}
