//! Splitting an operation over threads.

use rayon::prelude::*;

/// Cuts `out` into consecutive pieces of the given lengths and calls `work(index, piece)` for each, in any thread.
pub(super) fn for_pieces<T: Send>(
    mut out: &mut [T],
    lengths: impl Iterator<Item = usize>,
    work: impl Fn(usize, &mut [T]) + Sync,
) {
    let mut pieces = vec![];
    for len in lengths {
        let (piece, rest) = out.split_at_mut(len);
        pieces.push(piece);
        out = rest;
    }
    if rayon::current_num_threads() == 1 || pieces.len() == 1 {
        let pieces = pieces.into_iter().enumerate();
        return pieces.for_each(|(index, piece)| work(index, piece));
    }
    let pieces = pieces.into_par_iter().enumerate().with_max_len(1);
    pieces.for_each(|(index, piece)| work(index, piece));
}

/// How many of `total` units one task takes: at most `most`, and less where threads would be idle.
pub(super) fn units_per_task(total: usize, most: usize) -> usize {
    let threads = rayon::current_num_threads().max(1);
    total.div_ceil(threads).clamp(1, most.max(1))
}
