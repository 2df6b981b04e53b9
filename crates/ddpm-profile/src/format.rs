//! The file of a profile: safetensors, with one JSON document in the metadata.
//!
//! # Version 1
//!
//! The metadata has the single key `ddpm`, whose value is the compact JSON text of
//! `{"format": "ddpm-elbo-profile", "version": 1, "provenance": {..}, "learned": .., "nodes": .., "checksum": ".."}`.
//! One key keeps the bytes deterministic: the same profile always gives the same file.
//! `checksum` is the SHA-256 of that JSON text with an empty checksum and of every tensor (name, type, shape, bytes) in the order
//! of the names, each part preceded by its length.
//!
//! Tensors, with B blocks ascending by number, M evaluated timesteps, n nodes (h = n + 3 arguments per column) and G decoder
//! knots of all timesteps together:
//!
//! | name | type | shape | content |
//! |---|---|---|---|
//! | `log_alpha_bar` | F64 | \[T+1\] | the noise schedule, index t |
//! | `timesteps` | U64 | \[M\] | the evaluated t |
//! | `decoder_knots` | F64 | \[G\] | log sigma^2 of the knots, timestep after timestep |
//! | `decoder_knot_count` | U64 | \[M\] | how many of them belong to each timestep |
//! | `block_id`, `block_images` | U64 | \[B\] | number of the block, images in it |
//! | `x0_mean_square` | F64 | \[B\] | sum over images of mean(x0^2) |
//! | `moments` | F64 | \[B, M, 5\] | sums over images of e^2, v, v^2 (means over dimensions); smallest and largest v |
//! | `excess`, `weighted` | F64 | \[B, M, h\] | sums over images of H and F; only when learned |
//! | `decoder_scalar` | F64 | \[B, G\] | sums over images of the decoder term |
//! | `decoder_learned` | F64 | \[B, G\] | the same with the learned variance; only when learned |
//!
//! # Version 2
//!
//! Version 1 with one more tensor, `counts`, U64 \[B, M\]: how many images of each block every timestep has seen. A file of this
//! version is what an interrupted run leaves; it is written only where a block is unfinished, so that a finished profile is a
//! file of version 1 whatever happened on the way.
//!
//! # Version 3
//!
//! Version 1 without any decoder knot: `decoder_knots` and `decoder_scalar` have no entries. It is what squared errors measured by
//! another program become.
//!
//! # Version 4
//!
//! Any of these with bands of frequencies: the metadata say of them `"bands": {"shape": [..], "separate_channels": ..}`, and there are
//! four tensors more, with E edges, C channels, N bands and Q constants among them:
//!
//! | name | type | shape | content |
//! |---|---|---|---|
//! | `band_edges` | F64 | \[E\] | the radii at which bands begin |
//! | `band_channels` | F64 | \[C, C\] | the basis of the channels |
//! | `band_products` | F64 | \[B, M, N, 6\] | sums over images of e^2, e h, e n, h^2, h n, n^2 (means over a band; h and n are U xhat0 and U epshat) |
//! | `band_means` | F64 | \[B, M, Q, 3\] | sums over images of e, h and n of the constants |
//!
//! `counts` is there where a block is unfinished.
//!
//! A file is accepted only if writing it again gives the same bytes, so no byte of it can change unnoticed.

use std::collections::BTreeMap;

use ddpm_core::{Bands, NoiseSchedule};
use ddpm_files::FormatError;
use ddpm_files::container::{self, Header as _, Reader, Tensor, Views, field, index};
use ddpm_schedule::Provenance;
use safetensors::Dtype;
use serde::{Deserialize, Serialize};

use crate::{
    band_moments::{BandMoments, MEANS, PRODUCTS},
    block::Block,
    column,
    error::{Error, Result},
    layout::ProfileLayout,
    profile::ElboProfile,
    statistics::{Moments, PointStatistics},
};

