"""Golden values of OpenAI's improved-diffusion and guided-diffusion.

    python tests/golden/tools/openai_values.py --improved-diffusion PATH --guided-diffusion PATH [--out DIR]
        [constants] [respacing] [vb] [unets] [unets-guided] [cifar10-small] [cifar10-small-procedural]

needs checkouts of github.com/openai/improved-diffusion (commit 1bc7bbb was used) and github.com/openai/guided-diffusion
(22e0df8), and torch, numpy and safetensors from PyPI (torch 2.15.0 and numpy 2.4.6 on a processor were used). Without names
it makes all files; a part needs only the checkout that it is of. It writes into DIR (default: tests/golden itself) and says of
every file how it compares with the one in the repository. `cifar10-small` reads the images named by DDPM_DATA (test_batch.bin).

Both cifar10 parts run datasets/cifar10-small.safetensors in f32 and everything after it in f64: the original look-up of
constants casts to f32, which is left out. Of `cifar10-small-procedural` the images and the noise are read from the repository:
the program that made the images was not kept.
"""

import argparse
import io
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load, load_file, save_file

GOLDEN = Path(__file__).resolve().parents[1]
CHECKPOINT = GOLDEN / "../../datasets/cifar10-small.safetensors"


def irregular():
    """32 of 1000 timesteps, and the generator that drew them, from which vb goes on."""
    rng = np.random.default_rng(1)
    return sorted(rng.choice(999, 31, replace=False).tolist()) + [999], rng


# Schedule, T, 0-based timesteps that are kept.
CHAINS = [
    ("linear", 1000, "all"),
    ("cosine", 4000, "all"),
    ("linear", 1000, [0, 1, 5, 20, 80, 300, 600, 999]),
    ("cosine", 4000, [0, 3, 11, 40, 133, 400, 900, 1500, 2200, 3000, 3600, 3900, 3999]),
    ("cosine", 4000, [0, 3999]),
    ("linear", 1000, [17, 999]),
    ("cosine", 1000, irregular()[0]),
]
RESPACINGS = [
    (1000, "250"),
    (1000, "ddim50"),
    (4000, "100"),
    (300, "10,15,20"),
    (4000, "ddim250"),
    (1000, "1"),
    (1000, "1000"),
    (4000, "8"),
]
VARIANCES = ["learned_range", "fixed_small", "fixed_large"]


def chain(schedule, train_steps, timesteps, variance="fixed_small", rescale=False):
    from improved_diffusion import gaussian_diffusion as gd
    from improved_diffusion.respace import SpacedDiffusion

    return SpacedDiffusion(
        use_timesteps=range(train_steps) if timesteps == "all" else timesteps,
        betas=gd.get_named_beta_schedule(schedule, train_steps),
        model_mean_type=gd.ModelMeanType.EPSILON,
        model_var_type=gd.ModelVarType[variance.upper()],
        loss_type=gd.LossType.MSE,
        rescale_timesteps=rescale,
    )


def as_json(value, indent=1):
    return json.dumps(value, indent=indent).encode()


def as_safetensors(tensors, folder):
    path = folder / "tensors.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path.read_bytes()


