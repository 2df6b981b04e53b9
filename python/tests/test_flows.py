"""Flow-matching networks that others trained, replayed from what they once put out: docs/flow-matching.md's claims in small, without PyTorch."""

import json
import os
import pathlib
import sys

import numpy as np
import pytest

import ddpm_schedules as ds

TOOLS = pathlib.Path(__file__).resolve().parents[1] / "tools" / "flows"
NAMES = ("flower", "grid")


@pytest.fixture
def golden(monkeypatch):
    """The tool that recorded them."""
    monkeypatch.syspath_prepend(str(TOOLS))
    import golden

    return golden


def recorded(golden, name):
    return np.load(golden.FOLDER / f"{name}.npz")


@pytest.mark.parametrize("name", NAMES)
def test_schedules_of_a_strangers_network_end_where_they_did(golden, name):
    was, flow = recorded(golden, name), ds.load(golden.FOLDER / f"{name}.trajectories.safetensors", ds.Process.flow(golden.CLOCK))
    found, expected = golden.outcome(ds, flow, golden.Replay(was), was["starts"], was["ends"]), json.loads(str(was["outcome"]))
    for sampler, of in expected.items():
        for k, one in of.items():
            now = found[sampler][k]
            assert now["nodes"] == one["nodes"]
            assert now["distance"] == pytest.approx(one["distance"], rel=1e-3)
            of_rivals = min(now["distance"][method] for method in golden.LISTS)
            assert now["distance"]["fitted"] < 0.5 * of_rivals
            assert now["distance"]["quality"] < of_rivals


def test_a_replay_says_where_it_was_not_asked(golden):
    was = recorded(golden, "grid")
    replay = golden.Replay(was)
    np.testing.assert_array_equal(replay(was["x"][:3], was["s"][:3]), was["velocity"][:3])
    with pytest.raises(ValueError, match="s = 0.12345"):
        replay(was["x"][:1], np.full(1, 0.12345))
    with pytest.raises(ValueError, match="from every recorded one"):
        replay(was["x"][:1] + 100, was["s"][:1])


@pytest.mark.parametrize("name", NAMES)
def test_what_was_recorded_is_what_the_network_says(golden, name):
    pytest.importorskip("torch", reason="needs torch and diffusers: cargo xtask check-python")
    if "DDPM_STRANGERS" not in os.environ:
        pytest.skip("needs DDPM_STRANGERS, the folder of SharpEuler's checkpoints")
    import networks

    was = recorded(golden, name)
    made = networks.stranger(name, os.environ["DDPM_STRANGERS"])(was["x"], was["s"])
    np.testing.assert_allclose(made, was["velocity"], rtol=0, atol=1e-4)
