"""Schedules as people use them: a list per number of steps, in the network's own words."""

from __future__ import annotations

import os
import warnings
from typing import Any, Iterable, Iterator, Mapping

import numpy as np

from . import _core
from ._checks import wholes


class Plan:
    """The schedule of one number of steps K."""

    def __init__(self, schedules: _core.Schedules, steps: int) -> None:
        self._schedules = schedules
        self.steps = steps
        self._told: dict[str, Any] = schedules.conventions()
        self._numbers: dict[str, Any] = schedules.numbers(steps)

    @property
    def process(self) -> _core.Process:
        """The process, whose nodes the schedule is of."""
        return self._schedules.process

    @property
    def nodes(self) -> np.ndarray:
        """int64 `[K]`, ascending: nodes of the process, from 1 to N."""
        return self._schedules.nodes(self.steps)

    @property
    def timesteps(self) -> np.ndarray:
        """`[K]`, in the order of sampling: times of the process. int64 from 0 of a vp process, as diffusers takes them; s of a flow (times its `time_scale`);
        sigma of edm, of which networks under `prediction="edm"` are told log(sigma) / 4."""
        times = self._schedules.times(self.steps)
        return np.rint(times).astype(np.int64) if self.process.kind == "vp" else times

    @property
    def sigmas(self) -> np.ndarray:
        """float64 `[K + 1]`, in the order of sampling, 0 at the end: sigma / alpha, as k-diffusion takes them; s of a flow."""
        return self._schedules.sigmas(self.steps)

    @property
    def objective(self) -> str:
        """`elbo` (likelihood), `quality` (samples) or `mse`."""
        return self._told["objective"]

    @property
    def sampler(self) -> str:
        """Whose steps the schedule was chosen for: `ancestral`, `ddim` (Euler's method of a flow), `dpm++2m`, `dpm++3m`, `ipndm`."""
        return _SAMPLERS.get(self._told["sampler"], self._told["sampler"])

    @property
    def variance(self) -> str | None:
        """Of the reverse steps; None of deterministic samplers."""
        return self._told["variance"]

    @property
    def mean(self) -> str:
        """`network` or `calibrated`."""
        return self._told["mean"]

    @property
    def decoder(self) -> str | None:
        """How the step onto the data was scored; None where nothing was."""
        return self._told["decoder"]

    @property
    def coefficients(self) -> str:
        """`solver`: the sampler's own; `history`, `fitted`, `fitted-bands`: least squares."""
        return self._told["coefficients"]

    @property
    def clip(self) -> bool:
        """Whether estimates of x0 are clamped to [-1, 1]."""
        return self._told["clip"]

    @property
    def prediction(self) -> str | None:
        """What the network puts out."""
        return self._told["prediction"]

    @property
    def remembers(self) -> str:
        """What `history` of `linear_steps` weighs: `x0` or `epsilon` of the nodes before."""
        return self._told["remembers"]

    @property
    def cost(self) -> float | None:
        """What was minimised: bits/dim without the prior of `elbo`, a mean square of `quality`; None of a list of one's own."""
        return self._numbers["cost"]

    @property
    def stderr(self) -> float | None:
        """Standard error of the cost over the choosing images, the path fixed; None where there is none."""
        return self._numbers["stderr"]

    @property
    def loss_by_choosing(self) -> tuple[float, float] | None:
        """What this schedule is expected to cost above the best one on images that it was not chosen on, because these were a sample, and the standard error of that:
        chosen again without each of 8 folds of the images. None where nothing was chosen on images."""
        return self._numbers["loss_by_choosing"]

    @property
    def prior(self) -> float | None:
        """Bits/dim of the prior's part, which `cost` leaves out."""
        return self._numbers["prior"]

    @property
    def distance(self) -> float | None:
        """Root mean square distance of samples from the ends of the flow, where this schedule was tried; per dimension."""
        return self._numbers["distance"]

    def linear_steps(self) -> list[dict[str, Any]]:
        """The steps in the process's own coordinates, in the order of sampling.

        `x_s = x * x_t + d * D_t + sum(history[i] * R_i) + noise * z`: D_t the estimate of x0 (clipped if `clip`), R_i what the sampler `remembers` of the nodes before,
        the nearest first. ValueError for a schedule whose steps are no combination of whole states (per band, learned variance).
        """
        return self._schedules.linear_steps(self.steps)

    @property
    def carried_only_by_install(self) -> list[str]:
        """What a bare list of timesteps cannot carry."""
        return self._schedules.carried_only_by_install(self.steps)

    def export(self, format: str) -> str:
        """The text of `ddpm export --format`: `diffusers`, `k-diffusion`, `comfyui`, `improved-diffusion` or `csv`. Of a flow the first three and `csv`, in s."""
        return self._schedules.export(format, [self.steps])

    def export_diffusers(self) -> str | None:
        """Python source of schedulers of diffusers that carry all of this; None of a process that is not vp."""
        return self.export("diffusers") if self.process.kind == "vp" else None

    def kwargs_for(self, pipe: Any, *, mu: float | None = None, same_steps: bool = True) -> dict[str, Any]:
        """`timesteps=` or `sigmas=` for this pipeline of diffusers, the scheduler's shift undone; ValueError where a list cannot carry this schedule.

        mu: the dynamic shift that the pipeline will compute from the size of its image, where it takes none itself (Flux).
        same_steps: False hands the list to a scheduler that visits these levels by steps of another kind (UniPC on a flow, Heun).
        """
        from ._diffusers import kwargs_for

        return kwargs_for(self, pipe, mu=mu, same_steps=same_steps)

    def install(self, pipe: Any) -> None:
        """Replaces the pipeline's scheduler by one that takes these very steps."""
        from ._diffusers import install

        install(self, pipe)

    def __repr__(self) -> str:
        cost = "none" if self.cost is None else f"{self.cost:.4g}"
        numbers = "" if self.coefficients == "solver" else f"{self.coefficients} coefficients, "
        return f"Plan(K={self.steps}, {self.objective}, {self.sampler}, {numbers}cost={cost}, timesteps={self.timesteps.tolist()})"


