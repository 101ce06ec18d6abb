"""ReverseISP's contract: who decides each quantity, what is drawn anew, what replays, and what is refused."""

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skimage import data as photos
from torch import Tensor, nn

from rawsynth.cameras import builtin_cameras, format_camera, load_camera
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.image import RawImage
from rawsynth.transforms import AddNoise, ReverseISP

KEYS = ["a", "b", "c", "d"]
SONY = "Sony ILCE-7SM2"
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
DRAWN = ("cam_from_srgb", "white_balance", "rgb_gain")
FIXED = {"cam_from_srgb": MATRIX, "white_balance": [2.0, 1.75], "rgb_gain": 1.25, "cfa": "GBRG"}


def photo(name: str = "coffee", batch: int = 1) -> Tensor:
    """Pieces of a photograph, (batch, 3, 30, 42) uint8."""
    pixels = torch.from_numpy(getattr(photos, name)()).permute(2, 0, 1)
    return torch.stack([pixels[:, 20 * k : 20 * k + 30, 100:142] for k in range(batch)])


def make(count: int = 4, **arguments: Any) -> list[dict[str, Any]]:
    return ReverseISP("unprocess", seed=0, **arguments).make_params(count, keys=KEYS[:count])


def differing(a: list[dict], b: list[dict]) -> set[str]:
    return {name for p, q in zip(a, b, strict=True) for name in p if p[name] != q[name]}


def test_parameters_are_complete_and_ready_for_json() -> None:
    for params in make():
        assert list(params) == ["method", "method_version", "camera", "cct", "cfa", *DRAWN]
        assert (params["method"], params["camera"], params["cct"], params["cfa"]) == ("unprocess", None, None, "RGGB")
        numbers = np.concatenate([np.ravel(params[name]) for name in DRAWN])
        assert numbers.shape == (12,)
        assert (numbers == numbers.astype(np.float32)).all()  # what is recorded is what is computed with
        assert json.loads(json.dumps(params)) == params


def test_none_means_drawn_for_each_image() -> None:
    params = make()
    for name in DRAWN:
        assert len({json.dumps(p[name]) for p in params}) == 4


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_quantity_leaves_the_other_draws_alone(name: str) -> None:
    fixed = make(**{name: FIXED[name]})
    assert [p[name] for p in fixed] == [FIXED[name]] * 4
    assert differing(fixed, make()) == {name}
    assert ReverseISP("unprocess", seed=0).make_params(4, keys=KEYS, overrides={name: FIXED[name]}) == fixed


PER_SAMPLE = {
    "cam_from_srgb": [MATRIX, np.eye(3).tolist(), MATRIX, np.eye(3).tolist()],
    "white_balance": [[2.0, 1.5], [1.0, 1.0], [3.0, 0.5], [2.0, 2.0]],
    "rgb_gain": [1.0, 2.0, 0.5, 0.25],
    "cfa": list(BAYER_LAYOUTS),
    "camera": [SONY, "Nikon D850", SONY, "Canon EOS 70D"],
}


@pytest.mark.parametrize("name", PER_SAMPLE)
@pytest.mark.parametrize("as_tensor", [False, True])
def test_overrides_by_sample_win(name: str, as_tensor: bool) -> None:
    values = PER_SAMPLE[name]
    given_values = torch.tensor(values) if as_tensor and not isinstance(values[0], str) else values
    to_raw = ReverseISP("unprocess", seed=0, **{**FIXED, "camera": SONY})
    params = to_raw.make_params(4, keys=KEYS, overrides={name: given_values})
    assert [p[name] for p in params] == values
    assert differing(params, to_raw.make_params(4, keys=KEYS)) == {name}


def test_dimensions_tell_one_for_all_from_one_a_sample() -> None:
    """Two images, two gains: a single dimension is one white balance for both."""
    to_raw = ReverseISP("unprocess", seed=0)
    both = to_raw.make_params(2, keys=KEYS[:2], overrides={"white_balance": [2.0, 1.5]})
    each = to_raw.make_params(2, keys=KEYS[:2], overrides={"white_balance": [[2.0, 1.5], [3.0, 1.0]]})
    assert [p["white_balance"] for p in both] == [[2.0, 1.5], [2.0, 1.5]]
    assert [p["white_balance"] for p in each] == [[2.0, 1.5], [3.0, 1.0]]


