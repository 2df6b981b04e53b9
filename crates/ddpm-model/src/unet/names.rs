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

impl Names {
    pub(super) fn new(architecture: &Architecture) -> Self {
        Self {
            family: architecture.family,
            levels: architecture.levels.len(),
            blocks: architecture.num_res_blocks,
        }
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

    /// Inside a residual block: first norm and convolution, timestep, second norm and convolution, shortcut.
    pub(super) fn residual(self) -> [&'static str; 6] {
        self.choose(
            [
                "in_layers.0",
                "in_layers.2",
                "emb_layers.1",
                "out_layers.0",
                "out_layers.3",
                "skip_connection",
            ],
            [
                "norm1",
                "conv1",
                "time_emb_proj",
                "norm2",
                "conv2",
                "conv_shortcut",
            ],
        )
    }

    /// A residual block on the way down, and the attention after it.
    pub(super) fn down(self, level: usize, block: usize) -> [String; 2] {
        match self.family {
            Family::OpenAi => {
                let index = self.input_block(level, block);
                [0, 1].map(|layer| format!("input_blocks.{index}.{layer}"))
            }
            Family::Diffusers => ["resnets", "attentions"]
                .map(|layer| format!("down_blocks.{level}.{layer}.{block}")),
        }
    }

    /// What leaves `level` for a lower resolution, if it is a residual block and if it is a convolution.
    pub(super) fn downsample(self, level: usize) -> [String; 2] {
        let (block, layer) = match self.family {
            Family::OpenAi => {
                let index = self.input_block(level, self.blocks);
                (format!("input_blocks.{index}.0"), "op")
            }
            Family::Diffusers => (format!("down_blocks.{level}.downsamplers.0"), "conv"),
        };
        let convolution = format!("{block}.{layer}");
        [block, convolution]
    }

    /// The first residual block of the middle, the attention after it, and the second residual block.
    pub(super) fn middle(self) -> [&'static str; 3] {
        self.choose(
            ["middle_block.0", "middle_block.1", "middle_block.2"],
            [
                "mid_block.resnets.0",
                "mid_block.attentions.0",
                "mid_block.resnets.1",
            ],
        )
    }

    /// A residual block on the way up, and the attention after it.
    pub(super) fn up(self, level: usize, block: usize) -> [String; 2] {
        match self.family {
            Family::OpenAi => {
                let index = self.output_block(level, block);
                [0, 1].map(|layer| format!("output_blocks.{index}.{layer}"))
            }
            Family::Diffusers => {
                let level = self.up_block(level);
                ["resnets", "attentions"].map(|layer| format!("up_blocks.{level}.{layer}.{block}"))
            }
        }
    }

    /// What leaves `level` for a higher resolution, if it is a residual block and if it is a convolution.
    pub(super) fn upsample(self, level: usize, after_attention: bool) -> [String; 2] {
        let block = match self.family {
            Family::OpenAi => {
                let index = self.output_block(level, self.blocks);
                format!("output_blocks.{index}.{}", 1 + usize::from(after_attention))
            }
            Family::Diffusers => format!("up_blocks.{}.upsamplers.0", self.up_block(level)),
        };
        let convolution = format!("{block}.conv");
        [block, convolution]
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
