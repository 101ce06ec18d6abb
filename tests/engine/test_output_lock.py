"""output lock: two runs never work on one output at once, and a dead one stands in nobody's way."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.engine.output_lock import LOCK_FILE, OutputLock
from rawsynth.errors import UsageError

Make = Callable[..., Any]

HOLD = """
import sys, time
from rawsynth.engine.output_lock import OutputLock
with OutputLock(sys.argv[1]) as lock:
    lock.acquire()
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_second_run_is_refused_by_name_and_then_let_in(tmp_path: Path) -> None:
    with OutputLock(str(tmp_path)) as first:
        first.acquire()
        assert first.alone
        with OutputLock(str(tmp_path)) as second, pytest.raises(UsageError, match=f"process {os.getpid()} on "):
            second.acquire()
    assert list(tmp_path.iterdir()) == []
    with OutputLock(str(tmp_path)) as third:
        third.acquire()
        assert third.alone


def test_generate_leaves_an_output_alone_that_another_run_works_on(
    photos: Path, tmp_path: Path, make_corpus: Make, hash_tars: Callable[..., dict[str, str]]
) -> None:
    corpus = tmp_path / "corpus"
    make_corpus(photos, corpus)
    before = hash_tars(corpus)
    with OutputLock(str(corpus)) as other:
        other.acquire()
        for run in ({}, {"overwrite": True}):
            with pytest.raises(UsageError, match="another run works on"):
                make_corpus(photos, corpus, seed=5, run=run)
    assert hash_tars(corpus) == before


def test_a_killed_run_stands_in_nobodys_way(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    with OutputLock(str(tmp_path)) as lock, pytest.raises(UsageError, match=f"process {process.pid}"):
        lock.acquire()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert (tmp_path / LOCK_FILE).exists()
    with OutputLock(str(tmp_path)) as lock:
        lock.acquire()
        assert lock.alone
    assert list(tmp_path.iterdir()) == []


def test_ranks_share_it_and_keep_others_out(tmp_path: Path) -> None:
    with OutputLock(str(tmp_path), shared=True) as first, OutputLock(str(tmp_path), shared=True) as second:
        first.acquire()
        assert first.alone
        first.share()
        second.acquire()
        assert not second.alone
        with OutputLock(str(tmp_path)) as other, pytest.raises(UsageError, match="another run"):
            other.acquire()
    with OutputLock(str(tmp_path)) as single:
        single.acquire()
        with OutputLock(str(tmp_path), shared=True, patience_s=0.2) as rank, pytest.raises(UsageError):
            rank.acquire()


def test_a_store_without_locks_needs_none(memory: Any) -> None:
    with OutputLock("memory://corpus") as lock:
        lock.acquire()
        assert not memory.store
