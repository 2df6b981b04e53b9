//! [`Bands`]: an orthonormal transform of a datum into frequencies, and the bands that these are pooled in.

use std::f64::consts::{FRAC_1_SQRT_2, PI};
use std::fmt;

use crate::{Difference, Error, Result};

/// Above the constant, below the lowest frequency of the longest axis.
const FIRST_EDGE: f64 = 0.9;
/// How far the rows of a basis may be from orthonormal.
const ORTHONORMAL: f64 = 1e-9;

/// An orthonormal transform U of data of one shape, and the bands of frequencies that its coefficients are pooled in.
///
/// The first axis of a shape is the channels, the others are space or time; a shape of one axis is a signal of one channel
/// (`[D, 1]` holds D channels that have no neighbours). U is a DCT-II along every axis but the channels, times an orthonormal
/// basis of the channels. Each channel of the basis has bands of its own: its constant, and then rings of the radius
/// `sqrt(sum_a (k_a L / n_a)^2)`, n_a being the lengths of the axes and L the longest.
///
/// Every sum has one fixed order, so that coefficients are the same to the last bit on every machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Bands {
    shape: Vec<usize>,
    channel_basis: Vec<f64>,
    edges: Vec<f64>,
    separate_channels: bool,
    /// The channels first; then one DCT per further axis.
    factors: Vec<Factor>,
    /// Of every coefficient.
    band: Vec<usize>,
    /// Coefficients of every band.
    counts: Vec<usize>,
    /// Whether a band is the constant of one channel.
    constant: Vec<bool>,
}

/// What decides them, and what came of it: `25 edges, each channel apart (45 bands of [3, 5, 4])`.
impl fmt::Display for Bands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = if self.separate_channels {
            "each channel apart"
        } else {
            "channels together"
        };
        let (edges, count, shape) = (self.edges.len(), self.count(), &self.shape);
        write!(f, "{edges} edges, {channels} ({count} bands of {shape:?})")
    }
}

/// The matrix of one axis, and how the axis lies in memory.
#[derive(Clone, Debug, PartialEq)]
struct Factor {
    length: usize,
    /// Numbers between neighbours of the axis.
    inner: usize,
    /// Row k holds the k-th basis function.
    rows: Vec<f64>,
    columns: Vec<f64>,
}

impl Bands {
    /// More edges than any data have radii to tell apart: together with the channels they decide how much memory is taken.
    pub const MOST_EDGES: usize = 4098;

    /// Refuses shapes that are too large for a transform by matrices: a stranger's file must not take all memory.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] for an axis of more than 4096 or data of more than 2^24 numbers.
    pub fn check_size(shape: &[usize]) -> Result<()> {
        let numbers = shape.iter().try_fold(1usize, |d, &n| d.checked_mul(n));
        let longest = shape.iter().copied().max().unwrap_or_default();
        if longest <= 4096 && numbers.is_some_and(|n| n <= 1 << 24) {
            return Ok(());
        }
        Err(Error::InvalidParameter {
            what: "size of data in bands",
            value: numbers.map_or(f64::INFINITY, |n| n as f64),
            expected: "at most 4096 along an axis and 16777216 numbers in all",
        })
    }

    /// The rings of [`of_shape`](Self::of_shape), empty ones included.
    pub const RINGS: usize = 23;

    /// The bands of data of this shape: of three channels the basis (1,1,1)/sqrt3, (1,0,-1)/sqrt2, (1,-2,1)/sqrt6 of luminance and
    /// two colours, of others the channels themselves; 24 edges from 0.9 to the largest radius.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for a shape without numbers.
    pub fn of_shape(shape: &[usize]) -> Result<Self> {
        Self::rings(shape, None, Self::RINGS)
    }

