//! Which network under which process: what has to agree before numbers may be compared, added or resumed.

use std::collections::BTreeMap;
use std::fmt;

use crate::{Denoiser, NoiseScheduleName, Parameterization};

/// The weights of a network, as far as somebody vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub enum NetworkId {
    /// SHA-256 of the checkpoint, hexadecimal.
    Sha256(String),
    /// A name that the user gave to a network without a file.
    Named(String),
    /// Nobody said. Such numbers are neither resumed nor merged.
    #[default]
    Unknown,
}

const UNKNOWN: &str = "unknown";
const NAMED: &str = "name:";

impl NetworkId {
    /// Reads what [`Display`](fmt::Display) prints and files store.
    pub fn of_text(text: &str) -> Self {
        match text.strip_prefix(NAMED) {
            Some(name) => Self::Named(name.to_owned()),
            None if text == UNKNOWN => Self::Unknown,
            None => Self::Sha256(text.to_owned()),
        }
    }

    /// Its first 12 characters, for titles and warnings.
    pub fn short(&self) -> String {
        self.to_string().chars().take(12).collect()
    }

    /// Whether anything vouches for the network.
    pub fn is_known(&self) -> bool {
        match self {
            Self::Sha256(text) | Self::Named(text) => !text.is_empty(),
            Self::Unknown => false,
        }
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hash) => f.write_str(hash),
            Self::Named(name) => write!(f, "{NAMED}{name}"),
            Self::Unknown => f.write_str(UNKNOWN),
        }
    }
}

/// A network under one diffusion process, with all that decides what it predicts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelId {
    /// The weights.
    pub network: NetworkId,
    /// The noise schedule; `None` for one without a name.
    pub noise_schedule: Option<NoiseScheduleName>,
    /// `T`.
    pub train_steps: usize,
    /// What the network predicts; `None` where nobody said.
    pub parameterization: Option<Parameterization>,
    /// Whether the network is fed `t * 1000 / T`.
    pub rescale_timesteps: bool,
    /// Whether estimates of `x_0` are clipped to \[-1, 1\].
    pub clip_denoised: bool,
    /// Arithmetic of the network: `f32`, `bf16`; `unknown` where nobody said.
    pub precision: String,
    /// The shape of one datum, `[C, H, W]` of images.
    pub shape: Vec<usize>,
    /// Anything else that decides the network's output, by name.
    pub settings: BTreeMap<String, String>,
}

impl ModelId {
    /// What stands for a text that nobody told.
    pub const UNKNOWN: &'static str = UNKNOWN;

    /// What a network says of itself, its estimates clipped or not.
    pub fn of(denoiser: &dyn Denoiser, clip_denoised: bool) -> Self {
        Self {
            network: denoiser.network_id(),
            noise_schedule: denoiser.noise_schedule().name(),
            train_steps: denoiser.train_steps(),
            parameterization: Some(denoiser.parameterization()),
            rescale_timesteps: denoiser.rescales_timesteps(),
            clip_denoised,
            precision: denoiser.precision().to_owned(),
            shape: denoiser.shape(),
            settings: denoiser.settings(),
        }
    }

    /// The name of the noise schedule, or `custom`.
    pub fn noise_schedule_text(&self) -> String {
        self.noise_schedule
            .map_or_else(|| "custom".to_owned(), |name| name.to_string())
    }

    /// What the network predicts, or `unknown`.
    pub fn parameterization_text(&self) -> String {
        self.parameterization
            .map_or_else(|| UNKNOWN.to_owned(), |p| p.to_string())
    }

    /// Every field in which another model differs, with both values in words, this one's first. Empty where the two are one.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        differences(self.facts(), other.facts())
    }

    /// The fields by the names that files give them.
    fn facts(&self) -> Vec<(String, String)> {
        let facts = [
            ("checkpoint_sha256", self.network.to_string()),
            ("clip_denoised", self.clip_denoised.to_string()),
            ("noise_schedule", self.noise_schedule_text()),
            ("train_steps", self.train_steps.to_string()),
            ("image_shape", format!("{:?}", self.shape)),
            ("parameterization", self.parameterization_text()),
            ("rescale_timesteps", self.rescale_timesteps.to_string()),
            ("precision", self.precision.clone()),
        ];
        let facts = facts.map(|(field, value)| (field.to_owned(), value));
        let settings = self.settings.iter();
        let settings = settings.map(|(key, value)| (format!("extra.{key}"), value.clone()));
        facts.into_iter().chain(settings).collect()
    }
}

/// A fact in which two things differ that have to agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the fact.
    pub field: String,
    /// Its value in the first thing; `absent` where it has none.
    pub first: String,
    /// Its value in the second.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} and {})", self.field, self.first, self.second)
    }
}

/// The facts that are not the same in both lists, in the order of the first; those that only the second has come last.
pub fn differences(first: Vec<(String, String)>, second: Vec<(String, String)>) -> Vec<Difference> {
    let absent = || "absent".to_owned();
    let mut others: BTreeMap<String, String> = second.into_iter().collect();
    let mut found = Vec::new();
    for (field, first) in first {
        let second = others.remove(&field).unwrap_or_else(absent);
        if first != second {
            found.push(Difference {
                field,
                first,
                second,
            });
        }
    }
    found.extend(others.into_iter().map(|(field, second)| Difference {
        field,
        first: absent(),
        second,
    }));
    found
}
