"""Arrays out of MATLAB files: version 5 by SciPy, version 7.3, which is HDF5, by h5py."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import SampleError, UsageError

_HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
# A MATLAB 7.3 file has 512 bytes of its own before the HDF5 signature.
_HDF5_STARTS = (0, 512)


def read_array(url: str, name: str) -> NDArray[Any]:
    """Read one variable, with the dimensions that MATLAB shows.

    The whole file is held in memory while it is read.

    Args:
        url: file of MATLAB 5 to 7, or 7.3.
        name: the variable.

    Raises:
        UsageError: the package that reads this version is not installed; the message names the extra.
        SampleError: damaged, no MATLAB file, or without an array of numbers of that name.
        InputAccessError: it cannot be reached.
    """
    data = storage.read_bytes(url)
    hdf5 = any(data[start : start + 8] == _HDF5_MAGIC for start in _HDF5_STARTS)
    array = _read_hdf5(data, name, url) if hdf5 else _read_level5(data, name, url)
    if array is None:
        raise SampleError(f"{url} has no variable {name!r}; is it the file that its name says?")
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise SampleError(f"{url}: {name!r} is no array of numbers; it cannot be a RAW image.")
    return array


def _read_hdf5(data: bytes, name: str, url: str) -> NDArray[Any] | None:
    try:
        import h5py
    except ImportError as error:
        raise UsageError(f"{url} is a MATLAB 7.3 file, which h5py reads: pip install 'rawsynth[sidd]'") from error
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            held = file.get(name)
            # HDF5 counts rows first where MATLAB counts columns first.
            return None if not isinstance(held, h5py.Dataset) else np.asarray(held[()]).T
    except (OSError, KeyError, RuntimeError, ValueError, TypeError, EOFError) as error:
        raise SampleError(f"{url}: damaged MATLAB 7.3 file of {len(data)} bytes: {error}. Is it whole?") from error


def _read_level5(data: bytes, name: str, url: str) -> NDArray[Any] | None:
    try:
        from scipy.io import loadmat
    except ImportError as error:
        raise UsageError(f"{url} is a MATLAB 5 file, which SciPy reads: pip install 'rawsynth[sidd]'") from error
    try:
        found: NDArray[Any] | None = loadmat(io.BytesIO(data), variable_names=[name]).get(name)
    except Exception as error:  # noqa: BLE001 - SciPy's reader raises most kinds over damaged content
        cause = f"{type(error).__name__}: {error}"
        raise SampleError(f"{url}: cannot read {len(data)} bytes as a MATLAB file: {cause}. Is it whole?") from error
    return found
