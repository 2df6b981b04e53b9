"""Writes docs/pipelines.md: how every pipeline of the installed diffusers is given a list of timesteps.

    python python/tools/pipelines.py            # writes the table anew
    python python/tools/pipelines.py --check    # fails where it differs

The pipelines are read as source, so that neither torch nor what single pipelines need has to be installed, nor is anything imported.
"""

import argparse
import ast
import difflib
import importlib.metadata
import importlib.util
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TABLE = ROOT / "docs" / "pipelines.md"
ANY = "any of KarrasDiffusionSchedulers"

HEAD = """# The pipelines of diffusers

How `plan.kwargs_for(pipe)` hands a schedule to each pipeline of diffusers {version}: {count} classes, of which {timesteps} take `timesteps=` alone,
{sigmas} `sigmas=` alone, {both} both and {neither} neither. Written by `python python/tools/pipelines.py`; `--check` fails where another version differs.

- *takes*: arguments of the pipeline's call that reach its scheduler as they were given. In brackets: those that it takes, but hands to the
  scheduler changed, beside a list of its own, or not at all.
- *default scheduler*: the type that the pipeline's constructor names; a checkpoint may bring another, and `kwargs_for` looks at the one that is there.
- *handed over*: by `kwargs_for` with that scheduler, the plan's sampler being the scheduler's own (Euler on a flow, DDIM's steps, DPM-Solver++(2M), the
  ancestral ones). `sigmas=` of a flow have the shift undone; `timesteps=` of a flow need a scheduler without shift, otherwise `install`. Under dynamic
  shifting `kwargs_for` needs `mu=`, or hands over a `mu` that shifts nothing where the pipeline takes one. `install`: the pipeline follows a plan
  after `plan.install(pipe)` alone; *other process*: not even then, the scheduler's process not being one that plans are chosen for, or the pipeline computing with
  its sigmas, or adding noise, by itself.
- {any}: `timesteps=` with DDPM, EulerDiscrete and DPMSolverMultistep, `install` with the others, and with a DPMSolverMultistep of a flow.

Pipelines that start from an image and cut the list by `strength` run the end of a plan. Those with more than one scheduler are told here by the one named
`scheduler`; `install` replaces that one.

| pipeline | takes | default scheduler | handed over |
|---|---|---|---|
"""


def load_rules():
    """`python/ddpm_schedules/_diffusers.py` alone: the package around it needs its built extension."""
    path = ROOT / "python" / "ddpm_schedules" / "_diffusers.py"
    spec = importlib.util.spec_from_file_location("rules", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Classes:
    """The classes of diffusers.pipelines as source, by name."""

    def __init__(self, folder):
        self.all = {}
        for file in sorted(folder.rglob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef):
                    self.all[node.name] = node

    def bases(self, name):
        return [ast.unparse(base).split(".")[-1] for base in self.all[name].bases] if name in self.all else []

    def is_pipeline(self, name):
        return name == "DiffusionPipeline" or any(self.is_pipeline(base) for base in self.bases(name))

    def method(self, name, method):
        """The first definition of a method along the bases."""
        if name not in self.all:
            return None
        own = [node for node in self.all[name].body if isinstance(node, ast.FunctionDef) and node.name == method]
        if own:
            return own[-1]
        found = (self.method(base, method) for base in self.bases(name))
        return next((one for one in found if one is not None), None)


def default_schedulers(constructor):
    """Names of the types of the argument `scheduler`; None without one."""
    arguments = [*constructor.args.args, *constructor.args.kwonlyargs] if constructor else []
    for argument in arguments:
        if argument.arg == "scheduler":
            words = re.findall(r"\w+", ast.unparse(argument.annotation)) if argument.annotation else []
            return [word for word in words if word.endswith(("Scheduler", "Schedulers"))]
    return None


def row(rules, classes, name):
    call = classes.method(name, "__call__")
    parameters = {a.arg for a in [*call.args.args, *call.args.kwonlyargs]}
    named = [one for one in ("timesteps", "sigmas") if one in parameters]
    reach = rules.reaching(call)
    takes = ", ".join(f"`{one}`" if one in reach else f"(`{one}`)" for one in named) or "-"
    constructor, source = classes.method(name, "__init__"), ast.unparse(call)
    schedulers = default_schedulers(constructor)
    # Those with EDM's sigmas in a flow's scheduler, and those that hand noise of their own to its step.
    of_its_own = bool(constructor) and re.search(r"sigma_max\W", ast.unparse(constructor)) or "variance_noise=" in source
    handed = {}
    for scheduler in schedulers or []:
        if scheduler == "KarrasDiffusionSchedulers":
            argument, known = ("timesteps" if "timesteps" in reach else None), True
        else:
            # Those that follow a list with steps of their own are no plan's.
            argument = None if scheduler in rules.OF_OTHER_STEPS else rules.argument_for(scheduler, reach)
            family = rules.FAMILIES.get(scheduler)
            known = family and not of_its_own and not (family == "divided" and rules.reads_sigmas(source))
            argument = argument if known else None
        handed.setdefault(f"`{argument}=`" if argument else "install" if known else "other process", []).append(
            scheduler
        )
    shown = [ANY if one == "KarrasDiffusionSchedulers" else one for one in schedulers or []]
    told = ", ".join(one if len(handed) == 1 else f"{one} ({', '.join(of)})" for one, of in handed.items())
    told = told or ("none named `scheduler`" if schedulers is None else "as its scheduler says" if reach else "install")
    return named, f"| {name} | {takes} | {', '.join(shown) or '-'} | {told} |"


def table():
    found = importlib.util.find_spec("diffusers")
    if found is None:
        sys.exit("diffusers is not installed: pip install diffusers")
    classes, rules = Classes(Path(found.origin).parent / "pipelines"), load_rules()
    # What `import diffusers` offers.
    offered = {
        node.value
        for node in ast.walk(ast.parse(Path(found.origin).read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant)
    }
    names = [
        n
        for n in sorted(offered & classes.all.keys() - {"DiffusionPipeline"})
        if classes.is_pipeline(n) and classes.method(n, "__call__")
    ]
    rows = [row(rules, classes, name) for name in names]
    count = {
        key: sum(named == list(key) for named, _ in rows)
        for key in (("timesteps",), ("sigmas",), ("timesteps", "sigmas"), ())
    }
    head = HEAD.format(
        version=importlib.metadata.version("diffusers"),
        count=len(rows),
        timesteps=count["timesteps",],
        sigmas=count["sigmas",],
        both=count["timesteps", "sigmas"],
        neither=count[()],
        any=f"*{ANY}*",
    )
    return head + "\n".join(line for _, line in rows) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare, do not write")
    made, check = table(), parser.parse_args().check
    if not check:
        TABLE.write_text(made, encoding="utf-8")
        return
    written = TABLE.read_text(encoding="utf-8") if TABLE.exists() else ""
    if written != made:
        difference = difflib.unified_diff(
            written.splitlines(), made.splitlines(), "docs/pipelines.md", "the installed diffusers", lineterm="", n=0
        )
        sys.exit(
            "\n".join(difference)
            + "\ndocs/pipelines.md is out of date: read the difference, run python/tools/pipelines.py"
        )


if __name__ == "__main__":
    main()
