"""What has to come of a tar, whatever its bytes: told by a reader of its own, which knows nothing of rawsynth."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

from rawsynth.pipeline.inputs import IMAGE_EXTENSIONS, InputFile, Shard
from rawsynth.pipeline.reader import LostSample, SourceSample, read_shard

Read = Sequence[SourceSample | LostSample]


def read_archive(folder: Path, data: bytes, keep: tuple[str, ...] = ("txt",)) -> Read:
    """Read bytes as the one tar of a shard."""
    path = folder / "z.tar"
    path.write_bytes(data)
    return list(read_shard(Shard("z", "tar", str(folder), (InputFile(path.name, len(data)),)), keep))


def named_images(data: bytes, most: int = 200) -> list[tuple[str, str, bytes]]:
    """List ``(key, extension, bytes)`` of the images that ``tarfile`` finds whole, as far as it gets."""
    found: list[tuple[str, str, bytes]] = []
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            offset = -1
            while (member := archive.next()) is not None and len(found) < most and archive.offset > offset:
                offset = archive.offset
                stem, _, extension = member.name.rpartition("/")[2].partition(".")
                if member.isreg() and extension.lower() in IMAGE_EXTENSIONS and not member.issparse():
                    handle = archive.extractfile(member)
                    content = handle.read() if handle is not None and 0 <= member.size < 1 << 20 else b""
                    if len(content) == member.size:
                        found.append((member.name[: len(member.name) - len(extension) - 1], extension.lower(), content))
    except Exception:  # noqa: BLE001 - tarfile raises many kinds; what was found before counts
        pass
    return found


def check_nothing_is_lost(read: Read, data: bytes) -> None:
    """Fail unless every image that the archive names came with its bytes, or a loss says why it or the rest did not."""
    samples = {sample.source_key: sample.load() for sample in read if isinstance(sample, SourceSample)}
    losses = [loss for loss in read if isinstance(loss, LostSample)]
    assert all(loss.cause and "\n" not in loss.cause and len(loss.cause) < 1000 for loss in losses), losses
    keys = [sample.key for sample in read if isinstance(sample, SourceSample)]
    assert len(set(keys)) == len(keys)
    for key in keys:
        assert "." not in key and not key.startswith("/") and "//" not in key and not key.endswith("/"), key
    if any(loss.key.endswith("z.tar") for loss in losses):
        return  # the archive is damaged, and its record says so
    images = named_images(data)
    for key, _extension, content in images:
        # One of a sample's images is taken; the others belong to it.
        others = [c for k, _, c in images if k == key]
        came = samples.get(key) in others
        assert came or any(loss.key.endswith((f":{key}", f":{key}.{_extension}")) or key_of(key) == loss.key
                           or loss.key.lower().endswith(f":{key}.{_extension}".lower()) for loss in losses), (key, losses)
        del content


def key_of(name: str) -> str:
    """The key that a loss in the shard ``z`` has."""
    from rawsynth.pipeline.keys import escape

    return f"z/{escape(name)}"