    /// Bands of so many rings for each channel of the basis, beside its constant, between edges that are geometric from 0.9 to above the
    /// largest radius; rings without a coefficient are dropped. `channel_basis` as [`new`](Self::new) takes it, `None` for that of
    /// [`of_shape`](Self::of_shape).
    ///
    /// # Errors
    /// As [`new`](Self::new); [`Error::InvalidParameter`] for no ring.
    pub fn rings(shape: &[usize], channel_basis: Option<Vec<f64>>, rings: usize) -> Result<Self> {
        let (channels, axes) = split(shape)?;
        if rings == 0 || rings > Self::MOST_EDGES - 2 {
            return Err(Error::InvalidParameter {
                what: "number of rings",
                value: rings as f64,
                expected: "1 to 4096",
            });
        }
        let longest = axes.iter().copied().max().unwrap_or(1) as f64;
        let last = (axes.len().max(1) as f64).sqrt() * longest;
        let ratio = libm::log(last / FIRST_EDGE) / rings as f64;
        let edge = |i: usize| FIRST_EDGE * libm::exp(ratio * i as f64);
        let edges = std::iter::once(0.0).chain((0..=rings).map(edge)).collect();
        let basis = channel_basis.unwrap_or_else(|| usual_basis(channels));
        Self::new(shape, basis, edges, true)
    }

    /// One band of all coefficients: what a kernel that is one variance for all numbers knows.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for a shape without numbers.
    pub fn single(shape: &[usize]) -> Result<Self> {
        let (channels, _) = split(shape)?;
        Self::new(shape, usual_basis(channels), vec![0.0], false)
    }

    /// Bands of a stated basis and division.
    ///
    /// `channel_basis`: C x C numbers, a basis vector after the other. `edges`: ascending radii, the first 0; a band holds the radii
    /// from its edge up to the next, the last one all that are left. Bands without a coefficient are dropped.
    /// `separate_channels`: whether each channel of the basis has bands of its own.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] for a shape without numbers, [`Error::LengthMismatch`] for a basis of another size,
    /// [`Error::InvalidParameter`] for one that is not orthonormal, for edges that do not ascend from 0, and as
    /// [`check_size`](Self::check_size).
    pub fn new(
        shape: &[usize],
        channel_basis: Vec<f64>,
        edges: Vec<f64>,
        separate_channels: bool,
    ) -> Result<Self> {
        let (channels, axes) = split(shape)?;
        check_basis(channels, &channel_basis)?;
        check_edges(&edges)?;
        let space: usize = axes.iter().product();
        let mut factors = vec![Factor::new(channels, space, channel_basis.clone())];
        let mut inner = space;
        for &length in axes {
            inner /= length;
            factors.push(Factor::new(length, inner, cosines(length)));
        }
        let of_radius = radii(axes).map(|r| edges.partition_point(|&edge| edge <= r) - 1);
        let of_radius: Vec<usize> = of_radius.collect();
        let per_channel = if separate_channels { edges.len() } else { 0 };
        let raw = |i: usize| i / space * per_channel + of_radius[i % space];
        let dims = channels * space;
        let mut counts = vec![0; edges.len() * if separate_channels { channels } else { 1 }];
        (0..dims).for_each(|i| counts[raw(i)] += 1);
        let number: Vec<usize> = counts
            .iter()
            .scan(0, |next, &count| {
                let number = *next;
                *next += usize::from(count > 0);
                Some(number)
            })
            .collect();
        let band: Vec<usize> = (0..dims).map(|i| number[raw(i)]).collect();
        counts.retain(|&count| count > 0);
        let mut constant = vec![false; counts.len()];
        for channel in 0..channels {
            let own = band[channel * space];
            constant[own] = counts[own] == 1;
        }
        Ok(Self {
            shape: shape.to_vec(),
            channel_basis,
            edges,
            separate_channels,
            factors,
            band,
            counts,
            constant,
        })
    }

    /// What tells these bands from others; `None` if they are the same.
    pub fn difference(&self, other: &Self) -> Option<Difference> {
        if self == other {
            return None;
        }
        let [first, mut second] = [self, other].map(Self::to_string);
        if first == second {
            second += if self.channel_basis == other.channel_basis {
                " with others of the same number"
            } else {
                " of another basis of the channels"
            };
        }
        Some(Difference {
            field: "bands".into(),
            first,
            second,
        })
    }

    /// The shape of a datum.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// D, the numbers of a datum.
    pub fn dims(&self) -> usize {
        self.band.len()
    }

    /// The basis of the channels, C x C, a basis vector after the other.
    pub fn channel_basis(&self) -> &[f64] {
        &self.channel_basis
    }

