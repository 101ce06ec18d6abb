"""The curve of a training: what is in the file, what a resumed run drops, and that it needs no TensorBoard."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest

from rawsynth import storage
from rawsynth.errors import CorpusError, OutputError
from rawsynth.training.config import TrainConfig
from rawsynth.training.journal import CURVE_FILE, Journal, read_curve
from rawsynth.training.learner import Learner
from rawsynth.training.state import load_state
from rawsynth.training.train import train

MakeConfig = Callable[..., TrainConfig]


def journal(output: str | Path, start: int = 0, **options: Any) -> Journal:
    return Journal(str(output), start=start, total=9, quiet=True, **options)


def strict_rows(content: bytes) -> list[dict[str, Any]]:
    """Parse JSON lines as others do: NaN and Infinity are no JSON, and every line ends."""

    def refuse(token: str) -> None:
        raise AssertionError(f"{token} is no JSON")

    assert not content or content.endswith(b"\n")
    return [json.loads(line, parse_constant=refuse) for line in content.decode("ascii").splitlines()]


def test_rows_are_written_as_they_were_added(tmp_path: Path) -> None:
    book = journal(tmp_path)
    book.add(1, {"loss": 0.1 + 0.2, "images_per_s": 7.0})
    book.add(1, {"key": "schön/1\n2\u2028", "cause": 'said "no"'}, kind="lost")
    book.add(2, {"psnr": 30.5}, kind="validation")
    assert not (tmp_path / CURVE_FILE).exists()  # before it is saved
    book.save()
    book.close()
    rows = strict_rows((tmp_path / CURVE_FILE).read_bytes())
    assert rows == read_curve(str(tmp_path)) == [
        {"step": 1, "kind": "train", "loss": 0.1 + 0.2, "images_per_s": 7.0},
        {"step": 1, "kind": "lost", "key": "schön/1\n2\u2028", "cause": 'said "no"'},
        {"step": 2, "kind": "validation", "psnr": 30.5},
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_null(tmp_path: Path, value: float) -> None:
    """The norm of a gradient may overflow under float16, where the step is left out and learning goes on."""
    book = journal(tmp_path)
    book.add(1, {"loss": 1.0, "grad_norm": value})
    book.save()
    assert strict_rows((tmp_path / CURVE_FILE).read_bytes())[0] == {
        "step": 1, "kind": "train", "loss": 1.0, "grad_norm": None
    }  # fmt: skip


def test_a_resumed_run_drops_what_its_checkpoint_does_not_know(tmp_path: Path) -> None:
    book = journal(tmp_path)
    for step in range(1, 6):
        book.add(step, {"loss": float(step)})
        book.add(step, {"key": f"k{step}", "cause": "damaged"}, kind="lost")
    book.save()
    again = journal(tmp_path, start=3)
    assert [row["step"] for row in read_curve(str(tmp_path))][-1] == 5  # the file is left alone until the next save
    again.add(4, {"loss": 40.0})
    again.save()
    rows = read_curve(str(tmp_path))
    assert [row["step"] for row in rows] == [1, 1, 2, 2, 3, 3, 4] and rows[-1]["loss"] == 40.0
    fresh = journal(tmp_path)
    fresh.save()
    assert read_curve(str(tmp_path)) == []


@pytest.mark.parametrize(
    "content",
    [b'{"step": 1}\n{"ste', b"\xff\xfe\n", b"[]\n", b"3\n", b'{"kind": "train"}\n', b'{"step": "x"}\n', b"[" * 9999],
)
def test_a_damaged_curve_is_said_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / CURVE_FILE).write_bytes(content)
    with pytest.raises(CorpusError, match=r"metrics\.jsonl is damaged"):
        journal(tmp_path)
    assert (tmp_path / CURVE_FILE).read_bytes() == content


def test_no_curve_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / CURVE_FILE).write_bytes(b"")
    assert read_curve(str(tmp_path)) == read_curve(str(tmp_path / "nowhere")) == []


def test_a_curve_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    book = journal(tmp_path, board=False)
    book.add(1, {"loss": 1.0})
    book.save()

    def full(self: storage.AtomicFile) -> None:
        self.abort()
        raise OutputError(f"cannot write {self.url}: No space left on device.")

    monkeypatch.setattr(storage.AtomicFile, "commit", full)
    book.add(2, {"loss": 2.0})
    with pytest.raises(OutputError):
        book.save()
    assert [row["step"] for row in read_curve(str(tmp_path))] == [1]
    assert [path.name for path in tmp_path.iterdir()] == [CURVE_FILE]


def test_quiet_says_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = journal(tmp_path)
    book.tell("lost a pair")
    book.advance(3, {"loss": "1"})
    book.close()
    assert capsys.readouterr() == ("", "")


# ---- TensorBoard ----


def events(output: str | Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(Path(output) / "tensorboard"))
    found.Reload()
    return found


def test_a_remote_output_needs_no_board(memory: fsspec.AbstractFileSystem) -> None:
    book = journal("memory://run")
    book.add(1, {"loss": 1.0})
    book.picture(1, "a", np.zeros((4, 4, 3), np.uint8))
    book.save()
    book.close()
    assert memory.find("/") == ["/run/metrics.jsonl"]


@pytest.mark.parametrize("how", ["not installed", "left out"])
def test_without_tensorboard_there_is_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    if how == "not installed":
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    book = journal(tmp_path, board=how == "not installed")
    book.add(1, {"loss": 1.0})
    book.picture(1, "a", np.zeros((4, 4, 3), np.uint8))
    book.save()
    book.close()
    assert [path.name for path in tmp_path.iterdir()] == [CURVE_FILE]


@pytest.mark.parametrize("output", ["~/run", "file://{}/run", "run"])
def test_a_local_folder_has_its_board_however_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    book = journal(output.format(tmp_path))
    book.add(1, {"loss": 1.0})
    book.save()
    book.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"]
    assert events(tmp_path / "run").Tags()["scalars"] == ["train/loss"]


def test_the_board_of_a_resumed_run_shows_each_step_once(tmp_path: Path) -> None:
    """Steps past the checkpoint are hidden, the checkpoint's own is not: it is not learned again."""
    for start, stop, loss in ((0, 5, 1.0), (3, 6, 2.0)):
        book = journal(tmp_path, start=start)
        for step in range(start + 1, stop + 1):
            book.add(step, {"loss": loss, "name": "no number"})
        book.save()
        book.close()
        time.sleep(1.1)  # files of events are told apart, and put in order, by the second
    shown = [(event.step, event.value) for event in events(tmp_path).Scalars("train/loss")]
    assert shown == [(1, 1.0), (2, 1.0), (3, 1.0), (4, 2.0), (5, 2.0), (6, 2.0)]
    assert shown == [(row["step"], row["loss"]) for row in read_curve(str(tmp_path))]


