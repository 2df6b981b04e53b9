//! Where the numbers of a profile come from: everything that must agree before two profiles may be added.

use std::collections::BTreeMap;

use ddpm_core::{Difference, ModelId, NetworkId, differences, extra_differences};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The origin and the conventions of a profile. No timestamps and no paths: the same run gives the same bytes.
///
/// Two profiles of one run agree in every field; merging refuses any other pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub struct Provenance {
    /// The network and its process.
    pub model: ModelId,
    /// SHA-256 of the image set.
    pub data_sha256: String,
    /// Name of the image set.
    pub data_name: String,
    /// Which part of it: `train` or `test`.
    pub split: String,
    /// Whether the images stand in for a data set that could not be had.
    pub stand_in: bool,
    /// Seed of the noise and of the choice of images.
    pub seed: u64,
    /// Images of the whole run.
    pub total_images: u64,
    /// Images per block; the last block may have fewer.
    pub images_per_block: u64,
    /// Blocks of the whole run.
    pub total_blocks: u64,
    /// Version of this library.
    pub library_version: String,
    /// How the images were chosen and ordered.
    pub image_order: String,
    /// What else tells of the images and their noise ([`OF_THE_IMAGES`](Self::OF_THE_IMAGES)).
    pub extra: BTreeMap<String, String>,
}

impl Provenance {
    /// The keys that [`extra`](Self::extra) can have. A file keeps them in one map with the settings of the network.
    pub const OF_THE_IMAGES: [&'static str; 5] = [
        "labels_sha256",
        "noise_streams",
        Self::EIGHT_BIT,
        Self::SATURATED,
        Self::IMAGES_OF_BLOCKS,
    ];
    /// The key of [`extra`](Self::extra) that says whether every number of the data is an 8-bit level of \[-1, 1\]: `true` or `false`.
    pub const EIGHT_BIT: &'static str = "eight_bit";
    /// The key of [`extra`](Self::extra) with the fraction of the numbers of the data that are -1 or 1.
    pub const SATURATED: &'static str = "saturated";

    /// The key of [`extra`](Self::extra) with the numbers of images of blocks that are not of one size: numbers with commas between, block
    /// after block. Recordings of other programs have such blocks.
    pub const IMAGES_OF_BLOCKS: &'static str = "images_of_blocks";

    /// The numbers of images of the blocks, where they are told one by one; an entry that is no number is 0.
    fn images_of_blocks(&self) -> Option<Vec<u64>> {
        let told = self.extra.get(Self::IMAGES_OF_BLOCKS)?;
        Some(told.split(',').map(|n| n.parse().unwrap_or(0)).collect())
    }

    /// Whether the data can be 8-bit images: as whoever recorded them has seen, else as the network's shape and clipping allow.
    pub fn may_hold_pixels(&self) -> bool {
        match self.extra.get(Self::EIGHT_BIT) {
            Some(seen) => seen == "true",
            None => self.model.may_hold_pixels(),
        }
    }

    /// The number of images that block `id` of the run must have; `None` if there is no such block.
    pub fn block_images(&self, id: u64) -> Option<u64> {
        if let Some(told) = self.images_of_blocks() {
            return told.get(usize::try_from(id).ok()?).copied();
        }
        let begin = id.checked_mul(self.images_per_block)?;
        (id < self.total_blocks).then(|| self.images_per_block.min(self.total_images - begin))
    }

    /// Checks that the plan of blocks is consistent.
    ///
    /// # Errors
    /// [`Error::Field`].
    pub fn check(&self, train_steps: usize) -> Result<()> {
        if self.model.train_steps != train_steps {
            return Err(Error::field(
                "train_steps",
                format!("{train_steps}, as the noise schedule has"),
                self.model.train_steps,
            ));
        }
        for (name, value) in [
            ("total_images", self.total_images),
            ("images_per_block", self.images_per_block),
        ] {
            if value == 0 {
                return Err(Error::field(name, "at least 1", "0"));
            }
        }
        if let Some(told) = self.images_of_blocks() {
            let total = told.iter().try_fold(0u64, |sum, &n| sum.checked_add(n));
            let all = told.len() as u64 == self.total_blocks && total == Some(self.total_images);
            if all && told.iter().all(|&n| n > 0) {
                return Ok(());
            }
            let expected = format!(
                "{} numbers of images above 0, {} in all",
                self.total_blocks, self.total_images
            );
            let found = &self.extra[Self::IMAGES_OF_BLOCKS];
            return Err(Error::field(Self::IMAGES_OF_BLOCKS, expected, found));
        }
        let blocks = self.total_images.div_ceil(self.images_per_block);
        if self.total_blocks != blocks {
            return Err(Error::field(
                "total_blocks",
                format!(
                    "{blocks} for {} images in blocks of {}",
                    self.total_images, self.images_per_block
                ),
                self.total_blocks,
            ));
        }
        Ok(())
    }

