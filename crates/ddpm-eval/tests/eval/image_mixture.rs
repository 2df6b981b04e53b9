//! The perfect network against plain sums in f64, and against what it must satisfy.

use ddpm_core::{
    DecoderKind, Denoiser, GaussianDenoiser, NoiseDomain, NoiseKey, Parameterization, Sampler,
    Stride, VarianceKind, standard_normal,
};
use ddpm_data::ImageSet;
use ddpm_eval::{ImageMixture, SamplingPlan, Silent, sample};
use ndarray::{Array2, Array3, Array4, ArrayD, Axis};

use crate::support::models::{along, cosine};

const T: usize = 100;

/// Even numbers in [-1, 1): image by image another texture.
fn textures(count: usize, shape: [usize; 3]) -> Array4<f32> {
    let [c, h, w] = shape;
    let mut noise = vec![0.0; count * c * h * w];
    let key = NoiseKey {
        seed: 11,
        domain: NoiseDomain::Data,
        stream: 3,
        step: 9,
    };
    standard_normal(key, &mut noise);
    let mut noise = noise.into_iter();
    Array4::from_shape_fn((count, c, h, w), |_| noise.next().unwrap().tanh())
}

fn set(images: &Array4<f32>) -> ImageSet {
    ImageSet::from_array("textures", images.view()).unwrap()
}

/// x_t of draws of the mixture, datum b at t[b].
fn diffused(model: &ImageMixture, t: &[usize]) -> ArrayD<f32> {
    let noise = model.noise_schedule();
    let shape = [&[t.len()], model.shape().as_slice()].concat();
    let mut x = ArrayD::zeros(shape);
    for (b, mut x) in x.axis_iter_mut(Axis(0)).enumerate() {
        let x0 = model.sample(1, b as u64);
        let mut z = vec![0.0; x0.len()];
        let key = NoiseKey {
            seed: 1,
            domain: NoiseDomain::Forward,
            stream: b as u64,
            step: t[b] as u32,
        };
        standard_normal(key, &mut z);
        let mut x_t = vec![0.0; x0.len()];
        ddpm_core::diffuse(noise, t[b], x0.as_slice().unwrap(), &z, &mut x_t);
        for (x, x_t) in x.iter_mut().zip(x_t) {
            *x = x_t as f32;
        }
    }
    x
}

/// log sum_i exp(-||x - a y_i||^2 / (2 s^2)) and the weights, by the definition.
fn plain(images: &Array4<f32>, x: &[f64], signal: f64, total: f64) -> (f64, Vec<f64>) {
    let log = |image: ndarray::ArrayView3<'_, f32>| {
        let pairs = x.iter().zip(image.iter());
        let squares = pairs.map(|(x, &y)| (x - signal * f64::from(y)).powi(2));
        -0.5 * squares.sum::<f64>() / total
    };
    let logs: Vec<f64> = images.outer_iter().map(log).collect();
    let best = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - best).exp()).sum();
    let weights = logs.iter().map(|log| (log - best).exp() / sum).collect();
    (best + sum.ln(), weights)
}

/// The estimate by the definition.
fn plain_estimate(
    model: &ImageMixture,
    images: &Array4<f32>,
    width: f64,
    t: usize,
    x: &[f64],
) -> Vec<f64> {
    let noise = model.noise_schedule();
    let signal = noise.alpha_bar(t).sqrt();
    let total = noise.alpha_bar(t) * width * width + noise.one_minus_alpha_bar(t);
    let (_, weights) = plain(images, x, signal, total);
    let gain = signal * width * width / total;
    let mut estimate = vec![0.0; x.len()];
    for (image, weight) in images.outer_iter().zip(weights) {
        for ((sum, &y), x) in estimate.iter_mut().zip(image.iter()).zip(x) {
            let y = f64::from(y);
            *sum += weight * (y + gain * (x - signal * y));
        }
    }
    estimate
}

