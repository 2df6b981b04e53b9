"""Wrong input: an exception that names the argument and says what was expected."""

import sys
import warnings

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import alphas_cumprod, noise_of

VP = ds.Process.vp(alphas_cumprod(100))


def model_of(fn=lambda x, t: 0.5 * x, process=VP, **kwargs):
    return ds.Denoiser(fn, process, **{"shape": (4,), "check": False, **kwargs})


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: ds.Process.vp(np.linspace(0, 1, 10)), "alphas_cumprod: .*expected the products of 1 - beta"),
        (lambda: ds.Process.vp([[0.9, 0.8]]), "alphas_cumprod: expected one axis, found 2"),
        (lambda: ds.Process.vp("cosine"), "alphas_cumprod: expected numbers"),
        (lambda: ds.Process.from_betas([0.1, 1.5]), "betas: "),
        (lambda: ds.Process.flow(0), "timestep"),
        (lambda: ds.Process.edm(2.0, 1.0), "sigma_max"),
        (lambda: ds.Process.table([1, 1], [1], [0, 1]), "sigmas"),
        (lambda: model_of(prediction="noisy"), "prediction: expected epsilon, x0, v, velocity or edm, found \"noisy\""),
        (lambda: model_of(shape=()), "shape: expected that of one datum"),
        (lambda: model_of(batch=0), "batch: expected a whole number of at least 1, found 0"),
        (lambda: model_of(classes=0), "classes: expected a whole number of at least 1"),
        (lambda: model_of(name=" "), "name: expected a text"),
        (lambda: model_of(like="tensorflow"), "like: expected one of numpy, torch, jax, found 'tensorflow'"),
        (lambda: model_of(prediction="edm", sigma_data=-1.0), "sigma_data: expected a finite number above 0"),
    ],
)
def test_models(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_types(data):
    with pytest.raises(TypeError, match="fn: expected a function"):
        ds.Denoiser(3, VP)
    with pytest.raises(TypeError, match="process: expected a Process, .*found ndarray"):
        ds.Denoiser(lambda x, t: x, alphas_cumprod())
    with pytest.raises(TypeError, match=r"prediction: expected a name .*found \(4,\); .*shape="):
        ds.Denoiser(lambda x, t: x, VP, (4,))
    with pytest.raises(TypeError, match="progress: expected a function of a range, such as tqdm.tqdm, found True"):
        ds.profile(model_of(), data, evaluations=400, progress=True)
    with pytest.raises(TypeError, match="images: expected an array, found object"):
        ds.profile(model_of(), object())
    with pytest.raises(TypeError, match="source: expected what ds.profile"):
        ds.optimize(model_of())
    with pytest.raises(TypeError, match="model: expected a Denoiser, found function"):
        ds.profile(lambda x, t: x, np.zeros((2, 4)))


@pytest.mark.parametrize(
    "fn, message",
    [
        (lambda x, t: x[:, :2], r"fn: expected an output of shape \(16, 4\), found \(16, 2\)"),
        (lambda x, t: x * np.nan, "fn: expected finite numbers, found NaN"),
        (lambda x, t: x - x.mean(0), "depends on the rows beside it, .*evaluation mode"),
        (lambda x, t: x - 0.3 * x[:1], "depends on the rows beside it"),
        (lambda x, t: 0.5 * x + 0.1 * np.cumsum(x, 0), "depends on the rows beside it"),
        (lambda x, t: (0.1 + 0.01 * t[0]) * x, "depends on .* their times, .*reads all of t"),
        (lambda x, t: np.roll(0.5 * x, 1, axis=0), "depends on the rows beside it"),
        (lambda x, t: (x,), "fn: expected an array, found tuple: return the output itself"),
        (lambda x, t: np.concatenate([x, x], axis=1), "of twice the channels.*learned_variance=True"),
    ],
)
def test_functions_are_tried_when_they_are_given(fn, message):
    with pytest.raises(ValueError, match=message):
        model_of(fn, check=True)


def test_a_network_that_breaks_later_is_named(data):
    calls = 0

    def fn(x, t):
        nonlocal calls
        calls += 1
        return x if calls < 4 else x / 0.0

    with np.errstate(all="ignore"), pytest.raises(ValueError, match="fn: expected finite numbers"):
        ds.profile(model_of(fn), data, evaluations=2048)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"evaluations": 3}, "evaluations: expected at least"),
        ({"limit": 65}, "limit: expected 1 to 64"),
        ({"limit": 0}, "limit: expected a whole number of at least 1"),
        ({"split": "val"}, "split"),
        ({"labels": [0] * 64}, "labels: expected none: the network has no classes"),
        ({"save_every": -1.0}, "save_every"),
    ],
)
def test_profiles(arguments, message, data):
    with pytest.raises(ValueError, match=message):
        ds.profile(model_of(), data, **arguments)


