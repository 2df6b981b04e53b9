"""Sums up the squared errors of any diffusion network for ddpm: copy this file into your project.

    hook = SquaredErrors(scheduler.alphas_cumprod, blocks=32, clip_denoised=True)
    hook.add(block, timesteps, x0, x0_hat, x_t)      # in your loop: any batch, any timesteps
    hook.save("errors.npz")

    ddpm schedule --mse errors.npz --variance spectral --steps 10 --out schedule_10.json

Timesteps count from 0, as diffusers counts. Give every image to one block and every block the same timesteps: error bars
come from the differences between blocks, and blocks that lack timesteps are pooled. Several files of other images go together:
`ddpm profile --import monday.npz tuesday.npz --out p`. x0_hat is the network's prediction of the clean image (or latent) x0 from
x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise; for a network that predicts the noise,
x0_hat = (x_t - sqrt(1 - alpha_bar) prediction) / sqrt(alpha_bar), clipped to [-1, 1] if your sampler clips it.

Tensors of torch or arrays of NumPy, a batch first and then the channels: images (N, C, H, W), signals (N, C, L), vectors (N, D),
numbers (N,). Errors alone know nothing of 8-bit pixels: schedules of them are for a continuous density, which on digits is another
optimum. The Python package (python/README.md) measures the decoder of 8-bit images too.
Beside the errors the sums hold, per band of frequencies, what the spectral variance and the calibrated mean are made of;
bands=False leaves that out and needs no x_t.
"""

import numpy as np


class Bands:
    """A DCT-II along every axis but the channels, times a basis of the channels, and rings of frequencies for each of these."""

    def __init__(self, shape):
        self.shape = (1, *shape) if len(shape) == 1 else tuple(shape)
        channels, *axes = self.shape
        if max(self.shape) > 4096 or np.prod(self.shape) > 2**24:
            raise ValueError(f"bands are of at most 4096 numbers along an axis and 2^24 in all, found {shape} (bands=False leaves them out)")
        longest, three = max(axes), np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
        self.channels = three if channels == 3 else np.eye(channels)
        self.edges = np.concatenate([[0.0], np.geomspace(0.9, np.sqrt(len(axes)) * longest, 24)])
        self.matrices = [self.channels]
        for n in axes:
            cosines = np.cos(np.pi * np.arange(n)[:, None] * (np.arange(n) + 0.5) / n) * np.sqrt(2 / n)
            cosines[0] = np.sqrt(1 / n)
            self.matrices.append(cosines)
        frequencies = np.meshgrid(*(np.arange(n) * longest / n for n in axes), indexing="ij")
        radius = np.sqrt(sum(f**2 for f in frequencies)).ravel()
        ring = np.unique(np.searchsorted(self.edges, radius, side="right"), return_inverse=True)[1].reshape(-1)
        band = (np.arange(channels)[:, None] * (ring.max() + 1) + ring).ravel()
        self.order, self.sizes = np.argsort(band, kind="stable"), np.bincount(band)  # coefficients by band, and how many
        first = np.arange(channels) * len(radius)  # the constant of every channel, where no other coefficient shares its band
        self.constants = first[self.sizes[band[first]] == 1]

    def transform(self, x):
        x = x.reshape(len(x), *self.shape)
        for axis, matrix in enumerate(self.matrices, start=1):
            x = np.moveaxis(np.tensordot(x, matrix, (axis, 1)), -1, axis)
        return x.reshape(len(x), -1)

    def moments(self, x0, x0_hat, noise_hat):
        """Of every image: per band the mean products of the transforms (e, h, n), and their values at the constants."""
        e, h, n = (self.transform(x) for x in (x0 - x0_hat, x0_hat, noise_hat))
        products = np.stack([e * e, e * h, e * n, h * h, h * n, n * n], axis=-1)[:, self.order]
        sums = np.add.reduceat(products, np.cumsum(self.sizes) - self.sizes, axis=1)
        return sums / self.sizes[:, None], np.stack([e, h, n], axis=-1)[:, self.constants]


