"""The hook of examples/python, as a loop of anybody's would use it, and what the command line makes of its files."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "examples/python"))

from ddpm_hook import SquaredErrors  # noqa: E402

ALPHA_BAR = np.cumprod(1 - np.linspace(1e-3, 0.3, 40))


def record(path, draw, timesteps, blocks=4, **flags):
    """Errors of a denoiser that knows the variance of its data."""
    rng = np.random.default_rng(0)
    hook = SquaredErrors(ALPHA_BAR, blocks=blocks, **flags)
    for block in range(blocks):
        for t in timesteps(rng):
            x0 = draw(rng)
            a = ALPHA_BAR[t].reshape(-1, *[1] * (x0.ndim - 1))
            x_t = np.sqrt(a) * x0 + np.sqrt(1 - a) * rng.standard_normal(x0.shape)
            hook.add(block, t, x0, np.sqrt(a) * x_t * 0.3 / (0.3 * a + 1 - a), x_t)
    hook.save(path)
    return path


def every(_):
    return np.arange(0, 40, 3)


@pytest.mark.parametrize("shape", [(), (3,), (2, 5), (3, 4, 4)])
def test_data_of_any_shape_make_schedules(ddpm, tmp_path, shape):
    errors = record(tmp_path / "e.npz", lambda rng: rng.standard_normal((16, *shape)) * 0.5, every)
    found = ddpm("schedule", "--mse", errors, "--variance", "spectral", "--steps", 3, "--json")
    assert found.returncode == 0, found.stderr
    assert len(json.loads(found.stdout)["budgets"][0]["path"]) == 4


def test_random_timesteps_and_unused_blocks_are_pooled(ddpm, tmp_path):
    def random(rng):
        return [rng.integers(0, 40, 16) for _ in range(20)]

    errors = record(tmp_path / "e.npz", lambda rng: rng.standard_normal((16, 3)) * 0.5, random)
    arrays = dict(np.load(errors))
    empty = {name: np.concatenate([array, 0 * array[:1]]) for name, array in arrays.items() if name in ("count", "sum_squared_error", "band_products", "band_means", "x0_mean_square")}
    np.savez(errors, **{**arrays, **empty})
    found = ddpm("profile", "--import", errors, "--out", tmp_path / "p", "--json")
    assert found.returncode == 0, found.stderr
    assert "5 blocks of images became" in found.stderr
    assert json.loads(found.stdout)["blocks"] < 5


def test_the_hook_says_what_the_data_are(ddpm, tmp_path):
    def digits(rng):
        return (rng.integers(0, 256, (4, 1, 4, 4)) * (rng.random((4, 1, 4, 4)) < 0.5)) / 127.5 - 1

    errors = record(tmp_path / "e.npz", digits, every, clip_denoised=True)
    arrays = np.load(errors)
    assert arrays["eight_bit"] and 0.3 < arrays["saturated"] < 0.7
    found = ddpm("schedule", "--mse", errors, "--steps", 3)
    assert "The data are 8-bit images" in found.stdout and "saturated" in found.stdout, found.stdout
    errors = record(tmp_path / "f.npz", lambda rng: rng.standard_normal((4, 1, 4, 4)).clip(-1, 1), every, clip_denoised=True)
    found = ddpm("schedule", "--mse", errors, "--steps", 3)
    assert found.returncode == 0 and "8-bit" not in found.stdout, found.stdout
    # Half precision cannot tell levels: the shape decides, as without the hook's word.
    errors = record(tmp_path / "g.npz", lambda rng: digits(rng).astype(np.float16), every, clip_denoised=True)
    assert "eight_bit" not in np.load(errors)
    found = ddpm("schedule", "--mse", errors, "--steps", 3)
    assert "Of 8-bit images" in found.stdout, found.stdout