def constants(_):
    names = ["betas", "alphas_cumprod", "posterior_variance", "posterior_log_variance_clipped"]
    names += ["posterior_mean_coef1", "posterior_mean_coef2"]
    cases = []
    for schedule, steps, timesteps in CHAINS:
        diffusion = chain(schedule, steps, timesteps)
        if timesteps == "all":
            index = [0, 1, 2, 3, steps // 4, steps // 2, steps - 2, steps - 1]
        else:
            index = list(range(len(timesteps)))
        case = {"schedule": schedule, "T": steps, "timesteps": timesteps, "index": index}
        cases.append(case | {name: getattr(diffusion, name)[index].tolist() for name in names})
    yield "constants.json", as_json(cases)


def respacing(_):
    from improved_diffusion.respace import space_timesteps

    cases = [
        {"T": steps, "respacing": text, "timesteps": sorted(space_timesteps(steps, text))} for steps, text in RESPACINGS
    ]
    yield "respacing.json", as_json(cases, indent=None)


def normal(rng, shape):
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def vb(folder):
    """Single terms of the bound, of images with their extreme values and of networks that are nearly right."""
    (_, rng), shape = irregular(), (4, 3, 8, 8)
    pixels = rng.integers(0, 256, shape)
    pixels[0, 0, 0, :3] = [0, 255, 0]
    x_start = torch.from_numpy(pixels).float() / 127.5 - 1
    noise = normal(rng, shape)
    tensors, cases = {"x_start": x_start, "noise": noise}, []
    for schedule, steps, timesteps in CHAINS:
        for variance in VARIANCES:
            name = f"net{len(cases)}"
            epsilon = noise + 0.3 * normal(rng, shape)
            raw = torch.from_numpy(rng.uniform(-1.1, 1.1, shape).astype(np.float32))
            learned = variance == "learned_range"
            output = tensors[name] = torch.cat([epsilon, raw], dim=1) if learned else epsilon
            diffusion = chain(schedule, steps, timesteps, variance)
            last = diffusion.num_timesteps - 1
            terms = []
            for step in sorted({0, 1, min(2, last), (last + 1) // 2, last}):
                t = torch.full((len(x_start),), step)
                x_t = diffusion.q_sample(x_start, t, noise=noise)
                for clip in [True, False]:
                    found = diffusion._vb_terms_bpd(lambda *_: output, x_start, x_t, t, clip_denoised=clip)
                    term = {"step": step, "timestep": diffusion.timestep_map[step], "clip_denoised": clip}
                    terms.append(term | {"bpd": found["output"].tolist()})
            case = {"net": name, "schedule": schedule, "T": steps, "timesteps": timesteps, "variance": variance}
            cases.append(case | {"prior_bpd": diffusion._prior_bpd(x_start).tolist(), "terms": terms})
    yield "vb.json", as_json(cases)
    yield "vb.safetensors", as_safetensors(tensors, folder)


UNETS = {
    "hybrid-16px": dict(
        in_channels=3,
        model_channels=32,
        out_channels=6,
        num_res_blocks=1,
        attention_resolutions=[2],
        channel_mult=[1, 2],
        num_heads=2,
        use_scale_shift_norm=True,
    ),
    "classcond-noscale": dict(
        in_channels=3,
        model_channels=32,
        out_channels=3,
        num_res_blocks=2,
        attention_resolutions=[2, 4],
        channel_mult=[1, 1, 2],
        num_heads=4,
        num_classes=10,
        use_scale_shift_norm=False,
    ),
    "gray-heads": dict(
        in_channels=1,
        model_channels=32,
        out_channels=2,
        num_res_blocks=1,
        attention_resolutions=[1],
        channel_mult=[1, 2, 2],
        num_heads=1,
        num_heads_upsample=2,
        use_scale_shift_norm=True,
    ),
}
GUIDED_UNETS = {
    "guided-updown-newattn": dict(
        image_size=16,
        in_channels=3,
        model_channels=32,
        out_channels=6,
        num_res_blocks=1,
        attention_resolutions=[2],
        channel_mult=[1, 2],
        num_classes=10,
        num_head_channels=16,
        use_scale_shift_norm=True,
        resblock_updown=True,
        use_new_attention_order=True,
    ),
    "guided-legacyattn": dict(
        image_size=16,
        in_channels=3,
        model_channels=32,
        out_channels=6,
        num_res_blocks=2,
        attention_resolutions=[1, 2],
        channel_mult=[1, 2],
        num_heads=2,
        use_scale_shift_norm=True,
        resblock_updown=False,
    ),
}
CLASSES = {"classcond-noscale": [0, 3, 6], "guided-updown-newattn": [0, 3, 4]}


def randomise(net):
    """Weights that keep activations of one size, and norms and biases that do something. New networks put out zeros."""
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if parameter.dim() > 1:
                parameter.copy_(torch.randn_like(parameter) * parameter[0].numel() ** -0.5)
            elif name.endswith("weight"):
                parameter.copy_(torch.rand_like(parameter) + 0.5)
            else:
                parameter.copy_(0.4 * (torch.rand_like(parameter) - 0.5))


def as_checkpoint(path, state, **options):
    # PyTorch names the folder inside the archive after the file.
    torch.save(state, path, **options)
    return path.read_bytes()


def networks(UNetModel, unets, listing, folder):
    torch.manual_seed(1)
    cases = []
    for name, config in unets.items():
        tuples = {key: tuple(value) if isinstance(value, list) else value for key, value in config.items()}
        net = UNetModel(**tuples).eval()
        randomise(net)
        tensors = {"x": torch.randn(3, config["in_channels"], 16, 16), "timesteps": torch.tensor([0, 37.25, 999])}
        if name in CLASSES:
            tensors["y"] = torch.tensor(CLASSES[name])
        with torch.no_grad():
            tensors["output"] = net(**tensors)
        state = net.state_dict()
        file = f"unet-{name}.pt"
        yield file, as_checkpoint(folder / file, state)
        if name == "hybrid-16px":
            file = f"unet-{name}.legacy.pt"
            yield file, as_checkpoint(folder / file, state, _use_new_zipfile_serialization=False)
        yield f"unet-{name}.io.safetensors", as_safetensors(tensors, folder)
        params = sum(parameter.numel() for parameter in net.parameters())
        out_rms = tensors["output"].pow(2).mean().sqrt().item()
        cases.append({"name": name, "image_size": 16, "unet": config, "params": params, "out_rms": out_rms})
    yield listing, as_json(cases)


def unets(folder):
    from improved_diffusion.unet import UNetModel

    yield from networks(UNetModel, UNETS, "unets.json", folder)


def unets_guided(folder):
    from guided_diffusion.unet import UNetModel

    yield from networks(UNetModel, GUIDED_UNETS, "unets-guided.json", folder)


def shipped_network():
    from improved_diffusion.unet import UNetModel

    net = UNetModel(
        in_channels=3,
        model_channels=64,
        out_channels=6,
        num_res_blocks=1,
        attention_resolutions=(2,),
        channel_mult=(1, 2, 2),
        num_heads=4,
        use_scale_shift_norm=True,
    )
    net.load_state_dict({key: value.float() for key, value in load_file(CHECKPOINT).items()})
    return net.eval()


class Outputs:
    """The network in f32, called once for each timestep: x_t is the same in every chain."""

    def __init__(self):
        self.net, self.known = shipped_network(), {}

    def __call__(self, x, timesteps):
        key = timesteps[0].item()
        if key not in self.known:
            with torch.no_grad():
                self.known[key] = self.net(x.float(), timesteps).double()
        output = self.known[key]
        return output if self.learned else output[:, : x.shape[1]]


def extract_in_f64(values, t, shape):
    """improved-diffusion's _extract_into_tensor without its cast to f32."""
    return torch.from_numpy(values)[t].reshape(-1, 1, 1, 1).expand(shape)


FULL = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 610, 987, 1597, 2584, 3998, 3999]


def terms(x_start, noise, chains, images):
    from improved_diffusion import gaussian_diffusion as gd

    original, gd._extract_into_tensor = gd._extract_into_tensor, extract_in_f64
    network, results = Outputs(), []
    for name, timesteps in (chains | {"full": "all"}).items():
        for variance in VARIANCES:
            diffusion = chain("cosine", 4000, timesteps, variance, rescale=True)
            network.learned = variance == "learned_range"
            for clip in [True] if timesteps == "all" else [True, False]:
                found = []
                for step in FULL if timesteps == "all" else range(diffusion.num_timesteps):
                    t = torch.full((len(x_start),), step)
                    x_t = diffusion.q_sample(x_start, t, noise=noise)
                    term = diffusion._vb_terms_bpd(network, x_start, x_t, t, clip_denoised=clip)["output"]
                    found.append({"step": step, "timestep": diffusion.timestep_map[step], "bpd": term.tolist()})
                prior = diffusion._prior_bpd(x_start)
                total = sum(torch.tensor(term["bpd"], dtype=torch.float64) for term in found) + prior
                case = {"chain": name, "timesteps": timesteps, "variance": variance, "clip_denoised": clip, "terms": found}
                case["prior_bpd"] = prior.tolist()
                results.append(case | {"total_bpd": None if timesteps == "all" else total.tolist()})
    gd._extract_into_tensor = original
    head = {"T": 4000, "noise_schedule": "cosine", "rescale_timesteps": True, "images": images}
    return as_json(head | {"results": results}, indent=None)


def evenly(count):
    from improved_diffusion.respace import space_timesteps

    return sorted(space_timesteps(4000, str(count)))


def cifar10_small(folder):
    rng = np.random.default_rng(1)
    index = sorted(rng.choice(10_000, 8, replace=False).tolist())
    noise = normal(rng, (8, 3, 32, 32))
    records = np.fromfile(Path(os.environ["DDPM_DATA"]) / "test_batch.bin", np.uint8).reshape(-1, 3073)
    x_start = torch.from_numpy(records[index, 1:].reshape(8, 3, 32, 32)).double() / 127.5 - 1
    chains = {
        "openai-10": evenly(10),
        "openai-50": evenly(50),
        "quadratic-16": [round(i**2 * 3999 / 256) for i in range(1, 17)],
        "irregular-24": sorted(rng.choice(3999, 23, replace=False).tolist()) + [3999],
        "two-step": [700, 3999],
    }
    yield "cifar10-small/terms.json", terms(x_start, noise, chains, index)
    tensors = {"cifar_test_index": torch.tensor(index), "noise": noise}
    yield "cifar10-small/images.safetensors", as_safetensors(tensors, folder)


def cifar10_small_procedural(_):
    tensors = load_file(GOLDEN / "cifar10-small-procedural/images.safetensors")
    chains = {"openai-10": evenly(10), "irregular-16": [1, 2, 4, 7, 14, 15, 18, 25, 68, 87, 115, 178, 3184, 3999]}
    yield "cifar10-small-procedural/terms.json", terms(tensors["x_start"].double(), tensors["noise"], chains, "procedural")


def numbers(name, data):
    """All numbers of a file, and what is not one."""
    if name.endswith(".json"):
        found, rest = [], []

        def walk(value):
            if isinstance(value, dict):
                rest.append(list(value))
                value = list(value.values())
            if isinstance(value, list):
                for item in value:
                    walk(item)
            elif isinstance(value, float):
                found.append(value)
            else:
                rest.append(value)

        walk(json.loads(data))
        return np.array(found), rest
    tensors = torch.load(io.BytesIO(data)) if name.endswith(".pt") else load(data)
    flat = [tensor.double().numpy().ravel() for _, tensor in sorted(tensors.items())]
    return np.concatenate(flat), [(key, tensor.shape) for key, tensor in sorted(tensors.items())]


def compare(name, new):
    """How a file differs from the one in the repository; differences are absolute below 1 and relative above."""
    old = (GOLDEN / name).read_bytes()
    if new == old:
        return "identical"
    (ours, rest), (theirs, their_rest) = numbers(name, new), numbers(name, old)
    if rest != their_rest or ours.shape != theirs.shape:
        return "DIFFERENT in more than numbers"
    worst = np.max(np.abs(ours - theirs) / np.maximum(1, np.abs(theirs)))
    return f"the same numbers to {worst:.1e}" if worst else "the same numbers, other bytes"


PARTS = {
    "constants": constants,
    "respacing": respacing,
    "vb": vb,
    "unets": unets,
    "unets-guided": unets_guided,
    "cifar10-small": cifar10_small,
    "cifar10-small-procedural": cifar10_small_procedural,
}


def main():
    parser = argparse.ArgumentParser(description="Golden values of OpenAI's code.")
    parser.add_argument("--improved-diffusion", metavar="PATH")
    parser.add_argument("--guided-diffusion", metavar="PATH")
    parser.add_argument("--out", type=Path, default=GOLDEN, metavar="DIR")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    args = parser.parse_args()
    sys.path[:0] = [path for path in (args.improved_diffusion, args.guided_diffusion) if path]
    for part in args.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            for name, data in PARTS[part](Path(folder)):
                print(f"{name}: {compare(name, data)}", flush=True)
                path = args.out / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)


main()
