"""Runs the hook of examples/python in a loop of diffusers and checks what ddpm makes of its file.

A small random UNet2DModel is measured at every timestep of a short chain; `ddpm profile --import` and `ddpm schedule` read
the file; the cost of each path is computed once more from the hook's arrays, in NumPy. The golden file has no bands, as files had
none once; check_hook_bands.py looks at these.

Usage: check_hook.py --ddpm PATH --work FOLDER [--write-golden tests/golden/squared-errors.npz]
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

T, BLOCKS, IMAGES = 60, 8, 4


def measure(path, bands):
    torch.manual_seed(0)
    network = UNet2DModel(
        sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"),
    ).eval()
    scheduler = DDPMScheduler(num_train_timesteps=T, beta_schedule="squaredcos_cap_v2")
    hook = SquaredErrors(scheduler.alphas_cumprod, blocks=BLOCKS, clip_denoised=True, bands=bands)
    for block in range(BLOCKS):
        x0 = torch.rand(IMAGES, 3, 1, 1) * 2 - 1 + 0.1 * torch.randn(IMAGES, 3, 8, 8)
        x0 = x0.clamp(-1, 1)
        for t in range(T):
            noise = torch.randn_like(x0)
            x = scheduler.add_noise(x0, noise, torch.full((IMAGES,), t))
            with torch.no_grad():
                # An untrained network predicts next to nothing; half of the noise makes the curve like a trained one's.
                prediction = 0.5 * noise + network(x, t).sample
            alpha_bar = scheduler.alphas_cumprod[t]
            x0_hat = (x - (1 - alpha_bar).sqrt() * prediction) / alpha_bar.sqrt()
            hook.add(block, t, x0, x0_hat.clamp(-1, 1), x)
    hook.save(path)


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
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    errors, profile = arguments.work / "errors.npz", arguments.work / "errors.profile"
    measure(errors, bands=False)
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
    with_bands = arguments.work / "errors_and_bands.npz"
    measure(with_bands, bands=True)
    assert all(np.array_equal(arrays[key], np.load(with_bands)[key]) for key in arrays), "bands change what is beside them"
    chosen = {}
    for variance in ["analytic", "spectral"]:
        found = json.loads(run(arguments.ddpm, "schedule", "--mse", with_bands, "--variance", variance, *common[:2], *common[4:]))
        chosen[variance] = [budget["cost"] for budget in found["budgets"]]
    print(f"with bands, 3, 8 and 20 steps: {chosen}")
    assert all(ours < theirs for ours, theirs in zip(chosen["spectral"], chosen["analytic"])), chosen
    if arguments.write_golden:
        shutil.copy(errors, arguments.write_golden)


if __name__ == "__main__":
    main()
