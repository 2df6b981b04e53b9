"""Why exact schedules without fitted coefficients are not ahead with DPM-Solver++(2M) in some cells of docs/flow-matching.md: prints, for one
network,

- how far paths end, at all and in the median, and what the errors of their steps on the flow, followed to its end, predict: the root of their sum
  of squares, and the length of their sum;
- paths of the same dynamic programme under other growths of errors: none, the mean of logarithms as the package takes it, the root mean square.

    python python/tools/flows/reasons.py moons
    python python/tools/flows/reasons.py grid --strangers DIR
"""

import argparse
from pathlib import Path

import numpy as np

import evidence
import networks
import rivals
import solvers

STARTS, JUDGED, NUDGE = 512, 2048, 0.02


def lam(s):
    return solvers.log_snr_half(np.asarray(s, float))


def weights(p, s, to):
    """Of x_t, D_t and D_p in the step of DPM-Solver++(2M) from s to each of `to`, the node before being p."""
    x = to / s
    both = (1 - to) - x * (1 - s)
    more = np.zeros_like(to)
    if p is not None and p < 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            more = np.where(to > 0, (lam(to) - lam(s)) / (2 * (lam(s) - lam(p))), 0.0)
    return x, (1 + more) * both, -more * both


def predicted(velocity, starts, ends, path):
    """Errors of single steps on the flow, followed to its end: root of the sum of squares, and of the square of the sum."""
    x, before, p, grown = starts, None, None, []
    for s, to in zip(path, path[1:]):
        estimate = x - s * solvers.at(velocity, x, s)
        a, b, c = weights(p, s, np.array([to]))
        made = a * x + b * estimate + (c * before if before is not None else 0)
        x = solvers.rk4(velocity, x, np.linspace(s, to, 21))
        end = solvers.rk4(velocity, made, np.linspace(to, 0, 41)) if to > 0 else made
        grown.append(end - ends)
        before, p = estimate, s
    grown = np.array(grown)
    return np.sqrt((grown**2).mean(axis=(1, 2)).sum()), np.sqrt((grown.sum(axis=0) ** 2).mean())


class Grid:
    """The reference on its nodes, what a step between them costs, and how errors grow from each of them."""

    def __init__(self, velocity, starts, nodes):
        self.nodes, self.count = nodes, len(nodes) - 1
        states, slopes = solvers.rk4(velocity, starts, nodes, keep=True)
        estimates = states[:-1] - nodes[:-1, None, None] * slopes
        rows = np.concatenate([states, estimates]).reshape(2 * self.count + 1, -1)
        self.gram = rows @ rows.T / rows.shape[1]
        self.measured = np.linspace(4, self.count - 4, 10).astype(int)
        rng, logs, squares = np.random.default_rng(5), [], []
        for i in self.measured:
            way = rng.standard_normal(starts.shape)
            way *= NUDGE / np.linalg.norm(way, axis=1, keepdims=True)
            rest = np.append(nodes[i:-1:3], 0.0)
            apart = solvers.rk4(velocity, states[i] + way, rest) - solvers.rk4(velocity, states[i] - way, rest)
            factor = np.linalg.norm(apart, axis=1) / (2 * NUDGE)
            logs.append(np.log(factor).mean())
            squares.append(0.5 * np.log((factor**2).mean()))
        self.growths = {
            "no growth": np.ones(self.count + 1),
            "mean of logarithms": self.curve(logs),
            "root mean square": self.curve(squares),
        }

    def curve(self, logs):
        between = np.interp(-self.nodes[:-1], -self.nodes[self.measured], logs)
        return np.exp(np.append(between, 0.0))

    def errors(self, p, t):
        """Mean squares of the steps from t to every later node; infinite where an estimate weighs more than 3."""
        s = np.arange(t + 1, self.count + 1)
        x, d, h = weights(None if p is None else self.nodes[p], self.nodes[t], self.nodes[s])
        at = [t, self.count + 1 + t, self.count + 1 + (p or 0)]
        found = self.gram[s, s].copy()
        for i, a in zip(at, (x, d, h)):
            found -= 2 * a * self.gram[i, s]
            for j, b in zip(at, (x, d, h)):
                found += a * b * self.gram[i, j]
        with np.errstate(divide="ignore", invalid="ignore"):
            found[(d / (d + h) > 3) & (h != 0)] = np.inf
        return s, np.maximum(found, 0)

    def best(self, growth):
        n = self.count
        costs = np.full((n, n, n + 1), np.inf, np.float32)
        for t in range(1, n):
            for p in range(t):
                s, error = self.errors(p, t)
                costs[p, t, s] = error * growth[s] ** 2
        s, error = self.errors(None, 0)
        first = np.full(n + 1, np.inf)
        first[s] = error * growth[s] ** 2
        values, choices = [None, costs[:, :, n].astype(float)], [None, None]
        for _ in range(2, max(evidence.STEPS)):
            value, choice = np.full((n, n), np.inf), np.zeros((n, n), int)
            for t in range(1, n):
                total = costs[:t, t, :n] + values[-1][t][None]
                choice[:t, t], value[:t, t] = total.argmin(axis=1), total.min(axis=1)
            values.append(value)
            choices.append(choice)
        return {k: self.followed(k, first, values, choices) for k in evidence.STEPS}

    def followed(self, steps, first, values, choices):
        p, t = 0, int((first[: self.count] + values[steps - 1][0]).argmin())
        path = [0, t]
        for left in range(steps - 1, 1, -1):
            p, t = t, int(choices[left][p, t])
            path.append(t)
        return np.append(self.nodes[path], 0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=["moons", *networks.STRANGERS])
    parser.add_argument("--strangers", type=Path)
    asked = parser.parse_args()
    import ddpm_schedules as ds

    velocity = networks.own() if asked.network == "moons" else networks.stranger(asked.network, asked.strangers)
    judged = np.random.default_rng(99).standard_normal((JUDGED, 2))
    ends = solvers.rk4(velocity, judged, np.linspace(1, 0, 301))
    starts = np.random.default_rng(1).standard_normal((STARTS, 2))
    flow = ds.follow(evidence.denoiser(ds, velocity), count=STARTS, nodes=160, seed=1, clip=False, steps=evidence.STEPS)
    plans = ds.optimize(flow, evidence.STEPS, sampler="dpm++2m")
    sharp = rivals.SharpEuler(velocity, starts)
    grid = Grid(velocity, starts, np.append(np.array(flow.nodes[::-1]) / evidence.NODES, 0.0))
    rows = {
        "quality": {k: plans[k].sigmas for k in evidence.STEPS},
        "uniform": {k: rivals.uniform(k) for k in evidence.STEPS},
        "SharpEuler": {k: sharp.path(k) for k in evidence.STEPS},
        "SharpEuler, power 1": {k: sharp.path(k, power=1.0) for k in evidence.STEPS},
    }
    rows |= {f"same programme, {name}": grid.best(growth) for name, growth in grid.growths.items()}
    for name, paths in rows.items():
        for k, path in paths.items():
            squares = ((solvers.dpm2m(velocity, judged, path) - ends) ** 2).mean(axis=1)
            most = np.sort(squares)[-JUDGED // 100 :].sum() / squares.sum()
            line = (
                f"{name:38s} K={k:2d} distance {np.sqrt(squares.mean()):.4f} median {np.median(np.sqrt(squares)):.4f}"
            )
            line += f" share of the farthest hundredth {most:.2f}"
            if not name.startswith("same"):
                line += " predicted {:.4f}, summed {:.4f}".format(*predicted(velocity, judged, ends, path))
            print(line, flush=True)


if __name__ == "__main__":
    main()
