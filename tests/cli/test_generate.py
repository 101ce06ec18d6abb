"""generate: one command, an exit code that scripts can use, and messages that name the next step."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rawsynth

Cli = Callable[..., Any]


def everything_under(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- done ----


def test_a_corpus_with_one_command(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("generate", photos, tmp_path / "corpus", "--crop", "16", "--crops", "2", "--seed", "3")
    assert done.code == 0
    assert "10 samples from 5 images in 1 of 1 shard" in done.out
    assert "5 of 5 images (100%)" in done.err and "img/s" in done.err
    assert len(list(rawsynth.open_corpus(str(tmp_path / "corpus")))) == 10
    again = cli("generate", photos, tmp_path / "corpus", "--crop", "16", "--crops", "2", "--seed", "3")
    assert again.code == 0 and "1 shard was already done" in again.out


def test_tars_move_the_meter_by_bytes(cli: Cli, photo_tar: Callable[..., Path], tmp_path: Path) -> None:
    photo_tar(tmp_path / "in/a.tar")
    done = cli("generate", tmp_path / "in", tmp_path / "corpus")
    assert done.code == 0 and re.search(r"0\.0 of 0\.0 MB \(100%\).*images 3", done.err)


def test_a_toml_file_equals_the_flags(
    cli: Cli, photos: Path, tmp_path: Path, hash_tars: Callable[..., dict[str, str]]
) -> None:
    (tmp_path / "c.toml").write_text(
        f'input = "{photos}"\noutput = "{tmp_path}/a"\nseed = 4\n[image]\ncrop = 16\n[noise]\nrealizations = 2\n'
    )
    flags = ["--seed", "4", "--crop", "16", "--realizations", "2"]
    assert cli("generate", "--config", tmp_path / "c.toml", "--quiet").code == 0
    assert cli("generate", photos, tmp_path / "b", *flags, "--quiet").code == 0
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b")


def test_quiet_says_only_how_it_ended(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("generate", photos, tmp_path / "corpus", "--quiet")
    assert done.err == "" and len(done.out.splitlines()) == 1


def test_every_line_of_the_json_log_is_json(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    (photos / "list.txt").write_text("astronaut.jpg\nbroken.jpg\ngone.tar\n")
    done = cli("generate", photos / "list.txt", tmp_path / "corpus", "--json-log")
    lines = [json.loads(line) for line in done.err.splitlines()]
    assert [line["event"] for line in lines] == [
        "start", "shard_started", "shard_failed", "shard_started", "lost", "progress", "shard_done", "summary",
    ]  # fmt: skip
    by_event = {line["event"]: line for line in lines}
    assert by_event["start"]["shards"] == 2 and by_event["start"]["todo"] == 2
    assert by_event["shard_failed"]["shard"] == "gone" and "gone.tar" in by_event["shard_failed"]["cause"]
    lost = by_event["lost"]
    assert (lost["shard"], lost["key"], lost["stage"]) == ("images-00000", "broken-jpg", "decode")
    assert by_event["summary"]["lost"] == 1 and by_event["summary"]["exit_code"] == done.code == 1
    shard_done = by_event["shard_done"]
    assert (shard_done["sources"], shard_done["samples"], shard_done["lost"]) == (2, 1, 1)
    assert shard_done["errors"][0]["key"] == "broken-jpg"
    assert all(isinstance(line["time"], float) for line in lines)


# ---- dry run ----


@pytest.mark.parametrize("kind", ["folder", "tars", "resumed"])
def test_a_dry_run_writes_nothing_and_estimates(
    cli: Cli, photos: Path, tmp_path: Path, photo_tar: Callable[..., Path], kind: str
) -> None:
    if kind == "tars":
        photos = tmp_path / "tars"
        for index in range(5):
            photo_tar(photos / f"{index}.tar", 4)
    if kind == "resumed":
        assert cli("generate", photos, tmp_path / "corpus", "--quiet", "--crop", "16", "--crops", "4").code == 0
    before = everything_under(tmp_path)
    done = cli("generate", photos, tmp_path / "corpus", "--dry-run", "--crop", "16", "--crops", "4")
    assert done.code == 0 and everything_under(tmp_path) == before
    images = 20 if kind == "tars" else 5
    assert ("5 shards" if kind == "tars" else "1 shard,") in done.out and f"{images} images" in done.out
    assert f"about {4 * images} samples" in done.out
    assert "MB" in done.out and "time" in done.out and "nothing was written" in done.out


def test_a_dry_run_estimates_the_size_well(cli: Cli, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    (tmp_path / "in").mkdir()
    for index in range(12):
        (tmp_path / f"in/{index}.png").write_bytes(photo(index, height=128, width=192))
    done = cli("generate", tmp_path / "in", tmp_path / "corpus", "--dry-run")
    estimate = float(done.out.partition("samples, ")[2].partition(" MB")[0])
    cli("generate", tmp_path / "in", tmp_path / "corpus", "--quiet")
    size = sum(path.stat().st_size for path in (tmp_path / "corpus").glob("*.tar")) / 1e6
    assert 0.9 * size < estimate < 1.1 * size


def test_a_dry_run_of_broken_images_says_so(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.jpg").write_bytes(b"")
    done = cli("generate", tmp_path / "in", tmp_path / "corpus", "--dry-run")
    assert done.code == 0 and "unknown" in done.out and "1 of them unreadable" in done.out


# ---- failed or incomplete: 1 ----


def test_of_many_shards_that_failed_a_few_are_named(cli: Cli, photo_tar: Callable[..., Path], tmp_path: Path) -> None:
    photo_tar(tmp_path / "in/0.tar")
    done = cli("generate", f"{tmp_path}/in/{{0..9}}.tar", tmp_path / "corpus", "--quiet")
    assert done.code == 1 and "9 shards failed; run the same command again: 1, 2, 3, 4, 5, 6 and 3 more\n" in done.out
    assert "  9  cannot read " in done.out and "1.tar: No such file or directory  (such as 1)" in done.out


def test_a_shard_that_failed(cli: Cli, photo_tar: Callable[..., Path], tmp_path: Path) -> None:
    photo_tar(tmp_path / "in/0.tar")
    done = cli("generate", f"{tmp_path}/in/{{0..1}}.tar", tmp_path / "corpus", "--quiet")
    assert done.code == 1
    assert "1 shard failed; run the same command again: 1\n  1  cannot read " in done.out
    assert "1.tar: No such file" in done.err
    photo_tar(tmp_path / "in/1.tar")
    assert cli("generate", f"{tmp_path}/in/{{0..1}}.tar", tmp_path / "corpus", "--quiet").code == 0


def test_nothing_written(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli("generate", photos, tmp_path / "corpus", "--quiet", "--crop", "500")
    assert done.code == 1
    assert "nothing was written" in done.out and "5 images left out by filters" in done.out


def test_losses_and_max_errors(cli: Cli, photos: Path, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    (photos / "b.jpg").write_bytes(b"")
    tolerated = cli("generate", photos, tmp_path / "corpus", "--quiet", "--max-errors", "1")
    assert tolerated.code == 0 and "1 image lost" in tolerated.out and "--retry-errors" in tolerated.out
    assert cli("generate", photos, tmp_path / "corpus", "--quiet", "--max-errors", "0").code == 1
    (photos / "b.jpg").write_bytes(photo(0, fmt="JPEG"))
    repaired = cli("generate", photos, tmp_path / "corpus", "--quiet", "--max-errors", "0", "--retry-errors")
    assert repaired.code == 0 and "lost" not in repaired.out


def test_an_output_that_cannot_be_written(cli: Cli, photos: Path, tmp_path: Path) -> None:
    """Root may write anywhere, so these are places where nobody can."""
    (tmp_path / "file").write_text("in the way")
    for output in (tmp_path / "file/corpus", Path("/proc/rawsynth/corpus")):
        done = cli("generate", photos, output, "--quiet")
        assert done.code == 1
        assert f"cannot write to {output}" in done.err and "Choose a folder" in done.err


def test_a_damaged_corpus(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("generate", photos, tmp_path / "corpus", "--quiet").code == 0
    record = tmp_path / "corpus/records/images-00000.json"
    record.write_text("{}")
    done = cli("generate", photos, tmp_path / "corpus", "--quiet")
    assert done.code == 1 and "images-00000.json is damaged" in done.err


# ---- wrong usage: 2, and nothing is done ----

WRONG: list[tuple[str, list[str], str]] = [
    ("nothing at all", [], "input and output missing"),
    ("no output", ["{photos}"], "output missing"),
    ("unknown method", ["{photos}", "{out}", "--method", "unproces"], "did you mean 'unprocess'.*unprocess"),
    ("unknown noise", ["{photos}", "{out}", "--noise", "gauss"], "heteroscedastic_gaussian, .*poisson_gaussian"),
    ("unknown camera", ["{photos}", "{out}", "--camera", "Sony"], "Near: Sony .*rawsynth cameras"),
    ("unknown CFA", ["{photos}", "{out}", "--cfa", "XYZW"], "RGGB"),
    ("unknown device", ["{photos}", "{out}", "--device", "tpu9"], "tpu9"),
    ("device without number", ["{photos}", "{out}", "--device", "cuda:first"], "cuda:first"),
    ("ISO without camera", ["{photos}", "{out}", "--iso", "800"], "camera"),
    ("ISO outside the table", ["{photos}", "{out}", "--iso", "1", "--camera", "Sony ILCE-7SM2"], "ISO 1 is outside"),
    ("half a noise", ["{photos}", "{out}", "--shot", "0.1"], "both shot and read"),
    ("odd crop", ["{photos}", "{out}", "--crop", "511"], "crop sides must be even"),
    ("crops without crop", ["{photos}", "{out}", "--crops", "3"], "crops needs a crop size"),
    ("levels", ["{photos}", "{out}", "--black-level", "20000"], "black < white"),
    ("no number", ["{photos}", "{out}", "--limit", "many"], "limit"),
    ("missing input", ["{root}/nowhere", "{out}"], "nowhere"),
    ("missing list", ["{root}/nowhere.txt", "{out}"], "nowhere.txt"),
    ("unknown scheme", ["nosuch://bucket/photos", "{out}"], "nosuch"),
    ("unknown scheme of the output", ["{photos}", "nosuch://bucket/corpus"], "nosuch"),
    ("empty folder", ["{root}/empty", "{out}"], "no images and no tar shards"),
    ("pattern of nothing", ["{photos}/*.webp", "{out}"], "no images and no tar shards"),
    ("output inside input", ["{photos}", "{photos}/out"], "lies inside the input"),
    ("input inside output", ["{photos}", "{root}"], "lies inside the output"),
    ("output is input", ["{photos}", "{photos}"], "lies inside the input"),
    ("output is a file", ["{photos}", "{root}/file"], "is a file"),
    ("other files in the output", ["{photos}", "{root}/foreign"], "holds 1 file, such as 'mine.txt'"),
    ("missing config", ["--config", "{root}/nowhere.toml"], "nowhere.toml"),
    ("wrong config", ["--config", "{root}/wrong.toml", "{photos}", "{out}"], "read.limt: no such option"),
    ("missing camera file", ["{photos}", "{out}", "--camera", "{root}/nowhere.toml"], "nowhere.toml"),
]


@pytest.mark.parametrize(("argv", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_usage(cli: Cli, photos: Path, tmp_path: Path, argv: list[str], message: str) -> None:
    for folder in ("empty", "foreign"):
        (tmp_path / folder).mkdir()
    (tmp_path / "foreign/mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "wrong.toml").write_text("[read]\nlimt = 3\n")
    before = everything_under(tmp_path)
    done = cli("generate", *(arg.format(photos=photos, root=tmp_path, out=tmp_path / "out") for arg in argv))
    assert done.code == 2
    assert done.err.startswith("rawsynth generate: ") and len(done.err.splitlines()) == 1
    assert re.search(message, done.err), done.err
    assert everything_under(tmp_path) == before


def test_another_configuration_is_refused_by_name(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("generate", photos, tmp_path / "corpus", "--quiet").code == 0
    before = everything_under(tmp_path / "corpus")
    done = cli("generate", photos, tmp_path / "corpus", "--quiet", "--seed", "5", "--realizations", "2")
    assert done.code == 2
    assert "seed 0 -> 5" in done.err and "realizations 1 -> 2" in done.err and "--overwrite" in done.err
    assert everything_under(tmp_path / "corpus") == before
    assert cli("generate", photos, tmp_path / "corpus", "--quiet", "--seed", "5", "--overwrite").code == 0


def test_new_files_are_hinted_at_and_taken_up(
    cli: Cli, photos: Path, tmp_path: Path, photo: Callable[..., bytes]
) -> None:
    cli("generate", photos, tmp_path / "corpus", "--quiet")
    (photos / "new.png").write_bytes(photo(5))
    hinted = cli("generate", photos, tmp_path / "corpus", "--quiet")
    assert hinted.code == 0 and "1 input file is new" in hinted.err and "--extend" in hinted.err
    extended = cli("generate", photos, tmp_path / "corpus", "--quiet", "--extend")
    assert extended.code == 0 and "6 samples from 6 images in 2 of 2 shards" in extended.out


# ---- the program itself ----


def run_python(*argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *argv], capture_output=True, text=True, timeout=120)


def test_python_m_rawsynth() -> None:
    done = run_python("-m", "rawsynth", "--version")
    assert (done.returncode, done.stdout) == (0, f"rawsynth {rawsynth.__version__}\n")
    nothing = run_python("-m", "rawsynth")
    assert nothing.returncode == 2 and "usage: rawsynth" in nothing.stderr


AT_ONCE = """
import sys
from rawsynth.cli import main
try:
    main(sys.argv[1:])
finally:
    print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    "argv", [["--help"], ["generate", "--help"], ["generate", "a"], ["generate", "a", "b", "--crop=3"]]
)
def test_help_and_wrong_usage_do_not_wait_for_torch(argv: list[str]) -> None:
    assert run_python("-c", AT_ONCE, *argv).stdout.splitlines()[-1] == "False"


def test_whoever_stops_listening_is_no_crash(photos: Path, tmp_path: Path) -> None:
    """``rawsynth generate ... | head -0``."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "rawsynth", "generate", str(photos), str(tmp_path / "corpus"), "--quiet"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, text=True, timeout=120)
    os.close(writer)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
    assert (tmp_path / "corpus/records/images-00000.json").exists()


def test_the_first_image_lost_for_a_cause_is_named_at_once(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for index in range(7):
        (photos / f"no{index}.jpg").write_bytes(b"this is not a picture")
    done = cli("generate", photos, tmp_path / "corpus", "--method", "unprocess")
    assert done.code == 0
    assert done.err.count(": not an image") == 1 and "lost no0-jpg: not an image" in done.err
