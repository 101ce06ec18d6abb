"""A ``.npy`` file of one pickled dictionary of numbers, read without running anything that it holds.

A pickle may name any function and call it. This unpickler has five names, those that a NumPy array of numbers needs,
and all five are stand-ins of its own: a pickle that names anything else is refused before anything is called.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import UsageError

_MOST_BYTES = 1 << 20
_KINDS = ("b", "i", "u", "f")


class _Refused(Exception):
    pass


def read_pickled_numbers(url: str) -> dict[str, Any]:
    """Read a pickled dictionary of numbers, text, lists and arrays of numbers.

    Raises:
        InputAccessError: it cannot be read.
        UsageError: it holds something else, is damaged, or is larger than any parameter file (1 MiB).
    """
    data = storage.read_bytes(url)
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{url}: {len(data)} bytes; a file of camera parameters has a few thousand.")
    stream = io.BytesIO(data)
    try:
        npy_format.read_magic(stream)
        shape, _, dtype = npy_format.read_array_header_1_0(stream)
        if shape != () or dtype != np.dtype(object):
            raise _Refused(f"an array of {dtype} with shape {shape} instead of one pickled dictionary")
        held = _plain(_NumbersOnly(stream).load())
    except _Refused as error:
        raise UsageError(f"{url} holds {error}; parameters are numbers only. Nothing of it was run.") from error
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises most kinds
        raise UsageError(f"{url}: no readable .npy file of parameters ({type(error).__name__}: {error}).") from error
    if not isinstance(held, dict) or not all(isinstance(key, str) for key in held):
        raise UsageError(f"{url}: wanted one pickled dictionary with names; got {type(held).__name__}.")
    return held


class _DType:
    """Stands in for numpy.dtype: what it was called with, and the byte order of its state."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = str(code), "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.order = state[1] if state[1] in ("<", ">", "=", "|") else "="

    @property
    def is_object(self) -> bool:
        return self.code in ("O", "O8")

    def numpy(self) -> np.dtype[Any]:
        if not (self.code[:1] in _KINDS and self.code[1:].isdigit()):
            raise _Refused(f"values of the type {self.code!r}")
        return np.dtype(self.order + self.code)


class _Array:
    """Stands in for a numpy.ndarray: its state, made an array by :func:`_plain`."""

    state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state


def _array(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: _DType, content: bytes) -> Any:
    return np.frombuffer(content, dtype.numpy(), count=1)[0].item()


def _latin1(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise _Refused(f"text in the encoding {encoding!r}")
    return text.encode("latin1")


class _ArrayType:
    """Stands in for the class numpy.ndarray, which a pickle names and never calls."""


_NAMES: Mapping[tuple[str, str], Callable[..., Any]] = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
    ("numpy", "ndarray"): _ArrayType,
    ("numpy", "dtype"): _DType,
    ("_codecs", "encode"): _latin1,
}


class _NumbersOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise _Refused(f"the name {module}.{name}")
        return _NAMES[module, name]


def _plain(value: Any) -> Any:
    """Turn stand-ins into what they stand for, through dictionaries, lists and tuples."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if not isinstance(value, _Array):
        if not isinstance(value, str | bytes | int | float | None):
            raise _Refused(f"something of the type {type(value).__name__}")
        return value
    _, shape, dtype, by_columns, content = value.state
    if dtype.is_object:
        if shape != ():
            raise _Refused(f"an array of objects with shape {shape}")
        return _plain(content[0])
    numbers: NDArray[Any] = np.frombuffer(content, dtype.numpy())
    return numbers.reshape(shape, order="F" if by_columns else "C").copy()
