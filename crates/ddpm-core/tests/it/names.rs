//! Names and their parsers: what is printed is read back, and errors list the choices.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ddpm_core::{
    DecoderKind, NoiseScheduleName, Objective, Parameterization, PathSpec, Sampler, StartRule,
    Stride, VarianceKind,
};

use crate::support::NAMED;

fn round_trip<T: Display + FromStr + PartialEq + Debug>(value: T, text: &str)
where
    T::Err: Debug,
{
    assert_eq!(value.to_string(), text);
    assert_eq!(text.parse::<T>().unwrap(), value);
}

#[test]
fn names_round_trip() {
    let schedules = [
        "linear",
        "linear-unscaled",
        "scaled-linear",
        "cosine",
        "sigmoid",
    ];
    for (name, text) in NAMED.into_iter().zip(schedules) {
        round_trip(name, text);
    }
    round_trip(VarianceKind::Learned, "learned");
    round_trip(VarianceKind::FixedSmall, "fixed-small");
    round_trip(VarianceKind::FixedLarge, "fixed-large");
    round_trip(VarianceKind::Analytic, "analytic");
    let decoders = ["respaced", "marginal", "optimal", "gaussian", "none"];
    for (&decoder, text) in DecoderKind::ALL.iter().zip(decoders) {
        round_trip(decoder, text);
    }
    for (&objective, text) in Objective::ALL
        .iter()
        .zip(["elbo", "mse", "quality", "klub"])
    {
        round_trip(objective, text);
    }
    for (&sampler, text) in Sampler::ALL.iter().zip(["ddpm", "ddim", "dpm-solver++"]) {
        round_trip(sampler, text);
    }
    round_trip(StartRule::Full, "full");
    round_trip(StartRule::Free, "free");
    round_trip(Parameterization::Epsilon, "epsilon");
    round_trip(Parameterization::X0, "x0");
    round_trip(Parameterization::V, "v");
    round_trip(Stride::Even(8), "even:8");
    round_trip(Stride::Quadratic(8), "quadratic:8");
    round_trip(Stride::DdimQuadratic(8), "ddim-quadratic:8");
    round_trip(Stride::LogSnr(8), "logsnr:8");
    round_trip(Stride::Karras(8), "karras:8");
    round_trip(Stride::All, "all");
    round_trip(
        Stride::Respacing("10,15,20".to_owned()),
        "respacing:10,15,20",
    );
    round_trip(Stride::Respacing("ddim50".to_owned()), "respacing:ddim50");
    round_trip(PathSpec::Nodes(vec![0, 1, 5]), "0,1,5");
    round_trip(PathSpec::Nodes(vec![4000]), "4000");
    round_trip(PathSpec::Stride(Stride::All), "all");
}

#[test]
fn other_spellings_are_read() {
    let cosine = Ok(NoiseScheduleName::Cosine);
    assert_eq!("squaredcos_cap_v2".parse(), cosine);
    assert_eq!("Cosine".parse(), cosine);
    assert_eq!("scaled_linear".parse(), Ok(NoiseScheduleName::ScaledLinear));
    assert_eq!("fixed_large".parse(), Ok(VarianceKind::FixedLarge));
    assert_eq!("dpmpp_2m".parse(), Ok(Sampler::DpmSolver2M));
    assert_eq!("dpmpp_3m".parse(), Ok(Sampler::DpmSolver3M));
    assert_eq!(" 1, 5 ,9 ".parse(), Ok(PathSpec::Nodes(vec![1, 5, 9])));
}

#[test]
fn bad_names_list_the_choices() {
    let error = "cosin"
        .parse::<NoiseScheduleName>()
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("unknown noise schedule \"cosin\": expected one of linear, "),
        "{error}"
    );
    let error = "large".parse::<VarianceKind>().unwrap_err().to_string();
    assert!(
        error.contains("learned, fixed-small, fixed-large, analytic"),
        "{error}"
    );
    assert!("eps".parse::<Parameterization>().is_err());
}

#[test]
fn bad_paths_say_what_was_expected() {
    let cases = [
        ("even", "such as even:8"),
        ("even:", "such as even:8"),
        ("even:-1", "such as even:8"),
        ("even:x", "such as even:8"),
        ("all:3", "expected all, even:K"),
        ("respacing:", "such as respacing:10,15,20"),
        ("respacing", "such as respacing:10,15,20"),
        ("odd:3", "expected all, even:K"),
        ("", "expected all, even:K"),
        ("1,2,x", "\"x\" is not a timestep"),
        ("1,2,", "\"\" is not a timestep"),
        ("1;2", "\"1;2\" is not a timestep"),
        ("99999999999999999999999", "is not a timestep"),
        ("-1,2", "expected all, even:K"),
    ];
    for (text, message) in cases {
        let error = text.parse::<PathSpec>().unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
}
