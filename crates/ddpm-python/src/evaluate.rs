//! What a schedule is worth: bits per dimension, samples, distances; and any table of costs.

use ddpm_core::Sampler;
use ddpm_data::Split;
use ddpm_dp::{CostTable, SolveOptions};
use ddpm_eval::distance::{FeatureStatistics, FrechetReference, frechet_jackknife};
use ddpm_eval::{BitsPerDimPlan, Noise, SamplingPlan};
use numpy::{IntoPyArray, PyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::{PyAny, PyDict};

use crate::arrays::{matrix, singles};
use crate::calls::{detached, run};
use crate::errors::{argument, invalid};
use crate::model::Denoiser;
use crate::names::{maybe, named};
use crate::profile::image_set;
use crate::schedules::Schedules;

/// A schedule of a file may be of another network's clock.
fn check_process(model: &Denoiser, schedules: &Schedules) -> PyResult<()> {
    let (own, other) = (&model.process.inner, &schedules.inner.noise_schedule);
    let own_clock = own.noise_schedule();
    if own_clock.is_close(other) {
        return Ok(());
    }
    let problem = format_args!(
        "expected one of the network's process ({own}), found one of another ({}, {} nodes)",
        other.name_or_custom(),
        other.train_steps()
    );
    Err(argument("plan", problem))
}

#[pyfunction]
#[pyo3(signature = (model, schedules, steps, images, *, labels, seed, split, progress))]
pub(crate) fn bits_per_dim<'py>(
    py: Python<'py>,
    model: &Denoiser,
    schedules: &Schedules,
    steps: usize,
    images: &Bound<'py, PyAny>,
    labels: Option<Vec<usize>>,
    seed: u64,
    split: &str,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyDict>> {
    check_process(model, schedules)?;
    let split: Split = named("split", split)?;
    let set = image_set(py, images, labels, split, model)?;
    let (_, chosen) = schedules.chosen(steps)?;
    let mut plan = BitsPerDimPlan::new(chosen.schedule.clone(), (0..set.len()).collect());
    plan.noise = Noise::Seed { seed, split };
    plan.clip_denoised = schedules.inner.clip_denoised.unwrap_or(true);
    plan.batch = model.batch;
    let found = run(py, model, progress, |network, progress| {
        ddpm_eval::bits_per_dim(network, &set, &plan, progress)
    })?;
    let all = PyDict::new(py);
    all.set_item("nodes", found.terms.iter().map(|e| e.t).collect::<Vec<_>>())?;
    let terms = found.terms.iter().map(|e| e.bits_per_dim.clone());
    all.set_item("terms", terms.collect::<Vec<_>>())?;
    all.set_item("prior", found.prior.clone().into_pyarray(py))?;
    all.set_item("total", found.total.map(|total| total.into_pyarray(py)))?;
    Ok(all)
}

#[pyfunction]
#[pyo3(signature = (model, schedules, steps, *, count, seed, first, label, sampler, progress))]
pub(crate) fn sample<'py>(
    py: Python<'py>,
    model: &Denoiser,
    schedules: &Schedules,
    steps: usize,
    count: usize,
    seed: u64,
    first: usize,
    label: Option<usize>,
    sampler: Option<&str>,
    progress: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyArrayDyn<f32>>> {
    check_process(model, schedules)?;
    let (_, chosen) = schedules.chosen(steps)?;
    let mut schedule = chosen.schedule.clone();
    let asked: Option<Sampler> = maybe("sampler", sampler)?;
    if let Some(asked) = asked.filter(|asked| *asked != schedule.sampler) {
        let of = schedule.sampler;
        if of == Sampler::Ddpm || !asked.follows(of) {
            let problem = format_args!(
                "expected {of}, which the schedule was chosen for, or one that takes its schedules, found {asked}"
            );
            return Err(argument("sampler", problem));
        }
        schedule = schedule.for_sampler(asked);
    }
    let end = first
        .checked_add(count)
        .filter(|&end| end as u64 <= 1 << 56);
    let end = end.ok_or_else(|| argument("count", "expected indices below 2^56"))?;
    let mut plan = SamplingPlan::new(schedule, 0);
    plan.images = (first..end).collect();
    plan.seed = seed;
    plan.labels = model.labels(label, count)?;
    plan.clip_denoised = schedules.inner.clip_denoised.unwrap_or(true);
    plan.batch = model.batch;
    let samples = run(py, model, progress, |network, progress| {
        ddpm_eval::sample(network, &plan, progress)
    })?;
    Ok(samples.into_pyarray(py))
}

/// The Frechet distance of two sets of features, and its standard error.
#[pyfunction]
#[pyo3(signature = (a, b, blocks = 32))]
pub(crate) fn frechet(
    py: Python<'_>,
    a: &Bound<'_, PyAny>,
    b: &Bound<'_, PyAny>,
    blocks: usize,
) -> PyResult<(f64, f64)> {
    let features = |name: &str, value| {
        let found = singles(name, value)?;
        let axes = found.ndim();
        found.into_dimensionality::<ndarray::Ix2>().map_err(|_| {
            argument(
                name,
                format_args!("expected [images, features], found {axes} axes"),
            )
        })
    };
    let (a, b) = (features("features_a", a)?, features("features_b", b)?);
    let found = detached(py, || -> ddpm_eval::Result<_> {
        let reference = FrechetReference::new(&FeatureStatistics::from_features(b.view())?)?;
        frechet_jackknife(a.view(), &reference, blocks)
    })?;
    let found = found.map_err(invalid)?;
    Ok((found.value, found.standard_error))
}

/// The cheapest path of every number of steps over a table of costs `[T + 1, T + 1]`: (K, cost, nodes).
#[pyfunction]
pub(crate) fn solve(
    py: Python<'_>,
    costs: &Bound<'_, PyAny>,
    steps: Option<Vec<usize>>,
) -> PyResult<Vec<(usize, f64, Vec<usize>)>> {
    let square = matrix("costs", costs)?;
    let found = detached(py, || -> ddpm_dp::Result<_> {
        let table = CostTable::from_square(square.view())?;
        let end = table.train_steps();
        let solution = ddpm_dp::solve(&table, &SolveOptions::default())?;
        let wanted = steps.unwrap_or_else(|| (1..=end).collect());
        let path = |k: usize| Some((k, solution.cost(k, end), solution.path(&table, k, end)?));
        let reachable = |&k: &usize| (1..=end).contains(&k);
        Ok(wanted
            .into_iter()
            .filter(reachable)
            .filter_map(path)
            .collect())
    })?;
    found.map_err(|error| argument("costs", error))
}
