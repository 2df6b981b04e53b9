"""The code of the two READMEs runs as it is printed, on small networks that stand in for the reader's."""

import pathlib
import re

import numpy as np
import pytest

from conftest import POWER, alphas_cumprod, noise_of, tiny_unet

README = pathlib.Path(__file__).resolve().parents[1] / "README.md"
PYTHON_BLOCKS = r"^```python\n(.*?)^```"
BLOCKS = re.findall(PYTHON_BLOCKS, README.read_text(), re.M | re.S)
# The README of the repository: what is marked torch runs in `cargo xtask newcomer`. Outside a clone there is none.
FRONT = README.parents[1] / "README.md"
FRONT_BLOCKS = re.findall(PYTHON_BLOCKS, FRONT.read_text(), re.M | re.S) if FRONT.is_file() else []


def velocity(x, s):
    power = POWER[:2]
    s = s[:, None]
    alpha = 1 - s
    x0 = alpha * power * x / (alpha**2 * power + s**2)
    return (x - alpha * x0) / s - x0


def edm_net(x, c_noise):
    sigma = np.exp(4 * c_noise)[:, None]
    both = np.hypot(sigma, 0.5)
    state = x * both
    x0 = POWER[:2] * state / (POWER[:2] + sigma**2)
    return (x0 - 0.25 / both**2 * state) / (sigma * 0.5 / both)


def unet(x, t):
    bar = alphas_cumprod()[t].reshape(-1, 1, 1, 1)
    x0 = np.sqrt(bar) * 0.25 * x / (bar * 0.25 + 1 - bar)
    return (x - np.sqrt(bar) * x0) / np.sqrt(1 - bar)


def names():
    rng = np.random.default_rng(0)
    return {
        "net": velocity,
        "velocity": velocity,
        "edm_net": edm_net,
        "unet": unet,
        "alphas_cumprod": alphas_cumprod(),
        "images": rng.integers(0, 256, (32, 3, 8, 8), dtype=np.uint8),
    }


def test_there_are_five_lines_for_each_of_five_kinds():
    kinds = ["profile(", "dpm++2m", "Process.flow()", "prediction=\"edm\"", "trace("]
    for kind in kinds:
        assert any(kind in block for block in BLOCKS[1:]), kind
    for block in BLOCKS:
        lines = [line for line in block.splitlines() if line and not line.startswith("import")]
        assert len(lines) <= 5, block


@pytest.mark.parametrize("block", BLOCKS + FRONT_BLOCKS, ids=lambda block: block.splitlines()[2][:40])
@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_the_blocks_run(block, library, capsys):
    scope = names()
    # Without PyTorch the same lines with a network in NumPy.
    if library == "torch":
        if 'like="torch"' not in block:
            pytest.skip("no network of PyTorch in it")
        scope["unet"] = torch_unet()
    block = block.replace('like="torch"', f'like="{library}"')
    if "pipe" in block:
        scope["pipe"] = tiny_pipeline()
    exec(compile(block, str(README), "exec"), scope)
    plans = scope["plans"]
    for steps, plan in plans.items():
        assert len(plan.timesteps) == steps and (np.diff(plan.timesteps) < 0).all()
    if "images" in block and "pipe" in block:
        assert len(scope["images"]) == 2
    if "print" in block:
        assert capsys.readouterr().out.startswith("[")


def torch_unet():
    torch = pytest.importorskip("torch", reason="needs torch and diffusers: cargo xtask check-python")
    torch.manual_seed(0)
    return tiny_unet().eval()


def tiny_pipeline():
    torch = pytest.importorskip("torch", reason="needs torch and diffusers: cargo xtask check-python")
    diffusers = pytest.importorskip("diffusers", reason="needs torch and diffusers: cargo xtask check-python")
    torch.manual_seed(0)
    network = tiny_unet()
    pipe = diffusers.DDIMPipeline(network, diffusers.DDIMScheduler())
    pipe.set_progress_bar_config(disable=True)
    return pipe
