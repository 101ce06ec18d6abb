"""Every verb x whatever may stand where its argument should: an exit code and a line that names it, no traceback.

Codes: 1 where something is damaged, not there or out of reach; 2 where what is there, or what was typed, is of another
kind than the verb takes. In both the line says what, and what to do.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.main import RESUMABLE, VERBS
from rawsynth.storage.sealed import read_sealed, write_sealed

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, make_corpus: Cli, photo: Callable[..., bytes]) -> Path:
    """A folder with photographs, a corpus of them, and this corpus broken in all ways that have a name below."""
    root = tmp_path_factory.mktemp("faults")
    (root / "photos").mkdir()
    for index in range(3):
        (root / f"photos/p{index}.png").write_bytes(photo(index))
    assert make_corpus(root / "photos", root / "corpus", write={"srgb": True}).exit_code == 0
    (root / "empty").mkdir()
    (root / "folder.toml").mkdir()
    (root / "folder.safetensors").mkdir()
    (root / "text.txt").write_text("hello\n")
    for suffix in ("toml", "tar", "safetensors", "pt"):
        (root / f"empty.{suffix}").write_bytes(b"")
    for name in ("newer", "cut-plan", "cut-tar", "no-tar", "bad-record", "no-record"):
        shutil.copytree(root / "corpus", root / name)
    write_sealed(str(root / "newer/dataset.json"), {**read_sealed(str(root / "corpus/dataset.json")), "format": 99})
    plan, tar = root / "cut-plan/dataset.json", root / "cut-tar/images-00000-00.tar"
    plan.write_bytes(plan.read_bytes()[:200])
    tar.write_bytes(tar.read_bytes()[: tar.stat().st_size // 2])
    (root / "no-tar/images-00000-00.tar").unlink()
    (root / "bad-record/records/images-00000.json").write_text("{")
    (root / "no-record/records/images-00000.json").unlink()
    return root


# How each verb is called; {} is what is at fault.
CALLS = {
    "bench": "bench {} --methods unprocess --output {out} --rounds 0 --pictures 0 --quiet",
    "calibrate": "calibrate {} -o {out}.toml --quiet",
    "cameras": "cameras {}",
    "evaluate": "evaluate {} --pictures 0 --quiet",
    "export": "export {} {out} --quiet",
    "fit-style": "fit-style {} {out}.safetensors --quiet",
    "generate": "generate {} {out} --method unprocess --quiet",
    "generate --config": "generate photos {out} --quiet --config {}",
    "generate --camera": "generate photos {out} --quiet --camera {}",
    "generate --dark-frames": "generate photos {out} --quiet --noise dark_frames --dark-frames {} --shot 0.1 --read 1",
    "generate --style": "generate photos {out} --quiet --style {}",
    "generate --weights": "generate photos {out} --quiet --weights {}",
    "import-weights": "import-weights cycleisp {} {out}.safetensors --trust-pickle",
    "index": "index {} -o {out}.jsonl --quiet",
    "inspect": "inspect {}",
    "inspect KEY": "inspect {} p0-png",
    "noise-report": "noise-report {} --camera Sony\xa0ILCE-7SM2 --iso 1600",
    "pairs": "pairs {} {out} --quiet",
    "preview": "preview {} -o {out}",
    "status": "status {}",
    "status --losses": "status {} --losses",
    "train": "train {} --quiet",
    "train pairs": "train tiny --set data.train={} --output {out} --quiet",
    "train photographs": "train rst_isp_net_small --set data.photographs={} --output {out} --quiet",
    "verify": "verify {} --quiet",
    # Where something is written.
    "demo to": "demo --output {}",
    "export to": "export corpus {} --quiet",
    "evaluate to": "evaluate corpus --output {} --pictures 0 --quiet",
    "generate to": "generate photos {} --method unprocess --srgb --quiet",
    "generate --summary": "generate photos {out} --method unprocess --quiet --summary {}",
    "index to": "index corpus -o {} --quiet",
    "preview to": "preview corpus -o {}",
}
CORPUS = ("export", "index", "status", "status --losses", "verify", "inspect", "inspect KEY", "preview")
PAIRS = ("bench", "evaluate", "fit-style", "train pairs")

# What it is, how it ends, what the line says; for each of the calls. `~` in front: the line stands on standard output.
ROWS: list[tuple[tuple[str, ...], str, int, str]] = [
    # not there
    (("export", "index", "status", "status --losses", "verify"), "nowhere", 1, "no corpus at nowhere: there is no"),
    (PAIRS, "nowhere", 1, "cannot read nowhere: no such file or folder"),
    (("calibrate", "inspect", "noise-report"), "nowhere", 1, "cannot read nowhere: "),
    (("generate --dark-frames",), "nowhere", 2, "dark frames nowhere: no such file or folder"),
    (("generate",), "nowhere", 2, "input: cannot read nowhere"),
    (("generate --config",), "nowhere.toml", 2, "config file nowhere.toml: cannot read"),
    (("generate --camera",), "nowhere.toml", 2, "camera file: cannot read nowhere.toml"),
    (("generate --style",), "nowhere.safetensors", 2, "style: cannot read nowhere.safetensors"),
    (("generate --weights",), "nowhere.safetensors", 2, "cannot read nowhere.safetensors"),
    (("import-weights",), "nowhere.pt", 2, "cannot read nowhere.pt: no such file"),
    (("pairs",), "nowhere", 2, "there is no nowhere: give a folder with camera RAW files"),
    (("preview", "inspect KEY"), "nowhere", 2, "no corpus parts in nowhere: give a corpus folder"),
    (("train",), "nowhere", 2, "(or give a path to a .toml file)"),
    (("train photographs",), "nowhere", 2, "nowhere: no photograph"),
    (("cameras",), "nowhere", 2, "no camera has 'nowhere' in its name"),
    # a folder where a file is wanted
    (("generate --config", "generate --camera", "train", "cameras"), "folder.toml", 2, "folder.toml: Is a directory"),
    (("generate --style", "generate --weights", "import-weights"), "folder.safetensors", 2, "Is a directory"),
    (("index to", "generate --summary"), "empty", 1, "cannot write empty: Is a directory"),
    # a file where a folder is wanted
    (("export", "index", "status", "verify"), "text.txt", 1, "Give the folder or URL that `rawsynth generate` wrote"),
    (PAIRS, "text.txt", 2, "text.txt is a file and no tar. Known layouts"),
    (("calibrate",), "text.txt", 2, "text.txt, line 1: no statement of an EMVA 1288 descriptor"),
    (("generate",), "text.txt", 2, "no images and no tar shards in 'text.txt'"),
    (("pairs",), "text.txt", 2, "text.txt is no camera RAW file: wanted .dng"),
    (("inspect",), "text.txt", 2, "is nothing that rawsynth knows by its name. Wanted a corpus"),
    (("noise-report",), "text.txt", 1, "text.txt: 0 frames; at least 4 are needed"),
    (("generate to",), "text.txt", 2, "output text.txt is a file; give a folder"),
    (("export to", "evaluate to", "preview to", "demo to"), "text.txt", 1, "cannot write"),
    # an empty folder
    (("export", "index", "status", "verify"), "empty", 1, "no corpus at empty: there is no dataset.json. Give"),
    (PAIRS, "empty", 2, "no pairs in empty: 0 files"),
    (("calibrate",), "empty", 2, "empty holds no frames"),
    (("generate",), "empty", 2, "no images and no tar shards in 'empty': nothing is there"),
    (("pairs",), "empty", 2, "no camera RAW files among 0 in empty"),
    (("noise-report",), "empty", 1, "empty: 0 frames"),
    (("inspect",), "empty", 2, "empty is a folder without dataset.json"),
    (("preview", "inspect KEY"), "empty", 2, "no corpus parts in empty"),
    (("generate --dark-frames",), "empty", 2, "dark frames empty: no frame in 0 files. Give a folder"),
    (("train photographs",), "empty", 2, "empty: no photograph"),
    # an empty file
    (("generate --camera", "cameras"), "empty.toml", 2, "camera file empty.toml: missing or wrong field"),
    (("train",), "empty.toml", 2, "config file empty.toml: output: required"),
    (("generate --style",), "empty.safetensors", 2, "empty.safetensors: damaged, or no style file"),
    (("generate --weights",), "empty.safetensors", 2, "empty.safetensors: not a safetensors file (0 bytes)"),
    (("import-weights",), "empty.safetensors", 2, "empty.safetensors: damaged, or no safetensors file"),
    (("import-weights",), "empty.pt", 2, "empty.pt"),
    (PAIRS, "empty.tar", 1, "empty.tar is no tar, or damaged or cut short after 0 members"),
    (("inspect",), "empty.tar", 1, "empty.tar: unreadable after 0 samples"),
    (("generate --dark-frames",), "empty.tar", 2, "dark frames empty.tar: tar damaged or cut short"),
    # a corpus of a newer format
    (CORPUS, "newer", 1, "newer/dataset.json has format 99; this rawsynth reads 1"),
    (("generate to",), "newer", 1, "pip install --upgrade rawsynth"),
    # a plan that was cut
    (CORPUS, "cut-plan", 1, "cut-plan/dataset.json is damaged"),
    (("generate to",), "cut-plan", 1, "Copy it back from a backup, or make the corpus anew in another folder"),
    # a tar that was cut
    (PAIRS, "cut-tar", 1, "cut-tar/images-00000-00.tar is no tar, or damaged or cut short"),
    (("index",), "cut-tar", 1, "Run rawsynth verify cut-tar"),
    (("export",), "cut-tar", 1, "Run rawsynth verify"),
    (("verify",), "cut-tar", 1, "~images-00000-00.tar: "),
    (("preview",), "cut-tar", 1, "~cut-tar: not shown, damaged: "),
    # a tar that is gone
    (("export", "index"), "no-tar", 1, "cannot read no-tar/images-00000-00.tar: No such file"),
    (("verify",), "no-tar", 1, "~no-tar: images-00000-00.tar: cannot read"),
    # a record that is damaged or gone
    (("export", "index", "status --losses", "preview"), "bad-record", 1, "images-00000.json is damaged"),
    (("status", "verify"), "bad-record", 1, "~images-00000.json is damaged"),
    (("generate to",), "bad-record", 1, "Delete it to make the shard again"),
    (("status",), "no-record", 1, "~not complete: the same rawsynth generate makes what is not done"),
    (("verify",), "no-record", 1, "~shard images-00000 is not done: run generate again"),
    (("export",), "no-record", 1, "no-record: nothing to export: no shard is done"),
    (("index",), "no-record", 1, "~1 shard is not done"),
    # no such protocol
    *((
        tuple(name for name in CALLS if name not in ("cameras", "generate --camera", "import-weights", "demo to")),
        "nosuch://x/y.safetensors", 2, "Protocol not known: nosuch",
    ),),  # fmt: skip
    (("demo to",), "memory://x/y", 2, "the demo writes to a folder on a local disk"),
    # where nobody can write
    (
        ("generate to", "export to", "evaluate to", "index to", "preview to", "generate --summary", "demo to"),
        "/proc/none/x", 1, "cannot write",
    ),  # fmt: skip
]
TABLE = [(call, what, code, said) for calls, what, code, said in ROWS for call in calls]


@pytest.mark.parametrize(("call", "what", "code", "said"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_what_is_at_fault_is_said(
    cli: Cli, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, what: str, code: int, said: str
) -> None:
    monkeypatch.chdir(place)
    words = [word.replace("{out}", str(tmp_path / "out")).replace("{}", what) for word in CALLS[call].split(" ")]
    done = cli(*(word.replace("\xa0", " ") for word in words))
    text = done.out if said.startswith("~") else done.err
    assert done.code == code, done
    assert said.removeprefix("~") in text, done
    assert "Traceback" not in done.err + done.out
    if not said.startswith("~"):
        assert len([line for line in done.err.splitlines() if line.startswith("rawsynth")]) <= 1, "one line"
        assert what.partition("://")[0] in done.err, "it names what is at fault"


def test_every_verb_that_takes_something_is_in_the_table() -> None:
    walked = {call.split()[0] for calls, *_ in ROWS for call in calls}
    assert walked == set(VERBS) - {"completion", "doctor", "methods"}
    assert {call for calls, *_ in ROWS for call in calls} == set(CALLS)


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_ctrl_c_ends_every_verb_with_its_code(cli: Cli, monkeypatch: pytest.MonkeyPatch, verb: str) -> None:
    def interrupted(args: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(VERBS[verb], "run", interrupted)
    arguments = {"fit-style": 2, "import-weights": 3, "pairs": 2, "export": 2}.get(verb, 1)
    done = cli(verb, *([] if verb in ("completion", "demo", "doctor", "methods") else ["x"] * arguments))
    assert done.code == 130 and f"rawsynth {verb}: interrupted" in done.err
    assert ("goes on" in done.err) is (verb in RESUMABLE)
