//! Squared errors that another program recorded in an `.npz` archive, as a profile.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use ddpm_core::{Bands, ModelId, NetworkId, NoiseSchedule, NoiseScheduleName};
use ddpm_data::Split;
use ddpm_files::npz::{Extents, NpzArchive};
use ddpm_files::{FileError, sha256};
use ddpm_profile::{BandSums, Curves, Doubt, ElboProfile, SquaredErrors};
use ddpm_schedule::Provenance;
use ndarray::{ArrayD, Axis};

use crate::error::{Error, Result};

/// What stands in a profile for what the other program did not tell.
const UNKNOWN: &str = ModelId::UNKNOWN;
/// What `alpha_bar` has to be.
const ALPHA_BAR: &str = "float [T], alpha_bar of t = 1..T";

/// More images than anybody has: sums of so many blocks stay numbers.
const MOST_IMAGES: u64 = 1 << 36;
/// More blocks than anybody has images.
const MOST_BLOCKS: usize = 10_000_000;
/// More numbers than a datum has: a minute of video in full.
const MOST_NUMBERS: u64 = 1 << 34;
/// More axes than a datum has.
const MOST_AXES: usize = 16;
/// How far single precision may have moved an alpha_bar from that of a named noise schedule.
const SAME_SCHEDULE: f64 = 2e-5;
/// How far an alpha_bar may be from that of a noise schedule that somebody names.
const SAME_AS_TOLD: f64 = 1e-3;
/// The same relative to the smaller one: a chain that ends without any signal is another one, whose last alpha_bar is near all the same.
const SAME_RATIO: f64 = 0.05;
/// How far edges and basis of recorded bands may be from the usual ones, whose last digits another program computes differently.
const SAME_BANDS: f64 = 1e-9;

/// An archive of squared errors per block of images and timestep.
///
/// Its arrays are `t`, `sum_squared_error`, `count` and `x0_mean_square`, which are those of [`SquaredErrors`], `image_shape` (channels,
/// height, width; other data have other axes), `clip_denoised`, and `alpha_bar` of t = 1..T, which may be absent where the noise schedule
/// is known otherwise. `eight_bit` and `saturated` say what the data are ([`Provenance::EIGHT_BIT`]), where they are there. Statistics of bands of frequencies are there with all of `band_edges`, `band_channels`, `band_products` and
/// `band_means`, which are those of [`Bands`] and [`BandSums`], or with none.
pub struct RecordedErrors<'a> {
    path: &'a Path,
    archive: NpzArchive<'a>,
    alpha_bar: Option<Vec<f64>>,
}

/// A profile of recordings.
pub struct Imported {
    /// The profile.
    pub profile: ElboProfile,
    /// How many blocks were recorded; the profile has fewer where some had no image at a timestep ([`SquaredErrors::into_profile`]).
    pub blocks: usize,
    /// What of each recording is like no network's, by its file: a good one hides a bad one where they are joined.
    pub doubts: Vec<(PathBuf, Doubt)>,
}

/// The noise schedule that an archive's `alpha_bar` is.
pub struct Recognised {
    /// In full precision, where it has a name.
    pub schedule: NoiseSchedule,
    /// The name, and whether the schedule was rescaled to end without signal.
    pub name: Option<(NoiseScheduleName, bool)>,
}

impl<'a> RecordedErrors<'a> {
    /// Opens an archive and reads its noise schedule.
    ///
    /// # Errors
    /// A file that cannot be read or is no archive, or an `alpha_bar` that is no vector of numbers.
    pub fn open(path: &'a Path) -> Result<Self> {
        let mut archive = NpzArchive::open(path)?;
        let alpha_bar = match archive.first_of(&["alpha_bar"]) {
            Some(key) => {
                let steps = 0..=NoiseSchedule::MAX_TRAIN_STEPS;
                Some(vector(&mut archive, key, ALPHA_BAR, steps)?)
            }
            None => None,
        };
        Ok(Self {
            path,
            archive,
            alpha_bar,
        })
    }

    /// T, where the archive tells.
    pub fn train_steps(&self) -> Option<usize> {
        self.alpha_bar.as_ref().map(Vec::len)
    }

    /// A complaint about the archive's noise schedule.
    pub fn wrong_schedule(&self, expected: &str, found: impl std::fmt::Display) -> Error {
        self.archive.wrong("alpha_bar", expected, found).into()
    }

