"""What a pipeline of diffusers goes through: states and guided outputs of every step, recorded where the scheduler gets them."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from ._checks import whole
from ._diffusers import chain_levels, estimate, family_of, numbers, prediction_of, process_of, scheduler_of

# A sample of fewer coordinates says too little of a local error.
_FEWEST = 1024
# Of what is recorded, the most that is in memory while trajectories are made of it.
_PEAK = 4


@dataclass
class TraceArrays:
    """K states of n samples on a pipeline's way, in the order of sampling: entry k of a list belongs to node `nodes[K - 1 - k]`."""

    #: The process, with a node at every level that was visited: the scheduler's own chain where its timesteps were whole, otherwise a table of K nodes.
    process: Any
    #: epsilon, x0, v, velocity or edm: what `outputs` are.
    prediction: str
    #: K: what the network was told, by the scheduler's timesteps (1000 s of a flow), or sigma of EDM.
    times: list
    #: int64 `[K]`, ascending; the clean data, node 0, is not among them.
    nodes: np.ndarray
    #: float32 `[K, n, ...]`: states before each step, x = alpha x0 + sigma eps of the process. `[K, n, m]` where coordinates were chosen.
    x: np.ndarray
    #: float32, as `x`: what was handed to `scheduler.step`, guidance applied.
    outputs: np.ndarray
    #: float32 `[n, ...]`: the state after the last step; clean data, unless the scheduler ends above them (`set_alpha_to_one=False`).
    final: np.ndarray
    #: Whether the scheduler clips its estimates to [-1, 1].
    clip: bool = False
    #: int64 `[m]`: which entries of a flattened state were kept; None if all were.
    coordinates: np.ndarray | None = None
    #: The standard deviation of the data that EDM's networks were trained with; None for other predictions.
    sigma_data: float | None = None
    #: The shape of one state, `(...)`.
    shape: tuple = ()

    @property
    def d(self):
        """float32, as `x`: the estimates of x0 that the outputs amount to, clipped if the scheduler clips."""
        shape = (-1, *[1] * (self.x.ndim - 1))
        order = self.nodes[::-1]
        alpha, sigma = (numbers(of)[order].reshape(shape) for of in (self.process.alphas, self.process.sigmas))
        made = np.empty_like(self.x)
        for k in range(len(self.x)):
            made[k] = estimate(
                self.prediction, self.x[k].astype(np.float64), self.outputs[k], alpha[k], sigma[k], self.sigma_data
            )
        return np.clip(made, -1, 1, out=made) if self.clip else made


def trace(pipe, prompts=None, steps=100, calls=None, *, keep_bytes=1 << 31, **pipe_kwargs):
    """Runs a pipeline with its own scheduler and records x and the guided output of every step: `TraceArrays`.

    One call per entry of `prompts`, handed over as `prompt=`; or `calls`, a list of dicts with the arguments of each call (prompt_embeds, class_labels,
    ..) or their number. `pipe_kwargs` go to every call; `steps` is its `num_inference_steps`. The decoder is left out where a pipeline with a vae takes
    `output_type="latent"`, unless another type is asked for.

    All of it takes at most `keep_bytes` bytes of main memory, a quarter for what is recorded and the rest for what is made of it; of larger states the
    same coordinates of every state are kept, chosen at random with a fixed seed, or the trace refused where fewer than 1024 would be.

    A scheduler that clips its estimates takes the direction of the clipped one for the trace (`use_clipped_model_output`), as the plan's steps do.

    The scheduler is as before afterwards, whatever happens. Raises ValueError for schedulers whose states lie on no single flow (they add noise, or
    evaluate the network at states beside it), for timesteps that their steps do not follow, and where calls differ in batch size or timesteps.
    """
    scheduler = scheduler_of(pipe)
    if "num_inference_steps" in pipe_kwargs:
        raise ValueError("num_inference_steps: expected steps= in its place")
    parameters = inspect.signature(type(pipe).__call__).parameters
    given = {"num_inference_steps": steps, **pipe_kwargs}
    if getattr(pipe, "vae", None) is not None and "output_type" in parameters:
        given = {"output_type": "latent", **given}
    if prompts is not None and calls is not None:
        raise ValueError("calls: found prompts and calls; expected one of them")
    if isinstance(prompts, str):
        prompts = [prompts]
    if prompts is not None:
        calls = [{"prompt": prompt} for prompt in prompts]
    elif not isinstance(calls, (list, tuple)):
        calls = [{}] * (1 if calls is None else whole("calls", calls, 1))
    if not calls:
        raise ValueError("prompts: found none; expected one per call of the pipeline")
    recorder = _Recorder(scheduler, len(calls), keep_bytes)
    kind = type(scheduler)
    # A class rather than a function on the object: copies that a pipeline makes of its scheduler keep steps of their own.
    scheduler.__class__ = recorder.wrapping(kind)
    try:
        for call in calls:
            recorder.begin()
            pipe(**{**given, **call})
            recorder.end()
    finally:
        scheduler.__class__ = kind
    return recorder.arrays()


