//! What is said beneath a table wherever it applies: what its numbers are not.

use ddpm_core::{DecoderKind, Objective};
use ddpm_profile::ElboProfile;
use ddpm_schedule::{Provenance, Schedules};

/// What the mark of [`mark_of_decoder`] means.
pub(crate) const NOTE_ON_ONE_STEP: &str = "* scored with the marginal decoder: K=1 has no second step for the respaced one; not comparable with K>1.";

/// What follows a number that was scored with the decoder asked for, or was not.
pub(crate) fn mark_of_decoder(as_asked: bool) -> &'static str {
    if as_asked { "" } else { "*" }
}

/// What a likelihood under a continuous density is not, where the data can be 8-bit images; `data` is `None` for a curve, of which
/// nobody knows.
pub(crate) fn note_on_density(
    objective: Objective,
    decoder: DecoderKind,
    data: Option<&Provenance>,
) -> Option<String> {
    let applies = objective == Objective::Elbo && decoder == DecoderKind::Gaussian;
    if !applies || !data.is_none_or(Provenance::may_hold_pixels) {
        return None;
    }
    let whose = match data.map(|data| &data.extra) {
        Some(extra) if extra.contains_key(Provenance::EIGHT_BIT) => {
            let saturated = extra.get(Provenance::SATURATED);
            let saturated = saturated.and_then(|text| text.parse::<f64>().ok());
            let percent =
                saturated.map(|found| format!(", {:.0}% of their values saturated", 100.0 * found));
            format!(
                "The data are 8-bit images{}: of them",
                percent.unwrap_or_default()
            )
        }
        _ => "Of 8-bit images, digits above all,".to_owned(),
    };
    Some(format!(
        "The gaussian decoder is a continuous density. {whose} the best schedule is another: on MNIST five such steps cost 3.3 bits/dim, even ones 2.3. `ddpm profile` and ds.profile of the Python package measure the decoder (docs/other-networks.md)."
    ))
}

/// The same of schedules wherever they go.
pub(crate) fn note_on_density_of(schedules: &Schedules) -> Option<String> {
    let scoring = &schedules.scoring;
    note_on_density(
        scoring.objective,
        scoring.decoder,
        schedules.provenance.as_ref(),
    )
}

/// What schedules of the best likelihood are not, where pictures are about to be made of them.
pub(crate) fn note_on_pictures(objective: Objective) -> Option<&'static str> {
    (objective == Objective::Elbo).then_some(
        "These steps were chosen for likelihood; even ones may give better pictures. For pictures: `ddpm schedule --objective quality` on what `ddpm trajectory` writes, or `ddpm tune` (docs/objectives.md).",
    )
}

/// What stands in place of errors where the images cannot tell any.
pub(crate) fn note_without_errors(profile: &ElboProfile) -> Option<&'static str> {
    (profile.blocks().len() < 2).then_some(
        "No error bars: they come from the differences between blocks of images, and this profile has one. Measure two images or more.",
    )
}

/// What a standard error of a profile's costs leaves out, where not every timestep was evaluated.
pub(crate) fn note_on_interpolation(profile: &ElboProfile) -> Option<&'static str> {
    let has_errors = profile.blocks().len() >= 2;
    (has_errors && profile.layout().timesteps().len() < profile.schedule().train_steps()).then_some(
        "The error does not count the interpolation between evaluated timesteps: `ddpm bpd` evaluates a path directly.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_of_likelihood_are_not_taken_for_those_of_pictures() {
        assert!(note_on_pictures(Objective::Elbo).is_some_and(|note| note.contains("quality")));
        for objective in [
            Objective::Mse,
            Objective::Quality,
            Objective::Klub,
            Objective::Frechet,
            Objective::Kernel,
            Objective::Energy,
        ] {
            assert_eq!(note_on_pictures(objective), None, "{objective:?}");
        }
    }
}