    /// The archive's own noise schedule: a named one where its `alpha_bar` is that in single precision.
    ///
    /// # Errors
    /// No `alpha_bar`, or one that is no noise schedule.
    pub fn recognise(&self) -> Result<Recognised> {
        let Some(stored) = &self.alpha_bar else {
            return Err(self.wrong_schedule(ALPHA_BAR, "no such array"));
        };
        let steps = stored.len();
        for &name in NoiseScheduleName::ALL {
            let Ok(schedule) = NoiseSchedule::named(name, steps) else {
                continue;
            };
            let rescaled = schedule.zero_terminal_snr();
            for (schedule, is_rescaled) in [(schedule, false), (rescaled, true)] {
                let same = |t: usize| near(schedule.alpha_bar(t), stored[t - 1], SAME_SCHEDULE);
                let ends = !is_rescaled || stored[steps - 1] == 0.0;
                // The last node of a rescaled chain has no signal, and 0 is near nothing.
                if ends && (1..steps + usize::from(!is_rescaled)).all(same) {
                    let name = Some((name, is_rescaled));
                    return Ok(Recognised { schedule, name });
                }
            }
        }
        Ok(Recognised {
            schedule: NoiseSchedule::from_alpha_bar(stored)?,
            name: None,
        })
    }

    /// Refuses a noise schedule that the archive's `alpha_bar`, where there is one, contradicts. `whose` says where the schedule comes from.
    ///
    /// # Errors
    /// Another T, or an `alpha_bar` that is too far away.
    pub fn check_schedule(&self, schedule: &NoiseSchedule, whose: &str) -> Result<()> {
        let Some(stored) = &self.alpha_bar else {
            return Ok(());
        };
        let steps = schedule.train_steps();
        let expected = format!(
            "that of {whose}, {} with T={steps}",
            schedule.name_or_custom()
        );
        if stored.len() != steps {
            return Err(self.wrong_schedule(&expected, format_args!("T={}", stored.len())));
        }
        // 0 is near nothing but 0.
        let far = |&t: &usize| !near(schedule.alpha_bar(t), stored[t - 1], SAME_AS_TOLD);
        let Some(t) = (1..=steps).find(far) else {
            return Ok(());
        };
        let found = format_args!(
            "{:e} at t = {t}, where that has {:e} (without the flag, the file's own is used)",
            stored[t - 1],
            schedule.alpha_bar(t)
        );
        Err(self.wrong_schedule(&expected, found))
    }

    /// The profile of these recordings of one network under a noise schedule, the blocks of the first before those of the next; `split`:
    /// the part of the data that they were measured on, if known.
    ///
    /// # Errors
    /// No recording, an array that is missing or not as described, numbers that no profile can have, recordings of other images, chains or
    /// bands, and one that is given twice, whose images would count as twice as many.
    pub fn into_profile(
        recordings: Vec<Self>,
        schedule: &NoiseSchedule,
        split: Option<Split>,
    ) -> Result<Imported> {
        let mut whole: Option<Recorded> = None;
        for mut recording in recordings {
            let found = recording.read()?;
            match &mut whole {
                None => whole = Some(found),
                Some(whole) => {
                    recording.check_same(whole, &found)?;
                    let first = whole.paths[0].display().to_string();
                    recording.check_schedule(schedule, &first)?;
                    whole.parts.extend(found.parts);
                    whole.pixels.extend(found.pixels);
                    whole.hashes.extend(found.hashes);
                    whole.paths.extend(found.paths);
                }
            }
        }
        let Some(recorded) = whole else {
            return Err(Error::request("recordings", "expected one or more"));
        };
        let blocks = recorded.parts.iter().map(|part| part.sums.len()).sum();
        let extra = recorded.pixels();
        let names: Vec<String> = recorded.paths.iter().map(|path| name_of(path)).collect();
        let provenance = Provenance {
            model: ModelId {
                network: NetworkId::Unknown,
                noise_schedule: schedule.name(),
                train_steps: schedule.train_steps(),
                parameterization: None,
                rescale_timesteps: false,
                clip_denoised: recorded.clip_denoised,
                precision: UNKNOWN.to_owned(),
                shape: recorded.image_shape,
                settings: BTreeMap::from([(
                    "imported".to_owned(),
                    "squared errors of another program".to_owned(),
                )]),
            },
            data_sha256: match &recorded.hashes[..] {
                [one] => one.clone(),
                several => sha256(several.concat().as_bytes()),
            },
            data_name: names.join(" + "),
            split: split.map_or_else(|| UNKNOWN.to_owned(), |split| split.to_string()),
            stand_in: false,
            seed: 0,
            // The three numbers are replaced by those of the arrays.
            total_images: 1,
            images_per_block: 1,
            total_blocks: 1,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            image_order: UNKNOWN.to_owned(),
            extra,
        };
        let mut doubts = Vec::new();
        let mut doubt = |path: &Path, profile: &ElboProfile| -> Result<()> {
            let found = Curves::from_profile(profile)?.doubts();
            doubts.extend(found.into_iter().map(|doubt| (path.to_owned(), doubt)));
            Ok(())
        };
        if recorded.parts.len() > 1 {
            for (path, part) in recorded.paths.iter().zip(&recorded.parts) {
                let alone = part.clone().into_profile(schedule, provenance.clone())?;
                doubt(path, &alone)?;
            }
        }
        let profile = SquaredErrors::join(recorded.parts)?.into_profile(schedule, provenance)?;
        if let [path] = &recorded.paths[..] {
            doubt(path, &profile)?;
        }
        Ok(Imported {
            profile,
            blocks,
            doubts,
        })
    }

