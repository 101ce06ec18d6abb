"""Camera files as people and programs make them: anything written reads back, and every fault is named."""

import copy
import json
import math
import tomllib
from collections.abc import Callable
from typing import Any

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.cameras import (
    CameraProfile,
    NoisePoint,
    NoiseProfile,
    builtin_cameras,
    camera_from_dict,
    camera_to_dict,
    format_camera,
    load_camera,
)
from rawsynth.errors import UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.levels import Levels

POSITIVE = st.floats(1e-12, 1e12)
NOT_NEGATIVE = st.just(0.0) | POSITIVE
SIGNED = st.floats(-1e6, 1e6)
SHAPES = st.floats(-0.499, 5.0)


def planes(numbers: st.SearchStrategy[float]) -> st.SearchStrategy[tuple[float, ...]]:
    """One number for all planes, as most sources have it, or four."""
    return numbers.map(lambda x: (x,) * 4) | st.tuples(numbers, numbers, numbers, numbers)


@st.composite
def noises(draw: st.DrawFn) -> NoiseProfile:
    """Any noise by ISO: with or without tails, with a shape an ISO or some for all."""
    isos = draw(st.lists(st.floats(1.0, 1e6), min_size=1, max_size=4, unique=True))
    tails = draw(st.sampled_from(("none", "by ISO", "for all")))
    points = tuple(
        NoisePoint(
            iso=iso,
            gain_dn_per_electron=draw(planes(POSITIVE)),  # type: ignore[arg-type]
            read_sigma_dn=draw(planes(POSITIVE)),  # type: ignore[arg-type]
            tukey_scale_dn=None if tails == "none" else draw(planes(POSITIVE)),  # type: ignore[arg-type]
            tukey_lambda=draw(SHAPES) if tails == "by ISO" else None,
            row_sigma_dn=draw(NOT_NEGATIVE),
            column_sigma_dn=draw(NOT_NEGATIVE),
            color_bias_dn=draw(planes(SIGNED)),  # type: ignore[arg-type]
            flags=tuple(draw(st.lists(st.text(max_size=5), max_size=2))),
        )
        for iso in isos
    )
    spreads = st.dictionaries(st.sampled_from(("gain_dn_per_electron", "read_sigma_dn", "row_sigma_dn")), NOT_NEGATIVE)
    return NoiseProfile(
        points,
        high_gain_isos=tuple(draw(st.lists(POSITIVE, max_size=2))),
        tukey_lambdas=tuple(draw(st.lists(SHAPES, min_size=1, max_size=3))) if tails == "for all" else (),
        log_spread=draw(spreads),
        nominal_iso=draw(st.booleans()),
    )


@st.composite
def cameras(draw: st.DrawFn) -> CameraProfile:
    """Any camera, under any name that Unicode has."""
    bits = draw(st.integers(8, 16))
    white = draw(st.integers(1, 2**bits - 1))
    near_one = st.floats(0.5, 2.0)
    diagonals = st.tuples(near_one, near_one, near_one).map(lambda d: np.diag(d) + 0.01)
    return CameraProfile(
        name=draw(st.text(max_size=20)),
        cfa=draw(st.sampled_from(sorted(BAYER_LAYOUTS))),
        levels=Levels(draw(st.integers(0, white - 1)), white, bits),
        nominal_levels=draw(st.booleans()),
        cam_from_xyz=draw(st.dictionaries(st.sampled_from(("A", "D50", "D65")), diagonals)),
        noise=draw(st.none() | noises()),
        sources=tuple(draw(st.lists(st.text(max_size=20), max_size=3))),
    )


def same(one: CameraProfile, other: CameraProfile) -> None:
    """Matrices are arrays, so ``==`` of the dataclasses alone would not do."""
    assert set(one.cam_from_xyz) == set(other.cam_from_xyz)
    assert all(np.array_equal(one.cam_from_xyz[name], other.cam_from_xyz[name]) for name in one.cam_from_xyz)
    fields = ("name", "cfa", "levels", "nominal_levels", "noise", "sources")
    assert [getattr(one, f) for f in fields] == [getattr(other, f) for f in fields]


@given(camera=cameras(), comment=st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20))
def test_any_camera_comes_back_from_toml_exactly(camera: CameraProfile, comment: str) -> None:
    text = format_camera(camera, comment=f"{comment}\nsecond line")
    same(camera_from_dict(tomllib.loads(text), "x.toml"), camera)


@given(camera=cameras())
def test_any_camera_comes_back_from_json_exactly(camera: CameraProfile) -> None:
    text = json.dumps(camera_to_dict(camera), allow_nan=False)
    same(camera_from_dict(json.loads(text), "x.json"), camera)


@pytest.mark.parametrize("name", ['quo"te', "back\\slash", "tab\tline\nreturn\r", "\x00\x1f\x7f", "é 漢 😀", "\u2028#'"])
def test_names_that_toml_must_escape(memory: fsspec.AbstractFileSystem, name: str) -> None:
    camera = CameraProfile(name, "RGGB", Levels(0, 255, 8), sources=(name, f"{name}{name}"))
    memory.pipe_file("/cameras/x.toml", format_camera(camera).encode())
    same(load_camera("memory://cameras/x.toml"), camera)


