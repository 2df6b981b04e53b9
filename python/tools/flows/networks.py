"""The networks, each a function (x, s) -> velocity in NumPy: x = (1 - s) x0 + s noise, velocity = noise - x0.

Two are of others: `aditiii12/SharpEuler` at 0aa3252a below `checkpoints/`, MIT, averaged weights. Their clock runs as ours (t = 1 is noise, a step
is x - h v), so that nothing is turned round. The third is our own, `datasets/flow-small.npz` (`train.py`), and needs no PyTorch.
"""

from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[3]
OWN = ROOT / "datasets" / "flow-small.npz"
STRANGERS = {"flower": "fm_branchy_flower_3.pth", "grid": "fm_rotgrid.pth"}


def silu(x):
    return x / (1 + np.exp(-x))


def own(path=OWN):
    """A plain network of four hidden layers on x, s and waves of s."""
    weights = np.load(path)
    layers = [(weights[f"w{i}"], weights[f"b{i}"]) for i in range(len(weights.files) // 2)]

    def velocity(x, s):
        turns = s[:, None] * np.pi * np.array([1, 2, 4, 8])
        h = np.concatenate([x, s[:, None], np.sin(turns), np.cos(turns)], axis=1).astype(np.float32)
        for i, (w, b) in enumerate(layers):
            h = h @ w + b
            if i + 1 < len(layers):
                h = silu(h)
        return h

    return velocity


def stranger(name, folder):
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(1)
    weights = torch.load(Path(folder) / STRANGERS[name], map_location="cpu", weights_only=True)["ema"]

    def linear(name, x):
        return F.linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    def norm(name, x):
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"])

    def flower(x, s):
        """Residual blocks, scaled and shifted by an embedding of s."""
        told = F.silu(linear("time_mlp.net.2", F.silu(linear("time_mlp.net.0", s[:, None]))))
        h = linear("inp", x)
        for block in ("blocks.0", "blocks.1", "blocks.2"):
            inner = F.silu(linear(f"{block}.fc", norm(f"{block}.norm", h)))
            h = h + inner * (1 + linear(f"{block}.to_scale", told)) + linear(f"{block}.to_shift", told)
        return linear("out", F.silu(norm("norm", h)))

    def grid(x, s):
        """A plain network on x, waves of x and waves of s."""
        slow = torch.exp(-np.log(10000) * torch.arange(32, dtype=torch.float32) / 32)
        turns = 2 * np.pi * s[:, None] * slow
        waves = (2 * np.pi * x[:, :, None] * weights["x_freqs"]).reshape(len(x), -1)
        h = torch.cat([x, waves.sin(), waves.cos(), turns.sin(), turns.cos()], dim=-1)
        for layer in (0, 2, 4, 6):
            h = F.silu(linear(f"net.{layer}", h))
        return linear("net.8", h)

    network = {"flower": flower, "grid": grid}[name]

    def velocity(x, s):
        with torch.inference_mode():
            told = (torch.from_numpy(np.ascontiguousarray(a, dtype=np.float32)) for a in (x, s))
            return network(*told).numpy()

    return velocity
