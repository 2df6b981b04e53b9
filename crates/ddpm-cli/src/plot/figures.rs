//! The figures of profiles and schedules, as charts.

use std::path::Path;

use ddpm_core::{Objective, VarianceKind, nats_to_bits};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::results::{PlotPoint, TableRow};
use ddpm_schedule::{Chosen, GaussianDecoder, Schedules, Scoring};

use super::axis::Scale;
use super::chart::{Chart, Series, Shape};
use crate::error::{Error, Located, Result};
use crate::render::{clip, images_of};

/// Bits/dim against K: the rows of this variance.
pub(crate) fn bits_per_dim(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    variance: VarianceKind,
) -> Chart {
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
                .filter(|row| row.stride == *stride && row.variance == variance)
                .map(|row| PlotPoint {
                    x: row.steps as f64,
                    y: row.bpd,
                    standard_error: if row.standard_error.is_finite() {
                        row.standard_error
                    } else {
                        0.0
                    },
                })
                .collect(),
        })
        .filter(|series| !series.points.is_empty())
        .collect();
    let model = &train.provenance().model;
    let decoder = rows
        .iter()
        .find(|row| row.variance == variance)
        .map_or(String::new(), |row| row.decoder.to_string());
    Chart {
        title: "Bits/dim against the number of steps".to_owned(),
        subtitle: vec![
            format!(
                "T={} {}, {variance} variance, {decoder} decoder, {}",
                model.train_steps,
                model.noise_schedule_text(),
                clip(Some(model.clip_denoised))
            ),
            format!("chosen on {}", images_of(train)),
            format!("scored on {}; bars: one standard error", images_of(test)),
        ],
        x: "K, network evaluations (log scale)".to_owned(),
        x_scale: Scale::Log2,
        y: "negative ELBO [bits/dim]".to_owned(),
        y_scale: Scale::Linear,
        series,
    }
}

/// The timesteps of these budgets.
pub(crate) fn timesteps(schedules: &Schedules, budgets: &[&Chosen]) -> Chart {
    let points = budgets
        .iter()
        .flat_map(|budget| {
            budget.nodes().iter().skip(1).map(|&t| PlotPoint {
                x: t as f64,
                y: budget.steps() as f64,
                standard_error: 0.0,
            })
        })
        .collect();
    Chart {
        title: "Timesteps of the optimal schedules".to_owned(),
        subtitle: vec![format!(
            "T={} {}, {} variance, {} decoder, {}, start {}",
            schedules.train_steps(),
            schedules.noise_schedule.name_or_custom(),
            schedules.scoring.variance,
            schedules.scoring.decoder,
            clip(schedules.clip_denoised),
            schedules.scoring.start
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
    }
}

/// m(t) of these profiles.
///
/// # Errors
/// A profile that no curves can be made of.
pub(crate) fn errors(profiles: &[(&Path, &ElboProfile)]) -> Result<Chart> {
    let mut series = Vec::new();
    let mut subtitle = Vec::new();
    for (file, profile) in profiles {
        let curves = Curves::from_profile(profile).in_file(file)?;
        let points = |measured: bool| {
            (1..=curves.train_steps())
                .filter(|&t| !measured || curves.evaluated()[t])
                .map(|t| PlotPoint {
                    x: t as f64,
                    y: curves.mse()[t],
                    standard_error: 0.0,
                })
                .collect::<Vec<_>>()
        };
        let measured = points(true);
        let p = profile.provenance();
        subtitle.push(format!(
            "{}: {}, T={} {}, {}",
            p.split,
            images_of(profile),
            p.model.train_steps,
            p.model.noise_schedule_text(),
            clip(Some(p.model.clip_denoised))
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

/// The cost of every step of these budgets, on this profile. `gaussian` holds what a schedules file does not say of its decoder.
///
/// # Errors
/// Files that do not belong together.
pub(crate) fn terms(
    schedules: &Schedules,
    budgets: &[&Chosen],
    (profile_file, profile): (&Path, &ElboProfile),
    gaussian: GaussianDecoder,
) -> Result<Chart> {
    if profile.schedule().train_steps() != schedules.train_steps() {
        return Err(Error::file(
            profile_file,
            format!(
                "expected T={}, as the schedules have, found T={}",
                schedules.train_steps(),
                profile.schedule().train_steps()
            ),
        ));
    }
    let curves = Curves::from_profile(profile).in_file(profile_file)?;
    let scoring = Scoring {
        gaussian,
        ..schedules.scoring.with_objective(Objective::Elbo)
    };
    let frozen = curves.freeze(&scoring).in_file(profile_file)?;
    let model = CostModel::new(&curves, frozen).in_file(profile_file)?;
    let series = budgets
        .iter()
        .map(|budget| {
            let path = &budget.schedule.path;
            let points = path
                .edges()
                .zip(model.path_terms(path))
                .map(|((t, _), term)| PlotPoint {
                    x: t as f64,
                    y: nats_to_bits(term),
                    standard_error: 0.0,
                })
                .collect();
            Series {
                name: format!("K = {}", budget.steps()),
                shape: Shape::Both,
                points,
            }
        })
        .collect::<Vec<Series>>();
    // The density of continuous data can be above 1, and its term below 0.
    let positive = series.iter().flat_map(|s| &s.points).all(|p| p.y > 0.0);
    let (y, y_scale) = if positive {
        ("cost of the step [bits/dim] (log scale)", Scale::Log10)
    } else {
        ("cost of the step [bits/dim]", Scale::Linear)
    };
    Ok(Chart {
        title: "Cost of each step along the optimal schedules".to_owned(),
        subtitle: vec![
            format!(
                "T={} {}, {} variance, {} decoder, {}",
                schedules.train_steps(),
                schedules.noise_schedule.name_or_custom(),
                scoring.variance,
                scoring.decoder,
                clip(schedules.clip_denoised)
            ),
            format!(
                "on {}; the leftmost point is the decoder",
                images_of(profile)
            ),
        ],
        x: "timestep t that the step starts from (log scale)".to_owned(),
        x_scale: Scale::Log10,
        y: y.to_owned(),
        y_scale,
        series,
    })
}