/// The stated error: 1e-10 of the largest pixel before it is rounded to f32.
#[test]
fn estimates_are_the_exact_ones_rounded_to_f32() {
    // Far from 0 and pairwise alike, so that products in f32 alone would tell some apart wrongly.
    let mut alike = textures(90, [3, 7, 9]).mapv(|x| 0.9 + 1e-4 * x);
    alike
        .slice_mut(ndarray::s![..45, .., .., ..])
        .mapv_inplace(|x| x - 0.01);
    for (images, width) in [
        (textures(131, [3, 5, 4]), 0.3),
        (textures(131, [3, 5, 4]), 0.01),
        (textures(70, [1, 1, 2]), 0.2),
        (textures(200, [3, 16, 16]), 0.05),
        (alike.clone(), 0.001),
        (alike.mapv(|x| 1000.0 * x), 0.5),
    ] {
        let model = ImageMixture::new(cosine(T), &set(&images), width).unwrap();
        let t: Vec<usize> = [1, 2, 7, 20, 45, 60, 77, 90, 97, 99, 100].repeat(3);
        let x = diffused(&model, &t);
        let found = model.predict(x.view(), &t, None).unwrap().mean;
        let largest = images.iter().fold(0.0f32, |m, x| m.max(x.abs()));
        for ((x, found), &t) in x.outer_iter().zip(found.outer_iter()).zip(&t) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let expected = plain_estimate(&model, &images, width, t, &x);
            for (&found, expected) in found.iter().zip(expected) {
                let bound = 6e-8 * expected.abs() + 1e-10 * f64::from(largest);
                let error = (f64::from(found) - expected).abs();
                assert!(
                    error <= bound,
                    "t = {t}, width {width}: {found} for {expected}"
                );
            }
        }
    }
}

/// Products that overflow in f32 leave nothing out.
#[test]
fn huge_images_are_told_apart() {
    let images = Array2::from_shape_vec((2, 3), vec![1e25f32, 1e25, 0.0, -1e25, 1e25, 0.0]);
    let images = ImageSet::from_array("huge", images.unwrap().view()).unwrap();
    let model = ImageMixture::new(cosine(T), &images, 0.1).unwrap();
    let x = Array2::from_shape_vec((1, 3), vec![-1e25f32, 1e25, 0.0])
        .unwrap()
        .into_dyn();
    let found = model.predict(x.view(), &[1], None).unwrap().mean;
    assert!(found[[0, 0]] < -0.9e25, "{found}");
}

#[test]
fn one_image_is_a_gaussian() {
    let images = textures(1, [3, 4, 4]);
    let model = ImageMixture::new(cosine(T), &set(&images), 0.2).unwrap();
    let mu: Array3<f64> = images.index_axis(Axis(0), 0).mapv(f64::from);
    let variance = Array3::from_elem((3, 4, 4), 0.2 * 0.2);
    let gaussian = GaussianDenoiser::new(cosine(T), mu, variance, Parameterization::X0).unwrap();
    let t: Vec<usize> = (1..=T).collect();
    let x = diffused(&model, &t);
    let found = model.predict(x.view(), &t, None).unwrap().mean;
    let expected = gaussian.predict(x.view(), &t, None).unwrap().mean;
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() <= 2e-7, "{found} {expected}");
    }
}

#[test]
fn neither_batch_nor_threads_change_a_bit() {
    let images = textures(333, [3, 11, 10]);
    let model = ImageMixture::new(cosine(T), &set(&images), 0.05).unwrap();
    let t: Vec<usize> = (0..37).map(|b| 1 + b * 97 % T).collect();
    let x = diffused(&model, &t);
    let bits = |x: ArrayD<f32>| -> Vec<u32> { x.iter().map(|x| x.to_bits()).collect() };
    let all = bits(model.predict(x.view(), &t, None).unwrap().mean);
    let densities = model.log_density(x.view()).unwrap();
    for (threads, size) in [(1, 37), (1, 1), (3, 5), (2, 36)] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        pool.unwrap().install(|| {
            let (mut found, mut density) = (Vec::new(), Vec::new());
            for (x, t) in x.axis_chunks_iter(Axis(0), size).zip(t.chunks(size)) {
                found.extend(bits(model.predict(x.view(), t, None).unwrap().mean));
                density.extend(model.log_density(x).unwrap());
            }
            assert!(found == all && density == densities, "{threads} {size}");
        });
    }
}

