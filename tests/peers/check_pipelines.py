"""Runs what `ddpm export` writes as people use it: pipe.scheduler = ..., then a call of the pipeline that names no timesteps.

In pipelines of diffusers with random weights, in every floating type, checks that

- the network saw exactly the timesteps of the schedule;
- every state is the one that the schedule's step makes of the state before, computed here in double precision;
- sample() of the export makes the same images, bit by bit, and runs on a device where no tensor of another may be mixed in;
- what cannot be followed is refused in words: the lists of several K, a network of which nobody said what it predicts.

check_exports.py calls it; the pipelines are those of python/tests.
"""

import json
import logging
import math
import sys
from pathlib import Path

import numpy as np
import torch

import diffusers

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "python/tests"))

from pipelines import ddpm_pipe, flux_pipe, ready, sd3_pipe, sd_pipe  # noqa: E402

TYPES = {torch.float64: 1e-5, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 2e-1}
ANCESTRAL = ("learned", "fixed-small", "fixed-large", "analytic")
PLAIN = (diffusers.DDPMPipeline, diffusers.DDIMPipeline)


class Watched:
    """What a network of a pipeline was given and what it returned."""

    def __init__(self, network):
        self.times, self.states = [], []
        self.hook = network.register_forward_hook(self.see, with_kwargs=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.hook.remove()

    def see(self, network, words, named, out):
        time = named["timestep"] if "timestep" in named else words[1]
        self.times.append(float(torch.as_tensor(time).flatten()[0]))
        x = named["hidden_states"] if "hidden_states" in named else words[0] if words else named["sample"]
        self.states.append((x.double(), (out[0] if isinstance(out, tuple) else out.sample).double()))


class Report:
    """Runs checks by name and keeps what failed."""

    def __init__(self):
        self.passed, self.failed, self.last = 0, [], None

    def check(self, name, run):
        """`name`: the export first."""
        export = name.split(",")[0]
        if export != self.last:
            print(f"  {export}", flush=True)
        self.last = export
        try:
            run()
            self.passed += 1
        except Exception as error:  # noqa: BLE001: a failure of any kind is one of the export
            self.failed.append(name)
            print(f"    FAILED {name}: {type(error).__name__}: {str(error)[:200]}", flush=True)


def refuses(make, *words):
    try:
        make()
    except ValueError as error:
        assert all(word in str(error) for word in words), str(error)
    else:
        raise AssertionError("was not refused")


def one_step(sampler, constants, k, x, x0, before, sigma, z):
    """The state after step k of the list, in double precision."""
    bar = np.append(constants["alphas_cumprod"], 1.0)
    if sampler == "ddpm":
        return constants["posterior_mean_coef1"][k] * x0 + constants["posterior_mean_coef2"][k] * x + sigma * z
    if k + 2 == len(bar):
        return x0
    ratio = math.sqrt((1 - bar[k + 1]) / (1 - bar[k]))
    if sampler == "ddim":
        return math.sqrt(bar[k + 1]) * x0 + ratio * (x - math.sqrt(bar[k]) * x0)
    half = 0.5 * np.log(bar[:-1] / (1 - bar[:-1]))
    step, denoised = half[k + 1] - half[k], x0
    if before is not None:
        denoised = x0 + (x0 - before) * step / (2 * (half[k] - half[k - 1]))
    return ratio * x - math.sqrt(bar[k + 1]) * math.expm1(-step) * denoised


def apart(sampler, contents, constants, sigma2, watched, noise, images):
    """The largest difference of a state of the run from the one that its step should have made."""
    worst, before, last = 0.0, None, len(watched.states) - 1
    for k, (x, out) in enumerate(watched.states):
        bar = constants["alphas_cumprod"][k]
        x0 = (x - math.sqrt(1 - bar) * out[:, :3]) / math.sqrt(bar)
        x0 = x0.clamp(-1, 1) if contents["clip_denoised"] else x0
        if k == last:
            sigma = 0.0
        elif sigma2 is None:
            share = (out[:, 3:] + 1) / 2
            logs = share * math.log(constants["betas"][k]) + (1 - share) * math.log(constants["posterior_variance"][k])
            sigma = (0.5 * logs).exp()
        else:
            sigma = math.sqrt(sigma2[k])
        z = noise.drawn[k].double() if k < len(noise.drawn) else 0.0
        wanted = one_step(sampler, constants, k, x, x0, before, sigma, z)
        if k == last:
            found, wanted = images.double(), (wanted / 2 + 0.5).clamp(0, 1)
        else:
            found = watched.states[k + 1][0]
        error = float((found - wanted).abs().max() / max(1.0, float(x0.abs().max())))
        assert math.isfinite(error), f"step {k} is not finite"
        worst, before = max(worst, error), x0
    return worst


def check_run(kind, make, module, timesteps, dtype, size, noise, steps_apart=None):
    """One pipeline, called by default, against the list, its steps and sample()."""
    pipe, _ = ready(ddpm_pipe(diffusers.DDPMScheduler(), kind, 6, size))
    pipe.unet.to(dtype)
    pipe.scheduler = make()
    noise.drawn.clear()
    with Watched(pipe.unet) as watched:
        images = pipe(batch_size=2, generator=torch.Generator().manual_seed(5), output_type="pt").images
    assert watched.times == timesteps, f"the network saw {watched.times[:8]}, the list is {timesteps}"
    assert images.dtype == dtype
    if steps_apart is not None:
        error = steps_apart(watched, noise, images)
        assert error < TYPES[dtype], f"a step is {error:.1e} apart"
    shape = (2, 3, size, size)
    own = module.sample(pipe.unet, make(), shape, generator=torch.Generator().manual_seed(5))
    assert torch.equal((own / 2 + 0.5).clamp(0, 1), images), "sample() makes other images"


def check_devices(make, module, size):
    """sample() where every tensor but scalars must be of the network's device; meta computes nothing."""
    pipe, _ = ready(ddpm_pipe(diffusers.DDPMScheduler(), out_channels=6, size=size))
    for dtype in TYPES:
        scheduler = make()
        for _ in range(2):
            found = module.sample(pipe.unet.to("meta", dtype), scheduler, (2, 3, size, size))
        assert (found.device.type, found.dtype) == ("meta", dtype)
    # Named for a function, which has neither.
    found = module.sample(lambda x, t: pipe.unet(x, t), make(), (2, 3, size, size), device="meta", dtype=torch.bfloat16)
    assert (found.device.type, found.dtype) == ("meta", torch.bfloat16)


def warnings_of(run):
    """What diffusers' configurations warn of."""
    said, handler = [], logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("diffusers.configuration_utils")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    try:
        run()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return " ".join(said)


def check_ddim_pipeline_says_what_it_leaves_out(make):
    pipe, _ = ready(ddpm_pipe(diffusers.DDPMScheduler()))
    assert "listed" in warnings_of(lambda: diffusers.DDIMPipeline(pipe.unet, make()))


def check_another_list(make):
    """An explicit list replaces the scheduler's, for good."""
    scheduler = make()
    scheduler.set_timesteps(timesteps=[90, 40, 7])
    scheduler.set_timesteps(50)
    assert scheduler.timesteps.tolist() == [90, 40, 7]
    again = type(scheduler).from_config(scheduler.config)
    again.set_timesteps(50)
    assert again.timesteps.tolist() == [90, 40, 7]


def check_stable_diffusion(make, timesteps, dtype):
    pipe, call = ready(sd_pipe(diffusers.DDPMScheduler()))
    pipe.to(dtype)
    pipe.scheduler = make()
    call = {key: value.to(dtype) if torch.is_tensor(value) else value for key, value in call.items()}
    with Watched(pipe.unet) as watched:
        found = pipe(**call).images
    assert watched.times == timesteps, f"the network saw {watched.times[:8]}, the list is {timesteps}"
    assert found.dtype == dtype and bool(found.isfinite().all())


def check_chain(run, ddpm, tools, profile, checkpoint, work, report):
    """Schedules of whole timesteps: the ancestral ones of every variance, and those of deterministic samplers."""
    flow = work / "pipelines.safetensors"
    run(ddpm, "trajectory", checkpoint, "--count", 1, "--nodes", 24, "--steps", "none", "--out", flow)
    cases = [(variance, [profile, "--variance", variance, "--folds", 0], "ddpm") for variance in ANCESTRAL]
    for sampler in ("ddim", "dpm-solver++"):
        cases.append((sampler, [flow, "--objective", "quality", "--sampler", sampler], sampler))
    for name, words, sampler in cases:
        file = work / f"pipelines-{name}.json".replace("++", "")
        run(ddpm, "schedule", *words, "--steps", "3,5", "--out", file)
        contents = json.loads(file.read_text())
        budget = next(b for b in contents["budgets"] if b["steps"] == 5)
        out = work / f"{file.stem}.py"
        run(ddpm, "export", file, "--format", "diffusers", "--steps", 5, "--out", out)
        module = tools.load(out)
        timesteps = [t - 1 for t in budget["path"][:0:-1]]
        constants = tools.transitions(ddpm, contents, budget["path"])
        makers = makers_of(module)
        for maker, make in makers.items():
            sigma2 = tools.expected_variances(contents, budget, constants, maker == "ddpm_scheduler") if sampler == "ddpm" else None

            def steps_apart(watched, noise, images):
                return apart(sampler, contents, constants, sigma2, watched, noise, images)

            noise = tools.Noise()
            tools.replace_noise(noise)
            for kind in PLAIN:
                for dtype in TYPES if kind is diffusers.DDPMPipeline else (torch.float32, torch.bfloat16):
                    label = f"{name}, {maker}, {kind.__name__}, {dtype}"
                    report.check(label, lambda: check_run(kind, make, module, timesteps, dtype, 8, noise, steps_apart))
            # Its network learns no variance.
            for dtype in () if maker == "ddpm_scheduler" and name == "learned" else (torch.float32, torch.bfloat16):
                report.check(f"{name}, {maker}, StableDiffusion, {dtype}", lambda: check_stable_diffusion(make, timesteps, dtype))
            report.check(f"{name}, {maker}, devices", lambda: check_devices(make, module, 8))
            report.check(f"{name}, {maker}, given to DDIMPipeline", lambda: check_ddim_pipeline_says_what_it_leaves_out(make))
            if name != "analytic":
                report.check(f"{name}, {maker}, another list", lambda: check_another_list(make))
        if "ddim_scheduler" in makers:
            own, other = (1.0, 0.5) if sampler == "ddpm" else (0.0, 1.0)
            scheduler, x = makers["ddim_scheduler"](), torch.zeros(1, 3, 8, 8)
            report.check(f"{name}, eta", lambda: scheduler.step(x, scheduler.timesteps[0], x, eta=own))
            report.check(f"{name}, another eta", lambda: refuses(lambda: scheduler.step(x, scheduler.timesteps[0], x, eta=other), "eta"))
        if "dpm_solver_scheduler" in makers:
            # More elements than a quantile takes.
            large = torch.zeros(1).expand(2, 3, 2048, 2048)
            report.check(f"{name}, clip", lambda: makers["dpm_solver_scheduler"]()._threshold_sample(large))
        both = work / f"{file.stem}-several.py"
        run(ddpm, "export", file, "--format", "diffusers", "--out", both)
        several = tools.load(both)
        for maker in makers:
            more = [several.variances] if maker == "ddpm_scheduler" and name == "analytic" else []
            report.check(f"{name}, {maker}, several K", lambda: refuses(lambda: getattr(several, maker)(several.timesteps, *more), "timesteps[K]", "5"))
            for wrong in (None, [], [1, 5, 9], [5, 5, 1], [-1], [10**6, 1], [3.5, 1]):
                report.check(f"{name}, {maker}, {wrong}", lambda: refuses(lambda: getattr(several, maker)(wrong, *more), "timesteps", "expected"))
        if "ddim_scheduler" in makers:
            for wrong in (2, -1, float("nan")):
                report.check(f"{name}, eta {wrong}", lambda: refuses(lambda: module.ddim_scheduler(module.timesteps, eta=wrong), "eta"))


def makers_of(module, **config):
    """The functions of an export that make schedulers, by their names."""
    variances = [module.variances] if hasattr(module, "variances") else []
    given = {"ddpm_scheduler": variances, "ddim_scheduler": [], "dpm_solver_scheduler": []}
    return {
        name: lambda name=name, more=more: getattr(module, name)(module.timesteps, *more, **config)
        for name, more in given.items()
        if hasattr(module, name)
    }


def check_calibrated(run, ddpm, tools, profile, checkpoint, work, report):
    """Steps of the export's own scheduler, which check_exports.py holds to NumPy."""
    flow = work / "pipelines.safetensors"
    cases = [
        ("spectral", [profile, "--variance", "spectral", "--folds", 0], []),
        ("learned-calibrated", [profile, "--variance", "learned-calibrated", "--folds", 0], []),
        ("unipc", [flow, "--objective", "quality", "--sampler", "dpm-solver++"], ["--sampler", "unipc"]),
    ]
    for name, words, more in cases:
        file, out = work / f"pipelines-{name}.json", work / f"pipelines-{name}.py"
        run(ddpm, "schedule", *words, "--steps", "3,5", "--out", file)
        run(ddpm, "export", file, "--format", "diffusers", "--out", out, *more)
        module, contents = tools.load(out), json.loads(file.read_text())
        timesteps = [t - 1 for t in contents["budgets"][-1]["path"][:0:-1]]
        for kind in PLAIN:
            for dtype in TYPES if kind is diffusers.DDPMPipeline else (torch.float32, torch.bfloat16):
                label = f"{name}, {kind.__name__}, {dtype}"
                report.check(label, lambda: check_run(kind, lambda: module.CalibratedScheduler(5), module, timesteps, dtype, 32, tools.Noise()))
        report.check(f"{name}, devices", lambda: check_devices(lambda: module.CalibratedScheduler(5), module, 32))
        report.check(f"{name}, generators", lambda: check_generators(module))
        report.check(f"{name}, unknown type", lambda: refuses(lambda: module.CalibratedScheduler(5, None), "prediction_type", "sample"))
        if name == "unipc":
            for dtype in (torch.float32, torch.bfloat16):
                report.check(f"{name}, StableDiffusion, {dtype}", lambda: check_stable_diffusion(lambda: module.CalibratedScheduler(5), timesteps, dtype))
        pipe, _ = ready(ddpm_pipe(diffusers.DDPMScheduler()))

        def swapped():
            try:
                diffusers.DDIMPipeline(pipe.unet, module.CalibratedScheduler(5))
            except Exception:  # noqa: BLE001: that it fails is what is wanted
                return
            raise AssertionError("DDIMPipeline made another scheduler of it in silence")

        report.check(f"{name}, given to DDIMPipeline", swapped)


def check_generators(module):
    """One generator per image draws each image as if it were alone."""
    pipe, _ = ready(ddpm_pipe(diffusers.DDPMScheduler(), out_channels=6, size=32))
    of = lambda seed: torch.Generator().manual_seed(seed)  # noqa: E731
    both = module.sample(pipe.unet, module.CalibratedScheduler(5), (2, 3, 32, 32), generator=[of(1), of(2)])
    alone = module.sample(pipe.unet, module.CalibratedScheduler(5), (1, 3, 32, 32), generator=of(2))
    assert torch.allclose(both[1:], alone, atol=1e-4)


def check_flow(run, ddpm, tools, work, report):
    """Pipelines of flows name a number of steps, or sigmas of their own."""
    curve, file, out = work / "flow.csv", work / "flow.json", work / "flow_export.py"
    curve.write_text("mse\n" + "\n".join(str(0.01 * t) for t in range(1, 21)) + "\n")
    run(ddpm, "schedule", "--mse", curve, "--process", "flow", "--variance", "fixed-small", "--steps", "3,5", "--out", file)
    run(ddpm, "export", file, "--format", "diffusers", "--steps", 5, "--out", out)
    module = tools.load(out)
    shifted = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True, shift_terminal=0.1).config
    for build in (sd3_pipe, flux_pipe):
        for dtype in (torch.float32, torch.bfloat16):
            for config in ({}, dict(shifted)):

                def run_one():
                    pipe, call = ready(build(diffusers.FlowMatchEulerDiscreteScheduler()))
                    pipe.to(dtype)
                    pipe.scheduler = module.flow_scheduler(module.sigmas, **config)
                    call = {key: value.to(dtype) if torch.is_tensor(value) else value for key, value in call.items()}
                    for number in ({}, dict(num_inference_steps=7)):
                        with Watched(pipe.transformer) as watched:
                            found = pipe(**call, **number).images
                        scale = 1.0 if build is flux_pipe else 1000.0
                        # Flux rounds to the type of its states.
                        close = dict(rtol=1e-6 if dtype == torch.float32 else 1e-2)
                        assert len(watched.times) == 5 and np.allclose(watched.times, np.array(module.sigmas) * scale, **close), watched.times
                        assert bool(found.isfinite().all())
                        if build is flux_pipe and dtype == torch.float32:
                            sigmas = [*module.sigmas, 0.0]
                            for k, (x, velocity) in enumerate(watched.states[:-1]):
                                wanted = x + (sigmas[k + 1] - sigmas[k]) * velocity
                                assert torch.allclose(watched.states[k + 1][0], wanted, atol=1e-5)

                report.check(f"flow, {build.__name__}, {dtype}, {'shifted' if config else 'plain'}", run_one)
    both = work / "flow_several.py"
    run(ddpm, "export", file, "--format", "diffusers", "--out", both)
    several = tools.load(both)
    report.check("flow, several K", lambda: refuses(lambda: several.flow_scheduler(several.sigmas), "sigmas[K]", "5"))


