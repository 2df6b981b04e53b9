"""Plain loops of other programs, along our lists, end where `ds.sample` ends; with a sign, a shift or a scale wrong they do not."""

import importlib.util
import sys
import types

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import alphas_cumprod, noise_of
from test_surface import starts

#: sigma / alpha of the chain by timestep.
RATIOS = np.sqrt((1 - alphas_cumprod()) / alphas_cumprod())


# ---- the programs, in NumPy


def sample_euler(denoise, x, sigmas):
    """k-diffusion's, without churn."""
    for sigma, following in zip(sigmas, sigmas[1:]):
        d = (x - denoise(x, sigma)) / sigma
        x = x + d * (following - sigma)
    return x


def sample_dpmpp_2m(denoise, x, sigmas):
    """k-diffusion's: t = -log sigma, the estimate extrapolated by the one before, but not in the step to 0."""
    with np.errstate(divide="ignore"):
        t = -np.log(sigmas)
    old = None
    for i in range(len(sigmas) - 1):
        denoised = denoise(x, sigmas[i])
        h, combined = t[i + 1] - t[i], denoised
        if old is not None and sigmas[i + 1] > 0:
            r = (t[i] - t[i - 1]) / h
            combined = (1 + 1 / (2 * r)) * denoised - 1 / (2 * r) * old
        x = sigmas[i + 1] / sigmas[i] * x - np.expm1(-h) * combined
        old = denoised
    return x


def edm_euler(denoise, x, times):
    """Algorithm 1 of Karras et al. 2022 without its correction, sigma(t) = t."""
    for i in range(len(times) - 1):
        slope = (x - denoise(x, times[i])) / times[i]
        x = x + (times[i + 1] - times[i]) * slope
    return x


def flow_euler(velocity, x, times):
    """Flow-matching programs, openpi among them: 1 is noise, the network puts out noise - data."""
    for s, following in zip(times, times[1:]):
        x = x + (following - s) * velocity(x, s)
    return x


def flow_euler_upwards(velocity, x, times):
    """GR00T and F5-TTS: 0 is noise, the network puts out data - noise."""
    for t, following in zip(times, times[1:]):
        x = x + (following - t) * -velocity(x, 1 - t)
    return x


# ---- the networks, as these programs have them


def rows(value, x):
    return np.full(len(x), value)


def denoise_chain(x, sigma):
    """k-diffusion's wrapper of a network that predicts the noise: states divided by alpha, the nearest timestep by log sigma."""
    t = np.abs(np.log(RATIOS) - np.log(sigma)).argmin()
    bar = alphas_cumprod()[t]
    given = x / np.sqrt(sigma**2 + 1)
    epsilon = noise_of(rows(np.sqrt(bar), x), rows(np.sqrt(1 - bar), x), given)[1]
    return x - sigma * epsilon


def denoise_edm(x, sigma):
    return noise_of(rows(1.0, x), rows(sigma, x), x)[0]


def velocity(x, s):
    x0, epsilon = noise_of(rows(1 - s, x), rows(s, x), x)
    return epsilon - x0


# ---- whether they end where ours ends


def planned(model, sampler, steps=7):
    trajectories = ds.follow(model, count=8, sampler=sampler, steps=(), nodes=60, clip=False)
    return ds.optimize(trajectories, steps, sampler=sampler)[steps]


def first(model, count=6, seed=4):
    """The first states of samples (of the chain divided by alpha), and what `ds.sample` makes of them.

    Their variance is alpha^2 + sigma^2 of the last node.
    """
    process = model.process
    alpha, sigma = process.alphas[-1], process.sigmas[-1]
    x = starts(model, count, seed).astype(np.float64) * np.hypot(alpha, sigma)
    return x / alpha if process.kind == "vp" else x, lambda plan: ds.sample(model, plan, count=count, seed=seed)


def off(a, b):
    return float(np.abs(a - b).max())


NEAR, FAR = 1e-5, 1e-3
LOOPS = {"euler": sample_euler, "dpm++2m": sample_dpmpp_2m}
NETWORKS = {"chain": denoise_chain, "edm": denoise_edm}


