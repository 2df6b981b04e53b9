//! Variances, decoders and the other conventions that decide a number, by the names that the libraries give them.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{ArgAction, Args, ValueEnum};
use ddpm_core::{
    CoefficientKind, DecoderKind, MeanKind, Objective, Sampler, StartRule, VarianceKind,
};
use ddpm_data::Split;

/// A parser of a closed set of names, each with its line in `--help`.
macro_rules! named_values {
    ($($(#[$doc:meta])* $parser:ident: $type:ident { $($variant:ident: $help:literal),+ $(,)? })+) => {$(
        $(#[$doc])*
        pub(crate) fn $parser() -> impl TypedValueParser<Value = $type> {
            let values = [$(($type::$variant, $help)),+];
            let possible = values.map(|(value, help)| PossibleValue::new(value.name()).help(help));
            PossibleValuesParser::new(possible).map(move |name| {
                let named = values.iter().find(|(value, _)| value.name() == name);
                named.expect("clap lets no other name pass").0
            })
        }
    )+};
}
pub(super) use named_values;

named_values! {
    /// Variance of a reverse step.
    variances: VarianceKind {
        Learned: "The network's own, per pixel",
        FixedSmall: "The posterior variance (the paper's choice for L_simple)",
        FixedLarge: "The forward variance beta",
        Analytic: "The best isotropic one, from the measured error of the network",
        Spectral: "The best one of every band of frequencies, from the measured errors there",
        LearnedCalibrated: "The network's own times the best scalar of every step",
        Best: "The cheapest of spectral, learned-calibrated and analytic for every step",
    }
    /// Mean of a reverse step.
    means: MeanKind {
        Network: "On the network's estimate as it is",
        Calibrated: "On the estimate corrected per band of frequencies, from the measured errors there",
    }
    /// Samplers.
    samplers: Sampler {
        Ddpm: "Ancestral: the reverse chain whose likelihood is measured",
        Ddim: "DDIM, with the noise of --eta",
        DpmSolver2M: "DPM-Solver++(2M): deterministic, second order, the first step and the one onto the data first order",
        DpmSolver3M: "DPM-Solver++(3M): from two nodes before, of lower order at the ends of the path",
        Ipndm: "iPNDM of order 3: the noise of three nodes, weighed as in Adams and Bashforth's method",
        UniPc2: "UniPC of order 2: predictor and corrector, one evaluation a step",
        UniPc3: "UniPC of order 3",
    }
    /// Where the coefficients of a deterministic sampler's steps come from.
    coefficient_kinds: CoefficientKind {
        Solver: "The sampler's own, from the noise schedule alone",
        History: "The sampler's own but for how far it extrapolates, which is fitted",
        Fitted: "All of them by least squares",
        FittedBands: "All of them in every band of frequencies by itself",
    }
    /// Variance of the decoder, the step onto the data.
    decoders: DecoderKind {
        Respaced: "The respaced chain's clipped posterior variance, as improved-diffusion",
        Marginal: "1 - alpha_bar of the first node",
        Optimal: "The scalar or the learned variance, whichever is best on the choosing set",
        Gaussian: "A continuous density under the respaced variance",
        None: "No decoder term; schedules are then chosen among paths that end their noise at t = 1",
    }
    /// What samples are judged by.
    sample_objectives: Objective {
        Frechet: "The Frechet distance of features (FID, where they are Inception's)",
        Kernel: "The kernel distance (KID), unbiased",
        Energy: "The energy distance: for samples of a known distribution, by --features raw",
    }
    /// Where paths end.
    starts: StartRule {
        Full: "Sampling starts at T, as in the paper",
        Free: "Sampling starts wherever cost plus prior is least",
    }
    /// The parts of a data set.
    splits: Split {
        Train: "Images the network was trained on: to choose schedules",
        Test: "Images it has not seen: to report numbers",
    }
    /// What the schedules minimise.
    objectives: Objective {
        Elbo: "The negative evidence lower bound",
        Mse: "The paper's reweighted squared error, (t-s)/T m(t)",
        Quality: "How far samples end from where many small steps lead; on trajectories of `ddpm trajectory`",
        Klub: "The bound of Align Your Steps; on trajectories of `ddpm trajectory --forward`",
    }
}

/// Variance of the steps, the one onto the data included.
#[derive(Args, Clone, Debug)]
pub(crate) struct StepArgs {
    /// Variance of the reverse steps [default: learned where the network has it; else, where CKPT is run, that of its
    /// scheduler_config.json or model.json; else fixed-small; spectral with --mean calibrated]
    #[arg(long, value_name = "V", value_parser = variances())]
    pub(crate) variance: Option<VarianceKind>,
    /// Mean of the reverse steps [default: calibrated for spectral and best, else network]
    #[arg(long, value_name = "M", value_parser = means())]
    pub(crate) mean: Option<MeanKind>,
    /// Variance of the decoder, the step onto the data [default: respaced; optimal for the measured variances, from
    /// analytic to best; gaussian for a curve of --mse]
    #[arg(long, value_name = "D", value_parser = decoders())]
    pub(crate) decoder: Option<DecoderKind>,
    /// With --decoder gaussian: the width of a bin of the data, so that the term is in bits of the
    /// discretised value (2/255 for 8-bit images in [-1, 1]) [default: a density]
    #[arg(long, value_name = "W")]
    pub(crate) decoder_bin_width: Option<f64>,
}

/// Whether predictions are clipped.
#[derive(Args, Clone, Debug)]
pub(crate) struct ClipArgs {
    /// Clip the predicted image to [-1, 1], as improved-diffusion does [default: as the schedules file says,
    /// else as the checkpoint's scheduler_config.json does, else true]
    #[arg(long, value_name = "BOOL", action = ArgAction::Set)]
    pub(crate) clip_denoised: Option<bool>,
}

/// How the dynamic program is solved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SolverArg {
    /// Monge where the table passes the test, else blocked
    Auto,
    /// Blocked min-plus products: any table
    Blocked,
    /// Monotone argmins: refused unless the table is Monge
    Monge,
}
