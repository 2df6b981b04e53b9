"""diffusers: lists, the installed scheduler and traces, against tiny networks of random weights.

Steps are compared as they are executed: what `scheduler.step` is handed and returns, with the plan's own steps in NumPy. Nothing is downloaded.
"""

import inspect
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch: pip install torch")
diffusers = pytest.importorskip("diffusers", reason="needs diffusers: pip install diffusers")

import ddpm_schedules as ds  # noqa: E402
from ddpm_schedules._diffusers import install, kwargs_for, process_of  # noqa: E402
from ddpm_schedules._trace import trace  # noqa: E402
from ddpm_schedules._planned import PlannedScheduler  # noqa: E402
from conftest import alphas_cumprod  # noqa: E402
from pipelines import ddpm_pipe, flux_pipe, ready, sd3_pipe, sd_pipe, sdxl_pipe  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
# The folder of what is tested.
PACKAGE = Path(ds.__file__).parent


# ---- plans whose nodes are chosen by hand


class HandProcess:
    """A process as the package shows it, from its arrays over the nodes 1..N."""

    def __init__(self, kind, alphas, sigmas, times):
        self.kind, self.train_steps = kind, len(alphas)
        self.alphas, self.sigmas = np.append(1.0, alphas), np.append(0.0, sigmas)
        self.times = np.append(0.0, times)

    @staticmethod
    def vp(alphas_cumprod):
        bar = np.asarray(alphas_cumprod, dtype=np.float64)
        return HandProcess("vp", np.sqrt(bar), np.sqrt(1 - bar), np.arange(len(bar)))

    @staticmethod
    def flow(nodes=1000):
        s = np.arange(1, nodes + 1) / nodes
        return HandProcess("flow", 1 - s, s, s)

    @staticmethod
    def edm(sigma_min=0.002, sigma_max=80.0, nodes=1000):
        ramp = np.arange(nodes) / (nodes - 1)
        sigma = (sigma_min ** (1 / 7) + ramp * (sigma_max ** (1 / 7) - sigma_min ** (1 / 7))) ** 7
        return HandProcess("edm", np.ones(nodes), sigma, sigma)

    @staticmethod
    def table(alphas, sigmas, times):
        return HandProcess("table", *(np.asarray(one, dtype=np.float64) for one in (alphas, sigmas, times)))


class HandPlan:
    """A plan with nodes of one's own, its steps by the textbook."""

    def __init__(self, process, nodes, sampler="ddim", prediction="epsilon", clip=False, variance=None, **more):
        self.process, self.sampler, self.prediction, self.clip, self.variance = (
            process,
            # A plan that was asked for Euler's steps says ddim.
            "ddim" if sampler == "euler" else sampler,
            prediction,
            clip,
            variance,
        )
        self.nodes = np.asarray(sorted(nodes), dtype=np.int64)
        self.steps = len(self.nodes)
        times = process.times[self.nodes[::-1]]
        self.timesteps = times.astype(np.int64) if process.kind == "vp" else times
        self.objective, self.coefficients, self.mean, self.remembers = "quality", "solver", "network", "x0"
        self.carried_only_by_install = []
        self.__dict__.update(more)

    def export_diffusers(self):
        return None

    def linear_steps(self):
        path = [*self.nodes[::-1].tolist(), 0]
        alpha, sigma = self.process.alphas, self.process.sigmas
        with np.errstate(divide="ignore"):
            rate = np.log(alpha) - np.log(sigma)
        steps = []
        for k, (t, s) in enumerate(zip(path, path[1:])):
            one = dict(t=t, s=s, x=sigma[s] / sigma[t], d=0.0, history=[], noise=0.0)
            one["d"] = alpha[s] - alpha[t] * one["x"]
            if self.sampler == "dpm++2m" and 0 < k < self.steps - 1:
                part = (rate[s] - rate[t]) / (rate[t] - rate[path[k - 1]]) / 2
                one["history"] = [-one["d"] * part]
                one["d"] *= 1 + part
            if self.sampler == "ancestral":
                beta = 1 - (alpha[t] / alpha[s]) ** 2
                one["x"] = alpha[t] / alpha[s] * sigma[s] ** 2 / sigma[t] ** 2
                one["d"] = alpha[s] * beta / sigma[t] ** 2
                one["noise"] = (
                    sigma[s] / sigma[t] * np.sqrt(beta) if self.variance == "fixed-small" else np.sqrt(beta) * (s > 0)
                )
            steps.append(one)
        return steps


def d_of(plan, x, output, node):
    alpha, sigma = plan.process.alphas[node], plan.process.sigmas[node]
    x0 = {
        "epsilon": lambda: (x - sigma * output) / alpha,
        "x0": lambda: output,
        "v": lambda: alpha * x - sigma * output,
        "velocity": lambda: x - sigma * output,
        "edm": lambda: 0.25 / (sigma**2 + 0.25) * x + sigma * 0.5 / np.sqrt(sigma**2 + 0.25) * output,
    }[plan.prediction]()
    return np.clip(x0, -1, 1) if plan.clip else x0


# ---- what is executed


class Steps:
    """Everything that a pipeline hands to its scheduler's step and gets back, in float64."""

    def __init__(self, pipe):
        self.pipe, self.rows = pipe, []

    def __enter__(self):
        scheduler, own = self.pipe.scheduler, self.pipe.scheduler.step

        def step(model_output, timestep, sample, **options):
            before = [numpy(model_output), float(timestep), numpy(sample)]
            made = own(model_output, timestep, sample, **options)
            self.rows.append((*before, numpy(made[0])))
            return made

        # Pipelines look at the signature.
        step.__signature__ = inspect.signature(own)
        scheduler.step = step
        return self

    def __exit__(self, *error):
        del self.pipe.scheduler.step

    def check(self, plan, divided=False, tolerance=2e-5):
        """Every step is the plan's, by its own coefficients; states are divided by alpha in some schedulers."""
        assert len(self.rows) == plan.steps
        history = []
        for one, (output, _, x, after) in zip(plan.linear_steps(), self.rows):
            t, s = one["t"], one["s"]
            scale = [plan.process.alphas[node] if divided else 1.0 for node in (t, s)]
            x = x * scale[0]
            d = d_of(plan, x, output, t)
            wanted = one["x"] * x + one["d"] * d + sum(w * h for w, h in zip(one["history"], history))
            error = np.abs(after * scale[1] - wanted).max() / max(1.0, np.abs(wanted).max(), np.abs(x).max())
            assert error < tolerance, f"the step from node {t} to {s} is off by {error:.2g}"
            remembered = d if plan.remembers == "x0" else (x - plan.process.alphas[t] * d) / plan.process.sigmas[t]
            history = [remembered, *history]


