# Timesteps for diffusers: T=60, cosine noise schedule, fixed-small variance, gaussian decoder, clip
# on.
# They count from 0 and are in the order of sampling, noisiest first.
# ddpm_scheduler takes the ancestral steps that the schedule was chosen for. ddim_scheduler (with
# eta=1) and dpm_solver_scheduler take them with fixed-small variances. Pipelines call set_timesteps
# with a number of steps and forget a list, unless they take timesteps= themselves: use sample()
# below.
# Not taken over: clipping of the predicted image, by dpm_solver_scheduler.
from fractions import Fraction

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler

timesteps = [59, 38, 27]

NOISE = dict(
    num_train_timesteps=60,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="epsilon",  # as your network was trained
)
CLIP = dict(clip_sample=True)
DDPM = dict(variance_type="fixed_small", **CLIP)


def in_double(scheduler):
    # float32 has few digits of 1 - alpha_bar where alpha_bar is near 1 or 0. Products with x stay float32.
    scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
    return scheduler


def ddpm_scheduler(timesteps, **config):
    scheduler = in_double(DDPMScheduler(**{**NOISE, **DDPM, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler


class ListedDDIMScheduler(DDIMScheduler):
    """DDIMScheduler that follows a list; it would go from t to t - T // n."""

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        # A number of steps, as pipelines give it, does not change the list.
        if timesteps is not None:
            self.listed = [int(t) for t in timesteps]
        self.timesteps = torch.tensor(self.listed, device=device)
        self.num_inference_steps = len(self.listed)

    def step(self, model_output, timestep, sample, *args, **kwargs):
        below = dict(zip(self.listed, [*self.listed[1:], -1]))
        count = self.num_inference_steps
        # T // (T / gap) is the gap, as long as nothing is rounded.
        self.num_inference_steps = Fraction(
            self.config.num_train_timesteps, int(timestep) - below[int(timestep)]
        )
        try:
            return super().step(model_output, timestep, sample, *args, **kwargs)
        finally:
            self.num_inference_steps = count


def ddim_scheduler(timesteps, **config):
    # Give step() eta=1, use_clipped_model_output=True for the ancestral steps; eta=0 is DDIM.
    scheduler = in_double(ListedDDIMScheduler(**{**NOISE, **CLIP, **config}))
    scheduler.set_timesteps(timesteps=timesteps)
    return scheduler


def dpm_solver_scheduler(timesteps, **config):
    # Ancestral steps; algorithm_type="dpmsolver++" is DDIM. It does not clip.
    order = dict(solver_order=1, algorithm_type="sde-dpmsolver++")
    scheduler = in_double(DPMSolverMultistepScheduler(**{**NOISE, **order, **config}))
    scheduler.set_timesteps(timesteps=list(timesteps))
    return scheduler


def sample(unet, scheduler, shape, generator=None, **step):
    x = torch.randn(shape, generator=generator)
    for t in scheduler.timesteps:
        with torch.no_grad():
            prediction = unet(x, t).sample
        if getattr(scheduler.config, "variance_type", None) not in ("learned", "learned_range"):
            # Other schedulers have no place for the variances that a network learns, its second half.
            prediction = prediction[:, : x.shape[1]]
        x = scheduler.step(prediction, t, x, generator=generator, **step).prev_sample
    return x
