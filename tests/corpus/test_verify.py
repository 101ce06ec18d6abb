"""verify: whatever is wrong with a corpus is found and named."""

import hashlib
import io
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
from rawsynth.storage.sealed import read_sealed, write_sealed

Make = Callable[..., Any]
MARK = 1024


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo_tar: Callable[..., Path]) -> Path:
    """A corpus of two shards in several parts, with a loss; tests copy it."""
    root = tmp_path_factory.mktemp("sound")
    photo_tar(root / "in/a.tar", 4)
    photo_tar(root / "in/sub/b.tar", 3, first=4)
    content = (root / "in/sub/b.tar").read_bytes()
    (root / "in/sub/b.tar").write_bytes(content[: content.index(b"s02.png")])
    assert make_corpus(root / "in", root / "corpus", write={"part_size": 30_000}).exit_code == 0
    return root / "corpus"


@pytest.fixture
def corpus(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "corpus"))


def patch_record(corpus: Path, shard: str, **fields: Any) -> None:
    """Change fields of a record as rawsynth would write them, seal and all."""
    url = str(corpus / f"records/{shard}.json")
    write_sealed(url, {**read_sealed(url), **fields})


def patch_part(corpus: Path, shard: str, name: str, content: bytes) -> None:
    """Replace a part and make its record fit, so that only its content can give it away."""
    (corpus / name).write_bytes(content)
    parts = read_sealed(str(corpus / f"records/{shard}.json"))["parts"]
    for part in parts:
        if part["name"] == name:
            part.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    patch_record(corpus, shard, parts=parts)


def rewritten(tar: bytes, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> bytes:
    """Unpack a tar, change its list of members, pack it again."""
    members = []
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        for member in archive:
            handle = archive.extractfile(member)
            assert handle is not None
            members.append((member.name, handle.read()))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in change(members):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


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
    assert problem.startswith("a-00.tar: ") and "samples, its record says" in problem


def test_a_key_that_occurs_twice_is_found(corpus: Path) -> None:
    content = (corpus / "sub/b-00.tar").read_bytes()
    renamed = rewritten(content, lambda rows: [(name.replace("sub/b/s00.", "a/s00."), data) for name, data in rows])
    patch_part(corpus, "sub/b", "sub/b-00.tar", renamed)
    assert verify(str(corpus)).problems == ["sub/b-00.tar: sample a/s00 occurs twice in the corpus"]


def test_garbage_between_members_is_found_under_a_fitting_checksum(corpus: Path) -> None:
    content = bytearray((corpus / "a-00.tar").read_bytes())
    start = content.index(b"a/s01.") // 512 * 512
    content[start : start + 512] = bytes(range(256)) * 2
    patch_part(corpus, "a", "a-00.tar", bytes(content))
    problems = verify(str(corpus)).problems
    assert problems and all(problem.startswith("a-00.tar: ") for problem in problems)


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
