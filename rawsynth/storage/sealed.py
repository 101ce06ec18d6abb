"""JSON files with a checksum over themselves, so that damage is told from content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from rawsynth.errors import CorpusError
from rawsynth.storage.atomic import write_atomic
from rawsynth.storage.streams import read_bytes


def write_sealed(url: str, data: Mapping[str, Any]) -> None:
    """Write a JSON object with a checksum over itself, atomically."""
    write_atomic(url, (json.dumps({**data, "seal": _seal(data)}, indent=1) + "\n").encode())


def read_sealed(url: str, advice: str = "Delete it to make the shard again.") -> dict[str, Any]:
    """Read what :func:`write_sealed` wrote; ``advice`` is what to do where it is damaged.

    Raises:
        CorpusError: it is not JSON, or its checksum does not fit.
    """
    try:
        data = json.loads(read_bytes(url).decode())
        seal = data.pop("seal")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise CorpusError(f"{url} is damaged: {error}. {advice}") from error
    if seal != _seal(data):
        raise CorpusError(f"{url} is damaged: it does not fit its own checksum. {advice}")
    return dict(data)


def _seal(data: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
