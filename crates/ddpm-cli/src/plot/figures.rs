//! The figures of profiles and schedules, as charts.

use std::path::Path;

use ddpm_core::{MeanKind, Objective, VarianceKind, nats_to_bits};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::results::{PlotPoint, TableRow};
use ddpm_schedule::{Chosen, GaussianDecoder, Schedules, Scoring};

use super::axis::Scale;
use super::chart::{Chart, Series, Shape, point};
use crate::error::{Error, Located, Result};
use crate::render::{clip, images_of};

/// Bits/dim against K: the rows of this variance.
pub(crate) fn bits_per_dim(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    variance: VarianceKind,
) -> Chart {
    use Shape::{Both, Marks};
    let strides = [
        ("dp", "optimal", Both),
        ("dp-free", "optimal, free end", Both),
        ("quadratic", "quadratic", Both),
        ("even", "even", Both),
        ("all", "all timesteps", Marks),
    ];
    let of_variance: Vec<&TableRow> = rows.iter().filter(|r| r.variance == variance).collect();
    let series = strides
        .map(|(stride, name, shape)| {
            let rows = of_variance.iter().filter(|row| row.stride == stride);
            let points = rows.map(|row| scored(row));
            Series {
                name: name.to_owned(),
                shape,
                points: points.collect(),
            }
        })
        .into_iter()
        .filter(|series| !series.points.is_empty())
        .collect();
    let title = "Bits/dim against the number of steps";
    against_steps(title, train, test, &of_variance, Some(variance), series)
}

/// Bits/dim against K: the optimal paths of these variances.
pub(crate) fn variances(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    kinds: &[VarianceKind],
) -> Chart {
    let series = kinds.iter().map(|&variance| {
        let optimal = |row: &&TableRow| row.variance == variance && row.stride == "dp";
        let rows: Vec<&TableRow> = rows.iter().filter(optimal).collect();
        Series {
            name: rows.first().map_or_else(String::new, |row| row.kernel()),
            shape: Shape::Both,
            points: rows.into_iter().map(scored).collect(),
        }
    });
    let title = "Bits/dim of optimal schedules against the number of steps";
    let all: Vec<&TableRow> = rows.iter().collect();
    against_steps(title, train, test, &all, None, series.collect())
}

/// Bits/dim of rows against K; `variance`: that of all of them.
fn against_steps(
    title: &'static str,
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[&TableRow],
    variance: Option<VarianceKind>,
    series: Vec<Series>,
) -> Chart {
    let model = &train.provenance().model;
    let decoder = rows
        .first()
        .map_or(String::new(), |row| row.decoder.to_string());
    let mean = rows.first().map_or(MeanKind::Network, |row| row.mean);
    let of = |kind| Scoring::new(kind).with_mean(mean).kernel() + ", ";
    let variance = variance.map_or_else(String::new, of);
    Chart {
        title,
        subtitle: vec![
            format!(
                "T={} {}, {variance}{decoder} decoder, {}",
                model.train_steps,
                model.noise_schedule_text(),
                clip(Some(model.clip_denoised))
            ),
            format!("chosen on {}", images_of(train)),
            format!("scored on {}; bars: one standard error", images_of(test)),
        ],
        x: ("K, network evaluations (log scale)", Scale::Log2),
        y: ("negative ELBO [bits/dim]", Scale::Linear),
        series,
    }
}

/// A row as a point with its error bar.
fn scored(row: &TableRow) -> PlotPoint {
    let error = Some(row.standard_error).filter(|e| e.is_finite());
    PlotPoint {
        standard_error: error.unwrap_or(0.0),
        ..point(row.steps, row.bpd)
    }
}

/// The timesteps of these budgets.
pub(crate) fn timesteps(schedules: &Schedules, budgets: &[&Chosen]) -> Chart {
    let points = budgets.iter().flat_map(|budget| {
        let row = budget.steps() as f64;
        budget.nodes().iter().skip(1).map(move |&t| point(t, row))
    });
    Chart {
        title: "Timesteps of the optimal schedules",
        subtitle: vec![format!(
            "{}, start {}",
            conventions(schedules),
            schedules.scoring.start
        )],
        x: ("timestep t (0 is the clean image)", Scale::Linear),
        y: ("K, network evaluations (log scale)", Scale::Log2),
        series: vec![Series {
            name: String::new(),
            shape: Shape::Ticks,
            points: points.collect(),
        }],
    }
}

