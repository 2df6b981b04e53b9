//! Draws of a mixture, what their true bits/dim are, and what those of kernels are above it.

use ddpm::core::{
    DecoderKind, Denoiser, MeanKind, TimePath, VarianceKind, gaussian_nll, nats_to_bits,
};
use ddpm::data::{ImageSet, Split};
use ddpm::dp::{CostTable, SolveOptions, solve};
use ddpm::eval::{
    BitsPerDimPlan, ImageMixture, ProfilePlan, Silent, bits_per_dim, profile, timesteps_for,
};
use ddpm::profile::{CostModel, Curves, ElboProfile, choose_on};
use ddpm::schedule::{Budgets, Schedule, Scoring};
use ndarray::{ArrayD, Axis};

use crate::Outcome;

/// Variance and mean of the reverse steps.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    variance: VarianceKind,
    mean: MeanKind,
}

impl Kernel {
    const fn new(variance: VarianceKind, mean: MeanKind) -> Self {
        Self { variance, mean }
    }

    pub(crate) fn name(&self) -> String {
        let mean = match self.mean {
            MeanKind::Network => "",
            MeanKind::Calibrated => " + mean",
        };
        format!("{}{mean}", self.variance)
    }

    /// The best schedule for each number of steps, exactly.
    ///
    /// The step onto the data has a density, since the data have one: that of the kernel where it is spectral, and else one of the scalar
    /// variance that is best for its t, so that kernels of one variance lose nothing there which the others do not.
    fn schedules(&self, profile: &ElboProfile, steps: &[usize]) -> Outcome<Vec<Schedule>> {
        let scoring = Scoring::new(self.variance).with_mean(self.mean);
        if self.variance == VarianceKind::Spectral {
            let scoring = scoring.with_decoder(DecoderKind::Gaussian);
            let found = choose_on(profile, &scoring, &Budgets::Only(steps.to_vec()))?;
            return Ok(found
                .budgets
                .into_iter()
                .map(|chosen| chosen.schedule)
                .collect());
        }
        let curves = Curves::from_profile(profile)?;
        let frozen = curves.freeze(&scoring.with_decoder(DecoderKind::None))?;
        let left = frozen.mse.clone().unwrap_or_else(|| curves.mse().into());
        let model = CostModel::new(&curves, frozen)?;
        let interior = model.table()?;
        let end = curves.train_steps();
        let table = CostTable::from_rows(end, |t, row| {
            row.copy_from_slice(interior.row(t));
            row[0] = gaussian_nll(left[t], left[t].ln());
        })?;
        let solution = solve(&table, &SolveOptions::default())?;
        let schedule = |&k: &usize| -> Outcome<Schedule> {
            let nodes = solution.path(&table, k, end);
            let nodes = nodes.ok_or_else(|| format!("{k} steps: expected 1 to {end}"))?;
            let mut schedule = model.schedule_of(TimePath::new(nodes, end)?);
            let log_variance = left[schedule.path.nodes()[1]].ln();
            schedule.kernels[0] = ddpm::schedule::Kernel::Scalar { log_variance };
            schedule.decoder = DecoderKind::Gaussian;
            Ok(schedule)
        };
        steps.iter().map(schedule).collect()
    }
}

/// All that need no learned variance.
pub(crate) const KERNELS: [Kernel; 6] = [
    Kernel::new(VarianceKind::FixedSmall, MeanKind::Network),
    Kernel::new(VarianceKind::FixedLarge, MeanKind::Network),
    Kernel::new(VarianceKind::Analytic, MeanKind::Network),
    Kernel::new(VarianceKind::Analytic, MeanKind::Calibrated),
    Kernel::new(VarianceKind::Spectral, MeanKind::Network),
    Kernel::new(VarianceKind::Spectral, MeanKind::Calibrated),
];

