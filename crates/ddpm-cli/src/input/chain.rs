//! The training chain of commands that read no checkpoint, a path on a chain, and the conventions of its steps.

use std::f64::consts::LN_2;

use ddpm_core::{DecoderKind, NoiseSchedule, NoiseScheduleName, PathSpec, Process, Sampler};
use ddpm_schedule::GaussianDecoder;

use super::files::read_column;
use crate::args::ChainArgs;
use crate::error::{Error, Located, Result};

/// The noise schedule that the flags tell; `rows` is T where another file already tells it.
pub(crate) fn noise_schedule(args: &ChainArgs, rows: Option<usize>) -> Result<NoiseSchedule> {
    if let Some(text) = &args.process {
        return process(text, args, rows);
    }
    let schedule = match (&args.noise_schedule, &args.alpha_bar) {
        (Some(name), _) => {
            let train_steps = args.train_steps.or(rows).ok_or_else(|| {
                Error::usage(
                    "--noise-schedule needs --train-steps T, the number of training timesteps",
                )
            })?;
            let name: NoiseScheduleName = name.parse().in_flag("--noise-schedule")?;
            NoiseSchedule::named(name, train_steps).in_flag("--noise-schedule")?
        }
        (None, Some(path)) => {
            let alpha_bar = read_column(path, "alpha_bar")?;
            NoiseSchedule::from_alpha_bar(&alpha_bar).in_file(path)?
        }
        (None, None) => {
            return Err(Error::usage(
                "expected --noise-schedule NAME with --train-steps T, --alpha-bar A.csv, or --process P with --train-steps T",
            ));
        }
    };
    if let Some(wanted) = args.train_steps
        && wanted != schedule.train_steps()
    {
        return Err(Error::flag(
            "--train-steps",
            format!(
                "expected {}, the number of rows of --alpha-bar, found {wanted}",
                schedule.train_steps()
            ),
        ));
    }
    if args.zero_terminal_snr {
        return Ok(schedule.zero_terminal_snr());
    }
    Ok(schedule)
}

/// The chain of `--process`.
fn process(text: &str, args: &ChainArgs, rows: Option<usize>) -> Result<NoiseSchedule> {
    const FLAG: &str = "--process";
    let nodes = args.train_steps.or(rows).ok_or_else(|| {
        Error::usage("--process needs --train-steps T, the number of nodes of its clock")
    })?;
    let unknown = || {
        let problem = format!("expected flow, edm or edm:MIN:MAX, found {text:?}");
        Error::flag(FLAG, problem)
    };
    if let Some(rows) = rows.filter(|&rows| rows != nodes) {
        let problem = format!("expected {rows}, the number of rows of the file, found {nodes}");
        return Err(Error::flag("--train-steps", problem));
    }
    let (name, range) = match text.split_once(':') {
        Some((name, range)) => (name, Some(range)),
        None => (text, None),
    };
    let process = match (name, range) {
        ("flow", None) => Process::flow(nodes),
        ("edm", None) => {
            let [from, to] = Process::EDM_SIGMAS;
            Process::edm(from, to, nodes)
        }
        ("edm", Some(range)) => {
            let ends = range
                .split_once(':')
                .and_then(|(from, to)| Some((from.trim().parse().ok()?, to.trim().parse().ok()?)));
            let (from, to) = ends.ok_or_else(unknown)?;
            Process::edm(from, to, nodes)
        }
        ("vp", None) => {
            return Err(Error::flag(
                FLAG,
                "vp is a chain of whole timesteps: expected its --noise-schedule or --alpha-bar instead",
            ));
        }
        _ => return Err(unknown()),
    };
    Ok(process.in_flag(FLAG)?.noise_schedule().clone())
}

/// Resolves the value of `--path` on a chain.
pub(crate) fn parse_path(
    text: &str,
    schedule: &NoiseSchedule,
    zero_based: bool,
) -> Result<ddpm_core::TimePath> {
    let spec: PathSpec = text.parse().in_flag("--path")?;
    spec.resolve(schedule, zero_based).map_err(|error| {
        let twice = matches!(error, ddpm_core::Error::PathNotIncreasing { .. });
        let advice = twice.then_some("list timesteps once each, the least first");
        Error::flag("--path", error).advised_maybe(advice)
    })
}

/// Parameters of the gaussian decoder as flags give them: refuses impossible values, and any values for another decoder.
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

/// A word of `--sampler` where only samplers will do that schedules are chosen for.
pub(crate) fn priced_sampler(name: &str) -> Result<Sampler> {
    let sampler: Option<Sampler> = name.parse().ok();
    if let Some(priced) = sampler.filter(|sampler| sampler.check_priced().is_ok()) {
        return Ok(priced);
    }
    let names = Sampler::PRICED.map(Sampler::name).join(" or ");
    let follows = sampler
        .map(Sampler::schedules_of)
        .filter(|&of| Some(of) != sampler);
    let follows = follows.map_or_else(String::new, |of| {
        format!(", whose schedules are those of {of}")
    });
    let expected =
        format!("expected one that schedules are chosen for, {names}, found {name}{follows}");
    Err(Error::flag("--sampler", expected))
}
