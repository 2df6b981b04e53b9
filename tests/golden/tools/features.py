"""Golden values of feature networks and distances, from the field's own programs.

    pip install torch torchvision pytorch-fid==0.3.0 torch-fidelity==0.4.0 prdc==0.2 scipy mpmath safetensors
    python tests/golden/tools/features.py [inception] [resnet] [distances] [cifar]     (from the root of the repository)

Writes tests/golden/features/{inception.safetensors,resnet8.safetensors,distances.json,cifar10.json}; versions are written beside the numbers. Weights,
images and features are made by `units`, an integer hash that the Rust tests evaluate too, so that none is stored.
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path
from unittest import mock

import numpy as np

OUT = Path("tests/golden/features")


def fnv1a(text):
    """32-bit FNV-1a of a name: the seed of its numbers."""
    state = 0x811C9DC5
    for byte in text.encode():
        state = (state ^ byte) * 0x01000193 & 0xFFFFFFFF
    return state


def words(name, count):
    """`count` 32-bit words: MurmurHash3's finaliser of an odd multiple of the index plus the name's seed."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(0x9E3779B9) + np.uint32(fnv1a(name))
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def units(name, count):
    """`count` f64 in [-1, 1), exact."""
    return words(name, count).astype(np.float64) / 2**31 - 1


def weights(name, shape):
    """f32 weights that keep activations of one size from layer to layer."""
    count = int(np.prod(shape))
    u = units(name, count)
    kind = name.rsplit(".", 1)[1]
    if len(shape) == 4:
        u = u * np.sqrt(6 / (count / shape[0]))
    elif name.startswith("fc."):
        u = u * 0.01
    elif kind == "weight":
        u = 1 + 0.2 * u
    elif kind == "running_var":
        u = 1 + 0.3 * u
    else:
        u = 0.1 * u
    return u.astype(np.float32).reshape(shape)


def images(name, shape):
    """Bytes."""
    return (words(name, int(np.prod(shape))) >> np.uint32(24)).astype(np.uint8).reshape(shape)


def versions(*names):
    return {name: version(name) for name in names}


def seeded_inception():
    """pytorch-fid's network with our weights, and its state dict."""
    import torch
    from pytorch_fid import inception as port

    # pytorch-fid downloads its weights when it builds the network: hand it ours instead. The first call, with a state that
    # does not fit, tells the names and shapes.
    class Found(Exception):
        pass

    def shapes(self, state, *_, **__):
        raise Found(self.state_dict())

    with (
        mock.patch.object(port, "load_state_dict_from_url", lambda *_, **__: {}),
        mock.patch.object(torch.nn.Module, "load_state_dict", shapes),
    ):
        try:
            port.fid_inception_v3()
        except Found as found:
            (state,) = found.args
    state = {
        key: value
        if key.endswith("num_batches_tracked")
        else torch.from_numpy(weights(key, tuple(value.shape)))
        for key, value in state.items()
    }
    with mock.patch.object(port, "load_state_dict_from_url", lambda *_, **__: state):
        return port.InceptionV3().eval(), state


def inception():
    import torch
    from safetensors.numpy import save_file

    torch.set_num_threads(2)
    net, _ = seeded_inception()
    out = {}
    for name, shape in {"small": (2, 3, 32, 32), "tall": (1, 3, 320, 40)}.items():
        x = torch.from_numpy(images(name, shape)).float() / 255
        with torch.no_grad():
            out[name] = net(x)[0].squeeze(3).squeeze(2).numpy()
        print(name, out[name].shape, "mean", out[name].mean(), "spread", out[name].std())
    save_file(out, OUT / "inception.safetensors", versions("pytorch-fid", "torch", "torchvision"))