@pytest.mark.parametrize("sampler", LOOPS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_k_diffusion(kind, sampler, request):
    model = request.getfixturevalue(kind)
    plan, denoise, loop = planned(model, sampler), NETWORKS[kind], LOOPS[sampler]
    x, sample = first(model)
    ends, sigmas = sample(plan), plan.sigmas
    assert off(loop(denoise, x, sigmas), ends) < NEAR
    # The other solver, another sign, another list, the one beside it.
    other = next(loop for name, loop in LOOPS.items() if name != sampler)
    process = model.process
    even = np.linspace(process.train_steps, 0, plan.steps + 1).round().astype(int)
    beside = np.clip(plan.nodes[::-1] - process.train_steps // 50, 1, None)
    assert off(other(denoise, x, sigmas), ends) > FAR
    assert off(loop(lambda x, sigma: 2 * x - denoise(x, sigma), x, sigmas), ends) > FAR
    for nodes in (even, np.append(beside, 0)):
        assert off(loop(denoise, x, process.sigmas[nodes] / process.alphas[nodes]), ends) > FAR
    if kind == "chain":
        np.testing.assert_allclose(sigmas[:-1], RATIOS[plan.timesteps], rtol=1e-12)
        # Without the division by alpha: of the levels, and of the first state.
        assert off(loop(denoise, x, np.append(process.sigmas[plan.nodes[::-1]], 0)), ends) > FAR
        assert off(loop(denoise, x * process.alphas[-1], sigmas), ends) > FAR


@pytest.fixture
def k_diffusion():
    """The package's `external` and `sampling`, without its evaluation, whose dependencies nothing here needs."""
    needs = "needs k-diffusion: cargo xtask check-python"
    pytest.importorskip("torch", reason=needs)
    found = importlib.util.find_spec("k_diffusion")
    if found is None:
        pytest.skip(needs)
    package = types.ModuleType("k_diffusion")
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["k_diffusion"] = package
    from k_diffusion import external, sampling

    yield external, sampling
    for name in [name for name in sys.modules if name.split(".")[0] == "k_diffusion"]:
        del sys.modules[name]


@pytest.mark.parametrize("sampler", LOOPS)
@pytest.mark.parametrize("kind", NETWORKS)
def test_k_diffusions_own_code(kind, sampler, request, k_diffusion):
    import torch

    external, sampling = k_diffusion
    model = request.getfixturevalue(kind)
    plan, loop = planned(model, sampler), {"euler": sampling.sample_euler, "dpm++2m": sampling.sample_dpmpp_2m}[sampler]
    bar, told = alphas_cumprod(), []

    def network(x, t):
        told.append(int(t[0]))
        alpha, sigma = np.sqrt(bar[told[-1]]), np.sqrt(1 - bar[told[-1]])
        return torch.from_numpy(noise_of(rows(alpha, x), rows(sigma, x), x.numpy())[1])

    def denoise(x, sigma):
        return torch.from_numpy(denoise_edm(x.numpy(), float(sigma[0])))

    if kind == "chain":
        denoise = external.DiscreteEpsDDPMDenoiser(network, torch.from_numpy(bar), quantize=True)
    x, sample = first(model)
    ended = loop(denoise, torch.from_numpy(x), torch.from_numpy(plan.sigmas), disable=True).numpy()
    assert off(ended, sample(plan)) < NEAR
    assert told == (plan.timesteps.tolist() if kind == "chain" else [])
    scaled = loop(denoise, torch.from_numpy(x), torch.from_numpy(1.1 * plan.sigmas), disable=True).numpy()
    assert off(scaled, sample(plan)) > FAR


def test_edms_own_loop(edm):
    plan = planned(edm, "euler")
    assert plan.sigmas[-1] == 0 and (plan.sigmas[:-1] == plan.timesteps).all()
    x, sample = first(edm)
    ends = sample(plan)
    assert off(edm_euler(denoise_edm, x, plan.sigmas), ends) < NEAR
    # EDM begins with sigma_max alone, which is less than ours by the data's own variance.
    assert off(edm_euler(denoise_edm, x * 80 / np.hypot(1, 80), plan.sigmas), ends) < 1e-3
    assert off(edm_euler(lambda x, t: 2 * x - denoise_edm(x, t), x, plan.sigmas), ends) > FAR
    assert off(edm_euler(denoise_edm, x, np.append(plan.sigmas[:-2], 0)), ends) > FAR
    assert off(edm_euler(denoise_edm, x, plan.sigmas / (1 + plan.sigmas)), ends) > FAR


def shifted(s, shift=3.0):
    return shift * s / (1 + (shift - 1) * s)


def test_a_flow_matching_loop(flow):
    plan = planned(flow, "euler")
    x, sample = first(flow)
    ends = sample(plan)
    s = plan.sigmas
    assert off(flow_euler(velocity, x, s), ends) < NEAR
    assert off(flow_euler_upwards(velocity, x, 1 - s), ends) < NEAR
    # The shift of 3 that schedulers apply to whatever they are given, undone and not.
    assert off(flow_euler(velocity, x, shifted(s / (3 - 2 * s))), ends) < NEAR
    assert off(flow_euler(velocity, x, shifted(s)), ends) > FAR
    assert off(flow_euler(lambda x, s: -velocity(x, s), x, s), ends) > FAR
    assert off(flow_euler(velocity, x, np.linspace(1, 0, len(s))), ends) > FAR
    assert off(flow_euler_upwards(velocity, x, (1 - s) ** 2), ends) > FAR


def test_a_flow_that_is_told_thousands():
    told = []

    def network(x, t):
        told.append(float(t[0]))
        return velocity(x, t[0] / 1000)

    model = ds.Denoiser(network, ds.Process.flow(400, time_scale=1000), "velocity", shape=(4,), batch=8, check=False)
    plan = planned(model, "euler")
    x, sample = first(model)
    told.clear()
    ends = sample(plan)
    np.testing.assert_allclose(told, 1000 * plan.sigmas[:-1], rtol=1e-12)
    np.testing.assert_allclose(plan.timesteps, told, rtol=1e-12)
    assert off(flow_euler(velocity, x, plan.sigmas), ends) < NEAR
    # A network of thousands that is told s.
    assert off(flow_euler(lambda x, s: velocity(x, s / 1000), x, plan.sigmas), ends) > FAR
