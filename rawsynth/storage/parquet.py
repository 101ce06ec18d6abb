"""Parquet files in any store, through the optional pyarrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rawsynth.errors import RawsynthError, UsageError
from rawsynth.storage.streams import GuardedStream

# Read from a column at a time, so that a row group is never in memory whole; its pages are.
_BUFFER_BYTES = 1 << 20
_FAULTS = (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError)
_LONGEST_CAUSE = 300


def require_pyarrow() -> Any:
    """Return ``pyarrow``.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(f"Parquet needs pyarrow ({error}): pip install 'rawsynth[parquet]'.") from error
    return pyarrow


class ParquetDamage(RawsynthError):
    """Content that pyarrow cannot read."""


@contextmanager
def damage_told(stream: GuardedStream) -> Iterator[None]:
    """Raise one kind of error for whatever pyarrow raises for damaged content.

    Raises:
        ParquetDamage: the content is at fault.
        InputAccessError: the stream failed.
    """
    faults = (require_pyarrow().ArrowException, *_FAULTS)
    try:
        yield
    except RawsynthError:
        raise
    except faults as error:
        if stream.failure is not None:
            raise stream.failure from error
        said = " ".join(str(error).split())[:_LONGEST_CAUSE] or type(error).__name__
        raise ParquetDamage(said) from error


def parquet_file(stream: GuardedStream) -> Any:
    """Return the ``pyarrow.parquet.ParquetFile`` of an open stream, whose pages' checksums are looked at.

    Raises:
        UsageError: pyarrow is not installed.
        ParquetDamage: it is no Parquet file, or damaged.
        InputAccessError: the stream failed.
    """
    pa = require_pyarrow()
    options = {"buffer_size": _BUFFER_BYTES, "pre_buffer": False, "page_checksum_verification": True}
    with damage_told(stream):
        return pa.parquet.ParquetFile(pa.PythonFile(stream, mode="r"), **options)
