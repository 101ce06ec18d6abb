"""DNG files: the same pixels, and the colour that the RAW was made from, in programs that are not ours."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rawpy
import tifffile
import torch
from PIL import Image

from rawsynth import AddNoise, write_dng
from rawsynth.cameras import load_camera
from rawsynth.cameras.importers import import_dng
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS, mosaic
from rawsynth.raw.files import read_raw
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import DEFAULT_LEVELS, Levels
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.quantize import quantize
from tests.developing import PATCHES, SIDE, chart, developed_by, patch_means, srgb_of

LEVELS = [DEFAULT_LEVELS, Levels(0, 65535, 16), Levels(64, 1023, 10)]


def raw_chart(cfa: str = "RGGB", camera: str = "Sony ILCE-7SM2", cct: float = 4300.0) -> RawImage:
    """Patches of known linear sRGB as a camera records them in a light."""
    matrix, gains = load_camera(camera).color(cct)
    cam_from_srgb, balance = torch.tensor(np.asarray(matrix)).float(), torch.tensor(gains).float()
    response = torch.tensor([1 / balance[0], 1, 1 / balance[1]])
    camera_rgb = torch.einsum("ij,jhw->ihw", cam_from_srgb, chart()) * response[:, None, None]
    metadata = replace(
        RawMetadata.neutral((), cfa), cam_from_srgb=cam_from_srgb, white_balance=balance, camera=camera, method="chart"
    )
    return RawImage(mosaic(camera_rgb, cfa), metadata)


@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
def test_libraw_reads_the_same_pixels_levels_and_colour(tmp_path: Path, cfa: str, levels: Levels) -> None:
    raw = raw_chart(cfa)
    write_dng(str(tmp_path / "a.dng"), raw, levels=levels, preview=False)
    read = read_raw(str(tmp_path / "a.dng"))
    wanted = quantize(raw.packed, levels)
    assert np.array_equal(read.mosaic, RawImage(wanted.to(torch.int32), raw.metadata).mosaic().numpy())
    assert (read.cfa, read.black, read.white) == (cfa, (levels.black_level,) * 4, levels.white_level)
    assert read.white_balance == pytest.approx(raw.metadata.white_balance.tolist(), abs=1e-4)
    assert read.cam_from_srgb == pytest.approx(raw.metadata.cam_from_srgb.numpy(), abs=1e-4)
    assert (read.make, read.model, read.iso, read.orientation) == ("rawsynth", "Sony ILCE-7SM2", None, 1)


@pytest.mark.parametrize("camera", ["Sony ILCE-7SM2", "Nikon D850"])
def test_libraw_develops_the_colours_that_went_in(tmp_path: Path, camera: str) -> None:
    write_dng(str(tmp_path / "a.dng"), raw_chart(camera=camera))
    options = {"use_camera_wb": True, "no_auto_bright": True, "adjust_maximum_thr": 0.0, "gamma": (2.4, 12.92)}
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        developed = raw.postprocess(**options).transpose(2, 0, 1)
    assert np.abs(patch_means(developed) - srgb_of(PATCHES)).max() < 1.5


@pytest.mark.slow
@pytest.mark.parametrize("program", ["darktable-cli", "rawtherapee-cli"])
def test_raw_converters_develop_the_colours_that_went_in(tmp_path: Path, program: str) -> None:
    """By their plainest rendering; with the black level of the file, not of the camera that it names."""
    write_dng(str(tmp_path / "a.dng"), raw_chart("GBRG", "Canon EOS 5D Mark IV"))
    developed = developed_by(program, tmp_path / "a.dng", tmp_path)
    assert abs(developed.shape[1] - 2 * SIDE) <= 16
    assert np.abs(patch_means(developed) - srgb_of(PATCHES)).max() < 2


def test_noise_and_iso(tmp_path: Path) -> None:
    """As the importer of camera profiles finds them: S and O of three colours, at the file's ISO."""
    noisy = AddNoise("heteroscedastic_gaussian", camera="Sony ILCE-7SM2", iso=3200, seed=0)(raw_chart(), keys=["a"])
    write_dng(str(tmp_path / "a.dng"), noisy)
    camera = import_dng([str(tmp_path / "a.dng")])
    assert camera.name == "Sony ILCE-7SM2 (rawsynth)" and camera.noise is not None
    (point,) = camera.noise.points
    assert point.iso == 3200
    assert noisy.metadata.shot is not None and noisy.metadata.read is not None
    shot, read = (values.double().numpy() for values in (noisy.metadata.shot, noisy.metadata.read))
    assert point.gain_dn_per_electron == pytest.approx(shot * DEFAULT_LEVELS.range_dn)
    assert point.read_sigma_dn == pytest.approx(np.sqrt(read) * DEFAULT_LEVELS.range_dn)


