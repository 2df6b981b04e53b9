"""Trains the small network of `datasets/flow-small.npz` on two moons, in minutes on one core: `python python/tools/flows/train.py`. Needs PyTorch."""

import math

import numpy as np
import torch

from networks import OWN

STEPS, ROWS, WIDTH, HIDDEN = 20_000, 1024, 64, 4


def moons(count, rng):
    """Two half circles of radius 1, one turned and moved, noise 0.06; centred and of unit scale."""
    angle = rng.random(count) * np.pi
    upper = rng.random(count) < 0.5
    x = np.where(upper, np.cos(angle), 1 - np.cos(angle))
    y = np.where(upper, np.sin(angle), 0.5 - np.sin(angle))
    points = np.stack([x, y], axis=1) + 0.06 * rng.standard_normal((count, 2))
    return (points - [0.5, 0.25]) / [0.87, 0.5]


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    widths = [2 + 1 + 8] + [WIDTH] * HIDDEN + [2]
    layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(widths, widths[1:]))
    turns = math.pi * torch.tensor([1.0, 2.0, 4.0, 8.0])
    optimizer = torch.optim.Adam(layers.parameters(), lr=2e-3)
    averaged = [p.detach().clone() for p in layers.parameters()]
    for step in range(STEPS):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        x0 = torch.from_numpy(moons(ROWS, rng).astype(np.float32))
        noise, s = torch.randn(ROWS, 2), torch.rand(ROWS, 1)
        h = torch.cat([(1 - s) * x0 + s * noise, s, torch.sin(s * turns), torch.cos(s * turns)], dim=1)
        for i, layer in enumerate(layers):
            h = layer(h)
            if i < HIDDEN:
                h = torch.nn.functional.silu(h)
        loss = (h - (noise - x0)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        keep = min(0.999, (1 + step) / (10 + step))
        for mean, p in zip(averaged, layers.parameters()):
            mean.lerp_(p.detach(), 1 - keep)
        if step % 2000 == 0:
            print(step, f"{loss.item():.4f}", flush=True)
    arrays = {}
    for i in range(HIDDEN + 1):
        arrays[f"w{i}"] = averaged[2 * i].T.contiguous().numpy()
        arrays[f"b{i}"] = averaged[2 * i + 1].numpy()
    np.savez(OWN, **arrays)


if __name__ == "__main__":
    main()