    /// All arrays but the noise schedule.
    fn read(&mut self) -> Result<Recorded> {
        let archive = &mut self.archive;
        let mut errors = sums(archive)?;
        let image_shape = image_shape(archive)?;
        let points = [errors.sums.len(), errors.timesteps.len()];
        errors.bands = band_sums(archive, &image_shape, points)?;
        let bytes = std::fs::read(self.path).map_err(|e| FileError::read(self.path, e))?;
        Ok(Recorded {
            clip_denoised: flag(archive, "clip_denoised")?,
            pixels: vec![pixels(archive)?],
            image_shape,
            parts: vec![errors],
            hashes: vec![sha256(&bytes)],
            paths: vec![self.path.to_owned()],
        })
    }

    /// Refuses to take `found`, which this recording holds, for more of `whole`.
    fn check_same(&self, whole: &Recorded, found: &Recorded) -> Result<()> {
        let first = whole.paths[0].display();
        let wrong = |key: &str, expected: String, found: String| {
            Err(self.archive.wrong(key, &expected, found).into())
        };
        if whole.hashes.contains(&found.hashes[0]) {
            let expected = "each recording once: its images would count twice".to_owned();
            return wrong(
                "sum_squared_error",
                expected,
                "a file of the same bytes".to_owned(),
            );
        }
        if whole.image_shape != found.image_shape {
            let expected = format!("that of {first}, {:?}", whole.image_shape);
            return wrong("image_shape", expected, format!("{:?}", found.image_shape));
        }
        if whole.clip_denoised != found.clip_denoised {
            let expected = format!("that of {first}, {}", whole.clip_denoised);
            return wrong("clip_denoised", expected, found.clip_denoised.to_string());
        }
        // The same recording saved again, in another order or compressed, or saved while it grew.
        if let Some((block, earlier)) = found.parts[0].first_block_of(&whole.parts) {
            let expected = format!("images that are in no recording before, from {first} on");
            let found = format!("block {block} with the sums of block {earlier} there");
            return wrong("sum_squared_error", expected, found);
        }
        let [theirs, own] = [whole, found].map(|recorded| recorded.parts[0].bands.as_ref());
        match (theirs, own) {
            (Some(theirs), Some(own)) => match theirs.bands.difference(&own.bands) {
                Some(d) => wrong(
                    "band_edges",
                    format!("those of {first}, {}", d.first),
                    d.second,
                ),
                None => Ok(()),
            },
            (Some(_), None) => wrong(
                "band_products",
                format!("bands, as in {first}"),
                "no such array".to_owned(),
            ),
            (None, Some(_)) => wrong(
                "band_products",
                format!("no bands, as in {first}"),
                "bands".to_owned(),
            ),
            (None, None) => Ok(()),
        }
    }
}

/// The arrays of one or more recordings.
struct Recorded {
    image_shape: Vec<usize>,
    clip_denoised: bool,
    parts: Vec<SquaredErrors>,
    /// Per file, where it tells: whether all numbers of the data are 8-bit levels, and the fraction of them that are -1 or 1.
    pixels: Vec<Option<(bool, f64)>>,
    /// Of the files.
    hashes: Vec<String>,
    paths: Vec<PathBuf>,
}

