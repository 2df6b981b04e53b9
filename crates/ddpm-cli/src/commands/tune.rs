//! `ddpm tune`: the schedule whose samples are nearest to real images.

mod store;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ddpm_core::{CoefficientKind, MeanKind, ModelId, Objective, TimePath};
use ddpm_data::{ImageSet, Images};
use ddpm_eval::distance::{
    EnergyReference, FeatureStatistics, FrechetReference, Judge, Phase, Tuned, choose,
    halving_rounds,
};
use ddpm_eval::{
    FlowPlan, GrowthPlan, Progress, SamplingPlan, TrajectoryPlan, follow_flow, sample,
};
use ddpm_profile::{Estimate, choose_on};
use ddpm_schedule::{Budgets, Corrections, Schedule, Schedules, Scoring, TrajectoryKind, results};
use ddpm_trajectory::{Candidate, Trajectories, chosen_by_sampling, family};
use ndarray::{Array2, Axis, concatenate};

use self::store::Store;
use super::fid::{Content, Source, label};
use super::trajectory::{corrected, grid, samplers};
use crate::args::Tune;
use crate::error::{Error, Located, Result};
use crate::input::{
    Features, Network, OutputLock, Partial, check_writable, profile_of, read_trajectories_to_use,
    refuse_to_replace, refuse_unless_schedules, write_file, write_unless_in_the_way,
};
use crate::output::{self, Voice};
use crate::render::{ProgressLine, TextTable, and_mean, command_that_resumes, with_error};

/// Samples that are followed, as `ddpm trajectory` does where nothing else is said.
const FOLLOWED: usize = 24;
/// Samples between two saves.
const PIECE: usize = 128;

/// Runs the command.
pub(crate) fn run(args: &Tune, voice: Voice) -> Result<()> {
    let network = Network::open(&args.checkpoint)?;
    network.check_signal_at(network.denoiser().train_steps())?;
    check_writable(&args.out)?;
    // Its result does not say what it was tuned for. A run that was killed when all but its traces was done finds its own, to the last bit.
    if args.resume && Partial::place(&args.out).exists() {
        refuse_unless_schedules(&args.out, args.existing.force)?;
    } else {
        refuse_to_replace(&args.out, args.existing.force)?;
    }
    let nodes = network.denoiser().train_steps();
    if args.steps as usize > nodes {
        let why = format!(
            "expected at most {nodes}, the timesteps of the network, found {}",
            args.steps
        );
        return Err(Error::flag("--steps", why));
    }
    let reference = Source::open(&args.reference, args.split, "--split", voice)?;
    let features = Features::open(args.features.as_deref(), false, voice)?;
    check_reference(args, &reference, &features, &network.denoiser().shape())?;
    // From here on Ctrl-C asks: what is drawn is kept.
    let progress = ProgressLine::stoppable(voice)?;
    let _lock = OutputLock::take(&args.out, voice)?;
    let store = Store::open(args, &network, &features, &reference.name)?;
    let tuning = Tuning {
        args,
        network: &network,
        features: &features,
        store: &store,
        progress: &progress,
        voice,
    };
    let tuned = tuning.run(reference);
    let (candidates, chosen, schedules) = tuned.inspect_err(|_| store.forget_unless_kept())?;
    let json = schedules.to_json().or_internal()?;
    write_unless_in_the_way(&args.out, json.as_bytes(), args.existing.force)?;
    store.remove(voice);
    report(args, &features, &candidates, &chosen, &schedules)
}

/// Refuses a reference that samples cannot be held against.
fn check_reference(
    args: &Tune,
    reference: &Source,
    features: &Features,
    shape: &[usize],
) -> Result<()> {
    let statistics = match &reference.content {
        Content::Statistics(statistics) => statistics,
        // Features of a network are of images of any size that it takes.
        Content::Images(set) if matches!(features, Features::Raw) && set.shape() != shape => {
            let found = set.shape();
            let why = format!("expected data of the network's shape, {shape:?}, found {found:?}");
            return Err(Error::file(&args.reference, why));
        }
        Content::Images(_) => return Ok(()),
    };
    if args.objective != Objective::Frechet {
        return Err(Error::usage(format!(
            "--objective {}: {} holds statistics; expected images, whose features are compared one by one",
            args.objective, reference.name
        )));
    }
    let (name, dims) = (features.name(), features.dims(shape));
    let other = statistics.network().is_some_and(|found| found != name);
    if other || statistics.dims() != dims {
        return Err(Error::file(
            &args.reference,
            format!(
                "expected statistics of {dims} features of {name}, found {} of {}",
                statistics.dims(),
                statistics.network().unwrap_or("an unnamed network")
            ),
        ));
    }
    Ok(())
}

