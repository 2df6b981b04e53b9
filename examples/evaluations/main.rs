//! How much is lost by choosing schedules on few evaluations. `cargo xtask evaluations` runs it.
//!
//! `reduce OUT.safetensors PROFILE..`: profiles of every timestep (shards of one run, blocks of equal size), learned variance, to a
//! reference of sixteen blocks.
//! `picture LOSSES.json OUT.svg`: draws them.
//! `layouts REFERENCE.safetensors OUT.md PROFILE..`: compares ways to spread the same number of evaluations over images and timesteps.
//! `larger LOSSES.json PROFILE REFERENCE CHOSEN.json CHECKPOINT DATA SEED:IMAGES..`: scores what `curve` chose for few steps on a thousand
//! images that these runs have not seen, measured into PROFILE, and adds that to LOSSES.json.
//! `curve REFERENCE.safetensors CHOSEN.json LOSSES.json PROFILE..`: chooses on the first blocks of each profile and scores on the reference.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

mod combined;
mod larger;
mod layouts;
#[path = "../../crates/ddpm-profile/tests/it/evaluations/loss.rs"]
mod loss;
mod picture;
#[path = "../../crates/ddpm-profile/tests/it/evaluations/reference.rs"]
mod reference;
mod smoother;

use std::error::Error;
use std::fs;

use ddpm_core::{NoiseSchedule, NoiseScheduleName, TimePath, VarianceKind};
use ddpm_profile::{CostModel, Curves, ElboProfile, choose};
use ddpm_schedule::{Budgets, Scoring};
use loss::{BUDGETS, Halves};
use reference::{LAST_START, NODES, Reference, nodes};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde_json::{Map, Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Blocks of a reference.
const BLOCKS: usize = 16;

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match &words[..] {
        ["reduce", out, profiles @ ..] if !profiles.is_empty() => reduce(out, profiles),
        ["curve", reference, chosen, losses, profiles @ ..] if !profiles.is_empty() => {
            curve(reference, chosen, losses, profiles)
        }
        ["layouts", reference, out, profiles @ ..] if !profiles.is_empty() => {
            layouts::compare(reference, out, profiles)
        }
        ["larger", losses, out, reference, chosen, checkpoint, data, taken @ ..] => {
            let inputs = larger::Inputs {
                reference,
                chosen,
                checkpoint,
                data,
                taken,
            };
            larger::measure(&inputs, losses, out)
        }
        ["picture", losses, out] => write(
            out,
            picture::draw(&serde_json::from_slice(&fs::read(losses)?)?)
                .ok_or("losses: expected what curve writes")?
                .as_bytes(),
        ),
        _ => Err(
            "expected: reduce OUT PROFILE.. | curve REFERENCE CHOSEN.json LOSSES.json PROFILE.. | \
             larger LOSSES.json PROFILE REFERENCE CHOSEN.json CHECKPOINT DATA SEED:IMAGES.. | layouts REFERENCE OUT.md PROFILE.. | picture LOSSES.json OUT.svg"
                .into(),
        ),
    }
}

/// Writes beside and renames.
fn write(path: &str, bytes: &[u8]) -> Result<()> {
    let part = format!("{path}.part");
    fs::write(&part, bytes)?;
    Ok(fs::rename(part, path)?)
}

