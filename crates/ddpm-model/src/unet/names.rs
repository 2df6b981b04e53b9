//! Where each layer's weights are in the state dict of each project.

use crate::config::{Architecture, Family};

/// Names of the layers of a network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Names {
    family: Family,
    levels: usize,
    /// Blocks of a level on the way down, without its change of resolution.
    blocks: usize,
}

/// Names inside a residual block.
pub(super) struct ResidualNames {
    pub(super) in_norm: &'static str,
    pub(super) in_conv: &'static str,
    pub(super) timestep: &'static str,
    pub(super) out_norm: &'static str,
    pub(super) out_conv: &'static str,
    pub(super) shortcut: &'static str,
}

impl Names {
    pub(super) fn new(architecture: &Architecture) -> Self {
        Self {
            family: architecture.family,
            levels: architecture.levels.len(),
            blocks: architecture.num_res_blocks,
        }
    }

    pub(super) fn family(self) -> Family {
        self.family
    }

    fn choose<T>(self, open_ai: T, diffusers: T) -> T {
        match self.family {
            Family::OpenAi => open_ai,
            Family::Diffusers => diffusers,
        }
    }

    /// The two dense layers of the timestep.
    pub(super) fn timestep(self) -> [&'static str; 2] {
        self.choose(
            ["time_embed.0", "time_embed.2"],
            ["time_embedding.linear_1", "time_embedding.linear_2"],
        )
    }

    pub(super) fn classes(self) -> &'static str {
        self.choose("label_emb", "class_embedding")
    }

    pub(super) fn first(self) -> &'static str {
        self.choose("input_blocks.0.0", "conv_in")
    }

    pub(super) fn out_norm(self) -> &'static str {
        self.choose("out.0", "conv_norm_out")
    }

    pub(super) fn out_conv(self) -> &'static str {
        self.choose("out.2", "conv_out")
    }

    pub(super) fn residual(self) -> ResidualNames {
        self.choose(
            ResidualNames {
                in_norm: "in_layers.0",
                in_conv: "in_layers.2",
                timestep: "emb_layers.1",
                out_norm: "out_layers.0",
                out_conv: "out_layers.3",
                shortcut: "skip_connection",
            },
            ResidualNames {
                in_norm: "norm1",
                in_conv: "conv1",
                timestep: "time_emb_proj",
                out_norm: "norm2",
                out_conv: "conv2",
                shortcut: "conv_shortcut",
            },
        )
    }

    pub(super) fn down_residual(self, level: usize, block: usize) -> String {
        match self.family {
            Family::OpenAi => format!("input_blocks.{}.0", self.input_block(level, block)),
            Family::Diffusers => format!("down_blocks.{level}.resnets.{block}"),
        }
    }

    pub(super) fn down_attention(self, level: usize, block: usize) -> String {
        match self.family {
            Family::OpenAi => format!("input_blocks.{}.1", self.input_block(level, block)),
            Family::Diffusers => format!("down_blocks.{level}.attentions.{block}"),
        }
    }

    /// The residual block that leaves `level` for a lower resolution.
    pub(super) fn downsample_residual(self, level: usize) -> String {
        match self.family {
            Family::OpenAi => format!("input_blocks.{}.0", self.input_block(level, self.blocks)),
            Family::Diffusers => format!("down_blocks.{level}.downsamplers.0"),
        }
    }

    /// The convolution that does so.
    pub(super) fn downsample_convolution(self, level: usize) -> String {
        let layer = self.choose("op", "conv");
        format!("{}.{layer}", self.downsample_residual(level))
    }

    /// The first or second residual block of the middle.
    pub(super) fn middle_residual(self, second: bool) -> &'static str {
        if second {
            self.choose("middle_block.2", "mid_block.resnets.1")
        } else {
            self.choose("middle_block.0", "mid_block.resnets.0")
        }
    }

    pub(super) fn middle_attention(self) -> &'static str {
        self.choose("middle_block.1", "mid_block.attentions.0")
    }

    pub(super) fn up_residual(self, level: usize, block: usize) -> String {
        match self.family {
            Family::OpenAi => format!("output_blocks.{}.0", self.output_block(level, block)),
            Family::Diffusers => format!("up_blocks.{}.resnets.{block}", self.up_block(level)),
        }
    }

    pub(super) fn up_attention(self, level: usize, block: usize) -> String {
        match self.family {
            Family::OpenAi => format!("output_blocks.{}.1", self.output_block(level, block)),
            Family::Diffusers => format!("up_blocks.{}.attentions.{block}", self.up_block(level)),
        }
    }

    /// The residual block that leaves `level` for a higher resolution.
    pub(super) fn upsample_residual(self, level: usize, after_attention: bool) -> String {
        match self.family {
            Family::OpenAi => {
                let index = if after_attention { 2 } else { 1 };
                let block = self.output_block(level, self.blocks);
                format!("output_blocks.{block}.{index}")
            }
            Family::Diffusers => format!("up_blocks.{}.upsamplers.0", self.up_block(level)),
        }
    }

    /// The convolution that does so.
    pub(super) fn upsample_convolution(self, level: usize, after_attention: bool) -> String {
        format!("{}.conv", self.upsample_residual(level, after_attention))
    }

    /// Index among `input_blocks`, where the first convolution and every change of resolution count too.
    fn input_block(self, level: usize, block: usize) -> usize {
        1 + level * (self.blocks + 1) + block
    }

    fn output_block(self, level: usize, block: usize) -> usize {
        self.up_block(level) * (self.blocks + 1) + block
    }

    /// Levels on the way up are counted from the lowest resolution.
    fn up_block(self, level: usize) -> usize {
        self.levels - 1 - level
    }
}
