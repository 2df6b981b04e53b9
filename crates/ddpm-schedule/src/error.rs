//! What can be wrong with a schedules file, an origin, a list of budgets or an export.

use ddpm_core::Difference;
use ddpm_files::FormatError;

/// The result of a fallible operation of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a schedules file, an origin, a request for budgets or an export was refused; the crates that choose schedules refuse numbers and
/// fields with the same words.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes are no such file, or are damaged.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A field contradicts another one or is not what it must be.
    #[error("{field}: expected {expected}, found {found}")]
    Field {
        /// Which field.
        field: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Two things that have to be of one run or one network are not.
    #[error("the profiles do not go together: {} differs ({} and {})", .0.field, .0.first, .0.second)]
    Mismatch(Difference),
    /// There is no schedule of so many steps.
    #[error("steps: expected a budget within 1..={max}, found {found}")]
    Steps {
        /// The most steps that are possible.
        max: usize,
        /// The budget asked for.
        found: usize,
    },
    /// No path of this many steps has a finite cost.
    #[error("steps: no path of {steps} steps reaches t = {end} at a finite cost")]
    Unreachable {
        /// The budget asked for.
        steps: usize,
        /// Where the path must end.
        end: usize,
    },
    /// The set holds no schedule of so many steps.
    #[error("no schedule of {steps} steps; expected one of {}", has(found))]
    NoBudget {
        /// The budget asked for.
        steps: usize,
        /// The budgets that there are.
        found: Vec<usize>,
    },
    /// An export to a program that needs the noise schedule, which is not known.
    #[error("{format} needs the noise schedule")]
    NeedsNoiseSchedule {
        /// What the export is for.
        format: &'static str,
    },
    /// An export to a program that cannot run what the schedules are for.
    #[error("{format} cannot run {what}")]
    NotExpressible {
        /// What the export is for.
        format: &'static str,
        /// What the program cannot run, and why.
        what: &'static str,
    },
    /// A list of sigmas that begins where there is none.
    #[error(
        "K={steps}: timestep t={t} has no signal left (alpha_bar = 0), so its sigma is infinite; expected a schedule that ends earlier"
    )]
    NoSignal {
        /// The budget.
        steps: usize,
        /// The last node of its path.
        t: usize,
    },
    /// A choice that cannot be served.
    #[error("{0}")]
    Unsupported(String),
    /// An error of the diffusion mathematics below.
    #[error(transparent)]
    Core(#[from] ddpm_core::Error),
}

fn has(budgets: &[usize]) -> String {
    let list: Vec<String> = budgets.iter().map(ToString::to_string).collect();
    list.join(", ")
}

impl Error {
    /// [`Error::Field`]: a field that is not what it must be.
    pub fn field(
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Field {
            field: field.into(),
            expected: expected.into(),
            found: found.to_string(),
        }
    }

    /// [`Error::Field`]: an array of the wrong length.
    pub fn length(field: impl Into<String>, expected: usize, found: usize) -> Self {
        Self::field(field, format!("{expected} values"), found)
    }

    /// Refuses an array of the wrong length.
    ///
    /// # Errors
    /// [`Error::length`].
    pub fn check_length(field: impl Into<String>, expected: usize, found: usize) -> Result<()> {
        if found == expected {
            Ok(())
        } else {
            Err(Self::length(field, expected, found))
        }
    }

    /// [`Error::Field`]: timesteps that are not a strictly increasing list within 1..=T.
    pub fn timesteps(train_steps: usize, found: impl ToString) -> Self {
        let expected = format!("a strictly increasing list within 1..={train_steps}");
        Self::field("timesteps", expected, found)
    }
}