fn reduce(out: &str, profiles: &[&str]) -> Result<()> {
    // Per block of the profiles, by its number: images, then the reduced columns.
    let mut parts: Vec<(u64, Part)> = Vec::new();
    let mut knots: Option<(Vec<f64>, Vec<usize>)> = None;
    // What the library says that some paths cost, times images.
    let mut check: Vec<(TimePath, f64)> = Vec::new();
    for name in profiles {
        let bytes = fs::read(name)?;
        // Checks everything about the file.
        let profile = ElboProfile::from_bytes(&bytes)?;
        let steps = profile.schedule().train_steps();
        if profile.layout().timesteps().len() != steps || !profile.layout().learned() {
            return Err(format!("{name}: expected every timestep and a learned variance").into());
        }
        let file = SafeTensors::deserialize(&bytes)?;
        let read = Raw { file: &file };
        let counts: Vec<usize> = read.integers("decoder_knot_count")?;
        let kept: usize = counts[..LAST_START].iter().sum();
        let mine = (
            read.floats("decoder_knots")?[..kept].to_vec(),
            counts[..LAST_START].to_vec(),
        );
        if *knots.get_or_insert_with(|| mine.clone()) != mine {
            return Err(format!("{name}: other decoder knots than the first").into());
        }
        let ids = read.integers("block_id")?;
        let images = read.integers("block_images")?;
        let (moments, excess) = (read.floats("moments")?, read.floats("excess")?);
        let (weighted, decoder) = (read.floats("weighted")?, read.floats("decoder_learned")?);
        let width = excess.len() / ids.len() / steps;
        let all_knots = decoder.len() / ids.len();
        let full = profile.layout().nodes();
        let resample = Resample::new(full);
        for (b, &id) in ids.iter().enumerate() {
            let mut part = Part {
                images: images[b] as f64,
                ..Part::default()
            };
            for t in 1..=steps {
                let row = (b * steps + t - 1) * width;
                let range = profile.schedule().log_one_minus_alpha_bar(t)
                    - profile.schedule().log_one_minus_alpha_bar(1);
                // H / lambda^2, whose limit at 0 is the mean of v^2 / 2.
                let curvature: Vec<f64> = nodes(full)
                    .iter()
                    .zip(&excess[row..])
                    .map(|(u, h)| match u * range {
                        0.0 => 0.5 * moments[(b * steps + t - 1) * 5 + 2],
                        lambda => h / (lambda * lambda),
                    })
                    .collect();
                part.curvature.extend(resample.apply(&curvature));
                part.weighted
                    .extend(resample.apply(&weighted[row..row + full]));
            }
            part.decoder = decoder[b * all_knots..b * all_knots + kept].to_vec();
            parts.push((id as u64, part));
        }
        let curves = Curves::from_profile(&profile)?;
        if check.is_empty() {
            for path in optima(&curves)? {
                check.push((path, 0.0));
            }
        }
        for (path, cost) in &mut check {
            *cost += priced(&curves)?.path_cost(path) * profile.images() as f64;
        }
        eprintln!("{name}: {} blocks", ids.len());
    }
    parts.sort_by_key(|(id, _)| *id);
    if !parts.len().is_multiple_of(BLOCKS) {
        return Err(format!(
            "expected a multiple of {BLOCKS} blocks, found {}",
            parts.len()
        )
        .into());
    }
    let mut whole = Part::default();
    for group in parts.chunks(parts.len() / BLOCKS) {
        let images: f64 = group.iter().map(|(_, p)| p.images).sum();
        whole.images += images;
        whole
            .curvature
            .extend(mean(group, images, |p| &p.curvature));
        whole.weighted.extend(mean(group, images, |p| &p.weighted));
        whole.decoder.extend(mean(group, images, |p| &p.decoder));
    }
    let (knots, counts) = knots.ok_or("no profile")?;
    let counts: Vec<f64> = counts.iter().map(|&n| n as f64).collect();
    let bytes = |values: &[f64]| -> Vec<u8> {
        values
            .iter()
            .flat_map(|&v| (v as f32).to_le_bytes())
            .collect()
    };
    let steps = whole.curvature.len() / BLOCKS / NODES;
    let tensors = [
        (
            "curvature",
            vec![BLOCKS, steps, NODES],
            bytes(&whole.curvature),
        ),
        ("decoder", vec![BLOCKS, knots.len()], bytes(&whole.decoder)),
        ("decoder_knot_count", vec![LAST_START], bytes(&counts)),
        ("decoder_knots", vec![knots.len()], bytes(&knots)),
        (
            "weighted",
            vec![BLOCKS, steps, NODES],
            bytes(&whole.weighted),
        ),
    ];
    let mut views = Vec::new();
    for (name, shape, data) in &tensors {
        views.push((*name, TensorView::new(Dtype::F32, shape.clone(), data)?));
    }
    let file = safetensors::serialize(views, None)?;
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, steps)?;
    let reduced = Reference::from_bytes(schedule, &file);
    let costs = reduced.costs(0..reduced.blocks());
    for (path, cost) in &check {
        let library = cost / whole.images / std::f64::consts::LN_2;
        let found = costs.path_cost(path);
        println!(
            "K = {}: {library:.6} bits/dim, reduced {:+.1e}",
            path.steps(),
            found - library
        );
        if (found - library).abs() > 1e-5 {
            return Err("the reduced columns do not resolve the costs".into());
        }
    }
    write(out, &file)?;
    println!(
        "{out}: {} images in {BLOCKS} blocks, {steps} timesteps",
        whole.images
    );
    Ok(())
}

/// Sums of some images; means once they are put together.
#[derive(Default)]
struct Part {
    images: f64,
    curvature: Vec<f64>,
    weighted: Vec<f64>,
    decoder: Vec<f64>,
}

fn mean(group: &[(u64, Part)], images: f64, of: impl Fn(&Part) -> &Vec<f64>) -> Vec<f64> {
    let mut sum = vec![0.0; of(&group[0].1).len()];
    for (_, part) in group {
        for (s, v) in sum.iter_mut().zip(of(part)) {
            *s += v / images;
        }
    }
    sum
}

/// Tensors of a profile.
struct Raw<'a> {
    file: &'a SafeTensors<'a>,
}

