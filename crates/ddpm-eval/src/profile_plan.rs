//! What to profile, and how the run names itself so that its parts find each other again.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ddpm_core::{Bands, Denoiser, ModelId};
use ddpm_data::{ImageSet, Split, selection};
use ddpm_files::Sha256;
use ddpm_profile::ProfileLayout;
use ddpm_schedule::Provenance;

use crate::error::{Error, Result};
use crate::network::labels_for;

/// What to profile.
///
/// [`batch`](Self::batch) and [`shard`](Self::shard) share the work out, [`save_every`](Self::save_every) says how much of
/// it a crash may cost; they change no number. Everything else is part of the run's identity.
#[derive(Clone, Debug)]
pub struct ProfilePlan {
    /// Timesteps to evaluate, strictly increasing in 1..=T; see [`timesteps_for`](crate::timesteps_for).
    pub timesteps: Vec<usize>,
    /// Indices of the images in the data set, all different, in the order of the run; see
    /// [`selection`](ddpm_data::selection).
    pub images: Vec<usize>,
    /// Images per block. Error bars want at least 32 blocks.
    pub images_per_block: usize,
    /// Seed of the noise.
    pub seed: u64,
    /// Whether estimates of x0 are clamped to [-1, 1].
    pub clip_denoised: bool,
    /// Chebyshev nodes per column of the learned variance; see [`ProfileLayout::DEFAULT_NODES`].
    pub nodes: usize,
    /// The bands of frequencies whose statistics are kept, which calibrated kernels need.
    pub bands: ProfileBands,
    /// Images per network call; 0 for what the network likes.
    pub batch: usize,
    /// `(i, n)` with i < n: only the i-th of n consecutive shares of the blocks.
    pub shard: Option<(usize, usize)>,
    /// How long finished blocks may go unsaved; zero saves after every block.
    pub save_every: Duration,
}

/// The bands of frequencies whose statistics a profile keeps.
#[derive(Clone, Debug, PartialEq)]
pub enum ProfileBands {
    /// Those of the network's data, [`Bands::of_shape`]; none for data too large for them ([`Bands::check_size`]).
    Usual,
    /// These.
    Stated(Arc<Bands>),
    /// None: no calibrated kernels can be chosen on the profile.
    None,
}

impl ProfileBands {
    /// For data of this shape.
    ///
    /// # Errors
    /// When the data have no numbers, or the stated bands are of another shape.
    pub fn of(&self, shape: &[usize]) -> Result<Option<Bands>> {
        match self {
            Self::Usual if Bands::check_size(shape).is_err() => Ok(None),
            Self::Usual => Ok(Some(Bands::of_shape(shape)?)),
            Self::Stated(bands) if bands.shape() == shape => Ok(Some(Bands::clone(bands))),
            Self::Stated(bands) => Err(Error::request(
                "bands",
                format!(
                    "expected those of data of shape {shape:?}, found shape {:?}",
                    bands.shape()
                ),
            )),
            Self::None => Ok(None),
        }
    }
}

impl ProfilePlan {
    /// Blocks of images where nobody says how many: enough for error bars.
    pub const BLOCKS: usize = 32;

    /// Between two saves of a run: little to lose, and saving stays cheap beside measuring.
    pub const SAVE_EVERY: Duration = Duration::from_secs(20);

    /// A plan for these images and timesteps with the usual settings: at least `blocks` blocks (where there are as many
    /// images) of equal size (the last may be smaller), [`ProfileLayout::DEFAULT_NODES`], with bands, clipped estimates, no shard, the
    /// network's favourite batch, [`ProfilePlan::SAVE_EVERY`].
    pub fn new(timesteps: Vec<usize>, images: Vec<usize>, blocks: usize, seed: u64) -> Self {
        let images_per_block = (images.len() / blocks.max(1)).max(1);
        Self {
            timesteps,
            images,
            images_per_block,
            seed,
            clip_denoised: true,
            nodes: ProfileLayout::DEFAULT_NODES,
            bands: ProfileBands::Usual,
            batch: 0,
            shard: None,
            save_every: Self::SAVE_EVERY,
        }
    }