    /// The radii at which bands begin, those of empty ones included.
    pub fn edges(&self) -> &[f64] {
        &self.edges
    }

    /// Whether each channel of the basis has bands of its own.
    pub fn separate_channels(&self) -> bool {
        self.separate_channels
    }

    /// The number of bands, all channels together.
    pub fn count(&self) -> usize {
        self.counts.len()
    }

    /// The band of every coefficient.
    pub fn of_coefficients(&self) -> &[usize] {
        &self.band
    }

    /// How many coefficients each band holds.
    pub fn sizes(&self) -> &[usize] {
        &self.counts
    }

    /// Whether a band is the constant of one channel: the one band whose coefficients may have a mean.
    pub fn is_constant(&self, band: usize) -> bool {
        self.constant[band]
    }

    /// The bands that are constants, ascending.
    pub fn constants(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.count()).filter(|&band| self.constant[band])
    }

    /// By band what a list of the [`constants`](Self::constants) has of it; `None` for the other bands.
    pub fn by_band<'a, T>(&self, of_constants: &'a [T]) -> Vec<Option<&'a T>> {
        let mut left = of_constants.iter();
        let own = |&constant: &bool| constant.then(|| left.next()).flatten();
        self.constant.iter().map(own).collect()
    }

    /// w_b, the share of a band in all D coefficients.
    pub fn weight(&self, band: usize) -> f64 {
        self.counts[band] as f64 / self.dims() as f64
    }

    /// sum_b w_b y_b: the mean over all coefficients of what every band has the same of.
    pub fn mean(&self, by_band: impl IntoIterator<Item = f64>) -> f64 {
        let weighted = by_band.into_iter().enumerate();
        weighted.map(|(band, y)| self.weight(band) * y).sum()
    }

    /// U x: the coefficients, in the order of the shape.
    ///
    /// # Panics
    /// If `x` has not [`dims`](Self::dims) numbers.
    pub fn transform(&self, x: &[f64]) -> Vec<f64> {
        self.apply(x, false)
    }

    /// U^T y: the datum of these coefficients.
    ///
    /// # Panics
    /// If `y` has not [`dims`](Self::dims) numbers.
    pub fn inverse(&self, y: &[f64]) -> Vec<f64> {
        self.apply(y, true)
    }

    fn apply(&self, x: &[f64], transposed: bool) -> Vec<f64> {
        assert_eq!(x.len(), self.dims(), "numbers of a datum");
        let mut from = x.to_vec();
        let mut to = vec![0.0; x.len()];
        for factor in &self.factors {
            if factor.length > 1 {
                factor.apply(&from, &mut to, transposed);
                std::mem::swap(&mut from, &mut to);
            }
        }
        from
    }
}

impl Factor {
    fn new(length: usize, inner: usize, rows: Vec<f64>) -> Self {
        let columns = (0..length * length).map(|i| rows[i % length * length + i / length]);
        Self {
            columns: columns.collect(),
            length,
            inner,
            rows,
        }
    }

    /// Multiplies every line along the axis by the matrix. Products and sums are rounded one by one, in ascending order of the
    /// summands: a fused multiplication is not to be had on every machine.
    fn apply(&self, from: &[f64], to: &mut [f64], transposed: bool) {
        let (n, inner) = (self.length, self.inner);
        to.fill(0.0);
        let blocks = from
            .chunks_exact(n * inner)
            .zip(to.chunks_exact_mut(n * inner));
        if inner == 1 {
            // The axis is contiguous: go along it, so that the loop inside is one of vectors too.
            let matrix = if transposed {
                &self.rows
            } else {
                &self.columns
            };
            for (from, to) in blocks {
                for (x, row) in from.iter().zip(matrix.chunks_exact(n)) {
                    add_scaled(to, row, *x);
                }
            }
            return;
        }
        let matrix = if transposed {
            &self.columns
        } else {
            &self.rows
        };
        for (from, to) in blocks {
            for (to, row) in to.chunks_exact_mut(inner).zip(matrix.chunks_exact(n)) {
                for (from, &x) in from.chunks_exact(inner).zip(row) {
                    add_scaled(to, from, x);
                }
            }
        }
    }
}

