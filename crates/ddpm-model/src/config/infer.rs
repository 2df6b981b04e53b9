//! Architecture from names and shapes.
//!
//! Every value that several tensors show is put to a vote, and a block's kind is told by any of its keys: then one
//! missing or misshapen tensor does not change the inferred network, and strict loading names exactly that tensor.

use std::collections::{BTreeMap, BTreeSet};

use super::architecture::{Architecture, Resampling};
use super::open_ai::OpenAi;
use crate::checkpoint::Tensor;
use crate::{Error, Result};

/// No image has more than 2^16 pixels on a side.
const MOST_LEVELS: usize = 17;

/// Infers the hyperparameters of OpenAI's `UNetModel` (improved-diffusion, guided-diffusion) from its state dict.
///
/// # Errors
/// [`Error::MissingKey`] or [`Error::Architecture`] if no such network can have these names and shapes.
pub(crate) fn infer(tensors: &BTreeMap<String, Tensor>) -> Result<Architecture> {
    let shapes = Shapes(tensors);
    let model_channels = vote([
        shapes.get("time_embed.0.weight", 1),
        quarter(shapes.get("time_embed.0.weight", 0)),
        quarter(shapes.get("time_embed.0.bias", 0)),
        quarter(shapes.get("time_embed.2.weight", 0)),
        quarter(shapes.get("time_embed.2.weight", 1)),
        quarter(shapes.get("time_embed.2.bias", 0)),
    ])
    .filter(|&channels| channels > 0)
    .ok_or_else(|| Error::MissingKey {
        key: "time_embed.0.weight".into(),
        expected: "[4 * model_channels, model_channels]".into(),
    })?;
    // Not always `model_channels`: guided-diffusion's 512x512 model begins with half as many.
    let first_channels = positive(
        vote([
            shapes.get("input_blocks.0.0.weight", 0),
            shapes.get("input_blocks.0.0.bias", 0),
            shapes.get("input_blocks.1.0.in_layers.0.weight", 0),
            shapes.get("input_blocks.1.0.in_layers.0.bias", 0),
            shapes.get("input_blocks.1.0.in_layers.2.weight", 1),
        ]),
        "input_blocks.0.0.weight",
        || format!("[{model_channels}, in_channels, 3, 3]"),
    )?;
    let in_channels = positive(
        shapes.get("input_blocks.0.0.weight", 1),
        "input_blocks.0.0.weight",
        || format!("[{first_channels}, in_channels, 3, 3]"),
    )?;
    let out_channels = positive(
        vote([shapes.get("out.2.weight", 0), shapes.get("out.2.bias", 0)]),
        "out.2.weight",
        || format!("[out_channels, {first_channels}, 3, 3]"),
    )?;
    if out_channels != in_channels && out_channels != 2 * in_channels {
        return Err(Error::Architecture(format!(
            "the output has {out_channels} channels; expected {in_channels} as the image, or {} with a learned variance",
            2 * in_channels
        )));
    }
    let last = shapes.last_input_block().ok_or_else(|| Error::MissingKey {
        key: "input_blocks.1.0.in_layers.2.weight".into(),
        expected: format!("[channels, {first_channels}, 3, 3]"),
    })?;
    let (levels, num_res_blocks, resampling) = levels(&shapes, last)?;
    let use_scale_shift_norm = shapes.use_scale_shift_norm(last)?;
    Ok(Architecture::from(OpenAi {
        in_channels,
        model_channels,
        out_channels,
        first_channels,
        num_res_blocks,
        levels,
        resampling,
        num_classes: match shapes.get("label_emb.weight", 0) {
            Some(0) => return Err(Error::Architecture("label_emb.weight has no rows".into())),
            classes => classes,
        },
        use_scale_shift_norm,
    }))
}

/// Channels of each, and whether it has attention.
type Levels = Vec<(usize, bool)>;