def numpy(tensor):
    return tensor.detach().double().numpy().copy()


class ListPipe:
    """The least that a pipeline is: a list handed on by the code that pipelines have, a linear network."""

    def __init__(self, scheduler):
        self.scheduler = scheduler

    def __call__(self, num_inference_steps=50, timesteps=None, sigmas=None):
        timesteps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, "cpu", timesteps, sigmas
        )
        return self.loop(timesteps)

    def loop(self, timesteps):
        torch.manual_seed(0)
        x = torch.randn(2, 4, 3, 3) * getattr(self.scheduler, "init_noise_sigma", 1.0)
        for t in timesteps:
            shown = self.scheduler.scale_model_input(x, t) if hasattr(self.scheduler, "scale_model_input") else x
            x = self.scheduler.step(0.7 * shown - 0.2, t, x, return_dict=False)[0]
        return x


class SigmasPipe(ListPipe):
    def __call__(self, num_inference_steps=50, sigmas=None):
        timesteps, num_inference_steps = retrieve_timesteps(self.scheduler, num_inference_steps, "cpu", sigmas=sigmas)
        return self.loop(timesteps)


class ShiftingPipe(ListPipe):
    """As those that compute mu from the size of the image."""

    MU = 0.9

    def __call__(self, num_inference_steps=50, sigmas=None):
        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps) if sigmas is None else sigmas
        timesteps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, "cpu", sigmas=sigmas, mu=self.MU
        )
        return self.loop(timesteps)


class TimestepsPipe(ListPipe):
    def __call__(self, num_inference_steps=50, timesteps=None):
        timesteps, num_inference_steps = retrieve_timesteps(self.scheduler, num_inference_steps, "cpu", timesteps)
        return self.loop(timesteps)


class SilentPipe(ListPipe):
    def __call__(self, num_inference_steps=50):
        self.scheduler.set_timesteps(num_inference_steps)
        return self.loop(self.scheduler.timesteps)


class StubbornPipe(ListPipe):
    """Takes timesteps and hands a list of its own beside them."""

    def __call__(self, num_inference_steps=50, timesteps=None):
        sigmas = np.linspace(1.0, 1 / num_inference_steps, num_inference_steps)
        timesteps, num_inference_steps = retrieve_timesteps(
            self.scheduler, num_inference_steps, "cpu", timesteps, sigmas=sigmas
        )
        return self.loop(timesteps)


def retrieve_timesteps(*args, **kwargs):
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import retrieve_timesteps as real

    return real(*args, **kwargs)


NODES = [1, 37, 180, 333, 620, 871, 1000]
SCALED = dict(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
FLOW = HandProcess.flow(1000)


def flow_plan(sampler="euler", nodes=NODES, **more):
    return HandPlan(FLOW, nodes, sampler, "velocity", **more)


def chain_plan(scheduler, sampler="ddim", nodes=NODES, **more):
    return HandPlan(HandProcess.vp(scheduler.alphas_cumprod.double().numpy()), nodes, sampler, **more)


def executed(scheduler):
    """sigma, or s of a flow, after set_timesteps."""
    sigmas = scheduler.sigmas.double().numpy()
    return sigmas[np.append(True, np.diff(sigmas) != 0)]


def requested(plan):
    nodes = plan.nodes[::-1]
    sigma, alpha = plan.process.sigmas[nodes], plan.process.alphas[nodes]
    return np.append(sigma if np.allclose(alpha + sigma, 1) else sigma / alpha, 0.0)


def follow(plan, pipe, divided=False, tolerance=2e-5, **more):
    """Runs a pipeline along a plan's list and checks levels and steps; returns the largest error of sigma."""
    given = kwargs_for(plan, pipe, **more)
    with Steps(pipe) as steps:
        pipe(**given)
    found, wanted = executed(pipe.scheduler), requested(plan)
    assert len(found) == len(wanted)
    error = np.abs(found - wanted) / np.maximum(1, wanted)
    assert error.max() <= 1.1e-6
    if more.get("same_steps", True):
        steps.check(plan, divided, tolerance)
    return error.max()


F = diffusers.FlowMatchEulerDiscreteScheduler


@pytest.mark.parametrize(
    "pipe, more",
    [
        (ListPipe(F()), {}),
        (SigmasPipe(F(shift=3.0)), {}),
        (SigmasPipe(F(shift=0.4)), {}),
        (ShiftingPipe(F(use_dynamic_shifting=True)), dict(mu=0.9)),
        (ShiftingPipe(F(use_dynamic_shifting=True, time_shift_type="linear")), dict(mu=0.9)),
        (TimestepsPipe(F(shift=1.0)), {}),
        (SigmasPipe(F(shift=3.0, shift_terminal=0.001)), {}),
    ],
    ids=["plain", "shift 3", "shift 0.4", "mu", "mu, linear", "timesteps", "terminal"],
)
def test_flow_matching_executes_what_is_asked_for(pipe, more):
    assert follow(flow_plan(), pipe, **more) < 1e-6
    # The network is told the same levels.
    told = pipe.scheduler.timesteps.double().numpy() / 1000
    assert np.abs(told - requested(flow_plan())[:-1]).max() < 1e-6


def test_a_shift_that_is_not_undone_or_undone_twice_is_seen():
    plan, pipe = flow_plan(), SigmasPipe(F(shift=3.0))
    given = kwargs_for(plan, pipe)["sigmas"]
    assert np.allclose(given, requested(plan)[:-1] / (3 - 2 * requested(plan)[:-1]))
    for wrong in (requested(plan)[:-1].tolist(), [s / (3 - 2 * s) for s in given]):
        with Steps(pipe) as steps:
            pipe(sigmas=wrong)
        with pytest.raises(AssertionError, match="is off by"):
            steps.check(plan)


def test_another_sign_is_seen():
    plan, pipe = flow_plan(), SigmasPipe(F())
    with Steps(pipe) as steps:
        pipe(**kwargs_for(plan, pipe))
    steps.rows = [(-output, *rest) for output, *rest in steps.rows]
    with pytest.raises(AssertionError, match="is off by"):
        steps.check(plan)


@pytest.mark.parametrize("prediction, told", [("epsilon", "epsilon"), ("v", "v_prediction"), ("x0", "sample")])
def test_euler_takes_ddims_steps(prediction, told):
    scheduler = diffusers.EulerDiscreteScheduler(**SCALED, prediction_type=told)
    plan = chain_plan(scheduler, "euler", prediction=prediction)
    assert follow(plan, TimestepsPipe(scheduler), divided=True) < 1e-6
    given = kwargs_for(plan, ListPipe(scheduler))
    assert given == {"timesteps": [999, 870, 619, 332, 179, 36, 0]}
    assert follow(plan, SigmasPipe(scheduler), divided=True) < 1e-6


def test_euler_between_its_timesteps_is_given_sigmas():
    scheduler = diffusers.EulerDiscreteScheduler(**SCALED)
    scheduler.set_timesteps(7)
    times = scheduler.timesteps.double().numpy()[::-1]
    ratio = scheduler.sigmas.double().numpy()[-2::-1]
    alpha = 1 / np.sqrt(1 + ratio**2)
    plan = HandPlan(HandProcess.table(alpha, ratio * alpha, times), range(1, 8), "euler")
    assert follow(plan, ListPipe(scheduler), divided=True) < 1e-6
    with pytest.raises(ValueError, match="install"):
        kwargs_for(plan, TimestepsPipe(scheduler))


@pytest.mark.parametrize(
    "sampler, config",
    [
        ("dpm++2m", dict(solver_order=2)),
        ("dpm++2m", dict(solver_order=2, lower_order_final=False)),
        ("ddim", dict(solver_order=1)),
    ],
)
def test_dpm_solver(sampler, config):
    scheduler = diffusers.DPMSolverMultistepScheduler(**SCALED, **config)
    assert follow(chain_plan(scheduler, sampler), TimestepsPipe(scheduler)) < 1e-6


def test_levels_alone_where_steps_may_be_others():
    heun = TimestepsPipe(diffusers.HeunDiscreteScheduler(**SCALED))
    unipc = SigmasPipe(
        diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    )
    moving = ShiftingPipe(
        diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, use_dynamic_shifting=True
        )
    )
    second = TimestepsPipe(diffusers.DPMSolverMultistepScheduler(**SCALED))
    for plan, pipe, more in (
        (chain_plan(heun.scheduler), heun, {}),
        (flow_plan(), unipc, {}),
        (flow_plan(), moving, dict(mu=0.9)),
        (chain_plan(second.scheduler), second, {}),
    ):
        with pytest.raises(ValueError, match="not take its steps.*install"):
            kwargs_for(plan, pipe, **more)
        follow(plan, pipe, same_steps=False, **more)


