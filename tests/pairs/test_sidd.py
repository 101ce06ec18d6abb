from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import torch

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.sidd import CLEAN_BLOCKS, NOISY_BLOCKS, SiddBlocks, SiddScenes, open_sidd
from rawsynth.raw.cfa import unpack

PHONES = {"0001_001_S6_00100_00060_3200_L": "GRBG", "0008_002_IP_00800_00350_5500_N": "RGGB"}


def frame(seed: int, shape: tuple[int, ...] = (8, 12)) -> np.ndarray:
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def write_frame(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = values.T


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Two instances of two phones in the layout of SIDD-Medium, which has two frames an instance."""
    for k, name in enumerate(PHONES):
        for take in ("010", "011"):
            for kind, seed in (("NOISY", 10 * k + int(take)), ("GT", 100 + 10 * k + int(take))):
                write_frame(tmp_path / "Data" / name / f"{name[:4]}_{kind}_RAW_{take}.MAT", frame(seed))
            (tmp_path / "Data" / name / f"{name[:4]}_METADATA_RAW_{take}.MAT").write_bytes(b"not read")
    (tmp_path / "Scene_Instances.txt").write_text("\n".join(PHONES))
    return tmp_path


@pytest.fixture
def blocks(tmp_path: Path) -> Path:
    for name, seed in ((NOISY_BLOCKS, 1), (CLEAN_BLOCKS, 2)):
        scipy.io.savemat(tmp_path / f"{name}.mat", {name: frame(seed, (3, 2, 8, 6))})
    return tmp_path


def test_scenes_pair_each_noisy_frame_with_its_reference(scenes: Path) -> None:
    for url in (scenes, scenes / "Data"):
        pairs = SiddScenes(str(url))
        assert list(pairs.keys) == [f"{name}/{take}" for name in PHONES for take in ("010", "011")]
        assert list(pairs.scenes) == ["001", "001", "002", "002"]
    first, last = pairs[0], pairs[3]
    assert np.array_equal(unpack(first.noisy), frame(10)) and np.array_equal(unpack(first.clean), frame(110))
    assert np.array_equal(unpack(last.noisy), frame(21)) and np.array_equal(unpack(last.clean), frame(121))
    assert first.cfa == "GRBG" and last.cfa == "RGGB"
    assert dict(last.meta) == {"camera": "IP", "iso": 800.0}


def test_scenes_without_the_instance_in_the_file_name(tmp_path: Path) -> None:
    for kind in ("NOISY", "GT"):
        write_frame(tmp_path / "Data" / next(iter(PHONES)) / f"{kind}_RAW_010.MAT", frame(1))
    assert len(SiddScenes(str(tmp_path))) == 1


def test_a_noisy_frame_without_its_reference_is_named(scenes: Path) -> None:
    next(scenes.rglob("0008_GT_RAW_011.MAT")).unlink()
    with pytest.raises(UsageError, match="0008_NOISY_RAW_011.MAT has no reference"):
        SiddScenes(str(scenes))


def test_frames_that_do_not_match_are_a_sample_error(scenes: Path) -> None:
    write_frame(next(scenes.rglob("0001_GT_RAW_010.MAT")), frame(1, (8, 8)))
    with pytest.raises(SampleError, match="0001_GT_RAW_010.MAT differ in size"):
        SiddScenes(str(scenes))[0]


@pytest.mark.parametrize("broken", [frame(0, (7, 12)), np.full((8, 12), np.nan, np.float32)])
def test_odd_sides_and_nan_are_a_sample_error(scenes: Path, broken: np.ndarray) -> None:
    write_frame(next(scenes.rglob("0001_NOISY_RAW_010.MAT")), broken)
    with pytest.raises(SampleError, match="0001_NOISY_RAW_010.MAT"):
        SiddScenes(str(scenes))[0]


def test_blocks_by_image_and_block(blocks: Path) -> None:
    pairs = SiddBlocks(str(blocks), cfas=["RGGB", "BGGR", "GRBG"])
    assert list(pairs.keys) == ["00/00", "00/01", "01/00", "01/01", "02/00", "02/01"]
    assert list(pairs.scenes) == ["00", "00", "01", "01", "02", "02"]
    noisy, clean = frame(1, (3, 2, 8, 6)), frame(2, (3, 2, 8, 6))
    assert np.array_equal(unpack(pairs[3].noisy), noisy[1, 1]) and np.array_equal(unpack(pairs[3].clean), clean[1, 1])
    assert [pair.cfa for pair in pairs] == ["RGGB", "RGGB", "BGGR", "BGGR", "GRBG", "GRBG"]
    assert torch.equal(pairs[-1].noisy, pairs[5].noisy)
    with pytest.raises(IndexError):
        pairs[6]


def test_blocks_refuse_what_does_not_fit(blocks: Path) -> None:
    with pytest.raises(UsageError, match="3 images; got layouts for 1"):
        SiddBlocks(str(blocks), cfas=["RGGB"])
    scipy.io.savemat(blocks / f"{CLEAN_BLOCKS}.mat", {CLEAN_BLOCKS: frame(2, (3, 2, 8, 8))})
    with pytest.raises(SampleError, match=CLEAN_BLOCKS):
        SiddBlocks(str(blocks))


def test_what_is_there_is_opened(blocks: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    assert isinstance(open_sidd(str(blocks)), SiddBlocks)
    empty = tmp_path_factory.mktemp("empty")
    with pytest.raises(UsageError, match="0001_001_S6_00100_00060_3200_L"):
        open_sidd(str(empty))
    write_frame(empty / next(iter(PHONES)) / "0001_NOISY_RAW_010.MAT", frame(1))
    write_frame(empty / next(iter(PHONES)) / "0001_GT_RAW_010.MAT", frame(1))
    assert isinstance(open_sidd(str(empty)), SiddScenes)
    with pytest.raises(InputAccessError):
        open_sidd(str(empty / "nowhere"))
