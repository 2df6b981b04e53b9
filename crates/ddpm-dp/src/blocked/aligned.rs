//! Buffers that begin on a cache line, so that no vector load straddles two.

const CACHE_LINE_BYTES: usize = 64;

/// A slice of f64 whose first entry lies on a cache line; a longer allocation provides for the shift.
pub(super) struct AlignedBuffer {
    allocation: Vec<f64>,
    begin: usize,
    len: usize,
}

impl AlignedBuffer {
    pub(super) fn new(len: usize, value: f64) -> Self {
        let slack = CACHE_LINE_BYTES / size_of::<f64>();
        let allocation = vec![value; len + slack];
        // `align_offset` may give up (usize::MAX): then the buffer is slower, not wrong.
        let begin = allocation
            .as_ptr()
            .align_offset(CACHE_LINE_BYTES)
            .min(slack);
        Self {
            allocation,
            begin,
            len,
        }
    }

    pub(super) fn as_slice(&self) -> &[f64] {
        &self.allocation[self.begin..self.begin + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.allocation[self.begin..self.begin + self.len]
    }
}
