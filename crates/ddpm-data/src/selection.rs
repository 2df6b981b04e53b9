//! Which images take part in a run: the part of a data set, and some of it.

/// Which part of a data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Split {
    /// The images that schedules and variances are chosen on.
    Train,
    /// The images that they are scored on.
    Test,
}

ddpm_core::names!(
    Split, "split",
    Train => "train",
    Test => "test",
);

/// The first `limit` of a seeded permutation of the `n` indices of a set; all of them when `limit` is at least `n`.
///
/// A smaller limit is a prefix of a larger one, so that a run can be extended without changing what it has.
pub fn selection(seed: u64, n: usize, limit: usize) -> Vec<usize> {
    let mut order = ddpm_core::permutation(seed, n);
    order.truncate(limit);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_prefixes_of_one_permutation() {
        let all = selection(7, 100, 100);
        assert_eq!(selection(7, 100, 10), all[..10]);
        assert_eq!(selection(7, 100, 1000), all);
        let mut sorted = all.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..100));
        assert_ne!(selection(8, 100, 100), all);
    }
}
