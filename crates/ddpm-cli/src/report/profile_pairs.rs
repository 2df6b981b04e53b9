//! Which profile is chosen on, and which is scored on.

use std::collections::BTreeMap;

use ddpm_profile::ElboProfile;

use super::found::{Found, Item};

/// A profile of train and one of test images of the same network.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) train: &'a Item<ElboProfile>,
    pub(super) test: &'a Item<ElboProfile>,
}

/// One pair per network: of several profiles those of most timesteps, then of most images, then the first by name.
pub(super) fn pairs(found: &Found) -> Vec<Pair<'_>> {
    let mut networks: BTreeMap<String, Vec<&Item<ElboProfile>>> = BTreeMap::new();
    for item in &found.profiles {
        let p = item.value.provenance();
        let network = format!(
            "{} {} {} {} {} {}",
            p.model.network,
            p.model.noise_schedule_text(),
            p.model.train_steps,
            p.model.clip_denoised,
            p.model.precision,
            p.stand_in
        );
        networks.entry(network).or_default().push(item);
    }
    networks
        .values()
        .filter_map(|items| {
            let best = |split: &str| {
                items
                    .iter()
                    .filter(|item| item.value.provenance().split == split)
                    .min_by_key(|item| {
                        let profile = &item.value;
                        (
                            std::cmp::Reverse((
                                profile.layout().timesteps().len(),
                                profile.images(),
                            )),
                            &item.name,
                        )
                    })
                    .copied()
            };
            Some(Pair {
                train: best("train")?,
                test: best("test")?,
            })
        })
        .collect()
}
