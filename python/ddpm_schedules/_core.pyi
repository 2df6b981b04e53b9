"""What is compiled. Private: use `ddpm_schedules`."""

import os
from typing import Any, Callable, Iterable, Sequence

import numpy as np

VERSION: str
USUAL_NODES: int

_Path = str | os.PathLike[str]
_Progress = Callable[[range], Iterable[int]]

class Process:
    """A Gaussian process x = alpha x0 + sigma noise on a clock of N nodes, from little noise to much; node 0 is clean data.

    A clock that is continuous becomes a grid, whose spacing files record. A shift is a property of a list of times, not of the process.
    """

    @staticmethod
    def vp(alphas_cumprod: Any) -> Process:
        """DDPM's chain: products of 1 - beta in the order of training timesteps. Networks are told whole timesteps from 0."""

    @staticmethod
    def from_betas(betas: Any) -> Process:
        """DDPM's chain by its betas."""

    @staticmethod
    def named(name: str, train_steps: int) -> Process:
        """DDPM's chain by the name of its noise schedule, as `ddpm --noise-schedule` takes it: `linear`, `cosine`, ..."""

    @staticmethod
    def flow(nodes: int = 1000, *, time_scale: float = 1.0) -> Process:
        """Rectified flow, x = (1 - s) x0 + s noise, at s = 1/N, 2/N, .., 1. Networks are told `time_scale * s`."""

    @staticmethod
    def edm(sigma_min: float = 0.002, sigma_max: float = 80.0, nodes: int = 1000) -> Process:
        """x = x0 + sigma noise, N nodes even in sigma^(1/7). Networks are told sigma."""

    @staticmethod
    def table(alphas: Any, sigmas: Any, times: Any) -> Process:
        """Any process: alpha, sigma and what the network is told, of nodes 1..N from little noise to much."""

    @property
    def kind(self) -> str:
        """`vp`, `flow`, `edm` or `table`."""

    @property
    def spacing(self) -> str:
        """Where the nodes lie, in words."""

    @property
    def train_steps(self) -> int:
        """N."""

    @property
    def alphas(self) -> np.ndarray:
        """float64 `[N + 1]`, by node."""

    @property
    def sigmas(self) -> np.ndarray:
        """float64 `[N + 1]`, by node."""

    @property
    def times(self) -> np.ndarray:
        """float64 `[N + 1]`, by node: what the network is told; 0 at clean data."""

class Denoiser:
    def __init__(
        self,
        function: Any,
        process: Process,
        prediction: str,
        shape: Sequence[int],
        *,
        sigma_data: float,
        name: str | None,
        classes: int | None,
        learns_variance: bool,
        batch: int,
    ) -> None: ...
    @property
    def process(self) -> Process: ...
    @property
    def shape(self) -> list[int]: ...
    @property
    def prediction(self) -> str: ...
    def time(self, t: int) -> float: ...

class Profile:
    """The measured errors of a network: what likelihood schedules are chosen on. The file of `ddpm profile`."""

    @staticmethod
    def load(path: _Path, process: Process | None = None) -> Profile: ...
    def save(self, path: _Path, overwrite: bool = False) -> None:
        """Writes the file; FileExistsError unless `overwrite`."""

    @property
    def process(self) -> Process: ...
    @property
    def shape(self) -> list[int]:
        """Of one datum."""

    @property
    def holds_pixels(self) -> bool:
        """Whether the data can be 8-bit images: one channel or three, estimates clipped to [-1, 1]."""

    @property
    def images(self) -> int: ...
    @property
    def evaluations(self) -> int: ...
    @property
    def nodes(self) -> list[int]:
        """The nodes that were evaluated."""

