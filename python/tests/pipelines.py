"""Tiny pipelines of diffusers with random weights, each with the arguments of a call; tests/peers/check_pipelines.py runs them too."""

import diffusers
import torch


def e(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def ddpm_pipe(scheduler, kind=diffusers.DDPMPipeline, out_channels=3, size=8):
    torch.manual_seed(0)
    unet = diffusers.UNet2DModel(
        sample_size=size, out_channels=out_channels, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, attention_head_dim=2,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return kind(unet=unet, scheduler=scheduler), dict(output_type="np", batch_size=2)


def vae(channels, **more):
    return diffusers.AutoencoderKL(
        block_out_channels=(4,), down_block_types=("DownEncoderBlock2D",), up_block_types=("UpDecoderBlock2D",),
        latent_channels=channels, norm_num_groups=2, sample_size=8, **more,
    )  # fmt: skip


def sd_pipe(scheduler, xl=False):
    torch.manual_seed(0)
    more = (
        dict(addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=32)
        if xl
        else {}
    )
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, cross_attention_dim=8, attention_head_dim=2,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **more,
    )  # fmt: skip
    call = dict(prompt_embeds=e(1, 5, 8), negative_prompt_embeds=0 * e(1, 5, 8), guidance_scale=5.0, height=8, width=8)
    parts = dict(vae=vae(4), unet=unet, scheduler=scheduler, text_encoder=None, tokenizer=None)
    if xl:
        call.update(pooled_prompt_embeds=e(1, 8), negative_pooled_prompt_embeds=0 * e(1, 8))
        return diffusers.StableDiffusionXLPipeline(
            **parts, text_encoder_2=None, tokenizer_2=None, add_watermarker=False
        ), call
    return diffusers.StableDiffusionPipeline(
        **parts, safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ), call


def sdxl_pipe(scheduler):
    return sd_pipe(scheduler, xl=True)


def sd3_pipe(scheduler):
    torch.manual_seed(0)
    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8, patch_size=1, in_channels=4, out_channels=4, num_layers=1, attention_head_dim=4, num_attention_heads=2,
        caption_projection_dim=8, joint_attention_dim=8, pooled_projection_dim=8,
    )  # fmt: skip
    flat = dict(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0, scaling_factor=1.5)
    names = [f"{part}{suffix}" for part in ("text_encoder", "tokenizer") for suffix in ("", "_2", "_3")]
    pipe = diffusers.StableDiffusion3Pipeline(
        transformer=transformer, scheduler=scheduler, vae=vae(4, **flat), **dict.fromkeys(names)
    )
    return pipe, sd_pipe(diffusers.EulerDiscreteScheduler(), xl=True)[1]


def flux_pipe(scheduler):
    torch.manual_seed(0)
    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2, joint_attention_dim=8,
        pooled_projection_dim=8, axes_dims_rope=(4, 2, 2), guidance_embeds=True,
    )  # fmt: skip
    flat = dict(use_quant_conv=False, use_post_quant_conv=False, shift_factor=0.0, scaling_factor=1.5)
    names = ["text_encoder", "tokenizer", "text_encoder_2", "tokenizer_2"]
    pipe = diffusers.FluxPipeline(
        transformer=transformer, scheduler=scheduler, vae=vae(1, **flat), **dict.fromkeys(names)
    )
    return pipe, dict(prompt_embeds=e(1, 5, 8), pooled_prompt_embeds=e(1, 8), guidance_scale=3.5, height=16, width=16)


def ready(made):
    pipe, call = made
    pipe.set_progress_bar_config(disable=True)
    return pipe, {"output_type": "latent", **call, "generator": torch.Generator().manual_seed(0)}
