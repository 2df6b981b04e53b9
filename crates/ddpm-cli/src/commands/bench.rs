//! `ddpm bench`: milliseconds per image of the forward pass.

use std::time::Instant;

use ddpm_core::{NoiseDomain, NoiseKey, standard_normal};
use ddpm_model::{Backend, Isa, UNet};
use ddpm_schedule::results;
use ndarray::Array4;

use crate::args::Bench;
use crate::error::{Error, Located, Result};
use crate::input::open_network;
use crate::output::{self, Voice};

/// Images per batch where `--batch` is not given.
const BATCH: usize = 8;
/// Batches before the clock counts: weights are packed and buffers allocated in the first.
const WARM_UP: usize = 2;

/// Runs the command.
pub(crate) fn run(args: &Bench, voice: Voice) -> Result<()> {
    let unet = open_network(&args.checkpoint)?;
    let (precision, device) = (unet.backend().precision(), unet.backend().device());
    // candle finds its own instructions.
    let isa = match unet.backend() {
        Backend::Packed(_) => Some(Isa::detect().or_internal()?.name()),
        _ => None,
    };
    let batch = args.checkpoint.batch.map_or(BATCH, |n| n as usize);
    voice.note(format_args!(
        "{} batches of {batch} images",
        args.rounds as usize + WARM_UP
    ));
    let times = measure(&unet, batch, args.rounds as usize)
        .map_err(|e| Error::checkpoint(&args.checkpoint.checkpoint, e))?;
    let (least, most) = (times[0], times[times.len() - 1]);
    let median = (times[(times.len() - 1) / 2] + times[times.len() / 2]) / 2.0;
    let threads = rayon::current_num_threads();
    if args.json {
        return output::print_json(&results::Bench {
            ms_per_image: median,
            ms_per_image_least: least,
            ms_per_image_most: most,
            rounds: times.len(),
            batch,
            image_size: unet.config().image_size.value,
            precision: precision.to_string(),
            device: device.to_string(),
            isa: isa.map(str::to_owned),
            threads,
        });
    }
    output::print_text(&format!(
        "{median:.2} ms per image (median of {} batches of {batch}; {least:.2} to {most:.2})\n\
         {size}x{size} pixels, {precision} on {device}{isa}, {threads} threads\n",
        times.len(),
        size = unet.config().image_size.value,
        isa = isa.map(|isa| format!(" ({isa})")).unwrap_or_default(),
    ))
}

/// Milliseconds per image of every round, ascending.
fn measure(unet: &UNet, batch: usize, rounds: usize) -> ddpm_model::Result<Vec<f64>> {
    let config = unet.config();
    let (channels, size) = (config.architecture.in_channels, config.image_size.value);
    let len = channels * size * size;
    let mut values = Vec::new();
    let room = batch
        .checked_mul(len)
        .filter(|&all| values.try_reserve_exact(all).is_ok());
    let Some(room) = room else {
        let problem = format!("{batch} images of {channels}x{size}x{size} do not fit into memory");
        return Err(ddpm_model::Error::Input(problem));
    };
    values.resize(room, 0f32);
    for (image, values) in values.chunks_exact_mut(len.max(1)).enumerate() {
        let key = NoiseKey {
            seed: 0,
            domain: NoiseDomain::Sampling,
            stream: image as u64,
            step: 0,
        };
        standard_normal(key, values);
    }
    let x = Array4::from_shape_vec((batch, channels, size, size), values)
        .map_err(|error| ddpm_model::Error::Input(error.to_string()))?;
    // Spread over the range that networks are fed, as the timesteps of a profile are.
    let time: Vec<f32> = (0..batch)
        .map(|image| (1000 * image / batch) as f32)
        .collect();
    let labels: Option<Vec<usize>> = config
        .architecture
        .num_classes
        .map(|classes| (0..batch).map(|image| image % classes).collect());
    let mut times = Vec::with_capacity(rounds);
    for round in 0..WARM_UP + rounds {
        let start = Instant::now();
        unet.forward(x.view(), &time, labels.as_deref())?;
        if round >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e3 / batch as f64);
        }
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}
