"""The bench as a whole: what is found, stored, read back, and what a failure or a Ctrl-C leaves."""

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rawsynth.errors import SampleError, UsageError
from rawsynth.evaluation.bench.entries import Conditions, Entry, build_entries
from rawsynth.evaluation.bench.run import BenchObserver, BenchOptions, run_bench
from rawsynth.evaluation.bench.sets import BenchSet
from rawsynth.evaluation.evaluate import evaluate
from rawsynth.evaluation.running import MethodRunner
from rawsynth.methods.srgb_linear import SrgbLinear
from rawsynth.transforms import ReverseISP

MakeSet = Callable[..., BenchSet]
QUICK = BenchOptions(rounds=0, pictures=0)
NAMES = ["unprocess", "srgb_linear", "oracle"]


class Broken(SrgbLinear):
    """Fails where it is run."""

    name = "broken"
    cause: BaseException = RuntimeError("no such kernel")

    def forward(self, srgb: Any, tensors: Any) -> Any:
        raise self.cause


def entry_of(method: SrgbLinear) -> Entry:
    runner = MethodRunner(
        ReverseISP(method, seed=0), device=torch.device("cpu"), dtype=torch.float32, known_color=True
    )
    return Entry(method.name, runner, 0, {"method": method.name})


def entries_of(*names: str, seed: int = 0) -> list[Entry]:
    return build_entries(list(names or NAMES), Conditions(seed=seed))[0]


def read(output: Path) -> Any:
    return json.loads((output / "bench.json").read_text())


def test_it_finds_what_evaluate_finds(bench_set: MakeSet, tmp_path: Path) -> None:
    found = run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK)
    assert found.complete and not found.faults and found.baseline == "unprocess"
    alone = evaluate(ReverseISP("srgb_linear", seed=0), bench_set().pairs)
    made = found.sets[0].evaluations["srgb_linear"]
    assert made.means == alone.means and [r.scores for r in made.rows] == [r.scores for r in alone.rows]
    content = read(tmp_path)
    assert content["format"] == 1 and content["complete"] and content["baseline"] == "unprocess"
    (only,) = content["sets"]
    assert (only["pairs"], only["scenes"], list(only["methods"])) == (6, 3, NAMES)
    stored = only["methods"]["srgb_linear"]
    assert stored["means"]["psnr"]["value"] == alone.means["psnr"].value
    rows = json.loads((tmp_path / stored["rows"]).read_text())["rows"]
    assert [row["psnr"] for row in rows] == [row.scores["psnr"] for row in alone.rows]


def test_differences_are_taken_pair_by_pair(bench_set: MakeSet, tmp_path: Path) -> None:
    found = run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK)
    rows = {name: made.rows for name, made in found.sets[0].evaluations.items()}
    values = [a.scores["psnr"] - b.scores["psnr"] for a, b in zip(rows["oracle"], rows["unprocess"], strict=True)]
    difference = read(tmp_path)["sets"][0]["methods"]["oracle"]["differences"]["psnr"]
    assert difference["value"] == pytest.approx(np.mean(values))
    scenes = [np.mean(values[k::3]) for k in range(3)]
    margin = 4.302653 * np.std(scenes, ddof=1) / np.sqrt(3)
    assert difference["high"] - difference["low"] == pytest.approx(2 * margin, rel=1e-5)
    assert read(tmp_path)["sets"][0]["methods"]["unprocess"]["differences"] == {}


def test_what_methods_were_told(bench_set: MakeSet, tmp_path: Path) -> None:
    found = run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK)
    told = {name: found.sets[0].told(name) for name in NAMES}
    full = "matrix, white balance, exposure"
    assert told == {"unprocess": full, "srgb_linear": full, "oracle": "the reference"}
    drawn = build_entries(["unprocess"], Conditions(known_color=False))[0]
    found = run_bench(drawn, [bench_set()], str(tmp_path / "drawn"), options=QUICK)
    assert found.sets[0].told("unprocess") == "nothing: drawn"


def test_results_are_read_back_if_nothing_changed(bench_set: MakeSet, tmp_path: Path) -> None:
    first = run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK)
    again = run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK)
    assert first.sets[0].reused == [] and again.sets[0].reused == NAMES
    assert again.to_json() == first.to_json()
    other_pairs = run_bench(entries_of(), [bench_set(factor=0.11)], str(tmp_path), options=QUICK)
    conditions = Conditions(seed=1)
    other_seed = run_bench(
        entries_of(seed=1), [bench_set()], str(tmp_path), options=BenchOptions(conditions, rounds=0, pictures=0)
    )
    assert other_pairs.sets[0].reused == other_seed.sets[0].reused == []
    assert run_bench(entries_of("oracle"), [bench_set()], str(tmp_path), options=QUICK).sets[0].reused == ["oracle"]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1, "digest": 3}', "[" * 10**5])
def test_a_stored_result_may_be_damaged(bench_set: MakeSet, tmp_path: Path, content: str) -> None:
    first = run_bench(entries_of("oracle"), [bench_set()], str(tmp_path), options=QUICK)
    (file,) = (tmp_path / "results").iterdir()
    whole = file.read_text()
    file.write_text(content)
    again = run_bench(entries_of("oracle"), [bench_set()], str(tmp_path), options=QUICK)
    assert again.sets[0].reused == [] and again.to_json() == first.to_json() and file.read_text() == whole


