"""Calibrated kernels of a network that ddpm cannot run: a stranger's MNIST network, through the hook of examples/python.

The network (github.com/sdaloglu/diffusion_with_entropy, ddpm_mnist.pth: 7x7 convolutions with LayerNorm, T = 1000, linear, digits in
[-0.5, 0.5]) is run in PyTorch over train digits to choose on and test digits to score on; `ddpm profile --import` reads what the hook summed
up, `ddpm table` compares every variance and mean. docs/likelihood.md shows the table.

Needs torch and numpy. DATA holds train.npz and test.npz with arr_0, uint8 [N, 28, 28, 1].

Usage: recorded_mnist.py --ddpm PATH --weights ddpm_mnist.pth --data DATA --work FOLDER [--choose 192] [--score 96]
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/python"))

from ddpm_hook import SquaredErrors  # noqa: E402

T, TIMESTEPS, BLOCKS = 1000, 38, 32


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        widths = [1, 16, 32, 32, 16]
        blocks = [nn.ModuleDict({"net": nn.Sequential(nn.Conv2d(i, o, 7, padding=3), nn.LayerNorm((o, 28, 28)), nn.GELU())}) for i, o in zip(widths, widths[1:])]
        self.blocks = nn.ModuleList([*blocks, nn.Conv2d(16, 1, 3, padding=1)])
        self.time_embed = nn.Sequential(nn.Linear(32, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 128), nn.GELU(), nn.Linear(128, 16))
        self.register_buffer("frequencies", torch.zeros(16))

    def forward(self, x, t):
        """The noise in x at t in 0..1."""
        angles = t[:, None] * self.frequencies
        features = torch.cat([torch.sin(angles), torch.cos(angles) - 1], 1)
        x = self.blocks[0]["net"](x) + self.time_embed(features)[:, :, None, None]
        for block in self.blocks[1:-1]:
            x = block["net"](x)
        return self.blocks[-1](x)


def timesteps(alpha_bar):
    """Evenly over log-SNR, with both ends."""
    logs = np.log(alpha_bar[1:] / (1 - alpha_bar[1:]))
    wanted = np.linspace(logs[0], logs[-1], TIMESTEPS)
    return sorted({int(np.abs(logs - log).argmin()) + 1 for log in wanted})


def load(weights):
    """The network and its alpha_bar, whose entry 0 is the data."""
    state = torch.load(weights, map_location="cpu", weights_only=True)
    network = Network().eval()
    network.load_state_dict({key[3:]: value for key, value in state.items() if key.startswith("gt.")})
    return network, state["alpha_t"].double().numpy()


def estimates(network, alpha_bar, data, split, count, seed):
    """t, block, x0, its estimate and x_t of the first `count` digits of a split, timestep after timestep."""
    digits = np.load(data / f"{split}.npz")["arr_0"][:count, :, :, 0]
    digits = torch.from_numpy(digits).float()[:, None] / 255 - 0.5
    generator = torch.Generator().manual_seed(seed)
    for t in timesteps(alpha_bar):
        for block, x0 in enumerate(digits.chunk(BLOCKS)):
            noise = torch.randn(x0.shape, generator=generator)
            x = alpha_bar[t] ** 0.5 * x0 + (1 - alpha_bar[t]) ** 0.5 * noise
            with torch.no_grad():
                prediction = network(x, torch.full((len(x0),), t / T))
            yield t, block, x0, (x - (1 - alpha_bar[t]) ** 0.5 * prediction) / alpha_bar[t] ** 0.5, x


def arguments_of(names):
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--choose", type=int, default=192)
    parser.add_argument("--score", type=int, default=96)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    if arguments.choose % BLOCKS or arguments.score % BLOCKS:
        parser.error(f"expected --choose and --score to be multiples of {BLOCKS}, the number of blocks")
    torch.set_num_threads(arguments.threads)
    return arguments


def main():
    arguments = arguments_of(["ddpm", "weights", "data", "work"])
    arguments.work.mkdir(parents=True, exist_ok=True)
    network, alpha_bar = load(arguments.weights)
    profiles = []
    for split, count, seed in (("train", arguments.choose, 1), ("test", arguments.score, 2)):
        hook = SquaredErrors(alpha_bar[1:], blocks=BLOCKS, clip_denoised=False)
        for t, block, x0, x0_hat, x in estimates(network, alpha_bar, arguments.data, split, count, seed):
            hook.add(block, t - 1, x0, x0_hat, x)
        file = arguments.work / f"mnist-{split}.npz"
        hook.save(file)
        profiles.append(arguments.work / f"mnist-{split}.profile")
        run(arguments.ddpm, "profile", "--import", file, "--split", split, "--out", profiles[-1])
    steps = ["--steps", "2,3,4,5,8,10,16,32,64", "--decoder", "gaussian"]
    print(run(arguments.ddpm, "table", *profiles, *steps, "--variance", "fixed-small,analytic,spectral", "--mean", "network"))
    print(run(arguments.ddpm, "table", *profiles, *steps, "--variance", "fixed-small,analytic,spectral", "--mean", "calibrated"))


def run(ddpm, *words):
    done = subprocess.run([str(ddpm), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
