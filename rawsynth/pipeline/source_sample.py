"""What a reader yields: one source image, still encoded, or something that could not become one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.errors import InputAccessError, SampleError
from rawsynth.pipeline.archive import LARGEST_FILE
from rawsynth.pipeline.local_files import local_size


@dataclass(frozen=True)
class SourceSample:
    """One source image, still encoded.

    Attributes:
        key: the sample's key in the corpus.
        source_key: its name in the source: a path, or a tar's key.
        url: file or tar that it comes from.
        load: returns the image's bytes; from a file it reads them, so call it off the main thread.
        kept: other members by extension.
        is_raw: whether it is named like a camera RAW file.
    """

    key: str
    source_key: str
    url: str
    load: ImageBytes
    kept: Mapping[str, ImageBytes] = field(default_factory=dict)
    is_raw: bool = False


@dataclass(frozen=True)
class LostSample:
    """Something that could not become a sample, for the record."""

    key: str
    stage: str
    cause: str


@dataclass(frozen=True)
class ImageBytes:
    """Bytes at hand, or in a file of known size: read on call, or before it by ``ahead``."""

    data: bytes | None = None
    url: str = ""
    size: int | None = None
    ahead: Callable[[], bytes] | None = None

    def __call__(self) -> bytes:
        """Return the bytes.

        Raises:
            InputAccessError: the file cannot be read, or is not as long as when the inputs were listed.
            SampleError: it is larger than any image.
        """
        if self.data is not None:
            return self.data
        here = local_size(self.url)
        if here is not None:
            check_size(self.url, here, self.size)
        if (here or self.size or 0) > LARGEST_FILE:
            raise SampleError(f"{self.url} has {here or self.size} bytes, want {LARGEST_FILE} or fewer")
        data = storage.read_bytes(self.url) if self.ahead is None else self.ahead()
        check_size(self.url, len(data), self.size)
        return data


def check_size(url: str, now: int, listed: int | None) -> None:
    """Raise InputAccessError if a file has changed since the inputs were listed."""
    if listed is not None and now != listed:
        raise InputAccessError(
            f"{url} has {now} bytes, {listed} when the inputs were listed; it changed or was read short. Restore it, "
            "or accept the change with --retry-errors."
        )
