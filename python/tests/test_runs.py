"""Long runs: threads, exceptions, Ctrl-C, resuming, files."""

import copy
import os
import pickle
import signal
import sys
import threading
import time
import types

import numpy as np
import pytest

import ddpm_schedules as ds
from conftest import alphas_cumprod


def model_of(fn, name="m", batch=8, **kwargs):
    return ds.Denoiser(
        fn, ds.Process.vp(alphas_cumprod(200)), shape=(4,), batch=batch, name=name, check=False, **kwargs
    )


def halved(x, t):
    return 0.5 * x


def test_the_function_is_called_on_the_calling_thread_in_batches_of_one_size(data):
    here, seen = threading.get_ident(), []

    def fn(x, t):
        seen.append((threading.get_ident(), x.shape, t.shape, t.dtype, x.dtype))
        return halved(x, t)

    ds.profile(model_of(fn), data[:13], evaluations=13 * 20, clip=False)
    ds.follow(model_of(fn), count=5, nodes=20, steps=(4,), clip=False)
    assert set(seen) == {(here, (8, 4), (8,), np.dtype(np.int64), np.dtype(np.float32))}


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_numbers_do_not_depend_on_the_batch(batch, data):
    one, other = (ds.profile(model_of(halved, batch=b), data, evaluations=2048, clip=False) for b in (8, batch))
    plans = [ds.optimize(p, (3, 5), decoder="gaussian") for p in (one, other)]
    assert [p.cost for p in plans[0].values()] == [p.cost for p in plans[1].values()]


class Stops:
    """Raises at its n-th call."""

    def __init__(self, n, error):
        self.left, self.error = n, error

    def __call__(self, x, t):
        self.left -= 1
        if self.left == 0:
            raise self.error
        return halved(x, t)


def test_exceptions_of_the_function_come_through_with_their_traceback(data):
    class Mine(Exception):
        pass

    with pytest.raises(Mine) as caught:
        ds.profile(model_of(Stops(3, Mine("out of memory"))), data, evaluations=2048)
    assert any("__call__" in str(entry.name) for entry in caught.traceback)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("gone")])
def test_a_stopped_profile_is_resumed_to_the_same_bytes(error, data, tmp_path):
    def run(fn, out, **kwargs):
        return ds.profile(model_of(fn), data, evaluations=2048, clip=False, save_every=0.0, out=out, **kwargs)

    whole = tmp_path / "whole"
    run(halved, whole)
    broken = tmp_path / "broken"
    with pytest.raises(type(error)):
        run(Stops(100, error), broken)
    partial = tmp_path / "broken.partial"
    assert partial.exists() and not broken.exists()
    with pytest.raises(FileExistsError, match="resume=True"):
        run(halved, broken)
    counted = Stops(10**9, None)
    run(counted, broken, resume=True)
    assert broken.read_bytes() == whole.read_bytes() and not partial.exists()
    # No more than what was lost is made again.
    assert 10**9 - counted.left < 2048 / 8


def test_a_stopped_flow_is_resumed_to_the_same_bytes(data, tmp_path):
    def run(fn, out, **kwargs):
        return ds.follow(model_of(fn), count=16, nodes=20, steps=(4,), clip=False, save_every=0.0, out=out, **kwargs)

    run(halved, tmp_path / "whole")
    with pytest.raises(RuntimeError):
        run(Stops(60, RuntimeError()), tmp_path / "broken")
    run(halved, tmp_path / "broken", resume=True)
    assert (tmp_path / "broken").read_bytes() == (tmp_path / "whole").read_bytes()


def test_ctrl_c_stops_within_a_step(data, tmp_path, request):
    calls = 0
    # Shells have what they start in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def fn(x, t):
        nonlocal calls
        calls += 1
        if calls == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return halved(x, t)

    with pytest.raises(KeyboardInterrupt) as caught:
        ds.profile(model_of(fn), data, evaluations=None, save_every=0.0, out=tmp_path / "p")
    assert sys.version_info < (3, 11) or "p.partial; the same call with resume=True" in caught.value.__notes__[0]
    assert calls <= 8
    assert (tmp_path / "p.partial").exists()