def resnet():
    """He et al. 2016's CIFAR network with option-A shortcuts, written out in PyTorch's own layers."""
    import torch
    import torch.nn.functional as F
    from safetensors.numpy import save_file

    def conv_norm(x, scope, index, outputs, inputs, stride=1):
        take = lambda name, shape: torch.from_numpy(weights(scope + name, shape))
        x = F.conv2d(x, take(f"conv{index}.weight", (outputs, inputs, 3, 3)), None, stride, 1)
        norm = {k: take(f"bn{index}.{k}", (outputs,)) for k in ("running_mean", "running_var", "weight", "bias")}
        return F.batch_norm(x, *norm.values())

    x = torch.from_numpy(images("small", (2, 3, 32, 32))).float() / 255
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)
    x = F.relu(conv_norm(x, "", 1, 16, 3))
    for stage, outputs in ((1, 16), (2, 32), (3, 64)):
        inputs, stride = x.shape[1], 1 if stage == 1 else 2
        scope = f"layer{stage}.0."
        y = F.relu(conv_norm(x, scope, 1, outputs, inputs, stride))
        y = conv_norm(y, scope, 2, outputs, outputs)
        if stride == 2:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, outputs // 4, outputs // 4))
        x = F.relu(y + x)
    out = x.mean(dim=(2, 3)).numpy()
    print("resnet8", out.shape, "mean", out.mean(), "spread", out.std())
    save_file({"small": out}, OUT / "resnet8.safetensors", versions("torch"))


