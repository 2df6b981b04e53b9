"""Optimal inference schedules for any diffusion or flow model, for every number of steps at once.

    import ddpm_schedules as ds

    model = ds.Denoiser(fn, ds.Process.vp(alphas_cumprod), prediction="epsilon", shape=(3, 32, 32))
    profile = ds.profile(model, images, evaluations=8192)
    plans = ds.optimize(profile, steps=range(4, 33))
    plans[8].timesteps

`fn(x, t)` is your network. Lists of timesteps are in its own words. Everything random follows from a seed: the same call gives the same numbers.
"""

from ._core import VERSION as __version__
from ._core import Process, Profile, Trajectories
from ._measure import bits_per_dim, distance, follow, process_of, profile, sample, solve, trace
from ._model import Denoiser
from ._plans import Plan, Plans, load, optimize, plan

__all__ = [
    "Denoiser",
    "Plan",
    "Plans",
    "Process",
    "Profile",
    "Trajectories",
    "bits_per_dim",
    "distance",
    "follow",
    "load",
    "optimize",
    "plan",
    "process_of",
    "profile",
    "sample",
    "solve",
    "trace",
]