fn add_scaled(to: &mut [f64], from: &[f64], factor: f64) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += factor * from;
    }
}

/// The number of channels, and the other axes.
fn split(shape: &[usize]) -> Result<(usize, &[usize])> {
    if shape.is_empty() || shape.contains(&0) {
        return Err(Error::ShapeMismatch {
            what: "data in bands",
            expected: vec![1],
            found: shape.to_vec(),
        });
    }
    Bands::check_size(shape)?;
    Ok(match shape {
        [_] => (1, shape),
        [channels, axes @ ..] => (*channels, axes),
        [] => (1, shape),
    })
}

fn usual_basis(channels: usize) -> Vec<f64> {
    if channels == 3 {
        let rows = [[1.0, 1.0, 1.0], [1.0, 0.0, -1.0], [1.0, -2.0, 1.0]];
        let normed = rows.iter().zip([3.0f64, 2.0, 6.0]);
        return normed
            .flat_map(|(row, square)| row.map(|x| x / square.sqrt()))
            .collect();
    }
    (0..channels * channels)
        .map(|i| f64::from(i % (channels + 1) == 0))
        .collect()
}

/// The orthonormal DCT-II of n numbers, row k the k-th cosine.
fn cosines(n: usize) -> Vec<f64> {
    let scale = (2.0 / n as f64).sqrt();
    let entry = |i: usize| {
        let (k, x) = (i / n, i % n);
        if k == 0 {
            return scale * FRAC_1_SQRT_2;
        }
        // Reduced to one period in integers, so that no digit is lost to a large argument.
        let quarter = (2 * x + 1) * k % (4 * n);
        scale * libm::cos(PI * quarter as f64 / (2 * n) as f64)
    };
    (0..n * n).map(entry).collect()
}

/// The radius of every coefficient of one channel, in the order of the axes.
fn radii(axes: &[usize]) -> impl Iterator<Item = f64> {
    let longest = axes.iter().copied().max().unwrap_or(1) as f64;
    let space: usize = axes.iter().product();
    (0..space).map(move |i| {
        let (mut rest, mut square) = (i, 0.0);
        for &n in axes.iter().rev() {
            let scaled = (rest % n) as f64 * longest / n as f64;
            square += scaled * scaled;
            rest /= n;
        }
        square.sqrt()
    })
}

fn check_basis(channels: usize, basis: &[f64]) -> Result<()> {
    if basis.len() != channels * channels {
        return Err(Error::LengthMismatch {
            what: "basis of the channels",
            expected: channels * channels,
            found: basis.len(),
        });
    }
    let wrong = |value: f64| Error::InvalidParameter {
        what: "product of two rows of the basis of the channels",
        value,
        expected: "1 of a row with itself and 0 of two rows, to 1e-9 (which takes double precision)",
    };
    let row = |i: usize| &basis[i * channels..(i + 1) * channels];
    let check = |i: usize, j: usize| {
        let product = dot(row(i), row(j));
        let off = (product - f64::from(i == j)).abs();
        if off.is_nan() || off > ORTHONORMAL {
            Err(wrong(product))
        } else {
            Ok(())
        }
    };
    // Its sign shows in no statistic, and an axis of one number is left as it is.
    if let [only] = basis
        && *only < 0.0
    {
        return Err(Error::InvalidParameter {
            what: "basis of one channel",
            value: *only,
            expected: "1",
        });
    }
    // What is no basis at all mostly shows in the lengths, which are cheap.
    (0..channels).try_for_each(|i| check(i, i))?;
    (0..channels).try_for_each(|i| (0..i).try_for_each(|j| check(i, j)))
}

/// Summed in lanes: a basis of thousands of channels has billions of products.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a, left_a) = a.as_chunks::<8>();
    let (b, left_b) = b.as_chunks::<8>();
    for (a, b) in a.iter().zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    let left = left_a.iter().zip(left_b).map(|(a, b)| a * b);
    lanes.into_iter().chain(left).sum()
}

