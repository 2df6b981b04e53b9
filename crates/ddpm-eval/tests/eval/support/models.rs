//! Denoisers that are known exactly, faulty ones, and images for them.

use ddpm_core::{
    Bands, CoefficientKind, DecoderKind, Denoiser, DenoiserError, GaussianDenoiser, NetworkId,
    NoiseSchedule, NoiseScheduleName, Parameterization, Prediction, Sampler, TimePath,
    VarianceKind,
};
use ddpm_data::ImageSet;
use ddpm_schedule::{Kernel, Schedule, Scoring};
use ndarray::{Array3, Array4, ArrayD, ArrayViewD, Axis};

pub(crate) const SHAPE: (usize, usize, usize) = (3, 4, 4);

/// A different number for every pixel, in [0, 1).
fn spread(i: (usize, usize, usize), step: f64) -> f64 {
    ((i.0 * 16 + i.1 * 4 + i.2) as f64 * step).fract()
}

pub(crate) fn cosine(train_steps: usize) -> NoiseSchedule {
    NoiseSchedule::named(NoiseScheduleName::Cosine, train_steps).unwrap()
}

/// A path under conventions that need no measurement.
pub(crate) fn along(
    noise: &NoiseSchedule,
    path: &TimePath,
    variance: VarianceKind,
    decoder: DecoderKind,
) -> Schedule {
    let scoring = Scoring::new(variance).with_decoder(decoder);
    Schedule::of_path(noise, path.clone(), &scoring).unwrap()
}

/// A path with these log-variances, the decoder's first and `None` for the network's own, under the respaced decoder.
pub(crate) fn with_log_variances(path: &TimePath, log_variances: &[Option<f64>]) -> Schedule {
    let kernel = |&log_variance: &Option<f64>| match log_variance {
        Some(log_variance) => Kernel::Scalar { log_variance },
        None => Kernel::Learned,
    };
    Schedule {
        means: Vec::new(),
        bands: None,
        path: path.clone(),
        kernels: log_variances.iter().map(kernel).collect(),
        decoder: DecoderKind::Respaced,
        bin_width: None,
        sampler: Sampler::Ddpm,
        coefficients: CoefficientKind::Solver,
        fitted: Vec::new(),
    }
}

/// Data with another mean and variance in every pixel; no variance output.
pub(crate) fn fixed(
    schedule: &NoiseSchedule,
    parameterization: Parameterization,
) -> GaussianDenoiser {
    let mu = Array3::from_shape_fn(SHAPE, |i| 0.8 * spread(i, 0.37) - 0.4);
    let variance = Array3::from_shape_fn(SHAPE, |i| 0.02 + 0.2 * spread(i, 0.61));
    GaussianDenoiser::new(schedule.clone(), mu, variance, parameterization).unwrap()
}

/// The same with a `v` between -0.2 and 1.2 in every pixel.
pub(crate) fn learned(
    schedule: &NoiseSchedule,
    parameterization: Parameterization,
) -> GaussianDenoiser {
    let v = Array3::from_shape_fn(SHAPE, |i| 1.4 * spread(i, 0.29) - 0.2);
    fixed(schedule, parameterization).with_v(v).unwrap()
}

/// The best denoiser of data whose coefficients in the bands of frequencies are independent, of mean 0 and one variance per band.
pub(crate) struct InBands {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) bands: Bands,
    pub(crate) variances: Vec<f64>,
}

impl InBands {
    pub(crate) fn new(schedule: NoiseSchedule) -> Self {
        let (c, h, w) = SHAPE;
        let bands = Bands::of_shape(&[c, h, w]).unwrap();
        let variance = |band| 0.5 * 0.7f64.powi(band as i32);
        Self {
            schedule,
            variances: (0..bands.count()).map(variance).collect(),
            bands,
        }
    }

    /// The power of its errors at t, by band.
    pub(crate) fn powers(&self, t: usize) -> Vec<f64> {
        let left = |p: &f64| p / (1.0 + self.schedule.snr(t) * p);
        self.variances.iter().map(left).collect()
    }

    /// The mean square of the coefficients of each band, over data.
    pub(crate) fn mean_squares<'a>(&self, data: impl Iterator<Item = &'a [f32]>) -> Vec<f64> {
        let mut sums = vec![0.0; self.bands.count()];
        let mut count = 0.0;
        for datum in data {
            let datum: Vec<f64> = datum.iter().map(|&x| f64::from(x)).collect();
            let coefficients = self.bands.transform(&datum);
            for (y, &band) in coefficients.iter().zip(self.bands.of_coefficients()) {
                sums[band] += y * y;
            }
            count += 1.0;
        }
        let mean = |(sum, &size): (f64, &usize)| sum / (count * size as f64);
        sums.into_iter().zip(self.bands.sizes()).map(mean).collect()
    }
}

