//! The checkpoints that OpenAI released with improved-diffusion and guided-diffusion.
//!
//! Flags as printed in those projects' READMEs. A preset applies only where both the file name and the shapes agree; it
//! has not been run against the real files and is reported as unverified.

use std::path::Path;

use super::architecture::{Architecture, AttentionOrder, Heads, Resampling};
use super::open_ai::OpenAi;
use super::options::ModelOptions;

struct Preset {
    stems: &'static [&'static str],
    architecture: fn() -> Architecture,
    image_size: usize,
    heads: Heads,
    attention_order: AttentionOrder,
    train_steps: usize,
    noise_schedule: &'static str,
    rescale_timesteps: bool,
}

const FOUR_HEADS: Heads = Heads::Count { down: 4, up: 4 };
const ONE_HEAD: Heads = Heads::Count { down: 1, up: 1 };

/// improved-diffusion, CIFAR-10 and ImageNet.
const IMPROVED: Preset = Preset {
    stems: &[],
    architecture: || improved(128, 3, &[1, 2, 2, 2], &[2, 4], None, true),
    image_size: 32,
    heads: FOUR_HEADS,
    attention_order: AttentionOrder::Legacy,
    train_steps: 4000,
    noise_schedule: "cosine",
    rescale_timesteps: true,
};

/// guided-diffusion at 256x256.
const GUIDED: Preset = Preset {
    stems: &[],
    architecture: || guided(256, 2, &[2, 2, 4, 4, 8, 8], &[8, 16, 32], None),
    image_size: 256,
    heads: Heads::Channels(64),
    attention_order: AttentionOrder::Legacy,
    train_steps: 1000,
    noise_schedule: "linear",
    rescale_timesteps: false,
};

const PRESETS: [Preset; 9] = [
    Preset {
        stems: &["cifar10_uncond_50M_500K", "cifar10_uncond_vlb_50M_500K"],
        ..IMPROVED
    },
    Preset {
        stems: &[
            "imagenet64_uncond_100M_1500K",
            "imagenet64_uncond_vlb_100M_1500K",
        ],
        architecture: || improved(128, 3, &[1, 2, 3, 4], &[4, 8], None, true),
        image_size: 64,
        ..IMPROVED
    },
    Preset {
        stems: &["imagenet64_cond_270M_250K"],
        architecture: || improved(192, 3, &[1, 2, 3, 4], &[4, 8], Some(1000), true),
        image_size: 64,
        rescale_timesteps: false,
        ..IMPROVED
    },
    Preset {
        stems: &[
            "lsun_uncond_100M_1200K_bs128",
            "lsun_uncond_100M_2400K_bs64",
        ],
        architecture: || improved(128, 2, &[1, 1, 2, 2, 4, 4], &[16], None, false),
        image_size: 256,
        heads: ONE_HEAD,
        train_steps: 1000,
        noise_schedule: "linear",
        rescale_timesteps: false,
        ..IMPROVED
    },
    Preset {
        stems: &["64x64_diffusion"],
        architecture: || guided(192, 3, &[2, 4, 6, 8], &[2, 4, 8], Some(1000)),
        image_size: 64,
        attention_order: AttentionOrder::New,
        noise_schedule: "cosine",
        ..GUIDED
    },
    Preset {
        stems: &["128x128_diffusion"],
        architecture: || guided(256, 2, &[2, 2, 4, 6, 8], &[4, 8, 16], Some(1000)),
        image_size: 128,
        heads: FOUR_HEADS,
        ..GUIDED
    },
    Preset {
        stems: &["256x256_diffusion"],
        architecture: || guided(256, 2, &[2, 2, 4, 4, 8, 8], &[8, 16, 32], Some(1000)),
        ..GUIDED
    },
    Preset {
        stems: &[
            "256x256_diffusion_uncond",
            "lsun_bedroom",
            "lsun_cat",
            "lsun_horse",
            "lsun_horse_nodropout",
        ],
        ..GUIDED
    },
    Preset {
        stems: &["512x512_diffusion"],
        architecture: || guided(256, 2, &[1, 2, 2, 4, 4, 8, 8], &[16, 32, 64], Some(1000)),
        image_size: 512,
        ..GUIDED
    },
];

