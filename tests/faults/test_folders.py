"""What stands in an input folder and is no file: refused before a run plans with it, and never waited for."""

import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.inputs import list_input
from rawsynth.pipeline.reader import read_shard
from rawsynth.pipeline.shards import InputFile, Shard
from rawsynth.pipeline.source_sample import ImageBytes, SourceSample
from tests.faults.effort import time_limit
from tests.faults.image_files import image_seeds

SECONDS = 10.0
PNG = image_seeds()["png"]


@pytest.fixture
def folder() -> Iterator[Path]:
    """With one photograph; of a short path, as sockets need."""
    made = Path(tempfile.mkdtemp(prefix="f"))
    (made / "a.png").write_bytes(PNG)
    yield made
    shutil.rmtree(made)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


SPECIAL: dict[str, Callable[[Path], None]] = {
    "a pipe": os.mkfifo,
    "a socket": make_socket,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.symlink_to("/"),
}
NAMES = ("x.png", "x.tar")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SPECIAL)
def test_what_is_no_file_is_refused_by_its_name(
    folder: Path, make_corpus: Callable[..., Any], kind: str, name: str
) -> None:
    SPECIAL[kind](folder / name)
    with time_limit(SECONDS), pytest.raises(UsageError, match=f"{name} is {kind}, want a file: remove it"):
        make_corpus(folder, folder.with_name(f"{folder.name}-out"))
    assert not folder.with_name(f"{folder.name}-out").exists()


@pytest.mark.parametrize("how", ["list", "pattern", "name"])
def test_a_pipe_is_refused_however_it_is_named(folder: Path, how: str) -> None:
    os.mkfifo(folder / "x.png")
    (folder / "all.txt").write_text("a.png\nx.png\n")
    source = {"list": "all.txt", "pattern": "*.png", "name": "x.png"}[how]
    with time_limit(SECONDS), pytest.raises(InputAccessError, match="x.png is a pipe"):
        list_input(str(folder / source), ReadConfig())


@pytest.mark.parametrize("kind", SPECIAL)
def test_what_takes_the_place_of_a_file_later_leaves_the_shard_undone(
    folder: Path, make_corpus: Callable[..., Any], tmp_path: Path, kind: str
) -> None:
    (folder / "b.png").write_bytes(PNG)
    make_corpus(folder, tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "records")
    (folder / "b.png").unlink()
    SPECIAL[kind](folder / "b.png")
    with time_limit(SECONDS):
        again = make_corpus(folder, tmp_path / "out")
    assert again.exit_code == 1 and f"b.png is {kind}" in again.failed["images-00000"]
    (folder / "b.png").unlink()
    (folder / "b.png").write_bytes(PNG)
    assert make_corpus(folder, tmp_path / "out").exit_code == 0


def test_a_pipe_among_what_is_kept_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "a.txt")
    shard = Shard("i", "images", str(folder), (InputFile("a.png", len(PNG), (("txt", "a.txt"),)),))
    (sample,) = read_shard(shard, ("txt",))
    assert isinstance(sample, SourceSample) and sample.load() == PNG
    with time_limit(SECONDS), pytest.raises(InputAccessError, match="a.txt is a pipe"):
        sample.kept["txt"]()


def test_a_folder_named_as_an_image_is_a_folder(folder: Path) -> None:
    (folder / "b.png").mkdir()
    (folder / "b.png" / "c.png").write_bytes(PNG)
    found = list_input(str(folder), ReadConfig())
    assert [file.path for file in found.images] == ["a.png", "b.png/c.png"]
    assert [file.path for file in list_input(str(folder / "*.png"), ReadConfig()).images] == ["a.png"]


def test_a_link_to_nowhere_is_tried_again(
    folder: Path, make_corpus: Callable[..., Any], tmp_path: Path
) -> None:
    """Its target may be on a disk that is not mounted: a fault of access, and no size to insist on."""
    (folder / "b.png").symlink_to(tmp_path / "elsewhere.png")
    made = make_corpus(folder, tmp_path / "out")
    assert made.exit_code == 1 and "No such file" in made.failed["images-00000"]
    (tmp_path / "elsewhere.png").write_bytes(PNG)
    made = make_corpus(folder, tmp_path / "out")
    assert (made.exit_code, made.samples) == (0, 2)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_a_file_that_may_not_be_read_leaves_the_shard_undone(
    folder: Path, make_corpus: Callable[..., Any], tmp_path: Path
) -> None:
    (folder / "b.png").write_bytes(PNG)
    (folder / "b.png").chmod(0)
    made = make_corpus(folder, tmp_path / "out")
    assert made.exit_code == 1 and "Permission denied" in made.failed["images-00000"]


def test_a_file_larger_than_any_image_is_lost_unread(folder: Path) -> None:
    with (folder / "b.png").open("wb") as out:
        out.truncate(5 << 30)
    with time_limit(SECONDS), pytest.raises(SampleError, match="has 5368709120 bytes, want 1073741824 or fewer"):
        ImageBytes(url=str(folder / "b.png"), size=5 << 30)()
