//! A UNet in the terms that every supported project shares.
//!
//! OpenAI's `UNetModel` (improved-diffusion, guided-diffusion) and diffusers' `UNet2DModel` are the same network with other
//! names, norms and embeddings; [`Architecture`] says in what they differ.

use std::fmt;
use std::str::FromStr;

/// The project whose names the weights have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Family {
    /// improved-diffusion's and guided-diffusion's `UNetModel`.
    OpenAi,
    /// diffusers' `UNet2DModel`.
    Diffusers,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenAi => "OpenAI UNetModel",
            Self::Diffusers => "diffusers UNet2DModel",
        })
    }
}

/// How the resolution changes between two levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resampling {
    /// A 3x3 convolution, of stride 2 on the way down, after repeating pixels on the way up.
    Convolution,
    /// Means of 2x2 pixels, repeated pixels.
    Plain,
    /// A residual block that does so inside (guided-diffusion's `resblock_updown`).
    Residual,
}

/// The blocks of one resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// Channels of its residual blocks.
    pub channels: usize,
    /// Whether attention follows every residual block on the way down.
    pub attention_down: bool,
    /// Whether attention follows every residual block on the way up.
    pub attention_up: bool,
    /// The way down to the next level; meaningless at the last one.
    pub downsample: Resampling,
    /// The way up to the level before; meaningless at the first one.
    pub upsample: Resampling,
}

/// The blocks at the lowest resolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Middle {
    /// Groups of the norm of the attention between its two residual blocks: `Some(None)` for attention without a norm.
    pub attention: Option<Option<usize>>,
}

/// Group normalisation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    /// Groups of channels.
    pub groups: usize,
    /// What is added to a variance.
    pub epsilon: f64,
}

/// Sinusoids of a timestep.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sinusoids {
    /// How many, half of them sines.
    pub count: usize,
    /// Whether sines come before cosines.
    pub sines_first: bool,
    /// Taken off the number of frequencies where it divides their exponents: 1 makes the last one exactly 1 / 10000.
    pub frequency_shift: f64,
}

/// The network without its weights.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Architecture {
    /// Whose names the weights have.
    pub family: Family,
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the raw output: those of an image, or twice as many with a learned variance.
    pub out_channels: usize,
    /// Whether images are shifted from [0, 1] to [-1, 1] first.
    pub centre_input: bool,
    /// Channels after the first convolution.
    pub first_channels: usize,
    /// From full resolution to the lowest.
    pub levels: Vec<Level>,
    /// Residual blocks of each level on the way down; one more on the way up.
    pub num_res_blocks: usize,
    /// Absent where the lowest level goes straight up again.
    pub middle: Option<Middle>,
    /// How the network sees a timestep.
    pub sinusoids: Sinusoids,
    /// Length of the embedding of timestep and class.
    pub embedding_channels: usize,
    /// Number of classes of a class-conditional network.
    pub num_classes: Option<usize>,
    /// Whether the timestep acts as scale and shift after the second norm (else it is added before it).
    pub use_scale_shift_norm: bool,
    /// Of all norms except the middle attention's number of groups.
    pub norm: Norm,
    /// Zeros above and left of the image in convolutions of stride 2; the other zeros are below and right.
    pub downsample_lead: usize,
}

impl Architecture {
    /// Whether the output has variance channels.
    pub fn learns_variance(&self) -> bool {
        self.out_channels == 2 * self.in_channels
    }

    /// Height and width of an image must be multiples of this.
    pub fn size_multiple(&self) -> usize {
        1 << (self.levels.len() - 1)
    }
}

/// How channels are divided into attention heads; weights cannot tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heads {
    /// Fixed numbers of heads.
    Count {
        /// On the way down and in the middle (`num_heads`).
        down: usize,
        /// On the way up (`num_heads_upsample`).
        up: usize,
    },
    /// A fixed number of channels per head (`num_head_channels`).
    Channels(usize),
}

/// How the rows of an attention block's `qkv` are ordered; weights cannot tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AttentionOrder {
    /// Head by head, each with its queries, keys and values (improved-diffusion).
    #[default]
    Legacy,
    /// All queries, all keys, all values, each head by head (guided-diffusion's `use_new_attention_order`).
    New,
}

impl fmt::Display for AttentionOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Legacy => "legacy",
            Self::New => "new",
        })
    }
}

impl FromStr for AttentionOrder {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "legacy" => Ok(Self::Legacy),
            "new" => Ok(Self::New),
            _ => Err(format!(
                "unknown attention order {text:?}, expected legacy or new"
            )),
        }
    }
}