def test_ddpm_takes_ancestral_steps():
    scheduler = diffusers.DDPMScheduler(**SCALED, clip_sample=True)
    plan = chain_plan(scheduler, "ancestral", clip=True, variance="fixed-small")
    pipe = TimestepsPipe(scheduler)
    for name, config, more in (
        ("variance", {}, dict(variance="fixed-large")),
        ("clips", dict(clip_sample=False), {}),
        ("timestep 0", dict(variance_type="fixed_large"), dict(variance="fixed-large", nodes=[2, 500])),
    ):
        other = diffusers.DDPMScheduler(**{**SCALED, **config})
        with pytest.raises(ValueError, match=name):
            kwargs_for(
                chain_plan(other, "ancestral", **{"clip": True, "variance": "fixed-small", **more}),
                TimestepsPipe(other),
            )
    given = kwargs_for(plan, pipe)
    with Steps(pipe) as steps:
        pipe(**given)
    assert [time for _, time, *_ in steps.rows] == plan.timesteps.tolist()
    # Mean and deviation of the noise, over the entries of every step but the last, which has none.
    for one, (output, _, x, after) in zip(plan.linear_steps(), steps.rows):
        rest = after - one["x"] * x - one["d"] * d_of(plan, x, output, one["t"])
        if one["s"]:
            assert 0.7 < rest.std() / one["noise"] < 1.3
        else:
            assert np.abs(rest).max() < 1e-5


def test_what_a_list_cannot_say_is_refused_by_name():
    euler = diffusers.EulerDiscreteScheduler(**SCALED)
    ddim = diffusers.DDIMScheduler(**SCALED)
    flow = F(shift=3.0)
    karras = diffusers.EulerDiscreteScheduler(**SCALED, use_karras_sigmas=True)
    ends = F(shift=3.0, shift_terminal=0.1)
    for plan, pipe, words in (
        (
            chain_plan(euler, carried_only_by_install=["fitted coefficients"]),
            ListPipe(euler),
            "fitted coefficients.*install",
        ),
        (chain_plan(ddim), ListPipe(ddim), "DDIMScheduler, which follows no list.*install"),
        (chain_plan(euler), SilentPipe(euler), "SilentPipe hands no list.*install"),
        (chain_plan(euler), StubbornPipe(euler), "StubbornPipe hands no list"),
        (chain_plan(karras), ListPipe(karras), "use_karras_sigmas"),
        (flow_plan(), TimestepsPipe(flow), "hands no list"),
        (flow_plan(), ShiftingPipe(F(use_dynamic_shifting=True)), "mu: found none.*install"),
        (flow_plan(), SigmasPipe(ends), "end at 0.1"),
        (flow_plan("dpm++2m"), SigmasPipe(flow), "chosen for dpm\\+\\+2m"),
        (flow_plan(), ListPipe(euler), "another process"),
        (chain_plan(euler), SigmasPipe(flow), "another process"),
        (chain_plan(euler), ListPipe(diffusers.EulerDiscreteScheduler()), "another process"),
        (chain_plan(euler, prediction="v"), ListPipe(euler), "predicts v"),
        (chain_plan(euler, clip=True), ListPipe(euler), "clips the estimate otherwise"),
        (chain_plan(euler), ListPipe(diffusers.LCMScheduler()), "LCMScheduler, whose process is not known"),
        (flow_plan(), SigmasPipe(F(invert_sigmas=True)), "invert_sigmas"),
        (
            flow_plan("dpm++2m"),
            TimestepsPipe(
                diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True)
            ),
            "use_flow_sigmas=True, which follows no list",
        ),
    ):
        with pytest.raises(ValueError, match=words):
            kwargs_for(plan, pipe)
    with pytest.raises(TypeError, match="without a scheduler"):
        kwargs_for(chain_plan(euler), object())