def _no_flow(scheduler):
    """Why the states of a scheduler do not lie on one flow, and what to take instead; None if they do."""
    names, get = {cls.__name__ for cls in type(scheduler).__mro__}, scheduler.config.get
    if "PlannedScheduler" in names:
        return "PlannedScheduler", "pipe.scheduler = pipe.scheduler.replaced"
    for found, instead in (
        ("DDPMScheduler", "DDIMScheduler"),
        ("DDPMParallelScheduler", "DDIMScheduler"),
        ("PNDMScheduler", "DDIMScheduler"),
        ("EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"),
        ("KDPM2AncestralDiscreteScheduler", "EulerDiscreteScheduler"),
        ("KDPM2DiscreteScheduler", "EulerDiscreteScheduler"),
        ("HeunDiscreteScheduler", "EulerDiscreteScheduler"),
        ("DPMSolverSDEScheduler", "EulerDiscreteScheduler"),
        ("CogVideoXDPMScheduler", "CogVideoXDDIMScheduler"),
        ("FlowMatchHeunDiscreteScheduler", "FlowMatchEulerDiscreteScheduler"),
        ("SASolverScheduler", "DPMSolverMultistepScheduler"),
        # Its states between two steps lie where no step begins.
        ("DPMSolverSinglestepScheduler", "DPMSolverMultistepScheduler"),
    ):
        if found in names:
            return type(scheduler).__name__, f"pipe.scheduler = {instead}.from_config(pipe.scheduler.config)"
    if str(get("algorithm_type", "")).startswith("sde"):
        return f"algorithm_type={get('algorithm_type')!r}", "'dpmsolver++'"
    if get("stochastic_sampling"):
        return "stochastic_sampling=True", "False"
    if get("thresholding"):
        return "thresholding=True", "False"
    if get("clip_sample") and get("clip_sample_range", 1.0) != 1.0:
        return f"clip_sample_range={get('clip_sample_range')}", "1.0"
    return None


