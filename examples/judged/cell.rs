//! One cell: every schedule of so many steps of one sampler, judged on common noise.

use ddpm::core::Sampler;
use ddpm::eval::distance::{Judged, halve, halving_rounds};
use ddpm::eval::squared_distances;
use ddpm::profile::Estimate;
use ddpm::schedule::Schedule;
use ndarray::s;
use serde_json::{Map, Value, json};

use crate::Outcome;
use crate::bed::{Bed, joined};

/// What is added to a choosing seed for the noise that `tuned` is chosen on: that of no sampling seed.
const TUNING: u64 = 10_000;

/// How far the samples of a schedule are from the data, and how far they end from the flow.
struct Found {
    judged: Judged,
    flow_rms: f64,
    path: Vec<usize>,
}

pub(crate) fn judge(bed: &mut Bed, sampler: Sampler, steps: usize) -> Outcome<Value> {
    let rivals = bed.rivals(sampler, steps)?;
    let mut judged_rivals = Vec::new();
    for (name, schedule) in &rivals {
        judged_rivals.push((name.clone(), judged(bed, schedule)?));
    }
    let mut runs: Vec<(String, Vec<Found>)> = Vec::new();
    for seed in bed.choosing_seeds.clone() {
        let mut chosen = bed.chosen(sampler, steps, seed)?;
        // The others have no family of their own.
        if sampler.schedules_of() == sampler {
            chosen.push(("tuned".to_owned(), tuned(bed, sampler, steps, seed)?));
        }
        for (name, schedule) in chosen {
            let found = judged(bed, &schedule)?;
            match runs.iter_mut().find(|(known, _)| *known == name) {
                Some((_, list)) => list.push(found),
                None => runs.push((name, vec![found])),
            }
        }
    }
    let alone = |set: &Found| -> Value {
        json!({"path": set.path, "distance": estimate(&set.judged.estimate()), "flow_rms": set.flow_rms})
    };
    let mut rows = Vec::new();
    for (name, list) in &runs {
        let mut entries = Vec::new();
        for set in list {
            let mut minus = Map::new();
            for (rival, other) in &judged_rivals {
                minus.insert(rival.clone(), estimate(&set.judged.minus(&other.judged)?));
            }
            let mut entry = alone(set);
            entry["minus"] = Value::Object(minus);
            entries.push(entry);
        }
        rows.push(json!({"schedule": name, "rival": false, "runs": entries}));
    }
    for (name, set) in &judged_rivals {
        rows.push(json!({"schedule": name, "rival": true, "runs": [alone(set)]}));
    }
    Ok(json!({"bed": bed.name, "sampler": sampler, "steps": steps, "rows": rows}))
}

fn estimate(found: &Estimate) -> Value {
    json!({"value": found.value, "standard_error": found.standard_error})
}

/// Samples of every sampling seed.
fn judged(bed: &mut Bed, schedule: &Schedule) -> Outcome<Found> {
    let (ends, followed) = bed.ends()?;
    let (mut sets, mut flow_rms) = (Vec::new(), 0.0);
    for (i, &seed) in bed.sampling_seeds.iter().enumerate() {
        let samples = bed.sample(schedule, seed, bed.samples)?;
        if i == 0 {
            let dims = samples.len() / bed.samples;
            let first: Vec<f32> = samples.iter().copied().take(followed * dims).collect();
            let squares = squared_distances(&first, &ends, dims);
            flow_rms = (squares.iter().sum::<f64>() / followed as f64).sqrt();
        }
        sets.push(bed.features(&samples)?);
    }
    Ok(Found {
        judged: bed.judge.judge(joined(&sets)?.view())?,
        flow_rms,
        path: schedule.path.nodes().to_vec(),
    })
}

/// What successive halving chooses, as `ddpm tune --coefficients fitted` does.
fn tuned(bed: &mut Bed, sampler: Sampler, steps: usize, seed: u64) -> Outcome<Schedule> {
    let candidates = bed.candidates(sampler, steps, seed)?;
    let bed = &*bed;
    let rounds = halving_rounds(candidates.len(), bed.samples);
    let mut failure = None;
    let found = halve(&bed.tuning, candidates.len(), &rounds, &mut |i, count| {
        // The first images of a seed are the same whatever their number.
        let features = bed
            .sample(&candidates[i], TUNING + seed, count)
            .and_then(|samples| bed.features(&samples));
        match features {
            Ok(features) => Ok(features.slice_move(s![..count, ..])),
            Err(error) => {
                failure = Some(error);
                Err(ddpm::eval::Error::Interrupted)
            }
        }
    });
    if let Some(error) = failure {
        return Err(error);
    }
    let last = found?.pop().ok_or("no round was held")?;
    Ok(candidates[last.standings[0].candidate].clone())
}
