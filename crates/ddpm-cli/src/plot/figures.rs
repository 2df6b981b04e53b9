//! The figures of profiles and schedules, as charts.

use std::path::Path;

use ddpm_core::{MeanKind, Objective, VarianceKind, nats_to_bits};
use ddpm_profile::{CostModel, Curves, ElboProfile};
use ddpm_schedule::results::{PlotPoint, TableRow, stride_in_words};
use ddpm_schedule::{Chosen, GaussianDecoder, Schedules, Scoring};

use super::axis::Scale;
use super::chart::{Chart, Series, Shape, point};
use super::look;
use crate::error::{Error, Located, Result};
use crate::render::{clip, images_of};

/// Bits/dim against K: the rows of this variance.
pub(crate) fn bits_per_dim(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    variance: VarianceKind,
) -> Chart {
    let of_variance: Vec<&TableRow> = rows.iter().filter(|r| r.variance == variance).collect();
    let curve = |stride: &str| {
        let rows = of_variance.iter().filter(|row| row.stride == stride);
        Series::new(
            stride_in_words(stride),
            Shape::Both,
            look::of_stride(stride),
        )
        .of(rows.map(|row| scored(row)))
    };
    let mut series: Vec<Series> = ["dp", "dp-free", "quadratic", "even"].map(curve).into();
    series.extend(of_variance.iter().map(|row| all(row, "")).next_back());
    series.retain(|series| !series.points.is_empty());
    let title = "Bits/dim against the number of steps";
    against_steps(title, train, test, &of_variance, Some(variance), series)
}

/// Every timestep, as the line that few steps are compared with.
fn all(row: &TableRow, of: &str) -> Series {
    let steps = row.steps;
    Series::new(stride_in_words("all"), Shape::Baseline, look::ALL)
        .of([scored(row)])
        .labelled(format!("all {steps} timesteps{of}"))
}

/// Bits/dim against K: the optimal paths of these variances.
pub(crate) fn variances(
    train: &ElboProfile,
    test: &ElboProfile,
    rows: &[TableRow],
    kinds: &[VarianceKind],
) -> Chart {
    let mut series: Vec<Series> = kinds
        .iter()
        .map(|&variance| {
            let optimal = |row: &&TableRow| row.variance == variance && row.stride == "dp";
            let rows: Vec<&TableRow> = rows.iter().filter(optimal).collect();
            let name = rows.first().map_or_else(String::new, |row| row.kernel());
            Series::new(name, Shape::Both, look::of_variance(variance))
                .of(rows.into_iter().map(scored))
        })
        .collect();
    // What the network itself reaches with every timestep.
    let learned = train.layout().learned() && test.layout().learned();
    let usual = VarianceKind::of_network(learned);
    let of_all = |row: &&TableRow| row.stride == "all" && row.variance == usual;
    let found = rows.iter().find(of_all);
    series.extend(found.map(|row| all(row, &format!(", {}", row.kernel()))));
    let title = "Bits/dim of optimal schedules against the number of steps";
    let rows: Vec<&TableRow> = rows.iter().collect();
    against_steps(title, train, test, &rows, None, series)
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
    let kernel = variance.map_or_else(String::new, of);
    Chart {
        title,
        subtitle: vec![
            format!(
                "T={} {}, {kernel}{decoder} decoder, {}",
                model.train_steps,
                model.noise_schedule_text(),
                clip(Some(model.clip_denoised))
            ),
            format!("chosen on {}", images_of(train)),
            format!("scored on {}; bands: ± one standard error", images_of(test)),
        ],
        differs: match kernel.is_empty() {
            true => {
                "Curves differ in the variance of the steps alone: each is the optimal schedule under it, with one decoder. Their errors are those of the same images; differences are known better."
            }
            false => {
                "Curves differ in the stride alone. Their errors are those of the same images; paired differences are known better."
            }
        },
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
        differs: "Rows differ in the number of steps alone.",
        x: ("timestep t (0 is the clean image)", Scale::Linear),
        y: ("K, network evaluations (log scale)", Scale::Log2),
        series: vec![Series::new("", Shape::Ticks, look::of_stride("dp")).of(points)],
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
    for (i, (file, profile)) in profiles.iter().enumerate() {
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
        let look = look::nth(i);
        series.push(Series::new(&p.split, Shape::Line, look).of(all));
        // So many marks would hide the line.
        if measured.len() <= 200 {
            let marks = Series::new(format!("{}, measured", p.split), Shape::Marks, look);
            // They have the colour of their line, which has a name.
            series.push(marks.of(measured).labelled(""));
        }
    }
    if series.iter().any(|series| series.shape == Shape::Marks) {
        subtitle.push("marks: timesteps that were measured; lines: what lies between".to_owned());
    }
    Ok(Chart {
        title: "Mean squared error of the predicted image",
        subtitle,
        differs: "Curves differ in the images, or the network, that was measured.",
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
    let series = budgets.iter().enumerate().map(|(i, budget)| {
        let path = &budget.schedule.path;
        let terms = path.edges().zip(model.path_terms(path));
        let name = format!("K = {}", budget.steps());
        Series::new(name, Shape::Both, look::nth(i))
            .of(terms.map(|((t, _), term)| point(t, nats_to_bits(term))))
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
        differs: "Curves differ in the number of steps alone.",
        x: (
            "timestep t that the step starts from (log scale)",
            Scale::Log10,
        ),
        y,
        series,
    })
}
