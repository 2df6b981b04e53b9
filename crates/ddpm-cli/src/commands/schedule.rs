//! `ddpm schedule`: the optimal schedule of every budget, from a profile or a curve m(t).

use std::path::{Path, PathBuf};

use ddpm_core::Objective;
use ddpm_eval::Progress;
use ddpm_profile::{
    CostModel, Curves, ElboProfile, USUAL_FOLDS, choices_of_stability, choose, with_stability,
    with_standard_errors,
};
use ddpm_schedule::{Budgets, Provenance, Schedules, Scoring};

use super::export::print_schedules;
use super::schedule_on_trajectories;
use crate::args::Schedule;
use crate::error::{Error, Located, Result};
use crate::input::{
    gaussian_decoder, is_array_file, noise_schedule, read_column, read_profile_to_use,
    read_squared_errors, refuse_unless_schedules, steps_or, warn_of_doubt, warn_of_few_images,
};
use crate::output::Voice;
use crate::render::{
    Indices, NOTE_ON_ONE_STEP, ProgressLine, TextTable, chain_of, clip, images_of, mark_of_decoder,
    note_on_density_of, note_on_interpolation, note_without_errors, or_dash, shorten, with_error,
};

/// Runs the command.
pub(crate) fn run(args: &Schedule, voice: Voice) -> Result<()> {
    // Of a schedules file it is known when they are chosen whether it holds these.
    if let Some(out) = &args.out {
        refuse_unless_schedules(out, args.existing.force)?;
    }
    if args.objective.on_trajectories() {
        return schedule_on_trajectories::run(args, voice);
    }
    if args.sampler.is_some() {
        return Err(Error::usage("--sampler goes with --objective quality"));
    }
    if args.coefficients.is_some() {
        return Err(Error::usage("--coefficients goes with --objective quality"));
    }
    let request = Request::new(args, voice)?;
    let schedules = request.choose(voice)?;
    print_schedules(args, &schedules, &request.source, voice, |indices| {
        Ok(request.table(&schedules, indices))
    })
}

/// What to choose from and under which conventions.
struct Request {
    /// The profile or the CSV file.
    source: PathBuf,
    profile: Option<ElboProfile>,
    curves: Curves,
    budgets: Budgets,
    scoring: Scoring,
    folds: usize,
}

impl Request {
    fn new(args: &Schedule, voice: Voice) -> Result<Self> {
        let (source, profile) = match (&args.profile, &args.mse) {
            (Some(path), _) => (path, Some(from_profile(args, path, voice)?)),
            (None, Some(path)) if is_array_file(path) => {
                let files = std::slice::from_ref(path);
                let profile = read_squared_errors(files, Some(&args.chain), None, voice)?;
                (path, Some(profile))
            }
            (None, Some(path)) => (path, None),
            (None, None) => {
                return Err(Error::usage(
                    "nothing to choose from: expected a profile P, or --mse M.csv with a noise schedule",
                ));
            }
        };
        let curves = match &profile {
            Some(profile) => Curves::from_profile(profile),
            None => {
                let mse = read_column(source, "mse")?;
                let curves = Curves::from_mse(&noise_schedule(&args.chain, Some(mse.len()))?, &mse);
                curves.inspect(|curves| {
                    let doubts = curves.doubts();
                    doubts
                        .iter()
                        .for_each(|doubt| warn_of_doubt(source, doubt, voice));
                })
            }
        }
        .in_file(source)?;
        let (conventions, most) = (&args.conventions, curves.train_steps());
        let mut scoring = curves
            .scoring(conventions.variance, conventions.mean, conventions.decoder)
            .with_objective(args.objective)
            .with_start(args.start);
        scoring.check().map_err(|e| Error::usage(e.to_string()))?;
        scoring.gaussian = gaussian_decoder(
            conventions.decoder_bin_width,
            args.decoder_first_bits,
            scoring.decoder,
        )?;
        if let Some(profile) = &profile {
            warn_of_few_images(source, profile, scoring.mean, voice);
        }
        Ok(Self {
            budgets: steps_or(args.steps.as_deref(), most, Budgets::of_the_paper(most))?,
            source: source.clone(),
            profile,
            curves,
            scoring,
            folds: match args.folds {
                Some(1) => {
                    return Err(Error::usage(
                        "--folds: one fold leaves no images to choose on; expected 0 for none, or 2 and more",
                    ));
                }
                folds => folds.unwrap_or(USUAL_FOLDS),
            },
        })
    }

    fn provenance(&self) -> Option<&Provenance> {
        self.profile.as_ref().map(ElboProfile::provenance)
    }

