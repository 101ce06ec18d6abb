"""Weights files: safetensors that state their architecture, a checksum and a model card.

The header's metadata hold ``format``, ``architecture``, ``config`` (JSON), ``card`` (JSON, :class:`ModelCard`) and
``sha256``, of these four and of names, shapes, types and bytes of all tensors. Nothing is ever unpickled on the way in.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.registry import pick

_LONGEST_NAME = 60
FORMAT = "rawsynth-weights/1"
SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar")
# Where checkpoints keep their state dict, if there is more beside it.
_STATE_KEYS = ("state_dict", "model_state_dict", "params_ema", "params", "model", "network", "net", "generator")
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
_IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

Coefficient = Annotated[float, Field(allow_inf_nan=False)]
Row = Annotated[list[Coefficient], Field(min_length=3, max_length=3)]
Gain = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelCard(BaseModel):
    """What is known about weights.

    Attributes:
        camera: whose RAW the network makes, or ``None``.
        cam_from_srgb, white_balance: nominal colour of that RAW, for the metadata of what is made: rows sum to 1; red
            and blue gain. Identity and 1 where unknown.
        data: what it was trained on, real, synthetic or simulated, in words.
        licence: of the weights.
        recipe: how it was trained: the training's configuration, steps, seeds.
        metrics: figures of the validation, with what they were measured on.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    camera: str | None = None
    cam_from_srgb: list[Row] = Field(default=_IDENTITY, min_length=3, max_length=3)
    white_balance: list[Gain] = Field(default=[1.0, 1.0], min_length=2, max_length=2)
    data: str = "not stated"
    licence: str = "not stated"
    recipe: dict[str, Any] = Field(default={})
    metrics: dict[str, Any] = Field(default={})


@dataclass(frozen=True)
class Weights:
    """One weights file, read and verified."""

    source: str
    architecture: str
    config: Mapping[str, Any]
    card: ModelCard
    tensors: Mapping[str, Tensor]
    digest: str


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over names, types, shapes and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data if tensor.numel() else b"")
    return digest.hexdigest()


def weights_metadata(
    architecture: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], card: ModelCard
) -> dict[str, str]:
    """Return what a weights file states of itself, with the checksum over all of it."""
    stated = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(dict(config), sort_keys=True),
        "card": card.model_dump_json(),
    }
    return stated | {"sha256": _checksum(stated, tensors)}


