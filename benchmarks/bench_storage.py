"""Read-ahead on a slow store: a tar read with and without it while the consumer works on each sample.

    python benchmarks/bench_storage.py

The store is in this process: an fsspec filesystem that answers each request after a latency, and then hands out bytes
at a rate per connection. Without read-ahead is fsspec's own file object, as `open` gives it, whose cache fetches the
next block when the reader comes to it. The consumer's time a sample is chosen so that it takes a given share of the
store's own time. Both ways alternate with the same tar in memory; the table gives medians and their ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import io
import statistics
import tarfile
import time
from collections.abc import Callable
from typing import Any

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile

from rawsynth import storage

URL = "slow://bucket/a.tar"


class SlowFileSystem(AsyncFileSystem):
    """One file in memory behind a network."""

    protocol = "slow"
    content, latency, rate = b"", 0.05, 100e6

    async def _info(self, path: str, **options: Any) -> dict[str, Any]:
        await asyncio.sleep(self.latency)
        return {"name": path, "size": len(self.content), "type": "file"}

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        data = self.content[start:end]
        await asyncio.sleep(self.latency + len(data) / self.rate)
        return data

    def _open(self, path: str, mode: str = "rb", **options: Any) -> AbstractBufferedFile:
        return SlowFile(self, path, mode, **options)


class SlowFile(AbstractBufferedFile):
    """fsspec's file over it."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return bytes(self.fs.cat_file(self.path, start=start, end=end))


def make_tar(samples: int, size: int) -> bytes:
    """A tar of so many members of so many bytes."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for index in range(samples):
            entry = tarfile.TarInfo(f"{index:05d}.jpg")
            entry.size = size
            archive.addfile(entry, io.BytesIO(bytes([index % 256]) * size))
    return buffer.getvalue()


def consume(stream: Any, seconds: float) -> str:
    """Read a tar's members one after the other, and spend so long on each."""
    digest = hashlib.sha256()
    with tarfile.open(fileobj=stream, mode="r:") as archive:
        for member in archive:
            handle = archive.extractfile(member)
            assert handle is not None
            digest.update(handle.read())
            time.sleep(seconds)
    return digest.hexdigest()


def ahead(seconds: float) -> str:
    """Read as the package does."""
    with storage.open_read(URL) as stream:
        return consume(stream, seconds)


def plain(seconds: float) -> str:
    """Read as fsspec does by itself, with its own block of 5 MiB."""
    fs, path = fsspec.core.url_to_fs(URL)
    with fs.open(path, "rb", cache_type="readahead") as stream:
        return consume(stream, seconds)


def alone(seconds: float) -> str:
    """Read from memory: what the consumer takes by itself."""
    return consume(io.BytesIO(SlowFileSystem.content), seconds)


def seconds_of(run: Callable[[float], str], each: float) -> tuple[float, str]:
    """Time one way of reading."""
    started = time.perf_counter()
    digest = run(each)
    return time.perf_counter() - started, digest


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=640)
    parser.add_argument("--sample-kb", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    fsspec.register_implementation("slow", SlowFileSystem)
    SlowFileSystem.content = make_tar(args.samples, args.sample_kb * 1000)
    size = len(SlowFileSystem.content) / 1e6
    latency, rate = SlowFileSystem.latency * 1000, SlowFileSystem.rate / 1e6
    print(f"a tar of {size:.0f} MB, {args.samples} samples; {latency:.0f} ms a request, {rate:.0f} MB/s a connection")
    for each in (0.0, 0.002, 0.005):
        times: dict[str, list[float]] = {"ahead": [], "plain": [], "alone": []}
        for _ in range(args.rounds):
            taken = {way.__name__: seconds_of(way, each) for way in (ahead, plain, alone)}
            assert len({digest for _, digest in taken.values()}) == 1
            for name, (seconds, _) in taken.items():
                times[name].append(seconds)
        with_it, without, by_itself = (statistics.median(times[name]) for name in ("ahead", "plain", "alone"))
        print(
            f"  {each * 1000:3.0f} ms a sample: {without:5.2f} s without read-ahead, {with_it:5.2f} s with it "
            f"({without / with_it:4.2f}x), {by_itself:5.2f} s from memory ({by_itself / with_it:4.2f} of the speed)"
        )


if __name__ == "__main__":
    main()
