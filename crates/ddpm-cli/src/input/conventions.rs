//! The conventions that flags ask for.

use std::f64::consts::LN_2;

use ddpm_core::{DecoderKind, Sampler};
use ddpm_schedule::GaussianDecoder;

use crate::error::{Error, Located, Result};

/// Parameters of the gaussian decoder as flags give them: refuses impossible values, and any values for another decoder.
///
/// # Errors
/// [`Error::Input`] or [`Error::Usage`] naming the flag.
pub(crate) fn gaussian_decoder(
    bin_width: Option<f64>,
    first_bits: Option<f64>,
    kind: DecoderKind,
) -> Result<GaussianDecoder> {
    for (flag, value) in [
        ("--decoder-bin-width", bin_width),
        ("--decoder-first-bits", first_bits),
    ] {
        if value.is_some() && kind != DecoderKind::Gaussian {
            return Err(Error::usage(format!(
                "{flag} goes with --decoder gaussian, the decoder is {kind}"
            )));
        }
    }
    if let Some(width) = bin_width.filter(|w| !(*w > 0.0 && w.is_finite())) {
        return Err(Error::flag(
            "--decoder-bin-width",
            format!("expected a positive number, found {width}"),
        ));
    }
    if let Some(bits) = first_bits.filter(|b| !b.is_finite()) {
        return Err(Error::flag(
            "--decoder-first-bits",
            format!("expected a finite number, found {bits}"),
        ));
    }
    Ok(GaussianDecoder {
        bin_width,
        first: first_bits.map(|bits| bits * LN_2),
    })
}

/// A word of `--sampler` where only samplers of the flow will do.
pub(crate) fn sampler_of_the_flow(name: &str) -> Result<Sampler> {
    let sampler: Sampler = name.parse().in_flag("--sampler")?;
    sampler.check_of_the_flow().in_flag("--sampler")?;
    Ok(sampler)
}