impl Denoiser for InBands {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }
    fn network_id(&self) -> NetworkId {
        NetworkId::Named("in bands".into())
    }
    fn shape(&self) -> Vec<usize> {
        self.bands.shape().to_vec()
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
        let data = x.axis_iter(Axis(0)).zip(mean.axis_iter_mut(Axis(0)));
        for ((x, mut mean), &t) in data.zip(t) {
            let x: Vec<f64> = x.iter().map(|&x| f64::from(x)).collect();
            let mut y = self.bands.transform(&x);
            let (signal, noise) = (
                self.schedule.alpha_bar(t),
                self.schedule.one_minus_alpha_bar(t),
            );
            for (y, &band) in y.iter_mut().zip(self.bands.of_coefficients()) {
                let p = self.variances[band];
                *y *= signal.sqrt() * p / (signal * p + noise);
            }
            for (mean, x) in mean.iter_mut().zip(self.bands.inverse(&y)) {
                *mean = x as f32;
            }
        }
        Ok(Prediction {
            mean,
            variance: None,
        })
    }
}

/// `n` images of the model's data.
pub(crate) fn images(model: &GaussianDenoiser, n: usize) -> ImageSet {
    let views: Vec<ArrayD<f32>> = (0..n as u64).map(|i| model.sample(99, i)).collect();
    let views: Vec<_> = views.iter().map(|x| x.view()).collect();
    ImageSet::from_array("gaussian", ndarray::stack(Axis(0), &views).unwrap().view()).unwrap()
}

/// The same rounded to bytes, so that some pixels are at the open ends of the decoder's bins.
pub(crate) fn byte_images(model: &GaussianDenoiser, n: usize) -> ImageSet {
    let floats = images(model, n);
    let (c, h, w) = SHAPE;
    let floats: Vec<Vec<f32>> = (0..n).map(|i| floats.image(i).unwrap()).collect();
    let bytes = Array4::from_shape_fn((n, c, h, w), |(i, c, y, x)| {
        // Stretched, so that the ends are met.
        let value = 2.0 * floats[i][(c * h + y) * w + x];
        ((value + 1.0) * 127.5).round() as u8
    });
    ImageSet::from_bytes("gaussian-bytes", bytes.view()).unwrap()
}

/// A class-conditional model: class k is a Gaussian of its own.
pub(crate) struct Conditional(pub(crate) Vec<GaussianDenoiser>);

impl Denoiser for Conditional {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.0[0].noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.0[0].shape()
    }
    fn parameterization(&self) -> Parameterization {
        self.0[0].parameterization()
    }
    fn num_classes(&self) -> Option<usize> {
        Some(self.0.len())
    }
    fn network_id(&self) -> NetworkId {
        let ids: Vec<String> = self.0.iter().map(|m| m.network_id().to_string()).collect();
        NetworkId::Named(ids.join(" "))
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        self.check_inputs(&x, t, labels)?;
        let labels = labels.unwrap_or_default();
        let mut mean = ArrayD::zeros(x.raw_dim());
        for (b, mut out) in mean.axis_iter_mut(Axis(0)).enumerate() {
            let one = x.slice_axis(Axis(0), (b..b + 1).into());
            let prediction = self.0[labels[b]].predict(one, &t[b..b + 1], None)?;
            out.assign(&prediction.mean.index_axis(Axis(0), 0));
        }
        Ok(Prediction {
            mean,
            variance: None,
        })
    }
}

/// What a faulty network does.
#[derive(Clone, Copy)]
pub(crate) enum Fault {
    NotFinite,
    Shape,
    NoVariance,
    Fails,
}

/// A learned model that is faulty from some timestep on.
pub(crate) struct Faulty {
    pub(crate) model: GaussianDenoiser,
    pub(crate) fault: Fault,
    pub(crate) from: usize,
}

impl Denoiser for Faulty {
    fn noise_schedule(&self) -> &NoiseSchedule {
        self.model.noise_schedule()
    }
    fn shape(&self) -> Vec<usize> {
        self.model.shape()
    }
    fn parameterization(&self) -> Parameterization {
        self.model.parameterization()
    }
    fn learns_variance(&self) -> bool {
        true
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        t: &[usize],
        labels: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        let mut good = self.model.predict(x, t, labels)?;
        let Some(b) = t.iter().position(|&t| t >= self.from) else {
            return Ok(good);
        };
        match self.fault {
            Fault::NotFinite => good.mean[[b, 1, 2, 3]] = f32::NAN,
            Fault::Shape => good.mean = ArrayD::zeros(vec![t.len(), 1, 4, 4]),
            Fault::NoVariance => good.variance = None,
            Fault::Fails => return Err(DenoiserError::new("out of memory")),
        }
        Ok(good)
    }
}

/// A network whose raw output for image b of every batch is row b of a recorded tensor, whatever it is fed.
pub(crate) struct Recorded {
    pub(crate) schedule: NoiseSchedule,
    pub(crate) output: Array4<f32>,
    pub(crate) learned: bool,
}

impl Denoiser for Recorded {
    fn noise_schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }
    fn shape(&self) -> Vec<usize> {
        let (_, _, h, w) = self.output.dim();
        vec![3, h, w]
    }
    fn learns_variance(&self) -> bool {
        self.learned
    }
    fn predict(
        &self,
        x: ArrayViewD<'_, f32>,
        _: &[usize],
        _: Option<&[usize]>,
    ) -> Result<Prediction, DenoiserError> {
        assert_eq!(x.shape()[0], self.output.dim().0);
        let channels = |range: std::ops::Range<usize>| {
            self.output
                .slice_axis(Axis(1), range.into())
                .to_owned()
                .into_dyn()
        };
        Ok(Prediction {
            mean: channels(0..3),
            variance: self.learned.then(|| channels(3..6)),
        })
    }
}
