"""Read a shard's samples in order: encoded image bytes with the members that travel along.

Parquet files are read in :mod:`~rawsynth.pipeline.parquet_source`.

A fault of the content (a tar cut short, a member that is no file) becomes a :class:`LostSample`; a fault of access (a
file that is gone, a store that fails) raises, and the shard stays undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rawsynth import storage
from rawsynth.pipeline.archive import LARGEST_FILE, MemberFault, tar_members
from rawsynth.pipeline.inputs import IMAGE_EXTENSIONS
from rawsynth.pipeline.keys import escape, key_from_path
from rawsynth.pipeline.local_files import local_size
from rawsynth.pipeline.parquet_source import count_rows, read_parquet
from rawsynth.pipeline.shards import InputFile, Shard
from rawsynth.pipeline.source_sample import ImageBytes, LostSample, SourceSample, check_size
from rawsynth.raw.files import RAW_SUFFIXES

_MOST_NAMED, _LONGEST_NAME = 10, 60


def read_shard(
    shard: Shard, keep: tuple[str, ...], *, image_column: str | None = None
) -> Iterator[SourceSample | LostSample]:
    """Yield the shard's samples in their order.

    Args:
        shard: what to read.
        keep: what travels along, by extension; of a Parquet file by column.
        image_column: of a Parquet file, if it has several that hold images.

    Raises:
        InputAccessError: an input cannot be reached.
        UsageError: a Parquet file, and pyarrow is not installed.
    """
    if shard.kind == "images":
        samples = _read_files(shard)
    else:
        samples = _read_tar(shard, keep) if shard.kind == "tar" else read_parquet(shard, keep, image_column)
    seen: set[str] = set()
    sources = 0
    for sample in samples:
        if isinstance(sample, SourceSample):
            if sample.key in seen:
                sample = LostSample(sample.key, "read", "a second sample with this key in the same shard")
            elif shard.limit is not None and sources >= shard.limit:
                return
            else:
                seen.add(sample.key)
                sources += 1
        yield sample


def count_samples(shard: Shard, limit: int) -> int:
    """Count images up to ``limit``, all if negative: a tar's by reading as far as that takes, else a table's rows."""
    if shard.kind == "parquet":
        rows = count_rows(shard)
        return rows if limit < 0 else min(rows, limit)
    count = 0
    for sample in read_shard(shard, ()):
        count += isinstance(sample, SourceSample)
        if count == limit:
            break
    return count


def _read_files(shard: Shard) -> Iterator[SourceSample | LostSample]:
    # In the order in which they are handed out below, less what is refused for its size.
    ahead = storage.FilesAhead(
        (storage.join(shard.place, path), size)
        for file in shard.files
        for path, size in ((file.path, file.size), *((path, None) for _, path in file.siblings))
        if (size or 0) <= LARGEST_FILE
    )
    try:
        for file in shard.files:
            small = (file.size or 0) <= LARGEST_FILE
            image = ImageBytes(url=shard.url(file), size=file.size, ahead=ahead.next() if small else None)
            places = {ext: storage.join(shard.place, path) for ext, path in file.siblings}
            kept = {ext: ImageBytes(url=url, ahead=ahead.next()) for ext, url in places.items()}
            raw = file.path.rpartition(".")[2].lower() in RAW_SUFFIXES
            yield SourceSample(key_from_path(file.path), file.path, shard.source_url(file), image, kept, raw)
    except GeneratorExit:
        ahead.stop()
        raise


def _read_tar(shard: Shard, keep: tuple[str, ...]) -> Iterator[SourceSample | LostSample]:
    file: InputFile = shard.files[0]
    # What is no file is refused before it is opened: a pipe would wait.
    here = local_size(shard.url(file))
    url = shard.source_url(file)
    prefix = f"{shard.name}/"
    wanted = {*IMAGE_EXTENSIONS, *RAW_SUFFIXES, *keep}
    with storage.open_read(shard.url(file)) as stream:
        check_size(shard.url(file), stream.seek(0, 2) if here is None else here, file.size)
        stream.seek(0)
        members: dict[str, bytes | None] = {}
        current: str | None = None
        for entry in tar_members(stream, wanted):
            if isinstance(entry, MemberFault):
                if current is not None and entry.name is None:
                    # Damage ends the archive: what was being read counts only if nothing wanted can be missing.
                    whole = all(extension in members for extension in keep)
                    sample = _tar_sample(prefix, current, url, members, keep)
                    yield sample if whole else LostSample(prefix + escape(current), "read", f"cut off: {entry.cause}")
                    current = None
                yield LostSample(url if entry.name is None else f"{url}:{entry.name}", "read", entry.cause)
                continue
            if entry.key != current:
                if current is not None:
                    yield _tar_sample(prefix, current, url, members, keep)
                current, members = entry.key, {}
            if entry.extension in members and entry.extension in wanted:
                twice = f"{url}:{entry.key}.{entry.extension}"
                yield LostSample(twice, "read", "a second member of this name in the same sample")
            else:
                members[entry.extension] = entry.data
        if current is not None:
            yield _tar_sample(prefix, current, url, members, keep)


def _tar_sample(
    prefix: str, name: str, url: str, members: Mapping[str, bytes | None], keep: tuple[str, ...]
) -> SourceSample | LostSample:
    key = prefix + escape(name)
    sources = (e for e in (*IMAGE_EXTENSIONS, *RAW_SUFFIXES) if e in members and e not in keep)
    extension = next(sources, "")
    image = members.get(extension)
    if image is None:
        return LostSample(key, "read", f"no image among its members ({_listed(members)})")
    kept = {ext: ImageBytes(data=members[ext]) for ext in keep if ext in members}
    return SourceSample(key, name, url, ImageBytes(data=image), kept, extension in RAW_SUFFIXES)


def _listed(extensions: Iterable[str]) -> str:
    """Name a sample's members on one line; there may be any number of any length."""
    there = [" ".join(extension.split())[:_LONGEST_NAME] for extension in sorted(extensions)]
    more = f" and {len(there) - _MOST_NAMED} more" if len(there) > _MOST_NAMED else ""
    return (", ".join(there[:_MOST_NAMED]) or "none") + more
