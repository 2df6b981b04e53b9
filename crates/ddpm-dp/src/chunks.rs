//! Minima over short chunks of nodes, which let a search skip most of them.

/// Nodes per chunk; chunk c holds the nodes c * CHUNK .. (c+1) * CHUNK.
pub(crate) const CHUNK: usize = 64;

/// The smallest value of each chunk of a row that begins at the first node of a chunk.
pub(crate) fn minima(row: &[f64]) -> Vec<f64> {
    let smallest = |chunk: &[f64]| chunk.iter().copied().fold(f64::INFINITY, f64::min);
    row.chunks(CHUNK).map(smallest).collect()
}
