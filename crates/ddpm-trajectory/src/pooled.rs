//! Inner products of what is stored, added up over folds of the images, whole or band by band.

use ddpm_core::{Bands, Sampler};
use rayon::prelude::*;

use crate::error::{Invalid, Result};
use crate::gram::Gram;
use crate::store::Trajectories;

/// Folds in which the images are dealt out, where there are so many.
pub(crate) const FOLDS: usize = 4;

/// Of every fold of the images and every band the inner products of the states x and the estimates D at all N nodes, summed over the fold's
/// images and divided by the number of dimensions of an image (all bands together).
///
/// Node index 0 is clean data, as in [`Gram`]. Image i is in fold i mod F.
#[derive(Clone, Debug)]
pub(crate) struct PooledGram {
    nodes: usize,
    images: usize,
    /// Whether what is remembered of a node is its noise.
    of_noise: bool,
    /// Per fold and band the products over x_1 .. x_N, D_1 .. D_N and, where the sampler remembers noise, that of the N nodes.
    folds: Vec<Vec<Vec<f64>>>,
    /// The diagonals of these.
    squares: Vec<Vec<Vec<f64>>>,
}

/// The most memory that inner products may take: what an ordinary machine has to spare.
const MOST_BYTES: u128 = 4 << 30;

/// Refuses products of so many nodes, images and bands that no ordinary machine can hold, for the steps of a sampler.
///
/// # Errors
/// [`Error::Schedule`](crate::Error::Schedule) that names what to take less of.
pub fn check_fit_size(sampler: Sampler, nodes: usize, images: usize, bands: usize) -> Result<()> {
    let fields = if sampler.remembers_noise() { 3 } else { 2 };
    let side = fields * nodes as u128;
    let bytes = side * side * 8 * bands as u128 * FOLDS.min(images) as u128;
    if bytes <= MOST_BYTES {
        return Ok(());
    }
    let expected = format!("fewer nodes: inner products of {bands} bands take at most 4 GiB");
    let found = format!("{nodes}, which take {} GiB", bytes >> 30);
    Err(Invalid::field("nodes that coefficients are fitted on", expected, found).into())
}

impl PooledGram {
    /// Of trajectories, in bands of frequencies or, where there are none, whole; for the steps of a sampler.
    pub(crate) fn new(
        trajectories: &Trajectories,
        bands: Option<&Bands>,
        sampler: Sampler,
    ) -> Self {
        let (images, nodes) = (trajectories.images(), trajectories.nodes().len());
        let side = 2 * nodes;
        let count = bands.map_or(1, Bands::count);
        let folds = FOLDS.min(images);
        let whole = bands.is_none().then(|| trajectories.gram());
        let of_fold = |fold: usize| {
            let mut sums = vec![vec![0.0; side * side]; count];
            for image in (fold..images).step_by(folds) {
                match (&whole, bands) {
                    (Some(gram), _) => add(&mut sums[0], gram, image),
                    (None, Some(bands)) => add_bands(&mut sums, trajectories, bands, image),
                    (None, None) => {}
                }
            }
            sums
        };
        let mut folds: Vec<Vec<Vec<f64>>> = (0..folds).map(of_fold).collect();
        let of_noise = sampler.remembers_noise();
        if of_noise {
            let schedule = trajectories.schedule();
            let of_node = |&t: &usize| sampler.remembered(schedule, t);
            let weights: Vec<[f64; 2]> = trajectories.nodes().iter().map(of_node).collect();
            for sums in folds.iter_mut().flatten() {
                *sums = with_combinations(sums, &weights);
            }
        }
        let side = if of_noise { 3 * nodes } else { side };
        let diagonal = |sums: &Vec<f64>| sums.iter().step_by(side + 1).copied().collect();
        let squares = folds
            .iter()
            .map(|of_bands| of_bands.iter().map(diagonal).collect());
        Self {
            nodes,
            images,
            of_noise,
            squares: squares.collect(),
            folds,
        }
    }