/// One block of `input_blocks`.
enum Block {
    Residual { channels: usize, attention: bool },
    Downsample(Resampling),
}

/// What the blocks on the way down show: the levels, how many residual blocks each has, and how the resolution changes
/// between them.
fn levels(shapes: &Shapes<'_>, last: usize) -> Result<(Levels, usize, Resampling)> {
    let residual_downsamples = shapes.residual_downsamples(last)?;
    let mut levels: Levels = vec![];
    let mut blocks_per_level = vec![0usize];
    let mut resamplings = vec![];
    for index in 1..=last {
        let block = if residual_downsamples.contains(&index) {
            Block::Downsample(Resampling::Residual)
        } else {
            shapes.input_block(index)?
        };
        let level = blocks_per_level.len() - 1;
        match block {
            Block::Downsample(resampling) => {
                resamplings.push(resampling);
                blocks_per_level.push(0);
            }
            Block::Residual {
                channels,
                attention,
            } => {
                if levels.len() == level {
                    levels.push((channels, attention));
                }
                let expected = levels.get(level).copied();
                if expected.is_none_or(|(expected, _)| channels != expected) {
                    return Err(Error::Architecture(format!(
                        "input_blocks.{index} has {channels} channels, unlike the blocks before it at the same resolution"
                    )));
                }
                if expected.is_none_or(|(_, expected)| attention != expected) {
                    return Err(Error::Architecture(format!(
                        "input_blocks.{index} and the blocks before it at the same resolution do not all have attention"
                    )));
                }
                blocks_per_level[level] += 1;
            }
        }
    }
    let num_res_blocks = blocks_per_level[0];
    if num_res_blocks == 0 || blocks_per_level.iter().any(|&n| n != num_res_blocks) {
        return Err(Error::Architecture(format!(
            "the levels of input_blocks have {blocks_per_level:?} residual blocks, expected the same number in each"
        )));
    }
    if blocks_per_level.len() > MOST_LEVELS {
        return Err(Error::Architecture(format!(
            "input_blocks have {} levels, expected at most {MOST_LEVELS}",
            blocks_per_level.len()
        )));
    }
    // A single level never changes its resolution: OpenAI's default.
    let resampling = resamplings
        .first()
        .copied()
        .unwrap_or(Resampling::Convolution);
    if resamplings.iter().any(|&other| other != resampling) {
        return Err(Error::Architecture(
            "some levels are downsampled by convolution and some without weights".into(),
        ));
    }
    Ok((levels, num_res_blocks, resampling))
}

struct Shapes<'a>(&'a BTreeMap<String, Tensor>);