@pytest.mark.parametrize("suffix", ["toml", "json"])
def test_every_camera_that_ships_travels_by_url(memory: fsspec.AbstractFileSystem, suffix: str) -> None:
    with_noise = [camera for camera in builtin_cameras().values() if camera.noise is not None]
    assert len(with_noise) >= 12
    for camera in with_noise:
        text = format_camera(camera) if suffix == "toml" else json.dumps(camera_to_dict(camera))
        memory.pipe_file(f"/a camera.{suffix}", text.encode())
        same(load_camera(f"memory://a camera.{suffix}"), camera)


def test_fields_that_say_nothing_are_left_out() -> None:
    point = NoisePoint(100, (1.0,) * 4, (2.0,) * 4)
    text = format_camera(CameraProfile("x", "RGGB", Levels(0, 255, 8), noise=NoiseProfile((point,))))
    assert tomllib.loads(text)["noise"] == {"iso": [100], "gain_dn_per_electron": [1.0], "read_sigma_dn": [2.0]}


# ---- what is refused, and how ----

GOOD: dict[str, Any] = {
    "name": "Mine",
    "cfa": "RGGB",
    "sources": ["by hand"],
    "levels": {"black_level": 64, "white_level": 1023, "bits": 10, "nominal": False},
    "cam_from_xyz": {"D65": [[1, 0, 0], [0, 1, 0], [0, 0, 1]]},
    "noise": {
        "iso": [100, 200],
        "gain_dn_per_electron": [1, [2, 2, 2, 3]],
        "read_sigma_dn": [1.5, 2.5],
        "tukey_scale_dn": [0.8, 1.2],
        "tukey_lambda": [0.1, -0.1],
        "row_sigma_dn": [0, 0.5],
        "color_bias_dn": [0, [-1, 0, 0, 1]],
        "flags": [["read_floored"], []],
        "high_gain_isos": [200],
        "log_spread": {"read_sigma_dn": 0.1},
    },
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the good file with one field replaced, or without it where the value is ``...``."""
    data = copy.deepcopy(GOOD)
    *folders, name = path.split(".")
    table = data
    for folder in folders:
        table = table[folder]
    if value is ...:
        del table[name]
    else:
        table[name] = value
    return data


def test_the_good_file_is_good() -> None:
    camera = camera_from_dict(GOOD, "mine.toml")
    assert camera.sources == ("by hand",) and camera.noise_profile().points[0].flags == ("read_floored",)
    assert camera.noise_profile().points[1].gain_dn_per_electron == (2, 2, 2, 3)


REFUSED: list[tuple[str, Any, str]] = [
    ("name", ..., "'name'"),
    ("cfa", ..., "'cfa'"),
    ("levels", ..., "'levels'"),
    ("levels.bits", ..., "'bits'"),
    ("levels.black_level", ..., "'black_level'"),
    ("levels.white_level", ..., "'white_level'"),
    ("noise.iso", ..., "noise.iso is missing"),
    ("noise.gain_dn_per_electron", ..., "noise.gain_dn_per_electron is missing"),
    ("noise.read_sigma_dn", ..., "noise.read_sigma_dn is missing"),
    ("colour", {}, "unknown field colour; known: .*cam_from_xyz"),
    ("levels.black", 64, "unknown field levels.black; known: .*black_level"),
    ("cam_from_xyz.D93", [], "unknown field cam_from_xyz.D93; known: .*D65"),
    ("noise.read_sigma", [1, 2], "unknown field noise.read_sigma; known: .*read_sigma_dn"),
    ("noise.log_spread.iso", 0.1, "log_spread has numbers >= 0 for gain_dn_per_electron"),
    ("cfa", "rggb", "unknown CFA layout 'rggb'.*RGGB"),
    ("cfa", 3, "unknown CFA layout 3"),
    ("levels.bits", 7, "bits must be 8 to 16; got 7"),
    ("levels.white_level", 1024, "white <= 1023 at 10 bits"),
    ("levels.black_level", 1023, "black < white"),
    ("levels.black_level", -1, "0 <= black"),
    ("cam_from_xyz.D65", [[1, 0], [0, 1]], "cam_from_xyz.D65 is a 3x3 matrix"),
    ("cam_from_xyz.D65", [[0, 0, 0]] * 3, "cam_from_xyz.D65 .* can be inverted"),
    ("cam_from_xyz.D65", [[math.nan] * 3] * 3, "cam_from_xyz.D65 is a 3x3 matrix"),
    ("cam_from_xyz.D65", [[1e200, 0, 0], [0, 1e200, 0], [0, 0, 1e200]], "entries up to 1,000,000"),
    ("noise.iso", [100], "noise.color_bias_dn is a list of 1 entries, one an ISO"),
    ("noise.iso", [], "is a list of 0 entries"),
    ("noise.iso", [100, 100], "an ISO stands twice"),
    ("noise.iso", [0, 200], "an ISO is positive; got 0"),
    ("noise.iso", [math.nan, 200], "an ISO is positive; got nan"),
    ("noise.gain_dn_per_electron", [1.0], "noise.gain_dn_per_electron is a list of 2 entries"),
    ("noise.gain_dn_per_electron", 1.0, "noise.gain_dn_per_electron, one entry an ISO, is a list; got 1.0"),
    ("noise.gain_dn_per_electron", [1.0, -1.0], "ISO 200: gain_dn_per_electron is positive in all four planes"),
    ("noise.gain_dn_per_electron", [1.0, [1, 1, 0, 1]], "ISO 200: gain_dn_per_electron is positive"),
    ("noise.gain_dn_per_electron", [1.0, [1, 1, 1]], "or four in the CFA's reading order; got .1.0, 1.0, 1.0"),
    ("noise.read_sigma_dn", [math.inf, 1], "ISO 100: read_sigma_dn is positive"),
    ("noise.tukey_scale_dn", ..., "tukey_scale_dn at every ISO"),
    ("noise.tukey_lambda", ..., "tukey_lambda at every ISO or tukey_lambdas for all"),
    ("noise.tukey_lambda", [0.1, -0.5], "ISO 200: tukey_lambda is above -0.5; got -0.5"),
    ("noise.tukey_lambdas", [0.1], "both or neither"),
    ("noise.row_sigma_dn", [-0.1, 0], "ISO 100: row_sigma_dn is a number >= 0; got -0.1"),
    ("noise.color_bias_dn", [math.inf, 0], "ISO 100: color_bias_dn is four finite numbers"),
    ("noise.flags", [[]], "noise.flags is a list of 2 entries"),
    ("noise.high_gain_isos", [-800], "high_gain_isos are positive"),
    ("noise.log_spread", {"read_sigma_dn": -1}, "log_spread has numbers >= 0"),
]


@pytest.mark.parametrize(("path", "value", "message"), REFUSED, ids=[f"{p}={v!r:.20}" for p, v, _ in REFUSED])
def test_a_fault_is_named_with_its_file(path: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        camera_from_dict(changed(path, value), "shelf/mine.toml")
    assert "camera file shelf/mine.toml: " in str(caught.value) and "\n" not in str(caught.value)


WRONG_TYPES: list[tuple[str, Any]] = [
    ("sources", 3), ("levels", 3), ("levels.bits", "14"), ("cam_from_xyz", 3), ("cam_from_xyz.D65", "identity"),
    ("noise", []), ("noise.iso", 100), ("noise.iso", [None, 200]), ("noise.flags", [3, 4]),
    ("noise.gain_dn_per_electron", ["1.0", 2.0]), ("noise.high_gain_isos", 800),
    ("noise.tukey_lambda", [0.1, None]), ("noise.log_spread", 3),
    ("noise.log_spread", {"read_sigma_dn": "little"}),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), WRONG_TYPES, ids=[f"{p}={v!r}" for p, v in WRONG_TYPES])
def test_a_wrong_type_is_a_message_and_no_traceback(path: str, value: Any) -> None:
    with pytest.raises(UsageError, match="^camera file mine.toml: "):
        camera_from_dict(changed(path, value), "mine.toml")


@pytest.mark.parametrize("load", [json.loads, tomllib.loads])
def test_numbers_may_be_integers_or_floats(load: Callable[[str], Any]) -> None:
    text = json.dumps(GOOD) if load is json.loads else format_camera(camera_from_dict(GOOD, "x"))
    same(camera_from_dict(load(text), "x"), camera_from_dict(GOOD, "x"))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("sources", "text", "sources is a list"),
        ("levels.nominal", "false", "levels.nominal is true or false"),
        ("noise.nominal_iso", "false", "noise.nominal_iso is true or false"),
        ("levels.black_level", 0.5, "levels.black_level is a whole number"),
        ("levels.bits", 10.0, "levels.bits is a whole number"),
        ("noise.iso", [100, True], "an entry of noise.iso is a number; got True"),
        ("noise.iso", 100, "noise.iso, one entry an ISO, is a list"),
        ("noise.flags", ["read_floored", ""], "noise.flags at an ISO is a list"),
        ("noise.high_gain_isos", 800, "noise.high_gain_isos is a list"),
        ("noise.log_spread", 3, "noise.log_spread is a table"),
        ("levels", 3, "levels is a table"),
    ],
)
def test_a_value_of_another_type_is_never_taken_for_one(path: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        camera_from_dict(changed(path, value), "mine.toml")


def test_numbers_of_numpy_are_written_as_numbers() -> None:
    four = tuple(np.float64(0.5) for _ in range(4))
    noise = NoiseProfile((NoisePoint(np.float64(100), four, four),))  # type: ignore[arg-type]
    text = format_camera(CameraProfile("One", "RGGB", Levels(0, 1023, 10), noise=noise), comment="a\x07b\x7f")
    assert camera_from_dict(tomllib.loads(text), "one.toml").noise == noise
