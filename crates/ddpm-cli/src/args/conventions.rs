//! Variances, decoders and the other conventions that decide a number.

use clap::{ArgAction, Args, ValueEnum};

/// Variance of a reverse step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum VarianceArg {
    /// The network's own, per pixel
    Learned,
    /// The posterior variance (the paper's choice for L_simple)
    FixedSmall,
    /// The forward variance beta
    FixedLarge,
    /// The best isotropic one, from the measured error of the network
    Analytic,
}

/// Samplers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SamplerArg {
    /// Ancestral: the reverse chain whose likelihood is measured
    Ddpm,
    /// DDIM, with the noise of --eta
    Ddim,
    /// DPM-Solver++(2M): deterministic, second order, the first step and the one onto the data first order
    #[value(name = "dpm-solver++")]
    DpmSolver,
}

/// Variance of the decoder, the step onto the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DecoderArg {
    /// The respaced chain's clipped posterior variance, as improved-diffusion
    Respaced,
    /// 1 - alpha_bar of the first node
    Marginal,
    /// The scalar that is best on the choosing set
    Optimal,
    /// A continuous density under the respaced variance
    Gaussian,
    /// No decoder term
    None,
}

/// Variance of the steps, the one onto the data included.
#[derive(Args, Clone, Debug)]
pub(crate) struct StepArgs {
    /// Variance of the reverse steps [default: learned where the network has it; else, where CKPT is run, that of its
    /// scheduler_config.json or model.json; else fixed-small]
    #[arg(long, value_name = "V")]
    pub(crate) variance: Option<VarianceArg>,
    /// Variance of the decoder, the step onto the data [default: respaced; optimal for analytic; gaussian for a curve
    /// of --mse]
    #[arg(long, value_name = "D")]
    pub(crate) decoder: Option<DecoderArg>,
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

/// Where paths end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StartArg {
    /// Sampling starts at T, as in the paper
    Full,
    /// Sampling starts wherever cost plus prior is least
    Free,
}

/// What the schedules minimise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ObjectiveArg {
    /// The negative evidence lower bound
    Elbo,
    /// The paper's reweighted squared error, (t-s)/T m(t)
    Mse,
    /// How far samples end from where many small steps lead; on trajectories of `ddpm trajectory`
    Quality,
    /// The bound of Align Your Steps; on trajectories of `ddpm trajectory --forward`
    Klub,
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
