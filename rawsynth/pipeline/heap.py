"""Memory that a batch has freed stays with the process for the next batch.

glibc hands the top of a heap back to the system as soon as a few megabytes of it are free, and the next batch gets it
again page by page, each a fault that clears it: on a virtual machine a quarter of a pipeline's processor time.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
# Two batches of the default size, for each thread that makes them.
_KEEP_BYTES = 64 << 20
# The most that glibc takes: larger pieces come from the system and go back to it.
_LARGEST_PIECE_BYTES = 32 << 20


@cache
def keep_freed_memory() -> bool:
    """Ask the C library to keep up to 64 MB of freed memory a heap; returns whether it does.

    Only glibc needs it and knows how; elsewhere nothing happens. It holds for the whole process.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)) and bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_PIECE_BYTES))
