"""What every scheduler of the installed diffusers takes where its file is silent: tests/golden/diffusers/scheduler-defaults.json.

    python tests/golden/tools/scheduler_defaults.py tests/golden/diffusers/scheduler-defaults.json

Only those that are built from betas are written; of each a file is saved, as pipelines save it. Null for an entry that a class does not have.
"""

import inspect
import json
import sys
import tempfile
from pathlib import Path

import diffusers

ENTRIES = ["num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "prediction_type", "clip_sample"]


def main(out):
    found = {}
    for name in dir(diffusers.schedulers):
        scheduler = getattr(diffusers.schedulers, name, None)
        if not inspect.isclass(scheduler) or not hasattr(scheduler, "save_pretrained"):
            continue
        if "beta_start" not in inspect.signature(scheduler.__init__).parameters:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                scheduler().save_pretrained(folder)
            except ImportError as missing:  # DPMSolverSDE's noise is another package's
                print(f"{name}: not built ({missing}); its signature is read", file=sys.stderr)
                parameters = inspect.signature(scheduler.__init__).parameters
                saved = {key: value.default for key, value in parameters.items()}
            else:
                saved = json.loads((Path(folder) / "scheduler_config.json").read_text())
        found[name] = {entry: saved.get(entry) for entry in ENTRIES}
    text = json.dumps({"diffusers": diffusers.__version__, "classes": found}, indent=1)
    Path(out).write_text(text + "\n")


main(sys.argv[1])
