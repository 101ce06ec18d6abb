"""reader: samples in order, and whatever is wrong with an archive either recorded or raised, never passed over."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rawsynth.errors import InputAccessError
from rawsynth.pipeline.reader import count_samples, read_shard
from rawsynth.pipeline.shards import InputFile, Shard
from rawsynth.pipeline.source_sample import LostSample, SourceSample

Read = list[SourceSample | LostSample]
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar_shard(path: Path, *, limit: int | None = None) -> Shard:
    return Shard("z", "tar", str(path.parent), (InputFile(path.name, path.stat().st_size),), limit)


def read_tar(path: Path, keep: Sequence[str] = (), *, limit: int | None = None) -> Read:
    return list(read_shard(tar_shard(path, limit=limit), tuple(keep)))


def read_bytes(folder: Path, content: bytes, keep: Sequence[str] = ()) -> Read:
    path = folder / "z.tar"
    path.write_bytes(content)
    return read_tar(path, keep)


def samples_of(read: Read) -> dict[str, bytes]:
    return {s.source_key: s.load() for s in read if isinstance(s, SourceSample)}


def losses_of(read: Read) -> list[LostSample]:
    return [s for s in read if isinstance(s, LostSample)]


def assert_nothing_is_silent(read: Read, originals: Mapping[str, bytes]) -> None:
    """What came is intact; and if not everything came, a loss says so."""
    came = samples_of(read)
    assert came.items() <= originals.items()
    assert came == originals or losses_of(read)
    assert all(loss.stage == "read" and loss.cause and loss.key for loss in losses_of(read))


@pytest.fixture(scope="session", params=FORMATS)
def small_tar(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    make_tar: Callable[..., Path],
    photo: Callable[..., bytes],
) -> tuple[bytes, dict[str, bytes]]:
    """A tar of three small photographs with captions, and the images; long names where those take extra blocks."""
    folder = "" if request.param == "ustar" else "é" * 120 + "/"
    images = {f"{folder}s{i}": photo(i, height=16, width=16) for i in range(3)}
    members = [
        (f"{key}.{extension}", content)
        for key, image in images.items()
        for extension, content in (("png", image), ("txt", key.encode()))
    ]
    path = make_tar(tmp_path_factory.mktemp("tar") / "a.tar", members, format=FORMATS[request.param])
    return path.read_bytes(), images


# ---- a sound archive ----


def test_samples_come_in_order_with_what_travels_along(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes]
) -> None:
    image = photo(1, fmt="JPEG")
    members = {"b/s1.JPG": image, "b/s1.txt": b"one", "b/s1.cls": b"7", "a.png": photo(0), "a.txt": b"two"}
    read = read_tar(make_tar(tmp_path / "z.tar", members), ("txt", "json"))
    assert [(s.key, s.source_key) for s in read if isinstance(s, SourceSample)] == [("z/b/s1", "b/s1"), ("z/a", "a")]
    assert samples_of(read) == {"b/s1": members["b/s1.JPG"], "a": members["a.png"]}
    assert [{ext: load() for ext, load in s.kept.items()} for s in read if isinstance(s, SourceSample)] == [
        {"txt": b"one"},
        {"txt": b"two"},
    ]
    assert {s.url for s in read if isinstance(s, SourceSample)} == {str(tmp_path / "z.tar")}


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_compressed_or_not(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], mode: str
) -> None:
    members = {f"s{i}.png": photo(i) for i in range(3)}
    read = read_tar(make_tar(tmp_path / "z.tar.gz", members, mode=mode))
    assert samples_of(read) == {name[:-4]: content for name, content in members.items()}
    assert not losses_of(read)


def test_files_are_read_when_asked_for(tmp_path: Path, photo: Callable[..., bytes]) -> None:
    for name in ("a.jpg", "b.png", "a.txt"):
        (tmp_path / name).write_bytes(photo(0))
    files = (InputFile("a.jpg", len(photo(0)), (("txt", "a.txt"),)), InputFile("b.png", None))
    read = list(read_shard(Shard("images-00000", "images", str(tmp_path), files), ("txt",)))
    assert [(s.key, s.source_key) for s in read] == [("a-jpg", "a.jpg"), ("b-png", "b.png")]  # type: ignore[union-attr]
    assert samples_of(read) == {"a.jpg": photo(0), "b.png": photo(0)}
    assert [set(s.kept) for s in read if isinstance(s, SourceSample)] == [{"txt"}, set()]


def test_which_of_several_images_is_the_sample(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes]
) -> None:
    """A mask that is kept as a label is not the photograph, wherever it stands."""
    path = make_tar(tmp_path / "z.tar", {"a.png": b"the mask", "a.jpg": photo(0), "b.png": photo(1)})
    assert samples_of(read_tar(path)) == {"a": photo(0), "b": photo(1)}
    read = read_tar(path, ("png",))
    assert samples_of(read) == {"a": photo(0)}
    assert [(loss.key, loss.cause) for loss in losses_of(read)] == [("z/b", "no image among its members (png)")]


# ---- archives cut short ----


@pytest.mark.parametrize("keep", [(), ("txt",)])
def test_a_cut_at_any_block_is_never_silent(
    tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]], keep: tuple[str, ...]
) -> None:
    content, images = small_tar
    for cut in range(0, len(content), tarfile.BLOCKSIZE):
        read = read_bytes(tmp_path, content[:cut], keep)
        assert_nothing_is_silent(read, images)
        for sample in read:
            if isinstance(sample, SourceSample):
                labels = {extension: load() for extension, load in sample.kept.items()}
                assert labels == dict.fromkeys(keep, sample.source_key.encode())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_cut_anywhere_is_never_silent(
    tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]], share: float
) -> None:
    content, images = small_tar
    assert_nothing_is_silent(read_bytes(tmp_path, content[: int(len(content) * share)]), images)


def test_a_cut_at_a_header_is_recorded_though_every_sample_is_there(
    tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]]
) -> None:
    """webdataset and tarfile read such an archive without a word."""
    content, images = small_tar
    last = content.rindex(b"s2") // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE + tarfile.BLOCKSIZE
    read = read_bytes(tmp_path, content[:last])
    assert samples_of(read) == images
    (loss,) = losses_of(read)
    assert "end-of-archive mark is missing" in loss.cause and loss.key == str(tmp_path / "z.tar")


def test_a_sample_that_lost_its_label_to_the_cut_is_lost(
    tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]]
) -> None:
    content, images = small_tar
    read = read_bytes(tmp_path, content[: content.rindex(b"s2.txt") // 512 * 512], ("txt",))
    assert list(samples_of(read)) == list(images)[:2]
    assert any(loss.cause.startswith("cut off") for loss in losses_of(read))


@pytest.mark.parametrize("cut", [0, 5, 20, 0.3, 0.6, -30, -9, -4, -1])
def test_a_compressed_archive_cut_short(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], cut: float
) -> None:
    members = {f"s{i}.png": photo(i) for i in range(4)}
    content = make_tar(tmp_path / "z.tar.gz", members, mode="w:gz").read_bytes()
    end = int(cut * len(content)) if isinstance(cut, float) else cut
    read = read_bytes(tmp_path, content[:end])
    assert_nothing_is_silent(read, {name[:-4]: image for name, image in members.items()})
    assert losses_of(read), "the gzip trailer is gone, so the archive is not whole"


# ---- damaged archives ----


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(data=st.data())
def test_damaged_headers_are_never_silent(
    tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]], data: st.DataObject
) -> None:
    """Wrong bytes under a right checksum too, which is what a hostile or buggy writer makes."""
    content, images = small_tar
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        starts = [member.offset for member in archive]
    start = data.draw(st.sampled_from(starts))
    header = bytearray(content[start : start + 512])
    for _ in range(data.draw(st.integers(1, 4))):
        header[data.draw(st.integers(0, 511))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        header[148:156] = b" " * 8
        header[148:156] = b"%06o\0 " % sum(header)
    read = read_bytes(tmp_path, content[:start] + bytes(header) + content[start + 512 :])
    # A name may have become another one, and a size smaller; but no image may go without a trace.
    assert len(samples_of(read)) == len(images) or losses_of(read)


GARBAGE = [
    ("empty", b"", "not a tar archive"),
    ("text", b"<html>404 not found</html>" * 100, "not a tar archive"),
    ("noise", bytes(range(256)) * 40, "not a tar archive"),
    ("half a block", bytes(100), "not a tar archive"),
    ("gzip of text", gzip.compress(b"not a tar" * 1000), "not a tar archive"),
    ("gzip of nothing", gzip.compress(b""), "not a tar archive"),
    ("cut gzip header", gzip.compress(b"not a tar" * 1000)[:6], "not a tar archive"),
]


@pytest.mark.parametrize(("content", "cause"), [row[1:] for row in GARBAGE], ids=[row[0] for row in GARBAGE])
def test_what_is_no_tar_is_recorded(tmp_path: Path, content: bytes, cause: str) -> None:
    (loss,) = read_bytes(tmp_path, content)
    assert isinstance(loss, LostSample)
    assert cause in loss.cause and loss.key == str(tmp_path / "z.tar")


def test_an_archive_of_nothing_holds_nothing(tmp_path: Path) -> None:
    assert read_bytes(tmp_path, bytes(10240)) == []


def test_garbage_after_the_first_members(tmp_path: Path, small_tar: tuple[bytes, dict[str, bytes]]) -> None:
    content, images = small_tar
    start = content.rindex(b"s2.png") // 512 * 512
    assert_nothing_is_silent(read_bytes(tmp_path, content[:start] + bytes(range(1, 256)) * 20), images)


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_in_a_compressed_archive(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], mode: str, where: float, bit: int
) -> None:
    """The compressed formats carry checksums; what fits none of them must not pass for an image."""
    members = {f"s{i}.png": photo(i) for i in range(6)}
    content = bytearray(make_tar(tmp_path / "a", members, mode=mode).read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    read = read_bytes(tmp_path, bytes(content))
    came = samples_of(read)
    assert came == {name[:-4]: image for name, image in members.items()} or losses_of(read)


# ---- odd members ----


def test_links_and_devices_are_recorded(tmp_path: Path, photo: Callable[..., bytes]) -> None:
    kinds = {"sym.png": tarfile.SYMTYPE, "hard.png": tarfile.LNKTYPE, "pipe.png": tarfile.FIFOTYPE}
    with tarfile.open(tmp_path / "z.tar", "w") as archive:
        for name, kind in kinds.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        real = tarfile.TarInfo("folder/a.png")
        real.size = len(photo(0))
        archive.addfile(real, io.BytesIO(photo(0)))
    read = read_tar(tmp_path / "z.tar")
    assert samples_of(read) == {"folder/a": photo(0)}
    assert [loss.key.rpartition(":")[2] for loss in losses_of(read)] == list(kinds)
    assert all("regular file" in loss.cause for loss in losses_of(read))


NAMES = ["/etc/passwd.png", "../../up.png", "a/../../b.png", "./dot.png", "C:\\x.png", "a b\n.png", "..png", "//x.png"]


@pytest.mark.parametrize("name", NAMES)
def test_no_name_leads_out_of_the_corpus(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], name: str
) -> None:
    read = read_tar(make_tar(tmp_path / "z.tar", {name: photo(0)}))
    assert len(read) == 1
    assert read[0].key.startswith("z/")
    assert os.path.normpath(os.path.join("/corpus", read[0].key)).startswith("/corpus/z")
    assert "." not in read[0].key


def test_a_second_sample_of_one_key_is_recorded(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes]
) -> None:
    rows = [("a.png", photo(0)), ("b.png", photo(1)), ("a.png", photo(2))]
    read = read_tar(make_tar(tmp_path / "z.tar", rows))
    assert samples_of(read) == {"a": photo(0), "b": photo(1)}
    assert [(loss.key, loss.stage) for loss in losses_of(read)] == [("z/a", "read")]
    assert "second sample" in losses_of(read)[0].cause


def test_a_sample_without_image_is_recorded_with_what_it_has(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes]
) -> None:
    members = {"a.txt": b"", "a.json": b"{}", "b.png": photo(1), "c.v2.png": photo(2)}
    read = read_tar(make_tar(tmp_path / "z.tar", members))
    assert list(samples_of(read)) == ["b"]
    assert [(loss.key, loss.cause) for loss in losses_of(read)] == [
        ("z/a", "no image among its members (json, txt)"),
        ("z/c", "no image among its members (v2.png)"),
    ]


# ---- limits ----


@pytest.mark.parametrize("limit", [1, 2, 5, 9])
def test_limit(tmp_path: Path, photo_tar: Callable[..., Path], limit: int) -> None:
    read = read_tar(photo_tar(tmp_path / "z.tar", 5), limit=limit)
    assert [s.key for s in read] == [f"z/s{i:02d}" for i in range(min(limit, 5))]


@pytest.mark.parametrize("limit", [1, 2, 5, 9, -1])
def test_counting_agrees_with_reading(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], limit: int
) -> None:
    names = ("a.png", "b.txt", "b.png", "c.txt", "a.png", "d.jpg")  # one without image, one that comes twice
    path = make_tar(tmp_path / "z.tar", [(name, photo(i)) for i, name in enumerate(names)])
    wanted = len(samples_of(read_tar(path)))
    assert count_samples(tar_shard(path), limit) == (wanted if limit < 0 else min(limit, wanted))


# ---- faults of access ----


@pytest.mark.parametrize("kind", ["tar", "images"])
def test_a_file_that_changed_since_it_was_listed(tmp_path: Path, photo_tar: Callable[..., Path], kind: str) -> None:
    path = photo_tar(tmp_path / "a.tar", 2)
    size = path.stat().st_size
    for listed in (size - 1, size + 512):
        shard = Shard("a", kind, str(tmp_path), (InputFile("a.tar", listed),))
        with pytest.raises(InputAccessError, match=rf"a\.tar has {size} bytes, {listed} when.*--retry-errors"):
            samples_of(list(read_shard(shard, ())))


@pytest.mark.parametrize("kind", ["tar", "images"])
def test_a_file_that_is_gone(tmp_path: Path, kind: str) -> None:
    with pytest.raises(InputAccessError, match=r"gone\.png"):
        samples_of(list(read_shard(Shard("a", kind, str(tmp_path), (InputFile("gone.png", None),)), ())))


@pytest.mark.parametrize("mode", ["w", "w:gz"])
@pytest.mark.parametrize("after", [0, 512, 3000])
@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), RuntimeError("the driver's own")])
def test_a_read_that_fails_midway_is_a_fault_of_access(
    tmp_path: Path, make_tar: Callable[..., Path], photo: Callable[..., bytes], memory: fsspec.AbstractFileSystem,
    monkeypatch: pytest.MonkeyPatch, mode: str, after: int, error: Exception,
) -> None:  # fmt: skip
    """A lost connection or a bad disk says nothing about the images: nothing is lost, the shard is tried again."""

    def failing(self: object, path: str, start: int, end: int) -> bytes:
        if end > after:
            raise error
        return content[start:end]

    content = make_tar(tmp_path / "a.tar", {f"s{i}.png": photo(i) for i in range(6)}, mode=mode).read_bytes()
    memory.pipe("/in/a.tar", content)
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("rawsynth.storage.ahead.BLOCK_BYTES", 512)
    monkeypatch.setattr(type(memory), "cat_file", failing)
    shard = Shard("a", "tar", "memory://in", (InputFile("a.tar", len(content)),))
    read: Read = []
    with pytest.raises(InputAccessError, match=r"a\.tar.*(Input/output error|the driver's own)"):
        for sample in read_shard(shard, ()):
            read.append(sample)
    assert not losses_of(read)
