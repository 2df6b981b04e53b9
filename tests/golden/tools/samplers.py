"""Single sampler steps of improved-diffusion and diffusers, for tests/golden/samplers.{json,safetensors}.

    python tests/golden/tools/samplers.py PATH_TO_IMPROVED_DIFFUSION

needs a checkout of github.com/openai/improved-diffusion (commit 1bc7bbb was used) and torch, diffusers and safetensors from
PyPI; the versions used are written into the JSON file. The references' own steps run, with two things replaced: their
random numbers by the noise that is stored here, and the table of alphas_cumprod that they keep in f32 by the same table in
f64. In f32, 1 - alphas_cumprod has lost so many digits near clean data that the last steps of both are off by 1e-5 to 1e-2,
which would hide what is to be compared.

Every case is one trajectory. Tensor NAME.x [K + 1, N] holds x before each step and at the end, NAME.out [K, N or 2 N] what
the network says (epsilon; then the raw variance); row i of the tensor noise [.., N] is the noise of step i of every case.
Steps go from the noisiest node down; `timesteps` lists the 0-based nodes of the path upwards.
"""

import json
import sys
from pathlib import Path

import diffusers
import numpy as np
import safetensors.torch
import torch

sys.path.insert(0, sys.argv[1])
from improved_diffusion import gaussian_diffusion as gd  # noqa: E402
from improved_diffusion.respace import SpacedDiffusion  # noqa: E402

SHAPE = (1, 3, 4, 4)
PATHS = {
    "short": [0, 30, 41, 400, 850],
    "uneven": [2, 9, 10, 75, 76, 300, 301, 640, 820, 940],
    "long": [0, 1, 2, 5, 11, 20, 33, 60, 100, 101, 180, 230, 310, 420, 500, 610, 700, 790, 860],
}


def randn(seed, shape=SHAPE):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).double()


def stored(x):
    """As the file has it: what comes out of one step goes into the next."""
    return x.float().double()


CASES = []
TENSORS = {"noise": torch.stack([randn(3000 + i).flatten() for i in range(max(map(len, PATHS.values())))])}


class Network:
    """Says what a network would that believes in other data at each step; some of it is beyond [-1, 1]."""

    def __init__(self, alphas_cumprod, learned):
        self.alphas_cumprod, self.learned = alphas_cumprod, learned
        self.outputs = []

    def __call__(self, x, index):
        step = len(self.outputs)
        a = float(self.alphas_cumprod[index])
        data = 0.7 * randn(1000 + step)
        out = (x - a**0.5 * data) / (1 - a) ** 0.5
        if self.learned:
            out = torch.cat([out, 0.6 * randn(2000 + step)], dim=1)
        self.outputs.append(stored(out))
        return self.outputs[-1]

    def draw(self, *_, **__):
        return randn(3000 + len(self.outputs) - 1)


def store(case, network, trajectory):
    name = f"case{len(CASES)}"
    TENSORS[f"{name}.x"] = torch.stack([x.flatten() for x in trajectory])
    TENSORS[f"{name}.out"] = torch.stack([out.flatten() for out in network.outputs])
    CASES.append({"name": name, **case})


def extract_in_f64(values, t, shape):
    """improved-diffusion's _extract_into_tensor without its cast to f32."""
    return torch.from_numpy(values)[t].reshape(-1, 1, 1, 1).expand(shape)


gd._extract_into_tensor = extract_in_f64


