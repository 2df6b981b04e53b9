//! The timesteps that paths are chosen among.

use std::collections::BTreeSet;

/// The timesteps that a table is about, by their numbers 0, 1, ..
#[derive(Clone)]
pub(crate) enum Nodes {
    /// 0..=T.
    All(usize),
    /// Some of them, ascending from 0, 1 to T.
    Some(Vec<usize>),
}

impl Nodes {
    /// At most `budget` timesteps of a chain: the first, those at which curves were measured, where they bend, and others evenly between
    /// neighbours of these. All of them where the measured ones leave no room between them, or where `budget` is as many.
    pub(crate) fn spread(measured: &[usize], end: usize, budget: usize) -> Self {
        let mut own: BTreeSet<usize> = [0, 1, end].into();
        own.extend(measured);
        let parts = budget / own.len();
        if parts < 2 || budget > end {
            return Self::All(end);
        }
        let own: Vec<usize> = own.into_iter().collect();
        let mut all: BTreeSet<usize> = own.iter().copied().collect();
        for pair in own.windows(2) {
            all.extend((1..parts).map(|i| pair[0] + (pair[1] - pair[0]) * i / parts));
        }
        Self::Some(all.into_iter().collect())
    }

    pub(crate) fn at(&self, i: usize) -> usize {
        match self {
            Self::All(_) => i,
            Self::Some(list) => list[i],
        }
    }

    /// The number of T.
    pub(crate) fn last(&self) -> usize {
        match self {
            Self::All(last) => *last,
            Self::Some(list) => list.len() - 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use ddpm_core::{DecoderKind, MeanKind, VarianceKind};
    use ddpm_schedule::Scoring;

    use super::*;
    use crate::cost::CostModel;
    use crate::curves::Curves;
    use crate::profile::ElboProfile;

    #[test]
    fn a_table_among_some_timesteps_has_the_entries_of_that_among_all() {
        let bytes = include_bytes!("../tests/fixtures/profile-v4.safetensors");
        let profile = ElboProfile::from_bytes(bytes).unwrap();
        let curves = Curves::from_profile(&profile).unwrap();
        let end = curves.train_steps();
        let list: Vec<usize> = (0..=end).filter(|t| t % 3 < 2 || *t == end).collect();
        let nodes = Nodes::Some(list.clone());
        let own = Scoring::new(VarianceKind::of_network(curves.learned()));
        let spectral = Scoring::new(VarianceKind::Spectral);
        for scoring in [
            own,
            own.with_decoder(DecoderKind::None),
            own.with_decoder(DecoderKind::Optimal),
            spectral,
            spectral.with_mean(MeanKind::Calibrated),
            Scoring::new(VarianceKind::Best).with_decoder(DecoderKind::Optimal),
        ] {
            let frozen = curves.freeze_among(&scoring, &nodes).unwrap();
            let some = CostModel::new(&curves, frozen).unwrap();
            let all = CostModel::new(&curves, curves.freeze(&scoring).unwrap()).unwrap();
            let (few, table) = (some.table_among(&nodes).unwrap(), all.table().unwrap());
            for (i, &t) in list.iter().enumerate() {
                for (j, &s) in list[..i].iter().enumerate() {
                    assert_eq!(few.edge(i, j), table.edge(t, s), "{t} to {s}");
                }
            }
            assert_eq!(few.start().is_some(), table.start().is_some());
            let Some(start) = few.start() else { continue };
            for i in 2..list.len() {
                let t2 = list[i];
                let cost = |&t1: &usize| all.decoder(t1, Some(t2)) + table.edge(t2, t1);
                let least = list[1..i].iter().map(cost).fold(f64::INFINITY, f64::min);
                assert!((start.cost[i] - least).abs() < 1e-12, "{t2}");
                assert!((cost(&list[start.first[i]]) - least).abs() < 1e-12, "{t2}");
            }
        }
    }

    #[test]
    fn nodes_hold_the_measured_ones_and_fill_the_gaps() {
        let Nodes::Some(few) = Nodes::spread(&[40, 60], 100, 30) else {
            panic!("some");
        };
        // Six parts of each of 0..1, 1..40, 40..60, 60..100, where there are so many.
        for t in [0, 1, 40, 60, 100, 7, 14, 43, 66, 93] {
            assert!(few.contains(&t), "{t}: {few:?}");
        }
        assert!(few.len() <= 30 && few.is_sorted());
        let nodes = Nodes::Some(few.clone());
        assert_eq!((nodes.last(), nodes.at(1)), (few.len() - 1, 1));
        for (measured, budget) in [(vec![40], 7), (vec![40], 101), ((1..=100).collect(), 90)] {
            let nodes = Nodes::spread(&measured, 100, budget);
            assert!(matches!(nodes, Nodes::All(100)), "{budget}");
        }
    }
}
