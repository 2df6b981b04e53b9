//! Holds the bits/dim of every kernel against the truth: a perfect network, whose data have a density that is known.
//!
//! ```text
//! cargo run --release --example perfect -- --data DIR [--images 2000] [--crop SIDE] [--width 0.05] [--choose 256] [--score 64] [--timesteps 64]
//!     [--train-steps 1000] [--steps 2,3,5,8,10,16,32,64,1000] [--seed 0]
//! ```
//!
//! The data are draws of N images of DIR (its train split), each blurred by a Gaussian of standard deviation `--width` (a grey level is 2/255);
//! `--crop` takes the middle of each: which of some thousand images a large one is shows through any noise, and nothing is left to guess.
//! Schedules and kernels are chosen on some draws and scored on others by direct evaluation, with a continuous density of the data as
//! decoder; beside them stands the mean of -log2 p of the very same draws.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example, not a library"
)]

mod judge;

use std::path::Path;
use std::str::FromStr;
use std::time::Instant;

use ddpm::core::{Denoiser, NoiseSchedule, NoiseScheduleName};
use ddpm::data::{ImageSet, Split, open, selection};
use ddpm::eval::ImageMixture;
use judge::{Judge, KERNELS, mean_and_error};
use ndarray::{Array3, Array4, s};

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// What the command line says of a flag; `usual` where it says nothing.
fn flag<T: FromStr>(words: &[String], name: &str, usual: &str) -> Outcome<T>
where
    T::Err: std::fmt::Display,
{
    let at = words.iter().position(|word| word == name);
    let found = at.map_or(Some(usual), |i| words.get(i + 1).map(String::as_str));
    let found = found.ok_or_else(|| format!("{name}: expected a value"))?;
    let value = found.parse();
    value.map_err(|e: T::Err| format!("{name} {found:?}: {e}").into())
}

/// The middle of every image, `side` pixels wide and high.
fn cropped(data: &ImageSet, side: usize) -> Outcome<ImageSet> {
    let (&[channels, height, width], count) = (data.shape(), data.len()) else {
        return Err("--crop: expected images of channels, rows and columns".into());
    };
    if side > height.min(width) {
        return Err(format!("--crop {side}: expected at most {}", height.min(width)).into());
    }
    let (top, left) = ((height - side) / 2, (width - side) / 2);
    let mut crops = Array4::zeros((count, channels, side, side));
    for (i, mut crop) in crops.outer_iter_mut().enumerate() {
        let image = Array3::from_shape_vec((channels, height, width), data.image(i)?)?;
        crop.assign(&image.slice(s![.., top..top + side, left..left + side]));
    }
    Ok(ImageSet::from_array(data.name(), crops.view())?)
}

/// Means and their standard errors as cells of a row.
fn cells(columns: &[Vec<f64>]) -> String {
    let cell = |values: &Vec<f64>| {
        let (mean, error) = mean_and_error(values);
        format!(" {mean:.4} ± {error:.4} |")
    };
    columns.iter().map(cell).collect()
}

fn main() -> Outcome<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let folder: String = flag(&words, "--data", "")?;
    if folder.is_empty() {
        return Err("--data: expected images".into());
    }
    let (images, width) = (
        flag(&words, "--images", "2000")?,
        flag(&words, "--width", "0.05")?,
    );
    let train_steps: usize = flag(&words, "--train-steps", "1000")?;
    let steps: String = flag(
        &words,
        "--steps",
        &format!("2,3,5,8,10,16,32,64,{train_steps}"),
    )?;
    let steps: Vec<usize> = steps.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let seed = flag(&words, "--seed", "0")?;
    let data = open(Path::new(&folder), Split::Train, None)?;
    let data = data.subset(&selection(seed, data.len(), images))?;
    let data = match flag(&words, "--crop", "0")? {
        0 => data,
        side => cropped(&data, side)?,
    };
    let noise = NoiseSchedule::named(NoiseScheduleName::Cosine, train_steps)?;
    let model = ImageMixture::new(noise, &data, width)?;
    let (choose, score) = (
        flag(&words, "--choose", "256")?,
        flag(&words, "--score", "64")?,
    );
    let judge = Judge::new(&model, seed, choose, score)?;
    let timesteps: usize = flag(&words, "--timesteps", "64")?;
    let start = Instant::now();
    let profile = judge.profile(timesteps)?;
    let evaluations = profile.layout().timesteps().len() * choose;
    let milliseconds = start.elapsed().as_secs_f64() * 1e3 / evaluations as f64;
    let (truth, error) = mean_and_error(judge.truth());
    println!(
        "{} images of shape {:?} from {folder}, blurred by {width}; {train_steps} cosine timesteps, {timesteps} of them measured; {choose} \
         draws choose, {score} others score; {milliseconds:.2} ms an evaluation with what is kept of it.\n\n\
         The truth, mean -log2 p: {truth:.4} ± {error:.4} bits/dim. Above it, paired:\n",
        data.len(),
        model.shape()
    );
    let columns: Vec<String> = steps.iter().map(|k| format!(" K={k} |")).collect();
    println!(
        "| kernel |{}\n|---|{}",
        columns.concat(),
        "---|".repeat(steps.len())
    );
    let mut all = Vec::new();
    for kernel in &KERNELS {
        let gaps = judge.gaps(&profile, kernel, &steps)?;
        println!("| {} |{}", kernel.name(), cells(&gaps));
        all.push((kernel.name(), gaps));
    }
    // The same draws and, where two paths share a timestep, the same noise.
    for (less, from) in [("spectral", "analytic"), ("spectral + mean", "spectral")] {
        let of = |name: &str| all.iter().find(|(kernel, _)| kernel == name);
        let (Some((_, less_gaps)), Some((_, from_gaps))) = (of(less), of(from)) else {
            continue;
        };
        let pairs = less_gaps.iter().zip(from_gaps);
        let differences: Vec<Vec<f64>> = pairs
            .map(|(a, b)| a.iter().zip(b).map(|(a, b)| a - b).collect())
            .collect();
        println!("| {less} less {from} |{}", cells(&differences));
    }
    eprintln!("{:.0} s", start.elapsed().as_secs_f64());
    Ok(())
}
