"""Writes a report of the files in datasets/, with something for every section, for check_report.py.

    python tests/peers/make_report.py --ddpm target/release/ddpm --work target/peers/report/run
"""

import argparse
import shutil
import subprocess
from pathlib import Path

DATASETS = Path(__file__).resolve().parents[2] / "datasets"
# A distance needs a feature network, which is not in the repository: a table in the form of one.
DISTANCES = '{"rows": [{"stride": "of an example", "K": 8, "FD(none)": {"value": 1.0, "stderr": 0.1}, "images": 16}]}'


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ddpm", required=True)
    parser.add_argument("--work", required=True)
    args = parser.parse_args()
    ddpm, work = Path(args.ddpm).resolve(), Path(args.work)

    def run(words, printed=None):
        """Runs a command there; what it prints goes into a file, where one is named."""
        command = [ddpm, *words.split(), "--quiet"]
        if printed is None:
            subprocess.run(command, cwd=work, check=True)
        else:
            with open(work / printed, "w") as file:
                subprocess.run(command, cwd=work, check=True, stdout=file)

    # Nothing of an earlier run may be on the page.
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    for split in ["train", "test"]:
        name = f"{split}.profile.safetensors"
        shutil.copy(DATASETS / f"cifar10-small.{name}", work / name)
    shutil.copy(DATASETS / "cifar10-small.safetensors", work / "network.safetensors")
    shutil.copy(DATASETS / "cifar10-small.model.json", work / "network.model.json")
    for variance in ["learned", "fixed-small", "analytic"]:
        words = f"schedule train.profile.safetensors --steps 8,16,32,64,128,256 --variance {variance} --out {variance}.json"
        run(words)
    for path, name in [("--schedule learned.json --steps 8", "dp"), ("--path even:8", "even")]:
        run(f"sample network.safetensors {path} --count 16 --out {name}.png")
        images = f"--data {DATASETS / 'cifar10-stand-in'} --limit 1"
        run(f"bpd network.safetensors {images} {path} --json", f"{name}.bpd.json")
    (work / "table5.json").write_text(DISTANCES)
    run("report . --out report.html")


if __name__ == "__main__":
    main()
