"""A scheduler for diffusers' pipelines that takes the steps of a plan."""

from __future__ import annotations

import math
import warnings
from collections import namedtuple

import numpy as np

from ._diffusers import PREDICTIONS, estimate, family_of, levels_of, prediction_of


class _Config(dict):
    """The configuration of the replaced scheduler, by key or by attribute as diffusers reads it; the plan travels with it."""

    def __init__(self, plan, replaced):
        super().__init__(replaced.config)
        self.__dict__.update(plan=plan, replaced=replaced)

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    # Pipelines copy the state of their scheduler; a plan is never changed.
    def __deepcopy__(self, memo):
        return self


Step = namedtuple("Step", "prev_sample pred_original_sample")


class PlannedScheduler:
    """A scheduler for diffusers' pipelines that takes the steps of one plan, whatever number of steps or list the pipeline names.

    States are x = alpha x0 + sigma eps of the plan's process, in any floating type and on any device; steps are computed in float64 (float32 where the
    device has none) and returned in the type of the sample. `timesteps`: K, what the network is told, noisiest first (whole ones of a chain,
    `num_train_timesteps` s of a flow, log(sigma) / 4 of EDM); `sigmas`: K + 1, sigma / alpha or s of a flow, 0 at the end. `config` is that of
    the scheduler that was replaced, and so is what `OtherScheduler.from_config(pipe.scheduler.config)` sees.
    """

    order = 1

    def __init__(self, plan, replaced):
        import torch

        self.config = _Config(plan, replaced)
        own = prediction_of(replaced)
        self.prediction = plan.prediction or own
        self.sigma_data = self.config.get("sigma_data")
        alpha, sigma = levels_of(plan)
        self._levels = list(zip(alpha.tolist(), sigma.tolist()))
        family = family_of(replaced)
        if family == "flow":
            times, levels = sigma * self.config["num_train_timesteps"], sigma
        else:
            with np.errstate(divide="ignore"):
                levels = sigma / alpha
            times = 0.25 * np.log(levels) if self.prediction == "edm" else np.asarray(plan.timesteps, dtype=np.float64)
        whole = family in ("chain", "divided") and np.array_equal(times, np.round(times))
        self._timesteps = torch.tensor(times, dtype=torch.int64 if whole else torch.float32)
        self.sigmas = torch.tensor(np.append(levels, 0.0), dtype=torch.float32)
        # EDM's pipelines multiply white noise by this, as its schedulers say.
        self.init_noise_sigma = math.hypot(levels[0], 1.0) if family == "edm" else 1.0
        self.num_inference_steps = int(plan.steps)
        for name in ("betas", "alphas", "alphas_cumprod", "final_alpha_cumprod"):
            if hasattr(replaced, name):
                setattr(self, name, getattr(replaced, name))
        ancestral = plan.sampler == "ancestral"
        scalar = not ancestral or plan.variance in (None, "fixed-small", "fixed-large", "analytic")
        frozen = plan.mean == "calibrated" or plan.coefficients == "fitted-bands" or not scalar
        self._source = plan.export_diffusers() if frozen else None
        if frozen and self._source is None:
            raise ValueError(
                "plan: its kernels or bands have no export for this process; expected a chain of whole timesteps"
            )
        self._steps = None if frozen else [dict(one) for one in plan.linear_steps()]
        self.set_timesteps()

    @classmethod
    def from_config(cls, config, **ignored):
        """The same again; `config` must be that of a PlannedScheduler."""
        if not isinstance(config, _Config):
            raise ValueError(
                f"config: found {type(config).__name__}; expected the config of a PlannedScheduler, which holds its plan"
            )
        return cls(config.plan, config.replaced)

    @property
    def plan(self):
        """The plan whose steps are taken."""
        return self.config.plan

    @property
    def replaced(self):
        """The scheduler that the pipeline had before: `pipe.scheduler = pipe.scheduler.replaced` undoes `install`."""
        return self.config.replaced

    @property
    def step_index(self):
        """Steps taken since `set_timesteps`, counted from the first of the plan; None before the first."""
        return self._step_index

    @property
    def begin_index(self):
        """Where the pipeline begins in the plan; None if it did not say."""
        return self._begin_index

    def __repr__(self):
        # What diffusers prints where it cannot save a part of a pipeline.
        return f"PlannedScheduler({self.plan!r}); a pipeline is saved after pipe.scheduler = pipe.scheduler.replaced"

    def __len__(self):
        return int(self.config["num_train_timesteps"])

    def set_begin_index(self, begin_index=0):
        """Begins at this step of the plan, as pipelines do that start from an image, and count from the number of steps that they were asked for."""
        asked, steps = self._asked, self.num_inference_steps
        if begin_index and asked is not None and asked != steps:
            told = (
                f"num_inference_steps: found {asked}, of which this pipeline leaves out the first {begin_index}; where it counts them from that "
                f"number (strength=) expected the plan's {steps}: pipe(.., **plan.kwargs_for(pipe))"
            )
            if begin_index >= steps:
                raise ValueError(told)
            # Others count from the plan's own timesteps (denoising_start).
            warnings.warn(told, stacklevel=2)
        self._begin_index = begin_index

    def set_timesteps(self, num_inference_steps=None, device=None, timesteps=None, sigmas=None, mu=None, **ignored):
        """Begins anew with the plan's timesteps. Numbers and lists are ignored: pipelines name their own defaults, as the plan says others."""
        self.timesteps = self._timesteps.to(device) if device is not None else self._timesteps
        self._asked = num_inference_steps
        self._step_index = self._begin_index = None
        self._history = []
        self._inner = self._frozen() if self._source else None

    def _frozen(self):
        """The scheduler of the plan's export, which holds kernels and bands."""
        made = {"__name__": "ddpm_schedules_export"}
        exec(compile(self._source, "<export of the plan>", "exec"), made)
        # Of networks that nobody told of, the export asks what they predict.
        own = next((theirs for theirs, ours in PREDICTIONS.items() if ours == self.prediction), None)
        if "CalibratedScheduler" in made:
            return made["CalibratedScheduler"](int(self.plan.steps), prediction_type=own)
        return made["ddpm_scheduler"](made["timesteps"], prediction_type=own)

    def _find(self, timestep):
        """The step that begins at a timestep."""
        value = float(timestep.flatten()[0]) if hasattr(timestep, "flatten") else float(timestep)
        near = np.abs(self._timesteps.double().numpy() - value)
        # Half precision has three digits; nodes of a plan may lie closer.
        if near.min() > 1e-3 * max(1.0, abs(value)):
            raise ValueError(f"timestep: found {value:.6g}; expected one of {self._timesteps.tolist()}")
        return int(near.argmin())

    def _at(self, timestep):
        if self._step_index is not None and self._step_index < len(self._timesteps):
            return self._step_index
        if self._step_index is None and self._begin_index is not None:
            return self._begin_index
        return self._find(timestep)

    def scale_model_input(self, sample, timestep=None):
        """What the network is shown of a state: the state itself, or x / sqrt(sigma^2 + sigma_data^2) of EDM's preconditioning."""
        if self.prediction != "edm":
            return sample
        return sample / math.hypot(self._levels[self._at(timestep)][1], self.sigma_data)

    def step(self, model_output, timestep, sample, generator=None, return_dict=True, **options):
        """One step of the plan: `(prev_sample, pred_original_sample)`, by name or as a tuple, whatever `return_dict` says.

        `model_output` is what the plan's network predicts, of the sample's shape or with learned variances beside it (twice the channels).
        """
        import torch

        for key, value in options.items():
            none = value is None or (isinstance(value, (bool, int, float)) and value == 0)
            if not none and key != "use_clipped_model_output":
                raise ValueError(f"{key}: found {value!r}; a plan's steps are fixed: expected none")
        k = self._at(timestep)
        if self._inner is not None:
            made = self._inner.step(model_output, int(self._timesteps[k]), sample, generator=generator)
            self._step_index = k + 1
            return Step(made.prev_sample, made.pred_original_sample)
        precise = torch.float32 if sample.device.type == "mps" else torch.float64
        x, output = sample.to(precise), model_output.to(precise)
        if output.shape != x.shape and output.dim() > 1 and output.shape[1] == 2 * x.shape[1]:
            output = output[:, : x.shape[1]]
        if output.shape != x.shape:
            raise ValueError(f"model_output: found shape {tuple(model_output.shape)}; expected {tuple(sample.shape)}")
        alpha, sigma = self._levels[k]
        x0 = estimate(self.prediction, x, output, alpha, sigma, self.sigma_data)
        if self.plan.clip:
            x0 = x0.clamp(-1, 1)
        if self._step_index != k:
            # The first step, wherever the pipeline begins.
            self._history = []
        one = self._steps[k]
        weights = list(one["history"])
        while weights and weights[-1] == 0:
            weights.pop()
        of_x, of_x0 = one["x"], one["d"]
        if len(weights) > len(self._history):
            # A pipeline that begins later has no nodes before: DDIM's step.
            alpha_s, sigma_s = self._levels[k + 1] if k + 1 < len(self._levels) else (1.0, 0.0)
            weights, of_x = [], sigma_s / sigma
            of_x0 = alpha_s - alpha * of_x
        found = of_x * x + of_x0 * x0
        for weight, field in zip(weights, self._history):
            found = found + weight * field
        if one["noise"]:
            from diffusers.utils.torch_utils import randn_tensor

            noise = randn_tensor(tuple(x.shape), generator=generator, device=x.device, dtype=torch.float32)
            found = found + one["noise"] * noise.to(precise)
        longest = max(len(step["history"]) for step in self._steps)
        remembered = (x - alpha * x0) / sigma if self.plan.remembers == "epsilon" else x0
        self._history = [remembered, *self._history][:longest]
        self._step_index = k + 1
        return Step(found.to(sample.dtype), x0.to(sample.dtype))

    def add_noise(self, original_samples, noise, timesteps):
        """alpha x0 + sigma eps at timesteps of the plan, one per sample; `[B, ...]`."""
        levels = [self._levels[self._find(t)] for t in timesteps.flatten()]
        shape = (-1, *[1] * (original_samples.dim() - 1))
        alpha, sigma = (original_samples.new_tensor(values).reshape(shape) for values in zip(*levels))
        return alpha * original_samples + sigma * noise

    def scale_noise(self, sample, timestep, noise):
        """`add_noise` under the name that flow-matching schedulers have for it."""
        return self.add_noise(sample, noise, timestep)
