//! Milliseconds per image of the forward pass.
//!
//! ```text
//! cargo run --release -p ddpm-model --example forward_time -- MODEL [BATCH] [SIZE] [NUM_HEADS] [f32|bf16|stock]
//! ```

#![expect(clippy::print_stdout, reason = "an example prints its result")]

use std::time::{Duration, Instant};

use ddpm_model::{Arithmetic, Backend, Checkpoint, ModelOptions, UNet};
use ndarray::Array4;

/// How long each path is measured.
const BUDGET: Duration = Duration::from_secs(5);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let path = words
        .next()
        .ok_or("usage: forward_time MODEL [BATCH] [SIZE] [NUM_HEADS] [f32|bf16|stock]")?;
    let mut number = || words.next().map(|word| word.parse::<usize>()).transpose();
    let (batch, size, num_heads) = (number()?.unwrap_or(8), number()?.unwrap_or(32), number()?);
    let options = ModelOptions {
        num_heads,
        ..ModelOptions::default()
    };
    let checkpoint = Checkpoint::open(path.as_ref())?;
    let only = words.next();
    for (name, backend) in [
        ("f32", Backend::Packed(Arithmetic::F32)),
        ("bf16", Backend::Packed(Arithmetic::Bf16)),
        ("stock", Backend::Stock),
    ] {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let unet = UNet::load_on(&checkpoint, &options, backend)?;
        measure(&unet, batch, size, name)?;
    }
    for time in ddpm_model::operation_times() {
        println!(
            "{:10.3} ms {:6} {}",
            time.total.as_secs_f64() * 1e3,
            time.calls,
            time.operation
        );
    }
    Ok(())
}

fn measure(unet: &UNet, batch: usize, size: usize, name: &str) -> ddpm_model::Result<()> {
    let channels = unet.config().architecture.in_channels;
    let x = Array4::from_shape_fn((batch, channels, size, size), |(b, c, i, j)| {
        ((b + 3 * c + 5 * i + 7 * j) as f32).sin()
    });
    let time: Vec<f32> = (0..batch).map(|b| 100.0 * b as f32).collect();
    let mut runs = vec![];
    let start = Instant::now();
    let rounds: Option<usize> = std::env::var("ROUNDS").ok().and_then(|v| v.parse().ok());
    while rounds.map_or(start.elapsed() < BUDGET || runs.len() < 3, |r| runs.len() < r) {
        let run = Instant::now();
        unet.forward(x.view(), &time, None)?;
        runs.push(run.elapsed().as_secs_f64() * 1e3 / batch as f64);
    }
    runs.sort_by(f64::total_cmp);
    println!(
        "{name}: {:.2} ms per image (median of {} batches of {batch}; fastest {:.2}, slowest {:.2})",
        runs[runs.len() / 2],
        runs.len(),
        runs[0],
        runs[runs.len() - 1]
    );
    Ok(())
}
