"""Recomputes in NumPy what `ddpm bpd` says of schedules whose kernels are calibrated.

Measures a small profile on the stand-in images, chooses schedules of every measured variance on it, moves the profile away and
evaluates them with `ddpm bpd` on four images and one noise. Then it computes every term once more, from the kernels in the
schedules file and the raw outputs of `ddpm predict` on the same noisy images. Nothing but these two comes from the program:

- alpha_bar is the cosine schedule's, unless the file lists another;
- the bands are built from the file's edges, which are compared with those of the method;
- an interior term is the divergence of two Gaussians whose means are formed in pixels and whose variances are diagonal in
  pixels or in frequencies; the term of the data is improved-diffusion's discretised Gaussian, or a continuous density;
- clipped is what the network estimates of the image, not its correction; a discretised density stands around the raw estimate.

Terms have to agree within 1e-5 bits/dim for every image. Takes some minutes, most of them for the profile.

Needs Python with numpy and safetensors.

Usage: check_spectral.py --ddpm PATH --repo FOLDER [--work FOLDER] [--budgets 3,8]
"""

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

CASES = [
    "--variance spectral",
    "--variance spectral --mean network",
    "--variance analytic --mean calibrated",
    "--variance learned-calibrated",
    "--variance best",
    "--variance spectral --decoder gaussian",
]
IMAGES = 4
SEED = 20
TOLERANCE = 1e-5
# The network of the repository is fed (t - 1) 1000 / T.
FED_UP_TO = 1000


def run(ddpm, *words):
    done = subprocess.run(["nice", "-n", "10", str(ddpm), *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{words}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


class Chain:
    """The constants of the forward process. Indices are timesteps, 0 is the data."""

    def __init__(self, document):
        steps = document["T"]
        stored = document.get("log_alpha_bar")
        if stored is not None:
            logs = np.array([-np.inf if log is None else log for log in stored])
        elif document["noise_schedule"] == "cosine":
            square = np.cos((np.arange(steps + 1) / steps + 0.008) / 1.008 * np.pi / 2) ** 2
            logs = np.cumsum(np.log1p(-np.minimum(1 - square[1:] / square[:-1], 0.999)))
        else:
            raise SystemExit(f"no alpha_bar of noise schedule {document['noise_schedule']}")
        self.steps = steps
        self.log = np.concatenate([[0.0], logs])
        self.signal = np.exp(self.log)
        self.noise = -np.expm1(self.log)

    def beta(self, t, s):
        return -np.expm1(self.log[t] - self.log[s])

    def posterior(self, t, s):
        """The coefficients of x_0 and x_t in the mean of q(x_s | x_t, x_0), and its variance."""
        beta = self.beta(t, s)
        of_data = np.sqrt(self.signal[s]) * beta / self.noise[t]
        of_noisy = np.sqrt(1 - beta) * self.noise[s] / self.noise[t]
        return of_data, of_noisy, beta * self.noise[s] / self.noise[t]

    def snr(self, t):
        return self.signal[t] / self.noise[t]


class Bands:
    """The orthonormal transform of images and the number of the band of every coefficient."""

    def __init__(self, stored):
        channels, *sides = stored["shape"]
        assert len(sides) == 2, stored["shape"]
        self.colours = np.array(stored["channel_basis"]).reshape(channels, channels)
        self.cosines = [self.cosine_basis(side) for side in sides]
        longest = max(sides)
        edges = np.array(stored["edges"])
        expected = np.concatenate([[0.0], np.geomspace(0.9, np.sqrt(2) * longest, 24)])
        assert np.allclose(edges, expected, rtol=1e-12), "edges of the bands"
        if channels == 3:
            rows = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]])
            normed = rows / np.sqrt([[3], [2], [6]])
            assert np.allclose(self.colours, normed, atol=1e-14), "basis of the channels"
        assert stored["separate_channels"] is True
        rows, columns = (np.arange(side) * longest / side for side in sides)
        ring = np.searchsorted(edges, np.hypot(rows[:, None], columns[None, :]), side="right") - 1
        rings = np.unique(ring)
        self.per_channel = len(rings)
        one_channel = np.searchsorted(rings, ring)
        self.band = np.arange(channels)[:, None, None] * self.per_channel + one_channel
        self.count = channels * self.per_channel
        assert np.sum(one_channel == 0) == 1, "the first band is the constant"

    @staticmethod
    def cosine_basis(n):
        k, x = np.arange(n)[:, None], np.arange(n)[None, :]
        basis = np.sqrt(2 / n) * np.cos(np.pi * k * (x + 0.5) / n)
        basis[0] = np.sqrt(1 / n)
        return basis

    def forward(self, x):
        return np.einsum("dc,iy,jx,ncyx->ndij", self.colours, *self.cosines, x, optimize=True)

    def backward(self, y):
        return np.einsum("dc,iy,jx,ndij->ncyx", self.colours, *self.cosines, y, optimize=True)

    def spread(self, by_band):
        by_band = np.array(by_band)
        assert by_band.shape == (self.count,), by_band.shape
        return by_band[self.band]

    def constants(self, numbers):
        """A field of coefficients that is 0 but at the constant of every channel."""
        assert len(numbers) == len(self.band), len(numbers)
        field = np.zeros(self.band.shape)
        field[:, 0, 0] = numbers
        return field


