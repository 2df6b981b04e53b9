//! Data of any rank: vectors, signals and videos get the very numbers that they get as images of as many pixels.

use ddpm_core::{
    DecoderKind, Denoiser, DenoiserError, GaussianDenoiser, NetworkId, NoiseSchedule,
    NoiseScheduleName, Parameterization, Prediction, Sampler, Stride, VarianceKind,
};
use ddpm_data::{ImageSet, Images, Split};
use ddpm_eval::{
    BitsPerDim, BitsPerDimPlan, FlowPlan, ForwardPlan, Noise, ProfileBands, ProfilePlan,
    SamplingPlan, Silent, bits_per_dim, follow_forward, profile, reference_trajectories, sample,
    timesteps_for,
};
use ddpm_profile::ElboProfile;
use ddpm_schedule::Schedule;
use ddpm_trajectory::{Trajectories, reference_grid};
use ndarray::{ArrayD, ArrayViewD};

use crate::support::models::{along, cosine};

const DIMS: usize = 24;
const STEPS: usize = 30;
/// What the others are disguised as.
const IMAGE: &[usize] = &[2, 3, 4];
/// A vector, a signal of two channels, a video, and something of even more axes.
const OTHERS: [&[usize]; 4] = [&[24], &[2, 12], &[3, 2, 2, 2], &[1, 2, 3, 2, 2]];

fn filled(shape: &[usize], f: impl Fn(f64) -> f64) -> ArrayD<f64> {
    let values = (0..DIMS).map(|i| f((i as f64 * 0.37).fract())).collect();
    ArrayD::from_shape_vec(shape, values).unwrap()
}

/// Another mean, variance and v in every dimension.
fn model(shape: &[usize]) -> GaussianDenoiser {
    GaussianDenoiser::new(
        cosine(STEPS),
        filled(shape, |u| 0.8 * u - 0.4),
        filled(shape, |u| 0.02 + 0.2 * u),
        Parameterization::Epsilon,
    )
    .and_then(|model| model.with_v(filled(shape, |u| 1.4 * u - 0.2)))
    .unwrap()
}

fn data(model: &GaussianDenoiser) -> ImageSet {
    let data: Vec<ArrayD<f32>> = (0..9).map(|i| model.sample(99, i)).collect();
    let views: Vec<ArrayViewD<'_, f32>> = data.iter().map(|x| x.view()).collect();
    let all = ndarray::stack(ndarray::Axis(0), &views).unwrap();
    ImageSet::from_array("gaussian", all.view()).unwrap()
}

fn profiled(model: &dyn Denoiser, data: &ImageSet) -> ElboProfile {
    let timesteps = timesteps_for(model.noise_schedule(), 12);
    let mut plan = ProfilePlan::new(timesteps, (0..data.len()).collect(), 3, 5);
    // Bands are of a shape; everything else is of numbers.
    plan.bands = ProfileBands::None;
    let save = &mut |_: &ElboProfile| Ok(());
    profile(model, data, &plan, Split::Train, None, &Silent, save).unwrap()
}

fn even(model: &dyn Denoiser, variance: VarianceKind) -> Schedule {
    let noise = model.noise_schedule();
    let path = Stride::Even(6).path(noise).unwrap();
    along(noise, &path, variance, DecoderKind::Respaced)
}

fn scored(model: &dyn Denoiser, data: &ImageSet, noise: Noise<'_>) -> BitsPerDim {
    let plan = BitsPerDimPlan {
        noise,
        batch: 4,
        ..BitsPerDimPlan::new(
            even(model, VarianceKind::Learned),
            (0..data.len()).collect(),
        )
    };
    bits_per_dim(model, data, &plan, &Silent).unwrap()
}

fn sampled(model: &dyn Denoiser, sampler: Sampler) -> ArrayD<f32> {
    let variance = VarianceKind::of_network(model.learns_variance());
    let schedule = Schedule {
        sampler,
        ..even(model, variance)
    };
    let plan = SamplingPlan {
        eta: if sampler == Sampler::Ddim { 0.5 } else { 0.0 },
        images: (3..10).collect(),
        seed: 8,
        batch: 3,
        ..SamplingPlan::new(schedule, 7)
    };
    sample(model, &plan, &Silent).unwrap()
}

fn followed(model: &dyn Denoiser) -> Trajectories {
    let plan = FlowPlan {
        first: 0,
        count: 3,
        seed: 5,
        labels: None,
        clip_denoised: false,
        means: None,
        batch: 2,
    };
    let grid = reference_grid(model.noise_schedule(), 8).unwrap();
    reference_trajectories(model, &plan, &grid, &Silent).unwrap()
}

