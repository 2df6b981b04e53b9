//! Curves from blocks that count at some of the evaluated timesteps only, smoothed or not: what other layouts of a run would have told.
//!
//! The means of every statistic are put together here, tensor by tensor, and given to the library as the profile of one block of one image.

use std::collections::BTreeMap;

use ddpm_core::NoiseSchedule;
use ddpm_files::container::{self, Reader, Tensor, index};
use ddpm_profile::{Curves, ElboProfile};
use ddpm_schedule::Provenance;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::{Result, smoother::Smoother};

/// The statistics of e^2, v, v^2 and the extremes of v.
const MOMENTS: usize = 5;
/// Arguments of a learned-variance column beside the nodes.
const HOLDOUTS: usize = 3;

/// The document of a profile's file.
#[derive(Clone, Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
    provenance: Provenance,
    learned: bool,
    nodes: usize,
    /// Of bands of frequencies, which are not put together here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bands: Option<serde_json::Value>,
    checksum: String,
}

/// The version of profiles without bands.
const VERSION: u64 = 1;
/// That of profiles with them.
const VERSION_BANDS: u64 = 4;

impl container::Header for Header {
    const FORMAT: &'static str = ddpm::profile::ElboProfile::FORMAT;
    const WHAT: &'static str = "profile";
    const KIND: &'static str = "an elbo profile";
    const NEWEST: u64 = VERSION_BANDS;

    fn checksum(&mut self) -> &mut String {
        &mut self.checksum
    }
}

/// The tensors of a profile.
pub(crate) struct Measured {
    header: Header,
    schedule: NoiseSchedule,
    timesteps: Vec<usize>,
    /// Decoder knots per timestep.
    knots: Vec<Vec<f64>>,
    blocks: Vec<Block>,
}

struct Block {
    images: u64,
    /// Sum over images of the mean of x0^2.
    square: f64,
    points: Vec<Point>,
}

/// Sums or means over images at one timestep.
#[derive(Clone)]
struct Point {
    moments: Vec<f64>,
    /// H and F at the nodes, then at the hold-outs.
    excess: Vec<f64>,
    weighted: Vec<f64>,
    /// The decoder term at the knots, with one variance for all pixels and with the learned ones.
    scalar: Vec<f64>,
    learned: Vec<f64>,
}

/// A block of images and the evaluated timesteps at which it counts.
#[derive(Clone, Copy)]
pub(crate) struct Evaluations<'a> {
    pub(crate) profile: &'a Measured,
    pub(crate) block: usize,
    pub(crate) timesteps: &'a [bool],
}

impl Measured {
    /// Reads a profile of a learned variance whose blocks are finished.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        // Checks everything about the file.
        let profile = ElboProfile::from_bytes(bytes)?;
        let (mut header, file) = container::read::<Header>(bytes)?;
        let finished = profile.blocks().iter().all(|block| block.is_finished());
        if !header.learned || !finished {
            return Err("expected a finished profile with a learned variance".into());
        }
        (header.version, header.bands) = (VERSION, None);
        let reader = Reader { file: &file };
        let counts = reader.words(
            "decoder_knot_count",
            Dtype::U64,
            &[reader.length("timesteps")?],
        )?;
        let counts: Vec<usize> = counts.map(index).collect();
        let (b, m, g) = (profile.blocks().len(), counts.len(), counts.iter().sum());
        let numbers = |name: &str, shape: &[usize]| reader.optional(name, true, shape);
        let mut all = numbers("decoder_knots", &[g])?;
        let knots = counts.iter().map(|&n| all.by_ref().take(n).collect());
        let knots = knots.collect();
        let column = header.nodes + HOLDOUTS;
        let mut moments = numbers("moments", &[b, m, MOMENTS])?;
        let mut excess = numbers("excess", &[b, m, column])?;
        let mut weighted = numbers("weighted", &[b, m, column])?;
        let mut scalar = numbers("decoder_scalar", &[b, g])?;
        let mut learned = numbers("decoder_learned", &[b, g])?;
        let squares = numbers("x0_mean_square", &[b])?;
        let block = |(block, square): (&ddpm_profile::Block, f64)| Block {
            images: block.images(),
            square,
            points: counts
                .iter()
                .map(|&n| Point {
                    moments: moments.by_ref().take(MOMENTS).collect(),
                    excess: excess.by_ref().take(column).collect(),
                    weighted: weighted.by_ref().take(column).collect(),
                    scalar: scalar.by_ref().take(n).collect(),
                    learned: learned.by_ref().take(n).collect(),
                })
                .collect(),
        };
        Ok(Self {
            blocks: profile.blocks().iter().zip(squares).map(block).collect(),
            schedule: profile.schedule().clone(),
            timesteps: profile.layout().timesteps().to_vec(),
            knots,
            header,
        })
    }

    /// Images of each block.
    pub(crate) fn images(&self) -> impl Iterator<Item = u64> + '_ {
        self.blocks.iter().map(|block| block.images)
    }

    /// The evaluated timesteps.
    pub(crate) fn timesteps(&self) -> &[usize] {
        &self.timesteps
    }
}

