//! `ddpm trajectory`: reference trajectories of the probability flow, or paths of the forward process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ddpm_core::{CoefficientKind, MeanKind, Sampler, TimePath};
use ddpm_eval::{FlowPlan, ForwardPlan, GrowthPlan, TrajectoryPlan, follow_flow, follow_forward};
use ddpm_schedule::{Budgets, Corrections, Schedule, Scoring, TrajectoryKind, results};
use ddpm_trajectory::{Trajectories, USUAL_NODES, most_nodes, reference_grid, usual_steps};

use crate::args::Trajectory;
use crate::error::{Error, Located, Result};
use crate::input::{
    Network, OutputLock, Partial, RunImages, check_writable, in_the_way, measured, of_another_run,
    parse_budgets, priced_sampler, read_trajectories, write_file,
};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, and_mean, clip, plural};

/// Runs the command.
pub(crate) fn run(args: &Trajectory, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    network.check_signal_at(network.denoiser().train_steps())?;
    check_writable(&args.out)?;
    let work = if args.forward {
        Work::forward(args, network, voice)?
    } else {
        Work::flow(args, network, voice)?
    };
    // Before the first look at what an earlier run left, and until the last file is in its place.
    let _lock = OutputLock::take(&args.out, voice)?;
    let partial = Partial::of(&args.out);
    let unfinished = partial.unfinished(args.resume, "samples and measurements")?;
    let finished = partial.finished(args.existing.force, |out| work.earlier_result(out))?;
    let earlier = match unfinished {
        Some(file) => Some(read_trajectories(file)?),
        None => finished,
    };
    let progress = ProgressLine::stoppable(voice)?;
    let mut save = |so_far: &Trajectories| partial.keep(&so_far.to_bytes());
    let made = match &work {
        Work::Flow(network, plan) => {
            follow_flow(network.denoiser(), plan, earlier, &progress, &mut save)
        }
        Work::Forward(network, RunImages { set, split, .. }, plan) => follow_forward(
            network.denoiser(),
            set,
            plan,
            *split,
            earlier,
            &progress,
            &mut save,
        ),
    }
    .map_err(|error| match error {
        ddpm_eval::Error::Trajectory(
            error @ ddpm_trajectory::Error::Schedule(
                ddpm_schedule::Error::Steps { .. } | ddpm_schedule::Error::Unreachable { .. },
            ),
        ) => Error::flag("--steps", error.to_string()),
        error => partial.failure(unfinished, error),
    })?;
    write_file(&args.out, &made.to_bytes())?;
    partial.remove(voice);
    report(args, &made)
}

/// A run before its first evaluation.
enum Work {
    Flow(Network, TrajectoryPlan),
    Forward(Network, RunImages, ForwardPlan),
}

impl Work {
    /// The trajectories that are there, of this very run: another's are not replaced.
    fn earlier_result(&self, out: &Path) -> Result<Trajectories> {
        let earlier = read_trajectories(out).map_err(|error| in_the_way(out, error))?;
        let checked = match self {
            Self::Flow(network, plan) => plan.check_earlier(network.denoiser(), &earlier),
            Self::Forward(network, RunImages { set, split, .. }, plan) => {
                plan.check_earlier(network.denoiser(), set, *split, &earlier)
            }
        };
        checked.map_err(|error| of_another_run(out, error))?;
        Ok(earlier)
    }

    fn flow(args: &Trajectory, network: Network, voice: Voice) -> Result<Self> {
        let of = &args.images;
        if of.data.is_some() || of.split.is_some() || of.limit.is_some() {
            return Err(Error::usage(
                "--data, --split and --limit go with --forward: the flow starts from noise, not from images",
            ));
        }
        let solvers = samplers(&args.sampler)?;
        let grid = grid(args.nodes, &network, &solvers)?;
        let steps = tried(args, &grid)?;
        let fitted = fitted(args)?;
        let clip_denoised = args.clip.clip_denoised.unwrap_or_else(|| network.clips());
        let means = corrections(args, &grid, &network, clip_denoised, voice)?;
        let plan = TrajectoryPlan {
            flow: FlowPlan {
                first: 0,
                count: args.count as usize,
                seed: args.seed,
                labels: network.labels(args.class, 0..args.count as usize)?,
                clip_denoised,
                means: means.map(Arc::new),
                batch: network.batch,
            },
            grid,
            growth: GrowthPlan {
                solvers,
                ..GrowthPlan::default()
            },
            steps,
            fitted,
            save_every: Duration::from_secs(args.save_every),
        };
        Ok(Self::Flow(network, plan))
    }

    fn forward(args: &Trajectory, network: Network, voice: Voice) -> Result<Self> {
        if args.images.limit.is_some() {
            return Err(Error::usage("--limit: the number of images is --count"));
        }
        let (images, network) =
            RunImages::open(&args.images, network, args.class, args.seed, voice)?;
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
        let plan = ForwardPlan {
            images: chosen.to_vec(),
            // Its steps look back on nothing.
            grid: grid(args.nodes, &network, &[Sampler::Ddim])?,
            seed: args.seed,
            clip_denoised: args.clip.clip_denoised.unwrap_or_else(|| network.clips()),
            batch: network.batch,
            save_every: Duration::from_secs(args.save_every),
        };
        Ok(Self::Forward(network, images, plan))
    }
}

