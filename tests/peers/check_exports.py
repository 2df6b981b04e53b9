"""Runs what `ddpm export` writes, in the programs it is written for.

For several noise schedules and variances: chooses schedules with `ddpm schedule`, exports them, samples a small
random UNet2DModel with each exported scheduler and checks that

- the network was called at exactly the timesteps of the path, in order;
- one step of the scheduler has exactly the coefficients and the variance of `ddpm transitions`;
- every step of the run is that step, with the noise that was drawn;
- the exported sigmas are those of k-diffusion's own table, its wrapper maps them back to exactly these timesteps, and
  sample_euler_ancestral takes the ancestral steps;
- CalibratedScheduler takes every step of a calibrated schedule, and every fitted step, as NumPy does, with check_spectral's own bands and
  chain;
- the exported steps of DPM-Solver++(3M), iPNDM and UniPC are those of diffusers' own schedulers, made to visit the same nodes;
- pipelines of diffusers follow every list when they are called by default (check_pipelines.py);
- SpacedDiffusion (where improved-diffusion is installed, or its folder is named by IMPROVED_DIFFUSION) has exactly
  the constants of `ddpm transitions`.

Then it gives every scheduler of diffusers an irregular list and compares what it does with the table of docs/exports.md.

Usage: check_exports.py --ddpm PATH --profile PROFILE --work FOLDER
"""

import argparse
import copy
import importlib.util
import inspect
import json
import math
import os
import re
import subprocess
import sys
import types
import warnings
from pathlib import Path

import numpy as np
import torch

import diffusers
from diffusers import UNet2DModel
from diffusers.utils import torch_utils

import check_pipelines
import check_spectral

warnings.filterwarnings("ignore")
diffusers.logging.set_verbosity_error()

# (name, flags of the chain, source, flags of the schedule). The profile is of a network that learns its variance.
CASES = [
    ("linear-fixed-small", "--noise-schedule linear", 1000, "--variance fixed-small"),
    ("linear-fixed-large", "--noise-schedule linear", 1000, "--variance fixed-large"),
    ("cosine-analytic", "--noise-schedule cosine", 1000, "--variance analytic"),
    ("scaled-linear-analytic", "--noise-schedule scaled-linear", 1000, "--variance analytic"),
    ("sigmoid-fixed-small", "--noise-schedule sigmoid", 600, "--variance fixed-small"),
    ("unscaled-fixed-large", "--noise-schedule linear-unscaled", 300, "--variance fixed-large"),
    ("profile-learned", None, 4000, "--variance learned"),
    ("profile-fixed-large-free", None, 4000, "--variance fixed-large --start free"),
    ("profile-analytic-free", None, 4000, "--variance analytic --start free"),
]
# Calibrated kernels, which the profile has, and a corrected flow.
CALIBRATED = [
    "--variance spectral",
    "--variance spectral --mean network",
    "--variance analytic --mean calibrated",
    "--variance learned-calibrated",
    "--variance best --start free",
]
STEPS = [3, 12]
ROOT = Path(__file__).resolve().parents[2]
# Betas, and the arithmetic of DPM-Solver, are single precision.
COEFFICIENTS = 1e-5
SAMPLED = 1e-5
RANDN = torch_utils.randn_tensor


