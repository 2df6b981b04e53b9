//! The checkpoints that OpenAI released with improved-diffusion.
//!
//! Flags as printed in that project's README. A preset applies only where both the file name and the shapes agree; it
//! has not been run against the real files and is reported as unverified.

use std::path::Path;

use super::architecture::Architecture;
use super::options::ModelOptions;

struct Preset {
    stems: &'static [&'static str],
    architecture: fn() -> Architecture,
    image_size: usize,
    num_heads: usize,
    train_steps: usize,
    noise_schedule: &'static str,
    rescale_timesteps: bool,
}

const PRESETS: [Preset; 4] = [
    Preset {
        stems: &["cifar10_uncond_50M_500K", "cifar10_uncond_vlb_50M_500K"],
        architecture: || unet(128, 3, &[1, 2, 2, 2], &[2, 4], None, true),
        image_size: 32,
        num_heads: 4,
        train_steps: 4000,
        noise_schedule: "cosine",
        rescale_timesteps: true,
    },
    Preset {
        stems: &[
            "imagenet64_uncond_100M_1500K",
            "imagenet64_uncond_vlb_100M_1500K",
        ],
        architecture: || unet(128, 3, &[1, 2, 3, 4], &[4, 8], None, true),
        image_size: 64,
        num_heads: 4,
        train_steps: 4000,
        noise_schedule: "cosine",
        rescale_timesteps: true,
    },
    Preset {
        stems: &["imagenet64_cond_270M_250K"],
        architecture: || unet(192, 3, &[1, 2, 3, 4], &[4, 8], Some(1000), true),
        image_size: 64,
        num_heads: 4,
        train_steps: 4000,
        noise_schedule: "cosine",
        rescale_timesteps: false,
    },
    Preset {
        stems: &[
            "lsun_uncond_100M_1200K_bs128",
            "lsun_uncond_100M_2400K_bs64",
        ],
        architecture: || unet(128, 2, &[1, 1, 2, 2, 4, 4], &[16], None, false),
        image_size: 256,
        num_heads: 1,
        train_steps: 1000,
        noise_schedule: "linear",
        rescale_timesteps: false,
    },
];

fn unet(
    model_channels: usize,
    num_res_blocks: usize,
    channel_mult: &[usize],
    attention_resolutions: &[usize],
    num_classes: Option<usize>,
    use_scale_shift_norm: bool,
) -> Architecture {
    Architecture {
        in_channels: 3,
        model_channels,
        out_channels: 6,
        num_res_blocks,
        attention_resolutions: attention_resolutions.to_vec(),
        channel_mult: channel_mult.to_vec(),
        conv_resample: true,
        num_classes,
        use_scale_shift_norm,
    }
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
        let options = ModelOptions {
            num_heads: Some(preset.num_heads),
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
        let architecture = unet(128, 3, &[1, 2, 2, 2], &[2, 4], None, true);
        let (name, options) = find(path, &architecture).unwrap();
        assert_eq!(name, "cifar10_uncond_50M_500K");
        assert_eq!(options.train_steps, Some(4000));
        let smaller = unet(64, 3, &[1, 2, 2, 2], &[2, 4], None, true);
        assert!(find(path, &smaller).is_none());
        assert!(find(Path::new("models/cifar10.pt"), &architecture).is_none());
    }
}
