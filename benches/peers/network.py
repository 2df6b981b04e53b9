"""Measures a network's forward pass here and in other runtimes, on the processor, and prints medians.

    python network.py CHECKPOINT [--batches 1,8,16] [--precisions f32,bf16] [--rounds 5] [--threads all]
                      [--skip NAME,...] [--ddpm target/release/ddpm] [--json FILE]

Runs PyTorch (eager and compiled), ONNX Runtime and OpenVINO with the weights of CHECKPOINT, a safetensors file of
improved-diffusion's UNet with its model.json beside it, and `ddpm bench` for ours; install requirements-network.txt.
Every output is first compared with that of PyTorch in f32: largest absolute difference over largest absolute value.
Then the programs run in turn, round by round: one call untimed, then calls for a second and at least three, of which
the median counts. The table has the median of the rounds, and their range. A program with several settings (memory
layout, how it does bf16) is measured with each of them; the table has the fastest, FILE has all. Every program has a
process of its own, so that no thread pool meets another. Let nothing else run: a pool that waits by spinning, as
PyTorch's does, loses a factor of ten to a busy neighbour.
"""

import argparse
import copy
import json
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRATCH = ROOT / "target" / "peers"
os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(SCRATCH / "inductor"))

import numpy as np
import onnxruntime
import openvino
import torch
import torch._inductor.config
from safetensors.torch import load_file, save_file
from unet import UNet, embed_timesteps, inputs, load, parameters, work

# bf16 keeps eight bits of a number, and some sixty layers add up; f32 differs by the order of its sums alone.
TOLERANCE = {"f32": 1e-4, "bf16": 5e-2}
OURS = "ours"
SECONDS_PER_ROUND = 1.0


class Unable(Exception):
    """A program that does not run here, and why."""


class Program(NamedTuple):
    """One setting of a runtime, ready to run one batch."""

    setting: str
    output: Callable[[], torch.Tensor]
    ms_per_image: Callable[[], float]


class Case(NamedTuple):
    """What every program is given."""

    checkpoint: pathlib.Path
    model: UNet
    x: torch.Tensor
    timesteps: torch.Tensor
    threads: int
    scratch: pathlib.Path
    ddpm: pathlib.Path

    @property
    def batch(self) -> int:
        return len(self.x)


def make_case(checkpoint: pathlib.Path, batch: int, threads: int, scratch: pathlib.Path, ddpm: pathlib.Path) -> Case:
    torch.set_num_threads(threads)
    model = load(checkpoint)
    return Case(checkpoint, model, *inputs(model, batch), threads, scratch, ddpm)


def in_process(case: Case, setting: str, call: Callable[[], torch.Tensor]) -> Program:
    def ms_per_image() -> float:
        call()
        times, end = [], time.perf_counter() + SECONDS_PER_ROUND
        while len(times) < 3 or time.perf_counter() < end:
            begin = time.perf_counter()
            call()
            times.append(time.perf_counter() - begin)
        return statistics.median(times) * 1e3 / case.batch

    return Program(setting, call, ms_per_image)


def torch_eager(case: Case, precision: str) -> Iterator[Program]:
    for layout, memory_format in [("NCHW", torch.contiguous_format), ("channels last", torch.channels_last)]:
        model = copy.deepcopy(case.model).to(memory_format=memory_format)
        x = case.x.to(memory_format=memory_format)
        if precision == "f32":

            @torch.inference_mode()
            def call(model=model, x=x) -> torch.Tensor:
                return model(x, case.timesteps)

            yield in_process(case, layout, call)
        else:

            @torch.inference_mode()
            @torch.autocast("cpu", torch.bfloat16)
            def autocast(model=model, x=x) -> torch.Tensor:
                return model(x, case.timesteps)

            yield in_process(case, f"autocast, {layout}", autocast)

            # Autocast converts the weights in every call; here they are bf16 once and for all.
            @torch.inference_mode()
            def converted(model=copy.deepcopy(model).bfloat16(), x=x) -> torch.Tensor:
                return model(x, case.timesteps)

            yield in_process(case, f"bf16 weights, {layout}", converted)


def torch_compiled(case: Case, precision: str) -> Iterator[Program]:
    torch._inductor.config.freezing = True  # weights are constants, laid out in advance; chooses the layout as well
    model = copy.deepcopy(case.model)
    if precision == "bf16":
        model = model.bfloat16()
    compiled = torch.compile(model, dynamic=False)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return compiled(case.x, case.timesteps)

    yield in_process(case, "frozen weights", call)


class Body(torch.nn.Module):
    def __init__(self, model: UNet):
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        return self.model.body(x, waves)


def waves(case: Case) -> torch.Tensor:
    """Cosines and sines of the timesteps, kept out of the graph: a runtime told to use bf16 would use it for the
    angles too. They are computed in every timed call."""
    return embed_timesteps(case.timesteps, case.model.architecture.model_channels)


def onnx_file(case: Case) -> pathlib.Path:
    """The network as ONNX, of this batch size."""
    path = case.scratch / f"batch-{case.batch}.onnx"
    if not path.exists():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Body(case.model), (case.x, waves(case)), path, dynamo=False, opset_version=18,
                input_names=["x", "waves"], output_names=["output"],
            )  # fmt: skip
    return path