# ---- install


@pytest.mark.parametrize(
    "scheduler, sampler, prediction",
    [
        (diffusers.DDIMScheduler(**SCALED), "ddim", "epsilon"),
        (diffusers.PNDMScheduler(**SCALED), "dpm++2m", "epsilon"),
        (diffusers.EulerDiscreteScheduler(**SCALED, prediction_type="v_prediction"), "dpm++2m", "v"),
        (diffusers.HeunDiscreteScheduler(**SCALED), "ddim", "epsilon"),
        (diffusers.UniPCMultistepScheduler(**SCALED, prediction_type="sample"), "dpm++2m", "x0"),
        (F(shift=3.0, use_dynamic_shifting=True, shift_terminal=0.1), "euler", "velocity"),
        (diffusers.FlowMatchHeunDiscreteScheduler(shift=3.0), "euler", "velocity"),
        (
            diffusers.DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
            "dpm++2m",
            "velocity",
        ),
        (
            diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
            "euler",
            "velocity",
        ),
        (diffusers.EDMEulerScheduler(), "euler", "edm"),
        (diffusers.EDMDPMSolverMultistepScheduler(), "dpm++2m", "edm"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_an_installed_plan_is_executed(scheduler, sampler, prediction):
    if prediction == "velocity":
        plan = flow_plan(sampler)
    elif prediction == "edm":
        plan = HandPlan(HandProcess.edm(), NODES, sampler, "edm")
    else:
        plan = chain_plan(scheduler, sampler, prediction=prediction)
    for pipe in (SilentPipe(scheduler), ListPipe(scheduler), ShiftingPipe(scheduler)):
        install(plan, pipe)
        assert kwargs_for(plan, pipe) == {"num_inference_steps": 7}
        assert np.abs(executed(pipe.scheduler) - requested(plan)).max() <= 1e-6 * max(1, requested(plan).max())
        with Steps(pipe) as steps:
            pipe()
        steps.check(plan, tolerance=1e-6)
        told = [time for _, time, *_ in steps.rows]
        times = {"velocity": 1000 * requested(plan)[:-1], "edm": np.log(requested(plan)[:-1]) / 4}.get(
            prediction, plan.timesteps
        )
        assert np.allclose(told, times, rtol=1e-6, atol=1e-6)
        pipe.scheduler = pipe.scheduler.replaced
        assert pipe.scheduler is scheduler


def test_the_input_of_edm_is_scaled():
    scheduler = diffusers.EDMEulerScheduler()
    plan = HandPlan(HandProcess.edm(), NODES, "euler", "edm")
    pipe = SilentPipe(scheduler)
    install(plan, pipe)
    assert pipe.scheduler.init_noise_sigma == pytest.approx(scheduler.init_noise_sigma)
    x = torch.ones(1, 2)
    for t, sigma in zip(pipe.scheduler.timesteps, requested(plan)):
        assert pipe.scheduler.scale_model_input(x, t)[0, 0] == pytest.approx(1 / np.sqrt(sigma**2 + 0.25))


def test_what_pipelines_ask_of_a_scheduler():
    import copy

    old = diffusers.DDIMScheduler(**SCALED, clip_sample=False)
    plan, pipe = chain_plan(old, "dpm++2m"), SilentPipe(old)
    install(plan, pipe)
    scheduler = pipe.scheduler
    assert (
        isinstance(scheduler, PlannedScheduler)
        and len(scheduler) == 1000
        and scheduler.order == 1
        and scheduler.init_noise_sigma == 1.0
    )
    assert scheduler.config.num_train_timesteps == scheduler.config["num_train_timesteps"] == 1000
    assert scheduler.config.get("nothing") is None and not hasattr(scheduler.config, "nothing")
    assert torch.equal(scheduler.alphas_cumprod, old.alphas_cumprod)
    # Rebuilt, copied, and left for another scheduler.
    again = type(scheduler).from_config(scheduler.config)
    assert again.plan is plan and torch.equal(again.timesteps, scheduler.timesteps)
    with pytest.raises(ValueError, match="holds its plan"):
        PlannedScheduler.from_config(dict(scheduler.config))
    other = diffusers.EulerDiscreteScheduler.from_config(scheduler.config)
    assert torch.equal(other.betas, old.betas)
    for copied in (copy.deepcopy(scheduler), again):
        copied.set_timesteps(num_inference_steps=50, device="cpu", mu=1.0, timesteps=[3], sigmas=[1.0])
        assert copied.timesteps.tolist() == plan.timesteps.tolist() and copied.plan is plan
    x, noise = torch.ones(2, 3, 4, 4), torch.full((2, 3, 4, 4), 2.0)
    times = torch.tensor([plan.timesteps[1], plan.timesteps[4]])
    for k, mixed in zip((1, 4), scheduler.add_noise(x, noise, times)):
        t = plan.nodes[::-1][k]
        assert mixed[0, 0, 0] == pytest.approx(plan.process.alphas[t] + 2 * plan.process.sigmas[t])
    flow = SilentPipe(F(shift=3.0))
    install(flow_plan(), flow)
    mixed = flow.scheduler.scale_noise(x, torch.tensor([870.9999, 37.0]), noise)
    assert mixed[0, 0, 0, 0] == pytest.approx(0.129 + 2 * 0.871) and mixed[1, 0, 0, 0] == pytest.approx(
        0.963 + 2 * 0.037
    )
    # Half precision in, half precision out; learned variances are passed over.
    half = torch.randn(2, 4, 3, 3).to(torch.float16)
    made = scheduler.step(torch.cat([half, half], dim=1), scheduler.timesteps[0], half, return_dict=False)
    assert made[0].dtype == torch.float16 and made[0].shape == half.shape and made.prev_sample is made[0]
    with pytest.raises(ValueError, match="eta"):
        scheduler.step(half, scheduler.timesteps[1], half, eta=0.5)
    with pytest.raises(ValueError, match="timestep: found 500"):
        copy.deepcopy(again).step(half, 500, half)
    # Another plan in its place.
    install(chain_plan(old, nodes=[10, 20]), pipe)
    assert pipe.scheduler.replaced is old and pipe.scheduler.timesteps.tolist() == [19, 9]
    with pytest.raises(ValueError, match="another plan"):
        kwargs_for(plan, pipe)


def test_a_start_within_the_plan_has_nothing_to_look_back_on():
    old = diffusers.DDIMScheduler(**SCALED, clip_sample=False)
    plan, pipe = chain_plan(old, "dpm++2m"), SilentPipe(old)
    install(plan, pipe)
    pipe.scheduler.set_begin_index(3)
    first = chain_plan(old, "ddim").linear_steps()[3]
    x, output = torch.randn(1, 2, 2), torch.randn(1, 2, 2)
    made = pipe.scheduler.step(output, pipe.scheduler.timesteps[3], x).prev_sample
    wanted = first["x"] * numpy(x) + first["d"] * d_of(plan, numpy(x), numpy(output), first["t"])
    assert np.abs(numpy(made) - wanted).max() < 1e-6
    assert pipe.scheduler.step_index == 4 and pipe.scheduler.begin_index == 3


def test_ancestral_noise_follows_the_generator():
    old = diffusers.DDPMScheduler(**SCALED, clip_sample=False)
    plan, pipe = chain_plan(old, "ancestral", variance="fixed-large", nodes=[200, 700]), SilentPipe(old)
    install(plan, pipe)
    x = torch.randn(1, 4, 64, 64)
    made = [
        pipe.scheduler.step(x, 699, x, generator=torch.Generator().manual_seed(seed)).prev_sample for seed in (3, 4)
    ]
    pipe.scheduler.set_timesteps(2)
    again = pipe.scheduler.step(x, 699, x, generator=torch.Generator().manual_seed(3)).prev_sample
    assert torch.equal(made[0], again)
    one = plan.linear_steps()[0]
    rest = numpy(again) - one["x"] * numpy(x) - one["d"] * d_of(plan, numpy(x), numpy(x), 700)
    assert rest.std() == pytest.approx(one["noise"], rel=0.03)


def test_kernels_are_run_by_the_plans_export():
    old = diffusers.DDPMScheduler(**SCALED, clip_sample=False)
    source = """
from types import SimpleNamespace
class CalibratedScheduler:
    def __init__(self, steps, prediction_type):
        assert prediction_type == "epsilon"
    def step(self, model_output, timestep, sample, generator=None):
        return SimpleNamespace(prev_sample=sample * 0 + timestep, pred_original_sample=sample)
"""
    plan = chain_plan(
        old,
        "ancestral",
        variance="spectral",
        carried_only_by_install=["spectral variance"],
        export_diffusers=lambda: source,
    )
    pipe = SilentPipe(old)
    install(plan, pipe)
    assert float(pipe()[0, 0, 0, 0]) == plan.timesteps[-1]
    plan.export_diffusers = lambda: None
    with pytest.raises(ValueError, match="no export"):
        install(plan, pipe)


# ---- real pipelines


# The mu that FluxPipeline computes for 64 tokens.
FLUX_MU = (1.15 - 0.5) / (4096 - 256) * 64 + 0.5 - (1.15 - 0.5) / (4096 - 256) * 256


@pytest.mark.parametrize(
    "make, scheduler, sampler, argument, more",
    [
        (sd_pipe, diffusers.EulerDiscreteScheduler(**SCALED), "euler", "timesteps", {}),
        (sd_pipe, diffusers.DPMSolverMultistepScheduler(**SCALED), "dpm++2m", "timesteps", {}),
        (sdxl_pipe, diffusers.EulerDiscreteScheduler(**SCALED), "euler", "timesteps", {}),
        (sdxl_pipe, diffusers.DPMSolverMultistepScheduler(**SCALED), "dpm++2m", "timesteps", {}),
        (sd3_pipe, F(shift=3.0), "euler", "sigmas", {}),
        (sd3_pipe, F(use_dynamic_shifting=True), "euler", "sigmas", {}),
        (flux_pipe, F(shift=3.0), "euler", "sigmas", {}),
        (flux_pipe, F(use_dynamic_shifting=True), "euler", "sigmas", dict(mu=FLUX_MU)),
    ],
    ids=lambda value: (
        getattr(value, "__name__", None) or (type(value).__name__ if not isinstance(value, (str, dict)) else None)
    ),
)
def test_a_pipeline_follows_a_list(make, scheduler, sampler, argument, more):
    pipe, call = ready(make(scheduler))
    flow, divided = isinstance(scheduler, F), isinstance(scheduler, diffusers.EulerDiscreteScheduler)
    plan = flow_plan() if flow else chain_plan(scheduler, sampler)
    given = kwargs_for(plan, pipe, **more)
    assert argument in given
    with Steps(pipe) as steps:
        pipe(**call, **given)
    assert np.abs(executed(pipe.scheduler) - requested(plan)).max() <= 1e-6 * max(1, requested(plan).max())
    steps.check(plan, divided)


def test_ddpm_and_ddim_pipelines_take_no_list():
    for kind in (diffusers.DDPMPipeline, diffusers.DDIMPipeline):
        scheduler = diffusers.DDPMScheduler(clip_sample=True)
        pipe, _ = ready(ddpm_pipe(scheduler, kind))
        sampler = "ancestral" if kind is diffusers.DDPMPipeline else "ddim"
        with pytest.raises(ValueError, match="use plan.install"):
            kwargs_for(chain_plan(scheduler, sampler, clip=True, variance="fixed-small"), pipe)


@pytest.mark.parametrize(
    "make, scheduler, sampler",
    [
        (ddpm_pipe, diffusers.DDPMScheduler(), "ddim"),
        (lambda s: ddpm_pipe(s, diffusers.DDIMPipeline), diffusers.DDIMScheduler(), "dpm++2m"),
        (sd_pipe, diffusers.PNDMScheduler(**SCALED, steps_offset=1), "dpm++2m"),
        (sdxl_pipe, diffusers.EulerDiscreteScheduler(**SCALED), "dpm++2m"),
        (sd3_pipe, F(shift=3.0), "dpm++2m"),
        (flux_pipe, F(use_dynamic_shifting=True), "dpm++2m"),
        (
            flux_pipe,
            diffusers.UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
            "euler",
        ),
    ],
    ids=["DDPM", "DDIM", "SD", "SDXL", "SD3", "Flux", "Flux, UniPC"],
)
def test_a_pipeline_follows_an_installed_plan(make, scheduler, sampler):
    pipe, call = ready(make(scheduler))
    old = pipe.scheduler
    of_chain = old.config.get("prediction_type") == "epsilon"
    plan = chain_plan(old, sampler, clip=make is ddpm_pipe) if of_chain else flow_plan(sampler)
    install(plan, pipe)
    with Steps(pipe) as steps:
        pipe(**call, **kwargs_for(plan, pipe))
    steps.check(plan, tolerance=1e-6)
    # Whatever number is asked for.
    with Steps(pipe) as steps:
        pipe(**call, num_inference_steps=3)
    steps.check(plan, tolerance=1e-6)
    pipe.scheduler = pipe.scheduler.replaced
    assert pipe.scheduler is old


# ---- traces


@pytest.mark.parametrize(
    "make, scheduler, kind",
    [
        (lambda s: ddpm_pipe(s, diffusers.DDIMPipeline), diffusers.DDIMScheduler(), "vp"),
        (lambda s: ddpm_pipe(s, diffusers.DDIMPipeline), diffusers.DDIMScheduler(clip_sample=False), "vp"),
        (sd_pipe, diffusers.DDIMScheduler(**SCALED, clip_sample=False, steps_offset=1), "vp"),
        (sd_pipe, diffusers.EulerDiscreteScheduler(**SCALED, timestep_spacing="leading", steps_offset=1), "vp"),
        (sdxl_pipe, diffusers.EulerDiscreteScheduler(**SCALED), "table"),
        (sd3_pipe, F(shift=3.0), "flow"),
        (flux_pipe, F(use_dynamic_shifting=True), "flow"),
    ],
    ids=["DDIM", "DDIM, not clipped", "SD", "SD, Euler", "SDXL", "SD3", "Flux"],
)
def test_a_trace_holds_the_pipelines_way(make, scheduler, kind):
    pipe, call = ready(make(scheduler))
    n, own = call.get("batch_size", 1), type(pipe.scheduler)
    made = trace(pipe, steps=5, calls=2, **call)
    assert type(pipe.scheduler) is own and "step" not in vars(pipe.scheduler)
    process, nodes = made.process, made.nodes
    assert (
        process.kind == kind
        and made.x.shape == made.outputs.shape == (5, 2 * n, *made.shape)
        and made.x.dtype == np.float32
    )
    assert (
        len(made.times) == 5 and np.all(np.diff(nodes) > 0) and nodes[0] >= 1 and made.final.shape == made.x.shape[1:]
    )
    assert np.allclose(np.asarray(process.times)[nodes[::-1]], made.times)
    assert made.clip == bool(scheduler.config.get("clip_sample"))
    # One generator for both calls: other samples.
    assert np.abs(made.x[0, 0] - made.x[0, -1]).max() > 0.1
    # Their steps are those of DDIM, so of Euler, between the nodes.
    path = [*nodes[::-1].tolist(), 0]
    alpha, sigma, d = np.asarray(process.alphas), np.asarray(process.sigmas), made.d
    for k, (t, s) in enumerate(zip(path, path[1:])):
        x_of = sigma[s] / sigma[t]
        wanted = x_of * made.x[k].astype(np.float64) + (alpha[s] - alpha[t] * x_of) * d[k]
        assert not made.clip or np.abs(d[k]).max() == 1
        found = made.final if s == 0 else made.x[k + 1]
        assert np.abs(found - wanted).max() / np.abs(wanted).max() < 1e-4, f"from node {t} to {s}"
    assert process_of(pipe.scheduler)[1] == made.prediction


def test_a_trace_keeps_what_there_is_room_for():
    pipe, call = ready(ddpm_pipe(diffusers.DDIMScheduler(), diffusers.DDIMPipeline))
    pipe.unet.config.sample_size = 8
    whole = trace(pipe, steps=4, calls=1, **call)
    assert whole.coordinates is None and whole.x.nbytes + whole.outputs.nbytes + whole.final.nbytes == 4 * 2 * 192 * 9
    with pytest.raises(ValueError, match="keep_bytes: found 20000, room for 69 of 192"):
        trace(pipe, steps=4, calls=1, keep_bytes=20000, **call)
    assert type(pipe.scheduler) is diffusers.DDIMScheduler
    import ddpm_schedules._trace as module

    fewest, module._FEWEST = module._FEWEST, 10
    try:
        call["generator"] = torch.Generator().manual_seed(0)
        part = trace(pipe, steps=4, calls=1, keep_bytes=20000, **call)
    finally:
        module._FEWEST = fewest
    assert part.x.shape == (4, 2, 69) and part.shape == (3, 8, 8)
    assert np.array_equal(part.x, whole.x.reshape(4, 2, -1)[..., part.coordinates])
    assert np.array_equal(part.final, whole.final.reshape(2, -1)[..., part.coordinates])


def test_a_trace_notices_states_that_are_changed_between_steps():
    class Meddling(SilentPipe):
        def __call__(self, num_inference_steps=50, factor=1.0):
            scheduler, state = self.scheduler, torch.ones(2, 1, 2, 2)
            scheduler.set_timesteps(num_inference_steps)
            for t in scheduler.timesteps:
                state = factor * scheduler.step(0.1 * state, t, state).prev_sample

    pipe = Meddling(diffusers.DDIMScheduler(clip_sample=False))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        trace(pipe, steps=5)
        trace(pipe, steps=5, factor=1 + 1e-4)
    with pytest.warns(UserWarning, match="pipe: states are changed between its steps"):
        trace(pipe, steps=5, factor=1.2)
    with pytest.raises(ValueError, match="num_inference_steps: expected steps="):
        trace(pipe, steps=5, num_inference_steps=9)
    with pytest.raises(ValueError, match="calls: expected a whole number of at least 1, found -1"):
        trace(pipe, steps=5, calls=-1)


def test_the_steps_of_a_trace_are_those_of_its_plans_where_the_scheduler_clips():
    """All nodes, installed, cost nothing and end where the traced pipeline ended."""
    bar = torch.tensor(alphas_cumprod())

    class Saturated(SilentPipe):
        def __call__(self, num_inference_steps=50):
            self.scheduler.set_timesteps(num_inference_steps)
            x = torch.randn(4, 3, 4, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
            for t in self.scheduler.timesteps:
                a, g = bar[t].sqrt(), (1 - bar[t]).sqrt()
                # Data of -1 and 1, and a fault.
                epsilon = (x - a * torch.tanh(a * x / g**2)) / g + 0.05 * torch.sin(3 * x)
                x = self.scheduler.step(epsilon, t, x).prev_sample
            self.last = x.numpy()

    pipe = Saturated(diffusers.DDIMScheduler(clip_sample=True))
    plans = ds.optimize(ds.trace(pipe, steps=20), (5, 20), sampler="ddim")
    assert plans[20].cost < 1e-10 < plans[5].cost
    ends = []
    for clipped in (True, None):
        pipe.scheduler = diffusers.DDIMScheduler(clip_sample=True)
        if clipped is None:
            plans[20].install(pipe)
        else:
            step = pipe.scheduler.step
            pipe.scheduler.step = lambda *args: step(*args, use_clipped_model_output=True)
        pipe(20)
        ends.append(pipe.last)
    assert np.abs(ends[0] - ends[1]).max() < 1e-5


def test_a_plan_that_is_begun_later_wants_its_own_number_of_steps():
    """Image to image: of 50 steps with strength 0.75 the last 37, of the plan's 32 the last 24."""
    flow = ds.Process.vp(alphas_cumprod())
    plan = ds.plan(flow, np.linspace(20, 999, 32))
    pipe = SilentPipe(diffusers.DDIMScheduler(clip_sample=False))
    install(plan, pipe)
    pipe.scheduler.set_timesteps(50)
    pipe.scheduler.set_begin_index(0)
    with pytest.warns(UserWarning, match="num_inference_steps: found 50, .* the first 13; where .* expected the plan's 32"):
        pipe.scheduler.set_begin_index(13)
    with pytest.raises(ValueError, match="num_inference_steps: found 50, .* the first 35"):
        pipe.scheduler.set_begin_index(35)
    pipe.scheduler.set_timesteps(32)
    pipe.scheduler.set_begin_index(8)
    assert pipe.scheduler.begin_index == 8


def test_pipelines_that_count_sigmas_themselves_are_refused():
    flow = diffusers.FlowMatchEulerDiscreteScheduler()
    flow.register_to_config(sigma_max=80.0, sigma_min=0.002)
    with pytest.raises(ValueError, match="sigma_max=80.0, by which its pipeline counts EDM's sigmas"):
        process_of(flow)
    pipe = diffusers.StableDiffusionLatentUpscalePipeline.__new__(diffusers.StableDiffusionLatentUpscalePipeline)
    object.__setattr__(pipe, "scheduler", diffusers.EulerDiscreteScheduler())
    plan = ds.plan(ds.Process.vp(alphas_cumprod()), [100, 999])
    with pytest.raises(ValueError, match="StableDiffusionLatentUpscalePipeline divides states by its scheduler's sigmas itself"):
        install(plan, pipe)


def test_a_trace_of_prompts_or_calls():
    class Named(SilentPipe):
        seen = []

        def __call__(self, prompt=None, num_inference_steps=50, output_type="pil", scale=1.0):
            Named.seen.append((prompt, num_inference_steps, output_type, scale))
            return super().__call__(num_inference_steps)

    pipe = Named(diffusers.EDMEulerScheduler())
    made = trace(pipe, prompts=["a", "b"], steps=6)
    assert made.x.shape[:2] == (6, 4) and made.prediction == "edm" and made.sigma_data == 0.5
    assert np.allclose(made.process.sigmas[1:][::-1], pipe.scheduler.sigmas[:-1], rtol=1e-6)
    pipe.vae = object()
    trace(pipe, calls=[dict(prompt="c", scale=2.0)], steps=3)
    assert Named.seen == [("a", 6, "pil", 1.0), ("b", 6, "pil", 1.0), ("c", 3, "latent", 2.0)]
    with pytest.raises(ValueError, match="prompts and calls"):
        trace(pipe, prompts="a", calls=2)
    with pytest.raises(ValueError, match="found none"):
        trace(pipe, prompts=[])


def test_a_copy_of_the_scheduler_steps_for_itself():
    import copy

    class Twice(SilentPipe):
        def __call__(self, num_inference_steps=50):
            self.scheduler.set_timesteps(num_inference_steps)
            second, x, y = copy.deepcopy(self.scheduler), torch.ones(1, 4), torch.full((1, 4), 5.0)
            for t in self.scheduler.timesteps:
                x = self.scheduler.step(x, t, x, return_dict=False)[0]
                y = second.step(y, t, y, return_dict=False)[0]
            return x, y

    pipe = Twice(F(shift=3.0))
    made = trace(pipe, steps=4)
    x, y = pipe(4)
    assert np.allclose(made.final, x) and torch.allclose(y, 5 * x)


def test_schedulers_without_a_flow_are_refused_and_left_alone():
    for scheduler, words in (
        (diffusers.DDPMScheduler(), "DDPMScheduler.*DDIMScheduler"),
        (diffusers.PNDMScheduler(), "PNDMScheduler"),
        (diffusers.HeunDiscreteScheduler(), "HeunDiscreteScheduler"),
        (diffusers.EulerAncestralDiscreteScheduler(), "EulerDiscreteScheduler"),
        (diffusers.DPMSolverMultistepScheduler(algorithm_type="sde-dpmsolver++"), "sde"),
        (F(stochastic_sampling=True), "stochastic_sampling"),
        (diffusers.LCMScheduler(), "not known"),
    ):
        pipe = SilentPipe(scheduler)
        with pytest.raises(ValueError, match=words):
            trace(pipe, steps=4)
        assert type(pipe.scheduler) is type(scheduler)

    class Broken(SilentPipe):
        def __call__(self, num_inference_steps=50):
            super().__call__(num_inference_steps)
            raise RuntimeError("decoder")

    pipe = Broken(F())
    with pytest.raises(RuntimeError, match="decoder"):
        trace(pipe, steps=3)
    assert type(pipe.scheduler) is F
    # A list that DDIM's steps do not follow.
    for config, steps in ((dict(timestep_spacing="linspace"), 30), (dict(timestep_spacing="trailing"), 30)):
        with pytest.raises(ValueError, match="goes down by 33"):
            trace(SilentPipe(diffusers.DDIMScheduler(**config)), steps=steps)
    with pytest.raises(ValueError, match="eta"):
        pipe, call = ready(ddpm_pipe(diffusers.DDIMScheduler(), diffusers.DDIMPipeline))
        trace(pipe, steps=2, eta=1.0, **call)


# ---- from a trace or a profile to a pipeline, with the package's own plans


def test_a_plan_chosen_on_a_trace_is_executed():
    pipe, call = ready(sd3_pipe(F(shift=3.0)))
    traced = ds.trace(pipe, steps=20, calls=4, **call)
    plan = ds.optimize(traced, steps=[6], sampler="ddim")[6]
    with Steps(pipe) as steps:
        pipe(**call, **plan.kwargs_for(pipe))
    assert np.abs(executed(pipe.scheduler) - requested(plan)).max() < 1e-6
    steps.check(plan)
    for sampler in ("dpm++2m", "dpm++3m", "ipndm"):
        plan = ds.optimize(traced, steps=[6], sampler=sampler)[6]
        plan.install(pipe)
        with Steps(pipe) as steps:
            pipe(**call, **plan.kwargs_for(pipe))
        steps.check(plan, tolerance=1e-6)


@pytest.mark.parametrize("sampler, order", [("ddim", 1), ("dpm++2m", 2), ("dpm++3m", 3)])
def test_dpm_solver_takes_the_very_steps_of_the_packages_plans(sampler, order):
    pipe, call = ready(sd_pipe(diffusers.DDIMScheduler(**SCALED, clip_sample=False, steps_offset=1)))
    traced = ds.trace(pipe, steps=50, calls=3, **call)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, solver_order=order)
    for plan in ds.optimize(traced, steps=[4, 7, 16], sampler=sampler).values():
        with Steps(pipe) as steps:
            pipe(**call, **plan.kwargs_for(pipe))
        steps.check(plan)
    if order == 3:
        pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(
            pipe.scheduler.config, lower_order_final=False
        )
        with pytest.raises(ValueError, match="lower_order_final"):
            ds.optimize(traced, steps=[7], sampler=sampler)[7].kwargs_for(pipe)


@pytest.mark.parametrize("learned", [False, True])
def test_kernels_of_a_profile_are_installed(learned):
    scheduler = diffusers.DDPMScheduler(
        num_train_timesteps=100, variance_type="learned_range" if learned else "fixed_small"
    )
    pipe, call = ready(ddpm_pipe(scheduler, out_channels=6 if learned else 3))
    process, prediction = process_of(scheduler)

    def network(x, t):
        with torch.no_grad():
            return pipe.unet(x, t).sample

    model = ds.Denoiser(network, process, prediction, (3, 8, 8), like="torch", batch=8, learned_variance=learned)
    images = np.clip(np.random.default_rng(0).normal(size=(16, 3, 8, 8)).cumsum(-1) / 3, -1, 1).astype(np.float32)
    profile = ds.profile(model, images, evaluations=320)
    for variance in ("learned", "learned-calibrated") if learned else ("fixed-small", "analytic", "spectral"):
        plan = ds.optimize(profile, steps=[5], variance=variance)[5]
        if plan.carried_only_by_install:
            with pytest.raises(ValueError, match=f"cannot carry its .*{variance} variance: use plan.install"):
                plan.kwargs_for(pipe)
        elif plan.nodes[0] == 1 or variance == "fixed-small":
            assert plan.kwargs_for(TimestepsPipe(scheduler)) == {"timesteps": plan.timesteps.tolist()}
        plan.install(pipe)
        with Steps(pipe) as steps:
            pipe(**call)
        pipe.scheduler = pipe.scheduler.replaced
        assert [time for _, time, *_ in steps.rows] == plan.timesteps.tolist()
        # The step onto the data has no noise: it ends at the clipped estimate.
        assert np.abs(steps.rows[-1][-1]).max() <= 1 + 1e-6


# ---- schedulers


def test_the_process_of_a_scheduler():
    for scheduler, kind, prediction in (
        (diffusers.DDPMScheduler(), "vp", "epsilon"),
        (diffusers.EulerDiscreteScheduler(prediction_type="v_prediction"), "vp", "v"),
        (diffusers.UniPCMultistepScheduler(prediction_type="sample"), "vp", "x0"),
        (F(shift=3.0), "flow", "velocity"),
        (
            diffusers.DPMSolverMultistepScheduler(
                prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
            ),
            "flow",
            "velocity",
        ),
        (diffusers.EDMEulerScheduler(), "edm", "edm"),
    ):
        process, found = process_of(scheduler)
        assert (process.kind, found, process.train_steps) == (kind, prediction, 1000)
        if kind == "vp":
            bar = scheduler.alphas_cumprod.double().numpy()
            assert np.allclose(process.alphas[1:], np.sqrt(bar)) and np.allclose(process.sigmas[1:], np.sqrt(1 - bar))
            assert process.times[1:].tolist() == list(range(1000))
        elif kind == "flow":
            assert np.allclose(process.sigmas, np.arange(1001) / 1000) and np.allclose(
                process.alphas + process.sigmas, 1
            )
        else:
            assert process.sigmas[1] == pytest.approx(0.002) and process.sigmas[-1] == pytest.approx(80)
    for scheduler, words in (
        (diffusers.LCMScheduler(), "LCMScheduler.*expected one of DDPMScheduler"),
        (diffusers.EulerDiscreteScheduler(timestep_type="continuous", prediction_type="v_prediction"), "timestep_type"),
        (F(invert_sigmas=True), "invert_sigmas"),
        (diffusers.EDMEulerScheduler(prediction_type="v_prediction"), "prediction_type"),
    ):
        with pytest.raises(ValueError, match=words):
            process_of(scheduler)


def test_nothing_heavy_is_imported_before_it_is_needed():
    code = (
        "import sys, types; p = types.ModuleType('ddpm_schedules'); p.__path__ = [sys.argv[1]]; sys.modules['ddpm_schedules'] = p\n"
        "import ddpm_schedules._diffusers, ddpm_schedules._planned, ddpm_schedules._trace\n"
        "assert not {'torch', 'diffusers'} & set(sys.modules), 'imported'"
    )
    subprocess.run([sys.executable, "-c", code, str(PACKAGE)], check=True)


def test_the_table_of_pipelines_is_that_of_this_diffusers():
    written = (ROOT / "docs" / "pipelines.md").read_text()
    if f"diffusers {diffusers.__version__}:" not in written:
        pytest.skip(
            f"docs/pipelines.md is of another diffusers than {diffusers.__version__}: run python/tools/pipelines.py"
        )
    tool = ROOT / "python" / "tools" / "pipelines.py"
    found = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
