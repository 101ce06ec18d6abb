"""Colour by temperature, against tabulated illuminants, Planck's law, published matrices and hand-made cameras."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.color import xyz_tristimulus_values

from rawsynth.cameras import builtin_cameras
from rawsynth.cameras.color import bradford, camera_color, draw_cct, interpolate_matrices, white_xy
from rawsynth.errors import UsageError
from rawsynth.raw.colorimetry import XYZ_FROM_SRGB

COLORED = sorted(name for name, camera in builtin_cameras().items() if camera.cam_from_xyz)
CCT = st.floats(2000, 12000)
IDENTITY = {"D65": np.eye(3)}

# CIE 1931 colour matching functions (2 degrees), every 20 nm from 380 nm, CIE 15:2004.
CMF_20_NM = np.array(
    """.0014 .0000 .0065  .0143 .0004 .0679  .1344 .0040 .6456  .3483 .0230 1.7471  .2908 .0600 1.6692
    .0956 .1390 .8130  .0049 .3230 .2720  .0633 .7100 .0782  .2904 .9540 .0203  .5945 .9950 .0039  .9163 .8700 .0017
    1.0622 .6310 .0008  .8544 .3810 .0002  .4479 .1750 .0000  .1649 .0610 .0000  .0468 .0170 .0000  .0114 .0041 .0000
    .0029 .0010 .0000  .0007 .0003 .0000  .0002 .0001 .0000""".split(),
    dtype=float,
).reshape(-1, 3)


def planck_xy(cct_k: float) -> np.ndarray:
    """Chromaticity of a black body, by summing Planck's law over the table."""
    wavelength = np.arange(380e-9, 761e-9, 20e-9)
    power = wavelength**-5.0 / np.expm1(1.4388e-2 / (wavelength * cct_k))
    xyz = power @ CMF_20_NM
    return xyz[:2] / xyz.sum()


def uv(xy: tuple[float, float]) -> np.ndarray:
    return np.array([4 * xy[0], 6 * xy[1]]) / (-2 * xy[0] + 12 * xy[1] + 3)


def camera(red: float = 1.0, blue: float = 1.0) -> np.ndarray:
    """A camera that sees XYZ with other weights."""
    return np.diag([red, 1.0, blue])


@pytest.mark.parametrize(
    ("cct_k", "name", "xy", "within"),
    [
        (2856, "A", (0.44757, 0.40745), 1e-3),
        (5003, "D50", (0.34567, 0.35850), 2e-4),
        (5503, "D55", (0.33242, 0.34743), 2e-4),
        (6504, "D65", (0.31271, 0.32902), 2e-4),
        (7504, "D75", (0.29902, 0.31485), 2e-4),
    ],
)
def test_illuminants_have_their_chromaticity(
    cct_k: float, name: str, xy: tuple[float, float], within: float
) -> None:
    """CIE 15:2004's figures, and those that scikit-image has as XYZ."""
    assert white_xy(cct_k) == pytest.approx(xy, abs=within)
    xyz = xyz_tristimulus_values(illuminant=name, observer="2")
    assert white_xy(cct_k) == pytest.approx(xyz[:2] / xyz.sum(), abs=within)


@pytest.mark.parametrize("cct_k", [2000, 2400, 2856, 3200, 3600, 4000])
def test_lamps_are_black_bodies(cct_k: float) -> None:
    assert white_xy(cct_k) == pytest.approx(planck_xy(cct_k), abs=6e-4)


@given(CCT)
def test_the_locus_has_no_step_and_no_way_back(cct_k: float) -> None:
    """Half a mired moves the white by 1e-4 to 6e-4 in uv, as Priest's scale promises, and always towards blue."""
    warmer = 1.0 / (1.0 / cct_k + 0.5e-6)
    if warmer < 2000:
        return
    step = uv(white_xy(cct_k)) - uv(white_xy(warmer))
    assert 5e-5 < np.hypot(*step) < 6e-4
    assert white_xy(cct_k)[0] < white_xy(warmer)[0]


