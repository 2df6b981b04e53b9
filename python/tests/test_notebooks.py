"""The notebooks run from top to bottom, each in an interpreter of its own, print nothing to stderr, and say what their tables say."""

import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys

import pytest

import ddpm_schedules as ds

FOLDER = pathlib.Path(__file__).resolve().parents[1] / "notebooks"
BOOKS = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.ipynb"))}

# Cells in order in one namespace, as Jupyter has them but for what it shows of a last line.
RUN = """
import json, sys
scope = {"__name__": "__main__"}
with open(sys.argv[1], encoding="utf-8") as file:
    cells = json.load(file)["cells"]
for n, cell in enumerate(cells):
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), f"cell {n}", "exec"), scope)
"""


def code(book):
    return ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]


def run(name, folder):
    """What a notebook prints, in its small size."""
    if "import torch" in "\n".join(code(BOOKS[name])):
        for module in ("torch", "diffusers"):
            if importlib.util.find_spec(module) is None:
                pytest.skip("needs torch and diffusers: cargo xtask check-python")
    environment = {key: value for key, value in os.environ.items() if key != "MNIST"}
    package = str(pathlib.Path(ds.__file__).parents[1])
    environment.update(
        PYTHONPATH=os.pathsep.join([package, environment.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        PYTHONDONTWRITEBYTECODE="1",
        MPLBACKEND="Agg",
        # Threads of so small a network only wait for each other.
        OMP_NUM_THREADS="1",
        # It tells whoever lacks torchvision.
        TRANSFORMERS_VERBOSITY="error",
    )
    found = subprocess.run(
        [sys.executable, "-c", RUN, str(FOLDER / f"{name}.ipynb")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert found.returncode == 0, found.stderr
    assert found.stderr == ""
    assert list(folder.iterdir()) == [], "a notebook leaves files"
    return found.stdout


def table(printed):
    """The rows of a table by their number of steps: the numbers after it, without standard errors."""
    found = re.findall(r"^ ?(\d+)  ((?:[-\d.]+(?: \+- [\d.]+)? *)+)$", printed, re.M)
    return {int(k): [float(number) for number in re.sub(r"\+- \S+", "", row).split()] for k, row in found}


@pytest.mark.parametrize("name", BOOKS)
def test_the_files_are_short_and_hold_no_outputs(name):
    book = BOOKS[name]
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book["metadata"]["kernelspec"]["name"] == "python3"
    assert book["cells"][0]["cell_type"] == "markdown" and book["cells"][0]["source"][0].startswith("# ")
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids) and all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", one) for one in ids)
    assert len(code(book)) <= 12
    for cell in book["cells"]:
        source = cell["source"]
        assert isinstance(source, list) and source and len(source) <= 80
        assert all(line.endswith("\n") for line in source[:-1]) and not source[-1].endswith("\n")
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
        else:
            assert set(cell) == {"cell_type", "id", "metadata", "source"}
            for link in re.findall(r"\]\((?!http)([^)#]+)", "".join(source)):
                assert (FOLDER / link).exists(), link


def test_each_notebook_is_run_below():
    assert set(BOOKS) == {"flow_2d", "policy_1d", "mnist", "diffusers_pipeline"}


def test_flow_2d(tmp_path):
    printed = run("flow_2d", tmp_path)
    assert "the list in Euler's loop is the plan: True" in printed
    rows = table(printed)
    assert list(rows) == [4, 6, 8]
    for even, plan, fitted, even_second, plan_second, fitted_second in rows.values():
        assert fitted < plan < even and fitted_second < plan_second < even_second
    # Its first sentence.
    assert rows[4][2] < rows[8][0] and rows[4][5] < rows[8][3]


def test_policy_1d(tmp_path):
    printed = run("policy_1d", tmp_path)
    assert "the same actions: True" in printed
    rows = table(printed)
    assert list(rows) == list(range(4, 11))
    for even, plan, fitted in rows.values():
        assert fitted < plan < even
    # Its first sentence, within a twentieth.
    assert rows[4][2] < 1.05 * rows[10][0] and rows[5][1] < 1.05 * rows[7][0]


def test_diffusers_pipeline(tmp_path):
    printed = run("diffusers_pipeline", tmp_path)

    def shown(word):
        return [json.loads(found) for found in re.findall(rf"^{word} +(\[.*\])$", printed, re.M)]

    (asked,), (plan,), (given,), executed = map(shown, ("asked for", "plan", "given", "executed"))
    assert len(asked) == 8 and executed[0] == asked
    assert len(plan) == 6 and executed[1] == pytest.approx(plan, abs=2e-4)
    # The shift of 3 is undone in what is given.
    assert [3 * s / (1 + 2 * s) for s in given] == pytest.approx(plan, abs=5e-4)
    assert "DDIMScheduler, which follows no list" in printed


def test_mnist(tmp_path):
    printed = run("mnist", tmp_path)
    rows = table(printed)
    assert list(rows) == [4, 8, 16, 32]
    for even, even_spectral, small, analytic, spectral, difference in rows.values():
        assert spectral < analytic <= small + 0.01 and spectral < even_spectral < even and difference < 0
    # Its first sentence.
    assert rows[8][4] < rows[16][0]
    # Floats between the bins are of another cost.
    own, other = (float(re.search(pattern, printed)[1]) for pattern in (r"K =  8: ([\d.]+)", r"as floats: ([\d.]+)"))
    assert other > own + 0.2
