"""The end of a run that lost images: why, how many, an example of each, and what would help."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.outcome import summarize
from rawsynth.corpus.causes import causes_of
from rawsynth.engine.summary import Summary
from rawsynth.pipeline.image_formats import HEIC_MISSING

Cli = Callable[..., Any]
LARGE = "9x9 = 81 pixels exceeds max_pixels 80; raise --max-pixels"
DAMAGED = "cannot decode PNG of 9 bytes"


def lost(*causes: str, output: str = "corpus") -> str:
    rows = [{"key": f"k{index}", "cause": cause} for index, cause in enumerate(causes)]
    return summarize(Summary(output, 1, 1, sources=9, samples=1, lost=len(rows), lost_causes=causes_of(rows)))


HELPS = [
    ((DAMAGED,), "helps once files are mended or replaced", "pillow-heif"),
    ((f"{HEIC_MISSING} or convert",), "helps after `pip install 'rawsynth[heic]'`", "mended"),
    ((HEIC_MISSING, DAMAGED), "rawsynth[heic]'`, and once files are mended or replaced", "pixels"),
    ((LARGE,), "another --max-pixels is another configuration: give a new output, or --overwrite", "--retry-errors"),
]


@pytest.mark.parametrize(("causes", "said", "not_said"), HELPS)
def test_another_try_is_offered_with_what_makes_it_help(causes: tuple[str, ...], said: str, not_said: str) -> None:
    words = lost(*causes)
    assert said in words and not_said not in words


def test_causes_are_counted_with_an_example_each() -> None:
    lines = lost(*[f"empty {n}" for n in range(1200)], DAMAGED, output="a corpus").splitlines()
    assert lines[1] == "1201 images lost:"
    assert lines[2] == "  1,200  empty 0  (such as k0)"
    assert lines[3] == f"      1  {DAMAGED}  (k1200)"
    assert lines[4] == "  every one, with its cause: rawsynth status 'a corpus' --losses"


def test_many_kinds_of_causes_stay_a_few_lines() -> None:
    lines = lost(*[f"cause {chr(97 + n)}" for n in range(20)]).splitlines()
    assert len(lines) == 11 and "  14  for other causes" in lines


def test_a_cause_is_one_line_that_no_terminal_obeys() -> None:
    words = lost("a\n\x1b[2Jb" + 300 * "c")
    assert "\x1b" not in words and all(len(line) < 260 for line in words.splitlines())


def test_many_failed_shards_are_named_in_part() -> None:
    words = summarize(Summary("corpus", 9, failed={f"s{n}": f"x/{n}.tar: no such file" for n in range(9)}))
    assert words.splitlines()[1:] == [
        "9 shards failed; run the same command again: s0, s1, s2, s3, s4, s5 and 3 more",
        "  9  x/0.tar: no such file  (such as s0)",
    ]


def test_a_run_s_end_leads_to_every_loss(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for index in range(7):
        (photos / f"no{index}.jpg").write_bytes(b"this is not a picture")
    (photos / "empty.png").write_bytes(b"")
    done = cli("generate", photos, tmp_path / "corpus", "--method", "unprocess", "--quiet")
    assert done.code == 0
    assert "8 images lost:\n  7  not an image" in done.out and "(such as no0-jpg)" in done.out
    (command,) = [line.partition(": ")[2] for line in done.out.splitlines() if "every one" in line]
    listed = cli(*shlex.split(command)[1:])
    assert listed.code == 0
    keys = [line.partition(":")[0] for line in listed.out.splitlines()]
    assert keys == ["empty-png", *(f"no{n}-jpg" for n in range(7))]
    as_json = cli(*shlex.split(command)[1:], "--json").out.splitlines()
    assert len(as_json) == 8 and '"shard": "images-00000"' in as_json[0]
    assert "7  not an image" in cli("status", tmp_path / "corpus").out


def test_losses_are_listed_once(cli: Cli, tmp_path: Path) -> None:
    assert cli("status", tmp_path, "--losses", "--watch", "1").code == 2