#[test]
fn densities_are_those_of_the_definition() {
    let images = textures(150, [3, 5, 4]);
    for width in [0.02, 0.3] {
        let model = ImageMixture::new(cosine(T), &set(&images), width).unwrap();
        // Draws, and points that are far from all images.
        let t: Vec<usize> = (1..=20).collect();
        for x in [diffused(&model, &[1; 20]), diffused(&model, &t)] {
            let found = model.log_density(x.view()).unwrap();
            for (x, found) in x.outer_iter().zip(found) {
                let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
                let (log_sum, _) = plain(&images, &x, 1.0, width * width);
                let tau = std::f64::consts::TAU;
                let expected = log_sum - 150f64.ln() - 30.0 * (tau * width * width).ln();
                let error = (found - expected).abs();
                assert!(
                    error <= 1e-12 * expected.abs().max(1.0),
                    "{found} {expected}"
                );
            }
        }
    }
}

/// Draws have the density that is claimed: their mean -log p is the entropy, which two images far apart have in closed form.
#[test]
fn draws_are_of_the_mixture() {
    let images = Array2::from_shape_fn((2, 6), |(i, _)| [-0.5f32, 0.8][i]);
    let set = ImageSet::from_array("two", images.view()).unwrap();
    let model = ImageMixture::new(cosine(T), &set, 0.05).unwrap();
    let n = 4000;
    let mut draws = Array2::zeros((n, 6));
    for (i, mut draw) in draws.outer_iter_mut().enumerate() {
        draw.iter_mut()
            .zip(model.sample(5, i as u64))
            .for_each(|(x, y)| *x = y);
    }
    let first = draws.outer_iter().filter(|x| x[0] < 0.1).count() as f64;
    assert!(
        (first / n as f64 - 0.5).abs() < 5.0 * 0.5 / (n as f64).sqrt(),
        "{first}"
    );
    let logs = model.log_density(draws.view().into_dyn()).unwrap();
    let mean = -logs.iter().sum::<f64>() / n as f64;
    let one = std::f64::consts::TAU * std::f64::consts::E * 0.05f64.powi(2);
    let entropy = 2f64.ln() + 3.0 * one.ln();
    // log p varies by D/2 nats^2.
    assert!(
        (mean - entropy).abs() < 5.0 * (3.0 / n as f64).sqrt(),
        "{mean} {entropy}"
    );
    assert_eq!(model.sample(5, 3), model.sample(5, 3));
    assert!(model.sample(5, 3) != model.sample(6, 3) && model.sample(5, 3) != model.sample(5, 4));
}

/// Tweedie: a E[x0 | x_t] = x_t + (1 - abar) grad log p_t(x_t), p_t being the density of images scaled by a and blurred by s.
#[test]
fn estimates_follow_the_gradient_of_the_density() {
    let images = textures(12, [1, 3, 3]);
    let width = 0.25;
    let noise = cosine(T);
    let model = ImageMixture::new(noise.clone(), &set(&images), width).unwrap();
    for t in [5, 30, 60, 80] {
        let (signal, left) = (noise.alpha_bar(t).sqrt(), noise.one_minus_alpha_bar(t));
        let scaled = images.mapv(|y| (signal * f64::from(y)) as f32);
        let blur = (signal * signal * width * width + left).sqrt();
        let marginal = ImageMixture::new(noise.clone(), &set(&scaled), blur).unwrap();
        let x = diffused(&model, &[t]);
        let found = model.predict(x.view(), &[t], None).unwrap().mean;
        for k in 0..9 {
            let moved = |by: f32| {
                let mut moved = x.clone();
                let x = &mut moved.as_slice_mut().unwrap()[k];
                *x += by;
                (
                    f64::from(*x),
                    marginal.log_density(moved.view()).unwrap()[0],
                )
            };
            let ((a, below), (b, above)) = (moved(-1e-3), moved(1e-3));
            let gradient = (above - below) / (b - a);
            let x = f64::from(x.as_slice().unwrap()[k]);
            let expected = (x + left * gradient) / signal;
            let found = f64::from(found.as_slice().unwrap()[k]);
            assert!(
                (found - expected).abs() < 1e-4,
                "t = {t}: {found} {expected}"
            );
        }
    }
}

