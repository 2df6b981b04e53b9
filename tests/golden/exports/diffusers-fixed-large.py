# pipe.scheduler = ddpm_scheduler(timesteps[3], prediction_type=...) makes a finished pipeline
# follow the list, whatever number of steps it is called with. Not DDIMPipeline(unet, scheduler): it
# makes a DDIMScheduler of what it is given. Without a pipeline: sample(unet, scheduler, shape).
# Timesteps for diffusers: T=60, cosine noise schedule, fixed-large variance, gaussian decoder, clip
# on.
# They count from 0 and are in the order of sampling, noisiest first. ddpm_scheduler takes the
# ancestral steps that the schedule was chosen for. ddim_scheduler and dpm_solver_scheduler take
# them with fixed-small variances.
# Not taken over: the fixed-large variances, by ddim_scheduler and dpm_solver_scheduler.
from fractions import Fraction

import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from diffusers.utils.torch_utils import randn_tensor

timesteps = {
    3: [59, 19, 1],
    8: [59, 38, 19, 11, 6, 3, 1, 0],
}

NOISE = dict(
    num_train_timesteps=60,
    beta_schedule="squaredcos_cap_v2",
)
CLIP = True
VARIANCE = "fixed_large"


class Follows:
    """A scheduler that keeps to its list, whatever number of steps a pipeline asks for; timesteps=[...] gives it another.

    step() takes what the network returns and cuts off the variances that it learns, where this scheduler has no place for them.
    """

    fixed = {}  # arguments of step() that belong to the steps, whatever a pipeline passes on

    def keep(self, timesteps):
        if timesteps is not None:
            listed, last = [float(t) for t in timesteps], self.config.num_train_timesteps - 1
            falls = all(t > s for t, s in zip(listed, [*listed[1:], -1]))
            if not (listed and falls and listed[0] <= last and all(t == int(t) for t in listed)):
                raise ValueError(
                    f"timesteps: found {listed}; expected whole numbers within {last}..0, each less than the one before"
                )
            # In the configuration: whoever makes another scheduler of it is warned that this one leaves "listed" out.
            self.register_to_config(listed=[int(t) for t in listed])
        return list(self.config.listed)

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        super().set_timesteps(timesteps=self.keep(timesteps), device=device)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        learned = self.config.get("variance_type") in ("learned", "learned_range")
        if learned and model_output.shape[1] != 2 * sample.shape[1]:
            raise ValueError(
                f"expected learned variances after the means, {2 * sample.shape[1]} channels, found {model_output.shape[1]}"
            )
        if not learned:
            model_output = model_output[:, : sample.shape[1]]
        return super().step(
            model_output, timestep, sample, generator=generator, return_dict=return_dict, **self.fixed
        )


def in_double(scheduler):
    # float32 has few digits of 1 - alpha_bar where alpha_bar is near 1 or 0. Products with x keep the type of x.
    scheduler.alphas_cumprod = (1 - scheduler.betas.double()).cumprod(0)
    return scheduler


def follow(kind, timesteps, **config):
    if timesteps is None or isinstance(timesteps, dict):
        found = "None" if timesteps is None else f"those of K = {', '.join(map(str, timesteps))}"
        raise ValueError(f"timesteps: found {found}; expected one list: timesteps[K]")
    if "prediction_type" not in config:
        raise ValueError(
            'prediction_type: nothing says what your network predicts; expected prediction_type="epsilon", "sample" or "v_prediction"'
        )
    scheduler = in_double(kind(**{**NOISE, **config}))
    scheduler.set_timesteps(timesteps=timesteps)
    return scheduler


class ListedDDPMScheduler(Follows, DDPMScheduler):
    """DDPMScheduler without noise on the step onto the data, which need not start at timestep 0."""

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **ignored):
        out = super().step(model_output, timestep, sample, generator)
        if int(self.previous_timestep(timestep)) < 0:
            out.prev_sample = out.pred_original_sample
        return out if return_dict else tuple(out.values())


def ddpm_scheduler(timesteps, clip_sample=CLIP, variance_type=VARIANCE, **config):
    return follow(
        ListedDDPMScheduler, timesteps, clip_sample=clip_sample, variance_type=variance_type, **config
    )


class ListedDDIMScheduler(Follows, DDIMScheduler):
    """DDIMScheduler that follows a list; it would go from t to t - T // n."""

    fixed = dict(eta=1.0, use_clipped_model_output=True)

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None):
        listed = self.keep(timesteps)
        self.timesteps = torch.tensor(listed, device=device)
        self.num_inference_steps = len(listed)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, eta=None, **ignored):
        # Pipelines pass eta=0 on, asked or not.
        if eta and eta != self.fixed["eta"]:
            raise ValueError(f"eta: found {eta}; these steps are of ddim_scheduler(timesteps, eta={self.fixed['eta']})")
        below = dict(zip(self.config.listed, [*self.config.listed[1:], -1]))
        # T // (T / gap) is the gap, as long as nothing is rounded.
        gap = int(timestep) - below[int(timestep)]
        self.num_inference_steps = Fraction(self.config.num_train_timesteps, gap)
        try:
            return super().step(model_output, timestep, sample, generator, return_dict)
        finally:
            self.num_inference_steps = len(below)


def ddim_scheduler(timesteps, eta=1.0, clip_sample=CLIP, **config):
    # eta=1 takes the ancestral steps with fixed-small variances, eta=0 those of DDIM.
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: found {eta}; expected a number within 0..1")
    scheduler = follow(ListedDDIMScheduler, timesteps, clip_sample=clip_sample, **config)
    scheduler.fixed = {**scheduler.fixed, "eta": eta}
    return scheduler


class ListedDPMSolver(Follows, DPMSolverMultistepScheduler):
    """DPMSolverMultistepScheduler whose thresholding is the clip to [-1, 1]."""

    def _threshold_sample(self, sample):
        # With sample_max_value=1 that is what it is, by way of quantiles that large batches have too many elements for.
        return sample.clamp(-1, 1)


def dpm_solver_scheduler(timesteps, clip_sample=CLIP, **config):
    # Ancestral steps; algorithm_type="dpmsolver++" is DDIM.
    steps = dict(solver_order=1, algorithm_type="sde-dpmsolver++")
    clip = dict(thresholding=clip_sample, sample_max_value=1.0)
    return follow(ListedDPMSolver, timesteps, **{**steps, **clip, **config})


def sample(unet, scheduler, shape, generator=None, device=None, dtype=None):
    # On the device and in the type of the network; name them for a plain function, which has none.
    weights = next(unet.parameters(), None) if isinstance(unet, torch.nn.Module) else None
    weights = torch.empty(0) if weights is None else weights
    device = torch.device(weights.device if device is None else device)
    x = randn_tensor(shape, generator, device, weights.dtype if dtype is None else dtype)
    scheduler.set_timesteps()
    for t in scheduler.timesteps:
        with torch.no_grad():
            prediction = unet(x, t.to(device)).sample
        x = scheduler.step(prediction, t, x, generator=generator).prev_sample
    return x