/// What samples are held against.
fn judge(args: &Tune, reference: Source, features: &Features, voice: Voice) -> Result<Judge> {
    let statistics = match reference.content {
        Content::Statistics(statistics) => *statistics,
        Content::Images(set) => {
            let all: Vec<usize> = (0..set.len()).collect();
            let progress = ProgressLine::new(voice);
            let samples = args.samples as usize;
            let dims = features.dims(set.shape());
            let affordable = EnergyReference::is_affordable(samples, set.len(), dims);
            if args.objective == Objective::Energy && !affordable {
                let why = format!(
                    "--objective energy looks at every pair of data: {samples} samples and {} of {} of {dims} numbers each take too long; expected fewer",
                    set.len(),
                    reference.name
                );
                return Err(Error::usage(why));
            }
            let features = features.of(&reference.name, &set, &all, None, &progress)?;
            match args.objective {
                Objective::Kernel => return Ok(Judge::Kernel(features)),
                Objective::Energy => {
                    let reference =
                        EnergyReference::new(features.view()).in_file(&args.reference)?;
                    return Ok(Judge::Energy(reference));
                }
                _ => FeatureStatistics::from_features(features.view()).in_file(&args.reference)?,
            }
        }
    };
    Ok(Judge::Frechet(FrechetReference::new(&statistics)?))
}

/// A candidate, ready to be sampled.
struct Ready {
    name: String,
    /// Which flow it was chosen on.
    flow: usize,
    schedule: Schedule,
    is_rival: bool,
}

impl Ready {
    /// The name with the mean, where another than the network's own.
    fn name(&self) -> String {
        format!("{}{}", self.name, and_mean(self.schedule.mean()))
    }
}

struct Tuning<'a> {
    args: &'a Tune,
    network: &'a Network,
    features: &'a Features,
    store: &'a Store,
    progress: &'a ProgressLine,
    voice: Voice,
}

