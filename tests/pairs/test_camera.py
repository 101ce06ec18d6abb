"""An sRGB image comes to lie on its RAW whatever the tags say; what does not belong to it is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from PIL import Image, ImageCms
from scipy import ndimage

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.camera import Match, PairOptions, match
from rawsynth.pairs.crops import cut_crops
from rawsynth.pairs.sources import find_sources
from rawsynth.raw.cfa import BAYER_LAYOUTS
from tests import dng

Shoot = Callable[..., Any]


def matched(folder: Path, **options: Any) -> Match:
    return match(find_sources(str(folder))[0], PairOptions(**options))


# ---- orientation ----


@pytest.mark.parametrize("stored", ["tagged", "upright"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_comes_to_lie(tmp_path: Path, shoot: Shoot, orientation: int, stored: str) -> None:
    shot = shoot(tmp_path, orientation=orientation, stored=stored, shift=(3, 6))
    found = matched(tmp_path)
    assert found.fault is None and found.alignment is not None and found.srgb is not None
    assert (found.alignment.dy, found.alignment.dx) == (3, 6)
    assert np.array_equal(found.srgb.transpose(1, 2, 0), shot.pixels)


@pytest.mark.parametrize("tag", [3, 6, 8])
def test_a_wrong_tag_is_seen_through(tmp_path: Path, shoot: Shoot, tag: int) -> None:
    shot = shoot(tmp_path, photo="astronaut", size=(512, 512))
    (tmp_path / "IMG_1.jpg").write_bytes(dng.jpeg(shot.pixels, quality=95, orientation=tag))
    found = matched(tmp_path)
    assert found.fault is None and found.turn == 1


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("stored", ["as the sensor", "upright"])
def test_previews_lie_as_they_were_stored(tmp_path: Path, shoot: Shoot, orientation: int, stored: str) -> None:
    look = dng.camera_look(dng.photograph("coffee", 256, 384))
    preview = dng.jpeg(look if stored == "as the sensor" else dng.seen(look, orientation), quality=95)
    shoot(tmp_path, orientation=orientation, stored=None, preview=preview)
    found = matched(tmp_path, srgb="preview")
    assert found.fault is None and found.alignment is not None and found.srgb is not None
    assert (found.alignment.dy, found.alignment.dx) == (0, 0)
    assert np.abs(found.srgb.transpose(1, 2, 0).astype(int) - look).mean() < 6


# ---- which sRGB ----


def small(pixels: np.ndarray, share: float) -> np.ndarray:
    size = round(pixels.shape[1] * share), round(pixels.shape[0] * share)
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("preview", "beside", "wanted", "taken"),
    [
        (1.0, 1.0, "auto", "jpeg"),
        (1.0, None, "auto", "preview"),
        (1.0, 0.5, "auto", "preview"),
        (0.25, None, "auto", "libraw"),
        (None, None, "auto", "libraw"),
        (None, 0.5, "auto", "libraw"),
        (1.0, 1.0, "preview", "preview"),
        (1.0, 1.0, "libraw", "libraw"),
        (1.0, None, "jpeg", None),
        (None, 1.0, "preview", None),
        (0.25, 1.0, "preview", None),
        (1.0, 0.5, "jpeg", None),
    ],
)
def test_the_first_full_size_srgb_is_taken(
    tmp_path: Path, shoot: Shoot, preview: float | None, beside: float | None, wanted: str, taken: str | None
) -> None:
    look = dng.camera_look(dng.photograph("coffee", 256, 384))
    inside = None if preview is None else dng.jpeg(small(look, preview), quality=90)
    shoot(tmp_path, stored=None, preview=inside)
    if beside is not None:
        (tmp_path / "IMG_1.JPG").write_bytes(dng.jpeg(small(look, beside), quality=90))
    found = matched(tmp_path, srgb=wanted)
    if taken is None:
        assert found.fault is not None and found.fault.kind == "no full-size sRGB"
    else:
        assert found.fault is None and found.rendition is not None and found.rendition.source == taken
        assert found.rendition.path == ("IMG_1.JPG" if taken == "jpeg" else None)
    if wanted == "auto" and beside == 0.5:
        assert "IMG_1.JPG: resampled: JPEG is 192x128, sensor 384x256" in found.passed_over


@pytest.mark.parametrize(
    ("look", "said"),
    [
        (lambda x: small(x, 0.5), "resampled: JPEG is 192x128, sensor 384x256"),
        (lambda x: small(x, 0.96), "resampled: JPEG is 369x246, sensor 384x256"),
        (lambda x: small(x, 1.04), "resampled: JPEG is 399x266, sensor 384x256"),
        (lambda x: x[30:-30], "resampled or cropped: JPEG is 384x196, sensor 384x256"),
        (lambda x: x.mean(axis=2).astype(np.uint8), "of mode L"),
        (lambda x: np.repeat(x[..., 1:2], 3, axis=2), "in black and white"),
    ],
)
def test_other_images_are_refused(tmp_path: Path, shoot: Shoot, look: Any, said: str) -> None:
    shoot(tmp_path, look=lambda photo: look(dng.camera_look(photo)))
    found = matched(tmp_path, srgb="jpeg")
    assert found.fault is not None and said in found.fault.reason


@pytest.mark.parametrize("content", [b"", b"no JPEG", b"cut"])
def test_a_damaged_jpeg_is_passed_over(tmp_path: Path, shoot: Shoot, content: bytes) -> None:
    shoot(tmp_path)
    path = tmp_path / "IMG_1.jpg"
    path.write_bytes(path.read_bytes()[:8_000] if content == b"cut" else content)
    found = matched(tmp_path)
    assert found.rendition is not None and found.rendition.source == "libraw"
    assert len(found.passed_over) == 1 and found.passed_over[0].startswith("IMG_1.jpg: cannot decode")
    fault = matched(tmp_path, srgb="jpeg").fault
    assert fault is not None and "cannot decode" in fault.reason


def test_a_jpeg_out_of_reach_is_not_replaced(memory: fsspec.AbstractFileSystem, tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path)
    memory.pipe_file("/in/IMG_1.dng", (tmp_path / "IMG_1.dng").read_bytes())
    memory.pipe_file("/in/IMG_1.jpg", b"")
    source = find_sources("memory://in")[0]
    memory.rm_file("/in/IMG_1.jpg")
    with pytest.raises(InputAccessError, match="IMG_1.jpg"):
        match(source, PairOptions())


def test_an_srgb_profile_changes_nothing(tmp_path: Path, shoot: Shoot) -> None:
    shot = shoot(tmp_path)
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"damaged"):
        encoded = dng.jpeg(shot.pixels, quality=95, icc_profile=profile)
        (tmp_path / "IMG_1.jpg").write_bytes(encoded)
        found = matched(tmp_path)
        assert found.rendition is not None and (found.rendition.source, found.rendition.profile) == ("jpeg", None)
        assert found.srgb is not None and np.array_equal(found.srgb.transpose(1, 2, 0), dng.decoded(encoded))


def test_another_profile_is_converted(tmp_path: Path, shoot: Shoot) -> None:
    """Adobe RGB (1998), by its D50 colorants and gamma, against the same arithmetic in NumPy."""
    shot = shoot(tmp_path)
    encoded = dng.jpeg(shot.pixels, quality=95, icc_profile=dng.adobe_rgb_profile())
    (tmp_path / "IMG_1.jpg").write_bytes(encoded)
    found = matched(tmp_path)
    assert found.rendition is not None and found.rendition.profile == "Adobe RGB by hand"
    expected = dng.adobe_rgb_as_srgb(dng.decoded(encoded))
    assert found.srgb is not None
    error = np.abs(found.srgb.transpose(1, 2, 0).astype(int) - expected)
    assert error.max() <= 4 and error.mean() < 0.5


def test_adobe_rgb_without_a_profile_is_refused(tmp_path: Path, shoot: Shoot) -> None:
    shot = shoot(tmp_path)
    exif = Image.Exif()
    exif.get_ifd(34665)[40961] = 65535
    exif.get_ifd(34665)[40965] = {1: "R03"}
    Image.fromarray(shot.pixels).save(tmp_path / "IMG_1.jpg", exif=exif)
    assert Image.open(tmp_path / "IMG_1.jpg").getexif().get_ifd(40965)[1].startswith("R03")
    fault = matched(tmp_path, srgb="jpeg").fault
    assert fault is not None and "Adobe RGB" in fault.reason
    found = matched(tmp_path)
    assert found.rendition is not None and found.rendition.source == "libraw"


# ---- what does not belong together ----


def test_another_photograph_is_refused(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path, look=lambda photo: dng.camera_look(dng.photograph("astronaut", *photo.shape[:2])))
    found = matched(tmp_path)
    assert found.fault is not None and found.fault.kind == "not alike"


def test_a_flat_jpeg_is_refused(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path, look=lambda photo: np.full_like(photo, 128) + np.array([30, 0, 0], np.uint8))
    found = matched(tmp_path)
    assert found.fault is not None and found.fault.kind == "too flat to align"


def test_levels_that_make_no_sense(tmp_path: Path, shoot: Shoot) -> None:
    shoot(tmp_path, black=(5000,) * 4)
    with pytest.raises(SampleError, match="IMG_1.dng: black levels"):
        matched(tmp_path)


# ---- crops ----


def crops_of(found: Match, **options: Any) -> dict[tuple[int, int], str | None]:
    return {(crop.row, crop.column): crop.fault for crop in cut_crops(found, PairOptions(**options))}


@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
@pytest.mark.parametrize("shift", [(0, 0), (5, -8)])
def test_crops_begin_at_a_red_site_and_cover_what_both_show(
    tmp_path: Path, shoot: Shoot, cfa: str, shift: tuple[int, int]
) -> None:
    shot = shoot(tmp_path, cfa=cfa, shift=shift)
    found = matched(tmp_path)
    crops = cut_crops(found, PairOptions(crop=64))
    rows, columns = (max(places) + 1 for places in zip(*((crop.row, crop.column) for crop in crops), strict=True))
    assert [(crop.row, crop.column) for crop in crops] == [(r, c) for r in range(rows) for c in range(columns)]
    for count, axis in ((rows, 0), (columns, 1)):
        shared = min(shot.mosaic.shape[axis], shot.pixels.shape[axis] + shift[axis]) - max(0, shift[axis])
        assert count in (shared // 64, (shared - 1) // 64)
    for crop in crops:
        top, left, height, width = crop.raw
        assert cfa[top % 2 * 2 + left % 2] == "R" and (height, width) == (64, 64)
        assert top + height <= shot.mosaic.shape[0] and left + width <= shot.mosaic.shape[1]
        y, x = crop.srgb[:2]
        assert (y, x) == (top - shift[0], left - shift[1]) and y >= 0 and x >= 0
        assert y + height <= shot.pixels.shape[0] and x + width <= shot.pixels.shape[1]


def test_what_moved_is_left_out(tmp_path: Path, shoot: Shoot) -> None:
    """A corner that lies three pixels off, and one that shows something else."""

    def look(photo: np.ndarray) -> np.ndarray:
        pixels = dng.camera_look(photo).copy()
        pixels[:128, :128] = pixels[3:131, :128]
        pixels[256:384, 384:512] = dng.camera_look(dng.photograph("astronaut"))[100:228, 160:288]
        return pixels

    shoot(tmp_path, look=look, photo="astronaut", size=(512, 512))
    faults = crops_of(matched(tmp_path), crop=128)
    assert faults.pop((0, 0)) == "misaligned" and faults.pop((2, 3)) == "not alike"
    assert set(faults.values()) == {None}


def test_a_lens_correction_leaves_the_middle(tmp_path: Path, shoot: Shoot) -> None:
    """Barrel distortion of 1 % in the corners is corrected in the JPEG: the middle stays in place, the corners move."""

    def corrected(photo: np.ndarray) -> np.ndarray:
        look = dng.camera_look(photo).astype(float)
        y, x = np.mgrid[: look.shape[0], : look.shape[1]].astype(float)
        middle = np.array(look.shape[:2]) / 2
        scale = 1 - 0.03 * ((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (middle**2).sum()
        at = np.array([(y - middle[0]) * scale + middle[0], (x - middle[1]) * scale + middle[1]])
        planes = [ndimage.map_coordinates(look[..., c], at, order=1, mode="nearest") for c in range(3)]
        return np.stack(planes, axis=-1).astype(np.uint8)

    shoot(tmp_path, photo="astronaut", size=(512, 512), look=corrected)
    faults = crops_of(matched(tmp_path), crop=128)
    assert {faults[1, 1], faults[1, 2], faults[2, 1]} == {None}
    assert None not in {faults[0, 0], faults[0, 3], faults[3, 0], faults[3, 3]}


def test_saturated_crops_are_left_out(tmp_path: Path, shoot: Shoot) -> None:
    def blown(photo: np.ndarray) -> np.ndarray:
        pixels = photo.copy()
        pixels[:128, :128] = 255
        return pixels

    scene = blown(dng.photograph("astronaut"))
    shoot(tmp_path, photo="astronaut", size=(512, 512), look=blown)
    (tmp_path / "IMG_1.dng").write_bytes(dng.dng(dng.sensor(scene, exposure=2.0)))
    assert crops_of(matched(tmp_path), crop=128)[0, 0] == "saturated"
    on_sensor_only = crops_of(matched(tmp_path, srgb="libraw"), crop=128, max_saturated=0.05)
    assert on_sensor_only[0, 0] == "saturated" and None in on_sensor_only.values()
    assert crops_of(matched(tmp_path), crop=128, max_saturated=1.0)[0, 0] != "saturated"


def test_flat_crops_go_with_the_nearest_that_can_be_measured(tmp_path: Path, shoot: Shoot) -> None:
    """A wall on the left half; the photograph right of it lies as it should, or three pixels off below."""

    def scene() -> np.ndarray:
        pixels = dng.photograph("astronaut").copy()
        pixels[:, :270] = (120, 110, 100)
        return pixels

    def off(pixels: np.ndarray) -> np.ndarray:
        moved = dng.camera_look(pixels).copy()
        moved[384:, 256:] = np.roll(moved, 3, axis=0)[384:, 256:]
        return moved

    (tmp_path / "IMG_1.dng").write_bytes(dng.dng(dng.sensor(scene())))
    (tmp_path / "IMG_1.jpg").write_bytes(dng.jpeg(dng.camera_look(scene()), quality=92))
    crops = cut_crops(matched(tmp_path), PairOptions(crop=128))
    assert sum(crop.local is None for crop in crops) == 8 and all(crop.fault is None for crop in crops)
    (tmp_path / "IMG_1.jpg").write_bytes(dng.jpeg(off(scene()), quality=92))
    crops = cut_crops(matched(tmp_path), PairOptions(crop=128))
    flat = {(crop.row, crop.column): crop.fault for crop in crops if crop.local is None}
    assert len(flat) == 8 and flat[0, 1] is None and flat[3, 1] == flat[3, 0] == "unchecked"


OUT_OF_RANGE: list[dict[str, Any]] = [
    {"crop": 0}, {"crop": 65}, {"max_shift": -1}, {"max_residual": 0.0}, {"max_residual": float("nan")},
    {"max_saturated": 1.5}, {"srgb": "tiff"},
]  # fmt: skip


@pytest.mark.parametrize("options", OUT_OF_RANGE, ids=str)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=str(next(iter(options))).replace("srgb", "sRGB")):
        PairOptions(**options)