fn noised(model: &dyn Denoiser, data: &ImageSet) -> Trajectories {
    let plan = ForwardPlan {
        images: vec![4, 1],
        grid: reference_grid(model.noise_schedule(), 5).unwrap(),
        seed: 6,
        clip_denoised: false,
        batch: 2,
        save_every: std::time::Duration::MAX,
    };
    let save = &mut |_: &Trajectories| Ok(());
    follow_forward(model, data, &plan, Split::Train, None, &Silent, save).unwrap()
}

#[test]
fn any_rank_gives_the_numbers_of_images_bit_by_bit() {
    let seeded = Noise::Seed {
        seed: 5,
        split: Split::Test,
    };
    let image = model(IMAGE);
    let images = data(&image);
    let noise = ArrayD::from_shape_fn(vec![9, 2, 3, 4], |i| (i[0] * 7 + i[3]) as f32 * 0.1 - 2.0);
    for shape in OTHERS {
        let (model, batch) = (model(shape), [&[9], shape].concat());
        let data = data(&model);
        assert_eq!((model.shape().as_slice(), data.shape()), (shape, shape));
        assert_eq!(data.dims(), DIMS);
        assert_ne!(data.sha256().unwrap(), images.sha256().unwrap());

        let found = profiled(&model, &data);
        assert_eq!(found.blocks(), profiled(&image, &images).blocks());
        assert_eq!(found.provenance().model.shape, shape);
        assert_eq!(ElboProfile::from_bytes(&found.to_bytes()).unwrap(), found);

        let expected = scored(&image, &images, seeded);
        assert_eq!(scored(&model, &data, seeded), expected);
        let expected = scored(&image, &images, Noise::Given(&noise));
        let reshaped = noise.to_shape(batch).unwrap().into_owned();
        let found = scored(&model, &data, Noise::Given(&reshaped));
        assert_eq!(found, expected);

        for &sampler in Sampler::ALL {
            let found = sampled(&model, sampler);
            assert_eq!(found.shape(), [&[7], shape].concat());
            assert!(found.iter().eq(&sampled(&image, sampler)));
        }

        for (found, expected) in [
            (followed(&model), followed(&image)),
            (noised(&model, &data), noised(&image, &images)),
        ] {
            for (at, node) in [(0, 1), (1, 3)] {
                assert_eq!(found.state(at, node), expected.state(at, node));
                assert_eq!(found.estimate(at, node), expected.estimate(at, node));
            }
            assert_eq!(found.origin().model.shape, shape);
            let again = Trajectories::from_bytes(&found.to_bytes()).unwrap();
            assert_eq!(again.origin(), found.origin());
            assert_eq!(again.state(1, 3), found.state(1, 3));
        }
    }
}

/// The three methods that have to be written.
struct Least(GaussianDenoiser);

impl Denoiser for Least {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.0.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.0.shape()
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let variance = None;
        let Prediction { mean, .. } = self.0.predict(x, t, labels)?;
        Ok(Prediction { mean, variance })
    }
}

#[test]
fn three_methods_make_a_denoiser() {
    let (full, least) = (model(&[24]), Least(model(&[24])));
    let data = data(&full);
    let origin = profiled(&least, &data).provenance().model.clone();
    assert_eq!(origin.noise_schedule, Some(NoiseScheduleName::Cosine));
    assert_eq!(origin.train_steps, STEPS);
    assert_eq!(
        (origin.network, origin.precision.as_str()),
        (NetworkId::Unknown, "f32")
    );
    assert!(!origin.rescale_timesteps && origin.settings.is_empty());
    let ddim = Sampler::Ddim;
    assert_eq!(sampled(&least, ddim), sampled(&full, ddim));
    let flat = ArrayD::zeros(vec![2, 4, 6]);
    let refused = least.predict(flat.view(), &[1, 1], None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the input has shape [2, 4, 6]: the network expects [B, 24], where B is the batch"
    );
}

#[test]
fn what_needs_images_says_so() {
    let vectors = sampled(&model(&[24]), Sampler::DpmSolver2M);
    let refused = Images::from_samples(vectors.view())
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("[N, C, H, W] with 1 or 3 channels, found shape [7, 24]"),
        "{refused}"
    );
    let scalars = ArrayD::<f32>::zeros(vec![3]);
    let refused = ImageSet::from_array("scalars", scalars.view()).unwrap_err();
    assert!(refused.to_string().contains("[N, ..]"), "{refused}");
    let signal = data(&model(&[2, 12]));
    let plan = ProfilePlan::new(vec![1, STEPS], vec![0], 1, 0);
    let save = &mut |_: &ElboProfile| Ok(());
    let refused = profile(
        &model(&[24]),
        &signal,
        &plan,
        Split::Train,
        None,
        &Silent,
        save,
    );
    assert_eq!(
        refused.unwrap_err().to_string(),
        "images: wrong shape: expected 24 (the model's), found 2x12"
    );
}