def test_images_of_another_shape_or_range(data):
    with pytest.raises(ValueError, match=r"images: expected data of shape \[4\].*found \[3\]"):
        ds.profile(model_of(), data[:, :3])
    with pytest.raises(ValueError, match="images: expected finite"):
        ds.profile(model_of(), data * np.nan)
    with pytest.warns(UserWarning, match=r"\[0, 1\]; expected \[-1, 1\]"):
        ds.profile(model_of(), np.random.default_rng(0).random((16, 4)), evaluations=400)
    with pytest.raises(FileNotFoundError, match="no-such"):
        ds.profile(model_of(), "/no-such/images")


def test_what_a_network_says_is_held_against_its_prediction():
    """Nearly noise in: epsilon comes out of networks that predict it, and of no others."""
    bar = alphas_cumprod(1000)
    chain = ds.Process.vp(bar)

    def told(prediction, fn, process=chain):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            ds.Denoiser(fn, process, prediction, shape=(4,))
        return " ".join(str(one.message) for one in caught)

    def outputs(x, t):
        alpha, sigma = np.sqrt(bar[t]), np.sqrt(1 - bar[t])
        x0, epsilon = noise_of(alpha, sigma, x)
        return {"x0": x0 + 0.1, "epsilon": epsilon, "v": alpha[:, None] * epsilon - sigma[:, None] * (x0 + 0.1)}

    for own in ("x0", "epsilon", "v"):
        for said in ("x0", "epsilon", "v"):
            text = told(said, lambda x, t, own=own: outputs(x, t)[own])
            assert (text == "") == (own == said or {own, said} == {"x0", "v"}), (own, said, text)
    # Of data around 0 the best x0 and v go with the state too, and are small.
    exact = {"x0": lambda x, t: noise_of(np.sqrt(bar[t]), np.sqrt(1 - bar[t]), x)[0]}
    exact["v"] = lambda x, t: np.sqrt(bar[t])[:, None] * noise_of(np.sqrt(bar[t]), np.sqrt(1 - bar[t]), x)[1] - np.sqrt(1 - bar[t])[:, None] * exact["x0"](x, t)
    assert [told(name, fn) for name, fn in exact.items()] == ["", ""]
    assert told("epsilon", lambda x, t: x) == "" and "1 - beta" in told(
        "epsilon", lambda x, t: x, ds.Process.vp(1 - np.linspace(1e-4, 0.02, 1000))
    )
    assert 'expected "v"' in told("velocity", lambda x, t: x)


def test_an_exception_of_the_first_call_says_what_the_function_was_given():
    with pytest.raises(AttributeError) as caught:
        ds.Denoiser(lambda x, t: x.float(), VP, shape=(4,))
    if sys.version_info >= (3, 11):
        assert "numpy's x of shape (16, 4)" in caught.value.__notes__[0] and 'like="torch"' in caught.value.__notes__[0]


def test_bins_of_pixels_are_said_where_there_are_none(data):
    profile = ds.profile(model_of(), data, evaluations=2048)
    with pytest.warns(UserWarning, match=r"decoder: bits/dim are of the bins of 8-bit pixels; .*\(4,\).*gaussian"):
        ds.optimize(profile, 4)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ds.optimize(profile, 4, decoder="gaussian")


def test_choosing(data):
    profile = ds.profile(model_of(), data, evaluations=2048)
    flow = ds.follow(model_of(), count=4, nodes=20, steps=())
    for source, arguments, message in [
        (profile, {"objective": "quality"}, "objective: quality is chosen on ds.follow"),
        (flow, {"objective": "elbo"}, "objective: elbo is chosen on ds.profile"),
        (profile, {"sampler": "ddim"}, "sampler: a likelihood is one of ancestral steps"),
        (flow, {"variance": "analytic"}, "variance: does not go with objective 'quality'"),
        (profile, {"variance": "learned"}, "learned"),
        (profile, {"variance": "wide"}, "variance: .*fixed-small"),
        (flow, {"sampler": "unipc"}, "sampler: "),
        (flow, {"sampler": "heun"}, "sampler: .*ddim"),
        (flow, {"sampler": "ipndm"}, "growth of errors: expected measured for ipndm, .*; ds.follow measures"),
        (flow, {"coefficients": "fitted"}, "with fitted coefficients: expected .*; ds.follow measures and teaches"),
        (profile, {"steps": [0]}, "steps: expected a whole number of at least 1, found 0"),
        (profile, {"steps": [101]}, "100"),
        (flow, {"steps": [21]}, "steps: K=21: expected at most 20"),
    ]:
        with pytest.raises(ValueError, match=message):
            ds.optimize(source, **{"steps": [4], **arguments})
    plans = ds.optimize(profile, [4, 6])
    with pytest.raises(KeyError, match=r"no schedule of 5 steps: there are \[4, 6\]"):
        plans[5]
    other = ds.Denoiser(lambda x, t: x, ds.Process.flow(100), prediction="x0", shape=(4,), check=False)
    with pytest.raises(ValueError, match="plan: expected one of the network's process"):
        ds.sample(other, plans[4])
    with pytest.raises(ValueError, match="sampler: expected ddpm"):
        ds.sample(model_of(), plans[4], sampler="ddim")


