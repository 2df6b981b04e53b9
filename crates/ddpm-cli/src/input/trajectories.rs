//! Trajectories files.

use std::path::Path;

use ddpm_trajectory::Trajectories;

use super::file::read_bytes;
use crate::error::{Error, Result};

/// Reads trajectories, of an interrupted run too.
///
/// # Errors
/// A file that is absent, damaged, of a newer version or no trajectories.
pub(crate) fn read_trajectories(path: &Path) -> Result<Trajectories> {
    Trajectories::from_bytes(&read_bytes(path)?).map_err(|error| {
        Error::file(path, error)
            .advised("trajectories are the file R that `ddpm trajectory CKPT --out R` writes")
    })
}

/// Reads trajectories to choose from.
///
/// # Errors
/// As [`read_trajectories`]; those of a run that has not ended, of which nobody knows what is missing.
pub(crate) fn read_trajectories_to_use(path: &Path) -> Result<Trajectories> {
    let trajectories = read_trajectories(path)?;
    match trajectories.check_finished() {
        Ok(()) => Ok(trajectories),
        Err(unfinished) => Err(Error::file(path, unfinished)
            .advised("finish it by `ddpm trajectory ... --resume`, and take its --out")),
    }
}
