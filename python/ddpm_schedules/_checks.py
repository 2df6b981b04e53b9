"""Arguments that are numbers: what was expected is said with the argument's name."""

from __future__ import annotations

import operator
from typing import Any, Iterable

import numpy as np


def whole(name: str, value: Any, least: int = 0) -> int:
    """A whole number of at least `least`; NumPy's integers are some."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not least <= number < 1 << 63:
        raise ValueError(f"{name}: expected a whole number of at least {least}, found {value!r}")
    return number


def wholes(name: str, values: Any, least: int = 0) -> list[int]:
    """A list of them; one alone is a list too."""
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{name}: expected whole numbers, found {values!r}")
    if not isinstance(values, Iterable) or getattr(values, "ndim", 1) == 0:
        return [whole(name, values, least)]
    return [whole(name, value, least) for value in values]


def room(name: str, *shape: int) -> None:
    """MemoryError where so many float32 cannot be had: said here, because nobody catches what is allocated in Rust."""
    try:
        np.empty(shape, np.float32)
    except (MemoryError, ValueError) as error:
        raise MemoryError(f"{name}: {' x '.join(map(str, shape))} numbers do not fit into memory") from error


def wrapping(progress: Any) -> Any:
    """`progress` as it was given, if it is a function."""
    if progress is not None and not callable(progress):
        raise TypeError(f"progress: expected a function of a range, such as tqdm.tqdm, found {progress!r}")
    return progress
