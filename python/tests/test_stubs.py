"""`_core.pyi` tells what the compiled module has, no more and no less."""

import ast
import inspect
import pathlib
import subprocess
import sys

import ddpm_schedules
from ddpm_schedules import _core


def stubs():
    package = pathlib.Path(ddpm_schedules.__file__).parent
    assert (package / "py.typed").exists()
    return ast.parse((package / "_core.pyi").read_text()).body


def arguments(function):
    found = function.args
    named = [*found.posonlyargs, *found.args, *found.kwonlyargs]
    return [argument.arg for argument in named if argument.arg not in ("self", "cls")]


def test_stubs_and_module_have_the_same_names_and_arguments():
    told = {}
    for node in stubs():
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            told[node.name] = node
        elif isinstance(node, ast.AnnAssign):
            told[node.target.id] = node
    there = {name for name in dir(_core) if not name.startswith("__")}
    assert set(told) == there
    for name, node in told.items():
        thing = getattr(_core, name)
        if isinstance(node, ast.FunctionDef):
            assert arguments(node) == list(inspect.signature(thing).parameters), name
        if isinstance(node, ast.ClassDef):
            members = {inner.name: inner for inner in node.body if isinstance(inner, ast.FunctionDef)}
            public = {member for member in vars(thing) if not member.startswith("_")}
            assert set(members) - {"__init__"} == public, name
            for member, inner in members.items():
                if callable(getattr(thing, member)) and member != "__init__":
                    signature = inspect.signature(getattr(thing, member))
                    found = [p for p in signature.parameters if p != "self"]
                    assert arguments(inner) == found, f"{name}.{member}"


def test_everything_public_is_documented():
    for name in ddpm_schedules.__all__:
        thing = getattr(ddpm_schedules, name)
        assert thing.__doc__, name


def test_importing_takes_numpy_and_nothing_else():
    code = (
        "import sys, numpy; before = set(sys.modules); import ddpm_schedules; "
        "print(*sorted({m.partition('.')[0] for m in set(sys.modules) - before}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    third_party = [name for name in found if name not in sys.stdlib_module_names]
    assert third_party == ["ddpm_schedules"], third_party
