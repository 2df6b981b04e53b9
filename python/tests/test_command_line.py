"""The same as the command line, on the shipped checkpoint, whose raw outputs `ddpm predict` gives."""

import json
import pathlib
import pickle
import struct

import numpy as np
import pytest

import ddpm_schedules as ds

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHECKPOINT = ROOT / "datasets/cifar10-small.safetensors"
IMAGES = ROOT / "datasets/cifar10-stand-in"


@pytest.fixture
def done(ddpm):
    """Runs the command line, which must succeed."""

    def run(*words):
        found = ddpm(*words)
        assert found.returncode == 0, found.stderr

    return run


def read_tensors(path):
    raw = path.read_bytes()
    (length,) = struct.unpack("<Q", raw[:8])
    types = {"F32": "<f4", "F64": "<f8", "I64": "<i8", "U64": "<u8", "U32": "<u4", "U8": "u1"}
    found = {}
    for name, told in json.loads(raw[8 : 8 + length]).items():
        if name != "__metadata__":
            begin, end = told["data_offsets"]
            values = np.frombuffer(raw[8 + length + begin : 8 + length + end], types[told["dtype"]])
            found[name] = values.reshape(told["shape"])
    return found


def write_tensors(path, **arrays):
    head, body = {}, b""
    for name, values in arrays.items():
        kind = {"f": "F32", "i": "I64"}[values.dtype.kind]
        head[name] = {"dtype": kind, "shape": values.shape, "data_offsets": [len(body), len(body) + values.nbytes]}
        body += values.tobytes()
    text = json.dumps(head).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


@pytest.fixture
def shipped(done, tmp_path):
    """The shipped network: epsilon and a learned variance, T = 4000, cosine."""

    def fn(x, t):
        write_tensors(tmp_path / "in.safetensors", x=x, timesteps=(t * 1000.0 / 4000).astype(np.float32))
        done("predict", CHECKPOINT, "--input", tmp_path / "in.safetensors", "--output", tmp_path / "out.safetensors")
        (tmp_path / "in.safetensors").unlink()
        output = read_tensors(tmp_path / "out.safetensors")["output"]
        (tmp_path / "out.safetensors").unlink()
        return output

    process = ds.Process.named("cosine", 4000)
    return ds.Denoiser(
        fn, process, prediction="epsilon", shape=(3, 32, 32), learned_variance=True, batch=32, name="shipped"
    )


def test_a_profile_is_the_command_lines_file(done, shipped, tmp_path):
    common = ["--data", IMAGES, "--split", "train", "--limit", 4, "--evaluations", 96, "--seed", 3]
    done("profile", CHECKPOINT, *common, "--out", tmp_path / "cli")
    ours = ds.profile(shipped, IMAGES, split="train", limit=4, evaluations=96, seed=3, out=tmp_path / "python")
    tensors = [read_tensors(tmp_path / name) for name in ("cli", "python")]
    assert tensors[0].keys() == tensors[1].keys() and len(tensors[0]) > 5
    for name, values in tensors[0].items():
        np.testing.assert_allclose(tensors[1][name], values, rtol=1e-12, err_msg=name)
    done("schedule", tmp_path / "cli", "--steps", "4,8", "--variance", "spectral", "--mean", "network", "--out", tmp_path / "s.json")
    theirs = ds.load(tmp_path / "s.json")
    again = ds.optimize(ds.load(tmp_path / "cli"), (4, 8), variance="spectral", mean="network")
    again.save(tmp_path / "p.json")
    assert (tmp_path / "p.json").read_bytes() == (tmp_path / "s.json").read_bytes()
    chosen = ds.optimize(ours, (4, 8), variance="spectral", mean="network")
    for k in (4, 8):
        np.testing.assert_array_equal(chosen[k].nodes, theirs[k].nodes)
        assert chosen[k].cost == pytest.approx(theirs[k].cost, rel=1e-12)
        assert chosen[k].carried_only_by_install == ["spectral variance"]


def test_samples_are_the_command_lines(done, shipped, tmp_path):
    trajectories = ds.follow(shipped, count=1, nodes=8, steps=(), growth=False, sampler="dpm++2m")
    plans = ds.optimize(trajectories, 3)
    plans.save(tmp_path / "s.json")
    out = tmp_path / "samples.safetensors"
    done("sample", CHECKPOINT, "--schedule", tmp_path / "s.json", "--steps", 3, "--seed", 7, "--count", 2, "--out", out)
    theirs = read_tensors(out)
    (theirs,) = [values for values in theirs.values() if values.shape == (2, 3, 32, 32)]
    np.testing.assert_array_equal(ds.sample(shipped, plans[3], count=2, seed=7), theirs)


def test_schedules_of_the_command_line_keep_their_clock(done, tmp_path):
    (tmp_path / "m.csv").write_text("mse\n" + "".join(f"{0.01 * t}\n" for t in range(1, 21)))

    def chosen(process):
        out = tmp_path / f"{process.partition(':')[0]}.json"
        done("schedule", "--mse", tmp_path / "m.csv", "--process", process, "--variance", "fixed-small", "--steps", "3,5", "--out", out)
        return out

    flow, edm = chosen("flow"), chosen("edm:0.1:10")
    plans = ds.load(flow)
    assert plans[3].process == ds.Process.flow(20)
    again = pickle.loads(pickle.dumps(plans))
    assert repr(again) == repr(plans) and list(again) == [3, 5] and again[5].cost == plans[5].cost
    plans.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == flow.read_bytes()
    with pytest.raises(ValueError, match=r"process: expected that of .* \(flow\), found vp"):
        ds.load(flow, ds.Process.named("linear", 20))
    plan = ds.load(flow, ds.Process.flow(20))[3]
    assert plan.timesteps[0] == 1.0 and plan.sigmas[-1] == 0
    # Where its sigmas lie is not in its words.
    with pytest.raises(ValueError, match=r"process: .*edm.json does not hold all numbers of its process \(edm\).*ds.load\(path, process\)"):
        ds.load(edm)
    assert ds.load(edm, ds.Process.edm(0.1, 10.0, 20))[3].timesteps[0] == 10.0
