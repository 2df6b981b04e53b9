//! Where the numbers of a profile come from: everything that must agree before two profiles may be added.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// The origin and the conventions of a profile. No timestamps and no paths: the same run gives the same bytes.
///
/// Two profiles of one run agree in every field; [`crate::ElboProfile::merge`] refuses any other pair.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// SHA-256 of the checkpoint file.
    pub checkpoint_sha256: String,
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
    /// Whether xhat0 was clipped to \[-1, 1\].
    pub clip_denoised: bool,
    /// Name of the noise schedule, or `custom`.
    pub noise_schedule: String,
    /// T.
    pub train_steps: usize,
    /// The shape of one image: channels, height, width.
    pub image_shape: Vec<usize>,
    /// What the network predicts: `epsilon`, `x0` or `v`.
    pub parameterization: String,
    /// Whether the network is fed t * 1000 / T.
    pub rescale_timesteps: bool,
    /// Arithmetic of the network: `f32`, `bf16`.
    pub precision: String,
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
    /// Anything else that must agree.
    pub extra: BTreeMap<String, String>,
}

impl Provenance {
    /// Keys of [`extra`](Self::extra) that tell of the images and their noise; all others tell of the network. Two profiles of one
    /// network, train and test, differ in these alone.
    pub const EXTRA_OF_THE_IMAGES: [&'static str; 2] = ["labels_sha256", "noise_streams"];

    /// The number of images that block `id` of the run must have; `None` if there is no such block.
    pub(crate) fn block_images(&self, id: u64) -> Option<u64> {
        let begin = id.checked_mul(self.images_per_block)?;
        (id < self.total_blocks).then(|| self.images_per_block.min(self.total_images - begin))
    }

    /// Checks that the plan of blocks is consistent.
    pub(crate) fn check(&self, train_steps: usize) -> Result<()> {
        let field = |field: &str, expected: String, found: String| {
            Err(Error::Field {
                field: field.into(),
                expected,
                found,
            })
        };
        if self.train_steps != train_steps {
            return field(
                "train_steps",
                format!("{train_steps}, as the noise schedule has"),
                format!("{}", self.train_steps),
            );
        }
        if self.image_shape.is_empty() {
            return field("image_shape", "at least one axis".into(), "none".into());
        }
        for (name, value) in [
            ("total_images", self.total_images),
            ("images_per_block", self.images_per_block),
        ] {
            if value == 0 {
                return field(name, "at least 1".into(), "0".into());
            }
        }
        let blocks = self.total_images.div_ceil(self.images_per_block);
        if self.total_blocks != blocks {
            return field(
                "total_blocks",
                format!(
                    "{blocks} for {} images in blocks of {}",
                    self.total_images, self.images_per_block
                ),
                format!("{}", self.total_blocks),
            );
        }
        Ok(())
    }

    /// Refuses another origin, naming the first field that differs.
    pub(crate) fn check_same(&self, other: &Self) -> Result<()> {
        let (mine, theirs) = (self.fields()?, other.fields()?);
        for (field, first) in &mine {
            let second = theirs.get(field).unwrap_or(&serde_json::Value::Null);
            if first == second {
                continue;
            }
            if let (Some(a), Some(b)) = (first.as_object(), second.as_object()) {
                let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
                if let Some(key) = keys.into_iter().find(|key| a.get(*key) != b.get(*key)) {
                    return Err(mismatch(&format!("{field}.{key}"), a.get(key), b.get(key)));
                }
            }
            return Err(mismatch(field, Some(first), Some(second)));
        }
        Ok(())
    }

    fn fields(&self) -> Result<serde_json::Map<String, serde_json::Value>> {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::Object(fields)) => Ok(fields),
            _ => Err(Error::NotAProfile(
                "its provenance is not a JSON object".into(),
            )),
        }
    }
}

fn mismatch(field: &str, a: Option<&serde_json::Value>, b: Option<&serde_json::Value>) -> Error {
    let show = |v: Option<&serde_json::Value>| v.map_or("absent".into(), ToString::to_string);
    Error::Mismatch {
        field: field.into(),
        first: show(a),
        second: show(b),
    }
}