#: Our names of samplers as users of PyTorch know them.
_SAMPLERS = {"ddpm": "ancestral", "dpm-solver++": "dpm++2m", "dpm-solver++3m": "dpm++3m"}


class Plans(Mapping[int, Plan]):
    """Schedules by their number of steps."""

    def __init__(self, schedules: _core.Schedules) -> None:
        self._schedules = schedules
        self._plans = {k: Plan(schedules, k) for k in schedules.steps}

    def __getitem__(self, steps: int) -> Plan:
        try:
            return self._plans[steps]
        except KeyError:
            raise KeyError(f"no schedule of {steps} steps: there are {list(self._plans)}") from None

    def __iter__(self) -> Iterator[int]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)

    def __repr__(self) -> str:
        return "Plans(\n  " + "\n  ".join(repr(plan) for plan in self._plans.values()) + "\n)"

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Writes the schedules file of `ddpm schedule --out`, which the command line takes too."""
        self._schedules.save(path, overwrite)


def optimize(
    source: _core.Profile | _core.Trajectories,
    steps: Iterable[int] | int | None = None,
    *,
    objective: str | None = None,
    sampler: str | None = None,
    variance: str | None = None,
    mean: str | None = None,
    decoder: str | None = None,
    start: str | None = None,
    coefficients: str | None = None,
) -> Plans:
    """The best schedule of every number of steps, exactly; no network is called.

    source: a `profile` for the likelihood (`objective="elbo"`), `follow` or `trace` for samples (`"quality"`).
    steps: numbers of steps; the usual ones where left out.
    sampler: of quality: `ddim` (Euler), `dpm++2m` (usual), `dpm++3m`, `ipndm`; of likelihood `ancestral`.
    variance, mean, decoder, start: of likelihood, as in `ddpm schedule`.
    coefficients: of quality: `solver`, or what `follow` was told to teach; the closest where left out.
    """
    wanted = None if steps is None else wholes("steps", steps, 1)
    if isinstance(source, _core.Profile):
        objective = "elbo" if objective is None else objective
        if objective == "quality":
            raise ValueError("objective: quality is chosen on ds.follow(model) or ds.trace(pipe), found a profile")
        if sampler not in (None, "ancestral", "ddpm"):
            raise ValueError(
                f"sampler: a likelihood is one of ancestral steps; expected ancestral, or trajectories for {sampler!r}"
            )
        _none_of(objective, coefficients=coefficients)
        found = _core.optimize_profile(
            source, wanted, variance=variance, mean=mean, decoder=decoder, start=start, objective=objective
        )
        has_bins = found.conventions()["decoder"] not in (None, "gaussian", "none")
        if decoder is None and has_bins and not source.holds_pixels:
            warnings.warn(
                "decoder: bits/dim are of the bins of 8-bit pixels; of points and latents, which these may be "
                f"(shape {tuple(source.shape)}), say decoder=\"gaussian\"",
                stacklevel=2,
            )
        if decoder is None and found.conventions()["decoder"] == "gaussian" and source.holds_pixels:
            warnings.warn(
                "decoder: this profile holds errors alone, so that the schedules are for a continuous density; of 8-bit images, "
                "digits above all, the best one is another: ds.profile(model, images) measures their decoder",
                stacklevel=2,
            )
    elif isinstance(source, _core.Trajectories):
        if objective not in (None, "quality"):
            raise ValueError(f"objective: {objective} is chosen on ds.profile(model, images), found trajectories")
        _none_of("quality", variance=variance, mean=mean, decoder=decoder, start=start)
        found = _core.optimize_trajectories(source, wanted, sampler=sampler, coefficients=coefficients)
        told = found.conventions()
        taught = sorted({k for of, kind, k, _ in source.trials if kind != "solver" and of == told["sampler"]})
        if coefficients is None and taught and told["coefficients"] == "solver":
            warnings.warn(
                f"coefficients were taught for {taught} steps alone, so that all of these have the sampler's own; ask for steps of these",
                stacklevel=2,
            )
    else:
        raise TypeError(
            f"source: expected what ds.profile, ds.follow or ds.trace returned, found {type(source).__name__}"
        )
    return Plans(found)


def plan(
    process: _core.Process,
    timesteps: Any,
    *,
    sampler: str = "ddim",
    variance: str = "fixed-small",
    decoder: str | None = None,
    clip: bool = False,
) -> Plan:
    """A schedule of one's own, to compare with: uniform steps, somebody else's list. It was chosen on nothing, so that it has no cost and no file.

    timesteps: times as `process.times` has them, in any order; each becomes the node that is nearest. `numpy.linspace(1, 0, 8, endpoint=False)` are 8 uniform
        steps of a flow that is told s (times `time_scale` of others); a 0 at its end, clean data, may stand there.
    sampler: `ddim` (Euler), `dpm++2m`, .., or `ancestral`, whose likelihood `bits_per_dim` scores.
    variance, decoder: of ancestral steps: `fixed-small`, `fixed-large` or `learned`; `respaced` (usual), `marginal` or `gaussian`.
    clip: whether estimates of x0 are clamped to [-1, 1].

    Compare with a plan that was chosen with the same `decoder`, and give `clip` as it has it.
    """
    if not isinstance(process, _core.Process):
        raise TypeError(f"process: expected a Process, such as model.process, found {type(process).__name__}")
    try:
        times = np.asarray(timesteps, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"timesteps: expected a list of finite times, found {timesteps!r}") from None
    if times.ndim != 1 or not times.size or not np.isfinite(times).all():
        raise ValueError(f"timesteps: expected a list of finite times, found {timesteps!r}")
    known = process.times[1:]
    low, high = known.min(), known.max()
    if len(times) > 1 and times[-1] == 0 and 0 not in known:
        times = times[:-1]
    if process.kind == "vp":
        beyond = times.min() < low or times.max() > high
    else:
        beyond = times.min() < min(0.5 * low, low) or times.max() > max(high * (1 + 1e-9), high)
    if beyond:
        raise ValueError(f"timesteps: expected times of the process, {low:g} to {high:g}, found {times.tolist()}")
    nodes = [1 + int(np.argmin(np.abs(known - time))) for time in times]
    if len(set(nodes)) < len(nodes):
        raise ValueError(f"timesteps: expected different nodes of the process, found nodes {sorted(nodes)}")
    if decoder is not None and sampler not in ("ancestral", "ddpm"):
        raise ValueError(f"decoder: expected none of {sampler}, whose steps are not scored, found {decoder!r}")
    found = _core.schedule_of_nodes(process, nodes, sampler, variance, decoder or "respaced", bool(clip))
    return Plan(found, len(nodes))


def _none_of(objective: str, **given: Any) -> None:
    for name, value in given.items():
        if value is not None:
            raise ValueError(f"{name}: does not go with objective {objective!r}; leave it out")


def load(path: str | os.PathLike[str], process: _core.Process | None = None) -> Any:
    """Reads a file of this package or of the command line: `Plans`, a `Profile` or `Trajectories`.

    process: that of the network, where it is not a chain of whole timesteps.
    """
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if head.lstrip()[:1] == b"{":
        return Plans(_core.Schedules.load(path, process))
    for name, kind in ((b"ddpm-trajectories", _core.Trajectories), (b"ddpm-elbo-profile", _core.Profile)):
        if name in head:
            return kind.load(path, process)
    raise ValueError(f"{os.fspath(path)}: expected a profile, trajectories or schedules, found another file")
