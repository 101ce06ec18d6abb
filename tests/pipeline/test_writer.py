"""writer: whole parts of equal bytes for equal content, or none."""

import hashlib
import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import webdataset as wds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth import storage
from rawsynth.errors import OutputError
from rawsynth.pipeline.record import PartRecord
from rawsynth.pipeline.writer import ShardWriter, part_name

Sample = tuple[str, dict[str, bytes]]


def sample(index: int, size: int = 100) -> Sample:
    return f"dir/k{index:03d}-jpg", {"json": b"{}", "clean.npy": bytes([index % 251]) * size, "noisy.npy": b"n" * size}


def write(
    folder: str | Path, samples: list[Sample], part_size: int = 10**9, split: str | None = None
) -> list[PartRecord]:
    with ShardWriter(str(folder), "shard", part_size) as writer:
        for key, members in samples:
            writer.write(key, members, split)
        return writer.finish()


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def names_in(tar: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        return archive.getnames()


def test_what_is_recorded_is_what_is_there(tmp_path: Path) -> None:
    (part,) = write(tmp_path, [sample(i) for i in range(5)])
    content = (tmp_path / "shard-00.tar").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert part == PartRecord("shard-00.tar", len(content), digest, samples=5, split=None)
    assert content[-1024:] == bytes(1024)


def test_webdataset_reads_what_was_written(tmp_path: Path) -> None:
    samples = [sample(i) for i in range(5)]
    write(tmp_path, samples)
    read = wds.WebDataset(str(tmp_path / "shard-00.tar"), shardshuffle=False)
    assert [(s["__key__"], {k: v for k, v in s.items() if k[:2] != "__"}) for s in read] == samples


def test_bytes_know_no_clock_no_user_and_no_member_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a", [sample(i) for i in range(3)])
    monkeypatch.setattr("time.time", lambda: 2e9)
    monkeypatch.setenv("USER", "somebody")
    reordered = [(key, dict(reversed(members.items()))) for key, members in (sample(i) for i in range(3))]
    write(tmp_path / "b", reordered)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    with tarfile.open(tmp_path / "a/shard-00.tar") as archive:
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in archive} == {(0, 0, 0, "", "", 0o644)}


def test_nothing_has_a_name_before_it_is_finished(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path), "shard", 10**9) as writer:
        writer.write(*sample(0))
        assert not [name for name in contents(tmp_path) if not name.startswith(".")]
        writer.finish()
    assert list(contents(tmp_path)) == ["shard-00.tar"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, OutputError])
def test_leaving_with_an_exception_leaves_no_half_part(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), ShardWriter(str(tmp_path), "shard", 2000) as writer:
        for index in range(3):
            writer.write(*sample(index), split=["train", "val"][index % 2])
        raise error
    assert all(content[-1024:] == bytes(1024) for content in contents(tmp_path).values())
    assert not [name for name in contents(tmp_path) if name.startswith(".")]


def test_in_memory_too(memory: fsspec.AbstractFileSystem) -> None:
    (part,) = write("memory://corpus", [sample(0)])
    assert hashlib.sha256(memory.cat("/corpus/shard-00.tar")).hexdigest() == part.sha256
    with pytest.raises(RuntimeError), ShardWriter("memory://corpus", "other", 10**9) as writer:
        writer.write(*sample(0))
        raise RuntimeError
    assert memory.find("/corpus") == ["/corpus/shard-00.tar"]


# ---- parts ----


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(sizes=st.lists(st.integers(0, 3000), min_size=1, max_size=12), part_size=st.integers(1, 20_000))
def test_parts_hold_every_sample_whole_and_keep_their_size(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], part_size: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    samples = [sample(index, size) for index, size in enumerate(sizes)]
    parts = write(folder, samples, part_size)
    assert [part.name for part in parts] == [f"shard-{i:02d}.tar" for i in range(len(parts))]
    tars = [(folder / part.name).read_bytes() for part in parts]
    assert [name for tar in tars for name in names_in(tar)] == [
        f"{key}.{extension}" for key, members in samples for extension in sorted(members)
    ]
    for part, tar in zip(parts, tars, strict=True):
        assert len(names_in(tar)) == 3 * part.samples
        payload = len(tar.rstrip(b"\0"))
        assert part.samples == 1 or payload <= part_size


