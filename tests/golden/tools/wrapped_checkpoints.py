"""Checkpoints as training code writes them, each of a few numbers: tests/golden/wrapped.

    python tests/golden/tools/wrapped_checkpoints.py tests/golden/wrapped

In every file the weights to take are twos, and whatever else stands in it under the same names are ones.
"""

import argparse
import collections
import io
import pathlib
import pickle
import sys
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file

NAME = "time_embed.0.weight"  # of every network of OpenAI's


def weights(value, prefix=""):
    return {prefix + NAME: torch.full((2, 2), value), prefix + "out.2.bias": torch.full((2,), value)}


def main(folder):
    folder = pathlib.Path(folder)
    raw, best = weights(1.0), weights(2.0)

    def save(name, value, **options):
        torch.save(value, folder / f"{name}.pt", **options)

    # Averages under names that are common and not ours.
    for plain, averaged in [
        ("state_dict", "state_dict_ema"),
        ("model_state_dict", "ema_model_state_dict"),
        ("unet", "ema_unet"),
        ("net", "net_ema"),
        ("model", "swa_model"),
    ]:
        save(f"averaged-{averaged}", {plain: raw, averaged: best, "step": 3})
    save("averaged-modules", {**weights(1.0, "net."), **weights(2.0, "net_ema."), "step": torch.tensor(3)})

    # Objects beside the weights.
    parameter = torch.nn.Parameter(torch.full((2, 2), 2.0))
    parameter.note = "an attribute"
    dictionary = collections.defaultdict(list)
    dictionary["loss"].append(0.5)
    for name, thing in [
        ("namespace", argparse.Namespace(lr=1e-4, path="x")),
        ("numpy-scalar", np.float64(0.5)),
        ("numpy-array", np.arange(3)),
        ("device", torch.device("cpu")),
        ("dtype", torch.float32),
        ("set", {1, 2}),
        ("bytes", b"abc"),
        ("defaultdict", dictionary),
        ("path", pathlib.PurePosixPath("/data")),
        ("losses", [0.5, 0.25, None, 3.0]),
        ("complex-tensor", torch.ones(2, dtype=torch.complex64)),
    ]:
        save(f"beside-{name}", {"model": raw, "ema": best, "args": thing})
    save("beside-parameter-attribute", {"model": raw, "ema": {**best, NAME: parameter}})

    # A network in one module among other tensors.
    save("among-buffers", {**weights(2.0, "denoise_fn."), "betas": torch.ones(3), "loss_weight": torch.ones(3)})
    metrics = {"metrics.fid.total": torch.ones(3), "metrics.fid.count": torch.tensor(3)}
    save("among-metrics", {"state_dict": {**weights(2.0, "model.net."), **metrics}, "epoch": 3})
    save("among-counters", {**weights(2.0, "module."), "n_averaged": torch.tensor(3)})

    # Ways to write a file.
    stored = io.BytesIO()
    torch.save(best, stored)
    with zipfile.ZipFile(stored) as read, zipfile.ZipFile(folder / "written-deflated.pt", "w", zipfile.ZIP_DEFLATED) as written:
        for entry in read.namelist():
            written.writestr(entry, read.read(entry))
    save("written-protocol-5", {"model": raw, "ema": best, "seen": {1, 2}, "frozen": frozenset("ab")}, pickle_protocol=5)

    # Averages of something else, and those that keep the raw weights beside them.
    save("beside-loss_ema", {"ema_unet": best, "model": raw, "loss_ema": {"t": torch.ones(2)}, "ema_vae": {"w": torch.ones(2)}})
    nested = {**weights(1.0, "model."), **weights(1.0, "ema.online_model."), **weights(2.0, "ema.ema_model.")}
    save("averaged-in-lightning", {"state_dict": nested})
    generator = {"bit_generator": "PCG64", "state": {"state": 2**127 + 1, "inc": 3}}
    save("beside-generator", {"model": raw, "ema": best, "rng": generator})

    # What is not read, and is no damage.
    save("not-an-object", {"model": raw, "ema": argparse.Namespace(shadow=best)})
    save("not-names", {"model": raw, "ema_model": {"decay": 0.9}, "shadow_params": list(best.values())})
    save("not-in-a-trainer", {"state_dict": raw, "callbacks": {"EMA": {"decay": 0.9, "ema_weights": list(best.values())}}})
    save("not-two-decays", {"model": raw, "ema": [best, best]})
    save("not-dotless-entry", {"model": raw, "ema_sd": {"time_embed0weight": best[NAME]}})
    save("averaged-modelEMA", {"model": raw, "modelEMA": best, "optimizer": {"state": {0: {"exp_avg": torch.ones(2, 2)}}}})
    save("not-shadows", {"model": raw, "shadow_params": list(best.values())})
    save("not-protocol-0", best, pickle_protocol=0)
    save_file({NAME: torch.ones(2).to(torch.float8_e4m3fn)}, folder / "not-fp8.safetensors")
    save("not-optimizer", torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1).state_dict())
    save("not-a-choice", {"ema_0.999": weights(1.0), "ema_0.9999": weights(2.0)})
    save("not-networks", {**weights(1.0, "first."), **weights(2.0, "second.")})
    dotless = {f"model_ema.diffusion_modelinput{i}": torch.ones(1) for i in range(9)}
    save("not-dotless", {"state_dict": {**weights(1.0, "model.diffusion_model."), **dotless}})

    class Forbidden:
        def __reduce__(self):
            return print, ("executed",)

    with zipfile.ZipFile(folder / "not-a-weight.pt", "w") as written:
        written.writestr("archive/data.pkl", pickle.dumps({"ema": {NAME: Forbidden()}}, protocol=2))
        written.writestr("archive/byteorder", "little")


main(sys.argv[1])
