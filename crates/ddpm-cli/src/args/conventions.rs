//! Variances, decoders and the other conventions that decide a number.

use clap::ValueEnum;

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
