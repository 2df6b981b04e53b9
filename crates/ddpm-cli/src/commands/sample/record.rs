//! OUT.run.json: how samples were made, for whoever goes on with them or starts from their noise.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::input::{read_bytes, write_file};

const FORMAT: &str = "ddpm-samples";
const VERSION: u32 = 1;

/// Everything that decides the pixels of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    pub(super) format: String,
    pub(super) version: u32,
    pub(super) seed: u64,
    pub(super) start_index: usize,
    pub(super) count: usize,
    /// Of every image; `None` for classes in turn, or no classes.
    pub(super) class: Option<usize>,
    pub(super) image_shape: Vec<usize>,
    pub(super) sampler: String,
    /// Of DDIM.
    pub(super) eta: Option<f64>,
    /// Of ddpm.
    pub(super) variance: Option<String>,
    /// Log-variance of every step in ascending t, where they are numbers.
    pub(super) log_variance: Option<Vec<Option<f64>>>,
    pub(super) clip_last_noise: Option<f64>,
    pub(super) clip_denoised: bool,
    pub(super) path: Vec<usize>,
    #[serde(rename = "T")]
    pub(super) train_steps: usize,
    pub(super) noise_schedule: String,
    pub(super) checkpoint_sha256: String,
    pub(super) rescale_timesteps: bool,
    pub(super) precision: String,
    /// What else decides the network's output and its weights do not tell.
    pub(super) network: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn format() -> (String, u32) {
        (FORMAT.to_owned(), VERSION)
    }

    /// The file that goes with an output.
    pub(super) fn beside(out: &Path) -> PathBuf {
        super::with_ending(out, "run.json")
    }

    /// Reads the record of `out`, which may be its name itself.
    ///
    /// # Errors
    /// A file that is absent or no record.
    pub(super) fn read(out: &Path) -> Result<Self> {
        let itself = out.to_string_lossy().ends_with(".run.json");
        let file = match itself {
            true => out.to_owned(),
            false => Self::beside(out),
        };
        let bytes = read_bytes(&file)?;
        let wrong = |problem: String| {
            Error::file(
                &file,
                format!("expected what `ddpm sample` writes beside its samples: {problem}"),
            )
        };
        let value: Value = serde_json::from_slice(&bytes).map_err(|e| wrong(e.to_string()))?;
        if value["format"] != FORMAT || value["version"] != VERSION {
            return Err(wrong(format!(
                "format {FORMAT:?} version {VERSION}, found {} version {}",
                value["format"], value["version"]
            )));
        }
        let record: Self = serde_json::from_value(value).map_err(|e| wrong(e.to_string()))?;
        // The limits of the flags.
        if record.count == 0 || u32::try_from(record.count).is_err() {
            return Err(wrong(format!(
                "count of 1 to {}, found {}",
                u32::MAX,
                record.count
            )));
        }
        if record.start_index >= 1 << 55 {
            return Err(wrong(format!(
                "start_index below 2^55, found {}",
                record.start_index
            )));
        }
        Ok(record)
    }

    /// Writes the record of `out`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn write(&self, out: &Path) -> Result<()> {
        let mut text = serde_json::to_string_pretty(self)
            .map_err(|error| Error::Internal(error.to_string()))?;
        text.push('\n');
        write_file(&Self::beside(out), text.as_bytes())
    }

    /// Refuses to add to the samples of a run that differs in more than their number.
    ///
    /// # Errors
    /// Names the first field that differs.
    pub(super) fn check_same_run(&self, earlier: &Self, out: &Path) -> Result<()> {
        let [new, old] = [self, earlier].map(serde_json::to_value);
        let (Ok(Value::Object(new)), Ok(Value::Object(old))) = (new, old) else {
            return Err(Error::Internal("a record is an object".to_owned()));
        };
        match new
            .iter()
            .find(|(key, value)| *key != "count" && old.get(*key) != Some(value))
        {
            None => Ok(()),
            Some((key, value)) => Err(Error::file(
                &Self::beside(out),
                format!(
                    "cannot resume: {key} differs: expected {value} (this run's), found {}; name another --out",
                    old.get(key).unwrap_or(&Value::Null)
                ),
            )),
        }
    }
}
