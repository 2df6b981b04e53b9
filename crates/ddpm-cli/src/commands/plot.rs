//! `ddpm plot`: figures of profiles and schedules.

use std::path::Path;

use ddpm_core::{StartRule, VarianceKind};
use ddpm_profile::table3;
use ddpm_schedule::{Budgets, Chosen, Schedules, results};

use crate::args::{Figure, Plot};
use crate::error::{Error, Located, Result};
use crate::input::{
    about_schedules, budgets_or_the_papers, gaussian_decoder, parse_budgets, read_profile_to_use,
    read_schedules, write_file,
};
use crate::output::{self, Voice};
use crate::plot::{Chart, MOST_SERIES, figures, png};
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
    let chart = match args.figure {
        Figure::BitsPerDim => bits_per_dim(args, voice)?,
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
    let svg = chart.svg();
    let bytes = match as_png {
        true => png(&svg)?,
        false => svg.into_bytes(),
    };
    write_file(&args.out, &bytes)?;
    if !args.json {
        return output::print_text(&format!("{}: {}\n", args.out.display(), chart.title));
    }
    let series = chart.series.into_iter().map(|s| results::PlotSeries {
        name: s.name,
        points: s.points,
    });
    output::print_json(&results::Plot {
        out: args.out.display().to_string(),
        title: chart.title,
        x: chart.x,
        y: chart.y,
        series: series.collect(),
    })
}

/// Refuses flags that the figure would not look at.
fn check_flags(args: &Plot) -> Result<()> {
    let (bits, terms) = (&[Figure::BitsPerDim][..], &[Figure::Terms][..]);
    let with_steps = &[Figure::BitsPerDim, Figure::Timesteps, Figure::Terms][..];
    for (flag, given, figures) in [
        ("--steps", args.steps.is_some(), with_steps),
        ("--variance", args.variance.is_some(), bits),
        ("--decoder", args.decoder.is_some(), bits),
        ("--start", args.start.is_some(), bits),
        (
            "--decoder-bin-width",
            args.decoder_bin_width.is_some(),
            terms,
        ),
        (
            "--decoder-first-bits",
            args.decoder_first_bits.is_some(),
            terms,
        ),
    ] {
        if given && !figures.contains(&args.figure) {
            return Err(Error::usage(format!(
                "{flag} goes with {}; the figure is {}",
                names(figures),
                names(&[args.figure])
            )));
        }
    }
    Ok(())
}

/// Figures as they are written on the command line.
fn names(figures: &[Figure]) -> String {
    let names: Vec<String> = figures
        .iter()
        .filter_map(clap::ValueEnum::to_possible_value)
        .map(|value| value.get_name().to_owned())
        .collect();
    names.join(", ")
}

/// As many files as the figure takes.
fn files<'a, const N: usize>(args: &'a Plot, names: &str) -> Result<[&'a Path; N]> {
    let files: Vec<&Path> = args.files.iter().map(|f| f.as_path()).collect();
    files.try_into().map_err(|files: Vec<_>| {
        Error::usage(format!(
            "{} is drawn from {names}: expected {}, found {}",
            args.figure.name(),
            plural(N as u64, "file"),
            files.len()
        ))
    })
}

fn bits_per_dim(args: &Plot, voice: Voice) -> Result<Chart> {
    let [train_file, test_file] = files(args, "P_train P_test")?;
    let train = read_profile_to_use(train_file, voice)?;
    let test = read_profile_to_use(test_file, voice)?;
    let train_steps = train.schedule().train_steps();
    let steps = budgets_or_the_papers(args.steps.as_deref(), train_steps)?
        .wanted(train_steps)
        .or_internal()?;
    let learned = train.layout().learned() && test.layout().learned();
    let variance = args
        .variance
        .unwrap_or_else(|| VarianceKind::of_network(learned));
    let rows = table3(
        &train,
        &test,
        &steps,
        &[variance],
        args.decoder,
        args.start.unwrap_or(StartRule::Full),
    )
    .map_err(|error| {
        Error::Input(format!(
            "{} + {}: {error}",
            train_file.display(),
            test_file.display()
        ))
    })?;
    Ok(figures::bits_per_dim(&train, &test, &rows, variance))
}

/// What `--steps` asks for of a schedules file.
fn chosen<'a>(args: &Plot, schedules: &'a Schedules, file: &Path) -> Result<Vec<&'a Chosen>> {
    let budgets = match &args.steps {
        Some(text) => parse_budgets("--steps", text, schedules.train_steps())?,
        None => Budgets::All,
    };
    let chosen = schedules.select(&budgets);
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
    let named: Vec<_> = args
        .files
        .iter()
        .map(|file| file.as_path())
        .zip(&profiles)
        .collect();
    figures::errors(&named)
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