def test_a_camera_gives_its_daylight_colour_and_leaves_exposure_to_chance() -> None:
    matrix, gains = load_camera(SONY).color(6504)
    for params, free in zip(make(camera=SONY, cct=6504), make(), strict=True):
        assert (params["camera"], params["cct"]) == (SONY, 6504)
        assert params["cam_from_srgb"] == np.float32(matrix).tolist()
        assert params["white_balance"] == np.float32(gains).tolist()
        assert params["rgb_gain"] == free["rgb_gain"]


def test_a_light_is_drawn_for_each_image_and_colour_follows_it() -> None:
    drawn = ReverseISP("unprocess", camera=SONY, seed=0).make_params(500, keys=[str(k) for k in range(500)])
    reciprocal = 1e6 / np.array([params["cct"] for params in drawn])
    law = stats.uniform(1e6 / 7500, 1e6 / 2850 - 1e6 / 7500)
    assert stats.kstest(reciprocal, law.cdf).pvalue > 1e-3
    for params in drawn[:20]:
        matrix, gains = load_camera(SONY).color(params["cct"])
        assert params["white_balance"] == np.float32(gains).tolist()
        assert params["cam_from_srgb"] == np.float32(matrix).tolist()


def test_a_light_may_be_given_as_a_range_or_for_each_image() -> None:
    assert all(4000 <= params["cct"] <= 5000 for params in make(camera=SONY, cct=(4000, 5000)))
    to_raw = ReverseISP("unprocess", camera=SONY, seed=0)
    given_each = to_raw.make_params(2, keys=["a", "b"], overrides={"cct": [3000, 7000]})
    assert [params["cct"] for params in given_each] == [3000, 7000]
    warm, cold = (params["white_balance"] for params in given_each)
    assert warm[0] < cold[0] and warm[1] > cold[1]  # lamps are rich in red and poor in blue


def test_the_metadata_tell_the_light() -> None:
    to_raw = ReverseISP("unprocess", camera=SONY, cct=5000, seed=0)
    raw = to_raw(torch.zeros(2, 3, 4, 4, dtype=torch.uint8), keys=["a", "b"])
    assert raw.metadata.cct is not None and raw.metadata.cct.tolist() == [5000, 5000]
    assert raw.metadata.to_json()[0]["cct"] == 5000
    assert ReverseISP("unprocess", seed=0)(torch.zeros(1, 3, 4, 4), keys=["a"]).metadata.cct is None


def test_random_draws_among_the_cameras_with_colour_and_noise() -> None:
    to_raw = ReverseISP("unprocess", camera="random", cfa="camera", seed=0)
    drawn = to_raw.make_params(400, keys=[str(k) for k in range(400)])
    known = {name for name, c in builtin_cameras().items() if c.cam_from_xyz and c.noise is not None}
    names = {params["camera"] for params in drawn}
    assert names <= known and len(names) > 0.9 * len(known)
    assert all(params["cfa"] == load_camera(params["camera"]).cfa for params in drawn)


@pytest.mark.parametrize("name", ["cam_from_srgb", "white_balance"])
def test_a_stated_quantity_beats_the_camera_s(name: str) -> None:
    assert differing(make(camera=SONY, **{name: FIXED[name]}), make(camera=SONY)) == {name}
    assert make(camera=SONY, **{name: FIXED[name]})[0][name] == FIXED[name]


def test_a_camera_s_white_balance_takes_grey_to_its_response() -> None:
    """Linear grey goes to what the sensor gives under daylight: its matrix times white, green left as it was."""
    camera = load_camera(SONY)
    response = camera.cam_from_xyz["D65"] @ [0.95047, 1.0, 1.08883]
    expected = [response[0] / response[1], response[2] / response[1]]
    to_raw = ReverseISP("unprocess", camera=SONY, cct=6504, rgb_gain=1.25, seed=0)
    raw = to_raw(torch.full((1, 3, 2, 2), 0.5), keys=["a"])
    red, green, _, blue = raw.packed.flatten().tolist()
    assert green == pytest.approx(0.5**2.2 / 1.25, rel=1e-5)
    assert [red / green, blue / green] == pytest.approx(expected, rel=1e-4)


@pytest.fixture
def gbrg_camera(tmp_path: Path) -> str:
    path = tmp_path / "gbrg.toml"
    path.write_text(format_camera(replace(load_camera(SONY), cfa="GBRG", name="Mirrored")))
    return str(path)


