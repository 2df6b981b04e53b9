//! Choosing among samples by their distance from a reference: successive halving with common noise.

use ddpm_profile::Estimate;
use ndarray::{Array2, ArrayView2, s};

use super::energy::EnergyReference;
use super::frechet::FrechetReference;
use super::jackknife::{Judged, frechet_judged};
use super::kernel::{disjoint_subsets, kernel_distances};
use crate::error::{Error, Result};

/// Blocks of the jackknife.
const BLOCKS: usize = 32;
/// Fewest images of a round: two in each block.
const FEWEST: usize = 2 * BLOCKS;
/// Images in a subset of the kernel distance where there are enough, and in how many subsets they are dealt out otherwise.
const SUBSET_SIZE: usize = 1000;
const SUBSETS: usize = 8;

/// What samples are compared by.
#[derive(Clone, Debug)]
pub enum Judge {
    /// The Frechet distance.
    Frechet(FrechetReference),
    /// The kernel distance, from these features of the reference's images.
    Kernel(Array2<f32>),
    /// The energy distance.
    Energy(EnergyReference),
}

impl Judge {
    /// The distance of a sample.
    ///
    /// # Errors
    /// [`Error::Request`] for fewer than 64 images, and features that are not those of the reference.
    pub fn judge(&self, features: ArrayView2<'_, f32>) -> Result<Judged> {
        if features.nrows() < FEWEST {
            let found = features.nrows();
            let problem = format!("expected at least {FEWEST} images, found {found}");
            return Err(Error::request("samples", problem));
        }
        match self {
            Self::Frechet(reference) => frechet_judged(features, reference, BLOCKS),
            Self::Energy(reference) => reference.judge(features, BLOCKS),
            Self::Kernel(reference) => {
                let least = features.nrows().min(reference.nrows());
                let size = SUBSET_SIZE.min(least / SUBSETS).max(2);
                let counts = [features.nrows(), reference.nrows()];
                let subsets = disjoint_subsets(0, counts, size, (least / size).max(1))?;
                let parts = kernel_distances(features, reference.view(), &subsets)?;
                Ok(Judged::independent(features.nrows(), parts))
            }
        }
    }
}

/// A candidate's place in a round.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// Which candidate.
    pub candidate: usize,
    /// Its distance.
    pub distance: Estimate,
    /// How much farther than the first of the round, paired; 0 for that one itself.
    pub behind: Estimate,
}

/// Candidates on so many images, the best first.
#[derive(Clone, Debug)]
pub struct Round {
    /// Images of each.
    pub images: usize,
    /// The best first.
    pub standings: Vec<Standing>,
}

/// How many images each round of a halving takes, for so many candidates and `most` images: rounds begin with a sixteenth of `most`, double their
/// images while candidates halve, and end before `most` or with two candidates.
pub fn halving_rounds(candidates: usize, most: usize) -> Vec<usize> {
    let mut images = (most / 16).max(FEWEST).min(most);
    let (mut rounds, mut left) = (vec![images], candidates);
    while left > 3 && 2 * images < most {
        left = left.div_ceil(2);
        images *= 2;
        rounds.push(images);
    }
    rounds
}

/// Successive halving: in every round the candidates that are left are compared on the same images, the first of their noise, and the
/// farther half goes. `features(candidate, n)` are those of its first n images. The last round's first is the winner.
///
/// # Errors
/// [`Error::Request`] for no candidates or rounds; those of [`Judge::judge`]; what `features` returns.
pub fn halve(
    judge: &Judge,
    candidates: usize,
    rounds: &[usize],
    features: &mut dyn FnMut(usize, usize) -> Result<Array2<f32>>,
) -> Result<Vec<Round>> {
    if candidates == 0 || rounds.is_empty() {
        return Err(Error::request(
            "candidates",
            "expected at least one, and a round",
        ));
    }
    let mut left: Vec<usize> = (0..candidates).collect();
    let mut found: Vec<Round> = Vec::new();
    for &images in rounds {
        let round = standings(judge, &left, images, features)?;
        let keep = round.standings.len().div_ceil(2).max(2);
        left = round
            .standings
            .iter()
            .take(keep)
            .map(|s| s.candidate)
            .collect();
        // In their own order: features are asked for in one order whatever the distances.
        left.sort_unstable();
        found.push(round);
    }
    Ok(found)
}

