//! One call of the network, with everything checked that a faulty one could get wrong.

use ddpm_core::{Bands, Denoiser, MeanCorrection, Prediction, TimePath, predict_x0};
use ndarray::{ArrayD, ArrayViewD};

use crate::error::{Error, Result};
use crate::room::zeros;
use ddpm_data::ImageSet;
use ddpm_schedule::Schedule;

/// The batch size to use: what was asked for, or the network's favourite if that is 0.
pub(crate) fn batch_size(asked: usize, denoiser: &dyn Denoiser) -> usize {
    match asked {
        0 => denoiser.preferred_batch().max(1),
        n => n,
    }
}

/// A path must end within the chain.
pub(crate) fn check_path(denoiser: &dyn Denoiser, path: &TimePath) -> Result<()> {
    let train_steps = denoiser.train_steps();
    if path.end() > train_steps {
        return Err(Error::request(
            "path",
            format!(
                "expected timesteps up to {train_steps}, found {}",
                path.end()
            ),
        ));
    }
    Ok(())
}

/// The shape of `count` data of shape `datum` in one array.
pub(crate) fn batched(count: usize, datum: &[usize]) -> Vec<usize> {
    [&[count], datum].concat()
}

/// An array of `count` data from their values, one datum after the other.
pub(crate) fn batch_of(
    count: usize,
    datum: &[usize],
    values: impl Iterator<Item = f64>,
) -> Result<ArrayD<f32>> {
    let shape = batched(count, datum);
    let mut singles: Vec<f32> = zeros("batch", &shape)?;
    // The room is there; another number of values is an error of the shape.
    singles.clear();
    singles.extend(values.map(|value| value as f32));
    ArrayD::from_shape_vec(shape, singles).map_err(|e| Error::request("data", e.to_string()))
}

/// The schedule can be run by this network: one kernel per step, and per-pixel variances only from a network that learns them.
pub(crate) fn check_schedule(denoiser: &dyn Denoiser, schedule: &Schedule) -> Result<()> {
    schedule.check(denoiser.train_steps())?;
    check_bands(denoiser, schedule)?;
    if schedule.needs_learned_variance() && !denoiser.learns_variance() {
        return Err(Error::request(
            "variance",
            "the model has no variance output; expected fixed-small, fixed-large or analytic",
        ));
    }
    Ok(())
}

/// Corrections and variances per band are those of the network's data.
pub(crate) fn check_bands(denoiser: &dyn Denoiser, schedule: &Schedule) -> Result<()> {
    let (Some(bands), shape) = (&schedule.bands, denoiser.shape()) else {
        return Ok(());
    };
    if bands.shape() == shape {
        return Ok(());
    }
    Err(Error::request(
        "bands",
        format!(
            "expected those of data of shape {shape:?}, found shape {:?}",
            bands.shape()
        ),
    ))
}

/// The estimate of x_0 that a network's `output` for `x_t` means, clipped if `clip` says so; corrected by `mean` and then clipped again.
pub(crate) fn corrected_estimate(
    denoiser: &dyn Denoiser,
    t: usize,
    x_t: &[f64],
    output: &[f32],
    mean: Option<(&Bands, &MeanCorrection)>,
    clip: bool,
    xhat0: &mut [f64],
) -> Result<()> {
    let schedule = denoiser.noise_schedule();
    predict_x0(
        denoiser.parameterization(),
        schedule,
        t,
        x_t,
        output,
        clip,
        xhat0,
    )?;
    if let Some((bands, mean)) = mean {
        mean.apply(bands, schedule, t, x_t, xhat0);
        if clip {
            xhat0.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        }
    }
    Ok(())
}

/// The labels to feed: one per image for a class-conditional network, none for any other.
///
/// # Errors
/// [`Error::Request`] where a class-conditional network has no labels, or one that is none of its classes; labels that cannot be read.
pub fn labels_for<'a>(denoiser: &dyn Denoiser, data: &'a ImageSet) -> Result<Option<&'a [usize]>> {
    let Some(classes) = denoiser.num_classes() else {
        return Ok(None);
    };
    match data.labels()? {
        Some(labels) => check_labels(labels, classes).map(|()| Some(labels)),
        None => Err(Error::request(
            "labels",
            format!(
                "the model is conditional on {classes} classes and the images have no labels; \
                 expected labels in the data or one class for all of them"
            ),
        )),
    }
}

/// The labels of `count` samples, as the network needs them: one each for a class-conditional one, none for any other.
pub(crate) fn batch_labels<'a>(
    denoiser: &dyn Denoiser,
    labels: Option<&'a [usize]>,
    count: usize,
) -> Result<Option<&'a [usize]>> {
    match (denoiser.num_classes(), labels) {
        (None, None) => Ok(None),
        (Some(classes), Some(labels)) if labels.len() == count => {
            check_labels(labels, classes).map(|()| Some(labels))
        }
        (Some(classes), labels) => Err(Error::request(
            "labels",
            format!(
                "expected {count}, one per image: the model is conditional on {classes} classes; found {}",
                labels.map_or_else(|| "none".to_owned(), |l| l.len().to_string())
            ),
        )),
        (None, Some(_)) => Err(Error::request(
            "labels",
            "expected none: the model is not class-conditional",
        )),
    }
}

/// Every label below the number of classes.
pub(crate) fn check_labels(labels: &[usize], classes: usize) -> Result<()> {
    match labels.iter().find(|&&label| label >= classes) {
        None => Ok(()),
        Some(label) => Err(Error::request(
            "labels",
            format!("expected labels below {classes} (the model's classes), found {label}"),
        )),
    }
}

/// Calls the network and refuses an output of another shape or one that is not finite.
///
/// `names[b]` tells which image row `b` is, for the message.
pub(crate) fn predict(
    denoiser: &dyn Denoiser,
    x: ArrayViewD<'_, f32>,
    t: &[usize],
    labels: Option<&[usize]>,
    names: impl Fn(usize) -> String,
) -> Result<Prediction> {
    let prediction = denoiser.predict(x.view(), t, labels)?;
    let fault = |problem: String| Err(Error::Output(problem));
    if prediction.variance.is_some() != denoiser.learns_variance() {
        return fault(
            "the network says that it learns its variance and returns none, or the reverse"
                .to_owned(),
        );
    }
    for (what, output) in [
        ("output", Some(&prediction.mean)),
        ("variance", prediction.variance.as_ref()),
    ] {
        let Some(output) = output else { continue };
        if output.shape() != x.shape() {
            return fault(format!(
                "the network's {what} has shape {:?}: expected {:?}",
                output.shape(),
                x.shape()
            ));
        }
        for (b, image) in output.outer_iter().enumerate() {
            if image.iter().any(|x| !x.is_finite()) {
                return fault(format!(
                    "the network's {what} for {} at timestep {} is not finite",
                    names(b),
                    t[b]
                ));
            }
        }
    }
    Ok(prediction)
}

/// `v = (raw + 1) / 2`, the learned variance's place between its two bounds.
pub(crate) fn read_v<'a>(raw: impl Iterator<Item = &'a f32>, dst: &mut [f64]) {
    for (v, &raw) in dst.iter_mut().zip(raw) {
        *v = 0.5 * (f64::from(raw) + 1.0);
    }
}
