"""The UNet of improved-diffusion in PyTorch: what the network peers run, and what their outputs are compared with.

    python unet.py CHECKPOINT        prints parameters and work per image, by kind of layer and resolution

State dict keys are those of improved-diffusion, so that its checkpoints load strictly. No class conditioning.
"""

import json
import math
import pathlib
import sys
from typing import NamedTuple

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F


class Architecture(NamedTuple):
    image_size: int = 32
    in_channels: int = 3
    model_channels: int = 128
    out_channels: int = 6
    num_res_blocks: int = 3
    channel_mult: tuple[int, ...] = (1, 2, 2, 2)
    attention_levels: tuple[int, ...] = (1, 2)  # level k works at image_size / 2^k pixels
    num_heads: int = 4
    scale_shift: bool = True


def embed_timesteps(timesteps: torch.Tensor, channels: int) -> torch.Tensor:
    """[B] to [B, channels]: cosines, then sines, of frequencies from 1 down to 1 / 10000 (exclusive)."""
    half = channels // 2
    frequencies = torch.exp(torch.arange(half, dtype=torch.float32) * (-math.log(10000.0) / half))
    angles = timesteps.float()[:, None] * frequencies[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=1)


def norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(32, channels)


def conv3(channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, stride, padding=1)


class ResBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int, embedding: int, scale_shift: bool):
        super().__init__()
        self.scale_shift = scale_shift
        self.in_layers = nn.Sequential(norm(channels), nn.SiLU(), conv3(channels, out_channels))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, (1 + scale_shift) * out_channels))
        # Dropout is the identity here; it holds its place so that the keys count up as in the original.
        self.out_layers = nn.Sequential(
            norm(out_channels), nn.SiLU(), nn.Dropout(0.0), conv3(out_channels, out_channels)
        )
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        h = self.in_layers(x)
        e = self.emb_layers(embedding)[:, :, None, None]
        if self.scale_shift:
            scale, shift = e.chunk(2, dim=1)
            h = self.out_layers[0](h) * (1 + scale) + shift
            h = self.out_layers[1:](h)
        else:
            h = self.out_layers(h + e)
        return self.skip_connection(x) + h


