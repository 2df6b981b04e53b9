"""Sums up the squared errors of any diffusion network for ddpm: copy this file into your project.

    hook = SquaredErrors(scheduler.alphas_cumprod, blocks=32, clip_denoised=True)
    hook.add(block, timesteps, x0, x0_hat)      # in your loop: any batch, any timesteps
    hook.save("errors.npz")

    ddpm schedule --mse errors.npz --variance analytic --steps 10 --export diffusers

Timesteps count from 0, as diffusers counts. Give every image to one block and every block the same timesteps: error bars
come from the differences between blocks. x0_hat is the network's prediction of the clean image (or latent) x0 from
x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise; for a network that predicts the noise,
x0_hat = (x_t - sqrt(1 - alpha_bar) prediction) / sqrt(alpha_bar), clipped to [-1, 1] if your sampler clips it.
"""

import numpy as np


class SquaredErrors:
    def __init__(self, alphas_cumprod, blocks=32, clip_denoised=False):
        self.alpha_bar = np.array(alphas_cumprod, dtype=np.float64)
        self.clip_denoised = clip_denoised
        self.sums = np.zeros((blocks, len(self.alpha_bar)))
        self.counts = np.zeros((blocks, len(self.alpha_bar)), dtype=np.int64)
        self.squares = np.zeros(blocks)
        self.shape = None

    def add(self, block, timesteps, x0, x0_hat):
        x0, x0_hat = (x.detach().cpu().double().numpy() for x in (x0, x0_hat))
        timesteps = timesteps.cpu() if hasattr(timesteps, "cpu") else timesteps
        self.shape = x0.shape[1:]
        errors = ((x0 - x0_hat) ** 2).reshape(len(x0), -1).mean(1)
        if not np.isfinite(errors).all():
            raise ValueError(f"x0_hat is not finite at {timesteps} (leave out a timestep with alpha_bar = 0 if you predict the noise)")
        for t, error, image in zip(np.broadcast_to(np.asarray(timesteps), len(x0)), errors, x0):
            self.sums[block, t] += error
            self.counts[block, t] += 1
            self.squares[block] += (image**2).mean()

    def save(self, path):
        seen = self.counts.any(0)  # the timesteps that were measured
        np.savez(
            path, t=np.flatnonzero(seen) + 1, sum_squared_error=self.sums[:, seen], count=self.counts[:, seen],
            x0_mean_square=self.squares / self.counts.sum(1), image_shape=np.array(self.shape),
            clip_denoised=np.array(self.clip_denoised), alpha_bar=self.alpha_bar,
        )