fn improved(
    model_channels: usize,
    num_res_blocks: usize,
    channel_mult: &[usize],
    attention_resolutions: &[usize],
    num_classes: Option<usize>,
    use_scale_shift_norm: bool,
) -> Architecture {
    let channels = channel_mult
        .iter()
        .map(|multiple| multiple * model_channels);
    OpenAi {
        in_channels: 3,
        out_channels: 6,
        model_channels,
        first_channels: model_channels,
        num_res_blocks,
        levels: with_attention(channels, attention_resolutions),
        resampling: Resampling::Convolution,
        num_classes,
        use_scale_shift_norm,
    }
    .into()
}

/// `halves` is twice `channel_mult`, which begins with 0.5 at 512x512.
fn guided(
    model_channels: usize,
    num_res_blocks: usize,
    halves: &[usize],
    attention_resolutions: &[usize],
    num_classes: Option<usize>,
) -> Architecture {
    let channels = halves.iter().map(|halves| halves * model_channels / 2);
    OpenAi {
        in_channels: 3,
        out_channels: 6,
        model_channels,
        first_channels: halves[0] * model_channels / 2,
        num_res_blocks,
        levels: with_attention(channels, attention_resolutions),
        resampling: Resampling::Residual,
        num_classes,
        use_scale_shift_norm: true,
    }
    .into()
}

/// Levels with attention at these downsampling rates.
fn with_attention(channels: impl Iterator<Item = usize>, rates: &[usize]) -> Vec<(usize, bool)> {
    channels
        .enumerate()
        .map(|(level, channels)| (channels, rates.contains(&(1 << level))))
        .collect()
}

/// The released checkpoint that `path` is by name and `architecture` by shapes, with its options.
pub(super) fn find(
    path: &Path,
    architecture: &Architecture,
) -> Option<(&'static str, ModelOptions)> {
    let stem = path.file_stem()?.to_str()?;
    PRESETS.iter().find_map(|preset| {
        let name = preset.stems.iter().find(|&&name| name == stem)?;
        if (preset.architecture)() != *architecture {
            return None;
        }
        let (num_heads, num_head_channels) = match preset.heads {
            Heads::Count { down, .. } => (Some(down), None),
            Heads::Channels(channels) => (None, Some(channels)),
        };
        let options = ModelOptions {
            num_heads,
            num_head_channels,
            attention_order: Some(preset.attention_order),
            image_size: Some(preset.image_size),
            train_steps: Some(preset.train_steps),
            noise_schedule: Some(preset.noise_schedule.into()),
            rescale_timesteps: Some(preset.rescale_timesteps),
            ..ModelOptions::default()
        };
        Some((*name, options))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_name_and_shapes_must_agree() {
        let path = Path::new("models/cifar10_uncond_50M_500K.pt");
        let architecture = improved(128, 3, &[1, 2, 2, 2], &[2, 4], None, true);
        let (name, options) = find(path, &architecture).unwrap();
        assert_eq!(name, "cifar10_uncond_50M_500K");
        assert_eq!(options.train_steps, Some(4000));
        let smaller = improved(64, 3, &[1, 2, 2, 2], &[2, 4], None, true);
        assert!(find(path, &smaller).is_none());
        assert!(find(Path::new("models/cifar10.pt"), &architecture).is_none());
    }

    #[test]
    fn guided_diffusion_is_known_too() {
        let architecture = guided(192, 3, &[2, 4, 6, 8], &[2, 4, 8], Some(1000));
        let (_, options) = find(Path::new("64x64_diffusion.pt"), &architecture).unwrap();
        assert_eq!(options.num_head_channels, Some(64));
        assert_eq!(options.attention_order, Some(AttentionOrder::New));
        let wide = guided(256, 2, &[1, 2, 2, 4, 4, 8, 8], &[16, 32, 64], Some(1000));
        assert_eq!(wide.first_channels, 128);
        assert!(find(Path::new("512x512_diffusion.pt"), &wide).is_some());
    }
}