impl Point {
    fn add(&mut self, other: &Self) {
        for (i, (mine, theirs)) in self.moments.iter_mut().zip(&other.moments).enumerate() {
            *mine = match i {
                3 => mine.min(*theirs),
                4 => mine.max(*theirs),
                _ => *mine + theirs,
            };
        }
        let columns = [
            (&mut self.excess, &other.excess),
            (&mut self.weighted, &other.weighted),
            (&mut self.scalar, &other.scalar),
            (&mut self.learned, &other.learned),
        ];
        for (mine, theirs) in columns {
            mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b);
        }
    }

    fn scale(&mut self, factor: f64) {
        let columns = [
            &mut self.excess,
            &mut self.weighted,
            &mut self.scalar,
            &mut self.learned,
        ];
        let columns = columns.into_iter().flatten();
        // The extremes of v stay.
        let sums = self.moments[..3].iter_mut().chain(columns);
        sums.for_each(|value| *value *= factor);
    }

    fn mse(&self) -> f64 {
        self.moments[0].max(1e-300)
    }
}

/// The curves of some evaluations of profiles of one layout.
///
/// Every timestep is averaged over the images that count there; timesteps where none counts are treated as not evaluated. `penalty`: 0
/// takes these averages as they are; above 0 is that of a smoother over log-SNR (clipped at -7) of log m / (1 - abar), F / m,
/// H / lambda^2, mean v and the decoder columns, with the same weights for all: the numbers of images.
pub(crate) fn curves(parts: &[Evaluations<'_>], penalty: f64) -> Result<Curves> {
    let first = parts.first().ok_or("no evaluations")?.profile;
    let n = first.timesteps.len();
    let mut sums: Vec<Option<(u64, Point)>> = vec![None; n];
    let (mut images, mut square) = (0, 0.0);
    for part in parts {
        let same = part.profile.timesteps == first.timesteps && part.profile.knots == first.knots;
        if part.timesteps.len() != n || !same {
            return Err("expected evaluations of one layout".into());
        }
        let block = part.profile.blocks.get(part.block).ok_or("no such block")?;
        images += block.images;
        square += block.square;
        for i in (0..n).filter(|&i| part.timesteps[i]) {
            let point = &block.points[i];
            match &mut sums[i] {
                Some((count, sum)) => {
                    *count += block.images;
                    sum.add(point);
                }
                none => *none = Some((block.images, point.clone())),
            }
        }
    }
    let (mut places, mut weights, mut points) = (Vec::new(), Vec::new(), Vec::new());
    for (i, sum) in sums.into_iter().enumerate() {
        let Some((count, mut point)) = sum else {
            continue;
        };
        point.scale(1.0 / count as f64);
        places.push(i);
        weights.push(count as f64);
        points.push(point);
    }
    if penalty > 0.0 {
        points = smoothed(first, &places, &points, &weights, penalty);
    }
    let bytes = means(first, &places, &points, square / images as f64);
    Ok(Curves::from_profile(&ElboProfile::from_bytes(&bytes)?)?)
}

/// The bytes of a profile of one image that has these means.
fn means(first: &Measured, places: &[usize], points: &[Point], square: f64) -> Vec<u8> {
    let mut header = first.header.clone();
    header.provenance.total_images = 1;
    header.provenance.images_per_block = 1;
    header.provenance.total_blocks = 1;
    let m = places.len();
    let knots = || places.iter().map(|&i| &first.knots[i]);
    let g = knots().map(Vec::len).sum();
    let column = header.nodes + HOLDOUTS;
    let table = |shape: &[usize], of: fn(&Point) -> &Vec<f64>| {
        Tensor::f64(shape, points.iter().flat_map(of).copied())
    };
    let schedule = first.schedule.log_alpha_bars();
    let tensors = BTreeMap::from([
        ("block_id", Tensor::u64(&[1], [0].into_iter())),
        ("block_images", Tensor::u64(&[1], [1].into_iter())),
        (
            "decoder_knot_count",
            Tensor::u64(&[m], knots().map(|k| k.len() as u64)),
        ),
        (
            "decoder_knots",
            Tensor::f64(&[g], knots().flatten().copied()),
        ),
        ("decoder_learned", table(&[1, g], |p| &p.learned)),
        ("decoder_scalar", table(&[1, g], |p| &p.scalar)),
        ("excess", table(&[1, m, column], |p| &p.excess)),
        (
            "log_alpha_bar",
            Tensor::f64(&[schedule.len()], schedule.iter().copied()),
        ),
        ("moments", table(&[1, m, MOMENTS], |p| &p.moments)),
        (
            "timesteps",
            Tensor::u64(&[m], places.iter().map(|&i| first.timesteps[i] as u64)),
        ),
        ("weighted", table(&[1, m, column], |p| &p.weighted)),
        ("x0_mean_square", Tensor::f64(&[1], [square].into_iter())),
    ]);
    container::write(header, &tensors)
}

/// The means smoothed over the timesteps.
fn smoothed(
    first: &Measured,
    places: &[usize],
    points: &[Point],
    weights: &[f64],
    penalty: f64,
) -> Vec<Point> {
    let timesteps: Vec<usize> = places.iter().map(|&i| first.timesteps[i]).collect();
    let smoother = Smoother::new(&axis(&first.schedule, &timesteps), weights, penalty);
    let log = |i: usize| first.schedule.log_one_minus_alpha_bar(timesteps[i]);
    // lambda_max; 0 at t = 1, which has no interior edge and whose columns therefore say nothing of the others': there the next one
    // stands in, and the columns stay what they are.
    let range = |i: usize| log(i) - first.schedule.log_one_minus_alpha_bar(1);
    let columns_from = usize::from(timesteps[0] == 1 && timesteps.len() > 1);
    let of_next = |k: usize| &points[k.max(columns_from)];
    let smooth = |i: usize| {
        let old = &points[i];
        let mut new = old.clone();
        new.moments[0] = (smoother.at(i, |k| points[k].mse().ln() - log(k)) + log(i)).exp();
        new.moments[1] = smoother.at(i, |k| points[k].moments[1]);
        if i >= columns_from {
            new.moments[2] = smoother.at(i, |k| of_next(k).moments[2]);
        }
        for j in 0..old.excess.len() {
            let (mut ratio, own) = (old.weighted[j] / old.mse(), new.moments[0]);
            if i >= columns_from {
                ratio = smoother.at(i, |k| of_next(k).weighted[j] / of_next(k).mse());
                // All timesteps have their arguments at the same parts of lambda_max.
                let curvature = smoother.at(i, |k| {
                    of_next(k).excess[j] / range(k.max(columns_from)).powi(2)
                });
                new.excess[j] = curvature * range(i).powi(2);
            }
            new.weighted[j] = ratio * own;
        }
        let decoder = |of: fn(&Point) -> &Vec<f64>| {
            let value = |log_variance: &f64| {
                let offset = log_variance - log(i);
                smoother.at(i, |k| {
                    column(&first.knots[places[k]], of(&points[k]), offset + log(k))
                })
            };
            first.knots[places[i]].iter().map(value).collect()
        };
        new.scalar = decoder(|p| &p.scalar);
        new.learned = decoder(|p| &p.learned);
        new
    };
    (0..points.len()).map(smooth).collect()
}

/// The abscissae of the smoother: minus log-SNR, clipped at 7 where nothing happens any more, but strictly increasing.
fn axis(schedule: &NoiseSchedule, timesteps: &[usize]) -> Vec<f64> {
    let clipped = |&t: &usize| (-schedule.log_snr(t)).min(7.0);
    let mut axis: Vec<f64> = timesteps.iter().map(clipped).collect();
    for i in 1..axis.len() {
        axis[i] = axis[i].max(axis[i - 1] + 1e-3);
    }
    axis
}

/// A decoder column at any log-variance: the cubic through the four nearest knots, and straight lines beyond the last.
fn column(x: &[f64], y: &[f64], at: f64) -> f64 {
    let last = x.len() - 1;
    let line = |a: usize, b: usize| y[a] + (at - x[a]) / (x[b] - x[a]) * (y[b] - y[a]);
    if at < x[0] {
        return line(0, 1);
    }
    if at > x[last] {
        return line(last, last - 1);
    }
    let right = x.partition_point(|&knot| knot <= at).min(last);
    let first = right.saturating_sub(2).min(x.len() - 4);
    let weight = |i: usize| -> f64 {
        let others = (first..first + 4).filter(|&j| j != i);
        others.map(|j| (at - x[j]) / (x[i] - x[j])).product()
    };
    (first..first + 4).map(|i| weight(i) * y[i]).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{optima, priced};
    use ddpm_core::TimePath;

    fn file() -> Vec<u8> {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
        std::fs::read(root.join("datasets/cifar10-small.train.profile.safetensors"))
            .expect("readable")
    }

    fn parts<'a>(profile: &'a Measured, masks: &'a [Vec<bool>]) -> Vec<Evaluations<'a>> {
        (0..profile.blocks.len())
            .map(|block| Evaluations {
                profile,
                block,
                timesteps: &masks[block % masks.len()],
            })
            .collect()
    }

    fn costs(curves: &Curves, paths: &[TimePath]) -> Vec<f64> {
        let model = priced(curves).expect("resolved");
        paths.iter().map(|path| model.path_cost(path)).collect()
    }

    #[test]
    fn all_evaluations_are_the_profile_itself() {
        let profile = ElboProfile::from_bytes(&file()).expect("a profile");
        let expected = Curves::from_profile(&profile).expect("blocks");
        let measured = Measured::from_bytes(&file()).expect("a profile");
        let masks = [vec![true; measured.timesteps.len()]];
        let found = curves(&parts(&measured, &masks), 0.0).expect("they fit");
        assert_eq!(found.mse(), expected.mse());
        assert_eq!(found.x0_mean_square(), expected.x0_mean_square());
        let paths = optima(&expected).expect("solvable");
        assert_eq!(costs(&found, &paths), costs(&expected, &paths));
    }

    #[test]
    fn every_timestep_is_averaged_over_the_images_that_count_there() {
        let measured = Measured::from_bytes(&file()).expect("a profile");
        let n = measured.timesteps.len();
        let phase = |r: usize| -> Vec<bool> { (0..n).map(|i| i % 3 == r).collect() };
        // No block counts at the timesteps of the third phase.
        let masks = [phase(0), phase(1)];
        let found = curves(&parts(&measured, &masks), 0.0).expect("they fit");
        let profile = ElboProfile::from_bytes(&file()).expect("a profile");
        let half = |r: usize| {
            let blocks = (0..profile.blocks().len()).filter(|block| block % 2 == r);
            Curves::of_blocks(&profile, blocks).expect("blocks")
        };
        let halves = [half(0), half(1)];
        for (i, &t) in measured.timesteps.iter().enumerate() {
            assert_eq!(found.evaluated()[t], i % 3 < 2, "t = {t}");
            if i % 3 < 2 {
                assert_eq!(found.mse()[t], halves[i % 3].mse()[t], "t = {t}");
            }
        }
    }

    #[test]
    fn smoothing_moves_towards_a_line() {
        let measured = Measured::from_bytes(&file()).expect("a profile");
        let masks = [vec![true; measured.timesteps.len()]];
        let smooth = |penalty| curves(&parts(&measured, &masks), penalty).expect("they fit");
        let raw = smooth(0.0);
        let paths = optima(&raw).expect("solvable");
        // A penalty of almost nothing changes almost nothing, columns included.
        let little = costs(&smooth(1e-13), &paths);
        for (a, b) in little.iter().zip(costs(&raw, &paths)) {
            assert!((a - b).abs() < 1e-6 * b.abs(), "{a} {b}");
        }
        // Second differences over log-SNR of log m / (1 - abar), where log-SNR is not clipped.
        let schedule = &measured.schedule;
        let free = |&&t: &&usize| -schedule.log_snr(t) < 7.0;
        let inner: Vec<usize> = measured.timesteps.iter().filter(free).copied().collect();
        let roughness = |curves: &Curves| -> f64 {
            let y = |t: usize| curves.mse()[t].ln() - schedule.log_one_minus_alpha_bar(t);
            let slope =
                |a: usize, b: usize| (y(b) - y(a)) / (schedule.log_snr(a) - schedule.log_snr(b));
            let change = |w: &[usize]| (slope(w[1], w[2]) - slope(w[0], w[1])).powi(2);
            inner.windows(3).map(change).sum()
        };
        let found = [0.0, 0.1, 100.0].map(|penalty| roughness(&smooth(penalty)));
        assert!(found[1] < 0.9 * found[0], "{found:?}");
        assert!(found[2] < 0.1 * found[0], "{found:?}");
    }
}