    pub(crate) fn nodes(&self) -> usize {
        self.nodes
    }

    pub(crate) fn images(&self) -> usize {
        self.images
    }

    pub(crate) fn folds(&self) -> usize {
        self.folds.len()
    }

    pub(crate) fn bands(&self) -> usize {
        self.folds[0].len()
    }

    /// Where what is remembered of node p lies.
    pub(crate) fn remembered(&self, p: usize) -> usize {
        p - 1 + if self.of_noise { 2 } else { 1 } * self.nodes
    }

    /// The products of one state, estimate or noise (index in x_1 .. x_N, D_1 .. D_N, ..) with all.
    pub(crate) fn row(&self, fold: usize, band: usize, index: usize) -> &[f64] {
        let side = if self.of_noise { 3 } else { 2 } * self.nodes;
        &self.folds[fold][band][index * side..(index + 1) * side]
    }

    /// The products of all with themselves.
    pub(crate) fn squares(&self, fold: usize, band: usize) -> &[f64] {
        &self.squares[fold][band]
    }
}

/// Products over x, D and their combinations at every node from those over x and D.
fn with_combinations(products: &[f64], weights: &[[f64; 2]]) -> Vec<f64> {
    let n = weights.len();
    let (from, to) = (2 * n, 3 * n);
    let mut found = vec![0.0; to * to];
    for (found, row) in found.chunks_mut(to).zip(products.chunks(from)) {
        found[..from].copy_from_slice(row);
    }
    for (i, [of_x, of_d]) in weights.iter().enumerate() {
        for j in 0..from {
            let product = of_x * found[i * to + j] + of_d * found[(n + i) * to + j];
            found[(from + i) * to + j] = product;
            found[j * to + from + i] = product;
        }
    }
    for (i, [of_x, of_d]) in weights.iter().enumerate() {
        for j in from..to {
            found[(from + i) * to + j] = of_x * found[i * to + j] + of_d * found[(n + i) * to + j];
        }
    }
    found
}

fn add(sums: &mut [f64], gram: &Gram, image: usize) {
    for (sum, product) in sums.iter_mut().zip(gram.of_image(image)) {
        *sum += product;
    }
}

/// Adds the products of one image, band by band.
fn add_bands(sums: &mut [Vec<f64>], trajectories: &Trajectories, bands: &Bands, image: usize) {
    let (nodes, dims) = (trajectories.nodes().len(), trajectories.dims());
    let side = 2 * nodes;
    // Coefficients in the order of the bands, so that each band is one piece of every spectrum.
    let mut order: Vec<usize> = (0..dims).collect();
    order.sort_by_key(|&i| bands.of_coefficients()[i]);
    let spectrum = |k: usize| -> Vec<f64> {
        let field = if k < nodes {
            trajectories.state(image, k + 1)
        } else {
            trajectories.estimate(image, k + 1 - nodes)
        };
        let field: Vec<f64> = field.iter().map(|&x| f64::from(x)).collect();
        let found = bands.transform(&field);
        order.iter().map(|&i| found[i]).collect()
    };
    let spectra: Vec<Vec<f64>> = (0..side).into_par_iter().map(spectrum).collect();
    let mut begin = 0;
    let pieces: Vec<std::ops::Range<usize>> = bands
        .sizes()
        .iter()
        .map(|size| {
            let piece = begin..begin + size;
            begin += size;
            piece
        })
        .collect();
    sums.par_iter_mut().zip(pieces).for_each(|(sums, piece)| {
        for i in 0..side {
            for j in 0..=i {
                let (a, b) = (&spectra[i][piece.clone()], &spectra[j][piece.clone()]);
                let product = crate::gram::dot(a, b) / dims as f64;
                sums[i * side + j] += product;
                if i != j {
                    sums[j * side + i] += product;
                }
            }
        }
    });
}
