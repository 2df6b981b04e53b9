//! OpenAI's `UNetModel`: what its hyperparameters leave open.

use super::architecture::{Architecture, Family, Level, Middle, Norm, Resampling, Sinusoids};

/// Groups of every normalisation.
const GROUPS: usize = 32;

/// A `UNetModel` of improved-diffusion or guided-diffusion.
#[derive(Clone, Debug)]
pub(crate) struct OpenAi {
    pub(crate) in_channels: usize,
    pub(crate) out_channels: usize,
    pub(crate) model_channels: usize,
    pub(crate) first_channels: usize,
    pub(crate) num_res_blocks: usize,
    /// Channels of each level, and whether it has attention.
    pub(crate) levels: Vec<(usize, bool)>,
    pub(crate) resampling: Resampling,
    pub(crate) num_classes: Option<usize>,
    pub(crate) use_scale_shift_norm: bool,
}

impl From<OpenAi> for Architecture {
    fn from(unet: OpenAi) -> Self {
        Self {
            family: Family::OpenAi,
            in_channels: unet.in_channels,
            out_channels: unet.out_channels,
            centre_input: false,
            first_channels: unet.first_channels,
            levels: unet
                .levels
                .into_iter()
                .map(|(channels, attention)| Level {
                    channels,
                    attention_down: attention,
                    attention_up: attention,
                    downsample: unet.resampling,
                    upsample: unet.resampling,
                })
                .collect(),
            num_res_blocks: unet.num_res_blocks,
            middle: Some(Middle {
                attention: Some(Some(GROUPS)),
            }),
            sinusoids: Sinusoids {
                count: unet.model_channels,
                sines_first: false,
                frequency_shift: 0.0,
            },
            embedding_channels: 4 * unet.model_channels,
            num_classes: unet.num_classes,
            use_scale_shift_norm: unet.use_scale_shift_norm,
            norm: Norm {
                groups: GROUPS,
                epsilon: 1e-5,
            },
            downsample_lead: 1,
        }
    }
}
