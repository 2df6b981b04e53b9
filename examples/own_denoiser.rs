//! A denoiser of one's own, for signals and not for images: its optimal schedule, bits per dimension and samples.
//!
//! ```text
//! cargo run --release --example own_denoiser
//! ```
#![allow(clippy::print_stdout, reason = "an example, not a library")]

use ddpm::core::{
    DecoderKind, Denoiser, DenoiserError, NoiseDomain, NoiseKey, NoiseSchedule, NoiseScheduleName,
    Parameterization, Prediction, VarianceKind, standard_normal,
};
use ddpm::data::{ImageSet, Split};
use ddpm::eval::{
    BitsPerDimPlan, ProfilePlan, SamplingPlan, Silent, bits_per_dim, profile, sample,
};
use ddpm::profile::{ElboProfile, choose_on};
use ddpm::schedule::{Budgets, Scoring};
use ndarray::{Array2, ArrayD, ArrayViewD, Axis};

/// Timesteps of the network.
const T: usize = 100;
/// Samples of a signal.
const LENGTH: usize = 48;
/// Variance of the noise that every signal has beside its pulse.
const VARIANCE: f64 = 0.002;

/// Knows signals of one pulse, at one of several places, by heart: what a trained network would have to guess.
struct Pulses {
    noise: NoiseSchedule,
    pulses: Vec<Vec<f64>>,
}

impl Pulses {
    fn new() -> Self {
        let pulse = |place: usize| {
            let at = |i: usize| (i as f64 - 4.0 - 5.0 * place as f64) / 2.0;
            (0..LENGTH).map(|i| 0.8 * (-at(i).powi(2)).exp()).collect()
        };
        Self {
            noise: NoiseSchedule::named(NoiseScheduleName::Cosine, T).expect("a valid length"),
            pulses: (0..9).map(pulse).collect(),
        }
    }

    /// Signals as somebody might have measured them.
    fn signals(&self, count: usize) -> Array2<f32> {
        let mut signals = Array2::zeros((count, LENGTH));
        for (stream, mut signal) in signals.outer_iter_mut().enumerate() {
            let mut noise = [0.0; LENGTH];
            let key = NoiseKey {
                seed: 7,
                domain: NoiseDomain::Data,
                stream: stream as u64,
                step: 0,
            };
            standard_normal(key, &mut noise);
            let pulse = &self.pulses[stream % self.pulses.len()];
            for ((x, &mean), z) in signal.iter_mut().zip(pulse).zip(noise) {
                *x = (mean + VARIANCE.sqrt() * f64::from(z)) as f32;
            }
        }
        signals
    }

    /// The mean of all signals that noise may have taken to `x_t`.
    fn guess(&self, t: usize, x_t: &[f64]) -> Vec<f64> {
        let (signal, noise) = (self.noise.alpha_bar(t), self.noise.one_minus_alpha_bar(t));
        let total = signal * VARIANCE + noise;
        let away = |x: f64, mean: f64| x - signal.sqrt() * mean;
        let log_weight = |pulse: &Vec<f64>| {
            let squares = x_t
                .iter()
                .zip(pulse)
                .map(|(&x, &mean)| away(x, mean).powi(2));
            -0.5 * squares.sum::<f64>() / total
        };
        let logs: Vec<f64> = self.pulses.iter().map(log_weight).collect();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let all: f64 = logs.iter().map(|log| (log - most).exp()).sum();
        let mut guess = vec![0.0; LENGTH];
        for (pulse, log) in self.pulses.iter().zip(&logs) {
            let weight = (log - most).exp() / all;
            for ((guess, &x), &mean) in guess.iter_mut().zip(x_t).zip(pulse) {
                *guess += weight * (mean + signal.sqrt() * VARIANCE / total * away(x, mean));
            }
        }
        guess
    }
}