/// The format version of profiles whose blocks are finished.
const VERSION: u64 = 1;
/// The format version of profiles with unfinished blocks.
const VERSION_UNFINISHED: u64 = 2;
/// The format version of profiles without decoder columns.
const VERSION_WITHOUT_DECODER: u64 = 3;
/// The format version of profiles with bands of frequencies; the newest that this library reads.
const VERSION_BANDS: u64 = 4;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u64,
    provenance: Provenance,
    learned: bool,
    nodes: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bands: Option<StoredBands>,
    checksum: String,
}

/// What of the bands is no tensor.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredBands {
    shape: Vec<usize>,
    separate_channels: bool,
}

impl container::Header for Header {
    const FORMAT: &'static str = ElboProfile::FORMAT;
    const WHAT: &'static str = "profile";
    const KIND: &'static str = "an elbo profile";
    const NEWEST: u64 = VERSION_BANDS;

    fn checksum(&mut self) -> &mut String {
        &mut self.checksum
    }
}

impl ElboProfile {
    /// The name of the format, as the files tell it.
    pub const FORMAT: &'static str = "ddpm-elbo-profile";

    /// The profile as the bytes of a file; equal profiles give equal bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            format: Header::FORMAT.into(),
            version: version_of(self),
            provenance: self.provenance().clone(),
            learned: self.layout().learned(),
            nodes: self.layout().nodes(),
            bands: self.layout().bands().map(|bands| StoredBands {
                shape: bands.shape().to_vec(),
                separate_channels: bands.separate_channels(),
            }),
            checksum: String::new(),
        };
        container::write(header, &tensors_of(self))
    }

    /// Reads the bytes of a file.
    ///
    /// # Errors
    /// [`Error::Format`] for anything that is not such a file, is cut short, of a newer version or changed, or lacks a tensor; and everything that [`ElboProfile::new`] and [`ProfileLayout::new`] refuse.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let (header, file) = container::read(bytes)?;
        let profile = assemble(header, &file)?;
        if profile.to_bytes() != bytes {
            return Err(Error::Format(FormatError::Not {
                kind: Header::KIND,
                detail:
                    "it is not written as this library writes it; the file was damaged or edited"
                        .into(),
            }));
        }
        Ok(profile)
    }
}

fn version_of(profile: &ElboProfile) -> u64 {
    let finished = is_finished(profile);
    if profile.layout().bands().is_some() {
        return VERSION_BANDS;
    }
    match (finished, profile.layout().has_decoder()) {
        (true, true) => VERSION,
        (true, false) => VERSION_WITHOUT_DECODER,
        (false, _) => VERSION_UNFINISHED,
    }
}

fn is_finished(profile: &ElboProfile) -> bool {
    profile.blocks().iter().all(Block::is_finished)
}

