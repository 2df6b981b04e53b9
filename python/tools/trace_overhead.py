"""What `ds.trace` costs of a step of a UNet of Stable Diffusion 1.5's shape (860 million random weights, 64 x 64 latents, guidance) on this machine.

    python python/tools/trace_overhead.py [--steps 6] [--rounds 3]      # needs torch and diffusers, 5 GB of memory; minutes

Plain and traced calls of the pipeline in turn. The network's own seconds are taken off both, since they vary by more than a trace can cost.
"""

import argparse
import statistics
import time

import diffusers
import torch

import ddpm_schedules as ds


def pipeline():
    torch.manual_seed(0)
    unet = diffusers.UNet2DConditionModel(
        sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
    )
    vae = diffusers.AutoencoderKL(block_out_channels=(32,), latent_channels=4)
    scheduler = diffusers.DPMSolverMultistepScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )
    pipe = diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=None,
        tokenizer=None,
        unet=unet.eval(),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe, sum(p.numel() for p in unet.parameters())


class Clock:
    """Seconds spent in a function."""

    def __init__(self):
        self.seconds = 0.0

    def around(self, fn):
        def timed(*args, **kwargs):
            began = time.perf_counter()
            try:
                return fn(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began

        return timed

    def __call__(self, fn):
        """Seconds of a call of `fn`, and those of them outside what is timed."""
        began, before = time.perf_counter(), self.seconds
        fn()
        taken = time.perf_counter() - began
        return taken, taken - (self.seconds - before)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    pipe, weights = pipeline()
    print(f"{weights / 1e6:.0f} million weights, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}", flush=True)
    generator = torch.Generator().manual_seed(0)
    words = [torch.randn(1, 77, 768, generator=generator) for _ in range(2)]
    call = {
        "prompt_embeds": words[0],
        "negative_prompt_embeds": words[1],
        "guidance_scale": 7.5,
        "output_type": "latent",
    }
    clock = Clock()
    pipe.unet.forward = clock.around(pipe.unet.forward)
    ways = {
        "plain": lambda: pipe(**call, num_inference_steps=asked.steps),
        "traced": lambda: ds.trace(pipe, calls=[call], steps=asked.steps),
    }
    pipe(**call, num_inference_steps=2)
    found = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            found[name].append([seconds / asked.steps for seconds in clock(way)])
            print("a step, {}: {:.3f} s, {:.2f} ms outside the network".format(name, found[name][-1][0], 1e3 * found[name][-1][1]), flush=True)
    outside = {name: statistics.median(own for _, own in rows) for name, rows in found.items()}
    step = statistics.median(taken for taken, _ in found["plain"])
    more = outside["traced"] - outside["plain"]
    print(f"medians: a step takes {step:.2f} s, tracing it {1e3 * more:.2f} ms: {more / step:.3%}")


if __name__ == "__main__":
    main()
