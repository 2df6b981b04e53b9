"""Checks what examples/python/ddpm_hook.py sums up per band of frequencies, and what ddpm makes of it.

Images, signals and vectors by a formula, in NumPy alone: the hook's sums have to be those kept in tests/golden/hook-bands, which the tests
compare with what the library measures on the same numbers. Then every schedule's cost is computed once more from the hook's arrays:
the mean and the variance of every band are fitted here, by least squares on its moments.

Usage: check_hook_bands.py --ddpm PATH --work FOLDER [--write-golden]
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "examples/python"))

from ddpm_hook import SquaredErrors  # noqa: E402

GOLDEN = ROOT / "tests/golden/hook-bands"
SHAPES = {"colour": (3, 6, 4), "gray": (1, 5, 7), "signal": (2, 9), "vector": (11,)}
T, BLOCKS, IMAGES = 8, 4, 40
RIDGE = 1e-6


def uniform(stream, index):
    """Number `index` of a stream, in [-1, 1): SplitMix64."""
    with np.errstate(over="ignore"):
        z = (np.asarray(index, dtype=np.uint64) + np.uint64(stream << 32)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)).astype(float) * 2.0**-52 - 1


def cosine():
    square = np.cos((np.arange(T + 1) / T + 0.008) / 1.008 * np.pi / 2) ** 2
    return np.cumprod(1 - np.minimum(1 - square[1:] / square[:-1], 0.999))


def measure(shape, path):
    alpha_bar, dims = cosine(), int(np.prod(shape))
    hook = SquaredErrors(alpha_bar, blocks=BLOCKS)
    image = np.arange(IMAGES)[:, None]
    x0 = 0.6 * uniform(1, image * dims + np.arange(dims)) + 0.3 * uniform(4, image)
    for t in range(T):
        at = (image * T + t) * dims + np.arange(dims)
        noise = 1.5 * uniform(2, at)
        x_t = np.sqrt(alpha_bar[t]) * x0 + np.sqrt(1 - alpha_bar[t]) * noise
        x0_hat = 0.7 * x0 - 0.2 * np.sqrt(1 - alpha_bar[t]) * noise + 0.1 + 0.1 * uniform(3, at)
        for block, own in enumerate(np.split(np.arange(IMAGES), BLOCKS)):
            hook.add(block, t, *(x[own].reshape(-1, *shape) for x in (x0, x0_hat, x_t)))
    hook.save(path)


def run(ddpm, *words):
    done = subprocess.run([str(ddpm), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def weights_and_constants(shape):
    """Band by band: its share of the coefficients, and whether it is a channel's constant; by brute force."""
    channels, axes = (1, shape) if len(shape) == 1 else (shape[0], shape[1:])
    edges = [0.0, *np.geomspace(0.9, np.sqrt(len(axes)) * max(axes), 24)]
    rings = [sum(np.sqrt(sum((k * max(axes) / n) ** 2 for k, n in zip(at, axes))) >= edge for edge in edges) for at in np.ndindex(*axes)]
    sizes = [rings.count(ring) for ring in sorted(set(rings))]
    constant = [size == 1 and band == 0 for band, size in enumerate(sizes)]
    return np.tile(sizes, channels) / (channels * sum(sizes)), np.tile(constant, channels)


def powers(arrays, shape, calibrated):
    """By timestep and band the mean square of what a correction leaves."""
    weights, constant = weights_and_constants(shape)
    products = arrays["band_products"].sum(0) / IMAGES
    means = np.zeros((*products.shape[:2], 3))
    means[:, constant] = arrays["band_means"].sum(0) / IMAGES
    left = products[..., 0].copy()
    for t, band in np.ndindex(*left.shape) if calibrated else ():
        (ee, eh, en, hh, hn, nn), (e, h, n) = products[t, band], means[t, band]
        matrix, right = np.array([[hh, hn, h], [hn, nn, n], [h, n, 1.0]]), np.array([eh, en, e])
        used = slice(3 if constant[band] else 2)
        matrix, right = matrix[used, used], right[used]
        solved = np.linalg.solve(matrix + RIDGE * np.diag(np.diag(matrix)), right)
        left[t, band] = ee - 2 * solved @ right + solved @ matrix @ solved
    return weights, left


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", type=Path, required=True)
    parser.add_argument("--profile", type=Path, help="not used; other checks need it")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--write-golden", action="store_true")
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    alpha_bar = cosine()
    snr = np.concatenate([[np.inf], alpha_bar / (1 - alpha_bar)])
    for name, shape in SHAPES.items():
        kept, file = GOLDEN / f"{name}.npz", arguments.work / f"{name}.npz"
        measure(shape, file)
        if arguments.write_golden:
            GOLDEN.mkdir(exist_ok=True)
            kept.write_bytes(file.read_bytes())
        arrays, expected = np.load(file), np.load(kept)
        # The golden files are from before the hook said what the data are.
        assert set(arrays) - {"eight_bit", "saturated"} == set(expected)
        for key in expected:
            assert np.allclose(arrays[key], expected[key], rtol=1e-12, atol=1e-12), f"{name}: {key}"
        worst = 0.0
        for mean in ["network", "calibrated"]:
            words = ["--variance", "spectral", "--mean", mean, "--decoder", "none", "--steps", "2,4,8", "--folds", 0, "--json"]
            chosen = json.loads(run(arguments.ddpm, "schedule", "--mse", file, *words))
            weights, left = powers(arrays, shape, mean == "calibrated")
            for budget in chosen["budgets"]:
                path = budget["path"]
                edges = list(zip(path[1:], path[2:]))
                cost = sum(0.5 * weights @ np.log1p((snr[s] - snr[t]) * left[t - 1]) for s, t in edges) / np.log(2)
                worst = max(worst, abs(cost - budget["cost"]))
        assert worst < 1e-9, f"{name}: {worst}"
        print(f"{name} {shape}: {len(weights)} bands, costs of six paths within {worst:.1e} bits/dim of NumPy's")


if __name__ == "__main__":
    main()
