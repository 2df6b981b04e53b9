//! `ddpm table`: the paper's Table 3, chosen on one profile and scored on another.

use std::path::{Path, PathBuf};

use ddpm_core::{DecoderKind, MeanKind, NetworkId, Objective, StartRule, VarianceKind};
use ddpm_profile::{ElboProfile, table3};
use ddpm_schedule::Budgets;
use ddpm_schedule::results::{self, ScoredImages, TableRow, best, stride_in_words};

use crate::args::Table;
use crate::error::{Advice, Error, Located, Result};
use crate::input::{read_profile_to_use, steps_or, warn_of_few_images};
use crate::output::{self, Voice};
use crate::render::{
    Indices, NOTE_ON_ONE_STEP, TextTable, chain_of, clip, images_of, mark_of_decoder,
    note_on_density, note_on_interpolation, note_without_errors, or_dash, with_error,
};

/// Two profiles, and the budgets to score with them.
pub(super) struct Pair {
    pub(super) train: ElboProfile,
    pub(super) test: ElboProfile,
    steps: Vec<usize>,
    pub(super) names: String,
    train_file: PathBuf,
    voice: Voice,
}

impl Pair {
    pub(super) fn read(
        [train_file, test_file]: [&Path; 2],
        steps: Option<&str>,
        voice: Voice,
    ) -> Result<Self> {
        let train = read_profile_to_use(train_file, voice)?;
        let test = read_profile_to_use(test_file, voice)?;
        let most = train.schedule().train_steps();
        let budgets = steps_or(steps, most, Budgets::of_the_paper(most))?;
        Ok(Self {
            train,
            test,
            steps: budgets.wanted(most).or_internal()?,
            names: format!("{} + {}", train_file.display(), test_file.display()),
            train_file: train_file.to_owned(),
            voice,
        })
    }

    pub(super) fn rows(
        &self,
        variances: &[VarianceKind],
        mean: Option<MeanKind>,
        decoder: Option<DecoderKind>,
        start: StartRule,
    ) -> Result<Vec<TableRow>> {
        refuse_no_decoder(decoder)?;
        let (train, test) = (&self.train, &self.test);
        let rows = table3(train, test, &self.steps, variances, mean, decoder, start)
            .map_err(|error| Error::Input(format!("{}: {error}", self.names)))?;
        if rows.iter().any(|row| row.mean == MeanKind::Calibrated) {
            warn_of_few_images(&self.train_file, train, MeanKind::Calibrated, self.voice);
        }
        Ok(rows)
    }

    /// What to do where the two profiles do not go together.
    pub(super) fn advice(&self) -> &'static str {
        match self.train.provenance().model.network {
            NetworkId::Unknown => {
                "make both by `ddpm profile --import` of recordings of the same network under the same conventions"
            }
            _ => "make both by `ddpm profile` with the same checkpoint and flags, but for --split",
        }
    }
}

/// Refuses the decoder that has no term.
pub(super) fn refuse_no_decoder(decoder: Option<DecoderKind>) -> Result<()> {
    if decoder == Some(DecoderKind::None) {
        let why = "--decoder none: expected a decoder that has a term; without one the step onto the data is free, and even paths have another than optimal ones";
        return Err(Error::usage(why).advised("leave --decoder out"));
    }
    Ok(())
}

/// Runs the command.
pub(crate) fn run(args: &Table, voice: Voice) -> Result<()> {
    let test = args.test.as_ref().ok_or_else(|| {
        Error::usage("expected a second profile, P_test, or a path to score, --path PATH")
    })?;
    let pair = Pair::read([&args.train, test], args.steps.as_deref(), voice)?;
    let (train, test) = (&pair.train, &pair.test);
    let variances = variances_of(args, &pair, voice)?;
    let rows = pair
        .rows(&variances, args.mean, args.decoder, args.start)
        .advised(pair.advice())?;
    if args.json {
        let indices = Indices::from_flag(args.zero_based);
        output::print_json(&result(train, test, rows, indices))
    } else {
        let [text, differences] = tables(train, test, &rows, &pair.steps, &variances);
        output::print_text(&format!("{text}{differences}"))
    }
}

/// The variances to score, and what has to be said of these profiles.
pub(super) fn variances_of(args: &Table, pair: &Pair, voice: Voice) -> Result<Vec<VarianceKind>> {
    let (train, test) = (&pair.train, &pair.test);
    if train.provenance().data_sha256 == test.provenance().data_sha256 {
        voice.warn(
            "both profiles are of the same images: numbers of optimised paths are biased low",
        );
    }
    let variances = if args.variance.is_empty() {
        variances(train, test)
    } else {
        args.variance.clone()
    };
    check_mean(args.mean, &variances, voice)?;
    Ok(variances)
}

