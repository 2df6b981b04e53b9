//! `ddpm plot`: figures of profiles and schedules.

use std::path::Path;

use ddpm_core::{DecoderKind, StartRule, VarianceKind};
use ddpm_schedule::{Budgets, Chosen, Schedules, results};

use super::table::{Pair, variances};
use crate::args::{Figure, Plot};
use crate::error::{Error, Result};
use crate::input::{
    about_schedules, gaussian_decoder, read_profile_to_use, read_schedules, steps_or,
    write_unless_in_the_way,
};
use crate::output::{self, Voice};
use crate::plot::{Chart, Form, MOST_SERIES, figures, png};
use crate::render::plural;

/// Runs the command.
pub(crate) fn run(args: &Plot, voice: Voice) -> Result<()> {
    let as_png = match args.out.extension().and_then(|e| e.to_str()) {
        Some("svg") => false,
        Some("png") => true,
        _ => {
            return Err(Error::usage(format!(
                "--out {}: expected a file name that ends in .svg or .png",
                args.out.display()
            )));
        }
    };
    check_flags(args)?;
    let form = form(args)?;
    let chart = match args.figure {
        Figure::BitsPerDim => bits_per_dim(args, voice)?,
        Figure::Variances => variances_against_steps(args, voice)?,
        Figure::Timesteps => timesteps(args)?,
        Figure::Errors => errors(args, voice)?,
        Figure::Terms => terms(args, voice)?,
    };
    if chart.series.len() > MOST_SERIES {
        return Err(Error::usage(format!(
            "{} curves in one figure; expected at most {MOST_SERIES}, which can be told apart in black and white: {}",
            chart.series.len(),
            match args.figure {
                Figure::Errors => "give fewer profiles",
                _ => "choose some with --steps K,..",
            }
        )));
    }
    let svg = chart.svg(form);
    let bytes = if as_png {
        png(&svg, form)?
    } else {
        svg.into_bytes()
    };
    write_unless_in_the_way(&args.out, &bytes, args.existing.force)?;
    if !args.json {
        let caption = match form {
            Form::Inches(_) => chart.caption(),
            _ => chart.title.to_owned(),
        };
        return output::print_text(&format!("{}: {caption}\n", args.out.display()));
    }
    let caption = chart.caption();
    let series = chart.series.into_iter().map(|s| results::PlotSeries {
        name: s.name,
        points: s.points,
    });
    output::print_json(&results::Plot {
        out: args.out.display().to_string(),
        title: chart.title.to_owned(),
        x: chart.x.0.to_owned(),
        y: chart.y.0.to_owned(),
        series: series.collect(),
        caption,
    })
}

/// A figure that stands alone, or one of a paper.
fn form(args: &Plot) -> Result<Form> {
    match args.width {
        None => Ok(Form::Alone),
        Some(inches) if Form::INCHES.contains(&inches) => Ok(Form::Inches(inches)),
        Some(inches) => Err(Error::usage(format!(
            "--width {inches}: expected {} to {} inches",
            Form::INCHES.start(),
            Form::INCHES.end()
        ))),
    }
}

/// Refuses flags that the figure would not look at.
fn check_flags(args: &Plot) -> Result<()> {
    let (bits, terms) = (&[Figure::BitsPerDim][..], &[Figure::Terms][..]);
    let scored = &[Figure::BitsPerDim, Figure::Variances][..];
    let with_steps = &[
        Figure::BitsPerDim,
        Figure::Variances,
        Figure::Timesteps,
        Figure::Terms,
    ][..];
    let (width, first) = (args.decoder_bin_width, args.decoder_first_bits);
    for (flag, given, figures) in [
        ("--steps", args.steps.is_some(), with_steps),
        ("--variance", args.variance.is_some(), bits),
        ("--decoder", args.decoder.is_some(), scored),
        ("--start", args.start.is_some(), bits),
        ("--decoder-bin-width", width.is_some(), terms),
        ("--decoder-first-bits", first.is_some(), terms),
    ] {
        if given && !figures.contains(&args.figure) {
            let names: Vec<String> = figures.iter().map(Figure::to_string).collect();
            return Err(Error::usage(format!(
                "{flag} goes with {}; the figure is {}",
                names.join(", "),
                args.figure
            )));
        }
    }
    Ok(())
}

