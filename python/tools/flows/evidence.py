"""Writes docs/flow-matching.json: schedules of flow-matching networks in 2-D, ours and others', by how far from the flow they end.

    python python/tools/flows/evidence.py --strangers DIR      # all three networks; needs PyTorch
    python python/tools/flows/evidence.py --only moons         # our own network alone, NumPy is enough; prints, does not write
    python python/tools/flows/evidence.py --tables             # the tables of docs/flow-matching.md from docs/flow-matching.json

DIR holds fm_branchy_flower_3.pth and fm_rotgrid.pth of aditiii12/SharpEuler, `checkpoints/`. Needs `ddpm_schedules`, installed or in PYTHONPATH.
About twenty minutes on one core; the same numbers each time on the same processor.
"""

import argparse
import json
import math
import time
from pathlib import Path

import numpy as np

import networks
import rivals
import solvers
import teach

TABLE = networks.ROOT / "docs" / "flow-matching.json"
STEPS = (4, 6, 8, 12, 16)
SEEDS = (1, 2, 3, 4, 5)
#: Starts that choose, of each seed, for us and for those rivals that choose; and starts that judge, which nothing was chosen on.
CHOOSE, JUDGE, JUDGE_SEED = 512, 4096, 2605
NODES = 1000
OURS = ("quality", "fitted")
LISTS = ("uniform", "shift 3", "cosine", "SharpEuler", "SharpEuler, power 1", "GITS", "GITS, Karras teacher")
#: Every list also from 0.999, as SharpEuler's code and DPMSolverMultistepScheduler begin: its second step is of second order then.
LATE, LATE_START = ", from 0.999", 0.999
RIVALS = tuple(name + start for name in LISTS for start in ("", LATE))
#: Variants that say why: not among the methods compared.
FEWER = "fitted, 24 starts"
WHY = ("no trials", "no growth", FEWER)
#: Lists of others with numbers that were fitted as ours are.
FITTED_RIVALS = ("uniform", "SharpEuler")
AHEAD = 3.0


def denoiser(ds, velocity, batch=512):
    return ds.Denoiser(velocity, ds.Process.flow(NODES), prediction="velocity", shape=(2,), batch=batch)


def check_sampler(ds, velocity, plans):
    """The largest difference of where `ds.sample` ends and our samplers do, on a plan's own list and on its steps. Its starts are what the network
    sees first."""
    worst = 0.0
    for plan in plans:
        seen = []

        def recording(x, s, seen=seen):
            seen.append(x.copy())
            return velocity(x, s)

        model = ds.Denoiser(recording, ds.Process.flow(NODES), prediction="velocity", shape=(2,), batch=64, check=False)
        ended = ds.sample(model, plan, count=64, seed=7)
        start = seen[0].astype(np.float64)
        again = [solvers.linear(velocity, start, plan.linear_steps(), NODES)]
        if plan.coefficients == "solver":
            own = {"ddim": "euler"}.get(plan.sampler, plan.sampler)
            again.append(solvers.SAMPLERS[own](velocity, start, plan.sigmas))
        worst = max(worst, *(float(np.abs(one - ended).max()) for one in again))
    return worst


def chosen(ds, velocity, seed):
    """Our plans: {method: {sampler: {K: plan}}}."""
    model = denoiser(ds, velocity)

    def follow(count=CHOOSE, **kwargs):
        return ds.follow(model, count=count, nodes=160, seed=seed, clip=False, **kwargs)

    def plans(flow, coefficients="solver"):
        return {name: ds.optimize(flow, STEPS, sampler=name, coefficients=coefficients) for name in solvers.SAMPLERS}

    taught = follow(steps=STEPS, coefficients="fitted")
    fewer = follow(24, steps=STEPS, coefficients="fitted")
    found = {
        "quality": plans(taught),
        "fitted": plans(taught, "fitted"),
        "no growth": plans(follow(steps=STEPS, growth=False)),
        "no trials": plans(follow(steps=())),
        FEWER: plans(fewer, "fitted"),
    }
    return found, taught, {"fitted": taught.evaluations, FEWER: fewer.evaluations}