class Attention(nn.Module):
    """Self-attention over the pixels; channels of qkv are laid out head by head (legacy order)."""

    def __init__(self, channels: int, num_heads: int):
        super().__init__()
        self.num_heads = num_heads
        self.norm = norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = nn.Conv1d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        B, C, H, W = x.shape
        pixels = x.reshape(B, C, H * W)
        per_head = self.qkv(self.norm(pixels)).reshape(B * self.num_heads, 3 * C // self.num_heads, H * W)
        q, k, v = per_head.chunk(3, dim=1)
        scale = (C // self.num_heads) ** -0.25
        weights = torch.softmax((q * scale).transpose(1, 2) @ (k * scale), dim=-1)
        h = (v @ weights.transpose(1, 2)).reshape(B, C, H * W)
        return (pixels + self.proj_out(h)).reshape(B, C, H, W)


class Downsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.op = conv3(channels, channels, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.op(x)


class Upsample(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv3(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Block(nn.Sequential):
    """Layers in sequence, of which the residual ones also see the embedding of the timestep."""

    def forward(self, x: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResBlock) else layer(x)
        return x


class UNet(nn.Module):
    def __init__(self, a: Architecture):
        super().__init__()
        self.architecture = a
        embedding = 4 * a.model_channels
        self.time_embed = nn.Sequential(
            nn.Linear(a.model_channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )

        def residual(channels: int, out_channels: int, level: int) -> list[nn.Module]:
            layers: list[nn.Module] = [ResBlock(channels, out_channels, embedding, a.scale_shift)]
            if level in a.attention_levels:
                layers.append(Attention(out_channels, a.num_heads))
            return layers

        channels = a.model_channels
        self.input_blocks = nn.ModuleList([Block(conv3(a.in_channels, channels))])
        skips, last = [channels], len(a.channel_mult) - 1
        for level, multiple in enumerate(a.channel_mult):
            for _ in range(a.num_res_blocks):
                out_channels = multiple * a.model_channels
                self.input_blocks.append(Block(*residual(channels, out_channels, level)))
                channels = out_channels
                skips.append(channels)
            if level < last:
                self.input_blocks.append(Block(Downsample(channels)))
                skips.append(channels)

        self.middle_block = Block(
            ResBlock(channels, channels, embedding, a.scale_shift),
            Attention(channels, a.num_heads),
            ResBlock(channels, channels, embedding, a.scale_shift),
        )

        self.output_blocks = nn.ModuleList()
        for level, multiple in reversed(list(enumerate(a.channel_mult))):
            for i in range(a.num_res_blocks + 1):
                out_channels = multiple * a.model_channels
                layers = residual(channels + skips.pop(), out_channels, level)
                channels = out_channels
                if level > 0 and i == a.num_res_blocks:
                    layers.append(Upsample(channels))
                self.output_blocks.append(Block(*layers))
        self.out = nn.Sequential(norm(channels), nn.SiLU(), conv3(channels, a.out_channels))

    def forward(self, x: torch.Tensor, timesteps: torch.Tensor) -> torch.Tensor:
        """[B, C, H, W] and [B] to [B, C', H, W]; f32 at both ends, in between in the type of the weights."""
        return self.body(x, embed_timesteps(timesteps, self.architecture.model_channels))

    def body(self, x: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        """All but the cosines and sines of the timesteps, whose angles need f32."""
        dtype = self.out[2].weight.dtype
        embedding = self.time_embed(waves.to(dtype))
        h, skips = x.to(dtype), []
        for block in self.input_blocks:
            h = block(h, embedding)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for block in self.output_blocks:
            h = block(torch.cat([h, skips.pop()], dim=1), embedding)
        return self.out(h).float()


def infer(state: dict[str, torch.Tensor], num_heads: int, image_size: int) -> Architecture:
    """The architecture that these names and shapes belong to; loading strictly tells whether it is the right one."""
    out_channels, _ = state["out.2.weight"].shape[:2]
    model_channels, in_channels = state["input_blocks.0.0.weight"].shape[:2]
    mult, attention, level, blocks = [], set(), 0, 0
    index = 1
    while any(key.startswith(f"input_blocks.{index}.") for key in state):
        block = f"input_blocks.{index}"
        if f"{block}.0.op.weight" in state:
            level += 1
        else:
            blocks += level == 0
            mult[level:] = [state[f"{block}.0.out_layers.3.weight"].shape[0] // model_channels]
            if f"{block}.1.qkv.weight" in state:
                attention.add(level)
        index += 1
    rows = state["input_blocks.1.0.emb_layers.1.weight"].shape[0]
    return Architecture(
        image_size, in_channels, model_channels, out_channels, blocks, tuple(mult), tuple(sorted(attention)),
        num_heads, scale_shift=rows == 2 * mult[0] * model_channels,
    )  # fmt: skip


def load(checkpoint: pathlib.Path) -> UNet:
    """A safetensors checkpoint and what NAME.model.json or model.json beside it says of its heads, in f32."""
    beside = [checkpoint.with_suffix(".model.json"), checkpoint.with_name("model.json")]
    options = json.loads(next(path for path in beside if path.is_file()).read_text())
    state = {key: tensor.float() for key, tensor in load_file(checkpoint).items()}
    model = UNet(infer(state, options["num_heads"], options.get("image_size", 32)))
    model.load_state_dict(state, strict=True)
    return model.eval().requires_grad_(False)


def parameters(model: UNet) -> int:
    return sum(p.numel() for p in model.parameters())


def inputs(model: UNet, batch: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise as x, and timesteps as the network is fed, spread over 0..1000."""
    a = model.architecture
    x = torch.randn(batch, a.in_channels, a.image_size, a.image_size, generator=torch.Generator().manual_seed(seed))
    return x, (torch.arange(batch, dtype=torch.float32) + 0.5) * (1000.0 / batch)


def work(model: UNet) -> dict[tuple[str, int], float]:
    """Floating point operations per image, a multiplication and an addition counted as two, by kind of layer and
    resolution (0: no pixels). Convolutions, linear layers and the two products of attention; nothing elementwise."""
    counted: dict[tuple[str, int], float] = {}

    def add(kind: str, size: int, operations: float) -> None:
        counted[kind, size] = counted.get((kind, size), 0.0) + operations

    def count(layer: nn.Module, args: tuple, output: torch.Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            kernel = layer.kernel_size[0]
            kind = f"{kernel}x{kernel} conv"
            add(kind, output.shape[-1], 2.0 * layer.weight.numel() * output.shape[-1] * output.shape[-2])
        elif isinstance(layer, nn.Conv1d):
            add("attention qkv, proj", math.isqrt(output.shape[-1]), 2.0 * layer.weight.numel() * output.shape[-1])
        elif isinstance(layer, nn.Linear):
            add("linear", 0, 2.0 * layer.weight.numel())
        elif isinstance(layer, Attention):
            _, channels, height, width = output.shape
            add("attention products", width, 4.0 * channels * (height * width) ** 2)

    hooks = [module.register_forward_hook(count) for module in model.modules()]
    with torch.inference_mode():
        model(*inputs(model, 1))
    for hook in hooks:
        hook.remove()
    return counted


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    model = load(pathlib.Path(sys.argv[1]))
    print(f"{model.architecture}\n{parameters(model):,} parameters\n")
    counted = work(model)
    total = sum(counted.values())
    print("| layers | pixels | GFLOP per image | share |\n|---|---|---|---|")
    for (kind, size), operations in sorted(counted.items(), key=lambda item: (item[0][0], -item[0][1])):
        print(f"| {kind} | {f'{size}x{size}' if size else '-'} | {operations / 1e9:.4f} | {operations / total:.2%} |")
    print(f"| all | | {total / 1e9:.4f} | 100% |")


if __name__ == "__main__":
    main()
