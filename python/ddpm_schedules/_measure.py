"""Measuring a network, and what a schedule is worth."""

from __future__ import annotations

import contextlib
import os
import warnings
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Iterator, Sequence

import numpy as np

from . import _core
from ._checks import room, whole, wholes, wrapping
from ._model import Denoiser
from ._plans import Plan

#: `wrap(range(n))` is an iterator over evaluations; `tqdm.tqdm` is one.
Progress = Callable[[range], Iterable[int]]


def _network(model: Denoiser) -> _core.Denoiser:
    if not isinstance(model, Denoiser):
        raise TypeError(f"model: expected a Denoiser, found {type(model).__name__}")
    return model._core


def _check_out(model: Denoiser, out: Any, resume: bool) -> None:
    """Says before anything is computed what will not be possible after it."""
    _network(model)
    if out is not None:
        model._take_name()
    if out is None and resume:
        raise ValueError("resume: expected out= with it, the file to go on with")
    if out is not None and model.name is None:
        warnings.warn("name: the network has none, so that this run cannot be resumed; Denoiser(..., name=) says which weights it has", stacklevel=3)


@contextlib.contextmanager
def _kept(model: Denoiser, out: Any) -> Iterator[None]:
    """Says of a run that was interrupted where it goes on."""
    try:
        yield
    except KeyboardInterrupt as error:
        partial = f"{os.fspath(out)}.partial" if out is not None else ""
        if hasattr(error, "add_note") and model.name is not None and os.path.exists(partial):
            error.add_note(f"what is finished is kept in {partial}; the same call with resume=True goes on")
        raise


def _check_plan(plan: Plan) -> None:
    if not isinstance(plan, Plan):
        raise TypeError(f"plan: expected one schedule, such as plans[8], found {type(plan).__name__}")


def _images(images: Any) -> Any:
    """A path, or NumPy's array: uint8, or floats in [-1, 1]."""
    if isinstance(images, (str, os.PathLike)):
        return os.fspath(images)
    if hasattr(images, "detach"):
        images = images.detach().cpu()
        # NumPy has no bfloat16.
        images = (images.float() if images.is_floating_point() else images).numpy()
    array = np.asarray(images)
    if array.dtype == object and array.ndim == 0:
        raise TypeError(f"images: expected an array, found {type(images).__name__}; of batches numpy.concatenate makes one")
    if array.dtype != np.uint8 and array.dtype.kind not in "fO":
        advice = "2.0 * images - 1" if array.dtype == bool else "images.astype(numpy.uint8) of levels 0..255"
        raise ValueError(f"images: expected uint8 or floats in [-1, 1], found {array.dtype}: {advice}")
    if array.dtype != np.uint8:
        array = np.asarray(array, np.float32)
        pixels = array.ndim == 4 and array.shape[1] in (1, 3)
        if pixels and array.size and array.min() >= 0 and array.max() > 2:
            raise ValueError(
                f"images: expected uint8 or floats in [-1, 1], found floats up to {array.max():g}: images.astype(numpy.uint8) of levels 0..255"
            )
        if array.size and array.min() >= 0 and 0.5 < array.max() <= 1:
            warnings.warn(
                "images: these lie in [0, 1]; expected [-1, 1], as networks are trained (2 * images - 1), or uint8",
                stacklevel=3,
            )
    return np.ascontiguousarray(array)


def _clips(clip: bool | None, model: Denoiser, images: Any = None) -> bool:
    """Whether estimates are clamped to [-1, 1], where nobody says: where the data lie there; without data, where they look like pixels."""
    if clip is not None:
        return bool(clip)
    if isinstance(images, np.ndarray):
        return images.dtype == np.uint8 or bool(np.abs(images).max(initial=0.0) <= 1)
    return len(model.shape) == 3 and model.shape[0] in (1, 3)


def _labels(labels: Sequence[int] | None) -> list[int] | None:
    return None if labels is None else wholes("labels", labels)