fn check_edges(edges: &[f64]) -> Result<()> {
    let wrong = |value: f64| Error::InvalidParameter {
        what: "edge of a band",
        value,
        expected: "finite radii that ascend from 0",
    };
    if edges.len() > Bands::MOST_EDGES {
        return Err(Error::InvalidParameter {
            what: "number of edges of bands",
            value: edges.len() as f64,
            expected: "at most 4098",
        });
    }
    match edges.first() {
        Some(&0.0) => {}
        first => return Err(wrong(first.copied().unwrap_or(f64::NAN))),
    }
    match edges.windows(2).find(|w| w[0] >= w[1] || !w[1].is_finite()) {
        Some(pair) => Err(wrong(pair[1])),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(n: usize) -> Vec<f64> {
        (0..n)
            .map(|i| (1.7 * i as f64).sin() + 0.1 * i as f64)
            .collect()
    }

    const SHAPES: [&[usize]; 8] = [
        &[3, 32, 32],
        &[1, 28, 28],
        &[3, 7, 5],
        &[4, 6, 10],
        &[17],
        &[2, 9],
        &[5, 1],
        &[2, 3, 4, 5],
    ];

    #[test]
    fn transforms_of_any_shape_are_orthonormal_and_invert() {
        for shape in SHAPES {
            let bands = Bands::of_shape(shape).unwrap();
            let x = numbers(bands.dims());
            let y = bands.transform(&x);
            let square = |v: &[f64]| v.iter().map(|a| a * a).sum::<f64>();
            assert!((square(&x) / square(&y) - 1.0).abs() < 1e-13, "{shape:?}");
            for (a, b) in bands.inverse(&y).iter().zip(&x) {
                assert!((a - b).abs() < 1e-12, "{shape:?}");
            }
        }
    }

    #[test]
    fn every_coefficient_has_a_band_and_every_band_a_coefficient() {
        for shape in SHAPES {
            let bands = Bands::of_shape(shape).unwrap();
            let mut sizes = vec![0; bands.count()];
            bands.of_coefficients().iter().for_each(|&b| sizes[b] += 1);
            assert_eq!(sizes, bands.sizes(), "{shape:?}");
            assert!(sizes.iter().all(|&n| n > 0));
            let weights: f64 = (0..bands.count()).map(|b| bands.weight(b)).sum();
            assert!((weights - 1.0).abs() < 1e-12);
            let channels = if shape.len() == 1 { 1 } else { shape[0] };
            assert_eq!(bands.constants().count(), channels, "{shape:?}");
        }
    }

    #[test]
    fn images_of_32_by_32_have_22_bands_a_channel() {
        assert_eq!(Bands::of_shape(&[3, 32, 32]).unwrap().count(), 66);
        assert_eq!(Bands::single(&[3, 32, 32]).unwrap().count(), 1);
    }

    #[test]
    fn shapes_that_would_take_all_memory_are_refused() {
        for shape in [
            &[1usize << 40][..],
            &[3, 5000, 2],
            &[3, 4096, 4096],
            &[usize::MAX, 2, 2],
        ] {
            for made in [Bands::of_shape(shape), Bands::single(shape)] {
                assert!(made.unwrap_err().to_string().contains("4096"), "{shape:?}");
            }
        }
        assert!(Bands::check_size(&[3, 2048, 2048]).is_ok());
    }

    #[test]
    fn a_constant_image_is_its_constant_and_a_cosine_one_coefficient() {
        let bands = Bands::of_shape(&[1, 4, 8]).unwrap();
        let flat = bands.transform(&[0.5; 32]);
        assert!((flat[0] - 0.5 * 32f64.sqrt()).abs() < 1e-14);
        assert!(flat[1..].iter().all(|a| a.abs() < 1e-14));
        let wave: Vec<f64> = (0..32)
            .map(|i| (PI * 3.0 * (2 * (i % 8) + 1) as f64 / 16.0).cos())
            .collect();
        let of_one_axis = Bands::of_shape(&[1, 8]).unwrap();
        assert!((of_one_axis.transform(&[0.5; 8])[0] - 0.5 * 8f64.sqrt()).abs() < 1e-14);
        let found = bands.transform(&wave);
        assert!((found[3] - 4.0).abs() < 1e-13, "{}", found[3]);
    }

    #[test]
    fn bases_and_edges_that_are_none_are_refused() {
        let shape = [2, 4];
        let identity = vec![1.0, 0.0, 0.0, 1.0];
        assert!(Bands::new(&shape, identity.clone(), vec![0.0, 2.0], true).is_ok());
        assert!(Bands::new(&shape, vec![1.0, 0.0, 1.0, 0.0], vec![0.0], true).is_err());
        assert!(Bands::new(&shape, vec![f64::NAN; 4], vec![0.0], true).is_err());
        assert!(Bands::new(&shape, vec![1.0], vec![0.0], true).is_err());
        for edges in [vec![], vec![1.0], vec![0.0, 2.0, 2.0], vec![0.0, f64::NAN]] {
            assert!(Bands::new(&shape, identity.clone(), edges, true).is_err());
        }
        assert!(Bands::of_shape(&[]).is_err() && Bands::of_shape(&[3, 0]).is_err());
        for rings in [0, 4097] {
            let refused = Bands::rings(&[4], None, rings).unwrap_err().to_string();
            assert!(refused.contains("number of rings"), "{refused}");
        }
        assert!(Bands::rings(&[4], None, 4096).is_ok());
        let many = (0..5000).map(f64::from).collect();
        assert!(Bands::new(&shape, identity, many, true).is_err());
    }

    #[test]
    fn bands_show_what_they_are_made_of_and_in_what_they_differ() {
        let (basis, edges) = (vec![0.6, 0.8, -0.8, 0.6], vec![0.0, 0.5, 2.0]);
        let of = |basis: &[f64], edges: &[f64], apart| {
            Bands::new(&[2, 4], basis.to_vec(), edges.to_vec(), apart).unwrap()
        };
        let bands = of(&basis, &edges, true);
        assert_eq!(bands.shape(), [2, 4]);
        assert_eq!(bands.channel_basis(), basis);
        assert_eq!(bands.edges(), edges);
        assert!(bands.separate_channels());
        assert_eq!(bands.difference(&bands.clone()), None);
        let second = |other: &Bands| {
            let found = bands.difference(other).unwrap();
            assert_eq!(found.field, "bands");
            assert_eq!(
                found.first,
                "3 edges, each channel apart (6 bands of [2, 4])"
            );
            found.second
        };
        // A constant and two rings of each channel: 1, 1 and 2 coefficients.
        assert_eq!(bands.sizes(), [1, 1, 2, 1, 1, 2]);
        let constants: Vec<usize> = (0..6).filter(|&band| bands.is_constant(band)).collect();
        assert_eq!(constants, [0, 3]);
        assert_eq!(constants, bands.constants().collect::<Vec<_>>());
        let of_bands = [Some(&'a'), None, None, Some(&'b'), None, None];
        assert_eq!(bands.by_band(&['a', 'b']), of_bands);
        assert_eq!(
            bands.mean([1.0, 2.0, 3.0, 4.0, 5.0, 7.0]),
            (1.0 + 2.0 + 6.0 + 4.0 + 5.0 + 14.0) / 8.0
        );
        let together = of(&basis, &edges, false);
        assert!(!together.separate_channels());
        assert_eq!(
            second(&together),
            "3 edges, channels together (3 bands of [2, 4])"
        );
        let turned = of(&[1.0, 0.0, 0.0, 1.0], &edges, true);
        assert!(second(&turned).ends_with(" of another basis of the channels"));
        let moved = of(&basis, &[0.0, 0.5, 1.5], true);
        assert!(second(&moved).ends_with(" with others of the same number"));
    }

    #[test]
    fn every_ring_asked_for_can_hold_coefficients() {
        for rings in 1..=4 {
            let bands = Bands::rings(&[1, 32, 32], None, rings).unwrap();
            assert_eq!(bands.count(), 1 + rings);
        }
    }

    #[test]
    fn the_basis_of_one_channel_is_1() {
        let of = |sign: f64| Bands::new(&[1, 3, 4], vec![sign], vec![0.0], true);
        assert!(of(1.0).is_ok());
        assert!(of(-1.0).unwrap_err().to_string().contains("one channel"));
    }
}
