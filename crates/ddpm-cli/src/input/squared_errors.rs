//! Squared errors that another program summed up, as an `.npz` archive. The arrays are described in `ddpm profile --help`.

use std::collections::BTreeMap;
use std::path::Path;

use ddpm_core::{ModelId, NetworkId, NoiseSchedule, NoiseScheduleName};
use ddpm_data::Split;
use ddpm_files::npz::NpzArchive;
use ddpm_files::sha256;
use ddpm_profile::{ElboProfile, SquaredErrors};
use ddpm_schedule::Provenance;
use ndarray::{ArrayD, Axis, Ix1, Ix2};

use super::chain::noise_schedule;
use super::file::read_bytes;
use crate::advice::kind_of;
use crate::args::ChainArgs;
use crate::error::{Advice, Error, Located, Result};
use crate::output::Voice;

/// What stands in a profile for what the other program did not tell.
const UNKNOWN: &str = ModelId::UNKNOWN;

/// How far single precision may have moved an alpha_bar from that of a named noise schedule.
const SAME_SCHEDULE: f64 = 2e-5;
/// How far an alpha_bar may be from that of the noise schedule on the command line.
const SAME_AS_TOLD: f64 = 1e-3;
/// The same relative to the smaller one: a chain that ends without any signal is another one, whose last alpha_bar is near all the same.
const SAME_RATIO: f64 = 0.05;

/// Whether a path is read as arrays and not as a CSV file.
pub(crate) fn is_array_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension.eq_ignore_ascii_case("npz"))
}

/// Reads sums and makes a profile of them. The noise schedule is that of `chain`, where its flags are given, else the
/// file's own `alpha_bar`, taken for a named schedule where it is one in single precision.
///
/// # Errors
/// An array that is missing or not as described, or a noise schedule that is not known or contradicts the file.
pub(crate) fn read_squared_errors(
    path: &Path,
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    read(path, chain, split, voice).advised(|| {
        "the arrays are described in `ddpm profile --help`; examples/python/ddpm_hook.py writes them".to_owned()
    })
}

fn read(
    path: &Path,
    chain: Option<&ChainArgs>,
    split: Option<Split>,
    voice: Voice,
) -> Result<ElboProfile> {
    let bytes = read_bytes(path)?;
    if !bytes.starts_with(b"PK") {
        let found = kind_of(&bytes).unwrap_or("a file that is no zip archive");
        return Err(Error::file(
            path,
            format!("expected a readable .npz archive, as numpy.savez writes; found {found}"),
        ));
    }
    let mut archive = NpzArchive::open(path)?;
    let schedule = schedule_of(&mut archive, path, chain, voice)?;
    let errors = sums(&mut archive)?;
    let end = schedule.train_steps();
    if schedule.alpha_bar(end) == 0.0 && errors.timesteps.last() != Some(&end) {
        voice.warn(format_args!(
            "{}: no signal is left at t = T = {end} (alpha_bar = 0), which was not measured: a network that predicts the noise cannot start there; --start free may end earlier",
            path.display()
        ));
    }
    let image_shape = image_shape(&mut archive)?;
    let clip_denoised = flag(&mut archive, "clip_denoised")?;
    let provenance = Provenance {
        model: ModelId {
            network: NetworkId::Unknown,
            noise_schedule: schedule.name(),
            train_steps: schedule.train_steps(),
            parameterization: None,
            rescale_timesteps: false,
            clip_denoised,
            precision: UNKNOWN.to_owned(),
            shape: image_shape.to_vec(),
            settings: BTreeMap::from([(
                "imported".to_owned(),
                "squared errors of another program".to_owned(),
            )]),
        },
        data_sha256: sha256(&bytes),
        data_name: path
            .file_name()
            .map_or_else(|| UNKNOWN.to_owned(), |n| n.to_string_lossy().into_owned()),
        split: split.map_or_else(|| UNKNOWN.to_owned(), |split| split.to_string()),
        stand_in: false,
        seed: 0,
        // The three numbers are replaced by those of the arrays.
        total_images: 1,
        images_per_block: 1,
        total_blocks: 1,
        library_version: env!("CARGO_PKG_VERSION").to_owned(),
        image_order: UNKNOWN.to_owned(),
        extra: BTreeMap::new(),
    };
    errors.into_profile(&schedule, provenance).in_file(path)
}

