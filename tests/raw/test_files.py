"""What read_raw finds is what was put into the DNG, development follows theory, and other sensors are refused."""

from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rawsynth.cameras import load_camera
from rawsynth.errors import InputAccessError, SampleError
from rawsynth.raw import libraw
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.files import develop, read_raw
from tests import dng

CFAS = pytest.mark.parametrize("cfa", BAYER_LAYOUTS)
GOPRO = Path(__file__).parents[2] / ".." / "shared" / "data" / "raw" / "gopro_hero6.dng"


def write(folder: Path, content: bytes, name: str = "a.dng") -> str:
    (folder / name).write_bytes(content)
    return str(folder / name)


@CFAS
def test_a_bayer_file_is_read_as_written(tmp_path: Path, cfa: str) -> None:
    black = (510, 511, 513, 514)
    mosaic = dng.sensor(dng.photograph("coffee"), cfa, black=black)
    raw = read_raw(write(tmp_path, dng.dng(mosaic, cfa, black=black, white=4000)))
    assert raw.mosaic.dtype == np.uint16 and np.array_equal(raw.mosaic, mosaic)
    assert (raw.cfa, raw.black, raw.white) == (cfa, black, 4000)
    assert raw.white_balance == pytest.approx(dng.GAINS, rel=1e-5)
    assert (raw.make, raw.model, raw.camera) == ("Acme", "Cam One", "Acme Cam One")
    assert (raw.iso, raw.exposure_s) == (800, pytest.approx(0.01))
    assert raw.preview is None


def test_the_matrix_is_that_of_the_camera(tmp_path: Path) -> None:
    """The DNG holds the D850's matrix; its profile holds it too, and derives the colours on its own."""
    raw = read_raw(write(tmp_path, dng.dng(dng.sensor(dng.photograph("coffee")))))
    expected, _ = load_camera("Nikon D850").color(6504)
    assert raw.cam_from_srgb is not None
    assert np.abs(raw.cam_from_srgb - expected).max() < 3e-4
    assert np.abs(raw.cam_from_srgb.sum(axis=1) - 1).max() < 1e-12


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_told_and_not_applied(tmp_path: Path, orientation: int) -> None:
    photo = dng.photograph("coffee", 64, 96)
    raw = read_raw(write(tmp_path, dng.dng(dng.sensor(photo), orientation=orientation)))
    assert raw.orientation == orientation
    assert raw.mosaic.shape == (64, 96) and develop(raw).shape == (3, 64, 96)


