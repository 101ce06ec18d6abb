"""The state of a training as one safetensors file: nested tensors and plain values, nothing pickled."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import CorpusError
from rawsynth.methods.weights import one_line, tensors_digest

FORMAT = "rawsynth-training/1"


def save_state(url: str, state: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors and JSON values, whole or not at all; tuples come back as lists.

    Raises:
        OutputError: it cannot be written.
    """
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_flatten(state, "", tensors))
    storage.write_atomic(url, save(tensors, {"format": FORMAT, "state": text, "sha256": _digest(text, tensors)}))


def load_state(url: str) -> dict[str, Any]:
    """Read what :func:`save_state` wrote; all tensors are on the CPU.

    Raises:
        CorpusError: the file is damaged, or no state of a training.
        InputAccessError: it cannot be reached.
    """
    data = storage.read_bytes(url)
    try:
        (length,) = struct.unpack("<Q", data[:8])
        metadata = json.loads(data[8 : 8 + length])["__metadata__"]
        if metadata.get("format") != FORMAT:
            raise CorpusError(f"{url} has format {str(metadata.get('format'))[:60]!r}, not {FORMAT!r}.")
        tensors = load(data)
        if _digest(metadata["state"], tensors) != metadata["sha256"]:
            raise ValueError("another checksum than it states")
        state: dict[str, Any] = _unflatten(json.loads(metadata["state"]), tensors)
    except (SafetensorError, struct.error, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CorpusError(f"{url} is damaged ({one_line(error)}); remove it to start this training afresh.") from error
    return state


def _digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    return hashlib.sha256(f"{tensors_digest(tensors)} {text}".encode()).hexdigest()


def _flatten(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        # Numbered, because 1 and "1", or a slash in a key, make equal paths; a copy, as tensors may share memory.
        name = f"{len(tensors)}{path}"
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        # Optimisers number their parameters; JSON would turn the numbers into text.
        return {"dict": [[k, _flatten(v, f"{path}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_flatten(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    return value


def _unflatten(value: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "tensor":
        return tensors[held]
    if kind == "dict":
        return {k: _unflatten(v, tensors) for k, v in held}
    return [_unflatten(v, tensors) for v in held]
