"""Sums up the squared errors of any diffusion network for ddpm: copy this file into your project.

    hook = SquaredErrors(scheduler.alphas_cumprod, blocks=32, clip_denoised=True)
    hook.add(block, timesteps, x0, x0_hat, x_t)      # in your loop: any batch, any timesteps
    hook.save("errors.npz")

    ddpm schedule --mse errors.npz --variance spectral --steps 10 --export diffusers

Timesteps count from 0, as diffusers counts. Give every image to one block and every block the same timesteps: error bars
come from the differences between blocks. x0_hat is the network's prediction of the clean image (or latent) x0 from
x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise; for a network that predicts the noise,
x0_hat = (x_t - sqrt(1 - alpha_bar) prediction) / sqrt(alpha_bar), clipped to [-1, 1] if your sampler clips it.

With x_t it sums up second moments per band of frequencies too, which calibrated kernels are fitted on (--variance spectral,
--mean calibrated: at least 30 images). Leave x_t out in every call, and the file has squared errors alone.
"""

import numpy as np


class Bands:
    """An orthonormal transform of images, a DCT of every channel of a basis of colours, and the band of every coefficient."""

    def __init__(self, shape):
        channels, *sides = shape
        colours = np.eye(channels)
        if channels == 3:
            colours = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]]) / np.sqrt([[3], [2], [6]])
        self.bases = [colours, *map(self.cosines, sides)]
        axes = np.meshgrid(*[np.arange(side) * (max(sides) / side) for side in sides], indexing="ij")
        edges = np.concatenate([[0], np.geomspace(0.9, np.sqrt(len(sides)) * max(sides), 24)])
        ring = np.searchsorted(edges, np.sqrt(sum(axis**2 for axis in axes)), side="right")
        ring = np.unique(ring, return_inverse=True)[1].reshape(sides)
        self.band_of = np.arange(channels).reshape(-1, *[1] * len(sides)) * (ring.max() + 1) + ring
        self.pool = np.eye(self.band_of.max() + 1)[self.band_of.ravel()]
        self.constants = self.band_of.reshape(channels, -1)[:, 0]

    @staticmethod
    def cosines(n):
        basis = np.sqrt(2 / n) * np.cos(np.pi / n * np.arange(n)[:, None] * (np.arange(n) + 0.5))
        basis[0] = np.sqrt(1 / n)
        return basis

    def transform(self, x):
        for axis, basis in enumerate(self.bases, start=1):
            x = np.moveaxis(np.tensordot(x, basis, axes=(axis, 1)), -1, axis)
        return x.reshape(len(x), -1)

    def moments(self, error, estimate, noise):
        """Of every image: means of products over every band, and the constants."""
        e, h, n = (self.transform(x) for x in (error, estimate, noise))
        products = np.stack([y @ self.pool for y in (e * e, e * h, e * n, h * h, h * n, n * n)], axis=2)
        constants = np.stack([y @ self.pool[:, self.constants] for y in (e, h, n)], axis=2)
        return products / self.pool.sum(0)[:, None], constants


class SquaredErrors:
    def __init__(self, alphas_cumprod, blocks=32, clip_denoised=False):
        self.alpha_bar = np.array(alphas_cumprod, dtype=np.float64)
        self.clip_denoised = clip_denoised
        self.sums = np.zeros((blocks, len(self.alpha_bar)))
        self.counts = np.zeros((blocks, len(self.alpha_bar)), dtype=np.int64)
        self.squares = np.zeros(blocks)
        self.shape, self.bands, self.by_band = None, None, {}

    def add(self, block, timesteps, x0, x0_hat, x_t=None):
        x0, x0_hat = (x.detach().cpu().double().numpy() for x in (x0, x0_hat))
        timesteps = timesteps.cpu() if hasattr(timesteps, "cpu") else timesteps
        timesteps = np.broadcast_to(np.asarray(timesteps), len(x0))
        self.shape = x0.shape[1:]
        errors = ((x0 - x0_hat) ** 2).reshape(len(x0), -1).mean(1)
        if not np.isfinite(errors).all():
            raise ValueError(f"x0_hat is not finite at {timesteps} (leave out a timestep with alpha_bar = 0 if you predict the noise)")
        for t, error, image in zip(timesteps, errors, x0):
            self.sums[block, t] += error
            self.counts[block, t] += 1
            self.squares[block] += (image**2).mean()
        if x_t is not None:
            self.bands = self.bands or Bands(self.shape)
            alpha_bar = self.alpha_bar[timesteps].reshape(-1, *[1] * len(self.shape))
            noise = (x_t.detach().cpu().double().numpy() - np.sqrt(alpha_bar) * x0_hat) / np.sqrt(1 - alpha_bar)
            for t, *moments in zip(timesteps, *self.bands.moments(x0 - x0_hat, x0_hat, noise)):
                images, *sums = self.by_band.get((block, t), (0, 0.0, 0.0))
                self.by_band[block, t] = (images + 1, *(a + b for a, b in zip(sums, moments)))

    def save(self, path):
        seen = self.counts.any(0)  # the timesteps that were measured
        arrays = {}
        if self.bands:
            measured = [(b, t) for b, t in np.argwhere(self.counts)]
            if any(self.by_band.get(at, (0,))[0] != self.counts[at] for at in measured):
                raise ValueError("x_t was given in some calls of add and not in others: give it in all, or in none")
            of = [[self.by_band[b, t] for t in np.flatnonzero(seen)] for b in range(len(self.sums))]
            arrays = {"band_of": self.bands.band_of}
            for i, name in enumerate(["band_products", "band_means"], start=1):
                arrays[name] = np.array([[point[i] for point in row] for row in of])
        np.savez(
            path, t=np.flatnonzero(seen) + 1, sum_squared_error=self.sums[:, seen], count=self.counts[:, seen],
            x0_mean_square=self.squares / self.counts.sum(1), image_shape=np.array(self.shape),
            clip_denoised=np.array(self.clip_denoised), alpha_bar=self.alpha_bar, **arrays,
        )