def improved_diffusion(schedule, path, sampler, variance, clip, eta):
    betas = gd.get_named_beta_schedule(schedule, 1000)
    kinds = {
        "learned": gd.ModelVarType.LEARNED_RANGE,
        "fixed-small": gd.ModelVarType.FIXED_SMALL,
        "fixed-large": gd.ModelVarType.FIXED_LARGE,
    }
    diffusion = SpacedDiffusion(
        use_timesteps=PATHS[path],
        betas=betas,
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=kinds[variance],
        loss_type=gd.LossType.MSE,
        rescale_timesteps=False,
    )
    network = Network(np.cumprod(1 - betas), variance == "learned")
    gd.th.randn_like = network.draw
    x = randn(1)
    trajectory = [x]
    for i in reversed(range(len(PATHS[path]))):
        model = lambda x, t: network(x, int(t[0]))  # noqa: E731
        t = torch.tensor([i])
        if sampler == "ancestral":
            x = diffusion.p_sample(model, x, t, clip_denoised=clip)["sample"]
        else:
            x = diffusion.ddim_sample(model, x, t, clip_denoised=clip, eta=eta)["sample"]
        x = stored(x)
        trajectory.append(x)
    case = {"source": "improved-diffusion", "schedule": schedule, "T": 1000, "timesteps": PATHS[path]}
    store({**case, "sampler": sampler, "variance": variance, "clip": clip, "eta": eta}, network, trajectory)


def cosine(t):
    return np.cos((t + 0.008) / 1.008 * np.pi / 2) ** 2


# What diffusers calls them, and its betas in f64.
SCHEDULES = {
    "linear-unscaled": ({"beta_schedule": "linear"}, np.linspace(1e-4, 0.02, 1000)),
    "scaled-linear": (
        {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012},
        np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2,
    ),
    "cosine": (
        {"beta_schedule": "squaredcos_cap_v2"},
        np.array([min(1 - cosine((i + 1) / 1000) / cosine(i / 1000), 0.999) for i in range(1000)]),
    ),
}


def diffusers_case(schedule, path, sampler, variance="fixed-small", clip=False, eta=0.0):
    nodes = PATHS[path]
    named, betas = SCHEDULES[schedule]
    config = dict(named, num_train_timesteps=1000)
    full = torch.from_numpy(np.cumprod(1 - betas))
    torch.testing.assert_close(diffusers.DDPMScheduler(**config).alphas_cumprod.double(), full, rtol=0, atol=1e-6)
    if sampler == "ancestral":
        variance_type = {"learned": "learned_range"}.get(variance, variance.replace("-", "_"))
        scheduler = diffusers.DDPMScheduler(**config, variance_type=variance_type, clip_sample=clip)
        scheduler.alphas_cumprod = full
        scheduler.set_timesteps(timesteps=nodes[::-1])
        steps = [(t, t) for t in nodes[::-1]]
    elif sampler == "ddim":
        # DDIMScheduler knows regular strides alone: an irregular one is the regular one of the respaced chain.
        kept = np.concatenate([[1.0], full[nodes]])
        scheduler = diffusers.DDIMScheduler(
            num_train_timesteps=len(nodes), trained_betas=1 - kept[1:] / kept[:-1], clip_sample=clip
        )
        scheduler.alphas_cumprod = full[nodes]
        scheduler.set_timesteps(len(nodes))
        steps = [(i, nodes[i]) for i in reversed(range(len(nodes)))]
        assert scheduler.timesteps.tolist() == [i for i, _ in steps]
    else:
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **config, algorithm_type="dpmsolver++", solver_type="midpoint", solver_order=2, final_sigmas_type="zero"
        )
        scheduler.set_timesteps(timesteps=nodes[::-1])
        sigmas = torch.cat([((1 - full) / full).sqrt()[nodes[::-1]], torch.zeros(1)])
        torch.testing.assert_close(scheduler.sigmas.double(), sigmas, rtol=1e-3, atol=0)
        scheduler.sigmas = sigmas
        steps = [(t, t) for t in nodes[::-1]]
    network = Network(full, variance == "learned")
    diffusers.schedulers.scheduling_ddpm.randn_tensor = network.draw
    diffusers.schedulers.scheduling_ddim.randn_tensor = network.draw
    x = randn(1)
    trajectory = [x]
    for shown, t in steps:
        extra = {"eta": eta, "use_clipped_model_output": clip} if sampler == "ddim" else {}
        x = stored(scheduler.step(network(x, t), shown, x, **extra).prev_sample)
        trajectory.append(x)
    case = {"source": "diffusers", "schedule": schedule, "T": 1000, "timesteps": nodes}
    store({**case, "sampler": sampler, "variance": variance, "clip": clip, "eta": eta}, network, trajectory)