def run(ddpm, *words):
    done = subprocess.run([str(ddpm), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem.replace("-", "_"), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # What sample() begins from is no noise of a step.
    module.randn_tensor = RANDN
    return module


def schedules_of(ddpm, case, profile, work):
    """Chooses; returns the schedules file and its contents."""
    name, chain, train_steps, flags = case
    out = work / f"{name}.json"
    source = [str(profile)]
    if chain:
        # A curve like that of a trained network; which one does not matter.
        curve = work / f"{name}.csv"
        rows = (f"{t},{0.0005 + 0.3 * (t / train_steps) ** 2!r}" for t in range(1, train_steps + 1))
        curve.write_text("t,mse\n" + "\n".join(rows) + "\n")
        source = ["--mse", str(curve), *chain.split()]
    run(ddpm, "schedule", *source, *flags.split(), "--folds", 0, "--steps", ",".join(map(str, STEPS)), "--out", out)
    return out, json.loads(out.read_text())


def transitions(ddpm, contents, path):
    """Constants of the respaced chain in the order of sampling."""
    words = ["--noise-schedule", contents["noise_schedule"], "--train-steps", contents["T"]]
    found = json.loads(run(ddpm, "transitions", *words, "--path", ",".join(map(str, path)), "--json"))
    names = ("posterior_mean_coef1", "posterior_mean_coef2", "posterior_variance", "betas", "alphas_cumprod")
    return {name: np.array(found[name][::-1]) for name in names}


def expected_variances(contents, budget, constants, by_ddpm):
    """sigma^2 of every step, the last of which has none; None where the network says it."""
    kind = contents["variance"] if by_ddpm else "fixed-small"
    if kind == "learned":
        return None
    sigma2 = {
        "fixed-small": constants["posterior_variance"],
        "fixed-large": constants["betas"],
        "analytic": np.exp(np.array([x if x is not None else -np.inf for x in budget["log_variance"][::-1]])),
    }[kind].copy()
    sigma2[-1] = 0.0
    return sigma2


class Noise:
    """Stands in for the schedulers' randn_tensor: what it returns, or returned."""

    def __init__(self):
        self.fixed, self.drawn = None, []

    def __call__(self, shape, generator=None, device=None, dtype=None, layout=None):
        z = RANDN(shape, generator, device, dtype) if self.fixed is None else torch.full(shape, self.fixed, dtype=dtype)
        self.drawn.append(z)
        return z


def replace_noise(noise):
    for name, module in list(sys.modules.items()):
        if name.startswith("diffusers.schedulers") and hasattr(module, "randn_tensor"):
            module.randn_tensor = noise
    torch_utils.randn_tensor = noise


def probe(make, noise, learned):
    """Coefficients of x0, x_t and the noise of every step, read off the scheduler itself."""
    found = []
    for x0, x, z in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        scheduler = make(prediction_type="sample", clip_sample=False)
        noise.fixed = z
        column = []
        ones = torch.ones(1, 1, 1, 1, dtype=torch.float64)
        for t in scheduler.timesteps:
            # A learned fraction of (0 + 1) / 2.
            output = torch.cat([x0 * ones, 0 * ones], 1) if learned else x0 * ones
            column.append(scheduler.step(output, t, x * ones).prev_sample.item())
        found.append(column)
    noise.fixed = None
    return np.array(found)


def relative(found, expected):
    """Relative where the expected number is above 1e-3; NaN is infinite."""
    error = np.abs(found - expected) / np.maximum(np.abs(expected), 1e-3)
    return float(np.max(np.where(np.isnan(error), np.inf, error)))


def unet(channels, out_channels, train_steps):
    torch.manual_seed(3)
    return UNet2DModel(
        sample_size=8, in_channels=channels, out_channels=out_channels, block_out_channels=(8, 16), norm_num_groups=4,
        down_block_types=("DownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "UpBlock2D"), layers_per_block=1,
    ).eval()


def check_sampling(module, scheduler, kind, budget, constants, sigma2, contents, noise):
    """A whole run: timesteps visited and every step taken."""
    learned = kind == "ddpm" and contents["variance"] == "learned"
    # A network that learns its variance serves a fixed one too.
    network = unet(3, 6 if learned or contents["variance"] == "fixed-large" else 3, contents["T"])
    calls, states = [], []

    def watched(x, t):
        out = network(x, t)
        calls.append(int(t))
        states.append((x, out.sample))
        return out

    noise.drawn.clear()
    generator = torch.Generator().manual_seed(11)
    final = module.sample(watched, scheduler, (2, 3, 8, 8), generator=generator)
    assert calls == [t - 1 for t in budget["path"][:0:-1]], (calls, budget["path"])
    clip = bool(contents["clip_denoised"])
    worst = 0.0
    after = [x for x, _ in states[1:]] + [final]
    for k, ((x, out), y) in enumerate(zip(states, after)):
        alpha_bar = constants["alphas_cumprod"][k]
        # In double precision; the scheduler works in single.
        x, out, y = x.double(), out.double(), y.double()
        x0 = (x - math.sqrt(1 - alpha_bar) * out[:, :3]) / math.sqrt(alpha_bar)
        x0 = x0.clamp(-1, 1) if clip else x0
        mean = constants["posterior_mean_coef1"][k] * x0 + constants["posterior_mean_coef2"][k] * x
        if k == len(states) - 1:
            sigma = torch.zeros(())
        elif learned:
            v = (out[:, 3:] + 1) / 2
            log_variance = v * math.log(constants["betas"][k]) + (1 - v) * math.log(constants["posterior_variance"][k])
            sigma = (0.5 * log_variance).exp()
        else:
            sigma = torch.tensor(math.sqrt(sigma2[k]))
        z = noise.drawn[k] if k < len(noise.drawn) else torch.zeros_like(x)
        error = (y - mean - sigma * z.double()).abs().max() / max(1.0, x0.abs().max())
        assert bool(error.isfinite()), f"step {k} of {kind} is not finite"
        worst = max(worst, float(error))
    return worst


def check_diffusers(ddpm, file, contents, steps, work, noise):
    budget = next(b for b in contents["budgets"] if b["steps"] == steps)
    path = budget["path"]
    constants = transitions(ddpm, contents, path)
    out = work / f"{file.stem}-{steps}.py"
    run(ddpm, "export", file, "--format", "diffusers", "--steps", steps, "--out", out)
    module = load(out)
    replace_noise(noise)
    assert module.timesteps == [t - 1 for t in path[:0:-1]]
    # Curves from outside say nothing of the network.
    known = {} if contents["parameterization"] else {"prediction_type": "epsilon"}
    rows = []
    for kind in ("ddpm", "ddim", "dpm_solver"):

        def make(**config):
            return check_pipelines.makers_of(module, **{**known, **config})[f"{kind}_scheduler"]()

        learned = kind == "ddpm" and contents["variance"] == "learned"
        sigma2 = expected_variances(contents, budget, constants, kind == "ddpm")
        errors = []
        # As exported, and with the table as diffusers keeps it.
        as_exported = module.in_double
        for in_double in (as_exported, lambda scheduler: scheduler):
            module.in_double = in_double
            coefficients = probe(make, noise, learned)
            if learned:
                sigma = (constants["betas"] * constants["posterior_variance"]) ** 0.25
                sigma[-1] = 0.0
            else:
                sigma = np.sqrt(sigma2)
            wanted = np.array([constants["posterior_mean_coef1"], constants["posterior_mean_coef2"], sigma])
            errors.append(relative(coefficients, wanted))
        module.in_double = as_exported
        run_error = check_sampling(module, make(), kind, budget, constants, sigma2, contents, noise)
        rows.append((kind, *errors, run_error))
    return rows, constants


def check_calibrated(ddpm, profile, checkpoint, work):
    """Every step of every calibrated schedule against check_spectral's transform, chain and records; the largest difference."""
    files = []
    for i, flags in enumerate(CALIBRATED):
        files.append((flags, work / f"calibrated-{i}.json"))
        run(ddpm, "schedule", profile, *flags.split(), "--folds", 0, "--steps", "3,12", "--out", files[-1][1])
    flow = work / "corrected.safetensors"
    run(ddpm, "trajectory", checkpoint, "--mean", "calibrated", "--profile", profile, "--count", 1, "--nodes", 24, "--steps", "none", "--out", flow)
    for sampler in ("ddim", "dpm-solver++"):
        files.append((sampler, work / f"calibrated-{sampler}.json"))
        run(ddpm, "schedule", flow, "--objective", "quality", "--sampler", sampler, "--steps", "3,12", "--out", files[-1][1])
    taught = work / "taught.safetensors"
    run(ddpm, "trajectory", checkpoint, "--mean", "calibrated", "--profile", profile, "--count", 2, "--nodes", 16, "--steps", "3", "--sampler", "dpm-solver++", "--coefficients", "fitted,fitted-bands", "--out", taught)
    for kind in ("fitted", "fitted-bands"):
        files.append((kind, work / f"{kind}.json"))
        run(ddpm, "schedule", taught, "--objective", "quality", "--sampler", "dpm-solver++", "--coefficients", kind, "--out", files[-1][1])
    for name, file in files:
        contents = json.loads(file.read_text())
        out = work / f"{file.stem}.py"
        run(ddpm, "export", file, "--format", "diffusers", "--out", out)
        module, chain = load(out), check_spectral.Chain(contents)
        bands = check_spectral.Bands(contents["bands"]) if contents.get("bands") else None
        worst = 0.0
        for budget in contents["budgets"]:
            scheduler, path = module.CalibratedScheduler(budget["steps"]), budget["path"]
            assert scheduler.timesteps.tolist() == [t - 1 for t in path[:0:-1]]
            generator, before = torch.Generator().manual_seed(7), None
            x = torch.randn((2, 3, 32, 32), generator=generator)
            for k in range(budget["steps"] - 1, -1, -1):
                output = torch.randn((2, 6, 32, 32), generator=generator)
                white = torch.randn(x.shape, generator=torch.Generator().manual_seed(k)).double().numpy()
                found = scheduler.step(output, path[k + 1] - 1, x, generator=torch.Generator().manual_seed(k)).prev_sample
                wanted, before = expected_step(contents, budget, k, chain, bands, x.double().numpy(), output.double().numpy(), white, before)
                worst = max(worst, float(np.abs(found.double().numpy() - wanted).max() / max(1.0, np.abs(wanted).max())))
                x = found
        print(f"calibrated, {name}: {worst:.1e} apart", flush=True)
        # States are kept in single precision.
        if not worst < 2e-6:
            raise SystemExit("check-exports: FAILED")


def check_multistep(ddpm, checkpoint, work):
    """The exported steps of samplers that look back further, against the schedulers of diffusers, made to visit the same nodes."""
    flow = work / "unclipped.safetensors"
    run(ddpm, "trajectory", checkpoint, "--count", 1, "--nodes", 24, "--steps", "none", "--clip-denoised", "false", "--out", flow)
    file = work / "multistep.json"
    run(ddpm, "schedule", flow, "--objective", "quality", "--steps", "3,6,16", "--out", file)
    contents = json.loads(file.read_text())
    alpha_bar = np.exp(np.array(contents["log_alpha_bar"])) if "log_alpha_bar" in contents else exact_alphas_cumprod(ddpm, contents)
    for sampler in ("dpm-solver++3m", "ipndm", "unipc", "unipc3"):
        out = work / f"multistep-{sampler}.py".replace("++", "")
        run(ddpm, "export", file, "--format", "diffusers", "--sampler", sampler, "--out", out)
        module, worst = load(out), 0.0
        for budget in contents["budgets"]:
            nodes = [t - 1 for t in budget["path"][:0:-1]]
            kept = torch.cat([torch.as_tensor(alpha_bar[nodes], dtype=torch.float64), torch.ones(1, dtype=torch.float64)])
            alphas, sigmas = kept.sqrt(), (1 - kept).sqrt()
            if sampler == "dpm-solver++3m":
                scheduler = module.dpm_solver_scheduler(module.timesteps if len(contents["budgets"]) == 1 else module.timesteps[budget["steps"]])
            else:
                scheduler = module.CalibratedScheduler(budget["steps"])
            if sampler == "ipndm":
                theirs = diffusers.IPNDMScheduler()
                theirs.set_timesteps(len(nodes))
                theirs.alphas, theirs.betas = alphas, sigmas
            else:
                made = dict(num_train_timesteps=contents["T"], final_sigmas_type="zero")
                if sampler == "dpm-solver++3m":
                    theirs = diffusers.DPMSolverMultistepScheduler(**made, algorithm_type="dpmsolver++", solver_type="midpoint", solver_order=3)
                else:
                    theirs = diffusers.UniPCMultistepScheduler(**made, solver_order=2 if sampler == "unipc" else 3, solver_type="bh2")
                theirs.set_timesteps(len(nodes))
                theirs.sigmas = sigmas / alphas
            theirs.timesteps = torch.tensor(nodes)
            generator = torch.Generator().manual_seed(11)
            x = torch.randn((2, 3, 8, 8), generator=generator, dtype=torch.float64)
            own = x
            for i, t in enumerate(nodes):
                output = torch.randn(x.shape, generator=generator, dtype=torch.float64)
                own = scheduler.step(output, t, own).prev_sample
                if sampler == "ipndm":
                    # It predicts v, goes on to order 4, and its last step is not of the first.
                    output = (output - sigmas[i] * x) / alphas[i]
                    theirs.ets = [] if i + 1 == len(nodes) else theirs.ets[-2:]
                x = theirs.step(output, t, x).prev_sample
                worst = max(worst, float((own - x).abs().max() / max(1.0, float(x.abs().max()))))
        print(f"exported {sampler}: {worst:.1e} from diffusers' own", flush=True)
        # diffusers keeps sigmas in single precision, and differences of them are extrapolated.
        if not worst < (2e-5 if sampler == "dpm-solver++3m" else 1e-9):
            raise SystemExit("check-exports: FAILED")


def expected_step(contents, budget, k, chain, bands, x, output, white, before):
    """x_s and the corrected estimate of step k."""
    t, s = budget["path"][k + 1], budget["path"][k]
    record = next((step for step in contents.get("by_timestep", []) if step["t"] == t), {})
    output, raw = np.split(output, 2, axis=1)
    signal, spread = np.sqrt(chain.signal[t]), np.sqrt(chain.noise[t])
    x0 = np.clip((x - spread * output) / signal, -1, 1)
    if "a" in record:
        error = (x - signal * x0) / spread
        shift = bands.spread(record["a"]) * bands.forward(x0) + bands.spread(record["b"]) * bands.forward(error)
        x0 = np.clip(x0 + bands.backward(shift + bands.constants(record["m"])), -1, 1)
    if "fitted" in budget:
        made = 0
        for term, field in zip(budget["fitted"][k], (x, x0, before)):
            made = made + (bands.backward(bands.spread(term) * bands.forward(field)) if isinstance(term, list) else term * field)
        return made, x0
    if s == 0:
        return x0, x0
    sampler = contents.get("sampler")
    if sampler == "ddim":
        return np.sqrt(chain.signal[s]) * x0 + np.sqrt(chain.noise[s]) * (x - signal * x0) / spread, x0
    if sampler == "dpm-solver++":
        half = lambda t: 0.5 * (chain.log[t] - np.log(chain.noise[t]))
        step, denoised = half(s) - half(t), x0
        if before is not None:
            ratio = (half(t) - half(budget["path"][k + 2])) / step
            denoised = x0 + (x0 - before) / (2 * ratio)
        return np.sqrt(chain.noise[s]) / spread * x - np.sqrt(chain.signal[s]) * np.expm1(-step) * denoised, x0
    of_data, of_noisy, variance = chain.posterior(t, s)
    kind, number = budget["kernels"][k], budget["log_variance"][k]
    if kind == "bands":
        variance = variance * (1 + (chain.snr(s) - chain.snr(t)) * bands.spread(record["powers"]))
        noise = bands.backward(np.sqrt(variance) * bands.forward(white))
    elif kind == "scalar":
        noise = np.exp(0.5 * number) * white
    else:
        v = (raw + 1) / 2
        logs = v * np.log(chain.beta(t, s)) + (1 - v) * np.log(variance) + (number or 0.0)
        noise = np.exp(0.5 * logs) * white
    return of_data * x0 + of_noisy * x + noise, x0


def exact_alphas_cumprod(ddpm, contents):
    words = ["--noise-schedule", contents["noise_schedule"], "--train-steps", contents["T"]]
    return np.array(json.loads(run(ddpm, "transitions", *words, "--json"))["alphas_cumprod"])


def k_diffusion():
    """The package without its evaluation module, whose dependencies nothing here needs."""
    if "k_diffusion" not in sys.modules:
        package = types.ModuleType("k_diffusion")
        package.__path__ = list(importlib.util.find_spec("k_diffusion").submodule_search_locations)
        sys.modules["k_diffusion"] = package
    from k_diffusion import external, sampling

    return external, sampling


def check_sigmas(ddpm, file, contents, steps, work):
    external, sampling = k_diffusion()
    budget = next(b for b in contents["budgets"] if b["steps"] == steps)
    constants = transitions(ddpm, contents, budget["path"])
    out = work / f"{file.stem}-{steps}-k.py"
    run(ddpm, "export", file, "--format", "k-diffusion", "--steps", steps, "--out", out)
    module = load(out)
    listed = [t - 1 for t in budget["path"][:0:-1]]
    # k-diffusion's definition, on the same alpha_bar, in double precision.
    calls = []

    def network(x, t):
        calls.extend(int(i) for i in t[:1])
        assert bool((t == t.round()).all())
        return torch.sin(3 * x)

    double = torch.tensor(exact_alphas_cumprod(ddpm, contents))
    table = external.DiscreteEpsDDPMDenoiser(network, double, quantize=True)
    worst = relative(np.array(module.sigmas), np.append(table.sigmas[listed].numpy(), 0.0))
    # The run itself, as the export does it, but with noise that is known.
    drawn, states = [], []
    torch.manual_seed(5)
    original, euler = torch.randn_like, sampling.sample_euler_ancestral

    def randn_like(x):
        drawn.append(original(x))
        return drawn[-1]

    def traced(model, x, sigmas):
        return euler(model, x, sigmas, callback=lambda d: states.append((d["x"].clone(), d["denoised"])), disable=True,
                     noise_sampler=lambda *_: randn_like(x))

    single = external.DiscreteEpsDDPMDenoiser(network, double.float(), quantize=True)
    sampling.sample_euler_ancestral = traced
    try:
        calls.clear()
        final = module.sample(single, (2, 3, 8, 8), module.sigmas)
    finally:
        sampling.sample_euler_ancestral = euler
    assert calls == listed, (calls, listed)
    error = 0.0
    after = [x for x, _ in states[1:]] + [final]
    for k, ((x, x0), y) in enumerate(zip(states, after)):
        alpha_bar = constants["alphas_cumprod"]
        below = alpha_bar[k + 1] if k + 1 < len(alpha_bar) else 1.0
        mean = constants["posterior_mean_coef1"][k] * x0.double() + constants["posterior_mean_coef2"][k] * x.double() * math.sqrt(alpha_bar[k])
        sigma = math.sqrt(constants["posterior_variance"][k]) if k + 1 < len(states) else 0.0
        expected = mean + (sigma * drawn[k].double() if sigma else 0.0)
        error = max(error, float((y.double() * math.sqrt(below) - expected).abs().max() / max(1.0, x0.abs().max())))
    # ComfyUI's ManualSigmas reads numbers without exponents wherever it sees them.
    line = run(ddpm, "export", file, "--format", "comfyui", "--steps", steps)
    read = [float(word) for word in re.findall(r"[-+]?(?:\d*\.*\d+)", line)]
    assert read == module.sigmas, (read, module.sigmas)
    return worst, error


def check_spaced(ddpm, file, contents, steps, work, constants):
    out = work / f"{file.stem}-{steps}-improved.py"
    run(ddpm, "export", file, "--format", "improved-diffusion", "--steps", steps, "--out", out)
    module = load(out)
    known = {} if contents["parameterization"] else {"model_mean_type": module.gd.ModelMeanType.EPSILON}
    if known:
        check_pipelines.refuses(lambda: module.diffusion(module.use_timesteps), "model_mean_type")
    check_pipelines.refuses(lambda: module.diffusion({3: module.use_timesteps}), "use_timesteps[K]")
    spaced = module.diffusion(module.use_timesteps, **known)
    assert sorted(module.use_timesteps) == spaced.timestep_map
    names = {"posterior_mean_coef1": spaced.posterior_mean_coef1, "posterior_mean_coef2": spaced.posterior_mean_coef2,
             "posterior_variance": spaced.posterior_variance, "betas": spaced.betas, "alphas_cumprod": spaced.alphas_cumprod}
    worst = 0.0
    for name, values in names.items():
        found, expected = values[::-1], constants[name]
        worst = max(worst, relative(found, expected))
    if contents["variance"] != "learned":
        # Of a network that learns its variance the first half of the output is the estimate.
        x, t = torch.randn(2, 3, 4, 4), torch.tensor([0, 1])
        one, two = (spaced.p_mean_variance(lambda x, t: torch.cat([x / 2] * n, 1), x, t)["mean"] for n in (1, 2))
        assert torch.equal(one, two)
    return worst


def survey(listed, train_steps=1000):
    """What every scheduler of diffusers does with an irregular list, by its name."""
    found = {}
    alpha_bar = np.cumprod(1 - np.linspace(1e-4, 0.02, train_steps))
    for name in sorted(n for n in dir(diffusers) if n.endswith("Scheduler")):
        try:
            cls = getattr(diffusers, name)
            takes = inspect.signature(cls.set_timesteps).parameters
            options = inspect.signature(cls.__init__).parameters
        except (AttributeError, ImportError, RuntimeError, TypeError):
            # Placeholders of packages that are not installed, and schedulers that are not steps of a chain.
            continue
        if "timesteps" not in takes:
            found[name] = "takes no list"
            continue
        config = {"num_train_timesteps": train_steps} if "num_train_timesteps" in options else {}
        if "beta_schedule" in options:
            config |= {"beta_schedule": "linear", "beta_start": 1e-4, "beta_end": 0.02}
        if name.startswith("DPMSolver"):
            config |= {"solver_order": 1, "algorithm_type": "sde-dpmsolver++"}
        try:
            scheduler = cls(**config)
            scheduler.set_timesteps(timesteps=list(listed))
            visited = [float(t) for t in scheduler.timesteps]
        except Exception as error:  # noqa: BLE001: the point is to see what happens
            found[name] = f"refuses it ({type(error).__name__})"
            continue
        found[name] = "visits others" if visited != [float(t) for t in listed] else kind_of_step(scheduler, alpha_bar, listed)
    return found


def documented():
    """The table of docs/exports.md: what it says of each scheduler, and of which diffusers."""
    text = (ROOT / "docs/exports.md").read_text()
    version = re.search(r"diffusers (\d+\.\d+\.\d+)", text).group(1)
    said = {}
    for line in text.splitlines():
        row = re.fullmatch(r"\| (`\w+Scheduler`(?:, `\w+Scheduler`)*) \| ([^|]+?) \|[^|]*\|", line)
        if row:
            said |= {name: row.group(2) for name in re.findall(r"`(\w+)`", row.group(1))}
    assert said, "docs/exports.md has no table of schedulers"
    return version, said


def check_survey():
    """The survey against the table of the documentation; says what differs."""
    listed = [999, 700, 431, 188, 77, 20, 3]
    found = survey(listed)
    version, said = documented()
    print(f"\nSchedulers of diffusers {diffusers.__version__}, given timesteps={listed}:")
    for name, what in found.items():
        print(f"  {name:38s} {what}")
    wrong = []
    if diffusers.__version__ != version:
        wrong.append(f"docs/exports.md is about diffusers {version}, this is {diffusers.__version__}")
    # Those that take no list are the rest, which the table does not name.
    follows = {name: what for name, what in found.items() if what != "takes no list"}
    assert len(follows) >= 5, f"the survey looked at hardly anything: {found}"
    for name in sorted(follows.keys() | said.keys()):
        if follows.get(name) != said.get(name):
            wrong.append(f"{name}: docs/exports.md says {said.get(name)!r}, it {found.get(name, 'does not exist')!r}")
    for line in wrong:
        print(f"  FAILED: {line}")
    return not wrong


def kind_of_step(scheduler, alpha_bar, listed):
    """Whether its steps have the mean of the ancestral sampler, of DDIM, or another."""
    noise = Noise()
    replace_noise(noise)
    a = np.append(alpha_bar[listed], 1.0)
    try:
        if hasattr(scheduler, "scale_model_input"):
            scheduler.scale_model_input(torch.zeros(1, 1, 1, 1), scheduler.timesteps[0])
        # Two numbers of one step: x_t = 1 with epsilon = 0, then x_t = 0 with epsilon = 1.
        found = []
        for x, e in ((1.0, 0.0), (0.0, 0.01)):
            noise.fixed = 0.0
            s = copy.deepcopy(scheduler)
            if hasattr(s.config, "clip_sample"):
                s.register_to_config(clip_sample=False)
            one = torch.ones(1, 1, 1, 1, dtype=torch.float64)
            for t in s.timesteps[:3]:
                y = s.step(e * one, t, x * one).prev_sample.item()
            found.append(y / (e or x))
    except Exception as error:  # noqa: BLE001
        return f"its step does not run alone ({type(error).__name__})"
    s, t = a[3], a[2]
    beta = 1 - t / s
    c, d = math.sqrt(s) * beta / (1 - t), math.sqrt(t / s) * (1 - s) / (1 - t)
    ancestral = (c / math.sqrt(t) + d, -c * math.sqrt((1 - t) / t))
    ddim = (math.sqrt(s / t), math.sqrt(1 - s) - math.sqrt(s * (1 - t) / t))
    # Schedulers over sigma keep x_t / sqrt(alpha_bar).
    euler = (1.0, math.sqrt((1 - s) / s) - math.sqrt((1 - t) / t))
    for name, wanted in (("ancestral steps", ancestral), ("DDIM's steps, no noise", ddim), ("DDIM's steps, no noise", euler)):
        if np.allclose(found, wanted, rtol=2e-3):
            return name
    return "steps of its own"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", type=Path, required=True)
    parser.add_argument("--profile", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    sys.path.insert(0, os.environ.get("IMPROVED_DIFFUSION", ""))
    improved = importlib.util.find_spec("improved_diffusion") is not None
    noise = Noise()
    failed = False
    print("Largest relative difference of a step's coefficients from those of `ddpm transitions`: as exported, and with the")
    print("float32 table of diffusers; and of a sampled step from the step that the noise drawn should have given")
    print(f"{'case':26s} {'K':>3s}  {'program':20s} {'exported':>9s} {'float32':>9s} {'sampled':>9s}")

    def show(name, steps, program, exported, single, sampled, good):
        nonlocal failed
        failed |= not good
        cells = " ".join("        -" if x is None else f"{x:9.1e}" for x in (exported, single, sampled))
        print(f"{name:26s} {steps:3d}  {program:20s} {cells}{'' if good else '  FAILED'}", flush=True)

    for case in CASES:
        file, contents = schedules_of(arguments.ddpm, case, arguments.profile, arguments.work)
        for steps in STEPS:
            rows, constants = check_diffusers(arguments.ddpm, file, contents, steps, arguments.work, noise)
            for kind, exported, single, sampled in rows:
                show(case[0], steps, kind, exported, single, sampled, exported < COEFFICIENTS and sampled < SAMPLED)
            exported, sampled = check_sigmas(arguments.ddpm, file, contents, steps, arguments.work)
            show(case[0], steps, "k-diffusion, comfyui", exported, None, sampled, exported < 1e-9 and sampled < SAMPLED)
            if improved:
                exported = check_spaced(arguments.ddpm, file, contents, steps, arguments.work, constants)
                show(case[0], steps, "SpacedDiffusion", exported, None, None, exported < 1e-9)
    if not improved:
        print("skipped: SpacedDiffusion needs improved-diffusion (IMPROVED_DIFFUSION names its folder)")
    check_calibrated(arguments.ddpm, arguments.profile, ROOT / "datasets/cifar10-small.safetensors", arguments.work)
    check_multistep(arguments.ddpm, ROOT / "datasets/cifar10-small.safetensors", arguments.work)
    failed |= not check_pipelines.check_pipelines(arguments.ddpm, sys.modules[__name__], arguments.profile, ROOT / "datasets/cifar10-small.safetensors", arguments.work)
    failed |= not check_survey()
    if failed:
        raise SystemExit("check-exports: FAILED")
    print("\ncheck-exports: every exported list was followed, step by step, and docs/exports.md says who can")


if __name__ == "__main__":
    main()