def test_an_iso_beyond_a_short(tmp_path: Path) -> None:
    raw = raw_chart()
    high = RawImage(raw.packed, replace(raw.metadata, iso=torch.tensor(409600.0)))
    write_dng(str(tmp_path / "a.dng"), high)
    with tifffile.TiffFile(tmp_path / "a.dng") as tiff:
        exif = tiff.pages[0].tags["ExifTag"].value
    assert exif["ISOSpeedRatings"] == 65535 and exif["ISOSpeed"] == 409600


@pytest.mark.parametrize("preview", [True, False])
def test_preview_exposure_orientation_and_description(tmp_path: Path, preview: bool) -> None:
    raw = raw_chart()
    darker = RawImage(raw.packed / 2, replace(raw.metadata, rgb_gain=torch.tensor(2.0), camera=None))
    write_dng(str(tmp_path / "a.dng"), darker, orientation=6, description="a chart", preview=preview)
    read = read_raw(str(tmp_path / "a.dng"))
    assert read.orientation == 6 and read.make == "rawsynth" and read.model == "synthetic RAW by chart"
    assert (read.preview is not None) == preview
    with tifffile.TiffFile(tmp_path / "a.dng") as tiff:
        tags = tiff.pages[0].tags
        assert tags["ImageDescription"].value == "a chart" and tags["Software"].value.startswith("rawsynth ")
        assert np.divide(*tags["BaselineExposure"].value) == pytest.approx(1)


def test_the_preview_shows_the_picture(tmp_path: Path) -> None:
    """Upright in the same way as the RAW, with its colours up to the tone curve: red is red."""
    write_dng(str(tmp_path / "a.dng"), raw_chart())
    with rawpy.imread(str(tmp_path / "a.dng")) as raw:
        thumb = raw.extract_thumb()
    assert thumb.format == rawpy.ThumbFormat.JPEG
    shown = patch_means(np.asarray(Image.open(io.BytesIO(thumb.data)).convert("RGB")).transpose(2, 0, 1))
    wanted = srgb_of(PATCHES)
    assert np.corrcoef(shown.ravel(), wanted.ravel())[0, 1] > 0.97
    assert np.ptp(shown[0]) < 3


def test_equal_input_gives_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dng(str(tmp_path / f"{name}.dng"), raw_chart())
    assert (tmp_path / "a.dng").read_bytes() == (tmp_path / "b.dng").read_bytes()


def test_what_no_dng_holds_is_refused(tmp_path: Path) -> None:
    raw, url = raw_chart(), str(tmp_path / "a.dng")
    with pytest.raises(UsageError, match=r"takes a RawImage: RawImage.from_packed\(planes, cfa\); got Tensor"):
        write_dng(str(tmp_path / "a.dng"), torch.zeros(4, 2, 3))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="one image of four planes"):
        write_dng(url, RawImage.stack([raw, raw]))
    with pytest.raises(UsageError, match="orientation is 1 to 8"):
        write_dng(url, raw, orientation=9)
    dark = RawImage(raw.packed, replace(raw.metadata, white_balance=torch.tensor([0.0, 1.0])))
    with pytest.raises(UsageError, match="gains are positive"):
        write_dng(url, dark)
    assert not list(tmp_path.iterdir())