@given(st.floats(2000, 10000))
def test_colour_temperature_is_what_it_says(cct_k: float) -> None:
    """McCamy (Color Research and Application 17, 1992) computes it back from xy; good to 2 % or so up to 10,000 K."""
    x, y = white_xy(cct_k)
    n = (x - 0.3320) / (0.1858 - y)
    assert 449 * n**3 + 3525 * n**2 + 6823.3 * n + 5520.33 == pytest.approx(cct_k, rel=0.025)


@pytest.mark.parametrize("cct_k", [1999.9, 12000.1, 0.0, -5000.0, math.nan, math.inf])
def test_other_temperatures_are_refused(cct_k: float) -> None:
    for function in (white_xy, lambda t: interpolate_matrices(IDENTITY, t), lambda t: camera_color(IDENTITY, t)):
        with pytest.raises(UsageError, match="2000 to 12000 K"):
            function(cct_k)


def test_bradford_is_the_published_matrix() -> None:
    """D65 to D50, as B. Lindbloom tabulates it for the ASTM E308 whites."""
    d65, d50 = np.array([0.95047, 1, 1.08883]), np.array([0.96422, 1, 0.82521])
    matrix = bradford(tuple(d65[:2] / d65.sum()), tuple(d50[:2] / d50.sum()))
    published = [
        [1.0478112, 0.0228866, -0.0501270],
        [0.0295424, 0.9904844, -0.0170491],
        [-0.0092345, 0.0150436, 0.7521316],
    ]
    assert np.abs(matrix - published).max() < 2e-7


@given(CCT, CCT)
def test_bradford_there_and_back(first: float, second: float) -> None:
    there, back = (bradford(white_xy(a), white_xy(b)) for a, b in ((first, second), (second, first)))
    assert np.abs(there @ back - np.eye(3)).max() < 1e-9


@pytest.mark.parametrize(
    ("cct_k", "share"),
    [(2000, 0.0), (2856, 0.0), (3969.138, 0.5), (5000, 2144 * 6504 / (5000 * 3648)), (6504, 1.0), (12000, 1.0)],
)
def test_matrices_are_linear_in_reciprocal_temperature(cct_k: float, share: float) -> None:
    """Shares by hand: (1/2856 - 1/T) / (1/2856 - 1/6504), clamped."""
    matrices = {"D65": np.full((3, 3), 1.0) + np.eye(3), "A": np.eye(3)}
    assert interpolate_matrices(matrices, cct_k) == pytest.approx(np.eye(3) + share, abs=1e-5)


