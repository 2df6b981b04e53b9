"""Writes the valid inputs of fuzz/corpus: what other programs write, as small as it can be.

    python fuzz/seeds.py        (needs numpy, torch, safetensors, pillow, and target/release/ddpm)

Inputs that once were findings stay beside them. An input is named by the beginning of its SHA-256, so that nothing is there twice.
"""

import hashlib
import io
import json
import pickle
import subprocess
import tempfile
from pathlib import Path

import numpy
import torch
from PIL import Image
from safetensors.numpy import save

ROOT = Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests/golden"


def keep(target, data):
    if isinstance(data, Path):
        data = data.read_bytes()
    if isinstance(data, str):
        data = data.encode()
    folder = ROOT / "fuzz/corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)


def written(write, *arguments, **options):
    buffer = io.BytesIO()
    write(buffer, *arguments, **options)
    return buffer.getvalue()


def zipped(data, name="x/data.pkl"):
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return next(archive.read(n) for n in archive.namelist() if n.endswith("data.pkl"))


generator = numpy.random.default_rng(0)
weights = {"conv.weight": torch.arange(12.0).reshape(3, 4), "conv.bias": torch.zeros(3, dtype=torch.float16), "n": torch.tensor(3)}
for file in sorted((GOLDEN / "wrapped").glob("*.pt")):
    keep("checkpoint-zip", file)
for value in [weights, {"ema": weights, "epoch": 3, "lr": 1e-4}, [weights, None, (1, True)]]:
    whole = written(lambda buffer, v: torch.save(v, buffer), value)
    keep("checkpoint-zip", whole)
    keep("checkpoint-pickle", zipped(whole))
    keep("checkpoint-stream", written(lambda buffer, v: torch.save(v, buffer, _use_new_zipfile_serialization=False), value))
small = {"a": torch.zeros(4), "b": torch.zeros(2, 2, dtype=torch.int64)[1:]}
keep("checkpoint-pickle", zipped(written(lambda buffer, v: torch.save(v, buffer), {"w": torch.zeros(16)})))
keep("checkpoint-zip", written(lambda buffer, v: torch.save(v, buffer), small))
keep("checkpoint-safetensors", save({"conv.weight": generator.normal(size=(3, 4)).astype("f4"), "n": numpy.int64([3])}, metadata={"format": "pt"}))
keep("checkpoint-safetensors", save({"a": numpy.zeros((2, 0), "f2"), "b": numpy.ones(3, "u1")}))

def resnet8():
    """The smallest ResNet for CIFAR: three stages of one block, of ones."""
    shapes = {"conv1.weight": (16, 3, 3, 3), "linear.weight": (10, 64), "linear.bias": (10,)}
    norms = [("bn1", 16)]
    before = 16
    for stage, width in enumerate([16, 32, 64], 1):
        for conv, channels in [(1, before), (2, width)]:
            shapes[f"layer{stage}.0.conv{conv}.weight"] = (width, channels, 3, 3)
            norms.append((f"layer{stage}.0.bn{conv}", width))
        before = width
    for norm, width in norms:
        shapes.update({f"{norm}.{part}": (width,) for part in ["weight", "bias", "running_mean", "running_var"]})
    return {name: numpy.ones(shape, "f4") for name, shape in shapes.items()}


keep("feature-network", save(resnet8()))

model = {"num_heads": 2, "image_size": 16, "train_steps": 40, "noise_schedule": "cosine", "rescale_timesteps": True, "parameterization": "epsilon"}
keep("model-json", json.dumps(model))
keep("model-json", json.dumps({"num_head_channels": 16, "attention_order": "new", "image_size": 16, "train_steps": 1000, "noise_schedule": "linear"}))
for file in sorted((GOLDEN / "diffusers").rglob("config.json")):
    keep("config-json", file)
for file in sorted((GOLDEN / "diffusers").rglob("scheduler_config.json")):
    keep("scheduler-config", file)
for name, fields in json.loads((GOLDEN / "diffusers/scheduler-defaults.json").read_text())["classes"].items():
    keep("scheduler-config", json.dumps({"_class_name": name, **fields}))

for channels in [1, 3]:
    pixels = generator.integers(0, 256, size=(2, 4, 4, channels), dtype="u1")
    image = Image.fromarray(pixels[0, :, :, 0] if channels == 1 else pixels[0])
    keep("images-png", written(lambda buffer, i: i.save(buffer, "PNG"), image))
    keep("images-npy", written(numpy.save, pixels))
    keep("images-npz", written(numpy.savez, arr_0=pixels, arr_1=numpy.int64([0, 1])))
    keep("images-npz", written(numpy.savez_compressed, arr_0=pixels))
    floats = pixels.transpose(0, 3, 1, 2).astype("f4") / 127.5 - 1
    keep("images-npy", written(numpy.save, floats))
    keep("images-safetensors", save({"x_start": floats}))
    keep("fixed-images", save({"x_start": floats}))
