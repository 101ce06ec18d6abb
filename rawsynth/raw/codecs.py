"""Arrays and metadata as the members of a WebDataset sample."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray
from PIL import Image

Members = dict[str, bytes]
JPEG_QUALITY = 95


@lru_cache(maxsize=256)
def _npy_header(shape: tuple[int, ...]) -> bytes:
    buffer = io.BytesIO()
    header: Any = {"descr": "<u2", "fortran_order": False, "shape": shape}
    npy_format.write_array_header_1_0(buffer, header)
    return buffer.getvalue()


def encode_npy(dn: NDArray[np.uint16]) -> bytes:
    """Encode DN as an NPY 1.0 file of little-endian uint16."""
    array = np.ascontiguousarray(dn, dtype="<u2")
    return b"".join((_npy_header(array.shape), array.data.cast("B")))


def decode_npy(data: bytes) -> NDArray[np.uint16]:
    """Decode what :func:`encode_npy` wrote; pickled arrays are refused."""
    array: NDArray[np.uint16] = npy_format.read_array(io.BytesIO(data), allow_pickle=False)
    return array


def encode_json(data: Mapping[str, Any]) -> bytes:
    """Encode metadata as ASCII JSON with sorted keys, so that equal metadata are equal bytes."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False).encode("ascii")


def encode_jpeg(srgb: NDArray[Any]) -> bytes:
    """Encode ``(3, H, W)`` sRGB, uint8 or float in [0, 1], as JPEG without chroma subsampling."""
    pixels = srgb if srgb.dtype == np.uint8 else np.rint(srgb * 255).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0))).save(
        buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0
    )
    return buffer.getvalue()


def noisy_members(realizations: int) -> Sequence[str]:
    """Names of the noisy members: ``noisy.npy``, or ``noisy.0.npy``, ``noisy.1.npy``, ... if there are several."""
    return ["noisy.npy"] if realizations == 1 else [f"noisy.{k}.npy" for k in range(realizations)]
