"""Damaged tars: every image that they name comes out whole, or a loss says why not."""

import io
import tarfile
from pathlib import Path

import pytest

from rawsynth.pipeline.source_sample import LostSample, SourceSample
from tests.faults.archive_files import BLOCK, archive_seeds, mutate_archive, sealed_header, tar_of
from tests.faults.archive_oracle import check_nothing_is_lost, read_archive
from tests.faults.effort import cases, time_limit
from tests.faults.image_files import image_seeds

SECONDS = 5.0
PNG = image_seeds()["png"]


@pytest.mark.soak
@pytest.mark.parametrize("name", archive_seeds())
def test_a_damaged_tar_loses_nothing_in_silence(name: str, tmp_path: Path) -> None:
    damaged = 0
    for case, rng in cases(f"tar/{name}", 0.3 / len(archive_seeds())):
        data = mutate_archive(name, archive_seeds()[name], rng)
        with time_limit(SECONDS):
            read = read_archive(tmp_path, data)
        check_nothing_is_lost(read, data)
        damaged += any(isinstance(entry, LostSample) for entry in read)
    assert damaged


# What was found by mutation.


def losses(folder: Path, data: bytes) -> list[str]:
    with time_limit(SECONDS):
        read = read_archive(folder, data, ())
    check_nothing_is_lost(read, data)
    return [loss.cause for loss in read if isinstance(loss, LostSample)]


def header(name: str, size: bytes = b"%011o\0" % len(PNG), kind: bytes = b"0", sparse: bytes = b"") -> bytes:
    """A header with any size field, and any sparse map from byte 386 on."""
    block = bytearray(tarfile.TarInfo(name).tobuf(tarfile.GNU_FORMAT))
    block[124:136], block[156:157] = size, kind
    block[386 : 386 + len(sparse)] = sparse
    return sealed_header(bytes(block))


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


END = bytes(2 * BLOCK)
FIRST = header("a.png") + padded(PNG)
BACK = b"\xff" * 8 + (-len(FIRST) - BLOCK).to_bytes(4, "big", signed=True)


def test_a_size_that_leads_back_ends_the_archive(tmp_path: Path) -> None:
    """tarfile of Python 3.11 reads such an archive for ever."""
    said = losses(tmp_path, FIRST + header("b.txt", BACK) + END)
    assert said == ["tar damaged or cut short after 1 members: member b.txt ends before it starts"]


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"\x80\0\0\0\x7f" + b"\xff" * 7, b"77777777777\0"])
def test_a_size_that_no_file_has_is_damage_and_no_fault_of_access(tmp_path: Path, size: bytes) -> None:
    """It was one: the shard would have been tried again for ever."""
    said = losses(tmp_path, FIRST + header("b.png", size) + padded(PNG) + END)
    assert len(said) == 2 and "want 1073741824 or fewer" in said[0] and "unexpected end of data" in said[1]


PIECE = b"%011o\0"
HOLES = {
    "overlapping": PIECE % 100 + PIECE % 50 + PIECE % 10 + PIECE % 300,
    "beyond the end": PIECE % 0 + PIECE % 5000,
    "negative": PIECE % 10 + b"\xff" * 12,
}


@pytest.mark.parametrize("kind", HOLES)
def test_a_sparse_map_with_holes_is_not_followed(tmp_path: Path, kind: str) -> None:
    """tarfile looks for ever for a place that no piece of the map holds."""
    sparse = HOLES[kind].ljust(96, b"\0") + b"\0" + PIECE % 600
    said = losses(tmp_path, header("b.png", kind=b"S", sparse=sparse) + padded(PNG) + FIRST + END)
    assert said == ["a sparse file whose map is damaged"]


def test_a_sparse_map_that_is_cut_off_is_damage(tmp_path: Path) -> None:
    """tarfile ends with an IndexError."""
    said = losses(tmp_path, FIRST + header("b.png", kind=b"S", sparse=bytes(96) + b"\1" + PIECE % 600))
    assert len(said) == 1 and "after 1 members" in said[0]


def test_long_names_of_long_names_are_damage(tmp_path: Path) -> None:
    """tarfile goes one call deeper for each."""
    chain = (header("././@LongLink", PIECE % 3, b"L") + padded(b"x\0\0")) * 1000
    said = losses(tmp_path, FIRST + chain + FIRST + END)
    assert "maximum recursion depth" in said[-1] or "impossible length" in said[-1]


def test_members_of_one_name_in_a_row_are_not_one(tmp_path: Path) -> None:
    """The second took the place of the first without a word, a.PNG that of a.png too."""
    other = image_seeds()["png palette"]
    data = FIRST + header("a.PNG", PIECE % len(other)) + padded(other) + END
    assert losses(tmp_path, data) == ["a second member of this name in the same sample"]
    (sample,) = (entry for entry in read_archive(tmp_path, data) if isinstance(entry, SourceSample))
    assert sample.load() == PNG


@pytest.mark.parametrize("name", [".png", "folder/.png", "a/.jpg"])
def test_an_image_without_a_name_is_lost(tmp_path: Path, name: str) -> None:
    """Its sample would be there and WebDataset's reader would pass over it."""
    said = losses(tmp_path, tar_of({name: PNG, "b.png": PNG}))
    assert said == ["no name before the first dot, so WebDataset has no key for it"]


def test_what_is_not_wanted_is_not_read(tmp_path: Path) -> None:
    """A video beside the photograph may have any size; one that is cut off is still noticed."""
    video = b"%011o\0" % (3 << 30)
    (tmp_path / "big").mkdir()
    path = tmp_path / "big" / "z.tar"
    with path.open("wb") as out:
        out.write(FIRST + header("a.mp4", video))
        out.truncate(len(FIRST) + BLOCK + (3 << 30) + len(END))
    from rawsynth.pipeline.reader import read_shard
    from rawsynth.pipeline.shards import InputFile, Shard

    shard = Shard("z", "tar", str(path.parent), (InputFile(path.name, path.stat().st_size),))
    with time_limit(SECONDS):
        assert [entry.key for entry in read_shard(shard, ())] == ["z/a"]
    assert "unexpected end of data" in losses(tmp_path, FIRST + header("a.mp4", video) + bytes(BLOCK))[-1]


def test_causes_are_short_and_on_one_line(tmp_path: Path) -> None:
    members = {f"a.x{index}\n": b"x" for index in range(50)}
    buffer = io.BytesIO(tar_of(members))
    (cause,) = losses(tmp_path, buffer.getvalue())
    assert cause.startswith("no image among its members (x0, x1, x10,") and cause.endswith(" and 40 more)")