/// All tensors, in the order of their names.
fn tensors_of(profile: &ElboProfile) -> BTreeMap<&'static str, Tensor> {
    let (layout, blocks) = (profile.layout(), profile.blocks());
    let (b, m) = (blocks.len(), layout.timesteps().len());
    let points = || blocks.iter().flat_map(Block::points);
    let knots = || layout.points().iter().map(|p| &p.knots);
    let knot_count: usize = knots().map(Vec::len).sum();
    let schedule = profile.schedule().log_alpha_bars();
    let timesteps = layout.timesteps().iter().map(|&t| t as u64);
    let knot_counts = knots().map(|k| k.len() as u64);
    let moments = points().flat_map(|p| p.moments.to_array());
    let columns = |shape: &[usize], of: fn(&PointStatistics) -> &[f64]| {
        Tensor::f64(shape, points().flat_map(|p| of(p).iter().copied()))
    };
    let mut tensors = BTreeMap::new();
    let mut put = |name, tensor| tensors.insert(name, tensor);
    put(
        "log_alpha_bar",
        Tensor::f64(&[schedule.len()], schedule.iter().copied()),
    );
    put("timesteps", Tensor::u64(&[m], timesteps));
    put(
        "decoder_knots",
        Tensor::f64(&[knot_count], knots().flatten().copied()),
    );
    put("decoder_knot_count", Tensor::u64(&[m], knot_counts));
    put("block_id", Tensor::u64(&[b], blocks.iter().map(Block::id)));
    put(
        "block_images",
        Tensor::u64(&[b], blocks.iter().map(Block::images)),
    );
    put(
        "x0_mean_square",
        Tensor::f64(&[b], blocks.iter().map(Block::x0_mean_square)),
    );
    put("moments", Tensor::f64(&[b, m, 5], moments));
    put(
        "decoder_scalar",
        columns(&[b, knot_count], |p| &p.scalar_decoder),
    );
    if layout.learned() {
        let shape = [b, m, layout.column_len()];
        put("excess", columns(&shape, |p| &p.excess));
        put("weighted", columns(&shape, |p| &p.weighted));
        put(
            "decoder_learned",
            columns(&[b, knot_count], |p| &p.learned_decoder),
        );
    }
    if let Some(bands) = layout.bands() {
        let (edges, channels) = (bands.edges(), bands.channel_basis());
        let c = channels.len().isqrt();
        let constants = bands.constants().count();
        let products = points().flat_map(|p| p.bands.products.as_flattened().iter().copied());
        let means = points().flat_map(|p| p.bands.means.as_flattened().iter().copied());
        tensors.extend([
            (
                "band_edges",
                Tensor::f64(&[edges.len()], edges.iter().copied()),
            ),
            (
                "band_channels",
                Tensor::f64(&[c, c], channels.iter().copied()),
            ),
            (
                "band_products",
                Tensor::f64(&[b, m, bands.count(), PRODUCTS], products),
            ),
            ("band_means", Tensor::f64(&[b, m, constants, MEANS], means)),
        ]);
    }
    if !is_finished(profile) {
        let counts = blocks.iter().flat_map(|b| b.counts().iter().copied());
        tensors.insert("counts", Tensor::u64(&[b, m], counts));
    }
    tensors
}

