"""One run at a time on an output: a second one is refused, the ranks of one run share it.

An advisory lock on a hidden file in the output, which the system releases however the process ends. Only local disks
have such locks; on an object store two runs of one configuration write equal objects, whole, so that neither harms the
other.
"""

from __future__ import annotations

import json
import os
import platform
import time
from types import TracebackType

from rawsynth import storage
from rawsynth.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

LOCK_FILE = ".rawsynth.lock"
_POLL_S = 0.05


class OutputLock:
    """The lock of an output folder, held from :meth:`acquire` to the end of the ``with`` block.

    Args:
        output: folder or URL.
        shared: for one of several ranks; they exclude other runs, not each other.
        patience_s: how long ranks wait for the first of them, which is alone for a moment.
    """

    def __init__(self, output: str, *, shared: bool = False, patience_s: float = 30.0) -> None:
        self.output, self.shared, self.patience_s = output, shared, patience_s
        self.alone = False
        self._handle: int | None = None

    @property
    def path(self) -> str:
        """Of the file."""
        return os.path.join(storage.resolve(self.output)[1], LOCK_FILE)

    def acquire(self) -> None:
        """Take the lock; nothing happens where it is held already, or where there are no locks.

        Afterwards ``alone`` says that no other process held it: what lies about is nobody's.

        Raises:
            UsageError: another run works on this output.
        """
        if self._handle is not None or fcntl is None or not storage.is_local(self.output):
            return
        deadline = time.monotonic() + (self.patience_s if self.shared else 0)
        while not self._try():
            if time.monotonic() >= deadline:
                raise UsageError(f"another run works on {self.output} ({self._holder()}): wait for it, or stop it.")
            time.sleep(_POLL_S)

    def share(self) -> None:
        """Let the other ranks in, after what only one may do."""
        if self._handle is not None and self.shared and self.alone:
            fcntl.flock(self._handle, fcntl.LOCK_SH)

    def _try(self) -> bool:
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            # Not writable: creating the first file says so better.
            self.alone = True
            return True
        for kind in (fcntl.LOCK_EX, fcntl.LOCK_SH)[: 2 if self.shared else 1]:
            try:
                fcntl.flock(handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError:
                # A filesystem without locks.
                break
            if not _is_at(handle, self.path):
                # Who held it has just removed the file: this lock is of nothing.
                break
            self._handle, self.alone = handle, kind == fcntl.LOCK_EX
            if self.alone:
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps({"host": platform.node(), "pid": os.getpid()}).encode())
            return True
        os.close(handle)
        return False

    def _holder(self) -> str:
        try:
            with open(self.path, encoding="utf-8") as stream:
                said = json.load(stream)
            return f"process {said['pid']} on {said['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "process unknown"

    def __enter__(self) -> OutputLock:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is None:
            return
        try:
            # The last one out removes the file; others may still share it.
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(self.path)
        except OSError:
            pass
        os.close(self._handle)
        self._handle = None


def _is_at(handle: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), os.stat(path))
    except FileNotFoundError:
        return False
