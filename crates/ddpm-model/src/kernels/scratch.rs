//! Buffers that each thread keeps, so that no operation allocates its working memory.

use std::cell::RefCell;

const CACHE_LINE_BYTES: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Vec<f32>>> = const { RefCell::new(Vec::new()) };
}

/// Calls `work` with `len` floats of unspecified value whose first lies on a cache line.
///
/// Calls may nest; the buffers go back to the thread afterwards.
pub(super) fn with_scratch<R>(len: usize, work: impl FnOnce(&mut [f32]) -> R) -> R {
    let slack = CACHE_LINE_BYTES / size_of::<f32>();
    let mut buffer = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
    if buffer.len() < len + slack {
        buffer.resize(len + slack, 0.0);
    }
    // `align_offset` may give up (usize::MAX): then the buffer is slower, not wrong.
    let begin = buffer.as_ptr().align_offset(CACHE_LINE_BYTES).min(slack);
    let result = work(&mut buffer[begin..begin + len]);
    FREE.with_borrow_mut(|free| free.push(buffer));
    result
}