impl Tuning<'_> {
    fn clips(&self) -> bool {
        let told = self.args.clip.clip_denoised;
        told.unwrap_or_else(|| self.network.clips())
    }

    fn run(&self, reference: Source) -> Result<(Vec<Ready>, Tuned, Schedules)> {
        // All that can be refused is refused before the first evaluation.
        let judge = judge(self.args, reference, self.features, self.voice)?;
        let flows = self.flows()?;
        let candidates = self.candidates(&flows)?;
        let chosen = self.choose(&judge, &candidates)?;
        let winner = &candidates[chosen.winner];
        let value = chosen.judged[0].distance.value;
        let (flow, schedule) = (&flows[winner.flow], winner.schedule.clone());
        let schedules = chosen_by_sampling(flow, self.args.objective, schedule, value);
        Ok((candidates, chosen, schedules.or_internal()?))
    }

    /// The flow of the network and, with a profile, that of the corrected one: those that are named, or made.
    fn flows(&self) -> Result<Vec<Trajectories>> {
        if self.args.trajectories.is_empty() {
            let mut flows = vec![self.follow("network.safetensors", None)?];
            if let Some(profile) = &self.args.profile {
                flows.push(self.follow("corrected.safetensors", Some(profile))?);
            }
            return Ok(flows);
        }
        let read = |file: &PathBuf| -> Result<Trajectories> {
            let read = read_trajectories_to_use(file)?;
            if read.origin().kind != TrajectoryKind::Flow {
                let why = "expected trajectories of the probability flow, found those of the forward process";
                return Err(Error::file(file, why));
            }
            let own = ModelId::of(self.network.denoiser(), self.clips());
            if let Some(difference) = own.differences(&read.origin().model).first() {
                let why = format!(
                    "expected trajectories of this network, clipped alike: {}: expected {}, found {}",
                    difference.field, difference.first, difference.second
                );
                return Err(Error::file(file, why));
            }
            if !read
                .schedule()
                .is_close(self.network.denoiser().noise_schedule())
            {
                return Err(Error::file(
                    file,
                    "expected trajectories under this network's noise schedule, found another's",
                ));
            }
            if read.means().is_some() && self.args.profile.is_none() {
                let why = "its flow is that of the corrected network; expected --profile P too, so that the usual strides are corrected alike";
                return Err(Error::file(file, why));
            }
            Ok(read)
        };
        self.args.trajectories.iter().map(read).collect()
    }

    /// Follows a flow, or goes on with it.
    fn follow(&self, name: &str, profile: Option<&PathBuf>) -> Result<Trajectories> {
        let (args, network) = (self.args, self.network);
        let file = self.store.file(name);
        let earlier = match file.exists() {
            true => Some(crate::input::read_trajectories(&file)?),
            false => None,
        };
        let solvers = match &args.sampler[..] {
            [] => vec![ddpm_core::Sampler::DpmSolver2M],
            names => samplers(names)?,
        };
        let grid = grid(None, network, &solvers)?;
        let means = match profile {
            None => None,
            Some(profile) => {
                let schedule = corrected(profile, grid.clone(), network, self.clips(), self.voice)?;
                Corrections::of_schedule(&schedule)
            }
        };
        let mut fitted = args.coefficients.clone();
        fitted.retain(|&kind| kind != CoefficientKind::Solver);
        fitted.sort_unstable();
        fitted.dedup();
        let plan = TrajectoryPlan {
            flow: FlowPlan {
                first: 0,
                count: FOLLOWED,
                seed: args.seed,
                labels: network.labels(args.class, 0..FOLLOWED)?,
                clip_denoised: self.clips(),
                means: means.map(Arc::new),
                batch: network.batch,
            },
            grid,
            growth: GrowthPlan {
                solvers,
                ..GrowthPlan::default()
            },
            // Trials are what teaches fitted steps; the others are judged by their samples.
            steps: match fitted[..] {
                [] => Vec::new(),
                _ => vec![args.steps as usize],
            },
            fitted,
            save_every: std::time::Duration::from_secs(20),
        };
        let mut save = |so_far: &Trajectories| {
            let kept = ddpm_files::write_atomic(&file, &so_far.to_bytes());
            kept.map_err(|source| {
                let path = file.clone();
                ddpm_data::Error::Write { path, source }.into()
            })
        };
        let made = follow_flow(network.denoiser(), &plan, earlier, self.progress, &mut save)
            .map_err(|error| self.interrupted(error))?;
        write_file(&file, &made.to_bytes())?;
        Ok(made)
    }

    /// What is judged: the family of every flow, the corrected ones with corrections at their own timesteps.
    fn candidates(&self, flows: &[Trajectories]) -> Result<Vec<Ready>> {
        let steps = self.args.steps as usize;
        let reweighted = self
            .reweighted(steps)?
            .map(|path| ("reweighted MSE", vec![path]));
        let others: Vec<_> = reweighted.into_iter().collect();
        let mut found = Vec::new();
        for (flow, trajectories) in flows.iter().enumerate() {
            let family = family(trajectories, &[steps], &others).map_err(|error| match error {
                ddpm_trajectory::Error::Schedule(
                    error @ (ddpm_schedule::Error::Steps { .. }
                    | ddpm_schedule::Error::Unreachable { .. }),
                ) => Error::flag("--steps", error),
                error => Error::Input(error.to_string()),
            })?;
            for candidate in family.into_iter().flatten() {
                found.push(self.ready(flow, trajectories, candidate)?);
            }
        }
        Ok(found)
    }

    /// The path of the paper's reweighted objective, which a profile is needed for.
    fn reweighted(&self, steps: usize) -> Result<Option<TimePath>> {
        let Some(file) = &self.args.profile else {
            return Ok(None);
        };
        // What is to be said of it was said where its flow was made.
        let voice = match self.args.trajectories.is_empty() {
            true => Voice::new(true),
            false => self.voice,
        };
        let profile = profile_of(file, self.network, MeanKind::Network, self.clips(), voice)?;
        let scoring = Scoring::unscored(MeanKind::Network).with_objective(Objective::Mse);
        let chosen = choose_on(&profile, &scoring, &Budgets::Only(vec![steps]));
        let chosen = chosen.and_then(|s| Ok(s.schedule(steps)?.path.clone()));
        match chosen {
            Ok(path) => Ok(Some(path)),
            Err(ddpm_profile::Error::Schedule(error @ ddpm_schedule::Error::Steps { .. })) => {
                Err(Error::flag("--steps", error))
            }
            Err(error) => Err(Error::file(file, error)),
        }
    }

    fn ready(
        &self,
        flow: usize,
        trajectories: &Trajectories,
        candidate: Candidate,
    ) -> Result<Ready> {
        let noise = self.network.denoiser().noise_schedule();
        let mut schedule = match (trajectories.means(), &self.args.profile) {
            (Some(_), Some(profile)) => {
                let quiet = Voice::new(true);
                corrected(profile, candidate.path, self.network, self.clips(), quiet)?
            }
            _ => {
                let scoring = Scoring::new(ddpm_core::VarianceKind::FixedSmall)
                    .with_decoder(ddpm_core::DecoderKind::None);
                Schedule::of_path(noise, candidate.path, &scoring).or_internal()?
            }
        };
        if candidate.fitted.iter().any(|step| step.bands() > 1) {
            let bands = trajectories.bands_of_fits().or_internal()?;
            schedule = schedule.with_bands(bands).or_internal()?;
        }
        Ok(Ready {
            name: format!("{}, {}", candidate.name, candidate.sampler),
            flow,
            is_rival: candidate.is_rival,
            schedule: Schedule {
                sampler: candidate.sampler,
                coefficients: candidate.coefficients,
                fitted: candidate.fitted,
                ..schedule
            },
        })
    }

    fn choose(&self, judge: &Judge, candidates: &[Ready]) -> Result<Tuned> {
        let rivals: Vec<bool> = candidates.iter().map(|c| c.is_rival).collect();
        let samples = self.args.samples as usize;
        let names: Vec<String> = candidates.iter().map(Ready::name).collect();
        self.store
            .check_candidates(candidates.iter().map(|c| &c.schedule), &names)?;
        let rounds = halving_rounds(candidates.len(), samples);
        let halves = match rounds.len() {
            1 => "",
            _ => "the nearer half on twice as many, and so on, ",
        };
        self.progress.stage(&format!(
            "judging {} schedules on {} samples each, {halves}and the last on {samples} of fresh noise",
            candidates.len(),
            rounds[0]
        ));
        let total = self.at_most(candidates, &rounds, samples);
        self.progress.start(total as u64);
        let mut failure = None;
        let chosen = choose(judge, &rivals, samples, &mut |candidate, phase, images| {
            let found = self.features_of(candidate, &candidates[candidate], phase, images);
            found.map_err(|error| {
                failure = Some(error);
                ddpm_eval::Error::Interrupted
            })
        });
        self.progress.finish();
        match failure {
            Some(error) => Err(error),
            None => Ok(chosen?),
        }
    }

    /// Evaluations that are made at most, those of an earlier run not counted off.
    fn at_most(&self, candidates: &[Ready], rounds: &[usize], samples: usize) -> usize {
        let (mut left, mut before, mut drawn) = (candidates.len(), 0, 0);
        for &images in rounds {
            drawn += left * (images - before);
            before = images;
            left = left.div_ceil(2).max(2);
        }
        (drawn + 3 * samples) * self.args.steps as usize
    }

    /// Features of the first images of a candidate; what is not kept yet is sampled.
    fn features_of(
        &self,
        index: usize,
        candidate: &Ready,
        phase: Phase,
        images: usize,
    ) -> Result<Array2<f32>> {
        let seed = self.args.seed + if phase == Phase::Choosing { 1 } else { 2 };
        let shape = self.network.denoiser().shape();
        let mut known = self
            .store
            .features(index, seed, self.features.dims(&shape))?;
        while known.nrows() < images {
            let piece: Vec<usize> = (known.nrows()..(known.nrows() + PIECE).min(images)).collect();
            let labels = self
                .network
                .labels(self.args.class, piece[0]..piece[0] + piece.len())?;
            let plan = SamplingPlan {
                eta: 0.0,
                clip_last_noise: None,
                seed,
                labels,
                clip_denoised: self.clips(),
                batch: self.network.batch,
                images: piece,
                ..SamplingPlan::new(candidate.schedule.clone(), 0)
            };
            let samples = sample(self.network.denoiser(), &plan, &Within(self.progress))
                .map_err(|error| self.interrupted(error))?;
            let set = match self.features {
                Features::Raw => ImageSet::from_array("samples", samples.view()),
                // As they would be stored: 8 bits a value.
                Features::Network { .. } => Images::from_samples(samples.view())
                    .and_then(|pixels| ImageSet::from_bytes("samples", pixels.view())),
            };
            let set = set.map_err(|error| Error::Input(format!("samples: {error}")))?;
            let all: Vec<usize> = (0..set.len()).collect();
            let quiet = ddpm_eval::Silent;
            let found = self.features.of("samples", &set, &all, None, &quiet)?;
            known = concatenate(Axis(0), &[known.view(), found.view()]).or_internal()?;
            self.store.keep(index, seed, &known)?;
        }
        Ok(known)
    }

    fn interrupted(&self, error: ddpm_eval::Error) -> Error {
        match error {
            ddpm_eval::Error::Interrupted => Error::Interrupted {
                partial: Some(self.store.folder().to_owned()),
                resume: command_that_resumes(),
            },
            error => error.into(),
        }
    }
}