def test_one_matrix_serves_all_temperatures_and_others_may_be_added() -> None:
    assert (interpolate_matrices({"A": camera(2)}, 9000) == camera(2)).all()
    three = {"A": camera(1), "D50": camera(2), "D65": camera(5)}
    assert interpolate_matrices(three, 5003)[0, 0] == pytest.approx(2)
    assert interpolate_matrices(three, 1 / (0.5 / 5003 + 0.5 / 6504))[0, 0] == pytest.approx(3.5)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        ({}, "no colour matrix"),
        ({"F2": np.eye(3)}, "'F2'"),
        ({"D65": np.eye(2)}, r"\(2, 2\)"),
        ({"D65": np.full((3, 3), np.nan)}, "finite"),
    ],
)
def test_matrices_that_say_nothing_are_refused(matrices: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        camera_color(matrices, 5000)


def test_daylight_is_exactly_the_matrix_for_daylight() -> None:
    """At 6504 K there is nothing to adapt: camera_from_xyz times xyz_from_srgb, rows divided by their sums."""
    for name in COLORED:
        matrices = builtin_cameras()[name].cam_from_xyz
        raw = matrices["D65"] @ XYZ_FROM_SRGB
        matrix, gains = camera_color(matrices, 6504)
        assert np.abs(matrix - raw / raw.sum(axis=1, keepdims=True)).max() < 1e-12, name
        assert gains == pytest.approx((raw[1].sum() / raw[0].sum(), raw[1].sum() / raw[2].sum()), rel=1e-12), name


@given(CCT, st.sampled_from(COLORED))
def test_gains_make_the_light_neutral_and_white_stays_white(cct_k: float, name: str) -> None:
    """What the camera sees of a white card is its matrix times the light's XYZ, whatever sRGB made of it."""
    matrices = builtin_cameras()[name].cam_from_xyz
    x, y = white_xy(cct_k)
    seen = interpolate_matrices(matrices, cct_k) @ [x / y, 1.0, (1 - x - y) / y]
    matrix, (red, blue) = camera_color(matrices, cct_k)
    assert seen * [red, 1.0, blue] == pytest.approx([seen[1]] * 3, rel=1e-3)
    assert matrix @ np.ones(3) == pytest.approx(np.ones(3), abs=1e-12)


def test_tungsten_by_hand() -> None:
    """A camera that sees XYZ itself: its gains under A are Y/X and Y/Z of illuminant A, 1.09850 and 0.35585."""
    _, gains = camera_color(IDENTITY, 2856)
    assert gains == pytest.approx((1 / 1.09850, 1 / 0.35585), rel=4e-3)


def test_the_warmer_the_light_the_less_red_gain_and_the_more_blue() -> None:
    for name in COLORED:
        matrices = builtin_cameras()[name].cam_from_xyz
        gains = np.array([camera_color(matrices, 1e6 / mired)[1] for mired in range(134, 351, 12)])
        assert (np.diff(gains[:, 0]) < 0).all(), name
        assert (np.diff(gains[:, 1]) > 0).all(), name
        assert ((gains > 0.5) & (gains < 6)).all(), name


def test_matrices_stay_usable() -> None:
    """Nothing is near singular or mirrored over the range that is drawn from; modern cameras see primaries as such."""
    for name in COLORED:
        camera = builtin_cameras()[name]
        for cct_k in (2850, 4500, 7500):
            matrix, _ = camera_color(camera.cam_from_xyz, cct_k)
            assert np.linalg.cond(matrix) < 12, name
            assert np.linalg.det(matrix) > 0.02, name
            assert camera.noise is None or (matrix.argmax(axis=1) == [0, 1, 2]).all(), name


def test_a_camera_blind_to_the_light_is_named() -> None:
    with pytest.raises(UsageError, match="no positive response to white at 2000 K"):
        camera_color({"D65": np.array([[1, 0, 0], [0, 1, 0], [-0.6, 0, 1]])}, 2000)


def test_temperatures_are_drawn_evenly_in_mired() -> None:
    """20,000 draws: the mean's standard error is a spread of 217.5 mired over sqrt(12 * 20000)."""
    rng = np.random.default_rng(0)
    mired = np.sort([1e6 / draw_cct(rng) for _ in range(20000)])
    low, high = 1e6 / 7500, 1e6 / 2850
    assert low - 1e-9 <= mired[0]
    assert mired[-1] <= high + 1e-9
    # Kolmogorov-Smirnov against the uniform law; 1.95 / sqrt(n) is exceeded once in a thousand.
    expected = (mired - low) / (high - low)
    assert np.abs(expected - (np.arange(20000) + 0.5) / 20000).max() < 1.95 / math.sqrt(20000)


def test_one_temperature_is_drawn_as_it_is_and_a_range_runs_upwards() -> None:
    rng = np.random.default_rng(0)
    assert draw_cct(rng, low=5003, high=5003) == 5003
    with pytest.raises(UsageError, match="low to high"):
        draw_cct(rng, low=7000, high=3000)
    with pytest.raises(UsageError, match="2000 to 12000"):
        draw_cct(rng, high=20000)
