//! diffusers' `config.json` of a `UNet2DModel`.
//!
//! Every entry that decides the output is read; absent ones have diffusers' defaults. An entry that is not known, or a value
//! that is not supported, is an error: it might change the output.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::architecture::{
    Architecture, AttentionOrder, Family, Level, Middle, Norm, Resampling, Sinusoids,
};
use super::fields::{Fields, positive, whole};
use super::options::ModelOptions;
use crate::Result;
use crate::checkpoint::{JsonFile, Tensor};

/// What the file tells.
pub(super) struct Network {
    pub(super) architecture: Architecture,
    /// Attention heads and image size.
    pub(super) options: ModelOptions,
    /// The entries that were read, as they are in the file.
    pub(super) entries: Map<String, Value>,
}

/// Entries without influence on the output: of training, of memory, and of the averaging that made an EMA's folder.
const WITHOUT_INFLUENCE: [&str; 10] = [
    "dropout",
    "num_train_timesteps",
    "decay",
    "inv_gamma",
    "min_decay",
    "optimization_step",
    "power",
    "update_after_step",
    "use_ema_warmup",
    "foreach",
];

/// Weight of the norm before the middle's attention.
const MIDDLE_NORM: &str = "mid_block.attentions.0.group_norm.weight";

/// Reads the file. `weights` are those that it describes: they tell what the releases of diffusers made of the same words.
pub(super) fn read(file: &JsonFile, weights: &BTreeMap<String, Tensor>) -> Result<Network> {
    let fields = Fields::new(file);
    fields.choice("_class_name", &[("UNet2DModel", ())])?;
    refuse_variants(&fields)?;
    let expected = "a list of positive whole numbers";
    let channels = fields
        .list("block_out_channels", expected, positive)?
        .unwrap_or_else(|| vec![224, 448, 672, 896]);
    if channels.is_empty() {
        return Err(fields.error("field \"block_out_channels\" is empty".into()));
    }
    let head_channels = match fields.count("attention_head_dim")? {
        None if !fields.has("attention_head_dim") => Some(8),
        found => found,
    };
    let time_scale_shift = fields
        .choice(
            "resnet_time_scale_shift",
            &[("default", false), ("scale_shift", true)],
        )?
        .unwrap_or(false);
    let norm = Norm {
        groups: fields.count("norm_num_groups")?.unwrap_or(32),
        epsilon: epsilon(&fields)?,
    };
    let levels = levels(&fields, &channels)?;
    let middle = middle(&fields, time_scale_shift, norm, weights)?;
    check_heads(&fields, &levels, middle, head_channels)?;
    check_groups(&fields, &channels, norm)?;
    let in_channels = fields.count("in_channels")?.unwrap_or(3);
    let out_channels = fields.count("out_channels")?.unwrap_or(3);
    if out_channels != in_channels && out_channels != 2 * in_channels {
        return Err(fields.error(format!(
            "field \"out_channels\" is {out_channels}, expected in_channels = {in_channels}, or {} with a learned variance",
            2 * in_channels
        )));
    }
    let architecture = Architecture {
        family: Family::Diffusers,
        in_channels,
        out_channels,
        centre_input: fields.switch("center_input_sample")?.unwrap_or(false),
        first_channels: channels[0],
        levels,
        num_res_blocks: fields.count("layers_per_block")?.unwrap_or(2),
        middle,
        sinusoids: sinusoids(&fields, channels[0])?,
        embedding_channels: fields
            .count("time_embedding_dim")?
            .unwrap_or(4 * channels[0]),
        num_classes: fields.count("num_class_embeds")?,
        use_scale_shift_norm: time_scale_shift,
        norm,
        downsample_lead: downsample_lead(&fields)?,
    };
    let options = ModelOptions {
        num_heads: head_channels.is_none().then_some(1),
        num_head_channels: head_channels,
        attention_order: Some(AttentionOrder::New),
        image_size: image_size(&fields)?,
        ..ModelOptions::default()
    };
    let entries = fields.present();
    for key in WITHOUT_INFLUENCE {
        fields.get(key);
    }
    fields.finish()?;
    Ok(Network {
        architecture,
        options,
        entries,
    })
}