def onnx_runtime(case: Case, precision: str) -> Iterator[Program]:
    if precision != "f32":
        raise Unable("its CPU provider has no bf16 convolution")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.intra_op_num_threads = case.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(onnx_file(case), options, providers=["CPUExecutionProvider"])

    def call() -> torch.Tensor:
        (output,) = session.run(None, {"x": case.x.numpy(), "waves": waves(case).numpy()})
        return torch.from_numpy(output)

    yield in_process(case, "all graph optimisations", call)


def open_vino(case: Case, precision: str) -> Iterator[Program]:
    core = openvino.Core()
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise Unable("it has no bf16 on this processor")
    config = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": case.threads,
        "INFERENCE_PRECISION_HINT": precision,
    }
    compiled = core.compile_model(core.read_model(onnx_file(case)), "CPU", config)
    found = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
    if found != precision:
        raise Unable(f"it chose {found}")
    request = compiled.create_infer_request()
    request.set_tensor("x", openvino.Tensor(case.x.numpy(), shared_memory=True))

    def call() -> torch.Tensor:
        request.set_tensor("waves", openvino.Tensor(waves(case).numpy()))
        request.infer()
        return torch.from_numpy(request.get_tensor("output").data)

    yield in_process(case, "latency hint", call)


def ours(case: Case, precision: str) -> Iterator[Program]:
    def run(*words: object) -> str:
        """Output of `ddpm COMMAND CHECKPOINT OPTIONS...`."""
        command = [str(word) for word in (case.ddpm, words[0], case.checkpoint, *words[1:], "--threads", case.threads)]
        try:
            return subprocess.run(command, check=True, capture_output=True, text=True).stdout
        except OSError as error:
            raise Unable(str(error)) from error
        except subprocess.CalledProcessError as error:
            said = next(iter(error.stderr.splitlines()), "")
            raise Unable(f"`ddpm {words[0]}` exits with {error.returncode}: {said}") from error

    width = ["--precision", precision] if precision != "f32" else []

    def output() -> torch.Tensor:
        given, computed = case.scratch / "input.safetensors", case.scratch / "output.safetensors"
        save_file({"x": case.x, "timesteps": case.timesteps}, given)
        run("predict", "--input", given, "--output", computed, "--batch", case.batch, *width)
        return load_file(computed)["output"]

    def ms_per_image() -> float:
        report = json.loads(run("bench", "--batch", case.batch, "--precision", precision, "--json"))
        asked = {"batch": case.batch, "precision": precision, "threads": case.threads}
        for key, value in asked.items():
            if report[key] != value:
                raise Unable(f"`ddpm bench` reports {key} {report[key]}, expected {value}")
        return report["ms_per_image"]

    output()
    ms_per_image()
    yield Program("", output, ms_per_image)


PROGRAMS = {
    OURS: ours,
    "PyTorch eager": torch_eager,
    "PyTorch compiled": torch_compiled,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": open_vino,
}


def serve(pipe: Connection, given: tuple, name: str, precision: str) -> None:
    """A program's process: sends settings and outputs, or why there are none, then a time whenever asked for one."""
    try:
        programs = list(PROGRAMS[name](make_case(*given), precision))
        pipe.send([(program.setting, program.output().numpy()) for program in programs])
    except Exception as error:  # whatever a runtime raises, the others can still be measured
        reason = str(error) if isinstance(error, Unable) else f"{type(error).__name__}: {error}"
        pipe.send(next(iter(reason.splitlines()), ""))
        return
    while (index := pipe.recv()) is not None:
        pipe.send(programs[index].ms_per_image())


class Worker:
    """The process of one program, seen from here."""

    def __init__(self, given: tuple, name: str, precision: str):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=serve, args=(theirs, given, name, precision))
        self.process.start()
        theirs.close()
        found = self.receive()
        if isinstance(found, str):
            self.process.join()
            raise Unable(found)
        self.outputs: list[tuple[str, np.ndarray]] = found

    def receive(self):
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            raise Unable(f"its process ended with {self.process.exitcode}") from None

    def ms_per_image(self, index: int) -> float:
        self.pipe.send(index)
        return self.receive()

    def end(self) -> None:
        if self.process.is_alive():
            self.pipe.send(None)
        self.process.join()


class Row(NamedTuple):
    """What was measured of one program."""

    batch: int
    precision: str
    program: str
    setting: str
    error: float
    rounds: list[float]

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)


class Absence(NamedTuple):
    """What was not measured."""

    batch: int
    precision: str
    program: str
    reason: str