fn assemble(header: Header, file: &Views<'_>) -> Result<ElboProfile> {
    let reader = Reader { file };
    let u64s = |name: &str, shape: &[usize]| -> Result<Vec<u64>> {
        Ok(reader
            .words(name, Dtype::U64, shape)?
            .map(u64::from_le_bytes)
            .collect())
    };
    let indices = |name: &str, shape: &[usize]| -> Result<Vec<usize>> {
        Ok(reader.words(name, Dtype::U64, shape)?.map(index).collect())
    };
    let f64s = |name: &str, shape: &[usize]| -> Result<Vec<f64>> {
        Ok(reader
            .words(name, Dtype::F64, shape)?
            .map(f64::from_le_bytes)
            .collect())
    };
    let steps = header.provenance.model.train_steps;
    let log_alpha_bar = f64s("log_alpha_bar", &[steps.saturating_add(1)])?;
    if log_alpha_bar[0] != 0.0 {
        let found = log_alpha_bar[0].to_string();
        return Err(field("log_alpha_bar", "0 at t = 0", found).into());
    }
    let schedule = NoiseSchedule::from_log_alpha_bar(&log_alpha_bar[1..])?
        .with_clock(header.provenance.model.process());

    let m = reader.length("timesteps")?;
    let timesteps = indices("timesteps", &[m])?;
    let counts = indices("decoder_knot_count", &[m])?;
    let knot_count = counts
        .iter()
        .fold(0usize, |sum, &count| sum.saturating_add(count));
    let mut all: &[f64] = &f64s("decoder_knots", &[knot_count])?;
    let mut knots = Vec::with_capacity(m);
    for (count, t) in counts.into_iter().zip(&timesteps) {
        let (mine, rest) = all.split_at(count);
        let may_be_absent = matches!(header.version, VERSION_WITHOUT_DECODER | VERSION_BANDS);
        let absent = may_be_absent && count == 0;
        if !absent && !column::usable(mine) {
            let (name, found) = (format!("decoder_knots at t = {t}"), format!("{mine:?}"));
            let expected = "at least 4 strictly increasing log-variances";
            return Err(field(&name, expected, found).into());
        }
        knots.push(mine.to_vec());
        all = rest;
    }
    let mut layout =
        ProfileLayout::with_knots(&schedule, timesteps, header.learned, header.nodes, knots)?;
    if header.bands.is_some() != (header.version == VERSION_BANDS) {
        let found = format!("version {}", header.version);
        return Err(field("bands", "in version 4, and there only", found).into());
    }
    if let Some(stored) = &header.bands {
        layout = layout.with_bands(read_bands(&reader, stored)?);
    }

    let b = reader.length("block_id")?;
    let ids = u64s("block_id", &[b])?;
    let images = u64s("block_images", &[b])?;
    let squares = f64s("x0_mean_square", &[b])?;
    let columns = [b, m, layout.column_len()];
    let mut moments = reader
        .words("moments", Dtype::F64, &[b, m, 5])?
        .map(f64::from_le_bytes);
    let mut excess = reader.optional("excess", header.learned, &columns)?;
    let mut weighted = reader.optional("weighted", header.learned, &columns)?;
    let mut scalar = reader.optional("decoder_scalar", true, &[b, knot_count])?;
    let mut learned = reader.optional("decoder_learned", header.learned, &[b, knot_count])?;
    let (n, q) = layout
        .bands()
        .map_or((0, 0), |bands| (bands.count(), bands.constants().count()));
    let has_bands = layout.bands().is_some();
    let mut products = reader.optional("band_products", has_bands, &[b, m, n, PRODUCTS])?;
    let mut means = reader.optional("band_means", has_bands, &[b, m, q, MEANS])?;
    let unfinished = match header.version {
        VERSION_BANDS => file.contains_key("counts"),
        version => version == VERSION_UNFINISHED,
    };
    let counts = if unfinished {
        Some(u64s("counts", &[b, m])?)
    } else {
        None
    };
    let others = if header.learned { 12 } else { 9 };
    let of_bands = if has_bands { 4 } else { 0 };
    reader.no_others(others + of_bands + usize::from(unfinished))?;

    // The shapes are checked: every iterator yields exactly what is taken from it.
    let take = |from: &mut dyn Iterator<Item = f64>, n: usize| from.take(n).collect::<Vec<f64>>();
    let mut blocks = Vec::with_capacity(b);
    for i in 0..b {
        let mut points = Vec::with_capacity(m);
        for point in layout.points() {
            let count = point.knots.len();
            points.push(PointStatistics {
                moments: Moments::from_array(std::array::from_fn(|_| {
                    moments.next().unwrap_or(f64::NAN)
                })),
                excess: take(&mut excess, layout.column_len()),
                weighted: take(&mut weighted, layout.column_len()),
                scalar_decoder: take(&mut scalar, count),
                learned_decoder: take(&mut learned, if header.learned { count } else { 0 }),
                bands: BandMoments {
                    products: take(&mut products, n * PRODUCTS).as_chunks().0.to_vec(),
                    means: take(&mut means, q * MEANS).as_chunks().0.to_vec(),
                },
            });
        }
        let counts = match &counts {
            Some(counts) => counts[i * m..(i + 1) * m].to_vec(),
            None => vec![images[i]; m],
        };
        blocks.push(Block::from_sums(
            ids[i], images[i], squares[i], points, counts,
        ));
    }
    ElboProfile::new(header.provenance, schedule, layout, blocks)
}

fn read_bands(reader: &Reader<'_>, stored: &StoredBands) -> Result<Bands> {
    let edges = reader.length("band_edges")?;
    let edges = reader.words("band_edges", Dtype::F64, &[edges])?;
    let c = match stored.shape[..] {
        [channels, _, ..] => channels,
        _ => 1,
    };
    let channels = reader.words("band_channels", Dtype::F64, &[c, c])?;
    Ok(Bands::new(
        &stored.shape,
        channels.map(f64::from_le_bytes).collect(),
        edges.map(f64::from_le_bytes).collect(),
        stored.separate_channels,
    )?)
}
