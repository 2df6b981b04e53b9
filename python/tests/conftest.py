"""Networks known in closed form: Gaussian data, whose best estimate is linear; and the command line."""

import os
import pathlib
import subprocess

import numpy as np
import pytest

import ddpm_schedules as ds

#: The program that `cargo build --release` makes, never one that happens to be installed.
DDPM = pathlib.Path(os.environ.get("DDPM", pathlib.Path(__file__).resolve().parents[2] / "target/release/ddpm"))

#: Variances of the four dimensions of the data.
POWER = np.array([0.5, 0.1, 0.02, 0.3])


def alphas_cumprod(steps=1000):
    return np.cumprod(1 - np.linspace(1e-4, 0.02, steps))


def noise_of(alpha, sigma, x):
    """The best estimates (x0, epsilon) of x = alpha x0 + sigma epsilon."""
    alpha, sigma = (np.asarray(v, np.float64)[:, None] for v in (alpha, sigma))
    x0 = alpha * POWER * x / (alpha**2 * POWER + sigma**2)
    return x0, (x - alpha * x0) / sigma


@pytest.fixture(scope="session")
def ddpm():
    """Runs the command line: what it printed, and its exit code."""
    assert DDPM.exists() or "DDPM" not in os.environ, f"DDPM: {DDPM} is missing"
    if not DDPM.exists():
        pytest.skip(f"needs the command line: cargo build --release, or DDPM=... ({DDPM} is missing)")

    def run(*words):
        return subprocess.run([DDPM, *map(str, words)], capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def chain():
    """A DDPM chain that predicts the noise."""
    bar = alphas_cumprod()

    def fn(x, t):
        return noise_of(np.sqrt(bar[t]), np.sqrt(1 - bar[t]), x)[1]

    return ds.Denoiser(fn, ds.Process.vp(bar), prediction="epsilon", shape=(4,), batch=8, name="gaussian")


@pytest.fixture
def flow():
    """A rectified flow that predicts the velocity."""

    def fn(x, s):
        x0, eps = noise_of(1 - s, s, x)
        return eps - x0

    return ds.Denoiser(fn, ds.Process.flow(400), prediction="velocity", shape=(4,), batch=8, name="gaussian-flow")


@pytest.fixture
def edm():
    """A variance-exploding network within EDM's preconditioning."""
    data = 0.5

    def fn(x, c_noise):
        sigma = np.exp(4 * c_noise)
        both = np.hypot(sigma, data)
        state = x * both[:, None]
        x0, _ = noise_of(np.ones_like(sigma), sigma, state)
        return (x0 - (data**2 / both**2)[:, None] * state) / (sigma * data / both)[:, None]

    process = ds.Process.edm(0.002, 80.0, nodes=300)
    return ds.Denoiser(fn, process, prediction="edm", sigma_data=data, shape=(4,), batch=8, name="gaussian-edm")


@pytest.fixture
def data():
    rng = np.random.default_rng(7)
    return (rng.standard_normal((64, 4)) * np.sqrt(POWER)).astype(np.float32)


def tiny_unet():
    """A random network of diffusers for 3 x 8 x 8."""
    diffusers = pytest.importorskip("diffusers", reason="needs torch and diffusers: cargo xtask check-python")
    return diffusers.UNet2DModel(
        sample_size=8,
        block_out_channels=(8, 8),
        down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        norm_num_groups=4,
    )