impl Raw<'_> {
    fn floats(&self, name: &str) -> Result<Vec<f64>> {
        let tensor = self.file.tensor(name)?;
        let words = tensor.data().chunks_exact(8);
        Ok(words
            .map(|w| f64::from_le_bytes(w.try_into().unwrap_or_default()))
            .collect())
    }

    fn integers(&self, name: &str) -> Result<Vec<usize>> {
        let tensor = self.file.tensor(name)?;
        let words = tensor.data().chunks_exact(8);
        Ok(words
            .map(|w| u64::from_le_bytes(w.try_into().unwrap_or_default()) as usize)
            .collect())
    }
}

/// From the nodes of one rule to those of the reference, by barycentric interpolation.
struct Resample {
    rows: Vec<Vec<f64>>,
}

impl Resample {
    fn new(full: usize) -> Self {
        let x = nodes(full);
        let weight = |j: usize| {
            let sign = if j.is_multiple_of(2) { 1.0 } else { -1.0 };
            if j == 0 || j == full - 1 {
                0.5 * sign
            } else {
                sign
            }
        };
        let row = |u: f64| -> Vec<f64> {
            if let Some(hit) = x.iter().position(|&x| x == u) {
                return (0..full).map(|j| f64::from(u8::from(j == hit))).collect();
            }
            let terms: Vec<f64> = (0..full).map(|j| weight(j) / (u - x[j])).collect();
            let sum: f64 = terms.iter().sum();
            terms.iter().map(|t| t / sum).collect()
        };
        Self {
            rows: nodes(NODES).into_iter().map(row).collect(),
        }
    }

    fn apply(&self, values: &[f64]) -> Vec<f64> {
        let dot = |row: &Vec<f64>| row.iter().zip(values).map(|(w, v)| w * v).sum();
        self.rows.iter().map(dot).collect()
    }
}

fn curve(reference: &str, chosen: &str, losses: &str, profiles: &[&str]) -> Result<()> {
    let reference = read_reference(reference)?;
    let halves = Halves::new(&reference);
    println!("optima of the halves, first nodes:");
    for (i, k) in BUDGETS.iter().enumerate() {
        let show = halves.optima(i).map(|p| format!("{:?}", &p.nodes()[..6]));
        println!("  K = {k}: {} and {}", show[0], show[1]);
    }
    let mut paths_of_seed = Map::new();
    let mut rows = Vec::new();
    for name in profiles {
        let profile = ElboProfile::from_bytes(&fs::read(name)?)?;
        let seed = profile.provenance().seed;
        let per_block =
            profile.provenance().images_per_block as usize * profile.layout().timesteps().len();
        let whole = profile.blocks().len();
        let mut taken = whole;
        while taken >= 1 && taken * per_block >= 512 {
            let curves = Curves::of_blocks(&profile, 0..taken)?;
            let paths = optima(&curves)?;
            let found = halves.losses(&paths);
            let evaluations = taken * per_block;
            let shown: Vec<String> = found
                .iter()
                .map(|l| format!("{:+.4}±{:.4}", l.value, l.standard_error))
                .collect();
            println!(
                "seed {seed:>3}, {evaluations:>6} evaluations: {}",
                shown.join(" ")
            );
            rows.push(json!({
                "seed": seed,
                "evaluations": evaluations,
                "loss": found.iter().map(|l| rounded(l.value)).collect::<Vec<_>>(),
                "standard_error": found.iter().map(|l| rounded(l.standard_error)).collect::<Vec<_>>(),
            }));
            if evaluations == 8192 && taken == whole {
                let paths = BUDGETS
                    .iter()
                    .zip(&paths)
                    .map(|(k, p)| (k.to_string(), json!(p.nodes())));
                paths_of_seed.insert(seed.to_string(), Value::Object(paths.collect()));
            }
            taken /= 2;
        }
    }
    write(
        chosen,
        (serde_json::to_string(&json!({ "evaluations": 8192, "seeds": paths_of_seed }))? + "\n")
            .as_bytes(),
    )?;
    write(
        losses,
        (serde_json::to_string(&json!({ "budgets": BUDGETS, "rows": rows }))? + "\n").as_bytes(),
    )?;
    Ok(())
}

/// The reference in a file, with the noise schedule of its network.
fn read_reference(file: &str) -> Result<Reference> {
    let schedule = NoiseSchedule::named(NoiseScheduleName::Cosine, 4000)?;
    Ok(Reference::from_bytes(schedule, &fs::read(file)?))
}

fn rounded(x: f64) -> f64 {
    (x * 1e6).round() / 1e6
}

fn priced(curves: &Curves) -> Result<CostModel<'_>> {
    Ok(CostModel::new(curves, scoring().into())?)
}

/// What schedules are chosen and scored under.
fn scoring() -> Scoring {
    Scoring::new(VarianceKind::Learned)
}

fn optima(curves: &Curves) -> Result<Vec<TimePath>> {
    let found = choose(&priced(curves)?, &Budgets::Only(BUDGETS.to_vec()), None)?;
    Ok(found.budgets.into_iter().map(|b| b.schedule.path).collect())
}