keep("images-png", written(lambda buffer, i: i.save(buffer, "PNG"), image.convert("P")))
keep("images-png", written(lambda buffer, i: i.save(buffer, "PNG"), image.convert("RGBA")))
for name in ["grey.jpg", "half-colour.jpg", "progressive.jpg"]:
    keep("images-jpeg", GOLDEN / "pictures" / name)
for name in ["one-bit.png", "palette.png", "sixteen-bits.png"]:
    keep("images-png", GOLDEN / "pictures" / name)
keep("fixed-images", save({"cifar_test_index": numpy.int64([2, 0])}))
keep("fixed-noise", save({"noise": generator.normal(size=(2, 1, 4, 4)).astype("f4")}))
records = generator.integers(0, 256, size=(2, 3073), dtype="u1")
records[:, 0] = [3, 9]
keep("images-cifar-binary", records.tobytes())
keep("images-cifar-python", pickle.dumps({b"data": records[:, 1:].copy(), b"labels": [3, 9]}, protocol=2))
keep("images-cifar-python", pickle.dumps({"data": records[:, 1:].copy(), "labels": [3, 9]}, protocol=4))
keep("images-imagenet", written(numpy.savez, data=generator.integers(0, 256, size=(2, 48), dtype="u1"), labels=numpy.int64([1, 1000]), mean=numpy.zeros(48)))

for array in [numpy.arange(6.0).reshape(2, 3), numpy.asfortranarray(numpy.arange(6, dtype="i4").reshape(2, 3)), numpy.float16([1, 2]), numpy.array(3.0), numpy.zeros((0, 3)), numpy.array([True, False]), numpy.arange(3, dtype=">i8")]:
    keep("npy", written(numpy.save, array))
keep("npz", written(numpy.savez, a=numpy.arange(3.0), b=numpy.int32([[1, 2]])))
keep("npz", written(numpy.savez_compressed, a=numpy.zeros(100), b=numpy.float32([1, 2])))
keep("tensors", save({"x": numpy.float32([1, 2]), "y": numpy.int64([3])}, metadata={"note": "text"}))
keep("tensors", save({"x": numpy.float16([1, 2]), "y": numpy.int32([3])}))
keep("csv", "# a comment\nt,alpha_bar,mse\n1,0.9,0.1\n2,0.8,0.2\n")
keep("csv", "1,0.1\n2,0.2\n")

for target in ["profile", "profile-sealed"]:
    for file in sorted((ROOT / "crates/ddpm-profile/tests/fixtures").glob("*.safetensors")):
        keep(target, file)
for target in ["trajectories", "trajectories-sealed"]:
    for file in sorted((ROOT / "crates/ddpm-trajectory/tests/fixtures").glob("*.safetensors")):
        keep(target, file)
for file in sorted((ROOT / "crates/ddpm-schedule/tests/fixtures").glob("*.json")):
    keep("schedules", file)
keep("statistics", written(numpy.savez, mu=numpy.zeros(3), sigma=numpy.eye(3), n=numpy.int64(10)))
keep("statistics", written(numpy.savez_compressed, mu=numpy.zeros(3, "f4"), sigma=numpy.eye(3, dtype="f4")))
keep("recorded-errors", GOLDEN / "squared-errors.npz")
keep("recorded-errors", GOLDEN / "hook-bands/vector.npz")
bed = {"format": "ddpm-test-bed", "version": 1, "pattern": "rings", "points": 24, "dimensions": 2, "width": 0.02}
keep("test-bed", json.dumps(bed))
keep("test-bed", json.dumps({**bed, "pattern": "grid", "points": 9, "dimensions": 4, "noise_schedule": "linear", "train_steps": 50}))
keep("test-bed", json.dumps({"format": "ddpm-test-bed", "version": 1, "images": "zeros", "limit": 2, "width": 0.05}))
with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    (folder / "bed.json").write_text(json.dumps(bed))
    ddpm = [ROOT / "target/release/ddpm", "sample", folder / "bed.json", "--count", "2", "--out", folder / "s.safetensors", "--force"]
    for words in ["--path even:2", "--path even:3 --sampler ddim --eta 0.5 --clip-last-noise 2", "--path 0,5,1000 --sampler dpm-solver++"]:
        subprocess.run([*ddpm, *words.split()], check=True)
        keep("sample-record", folder / "s.safetensors.run.json")
for text in ["0,1,10,64", "even:8", "quadratic:5", "ddim-quadratic:4", "logsnr:6", "karras:7", "respacing:10,15,20", "respacing:ddim50", "all"]:
    keep("words", text)
