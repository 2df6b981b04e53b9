//! Splitting an operation over threads, and memory that is used again: activations of one pass for the next, working memory
//! of one task for the next.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::{Result, room};

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

const LINE_FLOATS: usize = 16;

/// Floats of which the first lies on a cache line.
#[derive(Default)]
pub(super) struct AlignedFloats {
    storage: Vec<f32>,
    begin: usize,
    len: usize,
}

impl AlignedFloats {
    /// `len` zeros.
    pub(super) fn zeros(len: usize) -> Self {
        let mut floats = Self::default();
        floats.place(vec![0.0; len + LINE_FLOATS]);
        floats.len = len;
        floats
    }

    fn capacity(&self) -> usize {
        self.storage.len().saturating_sub(LINE_FLOATS)
    }

    fn place(&mut self, storage: Vec<f32>) {
        self.storage = storage;
        // `align_offset` may give up (usize::MAX): then the memory is slower, not wrong.
        let line = LINE_FLOATS * size_of::<f32>();
        self.begin = self.storage.as_ptr().align_offset(line).min(LINE_FLOATS);
    }

    /// Changes the length; what the floats hold is unspecified.
    ///
    /// # Errors
    /// [`crate::Error::Memory`]: then there are no floats.
    fn set_len(&mut self, len: usize) -> Result<()> {
        if self.capacity() < len {
            // What is too small goes first.
            *self = Self::default();
            let mut storage = room::floats(len.saturating_add(LINE_FLOATS))?;
            storage.resize(len + LINE_FLOATS, 0.0);
            self.place(storage);
        }
        self.len = len;
        Ok(())
    }

    pub(super) fn as_slice(&self) -> &[f32] {
        &self.storage[self.begin..self.begin + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        &mut self.storage[self.begin..self.begin + self.len]
    }
}

/// Buffers that wait to be used again.
#[derive(Default)]
pub(crate) struct Pool {
    free: Mutex<Vec<AlignedFloats>>,
}

impl Pool {
    /// `len` floats of unspecified value; they come back when the buffer is dropped.
    ///
    /// # Errors
    /// [`crate::Error::Memory`].
    pub(super) fn take(self: &Arc<Self>, len: usize) -> Result<Buffer> {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = free.iter().enumerate();
        // The smallest that is large enough, or else the largest, to be enlarged.
        let best = candidates
            .min_by_key(|(_, floats)| {
                let capacity = floats.capacity();
                (capacity < len, capacity.abs_diff(len))
            })
            .map(|(index, _)| index);
        let mut floats = best
            .map(|index| free.swap_remove(index))
            .unwrap_or_default();
        drop(free);
        floats.set_len(len)?;
        Ok(Buffer {
            floats,
            home: Arc::clone(self),
        })
    }
}

/// Floats from a [`Pool`].
pub(super) struct Buffer {
    floats: AlignedFloats,
    home: Arc<Pool>,
}

impl Buffer {
    pub(super) fn as_slice(&self) -> &[f32] {
        self.floats.as_slice()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f32] {
        self.floats.as_mut_slice()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let floats = std::mem::take(&mut self.floats);
        let mut free = self
            .home
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        free.push(floats);
    }
}

thread_local! {
    static FREE: RefCell<Vec<AlignedFloats>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` floats of unspecified value that stay with the thread; calls may nest.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let mut floats = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if floats.capacity() < len {
        floats = AlignedFloats::zeros(len);
    }
    floats.len = len;
    let result = work(floats.as_mut_slice());
    FREE.with_borrow_mut(|free| free.push(floats));
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_and_are_aligned() {
        let pool = Arc::new(Pool::default());
        let mut first = pool.take(100).unwrap();
        first.as_mut_slice().fill(1.0);
        let address = first.as_slice().as_ptr();
        assert_eq!(address.align_offset(64), 0);
        drop(first);
        assert_eq!(pool.take(70).unwrap().as_slice().len(), 70);
        let again = pool.take(100).unwrap();
        assert_eq!(again.as_slice().as_ptr(), address);
        let other = pool.take(30).unwrap();
        assert_ne!(other.as_slice().as_ptr(), address);
        drop((again, other));
        // The larger of the two is kept for the larger request.
        assert_eq!(pool.take(90).unwrap().as_slice().as_ptr(), address);
    }

    #[test]
    fn scratch_nests() {
        with_scratch(10, |outer| {
            outer.fill(1.0);
            with_scratch(10, |inner| inner.fill(2.0));
            assert!(outer.iter().all(|&x| x == 1.0));
        });
    }
}