fn schedule_of(
    archive: &mut NpzArchive<'_>,
    path: &Path,
    flags: Option<&ChainArgs>,
    voice: Voice,
) -> Result<NoiseSchedule> {
    const EXPECTED: &str = "float [T], alpha_bar of t = 1..T";
    let stored = match archive.first_of(&["alpha_bar"]) {
        Some(key) => Some(vector(archive, key, EXPECTED)?),
        None => None,
    };
    if let (Some(stored), Some(wanted)) = (&stored, flags.and_then(|f| f.train_steps))
        && stored.len() != wanted
    {
        let expected = format!("as many entries as --train-steps says, {wanted}");
        return Err(archive.wrong("alpha_bar", &expected, stored.len()).into());
    }
    // Rescaling needs a named schedule: of the file's own nothing tells whether it was rescaled before.
    let given = flags
        .filter(|f| f.noise_schedule.is_some() || f.alpha_bar.is_some() || f.zero_terminal_snr);
    let Some(flags) = given else {
        let Some(stored) = stored else {
            return Err(match flags {
                Some(_) => Error::usage(format!(
                    "{}: no array alpha_bar; expected one, or --noise-schedule NAME with --train-steps T",
                    path.display()
                )),
                None => archive.wrong("alpha_bar", EXPECTED, "no such array").into(),
            });
        };
        return recognise(&stored, path, voice);
    };
    let schedule = noise_schedule(flags, stored.as_ref().map(Vec::len))?;
    if let Some(stored) = stored {
        let steps = schedule.train_steps();
        let expected = format!(
            "that of the noise schedule on the command line, {} with T={steps}",
            schedule.name_or_custom()
        );
        if stored.len() != steps {
            let found = format!("T={}", stored.len());
            return Err(archive.wrong("alpha_bar", &expected, found).into());
        }
        // 0 is near nothing but 0.
        let far = |&t: &usize| !near(schedule.alpha_bar(t), stored[t - 1], SAME_AS_TOLD);
        if let Some(t) = (1..=steps).find(far) {
            let found = format!(
                "{:e} at t = {t}, where that has {:e} (without the flag, the file's own is used)",
                stored[t - 1],
                schedule.alpha_bar(t)
            );
            return Err(archive.wrong("alpha_bar", &expected, found).into());
        }
    }
    Ok(schedule)
}

/// Whether two alpha_bar are the same up to an error and a ratio.
fn near(a: f64, b: f64, error: f64) -> bool {
    let apart = (a - b).abs();
    apart <= error && apart <= SAME_RATIO * a.min(b)
}

/// A stored alpha_bar by its name, if it has one. One that was rescaled to end without signal has none, and is used in
/// full precision too.
fn recognise(stored: &[f64], path: &Path, voice: Voice) -> Result<NoiseSchedule> {
    let steps = stored.len();
    use NoiseScheduleName as Name;
    for name in [
        Name::Linear,
        Name::LinearUnscaled,
        Name::ScaledLinear,
        Name::Cosine,
        Name::Sigmoid,
    ] {
        let Ok(schedule) = NoiseSchedule::named(name, steps) else {
            continue;
        };
        let rescaled = schedule.zero_terminal_snr();
        for (schedule, is_rescaled) in [(schedule, false), (rescaled, true)] {
            let same = |t: usize| near(schedule.alpha_bar(t), stored[t - 1], SAME_SCHEDULE);
            let ends = !is_rescaled || stored[steps - 1] == 0.0;
            // The last node of a rescaled chain has no signal, and 0 is near nothing.
            if ends && (1..steps + usize::from(!is_rescaled)).all(same) {
                voice.note(format_args!(
                    "{}: its alpha_bar is the {name} noise schedule{}, which is used in full precision",
                    path.display(),
                    if is_rescaled { " with zero terminal SNR" } else { "" }
                ));
                return Ok(schedule);
            }
        }
    }
    NoiseSchedule::from_alpha_bar(stored).in_file(path)
}