class _Recorder:
    """What the steps of one scheduler are given, call by call."""

    def __init__(self, scheduler, calls, keep_bytes):
        self.scheduler, self.calls, self.keep_bytes = scheduler, calls, keep_bytes
        beside = _no_flow(scheduler)
        if beside:
            raise ValueError(
                f"pipe.scheduler: found {beside[0]}, whose states lie on no flow that a plan could follow; expected, for the trace alone, "
                f"{beside[1]}"
            )
        self.family, self.prediction = family_of(scheduler), prediction_of(scheduler)
        takes = inspect.signature(type(scheduler).step).parameters
        self.clips_direction = bool(scheduler.config.get("clip_sample")) and "use_clipped_model_output" in takes
        self.changed = False
        self.x = self.outputs = self.final = self.coordinates = self.levels = None
        self.done = 0

    def wrapping(self, kind):
        """A subclass of the scheduler's class that tells of the steps of this scheduler."""

        @functools.wraps(kind.step)
        def step(scheduler, model_output, timestep, sample, *args, **kwargs):
            if scheduler is not self.scheduler:
                return kind.step(scheduler, model_output, timestep, sample, *args, **kwargs)
            if kwargs.get("eta"):
                raise ValueError(f"eta: found {kwargs['eta']}, which adds noise; expected 0 for a trace")
            self.before(model_output, timestep, sample)
            if self.clips_direction and kwargs.get("use_clipped_model_output") is None:
                kwargs["use_clipped_model_output"] = True
            made = kind.step(scheduler, model_output, timestep, sample, *args, **kwargs)
            self.after(made[0] if isinstance(made, tuple) else made.prev_sample)
            return made

        return type(
            kind.__name__, (kind,), {"step": step, "__module__": kind.__module__, "__qualname__": kind.__qualname__}
        )

    def begin(self):
        self.visited = []

    def before(self, output, timestep, sample):
        k = len(self.visited)
        time = float(timestep.flatten()[0]) if hasattr(timestep, "flatten") else float(timestep)
        if k == 0:
            # A pipeline that starts from an image leaves out the first.
            told = getattr(self.scheduler, "begin_index", None)
            self.begin_at = int(np.abs(numbers(self.scheduler.timesteps) - time).argmin()) if told is None else told
            self.steps = len(self.scheduler.timesteps) - self.begin_at
        alpha, sigma = self.level(k, time)
        if self.visited and not sigma * self.visited[-1][1] < self.visited[-1][2] * alpha:
            raise ValueError(
                f"pipe.scheduler: {type(self.scheduler).__name__} took a step at timestep {time:.6g} after one at "
                f"{self.visited[-1][0]:.6g}; expected one step per timestep, descending"
            )
        self.visited.append((time, alpha, sigma))
        if output.dim() > 1 and output.shape[1] == 2 * sample.shape[1]:
            # The other half are variances.
            output = output[:, : sample.shape[1]]
        if self.x is None:
            self.make_room(sample)
        n = sample.shape[0]
        self.fits(sample, k)
        place = slice(self.done * n, (self.done + 1) * n)
        self.x[k, place] = self.kept(sample)
        if k and not self.changed:
            self.is_as_left(self.x[k, place], self.final[place])
        if self.family == "divided":
            self.x[k, place] *= alpha
        self.outputs[k, place] = self.kept(output)

    def is_as_left(self, state, left):
        """Half precision has three digits."""
        if np.abs(state - left).max() > 1e-2 * max(1.0, float(np.abs(left).max())):
            self.changed = True
            warnings.warn(
                "pipe: states are changed between its steps (inpainting, a callback); the trace takes these changes for the network's own flow",
                stacklevel=6,
            )

    def after(self, state):
        n = state.shape[0]
        self.final[self.done * n : (self.done + 1) * n] = self.kept(state)

    def level(self, k, time):
        """alpha and sigma at step k, as the scheduler counts them; `time` is what the network is told."""
        scheduler = self.scheduler
        sigmas = getattr(scheduler, "sigmas", None)
        if sigmas is None:
            return _of_ratio(float(chain_levels(scheduler, time)))
        at = self.begin_at + k
        own = float(scheduler.timesteps[at]) if at < len(scheduler.timesteps) else float("nan")
        if len(sigmas) != len(scheduler.timesteps) + 1 or not abs(own - time) <= 1e-3 * max(1.0, abs(time)):
            raise ValueError(
                f"pipe.scheduler: {type(scheduler).__name__} took step {k} at timestep {time:.6g}; expected {own:.6g}, and one "
                "sigma per timestep"
            )
        sigma = float(sigmas[at])
        if self.family == "flow":
            return 1 - sigma, sigma
        return (1.0, sigma) if self.family == "edm" else _of_ratio(sigma)

    def make_room(self, sample):
        n, self.state = sample.shape[0] * self.calls, tuple(sample.shape[1:])
        size = int(np.prod(self.state))
        one = _PEAK * 4 * n * (2 * self.steps + 1)
        most = int(self.keep_bytes // one)
        if size > most:
            if most < _FEWEST:
                raise ValueError(
                    f"keep_bytes: found {self.keep_bytes}, room for {most} of {size} coordinates of {n} samples at {self.steps} steps; "
                    f"expected at least {one * min(size, _FEWEST)}: raise it, or take fewer calls or steps"
                )
            self.coordinates = np.sort(np.random.default_rng(0).choice(size, most, replace=False))
        shape = self.state if self.coordinates is None else (len(self.coordinates),)
        self.x, self.outputs = (np.empty((self.steps, n, *shape), np.float32) for _ in range(2))
        self.final = np.empty((n, *shape), np.float32)
        self.batch = sample.shape[0]

    def fits(self, sample, k):
        if k >= len(self.x) or tuple(sample.shape) != (self.batch, *self.state):
            raise ValueError(
                f"calls: found step {k} of a state {list(sample.shape)}; expected {len(self.x)} steps of {[self.batch, *self.state]}, "
                "as in the first call"
            )

    def kept(self, tensor):
        tensor = tensor.detach()
        if self.coordinates is not None:
            import torch

            tensor = tensor.flatten(1)[:, torch.as_tensor(self.coordinates, device=tensor.device)]
        return tensor.float().cpu().numpy()

    def end(self):
        if not self.visited or len(self.visited) != len(self.x):
            raise ValueError(
                f"pipe: {type(self.scheduler).__name__} was asked for {len(self.visited)} steps; expected those of its list, every one "
                "by pipe.scheduler.step"
            )
        if self.levels is None:
            self.levels = self.visited
            self.follows()
        elif self.levels != self.visited:
            raise ValueError(
                "calls: found other timesteps than in the first call; expected the same in all, so the same size of images and steps"
            )
        self.done += 1

    def follows(self):
        """DDIM goes down by N // K timesteps, whatever its list says."""
        count = getattr(self.scheduler, "num_inference_steps", None)
        if getattr(self.scheduler, "sigmas", None) is not None or not count:
            return
        gap = self.scheduler.config["num_train_timesteps"] // count
        gaps = -np.diff([time for time, *_ in self.levels])
        if np.any(gaps != gap):
            raise ValueError(
                f"steps: {type(self.scheduler).__name__} goes down by {gap} timesteps, and its list by {sorted(set(gaps.tolist()))}; "
                "expected a number of steps that divides num_train_timesteps, with timestep_spacing='leading' or 'trailing'"
            )

    def arrays(self):
        from ._core import Process

        times, alphas, sigmas = (np.array(column) for column in zip(*self.levels))
        whole = self.family in ("chain", "divided") and np.array_equal(times, np.round(times))
        if whole and np.allclose(sigmas / alphas, chain_levels(self.scheduler, times), rtol=1e-5, atol=0):
            process = process_of(self.scheduler)[0]
            nodes = times.astype(np.int64)[::-1] + 1
        else:
            # EDM's networks are told by the level, scaled one way or another.
            times = sigmas if self.family == "edm" else times
            process = Process.table(alphas[::-1].tolist(), sigmas[::-1].tolist(), times[::-1].tolist())
            nodes = np.arange(1, len(times) + 1)
        get = self.scheduler.config.get
        return TraceArrays(
            process=process,
            prediction=self.prediction,
            times=times.tolist(),
            nodes=nodes,
            x=self.x,
            outputs=self.outputs,
            final=self.final,
            clip=bool(get("clip_sample")),
            coordinates=self.coordinates,
            sigma_data=get("sigma_data"),
            shape=self.state,
        )


def _of_ratio(ratio):
    """alpha and sigma of the chain by sigma / alpha."""
    alpha = 1 / np.sqrt(1 + ratio**2)
    return float(alpha), float(ratio * alpha) if np.isfinite(ratio) else 1.0
