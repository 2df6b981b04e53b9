//! The file of stored trajectories: safetensors, with one JSON document in the metadata.
//!
//! # Version 1
//!
//! The metadata has the single key `ddpm`, whose value is the compact JSON text of `{"format": "ddpm-trajectories", "version": 1,
//! "origin": {..}, "growth": [..], "trials": [..], "checksum": ".."}`. `checksum` is the SHA-256 of that text with an empty checksum and of
//! every tensor, as in a profile.
//!
//! | name | type | shape | content |
//! |---|---|---|---|
//! | `log_alpha_bar` | F64 | \[T+1\] | the noise schedule, index t |
//! | `timesteps` | U64 | \[N\] | the nodes, ascending, without 0 |
//! | `states` | F32 | \[images, N, C, H, W\] | x_t |
//! | `estimates` | F32 | \[images, N, C, H, W\] | the network's estimate of x_0 there, clipped if the origin says so |

use std::collections::{BTreeMap, HashMap};

use ddpm_core::NoiseSchedule;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};

use super::growth::GrowthPoint;
use super::store::{Trajectories, TrajectoryOrigin, Trial};
use crate::checksum::Checksum;
use crate::error::{Error, Result};
use crate::tensors::{Reader, index};

const FORMAT: &str = "ddpm-trajectories";
const WHAT: &str = "trajectories file";
const METADATA_KEY: &str = "ddpm";
const VERSION: u64 = 1;

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u64,
    origin: TrajectoryOrigin,
    growth: Vec<GrowthPoint>,
    trials: Vec<Trial>,
    checksum: String,
}

fn bytes_of<const N: usize>(words: impl Iterator<Item = [u8; N]>) -> Vec<u8> {
    words.flatten().collect()
}

impl Trajectories {
    /// Whether bytes look like the beginning of a trajectories file; says nothing about their soundness.
    pub fn is_file_of(bytes: &[u8]) -> bool {
        let Ok((_, metadata)) = SafeTensors::read_metadata(bytes) else {
            return false;
        };
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(METADATA_KEY));
        text.is_some_and(|text| text.contains(&format!("\"format\":\"{FORMAT}\"")))
    }

    /// The trajectories as the bytes of a file; equal trajectories give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let [c, h, w] = self.origin.image_shape;
        let shape = vec![self.images(), self.nodes.len(), c, h, w];
        let f32s = |values: &[f32]| bytes_of(values.iter().map(|x| x.to_le_bytes()));
        let tensors: BTreeMap<&str, (Dtype, Vec<usize>, Vec<u8>)> = BTreeMap::from([
            (
                "estimates",
                (Dtype::F32, shape.clone(), f32s(&self.estimates)),
            ),
            (
                "log_alpha_bar",
                (
                    Dtype::F64,
                    vec![self.schedule.train_steps() + 1],
                    bytes_of(
                        self.schedule
                            .log_alpha_bars()
                            .iter()
                            .map(|x| x.to_le_bytes()),
                    ),
                ),
            ),
            ("states", (Dtype::F32, shape, f32s(&self.states))),
            (
                "timesteps",
                (
                    Dtype::U64,
                    vec![self.nodes.len()],
                    bytes_of(self.nodes.iter().map(|&t| (t as u64).to_le_bytes())),
                ),
            ),
        ]);
        let mut header = Header {
            format: FORMAT.into(),
            version: VERSION,
            origin: self.origin.clone(),
            growth: self.growth.clone(),
            trials: self.trials.clone(),
            checksum: String::new(),
        };
        let parts = tensors
            .iter()
            .map(|(name, (dtype, shape, data))| (*name, *dtype, &shape[..], &data[..]));
        header.checksum = checksum(&header, parts);
        let views = tensors.iter().map(|(name, (dtype, shape, data))| {
            let view = TensorView::new(*dtype, shape.clone(), data);
            (
                *name,
                view.expect("a tensor's bytes are made from its shape"),
            )
        });
        let metadata = HashMap::from([(METADATA_KEY.to_owned(), json(&header))]);
        safetensors::serialize(views, Some(metadata)).expect("the header of trajectories is small")
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Error::NotTrajectories`] for anything that is not such a file, or is cut short; [`Error::NewerVersion`]; [`Error::Checksum`];
    /// [`Error::Field`] for a tensor that is missing, unknown or of another shape; and everything that [`Trajectories::new`] refuses.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let broken = |e: safetensors::SafeTensorError| {
            Error::NotTrajectories(format!(
                "the safetensors container is damaged or cut short ({e})"
            ))
        };
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(broken)?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get(METADATA_KEY));
        let text = text.ok_or_else(|| {
            Error::NotTrajectories(format!("expected the metadata key \"{METADATA_KEY}\""))
        })?;
        let header = read_header(text)?;
        let file = SafeTensors::deserialize(bytes).map_err(broken)?;
        let sorted: BTreeMap<String, TensorView<'_>> = file.tensors().into_iter().collect();
        let blank = Header {
            checksum: String::new(),
            ..header.clone()
        };
        let parts = sorted
            .iter()
            .map(|(name, t)| (&name[..], t.dtype(), t.shape(), t.data()));
        let found = checksum(&blank, parts);
        if found != header.checksum {
            return Err(Error::Checksum {
                what: WHAT,
                expected: header.checksum,
                found,
            });
        }
        let reader = Reader { file: &file };
        reader.no_others(4)?;
        let steps = header.origin.train_steps;
        let logs: Vec<f64> = reader
            .words("log_alpha_bar", Dtype::F64, &[steps + 1])?
            .skip(1)
            .map(f64::from_le_bytes)
            .collect();
        let schedule = NoiseSchedule::from_log_alpha_bar(&logs)?;
        let n = reader.length("timesteps")?;
        let nodes = reader
            .words("timesteps", Dtype::U64, &[n])?
            .map(index)
            .collect();
        let [c, h, w] = header.origin.image_shape;
        let shape = [header.origin.images.len(), n, c, h, w];
        let states = reader.singles("states", &shape)?;
        let estimates = reader.singles("estimates", &shape)?;
        Self::new(header.origin, schedule, nodes, states, estimates)?
            .with_growth(header.growth)?
            .with_trials(header.trials)
    }
}

fn json(header: &Header) -> String {
    serde_json::to_string(header)
        .expect("strings, finite numbers and maps of strings have a JSON form")
}

fn checksum<'a>(
    header: &Header,
    tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize], &'a [u8])>,
) -> String {
    let mut sum = Checksum::default();
    sum.part(json(header).as_bytes());
    for (name, dtype, shape, data) in tensors {
        sum.part(name.as_bytes());
        sum.part(format!("{dtype:?} {shape:?}").as_bytes());
        sum.part(data);
    }
    sum.finish()
}

fn read_header(text: &str) -> Result<Header> {
    let not = Error::NotTrajectories;
    let value: serde_json::Value =
        serde_json::from_str(text).map_err(|e| not(format!("its metadata is not JSON ({e})")))?;
    if value["format"] != FORMAT {
        return Err(not(format!(
            "expected format \"{FORMAT}\", found {}",
            value["format"]
        )));
    }
    match value["version"].as_u64() {
        Some(found) if found > VERSION => Err(Error::NewerVersion {
            what: WHAT,
            supported: VERSION,
            found,
        }),
        Some(VERSION) => serde_json::from_str(text)
            .map_err(|e| not(format!("its metadata does not fit version {VERSION} ({e})"))),
        _ => Err(not(format!(
            "expected a format version, found {}",
            value["version"]
        ))),
    }
}