    /// The provenance of the run: what the network, the images of `split` and the plan say of themselves.
    ///
    /// # Errors
    /// When images are missing, repeated or beyond the set, or cannot be read, blocks are empty, or labels do not fit the network.
    pub fn provenance(
        &self,
        denoiser: &dyn Denoiser,
        data: &ImageSet,
        split: Split,
    ) -> Result<Provenance> {
        self.check_images(data)?;
        let mut extra = BTreeMap::new();
        if let Some(labels) = labels_for(denoiser, data)? {
            // A conditional network's numbers depend on them, and the hash of the images does not cover them.
            let labels = self.images.iter().map(|&i| labels[i]);
            extra.insert("labels_sha256".to_owned(), hash_integers(labels));
        }
        if split == Split::Test {
            // Tells these from profiles of the time when both splits met the same noise.
            extra.insert("noise_streams".to_owned(), "test".to_owned());
        }
        Ok(Provenance {
            model: ModelId::of(denoiser, self.clip_denoised),
            data_sha256: data.sha256()?,
            data_name: data.name().to_owned(),
            split: split.to_string(),
            stand_in: data.stand_in(),
            seed: self.seed,
            total_images: self.images.len() as u64,
            images_per_block: self.images_per_block as u64,
            total_blocks: self.images.len().div_ceil(self.images_per_block) as u64,
            library_version: env!("CARGO_PKG_VERSION").to_owned(),
            image_order: self.image_order(data.len()),
            extra,
        })
    }

    /// The seeded selection by its name, any other list of images by its hash.
    fn image_order(&self, set: usize) -> String {
        if self.images == selection(self.seed, set, self.images.len()) {
            return format!("first {} of the permutation of the seed", self.images.len());
        }
        format!(
            "indices with sha256 {}",
            hash_integers(self.images.iter().copied())
        )
    }

    fn check_images(&self, data: &ImageSet) -> Result<()> {
        if self.images_per_block == 0 {
            return Err(Error::request(
                "images per block",
                "expected at least 1, found 0",
            ));
        }
        if self.images.is_empty() {
            return Err(Error::request("images", "expected at least one image"));
        }
        data.check_indices("images", &self.images)?;
        let mut seen = vec![false; data.len()];
        for &i in &self.images {
            if std::mem::replace(&mut seen[i], true) {
                return Err(Error::request(
                    "images",
                    format!("expected each image once, found {i} twice"),
                ));
            }
        }
        Ok(())
    }

    /// The blocks that this run computes, of `total`.
    pub(crate) fn blocks(&self, total: u64) -> Result<Range<u64>> {
        let Some((i, n)) = self.shard else {
            return Ok(0..total);
        };
        if i >= n {
            return Err(Error::request(
                "shard",
                format!("expected i/n with i below n, found {i}/{n}"),
            ));
        }
        if n as u64 > total {
            return Err(Error::request(
                "shard",
                format!("expected at most {total} shards (one per block of images), found {n}"),
            ));
        }
        let share = |i: usize| (u128::from(total) * i as u128 / n as u128) as u64;
        Ok(share(i)..share(i + 1))
    }
}

fn hash_integers(integers: impl Iterator<Item = usize>) -> String {
    let mut hash = Sha256::default();
    for i in integers {
        hash.update((i as u64).to_le_bytes());
    }
    hash.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_the_blocks_out_without_gap_or_overlap() {
        let mut plan = ProfilePlan::new(vec![1], (0..10).collect(), 10, 0);
        for n in 1..=10 {
            let mut next = 0;
            for i in 0..n {
                plan.shard = Some((i, n));
                let blocks = plan.blocks(10).unwrap();
                assert_eq!(blocks.start, next);
                assert!(!blocks.is_empty());
                next = blocks.end;
            }
            assert_eq!(next, 10);
        }
        plan.shard = Some((2, 2));
        assert!(
            plan.blocks(10)
                .unwrap_err()
                .to_string()
                .contains("found 2/2")
        );
        plan.shard = Some((0, 11));
        assert!(
            plan.blocks(10)
                .unwrap_err()
                .to_string()
                .contains("at most 10 shards")
        );
    }

    #[test]
    fn there_are_at_least_as_many_blocks_as_asked_for() {
        let plan =
            |images: usize, blocks| ProfilePlan::new(vec![1], (0..images).collect(), blocks, 0);
        assert_eq!(plan(512, 32).images_per_block, 16);
        assert_eq!(plan(63, 32).images_per_block, 1);
        assert_eq!(plan(64, 32).images_per_block, 2);
        assert_eq!(plan(3, 32).images_per_block, 1);
        assert_eq!(plan(3, 0).images_per_block, 3);
    }
}