def multistep_case(schedule, path, sampler):
    """Samplers that look back further than one node, or correct what they predicted."""
    nodes = PATHS[path]
    named, betas = SCHEDULES[schedule]
    config = dict(named, num_train_timesteps=1000)
    full = torch.from_numpy(np.cumprod(1 - betas))
    kept = torch.cat([full[nodes[::-1]], torch.ones(1, dtype=torch.float64)])
    alphas, sigmas = kept.sqrt(), (1 - kept).sqrt()
    if sampler == "ipndm":
        # It has a noise schedule and timesteps of its own, and a network of v-prediction.
        scheduler = diffusers.IPNDMScheduler()
        scheduler.set_timesteps(len(nodes))
        scheduler.alphas, scheduler.betas = alphas, sigmas
    elif sampler == "dpm-solver++3m":
        scheduler = diffusers.DPMSolverMultistepScheduler(
            **config, algorithm_type="dpmsolver++", solver_type="midpoint", solver_order=3, final_sigmas_type="zero"
        )
        scheduler.set_timesteps(timesteps=nodes[::-1])
    else:
        scheduler = diffusers.UniPCMultistepScheduler(
            **config, solver_order={"unipc": 2, "unipc3": 3}[sampler], solver_type="bh2", final_sigmas_type="zero"
        )
        scheduler.set_timesteps(len(nodes))
    scheduler.timesteps = torch.tensor(nodes[::-1])
    if sampler != "ipndm":
        scheduler.sigmas = sigmas / alphas
    network = Network(full, False)
    x = randn(1)
    trajectory = [x]
    for i, t in enumerate(nodes[::-1]):
        out = network(x, t)
        if sampler == "ipndm":
            out = (out - sigmas[i] * x) / alphas[i]
            # Of third order at most, and onto the data of the first.
            scheduler.ets = [] if t == nodes[0] else scheduler.ets[-2:]
        x = stored(scheduler.step(out, t, x).prev_sample)
        trajectory.append(x)
    case = {"source": "diffusers", "schedule": schedule, "T": 1000, "timesteps": nodes}
    case = {**case, "sampler": sampler, "variance": "fixed-small", "clip": False, "eta": 0.0}
    store(case, network, trajectory)


for schedule in ["linear", "cosine"]:
    for variance in ["learned", "fixed-small", "fixed-large"]:
        for path, clip in [("uneven", True), ("short", False)]:
            improved_diffusion(schedule, path, "ancestral", variance, clip, 0.0)
    for eta in [0.0, 0.6, 1.0]:
        for path, clip in [("uneven", True), ("short", False)]:
            improved_diffusion(schedule, path, "ddim", "fixed-small", clip, eta)
for schedule in SCHEDULES:
    # At the last step DDPMScheduler adds noise of variance beta unless its node is 0: only paths that begin there.
    for variance in ["learned", "fixed-small", "fixed-large"]:
        diffusers_case(schedule, "short", "ancestral", variance, clip=variance != "learned")
    for eta in [0.0, 0.6]:
        diffusers_case(schedule, "uneven", "ddim", clip=True, eta=eta)
        diffusers_case(schedule, "short", "ddim", clip=False, eta=eta)
    for path in PATHS:
        diffusers_case(schedule, path, "dpm-solver++")

for schedule in SCHEDULES:
    for path in PATHS:
        for sampler in ["dpm-solver++3m", "ipndm", "unipc", "unipc3"]:
            multistep_case(schedule, path, sampler)

folder = Path(__file__).resolve().parents[1]
versions = {"torch": torch.__version__, "diffusers": diffusers.__version__, "improved-diffusion": "1bc7bbb"}
lines = ",\n".join("    " + json.dumps(case) for case in CASES)
text = '{\n  "versions": ' + json.dumps(versions) + ',\n  "cases": [\n' + lines + "\n  ]\n}\n"
(folder / "samplers.json").write_text(text)
safetensors.torch.save_file({k: v.float().contiguous() for k, v in TENSORS.items()}, folder / "samplers.safetensors")
print(len(CASES), "cases", sum(len(c["timesteps"]) for c in CASES), "steps")
