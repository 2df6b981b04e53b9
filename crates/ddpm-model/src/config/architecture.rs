//! The hyperparameters of improved-diffusion's `UNetModel`, under their names there.

use std::fmt;
use std::str::FromStr;

/// What the weights tell about the network.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Architecture {
    /// Channels of an image.
    pub in_channels: usize,
    /// Channels of the first level, times one.
    pub model_channels: usize,
    /// Channels of the raw output: those of an image, or twice as many with a learned variance.
    pub out_channels: usize,
    /// Residual blocks of each level on the way down; one more on the way up.
    pub num_res_blocks: usize,
    /// Downsampling rates (1, 2, 4, ...) whose levels have attention; the middle always has.
    pub attention_resolutions: Vec<usize>,
    /// Width of each level as a multiple of `model_channels`.
    pub channel_mult: Vec<usize>,
    /// Whether resolution changes by convolutions (else by average pooling and nearest neighbours).
    pub conv_resample: bool,
    /// Number of classes of a class-conditional network.
    pub num_classes: Option<usize>,
    /// Whether the timestep acts as scale and shift after the second norm (else it is added before it).
    pub use_scale_shift_norm: bool,
}

impl Architecture {
    /// Whether the output has variance channels.
    pub fn learns_variance(&self) -> bool {
        self.out_channels == 2 * self.in_channels
    }

    /// Length of the timestep embedding inside the network.
    pub(crate) fn embedding_channels(&self) -> usize {
        4 * self.model_channels
    }

    /// Height and width of an image must be multiples of this.
    pub fn size_multiple(&self) -> usize {
        1 << (self.channel_mult.len() - 1)
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
