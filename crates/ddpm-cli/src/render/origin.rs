//! Where numbers come from, in the words of a title.

use ddpm_core::{CoefficientKind, MeanKind};
use ddpm_profile::ElboProfile;
use ddpm_schedule::Provenance;

use super::number::plural;

/// The images of a profile and whether they stand in for real ones.
pub(crate) fn images_of(profile: &ElboProfile) -> String {
    let p = profile.provenance();
    describe_images(&data_name(p), profile.images(), p.stand_in)
}

/// Name of the data with its split, where the name does not say it.
fn data_name(p: &Provenance) -> String {
    if p.data_name.contains(&p.split) {
        p.data_name.clone()
    } else {
        format!("{} ({})", p.data_name, p.split)
    }
}

/// A number of images of a data set.
pub(crate) fn describe_images(name: &str, count: u64, stand_in: bool) -> String {
    let stand_in = if stand_in {
        ", a STAND-IN, not real data"
    } else {
        ""
    };
    format!("{} of {name}{stand_in}", plural(count, "image"))
}

/// The mean of the steps, for the end of a list; nothing for the network's own.
pub(crate) fn and_mean(mean: MeanKind) -> String {
    mean.in_words()
        .map_or_else(String::new, |mean| format!(", {mean}"))
}

/// Where the coefficients of the steps come from, for the end of a list; nothing for the sampler's own.
pub(crate) fn and_coefficients(kind: CoefficientKind) -> String {
    kind.in_words()
        .map_or_else(String::new, |words| format!(", {words}"))
}

/// Network and chain of a profile.
pub(crate) fn chain_of(p: &Provenance) -> String {
    let model = &p.model;
    format!(
        "checkpoint {}, T={} {}, {}-prediction",
        model.network.short(),
        model.train_steps,
        model.noise_schedule_text(),
        model.parameterization_text()
    )
}