def divergence(mean, variance, model_mean, model_variance):
    """KL of two Gaussians with independent numbers, of every number."""
    ratio = variance / model_variance
    return 0.5 * (ratio - 1 - np.log(ratio) + (mean - model_mean) ** 2 / model_variance)


def discretised(x, mean, variance):
    """-log of improved-diffusion's discretised Gaussian, of every pixel."""
    deviation = np.sqrt(variance)

    def below(bound):
        y = (bound - mean) / deviation
        return 0.5 * (1 + np.tanh(np.sqrt(2 / np.pi) * (y + 0.044715 * y**3)))

    upper, lower = below(x + 1 / 255), below(x - 1 / 255)
    mass = np.where(x < -0.999, upper, np.where(x > 0.999, 1 - lower, upper - lower))
    return -np.log(np.maximum(mass, 1e-12))


def bits(nats):
    return nats.reshape(len(nats), -1).mean(1) / np.log(2)


class Evaluation:
    """The terms of schedules on given images, noise and outputs of the network."""

    def __init__(self, chain, images, noise, outputs):
        self.chain, self.images = chain, images.astype(np.float64)
        self.noise, self.outputs = noise.astype(np.float64), outputs

    @staticmethod
    def noisy(chain, images, noise, t):
        return np.sqrt(chain.signal[t]) * images.astype(np.float64) + np.sqrt(chain.noise[t]) * noise.astype(np.float64)

    def prior(self, t):
        return bits(divergence(np.sqrt(self.chain.signal[t]) * self.images, self.chain.noise[t], 0.0, 1.0))

    def term(self, document, budget, k):
        """The term of step k of a budget, the one onto the data being the first."""
        chain, x0 = self.chain, self.images
        path = budget["path"]
        t, s = path[k + 1], path[k]
        kind, number = budget["kernels"][k], budget["log_variance"][k]
        record = next((step for step in document.get("by_timestep", []) if step["t"] == t), {})
        bands = Bands(document["bands"]) if record else None
        x_t = self.noisy(chain, x0, self.noise, t)
        epsilon, raw = np.split(self.outputs[t].astype(np.float64), 2, axis=1)
        v = (raw + 1) / 2
        estimate = (x_t - np.sqrt(chain.noise[t]) * epsilon) / np.sqrt(chain.signal[t])
        if document["clip_denoised"]:
            estimate = np.clip(estimate, -1, 1)
        continuous = budget["scored_decoder"] == "gaussian"
        # The scale of a learned variance goes with the network's own mean.
        if "a" in record and kind != "learned-scaled" and (s > 0 or continuous):
            implied = (x_t - np.sqrt(chain.signal[t]) * estimate) / np.sqrt(chain.noise[t])
            shift = bands.spread(record["a"]) * bands.forward(estimate) + bands.spread(record["b"]) * bands.forward(implied)
            estimate = estimate + bands.backward(shift + bands.constants(record["m"]))

        if s == 0:
            if continuous:
                if kind == "bands":
                    error, variance = bands.forward(x0 - estimate), bands.spread(record["powers"])
                else:
                    assert kind == "scalar", kind
                    error, variance = x0 - estimate, np.exp(number)
                return bits(0.5 * (np.log(2 * np.pi * variance) + error**2 / variance))
            if kind == "scalar":
                variance = np.exp(number)
            else:
                upper = np.log(chain.beta(t, 0))
                lower = number if kind == "learned-from" else np.log(chain.posterior(path[2], t)[2])
                assert kind in ("learned", "learned-from"), kind
                variance = np.exp(v * upper + (1 - v) * lower)
            return bits(discretised(x0, estimate, variance))

        of_data, of_noisy, variance = chain.posterior(t, s)
        mean, model_mean = of_data * x0 + of_noisy * x_t, of_data * estimate + of_noisy * x_t
        if kind == "bands":
            mean, model_mean = bands.forward(mean), bands.forward(model_mean)
            model_variance = variance * (1 + (chain.snr(s) - chain.snr(t)) * bands.spread(record["powers"]))
        elif kind == "scalar":
            model_variance = np.exp(number)
        else:
            assert kind in ("learned", "learned-scaled"), kind
            scale = np.exp(number) if kind == "learned-scaled" else 1.0
            model_variance = scale * np.exp(v * np.log(chain.beta(t, s)) + (1 - v) * np.log(variance))
        return bits(divergence(mean, variance, model_mean, model_variance))


