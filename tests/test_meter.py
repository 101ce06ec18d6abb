"""Progress suits who reads it: redrawn on a terminal, whole lines and few of them in a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.meter import LONGEST_S, SHORTEST_S, Meter, say

Cli = Callable[..., Any]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def log_of(capsys: pytest.CaptureFixture[str]) -> list[str]:
    said = capsys.readouterr()
    assert said.out == "" and "\r" not in said.err and "\x1b" not in said.err
    return said.err.splitlines()


def run_for(seconds: int, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """Return the log of a work that does one image a second."""
    clock = Clock()
    with Meter("image", seconds, name="work", clock=clock) as meter:
        for _ in range(seconds):
            clock.now += 1
            meter.advance()
    return log_of(capsys)


def test_a_short_work_says_its_start_and_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_for(20, capsys) == ["work: 0 of 20 images", "work: 20 of 20 images (100%) in 0:00:20"]


def test_a_minute_has_a_line_in_between(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_for(59, capsys)[1:-1] == ["work: 30 of 59 images (50%) in 0:00:30, 0:00:29 left"]


@pytest.mark.parametrize(("seconds", "fewest", "most"), [(300, 10, 12), (36_000, 60, 120), (3 * 86_400, 400, 550)])
def test_lines_of_a_long_work_are_few_and_never_far_apart(
    capsys: pytest.CaptureFixture[str], seconds: int, fewest: int, most: int
) -> None:
    lines = run_for(seconds, capsys)
    assert fewest <= len(lines) <= most
    done = [int(line.split()[1].replace(",", "")) for line in lines]
    gaps = [later - earlier for earlier, later in zip(done, done[1:], strict=False)]
    assert max(gaps) <= LONGEST_S and min(gaps[:-1]) >= SHORTEST_S


def test_a_total_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Meter("part", name="work", clock=clock) as meter:
        clock.now = 31.0
        meter.advance()
        meter.advance(1999)
    assert log_of(capsys) == ["work: 1 part in 0:00:31", "work: 2,000 parts in 0:00:31"]


def test_figures_and_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("B", 4_000_000, name="work", clock=Clock()) as meter:
        meter.note(**{"lost": 3, "left out": 0})
        meter.advance(1_500_000)
    assert log_of(capsys)[-1] == "work: 1.5 of 4.0 MB (37%) in 0:00:00, 0:00:00 left, lost 3, left out 0"


def test_a_work_that_goes_on_and_one_of_several_parts(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Meter("step", 100, name="train", done=60, clock=clock) as meter:
        clock.now = 20.0
        meter.advance(20)
    with Meter("frame", name="calibrate", clock=clock) as meter:
        for stage, total in (("looking", 2), ("measuring", 1)):
            for done in range(1, total + 1):
                meter.begin(stage, total)
                meter.move_to(done, total)
    assert log_of(capsys) == [
        "train: 60 of 100 steps (60%)",
        "train: 80 of 100 steps (80%) in 0:00:20, 0:00:20 left",
        "calibrate: looking: 0 of 2 frames",
        "calibrate: measuring: 0 of 1 frame",
        "calibrate: measuring: 1 of 1 frame (100%) in 0:00:00",
    ]


def test_nothing_where_nothing_is_wanted_or_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with Meter("part", 3, name="work", shown=False) as quiet:
        quiet.note(lost=1)
        quiet.advance()
    with Meter("part", name="work"):
        pass
    assert log_of(capsys) == []


# ---- the program itself ----


def command(photos: Path, corpus: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "rawsynth", "generate", str(photos), str(corpus), "--method", "unprocess", *more]


def test_a_pipe_gets_plain_lines(photos: Path, tmp_path: Path) -> None:
    done = subprocess.run(command(photos, tmp_path / "corpus"), capture_output=True, timeout=120)
    assert done.returncode == 0 and b"\r" not in done.stderr and b"\x1b" not in done.stderr
    first, last = done.stderr.decode().splitlines()
    assert first == "rawsynth generate: 0 of 5 images"
    assert re.fullmatch(r"rawsynth generate: 5 of 5 images \(100%\) in 0:00:\d\d, img/s .*, lost 0, left out 0", last)


@pytest.mark.parametrize("option", ["--quiet", "--json-log"])
def test_a_pipe_gets_no_progress_that_was_declined(cli: Cli, photos: Path, tmp_path: Path, option: str) -> None:
    done = cli(*command(photos, tmp_path / "corpus", option)[3:])
    assert done.code == 0 and "of 5 images" not in done.err
    assert all(line.startswith("{") for line in done.err.splitlines())


def test_a_closed_standard_error_is_no_crash(
    cli: Cli, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``2>&-``: Python has ``None`` there."""
    monkeypatch.setattr(sys, "stderr", None)
    say("to nobody")
    done = cli(*command(photos, tmp_path / "corpus")[3:])
    assert done.code == 0 and "5 samples from 5 images" in done.out and "100%" not in done.out


def test_ranks_say_who_they_are(
    cli: Cli, photo_tar: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for index in range(2):
        photo_tar(tmp_path / f"in/{index}.tar", 1)
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0")):
        monkeypatch.setenv(name, value)
    done = cli(*command(tmp_path / "in", tmp_path / "corpus")[3:])
    assert "rawsynth generate, rank 0: 0.0 of " in done.err and "images 1" in done.err


def on_terminal(*words: str) -> tuple[int, bytes]:
    """Run a command; return its exit code and what a terminal of 120 columns gets on standard error."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 120))
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=slave)
    os.close(slave)
    seen = b""
    while True:
        try:
            read = os.read(master, 65536)
        except OSError:  # the other end is closed
            break
        if not read:
            break
        seen += read
    os.close(master)
    return process.wait(120), seen


@pytest.mark.parametrize("verb", ["pairs", "verify", "index", "export", "calibrate"])
def test_a_terminal_gets_no_bar_of_what_fails_at_once(tmp_path: Path, verb: str) -> None:
    nothing = str(tmp_path / "nothing")
    more = [str(tmp_path / "out")] if verb in ("pairs", "export") else []
    code, seen = on_terminal(sys.executable, "-m", "rawsynth", verb, nothing, *more)
    assert code in (1, 2) and seen.startswith(f"rawsynth {verb}: ".encode()) and seen.count(b"\n") == 1


def test_a_terminal_gets_a_bar(photos: Path, tmp_path: Path) -> None:
    code, seen = on_terminal(*command(photos, tmp_path / "corpus"))
    assert code == 0
    assert b"\r" in seen and b"100%|" in seen and b"5/5" in seen and b"img/s" in seen