def check_unknown(run, ddpm, tools, work, report):
    """Networks of which nobody said what they predict."""
    costs, chosen = work / "costs.npy", work / "unknown.json"
    nodes = np.arange(101, dtype=np.float64)
    np.save(costs, (nodes[:, None] - nodes[None, :]) ** 2)
    curve = work / "unknown.csv"
    curve.write_text("mse\n" + "\n".join(str(0.01 * t) for t in range(1, 101)) + "\n")
    told = ["schedule", "--mse", curve, "--noise-schedule", "linear", "--steps", "4"]
    sources = [
        ("solve", ["solve", costs, "--budgets", 4, "--noise-schedule", "linear"]),
        *((variance, [*told, "--variance", variance]) for variance in ("fixed-small", "analytic")),
    ]
    for name, words in sources:
        out = work / f"unknown_{name}.py".replace("-", "_")
        out.write_text(run(ddpm, *words, "--export", "diffusers"))
        module = tools.load(out)
        for maker, make in makers_of(module).items():
            report.check(f"{name}, {maker}, unknown type", lambda: refuses(make, "prediction_type", "epsilon", "v_prediction"))
        for maker, make in makers_of(module, prediction_type="sample").items():
            report.check(f"{name}, {maker}, type", lambda: check_type(make()))


