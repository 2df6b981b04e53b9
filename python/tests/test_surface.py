"""Five lines for a likelihood, five for quality, on each kind of process; and what the numbers must be."""

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import POWER, alphas_cumprod, noise_of


def test_likelihood_schedules_of_a_chain(chain, data):
    profile = ds.profile(chain, data, evaluations=None, clip=False)
    plans = ds.optimize(profile, range(2, 9), decoder="gaussian")
    costs = [plans[k].cost for k in plans]
    assert costs == sorted(costs, reverse=True)
    plan = plans[4]
    assert plan.timesteps.dtype == np.int64 and len(plan.timesteps) == 4
    assert (np.diff(plan.timesteps) < 0).all() and plan.timesteps[0] == 999
    bar = alphas_cumprod()
    sigmas = np.sqrt((1 - bar) / bar)[plan.timesteps]
    np.testing.assert_allclose(plan.sigmas[:-1], sigmas, rtol=1e-12)
    assert plan.sigmas[-1] == 0 and plan.stderr > 0
    # Direct evaluation on the same data and noise agrees with the table.
    scored = ds.bits_per_dim(chain, plan, data, split="train")
    assert scored.mean == pytest.approx(plan.cost + plan.prior, abs=1e-6)
    assert scored.terms.shape == (4, 64) and scored.total.shape == (64,)


@pytest.mark.parametrize("kind", ["chain", "flow", "edm"])
def test_quality_schedules_of_every_process_bring_samples_to_the_end_of_the_flow(kind, request):
    model = request.getfixturevalue(kind)
    trajectories = ds.follow(model, count=32, steps=(), nodes=80, clip=False)
    distances = {}
    for sampler in ("euler", "dpm++2m"):
        plans = ds.optimize(trajectories, (4, 8, 16), sampler=sampler)
        for k, plan in plans.items():
            ends = ds.sample(model, plan, count=64, seed=5)
            distances[sampler, k] = rms(ends - exact_ends(model, count=64, seed=5))
    for sampler in ("euler", "dpm++2m"):
        assert distances[sampler, 16] < distances[sampler, 8] < distances[sampler, 4]
    assert distances["dpm++2m", 16] < 0.02 < distances["euler", 4]


def rms(x):
    return float(np.sqrt(np.mean(x**2)))


def exact_ends(model, count, seed):
    """Where the flow of Gaussian data ends: each coordinate of the start times the standard deviation of the data over that of the start."""
    process = model.process
    n = process.train_steps
    alpha, sigma = process.alphas[n], process.sigmas[n]
    first = starts(model, count, seed) * np.hypot(alpha, sigma)
    return first * np.sqrt(POWER / (alpha**2 * POWER + sigma**2))


def starts(model, count, seed):
    """The standard normal starts of samples, read off a network that keeps what it is shown first."""
    seen = []

    def fn(x, t):
        seen.append(x.copy())
        return np.zeros_like(x)

    process = model.process
    n = process.train_steps
    spy = ds.Denoiser(fn, process, prediction="x0", shape=(4,), batch=count, check=False)
    trajectories = ds.follow(spy, count=count, seed=seed, steps=(), nodes=2, growth=False, clip=False)
    del trajectories
    return seen[0] / np.hypot(process.alphas[n], process.sigmas[n])


@pytest.mark.parametrize("kind", ["chain", "flow", "edm"])
@pytest.mark.parametrize("sampler", ["euler", "dpm++2m", "dpm++3m", "ipndm"])
def test_linear_steps_are_the_steps_that_sample_takes(kind, sampler, request):
    model = request.getfixturevalue(kind)
    trajectories = ds.follow(model, count=8, sampler=sampler, steps=(), nodes=40, clip=False)
    plan = ds.optimize(trajectories, 6, sampler=sampler)[6]
    process = model.process
    x = starts(model, 5, 3) * np.hypot(process.alphas[-1], process.sigmas[-1])
    before = []
    for step in plan.linear_steps():
        alpha, sigma = (np.full(5, v[step["t"]]) for v in (process.alphas, process.sigmas))
        x0, eps = noise_of(alpha, sigma, x)
        following = step["x"] * x + step["d"] * x0
        for weight, remembered in zip(step["history"], before):
            following = following + weight * remembered
        before.insert(0, x0 if plan.remembers == "x0" else eps)
        x = following
    np.testing.assert_allclose(ds.sample(model, plan, count=5, seed=3), x, atol=2e-5)


def test_euler_on_a_flow_is_the_step_of_its_velocity(flow):
    plan = ds.optimize(ds.follow(flow, count=8, steps=(), nodes=40, clip=False), 5, sampler="euler")[5]
    assert plan.sampler == "ddim" and plan.prediction == "velocity"
    x = starts(flow, 4, 9)
    for s, following in zip(plan.timesteps, [*plan.timesteps[1:], 0.0]):
        x0, eps = noise_of(np.full(4, 1 - s), np.full(4, s), x)
        x = x + (following - s) * (eps - x0)
    np.testing.assert_allclose(ds.sample(flow, plan, count=4, seed=9), x, atol=2e-5)
    np.testing.assert_array_equal(plan.sigmas[:-1], plan.timesteps)


