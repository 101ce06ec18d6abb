"""Reports: what is in the files is what was found, and can be read without rawsynth."""

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rawsynth.errors import OutputError, SampleError
from rawsynth.evaluation.evaluate import evaluate
from rawsynth.evaluation.report import csv_text, json_text, markdown_table
from rawsynth.evaluation.result import Evaluation
from rawsynth.evaluation.scoring import METRICS
from rawsynth.pairs import Pair
from rawsynth.transforms import ReverseISP

MakePair = Callable[..., Pair]
PairSet = Callable[..., Any]


@pytest.fixture
def pairs(make_pair: MakePair, pair_set: PairSet) -> Any:
    """Six pairs of three scenes, of rising difficulty, and one that is lost."""
    made = [make_pair(i, change=lambda raw, i=i: raw * (0.9 - 0.1 * i), meta={} if i == 5 else None) for i in range(6)]
    return pair_set([*made, SampleError("bad.png is damaged")])


@pytest.fixture
def found(pairs: Any) -> Evaluation:
    return evaluate(ReverseISP("unprocess", seed=0), pairs, labels={"pairs": "some/pairs"})


def test_json_holds_everything(found: Evaluation) -> None:
    content = json.loads(json_text(found))
    assert (content["format"], content["method"], content["method_version"]) == (1, "unprocess", "1")
    assert (content["images"], content["scored"], content["color"]) == (7, 6, "known")
    assert content["errors"] == {"lost-6": "bad.png is damaged"}
    assert content["labels"] == {"pairs": "some/pairs"}
    assert {"rawsynth", "torch", "numpy", "python"} <= set(content["environment"])
    assert content["means"] == {name: asdict(mean) for name, mean in found.means.items()}
    assert content["scenes"]["scene1"] == {"images": 2, **found.scenes["scene1"]}
    for entry, row in zip(content["rows"], found.rows, strict=True):
        assert (entry["key"], entry["scene"], entry["height"], entry["width"]) == (row.key, row.scene, 48, 64)
        assert {name: entry[name] for name in METRICS if name in entry} == row.scores
        assert (entry["params"], entry["known"]) == (row.params, list(row.known))


def test_csv_holds_every_image_to_the_last_bit(found: Evaluation) -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(found))))
    assert [row["key"] for row in rows] == [f"p{i}" for i in range(6)]
    for line, row in zip(rows, found.rows, strict=True):
        assert {name: float(line[name]) for name in METRICS if line[name]} == row.scores
        assert line["known"] == "+".join(row.known)


def test_the_table_says_what_was_scored(found: Evaluation) -> None:
    headline, empty, *table = markdown_table(found).splitlines()
    assert headline.startswith("unprocess version 1 on some/pairs: 6 images of 3 scenes; colour as the pairs' metadata")
    assert "5 of 6 images" in headline and "1 pair could not be scored" in headline and empty == ""
    assert len(table) == 2 + len(found.means) and "highlights, dB" not in "".join(table)
    assert len({line.count("|") for line in table}) == 1
    mean = found.means["exposure_fitted_psnr"]
    assert f"| {mean.value:.2f} | {mean.low:.2f} to {mean.high:.2f} |" in markdown_table(found)


def test_the_table_of_one_scene_has_no_interval(make_pair: MakePair, pair_set: PairSet) -> None:
    found = evaluate(ReverseISP("unprocess", seed=0), pair_set([make_pair(0)]), known_color=False)
    text = markdown_table(found)
    assert "1 image of 1 scene; colour drawn" in text and text.count("| one scene |") == len(found.means)
    assert json.loads(json_text(found))["means"]["psnr"]["low"] is None


def test_files(pairs: Any, tmp_path: Path) -> None:
    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path / "new/scores"), pictures=2)
    folder = tmp_path / "new/scores"
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"evaluation.json", "images.csv", "overview.png", *found.pictures.values()}
    assert (folder / "evaluation.json").read_text() == json_text(found)
    assert (folder / "images.csv").read_text() == csv_text(found)
    worst, median = found.ranked()[0].key, found.ranked()[3].key
    assert found.pictures == {worst: f"pictures/{worst}.png", median: f"pictures/{median}.png"}


def test_in_memory(pairs: Any, memory: fsspec.AbstractFileSystem) -> None:
    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output="memory://scores", pictures=1)
    assert json.loads(memory.cat("/scores/evaluation.json"))["pictures"] == found.pictures
    assert memory.cat(f"/scores/{next(iter(found.pictures.values()))}").startswith(b"\x89PNG")


def test_an_earlier_report_s_pictures_go(pairs: Any, tmp_path: Path) -> None:
    """And nothing else: not what a user put there, not what an edited report points at."""
    to_raw, output = ReverseISP("unprocess", seed=0), str(tmp_path / "scores")
    evaluate(to_raw, pairs, output=output, pictures=6)
    assert len(list((tmp_path / "scores/pictures").iterdir())) == 6
    report = tmp_path / "scores/evaluation.json"
    (tmp_path / "scores/pictures/mine.png").write_bytes(b"")
    (tmp_path / "precious.png").write_bytes(b"")
    content = json.loads(report.read_text())
    content["pictures"] |= {"x": "../precious.png", "y": "pictures/../../precious.png", "z": 3}
    report.write_text(json.dumps(content))
    found = evaluate(to_raw, pairs, output=output, pictures=1)
    assert {path.name for path in (tmp_path / "scores/pictures").iterdir()} == {
        "mine.png", *(Path(name).name for name in found.pictures.values())
    }
    assert (tmp_path / "precious.png").exists()
    evaluate(to_raw, pairs, output=output, pictures=0)
    assert {path.name for path in (tmp_path / "scores/pictures").iterdir()} == {"mine.png"}
    assert not (tmp_path / "scores/overview.png").exists()


def test_a_run_that_breaks_off_leaves_no_report(pairs: Any, tmp_path: Path) -> None:
    """An earlier one would tell of pictures that are gone."""
    evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path), pictures=0)
    (tmp_path / "pictures").write_bytes(b"stands in the way")
    with pytest.raises(OutputError, match="pictures"):
        evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path), pictures=1)
    assert not (tmp_path / "evaluation.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pictures": 3}', "[" * 10**5, "\udcff"])
def test_an_earlier_report_may_be_damaged(pairs: Any, tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    found = evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path), pictures=0)
    assert (tmp_path / "evaluation.json").read_text() == json_text(found)


@pytest.mark.skipif(os.name == "nt", reason="a file stands for a folder that cannot be written")
def test_an_output_that_cannot_be_written_is_found_before_scoring(pairs: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done: list[int] = []
    with pytest.raises(OutputError, match="file"):
        evaluate(ReverseISP("unprocess", seed=0), pairs, output=str(tmp_path / "file/scores"), progress=done.append)
    assert done == []
