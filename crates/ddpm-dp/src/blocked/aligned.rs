//! Buffers that begin on a cache line, so that no vector load straddles two.

const CACHE_LINE_BYTES: usize = 64;

/// A slice of f64 whose first entry lies on a cache line and whose length may change within its capacity; the
/// allocation is longer, to provide for the shift.
pub(super) struct AlignedBuffer {
    allocation: Vec<f64>,
    begin: usize,
    len: usize,
}

impl AlignedBuffer {
    /// An empty buffer for up to `capacity` numbers.
    pub(super) fn with_capacity(capacity: usize) -> Self {
        let slack = CACHE_LINE_BYTES / size_of::<f64>();
        let allocation: Vec<f64> = Vec::with_capacity(capacity + slack);
        // `align_offset` may give up (usize::MAX): then the buffer is slower, not wrong.
        let begin = allocation
            .as_ptr()
            .align_offset(CACHE_LINE_BYTES)
            .min(slack);
        Self {
            allocation,
            begin,
            len: 0,
        }
    }

    /// Changes the length; what the entries hold is left open.
    pub(super) fn set_len(&mut self, len: usize) {
        if self.allocation.len() < self.begin + len {
            self.allocation.resize(self.begin + len, 0.0);
        }
        self.len = len;
    }

    pub(super) fn as_slice(&self) -> &[f64] {
        &self.allocation[self.begin..self.begin + self.len]
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [f64] {
        &mut self.allocation[self.begin..self.begin + self.len]
    }
}
