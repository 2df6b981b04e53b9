"""Samplers along a list of s, from 1 down to 0; states in double precision. `velocity` is called with one s for all rows."""

import numpy as np


def at(velocity, x, s):
    return velocity(x.astype(np.float32), np.full(len(x), s, np.float32)).astype(np.float64)


def euler(velocity, x, path):
    for s, to in zip(path, path[1:]):
        x = x + (to - s) * at(velocity, x, s)
    return x


def log_snr_half(s):
    with np.errstate(divide="ignore"):
        return np.log1p(-s) - np.log(s)


def dpm2m(velocity, x, path):
    """DPM-Solver++(2M) (Lu et al. 2022) with alpha = 1 - s, sigma = s. At s = 1 log(alpha / sigma) is infinite, so that the second step is of first
    order too, as the last one is."""
    before, h_before = None, None
    for s, to in zip(path, path[1:]):
        estimate = x - s * at(velocity, x, s)
        h = log_snr_half(to) - log_snr_half(s)
        used = estimate
        if before is not None and to > 0 and np.isfinite(h_before):
            weight = h / (2 * h_before)
            used = (1 + weight) * estimate - weight * before
        x = to / s * x + ((1 - to) - to / s * (1 - s)) * used
        before, h_before = estimate, h
    return x


def linear(velocity, x, steps, nodes=1):
    """The steps of `plan.linear_steps()` on a clock of `nodes`, whose sampler remembers estimates of x0."""
    memory = []
    for step in steps:
        s = step["t"] / nodes
        estimate = x - s * at(velocity, x, s)
        x = step["x"] * x + step["d"] * estimate + sum(w * m for w, m in zip(step["history"], memory))
        memory.insert(0, estimate)
    return x


def rk4(velocity, x, path, keep=False):
    """Runge and Kutta's method of fourth order: the flow itself. With `keep` states and velocities at every node, without the last velocity."""
    states, slopes = [x], []
    for s, to in zip(path, path[1:]):
        h = to - s
        a = at(velocity, x, s)
        b = at(velocity, x + 0.5 * h * a, s + 0.5 * h)
        c = at(velocity, x + 0.5 * h * b, s + 0.5 * h)
        d = at(velocity, x + h * c, to)
        x = x + h / 6 * (a + 2 * b + 2 * c + d)
        if keep:
            states.append(x)
            slopes.append(a)
    return (np.array(states), np.array(slopes)) if keep else x


SAMPLERS = {"euler": euler, "dpm++2m": dpm2m}
