"""ddpm fid beside pytorch-fid: the 2048-d Frechet distance and the features of Inception, in turn.

    pip install numpy scipy torch torchvision pytorch-fid==0.3.0 safetensors
    python benches/peers/fid.py [--ddpm target/release/ddpm] [--rounds 3] [--images 64] [--skip-features]

Distance: statistics of 5,000 random features of rapidly falling variance each. Ours is the whole process, with the reading of
both files; pytorch-fid's is `calculate_frechet_distance` alone. Features: weights by the formula of
`tests/golden/tools/features.py`, 32x32 images; both as the time of many images minus that of few, so that start and
loading do not count.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, "tests/golden/tools")
import features as golden  # noqa: E402


def processor():
    """Seconds of processor time of this process and of its finished children."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def clock(work):
    """Wall time and, which other work on the machine disturbs less, processor time."""
    begun, start = processor(), time.perf_counter()
    result = work()
    return (time.perf_counter() - start, processor() - begun), result


def show(ours, theirs, scale=1.0, unit="s"):
    for kind, name in enumerate(("wall", "processor")):
        a, b = ([scale * pair[kind] for pair in times] for times in (ours, theirs))
        text = [f"{statistics.median(x):.2f} {unit} ({min(x):.2f}..{max(x):.2f})" for x in (a, b)]
        ratio = statistics.median(b) / statistics.median(a)
        print(f"  {name}: ours {text[0]}, pytorch-fid {text[1]}, ratio {ratio:.2f}")


def distance(ddpm, rounds, folder):
    from pytorch_fid.fid_score import calculate_frechet_distance

    rng = np.random.default_rng(0)
    paths, sides = [], []
    for name in "ab":
        x = rng.standard_normal((5000, 2048)) / (1 + np.arange(2048))
        x = x @ np.linalg.qr(rng.standard_normal((2048, 2048)))[0] + 0.01 * (name == "b")
        sides += [x.mean(axis=0), np.cov(x, rowvar=False)]
        paths.append(folder / f"{name}.npz")
        np.savez(paths[-1], mu=sides[-2], sigma=sides[-1])
    ours, theirs = [], []
    for _ in range(rounds):
        command = [ddpm, "fid", *map(str, paths), "--json"]
        seconds, out = clock(lambda: subprocess.run(command, check=True, capture_output=True))
        ours.append(seconds)
        found = json.loads(out.stdout)["frechet"]["value"]
        seconds, expected = clock(lambda: calculate_frechet_distance(*sides))
        theirs.append(seconds)
    print(f"2048-d Frechet distance: ours {found:.10f}, pytorch-fid {expected:.10f}")
    show(ours, theirs)


def extraction(ddpm, rounds, images, folder):
    import torch
    from safetensors.numpy import save_file

    torch.set_num_threads(len(__import__("os").sched_getaffinity(0)))
    net, state = golden.seeded_inception()
    weights = folder / "inception.safetensors"
    save_file({k: v.numpy() for k, v in state.items() if not k.endswith("num_batches_tracked")}, weights)
    sets = {}
    for count in (4, 4 + images):
        x = golden.images("bench", (count, 32, 32, 3))
        np.savez(folder / f"{count}.npz", arr_0=x)
        sets[count] = torch.from_numpy(x).permute(0, 3, 1, 2).float() / 255

    def ours(count):
        out = folder / "out.npz"
        command = [ddpm, "fid", str(folder / f"{count}.npz"), "--features", str(weights)]
        command += ["--allow-few", "--quiet", "--save-statistics", str(out)]
        return clock(lambda: subprocess.run(command, check=True, capture_output=True))[0]

    def theirs(count):
        with torch.no_grad():
            return clock(lambda: [net(x) for x in sets[count].split(16)])[0]

    times = {"ours": [], "pytorch-fid": []}
    for _ in range(rounds):
        for name, run in (("ours", ours), ("pytorch-fid", theirs)):
            many, few = run(4 + images), run(4)
            times[name].append([(a - b) / images for a, b in zip(many, few)])
    print("Features of Inception, per image")
    show(times["ours"], times["pytorch-fid"], 1e3, "ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", default="target/release/ddpm")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--skip-features", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        distance(args.ddpm, args.rounds, Path(folder))
        if not args.skip_features:
            extraction(args.ddpm, args.rounds, args.images, Path(folder))