def profile(
    model: Denoiser,
    images: Any,
    *,
    labels: Sequence[int] | None = None,
    evaluations: int | None = 8192,
    limit: int | None = None,
    seed: int = 0,
    split: str = "train",
    clip: bool | None = None,
    bands: bool = True,
    images_per_block: int | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    save_every: float = 20.0,
    progress: Progress | None = None,
) -> _core.Profile:
    """Measures the network's errors on images: what likelihood schedules are chosen on, the file of `ddpm profile`.

    images: uint8 `[N, *shape]`, floats in [-1, 1], or a path as `ddpm profile --data` takes it.
    evaluations: rows put through the network in all, images times timesteps; None evaluates every image at every timestep.
    limit: how many images, of a seeded order.
    clip: whether estimates of x0 are clamped to [-1, 1]; where left out, whether all images lie there.
    bands: keep the statistics that the spectral variance and the calibrated mean need.
    out: where it is written; OUT.partial keeps what is finished, every `save_every` seconds. For `resume=True` the network needs a `name`, or is a torch module.
    progress: `tqdm.tqdm`, or anything else that takes a range and iterates over it.
    """
    _check_out(model, out, resume)
    network, images = _network(model), _images(images)
    with _kept(model, out):
        return _core.profile(
            network,
            images,
            labels=_labels(labels),
            evaluations=None if evaluations is None else whole("evaluations", evaluations, 1),
            limit=None if limit is None else whole("limit", limit, 1),
            seed=whole("seed", seed),
            split=split,
            clip=_clips(clip, model, images),
            bands=bands,
            images_per_block=None if images_per_block is None else whole("images_per_block", images_per_block, 1),
            out=out,
            resume=resume,
            save_every=save_every,
            progress=wrapping(progress),
        )


def follow(
    model: Denoiser,
    *,
    count: int = 24,
    sampler: str | Sequence[str] = (),
    nodes: int | None = None,
    steps: Iterable[int] | None = None,
    coefficients: str | Sequence[str] = (),
    growth: bool = True,
    label: int | None = None,
    seed: int = 1,
    clip: bool | None = None,
    mean_of: _core.Profile | None = None,
    out: str | os.PathLike[str] | None = None,
    resume: bool = False,
    save_every: float = 20.0,
    progress: Progress | None = None,
) -> _core.Trajectories:
    """Follows the network's own flow from `count` starts: what schedules for the quality of samples are chosen on, the file of `ddpm trajectory`.

    No data are needed.

    sampler: `ddim` (the same as `euler`), `dpm++2m`, `dpm++3m`, `ipndm`, or several; the first two where none is named.
    nodes: of the reference, 160 where nobody says.
    steps: numbers of steps whose best paths are tried; `()` tries none.
    coefficients: `fitted`, `fitted-bands`, `history`: taught to the steps tried.
    growth: measure how errors grow, which takes about half of the evaluations.
    clip: whether estimates of x0 are clamped to [-1, 1], as samplers of pixels do; where left out, for shapes (1, H, W) and (3, H, W) alone.
    mean_of: a profile, by which estimates are corrected (the calibrated mean).
    """
    _check_out(model, out, resume)
    network, count = _network(model), whole("count", count, 1)
    nodes = None if nodes is None else whole("nodes", nodes, 2)
    room("count", count, 2 * (nodes or _core.USUAL_NODES), *model.shape)
    with _kept(model, out):
        return _core.follow(
            network,
            count=count,
            seed=whole("seed", seed),
            samplers=[sampler] if isinstance(sampler, str) else list(sampler),
            nodes=nodes,
            steps=None if steps is None else wholes("steps", steps, 1),
            coefficients=[coefficients] if isinstance(coefficients, str) else list(coefficients),
            growth=growth,
            label=None if label is None else whole("label", label),
            clip=_clips(clip, model),
            mean_of=mean_of,
            out=out,
            resume=resume,
            save_every=save_every,
            progress=wrapping(progress),
        )


def trace(pipe: Any, prompts: Sequence[str] | None = None, steps: int = 100, **kwargs: Any) -> _core.Trajectories:
    """Runs a pipeline of diffusers and records what its scheduler is given: trajectories, guidance and all, for `optimize`.

    prompts: one call of the pipeline each. Without prompts `calls=` is a list of dicts with the arguments of every call, or their number.
    steps: of each call; schedules are sought among its timesteps.
    keep_bytes: how much memory states may take (2 GiB); of more the same coordinates of every state are kept.

    Further arguments go to every call. The scheduler is as before afterwards. Growth is not known: schedules are chosen on local errors.
    """
    from ._trace import trace as traced

    found = traced(pipe, prompts=prompts, steps=whole("steps", steps, 1), **kwargs)
    count = found.x.shape[1]
    # From the order of sampling to ascending nodes, and one row a start.
    rows = [np.moveaxis(a, 0, 1)[:, ::-1].reshape(count, len(found.nodes), -1) for a in (found.x, found.d)]
    network = _core.Denoiser(
        None,
        found.process,
        found.prediction,
        list(found.x.shape[2:]),
        sigma_data=0.5 if found.sigma_data is None else found.sigma_data,
        name=None,
        classes=None,
        learns_variance=False,
        batch=1,
    )
    x, x0 = (np.ascontiguousarray(row, dtype=np.float32) for row in rows)
    return _core.traced(network, [int(t) for t in found.nodes], x, x0, clip=found.clip)