/// As many files as the figure takes.
fn files<'a, const N: usize>(args: &'a Plot, names: &str) -> Result<[&'a Path; N]> {
    let files: Vec<&Path> = args.files.iter().map(|f| f.as_path()).collect();
    files.try_into().map_err(|files: Vec<_>| {
        Error::usage(format!(
            "{} is drawn from {names}: expected {}, found {}",
            args.figure,
            plural(N as u64, "file"),
            files.len()
        ))
    })
}

fn bits_per_dim(args: &Plot, voice: Voice) -> Result<Chart> {
    let files = files(args, "P_train P_test")?;
    let pair = Pair::read(files, args.steps.as_deref(), voice)?;
    let learned = pair.train.layout().learned() && pair.test.layout().learned();
    let variance = args
        .variance
        .unwrap_or_else(|| VarianceKind::of_network(learned));
    let start = args.start.unwrap_or(StartRule::Full);
    let rows = pair.rows(&[variance], None, args.decoder, start)?;
    Ok(figures::bits_per_dim(
        &pair.train,
        &pair.test,
        &rows,
        variance,
    ))
}

fn variances_against_steps(args: &Plot, voice: Voice) -> Result<Chart> {
    let files = files(args, "P_train P_test")?;
    let pair = Pair::read(files, args.steps.as_deref(), voice)?;
    let kinds = variances(&pair.train, &pair.test);
    // One decoder, so that the curves differ in nothing but the kernels of the steps.
    let has_columns = pair.train.layout().has_decoder() && pair.test.layout().has_decoder();
    let usual = if has_columns {
        DecoderKind::Optimal
    } else {
        DecoderKind::Gaussian
    };
    let decoder = args.decoder.unwrap_or(usual);
    let rows = pair.rows(&kinds, None, Some(decoder), StartRule::Full)?;
    Ok(figures::variances(&pair.train, &pair.test, &rows, &kinds))
}

/// What `--steps` asks for of a schedules file.
fn chosen<'a>(args: &Plot, schedules: &'a Schedules, file: &Path) -> Result<Vec<&'a Chosen>> {
    let (steps, most) = (args.steps.as_deref(), schedules.train_steps());
    let chosen = schedules.select(&steps_or(steps, most, Budgets::All)?);
    chosen.map_err(|e| about_schedules(e, file))
}

fn timesteps(args: &Plot) -> Result<Chart> {
    let [file] = files(args, "S.json")?;
    let schedules = read_schedules(file)?;
    let wanted = chosen(args, &schedules, file)?;
    Ok(figures::timesteps(&schedules, &wanted))
}

fn errors(args: &Plot, voice: Voice) -> Result<Chart> {
    let profiles = args
        .files
        .iter()
        .map(|file| read_profile_to_use(file, voice))
        .collect::<Result<Vec<_>>>()?;
    let files = args.files.iter().map(|file| file.as_path());
    figures::errors(&files.zip(&profiles).collect::<Vec<_>>())
}

fn terms(args: &Plot, voice: Voice) -> Result<Chart> {
    let [schedules_file, profile_file] = files(args, "S.json P")?;
    let schedules = read_schedules(schedules_file)?;
    let profile = read_profile_to_use(profile_file, voice)?;
    let wanted = chosen(args, &schedules, schedules_file)?;
    let gaussian = gaussian_decoder(
        args.decoder_bin_width,
        args.decoder_first_bits,
        schedules.scoring.decoder,
    )?;
    figures::terms(&schedules, &wanted, (profile_file, &profile), gaussian)
}