/// Values of which only one is supported.
fn refuse_variants(fields: &Fields<'_>) -> Result<()> {
    fields.choice("act_fn", &[("silu", ()), ("swish", ())])?;
    fields.choice("time_embedding_type", &[("positional", ())])?;
    if let Some(kind) = fields.get("class_embed_type") {
        let supported = "null (with num_class_embeds for a network with classes)";
        return Err(fields.unsupported("class_embed_type", kind, supported));
    }
    let factor = fields.number("mid_block_scale_factor")?.unwrap_or(1.0);
    if factor != 1.0 {
        return Err(fields.unsupported("mid_block_scale_factor", &factor, "1"));
    }
    Ok(())
}

fn epsilon(fields: &Fields<'_>) -> Result<f64> {
    let epsilon = fields.number("norm_eps")?.unwrap_or(1e-5);
    if epsilon < 0.0 {
        return Err(fields.error(format!(
            "field \"norm_eps\" is {epsilon}, expected a number that is not negative"
        )));
    }
    Ok(epsilon)
}

fn sinusoids(fields: &Fields<'_>, count: usize) -> Result<Sinusoids> {
    let shift = fields.number("freq_shift")?.unwrap_or(0.0);
    if shift >= (count / 2) as f64 {
        return Err(fields.error(format!(
            "field \"freq_shift\" is {shift}, expected less than the {} frequencies of {count} channels",
            count / 2
        )));
    }
    Ok(Sinusoids {
        count,
        sines_first: !fields.switch("flip_sin_to_cos")?.unwrap_or(true),
        frequency_shift: shift,
    })
}

fn downsample_lead(fields: &Fields<'_>) -> Result<usize> {
    let Some(found) = fields.get("downsample_padding") else {
        return Ok(1);
    };
    // With 0, diffusers pads below and right alone.
    whole(found)
        .filter(|&lead| lead <= 1)
        .ok_or_else(|| fields.unsupported("downsample_padding", found, "0, 1"))
}

fn image_size(fields: &Fields<'_>) -> Result<Option<usize>> {
    let Some(value) = fields.get("sample_size") else {
        return Ok(None);
    };
    let size = match value {
        Value::Array(sides) => match sides.iter().map(whole).collect::<Vec<_>>()[..] {
            [height, width] if height == width => height,
            _ => {
                return Err(fields.unsupported(
                    "sample_size",
                    value,
                    "a number, or two equal ones",
                ));
            }
        },
        value => whole(value),
    };
    match size {
        Some(size) if size > 0 => Ok(Some(size)),
        _ => Err(fields.error(format!(
            "field \"sample_size\" is {value}, expected a positive whole number"
        ))),
    }
}

fn middle(
    fields: &Fields<'_>,
    scale_shift: bool,
    norm: Norm,
    weights: &BTreeMap<String, Tensor>,
) -> Result<Option<Middle>> {
    let attention = fields.switch("add_attention")?.unwrap_or(true);
    let groups = fields.count("attn_norm_num_groups")?;
    // An explicit null means no middle; diffusers writes the field only in its newer releases.
    let present = match fields.word("mid_block_type")? {
        None => !fields.has("mid_block_type"),
        Some("UNetMidBlock2D") => true,
        Some(other) => {
            return Err(fields.unsupported("mid_block_type", &other, "UNetMidBlock2D, null"));
        }
    };
    // diffusers leaves the norm away under scale and shift, unless it is given groups of its own; until 0.16 it never did.
    let has_norm = !scale_shift || weights.contains_key(MIDDLE_NORM);
    let groups = groups.or(has_norm.then_some(norm.groups));
    Ok(present.then_some(Middle {
        attention: attention.then_some(groups),
    }))
}

