"""verify: whatever is wrong with a corpus is found and named."""

import random
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rawsynth.corpus.verify import verify
from rawsynth.errors import CorpusError
from rawsynth.storage import GuardedStream
from tests.corpus.damage import patch_part, patch_record, rewritten

Make = Callable[..., Any]


# ---- a sound corpus ----


def test_a_sound_corpus_is_counted(corpus: Path) -> None:
    report = verify(str(corpus))
    tars = list(corpus.rglob("*.tar"))
    assert report.ok and report.problems == []
    assert (report.shards, report.parts, report.samples, report.lost) == (2, len(tars), 6, 1)
    assert len(tars) >= 3 and report.bytes == sum(tar.stat().st_size for tar in tars)


def test_whoever_watches_hears_of_every_part(corpus: Path) -> None:
    heard: list[str] = []
    verify(str(corpus), heard.append)
    assert sorted(heard) == sorted(path.relative_to(corpus).as_posix() for path in corpus.rglob("*.tar"))


KINDS: list[dict[str, Any]] = [
    {"read": {"splits": {"train": 0.5, "val": 0.5}, "images_per_shard": 2}},
    {"noise": {"realizations": 3}, "write": {"srgb": True}},
    {"image": {"crop": 16, "crops": 3}, "read": {"keep": ["txt"]}},
]


@pytest.mark.parametrize("values", KINDS, ids=repr)
def test_corpora_of_every_kind_are_sound(
    photos: Path, tmp_path: Path, make_corpus: Make, values: dict[str, Any]
) -> None:
    make_corpus(photos, tmp_path / "corpus", **values)
    assert verify(str(tmp_path / "corpus")).problems == []


