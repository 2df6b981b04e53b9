"""Writes tests/golden/diffusers: small random networks of diffusers with inputs and outputs.

    python tests/golden/tools/diffusers_networks.py tests/golden/diffusers

Made with diffusers 0.42.1 and PyTorch 2.15.0 on a processor, in f32. Each folder is what `save_pretrained` writes, and
io.safetensors beside it: x, timesteps (as the network is fed), y for networks with classes -> output; x0 is the scheduler's
`pred_original_sample` without clipping, and variance its `_get_variance`, both at those timesteps; alphas_cumprod is the
scheduler's.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file, save_file

SIZE = 16
SMALL = {
    "sample_size": SIZE,
    "block_out_channels": (16, 32),
    "layers_per_block": 1,
    "norm_num_groups": 8,
}


def randomise(unet, dtype):
    """Norms and biases that do something, and weights that `dtype` holds exactly."""
    with torch.no_grad():
        for parameter in unet.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn_like(parameter)
            parameter.copy_(parameter.to(dtype).float())
    return unet.eval()


def network(seed, dtype, **config):
    torch.manual_seed(seed)
    return randomise(UNet2DModel(**{**SMALL, **config}), dtype)


def scheduler(**config):
    # The predicted image is compared before it is clipped.
    return DDPMScheduler(**{"clip_sample": False, **config})


def record(folder, unet, process, timesteps, classes=None):
    generator = torch.Generator().manual_seed(7)
    channels = unet.config.in_channels
    x = torch.randn(len(timesteps), channels, SIZE, SIZE, generator=generator)
    t = torch.tensor(timesteps)
    tensors = {"x": x, "timesteps": t.float(), "alphas_cumprod": process.alphas_cumprod.clone()}
    labels = None
    if classes:
        labels = torch.arange(len(timesteps)) * 3 % classes
        tensors["y"] = labels
    with torch.no_grad():
        output = unet(x, t, class_labels=labels).sample
    x0, variance = [], []
    for i, step in enumerate(timesteps):
        one = output[i : i + 1]
        predicted = one[:, channels:] if one.shape[1] > channels else None
        result = process.step(one, step, x[i : i + 1], generator=generator)
        x0.append(result.pred_original_sample)
        # The whole chain, one timestep at a time; logarithms where the network speaks in them.
        process.num_inference_steps = None
        value = process._get_variance(step, predicted_variance=predicted)
        variance.append(value.expand_as(x0[-1]))
    tensors |= {"output": output, "x0": torch.cat(x0), "variance": torch.cat(variance)}
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / "io.safetensors")


def fresh(root, name):
    folder = root / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def ddpm(root):
    """A pipeline as the first public ones: the defaults of Ho et al. in the JAX layout."""
    folder = fresh(root, "ddpm-pipeline")
    unet = network(
        1,
        torch.float32,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        downsample_padding=0,
        flip_sin_to_cos=False,
        freq_shift=1,
        norm_eps=1e-6,
        attention_head_dim=None,
    )
    process = scheduler(variance_type="fixed_large")
    DDPMPipeline(unet, process).save_pretrained(folder)
    record(folder, unet, process, [3, 420, 999])
    return unet


def v_prediction(root):
    """Scale and shift, which leaves the middle attention without a norm; f16; no signal at the last timestep."""
    folder = fresh(root, "v-prediction")
    unet = network(
        2,
        torch.float16,
        down_block_types=("AttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "AttnUpBlock2D"),
        attention_head_dim=8,
        resnet_time_scale_shift="scale_shift",
    )
    process = scheduler(
        num_train_timesteps=200,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        variance_type="fixed_small",
        rescale_betas_zero_snr=True,
    )
    unet.half().save_pretrained(folder)
    process.save_pretrained(folder)
    record(folder, unet.float(), process, [2, 90, 199])


def learned_range(root):
    """Six channels, classes, resolution changed in residual blocks; a pickle."""
    folder = fresh(root, "learned-range")
    unet = network(
        3,
        torch.float16,
        out_channels=6,
        down_block_types=("AttnDownBlock2D", "ResnetDownsampleBlock2D"),
        up_block_types=("ResnetUpsampleBlock2D", "AttnUpBlock2D"),
        downsample_type="resnet",
        upsample_type="resnet",
        attention_head_dim=4,
        attn_norm_num_groups=4,
        resnet_time_scale_shift="scale_shift",
        num_class_embeds=10,
    )
    process = scheduler(
        num_train_timesteps=400, beta_schedule="squaredcos_cap_v2", variance_type="learned_range"
    )
    unet.half().save_pretrained(folder, safe_serialization=False)
    process.save_pretrained(folder / "scheduler")
    record(folder, unet.float(), process, [5, 100, 380], classes=10)


def without_attention(root):
    """Grey images shifted from [0, 1], three levels, no attention, bf16, betas that have no name."""
    folder = fresh(root, "without-attention")
    unet = network(
        4,
        torch.bfloat16,
        in_channels=1,
        out_channels=1,
        block_out_channels=(8, 16, 24),
        down_block_types=("DownBlock2D", "ResnetDownsampleBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D", "ResnetUpsampleBlock2D"),
        add_attention=False,
        center_input_sample=True,
        time_embedding_dim=40,
        norm_num_groups=4,
    )
    process = scheduler(
        num_train_timesteps=100,
        beta_schedule="scaled_linear",
        beta_start=0.0015,
        beta_end=0.06,
        prediction_type="sample",
        variance_type="fixed_small",
    )
    unet.to(torch.bfloat16).save_pretrained(folder)
    process.save_pretrained(folder)
    record(folder, unet.float(), process, [1, 50, 99])


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def old_names(root, unet):
    """The first network as diffusers before 0.14 saved it, in a training checkpoint with raw and averaged weights."""
    folder = fresh(root, "training")
    source = root / "ddpm-pipeline"
    averaged = load_file(source / "unet" / "diffusion_pytorch_model.safetensors")
    renamed = {}
    for key, value in averaged.items():
        for new, old in OLD.items():
            key = key.replace(f"attentions.0.{new}.", f"attentions.0.{old}.")
            key = key.replace(f"attentions.1.{new}.", f"attentions.1.{old}.")
        renamed[f"module.{key}"] = value
    optimizer = torch.optim.Adam(torch.nn.Linear(2, 2).parameters()).state_dict()
    torch.save(
        {
            "model": {key: torch.zeros_like(value) for key, value in renamed.items()},
            "ema": renamed,
            "optimizer": optimizer,
            "step": 1234,
            "lr": 1e-4,
        },
        folder / "checkpoint.pt",
    )
    shutil.copy(source / "unet" / "config.json", folder / "config.json")
    shutil.copy(source / "scheduler" / "scheduler_config.json", folder / "scheduler_config.json")
    # That diffusers reads these names as the same network.
    state = {key.removeprefix("module."): value for key, value in renamed.items()}
    trial = fresh(root, "trial")
    torch.save(state, trial / "diffusion_pytorch_model.bin")
    shutil.copy(folder / "config.json", trial)
    again = UNet2DModel.from_pretrained(trial, use_safetensors=False)
    shutil.rmtree(trial)
    for (key, value), other in zip(unet.state_dict().items(), again.state_dict().values()):
        assert torch.equal(value, other), key


def main():
    root = Path(sys.argv[1])
    unet = ddpm(root)
    v_prediction(root)
    learned_range(root)
    without_attention(root)
    old_names(root, unet)
    for path in sorted(root.rglob("*.json")):
        json.loads(path.read_text())
        print(path)


main()