def measure(given: tuple, precisions: list[str], skipped: list[str], rounds: int) -> tuple[list[Row], list[Absence]]:
    case = make_case(*given)
    onnx_file(case)
    with torch.inference_mode():
        expected = case.model(case.x, case.timesteps).numpy()
    workers: list[Worker] = []
    ready: list[tuple[Worker, int, Row]] = []
    absent: list[Absence] = []
    try:
        for precision in precisions:
            for name in PROGRAMS:
                if name in skipped:
                    continue
                try:
                    worker = Worker(given, name, precision)
                except Unable as reason:
                    absent.append(Absence(case.batch, precision, name, str(reason)))
                    continue
                workers.append(worker)
                for index, (setting, output) in enumerate(worker.outputs):
                    error = float(np.abs(output - expected).max() / np.abs(expected).max())
                    if not error <= TOLERANCE[precision]:
                        sys.exit(
                            f"{name} ({setting}, {precision}, batch {case.batch}) differs from PyTorch in f32: "
                            f"{error:.3g}, expected at most {TOLERANCE[precision]:g}"
                        )
                    ready.append((worker, index, Row(case.batch, precision, name, setting, error, [])))
        for _ in range(rounds):
            for worker, index, row in ready:
                row.rounds.append(worker.ms_per_image(index))
    finally:
        for worker in workers:
            worker.end()
    return [row for _, _, row in ready], absent


def fastest(rows: list[Row]) -> dict[tuple[str, str], Row]:
    """By precision and program."""
    best: dict[tuple[str, str], Row] = {}
    for row in rows:
        key = row.precision, row.program
        if key not in best or row.median < best[key].median:
            best[key] = row
    return best


def print_table(batch: int, rows: list[Row], absent: list[Absence]) -> None:
    print(f"\nbatch {batch}\n")
    print("| program | precision | ms per image | min..max | / ours | difference | fastest setting |")
    print("|---|---|---|---|---|---|---|")
    best = fastest(rows)
    for (precision, program), row in best.items():
        baseline = best.get((precision, OURS))
        ratio = f"{row.median / baseline.median:.2f}" if baseline else "-"
        extent = f"{min(row.rounds):.4g}..{max(row.rounds):.4g}"
        print(
            f"| {program} | {precision} | {row.median:.4g} | {extent} | {ratio} | {row.error:.1e} | {row.setting} |"
        )
    for absence in absent:
        print(f"| {absence.program} | {absence.precision} | not run | | | | {absence.reason} |")


def processor() -> str:
    """Its name, and what it has of the instructions that matter to bf16."""
    try:
        facts = dict(
            (word.strip() for word in line.split(":", 1))
            for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines()
            if ":" in line
        )
    except OSError:
        return platform.processor() or platform.machine()
    flags = [flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in facts.get("flags", "").split()]
    return f"{facts.get('model name', platform.machine())} ({' '.join(flags)})"


def options() -> argparse.Namespace:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("checkpoint", type=pathlib.Path)
    words.add_argument("--batches", default="1,8,16", type=lambda text: [int(word) for word in text.split(",")])
    words.add_argument("--precisions", default="f32,bf16", type=lambda text: text.split(","))
    words.add_argument("--rounds", default=5, type=int)
    words.add_argument("--threads", default=len(os.sched_getaffinity(0)), type=int)
    words.add_argument("--skip", default=[], type=lambda text: text.split(","), help=", ".join(PROGRAMS))
    words.add_argument("--ddpm", default=ROOT / "target/release/ddpm", type=pathlib.Path)
    words.add_argument("--json", type=pathlib.Path)
    given = words.parse_args()
    for name, allowed in [("precisions", TOLERANCE), ("skip", PROGRAMS)]:
        for word in getattr(given, name):
            if word not in allowed:
                words.error(f"--{name}: expected some of {', '.join(allowed)}, found '{word}'")
    return given


def main() -> None:
    given = options()
    torch.set_num_threads(given.threads)
    model = load(given.checkpoint)
    gflop = sum(work(model).values()) / 1e9
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
        "openvino": openvino.__version__,
        "numpy": np.__version__,
    }
    print(f"{given.checkpoint.name}: {parameters(model):,} parameters, {gflop:.2f} GFLOP per image")
    print(f"{processor()}, {given.threads} threads, {given.rounds} interleaved rounds")
    print(f"load average before: {os.getloadavg()[0]:.2f}")
    print(", ".join(f"{name} {version}" for name, version in versions.items()))
    print("differences from PyTorch in f32: at most " + ", ".join(f"{v:g} ({k})" for k, v in TOLERANCE.items()))

    all_rows: list[Row] = []
    all_absent: list[Absence] = []
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for batch in given.batches:
        with tempfile.TemporaryDirectory(dir=SCRATCH) as scratch:
            case = given.checkpoint, batch, given.threads, pathlib.Path(scratch), given.ddpm
            rows, absent = measure(case, given.precisions, given.skip, given.rounds)
        print_table(batch, rows, absent)
        sys.stdout.flush()
        all_rows += rows
        all_absent += absent
    if given.json:
        report = {
            "checkpoint": given.checkpoint.name,
            "parameters": parameters(model),
            "gflop_per_image": gflop,
            "processor": processor(),
            "threads": given.threads,
            "versions": versions,
            "tolerance": TOLERANCE,
            "measured": [{**row._asdict(), "median_ms_per_image": row.median} for row in all_rows],
            "not_run": [absence._asdict() for absence in all_absent],
        }
        given.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