def check_type(scheduler):
    assert scheduler.config.prediction_type == "sample"
    out = scheduler.step(torch.full((1, 1, 2, 2), 0.25), scheduler.timesteps[-1], torch.zeros(1, 1, 2, 2))
    assert torch.allclose(out.prev_sample, torch.tensor(0.25)), out


def check_k_diffusion(run, ddpm, tools, work, report):
    """A network in any type is fed the timesteps of the list."""
    external, _ = tools.k_diffusion()
    file = work / "pipelines-fixed-small.json"
    out, both = work / "pipelines_k.py", work / "pipelines_k_several.py"
    run(ddpm, "export", file, "--format", "k-diffusion", "--steps", 5, "--out", out)
    run(ddpm, "export", file, "--format", "k-diffusion", "--out", both)
    module, several, contents = tools.load(out), tools.load(both), json.loads(file.read_text())
    listed = [t - 1 for t in contents["budgets"][-1]["path"][:0:-1]]
    table = torch.tensor(tools.exact_alphas_cumprod(ddpm, contents)).float()

    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.times = torch.nn.Conv2d(3, 3, 1), []

        def forward(self, x, t):
            self.times.append(int(t[0]))
            # Noise alone was added to nothing, so that no state leaves the range of half precision.
            return x + 0 * self.layer(x)

    def run_one(dtype):
        network = Network().to(dtype)
        found = module.sample(external.DiscreteEpsDDPMDenoiser(network, table, quantize=True), (2, 3, 8, 8), module.sigmas)
        assert network.times == listed, (network.times, listed)
        assert bool(found.isfinite().all())

    for dtype in TYPES:
        report.check(f"k-diffusion, {dtype}", lambda: run_one(dtype))
    rounded = external.DiscreteEpsDDPMDenoiser(Network(), table, quantize=True).bfloat16()
    report.check("k-diffusion, a rounded table", lambda: refuses(lambda: module.sample(rounded, (2, 3, 8, 8), module.sigmas), "table of sigmas"))
    plain = external.DiscreteEpsDDPMDenoiser(Network(), table, quantize=True)
    report.check("k-diffusion, several K", lambda: refuses(lambda: several.sample(plain, (2, 3, 8, 8), several.sigmas), "sigmas[K]"))


def check_pipelines(ddpm, tools, profile, checkpoint, work):
    """Whether every export is followed by default. `tools`: check_exports.py."""
    report = Report()
    print("\nExports in pipelines, called by default", flush=True)
    check_chain(tools.run, ddpm, tools, profile, checkpoint, work, report)
    check_calibrated(tools.run, ddpm, tools, profile, checkpoint, work, report)
    check_flow(tools.run, ddpm, tools, work, report)
    check_unknown(tools.run, ddpm, tools, work, report)
    check_k_diffusion(tools.run, ddpm, tools, work, report)
    print(f"  {report.passed} passed, {len(report.failed)} failed", flush=True)
    return not report.failed
