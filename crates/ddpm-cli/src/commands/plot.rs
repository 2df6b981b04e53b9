//! `ddpm plot`: figures of profiles and schedules.

use std::path::Path as FilePath;

use ddpm_core::{Path, VarianceKind, nats_to_bits};
use ddpm_profile::{CostModel, Curves, DecoderKind, Objective, table3};
use serde_json::json;

use crate::args::{Figure, Plot};
use crate::error::{Error, Located, Result};
use crate::input::{
    Budgets, GaussianDecoder, decoder, default_variance, find_budget, read_profile_to_use,
    read_schedules, step_variances, write_file,
};
use crate::output::{self, Voice};
use crate::plot::{Chart, Point, Scale, Series, Shape, png};
use crate::render::{clip, images_of};

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
    let chart = match args.figure {
        Figure::BitsPerDim => bits_per_dim(args, voice)?,
        Figure::Timesteps => timesteps(args)?,
        Figure::Errors => errors(args, voice)?,
        Figure::Terms => terms(args, voice)?,
    };
    let svg = chart.svg();
    let bytes = match as_png {
        true => png(&svg)?,
        false => svg.into_bytes(),
    };
    write_file(&args.out, &bytes)?;
    if !args.json {
        return output::print_text(&format!("{}: {}\n", args.out.display(), chart.title));
    }
    let series: Vec<_> = chart
        .series
        .iter()
        .map(|s| {
            let points: Vec<_> = s
                .points
                .iter()
                .map(|p| json!({"x": p.x, "y": p.y, "stderr": p.error}))
                .collect();
            json!({"name": s.name, "points": points})
        })
        .collect();
    output::print_json(&json!({
        "out": args.out.display().to_string(),
        "title": chart.title,
        "x": chart.x,
        "y": chart.y,
        "series": series,
    }))
}

/// As many files as the figure takes.
fn files<'a, const N: usize>(args: &'a Plot, names: &str) -> Result<[&'a FilePath; N]> {
    let files: Vec<&FilePath> = args.files.iter().map(|f| f.as_path()).collect();
    files.try_into().map_err(|files: Vec<_>| {
        Error::usage(format!(
            "this figure is drawn from {names}; expected {N} files, found {}",
            files.len()
        ))
    })
}

