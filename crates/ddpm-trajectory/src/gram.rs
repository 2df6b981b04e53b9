//! Inner products of what is stored, from which the error of every step follows.

use rayon::prelude::*;

/// Per image, the inner products of the states x and the estimates D at all N nodes, divided by the number of dimensions.
///
/// Node index 0 is clean data, index i >= 1 the i-th node of the grid. The state at index 0 is the estimate at index 1, with which every
/// path ends.
#[derive(Clone, Debug)]
pub struct Gram {
    nodes: usize,
    /// Per image (2N)^2 products over x_1 .. x_N, D_1 .. D_N, row after row.
    products: Vec<Vec<f64>>,
    /// Their mean over the images.
    mean: Vec<f64>,
}

impl Gram {
    /// `states` and `estimates` are `[images, nodes, dims]`.
    pub(crate) fn new(nodes: usize, dims: usize, states: &[f32], estimates: &[f32]) -> Self {
        let images = states
            .par_chunks(nodes * dims)
            .zip(estimates.par_chunks(nodes * dims));
        let products: Vec<Vec<f64>> = images.map(|(x, d)| products(nodes, dims, x, d)).collect();
        let mut mean = vec![0.0; 4 * nodes * nodes];
        for products in &products {
            for (mean, product) in mean.iter_mut().zip(products) {
                *mean += product;
            }
        }
        for mean in &mut mean {
            *mean /= products.len() as f64;
        }
        Self {
            nodes,
            products,
            mean,
        }
    }

    /// N, the number of nodes but 0.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// The number of images.
    pub fn images(&self) -> usize {
        self.products.len()
    }

    /// The (2N)^2 products of one image over x_1 .. x_N, D_1 .. D_N.
    pub(crate) fn of_image(&self, image: usize) -> &[f64] {
        &self.products[image]
    }

    /// The mean square, over images and dimensions, of a sum of weighted states and estimates: indices in x_1 .. x_N, D_1 .. D_N.
    pub(crate) fn mean_square(&self, terms: &[(usize, f64)]) -> f64 {
        quadratic_form(&self.mean, 2 * self.nodes, terms)
    }

    /// Per image, the mean square over the dimensions of the difference of the estimates at two node indices.
    ///
    /// # Panics
    /// Unless both are in 1..=N.
    pub fn squared_changes(&self, t: usize, s: usize) -> Vec<f64> {
        let n = self.nodes;
        assert!(
            (1..=n).contains(&t) && (1..=n).contains(&s),
            "node indices out of range"
        );
        let terms = [(n + t - 1, 1.0), (n + s - 1, -1.0)];
        self.products
            .iter()
            .map(|p| quadratic_form(p, 2 * n, &terms))
            .collect()
    }
}

/// The square of the sum of weighted vectors, from their products; what rounding makes negative is 0.
fn quadratic_form(products: &[f64], side: usize, terms: &[(usize, f64)]) -> f64 {
    let mut sum = 0.0;
    for (n, &(i, a)) in terms.iter().enumerate() {
        sum += a * a * products[i * side + i];
        for &(j, b) in &terms[n + 1..] {
            sum += 2.0 * a * b * products[i * side + j];
        }
    }
    sum.max(0.0)
}

/// Dimensions that are widened to f64 at a time: large images would otherwise take eight bytes for every number stored.
const WIDENED: usize = 1 << 14;

fn products(nodes: usize, dims: usize, x: &[f32], d: &[f32]) -> Vec<f64> {
    let side = 2 * nodes;
    let mut products = vec![0.0; side * side];
    for begin in (0..dims).step_by(WIDENED) {
        let part = begin..(begin + WIDENED).min(dims);
        let vectors: Vec<Vec<f64>> = x
            .chunks(dims)
            .chain(d.chunks(dims))
            .map(|v| v[part.clone()].iter().map(|&x| f64::from(x)).collect())
            .collect();
        for i in 0..side {
            for j in 0..=i {
                products[i * side + j] += dot(&vectors[i], &vectors[j]);
            }
        }
    }
    for i in 0..side {
        for j in 0..=i {
            let product = products[i * side + j] / dims as f64;
            products[i * side + j] = product;
            products[j * side + i] = product;
        }
    }
    products
}

/// In eight chains, which keeps the order fixed and the processor busy.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 8];
    let (a8, rest_a) = a.as_chunks::<8>();
    let (b8, rest_b) = b.as_chunks::<8>();
    for (a, b) in a8.iter().zip(b8) {
        for k in 0..8 {
            sums[k] += a[k] * b[k];
        }
    }
    let rest: f64 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}
