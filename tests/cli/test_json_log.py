"""--json-log and --summary say what docs/generate.md says that they do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rawsynth.cli.progress import JsonLog
from rawsynth.pipeline.shards import Shard

Cli = Callable[..., Any]
PAGE = Path(__file__).parents[2] / "docs/generate.md"


def documented() -> dict[str, set[str]]:
    """Return the fields of each event, as the page's table has them."""
    table = PAGE.read_text().partition("| event | fields |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1:3] for line in table.splitlines() if line.startswith("| `")]
    return {event.strip().strip("`"): set(re.findall(r"`(\w+)`", fields.partition(":")[0])) for event, fields in rows}


def test_the_page_has_the_fields_of_every_event(cli: Cli, photos: Path, tmp_path: Path, capsys: Any) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    (photos / "list.txt").write_text("astronaut.jpg\nbroken.jpg\ngone.tar\n")
    done = cli("generate", photos / "list.txt", tmp_path / "out", "--json-log", "--summary", tmp_path / "s.json",
               "--method", "unprocess")  # fmt: skip
    lines = [json.loads(line) for line in done.err.splitlines()]
    lines += [json.loads(cli("generate", tmp_path / "nowhere", tmp_path / "o", "--json-log").err)]
    JsonLog().tell("words")
    JsonLog().shard_retried(Shard("a", "tar", (), None), "why")
    lines += [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    seen = {line["event"]: set(line) - {"time", "event"} for line in lines}
    assert seen == documented()
    summary = json.loads((tmp_path / "s.json").read_text())
    assert set(summary) == documented()["summary"]
    assert summary["lost_causes"][0]["key"] == "broken-jpg" and summary["exit_code"] == done.code == 1


@pytest.mark.parametrize("code", [1, 2])
def test_what_ends_a_run_is_json_too(cli: Cli, photos: Path, tmp_path: Path, code: int) -> None:
    output = "/proc/none/corpus" if code == 1 else photos
    done = cli("generate", photos, output, "--json-log", "--method", "unprocess")
    last = json.loads(done.err.splitlines()[-1])
    assert done.code == code and (last["event"], last["exit_code"]) == ("error", code)
    assert str(output) in last["text"]
