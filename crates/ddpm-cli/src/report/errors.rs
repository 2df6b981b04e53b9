//! m(t).

use super::found::Found;
use super::parts::{Section, figure, paragraph};
use crate::error::Result;
use crate::plot::figures;

pub(super) fn section(found: &Found) -> Result<Option<Section>> {
    if found.profiles.is_empty() {
        return Ok(None);
    }
    let profiles: Vec<_> = found
        .profiles
        .iter()
        .map(|item| (item.path.as_path(), &item.value))
        .collect();
    let chart = figures::errors(&profiles)?;
    Ok(Some(Section {
        id: "errors",
        title: "Error of the network",
        body: paragraph(
            "How far the image that the network predicts at timestep t lies from the true one. Optimal schedules spend their steps where this curve asks for them.",
        ) + &figure(&chart),
    }))
}