def test_in_memory(corpus: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.put(str(corpus), "/corpus", recursive=True)
    assert verify("memory://corpus").problems == []
    memory.pipe("/corpus/a-00.tar", memory.cat("/corpus/a-00.tar")[:-512])
    assert any("a-00.tar" in problem for problem in verify("memory://corpus").problems)


@pytest.mark.parametrize("what", ["nothing", "folder", "damaged"])
def test_what_is_no_corpus_is_an_error(tmp_path: Path, what: str) -> None:
    if what != "nothing":
        (tmp_path / "corpus").mkdir()
    if what == "damaged":
        (tmp_path / "corpus/dataset.json").write_text("{")
    with pytest.raises(CorpusError, match="damaged" if what == "damaged" else "no corpus at .*corpus"):
        verify(str(tmp_path / "corpus"))


# ---- damage ----


def test_any_flipped_bit_is_found(corpus: Path) -> None:
    rng = random.Random(0)
    parts = sorted(corpus.rglob("*.tar"))
    for _ in range(60):
        path = rng.choice(parts)
        content = path.read_bytes()
        where = rng.randrange(len(content))
        path.write_bytes(content[:where] + bytes([content[where] ^ 1 << rng.randrange(8)]) + content[where + 1 :])
        name = path.relative_to(corpus).as_posix()
        assert f"{name}: its sha256 is not the record's" in verify(str(corpus)).problems, where
        path.write_bytes(content)


def test_damaged_headers_under_a_fitting_checksum_end_in_a_problem_not_in_a_crash(corpus: Path) -> None:
    rng = random.Random(1)
    content = (corpus / "a-00.tar").read_bytes()
    for _ in range(60):
        block = bytearray(content[:512])
        for _ in range(3):
            block[rng.randrange(512)] = rng.randrange(256)
        if rng.random() < 0.5:
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
        (corpus / "a-00.tar").write_bytes(bytes(block) + content[512:])
        assert bytes(block) == content[:512] or not verify(str(corpus)).ok


@pytest.mark.parametrize("cut", [0, 1, 512, 1024, 5000, -512, -1024, -1])
def test_a_part_cut_short_is_found(corpus: Path, cut: int) -> None:
    content = (corpus / "a-00.tar").read_bytes()
    (corpus / "a-00.tar").write_bytes(content[:cut])
    (size, *_) = problems = [p for p in verify(str(corpus)).problems if p.startswith("a-00.tar: ")]
    assert size.endswith(f"{len(content[:cut])} bytes, its record says {len(content)}")
    assert any("sha256" in problem for problem in problems)


def test_a_missing_end_of_archive_mark_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = (corpus / "a-00.tar").read_bytes()
    patch_part(corpus, "a", "a-00.tar", content.rstrip(b"\0").ljust(-(-len(content.rstrip(b"\0")) // 512) * 512, b"\0"))
    assert verify(str(corpus)).problems == ["a-00.tar: the end-of-archive mark is missing"]


def test_a_missing_part_is_found(corpus: Path) -> None:
    (corpus / "sub/b-00.tar").unlink()
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith("sub/b-00.tar: cannot read")


@pytest.mark.parametrize("name", ["a-07.tar", "sub/c-00.tar", "other.tar"])
def test_a_stray_part_is_found(corpus: Path, name: str) -> None:
    shutil.copy(corpus / "a-00.tar", corpus / name)
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith(f"{name}: no record knows this part")


@pytest.mark.parametrize("name", ["notes.txt", ".a-00.tar.0123.tmp", "preview.png"])
def test_other_files_are_no_problem(corpus: Path, name: str) -> None:
    (corpus / name).write_bytes(b"mine")
    assert verify(str(corpus)).ok


@pytest.mark.parametrize("member", ["clean.npy", "noisy.npy", "json"])
def test_a_missing_member_is_found_under_a_fitting_checksum(corpus: Path, member: str) -> None:
    content = (corpus / "a-00.tar").read_bytes()
    patch_part(corpus, "a", "a-00.tar", rewritten(content, lambda rows: [r for r in rows if r[0] != f"a/s01.{member}"]))
    assert verify(str(corpus)).problems == [f"a-00.tar: sample a/s01 lacks {member}"]


def test_a_missing_sample_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = (corpus / "a-00.tar").read_bytes()
    without = rewritten(content, lambda rows: [row for row in rows if not row[0].startswith("a/s01.")])
    patch_part(corpus, "a", "a-00.tar", without)
    (problem,) = verify(str(corpus)).problems
    assert problem.startswith("a-00.tar: ") and "sample, its record says" in problem


def test_a_key_that_occurs_twice_is_found(corpus: Path) -> None:
    content = (corpus / "sub/b-00.tar").read_bytes()
    old, new = b'"key":"sub/b/s00"', b'"key":"a/s00"'
    renamed = rewritten(
        content, lambda rows: [(name.replace("sub/b/s00.", "a/s00."), data.replace(old, new)) for name, data in rows]
    )
    patch_part(corpus, "sub/b", "sub/b-00.tar", renamed)
    assert verify(str(corpus)).problems == ["sub/b-00.tar: sample a/s00 occurs twice in the corpus"]


def test_garbage_between_members_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = bytearray((corpus / "a-00.tar").read_bytes())
    start = content.index(b"a/s01.") // 512 * 512
    content[start : start + 512] = bytes(range(256)) * 2
    patch_part(corpus, "a", "a-00.tar", bytes(content))
    problems = verify(str(corpus)).problems
    assert problems and all(problem.startswith("a-00.tar: ") for problem in problems)


def members_with(extra: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], corpus: Path) -> None:
    patch_part(corpus, "a", "a-00.tar", rewritten((corpus / "a-00.tar").read_bytes(), extra))


INSIDE: list[tuple[Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], str]] = [
    (lambda rows: [rows[0], *rows], "sample a/s00: clean.npy occurs twice"),
    (lambda rows: [*rows[:1], ("a/s00.cls", b"1"), *rows[1:]], "sample a/s00 has cls, which its record does not know"),
    (lambda rows: [row if row[0] != "a/s00.json" else (row[0], b"[") for row in rows], "its JSON cannot be read"),
    (lambda rows: [row if row[0] != "a/s00.json" else (row[0], b"{}") for row in rows], "its JSON cannot be read"),
    (lambda rows: [row if row[0] != "a/s00.json" else (row[0], b'{"key":"b"}') for row in rows], "that of b"),
    (lambda rows: [row if row[0] != "a/s00.json" else (row[0], b'{"key":"a/s00"}') for row in rows], "not a sample's"),
    (lambda rows: [], "it holds no sample"),
    (lambda rows: [("readme", b""), *rows], "sample readme lacks clean.npy, json, noisy.npy"),
]


@pytest.mark.parametrize(("change", "problem"), INSIDE, ids=[row[1] for row in INSIDE])
def test_what_is_wrong_inside_is_found_under_a_fitting_checksum(
    corpus: Path, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]], problem: str
) -> None:
    members_with(change, corpus)
    problems = verify(str(corpus)).problems
    assert any(line.startswith("a-00.tar: ") and problem in line for line in problems), problems