@pytest.mark.parametrize(("cfa", "expected"), [("camera", "GBRG"), ("BGGR", "BGGR"), ("RGGB", "RGGB")])
def test_the_layout_is_the_camera_s_on_request_only(gbrg_camera: str, cfa: str, expected: str) -> None:
    to_raw = ReverseISP("unprocess", camera=gbrg_camera, cfa=cfa, seed=0)
    assert to_raw.make_params(1, keys=["a"])[0]["cfa"] == expected
    to_raw = ReverseISP("unprocess", camera=gbrg_camera, seed=0)
    overridden = to_raw.make_params(2, keys=KEYS[:2], overrides={"cfa": [cfa, "GRBG"]})
    assert [p["cfa"] for p in overridden] == [expected, "GRBG"]
    assert overridden[0]["camera"] == "Mirrored"


@settings(max_examples=30)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.integers())
def test_the_key_decides_whatever_the_batch(keys: list[str], seed: int) -> None:
    to_raw = ReverseISP("unprocess", seed=seed)
    params = to_raw.make_params(len(keys), keys=keys)
    assert params == [to_raw.make_params(1, keys=[key])[0] for key in keys]
    assert params[::-1] == ReverseISP("unprocess", seed=seed).make_params(len(keys), keys=keys[::-1])
    assert len({json.dumps(p) for p in params}) == len(set(keys))


def test_seeds_and_keys_give_other_draws() -> None:
    one, two = (ReverseISP("unprocess", seed=seed).make_params(2, keys=["a", "b"]) for seed in (0, 1))
    assert len({p["rgb_gain"] for p in one + two}) == 4


def test_without_a_seed_torch_decides() -> None:
    to_raw = ReverseISP("unprocess")
    torch.manual_seed(1)
    first = to_raw.make_params(3)
    assert to_raw.make_params(3) != first
    torch.manual_seed(1)
    assert to_raw.make_params(3, keys=["any", "keys", "do"]) == first
    torch.manual_seed(1)
    assert to_raw(photo(batch=3)).metadata.to_json() == to_raw.apply_params(photo(batch=3), first).metadata.to_json()


def test_with_a_seed_torch_is_left_alone() -> None:
    state = torch.get_rng_state()
    np_state = np.random.get_state()[1].copy()
    ReverseISP("unprocess", seed=0)(photo(), keys=["a"])
    assert torch.equal(torch.get_rng_state(), state)
    assert (np.random.get_state()[1] == np_state).all()


def test_replay_from_json_is_bit_equal() -> None:
    srgb = photo(batch=4)
    to_raw = ReverseISP("unprocess", seed=0)
    params = to_raw.make_params(4, keys=KEYS, overrides={"cfa": list(BAYER_LAYOUTS)})
    for image in (srgb, srgb / 255.0):
        first = to_raw.apply_params(image, params)
        again = ReverseISP("unprocess").apply_params(image, json.loads(json.dumps(params)))
        assert torch.equal(first.packed, again.packed)
        assert first.metadata.to_json() == again.metadata.to_json()


def test_parameters_are_read_back_from_the_metadata() -> None:
    params = make()
    meta = ReverseISP("unprocess").apply_params(photo(batch=4), params).metadata
    for one, entry in zip(meta.to_json(), params, strict=True):
        assert {name: one[name] for name in entry} == entry
        assert (one["iso"], one["shot"], one["read"], one["noise"]) == (None, None, None, None)