def cifar():
    """FD(resnet56) of CIFAR-10 train against test in NumPy, and the accuracy, from DDPM_DATA and DDPM_FEATURES."""
    import os

    import torch
    import torch.nn.functional as F
    from safetensors.torch import load_file
    from scipy import linalg

    torch.set_num_threads(2)
    w = load_file(os.environ["DDPM_FEATURES"])

    def conv_norm(x, conv, norm, stride=1):
        x = F.conv2d(x, w[f"{conv}.weight"], None, stride, 1)
        return F.batch_norm(x, *(w[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    def run(x):
        x = F.relu(conv_norm(x, "conv1", "bn1"))
        for stage, outputs in ((1, 16), (2, 32), (3, 64)):
            for block in range(9):
                name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
                y = F.relu(conv_norm(x, f"{name}.conv1", f"{name}.bn1", stride))
                y = conv_norm(y, f"{name}.conv2", f"{name}.bn2")
                if stride == 2:
                    x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, outputs // 4, outputs // 4))
                x = F.relu(y + x)
        return x.mean(dim=(2, 3))

    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    found = {}
    for split, names in {"train": [f"data_batch_{i}" for i in range(1, 6)], "test": ["test_batch"]}.items():
        data = np.concatenate(
            [np.fromfile(Path(os.environ["DDPM_DATA"]) / f"{n}.bin", np.uint8).reshape(-1, 3073) for n in names]
        )
        rows = []
        with torch.no_grad():
            for i in range(0, len(data), 250):
                x = torch.from_numpy(data[i : i + 250, 1:].reshape(-1, 3, 32, 32)).float() / 255
                rows.append(run((x - mean.view(3, 1, 1)) / deviation.view(3, 1, 1)))
        x = torch.cat(rows)
        right = (F.linear(x, w["linear.weight"], w["linear.bias"]).argmax(1).numpy() == data[:, 0]).sum()
        x = x.numpy().astype(np.float64)
        found[split] = x.mean(axis=0), np.cov(x, rowvar=False), int(right)
    (mu1, s1, _), (mu2, s2, right) = found["train"], found["test"]
    root = linalg.sqrtm(s1 @ s2).real
    distance = float(((mu1 - mu2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * np.trace(root))
    out = {"versions": versions("torch", "numpy", "scipy"), "frechet": distance, "test_correct": right}
    print(out)
    (OUT / "cifar10.json").write_text(json.dumps(out) + "\n")


def features(name, count, dims, shift=0.0):
    """f32 features of which the columns are correlated and of different size."""
    u = units(name, count * dims).reshape(count, dims)
    mixed = u + 0.5 * np.roll(u, 1, axis=1)
    return (mixed * (1 + np.arange(dims) / dims) + shift).astype(np.float32)


def frechet_exact(mu1, sigma1, mu2, sigma2):
    """The distance in 60 digits: traces of square roots by eigenvalues of symmetric matrices."""
    from mpmath import mp

    mp.dps = 60
    a, b = mp.matrix(sigma1.tolist()), mp.matrix(sigma2.tolist())
    values, vectors = mp.eigsy(a)
    n = len(mu1)
    # Rank-deficient matrices have eigenvalues that are zero but for the 60th digit.
    roots = [mp.sqrt(max(v, 0)) if v > mp.mpf(10) ** -40 else mp.mpf(0) for v in values]
    half = vectors * mp.diag(roots)
    inner = half.T * b * half
    inner = (inner + inner.T) / 2
    root = sum(mp.sqrt(v) for v in mp.eigsy(inner, eigvals_only=True) if v > mp.mpf(10) ** -40)
    mean = sum((mp.mpf(float(x)) - mp.mpf(float(y))) ** 2 for x, y in zip(mu1, mu2))
    trace = sum(a[i, i] + b[i, i] for i in range(n))
    return float(mean + trace - 2 * root)


def dyadic(name, rows, dims, scale):
    """A matrix of small multiples of 2^-8: Gram matrices of it are exact in f64."""
    return np.round(units(name, rows * dims) * 256).reshape(rows, dims) / 256 * scale


def pairs():
    """Means and covariances by formulas; the Rust test makes the same ones, bit by bit (all entries are dyadic)."""
    d = 64
    mean = lambda name: np.round(units(name, d) * 256) / 256
    gram = lambda x: x.T @ x / 128
    full = [dyadic(f"full{i}", 128, d, 1.0) for i in range(2)]
    few = [dyadic(f"few{i}", 20, d, 1.0) for i in range(2)]
    # Columns of very different size: condition number near 1e12.
    graded = [dyadic(f"graded{i}", 128, d, 1.0) * 2.0 ** -(np.arange(d) // 3) for i in range(2)]
    yield "well", mean("mu0"), gram(full[0]), mean("mu1"), gram(full[1])
    yield "one rank-deficient", mean("mu0"), gram(few[0]), mean("mu1"), gram(full[1])
    yield "both rank-deficient", mean("mu0"), gram(few[0]), mean("mu1"), gram(few[1])
    yield "graded", mean("mu0"), gram(graded[0]), mean("mu1"), gram(graded[1])
    yield "graded, equal means", mean("mu0"), gram(graded[0]), mean("mu0"), gram(graded[1])
    yield "nearly equal", mean("mu0"), gram(few[0]), mean("mu0"), gram(few[0]) + np.eye(d) / 2**20


def distances():
    import contextlib
    import io

    import torch
    from prdc import compute_prdc
    from pytorch_fid.fid_score import calculate_frechet_distance
    from torch_fidelity.metric_kid import kid_features_to_metric

    out = {"versions": versions("pytorch-fid", "scipy", "torch-fidelity", "prdc", "mpmath", "numpy")}
    out["frechet"] = []
    for name, *pair in pairs():
        with contextlib.redirect_stdout(io.StringIO()):
            try:
                port = float(calculate_frechet_distance(*pair))
            except ValueError as error:
                port = str(error)
        exact = frechet_exact(*pair)
        print(f"{name}: pytorch-fid {port}, exact {exact}")
        out["frechet"].append({"case": name, "pytorch_fid": port, "exact": exact})

    a, b = features("a", 300, 24), features("b", 260, 24, shift=0.15)
    mu = [x.astype(np.float64).mean(axis=0) for x in (a, b)]
    sigma = [np.cov(x.astype(np.float64), rowvar=False) for x in (a, b)]
    out["features_frechet"] = float(
        calculate_frechet_distance(mu[0], sigma[0], mu[1], sigma[1])
    )

    size, subsets, seed = 100, 6, 2020
    rng = np.random.RandomState(seed)
    chosen = [
        [rng.choice(len(x), size, replace=False).tolist() for x in (a, b)] for _ in range(subsets)
    ]
    kid = kid_features_to_metric(
        torch.from_numpy(a.astype(np.float64)),
        torch.from_numpy(b.astype(np.float64)),
        kid_subsets=subsets,
        kid_subset_size=size,
        rng_seed=seed,
        verbose=False,
    )
    out["kid"] = {
        "subsets": chosen,
        "mean": kid["kernel_inception_distance_mean"],
        "std": kid["kernel_inception_distance_std"],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        found = compute_prdc(a.astype(np.float64), b.astype(np.float64), nearest_k=5)
    out["prdc"] = {"nearest_k": 5} | {key: float(value) for key, value in found.items()}
    print(out["kid"]["mean"], out["kid"]["std"], out["prdc"], out["features_frechet"])
    (OUT / "distances.json").write_text(json.dumps(out) + "\n")


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    parts = sys.argv[1:] or ["inception", "resnet", "distances", "cifar"]
    for part in parts:
        {"inception": inception, "resnet": resnet, "distances": distances, "cifar": cifar}[part]()