def test_solve_finds_the_cheapest_paths():
    rng = np.random.default_rng(3)
    costs = np.where(np.tri(7, k=-1) > 0, rng.random((7, 7)), np.inf)
    costs[6, 0] = np.inf
    found = ds.solve(costs)
    assert 1 not in found
    for k, best in found.items():
        paths = [(0, *middle, 6) for middle in combinations(range(1, 6), k - 1)]
        cheapest = min(sum(costs[t, s] for s, t in zip(path, path[1:])) for path in paths)
        assert best.cost == pytest.approx(cheapest, abs=1e-12)
        assert len(best.path) == k + 1


def combinations(values, k):
    import itertools

    return itertools.combinations(values, k)


def test_distance_of_shifted_gaussians():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((4000, 3)), rng.standard_normal((4000, 3)) + [1, 0, 0]
    found = ds.distance(a, b)
    assert found.value == pytest.approx(1, abs=0.15) and 0 < found.stderr < 0.1


def test_learned_variance_comes_with_twice_the_channels_or_as_a_pair(data):
    bar = alphas_cumprod(100)

    def pair(x, t):
        return noise_of(np.sqrt(bar[t]), np.sqrt(1 - bar[t]), x)[1], 0.3 * np.ones_like(x)

    def wide(x, t):
        return np.concatenate(pair(x, t), axis=1)

    costs = []
    for fn in (pair, wide):
        model = ds.Denoiser(fn, ds.Process.vp(bar), shape=(4,), learned_variance=True)
        profile = ds.profile(model, data, evaluations=None, clip=False)
        plan = ds.optimize(profile, 5)[5]
        assert plan.variance == "learned"
        costs.append(plan.cost)
    assert costs[0] == costs[1]


def test_classes_are_shown(data):
    bar = alphas_cumprod(100)
    seen = set()

    def fn(x, t, labels):
        seen.update(labels.tolist())
        assert labels.dtype == np.int64 and labels.shape == t.shape
        return np.zeros_like(x)

    model = ds.Denoiser(fn, ds.Process.vp(bar), shape=(4,), classes=3)
    ds.profile(model, data, labels=np.arange(64) % 3, evaluations=2048, clip=False)
    assert seen == {0, 1, 2}
    seen.clear()
    ds.follow(model, count=2, label=2, nodes=10, steps=(), growth=False)
    assert seen == {2}
    with pytest.raises(ValueError, match="label: expected one of the network's 3 classes, found none"):
        ds.follow(model, count=2, nodes=10)
    with pytest.raises(ValueError, match="below 3, found 3"):
        ds.follow(model, count=2, label=3, nodes=10)


def test_a_list_of_ones_own_is_sampled_and_scored_like_a_chosen_one(chain, flow, data):
    chosen = ds.optimize(ds.follow(flow, count=8, steps=(), nodes=40), 5, sampler="euler")[5]
    own = ds.plan(flow.process, chosen.timesteps[::-1], sampler="euler")
    np.testing.assert_array_equal(own.nodes, chosen.nodes)
    np.testing.assert_array_equal(ds.sample(flow, own, count=4), ds.sample(flow, chosen, count=4))
    assert own.cost is None and "cost=none" in repr(own)
    uniform = ds.plan(flow.process, np.linspace(1, 0, 8, endpoint=False), sampler="euler")
    np.testing.assert_allclose(uniform.timesteps, 1 - np.arange(8) / 8)
    profile = ds.profile(chain, data, evaluations=None)
    plan = ds.optimize(profile, 6, variance="fixed-small", mean="network")[6]
    even = ds.plan(chain.process, plan.timesteps, sampler="ancestral", clip=plan.clip)
    both = [ds.bits_per_dim(chain, p, data, split="train").mean for p in (plan, even)]
    assert both[0] == both[1]
    density = ds.plan(chain.process, plan.timesteps, sampler="ancestral", decoder="gaussian", clip=plan.clip)
    assert density.decoder == "gaussian" and ds.bits_per_dim(chain, density, data, split="train").mean != both[0]
    np.testing.assert_array_equal(ds.plan(flow.process, np.linspace(1, 0, 9)).nodes, uniform.nodes)
    assert ds.plan(chain.process, np.linspace(999, 0, 8)).timesteps.tolist() == [999, 856, 714, 571, 428, 285, 143, 0]
    for wrong in ([0.5, 0.5], [2.0], [np.nan], [], [[0.5]], [-0.1], 8, [0.0]):
        with pytest.raises(ValueError, match="timesteps: expected"):
            ds.plan(flow.process, wrong)
    with pytest.raises(ValueError, match="timesteps: expected times of the process, 0 to 999"):
        ds.plan(chain.process, [3, 1000])
    with pytest.raises(ValueError, match="variance analytic needs .*measured"):
        ds.plan(chain.process, [3, 500], sampler="ancestral", variance="analytic")
    with pytest.raises(ValueError, match="decoder optimal needs .*measured"):
        ds.plan(chain.process, [3, 500], sampler="ancestral", decoder="optimal")
    with pytest.raises(ValueError, match="decoder: expected none of ddim"):
        ds.plan(chain.process, [3, 500], decoder="gaussian")
    zero = ds.Process.table([0.9, 0.5, 0.1], [0.1, 0.4, 0.9], [0.0, 2.0, 3.0])
    assert ds.plan(zero, [3, 2, 0]).nodes.tolist() == [1, 2, 3]
    with pytest.raises(ValueError, match="timesteps: expected times of the process, 0 to 3"):
        ds.plan(zero, [4.0])
    with pytest.raises(ValueError, match="path: a list of one's own"):
        ds.Plans(own._schedules).save("/tmp/never")
