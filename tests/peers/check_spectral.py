#!/usr/bin/env python3
"""Recomputes the terms of calibrated kernels in NumPy, from raw outputs of the network, and compares them with `ddpm bpd`.

    check_spectral.py --ddpm target/release/ddpm --repo . [--work /tmp/check-spectral] [--budgets 3,8]

Needs numpy and safetensors (requirements.txt). Chooses schedules on the shipped profile of train images under every calibrated
variance, moves that profile's copy away, has `ddpm bpd` score four images with given noise, and computes every term again from
`ddpm predict` and the schedules file alone. It shares no code with the library: the transform, the correction, the kernels and the
decoder are written from the formulas of docs/likelihood.md and Watson et al. 2021. Ends with 1 if a term is off by more than
1e-5 bits/dim.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys

import numpy as np
from safetensors.numpy import load_file, save_file

TOLERANCE = 1e-5
IMAGES = 4
KERNELS = [
    ("spectral", []),
    ("spectral", ["--mean", "network"]),
    ("analytic", ["--mean", "calibrated"]),
    ("learned-calibrated", []),
    ("best", []),
]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ddpm", required=True)
    parser.add_argument("--repo", default=".")
    parser.add_argument("--work", default="/tmp/check-spectral")
    parser.add_argument("--budgets", default="3,8")
    return parser.parse_args()


class Basis:
    """The coefficients of an image, and the band of each."""

    def __init__(self, stored):
        self.shape = stored["shape"]
        channels, *axes = self.shape
        self.channels = np.array(stored["channel_basis"]).reshape(channels, channels)
        self.axes = [self.cosines(n) for n in axes]
        longest = max(axes)
        grids = np.meshgrid(*[np.arange(n) * longest / n for n in axes], indexing="ij")
        radius = np.sqrt(sum(g * g for g in grids))
        ring = np.searchsorted(stored["edges"], radius, side="right") - 1
        assert stored["separate_channels"]
        offset = np.arange(channels).reshape(-1, *[1] * len(axes)) * len(stored["edges"])
        _, band = np.unique(ring[None] + offset, return_inverse=True)
        self.band = band.reshape(self.shape)
        self.constants = [self.band[(c,) + (0,) * len(axes)] for c in range(channels)]

    @staticmethod
    def cosines(n):
        k, x = np.arange(n)[:, None], np.arange(n)[None]
        rows = np.cos(np.pi * k * (2 * x + 1) / (2 * n)) * np.sqrt(2 / n)
        rows[0] = 1 / np.sqrt(n)
        return rows

    def forward(self, x):
        y = np.einsum("ab,b...->a...", self.channels, x)
        for axis, matrix in enumerate(self.axes, 1):
            y = np.moveaxis(np.tensordot(matrix, y, (1, axis)), 0, axis)
        return y

    def inverse(self, y):
        x = np.einsum("ba,b...->a...", self.channels, y)
        for axis, matrix in enumerate(self.axes, 1):
            x = np.moveaxis(np.tensordot(matrix.T, x, (1, axis)), 0, axis)
        return x


def discretised(x0, mean, log_variance):
    """-log P of 8-bit pixels as improved-diffusion has it, the mean over pixels."""
    inverse = np.exp(-0.5 * log_variance)
    cdf = lambda x: 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    above = cdf(inverse * (x0 - mean + 1 / 255))
    below = cdf(inverse * (x0 - mean - 1 / 255))
    log = lambda p: np.log(np.maximum(p, 1e-12))
    logs = np.where(x0 < -0.999, log(above), np.where(x0 > 0.999, log(1 - below), log(above - below)))
    return -logs.mean()


def main():
    args = arguments()
    os.makedirs(args.work, exist_ok=True)
    at = lambda name: os.path.join(args.work, name)
    ddpm = lambda *words: subprocess.run([args.ddpm, "--quiet", *words], check=True, capture_output=True, text=True).stdout
    data = os.path.join(args.repo, "datasets")
    checkpoint = os.path.join(data, "cifar10-small.safetensors")
    profile = at("train.profile.safetensors")
    shutil.copy(os.path.join(data, "cifar10-small.train.profile.safetensors"), profile)
    log_alpha_bar = load_file(profile)["log_alpha_bar"]
    steps = len(log_alpha_bar) - 1

    random = np.random.default_rng(0)
    smooth = random.normal(size=(IMAGES, 3, 4, 4)).repeat(8, 2).repeat(8, 3) + 0.2 * random.normal(size=(IMAGES, 3, 32, 32))
    x_start = (np.clip(np.round((0.4 * smooth + 1) * 127.5), 0, 255) / 127.5 - 1).astype(np.float32)
    noise = random.normal(size=x_start.shape).astype(np.float32)
    save_file({"x_start": x_start}, at("x.safetensors"))
    save_file({"noise": noise}, at("n.safetensors"))

    files = []
    for number, (variance, mean) in enumerate(KERNELS):
        out = at(f"{number}.json")
        ddpm("schedule", profile, "--variance", variance, *mean, "--steps", args.budgets, "--folds", "0", "--out", out)
        files.append((" ".join([variance, *mean]), out))
    os.remove(profile)

    x0, z = x_start.astype(float), noise.astype(float)
    alpha_bar, beta_bar = np.exp(log_alpha_bar), -np.expm1(log_alpha_bar)
    seen = {}

    def network(t):
        """x_t, the clipped estimates and v of all images at t."""
        if t not in seen:
            x_t = np.sqrt(alpha_bar[t]) * x0 + np.sqrt(beta_bar[t]) * z
            fed = {"x": x_t.astype(np.float32), "timesteps": np.full(IMAGES, (t - 1) * 1000 / steps, np.float32)}
            save_file(fed, at("in.safetensors"))
            ddpm("predict", checkpoint, "--input", at("in.safetensors"), "--output", at("out.safetensors"))
            output = load_file(at("out.safetensors"))["output"].astype(float)
            estimate = (x_t - np.sqrt(beta_bar[t]) * output[:, :3]) / np.sqrt(alpha_bar[t])
            seen[t] = x_t, np.clip(estimate, -1, 1), 0.5 * (output[:, 3:] + 1)
        return seen[t]

    worst = 0.0
    for name, file in files:
        document = json.load(open(file))
        basis = Basis(document["bands"]) if "bands" in document else None
        record = {entry["t"]: entry for entry in document.get("by_timestep", [])}
        for budget in document["budgets"]:
            path, off = budget["path"], 0.0
            scored = json.loads(ddpm(
                "bpd", checkpoint, "--images", at("x.safetensors"), "--noise", at("n.safetensors"),
                "--schedule", file, "--steps", str(budget["steps"]), "--json",
            ))
            found = {term["t"]: term["bpd"] for term in scored["terms"]}
            for k, (s, t) in enumerate(zip(path, path[1:])):
                x_t, estimates, v = network(t)
                kind, number, own = budget["kernels"][k], budget["log_variance"][k], record.get(t, {})
                for i in range(IMAGES):
                    mean = estimates[i]
                    if s > 0 and "a" in own:
                        shown = (x_t[i] - np.sqrt(alpha_bar[t]) * mean) / np.sqrt(beta_bar[t])
                        offset = np.zeros(len(own["a"]))
                        offset[basis.constants] = own["m"]
                        band = basis.band
                        shift = np.array(own["a"])[band] * basis.forward(mean) + np.array(own["b"])[band] * basis.forward(shown)
                        mean = mean + basis.inverse(shift + offset[band])
                    residual = x0[i] - mean
                    if s == 0:
                        low = np.full_like(residual, number)
                        log_variance = v[i] * np.log(beta_bar[t]) + (1 - v[i]) * low if kind == "learned-from" else low
                        nats = discretised(x0[i], mean, log_variance)
                    else:
                        gain = alpha_bar[s] / beta_bar[s] - alpha_bar[t] / beta_bar[t]
                        if kind == "bands":
                            square = basis.forward(residual) ** 2
                            ratio = 1 + gain * np.array(own["powers"])[basis.band]
                        else:
                            square = residual**2
                            beta = -np.expm1(log_alpha_bar[t] - log_alpha_bar[s])
                            posterior = beta * beta_bar[s] / beta_bar[t]
                            spread = np.log(beta_bar[t] / beta_bar[s])
                            log_ratio = v[i] * spread + number if kind == "learned-scaled" else number - np.log(posterior)
                            ratio = np.exp(log_ratio + np.zeros_like(residual))
                        nats = 0.5 * np.mean(np.log(ratio) - 1 + (1 + gain * square) / ratio)
                    off = max(off, abs(nats / np.log(2) - found[t][i]))
            end = path[-1]
            prior = 0.5 * (alpha_bar[end] * (x0**2).mean((1, 2, 3)) + beta_bar[end] - 1 - np.log(beta_bar[end]))
            off = max(off, float(np.abs(prior / np.log(2) - scored["prior_bpd"]).max()))
            print(f"{name:28} K={budget['steps']:<3} largest difference {off:.1e} bits/dim", flush=True)
            worst = max(worst, off)
    if worst > TOLERANCE:
        sys.exit(f"terms differ by up to {worst:.1e} bits/dim, expected at most {TOLERANCE:.0e}")


if __name__ == "__main__":
    main()
