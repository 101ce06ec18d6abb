"""dataset: the plan is frozen at the start; nothing that does not belong to it is mixed in or removed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch

from rawsynth import storage
from rawsynth.cameras import format_camera, load_camera
from rawsynth.corpus.verify import verify
from rawsynth.errors import CorpusError, UsageError
from rawsynth.pipeline import environment
from rawsynth.pipeline.config import GenerateConfig, build_config
from rawsynth.pipeline.dataset import Dataset, accept_changes, open_dataset
from rawsynth.pipeline.own_files import DATASET_FILE, check_apart

Make = Callable[..., Any]


def config(source: str | Path, output: str | Path, **values: Any) -> GenerateConfig:
    return build_config({"input": str(source), "output": str(output), **values})


def silent(message: str) -> None:
    raise AssertionError(f"nothing to say here, but: {message}")


def start(source: str | Path, output: str | Path, **values: Any) -> Dataset:
    dataset = open_dataset(config(source, output, **values), silent)
    dataset.save()
    return dataset


def paths(dataset: Dataset) -> list[list[str]]:
    return [[file.path for file in shard.files] for shard in dataset.shards]


def everything_under(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# ---- a plan and its file ----


def test_a_plan_survives(photos: Path, tmp_path: Path) -> None:
    dataset = start(photos, tmp_path / "corpus", seed=3, read={"images_per_shard": 2, "keep": ["txt"]})
    loaded = Dataset.load(str(tmp_path / "corpus"))
    assert loaded == dataset
    assert [len(files) for files in paths(dataset)] == [2, 2, 1]


def test_the_file_lists_inputs_with_their_sizes(photos: Path, tmp_path: Path) -> None:
    start(photos, tmp_path / "corpus", read={"keep": ["txt"]})
    plan = json.loads((tmp_path / "corpus" / DATASET_FILE).read_text())
    (shard,) = plan["shards"]
    assert [row[:2] for row in shard["files"]] == [
        [path, (photos / path).stat().st_size]
        for path in ("astronaut.jpg", "cats/chelsea.png", "cats/chelsea.v2.jpeg", "coffee.PNG", "rocket.jpg")
    ]
    assert shard["files"][0][2] == {"txt": "astronaut.txt"}


def test_nothing_is_written_before_it_is_saved(photos: Path, tmp_path: Path) -> None:
    open_dataset(config(photos, tmp_path / "corpus"), silent)
    assert not (tmp_path / "corpus").exists()


def test_an_empty_folder_and_hidden_files_are_no_hindrance(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/.nfs000").write_text("")
    start(photos, tmp_path / "corpus")


def test_in_memory(memory: fsspec.AbstractFileSystem, photos: Path) -> None:
    dataset = start(photos, "memory://corpus")
    assert Dataset.load("memory://corpus") == dataset
    assert paths(open_dataset(config(photos, "memory://corpus"), silent)) == paths(dataset)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9])
def test_a_damaged_plan_names_itself(photos: Path, tmp_path: Path, share: float) -> None:
    start(photos, tmp_path / "corpus")
    path = tmp_path / "corpus" / DATASET_FILE
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CorpusError, match=r"dataset\.json is damaged"):
        start(photos, tmp_path / "corpus")


def test_what_the_message_about_a_damaged_plan_advises_helps(
    photos: Path, tmp_path: Path, make_corpus: Make
) -> None:
    """If it says to delete the file, the next run must work after that."""
    make_corpus(photos, tmp_path / "corpus")
    path = tmp_path / "corpus" / DATASET_FILE
    path.write_text("{")
    with pytest.raises(CorpusError) as caught:
        make_corpus(photos, tmp_path / "corpus")
    if "Delete it" in str(caught.value):
        path.unlink()
        assert make_corpus(photos, tmp_path / "corpus").exit_code == 0


def test_a_plan_of_another_format_is_refused(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rawsynth.pipeline.dataset.FORMAT_VERSION", 99)
    start(photos, tmp_path / "corpus")
    monkeypatch.undo()
    with pytest.raises(CorpusError, match="has format 99; this rawsynth reads 1"):
        start(photos, tmp_path / "corpus")


# ---- auto is decided once ----


def test_auto_is_decided_once_and_stays(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "AUTO_COMPILE_BYTES", 1)
    monkeypatch.setattr(environment, "can_compile", lambda device: True)
    assert start(photos, tmp_path / "corpus").config.compute.compile == "on"
    monkeypatch.undo()
    assert start(photos, tmp_path / "other").config.compute.compile == "off"
    again = open_dataset(config(photos, tmp_path / "corpus"), silent)
    assert (again.config.compute.compile, again.config.compute.device) == ("on", "cpu")


def test_without_a_compiler_auto_is_off(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "AUTO_COMPILE_BYTES", 1)
    monkeypatch.setattr("shutil.which", lambda program: None)
    assert start(photos, tmp_path / "corpus").config.compute.compile == "off"


def test_another_environment_is_mentioned(photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start(photos, tmp_path / "corpus")
    monkeypatch.setattr(environment, "describe", lambda device: {"torch": "9.9"})
    told: list[str] = []
    open_dataset(config(photos, tmp_path / "corpus"), told.append)
    assert len(told) == 1 and "bytes may differ" in told[0]


DEVICES = [
    ("tpu9", "unknown device 'tpu9'"),
    ("cuda:first", "unknown device 'cuda:first'"),
    ("cuda", "'cuda' is not available"),
    ("cuda:7", "'cuda:7' is not available"),
]


@pytest.mark.parametrize(("device", "message"), DEVICES)
def test_a_device_that_is_not_there(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, message: str
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UsageError, match=message):
        start(photos, tmp_path / "corpus", compute={"device": device})


# ---- going on with another configuration ----

CHANGED = [
    ({"seed": 1}, ["seed 0 -> 1"]),
    ({"noise": {"realizations": 2}}, ["realizations 1 -> 2"]),
    ({"image": {"crop": 16}, "write": {"bits": 16}}, ["crop None -> [16, 16]", "bits 14 -> 16"]),
    ({"read": {"splits": {"a": 0.5, "b": 0.5}}}, ["splits {} -> {'a': 0.5, 'b': 0.5}"]),
    ({"method": {"rgb_gain": 1.25}}, ["rgb_gain None -> 1.25"]),
    ({"compute": {"compile": "on"}}, ["compile 'off' -> 'on'"]),
]


@pytest.mark.parametrize(("values", "named"), CHANGED)
def test_a_changed_option_is_refused_by_name(
    photos: Path, tmp_path: Path, values: dict[str, Any], named: list[str]
) -> None:
    start(photos, tmp_path / "corpus")
    before = everything_under(tmp_path / "corpus")
    with pytest.raises(UsageError, match="another configuration.*--overwrite") as caught:
        start(photos, tmp_path / "corpus", **values)
    for change in named:
        assert change in str(caught.value)
    assert str(caught.value).count("->") == len(named)
    assert everything_under(tmp_path / "corpus") == before


def test_an_option_that_is_new_has_its_default_for_an_older_corpus(photos: Path, tmp_path: Path) -> None:
    """As a corpus of a version before ``max_clipped`` and its section's other options would be."""
    dataset = start(photos, tmp_path / "corpus")
    older = {name: dict(found) if isinstance(found, dict) else found for name, found in dataset.fields.items()}
    del older["image"]["min_side"], older["noise"]
    replace(dataset, fields=older).save()
    again = open_dataset(config(photos, tmp_path / "corpus"), silent)
    assert again.digest == replace(dataset, fields=older).digest != dataset.digest
    with pytest.raises(UsageError, match="min_side .* -> 128"):
        open_dataset(config(photos, tmp_path / "corpus", image={"min_side": 128}), silent)