/// A part of a run whose beginning and end somebody else tells.
struct Within<'a>(&'a ProgressLine);

impl Progress for Within<'_> {
    fn start(&self, _: u64) {}

    fn advance(&self, n: u64) {
        self.0.advance(n);
    }

    fn finish(&self) {}

    fn interrupted(&self) -> bool {
        self.0.interrupted()
    }
}

fn report(
    args: &Tune,
    features: &Features,
    candidates: &[Ready],
    chosen: &Tuned,
    schedules: &Schedules,
) -> Result<()> {
    let metric = match args.objective {
        Objective::Kernel => "KID".to_owned(),
        Objective::Energy => "energy distance".to_owned(),
        _ => label(Some(&features.name()), 0),
    };
    let estimate = |e: &Estimate| results::Measured {
        value: e.value,
        standard_error: Some(e.standard_error).filter(|e| e.is_finite()),
    };
    let standing = |s: &ddpm_eval::distance::Standing| results::Standing {
        name: candidates[s.candidate].name(),
        distance: estimate(&s.distance),
        behind: estimate(&s.behind),
        path: candidates[s.candidate].schedule.path.nodes().to_vec(),
    };
    let found = results::Tune {
        out: args.out.display().to_string(),
        steps: args.steps as usize,
        metric,
        winner: candidates[chosen.winner].name(),
        judged_images: args.samples as usize,
        judged: chosen.judged.iter().map(standing).collect(),
        rounds: chosen
            .rounds
            .iter()
            .map(|round| results::TuneRound {
                images: round.images,
                standings: round.standings.iter().map(standing).collect(),
            })
            .collect(),
        seed: args.seed,
    };
    if args.json {
        return output::print_json(&found);
    }
    output::print_text(&text(&found, &args.out, schedules))
}

