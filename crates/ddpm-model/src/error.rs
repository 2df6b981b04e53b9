//! The error of this crate: what was expected, what was found, and what to do.

use std::path::PathBuf;

use ddpm_files::FileError;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Everything that can go wrong between a checkpoint file and a prediction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read the file.
    #[error(transparent)]
    File(#[from] FileError),

    /// The file is none of the formats that hold weights.
    #[error("{} is not a checkpoint: found {found}; expected a PyTorch .pt file (zip or legacy stream) or a .safetensors file that holds one plain state dict, or a folder of a diffusers UNet2DModel", path.display())]
    NotACheckpoint {
        /// The file asked for.
        path: PathBuf,
        /// What the file is instead.
        found: String,
    },

    /// The file ends before its contents do.
    #[error("{} is truncated: {detail}; copy or download it again", path.display())]
    Truncated {
        /// The file asked for.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },

    /// The file has the right format and impossible contents.
    #[error("{} is damaged: {detail}", path.display())]
    Damaged {
        /// The file asked for.
        path: PathBuf,
        /// What is impossible.
        detail: String,
    },

    /// The file is whole and of a kind that is not read.
    #[error("{} is of a kind that is not supported: {detail}", path.display())]
    Unsupported {
        /// The file asked for.
        path: PathBuf,
        /// What is not supported.
        detail: String,
    },

    /// A Python object stands where weights are expected.
    #[error("{} is refused: its pickle asks for `{global}` in place of weights, and only tensors, storages and dictionaries are read (nothing was executed)", path.display())]
    ForbiddenGlobal {
        /// The file asked for.
        path: PathBuf,
        /// `module name` as the pickle spells it.
        global: String,
    },

    /// A weight that the architecture needs is absent.
    #[error("missing key `{key}`: expected a tensor of shape {expected}")]
    MissingKey {
        /// Name in the state dict.
        key: String,
        /// Shape that the architecture gives it, as far as it is known.
        expected: String,
    },

    /// The state dict holds tensors that no layer uses.
    #[error("extra key{} {}: no layer of the inferred architecture uses {}",
        if keys.len() == 1 { "" } else { "s" }, quote(keys), if keys.len() == 1 { "it" } else { "them" })]
    ExtraKeys {
        /// Their names, sorted.
        keys: Vec<String>,
    },

    /// A weight has another shape than its layer.
    #[error("wrong shape of key `{key}`: expected {expected:?}, found {found:?}")]
    WrongShape {
        /// Name in the state dict.
        key: String,
        /// Shape that the architecture gives it.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },

    /// A weight is not made of floating-point numbers.
    #[error("key `{key}` holds {found}, expected floating-point numbers")]
    WrongType {
        /// Name in the state dict.
        key: String,
        /// Element type in the file.
        found: &'static str,
    },

    /// Weights and normalisation of a layer give no finite numbers.
    #[error(
        "layer `{key}` is not finite in output channel {channel}, expected finite weights and positive variances"
    )]
    NotFinite {
        /// The layer.
        key: String,
        /// Output channel.
        channel: usize,
    },

    /// The instruction set asked for is not to be had.
    #[error("environment variable {variable} is {detail}")]
    Isa {
        /// Name of the variable.
        variable: &'static str,
        /// What it holds and what was expected.
        detail: String,
    },

    /// The device asked for is not to be had.
    #[error("cannot use the device `{name}`: {detail}")]
    Device {
        /// Name of the device.
        name: &'static str,
        /// Why not.
        detail: String,
    },

    /// The weights are not those of a supported UNet.
    #[error("cannot infer a UNet from the weights: {0}")]
    Architecture(String),

    /// The weights are those of no network that features are known of.
    #[error("{} is no feature network that is known: {detail}", path.display())]
    UnknownNetwork {
        /// The checkpoint.
        path: PathBuf,
        /// What was found and what was expected.
        detail: String,
    },

    /// What weights cannot tell was not given.
    #[error("weights cannot tell {}: give {}, or put {} into model.json beside the checkpoint", each(.0, |m| m.what.to_owned()), each(.0, |m| m.flag.to_owned()), each(.0, |m| format!("\"{}\"", m.key)))]
    MissingOptions(Vec<MissingOption>),

    /// An option contradicts the weights or itself.
    #[error("invalid {key}: {detail}")]
    InvalidOption {
        /// Key of `model.json`, the flag in snake_case.
        key: &'static str,
        /// What was found and expected.
        detail: String,
    },

    /// `model.json`, or a JSON file of diffusers, cannot be used.
    #[error("{}: {detail}", path.display())]
    ModelFile {
        /// The JSON file.
        path: PathBuf,
        /// What is wrong with it.
        detail: String,
    },

    /// A weight would change when stored at the precision asked for.
    #[error(
        "key `{key}` holds {value}, which {precision} cannot represent exactly; save at a higher precision"
    )]
    NotRepresentable {
        /// Name in the state dict.
        key: String,
        /// The first value that would change.
        value: f64,
        /// Name of the precision.
        precision: &'static str,
    },

    /// Weights could not be written in the asked format.
    #[error("cannot save the weights: {0}")]
    Save(String),

    /// Images, timesteps or labels do not fit the network.
    #[error("invalid network input: {0}")]
    Input(String),

    /// Activations of a batch have no room.
    #[error(
        "no room for another {megabytes:.0} MB of the activations of a batch; expected fewer images in it, or more memory"
    )]
    Memory {
        /// What was asked for in one piece, in units of 1e6 bytes.
        megabytes: f64,
    },

    /// candle failed; a bug unless memory ran out.
    #[cfg(feature = "candle")]
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),

    /// The diffusion process is impossible.
    #[error(transparent)]
    Process(#[from] ddpm_core::Error),
}

impl Error {
    /// The same error with the names that the state dict has in its file, where each begins with `prefix`.
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        match &mut self {
            Self::MissingKey { key, .. }
            | Self::WrongShape { key, .. }
            | Self::WrongType { key, .. } => key.insert_str(0, prefix),
            Self::ExtraKeys { keys } => keys.iter_mut().for_each(|key| key.insert_str(0, prefix)),
            _ => {}
        }
        self
    }

    pub(crate) fn option(key: &'static str, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::InvalidOption { key, detail }
    }
}

fn quote(keys: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = keys.iter().take(SHOWN).map(|key| format!("`{key}`"));
    let text = shown.collect::<Vec<_>>().join(", ");
    match keys.len().saturating_sub(SHOWN) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// Something that weights cannot tell and nobody has told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingOption {
    /// The value in words.
    pub what: &'static str,
    /// Command-line flag with its value.
    pub flag: &'static str,
    /// Key of `model.json`.
    pub key: &'static str,
}

impl MissingOption {
    /// The command-line flag alone.
    pub fn name(&self) -> &'static str {
        self.flag.split(' ').next().unwrap_or(self.flag)
    }
}

/// A list in words: "a, b and c".
fn each(missing: &[MissingOption], word: impl Fn(&MissingOption) -> String) -> String {
    let words: Vec<String> = missing.iter().map(word).collect();
    match words.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