# ---- with a training around it ----


class Killed(BaseException):
    """As sudden as a kill: nothing of the package catches it."""


@pytest.mark.parametrize("killed_while", ["state", "curve"])
def test_killed_while_the_checkpoint_is_written(
    train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, killed_while: str
) -> None:
    """The second checkpoint never comes to be: the first one is there, whole, and the run goes on from it."""
    quick = {"optimizer.steps": 4, "watch.validate_every": 99, "watch.panels": 0}
    whole, parts = train_config("whole", **quick), train_config("parts", **quick)
    train(whole, quiet=True)
    commit, name = storage.AtomicFile.commit, {"state": "last.safetensors", "curve": CURVE_FILE}[killed_while]
    seen: list[str] = []

    def fail(self: storage.AtomicFile) -> None:
        seen.append(self.url)
        if [url.endswith(name) for url in seen].count(True) == 2:
            raise Killed
        commit(self)

    with monkeypatch.context() as patch:
        patch.setattr(storage.AtomicFile, "commit", fail)
        patch.setattr(storage.AtomicFile, "abort", lambda self: None)  # a kill leaves the temporary file
        with pytest.raises(Killed):
            train(parts, quiet=True)
    folder = Path(parts.output)
    assert load_state(str(folder / "last.safetensors"))["step"] == 2
    assert [path for path in folder.iterdir() if path.suffix == ".tmp"]
    assert train(parts, quiet=True).steps == 4
    assert not [path for path in folder.iterdir() if path.suffix == ".tmp"]
    losses = [[row["loss"] for row in read_curve(c.output) if row["kind"] == "train"] for c in (whole, parts)]
    assert losses[0] == losses[1] and len(losses[0]) == 4


def test_file_and_checkpoint_agree_after_a_stop(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_config(**{"watch.validate_every": 99, "watch.panels": 0})
    learn = Learner.step

    def step(self: Learner, batch: Any, number: int) -> Any:
        if number == 5:
            raise Killed
        return learn(self, batch, number)

    monkeypatch.setattr(Learner, "step", step)
    with pytest.raises(Killed):
        train(config, quiet=True)
    state = load_state(storage.join(config.output, "last.safetensors"))
    assert [row["step"] for row in read_curve(config.output)] == list(range(1, state["step"] + 1))
    assert [event.step for event in events(config.output).Scalars("train/loss")][: state["step"]] == [1, 2, 3, 4]


def test_entries_come_where_they_are_wanted(train_config: MakeConfig) -> None:
    """One entry a look: at the intervals of log, validation and checkpoint, and at the end."""
    watch = {"watch.log_every": 4, "watch.validate_every": 5, "watch.save_every": 100, "watch.panels": 0}
    config = train_config(**{"optimizer.steps": 7, **watch})
    train(config, quiet=True)
    rows = strict_rows((Path(config.output) / CURVE_FILE).read_bytes())
    assert [row["step"] for row in rows if row["kind"] == "train"] == [4, 5, 7]
    assert [row["step"] for row in rows if row["kind"] == "validation"] == [5, 7]
    single = train_config("single", **{"optimizer.steps": 7, **watch, "watch.log_every": 1})
    train(single, quiet=True)
    losses = [row["l1"] for row in read_curve(single.output) if row["kind"] == "train"]
    means = [np.mean(losses[:4]), losses[4], np.mean(losses[5:])]
    assert [row["l1"] for row in rows if row["kind"] == "train"] == pytest.approx(means, rel=1e-5)


def test_a_training_that_overflows_in_float16_writes_json(train_config: MakeConfig) -> None:
    """The first scale of 65536 is too large for a loss as steep as this: those steps are left out, and say null."""
    config = train_config(**{"compute.dtype": "float16", "loss.l1": 1e3, "optimizer.steps": 4})
    assert train(config, quiet=True).steps == 4
    rows = strict_rows((Path(config.output) / CURVE_FILE).read_bytes())
    norms = [row["grad_norm"] for row in rows if row["kind"] == "train"]
    assert norms[0] is None
    assert all(np.isfinite(row["loss"]) for row in rows if row["kind"] == "train")


def test_a_log_names_a_lost_pair_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    book = Journal(str(tmp_path), start=0, total=9, quiet=False)
    for step in (1, 2, 3):
        book.tell("lost p1: no RAW")
        book.advance(step, {"loss": "0.5"})
    book.close()
    said = capsys.readouterr()
    assert said.out == "" and said.err.splitlines() == [
        "rawsynth train: 0 of 9 steps",
        "rawsynth train: lost p1: no RAW",
        "rawsynth train: 3 of 9 steps (33%) in 0:00:00, 0:00:00 left, loss 0.5",
    ]