impl Shapes<'_> {
    /// Length of one axis of a tensor.
    fn get(&self, key: &str, axis: usize) -> Option<usize> {
        self.0.get(key)?.shape().get(axis).copied()
    }

    /// Whether any key starts with `prefix`.
    fn any(&self, prefix: &str) -> bool {
        self.0
            .range(prefix.to_owned()..)
            .next()
            .is_some_and(|(key, _)| key.starts_with(prefix))
    }

    /// Highest index of a block on the way down, if there is one after the first convolution.
    fn last_input_block(&self) -> Option<usize> {
        self.0
            .keys()
            .filter_map(|key| {
                let (index, _) = key.strip_prefix("input_blocks.")?.split_once('.')?;
                index.parse().ok()
            })
            .max()
            // An absurd index would make the loop over blocks endless.
            .filter(|&last| last > 0 && last < self.0.len())
    }

    /// Which of `input_blocks` halve the resolution inside a residual block, whose names are those of any other. On the way
    /// up such a block is the second or third layer of its place in `output_blocks`, where nothing else has its names.
    ///
    /// # Errors
    /// [`Error::Architecture`] if the two ways cannot belong together.
    fn residual_downsamples(&self, last: usize) -> Result<BTreeSet<usize>> {
        let (mut changes, mut highest) = (BTreeSet::new(), 0usize);
        for key in self.0.keys() {
            let Some((index, rest)) = key
                .strip_prefix("output_blocks.")
                .and_then(|rest| rest.split_once('.'))
                .and_then(|(index, rest)| Some((index.parse::<usize>().ok()?, rest)))
            else {
                continue;
            };
            highest = highest.max(index);
            if rest.starts_with("1.in_layers.") || rest.starts_with("2.in_layers.") {
                changes.insert(index);
            }
        }
        if changes.is_empty() {
            return Ok(changes);
        }
        let levels = changes.len() + 1;
        // Both ways have one block more per level than there are residual blocks.
        let per_level = (last + 1) / levels;
        if per_level < 2 || !(last + 1).is_multiple_of(levels) || highest != last {
            return Err(Error::Architecture(format!(
                "{} of output_blocks change the resolution in a residual block; expected as many input_blocks as output_blocks, a multiple of {levels}, found {} and {}",
                changes.len(),
                last + 1,
                highest.saturating_add(1)
            )));
        }
        Ok((1..levels).map(|level| level * per_level).collect())
    }

    fn input_block(&self, index: usize) -> Result<Block> {
        let block = format!("input_blocks.{index}.");
        if !self.any(&block) {
            return Ok(Block::Downsample(Resampling::Plain));
        }
        if self.any(&format!("{block}0.op.")) {
            return Ok(Block::Downsample(Resampling::Convolution));
        }
        let channels = self.block_channels(&format!("{block}0")).ok_or_else(|| {
            Error::Architecture(format!("input_blocks.{index} is no residual block"))
        })?;
        Ok(Block::Residual {
            channels,
            attention: self.any(&format!("{block}1.")),
        })
    }

    /// Output channels of the residual block under `prefix`.
    fn block_channels(&self, prefix: &str) -> Option<usize> {
        let get = |key: &str, axis| self.get(&format!("{prefix}.{key}"), axis);
        vote([
            get("in_layers.2.weight", 0),
            get("in_layers.2.bias", 0),
            get("out_layers.0.weight", 0),
            get("out_layers.0.bias", 0),
            get("out_layers.3.weight", 0),
            get("out_layers.3.weight", 1),
            get("out_layers.3.bias", 0),
        ])
    }

    /// Whether the timestep projections have two rows per channel.
    fn use_scale_shift_norm(&self, last: usize) -> Result<bool> {
        let rows_per_channel = (1..=last).flat_map(|index| {
            let prefix = format!("input_blocks.{index}.0");
            let channels = self.block_channels(&prefix);
            ["weight", "bias"].map(|name| {
                let rows = self.get(&format!("{prefix}.emb_layers.1.{name}"), 0)?;
                channels
                    .filter(|&channels| channels > 0 && rows % channels == 0)
                    .map(|channels| rows / channels)
            })
        });
        match vote(rows_per_channel) {
            Some(1) => Ok(false),
            Some(2) => Ok(true),
            _ => Err(Error::Architecture(
                "the timestep projections (emb_layers.1) have neither one nor two rows per channel"
                    .into(),
            )),
        }
    }
}

/// The most frequent value; the smallest of equally frequent ones.
fn vote(values: impl IntoIterator<Item = Option<usize>>) -> Option<usize> {
    let mut counts = BTreeMap::new();
    for value in values.into_iter().flatten() {
        *counts.entry(value).or_insert(0usize) += 1;
    }
    counts
        .into_iter()
        .rev()
        .max_by_key(|&(_, count)| count)
        .map(|(value, _)| value)
}

fn quarter(value: Option<usize>) -> Option<usize> {
    value.filter(|value| value % 4 == 0).map(|value| value / 4)
}

fn positive(value: Option<usize>, key: &str, expected: impl Fn() -> String) -> Result<usize> {
    value
        .filter(|&value| value > 0)
        .ok_or_else(|| Error::MissingKey {
            key: key.into(),
            expected: expected(),
        })
}
