"""What has to come of a tar, whatever its bytes: told by a reader of its own, which knows nothing of rawsynth."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from rawsynth.pipeline.inputs import IMAGE_EXTENSIONS
from rawsynth.pipeline.keys import escape
from rawsynth.pipeline.reader import read_shard
from rawsynth.pipeline.shards import InputFile, Shard
from rawsynth.pipeline.source_sample import LostSample, SourceSample

Read = Sequence[SourceSample | LostSample]
_MOST_NAMED, _LARGEST = 200, 1 << 20


def read_archive(folder: Path, data: bytes, keep: tuple[str, ...] = ("txt",)) -> Read:
    """Read bytes as the one tar of a shard."""
    path = folder / "z.tar"
    path.write_bytes(data)
    return list(read_shard(Shard("z", "tar", str(folder), (InputFile(path.name, len(data)),)), keep))


def named_images(data: bytes) -> list[tuple[str, str, bytes]]:
    """List ``(key, extension, bytes)`` of the images that ``tarfile`` finds whole, as far as it gets."""
    found: list[tuple[str, str, bytes]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            end = 0
            while (member := archive.next()) is not None and len(found) < _MOST_NAMED and archive.offset > end:
                end = archive.offset
                folder, slash, base = member.name.rpartition("/")
                stem, _, extension = base.partition(".")
                if extension.lower() not in IMAGE_EXTENSIONS or not member.isreg() or member.issparse():
                    continue
                handle = archive.extractfile(member)
                content = handle.read() if handle is not None and 0 <= member.size <= _LARGEST else None
                if content is not None and len(content) == member.size:
                    found.append((f"{folder}{slash}{stem}", extension.lower(), content))
    except Exception:  # noqa: BLE001 - tarfile raises many kinds; what was found before counts
        pass
    return found


def check_nothing_is_lost(read: Read, data: bytes) -> None:
    """Fail unless every image that the archive names came with its bytes, or a loss says why it or the rest did not."""
    sources = [sample for sample in read if isinstance(sample, SourceSample)]
    losses = [loss for loss in read if isinstance(loss, LostSample)]
    for loss in losses:
        assert loss.stage == "read" and loss.key and loss.cause and "\n" not in loss.cause and len(loss.cause) < 1000
    keys = [sample.key for sample in sources]
    assert len(set(keys)) == len(keys)
    assert not [key for key in keys if "." in key or "//" in key or not key.startswith("z/") or key.endswith("/")]
    if any(loss.key.endswith("z.tar") for loss in losses):
        # The archive is damaged, and its record says so.
        return
    came = {sample.source_key: sample.load() for sample in sources}
    lost = {loss.key.lower() for loss in losses}
    images = named_images(data)
    for key, extension, _ in images:
        # One of a sample's images is taken; the others are other members of it.
        whole = came.get(key) in [content for other, _, content in images if other == key]
        said = any(name.endswith(f":{key}.{extension}".lower()) for name in lost) or f"z/{escape(key)}".lower() in lost
        assert whole or said, f"{key}.{extension} is gone: {losses}"
