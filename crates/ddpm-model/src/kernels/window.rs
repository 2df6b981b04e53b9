//! Patches of an image as columns of a matrix (im2col), one panel at a time.

/// How a square kernel slides over an image.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    channels: usize,
    height: usize,
    width: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
}

/// Consecutive columns of a panel that lie in one row of the output.
struct Run {
    /// First column, and number of columns.
    column: usize,
    len: usize,
    /// Position in the output.
    y: usize,
    x: usize,
}

impl Window {
    /// A kernel over an image `[channels, height, width]` with zeros around it.
    pub(super) fn new(
        [channels, height, width]: [usize; 3],
        kernel: usize,
        stride: usize,
        padding: usize,
    ) -> Self {
        Self {
            channels,
            height,
            width,
            kernel,
            stride,
            padding,
        }
    }

    /// The same columns where positions need no geometry, as one long row that is copied faster.
    pub(super) fn flattened(self) -> Self {
        if self.kernel != 1 || self.stride != 1 || self.padding != 0 {
            return self;
        }
        Self {
            height: 1,
            width: self.height * self.width,
            ..self
        }
    }

    /// Height and width of the output.
    pub(super) fn output(&self) -> [usize; 2] {
        [self.height, self.width].map(|size| {
            (size + 2 * self.padding)
                .checked_sub(self.kernel)
                .map_or(0, |last| last / self.stride + 1)
        })
    }

    /// Number of columns: positions of the output.
    pub(super) fn columns(&self) -> usize {
        let [height, width] = self.output();
        height * width
    }

    /// Number of lines: entries of a patch, channel by channel, row by row.
    pub(super) fn lines(&self) -> usize {
        self.channels * self.kernel * self.kernel
    }

    /// Copies the patches of `width` columns from `first` into `panel`, line by line; zeros behind the last column.
    #[inline(always)]
    pub(super) fn fill(&self, image: &[f32], first: usize, width: usize, panel: &mut [f32]) {
        let runs = self.runs(first, width);
        let filled = runs.last().map_or(0, |run| run.column + run.len);
        let planes = image.chunks_exact(self.height * self.width);
        let area = self.kernel * self.kernel;
        for (plane, lines) in planes.zip(panel.chunks_exact_mut(area * width)) {
            for (offset, line) in lines.chunks_exact_mut(width).enumerate() {
                let (dy, dx) = (offset / self.kernel, offset % self.kernel);
                for run in &runs {
                    let part = &mut line[run.column..run.column + run.len];
                    let source = (run.y * self.stride + dy)
                        .checked_sub(self.padding)
                        .filter(|&y| y < self.height);
                    match source {
                        Some(y) => {
                            let row = &plane[y * self.width..(y + 1) * self.width];
                            self.copy(row, run.x * self.stride + dx, part);
                        }
                        None => part.fill(0.0),
                    }
                }
                line[filled..].fill(0.0);
            }
        }
    }

    /// Copies every `stride`-th pixel of the padded row, from `start` on.
    #[inline(always)]
    fn copy(&self, row: &[f32], start: usize, part: &mut [f32]) {
        if self.stride == 1 {
            let head = self.padding.saturating_sub(start).min(part.len());
            let from = (start + head).saturating_sub(self.padding).min(row.len());
            let body = (part.len() - head).min(row.len() - from);
            part[..head].fill(0.0);
            part[head..head + body].copy_from_slice(&row[from..from + body]);
            part[head + body..].fill(0.0);
        } else {
            for (i, slot) in part.iter_mut().enumerate() {
                let pixel = (start + i * self.stride)
                    .checked_sub(self.padding)
                    .and_then(|x| row.get(x));
                *slot = pixel.copied().unwrap_or(0.0);
            }
        }
    }

    fn runs(&self, first: usize, width: usize) -> Vec<Run> {
        let row = self.output()[1];
        let end = self.columns().min(first + width);
        let mut runs = vec![];
        let mut position = first;
        while position < end {
            let x = position % row;
            let len = (row - x).min(end - position);
            runs.push(Run {
                column: position - first,
                len,
                y: position / row,
                x,
            });
            position += len;
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The entry of a patch by definition.
    fn entry(window: &Window, image: &[f32], line: usize, column: usize) -> f32 {
        let area = window.kernel * window.kernel;
        let (channel, offset) = (line / area, line % area);
        let row = window.output()[1];
        let y = column / row * window.stride + offset / window.kernel;
        let x = column % row * window.stride + offset % window.kernel;
        let inside = |i: usize, size: usize| i >= window.padding && i < size + window.padding;
        if !inside(y, window.height) || !inside(x, window.width) {
            return 0.0;
        }
        let plane = channel * window.height * window.width;
        image[plane + (y - window.padding) * window.width + x - window.padding]
    }

    proptest! {
        #[test]
        fn panels_hold_the_patches(
            channels in 1usize..3, height in 1usize..9, width in 1usize..9,
            (kernel, padding) in prop::sample::select(vec![(1, 0), (3, 1), (3, 0), (5, 2)]),
            stride in 1usize..3, panel_width in 1usize..20,
        ) {
            let window = Window::new([channels, height, width], kernel, stride, padding).flattened();
            let image: Vec<f32> = (1..=channels * height * width).map(|i| i as f32).collect();
            let mut panel = vec![f32::NAN; window.lines() * panel_width];
            for first in (0..window.columns()).step_by(panel_width) {
                window.fill(&image, first, panel_width, &mut panel);
                for line in 0..window.lines() {
                    for i in 0..panel_width {
                        let expected = if first + i < window.columns() {
                            entry(&window, &image, line, first + i)
                        } else {
                            0.0
                        };
                        prop_assert_eq!(panel[line * panel_width + i], expected);
                    }
                }
            }
        }
    }
}