def test_a_second_archive_behind_the_end_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = (corpus / "a-00.tar").read_bytes()
    patch_part(corpus, "a", "a-00.tar", content + content)
    assert verify(str(corpus)).problems == ["a-00.tar: there is more behind the end-of-archive mark"]


def test_a_link_for_a_member_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = bytearray((corpus / "a-00.tar").read_bytes())
    content[156:157] = tarfile.SYMTYPE
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    patch_part(corpus, "a", "a-00.tar", bytes(content))
    assert any("clean.npy is no regular file" in problem for problem in verify(str(corpus)).problems)


@pytest.mark.parametrize("threads", [1, 3])
def test_each_part_is_read_once(corpus: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """A part behind a slow store is fetched once, for its checksum and its members."""
    read, inner = [0], GuardedStream.read

    def counted(stream: GuardedStream, size: int | None = -1) -> bytes:
        data = inner(stream, size)
        read[0] += len(data)
        return data

    monkeypatch.setattr(GuardedStream, "read", counted)
    report = verify(str(corpus), threads=threads)
    assert report.ok and read[0] == report.bytes


# ---- records ----


def test_a_damaged_record_is_found_and_the_others_are_still_checked(corpus: Path) -> None:
    record = corpus / "records/a.json"
    record.write_bytes(record.read_bytes().replace(b'"samples"', b'"sampels"', 1))
    (corpus / "sub/b-00.tar").unlink()
    problems = verify(str(corpus)).problems
    assert any("records/a.json is damaged" in problem for problem in problems)
    assert any(problem.startswith("sub/b-00.tar: ") for problem in problems)


def test_an_undone_shard_is_found(corpus: Path) -> None:
    (corpus / "records/sub/b.json").unlink()
    problems = verify(str(corpus)).problems
    assert "shard sub/b is not done: run generate again" in problems


RECORDS = [
    ({"config_digest": "0" * 64}, "shard a was made with another configuration"),
    ({"samples": 5}, "record of a: its parts' samples do not add up to 5"),
    ({"lost": 2}, "record of a: its losses are not all listed"),
    ({"skipped": 2}, "record of a: its losses are not all listed"),
]


@pytest.mark.parametrize(("fields", "problem"), RECORDS)
def test_a_record_that_contradicts_itself_is_found(corpus: Path, fields: dict[str, Any], problem: str) -> None:
    patch_record(corpus, "a", **fields)
    assert verify(str(corpus)).problems == [problem]


def test_everything_wrong_is_named_at_once(corpus: Path) -> None:
    (corpus / "a-01.tar").unlink()
    (corpus / "stray.tar").write_bytes(b"")
    with (corpus / "sub/b-00.tar").open("ab") as part:
        part.write(b"\0")
    problems = verify(str(corpus)).problems
    assert {problem.partition(":")[0] for problem in problems} == {"a-01.tar", "stray.tar", "sub/b-00.tar"}
