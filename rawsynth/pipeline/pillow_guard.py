"""Pillow while it decodes: without its own pixel limit, and silent.

What its readers and libtiff print about damaged files names no file, so beside a progress bar it is noise; what matters
of it is in the exception, which becomes the lost sample's cause.
"""

from __future__ import annotations

import ctypes
import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from PIL import Image, _imaging

# Keeps logging's last resort from printing; whoever sets up logging still gets Pillow's records.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_lock = threading.Lock()
_users = 0
_saved_limit: int | None = None
_saved_filter: Any = None
_libtiff_is_silent = False


@contextmanager
def pillow_guarded() -> Iterator[None]:
    """Suspend Image.MAX_IMAGE_PIXELS, which readers consult on their own, and warnings of PIL while any thread decodes.

    `warnings.catch_warnings` and a plain save-and-restore would both race; here the first thread in saves what there
    was and the last one out restores it.
    """
    global _users
    with _lock:
        if _users == 0:
            _enter()
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _leave()


def _enter() -> None:
    global _saved_limit, _saved_filter
    _saved_limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    warnings.filterwarnings("ignore", module=r"PIL\.")
    _saved_filter = warnings.filters[0]
    _silence_libtiff()


def _leave() -> None:
    Image.MAX_IMAGE_PIXELS = _saved_limit
    # Gone already where somebody has put back older filters in the meantime.
    with suppress(ValueError):
        warnings.filters.remove(_saved_filter)  # type: ignore[attr-defined]


def _silence_libtiff() -> None:
    """Keep libtiff from printing to standard error, which Pillow has no switch for; it stays as it is where statically
    linked.
    """
    global _libtiff_is_silent
    if _libtiff_is_silent:
        return
    _libtiff_is_silent = True
    with suppress(OSError, AttributeError):
        # Symbols of what Pillow's own module is linked with are found through it.
        library = ctypes.CDLL(_imaging.__file__)
        for setter in (library.TIFFSetErrorHandler, library.TIFFSetWarningHandler):
            setter.argtypes, setter.restype = [ctypes.c_void_p], ctypes.c_void_p
            setter(None)