def test_nothing_of_the_users_is_overwritten(data, tmp_path):
    out = tmp_path / "notes.txt"
    out.write_text("mine")
    with pytest.raises(FileExistsError, match="notes.txt exists"):
        ds.profile(model_of(halved), data, evaluations=2048, out=out)
    profile = ds.profile(model_of(halved), data, evaluations=2048, clip=False)
    plans = ds.optimize(profile, 4, decoder="gaussian")
    for save in (profile.save, plans.save):
        with pytest.raises(FileExistsError, match="overwrite=True"):
            save(out)
    with pytest.raises(ValueError, match="out: "):
        ds.profile(model_of(halved), data, evaluations=2048, out=out, resume=True)
    assert out.read_text() == "mine"
    plans.save(out, overwrite=True)
    assert ds.load(out)[4].cost == plans[4].cost


def test_a_run_of_another_network_is_not_resumed(data, tmp_path):
    out = tmp_path / "p"
    ds.profile(model_of(halved), data, evaluations=2048, out=out)
    with pytest.raises(ValueError, match="cannot resume: .* differs"):
        ds.profile(model_of(halved, name="another"), data, evaluations=2048, out=out, resume=True)


def test_progress_is_a_range_that_is_walked_through(data):
    walked = []

    def wrap(steps):
        for i in steps:
            walked.append((i, len(steps)))
            yield i

    ds.profile(model_of(halved), data, evaluations=2048, progress=wrap)
    assert walked == [(i, 2048) for i in range(2048)]
    walked.clear()
    ds.follow(model_of(halved), count=8, nodes=20, steps=(4,), progress=wrap)
    assert walked[:160] == [(i, 160) for i in range(160)] and len(walked) > 160


def test_no_thread_is_left_and_a_fork_works(data):
    before = len(os.listdir("/proc/self/task"))
    ds.profile(model_of(halved), data, evaluations=2048)
    # The system may take a moment to forget a thread that has ended.
    patience = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > before:
        assert time.monotonic() < patience, os.listdir("/proc/self/task")
    child = os.fork()
    if child == 0:
        try:
            profile = ds.profile(model_of(halved), data, evaluations=2048)
            os._exit(0 if profile.images == 64 else 1)
        except BaseException:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_files_go_round(chain, flow, data, tmp_path):
    profile = ds.profile(chain, data, evaluations=2048, clip=False)
    plans = ds.optimize(profile, (3, 5), decoder="gaussian")
    for name, thing in [("p", profile), ("s.json", plans)]:
        thing.save(tmp_path / name)
    again = ds.optimize(ds.load(tmp_path / "p"), (3, 5), decoder="gaussian")
    assert [p.cost for p in again.values()] == [p.cost for p in plans.values()]
    loaded = ds.load(tmp_path / "s.json")
    np.testing.assert_array_equal(loaded[5].timesteps, plans[5].timesteps)
    assert ds.bits_per_dim(chain, loaded[5], data).mean == ds.bits_per_dim(chain, plans[5], data).mean
    trajectories = ds.follow(flow, count=4, nodes=20, steps=(), out=tmp_path / "t")
    assert ds.load(tmp_path / "t").process == flow.process
    with pytest.raises(ValueError, match="process: expected that of .*found flow, 300 nodes"):
        ds.load(tmp_path / "t", ds.Process.flow(300))
    again = ds.load(tmp_path / "t", flow.process)
    assert again.nodes == trajectories.nodes
    plans = ds.optimize(again, 4)
    plans.save(tmp_path / "t.json")
    np.testing.assert_array_equal(ds.load(tmp_path / "t.json", flow.process)[4].timesteps, plans[4].timesteps)