impl Recorded {
    /// What all files together tell of 8-bit images; nothing where one of them does not.
    fn pixels(&self) -> BTreeMap<String, String> {
        let told: Option<Vec<(bool, f64)>> = self.pixels.iter().copied().collect();
        let Some(told) = told else {
            return BTreeMap::new();
        };
        let eight_bit = told.iter().all(|(eight_bit, _)| *eight_bit);
        let saturated = told.iter().map(|(_, x)| x).sum::<f64>() / told.len() as f64;
        BTreeMap::from([
            (Provenance::EIGHT_BIT.to_owned(), eight_bit.to_string()),
            (Provenance::SATURATED.to_owned(), saturated.to_string()),
        ])
    }
}

/// Whether the data are of 8-bit levels, and how many of them are saturated, where the archive tells.
fn pixels(archive: &mut NpzArchive<'_>) -> Result<Option<(bool, f64)>> {
    const SATURATED: &str = "the fraction of x0 that is -1 or 1";
    if archive.first_of(&[Provenance::EIGHT_BIT]).is_none() {
        return Ok(None);
    }
    let eight_bit = flag(archive, Provenance::EIGHT_BIT)?;
    let array = archive.floats(Provenance::SATURATED, SATURATED, Extents::One)?;
    let found: Vec<f64> = array.iter().copied().collect();
    match found[..] {
        [saturated] if (0.0..=1.0).contains(&saturated) => Ok(Some((eight_bit, saturated))),
        _ => {
            let found = format!("{found:?}");
            Err(archive
                .wrong(Provenance::SATURATED, SATURATED, found)
                .into())
        }
    }
}

/// A file's name without its folder.
fn name_of(path: &Path) -> String {
    path.file_name().map_or_else(
        || UNKNOWN.to_owned(),
        |name| name.to_string_lossy().into_owned(),
    )
}

/// Whether two alpha_bar are the same up to an error and a ratio.
fn near(a: f64, b: f64, error: f64) -> bool {
    let apart = (a - b).abs();
    apart <= error && apart <= SAME_RATIO * a.min(b)
}

fn sums(archive: &mut NpzArchive<'_>) -> Result<SquaredErrors> {
    const T: &str = "int [M], timesteps from 1 to T";
    const SUMS: &str = "float [B, M], per block of images and timestep";
    const COUNTS: &str = "int [B, M], images summed per block and timestep";
    const SQUARES: &str = "float [B], the mean of x0^2 per block";
    let t = archive.counts("t", T, Extents::Of(&[1..=NoiseSchedule::MAX_TRAIN_STEPS]))?;
    let timesteps: Vec<usize> = t
        .iter()
        .map(|&t| usize::try_from(t).unwrap_or(usize::MAX))
        .collect();
    if timesteps.contains(&0) {
        let found = "a timestep 0: add 1 to timesteps that count from 0";
        return Err(archive.wrong("t", T, found).into());
    }
    let points = timesteps.len();
    let expected = format!("{SUMS}, here for {points} timesteps");
    let shape = [1..=MOST_BLOCKS, points..=points];
    let found = archive.floats("sum_squared_error", &expected, Extents::Of(&shape))?;
    let sums = rows(&found);
    let blocks = sums.len();
    let expected = format!("{COUNTS}, here [{blocks}, {points}] as sum_squared_error");
    let shape = [blocks..=blocks, points..=points];
    let counts = archive.counts("count", &expected, Extents::Of(&shape))?;
    if let Some(found) = counts.iter().find(|&&n| n > MOST_IMAGES) {
        let expected = format!("{COUNTS}, at most {MOST_IMAGES} each");
        return Err(archive.wrong("count", &expected, found).into());
    }
    let counts = rows(&counts);
    let expected = format!("{SQUARES}, here {blocks} as of sum_squared_error");
    let x0_mean_square = vector(archive, "x0_mean_square", &expected, blocks..=blocks)?;
    Ok(SquaredErrors {
        timesteps,
        sums,
        counts,
        x0_mean_square,
        bands: None,
    })
}