class Trajectories:
    """States down a network's flow: what schedules for samples are chosen on. The file of `ddpm trajectory`."""

    @staticmethod
    def load(path: _Path, process: Process | None = None) -> Trajectories: ...
    def save(self, path: _Path, overwrite: bool = False) -> None:
        """Writes the file; FileExistsError unless `overwrite`."""

    @property
    def process(self) -> Process: ...
    @property
    def count(self) -> int:
        """Starts."""

    @property
    def nodes(self) -> list[int]:
        """The nodes of the reference, among which schedules are sought."""

    @property
    def evaluations(self) -> int: ...
    @property
    def states(self) -> np.ndarray:
        """float32 `[starts, nodes, dims]`, in the process's own coordinates, nodes ascending."""

    @property
    def estimates(self) -> np.ndarray:
        """float32 `[starts, nodes, dims]`: estimates of the clean data."""

    @property
    def trials(self) -> list[tuple[str, str, int, float]]:
        """(sampler, coefficients, K, distance) of every path that was run."""

class Schedules:
    @staticmethod
    def load(path: _Path, process: Process | None = None) -> Schedules: ...
    def save(self, path: _Path, overwrite: bool = False) -> None: ...
    @property
    def process(self) -> Process: ...
    @property
    def steps(self) -> list[int]: ...
    def conventions(self) -> dict[str, Any]: ...
    def numbers(self, steps: int) -> dict[str, Any]: ...
    def nodes(self, steps: int) -> np.ndarray: ...
    def times(self, steps: int) -> np.ndarray: ...
    def sigmas(self, steps: int) -> np.ndarray: ...
    def linear_steps(self, steps: int) -> list[dict[str, Any]]: ...
    def carried_only_by_install(self, steps: int) -> list[str]: ...
    def export(self, format: str, steps: Sequence[int] | None = None) -> str: ...

def profile(
    model: Denoiser,
    images: Any,
    *,
    labels: Sequence[int] | None,
    evaluations: int | None,
    limit: int | None,
    seed: int,
    split: str,
    clip: bool,
    bands: bool,
    images_per_block: int | None,
    out: _Path | None,
    resume: bool,
    save_every: float,
    progress: _Progress | None,
) -> Profile: ...
def follow(
    model: Denoiser,
    *,
    count: int,
    seed: int,
    samplers: Sequence[str],
    nodes: int | None,
    steps: Sequence[int] | None,
    coefficients: Sequence[str],
    growth: bool,
    label: int | None,
    clip: bool,
    mean_of: Profile | None,
    out: _Path | None,
    resume: bool,
    save_every: float,
    progress: _Progress | None,
) -> Trajectories: ...
def traced(model: Denoiser, nodes: Sequence[int], x: np.ndarray, x0: np.ndarray, *, clip: bool) -> Trajectories: ...
def schedule_of_nodes(
    process: Process, nodes: Sequence[int], sampler: str, variance: str, decoder: str, clip: bool
) -> Schedules: ...
def optimize_profile(
    profile: Profile,
    steps: Sequence[int] | None,
    *,
    variance: str | None,
    mean: str | None,
    decoder: str | None,
    start: str | None,
    objective: str,
) -> Schedules: ...
def optimize_trajectories(
    trajectories: Trajectories, steps: Sequence[int] | None, *, sampler: str | None, coefficients: str | None
) -> Schedules: ...
def bits_per_dim(
    model: Denoiser,
    schedules: Schedules,
    steps: int,
    images: Any,
    *,
    labels: Sequence[int] | None,
    seed: int,
    split: str,
    progress: _Progress | None,
) -> dict[str, Any]: ...
def sample(
    model: Denoiser,
    schedules: Schedules,
    steps: int,
    *,
    count: int,
    seed: int,
    first: int,
    label: int | None,
    sampler: str | None,
    progress: _Progress | None,
) -> np.ndarray: ...
def frechet(a: Any, b: Any, blocks: int = 32) -> tuple[float, float]: ...
def solve(costs: Any, steps: Sequence[int] | None) -> list[tuple[int, float, list[int]]]: ...