def test_another_input_is_refused(photos: Path, tmp_path: Path) -> None:
    start(photos, tmp_path / "corpus")
    with pytest.raises(UsageError, match=r"input .*photos.* -> .*photos/cats"):
        start(photos / "cats", tmp_path / "corpus")


def test_run_options_may_change(photos: Path, tmp_path: Path) -> None:
    start(photos, tmp_path / "corpus")
    run = {"threads": 1, "max_errors": 3, "quiet": True, "json_log": True}
    assert open_dataset(config(photos, tmp_path / "corpus", run=run), silent).config.run.max_errors == 3


@pytest.mark.parametrize("spelling", ["{}/", "file://{}"])
def test_the_same_place_may_be_spelled_otherwise(photos: Path, tmp_path: Path, spelling: str) -> None:
    start(photos, tmp_path / "corpus")
    open_dataset(config(spelling.format(photos), tmp_path / "corpus"), silent)


def test_a_corpus_goes_on_from_another_working_directory(
    photos: Path, tmp_path: Path, make_corpus: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_corpus("photos", "corpus", read={"images_per_shard": 2})
    (tmp_path / "corpus/records/images-00001.json").unlink()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    summary = make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    assert (summary.exit_code, summary.skipped_shards) == (0, 2)


def test_a_camera_file_that_changed_is_another_configuration(photos: Path, tmp_path: Path) -> None:
    """The profile's numbers decide bytes, not its path."""
    own = tmp_path / "own.toml"
    own.write_text(format_camera(load_camera("Sony ILCE-7SM2")))
    start(photos, tmp_path / "corpus", method={"camera": str(own)})
    text = own.read_text()
    own.write_text(text.replace('cfa = "RGGB"', 'cfa = "BGGR"'))
    assert own.read_text() != text
    with pytest.raises(UsageError, match="camera"):
        start(photos, tmp_path / "corpus", method={"camera": str(own)})


def test_a_corpus_of_a_camera_file_goes_on_from_another_working_directory(
    photos: Path, tmp_path: Path, make_corpus: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same figures from another path are the same configuration, and are read from where they are now."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    read = {"images_per_shard": 2}
    (tmp_path / "a/own.toml").write_text(format_camera(load_camera("Sony ILCE-7SM2")))
    monkeypatch.chdir(tmp_path / "a")
    make_corpus(photos, tmp_path / "corpus", read=read, method={"camera": "own.toml"})
    (tmp_path / "corpus/records/images-00001.json").unlink()
    (tmp_path / "a/own.toml").rename(tmp_path / "b/moved.toml")
    monkeypatch.chdir(tmp_path / "b")
    summary = make_corpus(photos, tmp_path / "corpus", read=read, method={"camera": "moved.toml"})
    assert (summary.exit_code, summary.skipped_shards) == (0, 2)
    assert verify(str(tmp_path / "corpus")).problems == []


# ---- files that come and go ----


def test_added_files_are_hinted_at_and_left_alone(photos: Path, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    dataset = start(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    (photos / "added.jpg").write_bytes(photo(4))
    told: list[str] = []
    again = open_dataset(config(photos, tmp_path / "corpus", read={"images_per_shard": 2}), told.append)
    assert again.shards == dataset.shards
    assert len(told) == 1 and "1 input file is new" in told[0] and "--extend" in told[0]


def test_extend_puts_added_files_into_new_shards(
    photos: Path, tmp_path: Path, photo: Callable[..., bytes], photo_tar: Callable[..., Path]
) -> None:
    read = {"images_per_shard": 2}
    dataset = start(photos, tmp_path / "corpus", read=read)
    for name in ("aaa.jpg", "cats/a.png", "zzz.jpg"):
        (photos / name).write_bytes(photo(4))
    photo_tar(photos / "more.tar")
    told: list[str] = []
    extended = open_dataset(config(photos, tmp_path / "corpus", read=read, run={"extend": True}), told.append)
    assert extended.shards[:3] == dataset.shards
    assert paths(extended)[3:] == [["more.tar"], ["aaa.jpg", "cats/a.png"], ["zzz.jpg"]]
    assert len({shard.name for shard in extended.shards}) == 6
    loaded = Dataset.load(str(tmp_path / "corpus"))
    assert loaded is not None and loaded.shards == extended.shards
    assert told == ["4 new input files taken up, in 3 shards"]
    open_dataset(config(photos, tmp_path / "corpus", read=read), silent)


def test_a_recursive_pattern_never_takes_the_corpus_for_its_input(
    tmp_path: Path, make_corpus: Make, photo_tar: Callable[..., Path]
) -> None:
    """Refused, or the corpus's own tars are not among the new files."""
    photo_tar(tmp_path / "in/sub/a.tar")
    try:
        first = make_corpus(f"{tmp_path}/in/**/*.tar", tmp_path / "in/corpus")
    except UsageError:
        return
    again = make_corpus(f"{tmp_path}/in/**/*.tar", tmp_path / "in/corpus", run={"extend": True})
    assert again.shards == first.shards == 1


def test_an_input_that_is_gone_does_not_keep_a_corpus_from_going_on(photos: Path, tmp_path: Path) -> None:
    dataset = start(photos, tmp_path / "corpus")
    photos.rename(tmp_path / "moved")
    told: list[str] = []
    assert open_dataset(config(photos, tmp_path / "corpus"), told.append).shards == dataset.shards
    assert len(told) == 1 and "cannot be listed again" in told[0]


def test_limit_freezes_the_choice(photos: Path, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    dataset = start(photos, tmp_path / "corpus", read={"limit": 2})
    assert paths(dataset) == [["astronaut.jpg", "cats/chelsea.png"]]
    (photos / "aaa.jpg").write_bytes(photo(4))
    assert paths(open_dataset(config(photos, tmp_path / "corpus", read={"limit": 2}), silent)) == paths(dataset)


def test_changed_sizes_can_be_accepted(photos: Path, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    dataset = start(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    assert accept_changes(dataset, dataset.shards[0]) is dataset
    (photos / "astronaut.jpg").write_bytes(b"other")
    (photos / "cats/chelsea.png").unlink()
    changed = accept_changes(dataset, dataset.shards[0])
    assert [file.size for file in changed.shards[0].files] == [5, dataset.shards[0].files[1].size]
    assert changed.shards[1:] == dataset.shards[1:]
    assert Dataset.load(str(tmp_path / "corpus")) == changed


# ---- places that must not be written ----

APART = [
    ("in", "out", None),
    ("in", "input", None),
    ("in/a.tar", "in-corpus", None),
    ("in", "in/out", "lies inside the input"),
    ("in", "in", "lies inside the input"),
    ("in/", "in/deep/down", "lies inside the input"),
    ("in", "other/../in/out", "lies inside the input"),
    ("in", "link/out", "lies inside the input"),
    ("out/in", "out", "lies inside the output"),
    ("out/in/*.jpg", "out", "lies inside the output"),
    ("out/in/{a,b}.tar", "out", "lies inside the output"),
    ("memory://in", "in/out", None),
    ("in/*.tar", "in/out", None),
]


@pytest.mark.parametrize(("source", "output", "message"), APART)
def test_input_and_output_lie_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, output: str, message: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("in", "out/in", "other"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "in")
    (tmp_path / "in/a.tar").write_bytes(b"")
    if message is None:
        check_apart(source, output)
    else:
        with pytest.raises(UsageError, match=message):
            check_apart(source, output)


def test_an_output_with_other_files_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus/sub").mkdir(parents=True)
    (tmp_path / "corpus/sub/thesis.tex").write_text("mine")
    for run in ({}, {"overwrite": True}):
        with pytest.raises(UsageError, match=r"holds 1 file, such as 'sub/thesis\.tex', but no dataset\.json"):
            start(photos, tmp_path / "corpus", run=run)
    assert everything_under(tmp_path / "corpus") == {"sub/thesis.tex": b"mine"}


def test_an_output_that_is_a_file_is_refused(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "corpus").write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        start(photos, tmp_path / "corpus")
    assert (tmp_path / "corpus").read_text() == "mine"


# ---- overwrite ----


@pytest.mark.parametrize("splits", [{}, {"train": 0.5, "val": 0.5}])
def test_overwrite_removes_the_corpus_and_nothing_else(
    photos: Path, tmp_path: Path, make_corpus: Make, photo_tar: Callable[..., Path], splits: dict[str, float]
) -> None:
    corpus = tmp_path / "corpus"
    photo_tar(photos / "sub/shard.tar")
    read = {"images_per_shard": 2, "splits": splits}
    make_corpus(photos, corpus, read=read, write={"part_size": 20_000})
    mine = {"notes.txt": b"1", "my.tar": b"2", "sub/other-00.tar": b"3", "records/my.txt": b"4", "images-1.tar": b"5"}
    for name, content in mine.items():
        (corpus / name).write_bytes(content)
    before = everything_under(corpus)
    try:
        open_dataset(config(photos, corpus, seed=5, run={"overwrite": True}), silent)
    except UsageError:
        assert everything_under(corpus) == before, "refused, but the corpus is gone"
    else:
        assert everything_under(corpus) == mine


def test_overwrite_makes_the_same_as_a_fresh_start(
    photos: Path, tmp_path: Path, make_corpus: Make, hash_tars: Callable[..., dict[str, str]]
) -> None:
    make_corpus(photos, tmp_path / "fresh", seed=5)
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 1}, write={"part_size": 1})
    make_corpus(photos, tmp_path / "corpus", seed=5, run={"overwrite": True})
    assert hash_tars(tmp_path / "corpus") == hash_tars(tmp_path / "fresh")
    assert set(everything_under(tmp_path / "corpus")) == set(everything_under(tmp_path / "fresh"))


def test_overwrite_cut_short_does_not_leave_records_without_parts(
    photos: Path, tmp_path: Path, make_corpus: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill while the old corpus is being removed: what is still recorded must still be there."""
    corpus, remove = tmp_path / "corpus", storage.remove
    summary = make_corpus(photos, corpus, read={"images_per_shard": 2})
    for allowed in range(2 * summary.shards):
        make_corpus(photos, corpus, read={"images_per_shard": 2})
        left = allowed

        def remove_some(url: str) -> None:
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            remove(url)

        monkeypatch.setattr(storage, "remove", remove_some)
        with pytest.raises(KeyboardInterrupt):
            open_dataset(config(photos, corpus, seed=5, run={"overwrite": True}), silent)
        monkeypatch.setattr(storage, "remove", remove)
        make_corpus(photos, corpus, read={"images_per_shard": 2})
        assert verify(str(corpus)).problems == []