def _checksum(stated: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 over the tensors and what is stated of them: an epsilon or a gain changes results too."""
    text = json.dumps([stated[name] for name in ("format", "architecture", "config", "card")])
    return hashlib.sha256(f"{text}\n{tensors_digest(tensors)}".encode()).hexdigest()


def save_weights(
    url: str, architecture: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], card: ModelCard
) -> str:
    """Write a weights file, whole or not at all.

    Returns:
        The checksum of its content.

    Raises:
        OutputError: it cannot be written.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata = weights_metadata(architecture, config, held, card)
    storage.write_atomic(url, _ordered(save_tensors(held, metadata)))
    return metadata["sha256"]


def _ordered(data: bytes) -> bytes:
    """Sort a file's metadata, which safetensors writes in another order each time: equal content makes equal bytes."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([struct.pack("<Q", len(text)), text, memoryview(data)[8 + length :]])


def load_weights(name: str | os.PathLike[str]) -> Weights:
    """Read a weights file: a path or an fsspec URL, or the name of weights that come with the package.

    Raises:
        UsageError: no such file or name; a pickle; a damaged or truncated file; one without rawsynth's metadata; a
            checksum that does not fit.
    """
    if not isinstance(name, str | os.PathLike):
        raise UsageError(f"weights are a path, a URL or a name; got {name!r}.")
    name = os.fspath(name)
    data = _read(name)
    stated = read_metadata(data, name)
    kind = stated.get("format")
    if kind != FORMAT:
        shown = None if kind is None else kind[:_LONGEST_NAME]
        raise UsageError(
            f"{name}: a safetensors file, but its format is {shown!r}, not {FORMAT!r}. "
            "Give one that `rawsynth train` or .save() wrote."
        )
    try:
        config, card = json.loads(stated["config"]), ModelCard.model_validate_json(stated["card"])
        architecture, wanted = stated["architecture"], stated["sha256"]
        if not isinstance(config, dict):
            raise TypeError(f"config is {type(config).__name__}")
        if len(architecture) > _LONGEST_NAME:
            raise ValueError(f"architecture is a name of {len(architecture)} characters")
        tensors = load_tensors(data)
    except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{name}: damaged: {one_line(error)}; get it again.") from error
    digest = _checksum(stated, tensors)
    if digest != wanted:
        raise UsageError(f"{name}: damaged, its content has sha256 {digest[:12]}, not {wanted[:12]}; get it again.")
    return Weights(name, architecture, config, card, tensors, digest)


def weights_digest(name: str) -> str | None:
    """Return the checksum of weights, for the digest of a corpus; ``None`` where there are none of that name.

    Raises:
        UsageError: as :func:`load_weights`, for a file that is there.
    """
    return load_weights(name).digest if storage.exists(name) or name in packaged_weights() else None


def packaged_weights() -> dict[str, str]:
    """Return the weights that come with the package: paths by name."""
    folder = resources.files("rawsynth.methods") / "weights_files"
    if not folder.is_dir():
        return {}
    files = [f for f in folder.iterdir() if f.name.endswith(SUFFIX)]
    return {f.name.removesuffix(SUFFIX): str(f) for f in sorted(files, key=lambda f: f.name)}


def read_pickle(url: str) -> dict[str, Tensor]:
    """Unpickle another project's checkpoint, because the caller asked for it by name; tensors only.

    ``torch.load(weights_only=True)`` runs no code of the file. A state dict that is nested is found, beside an
    optimizer's too.

    Raises:
        UsageError: the file is not there, damaged, or holds more than tensors.
    """
    try:
        loaded = torch.load(io.BytesIO(storage.read_bytes(url)), map_location="cpu", weights_only=True)
    except InputAccessError as error:
        raise UsageError(str(error)) from error
    except Exception as error:  # noqa: BLE001 - a damaged pickle raises whatever its bytes lead to
        raise UsageError(f"{url}: not a checkpoint of tensors alone ({one_line(error)}); get it again.") from error
    return _state_dict(loaded, url)


def _state_dict(loaded: Any, url: str) -> dict[str, Tensor]:
    while isinstance(loaded, Mapping):
        nested = {str(k): v for k, v in loaded.items() if isinstance(v, Mapping)}
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        names = [name for name in _STATE_KEYS if name in nested] or (list(nested) if len(nested) == 1 else [])
        if tensors and not nested:
            return tensors
        if not names:
            break
        loaded = nested[names[0]]
    raise UsageError(f"{url}: no state dict of tensors in it; got {type(loaded).__name__}.")


def is_pickle(url: str) -> bool:
    """Whether a file's name says that it is a pickle."""
    return url.lower().endswith(PICKLE_SUFFIXES)


def _read(name: str) -> bytes:
    if is_pickle(name):
        raise UsageError(_pickle_message(name))
    if not name.endswith(SUFFIX) and "/" not in name and not storage.exists(name):
        packaged = packaged_weights()
        if not packaged:
            raise UsageError(f"weights: no file {name!r}, and none come with the package; give a .safetensors file.")
        name = pick(packaged, name, "packaged weights (or give a path to a .safetensors file):")
    try:
        data = storage.read_bytes(name)
    except InputAccessError as error:
        raise UsageError(f"weights: {error}. `rawsynth train` writes such a file.") from error
    if data.startswith(_PICKLE_STARTS) and not _has_header(data):
        raise UsageError(_pickle_message(name))
    return data


def _pickle_message(name: str) -> str:
    return (
        f"{name} is a pickle, which can run code when it is opened: refused. If it is a published checkpoint and you "
        f"trust it, make weights of it: `rawsynth import-weights METHOD {name} weights.safetensors --trust-pickle`."
    )


def _has_header(data: bytes) -> bool:
    return len(data) > 8 and data[8:9] == b"{"


def read_metadata(data: bytes, name: str) -> dict[str, str]:
    """Return the header's metadata, after checking that the file is whole."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        metadata: dict[str, str] = header.pop("__metadata__", {})
        wanted = 8 + length + max((int(entry["data_offsets"][1]) for entry in header.values()), default=0)
        if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
            raise TypeError("metadata are strings by name")
    except (struct.error, LookupError, ArithmeticError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{name}: not a safetensors file ({len(data)} bytes), or its header is damaged; get it again."
        ) from error
    if len(data) != wanted:
        raise UsageError(f"{name}: cut short or damaged: {len(data)} bytes, its header says {wanted}; get it again.")
    return metadata


def one_line(error: BaseException, limit: int = 300) -> str:
    """Return an error's message on one line, not too long, or its type where it has none."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def check_fit(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], complaint: str) -> None:
    """Check that two state dicts have the same names and shapes.

    Raises:
        UsageError: they differ; the complaint, then what does not fit.
    """
    if found.keys() != wanted.keys():
        raise UsageError(f"{complaint}: {describe_mismatch(found, wanted)}.")
    for key, tensor in wanted.items():
        if found[key].shape != tensor.shape:
            shapes = f"{tuple(found[key].shape)}, not {tuple(tensor.shape)}"
            raise UsageError(f"{complaint}: {key!r} has shape {shapes}.")


def describe_mismatch(found: Iterable[str], wanted: Iterable[str]) -> str:
    """Say which keys are missing and which are too many."""
    found, wanted = set(found), set(wanted)
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    named = ((missing, "missing"), (extra, "unknown"))
    return "; ".join(f"{len(keys)} {what}, such as {keys[0]!r}" for keys, what in named if keys)