fn sums(archive: &mut NpzArchive<'_>) -> Result<SquaredErrors> {
    const T: &str = "int [M], timesteps from 1 to T in ascending order";
    const SUMS: &str = "float [B, M], per block of images and timestep";
    const COUNTS: &str = "int [B, M], images summed per block and timestep";
    const SQUARES: &str = "float [B], the mean of x0^2 per block";
    let t = archive.counts("t", T)?;
    let timesteps: Vec<usize> = match t.ndim() {
        1 => t
            .iter()
            .map(|&t| usize::try_from(t).unwrap_or(usize::MAX))
            .collect(),
        n => return Err(archive.wrong("t", T, format_args!("{n} dimensions")).into()),
    };
    if timesteps.contains(&0) {
        let found = "a timestep 0: add 1 to timesteps that count from 0";
        return Err(archive.wrong("t", T, found).into());
    }
    let found = archive.floats("sum_squared_error", SUMS)?;
    let sums = rows(archive, "sum_squared_error", SUMS, found, timesteps.len())?;
    let found = archive.counts("count", COUNTS)?;
    let counts = rows(archive, "count", COUNTS, found, timesteps.len())?;
    let x0_mean_square = vector(archive, "x0_mean_square", SQUARES)?;
    for (key, expected, found) in [
        ("count", COUNTS, counts.len()),
        ("x0_mean_square", SQUARES, x0_mean_square.len()),
    ] {
        if found != sums.len() {
            let found = format!("{found} blocks, but {} of sum_squared_error", sums.len());
            return Err(archive.wrong(key, expected, found).into());
        }
    }
    Ok(SquaredErrors {
        timesteps,
        sums,
        counts,
        x0_mean_square,
    })
}

/// The rows of an array with one column per timestep.
fn rows<A: Copy>(
    archive: &NpzArchive<'_>,
    key: &'static str,
    expected: &str,
    array: ArrayD<A>,
    columns: usize,
) -> Result<Vec<Vec<A>>> {
    let shape = array.shape().to_vec();
    match array.into_dimensionality::<Ix2>() {
        Ok(array) if array.ncols() == columns => {
            Ok(array.axis_iter(Axis(0)).map(|row| row.to_vec()).collect())
        }
        _ => {
            let found = format!("shape {shape:?}, with {columns} timesteps in t");
            Err(archive.wrong(key, expected, found).into())
        }
    }
}

fn vector(archive: &mut NpzArchive<'_>, key: &'static str, expected: &str) -> Result<Vec<f64>> {
    let array = archive.floats(key, expected)?;
    let shape = array.shape().to_vec();
    match array.into_dimensionality::<Ix1>() {
        Ok(array) => Ok(array.to_vec()),
        Err(_) => Err(archive
            .wrong(key, expected, format_args!("shape {shape:?}"))
            .into()),
    }
}

fn image_shape(archive: &mut NpzArchive<'_>) -> Result<[usize; 3]> {
    const EXPECTED: &str = "int [3]: channels, height and width, at least 1 each";
    let array = archive.counts("image_shape", EXPECTED)?;
    let found: Vec<usize> = array
        .iter()
        .map(|&n| usize::try_from(n).unwrap_or(usize::MAX))
        .collect();
    match found[..] {
        [c, h, w] if c > 0 && h > 0 && w > 0 => Ok([c, h, w]),
        _ => Err(archive
            .wrong("image_shape", EXPECTED, format_args!("{found:?}"))
            .into()),
    }
}

fn flag(archive: &mut NpzArchive<'_>, key: &'static str) -> Result<bool> {
    const EXPECTED: &str = "one boolean";
    let array = archive.counts(key, EXPECTED)?;
    let found: Vec<u64> = array.iter().copied().collect();
    match found[..] {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(archive
            .wrong(key, EXPECTED, format_args!("{found:?}"))
            .into()),
    }
}
