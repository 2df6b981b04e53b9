//! `ddpm schedule`: the optimal schedule of every budget, from a profile or a curve m(t).

use std::path::PathBuf;

use ddpm_core::{Path, VarianceKind};
use ddpm_profile::{
    Choice, CostModel, Curves, Decoder, DecoderKind, ElboProfile, Objective, Origin, Schedules,
    StartRule, StepVariances, choose, jackknife, stability,
};
use serde_json::{Value, json};

use super::schedule_on_trajectories;
use crate::args::Schedule;
use crate::commands::export::{print as print_export, warn_of_losses};
use crate::error::{Error, Located, Result};
use crate::export::{Listing, export};
use crate::input::{
    self, Budgets, GaussianDecoder, default_decoder, default_variance, is_array_file,
    noise_schedule, objective, read_column, read_profile_to_use, read_squared_errors,
    step_variances, write_file,
};
use crate::output::{self, Voice};
use crate::render::{
    Align, Indices, NOTE_ON_ONE_STEP, TextTable, chain_of, clip, images_of, mark_of_decoder,
    shorten, with_error,
};

/// Runs the command.
pub(crate) fn run(args: &Schedule, voice: Voice) -> Result<()> {
    if schedule_on_trajectories::serves(args.objective) {
        return schedule_on_trajectories::run(args, voice);
    }
    if args.sampler.is_some() {
        return Err(Error::usage("--sampler goes with --objective quality"));
    }
    let request = Request::new(args, voice)?;
    let schedules = request.choose()?;
    if let Some(out) = &args.out {
        write_file(out, schedules.to_json().or_internal()?.as_bytes())?;
    }
    if let Some(format) = args.export {
        let listing = Listing::of_schedules(&schedules, &Budgets::All, &request.source)?;
        let exported = export(&listing, format)?;
        warn_of_losses(&exported, format, voice);
        return print_export(&exported);
    }
    let indices = Indices::from_flag(args.zero_based);
    if args.json {
        return match indices {
            // What is printed is a schedules file too.
            Indices::Nodes => output::print_text(&schedules.to_json().or_internal()?),
            Indices::ZeroBased => output::print_json(&zero_based(&schedules)?),
        };
    }
    output::print_text(&request.table(&schedules, indices)?)
}

/// What to choose from and under which conventions.
struct Request {
    /// The profile or the CSV file.
    source: PathBuf,
    profile: Option<ElboProfile>,
    curves: Curves,
    origin: Origin,
    budgets: Budgets,
    variance: VarianceKind,
    decoder: DecoderKind,
    gaussian: GaussianDecoder,
    objective: Objective,
    start: StartRule,
    folds: usize,
}

impl Request {
    fn new(args: &Schedule, voice: Voice) -> Result<Self> {
        let (source, profile, curves, origin) = match (&args.profile, &args.mse) {
            (Some(path), _) => from_profile(args, path.clone(), voice)?,
            (None, Some(path)) if is_array_file(path) => from_arrays(args, path.clone(), voice)?,
            (None, Some(path)) => from_curve(args, path.clone())?,
            (None, None) => {
                return Err(Error::usage(
                    "nothing to choose from: expected a profile P, or --mse M.csv with a noise schedule",
                ));
            }
        };
        let variance = args
            .conventions
            .variance
            .map_or_else(|| default_variance(curves.learned()), VarianceKind::from);
        let decoder = args.conventions.decoder.map_or_else(
            || match curves.has_decoder() {
                true => default_decoder(variance),
                // Squared errors know nothing of discretised pixels.
                false => DecoderKind::Gaussian,
            },
            DecoderKind::from,
        );
        let gaussian = GaussianDecoder {
            bin_width: args.conventions.decoder_bin_width,
            first_bits: args.decoder_first_bits,
        };
        let train_steps = curves.train_steps();
        Ok(Self {
            budgets: match &args.steps {
                Some(text) => Budgets::parse("--steps", text, train_steps)?,
                None => Budgets::of_the_paper(train_steps),
            },
            source,
            profile,
            curves,
            origin,
            variance,
            decoder,
            gaussian: gaussian.check(decoder)?,
            objective: objective(args.objective)?,
            start: args.start.into(),
            folds: args.folds,
        })
    }