/// These candidates on their first `images` images, the nearest first.
///
/// # Errors
/// As [`halve`].
pub fn standings(
    judge: &Judge,
    candidates: &[usize],
    images: usize,
    features: &mut dyn FnMut(usize, usize) -> Result<Array2<f32>>,
) -> Result<Round> {
    let mut sets = Vec::with_capacity(candidates.len());
    for &candidate in candidates {
        let set = features(candidate, images)?;
        sets.push((candidate, judge.judge(first_of(&set, images)?)?));
    }
    // Equal distances go by the order of the candidates.
    sets.sort_by(|a, b| a.1.estimate().value.total_cmp(&b.1.estimate().value));
    let first = sets[0].1.clone();
    let standing = |(candidate, judged): &(usize, Judged)| {
        Ok(Standing {
            candidate: *candidate,
            distance: judged.estimate(),
            behind: judged.minus(&first)?,
        })
    };
    Ok(Round {
        images,
        standings: sets.iter().map(standing).collect::<Result<_>>()?,
    })
}

fn first_of(set: &Array2<f32>, images: usize) -> Result<ArrayView2<'_, f32>> {
    if set.nrows() < images {
        return Err(Error::request(
            "features",
            format!("expected those of {images} images, found {}", set.nrows()),
        ));
    }
    Ok(set.slice(s![..images, ..]))
}

/// The winner of a halving, judged on noise that it was not chosen on.
#[derive(Clone, Debug)]
pub struct Tuned {
    /// The rounds that chose it.
    pub rounds: Vec<Round>,
    /// The winner.
    pub winner: usize,
    /// On fresh noise the winner, the best of the rivals and the runner-up, in the order in which they were chosen; `behind` is how much
    /// farther than the winner each is, negative where it is nearer.
    pub judged: Vec<Standing>,
}

/// Which noise samples begin with: that of the choice, or that of the judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// That of the rounds.
    Choosing,
    /// Fresh noise, which no choice has seen.
    Judging,
}

