"""Set off each bomb in a process of its own and print what it cost, one JSON object a line; run by test_bombs.py."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from rawsynth.errors import SampleError
from rawsynth.pipeline.decode import decode_srgb
from tests.faults.archive_oracle import read_archive
from tests.faults.bombs import ARCHIVE_BOMBS, IMAGE_BOMBS
from tests.faults.image_files import image_seeds

MAX_PIXELS = 100_000_000


def say(name: str, data: bytes) -> None:
    """Read one bomb and say how it ended, with the growth of the peak memory in MB and the time in seconds."""
    before, started = _peak_mb(), time.perf_counter()
    if name.startswith("tar"):
        with tempfile.TemporaryDirectory() as folder:
            said = " | ".join(getattr(entry, "cause", "a sample") for entry in read_archive(Path(folder), data))
    else:
        try:
            said = f"decoded {decode_srgb(data, max_pixels=MAX_PIXELS).shape}"
        except SampleError as error:
            said = str(error)
    row = {"name": name, "bytes": len(data), "said": said, "grown_mb": _peak_mb() - before}
    print(json.dumps(row | {"seconds": time.perf_counter() - started}), flush=True)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Try them all, each in a fork of a process that has decoded every format before."""
    for data in image_seeds().values():
        try:
            decode_srgb(data, max_pixels=MAX_PIXELS)
        except SampleError:
            continue
    for name, make in (IMAGE_BOMBS | ARCHIVE_BOMBS).items():
        data = make()
        child = os.fork()
        if child == 0:
            try:
                say(name, data)
            finally:
                sys.stdout.flush()
                os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
