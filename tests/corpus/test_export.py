"""export: single files that hold what the corpus holds, whole, resumable, and with every loss said."""

import io
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import tifffile
from PIL import Image

from rawsynth import export, open_corpus
from rawsynth.corpus.export import EXPORT_FILE
from rawsynth.corpus.export_formats import EXPORT_FORMATS
from rawsynth.errors import CorpusError, InputAccessError, UnknownNameError, UsageError
from rawsynth.raw.files import read_raw

Make = Callable[..., Any]
CAMERA = {"method": {"camera": "Sony ILCE-7SM2", "cfa": "GBRG"}, "noise": {"iso": 3200}}


@pytest.fixture
def made(photos: Path, tmp_path: Path, make_corpus: Make) -> Path:
    """Five samples in three shards, with two realizations."""
    read = {"images_per_shard": 2}
    make_corpus(photos, tmp_path / "c", read=read, method=CAMERA["method"], noise={"iso": 3200, "realizations": 2})
    return tmp_path / "c"


def sensor(packed: np.ndarray) -> np.ndarray:
    """The mosaic of planes in reading order."""
    out = np.empty((2 * packed.shape[1], 2 * packed.shape[2]), packed.dtype)
    for k in range(4):
        out[k // 2 :: 2, k % 2 :: 2] = packed[k]
    return out


def stored(samples: dict[str, dict[str, bytes]], key: str, member: str) -> np.ndarray:
    return np.asarray(np.load(io.BytesIO(samples[key][member])))


def test_dng(made: Path, tmp_path: Path, read_samples: Make) -> None:
    done = export(str(made), str(tmp_path / "out"))
    assert (done.written, done.present, done.lost) == (15, 0, [])
    samples = read_samples(made)
    assert len(samples) == 5
    for key, members in samples.items():
        meta = json.loads(members["json"])
        for member in ("noisy.0.npy", "noisy.1.npy", "clean.npy"):
            raw = read_raw(str(tmp_path / "out" / f"{key}.{member[:-4]}.dng"))
            assert np.array_equal(raw.mosaic, sensor(stored(samples, key, member)))
            assert (raw.cfa, raw.make, raw.model) == ("GBRG", "rawsynth", "Sony ILCE-7SM2")
            assert raw.iso == (None if member == "clean.npy" else 3200)
            assert raw.cam_from_srgb == pytest.approx(np.array(meta["raw"]["cam_from_srgb"]), abs=1e-4)


@pytest.mark.parametrize("format", ["png", "tiff"])
def test_pictures_hold_the_mosaic_and_say_its_levels(
    made: Path, tmp_path: Path, read_samples: Make, format: str
) -> None:
    assert export(str(made), str(tmp_path / "out"), format=format, which=["noisy"]).written == 10
    samples = read_samples(made)
    for key, members in samples.items():
        path = tmp_path / "out" / f"{key}.noisy.1.{format}"
        wanted, entry = sensor(stored(samples, key, "noisy.1.npy")), json.loads(members["json"])["noisy"][1]
        if format == "png":
            with Image.open(path) as image:
                pixels, text = np.asarray(image), image.text["rawsynth"]  # type: ignore[attr-defined]
        else:
            with tifffile.TiffFile(path) as tiff:
                pixels, text = tiff.pages[0].asarray(), tiff.pages[0].tags["ImageDescription"].value
        assert pixels.dtype == np.uint16 and np.array_equal(pixels, wanted)
        assert json.loads(text)["image"] == entry and json.loads(text)["raw"]["cfa"] == "GBRG"


def test_npz_is_what_open_corpus_gives(made: Path, tmp_path: Path) -> None:
    export(str(made), str(tmp_path / "out"), format="npz")
    for pair in open_corpus(str(made), shuffle=0):
        meta = pair["meta"]
        for name in ("noisy", "clean"):
            with np.load(tmp_path / "out" / f"{meta['key']}.{meta[name]['member'][:-4]}.npz") as file:
                assert np.array_equal(file["packed"], pair[name].numpy())
                assert json.loads(str(file["meta"]))["image"] == meta[name]


@pytest.mark.parametrize("format", EXPORT_FORMATS)
def test_equal_bytes_and_no_work_twice(made: Path, tmp_path: Path, format: str) -> None:
    files = []
    for name in ("a", "b"):
        export(str(made), str(tmp_path / name), format=format, threads=1 if name == "a" else 3)
        files.append({p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.*")})
    assert files[0] == files[1]
    removed = next((tmp_path / "a").rglob(f"*.clean.{format}"))
    removed.unlink()
    again = export(str(made), str(tmp_path / "a"), format=format)
    assert (again.written, again.present) == (1, 14) and removed.exists()
    assert export(str(made), str(tmp_path / "a"), format=format, overwrite=True).written == 15


def test_some_of_it(made: Path, tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    few = export(str(made), str(tmp_path / "few"), limit=2, which=["clean"], watch=lambda *n: said.append(n))
    assert few.written == 2 and said == [(1, 2), (2, 2)]
    keys = ["cats/chelsea-png", "no/such"]
    chosen = export(str(made), str(tmp_path / "some"), which=["clean"], keys=keys)
    assert chosen.written == 1 and (tmp_path / "some/cats/chelsea-png.clean.dng").exists()
    assert chosen.lost == [("no/such", "the corpus has no sample of this key")]


def test_clean_only(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "c", write={"clean_only": True})
    assert export(str(tmp_path / "c"), str(tmp_path / "out"), format="npz").written == 5
    with pytest.raises(UsageError, match="--which clean"):
        export(str(tmp_path / "c"), str(tmp_path / "out"), which=["noisy"])


def test_the_cameras_of_the_noise(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    """Colour by Brooks' law, noise of a camera: the noisy file names it, the clean one does not."""
    make_corpus(photos, tmp_path / "c", noise={"noise_camera": "Nikon D850", "iso": 800}, read={"limit": 1})
    export(str(tmp_path / "c"), str(tmp_path / "out"))
    noisy, clean = (read_raw(str(tmp_path / f"out/astronaut-jpg.{name}.dng")) for name in ("noisy", "clean"))
    assert (noisy.model, noisy.iso) == ("Nikon D850", 800)
    assert clean.model == "synthetic RAW by unprocess"


def test_in_memory(photos: Path, make_corpus: Make, memory: fsspec.AbstractFileSystem) -> None:
    make_corpus(photos, "memory://c")
    assert export("memory://c", "memory://out", format="png", limit=1).written == 2
    assert memory.cat("/out/astronaut-jpg.clean.png").startswith(b"\x89PNG")


def test_a_folder_of_another_export_is_refused(made: Path, tmp_path: Path, make_corpus: Make, photos: Path) -> None:
    out = str(tmp_path / "out")
    export(str(made), out, format="png", limit=1)
    with pytest.raises(UsageError, match="format 'png'.*--overwrite"):
        export(str(made), out, format="npz")
    make_corpus(photos, tmp_path / "other")
    with pytest.raises(UsageError, match="corpus '.*/c'"):
        export(str(tmp_path / "other"), out, format="png")
    (tmp_path / "out" / EXPORT_FILE).write_text("{}")
    with pytest.raises(CorpusError, match="damaged"):
        export(str(made), out, format="png")
    assert export(str(made), out, format="npz", limit=1, overwrite=True).written == 3


def test_wrong_words(made: Path, tmp_path: Path) -> None:
    for options in ({"format": "jpg"}, {"which": ["srgb"]}):
        with pytest.raises(UnknownNameError):
            export(str(made), str(tmp_path / "out"), **options)
    with pytest.raises(UsageError, match="lies inside"):
        export(str(made), str(made / "dng"))
    with pytest.raises(CorpusError, match="no corpus"):
        export(str(tmp_path), str(tmp_path / "out"))


def rewrite(corpus: Path, change: Callable[[str, bytes], bytes]) -> None:
    """Change members of the first part, whose record then no longer fits."""
    part = corpus / "images-00000-00.tar"
    with tarfile.open(part) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(changed := change(name, content))
            archive.addfile(info, io.BytesIO(changed))


@pytest.mark.parametrize(
    ("member", "content", "cause"),
    [
        ("clean.npy", b"\x93NUMPY nothing", "NPY file"),
        ("clean.npy", b"", "NPY file"),
        ("json", b"{", "its JSON cannot be read"),
        ("json", b'{"key": "astronaut-jpg"}', "KeyError"),
    ],
)
def test_a_damaged_sample_costs_that_sample(
    made: Path, tmp_path: Path, member: str, content: bytes, cause: str
) -> None:
    rewrite(made, lambda name, old: content if name == f"astronaut-jpg.{member}" else old)
    done = export(str(made), str(tmp_path / "out"), which=["clean"], format="png")
    assert done.written == 4
    ((key, said),) = done.lost
    assert key == "astronaut-jpg" and cause in said


def test_a_part_cut_short_costs_what_lies_behind(made: Path, tmp_path: Path) -> None:
    part = made / "images-00000-00.tar"
    content = part.read_bytes()
    part.write_bytes(content[: content.index(b"chelsea-png.json")])
    done = export(str(made), str(tmp_path / "out"), format="npz")
    assert done.written == 12
    (key, lacks), (name, cause) = done.lost
    assert key == "cats/chelsea-png" and "JSON cannot be read" in lacks
    assert name == part.name and "2 of 2 samples found" in cause


def test_a_part_that_is_gone(made: Path, tmp_path: Path) -> None:
    (made / "images-00001-00.tar").unlink()
    with pytest.raises(InputAccessError):
        export(str(made), str(tmp_path / "out"), format="npz")


def test_no_key_leads_out_of_the_folder(made: Path, tmp_path: Path) -> None:
    part = made / "images-00000-00.tar"
    with tarfile.open(part) as archive:
        members = [(m.name, archive.extractfile(m).read()) for m in archive]  # type: ignore[union-attr]
    with tarfile.open(part, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name.replace("astronaut-jpg", "../out2/x"))
            content = content.replace(b'"key":"astronaut-jpg"', b'"key":"../out2/x"')
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    done = export(str(made), str(tmp_path / "out"), format="png")
    assert [key for key, _ in done.lost] == ["../out2/x"] and "leads out" in done.lost[0][1]
    assert not (tmp_path / "out2").exists()


def test_a_very_long_key(tmp_path: Path, make_corpus: Make, photo: Callable[..., bytes]) -> None:
    (tmp_path / "in").mkdir()
    for name in ("\u5199" * 60, "\u5199" * 59 + "\u771f"):
        (tmp_path / "in" / f"{name}.png").write_bytes(photo(0))
    make_corpus(tmp_path / "in", tmp_path / "c")
    assert export(str(tmp_path / "c"), str(tmp_path / "out"), format="npz").written == 4
    shutil.rmtree(tmp_path / "c")