@CFAS
@pytest.mark.parametrize("corner", [(0, 0), (3, 5), (2, 7)])
def test_the_layout_is_that_of_the_visible_area(tmp_path: Path, cfa: str, corner: tuple[int, int]) -> None:
    """A DNG's pattern begins at its active area; whatever LibRaw shows, each colour is at its own sites."""
    scene = np.zeros((80, 96, 3), np.uint8)
    scene[...] = (180, 120, 60)
    rolled = np.roll(np.array(list(cfa)).reshape(2, 2), corner, axis=(0, 1))
    levels = {color: np.median(dng.sensor(scene, "RGGB")[k // 2 :: 2, k % 2 :: 2]) for k, color in enumerate("RGGB")}
    mosaic = dng.sensor(scene, "".join(rolled.flat))
    area = {50829: (dng.LONG, [*corner, 76, 90])}
    raw = read_raw(write(tmp_path, dng.dng(mosaic, cfa, extra=area)))
    for k, color in enumerate(raw.cfa):
        assert np.unique(raw.mosaic[k // 2 :: 2, k % 2 :: 2]).tolist() == [levels[color]]


def test_a_preview_is_handed_out_with_its_pixels(tmp_path: Path) -> None:
    photo = dng.photograph("coffee")
    shown = dng.jpeg(dng.camera_look(photo))
    raw = read_raw(write(tmp_path, dng.dng(dng.sensor(photo), preview=shown)))
    assert raw.preview is not None and np.array_equal(dng.decoded(raw.preview), dng.decoded(shown))
    assert np.array_equal(raw.mosaic, dng.sensor(photo))
    assert raw.camera == "Acme Cam One" and raw.iso == 800


def test_what_is_not_stated_is_none(tmp_path: Path) -> None:
    mosaic = dng.sensor(dng.photograph("coffee", 64, 64))
    bare = {271: (dng.ASCII, ""), 272: (dng.ASCII, ""), 50708: (dng.ASCII, ""), 50721: (dng.SRATIONAL, [0] * 9)}
    raw = read_raw(write(tmp_path, dng.dng(mosaic, gains=None, extra=bare)))
    assert (raw.white_balance, raw.cam_from_srgb, raw.make, raw.camera) == (None, None, None, None)


@pytest.mark.parametrize(
    ("make", "model", "camera"),
    [
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("SONY", "ILCE-7SM2", "SONY ILCE-7SM2"),
        ("", "X1", "X1"),
    ],
)
def test_a_maker_is_named_once(tmp_path: Path, make: str, model: str, camera: str) -> None:
    tags = {271: (dng.ASCII, make), 272: (dng.ASCII, model)}
    raw = read_raw(write(tmp_path, dng.dng(dng.sensor(dng.photograph("coffee", 64, 64)), extra=tags)))
    assert raw.camera == camera


@pytest.mark.parametrize("number", [b"*\0", b"RO", b"U\0"], ids=["TIFF", "ORF", "RW2"])
def test_exif_is_read_where_rawpy_tells_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: bytes
) -> None:
    """Before 0.27 rawpy knows no ISO, and at no time the camera; Olympus and Panasonic number their TIFFs otherwise."""
    monkeypatch.setattr(libraw, "_libraw_shot", lambda raw: (None, None))
    content = dng.dng(dng.sensor(dng.photograph("coffee", 64, 64)))
    raw = read_raw(write(tmp_path, content[:2] + number + content[4:]))
    assert (raw.camera, raw.iso, raw.exposure_s) == ("Acme Cam One", 800, pytest.approx(0.01))


def test_files_of_any_store(memory: fsspec.AbstractFileSystem) -> None:
    mosaic = dng.sensor(dng.photograph("coffee", 64, 64))
    memory.pipe_file("/photos/a.dng", dng.dng(mosaic))
    assert np.array_equal(read_raw("memory://photos/a.dng").mosaic, mosaic)


# ---- development ----


@CFAS
@pytest.mark.parametrize("color", [(200, 200, 200), (190, 110, 70), (60, 90, 160), (30, 30, 30)])
def test_a_plain_colour_is_developed_to_itself(tmp_path: Path, cfa: str, color: tuple[int, int, int]) -> None:
    """White balance, matrix and curve are those of IEC 61966-2-1, and no brightness is adjusted."""
    scene = np.zeros((64, 64, 3), np.uint8)
    scene[...] = color
    raw = read_raw(write(tmp_path, dng.dng(dng.sensor(scene, cfa, exposure=1.0), cfa)))
    middle = develop(raw)[:, 16:-16, 16:-16].astype(int)
    assert np.abs(middle - np.array(color)[:, None, None]).max() <= 2


def test_what_else_is_in_the_picture_changes_nothing(tmp_path: Path) -> None:
    """LibRaw would take the brightest DN for white where that is above three quarters of it."""
    scene = np.full((64, 128, 3), 100, np.uint8)
    developed = []
    for bright in (110, 238):
        scene[:, 64:] = bright
        raw = read_raw(write(tmp_path, dng.dng(dng.sensor(scene, exposure=1.0))))
        developed.append(develop(raw)[:, 16:48, 16:48])
    assert np.array_equal(*developed) and np.abs(developed[0].astype(int) - 100).max() <= 2


def test_development_keeps_pixels_on_their_sites(tmp_path: Path) -> None:
    photo = dng.photograph("coffee")
    developed = develop(read_raw(write(tmp_path, dng.dng(dng.sensor(photo, exposure=1.0), orientation=6))))
    error = (developed.transpose(1, 2, 0).astype(float) - photo)[8:-8, 8:-8]
    shifted = (developed.transpose(1, 2, 0)[:, 1:].astype(float) - photo[:, :-1])[8:-8, 8:-8]
    assert (error**2).mean() < 0.5 * (shifted**2).mean()
    # Demosaicing alone leaves about 30 dB of this photograph.
    assert 10 * np.log10(255**2 / (error**2).mean()) > 28


# ---- refused ----

XTRANS = "GGRGGBGGBGGRBRGRBGGGBGGRGGRGGBRBGBRG"
REFUSED = {
    "X-Trans": (XTRANS, (6, 6), "X-Trans, with a colour filter of 6x6"),
    "quad Bayer": ("RRGGRRGGGGBBGGBB", (4, 4), "a colour filter that begins RR"),
    "CYGM": ("CMYG", (2, 2), "of the colours"),
    "all one": ("GGGG", (2, 2), "colour"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_other_sensors_are_refused_by_name(tmp_path: Path, name: str) -> None:
    cfa, pattern, said = REFUSED[name]
    mosaic = dng.sensor(dng.photograph("coffee", 72, 96))
    url = write(tmp_path, dng.dng(mosaic, cfa, pattern=pattern))
    with pytest.raises(SampleError) as error:
        read_raw(url)
    assert str(error.value).startswith(f"{url} is ") and said in str(error.value)
    assert "rawsynth works on 2x2 Bayer mosaics: skipped" in str(error.value)


@pytest.mark.parametrize(("shape", "said"), [((64, 96, 3), "linear DNG"), ((64, 96), "monochrome")])
def test_dng_without_a_mosaic(tmp_path: Path, shape: tuple[int, ...], said: str) -> None:
    url = write(tmp_path, dng.dng(np.full(shape, 1000, np.uint16), ""))
    with pytest.raises(SampleError, match=f"is .*{said}.*2x2 Bayer"):
        read_raw(url)


def damaged() -> dict[str, bytes]:
    whole = dng.dng(dng.sensor(dng.photograph("coffee", 64, 96)))
    return {
        "empty": b"",
        "text": b"not a photograph" * 100,
        "cut in its header": whole[:300],
        "cut in its pixels": whole[: len(whole) * 2 // 3],
        "cut by one pixel": whole[:-2],
        "JPEG": dng.jpeg(dng.photograph("coffee")),
    }


@pytest.mark.parametrize("name", damaged())
def test_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    url = write(tmp_path, damaged()[name])
    with pytest.raises(SampleError) as error:
        read_raw(url)
    assert str(error.value).startswith(url) and "LibRaw cannot read" in str(error.value)


def test_a_file_out_of_reach(tmp_path: Path) -> None:
    with pytest.raises(InputAccessError, match="nowhere.dng"):
        read_raw(str(tmp_path / "nowhere.dng"))


_WHOLE = dng.dng(dng.sensor(dng.photograph("coffee", 32, 48)), preview=dng.jpeg(dng.photograph("coffee", 32, 48)))


@settings(max_examples=60)
@given(
    changes=st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 255)), min_size=1, max_size=6),
    length=st.integers(8, len(_WHOLE)),
)
def test_damage_is_a_fault_of_the_sample_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]], length: int
) -> None:
    content = bytearray(_WHOLE[:length])
    for at, value in changes:
        content[at % len(content)] = value
    url = write(tmp_path_factory.mktemp("damaged"), bytes(content))
    try:
        raw = read_raw(url)
    except SampleError as error:
        assert url in str(error)
        return
    assert raw.mosaic.ndim == 2 and raw.cfa in BAYER_LAYOUTS and 1 <= raw.orientation <= 8


# ---- a real file ----


@pytest.mark.skipif(not GOPRO.exists(), reason="needs ../shared/data/raw/gopro_hero6.dng")
def test_a_real_file() -> None:
    """Its tags, as exiftool and tifffile show them: orientation 2 is mirrored, black level 0/256."""
    raw = read_raw(str(GOPRO))
    assert raw.mosaic.shape == (3000, 4000) and raw.cfa == "RGGB"
    assert (raw.black, raw.white, raw.orientation) == ((0, 0, 0, 0), 16383, 2)
    assert raw.white_balance == pytest.approx((1 / 0.522449, 1 / 0.571429), rel=1e-5)
    assert (raw.camera, raw.iso, raw.exposure_s) == ("GoPro HERO6 Black", 100, pytest.approx(1 / 455))
    matrix = np.array([[1.0344, -0.4210, -0.0620], [-0.2315, 1.0625, 0.1948], [0.0093, 0.1058, 0.5541]])
    response = matrix @ dng.XYZ_FROM_SRGB
    assert raw.cam_from_srgb is not None
    assert np.abs(raw.cam_from_srgb - response / response.sum(axis=1, keepdims=True)).max() < 3e-4
