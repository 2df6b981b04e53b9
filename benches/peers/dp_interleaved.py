"""Measures benches/dp.rs and its peers in turn, so that all of them meet the same machine, and prints medians.

    python dp_interleaved.py [rounds, default 5] [T, default 4000]

Run it by a Python that has NumPy. Needs cargo and gcc; the C program is built into target/peers/.
"""

import pathlib
import statistics
import subprocess
import sys

PEERS = pathlib.Path(__file__).resolve().parent
ROOT = PEERS.parents[1]
BASELINE = "ours_general"


def seconds(command: list[str]) -> list[tuple[str, float]]:
    """Runs a program that prints "NAME SECONDS" lines."""
    output = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [(name, float(value)) for name, value in map(str.split, output.splitlines())]


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    T = sys.argv[2] if len(sys.argv) > 2 else "4000"
    program = ROOT / "target" / "peers" / "dp_triangular"
    program.parent.mkdir(parents=True, exist_ok=True)
    source = str(PEERS / "dp_triangular.c")
    subprocess.run(["gcc", "-O3", "-march=native", source, "-o", str(program)], check=True)
    commands = [
        ["cargo", "bench", "--quiet", "--package", "ddpm-benches", "--bench", "dp", "--", "--once", T],
        [str(program), T],
        [sys.executable, str(PEERS / "dp_numpy.py"), T],
    ]
    times: dict[str, list[float]] = {}
    for _ in range(rounds):
        for command in commands:
            for name, value in seconds(command):
                times.setdefault(name, []).append(value)

    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"T = {T}, all budgets, {rounds} interleaved rounds\n")
    print(f"| program | median s | min..max s | / {BASELINE} |\n|---|---|---|---|")
    for name, values in times.items():
        ratio = medians[name] / medians[BASELINE]
        print(f"| {name} | {medians[name]:.4g} | {min(values):.4g}..{max(values):.4g} | {ratio:.3g} |")


if __name__ == "__main__":
    main()