def process_of(scheduler: Any) -> tuple[_core.Process, str]:
    """The process and the prediction of a scheduler of diffusers, or of a pipeline's, as `Denoiser` takes them."""
    scheduler = getattr(scheduler, "scheduler", scheduler)
    from ._diffusers import process_of as of_scheduler

    return of_scheduler(scheduler)


@dataclass(frozen=True)
class BitsPerDim:
    """Bits per dimension of images along a schedule."""

    #: Mean over the images, and its standard error.
    mean: float
    stderr: float
    #: Of every image.
    total: np.ndarray
    #: `[K, N]`: of every step, ascending; and the prior's part `[N]`.
    terms: np.ndarray
    prior: np.ndarray

    def __float__(self) -> float:
        return self.mean

    def __repr__(self) -> str:
        return f"BitsPerDim({self.mean:.4f} +- {self.stderr:.4f}, {len(self.total)} images, {len(self.terms)} steps)"


def bits_per_dim(
    model: Denoiser,
    plan: Plan,
    images: Any,
    *,
    labels: Sequence[int] | None = None,
    seed: int = 0,
    split: str = "test",
    progress: Progress | None = None,
) -> BitsPerDim:
    """Scores images along a schedule, term by term: `ddpm bpd`. The schedule must have been chosen for the likelihood.

    Of the images that chose it, with their `split` and `seed`, this is `plan.cost` again and as optimistic; other images judge.
    """
    _check_plan(plan)
    if plan.objective == "quality":
        raise ValueError("plan: expected one that was chosen on a profile, found one for the quality of samples, which has no variances to score")
    found = _core.bits_per_dim(
        _network(model),
        plan._schedules,
        plan.steps,
        _images(images),
        labels=_labels(labels),
        seed=whole("seed", seed),
        split=split,
        progress=wrapping(progress),
    )
    total = found["total"]
    stderr = float(total.std(ddof=1) / len(total) ** 0.5) if len(total) > 1 else float("nan")
    return BitsPerDim(
        mean=float(total.mean()),
        stderr=stderr,
        total=total,
        terms=np.asarray(found["terms"]),
        prior=found["prior"],
    )


def sample(
    model: Denoiser,
    plan: Plan,
    *,
    count: int = 16,
    seed: int = 0,
    first: int = 0,
    label: int | None = None,
    sampler: str | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Draws samples along a schedule: float32 `[count, *shape]`, of clean data. Sample i of a seed is the same whatever `count` and the batch.

    sampler: another that takes the same schedules (`unipc` takes those of `dpm++2m`).
    """
    network, count = _network(model), whole("count", count, 1)
    _check_plan(plan)
    room("count", count, *model.shape)
    return _core.sample(
        network,
        plan._schedules,
        plan.steps,
        count=count,
        seed=whole("seed", seed),
        first=whole("first", first),
        label=None if label is None else whole("label", label),
        sampler=sampler,
        progress=wrapping(progress),
    )


@dataclass(frozen=True)
class Distance:
    """A Frechet distance and its standard error by the jackknife."""

    value: float
    stderr: float

    def __float__(self) -> float:
        return self.value


def distance(features_a: Any, features_b: Any, *, blocks: int = 32) -> Distance:
    """The Frechet distance of two sets of features `[images, features]`; the error is that of the first set.

    Biased by the sizes of both sets: compare only distances of equal sizes to one reference.
    """
    features = np.asarray(features_a)
    blocks = whole("blocks", blocks, 2)
    if features.ndim == 2:
        room("features_a", 4 * features.shape[1], features.shape[1])
        if 2 * blocks > len(features):
            raise ValueError(f"blocks: expected at most {len(features) // 2}, two images in each, found {blocks}")
    return Distance(*_core.frechet(features_a, features_b, blocks))


@dataclass(frozen=True)
class Solved:
    """The cheapest path of one number of steps."""

    steps: int
    cost: float
    #: 0 = t_0 < t_1 < .. < t_K = T.
    path: tuple[int, ...]


def solve(costs: Any, steps: Iterable[int] | None = None) -> dict[int, Solved]:
    """The cheapest paths from T to 0 over any table of costs `[T + 1, T + 1]`, `costs[t, s]` of the step from t down to s, infinite where there is none.

    Every number of steps at once, exactly; those that no path has are left out.
    """
    wanted = None if steps is None else wholes("steps", steps, 1)
    found = _core.solve(costs, wanted)
    return {k: Solved(k, cost, tuple(path)) for k, cost, path in found}