#[test]
fn the_flow_ends_at_images() {
    let images = textures(40, [3, 6, 6]);
    let width = 0.02;
    let model = ImageMixture::new(cosine(T), &set(&images), width).unwrap();
    let path = Stride::All.path(model.noise_schedule()).unwrap();
    let mut schedule = along(
        model.noise_schedule(),
        &path,
        VarianceKind::FixedSmall,
        DecoderKind::None,
    );
    schedule.sampler = Sampler::Ddim;
    let plan = SamplingPlan {
        clip_denoised: false,
        ..SamplingPlan::new(schedule, 16)
    };
    let samples = sample(&model, &plan, &Silent).unwrap();
    let mut ends = Vec::new();
    for sample in samples.outer_iter() {
        let distance = |image: ndarray::ArrayView3<'_, f32>| {
            let squares = sample
                .iter()
                .zip(image.iter())
                .map(|(x, y)| (x - y).powi(2));
            (squares.sum::<f32>() / 108.0).sqrt()
        };
        let distances: Vec<f32> = images.outer_iter().map(distance).collect();
        let nearest = distances.iter().copied().fold(f32::INFINITY, f32::min);
        assert!(nearest < 2.0 * width as f32, "{nearest}");
        ends.push(distances.iter().position(|&d| d == nearest));
    }
    ends.sort_unstable();
    ends.dedup();
    assert!(
        ends.len() > 5,
        "all samples end at the same images: {ends:?}"
    );
}

#[test]
fn bad_input_is_refused() {
    let images = textures(3, [3, 2, 2]);
    for width in [0.0, -0.1, f64::NAN, f64::INFINITY] {
        let refused = ImageMixture::new(cosine(T), &set(&images), width).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("width: expected a finite number above 0")
        );
    }
    let none = set(&images).subset(&[]);
    let refused = none
        .map_err(|e| e.to_string())
        .and_then(|none| ImageMixture::new(cosine(T), &none, 0.1).map_err(|e| e.to_string()));
    assert!(refused.is_err_and(|e| e.contains("image")));
    let model = ImageMixture::new(cosine(T), &set(&images), 0.1).unwrap();
    let good = ArrayD::<f32>::zeros(vec![2, 3, 2, 2]);
    assert!(model.predict(good.view(), &[1, T], None).is_ok());
    let says = |x: &ArrayD<f32>, t: &[usize], word: &str| {
        let refused = model.predict(x.view(), t, None).unwrap_err().to_string();
        assert!(refused.contains(word), "{refused}");
    };
    says(&ArrayD::zeros(vec![2, 3, 2, 3]), &[1, 1], "[2, 3, 2, 3]");
    says(&good, &[0, 1], "timestep 0");
    says(&good, &[1], "1 timesteps");
    let mut bad = good.clone();
    bad[[1, 0, 0, 0]] = f32::NAN;
    says(&bad, &[1, 1], "NaN in datum 1");
    assert!(model.log_density(bad.view()).is_err());
    assert!(model.log_density(ArrayD::zeros(vec![12]).view()).is_err());
    let empty = ArrayD::zeros(vec![0, 3, 2, 2]);
    assert_eq!(
        model.predict(empty.view(), &[], None).unwrap().mean.shape(),
        [0, 3, 2, 2]
    );
    assert!(model.log_density(empty.view()).unwrap().is_empty());
}