/// What schedules were chosen under.
fn conventions(schedules: &Schedules) -> String {
    format!(
        "T={} {}, {}, {} decoder, {}",
        schedules.train_steps(),
        schedules.noise_schedule.name_or_custom(),
        schedules.scoring.kernel(),
        schedules.scoring.decoder,
        clip(schedules.clip_denoised)
    )
}

/// m(t) of these profiles.
pub(crate) fn errors(profiles: &[(&Path, &ElboProfile)]) -> Result<Chart> {
    let mut series = Vec::new();
    let mut subtitle = Vec::new();
    for (file, profile) in profiles {
        let curves = Curves::from_profile(profile).in_file(file)?;
        let all = 1..=curves.train_steps();
        let measured = all.clone().filter(|&t| curves.evaluated()[t]);
        let at = |t: usize| point(t, curves.mse()[t]);
        let (all, measured): (Vec<_>, Vec<_>) = (all.map(at).collect(), measured.map(at).collect());
        let p = profile.provenance();
        subtitle.push(format!(
            "{}: {}, T={} {}, {}",
            p.split,
            images_of(profile),
            p.model.train_steps,
            p.model.noise_schedule_text(),
            clip(Some(p.model.clip_denoised))
        ));
        series.push(Series {
            name: p.split.clone(),
            shape: Shape::Line,
            points: all,
        });
        // So many marks would hide the line.
        if measured.len() <= 200 {
            series.push(Series {
                name: format!("{}, measured", p.split),
                shape: Shape::Marks,
                points: measured,
            });
        }
    }
    Ok(Chart {
        title: "Mean squared error of the predicted image",
        subtitle,
        x: ("timestep t (log scale)", Scale::Log10),
        y: (
            "m(t) per dimension, image in [-1, 1] (log scale)",
            Scale::Log10,
        ),
        series,
    })
}

/// The cost of every step of these budgets, on this profile. `gaussian` holds what a schedules file does not say of its decoder.
pub(crate) fn terms(
    schedules: &Schedules,
    budgets: &[&Chosen],
    (profile_file, profile): (&Path, &ElboProfile),
    gaussian: GaussianDecoder,
) -> Result<Chart> {
    let (expected, found) = (schedules.train_steps(), profile.schedule().train_steps());
    if found != expected {
        return Err(Error::file(
            profile_file,
            format!("expected T={expected}, as the schedules have, found T={found}"),
        ));
    }
    let curves = Curves::from_profile(profile).in_file(profile_file)?;
    let scoring = Scoring {
        gaussian,
        ..schedules.scoring.with_objective(Objective::Elbo)
    };
    let frozen = curves.freeze(&scoring).in_file(profile_file)?;
    let model = CostModel::new(&curves, frozen).in_file(profile_file)?;
    let series = budgets.iter().map(|budget| {
        let path = &budget.schedule.path;
        let terms = path.edges().zip(model.path_terms(path));
        Series {
            name: format!("K = {}", budget.steps()),
            shape: Shape::Both,
            points: terms
                .map(|((t, _), term)| point(t, nats_to_bits(term)))
                .collect(),
        }
    });
    let series: Vec<Series> = series.collect();
    // The density of continuous data can be above 1, and its term below 0.
    let positive = series.iter().flat_map(|s| &s.points).all(|p| p.y > 0.0);
    let y = if positive {
        ("cost of the step [bits/dim] (log scale)", Scale::Log10)
    } else {
        ("cost of the step [bits/dim]", Scale::Linear)
    };
    Ok(Chart {
        title: "Cost of each step along the optimal schedules",
        subtitle: vec![
            conventions(schedules),
            format!(
                "on {}; the leftmost point is the decoder",
                images_of(profile)
            ),
        ],
        x: (
            "timestep t that the step starts from (log scale)",
            Scale::Log10,
        ),
        y,
        series,
    })
}