def test_files_of_others(tmp_path):
    path = tmp_path / "x"
    with pytest.raises(FileNotFoundError):
        ds.load(path)
    for content in (b"", b"{}", b"{\"format\"", b"\x80\x04N.", b"garbage" * 100):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x"):
            ds.load(path)


def test_costs():
    with pytest.raises(ValueError, match="costs: expected two axes, found 1"):
        ds.solve([1.0, 2.0])
    with pytest.raises(ValueError, match="costs: "):
        ds.solve(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="costs: "):
        ds.solve(np.full((3, 3), np.nan))


@pytest.mark.parametrize("wrong", [-1, 2.5, "3", None, True, 1 << 70])
def test_numbers_are_named(wrong, data):
    profile = ds.profile(model_of(), data, evaluations=2048)
    plans = ds.optimize(profile, np.int64(4))
    for name, call in [
        ("batch", lambda: model_of(batch=wrong)),
        ("shape", lambda: model_of(shape=(4, wrong))),
        ("count", lambda: ds.follow(model_of(), count=wrong)),
        ("count", lambda: ds.sample(model_of(), plans[4], count=wrong)),
        ("seed", lambda: ds.sample(model_of(), plans[4], seed=wrong)),
        ("first", lambda: ds.sample(model_of(), plans[4], first=wrong)),
        ("blocks", lambda: ds.distance(data, data, blocks=wrong)),
        ("steps", lambda: ds.optimize(profile, [wrong])),
        ("steps", lambda: ds.solve(np.ones((3, 3)), [wrong])),
    ]:
        with pytest.raises(ValueError, match=f"{name}: expected"):
            call()


def test_what_no_memory_holds_is_refused(data):
    plans = ds.optimize(ds.profile(model_of(), data, evaluations=2048), 4)
    for call in [
        lambda: ds.sample(model_of(), plans[4], count=1 << 50),
        lambda: ds.follow(model_of(), count=1 << 50),
        lambda: model_of(shape=(1 << 50,)),
    ]:
        with pytest.raises(MemoryError, match="count|shape"):
            call()


def test_images_of_levels_are_uint8():
    levels = np.random.default_rng(0).integers(0, 256, (8, 1, 2, 2))
    model = model_of(shape=(1, 2, 2))
    for wrong in (levels, levels.astype(np.uint16), levels.astype(float), levels > 3):
        with pytest.raises(ValueError, match="images: expected uint8 or floats"):
            ds.profile(model, wrong, evaluations=200)
    assert ds.profile(model, levels.astype(np.uint8), evaluations=200).images


def test_a_network_whose_time_runs_the_other_way_is_noticed():
    def velocity(x, s):
        return x

    with pytest.warns(UserWarning, match="points against the state"):
        ds.Denoiser(lambda x, s: -velocity(x, s), ds.Process.flow(20), prediction="velocity", shape=(4,))
    with pytest.raises(ValueError, match="time_scale: expected a finite number above 0"):
        ds.Process.flow(time_scale=-1.0)


def test_functions_may_change_what_they_are_shown():
    def fn(x, t):
        x *= np.float32(0.5)
        return x

    assert ds.Denoiser(fn, VP, shape=(4,)).rows_are_independent
    memory = np.zeros((16, 4), np.float32)

    def mixing(x, t):
        memory[:] = x - x.mean(0)
        return memory

    with pytest.raises(ValueError, match="depends on the rows beside it"):
        ds.Denoiser(mixing, VP, shape=(4,))


def test_a_run_that_cannot_be_resumed_is_told_at_its_start(data, tmp_path):
    with pytest.warns(UserWarning, match="name: the network has none"):
        ds.profile(model_of(), data, evaluations=2048, out=tmp_path / "p")
    with pytest.raises(ValueError, match="resume: expected out="):
        ds.profile(model_of(), data, resume=True)
    profile = ds.profile(model_of(), data, evaluations=2048)
    quality = ds.optimize(ds.follow(model_of(), count=2, nodes=10, steps=()), 3)[3]
    with pytest.raises(ValueError, match="plan: expected one that was chosen on a profile"):
        ds.bits_per_dim(model_of(), quality, data)
    with pytest.raises(TypeError, match="plan: expected one schedule"):
        ds.sample(model_of(), ds.optimize(profile, 3))


def test_places_are_tried_before_anything_is_computed(data, tmp_path):
    called = []

    def fn(x, t):
        called.append(1)
        return 0.5 * x

    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for place in (tmp_path / "none" / "p", tmp_path, tmp_path / "link", "/dev/null"):
        with pytest.raises(OSError):
            ds.profile(model_of(fn, name="m"), data, evaluations=2048, out=place)
    assert not called
    target = tmp_path / "target"
    plans = ds.optimize(ds.profile(model_of(), data, evaluations=2048), 3)
    target.write_text("old")
    (tmp_path / "there").symlink_to(target)
    plans.save(tmp_path / "there", overwrite=True)
    assert (tmp_path / "there").is_symlink() and ds.load(target)[3].steps == 3
