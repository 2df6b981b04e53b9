//! Recordings as people make them: in several parts, at timesteps in any order or drawn at random, with blocks that saw few of them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use crate::band_moments::{MEANS, PRODUCTS};
use crate::band_sums::BandSums;
use crate::error::{Error, Invalid, Result};
use crate::squared_errors::SquaredErrors;

/// Timesteps with the bits of their sums and their counts, and those of the mean square.
type Print = (Vec<(usize, u64, u64)>, u64);

impl SquaredErrors {
    /// Puts recordings of one network on different images together: the blocks of the first, then those of the next, at the timesteps of
    /// all of them.
    ///
    /// # Errors
    /// [`Error::Empty`] for no recording; [`Error::Schedule`] for arrays of different lengths, or if the bands differ.
    pub fn join(parts: Vec<Self>) -> Result<Self> {
        parts.iter().try_for_each(Self::check_lengths)?;
        let all = parts.iter().flat_map(|part| &part.timesteps).copied();
        let timesteps: Vec<usize> = all.collect::<BTreeSet<usize>>().into_iter().collect();
        let mut parts = parts.into_iter();
        let spread = |part: Self| {
            let every: Vec<Option<usize>> = (0..part.sums.len()).map(Some).collect();
            part.regrouped(&every, &timesteps)
        };
        let mut joined = spread(parts.next().ok_or(Error::Empty)?);
        for part in parts {
            joined.append(spread(part))?;
        }
        Ok(joined)
    }

    /// The first block that one of `earlier` holds too, with its number there, counting on over all of them: the same sums of the same timesteps
    /// and the same mean square are of the same images.
    pub fn first_block_of(&self, earlier: &[Self]) -> Option<(usize, usize)> {
        let known: BTreeMap<Print, usize> = earlier
            .iter()
            .flat_map(|part| (0..part.sums.len()).map(|b| part.print_of(b)))
            .enumerate()
            .filter_map(|(block, print)| Some((print?, block)))
            .collect();
        (0..self.sums.len()).find_map(|b| Some((b, *known.get(&self.print_of(b)?)?)))
    }

    /// What tells a block from others, whatever the order of its timesteps; `None` for one without images.
    fn print_of(&self, block: usize) -> Option<Print> {
        let (sums, counts) = (self.sums.get(block)?, self.counts.get(block)?);
        let cells = self.timesteps.iter().zip(sums).zip(counts);
        let seen = cells.filter(|(_, count)| **count > 0);
        let mut print: Vec<(usize, u64, u64)> = seen
            .map(|((&t, sum), &count)| (t, sum.to_bits(), count))
            .collect();
        print.sort_unstable();
        let square = self.x0_mean_square.get(block)?.to_bits();
        (!print.is_empty()).then_some((print, square))
    }

    /// With every timestep once, ascending, and every block with images at every timestep: equal timesteps are added up, blocks without
    /// images left out, and neighbouring blocks pooled until they hold an image at each timestep that any block holds one at.
    pub(crate) fn gathered(self) -> Self {
        let ascending = self.timesteps.is_sorted_by(|a, b| a < b);
        if ascending && self.counts.iter().flatten().all(|&count| count > 0) {
            return self;
        }
        let timesteps: BTreeSet<usize> = self.timesteps.iter().copied().collect();
        let timesteps: Vec<usize> = timesteps.into_iter().collect();
        let every: Vec<Option<usize>> = (0..self.sums.len()).map(Some).collect();
        let sorted = self.regrouped(&every, &timesteps);
        let pools = pools(&sorted.counts);
        sorted.regrouped(&pools, &timesteps)
    }

    fn append(&mut self, other: Self) -> Result<()> {
        match (&mut self.bands, other.bands) {
            (Some(bands), Some(others)) => {
                if let Some(difference) = bands.bands.difference(&others.bands) {
                    return Err(Invalid::Mismatch(difference).into());
                }
                bands.products.extend(others.products);
                bands.means.extend(others.means);
            }
            (None, None) => {}
            (first, _) => {
                let (expected, found) = match first {
                    Some(_) => ("statistics of bands in every recording", "none in one"),
                    None => (
                        "no statistics of bands, as in the first recording",
                        "some in another",
                    ),
                };
                return Err(Invalid::field("bands", expected, found).into());
            }
        }
        self.sums.extend(other.sums);
        self.counts.extend(other.counts);
        self.x0_mean_square.extend(other.x0_mean_square);
        Ok(())
    }

