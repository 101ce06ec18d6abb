"""Damage to safetensors files: their bytes, or a header that lies about what follows."""

from __future__ import annotations

import json
import struct
from copy import deepcopy
from random import Random
from typing import Any

from tests.faults.documents import VALUES, mutate_json
from tests.faults.mutation import ODD_NUMBERS, mutate

_DTYPES = ("F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F8_E5M2", "C64", "F4", "x", "", 5, None)
_SHAPES: tuple[Any, ...] = ([], [0], [2**62, 4], [2**32, 2**32], [-1], [1] * 70, ["x"], None, [1e9], 5)


def split_tensors(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return header and content."""
    (length,) = struct.unpack("<Q", data[:8])
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def joined_tensors(header: Any, content: bytes) -> bytes:
    """Put a header, whatever it is, before content."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + content


def mutate_tensors(data: bytes, rng: Random) -> bytes:
    """Damage a safetensors file."""
    kind = rng.randrange(8)
    if kind < 2:
        return mutate(data, rng, b"PK\x03\x04\x80\x02" + data)
    if kind == 2:
        return struct.pack("<Q", rng.choice((*ODD_NUMBERS, len(data), len(data) - 8, 2**64 - 1))) + data[8:]
    header, content = split_tensors(data)
    names = [name for name in header if name != "__metadata__"]
    if kind == 3:
        held = header[rng.choice(names)]
        held["dtype"] = rng.choice(_DTYPES)
    elif kind == 4:
        held = header[rng.choice(names)]
        shape = held["shape"]
        held["shape"] = rng.choice((*_SHAPES, shape[::-1], [*shape, 1]))
    elif kind == 5:
        held = header[rng.choice(names)]
        place = rng.choice(([0, 2**62], [5, 1], [-4, 4], [0, len(content)], ["0", "4"], [0], [], None, [0.0, 4.0]))
        held["data_offsets"] = place
    elif kind == 6:
        header["__metadata__"] = _other_metadata(header["__metadata__"], rng)
    else:
        header = rng.choice((mutate_json(header, rng), {**header, "extra": deepcopy(rng.choice(VALUES))}, []))
    return joined_tensors(header, content)


def _other_metadata(stated: dict[str, str], rng: Random) -> Any:
    name = rng.choice(sorted(stated))
    try:
        inner = json.loads(stated[name])
    except ValueError:
        inner = None
    if isinstance(inner, dict) and rng.random() < 0.7:
        return {**stated, name: json.dumps(mutate_json(inner, rng))}
    junk: Any = rng.choice(("", "{", "null", "[]", "NaN", "[" * 5000, "1" * 5000, "\0", 5, None, {}, [1]))
    less = {k: v for k, v in stated.items() if k != name}
    return rng.choice(({**stated, name: junk}, less, junk, {name: stated[name]}))
