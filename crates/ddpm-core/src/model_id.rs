//! Which network under which process: what has to agree before numbers may be compared, added or resumed.

use std::collections::BTreeMap;
use std::fmt;

use crate::network_id::UNKNOWN;
use crate::{Denoiser, NetworkId, NoiseScheduleName, Parameterization, ProcessKind};

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

    /// Whether the data can be 8-bit images: of one channel or three, within \[-1, 1\] as far as clipping tells.
    pub fn may_hold_pixels(&self) -> bool {
        matches!(self.shape[..], [1 | 3, _, _]) && self.clip_denoised
    }

    /// The process that the network is of.
    pub fn process(&self) -> ProcessKind {
        ProcessKind::of_settings(&self.settings)
    }

    /// The name of the noise schedule, or `custom`.
    pub fn noise_schedule_text(&self) -> String {
        NoiseScheduleName::or_custom(self.noise_schedule)
    }

    /// What the network predicts, or `unknown`.
    pub fn parameterization_text(&self) -> String {
        let name = self.parameterization.map_or(UNKNOWN, |p| p.name());
        name.to_owned()
    }

    /// Every field in which another model differs, with both values in words, this one's first. Empty where the two are one.
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let mut found = differences(self.facts(), other.facts());
        // The nodes of a table are long; the words of its process hold their hash.
        let told = extra_differences(&self.settings, &other.settings).into_iter();
        let nodes = format!("extra.{}", ProcessKind::NUMBERS);
        found.extend(told.filter(|difference| difference.field != nodes));
        found
    }

    /// The fields but the settings, by the names that files give them.
    fn facts(&self) -> [(&'static str, String); 8] {
        [
            ("checkpoint_sha256", self.network.to_string()),
            ("clip_denoised", self.clip_denoised.to_string()),
            ("noise_schedule", self.noise_schedule_text()),
            ("train_steps", self.train_steps.to_string()),
            ("image_shape", format!("{:?}", self.shape)),
            ("parameterization", self.parameterization_text()),
            ("rescale_timesteps", self.rescale_timesteps.to_string()),
            ("precision", self.precision.clone()),
        ]
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

/// The [`differences`] of further facts, which files keep under `extra`.
pub fn extra_differences(
    first: &BTreeMap<String, String>,
    second: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let facts = |map: &BTreeMap<String, String>| -> Vec<(String, String)> {
        let fact = |(key, value): (&String, &String)| (format!("extra.{key}"), value.clone());
        map.iter().map(fact).collect()
    };
    differences(facts(first), facts(second))
}

/// The facts that are not the same in both lists, in the order of the first; those that only the second has come last.
pub fn differences<Name: Into<String>>(
    first: impl IntoIterator<Item = (Name, String)>,
    second: impl IntoIterator<Item = (Name, String)>,
) -> Vec<Difference> {
    let absent = || "absent".to_owned();
    let others = second
        .into_iter()
        .map(|(field, value)| (field.into(), value));
    let mut others: BTreeMap<String, String> = others.collect();
    let mut found = Vec::new();
    for (field, first) in first {
        let field = field.into();
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
