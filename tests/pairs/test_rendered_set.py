"""RAW files developed in this process: windows that fit, cameras as the file states them, and what is left out."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from rawsynth.errors import SampleError, UsageError
from rawsynth.methods.style_encoder import sample_grid
from rawsynth.pairs.rendered import load
from rawsynth.pairs.rendered_set import SOFTWARE, available, render_sources
from rawsynth.pairs.sources import find_sources
from tests import dng


@pytest.fixture(scope="module")
def raws(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raws")
    for name, cfa in (("coffee", "RGGB"), ("astronaut", "GBRG")):
        (folder / f"{name}.dng").write_bytes(dng.dng(dng.sensor(dng.photograph(name, 128, 160), cfa), cfa))
    (folder / "damaged.dng").write_bytes(b"II*\0 no file")
    return folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


def test_windows_of_developed_files(raws: Path, work: Path) -> None:
    seen: dict[str, str | None] = {}
    sources = find_sources(str(raws))
    pairs = render_sources(sources, "rawpy", work, observe=lambda name, problem: seen.update({name: problem}))
    assert set(pairs.scenes) == {"coffee", "astronaut"} and len(pairs) == 6
    assert [name for name, problem in seen.items() if problem] == [
        f"damaged.dng-rawpy-{style}" for style in ("auto-bright", "bt709", "srgb")
    ]
    for key, pair in zip(pairs.keys, pairs, strict=True):
        stored = load(work / "pairs" / f"{key.rpartition('/')[0]}.npz")
        assert pair.srgb.shape[1:] == (2 * pair.raw.shape[1], 2 * pair.raw.shape[2])
        assert pair.meta["white_balance"] == pytest.approx(dng.GAINS, abs=1e-3)
        assert np.array(pair.meta["cam_from_srgb"]) == pytest.approx(dng.CAM_FROM_SRGB, abs=1e-3)
        assert pair.frame is not None
        assert torch.equal(pair.frame, sample_grid(torch.from_numpy(stored.srgb)[None])[0])


def test_the_srgb_curve_undone_is_near_the_raw(raws: Path, work: Path) -> None:
    """LibRaw's plain development of a noiseless mosaic leaves demosaicing and rounding, on red sites as on green."""
    pairs = render_sources(find_sources(str(raws / "*o*.dng")), "rawpy", work)
    chosen = [pair for pair in pairs if pair.meta["style"] == "srgb"]
    assert len(chosen) == 2
    for pair in chosen:
        code = pair.srgb.double().numpy() / 255
        light = np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4)
        red, blue = pair.meta["white_balance"]
        camera = np.einsum("ij,jhw->ihw", np.array(pair.meta["cam_from_srgb"]), light)
        camera /= np.array([red, 1, blue])[:, None, None]
        planes = np.stack([camera[0, ::2, ::2], camera[1, ::2, 1::2], camera[1, 1::2, ::2], camera[2, 1::2, 1::2]])
        assert -10 * np.log10(np.mean((planes - pair.raw.numpy()) ** 2)) > 25


def test_pairs_are_kept_until_the_file_is_newer(raws: Path, work: Path) -> None:
    place = str(raws / "coffee.dng")
    render_sources(find_sources(place), "rawpy", work)
    path = work / "pairs" / "coffee.dng-rawpy-srgb.npz"
    first = path.stat().st_mtime_ns
    render_sources(find_sources(place), "rawpy", work)
    assert path.stat().st_mtime_ns == first
    os.utime(place, ns=(first + 10**9, first + 10**9))
    render_sources(find_sources(place), "rawpy", work)
    assert path.stat().st_mtime_ns != first
    os.utime(place, ns=(first, first))


def test_what_software_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert available(None) == ("rawpy", "camera")
    assert available(["rawpy", "rawpy"]) == ("rawpy",)
    with pytest.raises(UsageError, match="unknown software 'gimp'"):
        available(["gimp"])
    with pytest.raises(UsageError, match="darktable-cli is not installed"):
        available(["darktable"])
    assert set(SOFTWARE) == {"rawpy", "libraw", "darktable", "rawtherapee", "camera"}


def test_files_of_one_name(raws: Path, work: Path, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.dng").write_bytes((raws / "coffee.dng").read_bytes())
    with pytest.raises(UsageError, match="files of one name in different folders: x.dng"):
        render_sources(find_sources(str(tmp_path)), "rawpy", work)


def test_a_damaged_pair_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"no archive")
    with pytest.raises(SampleError, match=r"x\.npz: no pair"):
        load(tmp_path / "x.npz")