fn bits_per_dim(args: &Plot, voice: Voice) -> Result<Chart> {
    let [train_file, test_file] = files(args, "P_train P_test")?;
    let train = read_profile_to_use(train_file, voice)?;
    let test = read_profile_to_use(test_file, voice)?;
    let train_steps = train.schedule().train_steps();
    let steps = match &args.steps {
        Some(text) => Budgets::parse("--steps", text, train_steps)?,
        None => Budgets::of_the_paper(train_steps),
    }
    .wanted(train_steps);
    let learned = train.layout().learned() && test.layout().learned();
    let variance = args
        .variance
        .map_or_else(|| default_variance(learned), VarianceKind::from);
    let rows = table3(
        &train,
        &test,
        &steps,
        &[variance],
        args.decoder.map(DecoderKind::from),
        args.start.into(),
    )
    .map_err(|error| {
        Error::Input(format!(
            "{} + {}: {error}",
            train_file.display(),
            test_file.display()
        ))
    })?;
    let names = [
        ("dp", "optimal"),
        ("dp-free", "optimal, free end"),
        ("quadratic", "quadratic"),
        ("even", "even"),
        ("all", "all timesteps"),
    ];
    let series = names
        .iter()
        .map(|(stride, name)| Series {
            name: (*name).to_owned(),
            shape: if *stride == "all" {
                Shape::Marks
            } else {
                Shape::Both
            },
            points: rows
                .iter()
                .filter(|row| row.stride == *stride)
                .map(|row| Point {
                    x: row.steps as f64,
                    y: row.bpd,
                    error: if row.standard_error.is_finite() {
                        row.standard_error
                    } else {
                        0.0
                    },
                })
                .collect(),
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let p = train.provenance();
    let decoder = rows
        .first()
        .map_or(String::new(), |row| row.decoder.to_string());
    Ok(Chart {
        title: "Bits/dim against the number of steps".to_owned(),
        subtitle: vec![
            format!(
                "T={} {}, {variance} variance, {decoder} decoder, {}",
                p.train_steps,
                p.noise_schedule,
                clip(Some(p.clip_denoised))
            ),
            format!("chosen on {}", images_of(&train)),
            format!("scored on {}; bars: one standard error", images_of(&test)),
        ],
        x: "K, network evaluations (log scale)".to_owned(),
        x_scale: Scale::Log2,
        y: "negative ELBO [bits/dim]".to_owned(),
        y_scale: Scale::Linear,
        series,
    })
}

fn timesteps(args: &Plot) -> Result<Chart> {
    let [file] = files(args, "S.json")?;
    let schedules = read_schedules(file)?;
    let budgets = match &args.steps {
        Some(text) => Budgets::parse("--steps", text, schedules.train_steps)?,
        None => Budgets::All,
    };
    let wanted: Vec<_> = match &budgets {
        Budgets::All => schedules.budgets.iter().collect(),
        Budgets::List(list) => list
            .iter()
            .map(|&k| find_budget(&schedules, k, file))
            .collect::<Result<_>>()?,
    };
    let points = wanted
        .iter()
        .flat_map(|budget| {
            budget.path.iter().skip(1).map(|&t| Point {
                x: t as f64,
                y: budget.steps as f64,
                error: 0.0,
            })
        })
        .collect();
    Ok(Chart {
        title: "Timesteps of the optimal schedules".to_owned(),
        subtitle: vec![format!(
            "T={} {}, {} variance, {} decoder, {}, start {}",
            schedules.train_steps,
            schedules.noise_schedule,
            schedules.variance,
            schedules.decoder,
            clip(schedules.clip_denoised),
            schedules.start
        )],
        x: "timestep t (0 is the clean image)".to_owned(),
        x_scale: Scale::Linear,
        y: "K, network evaluations (log scale)".to_owned(),
        y_scale: Scale::Log2,
        series: vec![Series {
            name: String::new(),
            shape: Shape::Ticks,
            points,
        }],
    })
}

fn errors(args: &Plot, voice: Voice) -> Result<Chart> {
    let mut series = Vec::new();
    let mut subtitle = Vec::new();
    for file in &args.files {
        let profile = read_profile_to_use(file, voice)?;
        let curves = Curves::from_profile(&profile).in_file(file)?;
        let points = |measured: bool| {
            (1..=curves.train_steps())
                .filter(|&t| !measured || curves.evaluated()[t])
                .map(|t| Point {
                    x: t as f64,
                    y: curves.mse()[t],
                    error: 0.0,
                })
                .collect::<Vec<_>>()
        };
        let measured = points(true);
        let p = profile.provenance();
        subtitle.push(format!(
            "{}: {}, T={} {}, {}",
            p.split,
            images_of(&profile),
            p.train_steps,
            p.noise_schedule,
            clip(Some(p.clip_denoised))
        ));
        let name = p.split.clone();
        series.push(Series {
            name: name.clone(),
            shape: Shape::Line,
            points: points(false),
        });
        // So many marks would hide the line.
        if measured.len() <= 200 {
            series.push(Series {
                name: format!("{name}, measured"),
                shape: Shape::Marks,
                points: measured,
            });
        }
    }
    Ok(Chart {
        title: "Mean squared error of the predicted image".to_owned(),
        subtitle,
        x: "timestep t (log scale)".to_owned(),
        x_scale: Scale::Log10,
        y: "m(t) per dimension, image in [-1, 1] (log scale)".to_owned(),
        y_scale: Scale::Log10,
        series,
    })
}

fn terms(args: &Plot, voice: Voice) -> Result<Chart> {
    let [schedules_file, profile_file] = files(args, "S.json P")?;
    let schedules = read_schedules(schedules_file)?;
    let profile = read_profile_to_use(profile_file, voice)?;
    if profile.schedule().train_steps() != schedules.train_steps {
        return Err(Error::file(
            profile_file,
            format!(
                "expected T={}, as the schedules have, found T={}",
                schedules.train_steps,
                profile.schedule().train_steps()
            ),
        ));
    }
    let curves = Curves::from_profile(&profile).in_file(profile_file)?;
    let variance: VarianceKind = schedules.variance.parse().in_file(schedules_file)?;
    let kind: DecoderKind = schedules.decoder.parse().in_file(schedules_file)?;
    let model = decoder(kind, &curves, GaussianDecoder::default())
        .and_then(|decoder| {
            CostModel::new(
                &curves,
                step_variances(variance, &curves),
                decoder,
                Objective::Elbo,
            )
        })
        .in_file(profile_file)?;
    let steps = match &args.steps {
        Some(text) => Budgets::parse("--steps", text, schedules.train_steps)?,
        None => Budgets::All,
    };
    let wanted: Vec<_> = match &steps {
        Budgets::All => schedules.budgets.iter().collect(),
        Budgets::List(list) => list
            .iter()
            .map(|&k| find_budget(&schedules, k, schedules_file))
            .collect::<Result<_>>()?,
    };
    let series = wanted
        .iter()
        .map(|budget| {
            let path =
                Path::new(budget.path.clone(), schedules.train_steps).in_file(schedules_file)?;
            let points = path
                .edges()
                .zip(model.path_terms(&path))
                .map(|((t, _), term)| Point {
                    x: t as f64,
                    y: nats_to_bits(term),
                    error: 0.0,
                })
                .collect();
            Ok(Series {
                name: format!("K = {}", budget.steps),
                shape: Shape::Both,
                points,
            })
        })
        .collect::<Result<Vec<Series>>>()?;
    // The density of continuous data can be above 1, and its term below 0.
    let positive = series.iter().flat_map(|s| &s.points).all(|p| p.y > 0.0);
    let (y, y_scale) = match positive {
        true => ("cost of the step [bits/dim] (log scale)", Scale::Log10),
        false => ("cost of the step [bits/dim]", Scale::Linear),
    };
    Ok(Chart {
        title: "Cost of each step along the optimal schedules".to_owned(),
        subtitle: vec![
            format!(
                "T={} {}, {variance} variance, {kind} decoder, {}",
                schedules.train_steps,
                schedules.noise_schedule,
                clip(schedules.clip_denoised)
            ),
            format!(
                "on {}; the leftmost point is the decoder",
                images_of(&profile)
            ),
        ],
        x: "timestep t that the step starts from (log scale)".to_owned(),
        x_scale: Scale::Log10,
        y: y.to_owned(),
        y_scale,
        series,
    })
}