/// How the estimates are corrected at every node of the reference, if they are.
fn corrections(
    args: &Trajectory,
    grid: &TimePath,
    network: &Network,
    clip_denoised: bool,
    voice: Voice,
) -> Result<Option<Corrections>> {
    match (args.mean, &args.profile) {
        (MeanKind::Network, None) => Ok(None),
        (MeanKind::Network, Some(_)) => Err(Error::usage(
            "--profile gives the calibrated mean: expected --mean calibrated with it",
        )),
        (MeanKind::Calibrated, None) => Err(Error::usage(
            "--mean calibrated needs the network's measured errors: --profile P",
        )),
        (MeanKind::Calibrated, Some(file)) => {
            let measured = corrected(file, grid.clone(), network, clip_denoised, voice)?;
            Ok(Corrections::of_schedule(&measured))
        }
    }
}

/// A path with the means that a profile calibrates, for a deterministic sampler.
pub(super) fn corrected(
    profile: &Path,
    path: TimePath,
    network: &Network,
    clip_denoised: bool,
    voice: Voice,
) -> Result<Schedule> {
    let scoring = Scoring::unscored(MeanKind::Calibrated);
    measured(profile, &scoring, path, network, clip_denoised, voice)
}

/// The nodes of the reference, so many or the usual number, among which schedules for these samplers will be sought.
pub(super) fn grid(
    nodes: Option<usize>,
    network: &Network,
    solvers: &[Sampler],
) -> Result<TimePath> {
    let schedule = network.denoiser().noise_schedule();
    let nodes = nodes.unwrap_or_else(|| USUAL_NODES.min(schedule.train_steps()));
    // Before anything is evaluated.
    if let Some(&solver) = solvers.iter().find(|&&solver| nodes > most_nodes(solver)) {
        let most = most_nodes(solver);
        let expected = format!("expected at most {most} for {solver}, found {nodes}");
        return Err(Error::flag("--nodes", expected));
    }
    reference_grid(schedule, nodes).in_flag("--nodes")
}

/// Samplers that schedules are chosen for; the usual ones where none is named.
pub(super) fn samplers(names: &[String]) -> Result<Vec<Sampler>> {
    if names.is_empty() {
        return Ok(Sampler::USUAL.to_vec());
    }
    let mut found = Vec::new();
    for name in names {
        let solver = priced_sampler(name)?;
        if !found.contains(&solver) {
            found.push(solver);
        }
    }
    Ok(found)
}

/// What is fitted, each kind once.
fn fitted(args: &Trajectory) -> Result<Vec<CoefficientKind>> {
    let mut kinds: Vec<CoefficientKind> = args.coefficients.clone();
    kinds.retain(|&kind| kind != CoefficientKind::Solver);
    kinds.sort_unstable();
    kinds.dedup();
    if !kinds.is_empty() && args.count < 2 {
        let why = "expected at least 2 samples with --coefficients: some judge what is fitted to the others";
        return Err(Error::flag("--count", why));
    }
    Ok(kinds)
}

/// The numbers of steps to try.
fn tried(args: &Trajectory, grid: &TimePath) -> Result<Vec<usize>> {
    match args.steps.as_deref() {
        Some("none") => Ok(Vec::new()),
        None => Ok(usual_steps(grid.steps())),
        Some(text) => match parse_budgets("--steps", text, grid.steps())? {
            Budgets::Only(mut list) => {
                list.sort_unstable();
                list.dedup();
                Ok(list)
            }
            Budgets::All => Err(Error::flag(
                "--steps",
                "expected a comma list of numbers of steps, or none",
            )),
        },
    }
}

fn report(args: &Trajectory, made: &Trajectories) -> Result<()> {
    let origin = made.origin();
    let (kind, objective) = match origin.kind {
        TrajectoryKind::Flow => ("flow", "quality"),
        TrajectoryKind::Forward => ("forward", "klub"),
    };
    if args.json {
        let trials = made.trials().iter().map(|t| results::Trial {
            sampler: t.sampler,
            steps: t.steps(),
            distance: t.rms(),
            path: t.path.clone(),
            coefficients: t.coefficients,
        });
        return output::print_json(&results::Trajectory {
            out: args.out.display().to_string(),
            process: origin.kind,
            count: made.images(),
            nodes: made.nodes().to_vec(),
            clip_denoised: origin.model.clip_denoised,
            mean: MeanKind::of_calibrated(made.means().is_some()),
            evaluations: origin.evaluations,
            trials: trials.collect(),
        });
    }
    output::print_text(&format!(
        "{}: {kind} trajectories of {} at {} timesteps, {}{}, {} evaluations; for `ddpm schedule --objective {objective}`\n",
        args.out.display(),
        plural(made.images() as u64, "image"),
        made.nodes().len(),
        clip(Some(origin.model.clip_denoised)),
        and_mean(MeanKind::of_calibrated(made.means().is_some())),
        origin.evaluations,
    ))
}