def lists(velocity, grid, seed):
    """Lists of the rivals that choose: {method: {K: list}}."""
    starts = np.random.default_rng(seed).standard_normal((CHOOSE, 2))
    sharp = rivals.SharpEuler(velocity, starts)
    flat = rivals.Gits(velocity, starts, grid)
    teacher = rivals.karras()
    warm = solvers.rk4(velocity, starts, np.linspace(1, teacher[0], 11))
    bent = rivals.Gits(velocity, warm, teacher, flat=False)
    return {
        "SharpEuler": {k: sharp.path(k) for k in STEPS},
        "SharpEuler, power 1": {k: sharp.path(k, power=1.0) for k in STEPS},
        "GITS": {k: flat.path(k) for k in STEPS},
        "GITS, Karras teacher": {k: bent.path(k) for k in STEPS},
    }


def fitted_lists(velocity, of_seed, seed):
    """{method: {sampler: {K: steps}}} of rivals whose steps were taught."""
    flow = teach.Flow(velocity, np.random.default_rng(seed).standard_normal((CHOOSE, 2)))
    paths = {"uniform": {k: rivals.uniform(k) for k in STEPS}, **of_seed}
    return {
        f"{method}, fitted": {
            sampler: {k: teach.taught(velocity, flow, paths[method][k], sampler != "euler") for k in STEPS}
            for sampler in solvers.SAMPLERS
        }
        for method in FITTED_RIVALS
    }


def compared(ours, rival):
    """How much nearer `ours` ends than `rival`, as root mean squares, and its standard error: paired over starts, plus the spread over choosing
    seeds.

    Both are squares `[seeds, starts]`, of one row where nothing was chosen."""
    both = [np.broadcast_to(squares, (len(SEEDS), squares.shape[1])) for squares in (ours, rival)]
    roots = [np.sqrt(squares.mean(axis=1)) for squares in both]
    nearer = roots[1] - roots[0]
    # A root mean square changes by square / (2 root) / starts for every start.
    parts = [(squares / (2 * root[:, None])).mean(axis=0) for squares, root in zip(both, roots)]
    of_starts = (parts[1] - parts[0]).var(ddof=1) / both[0].shape[1]
    of_seeds = nearer.var(ddof=1) / len(SEEDS)
    return float(nearer.mean()), float(math.sqrt(of_starts + of_seeds))


def measure(ds, name, velocity):
    began = time.time()
    starts = np.random.default_rng(JUDGE_SEED).standard_normal((JUDGE, 2))
    ends, coarse = (solvers.rk4(velocity, starts, np.linspace(1, 0, n + 1)) for n in (300, 150))
    reference = math.sqrt(((ends - coarse) ** 2).mean())
    print(f"{name}: reference {time.time() - began:.0f} s, from half the steps {reference:.2e}", flush=True)

    ours, flows, evaluations = zip(*(chosen(ds, velocity, seed) for seed in SEEDS))
    grid = np.append(np.array(flows[0].nodes[::-1]) / NODES, 0.0)
    theirs = [lists(velocity, grid, seed) for seed in SEEDS]
    controls = [fitted_lists(velocity, of_seed, seed) for of_seed, seed in zip(theirs, SEEDS)]
    print(f"{name}: chosen after {time.time() - began:.0f} s", flush=True)
    first = ours[0]
    plans = [first[m][sampler][k] for m in OURS for sampler in solvers.SAMPLERS for k in STEPS]
    same = check_sampler(ds, velocity, plans)
    assert same < 1e-5, f"{name}: our samplers end {same} from ds.sample"

    cells = []
    for sampler, run in solvers.SAMPLERS.items():
        for k in STEPS:
            fixed = {"uniform": rivals.uniform(k), "shift 3": rivals.shift(k), "cosine": rivals.cosine(k)}
            rows = {method: [path] for method, path in fixed.items()}
            rows |= {method: [of_seed[method][k] for of_seed in theirs] for method in theirs[0]}
            rows |= {method + LATE: [np.append(LATE_START, path[1:]) for path in rows[method]] for method in LISTS}
            rows |= {method: [of_seed[method][sampler][k] for of_seed in ours] for method in (*OURS, *WHY)}
            rows |= {method: [of_seed[method][sampler][k] for of_seed in controls] for method in controls[0]}
            squares = {}
            for method, paths in rows.items():
                ended = [
                    run(velocity, starts, path)
                    if isinstance(path, np.ndarray)
                    else solvers.linear(velocity, starts, path)
                    if isinstance(path, list)
                    else solvers.linear(velocity, starts, path.linear_steps(), NODES)
                    for path in paths
                ]
                squares[method] = np.array([((end - ends) ** 2).mean(axis=1) for end in ended])
            cells.append(cell(sampler, k, rows, squares))
            print(name, sampler, k, {m: round(d, 5) for m, d in cells[-1]["distance"].items()}, flush=True)
    return {
        "reference_from_half_its_steps": reference,
        "samplers_from_ds_sample": same,
        "scale_of_ends": float(ends.std()),
        "evaluations": evaluations[0],
        "cells": cells,
    }


