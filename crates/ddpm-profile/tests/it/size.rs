//! The size of a file.

use ddpm_core::{NoiseSchedule, NoiseScheduleName};
use ddpm_profile::ProfileLayout;

use crate::support::{Setup, log_snr_timesteps, spread};

#[test]
fn a_profile_of_32_blocks_and_64_timesteps_is_below_4_megabytes() {
    for (name, steps) in [
        (NoiseScheduleName::Cosine, 4000),
        (NoiseScheduleName::Linear, 1000),
    ] {
        let schedule = NoiseSchedule::named(name, steps).expect("valid");
        let timesteps = log_snr_timesteps(&schedule, 64);
        let run = Setup {
            schedule,
            shape: [1, 2, 2],
            v: Some(spread),
            timesteps,
            clip: true,
            images: 32,
            first_image: 0,
            eight_bit: true,
            seed: 1,
        }
        .run();
        let bytes = run
            .profile(ProfileLayout::DEFAULT_NODES, 1)
            .to_bytes()
            .len();
        eprintln!("{name} {steps}: {bytes} bytes");
        assert!(bytes < 4_000_000, "{name}: {bytes} bytes");
    }
}