    /// Adds blocks and timesteps up: block b becomes part of block `groups[b]`, or of none, at these ascending timesteps.
    fn regrouped(self, groups: &[Option<usize>], timesteps: &[usize]) -> Self {
        let column = |t: &usize| timesteps.partition_point(|other| other < t);
        let cells = Cells {
            groups,
            blocks: groups.iter().flatten().max().map_or(0, |last| last + 1),
            columns: self.timesteps.iter().map(column).collect(),
            timesteps: timesteps.len(),
        };
        let mut squares = vec![(0.0, 0); cells.blocks];
        let mut members = vec![Vec::new(); cells.blocks];
        for (b, group) in groups.iter().enumerate() {
            let Some(group) = *group else { continue };
            let weight: u64 = self.counts[b].iter().sum();
            squares[group].0 += self.x0_mean_square[b] * weight as f64;
            squares[group].1 += weight;
            members[group].push(b);
        }
        let mean = |group: usize| match members[group][..] {
            // A block that stays as it was keeps its number to the bit.
            [alone] => self.x0_mean_square[alone],
            _ => squares[group].0 / squares[group].1 as f64,
        };
        Self {
            sums: rows(&cells.add(&self.sums.concat(), 1), timesteps.len()),
            counts: rows(&cells.add(&self.counts.concat(), 1), timesteps.len()),
            x0_mean_square: (0..cells.blocks).map(mean).collect(),
            bands: self.bands.map(|sums| {
                let (n, q) = (sums.bands.count(), sums.bands.constants().count());
                BandSums {
                    products: cells.add(&sums.products, n * PRODUCTS),
                    means: cells.add(&sums.means, q * MEANS),
                    bands: sums.bands,
                }
            }),
            timesteps: timesteps.to_vec(),
        }
    }
}

/// Where the numbers of a block and timestep go.
struct Cells<'a> {
    groups: &'a [Option<usize>],
    blocks: usize,
    columns: Vec<usize>,
    timesteps: usize,
}

impl Cells<'_> {
    /// Adds up an array of `width` numbers per block and timestep.
    fn add<A: Copy + Default + AddAssign>(&self, from: &[A], width: usize) -> Vec<A> {
        let mut into = vec![A::default(); self.blocks * self.timesteps * width];
        for (b, group) in self.groups.iter().enumerate() {
            let Some(group) = *group else { continue };
            for (i, &column) in self.columns.iter().enumerate() {
                let source = (b * self.columns.len() + i) * width;
                let target = (group * self.timesteps + column) * width;
                for k in 0..width {
                    into[target + k] += from[source + k];
                }
            }
        }
        into
    }
}

fn rows<A: Copy>(flat: &[A], columns: usize) -> Vec<Vec<A>> {
    flat.chunks_exact(columns.max(1))
        .map(<[A]>::to_vec)
        .collect()
}

