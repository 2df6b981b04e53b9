//! What was measured and on what, and the error of the network as it was found.

use super::beside::Beside;
use super::found::Found;
use super::html::{Section, paragraph, warning};
use crate::error::Result;
use crate::plot::figures;
use crate::render::{TextTable, clip, describe_images, join};

pub(super) fn section(found: &Found, beside: &mut Beside) -> Option<Section> {
    if found.profiles.is_empty() {
        return None;
    }
    let mut table = TextTable::new(
        "profile | network | chain | images | timesteps evaluated: | network evaluations: | seed:",
    );
    for item in &found.profiles {
        let (profile, p) = (&item.value, item.value.provenance());
        let timesteps = profile.layout().timesteps().len() as u64;
        let shape = join(&p.model.shape, "x");
        let missing = if profile.is_complete() {
            ""
        } else {
            "; NOT ALL BLOCKS of its run"
        };
        table.row([
            format!("{}{missing}", item.name),
            format!(
                "{}, {}-prediction, {}",
                p.model.network.short(),
                p.model.parameterization_text(),
                p.model.precision
            ),
            format!(
                "T={} {}, {}",
                p.model.train_steps,
                p.model.noise_schedule_text(),
                clip(Some(p.model.clip_denoised))
            ),
            describe_images(
                &format!("{} ({})", p.data_name, p.split),
                profile.images(),
                p.stand_in,
            ) + ", "
                + &shape,
            timesteps.to_string(),
            (timesteps * profile.images()).to_string(),
            p.seed.to_string(),
        ]);
    }
    let mut body = String::new();
    let mut profiles = found.profiles.iter();
    if profiles.any(|item| item.value.provenance().stand_in) {
        body.push_str(&warning("Some of these images STAND IN for a data set that could not be had: compare strides with each other, not with papers."));
    }
    body.push_str(&paragraph(
        "The network was run once over these images. From the squared errors and the sums beside them the cost of every step of every path follows without running it again.",
    ));
    body.push_str(&beside.table("measured", &table));
    Section::unless_empty("measured", "What was measured", body)
}

/// m(t).
pub(super) fn errors(found: &Found, beside: &mut Beside) -> Result<Option<Section>> {
    if found.profiles.is_empty() {
        return Ok(None);
    }
    let profiles = found.profiles.iter();
    let profiles: Vec<_> = profiles
        .map(|item| (item.path.as_path(), &item.value))
        .collect();
    let chart = figures::errors(&profiles)?;
    let body = paragraph(
        "How far the image that the network predicts at timestep t lies from the true one. Optimal schedules spend their steps where this curve asks for them.",
    ) + &beside.figure("errors", &chart)?;
    Ok(Section::unless_empty(
        "errors",
        "Error of the network",
        body,
    ))
}
