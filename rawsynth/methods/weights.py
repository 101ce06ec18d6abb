"""Weights files: safetensors that state their architecture, a checksum and a model card.

The header's metadata hold ``format``, ``architecture``, ``config`` (JSON), ``sha256`` (of names, shapes, types and
bytes of all tensors) and ``card`` (JSON, :class:`ModelCard`). Nothing is ever unpickled on the way in.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.registry import pick

FORMAT = "rawsynth-weights/1"
SUFFIX = ".safetensors"
PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".bin", ".tar")
_PICKLE_STARTS = (b"\x80", b"PK\x03\x04")
_IDENTITY = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


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
    cam_from_srgb: list[list[float]] = Field(default=_IDENTITY)
    white_balance: list[float] = Field(default=[1.0, 1.0])
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


def save_weights(
    url: str, architecture: str, config: Mapping[str, Any], tensors: Mapping[str, Tensor], card: ModelCard
) -> str:
    """Write a weights file, whole or not at all.

    Returns:
        The checksum of the tensors.

    Raises:
        OutputError: it cannot be written.
    """
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    digest = tensors_digest(held)
    metadata = {
        "format": FORMAT,
        "architecture": architecture,
        "config": json.dumps(dict(config), sort_keys=True),
        "sha256": digest,
        "card": card.model_dump_json(),
    }
    storage.write_atomic(url, save_tensors(held, metadata))
    return digest


def load_weights(name: str) -> Weights:
    """Read a weights file: a path or an fsspec URL, or the name of weights that come with the package.

    Raises:
        UsageError: no such file or name; a pickle; a damaged or truncated file; one without rawsynth's metadata; a
            checksum that does not fit.
    """
    data = _read(name)
    header = _metadata(data, name)
    if header.get("format") != FORMAT:
        raise UsageError(f"{name}: a safetensors file, but its format is {header.get('format')!r}, not {FORMAT!r}.")
    try:
        config, card = json.loads(header["config"]), ModelCard.model_validate_json(header["card"])
        architecture, stated = header["architecture"], header["sha256"]
    except (KeyError, ValueError, ValidationError) as error:
        raise UsageError(f"{name}: its metadata are damaged ({error}); get the file again.") from error
    try:
        tensors = load_tensors(data)
    except SafetensorError as error:
        raise UsageError(f"{name}: damaged: {error}; get it again.") from error
    digest = tensors_digest(tensors)
    if digest != stated:
        raise UsageError(f"{name}: damaged, its tensors have sha256 {digest[:12]}, not {stated[:12]}; get it again.")
    return Weights(name, architecture, config, card, tensors, digest)


def weights_digest(name: str) -> str:
    """Return the checksum that a weights file states, for the digest of a corpus; reads the whole file."""
    return load_weights(name).digest


def packaged_weights() -> dict[str, str]:
    """Return the weights that come with the package: paths by name."""
    folder = resources.files("rawsynth.methods") / "weights_files"
    if not folder.is_dir():
        return {}
    files = [f for f in folder.iterdir() if f.name.endswith(SUFFIX)]
    return {f.name.removesuffix(SUFFIX): str(f) for f in sorted(files, key=lambda f: f.name)}


def read_pickle(url: str) -> dict[str, Tensor]:
    """Unpickle another project's checkpoint, because the caller asked for it by name; tensors only.

    ``torch.load(weights_only=True)`` runs no code of the file. State dicts nested under one key are found.

    Raises:
        UsageError: the file is not there, damaged, or holds more than tensors.
    """
    try:
        loaded = torch.load(io.BytesIO(storage.read_bytes(url)), map_location="cpu", weights_only=True)
    except InputAccessError as error:
        raise UsageError(str(error)) from error
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise UsageError(f"{url}: not a checkpoint of tensors alone ({str(error).splitlines()[0]}).") from error
    return _state_dict(loaded, url)


def _state_dict(loaded: Any, url: str) -> dict[str, Tensor]:
    while isinstance(loaded, Mapping):
        tensors = {str(k): v for k, v in loaded.items() if isinstance(v, Tensor)}
        if tensors:
            return tensors
        nested = [v for v in loaded.values() if isinstance(v, Mapping)]
        if len(nested) != 1:
            break
        loaded = nested[0]
    raise UsageError(f"{url}: no state dict of tensors in it; got {type(loaded).__name__}.")


def is_pickle(url: str) -> bool:
    """Whether a file's name says that it is a pickle."""
    return url.lower().endswith(PICKLE_SUFFIXES)


def _read(name: str) -> bytes:
    if is_pickle(name):
        raise UsageError(_pickle_message(name))
    if not name.endswith(SUFFIX) and "/" not in name and "://" not in name and not storage.exists(name):
        name = pick(packaged_weights(), name, "packaged weights (or give a path to a .safetensors file):")
    try:
        data = storage.read_bytes(name)
    except InputAccessError as error:
        raise UsageError(f"weights: {error}") from error
    if data.startswith(_PICKLE_STARTS) and not _has_header(data):
        raise UsageError(_pickle_message(name))
    return data


def _pickle_message(name: str) -> str:
    return (
        f"{name} is a pickle, which can run code when it is opened: refused. If you trust it, import it by name with "
        "rawsynth.methods.rst_isp_import.from_authors_checkpoint(..., trust_pickle=True) and save it as safetensors."
    )


def _has_header(data: bytes) -> bool:
    return len(data) > 8 and data[8:9] == b"{"


def _metadata(data: bytes, name: str) -> dict[str, str]:
    """Return the header's metadata, after checking that the file is whole."""
    try:
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        metadata: dict[str, str] = header.get("__metadata__", {})
    except (struct.error, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UsageError(f"{name}: not a safetensors file ({len(data)} bytes), or its header is damaged.") from error
    wanted = 8 + length + max(ends, default=0)
    if len(data) != wanted:
        raise UsageError(f"{name}: cut short or damaged: {len(data)} bytes, its header says {wanted}; get it again.")
    return metadata


def describe_mismatch(found: Iterable[str], wanted: Iterable[str]) -> str:
    """Say which keys are missing and which are too many."""
    found, wanted = set(found), set(wanted)
    missing, extra = sorted(wanted - found), sorted(found - wanted)
    named = ((missing, "missing"), (extra, "unknown"))
    return "; ".join(f"{len(keys)} {what}, such as {keys[0]!r}" for keys, what in named if keys)