    fn choose(&self) -> Result<Schedules> {
        let model = self
            .frozen()
            .and_then(|frozen| frozen.price(&self.curves))
            .in_file(&self.source)?;
        let schedules = choose(&model, self.budgets.for_profile(), self.start, &self.origin)
            .in_file(&self.source)?;
        let (Some(profile), Budgets::List(list)) = (&self.profile, &self.budgets) else {
            return Ok(schedules);
        };
        if self.folds < 2 || profile.blocks().len() < 2 {
            return Ok(schedules);
        }
        let choice = Choice {
            conventions: &|curves| self.conventions(curves),
            objective: self.objective,
            start: self.start,
        };
        stability(profile, &choice, list, self.folds)
            .and_then(|found| schedules.with_stability(found))
            .in_file(&self.source)
    }

    /// The conventions with everything that is estimated taken from `curves`.
    fn conventions(&self, curves: &Curves) -> ProfileResult<(StepVariances, Decoder)> {
        Ok((
            step_variances(self.variance, curves),
            input::decoder(self.decoder, curves, self.gaussian)?,
        ))
    }

    /// The conventions with everything that is estimated fixed on the choosing set.
    fn frozen(&self) -> ProfileResult<Frozen> {
        let (variances, decoder) = self.conventions(&self.curves)?;
        Ok(Frozen {
            variances,
            decoder,
            objective: self.objective,
        })
    }

    /// Standard errors of the costs of the listed paths, in the unit of the file.
    fn standard_errors(&self, schedules: &Schedules) -> Result<Option<Vec<f64>>> {
        let (Some(profile), Budgets::List(_), Objective::Elbo) =
            (&self.profile, &self.budgets, self.objective)
        else {
            return Ok(None);
        };
        let paths = schedules
            .budgets
            .iter()
            .map(|b| Path::new(b.path.clone(), schedules.train_steps))
            .collect::<std::result::Result<Vec<_>, _>>()
            .or_internal()?;
        let frozen = self.frozen().in_file(&self.source)?;
        let estimates = jackknife(profile, |curves| {
            let model = frozen.price(curves)?;
            Ok(paths
                .iter()
                .map(|path| ddpm_core::nats_to_bits(model.path_cost(path)))
                .collect())
        })
        .in_file(&self.source)?;
        Ok(Some(estimates.iter().map(|e| e.standard_error).collect()))
    }

    fn table(&self, schedules: &Schedules, indices: Indices) -> Result<String> {
        let errors = self.standard_errors(schedules)?;
        let unit = &schedules.unit;
        let images = match &self.profile {
            Some(profile) => format!(
                "Chosen and measured on {} ({})",
                images_of(profile),
                chain_of(profile.provenance())
            ),
            None => format!(
                "Chosen on the curve {} (T={} {})",
                self.source.display(),
                schedules.train_steps,
                schedules.noise_schedule
            ),
        };
        let cost = format!("cost [{unit}]");
        let mut text = TextTable::new([
            ("steps", Align::Right),
            (cost.as_str(), Align::Right),
            ("with prior", Align::Right),
            ("lost by choosing", Align::Right),
            ("paths vary by", Align::Right),
            ("path", Align::Left),
        ])
        .title(format!(
            "Optimal schedules: {} variance, {} decoder, {}, start {}, objective {}",
            schedules.variance,
            schedules.decoder,
            clip(schedules.clip_denoised),
            schedules.start,
            schedules.objective
        ))
        .title(images);
        for (i, budget) in schedules.budgets.iter().enumerate() {
            text.row([
                budget.steps.to_string(),
                with_error(budget.cost, errors.as_ref().map(|e| e[i]))
                    + mark_of_decoder(budget.scored_decoder == schedules.decoder),
                budget
                    .prior_bpd
                    .filter(|_| self.objective == Objective::Elbo)
                    .map_or_else(
                        || "-".to_owned(),
                        |prior| format!("{:.4}", budget.cost + prior),
                    ),
                budget.stability.map_or_else(
                    || "-".to_owned(),
                    |s| with_error(s.loss, Some(s.loss_standard_error)),
                ),
                budget
                    .stability
                    .map_or_else(|| "-".to_owned(), |s| format!("{:.4}", s.largest_excess)),
                shorten(&indices.show_path(&budget.path)),
            ]);
        }
        if errors.is_some() {
            text.note("± one standard error over blocks of images, the path fixed.");
        }
        if let Some(found) = schedules.budgets.iter().find_map(|b| b.stability) {
            text.note(format!(
                "Chosen again without each of {} folds of the images. Lost by choosing: the expected excess over the best path, on unseen images, because these images are a sample (± one standard error over folds). Paths vary by: the largest excess of such a path on all images.",
                found.folds
            ));
        }
        text.note("Costs of optimised paths on the images they were chosen on are biased low: see `ddpm table`.");
        if schedules
            .budgets
            .iter()
            .any(|b| b.scored_decoder != schedules.decoder)
        {
            text.note(NOTE_ON_ONE_STEP);
        }
        Ok(text.to_string())
    }
}

