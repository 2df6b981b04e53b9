"""A function of (x, t) as a network: arrays of the user's library, a fixed batch, checks."""

from __future__ import annotations

import contextlib
import hashlib
import sys
import warnings
from typing import Any, Callable, Sequence

import numpy as np

from . import _core
from ._checks import room, whole, wholes

LIBRARIES = ("numpy", "torch", "jax")


class Denoiser:
    """A network under a process.

    fn: called as `fn(x, t)`, as `fn(x, t, labels)` where there are classes, always on the thread that called this package. `x` has shape
        `[batch, *shape]` and is a state of the process itself; `t` has shape `[batch]` and is the network's own time: int64 from 0 of a `vp` process, s of
        a flow, sigma of an `edm` process (log(sigma) / 4 under `prediction="edm"`). It returns what the network puts out, of x's shape; under
        `learned_variance=True` with twice the channels (axis 1), as improved-diffusion's networks have, or a pair.
    process: a `Process`.
    prediction: what comes out: `epsilon`, `x0`, `v`, `velocity` (of a flow: epsilon - x0) or `edm` (F of Karras et al. 2022, `sigma_data`).
    shape: of one datum, without the batch.
    like: whose arrays `fn` takes: `numpy`, `torch` or `jax`. Left out, it is torch where `fn` is a torch module or `device` or a dtype of torch is given, else numpy.
    dtype, device: of x, as that library names them; float32 where left out. t has the same device.
    batch: rows of every call. A last batch that is not full is filled up by rows of itself.
    classes: their number, of a network that is conditional on labels.
    name: says which weights these are, for `resume=True`. A torch module without a name goes by the hash of its weights, and by nothing else of it (a guidance scale, its code);
        runs of other functions without one are not resumed.
    check: call `fn` once now, and see whether shapes fit, numbers are finite and rows depend on their batch mates.
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        process: _core.Process,
        prediction: str = "epsilon",
        shape: Sequence[int] = (3, 32, 32),
        *,
        like: str | None = None,
        dtype: Any = None,
        device: Any = None,
        batch: int = 16,
        classes: int | None = None,
        learned_variance: bool = False,
        sigma_data: float = 0.5,
        name: str | None = None,
        check: bool = True,
    ) -> None:
        if not callable(fn):
            raise TypeError(f"fn: expected a function of (x, t), found {type(fn).__name__}")
        if not isinstance(process, _core.Process):
            raise TypeError(
                "process: expected a Process, such as Process.vp(alphas_cumprod) or Process.flow(), "
                f"found {type(process).__name__}"
            )
        if not isinstance(prediction, str):
            raise TypeError(
                f"prediction: expected a name such as 'epsilon', found {prediction!r}; the shape of a datum is shape=(3, 32, 32)"
            )
        if like is None:
            modules = [type(thing).__module__.partition(".")[0] for thing in (dtype, device)]
            torch = sys.modules.get("torch")
            is_module = torch is not None and isinstance(fn, torch.nn.Module)
            of_torch = is_module or device is not None or "torch" in modules
            like = "torch" if of_torch else "numpy"
        if like not in LIBRARIES:
            raise ValueError(f"like: expected one of {', '.join(LIBRARIES)}, found {like!r}")
        shape = tuple(wholes("shape", shape))
        batch = whole("batch", batch, 1)
        room("shape", batch, *shape)
        try:
            sigma_data = float(sigma_data)
        except (TypeError, ValueError):
            raise ValueError(f"sigma_data: expected a number, found {sigma_data!r}") from None
        is_whole = process.kind == "vp" and prediction != "edm"
        # Not a method of this object: the compiled half holds it, and Python could not free what holds itself through there.
        self._call = _Function(fn, _Arrays(like, dtype, device), shape, batch, is_whole, bool(learned_variance))
        self._classes = None if classes is None else whole("classes", classes, 1)
        self._batch = batch
        _check_process(process, prediction)
        self._of = (process, prediction, list(shape), sigma_data, bool(learned_variance))
        self._given_name = name
        self._make(name)
        #: Whether a row's output was the same bits beside other rows, where that was tried.
        self.rows_are_independent: bool | None = None
        if check:
            self._check()

    def _make(self, name: str | None) -> None:
        process, prediction, shape, sigma_data, learned_variance = self._of
        self._core = _core.Denoiser(
            self._call,
            process,
            prediction,
            shape,
            sigma_data=sigma_data,
            name=name,
            classes=self._classes,
            learns_variance=learned_variance,
            batch=self._batch,
        )
        #: Which weights these are; None where nobody said and nothing was kept.
        self.name = name

    def _take_name(self) -> None:
        """A module of PyTorch without a name goes by the hash of its weights as they are now, which takes a second for some hundred million of them."""
        torch = sys.modules.get("torch")
        if self._given_name is None and torch is not None and isinstance(self._call.fn, torch.nn.Module):
            found = _hash_of(self._call.fn)
            self._make(None if found is None else f"weights {found}")

    @property
    def process(self) -> _core.Process:
        """The process that the network was trained on."""
        return self._core.process

    @property
    def prediction(self) -> str:
        """What the network puts out."""
        return self._core.prediction

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one datum."""
        return tuple(self._core.shape)

    def __repr__(self) -> str:
        return f"Denoiser({self.prediction}, {self.process!r}, shape={self.shape})"

    def _check(self) -> None:
        n = self.process.train_steps
        node = max(1, n // 2)
        rng = np.random.default_rng(0)
        x = rng.standard_normal((self._batch, *self.shape)).astype(np.float32)
        t = np.full(self._batch, self._core.time(node))
        labels = None if self._classes is None else np.zeros(self._batch, np.int64)
        # Copies: a function may change what it is shown, or return the same memory again.
        try:
            together = np.array(self._call(x.copy(), t.copy(), labels)[0])
        except Exception as error:
            _note(error, f"fn was called with {self._call.arrays.like}'s x of shape {x.shape}: shape= is that of one datum; "
                         "of PyTorch's functions say like=\"torch\", dtype= and device=")
            raise
        self._check_noise(x, labels)
        if self._batch > 1:
            self._check_rows(x, t, labels, together)

    def _check_rows(self, x: np.ndarray, t: np.ndarray, labels: np.ndarray | None, together: np.ndarray) -> None:
        """The first row again: beside other rows of other times, and in the last place."""
        n = self.process.train_steps
        times = np.array([self._core.time(1 + i % n) for i in range(self._batch)])
        other = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
        rows = []
        for place in (0, -1):
            beside, told = other.copy(), times.copy()
            beside[place], told[place] = x[0], t[0]
            rows.append(np.array(self._call(beside, told, labels)[0][place]))
        scale = max(1.0, float(np.abs(together[0]).max()))
        difference = max(float(np.abs(together[0] - row).max()) for row in rows) / scale
        self.rows_are_independent = bool(np.array_equal(together[0], rows[0]))
        # bfloat16 has two digits and a half.
        if difference > (1e-3 if self._call.arrays.is_single() else 3e-2):
            raise ValueError(
                "fn: a row's output depends on the rows beside it, on their times, or on chance (largest relative difference "
                f"{difference:.2g}); expected every row by itself: a network in evaluation mode (model.eval()) that reads all of t. "
                "check=False takes it as it is, for follow and sample, whose batches have one time"
            )

    def _check_noise(self, x: np.ndarray, labels: np.ndarray | None) -> None:
        """At the noisiest node a state is nearly noise, which epsilon and a velocity (epsilon - x0) go with, x0 and v not."""
        n = self.process.train_steps
        if self.prediction == "edm" or n < 2:
            return
        node = n if self.process.alphas[n] > 0 or self.prediction != "epsilon" else n - 1
        alpha, sigma = self.process.alphas[node], self.process.sigmas[node]
        if alpha > 0.1 * sigma:
            return
        x = x * np.float32(np.hypot(alpha, sigma))
        found, _ = self._call(x.copy(), np.full(self._batch, self._core.time(node)), labels)
        lengths = np.linalg.norm(x.astype(np.float64)) * np.linalg.norm(found.astype(np.float64))
        along = float(np.sum(x * found, dtype=np.float64)) / max(float(lengths), 1e-300)
        if self.prediction in ("epsilon", "velocity"):
            if along < 0:
                self._warn(
                    f"at the noisiest time its output points against the state; expected {self.prediction} with it. Does its time run the other "
                    "way, or its sign? Of a network that is told 1 at the data and returns x1 - x0: lambda x, t: -net(x, 1 - t), with like=\"torch\""
                )
            elif self.prediction == "epsilon" and along < 0.3:
                self._warn(
                    f"at the noisiest time its output hardly goes with the state (correlation {along:.2f}); expected epsilon, which is nearly the "
                    "state there. Is it a network of another prediction (x0, v), or told another time?"
                )
        elif x.size >= 32 and np.linalg.norm(found - x / sigma) < 0.3 * np.linalg.norm(x / sigma):
            self._warn(
                f"at the noisiest time its output is nearly the noise of the state, as epsilon is; expected {self.prediction}. "
                "Is it a network that predicts epsilon?"
            )

    @staticmethod
    def _warn(text: str) -> None:
        warnings.warn(f"fn: {text}", stacklevel=5)


def _check_process(process: _core.Process, prediction: str) -> None:
    """Warns of lists of a chain that are probably others."""
    if process.kind != "vp":
        return
    left = float(process.alphas[-1]) ** 2
    if left > 0.1:
        warnings.warn(
            f"process: alpha_bar is {left:.2g} at the noisiest timestep; expected next to nothing of the data there: products of 1 - beta "
            "(scheduler.alphas_cumprod), no alphas and no betas",
            stacklevel=3,
        )
    if prediction in ("velocity", "flow", "flow_prediction"):
        warnings.warn(
            "prediction: velocity (epsilon - x0) is what networks of a flow put out; of a vp process expected \"v\" (alpha epsilon - sigma x0)",
            stacklevel=3,
        )


def _hash_of(module: Any) -> str | None:
    """None where weights do not tell one module from another: there are none, or some are no plain tensors."""
    found, state = hashlib.blake2b(digest_size=16), module.state_dict()
    if not state or not all(hasattr(value, "detach") for value in state.values()):
        return None
    for key, value in state.items():
        found.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        whole = value.detach().cpu().contiguous().reshape(-1)
        try:
            found.update(whole.view(sys.modules["torch"].uint8).numpy())
        except (RuntimeError, TypeError):
            return None
    return found.hexdigest()


def _note(error: Exception, text: str) -> None:
    """Adds to what an exception of the user's function says; a warning before Python 3.11."""
    if hasattr(error, "add_note"):
        error.add_note(text)
    else:
        warnings.warn(text, stacklevel=4)


class _Function:
    """The user's function as the core asks it."""

    def __init__(
        self, fn: Callable[..., Any], arrays: _Arrays, shape: tuple[int, ...], batch: int, whole: bool, learned: bool
    ) -> None:
        self.fn, self.arrays, self.shape = fn, arrays, shape
        self.batch, self.whole, self.learned = batch, whole, learned

    def __call__(
        self, x: np.ndarray, t: np.ndarray, labels: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """What the core asks: float32 `[b, *shape]`, float64 `[b]`, int64 `[b]`; float32 comes back."""
        rows = len(x)
        if rows < self.batch:
            fill = np.resize(np.arange(rows), self.batch)
            x, t = x[fill], t[fill]
            labels = None if labels is None else labels[fill]
        if self.whole:
            t = np.rint(t).astype(np.int64)
        with self.arrays.without_gradients():
            given = [self.arrays.state(x), self.arrays.time(t)]
            if labels is not None:
                given.append(self.arrays.time(labels))
            found = self.fn(*given)
        mean, variance = self._split(found, len(x))
        return mean[:rows], None if variance is None else variance[:rows]

    def _split(self, found: Any, rows: int) -> tuple[np.ndarray, np.ndarray | None]:
        expected = (rows, *self.shape)
        if type(found) in (tuple, dict) and not self.learned:
            raise ValueError(f"fn: expected an array, found {type(found).__name__}: return the output itself")
        if self.learned and isinstance(found, (tuple, list)):
            parts = [self.arrays.numbers(part) for part in found]
            if len(parts) != 2:
                raise ValueError(f"fn: expected (output, variance), found {len(parts)} arrays")
        else:
            whole = self.arrays.numbers(found)
            if self.learned:
                wanted = (rows, 2 * self.shape[0], *self.shape[1:])
                if whole.shape != wanted:
                    raise ValueError(
                        f"fn: expected an output of shape {wanted}, twice the channels, found {whole.shape}"
                    )
                parts = np.split(whole, 2, axis=1)
            else:
                parts = [whole]
        for part in parts:
            if part.shape != expected:
                twice = part.shape == (rows, 2 * self.shape[0], *self.shape[1:])
                advice = "; of twice the channels, where variances are learned, say learned_variance=True" if twice else ""
                raise ValueError(f"fn: expected an output of shape {expected}, found {part.shape}{advice}")
            if not np.isfinite(part).all():
                raise ValueError("fn: expected finite numbers, found NaN or infinity in its output")
        mean, variance = (*parts, None)[:2]
        return mean, variance


class _Arrays:
    """Arrays of the user's library from NumPy's and back. The library is imported only if it was asked for."""

    def __init__(self, like: str, dtype: Any, device: Any) -> None:
        self.like, self.dtype, self.device = like, dtype, device
        if like == "torch":
            import torch

            if isinstance(dtype, str):
                self.dtype = getattr(torch, dtype, None)
            if dtype is not None and not (isinstance(self.dtype, torch.dtype) and self.dtype.is_floating_point):
                raise ValueError(f"dtype: expected one of floats, found {dtype!r}")
            self._torch = torch
        elif like == "jax":
            import jax.numpy

            self._jax = jax.numpy
        elif dtype is not None:
            try:
                kind = np.dtype(dtype).kind
            except TypeError:
                kind = ""
            if kind != "f":
                raise ValueError(f"dtype: expected one of floats, found {dtype!r}")

    def is_single(self) -> bool:
        """Whether x has at least single precision."""
        return not any(half in str(self.dtype) for half in ("16", "float8"))

    def without_gradients(self) -> contextlib.AbstractContextManager[Any]:
        return self._torch.no_grad() if self.like == "torch" else contextlib.nullcontext()

    def state(self, x: np.ndarray) -> Any:
        return self._make(x, self.dtype if self.dtype is not None else "float32")

    def time(self, t: np.ndarray) -> Any:
        return self._make(t, None)

    def _make(self, values: np.ndarray, dtype: Any) -> Any:
        if self.like == "torch":
            dtype = self._torch.float32 if dtype == "float32" else dtype
            if values.dtype == np.float64 and dtype is None:
                dtype = self._torch.float32
            tensor = self._torch.from_numpy(np.ascontiguousarray(values))
            return tensor.to(device=self.device, dtype=dtype)
        if self.like == "jax":
            return self._jax.asarray(values, dtype=dtype)
        return values if dtype is None else values.astype(dtype, copy=False)

    def numbers(self, found: Any) -> np.ndarray:
        if hasattr(found, "sample") and not hasattr(found, "shape"):
            # The output of a network of diffusers.
            found = found.sample
        if hasattr(found, "detach"):
            found = found.detach().to(device="cpu").float().numpy()
        return np.ascontiguousarray(found, dtype=np.float32)