def test_a_method_that_fails_costs_its_row(bench_set: MakeSet, tmp_path: Path) -> None:
    entries = [*entries_of("unprocess"), entry_of(Broken()), *entries_of("oracle")]
    found = run_bench(entries, [bench_set()], str(tmp_path), options=BenchOptions(rounds=1, pictures=1))
    assert list(found.sets[0].evaluations) == ["unprocess", "oracle"] and found.complete
    assert found.faults == ["broken on memory: RuntimeError: no such kernel"]
    assert read(tmp_path)["sets"][0]["failures"] == {"broken": "RuntimeError: no such kernel"}
    assert "no such kernel" in (tmp_path / "bench.md").read_text()
    assert list(found.costs) == ["unprocess"]


def test_a_pair_that_is_lost_is_named(bench_set: MakeSet, tmp_path: Path) -> None:
    found = run_bench(
        entries_of("unprocess"), [bench_set(SampleError("bad.png is damaged"))], str(tmp_path), options=QUICK
    )
    assert found.faults == ["unprocess on memory: 1 pair lost; the first, lost-6: bad.png is damaged"]


def test_what_was_finished_outlives_an_interruption(bench_set: MakeSet, tmp_path: Path) -> None:
    stop = Broken()
    stop.cause = KeyboardInterrupt()
    entries = [*entries_of("unprocess"), entry_of(stop), *entries_of("oracle")]
    with pytest.raises(KeyboardInterrupt):
        run_bench(entries, [bench_set()], str(tmp_path), options=QUICK)
    assert not read(tmp_path)["complete"] and list(read(tmp_path)["sets"][0]["methods"]) == ["unprocess"]
    assert "Not complete" in (tmp_path / "bench.md").read_text()
    again = run_bench(entries_of("unprocess", "oracle"), [bench_set()], str(tmp_path), options=QUICK)
    assert again.sets[0].reused == ["unprocess"] and again.complete


class Tags(HTMLParser):
    """Pictures and links of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.links = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        values = dict(attrs)
        self.links += tag in ("link", "script", "a")
        if tag == "img":
            self.pictures.append(values["src"])


def test_the_page_stands_alone(bench_set: MakeSet, tmp_path: Path) -> None:
    found = run_bench(entries_of(), [bench_set()], str(tmp_path), options=BenchOptions(rounds=1, pictures=2))
    tags = Tags((tmp_path / "bench.html").read_text())
    assert len(tags.pictures) == 2 and all(src.startswith("data:image/png;base64,") for src in tags.pictures)
    assert tags.links == 0
    worst = found.sets[0].evaluations["unprocess"].ranked()[0].key
    assert next(iter(found.sets[0].pictures)) == worst
    cost = found.costs["srgb_linear"]
    assert (cost.height, cost.width, cost.rounds) == (48, 64, 1) and cost.ms > 0
    assert cost.images_per_s == pytest.approx(1000 / cost.ms)
    assert cost.memory_mb is None or cost.memory_mb >= 0
    assert set(found.costs) == {"unprocess", "srgb_linear"}


def test_markdown_has_every_table(bench_set: MakeSet, tmp_path: Path) -> None:
    run_bench(entries_of(), [bench_set()], str(tmp_path), options=QUICK, left_out={"peer": "no weights | here"})
    text = (tmp_path / "bench.md").read_text()
    titles = [line[3:] for line in text.splitlines() if line.startswith("## ")]
    assert titles == ["memory", "memory, by part", "memory, differences to unprocess", "Cost", "Left out"]
    assert "| peer | no weights \\| here |" in text
    for table in text.split("## ")[1:]:
        lines = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len(lines) > 2 and len({line.count("|") for line in lines}) == 1


def test_an_observer_hears_of_every_pass(bench_set: MakeSet, tmp_path: Path) -> None:
    class Heard(BenchObserver):
        begun: list[tuple[str, int]] = []
        done = 0

        def begin(self, words: str, total: int) -> None:
            self.begun.append((words, total))

        def advance(self, done: int) -> None:
            self.done += done

    heard = Heard()
    run_bench(entries_of("oracle"), [bench_set()], str(tmp_path), options=QUICK, observer=heard)
    assert heard.begun == [("reading memory", 6), ("oracle on memory", 6)] and heard.done == 12


def test_what_cannot_be_run(bench_set: MakeSet, pair_set: Any, tmp_path: Path) -> None:
    rows: list[tuple[list[Entry], BenchSet, BenchOptions, str]] = [
        ([], bench_set(), QUICK, "no method competes"),
        (entries_of(), bench_set(), BenchOptions(baseline="other"), "'other' does not compete"),
        (entries_of(), BenchSet("none", "", pair_set([])), QUICK, "no pair"),
        (entries_of(), bench_set(), BenchOptions(pictures=-1), "fewer than 0"),
    ]
    for entries, source, options, words in rows:
        with pytest.raises(UsageError, match=words):
            run_bench(entries, [source], str(tmp_path), options=options)


def test_another_baseline(bench_set: MakeSet, tmp_path: Path) -> None:
    options = BenchOptions(baseline="oracle", rounds=0, pictures=0)
    found = run_bench(entries_of(), [bench_set()], str(tmp_path), options=options)
    assert found.sets[0].differences("oracle", found.baseline) == {}
    assert found.sets[0].differences("unprocess", found.baseline)["psnr"].value != 0
    assert run_bench(entries_of("oracle"), [bench_set()], str(tmp_path), options=QUICK).baseline == "oracle"
