"""Functions of PyTorch and JAX: arrays of their kind, in their dtype, without gradients."""

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import alphas_cumprod

NEEDS_TORCH = "needs torch and diffusers: cargo xtask check-python"


def profile_of(fn, data, **kwargs):
    model = ds.Denoiser(fn, ds.Process.vp(alphas_cumprod(100)), shape=(4,), batch=8, **kwargs)
    plans = ds.optimize(ds.profile(model, data, evaluations=1024, clip=False), 4, decoder="gaussian", sampler="ancestral")
    return plans[4].cost


@pytest.fixture
def cost(data):
    """That of NumPy."""
    return profile_of(lambda x, t: 0.5 * x, data)


@pytest.mark.parametrize("asked", [{"like": "torch"}, {"device": "cpu"}, {"like": "torch", "dtype": "float64"}])
def test_torch(asked, data, cost):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    weight = torch.tensor(0.5, requires_grad=True)
    seen = set()

    def fn(x, t):
        out = weight.to(x.dtype) * x
        seen.add((x.dtype, t.dtype, x.device.type, t.device.type, torch.is_grad_enabled(), out.requires_grad))
        return out

    assert profile_of(fn, data, **asked) == pytest.approx(cost, rel=1e-6)
    dtype = torch.float64 if "dtype" in asked else torch.float32
    assert seen == {(dtype, torch.int64, "cpu", "cpu", False, False)}
    assert torch.is_grad_enabled()


def test_torch_in_half_precision_and_outputs_of_diffusers(data, cost):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)

    class Output:
        def __init__(self, sample):
            self.sample = sample

    def fn(x, t):
        assert x.dtype == torch.bfloat16
        return Output(0.5 * x)

    assert profile_of(fn, data, dtype=torch.bfloat16) == pytest.approx(cost, rel=0.02)


def test_a_network_in_training_mode_is_noticed(data):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    process = ds.Process.vp(alphas_cumprod(100))
    with pytest.raises(ValueError, match=r"depends on the rows beside it.*model\.eval\(\)"):
        ds.Denoiser(lambda x, t: network(x), process, shape=(4,), like="torch")
    network.eval()
    assert ds.Denoiser(lambda x, t: network(x), process, shape=(4,), like="torch").rows_are_independent is not None


def test_jax(data, cost):
    jax = pytest.importorskip("jax", reason="needs jax")

    @jax.jit
    def fn(x, t):
        assert isinstance(x, jax.Array) and x.dtype == np.float32
        return 0.5 * x

    assert profile_of(fn, data, like="jax") == pytest.approx(cost, rel=1e-6)


def test_a_module_of_torch_goes_by_its_weights(data, tmp_path):
    torch = pytest.importorskip("torch", reason=NEEDS_TORCH)

    class Scale(torch.nn.Module):
        def __init__(self, by, calls=None):
            super().__init__()
            self.by, self.calls = torch.nn.Parameter(torch.tensor(by)), calls
            self.register_buffer("extra", torch.ones(3, dtype=torch.bfloat16))

        def forward(self, x, t):
            if self.calls is not None:
                self.calls -= 1
                if self.calls == 0:
                    raise RuntimeError("stopped")
            return self.by * x

    def run(network, **kwargs):
        model = ds.Denoiser(network, ds.Process.vp(alphas_cumprod(100)), shape=(4,), batch=8, check=False)
        return ds.profile(model, data, evaluations=None, clip=False, save_every=0.0, **kwargs)

    class Wrapped(torch.nn.Module):
        def forward(self, x, t):
            return 0.5 * x

    model = ds.Denoiser(Scale(0.5), ds.Process.vp(alphas_cumprod(100)), shape=(4,), batch=8, check=False)
    names = []
    for by in (0.5, 0.6, 0.5):
        with torch.no_grad():
            model._call.fn.by.fill_(by)
        ds.profile(model, data, evaluations=400, clip=False, out=tmp_path / f"of {len(names)}")
        names.append(model.name)
    assert names[0] == names[2] != names[1]
    with pytest.warns(UserWarning, match="name: the network has none"):
        run(Wrapped(), out=tmp_path / "wrapped")
    with pytest.raises(RuntimeError):
        run(Scale(0.5, calls=40), out=tmp_path / "p")
    with pytest.raises(ValueError, match="differs: .*name:weights"):
        run(Scale(0.6), out=tmp_path / "p", resume=True)
    run(Scale(0.5), out=tmp_path / "p", resume=True)
    run(Scale(0.5), out=tmp_path / "whole")
    assert (tmp_path / "p").read_bytes() == (tmp_path / "whole").read_bytes()