/// The pool of every block, `None` for one without images: as many blocks in a row as hold an image in every column that any holds one in.
fn pools(counts: &[Vec<u64>]) -> Vec<Option<usize>> {
    let columns = counts.first().map_or(0, Vec::len);
    let wanted: Vec<usize> = (0..columns)
        .filter(|&i| counts.iter().any(|block| block[i] > 0))
        .collect();
    let (mut pools, mut pool) = (vec![None; counts.len()], 0);
    let mut held = vec![false; columns];
    for (b, block) in counts.iter().enumerate() {
        if block.iter().all(|&count| count == 0) {
            continue;
        }
        pools[b] = Some(pool);
        held.iter_mut()
            .zip(block)
            .for_each(|(held, &count)| *held |= count > 0);
        if wanted.iter().all(|&i| held[i]) {
            pool += 1;
            held.fill(false);
        }
    }
    // What is left at the end is too little for a pool of its own.
    if pool > 0 {
        let last = pool - 1;
        pools
            .iter_mut()
            .flatten()
            .for_each(|pool| *pool = (*pool).min(last));
    }
    pools
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpm_core::Bands;
    use proptest::prelude::*;

    fn errors(timesteps: &[usize], cells: &[&[(f64, u64)]]) -> SquaredErrors {
        SquaredErrors {
            timesteps: timesteps.to_vec(),
            sums: cells
                .iter()
                .map(|block| block.iter().map(|c| c.0).collect())
                .collect(),
            counts: cells
                .iter()
                .map(|block| block.iter().map(|c| c.1).collect())
                .collect(),
            x0_mean_square: (0..cells.len()).map(|b| 0.25 * (b + 1) as f64).collect(),
            bands: None,
        }
    }

    #[test]
    fn timesteps_in_any_order_and_blocks_that_miss_some_are_gathered() {
        let given = errors(
            &[3, 1, 3],
            &[
                &[(3.0, 1), (1.0, 2), (0.5, 1)],
                &[(0.0, 0), (0.0, 0), (0.0, 0)],
                &[(2.0, 1), (0.0, 0), (0.0, 0)],
                &[(0.0, 0), (4.0, 3), (0.0, 0)],
                &[(1.0, 1), (0.0, 0), (0.0, 0)],
            ],
        );
        let found = given.gathered();
        assert_eq!(found.timesteps, [1, 3]);
        assert_eq!(found.sums, [[1.0, 3.5], [4.0, 3.0]]);
        assert_eq!(found.counts, [[2, 2], [3, 2]]);
        // The second pool has blocks of 1, 3 and 1 images.
        assert_eq!(found.x0_mean_square, [0.25, (0.75 + 3.0 + 1.25) / 5.0]);
    }

    #[test]
    fn what_lacks_nothing_is_left_as_it_is() {
        let given = errors(&[1, 3], &[&[(1.0, 2), (2.0, 3)], &[(0.3, 1), (0.1, 1)]]);
        assert_eq!(given.clone().gathered(), given);
    }

    #[test]
    fn recordings_of_other_bands_do_not_join() {
        let with = |shape: &[usize]| {
            let bands = Bands::of_shape(shape).unwrap();
            let (n, q) = (bands.count(), bands.constants().count());
            let mut one = errors(&[1], &[&[(1.0, 1)]]);
            one.bands = Some(BandSums {
                products: vec![0.0; n * PRODUCTS],
                means: vec![0.0; q * MEANS],
                bands,
            });
            one
        };
        let [small, large] = [with(&[1, 4, 4]), with(&[1, 8, 8])];
        let joined = SquaredErrors::join(vec![small.clone(), small.clone()]).unwrap();
        assert_eq!(joined.sums.len(), 2);
        let error = SquaredErrors::join(vec![small.clone(), large]).unwrap_err();
        assert!(error.to_string().contains("bands"), "{error}");
        let plain = errors(&[1], &[&[(1.0, 1)]]);
        let error = SquaredErrors::join(vec![small, plain]).unwrap_err();
        assert!(error.to_string().contains("bands"), "{error}");
    }

    proptest! {
        /// Nothing is lost and nothing counted twice, wherever a recording is cut.
        #[test]
        fn parts_joined_are_the_whole(
            cells in prop::collection::vec(prop::collection::vec((0.0..4.0f64, 0..3u64), 4), 2..7),
            cut in 1..6usize,
        ) {
            let blocks: Vec<&[(f64, u64)]> = cells.iter().map(Vec::as_slice).collect();
            let cut = cut.min(blocks.len() - 1);
            let whole = errors(&[7, 2, 9, 4], &blocks);
            let mut second = errors(&[7, 2, 9, 4], &blocks[cut..]);
            second.x0_mean_square = whole.x0_mean_square[cut..].to_vec();
            let joined = SquaredErrors::join(vec![errors(&[7, 2, 9, 4], &blocks[..cut]), second]).unwrap();
            let total = |errors: &SquaredErrors| errors.counts.iter().flatten().sum::<u64>();
            prop_assert_eq!(total(&joined), total(&whole));
            let (joined, whole) = (joined.gathered(), whole.gathered());
            prop_assert_eq!(&joined, &whole);
            for i in 0..joined.timesteps.len() {
                let seen = joined.counts.iter().any(|block| block[i] > 0);
                prop_assert!(!seen || joined.counts.iter().all(|block| block[i] > 0));
            }
        }
    }
}