def predict(ddpm, checkpoint, work, chain, images, noise, timesteps):
    """The raw outputs of the network by timestep."""
    noisy = [Evaluation.noisy(chain, images, noise, t).astype(np.float32) for t in timesteps]
    fed = np.repeat([(t - 1) * FED_UP_TO / chain.steps for t in timesteps], len(images))
    given, found = work / "in.safetensors", work / "out.safetensors"
    save_file({"x": np.concatenate(noisy), "timesteps": fed.astype(np.float32)}, given)
    run(ddpm, "predict", checkpoint, "--input", given, "--output", found)
    outputs = load_file(found)["output"]
    return {t: outputs[i * len(images) : (i + 1) * len(images)] for i, t in enumerate(timesteps)}


def check(ddpm, repo, work, budgets):
    checkpoint, data = repo / "datasets/cifar10-small.safetensors", repo / "datasets/cifar10-stand-in"
    pixels = load_file(data / "test.safetensors")["images"][:IMAGES]
    images = pixels.astype(np.float32) / np.float32(127.5) - np.float32(1)
    noise = np.random.default_rng(SEED).standard_normal(images.shape).astype(np.float32)
    tensors = work / "given.safetensors"
    save_file({"x_start": images, "noise": noise}, tensors)

    profile, away = work / "train.profile", work / "away.profile"
    source = [checkpoint, "--data", data, "--split", "train", "--limit", 32, "--evaluations", 640]
    run(ddpm, "profile", *source, "--out", profile)
    files = [work / f"schedules-{i}.json" for i in range(len(CASES))]
    listed = ",".join(map(str, budgets))
    for case, file in zip(CASES, files):
        run(ddpm, "schedule", profile, *case.split(), "--steps", listed, "--out", file)
    profile.rename(away)

    documents = [json.loads(file.read_text()) for file in files]
    chain = Chain(documents[0])
    for document in documents:
        assert document["version"] in (5, 7), document["version"]
        assert np.array_equal(Chain(document).log, chain.log)
        assert [budget["steps"] for budget in document["budgets"]] == budgets
    timesteps = sorted({t for document in documents for budget in document["budgets"] for t in budget["path"][1:]})
    outputs = predict(ddpm, checkpoint, work, chain, images, noise, timesteps)
    evaluation = Evaluation(chain, images, noise, outputs)

    wrong, compared, kinds = 0, 0, {}
    for case, file, document in zip(CASES, files, documents):
        for budget in document["budgets"]:
            steps, path = budget["steps"], budget["path"]
            given = ["--images", tensors, "--noise", tensors, "--schedule", file, "--steps", steps]
            said = json.loads(run(ddpm, "bpd", checkpoint, *given, "--json"))
            assert [(term["t"], term["s"]) for term in said["terms"]] == list(zip(path[1:], path)), path
            ours = [evaluation.term(document, budget, k) for k in range(steps)]
            prior = evaluation.prior(path[-1])
            names = [f"{kind} {t} -> {s}" for kind, t, s in zip(budget["kernels"], path[1:], path)]
            rows = [(name, ours_, term["bpd"]) for name, ours_, term in zip(names, ours, said["terms"])]
            rows.append(("prior", prior, said["prior_bpd"]))
            rows.append(("total", sum(ours) + prior, said["total_bpd"]))
            worst = []
            for name, mine, theirs in rows:
                assert len(theirs) == IMAGES, name
                # A NaN is larger than everything.
                difference = np.nan_to_num(np.abs(mine - np.array(theirs)).max(), nan=np.inf)
                worst.append((difference, name))
                if difference > TOLERANCE:
                    wrong += 1
                    print(f"  {case}, K = {steps}, {name}: {theirs} of ddpm, {list(mine)} of NumPy")
            compared += len(rows) * IMAGES
            for kind in budget["kernels"]:
                kinds[kind] = kinds.get(kind, 0) + 1
            largest, name = max(worst)
            mean = np.mean(said["total_bpd"])
            print(f"{case}, K = {steps}: {mean:.4f} bits/dim, {len(rows)} comparisons within {largest:.1e} ({name})", flush=True)
    print("steps by kind: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    assert {"bands", "scalar", "learned-scaled"} <= set(kinds), kinds
    corrections = [step for document in documents for step in document.get("by_timestep", []) if "a" in step]
    for part in "abm":
        largest = max(np.abs(step[part]).max() for step in corrections)
        print(f"corrections of {len(corrections)} timesteps: {part} up to {largest:.3g}")
        assert largest > 1e-3, part
    if wrong:
        raise SystemExit(f"{wrong} terms differ by more than {TOLERANCE:g} bits/dim")
    print(f"{compared} numbers agree within {TOLERANCE:g} bits/dim")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", type=Path, required=True)
    parser.add_argument("--repo", type=Path, required=True)
    parser.add_argument("--work", type=Path, help="an empty folder [default: a temporary one]")
    parser.add_argument("--budgets", default="3,8")
    arguments = parser.parse_args()
    budgets = sorted({int(steps) for steps in arguments.budgets.split(",")})
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        if any(work.iterdir()):
            raise SystemExit(f"{work}: expected an empty folder")
        check(arguments.ddpm, arguments.repo, work, budgets)


if __name__ == "__main__":
    main()
