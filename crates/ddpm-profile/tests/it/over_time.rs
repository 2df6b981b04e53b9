//! What interpolation over t costs when only some timesteps are evaluated: paths priced from 64 timesteps against all of them.
//!
//! A network without noise: its errors are the root mean square errors of the closed-form denoiser, and its v drifts with t, so that
//! the statistics are smooth and only the interpolation differs.

use std::f64::consts::LN_2;

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, Objective, Stride, VarianceKind};
use ddpm_profile::{Block, Curves, ElboProfile, ProfileLayout, Reconstruction};

use crate::support::{Setup, cost_model, log_snr_timesteps, spread};

const SHAPE: [usize; 3] = [3, 8, 8];

fn curves(schedule: &NoiseSchedule, timesteps: Vec<usize>) -> Curves {
    let run = Setup {
        schedule: schedule.clone(),
        shape: SHAPE,
        v: Some(spread),
        timesteps: vec![1],
        clip: true,
        images: 1,
        first_image: 0,
        eight_bit: true,
        seed: 17,
    }
    .run();
    let x0 = &run.images[0];
    let n = x0.len();
    let layout = ProfileLayout::new(
        schedule,
        timesteps.clone(),
        true,
        ProfileLayout::DEFAULT_NODES,
    )
    .expect("valid");
    let mut block = Block::new(&layout, 0);
    block.add_image(x0.iter().map(|x| x * x).sum::<f64>() / n as f64);
    for (index, &t) in timesteps.iter().enumerate() {
        let log_snr = schedule.log_snr(t);
        let error = |i: usize| {
            let variance = 10f64.powf(-3.5 + 3.0 * ((i * 31) % n) as f64 / n as f64);
            // Not all pixels are off by the same number of standard deviations.
            let deviations = 0.3 + 1.4 * ((i * 13) % n) as f64 / n as f64;
            deviations * (variance / (1.0 + log_snr.exp() * variance)).sqrt()
        };
        let xhat0: Vec<f64> = (0..n)
            .map(|i| x0[i] + error(i) * if i % 2 == 0 { 1.0 } else { -1.0 })
            .collect();
        let v: Vec<f64> = (0..n)
            .map(|i| spread(i, n) * (0.6 + 0.4 * (0.3 * log_snr).tanh()))
            .collect();
        let statistics = layout
            .measure(
                index,
                &Reconstruction {
                    x0,
                    x_t: None,
                    xhat0: &xhat0,
                    v: Some(&v),
                },
            )
            .expect("valid");
        block.add(index, &statistics).expect("fits");
    }
    let profile =
        ElboProfile::new(run.provenance(1), schedule.clone(), layout, vec![block]).expect("valid");
    Curves::from_profile(&profile).expect("a block")
}

#[test]
#[cfg_attr(
    debug_assertions,
    ignore = "slow without optimisation: run with --release"
)]
fn sixty_four_timesteps_price_paths_as_all_do() {
    for (name, steps) in [
        (NoiseScheduleName::Linear, 1000),
        (NoiseScheduleName::Cosine, 1000),
    ] {
        let schedule = NoiseSchedule::named(name, steps).expect("valid");
        let (all, some) = (
            curves(&schedule, (1..=steps).collect()),
            curves(&schedule, log_snr_timesteps(&schedule, 64)),
        );
        let strides = [
            Stride::Even(8),
            Stride::Even(64),
            Stride::Quadratic(8),
            Stride::Quadratic(64),
            Stride::LogSnr(20),
            Stride::All,
        ];
        let mut worst = 0.0f64;
        for stride in strides {
            let path = stride.path(&schedule).expect("possible");
            for kind in [
                VarianceKind::Learned,
                VarianceKind::FixedSmall,
                VarianceKind::Analytic,
            ] {
                let price = |curves: &Curves| {
                    let model = cost_model(curves, kind, DecoderKind::Respaced, Objective::Elbo)
                        .expect("valid");
                    let terms = model.path_terms(&path);
                    (terms[0] / LN_2, terms[1..].iter().sum::<f64>() / LN_2)
                };
                let (a, b) = (price(&all), price(&some));
                eprintln!(
                    "{name} {stride} {kind}: decoder {:.5} {:+.1e}, interior {:.5} {:+.1e}",
                    a.0,
                    b.0 - a.0,
                    a.1,
                    b.1 - a.1
                );
                worst = worst.max((a.0 - b.0).abs()).max((a.1 - b.1).abs());
            }
        }
        assert!(worst < 3e-4, "{name}: {worst}");
    }
}