impl Denoiser for Pulses {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.noise
    }

    fn shape(&self) -> Vec<usize> {
        vec![LENGTH]
    }

    fn parameterization(&self) -> Parameterization {
        Parameterization::X0
    }

    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let mut mean = ArrayD::zeros(x.raw_dim());
        for ((x, &t), mut mean) in x.axis_iter(Axis(0)).zip(t).zip(mean.axis_iter_mut(Axis(0))) {
            let x_t: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            for (mean, guess) in mean.iter_mut().zip(self.guess(t, &x_t)) {
                *mean = guess as f32;
            }
        }
        let variance = None;
        Ok(Prediction { mean, variance })
    }
}

fn main() -> ddpm::eval::Result<()> {
    let model = Pulses::new();
    let data = ImageSet::from_array("pulses", model.signals(384).view())?;
    let plan = ProfilePlan::new((1..=T).collect(), (0..256).collect(), 32, 0);
    let save = &mut |_: &ElboProfile| Ok(());
    let found = profile(&model, &data, &plan, Split::Train, None, &Silent, save)?;
    let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
    let schedules = choose_on(&found, &scoring, &Budgets::Only(vec![8]))?;
    let schedule = schedules.schedule(8)?.clone();
    let plan = BitsPerDimPlan::new(schedule.clone(), (256..384).collect());
    let bits = bits_per_dim(&model, &data, &plan, &Silent)?.mean();
    let samples = sample(&model, &SamplingPlan::new(schedule.clone(), 4), &Silent)?;
    println!("{}: {bits:.3} bits/dim\n{samples:.2}", schedule.path);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm::core::Stride;
    use ddpm::schedule::Schedule;

    /// The optimal path costs less on other signals than even steps do, and what is drawn along it are pulses.
    #[test]
    fn the_schedule_is_worth_choosing() {
        main().expect("it runs");
        let model = Pulses::new();
        let data = ImageSet::from_array("pulses", model.signals(384).view()).expect("finite");
        let plan = ProfilePlan::new((1..=T).collect(), (0..256).collect(), 32, 0);
        let save = &mut |_: &ElboProfile| Ok(());
        let found = profile(&model, &data, &plan, Split::Train, None, &Silent, save);
        let scoring = Scoring::new(VarianceKind::FixedSmall).with_decoder(DecoderKind::Gaussian);
        let budgets = Budgets::Only(vec![4, 8, 16]);
        let schedules = choose_on(&found.expect("a whole run"), &scoring, &budgets);
        for chosen in schedules.expect("possible").budgets {
            let steps = chosen.steps();
            let even = Stride::Even(steps).path(&model.noise).expect("possible");
            let even = Schedule::of_path(&model.noise, even, &scoring).expect("not measured");
            let cost = |schedule: &Schedule| {
                let plan = BitsPerDimPlan::new(schedule.clone(), (256..384).collect());
                let found = bits_per_dim(&model, &data, &plan, &Silent).expect("it fits");
                found.mean()
            };
            let (optimal, even) = (cost(&chosen.schedule), cost(&even));
            assert!(optimal < even - 0.05, "{steps}: {optimal} and {even}");
            // What was expected of it, on signals that it was not chosen on.
            let expected = chosen.cost + chosen.prior_bpd.expect("known");
            assert!(
                (optimal - expected).abs() < 0.05,
                "{steps}: {optimal} {expected}"
            );
        }
        let path = Stride::All.path(&model.noise).expect("possible");
        let all = Schedule::of_path(&model.noise, path, &scoring).expect("not measured");
        let samples = sample(&model, &SamplingPlan::new(all, 20), &Silent).expect("it fits");
        assert_eq!(samples.shape(), [20, LENGTH]);
        for signal in samples.outer_iter() {
            let distance = |pulse: &Vec<f64>| {
                let pairs = signal.iter().zip(pulse);
                let squares = pairs.map(|(&x, mean)| (f64::from(x) - mean).powi(2));
                squares.sum::<f64>() / LENGTH as f64
            };
            let nearest = model
                .pulses
                .iter()
                .map(distance)
                .fold(f64::INFINITY, f64::min);
            assert!(nearest < 3.0 * VARIANCE, "{nearest}");
        }
    }
}