    fn choose(&self, voice: Voice) -> Result<Schedules> {
        let line = ProgressLine::counting("choices", voice);
        let more = self.profile.as_ref();
        let more = more.map_or(0, |p| choices_of_stability(p, &self.budgets, self.folds));
        line.start(1 + more as u64);
        let found = self.choose_watched(&line);
        line.finish();
        found
    }

    fn choose_watched(&self, line: &ProgressLine) -> Result<Schedules> {
        let schedules = self
            .curves
            .freeze(&self.scoring)
            .and_then(|frozen| CostModel::new(&self.curves, frozen))
            .and_then(|model| choose(&model, &self.budgets, self.provenance()))
            .in_file(&self.source)?;
        line.advance(1);
        let Some(profile) = &self.profile else {
            return Ok(schedules);
        };
        let (budgets, folds) = (&self.budgets, self.folds);
        let mut chose = || line.advance(1);
        with_standard_errors(schedules, profile, &self.curves, budgets)
            .and_then(|s| with_stability(s, profile, budgets, folds, &mut chose))
            .in_file(&self.source)
    }

    fn table(&self, schedules: &Schedules, indices: Indices) -> String {
        let images = match &self.profile {
            Some(profile) => {
                let chain = chain_of(profile.provenance());
                format!("Chosen and measured on {} ({chain})", images_of(profile))
            }
            None => format!(
                "Chosen on the curve {} (T={} {})",
                self.source.display(),
                schedules.train_steps(),
                schedules.noise_schedule.name_or_custom()
            ),
        };
        let mut text = TextTable::new(&format!(
            "steps: | cost [{}]: | with prior: | lost by choosing: | paths vary by: | path",
            schedules.scoring.objective.unit()
        ))
        .title(format!(
            "Optimal schedules: {}, {} decoder, {}, start {}, objective {}",
            self.scoring.kernel(),
            self.scoring.decoder,
            clip(schedules.clip_denoised),
            self.scoring.start,
            self.scoring.objective
        ))
        .title(images);
        for budget in &schedules.budgets {
            let is_elbo = self.scoring.objective == Objective::Elbo;
            let (prior, stability) = (budget.prior_bpd.filter(|_| is_elbo), budget.stability);
            text.row([
                budget.steps().to_string(),
                with_error(budget.cost, budget.cost_standard_error)
                    + mark_of_decoder(budget.schedule.decoder == self.scoring.decoder),
                or_dash(prior.map(|prior| format!("{:.4}", budget.cost + prior))),
                or_dash(stability.map(|s| with_error(s.loss, Some(s.loss_standard_error)))),
                or_dash(stability.map(|s| format!("{:.4}", s.largest_excess))),
                shorten(&indices.show_path(budget.nodes())),
            ]);
        }
        if schedules
            .budgets
            .iter()
            .any(|b| b.cost_standard_error.is_some())
        {
            text.note("± one standard error over blocks of images, the path fixed.");
            text.notes(self.profile.as_ref().and_then(note_on_interpolation));
        }
        text.notes(self.profile.as_ref().and_then(note_without_errors));
        if let Some(found) = schedules.budgets.iter().find_map(|b| b.stability) {
            text.note(format!(
                "Chosen again without each of {} folds of the images. Lost by choosing: the expected excess over the best path, on unseen images, because these images are a sample (± one standard error over folds). Paths vary by: the largest excess of such a path on all images.",
                found.folds
            ));
        }
        text.notes(note_on_density_of(schedules));
        if self.scoring.fixes_first() {
            text.note("Decoder none: the step onto the data costs nothing, so that every path takes it from t = 1 (one step: from T).");
        }
        text.note("Costs of optimised paths on the images they were chosen on are biased low: see `ddpm table`.");
        if schedules
            .budgets
            .iter()
            .any(|b| b.schedule.decoder != self.scoring.decoder)
        {
            text.note(NOTE_ON_ONE_STEP);
        }
        text.to_string()
    }
}

fn from_profile(args: &Schedule, path: &Path, voice: Voice) -> Result<ElboProfile> {
    let chain = &args.chain;
    if chain.noise_schedule.is_some()
        || chain.alpha_bar.is_some()
        || chain.process.is_some()
        || chain.train_steps.is_some()
        || chain.zero_terminal_snr
    {
        return Err(Error::usage(
            "a profile knows its noise schedule: --noise-schedule, --alpha-bar, --process, --train-steps and --zero-terminal-snr go with --mse",
        ));
    }
    read_profile_to_use(path, voice)
}
