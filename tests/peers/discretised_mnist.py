"""The kernels of recorded_mnist.py under one discretised decoder for all of them, in NumPy: of ddpm only the hook's bands are used.

Recorded data has no columns of a discretised decoder, so `ddpm table` scores that network with decoder `gaussian`, under which the kernels
end differently. Here every path ends with the discretised Gaussian around the raw estimate whose variance is the best on the train digits;
estimates are clipped to the range of the digits. The dynamic programme runs over the measured timesteps. Train digits choose, test digits score,
differences are paired over blocks of test digits. docs/likelihood.md tells the result.

Needs torch and numpy. DATA holds train.npz and test.npz with arr_0, uint8 [N, 28, 28, 1].

Usage: discretised_mnist.py --weights ddpm_mnist.pth --data DATA [--choose 192] [--score 96]
"""

import numpy as np

from recorded_mnist import BLOCKS, arguments_of, estimates, load, timesteps

from ddpm_hook import Bands  # recorded_mnist names its folder

STEPS = [2, 3, 4, 5, 8, 10, 16, 32]
BANDS = Bands((1, 28, 28))
WEIGHT = BANDS.sizes / BANDS.sizes.sum()
# log sigma^2 of the decoder, of data in [-1, 1].
DECODER = np.linspace(-14, 2, 65)


class Digits:
    """Means of the digits of a split, per timestep and block."""

    def __init__(self, network, alpha_bar, data, split, count, seed):
        times = timesteps(alpha_bar)
        self.products = np.zeros((len(times), BLOCKS, len(WEIGHT), 6))
        self.constants = np.zeros((len(times), BLOCKS, 3))
        self.decoder = np.zeros((len(times), BLOCKS, len(DECODER)))
        self.square = np.zeros(BLOCKS)
        for t, block, x0, x0_hat, x in estimates(network, alpha_bar, data, split, count, seed):
            x0, x0_hat, x = (a.double().numpy() for a in (x0, x0_hat.clamp(-0.5, 0.5), x))
            noise = (x - alpha_bar[t] ** 0.5 * x0_hat) / (1 - alpha_bar[t]) ** 0.5
            products, constants = BANDS.moments(x0, x0_hat, noise)
            i = times.index(t)
            self.products[i, block], self.constants[i, block] = products.mean(0), constants.mean(0)[0]
            self.decoder[i, block] = [negative_log_mass(2 * x0, 2 * x0_hat, log_variance) for log_variance in DECODER]
            self.square[block] = (x0**2).mean()

    def normal(self, block=None):
        """Per timestep and band: the matrix of the mean products of h, n and 1, and their products with e; of one block or of all."""
        pick = (lambda a: a.mean(1)) if block is None else (lambda a: a[:, block])
        ee, eh, en, hh, hn, nn = np.moveaxis(pick(self.products), -1, 0)
        e, h, n = (np.where(np.arange(len(WEIGHT)) == 0, value[:, None], 0) for value in pick(self.constants).T)
        one = np.ones_like(ee)
        matrix = np.stack([np.stack(row, -1) for row in ([hh, hn, h], [hn, nn, n], [h, n, one])], -2)
        return ee, np.stack([eh, en, e], -1), matrix

    def left(self, fits, block=None):
        """The mean square of the errors that a correction leaves, per timestep and band."""
        ee, right, matrix = self.normal(block)
        return ee - 2 * (fits * right).sum(-1) + np.einsum("tbi,tbij,tbj->tb", fits, matrix, fits)


def negative_log_mass(x0, x0_hat, log_variance):
    """Nats a pixel of the discretised Gaussian, with the distribution function that improved-diffusion uses."""
    u = [(x0 - x0_hat + half) / np.exp(log_variance / 2) for half in (1 / 255, -1 / 255)]
    up, low = (0.5 * (1 + np.tanh((2 / np.pi) ** 0.5 * (v + 0.044715 * v**3))) for v in u)
    mass = np.where(x0 < -0.999, up, np.where(x0 > 0.999, 1 - low, up - low))
    return -np.log(np.maximum(mass, 1e-12)).mean()


def least_squares(digits):
    """a, b and the offset of every timestep and band; the offset of the constant alone."""
    _, right, matrix = digits.normal()
    return np.linalg.solve(matrix + 1e-6 * matrix * np.eye(3), right[..., None])[..., 0]


def edge(gain, powers, left, spectral):
    """The cost of a step whose SNR grows by `gain`, in nats a dimension: powers make the kernel, the errors left are scored."""
    if not spectral:
        powers, left = np.full_like(powers, WEIGHT @ powers), np.full_like(left, WEIGHT @ left)
    variance = 1 + gain * powers
    return 0.5 * WEIGHT @ (np.log(variance) - 1 + (1 + gain * left) / variance)


def optimal_paths(powers, decoder, snr):
    """By variance and K: the path of least cost on the digits that chose it, from the noisiest timestep down."""
    last = len(snr) - 1
    paths = {}
    for spectral in (False, True):
        table = np.full((len(snr), len(snr)), np.inf)
        for t in range(1, len(snr)):
            table[t, :t] = [edge(snr[s] - snr[t], powers[t], powers[t], spectral) for s in range(t)]
        best, back = decoder.copy(), []
        for steps in range(2, max(STEPS) + 1):
            through = best + table
            back.append(through.argmin(1))
            best = through.min(1)
            if steps not in STEPS:
                continue
            path = [last]
            for towards in reversed(back):
                path.append(towards[path[-1]])
            paths[spectral, steps] = path
    return paths


def main():
    arguments = arguments_of(["weights", "data"])
    network, alpha_bar = load(arguments.weights)
    train = Digits(network, alpha_bar, arguments.data, "train", arguments.choose, 1)
    test = Digits(network, alpha_bar, arguments.data, "test", arguments.score, 2)
    alpha_bar = alpha_bar[timesteps(alpha_bar)]
    snr = alpha_bar / (1 - alpha_bar)
    knots = train.decoder.mean(1)
    totals = {}
    corrections = least_squares(train)
    for name, fits in (("", 0 * corrections), (" + mean", corrections)):
        powers = train.left(fits)
        left = [test.left(fits, block) for block in range(BLOCKS)]
        for (spectral, steps), path in optimal_paths(powers, knots.min(1), snr).items():
            top, first = alpha_bar[path[0]], path[-1]
            total = 0.5 * (top * test.square + (1 - top) - 1 - np.log(1 - top)) + test.decoder[first, :, knots[first].argmin()]
            for t, s in zip(path, path[1:]):
                total = total + [edge(snr[s] - snr[t], powers[t], scored[t], spectral) for scored in left]
            totals[("spectral" if spectral else "analytic") + name, steps] = total / np.log(2)
    print(f"{'bits/dim':20}", *(f"K={steps:<13}" for steps in STEPS))
    ours = "spectral + mean"
    for name in ("analytic", "analytic + mean", "spectral", ours):
        print(f"{name:20}", *(told(totals[name, steps]) for steps in STEPS))
    for rival in ("analytic", "analytic + mean", "spectral"):
        print(f"less {rival:15}", *(told(totals[ours, steps] - totals[rival, steps]) for steps in STEPS))


def told(values):
    return f"{values.mean():7.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


if __name__ == "__main__":
    main()