def test_more_than_a_hundred_parts_stay_in_order(tmp_path: Path) -> None:
    parts = write(tmp_path, [sample(i, 1) for i in range(102)], part_size=1)
    in_order = [names_in((tmp_path / part.name).read_bytes())[0] for part in parts]
    assert in_order == sorted(in_order)


def test_splits_have_parts_of_their_own(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path), "a/shard", 10**9) as writer:
        for index in range(6):
            key, members = sample(index)
            writer.write(key, members, ["train", "val"][index % 3 == 2])
        parts = writer.finish()
    assert [(p.name, p.split, p.samples) for p in parts] == [
        ("a/shard-train-00.tar", "train", 4),
        ("a/shard-val-00.tar", "val", 2),
    ]


def test_a_shard_without_samples_has_no_parts(tmp_path: Path) -> None:
    assert write(tmp_path, []) == []
    assert contents(tmp_path) == {}


SPLITS = st.none() | st.sampled_from(["train", "val"])
SHARDS = st.sampled_from(["a", "b", "a-2", "a-3", "images-00000", "images", "a/b"])


@given(rows=st.lists(st.tuples(SHARDS, SPLITS, st.integers(0, 200)), unique=True, max_size=30))
def test_part_names_do_not_collide(rows: list[tuple[str, str | None, int]]) -> None:
    assert len({part_name(*row) for row in rows}) == len(rows)


# ---- a shard that was made before ----


def test_parts_of_an_earlier_attempt_go(tmp_path: Path) -> None:
    write(tmp_path, [sample(i) for i in range(6)], part_size=1)
    write(tmp_path / "other", [sample(0)])
    assert len(contents(tmp_path)) == 7
    write(tmp_path, [sample(0), sample(1)], part_size=1)
    assert set(contents(tmp_path)) == {"shard-00.tar", "shard-01.tar", "other/shard-00.tar"}


def test_parts_of_an_earlier_attempt_go_from_splits_that_are_empty_now(tmp_path: Path) -> None:
    """The only image of a split may be lost when its shard is made again."""
    write(tmp_path, [sample(0)], split="val")
    with ShardWriter(str(tmp_path), "shard", 10**9, ["train", "val"]) as writer:
        writer.write(*sample(1), split="train")
        writer.finish()
    assert set(contents(tmp_path)) == {"shard-train-00.tar"}


def test_the_return_value_is_what_a_sample_takes(tmp_path: Path) -> None:
    with ShardWriter(str(tmp_path), "shard", 10**9) as writer:
        taken = sum(writer.write(*sample(i, size)) for i, size in enumerate((0, 1, 512, 513)))
        (part,) = writer.finish()
    assert taken <= part.bytes <= taken + tarfile.RECORDSIZE + 1024


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_disk_that_fills_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int) -> None:
    """Wherever it happens: an OutputError, and no file under a final name that is not whole."""
    calls = 0
    commit = storage.AtomicFile.commit

    def full(self: storage.AtomicFile) -> None:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise OutputError(f"cannot write {self.url}: No space left on device.")
        commit(self)

    monkeypatch.setattr(storage.AtomicFile, "commit", full)
    with pytest.raises(OutputError, match="No space left"):
        write(tmp_path, [sample(i) for i in range(3)], part_size=1)
    assert set(contents(tmp_path)) == {f"shard-{i:02d}.tar" for i in range(failing - 1)}


def test_a_long_key_is_written_and_read(tmp_path: Path) -> None:
    """An escaped path easily passes the 256 characters of a plain tar header."""
    key = "/".join(["=E5=86=99" * 20] * 3) + "-jpg"
    write(tmp_path, [(key, sample(0)[1])])
    (read,) = wds.WebDataset(str(tmp_path / "shard-00.tar"), shardshuffle=False)
    assert read["__key__"] == key


def test_the_corpus_s_other_files_stay(tmp_path: Path, photo: Callable[..., bytes]) -> None:
    for name in ("shard-x-00.tar", "shard2-00.tar", "notes.txt"):
        (tmp_path / name).write_bytes(photo(0))
    write(tmp_path, [sample(0)])
    assert set(contents(tmp_path)) == {"shard-x-00.tar", "shard2-00.tar", "notes.txt", "shard-00.tar"}