class SquaredErrors:
    def __init__(self, alphas_cumprod, blocks=32, clip_denoised=False, bands=True):
        self.alpha_bar = np.array(alphas_cumprod, dtype=np.float64)
        self.clip_denoised = clip_denoised
        self.with_bands = bands
        self.sums = np.zeros((blocks, len(self.alpha_bar)))
        self.counts = np.zeros((blocks, len(self.alpha_bar)), dtype=np.int64)
        self.squares = np.zeros(blocks)
        self.shape = self.bands = None
        self.exact, self.eight_bit, self.saturated, self.seen = True, True, 0, 0  # half precision cannot tell levels
        self.products, self.means = {}, {}  # by timestep, of every block

    def add(self, block, timesteps, x0, x0_hat, x_t=None):
        if self.with_bands and x_t is None:
            raise ValueError("expected x_t, which the bands of frequencies need (SquaredErrors(.., bands=False) leaves them out)")
        self.exact &= bytes_of(x0) >= 4
        x0, x0_hat = columns(x0), columns(x0_hat)
        timesteps = timesteps.cpu() if hasattr(timesteps, "cpu") else timesteps
        timesteps = np.broadcast_to(np.asarray(timesteps), len(x0))
        self.shape = x0.shape[1:]
        levels = (x0 + 1) * 127.5
        self.eight_bit &= bool(np.all((abs(levels - np.round(levels)) < 1e-3) & (abs(x0) <= 1 + 1e-6)))
        self.saturated, self.seen = self.saturated + (abs(x0) > 1 - 1e-6).sum(), self.seen + x0.size
        errors = ((x0 - x0_hat) ** 2).reshape(len(x0), -1).mean(1)
        if not np.isfinite(errors).all():
            raise ValueError(f"x0_hat is not finite at {timesteps} (leave out a timestep with alpha_bar = 0 if you predict the noise)")
        for t, error, image in zip(timesteps, errors, x0):
            self.sums[block, t] += error
            self.counts[block, t] += 1
            self.squares[block] += (image**2).mean()
        if self.with_bands:
            self.bands = self.bands or Bands(self.shape)
            alpha_bar = self.alpha_bar[timesteps].reshape(-1, *[1] * len(self.shape))
            noise_hat = (columns(x_t) - np.sqrt(alpha_bar) * x0_hat) / np.sqrt(1 - alpha_bar)
            for t, *found in zip(timesteps, *self.bands.moments(x0, x0_hat, noise_hat)):
                for sums, values in zip((self.products, self.means), found):
                    sums.setdefault(t, np.zeros((len(self.sums), *values.shape)))[block] += values

    def save(self, path):
        seen = self.counts.any(0)  # the timesteps that were measured
        arrays = {}
        if self.with_bands:
            of_bands = {"band_products": self.products, "band_means": self.means}
            arrays = {name: np.stack([sums[t] for t in np.flatnonzero(seen)], 1) for name, sums in of_bands.items()}
            arrays.update(band_edges=self.bands.edges, band_channels=self.bands.channels)
        if self.exact:
            arrays.update(eight_bit=np.array(self.eight_bit), saturated=np.array(self.saturated / max(self.seen, 1)))
        np.savez(
            path, t=np.flatnonzero(seen) + 1, sum_squared_error=self.sums[:, seen], count=self.counts[:, seen],
            x0_mean_square=self.squares / np.maximum(self.counts.sum(1), 1), image_shape=np.array(self.shape),
            clip_denoised=np.array(self.clip_denoised), alpha_bar=self.alpha_bar, **arrays,
        )


def bytes_of(x):
    """Of one number."""
    return x.element_size() if hasattr(x, "element_size") else np.asarray(x).dtype.itemsize


def columns(x):
    """The numbers of a batch, those of scalars (N,) as vectors of one."""
    x = numbers(x)
    return x[:, None] if x.ndim == 1 else x


def numbers(x):
    """A tensor or an array in double precision: a correction is a small difference of large products."""
    return x.detach().cpu().double().numpy() if hasattr(x, "detach") else np.asarray(x, dtype=np.float64)
