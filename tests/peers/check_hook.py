"""Runs the hook of examples/python in a loop of diffusers and checks what ddpm makes of its file.

A small random UNet2DModel is measured at every timestep of a short chain; `ddpm profile --import` and `ddpm schedule` read
the file; the cost of each path is computed once more from the hook's arrays, in NumPy. Once without and once with bands of
frequencies, whose moments are held to a transform of their own, coefficient by coefficient.

Usage: check_hook.py --ddpm PATH --work FOLDER [--write-golden tests/golden/squared-errors.npz]
       [--write-golden-bands tests/golden/squared-errors-bands.npz]
"""

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from diffusers import DDPMScheduler, UNet2DModel

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/python"))

from ddpm_hook import SquaredErrors  # noqa: E402

import check_spectral  # noqa: E402

T, BLOCKS, IMAGES = 60, 8, 4


def measure(path, blocks=BLOCKS, timesteps=range(T), bands=False):
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()
    scheduler = DDPMScheduler(num_train_timesteps=T, beta_schedule="squaredcos_cap_v2")
    hook = SquaredErrors(scheduler.alphas_cumprod, blocks=blocks, clip_denoised=True)
    seen = {}
    for block in range(blocks):
        x0 = torch.rand(IMAGES, 3, 1, 1) * 2 - 1 + 0.1 * torch.randn(IMAGES, 3, 8, 8)
        x0 = x0.clamp(-1, 1)
        for t in timesteps:
            noise = torch.randn_like(x0)
            x = scheduler.add_noise(x0, noise, torch.full((IMAGES,), t))
            with torch.no_grad():
                # An untrained network predicts next to nothing; half of the noise makes the curve like a trained one's.
                prediction = 0.5 * noise + network(x, t).sample
            alpha_bar = scheduler.alphas_cumprod[t]
            x0_hat = (x - (1 - alpha_bar).sqrt() * prediction) / alpha_bar.sqrt()
            x0_hat = x0_hat.clamp(-1, 1)
            hook.add(block, t, x0, x0_hat, x if bands else None)
            seen[block, t] = [y.double().numpy() for y in (x0, x0_hat, x)]
    hook.save(path)
    return seen


def check_bands(ddpm, work, golden):
    """Moments and costs of a file with bands."""
    errors, profile = work / "bands.npz", work / "bands.profile"
    timesteps = [0, 3, 9, 19, 31, 43, 51, 56, 57, 58, 59]
    seen = measure(errors, 4, timesteps, bands=True)
    arrays = np.load(errors)
    edges = np.concatenate([[0], np.geomspace(0.9, np.sqrt(2) * 8, 24)])
    colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
    stored = {"shape": [3, 8, 8], "channel_basis": colours, "edges": edges, "separate_channels": True}
    bands = check_spectral.Bands(stored)
    assert np.array_equal(bands.band, arrays["band_of"])
    worst = 0.0
    for (block, t), (x0, x0_hat, x) in seen.items():
        a = arrays["alpha_bar"][t]
        error, estimate = bands.forward(x0 - x0_hat), bands.forward(x0_hat)
        noise = bands.forward((x - np.sqrt(a) * x0_hat) / np.sqrt(1 - a))
        found = arrays["band_products"][block, timesteps.index(t)]
        for i, (y, z) in enumerate([(error, error), (error, estimate), (error, noise), (estimate, estimate), (estimate, noise), (noise, noise)]):
            for band in range(bands.count):
                wanted = (y * z)[:, bands.band == band].mean(1).sum()
                worst = max(worst, abs(found[band, i] - wanted) / max(1.0, abs(wanted)))
        for i, y in enumerate([error, estimate, noise]):
            wanted = y[:, :, 0, 0].sum(0)
            worst = max(worst, np.abs(arrays["band_means"][block, timesteps.index(t)][:, i] - wanted).max())
    assert worst < 1e-10, worst
    run(ddpm, "profile", "--import", errors, "--out", profile)
    flags = ["--steps", "1,2", "--mean", "network", "--decoder", "none", "--json"]
    spectral = json.loads(run(ddpm, "schedule", profile, "--variance", "spectral", *flags))
    analytic = json.loads(run(ddpm, "schedule", profile, "--variance", "analytic", *flags))
    for one, other in zip(spectral["budgets"][1:], analytic["budgets"][1:]):
        assert one["cost"] < other["cost"], (one["cost"], other["cost"])
    print(f"the hook's bands: moments of {len(seen)} timesteps within {worst:.1e} of another transform")
    if golden:
        shutil.copy(errors, golden)


def run(ddpm, *words):
    done = subprocess.run([str(ddpm), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", type=Path, required=True)
    parser.add_argument("--profile", type=Path, help="not used; other checks need it")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write-golden", type=Path)
    parser.add_argument("--write-golden-bands", type=Path)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    errors, profile = arguments.work / "errors.npz", arguments.work / "errors.profile"
    measure(errors)
    run(arguments.ddpm, "profile", "--import", errors, "--out", profile)
    common = ["--steps", "3,8,20", "--variance", "fixed-small", "--decoder", "none", "--json"]
    chosen = json.loads(run(arguments.ddpm, "schedule", profile, *common))
    assert chosen == json.loads(run(arguments.ddpm, "schedule", "--mse", errors, *common))
    assert chosen["noise_schedule"] == "cosine", chosen["noise_schedule"]
    assert chosen["clip_denoised"] is True

    arrays = np.load(errors)
    m = np.concatenate([[0], arrays["sum_squared_error"].sum(0) / arrays["count"].sum(0)])
    constants = json.loads(run(arguments.ddpm, "transitions", "--noise-schedule", "cosine", "--train-steps", T, "--json"))
    alpha_bar = np.array([1.0, *constants["alphas_cumprod"]])
    worst = 0.0
    for budget in chosen["budgets"]:
        path = budget["path"]
        cost = sum(0.5 * (alpha_bar[s] / (1 - alpha_bar[s]) - alpha_bar[t] / (1 - alpha_bar[t])) * m[t] for s, t in zip(path[1:], path[2:]))
        worst = max(worst, abs(cost / np.log(2) - budget["cost"]) / budget["cost"])
        t = path[-1]
        square = (arrays["x0_mean_square"]).mean()
        a = alpha_bar[t]
        prior = 0.5 * (a * square + (1 - a) - 1 - np.log(1 - a)) / np.log(2)
        worst = max(worst, abs(prior - budget["prior_bpd"]) / max(prior, 1e-6))
        assert budget["stability"]["folds"] == BLOCKS
    assert worst < 1e-8, worst
    print(f"the hook's file: costs and priors of {len(chosen['budgets'])} paths within {worst:.1e} of NumPy's")
    print(run(arguments.ddpm, "schedule", profile, "--steps", "3,8,20", "--variance", "analytic"))
    check_bands(arguments.ddpm, arguments.work, arguments.write_golden_bands)
    if arguments.write_golden:
        shutil.copy(errors, arguments.write_golden)


if __name__ == "__main__":
    main()
