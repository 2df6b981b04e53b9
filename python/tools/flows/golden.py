"""Writes python/tests/golden: what networks of others put out along our schedules and others' lists, for tests without PyTorch.

    python python/tools/flows/golden.py --strangers DIR     # DIR as for evidence.py; needs PyTorch and `ddpm_schedules`

The networks are those of `networks.py` (aditiii12/SharpEuler, MIT). Of each NAME.trajectories.safetensors, which `ds.follow` made and our schedules are
chosen on, and NAME.npz: s `[n]`, x `[n, 2]` and velocity `[n, 2]` in float32, each row once; starts and ends of the flow, float64 `[.., 2]`; and
`outcome`, as JSON.
"""

import argparse
import json
from pathlib import Path

import numpy as np

import networks
import rivals
import solvers

FOLDER = networks.ROOT / "python" / "tests" / "golden"
STEPS = (4, 8)
#: Starts that choose and starts that judge, nodes of the reference and of the clock.
CHOOSE, JUDGE, NODES, CLOCK = 48, 48, 48, 1000
LISTS = {"uniform": rivals.uniform, "shift 3": rivals.shift, "cosine": rivals.cosine}


def follow(ds, velocity):
    model = ds.Denoiser(velocity, ds.Process.flow(CLOCK), prediction="velocity", shape=(2,), batch=CHOOSE)
    return ds.follow(model, count=CHOOSE, nodes=NODES, seed=1, steps=STEPS, coefficients="fitted", clip=False)


def outcome(ds, flow, velocity, starts, ends):
    """What trajectories of a network lead to: {sampler: {K: {"nodes": of our plans, "distance": {method: root mean square of where it ends}}}}."""
    found = {}
    for sampler, run in solvers.SAMPLERS.items():
        found[sampler] = {}
        for k in STEPS:
            plans = {
                method: ds.optimize(flow, k, sampler=sampler, coefficients=coefficients)[k]
                for method, coefficients in (("quality", "solver"), ("fitted", "fitted"))
            }
            ended = {method: solvers.linear(velocity, starts, plan.linear_steps(), CLOCK) for method, plan in plans.items()}
            ended |= {method: run(velocity, starts, path(k)) for method, path in LISTS.items()}
            found[sampler][str(k)] = {
                "nodes": {method: plan.nodes.tolist() for method, plan in plans.items()},
                "distance": {method: float(np.sqrt(((x - ends) ** 2).mean())) for method, x in ended.items()},
            }
    return found


class Replay:
    """A network known by what it put out: (x, s) -> velocity. States may differ from those that were recorded by `within`, as rounding has them differ
    from machine to machine; ValueError for others."""

    def __init__(self, recorded, within=1e-4):
        self.within = within
        self.rows = {}
        for s in np.unique(recorded["s"]):
            of = recorded["s"] == s
            self.rows[s] = recorded["x"][of], recorded["velocity"][of]

    def __call__(self, x, s):
        made = np.empty_like(x, dtype=np.float32)
        for level in np.unique(np.float32(s)):
            of = np.float32(s) == level
            if level not in self.rows:
                raise ValueError(f"s = {level}: the network was not asked there when this was recorded")
            states, velocities = self.rows[level]
            squares = ((x[of][:, None] - states) ** 2).sum(axis=-1)
            if not squares.min(axis=1).max() <= self.within**2:
                raise ValueError(f"s = {level}: a state lies {squares.min(axis=1).max() ** 0.5:.2g} from every recorded one")
            made[of] = velocities[squares.argmin(axis=1)]
        return made


def recording(velocity, rows):
    """The network, its inputs and outputs kept in `rows`."""

    def fn(x, s):
        made = velocity(x, s)
        rows.append(np.concatenate([np.broadcast_to(s, len(x))[:, None], x, made], axis=1, dtype=np.float32))
        return made

    return fn


def record(ds, flow, velocity):
    starts = np.random.default_rng(2605).standard_normal((JUDGE, 2))
    ends, rows = solvers.rk4(velocity, starts, np.linspace(1, 0, 301)), []
    found = outcome(ds, flow, recording(velocity, rows), starts, ends)
    rows = np.unique(np.concatenate(rows), axis=0)
    return {
        "s": rows[:, 0],
        "x": rows[:, 1:3],
        "velocity": rows[:, 3:],
        "starts": starts,
        "ends": ends,
        "outcome": json.dumps(found),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strangers", type=Path, required=True, help="the folder of SharpEuler's checkpoints")
    asked = parser.parse_args()
    import ddpm_schedules as ds

    FOLDER.mkdir(exist_ok=True)
    for name in networks.STRANGERS:
        velocity = networks.stranger(name, asked.strangers)
        flow = follow(ds, velocity)
        flow.save(FOLDER / f"{name}.trajectories.safetensors", overwrite=True)
        recorded = record(ds, flow, velocity)
        np.savez_compressed(FOLDER / f"{name}.npz", **recorded)
        print(f"{name}: {len(recorded['s'])} evaluations")
        for sampler, of in json.loads(recorded["outcome"]).items():
            for k, one in of.items():
                print(f"  {sampler} K={k}: " + ", ".join(f"{method} {d:.4f}" for method, d in one["distance"].items()))


if __name__ == "__main__":
    main()
