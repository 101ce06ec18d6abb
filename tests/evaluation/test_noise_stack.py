"""Reading frames of one static scene: which files, and what is wrong with others, by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rawsynth.errors import InputAccessError, SampleError, UnknownNameError, UsageError
from rawsynth.evaluation.noise_stack import frame_urls, read_stack, stack_frames
from rawsynth.raw.frames import Frame
from tests.evaluation.noise_shots import ramp, save, shoot


def shots(count: int = 5, height: int = 32, width: int = 40, **options: float) -> Any:
    return shoot(np.random.default_rng(0), ramp(height, width), count, **options)


def test_frames_stand_by_name(tmp_path: Path) -> None:
    frames = shots()
    save(tmp_path, frames[::-1])
    (tmp_path / "notes.txt").write_text("f/8")
    (tmp_path / ".hidden.npy").write_bytes(b"")
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other/shot.npy", frames[0])
    stack = read_stack(str(tmp_path))
    assert (stack.dn == frames[::-1]).all() and stack.cfa is None
    assert [Path(name).name for name in stack.frames] == [f"shot_{k:02d}.npy" for k in range(5)]
    assert len(read_stack(str(tmp_path), limit=4).dn) == 4


def test_a_pattern_chooses(tmp_path: Path) -> None:
    save(tmp_path, shots(4))
    for k, dn in enumerate(shots(4, read=9.0)):
        Image.fromarray(dn).save(tmp_path / f"dark_{k}.png")
    assert [Path(url).name for url in frame_urls(f"{tmp_path}/dark_*")] == [f"dark_{k}.png" for k in range(4)]
    assert len(read_stack(f"{tmp_path}/dark_*").dn) == 4


def test_odd_sides_are_cut(tmp_path: Path) -> None:
    frames = shots(4, 33, 41)
    stack = read_stack(str(save(tmp_path, frames)), cfa="GRBG")
    assert (stack.dn == frames[:, :32, :40]).all()
    assert [plane.name for plane in stack.planes] == ["Gr", "R", "B", "Gb"]
    for plane, (row, column) in zip(stack.planes, ((0, 0), (0, 1), (1, 0), (1, 1)), strict=True):
        assert (stack.plane_values(plane) == frames[:, row:32:2, column:40:2]).all()


def test_bands_cover_a_plane_once() -> None:
    frames = [Frame(str(k), dn) for k, dn in enumerate(shots(4, 32, 40))]
    stack = stack_frames("shots", frames, 4)
    covered = np.zeros(32, int)
    for rows in stack.bands(stack.planes[0]):
        covered[rows] += 1
    assert (covered == 1).all()


def change(index: int, **values: Any) -> list[Frame]:
    frames = [Frame(f"f{k}", dn, iso=100.0, exposure_s=0.01) for k, dn in enumerate(shots())]
    old = frames[index]
    fields = {"dn": old.dn, "cfa": None, "iso": 100.0, "exposure_s": 0.01, "states_cfa": False, **values}
    frames[index] = Frame(old.name, **fields)
    return frames


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"dn": shots(4, 34, 40)[3]}, "mixed size: f0 has 40x32, f3 has 40x34"),
        ({"cfa": "RGGB"}, "mixed CFA: f0 has None, f3 has RGGB"),
        ({"iso": 200.0}, "mixed ISO: f0 has 100.0, f3 has 200.0"),
        ({"exposure_s": 0.02}, "mixed exposure time"),
        ({"dn": shots()[1]}, "f3 is identical to f1: a copy, or saturated"),
    ],
)
def test_frames_of_another_kind_are_named(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SampleError, match=said):
        stack_frames("shots", change(3, **values), 5)


def test_too_few_frames(tmp_path: Path) -> None:
    with pytest.raises(SampleError, match=r"3 frames; at least 4.*tripod"):
        read_stack(str(save(tmp_path, shots(3))))
    with pytest.raises(SampleError, match="0 frames"):
        read_stack(str(tmp_path / "nothing*"))
    with pytest.raises(InputAccessError, match="gone: no such file or folder. Give the folder"):
        read_stack(str(tmp_path / "gone"))


def test_frames_that_saturate_everywhere() -> None:
    frames = [Frame(f"f{k}", np.full((32, 32), 4095, np.uint16)) for k in range(4)]
    with pytest.raises(SampleError, match="saturated"):
        stack_frames("shots", frames, 4)


def test_frames_that_are_too_small() -> None:
    with pytest.raises(SampleError, match="30x32 pixels"):
        stack_frames("shots", [Frame(f"f{k}", dn) for k, dn in enumerate(shots(4, 32, 30))], 4)


def test_a_layout_is_stated_where_files_cannot(tmp_path: Path) -> None:
    frames = [Frame(f"f{k}", dn, cfa="GBRG", states_cfa=True) for k, dn in enumerate(shots())]
    assert stack_frames("shots", frames, 5).cfa == "GBRG"
    with pytest.raises(UsageError, match="f0 says it is GBRG"):
        stack_frames("shots", frames, 5, cfa="RGGB")
    with pytest.raises(UnknownNameError, match="CFA"):
        read_stack(str(save(tmp_path, shots())), cfa="RGBG")