def cell(sampler, k, rows, squares):
    found = {
        "sampler": sampler,
        "steps": k,
        "distance": {},
        "median": {},
        "seeds": {},
        "list": {},
        "nearer": {},
        "nearer_of_99": {},
    }
    for method, of in squares.items():
        roots = np.sqrt(of.mean(axis=1))
        found["distance"][method] = float(roots.mean())
        if len(roots) > 1:
            found["seeds"][method] = [float(root) for root in roots]
        path = rows[method][0]
        if method in (*OURS, *LISTS):
            found["median"][method] = float(np.median(np.sqrt(of), axis=1).mean())
            found["list"][method] = [
                round(float(s), 6) for s in (path if isinstance(path, np.ndarray) else path.sigmas)
            ]
    against = (*OURS, *RIVALS, *(f"{rival}, fitted" for rival in FITTED_RIVALS))
    for method in (*OURS, FEWER):
        found["nearer"][method] = {
            rival: compared(squares[method], squares[rival]) for rival in against if rival != method
        }
    rival = nearest(found)
    for method in OURS:
        found["nearer_of_99"][method] = {rival: compared(*without_flips(squares[method], squares[rival]))}
    return found


def without_flips(ours, rival):
    """Without the hundredth of the starts where the farther of the two ends farthest: those that went to another part of the data."""
    farther = np.maximum(ours.mean(axis=0), rival.mean(axis=0))
    kept = np.sort(np.argsort(farther)[: len(farther) - len(farther) // 100])
    return ours[:, kept], rival[:, kept]


def holm(scores, level=0.05):
    """Which of these standard scores Holm's method rejects, two-sided."""
    values = [math.erfc(abs(z) / math.sqrt(2)) for z in scores]
    rejected, order = [False] * len(values), sorted(range(len(values)), key=values.__getitem__)
    for rank, i in enumerate(order):
        if values[i] > level / (len(values) - rank):
            break
        rejected[i] = True
    return rejected


def nearest(cell):
    return min(RIVALS, key=cell["distance"].__getitem__)


def verdict(found):
    """Of `{rival: (nearer, error)}`."""
    scores = [nearer / error for nearer, error in found.values()]
    return "ahead" if min(scores) >= AHEAD else "behind" if min(scores) <= -AHEAD else "level"


def tables(record):
    lines = []
    for method, rivals_of in [*((method, RIVALS) for method in (*OURS, FEWER)), ("quality", LISTS)]:
        scored, count = [], {"ahead": 0, "level": 0, "behind": 0}
        for net in record["networks"].values():
            for one in net["cells"]:
                against = {rival: one["nearer"][method][rival] for rival in rivals_of}
                count[verdict(against)] += 1
                scored += [nearer / error for nearer, error in against.values()]
        beaten = sum(r and z > 0 for r, z in zip(holm(scored), scored))
        lost = sum(r and z < 0 for r, z in zip(holm(scored), scored))
        three = sum(z >= AHEAD for z in scored)
        lines.append(
            f"| {method}{'' if rivals_of == RIVALS else ', lists from 1 alone'} | {sum(count.values())} | {count['ahead']} | {count['level']} | {count['behind']} "
            f"| {three} of {len(scored)} | {beaten} of {len(scored)}, {lost} lost |"
        )
    fitted = [
        one["nearer"]["fitted"][f"{rival}, fitted"]
        for net in record["networks"].values()
        for one in net["cells"]
        for rival in FITTED_RIVALS
    ]
    three = sum(nearer / error >= AHEAD for nearer, error in fitted)
    lines.append(f"fitted against lists of others with fitted numbers: ahead in {three} of {len(fitted)}")
    for name, net in record["networks"].items():
        lines += [
            "",
            f"{name}: reference {net['reference_from_half_its_steps']:.1e}, ds.sample {net['samplers_from_ds_sample']:.1e}",
        ]
        cells = net["cells"]
        head = " | ".join(f"{one['sampler']} K={one['steps']}" for one in cells)
        lines += ["", f"| root mean square distance | {head} |", "|---" * (1 + len(cells)) + "|"]
        for method in (*OURS, *LISTS, *WHY, *(f"{rival}, fitted" for rival in FITTED_RIVALS)):
            # Of lists the nearer of the two that begin at 1 and at 0.999.
            both = (method, method + LATE)
            row = [min(one["distance"][name] for name in both if name in one["distance"]) for one in cells]
            lines.append(f"| {method} | " + " | ".join(f"{of:.4f}" for of in row) + " |")
        for one in cells:
            rival = nearest(one)
            for method in OURS:
                found = [one[key][method][rival] for key in ("nearer", "nearer_of_99")]
                said = "; without the farthest hundredth ".join(f"{d:.5f} ± {e:.5f} ({d / e:.1f})" for d, e in found)
                said += f"; medians {one['median'][method]:.4f} and {one['median'][rival.removesuffix(LATE)]:.4f}"
                lines.append(f"{one['sampler']} K={one['steps']} {method} against {rival}: nearer by {said}")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--strangers", type=Path, help="the folder of SharpEuler's checkpoints")
    parser.add_argument("--only", nargs="*", help="of moons, flower, grid; prints and writes nothing")
    parser.add_argument("--tables", action="store_true", help="print the tables of what is written")
    asked = parser.parse_args()
    if asked.tables:
        print(tables(json.loads(TABLE.read_text(encoding="utf-8"))))
        return
    import ddpm_schedules as ds

    names = asked.only or ["moons", *networks.STRANGERS]
    if asked.strangers is None and set(names) != {"moons"}:
        parser.error("--strangers: expected the folder of fm_branchy_flower_3.pth and fm_rotgrid.pth, or --only moons")
    found = {}
    for name in names:
        velocity = networks.own() if name == "moons" else networks.stranger(name, asked.strangers)
        found[name] = measure(ds, name, velocity)
    record = {
        "command": "python python/tools/flows/evidence.py --strangers DIR",
        "steps": STEPS,
        "choosing": {"seeds": SEEDS, "starts": CHOOSE},
        "judging": {"seed": JUDGE_SEED, "starts": JUDGE},
        "rivals": RIVALS,
        "nearer": "[how much nearer, standard error] of root mean squares per dimension",
        "networks": found,
    }
    print(tables(record))
    if not asked.only:
        TABLE.write_text(written(rounded(record)) + "\n", encoding="utf-8")


def written(record):
    """JSON with a line for every cell."""
    cells = {f"cell {name} {i}": one for name, net in record["networks"].items() for i, one in enumerate(net["cells"])}
    short = {
        name: {**net, "cells": [f"cell {name} {i}" for i in range(len(net["cells"]))]}
        for name, net in record["networks"].items()
    }
    text = json.dumps({**record, "networks": short}, indent=1)
    for key, one in cells.items():
        text = text.replace(json.dumps(key), json.dumps(one))
    return text


def rounded(value):
    """Five digits of every number."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


if __name__ == "__main__":
    main()
