"""Peer of benches/dp.rs: Algorithm 1 of Watson et al. 2021 in NumPy.

    python dp_numpy.py [T, 1000 or 4000] [budgets to time, default 5]

Every budget adds the costs of the budget before to the whole (T+1) x (T+1) table and takes the minimum and its argument
over each row. Prints "NAME SECONDS" after checking the costs of the first 16 budgets against those of benches/dp.rs:
the median time of one budget, and that time T, which is an extrapolation: all budgets are not run.
"""

import statistics
import sys
import time

import numpy as np

FIRST_16 = {1000: 0xD1B570DB87527A64, 4000: 0xAC9C01F9CC9D54CB}  # the same constants stand in benches/dp.rs


def table(T: int) -> np.ndarray:
    """The table of benches/dp.rs, by the same operations in the same order; +inf where there is no edge."""
    alpha_bar = 1.0
    snr, mse = np.zeros(T + 1), np.zeros(T + 1)
    for i in range(T):
        beta = (1.0 + 199.0 * i / (T - 1.0)) / (10.0 * T)
        alpha_bar *= 1.0 - beta
        snr[i + 1] = alpha_bar / (1.0 - alpha_bar)
        x = (i + 1) / T
        mse[i + 1] = 0.3 * (x / (x + 0.4))
    L = 0.5 * (snr[None, :] - snr[:, None]) * mse[:, None]
    L[:, 0] = 2.0 + np.arange(T + 1) / T / 0.25
    L[np.triu_indices(T + 1)] = np.inf
    return L


def step(before: np.ndarray, L: np.ndarray):
    """One budget of Algorithm 1: its costs and its argmins."""
    bpds = before[None] + L
    return np.amin(bpds, -1), np.argmin(bpds, -1)


def main() -> None:
    T = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    budgets = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    if T not in FIRST_16:
        sys.exit("T: expected 1000 or 4000")
    L = table(T)
    start = np.full(T + 1, np.inf)
    start[0] = 0.0

    checksum, costs = 0xCBF29CE484222325, start
    for _ in range(16):
        costs, _ = step(costs, L)
        checksum = (checksum ^ int(costs[T].view(np.uint64))) * 0x100000001B3 % 2**64
    if checksum != FIRST_16[T]:
        sys.exit(f"costs differ from those of benches/dp.rs: checksum {checksum:#x}, expected {FIRST_16[T]:#x}")

    times, costs = [], start
    for _ in range(budgets):
        begin = time.perf_counter()
        costs, _ = step(costs, L)
        times.append(time.perf_counter() - begin)
    per_budget = statistics.median(times)
    print(f"numpy_per_budget {per_budget:.6f}")
    print(f"numpy_extrapolated {per_budget * T:.6f}")


if __name__ == "__main__":
    main()
