"""Damage done to a corpus so that its checksums fit: only what is inside can give it away."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rawsynth.storage.sealed import read_sealed, write_sealed


def patch_record(corpus: Path, shard: str, **fields: Any) -> None:
    """Change fields of a record as rawsynth would write them, seal and all."""
    url = str(corpus / f"records/{shard}.json")
    write_sealed(url, {**read_sealed(url), **fields})


def patch_part(corpus: Path, shard: str, name: str, content: bytes) -> None:
    """Replace a part and make its record fit, so that only its content can give it away."""
    (corpus / name).write_bytes(content)
    parts = read_sealed(str(corpus / f"records/{shard}.json"))["parts"]
    for part in parts:
        if part["name"] == name:
            part.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    patch_record(corpus, shard, parts=parts)


def rewritten(tar: bytes, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> bytes:
    """Unpack a tar, change its list of members, pack it again."""
    members = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            handle = archive.extractfile(member)
            assert handle is not None
            members.append((member.name, handle.read()))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()