fn text(found: &results::Tune, out: &Path, schedules: &Schedules) -> String {
    let shown = |m: &results::Measured| match found.metric == "KID" {
        true => with_error(1000.0 * m.value, m.standard_error.map(|e| 1000.0 * e)),
        false => with_error(m.value, m.standard_error),
    };
    let unit = if found.metric == "KID" {
        " (x 1000)"
    } else {
        ""
    };
    let mut table =
        TextTable::new("schedule | images: | distance: | behind the first:").title(format!(
            "{}: {} steps, {}{unit}",
            out.display(),
            found.steps,
            found.metric
        ));
    for round in &found.rounds {
        for standing in &round.standings {
            table.row([
                standing.name.clone(),
                round.images.to_string(),
                shown(&standing.distance),
                shown(&standing.behind),
            ]);
        }
    }
    let mut judged = TextTable::new("schedule | images: | distance: | minus the winner's:")
        .title("On fresh noise, which nothing was chosen on".to_owned());
    for standing in &found.judged {
        judged.row([
            standing.name.clone(),
            found.judged_images.to_string(),
            shown(&standing.distance),
            shown(&standing.behind),
        ]);
    }
    let is_close = |s: &&results::Standing| {
        let error = s.behind.standard_error.unwrap_or(f64::INFINITY);
        s.name != found.winner && s.behind.value <= 2.0 * error
    };
    let close: Vec<&str> = found
        .judged
        .iter()
        .filter(is_close)
        .map(|s| s.name.as_str())
        .collect();
    if !close.is_empty() {
        judged.note(format!(
            "Not farther than the winner by two standard errors: {}. More --samples may tell them apart.",
            close.join("; ")
        ));
    }
    judged.note("Noise is fresh, the reference is the one that was chosen by. Differences are paired: both began with the same noise, image by image. The distances of different numbers of images do not compare.");
    let path = schedules.budgets.first().map_or_else(String::new, |b| {
        format!("\nWinner: {}, path {}\n", found.winner, b.schedule.path)
    });
    format!("{table}\n{judged}{path}")
}
