//! The one error type of the crate.

/// What can be wrong with the input of this crate.
///
/// Messages are fragments that name the field, what was expected and what was found.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A name is not one of the known ones.
    #[error("unknown {what} {found:?}: expected one of {expected}")]
    UnknownName {
        /// What was to be named, such as `noise schedule`.
        what: &'static str,
        /// The text given.
        found: String,
        /// The accepted names.
        expected: String,
    },
    /// A sampler whose steps are not [priced](crate::Sampler::PRICED) where schedules are chosen for one.
    #[error(
        "sampler: expected one that schedules are chosen for ({}), found {sampler}",
        crate::Sampler::PRICED.map(crate::Sampler::name).join(", ")
    )]
    NotPriced {
        /// The sampler.
        sampler: &'static str,
    },
    /// A noise schedule that is not the one it is called.
    #[error(
        "noise schedule: {name} has another alpha_bar at t = {t} than this one; call it custom"
    )]
    AnotherSchedule {
        /// The name.
        name: &'static str,
        /// The first timestep at which they differ.
        t: usize,
    },
    /// A noise schedule without a single step.
    #[error("noise schedule has no timesteps: expected at least 1")]
    NoTrainSteps,
    /// A noise schedule longer than any model is trained with.
    #[error("noise schedule has {train_steps} training timesteps: expected at most {max}")]
    TooManyTrainSteps {
        /// The length asked for.
        train_steps: usize,
        /// The longest schedule.
        max: usize,
    },
    /// A named schedule whose betas would leave `(0, 1]` at this length.
    #[error(
        "noise schedule {name} needs at least {minimum} training timesteps, found {train_steps}: \
         its betas would exceed 1"
    )]
    ScheduleTooShort {
        /// Name of the schedule.
        name: &'static str,
        /// The length asked for.
        train_steps: usize,
        /// The shortest possible length.
        minimum: usize,
    },
    /// A beta outside `(0, 1)` (exactly 1 is accepted at the last step).
    #[error("beta of timestep {t} is {value}: expected a number in (0, 1), or 1 at the last step")]
    InvalidBeta {
        /// Timestep, from 1.
        t: usize,
        /// The value found.
        value: f64,
    },
    /// An `alpha_bar` outside `[0, 1)`.
    #[error("alpha_bar of timestep {t} is {value}: expected a number in [0, 1)")]
    InvalidAlphaBar {
        /// Timestep, from 1.
        t: usize,
        /// The value found.
        value: f64,
    },
    /// `alpha_bar` stays or grows from one timestep to the next.
    #[error(
        "alpha_bar does not decrease from timestep {} to {t} ({previous} then {value}): \
         expected a strictly decreasing sequence", t - 1
    )]
    AlphaBarNotDecreasing {
        /// The later timestep, from 1.
        t: usize,
        /// Value at `t - 1`.
        previous: f64,
        /// Value at `t`.
        value: f64,
    },
    /// A path without a single step.
    #[error("path has no steps: expected at least one timestep in 1..={train_steps}")]
    EmptyPath {
        /// `T`.
        train_steps: usize,
    },
    /// The timesteps of a path are not strictly increasing.
    #[error("path is not strictly increasing: timestep {node} follows {previous}")]
    PathNotIncreasing {
        /// The timestep before.
        previous: usize,
        /// The offending timestep.
        node: usize,
    },
    /// A timestep beyond the end of the training chain.
    #[error("timestep {t} is out of range: expected 1..={train_steps}")]
    TimestepOutOfRange {
        /// The timestep found.
        t: usize,
        /// `T`.
        train_steps: usize,
    },
    /// More steps than the training chain has, or none.
    #[error("cannot take {steps} steps from {train_steps} timesteps: expected 1 to {train_steps}")]
    ImpossibleStepCount {
        /// The number of steps asked for.
        steps: usize,
        /// `T`.
        train_steps: usize,
    },
    /// A stride or path that cannot be read.
    #[error("invalid path {found:?}: {reason}")]
    InvalidPathSpec {
        /// The text given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A respacing string that cannot be read or cannot be satisfied.
    #[error("invalid respacing {found:?}: {reason}")]
    InvalidRespacing {
        /// The text given.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Two arrays that belong together have different lengths.
    #[error("{what} has {found} elements: expected {expected}")]
    LengthMismatch {
        /// Name of the array.
        what: &'static str,
        /// The length it should have.
        expected: usize,
        /// The length it has.
        found: usize,
    },
    /// Two data that belong together have different shapes.
    #[error("{what} has shape {found:?}: expected {expected:?}")]
    ShapeMismatch {
        /// Name of the datum.
        what: &'static str,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has.
        found: Vec<usize>,
    },
    /// Epsilon-prediction says nothing about the data where no signal is left.
    #[error(
        "epsilon-prediction is undefined at timestep {t}, where alpha_bar is 0: \
         use x0- or v-prediction, or a path that ends earlier"
    )]
    EpsilonWithoutSignal {
        /// The timestep.
        t: usize,
    },
    /// A learned variance was asked of a model without variance channels.
    #[error("the model has no variance output: expected one for the learned variance")]
    NoLearnedVariance,
    /// A variance whose terms the closed-form model does not know.
    #[error(
        "variance {variance} of the closed-form model: expected learned, fixed-small, fixed-large or analytic"
    )]
    NoClosedForm {
        /// Its name.
        variance: &'static str,
    },
    /// A parameter of a closed-form model that is out of range.
    #[error("{what} is {value}: expected {expected}")]
    InvalidParameter {
        /// Name of the parameter.
        what: &'static str,
        /// The value found.
        value: f64,
        /// The accepted range.
        expected: &'static str,
    },
}

/// Result with the crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;
