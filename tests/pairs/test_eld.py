from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rawsynth.errors import SampleError, UsageError
from rawsynth.pairs.eld import CAMERAS, EldPairs
from tests import dng

SUFFIXES = dict(zip(CAMERAS, (".CR2", ".CR2", ".nef", ".ARW"), strict=True))
LONG_S, ISOS = 16.0, {1: 100, 4: 800, 5: 1600, 6: 100, 9: 800, 10: 1600, 11: 100, 14: 800, 15: 1600, 16: 100}
RATIOS = {4: 100, 9: 100, 14: 100, 5: 200, 10: 200, 15: 200}


def mosaic(number: int, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(number)
    return rng.integers(dng.BLACK - 8, dng.BLACK + 120, (side, side)).astype(np.uint16)


@pytest.fixture
def write() -> Callable[..., Path]:
    """``write(root, camera, scene, number, side=)``: one shot; a DNG inside, whatever its suffix says."""

    def make(root: Path, camera: str, scene: str, number: int, *, side: int = 64) -> Path:
        path = root / camera / scene / f"IMG_{number:04d}{SUFFIXES[camera]}"
        path.parent.mkdir(parents=True, exist_ok=True)
        exposure = LONG_S * ISOS[1] / ISOS[number] / RATIOS.get(number, 1)
        data = dng.dng(mosaic(number, side), "RGGB", iso=ISOS[number], exposure_s=exposure)
        path.write_bytes(data)
        return path

    return make


@pytest.fixture
def eld(tmp_path: Path, write: Callable[..., Path]) -> Path:
    """Two cameras of one scene each, whole."""
    for camera in ("NikonD850", "SonyA7S2"):
        for number in ISOS:
            write(tmp_path, camera, "scene-1", number)
    return tmp_path


def test_each_short_exposure_goes_with_the_nearest_long_one(eld: Path) -> None:
    pairs = EldPairs(str(eld), cameras=["SonyA7S2"])
    numbers = [int(key[-4:]) for key in pairs.keys]
    assert numbers == [4, 9, 14, 5, 10, 15]
    for pair, number, reference in zip(pairs, numbers, (6, 11, 16) * 2, strict=True):
        assert pair.meta["ratio"] == pytest.approx(RATIOS[number], rel=1e-3)
        unit = ((mosaic(reference).astype(np.float64) - dng.BLACK) / (16383 - dng.BLACK)).clip(0, 1)
        assert np.allclose(pair.clean[0], unit[::2, ::2], atol=1e-6)
        short = ((mosaic(number).astype(np.float64) - dng.BLACK) / (16383 - dng.BLACK)).clip(0, 1)
        assert np.allclose(pair.noisy[3], (short[1::2, 1::2] * RATIOS[number]).clip(0, 1), rtol=1e-3, atol=1e-6)
        assert float(pair.noisy.min()) == 0 and float(pair.noisy.max()) <= 1


def test_cameras_and_ratios_can_be_chosen(eld: Path) -> None:
    assert len(EldPairs(str(eld))) == 12
    assert set(EldPairs(str(eld), ratios=[200]).scenes) == {"NikonD850/scene-1", "SonyA7S2/scene-1"}
    few = EldPairs(str(eld), ratios=[100], cameras=["NikonD850"])
    assert [key[-4:] for key in few.keys] == ["0004", "0009", "0014"]
    for ratios in ([], [50]):
        with pytest.raises(UsageError, match="100, 200"):
            EldPairs(str(eld), ratios=ratios)


def test_a_short_exposure_without_its_reference_is_named(eld: Path) -> None:
    (eld / "NikonD850" / "scene-1" / "IMG_0011.nef").unlink()
    with pytest.raises(UsageError, match="NikonD850/scene-1 has IMG_0009 and not its reference IMG_0011"):
        EldPairs(str(eld))


def test_an_empty_folder_and_files_that_are_no_pair(tmp_path: Path, eld: Path, write: Callable[..., Path]) -> None:
    with pytest.raises(UsageError, match="no short exposures of ELD"):
        EldPairs(str(eld), cameras=["CanonEOS70D"])
    write(eld, "SonyA7S2", "scene-1", 6, side=32)
    with pytest.raises(SampleError, match="differ in size"):
        EldPairs(str(eld), cameras=["SonyA7S2"])[0]


def test_without_an_exposure_time_the_ratio_is_not_known(eld: Path) -> None:
    path = eld / "SonyA7S2" / "scene-1" / "IMG_0004.ARW"
    path.write_bytes(dng.dng(mosaic(4), "RGGB", iso=800, exposure_s=None))
    with pytest.raises(SampleError, match="IMG_0004.ARW states no ISO or no exposure time"):
        EldPairs(str(eld), cameras=["SonyA7S2"])[0]


def test_an_odd_last_row_and_column_are_left_out(eld: Path) -> None:
    for number in (4, 6):
        data = dng.dng(mosaic(number, 65), "RGGB", iso=ISOS[number], exposure_s=0.01)
        (eld / "SonyA7S2" / "scene-1" / f"IMG_{number:04d}.ARW").write_bytes(data)
    pair = EldPairs(str(eld), cameras=["SonyA7S2"])[0]
    assert pair.noisy.shape == pair.clean.shape == (4, 32, 32) and torch.isfinite(pair.noisy).all()