def test_the_process_of_a_table_is_in_its_files(tmp_path):
    table = ds.Process.table([0.9, 0.5, 1 / 3], [0.1, 0.4, 0.9], [1.0, 2.0, 3.0])
    model = ds.Denoiser(lambda x, t: x, table, "x0", shape=(2,), check=False, name="table")
    flow = ds.follow(model, count=2, steps=(), growth=False, out=tmp_path / "t")
    ds.optimize(flow, 2, sampler="ddim").save(tmp_path / "s.json")
    for name in ("t", "s.json"):
        found = ds.load(tmp_path / name)
        found = found[2].process if name == "s.json" else found.process
        assert found == table and found.times.tolist() == table.times.tolist()
    with pytest.raises(ValueError, match="process: expected that of .*found table"):
        ds.load(tmp_path / "t", ds.Process.table([0.9, 0.5, 1 / 3], [0.1, 0.4, 0.9], [1.0, 2.0, 4.0]))


def test_a_file_that_came_beside_an_interrupted_run_is_not_replaced(data, tmp_path):
    out = tmp_path / "p"
    with pytest.raises(RuntimeError):
        ds.profile(model_of(Stops(30, RuntimeError())), data, evaluations=None, save_every=0.0, out=out)
    out.write_text("mine")
    with pytest.raises(FileExistsError, match="p exists: an interrupted run lies beside it, OUT.partial"):
        ds.profile(model_of(halved), data, evaluations=None, out=out, resume=True)
    assert out.read_text() == "mine"


def test_what_was_measured_and_chosen_is_pickled_and_copied(chain, flow, edm, data):
    scaled = ds.Process.flow(30, time_scale=1000)
    table = ds.Process.table([0.9, 0.5, 0.1], [0.1, 0.4, 0.9], [1.0, 2.0, 3.0])
    for process in (chain.process, ds.Process.named("cosine", 40), flow.process, scaled, edm.process, table):
        again = pickle.loads(pickle.dumps(process))
        assert again == process and repr(again) == repr(process)
    profile = ds.profile(chain, data, evaluations=2048, clip=False)
    trajectories = ds.follow(flow, count=4, nodes=20, steps=(4,), coefficients="fitted")
    of_both = {
        "elbo": ds.optimize(profile, (3, 5), decoder="gaussian", variance="spectral"),
        "quality": ds.optimize(trajectories, 4),
    }
    assert ds.optimize(pickle.loads(pickle.dumps(profile)), 5, decoder="gaussian")[5].cost
    assert copy.deepcopy(trajectories).trials == trajectories.trials
    own = ds.plan(chain.process, [10, 500], sampler="ancestral", variance="fixed-large", decoder="gaussian", clip=True)
    for plan in (of_both["elbo"][5], of_both["quality"][4], own):
        for again in (pickle.loads(pickle.dumps(plan)), copy.deepcopy(plan)):
            assert repr(again) == repr(plan) and again.process == plan.process and again.stderr == plan.stderr
            assert (again.variance, again.decoder, again.clip) == (plan.variance, plan.decoder, plan.clip)
            model = flow if plan.objective == "quality" and plan is not own else chain
            np.testing.assert_array_equal(ds.sample(model, again, count=2), ds.sample(model, plan, count=2))
    assert repr(pickle.loads(pickle.dumps(of_both["elbo"]))) == repr(of_both["elbo"])


def test_exports_are_those_of_the_command_line(chain, flow, data, monkeypatch):
    # The lists are checked here, not the schedulers, which need diffusers.
    diffusers = types.ModuleType("diffusers")
    diffusers.FlowMatchEulerDiscreteScheduler = object
    monkeypatch.setitem(sys.modules, "diffusers", diffusers)
    plans = ds.optimize(ds.follow(chain, count=4, nodes=30, steps=()), 4, sampler="ddim")
    namespace = {}
    exec(plans[4].export("k-diffusion"), namespace)
    np.testing.assert_allclose(namespace["sigmas"], plans[4].sigmas, rtol=1e-12)
    plan = ds.optimize(ds.follow(flow, count=4, nodes=30, steps=()), 4, sampler="euler")[4]
    for format, kept in [("k-diffusion", plan.sigmas), ("diffusers", plan.sigmas[:-1])]:
        exec(plan.export(format), namespace)
        np.testing.assert_allclose(namespace["sigmas"], kept, rtol=1e-12)
    # A scheduler that shifts makes of the unshifted list what was asked for.
    given = np.array(namespace["unshifted"](namespace["sigmas"], 3.0))
    np.testing.assert_allclose(3 * given / (1 + 2 * given), plan.sigmas[:-1], rtol=1e-12)
    np.testing.assert_allclose(np.fromstring(plan.export("comfyui"), sep=","), plan.sigmas, rtol=1e-12)
    with pytest.raises(ValueError, match="improved-diffusion cannot run schedules of another clock"):
        plan.export("improved-diffusion")