/// A mixture with draws to choose on and others to score.
pub(crate) struct Judge<'a> {
    model: &'a ImageMixture,
    draws: ImageSet,
    choose: usize,
    seed: u64,
    /// -log2 p per dimension of the draws that score.
    truth: Vec<f64>,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(
        model: &'a ImageMixture,
        seed: u64,
        choose: usize,
        score: usize,
    ) -> Outcome<Self> {
        let shape = [&[choose + score], model.shape().as_slice()].concat();
        let mut draws = ArrayD::zeros(shape);
        for (i, mut draw) in draws.axis_iter_mut(Axis(0)).enumerate() {
            draw.assign(&model.sample(seed, i as u64));
        }
        let dims: usize = model.shape().iter().product();
        let scored = draws.slice_axis(Axis(0), (choose..).into());
        let bits = |nats: f64| -nats_to_bits(nats) / dims as f64;
        Ok(Self {
            truth: model.log_density(scored)?.into_iter().map(bits).collect(),
            draws: ImageSet::from_array("draws", draws.view())?,
            model,
            choose,
            seed,
        })
    }

    pub(crate) fn truth(&self) -> &[f64] {
        &self.truth
    }

    /// What schedules and kernels are chosen on. Estimates are as they are: blurred images leave [-1, 1].
    pub(crate) fn profile(&self, timesteps: usize) -> Outcome<ElboProfile> {
        let timesteps = timesteps_for(self.model.noise_schedule(), timesteps);
        let plan = ProfilePlan {
            clip_denoised: false,
            ..ProfilePlan::new(timesteps, (0..self.choose).collect(), 32, self.seed)
        };
        let save = &mut |_: &ElboProfile| Ok(());
        Ok(profile(
            self.model,
            &self.draws,
            &plan,
            Split::Train,
            None,
            &Silent,
            save,
        )?)
    }

    /// Bits/dim above the truth of every draw that scores, for each number of steps.
    pub(crate) fn gaps(
        &self,
        profile: &ElboProfile,
        kernel: &Kernel,
        steps: &[usize],
    ) -> Outcome<Vec<Vec<f64>>> {
        let gaps = |schedule: Schedule| -> Outcome<Vec<f64>> {
            let images = (self.choose..self.draws.len()).collect();
            let plan = BitsPerDimPlan {
                clip_denoised: false,
                ..BitsPerDimPlan::new(schedule, images)
            };
            let bits = bits_per_dim(self.model, &self.draws, &plan, &Silent)?;
            let totals = bits.total.unwrap_or_default();
            Ok(totals.iter().zip(&self.truth).map(|(b, t)| b - t).collect())
        };
        kernel
            .schedules(profile, steps)?
            .into_iter()
            .map(gaps)
            .collect()
    }
}

/// The mean and its standard error.
pub(crate) fn mean_and_error(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0) / n).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm::core::{NoiseSchedule, NoiseScheduleName};
    use ndarray::Array2;

    /// Smooth images of 8x8 pixels, since it is their frequencies that kernels tell apart.
    fn smooth(count: usize) -> ImageSet {
        let images = Array2::from_shape_fn((count, 64), |(i, pixel)| {
            let (y, x) = ((pixel / 8) as f32 / 8.0, (pixel % 8) as f32 / 8.0);
            let phase = (i as f32 * 0.618).fract() * 6.3;
            let slope = (i as f32 * 0.414).fract() - 0.5;
            0.5 * (2.0 * x + 3.0 * y * slope + phase).sin() + slope * y
        });
        let images = images
            .into_shape_with_order((count, 1, 8, 8))
            .expect("64 pixels");
        ImageSet::from_array("smooth", images.view()).expect("finite")
    }

    /// No bound is below the truth by more than chance, those of measured variances come down to it as steps grow, and a covariance helps a
    /// perfect network too.
    #[test]
    fn bounds_are_above_the_truth_and_come_down_to_it() {
        let noise = NoiseSchedule::named(NoiseScheduleName::Cosine, 200).expect("a valid length");
        let model = ImageMixture::new(noise, &smooth(40), 0.1).expect("valid");
        let judge = Judge::new(&model, 0, 256, 128).expect("it fits");
        let profile = judge.profile(48).expect("a whole run");
        let steps = [2, 4, 8, 16, 200];
        let gaps: Vec<Vec<Vec<f64>>> = KERNELS
            .iter()
            .map(|kernel| judge.gaps(&profile, kernel, &steps).expect("it fits"))
            .collect();
        for (kernel, gaps) in KERNELS.iter().zip(&gaps) {
            let name = kernel.name();
            let found: Vec<(f64, f64)> = gaps.iter().map(|gaps| mean_and_error(gaps)).collect();
            println!("{name}: {found:.4?}");
            for (mean, error) in &found {
                assert!(*mean > -4.0 * error, "{name}: {found:?}");
            }
            // A variance that is not measured loses on all steps what it wins on few of them.
            if kernel.variance.is_measured() {
                let falls = found.windows(2).all(|pair| pair[1].0 < pair[0].0);
                assert!(falls && found[4].0 < 0.05, "{name}: {found:?}");
            }
        }
        let [_, _, analytic, _, spectral, corrected] = &gaps[..] else {
            panic!("six kernels")
        };
        for (k, (analytic, spectral)) in analytic.iter().zip(spectral).enumerate() {
            let pairs = analytic.iter().zip(spectral);
            let (mean, error) = mean_and_error(&pairs.map(|(a, s)| s - a).collect::<Vec<_>>());
            assert!(mean < 3.0 * error, "K = {}: {mean} +- {error}", steps[k]);
            assert!(steps[k] > 8 || mean < -0.02, "K = {}: {mean}", steps[k]);
        }
        // Its mean needs no correction.
        for (spectral, corrected) in spectral.iter().zip(corrected) {
            let pairs = spectral.iter().zip(corrected);
            let (mean, error) = mean_and_error(&pairs.map(|(s, c)| c - s).collect::<Vec<_>>());
            assert!(mean.abs() < 0.02 + 4.0 * error, "{mean} +- {error}");
        }
    }
}