@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    # In float the power's scalar tail and its vector body differ in the last bit.
    [(torch.uint8, 0.0), (torch.float32, 1.2e-7), (torch.float16, 1.2e-7), (torch.float64, 1.2e-7)],
    ids=str,
)
def test_a_batch_is_its_images(dtype: torch.dtype, tolerance: float) -> None:
    srgb = photo("chelsea", batch=4)
    srgb = srgb if dtype == torch.uint8 else (srgb / 255.0).to(dtype)
    to_raw = ReverseISP("unprocess", seed=0)
    together = to_raw(srgb, keys=KEYS)
    nested = to_raw(srgb.view(2, 2, 3, 30, 42), keys=KEYS)
    assert torch.equal(nested.packed.flatten(0, 1), together.packed)
    for k, key in enumerate(KEYS):
        alone = to_raw(srgb[k], keys=[key])
        assert alone.packed.shape == (4, 15, 21)
        assert (alone.packed - together.packed[k]).abs().max() <= tolerance
        assert alone.metadata.to_json() == together[k].metadata.to_json() == nested[k // 2][k % 2].metadata.to_json()


def test_apply_params_changes_nothing_it_is_given() -> None:
    srgb = photo() / 255.0
    params = make(1)
    before = (srgb.clone(), copy.deepcopy(params))
    raw = ReverseISP("unprocess").apply_params(srgb.requires_grad_(), params)
    assert torch.equal(srgb, before[0])
    assert params == before[1]
    assert not raw.packed.requires_grad


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_do_the_same(clone: Callable[[ReverseISP], ReverseISP]) -> None:
    to_raw = ReverseISP("unprocess", camera=SONY, seed=0)
    assert torch.equal(clone(to_raw)(photo(), keys=["a"]).packed, to_raw(photo(), keys=["a"]).packed)


@pytest.mark.parametrize("cast", ["half", "double"])
def test_casting_a_model_around_it_keeps_the_precision(cast: str) -> None:
    model = getattr(nn.Sequential(ReverseISP("unprocess", seed=0)), cast)()
    packed = model[0](photo(), keys=["a"]).packed
    assert packed.dtype == torch.float32
    assert (packed - ReverseISP("unprocess", seed=0)(photo(), keys=["a"]).packed).abs().max() < 1e-7


def test_it_is_a_module_among_others() -> None:
    noisy = nn.Sequential(ReverseISP("unprocess"), AddNoise("heteroscedastic_gaussian"))(photo(batch=2))
    assert isinstance(noisy, RawImage)
    assert noisy.metadata.noise is not None
    assert dict(ReverseISP("unprocess").state_dict()) == {}


def test_the_repr_shows_what_is_fixed() -> None:
    shown = repr(ReverseISP("unprocess", camera=SONY, cfa="GRBG", rgb_gain=1.25, seed=7))
    assert all(part in shown for part in (f"camera={SONY!r}", "cfa='GRBG'", "rgb_gain=1.25", "seed=7"))
    assert "white_balance" not in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "unproces"}, "did you mean 'unprocess'.*Choose from: .*rst_isp_net_small.*unprocess"),
        ({"weights": "net.safetensors"}, "'unprocess' has no weights; leave weights=None"),
        ({"camera": "Sony"}, "unknown camera 'Sony'.*Near: Sony .*rawsynth cameras"),
        ({"camera": "missing.toml"}, "missing.toml"),
        ({"cfa": "rggb"}, "Choose from: BGGR, GBRG, GRBG, RGGB"),
        ({"cfa": "camera"}, "takes the layout from a camera; give camera="),
        ({"cam_from_srgb": [[1, 0, 0], [0, 1, 0], [0, 0, 1.1]]}, r"rows sum to 1; got sums \[1.0, 1.0, 1.1\]"),
        ({"cam_from_srgb": [1, 0, 0]}, r"cam_from_srgb has shape \(3, 3\)"),
        ({"cam_from_srgb": np.full((3, 3), np.nan)}, "finite"),
        ({"white_balance": (2.0,)}, r"white_balance has shape \(2,\)"),
        ({"white_balance": (2.0, 1.0, 1.5)}, r"white_balance has shape \(2,\)"),
        ({"white_balance": (2.0, -1.5)}, "white_balance must be positive"),
        ({"rgb_gain": 0.0}, "rgb_gain must be positive; got 0.0"),
        ({"rgb_gain": -1.25}, "rgb_gain must be positive"),
        ({"rgb_gain": float("inf")}, "rgb_gain has .* finite"),
        ({"rgb_gain": [1.0, 2.0]}, r"rgb_gain has shape \(\)"),
        ({"seed": 0.5}, "seed is an integer or None; got 0.5"),
        ({"seed": True}, "seed is an integer or None; got True"),
        ({"seed": "0"}, "seed is an integer or None; got '0'"),
        ({"cam_from_srgb": [[1, 0], [0, 1, 0]]}, "cam_from_srgb"),
        ({"white_balance": "daylight"}, "white_balance"),
        ({"cfa": None}, "Choose from"),
        ({"cct": 5000}, "for a camera only"),
        ({"camera": SONY, "cct": 500}, "500"),
        ({"camera": SONY, "cct": 1e200}, "2000 to 12000 K"),
        ({"camera": SONY, "cct": (7000, 3000)}, "low <= high"),
        ({"camera": SONY, "cct": (3000, 4000, 5000)}, "cct is one temperature"),
        ({"camera": SONY, "cct": float("nan")}, "cct|temperature"),
        ({"camera": "Google Pixel"}, "no colour matrix"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReverseISP(**{"method": "unprocess", **arguments})


@pytest.mark.parametrize("arguments", [{"method": "x"}, {"camera": "x"}, {"cfa": "x"}])
def test_unknown_names_are_their_own_kind(arguments: dict[str, str]) -> None:
    with pytest.raises(UnknownNameError, match="unknown .* 'x'. (Choose from|Near): "):
        ReverseISP(**{"method": "unprocess", **arguments})


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"gain": 1.0}, "cannot override 'gain'; choose from: cam_from_srgb, camera, cct, cfa, rgb_gain, white_bal"),
        ({"seed": 1}, "cannot override 'seed'"),
        ({"rgb_gain": [1.0, 2.0]}, r"give one value for all, or 3, one a sample; got shape \(2,\)"),
        ({"rgb_gain": [[1.0, 2.0, 3.0]]}, "got shape"),
        ({"white_balance": 2.0}, r"got shape \(\)"),
        ({"white_balance": [[2.0, 1.5]] * 2}, r"got shape \(2, 2\)"),
        ({"white_balance": [2.0, 1.5, 1.0]}, r"white_balance has shape \(2,\)"),
        ({"cam_from_srgb": [1.0, 0.0, 0.0]}, "got shape"),
        ({"cam_from_srgb": np.ones((3, 3))}, "rows sum to 1"),
        ({"rgb_gain": [1.0, 2.0, -1.0]}, "positive"),
        ({"rgb_gain": None}, "rgb_gain has shape"),
        ({"cfa": ["RGGB", "RGGB", "RGBG"]}, "Choose from: BGGR"),
        ({"cfa": ["RGGB"] * 2}, "one a sample"),
        ({"cfa": "camera"}, "give camera="),
        ({"camera": [SONY, SONY, "Sony"]}, "unknown camera"),
        ({"cam_from_srgb": [[1, 0], [0, 1, 0]]}, "cam_from_srgb"),
        ({"rgb_gain": "much"}, "rgb_gain"),
    ],
)
def test_wrong_overrides_are_refused(overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReverseISP("unprocess", seed=0).make_params(3, keys=KEYS[:3], overrides=overrides)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (None, r"seed=0 needs keys=\[...\], one name a sample; or use seed=None"),
        (["a"], "keys must name 2 samples"),
        (["a", "b", "c"], "keys must name 2 samples"),
        ("ab", "keys must name 2 samples, a list of as many strings; got 'ab'"),
        ([0, 1], "keys"),
    ],
)
def test_a_seed_needs_a_key_a_sample(keys: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ReverseISP("unprocess", seed=0).make_params(2, keys=keys)


@pytest.mark.parametrize(
    ("srgb", "message"),
    [
        (np.zeros((3, 4, 4), np.uint8), r"got ndarray\. An array .H, W, 3.: torch.from_numpy"),
        (torch.zeros(4, 4), r"got \(4, 4\)"),
        (torch.zeros(4, 4, 3), r"\(..., 3, H, W\); got \(4, 4, 3\)\. Channels come first: image.permute"),
        (torch.zeros(1, 4, 4, 4), r"got \(1, 4, 4, 4\)"),
        (torch.zeros(3, 5, 4), "even sides; got 5x4. Crop one row or column"),
        (torch.zeros(3, 4, 7), "even sides; got 4x7. Crop one row or column"),
        (torch.zeros(3, 0, 4), r"empty tensor; got \(3, 0, 4\)"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), "uint8, or float in .*; got torch.int32"),
        (torch.zeros(3, 4, 4, dtype=torch.bool), "got torch.bool"),
        (torch.zeros(3, 4, 4, dtype=torch.uint16), "got torch.uint16"),
        (torch.full((3, 4, 4), 255.0), r"float sRGB lies in \[0, 1\]; got values up to 255\. Divide them by 255"),
        (torch.zeros(0, 3, 4, 4), "empty|no image|at least one"),
    ],
)
def test_wrong_images_are_refused(srgb: Any, message: str) -> None:
    for call in (ReverseISP("unprocess"), lambda x: ReverseISP("unprocess").apply_params(x, make(1))):
        with pytest.raises(UsageError, match=message):
            call(srgb)


def test_what_resizing_overshoots_is_taken() -> None:
    assert ReverseISP("unprocess")(torch.full((3, 4, 4), 1.2)).packed.isfinite().all()


@pytest.mark.parametrize("change", [{"method": "rst_isp_net"}, {"method_version": "0"}])
def test_foreign_parameters_are_refused(change: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=next(iter(change.values()))):
        ReverseISP("unprocess").apply_params(photo(), [{**make(1)[0], **change}])


@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_wrong_number_of_parameters_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"2 images need as many parameter entries; got {count}"):
        ReverseISP("unprocess").apply_params(photo(batch=2), make(count))
