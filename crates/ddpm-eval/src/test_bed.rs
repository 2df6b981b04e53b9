//! Test beds: perfect networks with their data, described in a few lines of JSON.

mod points;

use std::path::{Path, PathBuf};

use ddpm_core::{Denoiser, NoiseSchedule, NoiseScheduleName};
use ddpm_data::{ImageSet, Split};
use ddpm_files::DocumentHead;
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use serde::Deserialize;

pub use self::points::Pattern;
use self::points::centres;
use crate::error::{Error, Result};
use crate::image_mixture::ImageMixture;

const FORMAT: &str = "ddpm-test-bed";
const VERSION: u64 = 1;
/// Draws of each split where the file says nothing.
const DRAWS: usize = 10_000;
/// Timesteps where the file says nothing.
const TRAIN_STEPS: usize = 1000;
/// Widths whose squares and reciprocals are numbers, in the unit of images.
const WIDTHS: std::ops::RangeInclusive<f64> = 1e-9..=1e9;
/// Most numbers that the draws of a test bed may be made of: some copies of them, in f32 and f64, are 2 GiB.
const MOST: usize = 1 << 26;
/// Most numbers that the centres of a pattern may be made of: a line of text asks for them.
const MOST_OF_A_PATTERN: usize = 1 << 21;

/// A perfect network and its data: the best denoiser of a known mixture of Gaussians, and draws of that mixture.
///
/// Whatever is wrong with samples of it is the sampler's fault and the schedule's, never the network's. Described by JSON:
///
/// ```json
/// {"format": "ddpm-test-bed", "version": 1, "pattern": "rings", "points": 384, "dimensions": 2, "width": 0.02}
/// {"format": "ddpm-test-bed", "version": 1, "images": "cifar10", "split": "train", "width": 0.05}
/// ```
///
/// `pattern` ([`Pattern`]) with `points`, `dimensions` and `seed` (0) puts the centres; or `images` does, a path that is relative to the file,
/// with `split` and `limit` (the first so many). `width` is the standard deviation of each Gaussian. `noise_schedule` (`cosine`) and `train_steps`
/// (1000) are those of the network; `draws` (10,000) is how many data each split has.
///
/// ```
/// use ddpm_core::Denoiser;
/// use ddpm_data::Split;
/// use ddpm_eval::TestBed;
///
/// let text = r#"{"format": "ddpm-test-bed", "version": 1, "pattern": "grid", "points": 25, "dimensions": 2, "width": 0.05, "draws": 100}"#;
/// let bed = TestBed::from_json(text, &mut |_, _| unreachable!())?;
/// assert_eq!(bed.network().shape(), [2]);
/// assert_eq!(bed.draws(Split::Test)?.len(), 100);
/// # Ok::<(), ddpm_eval::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct TestBed {
    network: ImageMixture,
    name: String,
    draws: usize,
    seed: u64,
}

/// What a file says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    #[allow(dead_code, reason = "looked at before the rest is")]
    format: String,
    #[allow(dead_code, reason = "looked at before the rest is")]
    version: u32,
    pattern: Option<Pattern>,
    points: Option<usize>,
    dimensions: Option<usize>,
    images: Option<PathBuf>,
    split: Option<Split>,
    limit: Option<usize>,
    width: f64,
    noise_schedule: Option<NoiseScheduleName>,
    train_steps: Option<usize>,
    draws: Option<usize>,
    seed: Option<u64>,
}

impl TestBed {
    /// Whether a text calls itself a test bed, sound or not.
    pub fn is_described_by(text: &str) -> bool {
        text.contains(&format!("\"{FORMAT}\""))
    }