type ProfileResult<T> = std::result::Result<T, ddpm_profile::Error>;

/// See [`Request::frozen`].
struct Frozen {
    variances: StepVariances,
    decoder: Decoder,
    objective: Objective,
}

impl Frozen {
    /// The cost model on `curves`.
    fn price<'a>(&self, curves: &'a Curves) -> ProfileResult<CostModel<'a>> {
        CostModel::new(
            curves,
            self.variances.clone(),
            self.decoder.clone(),
            self.objective,
        )
    }
}

type Source = (PathBuf, Option<ElboProfile>, Curves, Origin);

fn from_profile(args: &Schedule, path: PathBuf, voice: Voice) -> Result<Source> {
    let chain = &args.chain;
    if chain.noise_schedule.is_some()
        || chain.alpha_bar.is_some()
        || chain.train_steps.is_some()
        || chain.zero_terminal_snr
    {
        return Err(Error::usage(
            "a profile knows its noise schedule: --noise-schedule, --alpha-bar, --train-steps and --zero-terminal-snr go with --mse",
        ));
    }
    let profile = read_profile_to_use(&path, voice)?;
    let curves = Curves::from_profile(&profile).in_file(&path)?;
    let origin = Origin::from(profile.provenance());
    Ok((path, Some(profile), curves, origin))
}

fn from_arrays(args: &Schedule, path: PathBuf, voice: Voice) -> Result<Source> {
    let profile = read_squared_errors(&path, Some(&args.chain), None, voice)?;
    let curves = Curves::from_profile(&profile).in_file(&path)?;
    let origin = Origin::from(profile.provenance());
    Ok((path, Some(profile), curves, origin))
}

fn from_curve(args: &Schedule, path: PathBuf) -> Result<Source> {
    let mse = read_column(&path, "mse")?;
    let schedule = noise_schedule(&args.chain, Some(mse.len()))?;
    let curves = Curves::from_mse(&schedule, &mse).in_file(&path)?;
    let origin = Origin {
        noise_schedule: schedule.name(),
        ..Origin::default()
    };
    Ok((path, None, curves, origin))
}

/// The schedules with other tools' timesteps. No longer a schedules file, so it does not pose as one.
pub(super) fn zero_based(schedules: &Schedules) -> Result<Value> {
    let mut value = serde_json::to_value(schedules).or_internal()?;
    if let Some(object) = value.as_object_mut() {
        for key in ["format", "version", "checksum"] {
            object.shift_remove(key);
        }
    }
    for (budget, shown) in schedules
        .budgets
        .iter()
        .enumerate()
        .map(|(i, b)| (i, &b.path))
    {
        value["budgets"][budget]["path"] = json!(Indices::ZeroBased.show_path(shown));
    }
    Ok(value)
}
