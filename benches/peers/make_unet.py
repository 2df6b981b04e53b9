"""Writes a checkpoint of the size of improved-diffusion's CIFAR-10 network, with random weights, to measure speed on.

    python make_unet.py [OUT, default target/peers/unet-cifar10.safetensors]

128 channels, multiples 1, 2, 2, 2, three blocks, attention at 16 and 8 pixels, four heads, learned sigma, scale-shift
norm: 52.5 million parameters. Deterministic: NumPy's RandomState keeps its stream across versions. Convolutions that
training starts at zero are random as well, so that every layer shows in the output, and all are scaled so that
activations stay around one.
"""

import hashlib
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.numpy import save_file
from unet import Architecture, UNet, parameters

SEED = 20210607
PARAMETERS = 52_546_438
OPTIONS = {
    "image_size": 32,
    "num_heads": 4,
    "train_steps": 4000,
    "noise_schedule": "cosine",
    "rescale_timesteps": True,
    "variance": "learned",
    "parameterization": "epsilon",
}


def gain(key: str) -> float:
    """Standard deviation of what a layer adds, for inputs of unit variance."""
    if "out_layers" in key or "proj_out" in key:
        return 0.5  # one of many terms of a residual sum
    if "emb_layers" in key:
        return 0.3  # scales and shifts of a normalised tensor
    return 1.0


def weights(key: str, shape: tuple[int, ...], random: np.random.RandomState) -> np.ndarray:
    if key.endswith(".bias"):
        return 0.05 * random.standard_normal(shape)
    if len(shape) == 1:  # of a norm
        return 1.0 + 0.1 * random.standard_normal(shape)
    after_silu = any(part in key for part in ("in_layers", "out_layers", "emb_layers", "time_embed.2", "out.2"))
    variance_in = 0.36 if after_silu else 1.0  # E[silu(n)^2] of a standard normal n
    return gain(key) * random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]) * variance_in)


def main() -> None:
    default = pathlib.Path(__file__).resolve().parents[2] / "target/peers/unet-cifar10.safetensors"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    with torch.device("meta"):
        model = UNet(Architecture())
    if parameters(model) != PARAMETERS:
        sys.exit(f"the network has {parameters(model)} parameters, expected {PARAMETERS}")
    random = np.random.RandomState(SEED)
    tensors = {
        key: weights(key, tuple(tensor.shape), random).astype(np.float32) for key, tensor in model.state_dict().items()
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, out)
    out.with_suffix(".model.json").write_text(json.dumps(OPTIONS, indent=2) + "\n")
    print(f"{out}: {PARAMETERS:,} parameters, sha256 {hashlib.sha256(out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
