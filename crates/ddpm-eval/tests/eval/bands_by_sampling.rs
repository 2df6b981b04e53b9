//! Spectral kernels of data whose bands are known, profiled by sampling: what they cost is entropy and start.

use ddpm_core::{DecoderKind, NoiseDomain, NoiseKey, TimePath, VarianceKind, standard_normal};
use ddpm_data::{ImageSet, Split};
use ddpm_eval::{ProfilePlan, Silent, profile};
use ddpm_profile::{CostModel, Curves, ElboProfile, choose};
use ddpm_schedule::{Budgets, Scoring};
use ndarray::{ArrayD, IxDyn};

use crate::support::models::{InBands, cosine};

const STEPS: usize = 60;
const IMAGES: usize = 1600;

/// Images of the model's data, other ones for every seed.
fn draws(model: &InBands, seed: u64) -> ImageSet {
    let bands = &model.bands;
    let mut values = Vec::with_capacity(IMAGES * bands.dims());
    for image in 0..IMAGES {
        let key = NoiseKey {
            seed,
            domain: NoiseDomain::Data,
            stream: image as u64,
            step: 0,
        };
        let mut white = vec![0.0f32; bands.dims()];
        standard_normal(key, &mut white);
        let pairs = white.iter().zip(bands.of_coefficients());
        let coefficients: Vec<f64> = pairs
            .map(|(&z, &band)| f64::from(z) * model.variances[band].sqrt())
            .collect();
        values.extend(bands.inverse(&coefficients).iter().map(|&x| x as f32));
    }
    let shape = [&[IMAGES][..], bands.shape()].concat();
    let images = ArrayD::from_shape_vec(IxDyn(&shape), values).unwrap();
    ImageSet::from_array("bands", images.view()).unwrap()
}

fn measured(model: &InBands, seed: u64, timesteps: Vec<usize>) -> ElboProfile {
    let data = draws(model, seed);
    let mut plan = ProfilePlan::new(timesteps, (0..IMAGES).collect(), 32, seed);
    plan.clip_denoised = false;
    profile(
        model,
        &data,
        &plan,
        Split::Train,
        None,
        &Silent,
        &mut |_| Ok(()),
    )
    .unwrap()
}

#[test]
fn gaussian_data_that_are_sampled_cost_their_entropy_and_the_prior_at_every_budget() {
    let model = InBands::new(cosine(STEPS));
    let (train, test) = (
        measured(&model, 1, (1..=STEPS).collect()),
        measured(&model, 2, (1..=STEPS).collect()),
    );
    let curves = |profile| Curves::from_profile(profile).unwrap();
    let (train, test) = (curves(&train), curves(&test));
    let mean = |f: &dyn Fn(f64) -> f64| model.bands.mean(model.variances.iter().map(|&p| f(p)));
    let entropy = mean(&|p| 0.5 * ((2.0 * std::f64::consts::PI).ln() + 1.0 + p.ln()));
    let (signal, noise) = (
        model.schedule.alpha_bar(STEPS),
        model.schedule.one_minus_alpha_bar(STEPS),
    );
    let start = mean(&|p| {
        let v = signal * p + noise;
        0.5 * (v - 1.0 - v.ln())
    });
    let scoring = Scoring::new(VarianceKind::Spectral).with_decoder(DecoderKind::Gaussian);
    let frozen = train.freeze(&scoring).unwrap();
    let chosen = choose(
        &CostModel::new(&train, frozen.clone()).unwrap(),
        &Budgets::All,
        None,
    )
    .unwrap();
    let scored = CostModel::new(&test, frozen).unwrap();
    for budget in &chosen.budgets {
        let path = &budget.schedule.path;
        let total = scored.path_cost(path) + scored.prior(path.end()).unwrap();
        // -log p of one image scatters by sqrt(1 / 2D) nats a dimension; the noise adds about as much.
        let error = (1.0 / (2 * model.bands.dims() * IMAGES) as f64).sqrt();
        let excess = total - entropy - start;
        assert!(excess.abs() < 6.0 * error, "{path}: {excess} of {error}");
    }
    assert_eq!(chosen.budgets.len(), STEPS);
}

#[test]
fn steps_from_timesteps_that_were_not_evaluated_cost_what_they_would() {
    let model = InBands::new(cosine(STEPS));
    let evaluated: Vec<usize> = (1..=STEPS).filter(|t| t % 4 == 1 || *t == STEPS).collect();
    let profile = measured(&model, 3, evaluated.clone());
    let curves = Curves::from_profile(&profile).unwrap();
    let scoring = Scoring::new(VarianceKind::Spectral).with_decoder(DecoderKind::None);
    let costs = CostModel::new(&curves, curves.freeze(&scoring).unwrap()).unwrap();
    let path = TimePath::new([2, 7, 15, 26, 39, 52, 58], STEPS).unwrap();
    assert!(path.nodes()[1..].iter().all(|t| !evaluated.contains(t)));
    let exact: f64 = path
        .edges()
        .skip(1)
        .map(|(t, s)| {
            let gain = model.schedule.transition(t, s).snr_gain;
            let powers = model.powers(t).into_iter();
            0.5 * model.bands.mean(powers.map(|power| (gain * power).ln_1p()))
        })
        .sum();
    let found = costs.path_cost(&path);
    let apart = (found - exact) / std::f64::consts::LN_2;
    assert!(apart.abs() < 0.005, "{apart} bits/dim");
}