/// The statistics of bands, where the archive has any; `points`: the numbers of blocks and of timesteps.
fn band_sums(
    archive: &mut NpzArchive<'_>,
    shape: &[usize],
    points: [usize; 2],
) -> Result<Option<BandSums>> {
    const PRODUCTS: &str =
        "float [B, M, N, 6], per block, timestep and band the sums of e^2, e h, e n, h^2, h n, n^2";
    const MEANS: &str =
        "float [B, M, Q, 3], per block, timestep and constant of a channel the sums of e, h, n";
    const KEYS: [&str; 4] = ["band_edges", "band_channels", "band_products", "band_means"];
    if archive.first_of(&KEYS).is_none() {
        return Ok(None);
    }
    let bands = bands(archive, shape)?;
    let constants = bands.constants().count();
    let mut sums = |key: &str, described: &str, of_point: [usize; 2]| -> Result<Vec<f64>> {
        let shape = [points, of_point].concat();
        let expected = format!("{described}: of these images {shape:?}");
        let shape: Vec<_> = shape.iter().map(|&n| n..=n).collect();
        let array = archive.floats(key, &expected, Extents::Of(&shape))?;
        Ok(array.iter().copied().collect())
    };
    Ok(Some(BandSums {
        products: sums("band_products", PRODUCTS, [bands.count(), 6])?,
        means: sums("band_means", MEANS, [constants, 3])?,
        bands,
    }))
}

/// The bands of an archive: the usual ones of its images to the last digit, where it has these.
fn bands(archive: &mut NpzArchive<'_>, shape: &[usize]) -> Result<Bands> {
    const EDGES: &str = "float [E], the ascending radii at which bands begin, the first 0";
    const CHANNELS: &str = "float [C, C], an orthonormal basis of the channels";
    Bands::check_size(shape).map_err(|error| {
        let expected = "one whose bands can be computed";
        archive.wrong("image_shape", expected, format_args!("{shape:?} ({error})"))
    })?;
    let channels = if shape.len() == 1 { 1 } else { shape[0] };
    let edges = vector(archive, "band_edges", EDGES, 0..=Bands::MOST_EDGES)?;
    let expected = format!("{CHANNELS}, here {channels} as images are {shape:?}");
    let square = [channels..=channels, channels..=channels];
    let basis = archive.floats("band_channels", &expected, Extents::Of(&square))?;
    let basis: Vec<f64> = basis.iter().copied().collect();
    let usual = Bands::of_shape(shape)?;
    let same = |found: &[f64], usual: &[f64]| {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= SAME_BANDS * (1.0 + b.abs());
        found.len() == usual.len() && found.iter().zip(usual).all(near)
    };
    if same(&edges, usual.edges()) && same(&basis, usual.channel_basis()) {
        return Ok(usual);
    }
    // One after the other, so that the array at fault is named.
    Bands::new(shape, basis.clone(), vec![0.0], true)
        .map_err(|e| archive.wrong("band_channels", CHANNELS, e))?;
    let own = Bands::new(shape, basis, edges, true);
    Ok(own.map_err(|e| archive.wrong("band_edges", EDGES, e))?)
}

fn rows<A: Copy>(array: &ArrayD<A>) -> Vec<Vec<A>> {
    let rows = array.axis_iter(Axis(0));
    rows.map(|row| row.iter().copied().collect()).collect()
}

/// A one-dimensional array of so many numbers.
fn vector(
    archive: &mut NpzArchive<'_>,
    key: &'static str,
    expected: &str,
    length: RangeInclusive<usize>,
) -> Result<Vec<f64>> {
    let array = archive.floats(key, expected, Extents::Of(&[length]))?;
    Ok(array.iter().copied().collect())
}

fn image_shape(archive: &mut NpzArchive<'_>) -> Result<Vec<usize>> {
    const EXPECTED: &str =
        "int: channels, height and width (or other axes of a datum), at least 1 each";
    let array = archive.counts("image_shape", EXPECTED, Extents::AtMost(MOST_AXES))?;
    let found: Vec<usize> = array
        .iter()
        .map(|&n| usize::try_from(n).unwrap_or(usize::MAX))
        .collect();
    let numbers = array.iter().try_fold(1, |of, &n| u64::checked_mul(of, n));
    if found.is_empty() || !numbers.is_some_and(|n| (1..=MOST_NUMBERS).contains(&n)) {
        let expected = format!("{EXPECTED}, {MOST_NUMBERS} numbers a datum at most");
        let found = format!("{found:?}");
        return Err(archive.wrong("image_shape", &expected, found).into());
    }
    Ok(found)
}

fn flag(archive: &mut NpzArchive<'_>, key: &'static str) -> Result<bool> {
    const EXPECTED: &str = "one boolean";
    let array = archive.integers(key, EXPECTED, Extents::One)?;
    let found: Vec<i128> = array.iter().copied().collect();
    match found[..] {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(archive
            .wrong(key, EXPECTED, format_args!("{found:?}"))
            .into()),
    }
}