    /// Every fact in which another run differs: none where both are parts of one run.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = self.model.differences(&other.model);
        found.extend(differences(self.facts(), other.facts()));
        found.extend(extra_differences(&self.extra, &other.extra));
        found
    }

    /// Refuses another run, and a run of a network that nobody vouches for.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with the first fact that differs; [`Error::Unsupported`] for an unknown network.
    pub fn check_same(&self, other: &Self) -> Result<()> {
        if let Some(first) = self.differences(other).into_iter().next() {
            return Err(Error::Mismatch(first));
        }
        check_known(&self.model)
    }

    fn facts(&self) -> [(&'static str, String); 10] {
        [
            ("data_sha256", self.data_sha256.clone()),
            ("data_name", self.data_name.clone()),
            ("split", self.split.clone()),
            ("stand_in", self.stand_in.to_string()),
            ("seed", self.seed.to_string()),
            ("total_images", self.total_images.to_string()),
            ("images_per_block", self.images_per_block.to_string()),
            ("total_blocks", self.total_blocks.to_string()),
            ("library_version", self.library_version.clone()),
            ("image_order", self.image_order.clone()),
        ]
    }
}

/// Refuses to join or to continue what may be of different networks.
///
/// # Errors
/// [`Error::Unsupported`] for a model that nobody vouches for.
pub fn check_known(model: &ModelId) -> Result<()> {
    if model.network.is_known() {
        Ok(())
    } else {
        Err(Error::Unsupported(
            "the network is unknown: expected the hash of its checkpoint or a name of yours, without which its runs are neither resumed nor merged"
                .into(),
        ))
    }
}

/// The JSON form.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    checkpoint_sha256: String,
    data_sha256: String,
    data_name: String,
    split: String,
    stand_in: bool,
    seed: u64,
    clip_denoised: bool,
    noise_schedule: String,
    train_steps: usize,
    image_shape: Vec<usize>,
    parameterization: String,
    rescale_timesteps: bool,
    precision: String,
    total_images: u64,
    images_per_block: u64,
    total_blocks: u64,
    library_version: String,
    image_order: String,
    extra: BTreeMap<String, String>,
}

impl From<Provenance> for Stored {
    fn from(p: Provenance) -> Self {
        let mut extra = p.model.settings.clone();
        extra.extend(p.extra);
        Self {
            checkpoint_sha256: p.model.network.to_string(),
            data_sha256: p.data_sha256,
            data_name: p.data_name,
            split: p.split,
            stand_in: p.stand_in,
            seed: p.seed,
            clip_denoised: p.model.clip_denoised,
            noise_schedule: p.model.noise_schedule_text(),
            train_steps: p.model.train_steps,
            parameterization: p.model.parameterization_text(),
            image_shape: p.model.shape,
            rescale_timesteps: p.model.rescale_timesteps,
            precision: p.model.precision,
            total_images: p.total_images,
            images_per_block: p.images_per_block,
            total_blocks: p.total_blocks,
            library_version: p.library_version,
            image_order: p.image_order,
            extra,
        }
    }
}

impl TryFrom<Stored> for Provenance {
    type Error = ddpm_core::Error;

    fn try_from(mut stored: Stored) -> ddpm_core::Result<Self> {
        let extra = take(&mut stored.extra, &Self::OF_THE_IMAGES);
        Ok(Self {
            model: ModelId {
                network: NetworkId::of_text(&stored.checkpoint_sha256),
                noise_schedule: told(&stored.noise_schedule, "custom")?,
                train_steps: stored.train_steps,
                parameterization: told(&stored.parameterization, ModelId::UNKNOWN)?,
                rescale_timesteps: stored.rescale_timesteps,
                clip_denoised: stored.clip_denoised,
                precision: stored.precision,
                shape: stored.image_shape,
                settings: stored.extra,
            },
            data_sha256: stored.data_sha256,
            data_name: stored.data_name,
            split: stored.split,
            stand_in: stored.stand_in,
            seed: stored.seed,
            total_images: stored.total_images,
            images_per_block: stored.images_per_block,
            total_blocks: stored.total_blocks,
            library_version: stored.library_version,
            image_order: stored.image_order,
            extra,
        })
    }
}

/// A name, or nothing where the file has the word for it.
pub(crate) fn told<T: std::str::FromStr<Err = ddpm_core::Error>>(
    text: &str,
    nothing: &str,
) -> ddpm_core::Result<Option<T>> {
    if text == nothing {
        Ok(None)
    } else {
        text.parse().map(Some)
    }
}

/// The entries of these keys, which `map` loses.
pub(crate) fn take(map: &mut BTreeMap<String, String>, keys: &[&str]) -> BTreeMap<String, String> {
    let entries = keys.iter().filter_map(|&key| map.remove_entry(key));
    entries.collect()
}
