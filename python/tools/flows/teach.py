"""Least squares for the numbers of a rival's steps, as we teach ours: whether nodes or numbers make the difference."""

import numpy as np

from solvers import at, rk4


class Flow:
    """States of the flow at any s, from starts at s = 1: cubic between fine nodes."""

    def __init__(self, velocity, starts, fine=200):
        path = np.linspace(1, 0, fine + 1)
        self.states, slopes = rk4(velocity, starts, path, keep=True)
        self.slopes = np.concatenate([slopes, [at(velocity, self.states[-1], 0.0)]])
        self.fine = fine

    def __call__(self, s):
        place = (1 - s) * self.fine
        i = min(int(place), self.fine - 1)
        u, h = place - i, -1 / self.fine
        y, m = self.states[i : i + 2], self.slopes[i : i + 2] * h
        return (
            (1 + 2 * u) * (1 - u) ** 2 * y[0]
            + u * (1 - u) ** 2 * m[0]
            + u * u * (3 - 2 * u) * y[1]
            - u * u * (1 - u) * m[1]
        )


def taught(velocity, flow, path, memory):
    """Steps `x x_t + d D_t + history[0] D_before` along `path` that come closest to the flow from the states that they reach; `memory` says whether
    there is a history. The step onto the data stays as it is. In the form of `plan.linear_steps()`, with s in place of a node."""
    x, before, steps = flow(1.0), None, []
    for s, to in zip(path, path[1:]):
        estimate = x - s * at(velocity, x, s)
        fields = [x, estimate] + ([before] if memory and before is not None else [])
        if to == 0:
            numbers = np.array([0.0, 1.0] + [0.0] * (len(fields) - 2))
        else:
            numbers = np.linalg.lstsq(np.stack([f.ravel() for f in fields], axis=1), flow(to).ravel(), rcond=None)[0]
        steps.append({"t": s, "x": numbers[0], "d": numbers[1], "history": list(numbers[2:])})
        x, before = sum(n * f for n, f in zip(numbers, fields)), estimate
    return steps