/// Chooses among candidates by [`halve`], and judges the winner on fresh noise beside its closest competitors: the runner-up, and the best of
/// the candidates that are `rivals`.
///
/// # Errors
/// As [`halve`].
pub fn choose(
    judge: &Judge,
    rivals: &[bool],
    images: usize,
    features: &mut dyn FnMut(usize, Phase, usize) -> Result<Array2<f32>>,
) -> Result<Tuned> {
    let sizes = halving_rounds(rivals.len(), images);
    let rounds = halve(judge, rivals.len(), &sizes, &mut |candidate, n| {
        features(candidate, Phase::Choosing, n)
    })?;
    let order = rounds.iter().rev().flat_map(|round| &round.standings);
    let order: Vec<usize> = order.map(|standing| standing.candidate).collect();
    let winner = order[0];
    let mut finalists = vec![winner];
    let rival = order.iter().copied().find(|&c| rivals[c]);
    let runner_up = order.iter().copied().find(|&c| c != winner);
    for candidate in rival.into_iter().chain(runner_up) {
        if !finalists.contains(&candidate) {
            finalists.push(candidate);
        }
    }
    let sets: Vec<Judged> = finalists
        .iter()
        .map(|&candidate| {
            let set = features(candidate, Phase::Judging, images)?;
            judge.judge(first_of(&set, images)?)
        })
        .collect::<Result<_>>()?;
    let standing = |(&candidate, judged): (&usize, &Judged)| {
        Ok(Standing {
            candidate,
            distance: judged.estimate(),
            behind: judged.minus(&sets[0])?,
        })
    };
    let judged = finalists.iter().zip(&sets).map(standing);
    Ok(Tuned {
        winner,
        judged: judged.collect::<Result<_>>()?,
        rounds,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::FeatureStatistics;

    /// Features of image i of a candidate: common noise, moved by how bad it is.
    fn features(seed: usize, bad: f32, images: usize) -> Array2<f32> {
        Array2::from_shape_fn((images, 3), |(i, j)| {
            let x = ((seed * 7919 + 3 * i + j) as f32 * 0.754_877).fract();
            2.0 * x - 1.0 + bad
        })
    }

    fn judges() -> [Judge; 3] {
        let reference = features(1, 0.0, 4000);
        let statistics = FeatureStatistics::from_features(reference.view()).unwrap();
        [
            Judge::Frechet(FrechetReference::new(&statistics).unwrap()),
            Judge::Energy(EnergyReference::new(reference.view()).unwrap()),
            Judge::Kernel(reference),
        ]
    }

    #[test]
    fn the_nearest_candidate_wins_and_the_others_halve() {
        let bad = [0.9, 0.5, 0.02, 0.7, 0.3, 0.04, 0.6, 0.8];
        for judge in judges() {
            let mut asked = Vec::new();
            let rounds = halving_rounds(8, 2048);
            assert_eq!(rounds, [128, 256, 512]);
            let found = halve(&judge, 8, &rounds, &mut |candidate, images| {
                asked.push((candidate, images));
                Ok(features(5, bad[candidate], images))
            });
            let found = found.unwrap();
            let counts: Vec<usize> = found.iter().map(|r| r.standings.len()).collect();
            assert_eq!(counts, [8, 4, 2]);
            let last = &found[2].standings;
            assert_eq!((last[0].candidate, last[1].candidate), (2, 5));
            assert_eq!(last[0].behind.value, 0.0);
            assert!(last[1].behind.value > 0.0);
            // Common noise: the difference is known far better than either distance.
            assert!(last[1].behind.standard_error < last[1].distance.standard_error);
            assert_eq!(asked.len(), 14);
        }
    }

    #[test]
    fn the_winner_is_judged_on_fresh_noise_beside_the_best_rival() {
        let bad = [0.9, 0.5, 0.02, 0.7, 0.3, 0.04];
        let rivals = [true, false, false, true, false, false];
        for judge in judges() {
            let mut fresh = Vec::new();
            let found = choose(&judge, &rivals, 512, &mut |candidate, phase, images| {
                if phase == Phase::Judging {
                    fresh.push((candidate, images));
                }
                let seed = if phase == Phase::Judging { 11 } else { 5 };
                Ok(features(seed, bad[candidate], images))
            });
            let found = found.unwrap();
            assert_eq!(found.winner, 2);
            // The better of the two rivals, though it went in the first round.
            assert_eq!(fresh, [(2, 512), (3, 512), (5, 512)]);
            assert_eq!(found.judged[0].behind.value, 0.0);
            assert!(found.judged[1].behind.value > found.judged[2].behind.value);
        }
        // A rival that wins is its own best rival.
        let all = choose(
            &judges()[0],
            &[true, true],
            128,
            &mut |candidate, _, images| Ok(features(5, bad[candidate + 1], images)),
        );
        assert_eq!(all.unwrap().judged.len(), 2);
    }

    #[test]
    fn rounds_fit_the_images_there_are() {
        assert_eq!(halving_rounds(1, 2048), [128]);
        assert_eq!(halving_rounds(3, 2048), [128]);
        assert_eq!(halving_rounds(20, 2048), [128, 256, 512, 1024]);
        assert_eq!(halving_rounds(20, 64), [64]);
        assert_eq!(halving_rounds(20, 300), [64, 128, 256]);
    }

    #[test]
    fn too_few_images_are_refused() {
        for judge in judges() {
            let few = features(2, 0.0, 63);
            assert!(judge.judge(few.view()).is_err());
            let [a, b] = [64, 80].map(|n| judge.judge(features(2, 0.0, n).view()).unwrap());
            assert!(a.minus(&b).is_err());
            let short = halve(&judge, 2, &[128], &mut |_, _| Ok(features(2, 0.0, 100)));
            assert!(short.is_err());
            assert!(halve(&judge, 0, &[128], &mut |_, _| unreachable!()).is_err());
        }
    }
}