/// A mean that was asked for is not silently left out.
fn check_mean(mean: Option<MeanKind>, variances: &[VarianceKind], voice: Voice) -> Result<()> {
    let Some(mean) = mean else { return Ok(()) };
    let others = variances.iter().filter(|v| !mean.goes_with(**v));
    let without: Vec<&str> = others.map(|variance| variance.name()).collect();
    if without.is_empty() {
        return Ok(());
    }
    let names = without.join(", ");
    if without.len() == variances.len() {
        let expected =
            format!("expected a variance that {mean} goes with, such as analytic, found {names}");
        return Err(Error::flag("--mean", expected));
    }
    voice.warn(format_args!(
        "--mean {mean} does not go with {names}: these rows have the network's own"
    ));
    Ok(())
}

/// All variances that both profiles can serve.
pub(crate) fn variances(train: &ElboProfile, test: &ElboProfile) -> Vec<VarianceKind> {
    let served = test.variances();
    let mut variances = train.variances();
    variances.retain(|v| served.contains(v));
    variances
}

pub(super) fn result(
    train: &ElboProfile,
    test: &ElboProfile,
    mut rows: Vec<TableRow>,
    indices: Indices,
) -> results::Table {
    for row in &mut rows {
        row.path = indices.show_path(&row.path);
    }
    let images = |profile: &ElboProfile| {
        let p = profile.provenance();
        ScoredImages {
            data_name: p.data_name.clone(),
            split: p.split.clone(),
            stand_in: p.stand_in,
            images: profile.images(),
            timesteps: profile.layout().timesteps().len(),
        }
    };
    let model = &train.provenance().model;
    results::Table {
        train_steps: model.train_steps,
        clip_denoised: model.clip_denoised,
        chosen_on: images(train),
        scored_on: images(test),
        rows,
    }
}

/// The table, and the differences to the optimal schedules.
pub(crate) fn tables(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    steps: &[usize],
    variances: &[VarianceKind],
) -> [TextTable; 2] {
    let p = test.provenance();
    let budgets: String = steps.iter().map(|k| format!(" | K={k}:")).collect();
    let heads = format!("variance | decoder | stride{budgets}");
    let evaluated = |profile: &ElboProfile| profile.layout().timesteps().len();
    let mut text = TextTable::new(&format!("{heads} | all T={}:", p.model.train_steps))
        .title(format!(
            "Bits/dim with prior, {} ({})",
            clip(Some(p.model.clip_denoised)),
            chain_of(p)
        ))
        .title(format!(
            "Scored on {}, {} timesteps evaluated",
            images_of(test),
            evaluated(test)
        ))
        .title(format!(
            "Paths, measured variances and means, and optimal decoders chosen on {}, {} timesteps evaluated",
            images_of(train),
            evaluated(train)
        ));
    let mut differences = TextTable::new(&heads)
        .title("Optimal minus the other stride, paired over blocks of images");
    let best = best(rows);
    for (i, &variance) in variances.iter().enumerate() {
        if i > 0 {
            text.gap();
        }
        let of = |stride: &str| -> Vec<&TableRow> {
            rows.iter()
                .filter(|row| row.variance == variance && row.stride == stride)
                .collect()
        };
        let best_of = |stride: &str| -> Vec<bool> {
            let of = |row: &TableRow| row.variance == variance && row.stride == stride;
            let found = rows.iter().zip(&best).filter(|(row, _)| of(row));
            found.map(|(_, best)| *best).collect()
        };
        let cell = |row: &TableRow| with_error(row.bpd, Some(row.standard_error));
        let full = of("all").first().copied().map(cell);
        for stride in ["even", "quadratic", "dp", "dp-free"] {
            let found = of(stride);
            let Some(first) = found.first() else { continue };
            let words = stride_in_words(stride).to_owned();
            let names = [first.kernel(), first.decoder.to_string(), words];
            let cells = found
                .iter()
                .map(|row| cell(row) + mark_of_decoder(row.scored_decoder == row.decoder));
            // The full chain is the same for every stride.
            let last = full.clone().filter(|_| stride == "even");
            text.row(
                names
                    .clone()
                    .into_iter()
                    .chain(cells)
                    .chain([last.unwrap_or_default()]),
            );
            text.bold([false; 3].into_iter().chain(best_of(stride)));
            if stride != "dp" {
                let cells = found.iter().map(|row| {
                    let difference = row.dp_minus_this;
                    or_dash(difference.map(|d| with_error(d.bpd, Some(d.standard_error))))
                });
                differences.row(names.into_iter().chain(cells));
            }
        }
    }
    notes(&mut text, test, rows);
    text.note("");
    [text, differences]
}

/// What is said beneath every table of rows.
pub(super) fn notes(text: &mut TextTable, test: &ElboProfile, rows: &[TableRow]) {
    text.note(note_without_errors(test).unwrap_or(
        "± one standard error over blocks of the scored images (jackknife), of differences paired on them.",
    ));
    text.notes(note_on_interpolation(test));
    let data = Some(test.provenance());
    let of_density = |row: &TableRow| note_on_density(Objective::Elbo, row.decoder, data);
    text.notes(rows.iter().find_map(of_density));
    if rows.iter().any(|row| row.mean == MeanKind::Calibrated) {
        text.note("+ mean: the mean of the steps is calibrated too.");
    }
    if rows.iter().any(|row| row.scored_decoder != row.decoder) {
        text.note(NOTE_ON_ONE_STEP);
    }
}
