//! Whether what an earlier run left belongs to this one.

use ddpm_core::{Difference, NoiseSchedule};
use ddpm_schedule::{Corrections, TrajectoryOrigin};
use ddpm_trajectory::Trajectories;

use crate::error::{Error, Result};

/// `earlier` must be of the run of these facts, with its first images, or all of them if more was measured on them.
pub(super) fn check_earlier(
    earlier: &Trajectories,
    wanted: &TrajectoryOrigin,
    schedule: &NoiseSchedule,
    nodes: &[usize],
    means: Option<&Corrections>,
) -> Result<()> {
    match earlier.check_same_run(wanted, schedule, nodes, means) {
        Ok(()) => {}
        Err(ddpm_trajectory::Error::Mismatch(Difference {
            field,
            first: found,
            second: expected,
        })) => {
            return Err(Error::Resume {
                field,
                expected,
                found,
            });
        }
        Err(other) => return Err(other.into()),
    }
    let differs = |field: &str, expected: String, found: String| {
        Err(Error::Resume {
            field: field.into(),
            expected,
            found,
        })
    };
    let have = &earlier.origin().images;
    if have.len() > wanted.images.len() && have.starts_with(&wanted.images) {
        let expected = format!("at most {}", wanted.images.len());
        return differs("count", expected, have.len().to_string());
    }
    if !wanted.images.starts_with(have) {
        let expected = format!("the first of {} images of this run", wanted.images.len());
        return differs("images", expected, format!("{} others", have.len()));
    }
    let begins = |wanted: &Option<Vec<u64>>, have: &Option<Vec<u64>>| match (wanted, have) {
        (Some(wanted), Some(have)) => wanted.starts_with(have),
        _ => true,
    };
    if !begins(&wanted.labels, &earlier.origin().labels) {
        return differs("labels", "this run's classes".into(), "others".into());
    }
    let measured = !(earlier.growth().is_empty() && earlier.trials().is_empty());
    if measured && have.len() < wanted.images.len() {
        let expected = wanted.images.len().to_string();
        return differs("count", expected, have.len().to_string());
    }
    Ok(())
}
