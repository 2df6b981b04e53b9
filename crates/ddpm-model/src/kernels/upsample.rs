//! Nearest-neighbour upsampling.

/// Doubles height and width of every plane of `width` pixels per row by repeating pixels.
pub(super) fn double(image: &[f32], width: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(4 * image.len());
    for row in image.chunks_exact(width) {
        let begin = out.len();
        out.extend(row.iter().flat_map(|&pixel| [pixel, pixel]));
        out.extend_from_within(begin..);
    }
    out
}
