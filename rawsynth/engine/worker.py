"""A worker process: makes the shards that it is sent, one after the other, and says what happens."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from typing import Any

from rawsynth.engine.shard_task import Outcome, ShardTask
from rawsynth.errors import RawsynthError
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.run import Progress

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Ready:
    """The worker has built what it needs."""


@dataclass(frozen=True)
class Fatal:
    """What no other worker could do better: the whole run ends with this error."""

    error: RawsynthError


@dataclass(frozen=True)
class Broken:
    """A fault of the program; the worker ends."""

    trace: str


Message = Ready | Progress | Outcome | Fatal | Broken


def serve(channel: Connection[Any, Any], config: GenerateConfig, digest: str, threads: int) -> None:
    """Build what shards need, then make those that come over the channel until ``None`` comes."""
    end_with_parent()
    # Ctrl-C reaches the whole terminal; the parent says when to stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ShardTask(config, digest, threads) as task:
            channel.send(Ready())
            while (shard := channel.recv()) is not None:
                channel.send(task(shard, channel.send))
    except RawsynthError as error:
        channel.send(Fatal(error))
    except (EOFError, BrokenPipeError):
        return
    except Exception:  # noqa: BLE001 - the boundary of the process: the parent decides whether the shard is tried again
        channel.send(Broken(traceback.format_exc()))
        sys.exit(1)


def end_with_parent() -> None:
    """End this process when the one that started it ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), name="rawsynth-parent", daemon=True).start()


def _follow(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)
