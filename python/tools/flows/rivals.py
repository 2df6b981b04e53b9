"""What others use: lists of s from 1 down to 0."""

import numpy as np

from solvers import at, rk4


def uniform(steps):
    return np.linspace(1, 0, steps + 1)


def shift(steps, by=3.0):
    """Esser et al. 2024, and FlowMatchEulerDiscreteScheduler's `shift`."""
    s = uniform(steps)
    return by * s / (1 + (by - 1) * s)


def cosine(steps):
    """CosyVoice's, 1 - cos(pi t / 2) with t = 0 at noise: the same as F5-TTS's sway sampling with coefficient -1."""
    s = np.cos(0.5 * np.pi * np.linspace(0, 1, steps + 1))
    s[-1] = 0
    return s


class SharpEuler:
    """Quantiles of how fast the velocity changes along Euler's trajectories of 1000 even steps (arXiv 2605.11547, `core/calibration.py`,
    `core/schedule.py`): density (mean |dv/ds|)^power, power 1/2 as published, smoothed by a Gaussian of one step."""

    FINE = 1000

    def __init__(self, velocity, starts):
        path, x, seen = np.linspace(1, 0, self.FINE + 1), starts, []
        for s, to in zip(path, path[1:]):
            seen.append(at(velocity, x, s))
            x = x + (to - s) * seen[-1]
        change = np.diff(np.array(seen), axis=0) * self.FINE
        self.sharpness = np.linalg.norm(change, axis=-1).mean(axis=1)
        self.middle = path[1:-1]

    def path(self, steps, power=0.5):
        kernel = np.exp(-0.5 * np.arange(-3, 4) ** 2)
        smooth = np.convolve(np.pad(self.sharpness**power, 3, mode="reflect"), kernel / kernel.sum(), mode="valid")
        density = smooth[::-1] / smooth.sum()
        below = np.concatenate([[0], np.cumsum(density)])
        found = np.interp(np.linspace(0, 1, steps + 1), below, np.concatenate([[0], self.middle[::-1]]))[::-1].copy()
        # Their lists in 2-D begin at 0.999, the last middle; those for FLUX are pinned to the start.
        found[0] = 1
        return found


class Gits:
    """Chen et al. 2024 as their code has it (metric "dev", 1.15 per step): see `crates/ddpm-trajectory/src/gits.rs`.

    teacher: nodes from noise to 0. `flat` says in which coordinates Euler's steps and the chord are: x against s of the flow, or x / (1 - s) against
    s / (1 - s), those of the authors' networks.
    """

    COEFFICIENT = 1.15

    def __init__(self, velocity, starts, teacher, flat=True):
        self.teacher = np.asarray(teacher)
        states, slopes = rk4(velocity, starts, self.teacher, keep=True)
        clock = self.teacher
        if not flat:
            # Of y = x / (1 - s) against sigma = s / (1 - s): dy / dsigma = noise = x + (1 - s) v.
            slopes = states[:-1] + (1 - clock[:-1, None, None]) * slopes
            states, clock = states / (1 - clock[:, None, None]), clock / (1 - clock)
        first, last = states[0], states[-1]
        own = deviation(states, first, last)
        count = len(clock)
        self.costs = np.full((count, count), np.inf)
        for i in range(count - 1):
            reach = states[i] + (clock[i + 1 :] - clock[i])[:, None, None] * slopes[i]
            self.costs[i, i + 1 :] = (deviation(reach, first, last) - own[i + 1 :]).mean(axis=1)

    def path(self, steps):
        value, choices = self.costs[:, -1].copy(), []
        for _ in range(steps - 1):
            total = self.costs[:, :-1] + self.COEFFICIENT * value[:-1]
            choice = total.argmin(axis=1)
            value = np.append(total.min(axis=1)[:-1], np.inf)
            choices.append(choice)
        node, nodes = 0, [0]
        for choice in choices[::-1]:
            node = choice[node]
            nodes.append(node)
        found = np.append(self.teacher[nodes], 0.0)
        found[0] = 1
        return found


def deviation(x, first, last):
    """Distances from the line through `first` and `last`."""
    to, chord = last - x, last - first
    along = (to * chord).sum(axis=-1) / np.sqrt((chord * chord).sum(axis=-1))
    return np.sqrt(np.maximum((to * to).sum(axis=-1) - along**2, 0))


def karras(nodes=61, low=0.002, high=80.0):
    """The teacher of GITS's own networks, as s = sigma / (1 + sigma), with 0."""
    root = np.linspace(high ** (1 / 7), low ** (1 / 7), nodes) ** 7
    return np.append(root / (1 + root), 0.0)