def test_a_network_is_freed_with_its_denoiser():
    import gc
    import weakref

    class Weights:
        def __call__(self, x, t):
            return halved(x, t)

    weights = Weights()
    model = ds.Denoiser(weights, ds.Process.vp(alphas_cumprod(100)), shape=(4,))
    watched = weakref.ref(weights), weakref.ref(model)
    del weights, model
    gc.collect()
    assert [of() for of in watched] == [None, None]


def test_nothing_computes_outside_of_a_call(chain, data, tmp_path):
    profile = ds.profile(chain, data, evaluations=4096, clip=False)
    before = len(os.listdir("/proc/self/task"))
    ds.follow(chain, count=2, nodes=20, steps=(), mean_of=profile)
    np.save(tmp_path / "images.npy", np.zeros((4, 1, 2, 2), np.uint8))
    patience = time.monotonic() + 5
    while len(os.listdir("/proc/self/task")) > before:
        assert time.monotonic() < patience, os.listdir("/proc/self/task")


def test_a_process_is_known_by_its_times_and_its_scale(data, tmp_path):
    def of(process):
        return ds.Denoiser(halved, process, prediction="x0", shape=(4,), name="m", check=False)

    s = np.arange(1, 21) / 20
    for own, other in [
        (ds.Process.flow(20), ds.Process.flow(20, time_scale=1000.0)),
        (ds.Process.table(1 - s, s, s), ds.Process.table(2 * (1 - s), 2 * s, s)),
        (ds.Process.table(1 - s, s, s), ds.Process.table(1 - s, s, 7 * s)),
    ]:
        out = tmp_path / str(len(os.listdir(tmp_path)))
        ds.follow(of(own), count=2, nodes=10, steps=(), out=out)
        assert ds.load(out, own).nodes
        with pytest.raises(ValueError, match="process: expected that of"):
            ds.load(out, other)
        with pytest.raises(ValueError, match="cannot resume"):
            ds.follow(of(other), count=2, nodes=10, steps=(), out=out, resume=True)
    # A table of a flow is told in s.
    plan = ds.optimize(ds.follow(of(ds.Process.table(1 - s, s, s)), count=2, nodes=10, steps=()), 3)[3]
    np.testing.assert_allclose(plan.sigmas[:-1], plan.timesteps, rtol=1e-12)


def test_a_finished_run_outlives_its_bar_and_a_lost_save_is_told(data, tmp_path, monkeypatch):
    def wrap(steps):
        yield from steps
        raise OSError("the terminal went away")

    out = tmp_path / "p"
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    ds.profile(model_of(halved), data, evaluations=2048, out=out, progress=wrap)
    assert out.exists() and "terminal" in str(told[0].exc_value)
    missing = tmp_path / "none" / "p"
    with pytest.raises(FileNotFoundError, match="cannot write"):
        ds.profile(model_of(halved), data, evaluations=2048, out=missing)


def test_steps_of_a_corrected_network_are_no_combination_of_whole_states(chain, data):
    profile = ds.profile(chain, data, evaluations=4096, clip=False)
    plan = ds.optimize(ds.follow(chain, count=4, nodes=20, steps=(), mean_of=profile), 4, sampler="ddim")[4]
    assert plan.mean == "calibrated"
    with pytest.raises(ValueError, match="calibrated mean"):
        plan.linear_steps()