    /// The test bed that a text describes. `open` opens the images at a path, as the text has it.
    ///
    /// # Errors
    /// [`Error::Request`] with the field that is wrong; what `open` returns; those of [`ImageMixture::new`].
    pub fn from_json(
        text: &str,
        open: &mut dyn FnMut(&Path, Split) -> Result<ImageSet>,
    ) -> Result<Self> {
        let wrong = |error: serde_json::Error| Error::request("test bed", error.to_string());
        let head = DocumentHead::read(text.as_bytes()).map_err(wrong)?;
        if !head.is(FORMAT) {
            let problem = format!("expected \"{FORMAT}\", found {}", head.format);
            return Err(Error::request("format", problem));
        }
        if head.version() != Some(VERSION) {
            let problem = format!("expected {VERSION}, found {}", head.version);
            return Err(Error::request("version", problem));
        }
        // From the text once more, so that an error tells its line.
        let told: Description = serde_json::from_str(text).map_err(wrong)?;
        if !WIDTHS.contains(&told.width) {
            let (least, most) = (WIDTHS.start(), WIDTHS.end());
            let problem = format!(
                "expected a number from {least:e} to {most:e}, found {:e}",
                told.width
            );
            return Err(Error::request("width", problem));
        }
        let train_steps = told.train_steps.unwrap_or(TRAIN_STEPS);
        let name = told.noise_schedule.unwrap_or(NoiseScheduleName::Cosine);
        let schedule = NoiseSchedule::named(name, train_steps)
            .map_err(|error| Error::request("train_steps", error.to_string()))?;
        let centres = told.centres(open)?;
        let draws = told.draws.unwrap_or(DRAWS);
        if draws == 0 || draws.saturating_mul(centres.dims()) > MOST {
            let most = MOST / centres.dims().max(1);
            let problem = format!("expected 1 to {most}, found {draws}");
            return Err(Error::request("draws", problem));
        }
        Ok(Self {
            name: format!("{}, blurred by {}", centres.name(), told.width),
            network: ImageMixture::new(schedule, &centres, told.width)?,
            draws,
            seed: told.seed.unwrap_or(0),
        })
    }

    /// The perfect network.
    pub fn network(&self) -> &ImageMixture {
        &self.network
    }

    /// Draws of the mixture: the data of a split, which the other split does not share.
    ///
    /// # Errors
    /// Those of [`ImageSet::from_array`].
    pub fn draws(&self, split: Split) -> Result<ImageSet> {
        // The seed itself is that of the centres.
        let seed = self.seed.wrapping_add(match split {
            Split::Train => 1,
            Split::Test => 2,
        });
        let shape = self.network.shape();
        let mut all = Array2::zeros((self.draws, shape.iter().product()));
        let rows = all.axis_iter_mut(Axis(0)).into_par_iter().enumerate();
        rows.for_each(|(i, mut row)| {
            let datum = self.network.sample(seed, i as u64);
            row.iter_mut().zip(&datum).for_each(|(x, &y)| *x = y);
        });
        let shape = [&[self.draws], &shape[..]].concat();
        let all = all
            .into_shape_with_order(shape)
            .map_err(|error| Error::request("draws", error.to_string()))?;
        let name = format!("draws of {}, {split}", self.name);
        Ok(ImageSet::from_array(name, all.view())?.with_named_split())
    }
}

impl Description {
    /// The centres of the mixture: points of a pattern, or images.
    fn centres(&self, open: &mut dyn FnMut(&Path, Split) -> Result<ImageSet>) -> Result<ImageSet> {
        let refuse = |field: &'static str, given: bool, goes_with: &str| match given {
            true => Err(Error::request(
                field,
                format!("expected none: it goes with \"{goes_with}\""),
            )),
            false => Ok(()),
        };
        match (self.pattern, &self.images) {
            (Some(pattern), None) => {
                refuse("split", self.split.is_some(), "images")?;
                refuse("limit", self.limit.is_some(), "images")?;
                let asked = |field, asked: Option<usize>| {
                    asked.ok_or_else(|| {
                        Error::request(field, "expected a number, as \"pattern\" needs it")
                    })
                };
                let count = asked("points", self.points)?;
                let dimensions = asked("dimensions", self.dimensions)?;
                if count.saturating_mul(dimensions) > MOST_OF_A_PATTERN {
                    let problem = format!(
                        "expected at most {MOST_OF_A_PATTERN} coordinates, found {count} points of {dimensions}"
                    );
                    return Err(Error::request("points", problem));
                }
                let all = centres(pattern, count, dimensions, self.seed.unwrap_or(0))?;
                let name = format!("{count} points of {pattern} in {dimensions} dimensions");
                Ok(ImageSet::from_array(name, all.view())?)
            }
            (None, Some(path)) => {
                refuse("points", self.points.is_some(), "pattern")?;
                refuse("dimensions", self.dimensions.is_some(), "pattern")?;
                let all = open(path, self.split.unwrap_or(Split::Train))?;
                match self.limit {
                    None => Ok(all),
                    Some(limit) if (1..=all.len()).contains(&limit) => {
                        let first: Vec<usize> = (0..limit).collect();
                        Ok(all.subset(&first)?)
                    }
                    Some(limit) => {
                        let problem = format!(
                            "expected 1 to {}, the images there are, found {limit}",
                            all.len()
                        );
                        Err(Error::request("limit", problem))
                    }
                }
            }
            (found, _) => {
                let found = if found.is_some() { "both" } else { "neither" };
                Err(Error::request(
                    "pattern",
                    format!("expected one of \"pattern\" and \"images\", found {found}"),
                ))
            }
        }
    }
}