/// One entry of `down_block_types` or `up_block_types`: attention, and how the resolution changes.
type Block = (bool, Resampling);
/// Name, attention, and the resampling that a type of block has; attention blocks take that of `downsample_type` and
/// `upsample_type`.
type Kind = (&'static str, bool, Option<Resampling>);

const DOWN: [Kind; 3] = [
    ("DownBlock2D", false, Some(Resampling::Convolution)),
    ("AttnDownBlock2D", true, None),
    ("ResnetDownsampleBlock2D", false, Some(Resampling::Residual)),
];
const UP: [Kind; 3] = [
    ("UpBlock2D", false, Some(Resampling::Convolution)),
    ("AttnUpBlock2D", true, None),
    ("ResnetUpsampleBlock2D", false, Some(Resampling::Residual)),
];

const DEFAULT_DOWN: [&str; 4] = [
    "DownBlock2D",
    "AttnDownBlock2D",
    "AttnDownBlock2D",
    "AttnDownBlock2D",
];
const DEFAULT_UP: [&str; 4] = [
    "AttnUpBlock2D",
    "AttnUpBlock2D",
    "AttnUpBlock2D",
    "UpBlock2D",
];

fn levels(fields: &Fields<'_>, channels: &[usize]) -> Result<Vec<Level>> {
    let down = blocks(
        fields,
        "down_block_types",
        "downsample_type",
        &DOWN,
        &DEFAULT_DOWN,
    )?;
    let up = blocks(fields, "up_block_types", "upsample_type", &UP, &DEFAULT_UP)?;
    for (key, blocks) in [("down_block_types", &down), ("up_block_types", &up)] {
        if blocks.len() != channels.len() {
            return Err(fields.error(format!(
                "field \"{key}\" has {} entries, expected {} as in block_out_channels",
                blocks.len(),
                channels.len()
            )));
        }
    }
    if channels.len() > 16 {
        return Err(fields.error(format!(
            "field \"block_out_channels\" has {} entries, expected at most 16",
            channels.len()
        )));
    }
    // The way up begins at the lowest resolution.
    let levels = channels.iter().zip(down).zip(up.into_iter().rev());
    let level = |((&channels, down), up): ((&usize, Block), Block)| Level {
        channels,
        attention_down: down.0,
        attention_up: up.0,
        downsample: down.1,
        upsample: up.1,
    };
    Ok(levels.map(level).collect())
}

fn blocks(
    fields: &Fields<'_>,
    key: &'static str,
    resampling_key: &'static str,
    kinds: &[Kind],
    default: &[&'static str],
) -> Result<Vec<Block>> {
    let (convolution, residual) = (Resampling::Convolution, Resampling::Residual);
    let resampling = fields
        .choice(
            resampling_key,
            &[("conv", convolution), ("resnet", residual)],
        )?
        .unwrap_or(convolution);
    let names = fields
        .list(key, "a list of strings", Value::as_str)?
        .unwrap_or_else(|| default.to_vec());
    let block = |name: &str| {
        let plain = name.strip_prefix("UNetRes").unwrap_or(name);
        let Some(&(_, attention, own)) = kinds.iter().find(|(kind, ..)| *kind == plain) else {
            let supported: Vec<&str> = kinds.iter().map(|&(kind, ..)| kind).collect();
            return Err(fields.unsupported(key, &name, &supported.join(", ")));
        };
        Ok((attention, own.unwrap_or(resampling)))
    };
    names.into_iter().map(block).collect()
}

/// Checks that every attention has whole heads.
fn check_heads(
    fields: &Fields<'_>,
    levels: &[Level],
    middle: Option<Middle>,
    head_channels: Option<usize>,
) -> Result<()> {
    let Some(head_channels) = head_channels else {
        return Ok(());
    };
    let lowest = middle
        .and_then(|middle| middle.attention)
        .and(levels.last())
        .map(|level| level.channels);
    let attending = levels
        .iter()
        .filter(|level| level.attention_down || level.attention_up)
        .map(|level| level.channels)
        .chain(lowest);
    for channels in attending {
        if !channels.is_multiple_of(head_channels) {
            return Err(fields.error(format!(
                "field \"attention_head_dim\" is {head_channels}, expected a divisor of the {channels} channels of a block with attention"
            )));
        }
    }
    Ok(())
}

fn check_groups(fields: &Fields<'_>, channels: &[usize], norm: Norm) -> Result<()> {
    match channels.iter().find(|channels| !channels.is_multiple_of(norm.groups)) {
        None => Ok(()),
        Some(channels) => Err(fields.error(format!(
            "field \"norm_num_groups\" is {}, expected a divisor of every entry of block_out_channels, such as {channels}",
            norm.groups
        ))),
    }
}
