"""AddNoise's contract: where levels come from, what is drawn anew, what replays, and what is refused."""

import copy
import json
import math
import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from skimage import data as photos

from rawsynth import seeding
from rawsynth.cameras import load_camera
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.image import RawImage
from rawsynth.transforms import AddNoise, ReverseISP

KEYS = ["a", "b", "c", "d"]
SONY = "Sony ILCE-7SM2"
PLANES = [0.03125, 0.0625, 0.125, 0.25]  # exact in float32
# The same camera without what its table is uncertain by.
PLAIN = replace(load_camera(SONY), noise=replace(load_camera(SONY).noise_profile(), log_spread={}))
MODELS = pytest.mark.parametrize("model", sorted(n for n, model in NOISE_MODELS.items() if not model.takes_frames))
SOURCES: dict[str, dict[str, Any]] = {
    "brooks": {},
    "explicit": {"shot": 0.01, "read": 1e-4},
    "camera": {"camera": SONY},
    "iso": {"camera": SONY, "iso": 1600},
}


def clean(count: int = 4) -> RawImage:
    """Pieces of a photograph in four layouts."""
    pixels = torch.from_numpy(photos.chelsea()).permute(2, 0, 1)
    srgb = torch.stack([pixels[:, 60 + 20 * k : 90 + 20 * k, 100:142] for k in range(count)])
    return ReverseISP("unprocess", seed=0)(srgb, keys=KEYS[:count], overrides={"cfa": list(BAYER_LAYOUTS)[:count]})


def make(count: int = 4, **arguments: Any) -> list[dict[str, Any]]:
    return AddNoise(seed=0, **arguments).make_params(count, keys=[str(k) for k in range(count)])


def levels(params: Sequence[dict[str, Any]], name: str) -> list[list[float]]:
    return [p["params"][name] for p in params]


def float32(value: object) -> Any:
    return np.asarray(value, np.float32).tolist()


def same(a: RawImage, b: RawImage) -> bool:
    return torch.equal(a.packed, b.packed) and a.metadata.to_json() == b.metadata.to_json()


@pytest.mark.parametrize("source", SOURCES)
@MODELS
def test_parameters_are_complete_and_ready_for_json(model: str, source: str) -> None:
    for params in make(model=model, **SOURCES[source]):
        assert list(params) == ["model", "params", "seed", "rng", "iso", "camera"]
        assert (params["model"], params["rng"]) == (model, seeding.RNG_VERSION)
        assert 0 <= params["seed"] < 2**63
        assert (params["iso"] is None) == ("camera" not in SOURCES[source])
        assert params["camera"] == SOURCES[source].get("camera")
        planes = [value for value in params["params"].values() if isinstance(value, list)]
        assert len(planes) >= 2 and all(len(value) == 4 and value == float32(value) for value in planes)
        assert json.loads(json.dumps(params)) == params


@pytest.mark.parametrize("value", [0.25, PLANES, tuple(PLANES), np.array(PLANES), 0, 1])
def test_explicit_levels_go_to_the_planes(value: Any) -> None:
    params = make(shot=value, read=0.5)
    assert levels(params, "shot") == [np.broadcast_to(value, 4).tolist()] * 4
    assert levels(params, "read") == [[0.5] * 4] * 4


def test_a_camera_gives_its_levels_at_one_iso() -> None:
    for iso in (100, 1600, 1700, 25600):
        noise = PLAIN.sensor_noise(iso)
        shot, read = noise.shot[0], noise.total_read()[0]
        for params in make(camera=PLAIN, iso=iso):
            assert params["iso"] == iso
            assert params["params"] == {"shot": [float32(shot)] * 4, "read": [float32(read)] * 4}


@pytest.mark.parametrize(("iso", "low", "high"), [(None, 50, 25600), ((400, 3200), 400, 3200), ([800, 801], 800, 801)])
def test_isos_are_uniform_in_their_logarithm(iso: Any, low: float, high: float) -> None:
    params = make(2000, camera=PLAIN, iso=iso)
    drawn = np.log([p["iso"] for p in params])
    law = stats.uniform(math.log(low), math.log(high / low))
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-3
    camera = PLAIN
    for entry in params[:50]:
        noise = camera.sensor_noise(entry["iso"])
        shot, read = noise.shot[0], noise.total_read()[0]
        assert [entry["params"]["shot"][0], entry["params"]["read"][3]] == pytest.approx([shot, read], rel=1e-4)


def test_one_iso_as_a_range_is_that_iso() -> None:
    assert [p["iso"] for p in make(camera=SONY, iso=(800, 800))] == [800.0] * 4


@pytest.mark.parametrize(
    ("name", "value"), [("shot", PLANES), ("read", PLANES), ("seed", 12345), ("seed", 2**63 - 1), ("seed", 0)]
)
@pytest.mark.parametrize("source", SOURCES)
def test_an_override_leaves_the_rest_alone(source: str, name: str, value: Any) -> None:
    add_noise = AddNoise(seed=0, **SOURCES[source])
    free = add_noise.make_params(4, keys=KEYS)
    fixed = add_noise.make_params(4, keys=KEYS, overrides={name: value})
    expected = copy.deepcopy(free)
    for entry in expected:
        (entry if name == "seed" else entry["params"])[name] = value
    assert fixed == expected
    assert fixed != free


def test_an_iso_override_moves_the_levels() -> None:
    add_noise = AddNoise(camera=PLAIN, seed=0)
    params = add_noise.make_params(4, keys=KEYS, overrides={"iso": [100, 800, 2000, 25600]})
    expected = [make(1, camera=PLAIN, iso=iso)[0]["params"] for iso in (100, 800, 2000, 25600)]
    assert [p["params"] for p in params] == expected
    assert [p["iso"] for p in params] == [100, 800, 2000, 25600]
    assert [p["seed"] for p in params] == [p["seed"] for p in add_noise.make_params(4, keys=KEYS)]


@pytest.mark.parametrize("as_tensor", [False, True])
def test_overrides_by_sample_win(as_tensor: bool) -> None:
    shot = [[0.5**k, 0.25, 0.125, 0.5] for k in range(4)]
    overrides = {"shot": torch.tensor(shot) if as_tensor else shot, "seed": [4, 3, 2, 1]}
    params = AddNoise(seed=0).make_params(4, keys=KEYS, overrides=overrides)
    assert levels(params, "shot") == shot
    assert [p["seed"] for p in params] == [4, 3, 2, 1]
    assert levels(params, "read") == levels(AddNoise(seed=0).make_params(4, keys=KEYS), "read")


@settings(max_examples=30)
@given(st.lists(st.text(max_size=5), min_size=1, max_size=6), st.integers())
def test_the_key_decides_whatever_the_batch(keys: list[str], seed: int) -> None:
    for source in SOURCES.values():
        add_noise = AddNoise(seed=seed, **source)
        params = add_noise.make_params(len(keys), keys=keys)
        assert params == [add_noise.make_params(1, keys=[key])[0] for key in keys]
        assert params[::-1] == AddNoise(seed=seed, **source).make_params(len(keys), keys=keys[::-1])
        assert len({p["seed"] for p in params}) == len(set(keys))


def test_noise_and_reverse_isp_draw_apart_from_each_other() -> None:
    """Same seed and key, another purpose: the sample seeds differ."""
    assert AddNoise(seed=0).make_params(1, keys=["a"])[0]["seed"] == seeding.sample_seed(0, "a", AddNoise.purpose)
    assert AddNoise.purpose != ReverseISP.purpose


def test_without_a_seed_torch_decides() -> None:
    add_noise, raw = AddNoise("poisson_gaussian"), clean()
    torch.manual_seed(1)
    first = add_noise.make_params(4)
    noisy = add_noise.apply_params(raw, first)
    assert add_noise.make_params(4) != first
    torch.manual_seed(1)
    assert same(add_noise(raw, keys=["any", "keys"]), noisy)
    assert not torch.equal(add_noise(raw).packed, noisy.packed)


def test_with_a_seed_torch_is_left_alone() -> None:
    state = torch.get_rng_state()
    AddNoise(seed=0)(clean(), keys=KEYS)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("source", SOURCES)
@MODELS
def test_replay_from_json_is_bit_equal(model: str, source: str) -> None:
    raw = clean()
    add_noise = AddNoise(model, seed=0, **SOURCES[source])
    params = add_noise.make_params(4, keys=KEYS)
    noisy = add_noise.apply_params(raw, params)
    assert same(AddNoise(model).apply_params(raw, json.loads(json.dumps(params))), noisy)
    assert same(add_noise(raw, keys=KEYS), noisy)


@MODELS
def test_replay_from_the_stored_metadata_is_bit_equal(model: str) -> None:
    """What a corpus keeps of a sample, its noise record, is enough to make the noise again."""
    raw = clean()
    noisy = AddNoise(model, camera=SONY, seed=0)(raw, keys=KEYS)
    stored = json.loads(json.dumps(noisy.metadata.to_json()))
    params = [{**entry["noise"], "iso": entry["iso"]} for entry in stored]
    assert same(AddNoise(model).apply_params(raw, params), noisy)


@MODELS
def test_a_batch_is_its_images(model: str) -> None:
    raw = clean()
    add_noise = AddNoise(model, seed=0)
    together = add_noise(raw, keys=KEYS)
    nested = add_noise(RawImage.stack([raw[:2], raw[2:]]), keys=KEYS)
    backwards = add_noise(raw[[3, 2, 1, 0]], keys=KEYS[::-1])
    for k, key in enumerate(KEYS):
        alone = add_noise(raw[k], keys=[key])
        assert alone.shape == (4, 15, 21)
        assert same(alone, together[k])
        assert same(nested[k // 2][k % 2], together[k])
        assert same(backwards[3 - k], together[k])


@pytest.mark.parametrize("source", SOURCES)
def test_metadata_say_what_was_added(source: str) -> None:
    raw, add_noise = clean(), AddNoise(seed=0, **SOURCES[source])
    params = add_noise.make_params(4, keys=KEYS)
    noisy = add_noise.apply_params(raw, params)
    assert noisy.metadata.shot.tolist() == levels(params, "shot")
    assert noisy.metadata.read.tolist() == levels(params, "read")
    assert (None if noisy.metadata.iso is None else noisy.metadata.iso.tolist()) == (
        [p["iso"] for p in params] if "camera" in SOURCES[source] else None
    )
    for record, entry in zip(noisy.metadata.noise, params, strict=True):
        assert {**record.to_json(), "iso": entry["iso"], "camera": entry["camera"]} == {**entry, **entry["params"]}
    for name in ("cfa", "method", "method_version", "camera", "cam_from_srgb", "white_balance", "rgb_gain"):
        assert [m[name] for m in noisy.metadata.to_json()] == [m[name] for m in raw.metadata.to_json()]


def test_an_iso_of_the_image_is_kept_where_noise_has_none() -> None:
    raw = clean()
    raw = RawImage(raw.packed, replace(raw.metadata, iso=torch.full((4,), 800.0)))
    assert AddNoise(shot=0.01, read=0.0, seed=0)(raw, keys=KEYS).metadata.iso.tolist() == [800.0] * 4


def test_noise_is_added_once() -> None:
    noisy = AddNoise(seed=0)(clean(), keys=KEYS)
    with pytest.raises(UsageError, match="has noise already"):
        AddNoise(seed=1)(noisy, keys=KEYS)


def test_explicit_levels_give_their_variance() -> None:
    """End to end on a flat field: what metadata promise is what is measured."""
    raw = RawImage.from_packed(torch.full((1, 4, 256, 256), 0.4))
    noisy = AddNoise("poisson_gaussian", shot=[0.02, 0.01, 0.005, 0.001], read=[1e-3, 1e-4, 0.0, 1e-2], seed=0)(
        raw, keys=["a"]
    )
    promised = noisy.metadata.shot[0] * 0.4 + noisy.metadata.read[0]
    assert torch.allclose(noisy.packed[0].var(dim=(1, 2)), promised, rtol=4.5 * math.sqrt(2 / 256**2) * 1.1)
    assert torch.allclose(noisy.packed[0].mean(dim=(1, 2)), torch.tensor(0.4), atol=4.5 * 0.11 / 256)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64], ids=str)
def test_other_precisions_come_back_as_float32(dtype: torch.dtype) -> None:
    raw = clean(1).to(dtype)
    noisy = AddNoise(seed=0)(raw, keys=["a"])
    assert noisy.packed.dtype == torch.float32
    assert torch.equal(noisy.packed, AddNoise(seed=0)(raw.to(torch.float32), keys=["a"]).packed)


def test_apply_params_changes_nothing_it_is_given() -> None:
    raw, params = clean(), AddNoise(seed=0).make_params(4, keys=KEYS)
    before = (raw.packed.clone(), raw.metadata.to_json(), copy.deepcopy(params))
    AddNoise().apply_params(raw, params)
    assert torch.equal(raw.packed, before[0])
    assert (raw.metadata.to_json(), params) == before[1:]


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_copies_do_the_same(clone: Callable[[AddNoise], AddNoise]) -> None:
    add_noise = AddNoise(camera=SONY, seed=0)
    assert same(clone(add_noise)(clean(), keys=KEYS), add_noise(clean(), keys=KEYS))


def test_the_repr_shows_what_is_fixed() -> None:
    shown = repr(AddNoise("poisson_gaussian", camera=SONY, iso=800, seed=7))
    assert all(part in shown for part in ("'poisson_gaussian'", SONY, "800", "seed=7"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "poisson"}, "unknown noise model 'poisson'.*heteroscedastic_gaussian, .*poisson_gaussian"),
        ({"camera": "Sony"}, "unknown camera 'Sony'.*Near: Sony .*rawsynth cameras"),
        ({"shot": 0.01}, "give both shot and read, or neither"),
        ({"read": 0.01}, "give both shot and read, or neither"),
        ({"shot": -0.01, "read": 0.0}, "shot is one number >= 0"),
        ({"shot": 0.01, "read": float("nan")}, "read is one number >= 0"),
        ({"shot": [0.01] * 3, "read": 0.0}, "or four in the CFA's reading order"),
        ({"iso": 800}, "an ISO means something for a camera only"),
        ({"iso": 800, "shot": 0.01, "read": 0.0}, "leave camera and iso out"),
        ({"camera": SONY, "shot": 0.01, "read": 0.0}, "leave camera and iso out"),
        ({"camera": SONY, "iso": 40}, "ISO 40 is outside .* 50 to 25600"),
        ({"camera": SONY, "iso": (100, 51200)}, "ISO 51200 is outside .* 50 to 25600"),
        ({"camera": SONY, "iso": (800, 400)}, "low <= high"),
        ({"camera": SONY, "iso": -100}, "one positive number"),
        ({"camera": SONY, "iso": float("nan")}, "one positive number"),
        ({"seed": 1.0}, "seed is an integer or None; got 1.0"),
        ({"camera": "Canon EOS 1000D"}, "no noise by ISO; choose one that has.*or give shot and read"),
        ({"camera": "Canon EOS 1000D", "iso": 100}, "no noise by ISO"),
        ({"camera": SONY, "iso": (100, 200, 400)}, "low, high"),
        ({"camera": SONY, "iso": "800"}, "one positive number"),
        ({"shot": "0.01", "read": "0.0"}, "shot is one number"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AddNoise(**arguments)


@pytest.mark.parametrize("arguments", [{"model": "x"}, {"camera": "x"}])
def test_unknown_names_are_their_own_kind(arguments: dict[str, str]) -> None:
    with pytest.raises(UnknownNameError, match="unknown .* 'x'. (Choose from|Near): "):
        AddNoise(**arguments)


@pytest.mark.parametrize(
    ("arguments", "overrides", "message"),
    [
        ({}, {"gain": 1.0}, "cannot override 'gain'; choose from: camera, cfa, iso, read, seed, shot"),
        ({}, {"shot": [0.01, 0.02]}, "shot is one number >= 0, or four"),
        ({}, {"shot": [[0.01] * 4] * 3}, "one value for all, or 2, one a sample"),
        ({}, {"shot": [-0.01] * 4}, "shot is one number >= 0"),
        ({}, {"read": [[0.01] * 4, [float("inf")] * 4]}, "read is one number >= 0"),
        ({}, {"seed": [1, 2, 3]}, "one a sample"),
        ({"camera": SONY}, {"iso": 40}, "ISO 40 is outside"),
        ({"camera": SONY}, {"iso": [100, 1e6]}, r"ISO 1e\+06 is outside"),
        ({}, {"iso": 800}, "camera"),
        ({"shot": 0.01, "read": 0.0}, {"iso": 800}, "camera"),
        ({}, {"seed": 2**63}, "seed"),
        ({}, {"seed": -1}, "seed"),
        ({}, {"seed": 1.5}, "seed"),
        ({"camera": SONY}, {"iso": "high"}, "iso|ISO"),
    ],
)
def test_wrong_overrides_are_refused(arguments: dict[str, Any], overrides: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AddNoise(seed=0, **arguments).make_params(2, keys=["a", "b"], overrides=overrides)


def test_an_override_takes_what_the_argument_takes() -> None:
    for value in (0.25, [0.25] * 4):
        params = AddNoise(seed=0).make_params(2, keys=["a", "b"], overrides={"shot": value, "read": value})
        assert levels(params, "shot") == levels(params, "read") == [[0.25] * 4] * 2


@pytest.mark.parametrize("keys", [None, ["a"], "abcd"])
def test_a_seed_needs_a_key_a_sample(keys: Any) -> None:
    with pytest.raises(UsageError, match="keys"):
        AddNoise(seed=0)(clean(), keys=keys)


@pytest.mark.parametrize(
    "raw", [torch.zeros(4, 2, 2), RawImage(torch.zeros(4, 2, 2, dtype=torch.int32), clean(1)[0].metadata), None]
)
def test_what_is_no_raw_image_is_refused(raw: Any) -> None:
    for call in (AddNoise(), lambda x: AddNoise().apply_params(x, make(1))):
        with pytest.raises(UsageError, match="RawImage.from_packed"):
            call(raw)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "heteroscedastic_gaussian"}, "for 'heteroscedastic_gaussian'; this AddNoise is 'poisson_gaussian'"),
        ({"rng": "threefry2x32-13/box-muller/0"}, "drawn with generator 'threefry2x32-13/box-muller/0'"),
    ],
)
def test_foreign_parameters_are_refused(change: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        AddNoise("poisson_gaussian").apply_params(clean(1), [{**make(1)[0], **change}])


def test_parameters_by_hand_may_hold_one_number_for_the_planes() -> None:
    shot = [0.0, 0.0625, 0.25, 0.5]
    full = [{**p, "params": {"shot": [s] * 4, "read": [0.0] * 4}} for p, s in zip(make(4), shot, strict=True)]
    short = [{**p, "params": {"shot": s, "read": 0.0}} for p, s in zip(make(4), shot, strict=True)]
    by_hand, spread = (AddNoise().apply_params(clean(), params) for params in (short, full))
    assert torch.equal(by_hand.packed, spread.packed)
    assert torch.equal(by_hand.metadata.shot, spread.metadata.shot)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_wrong_number_of_parameters_is_refused(count: int) -> None:
    with pytest.raises(UsageError, match=f"4 images need as many parameter entries; got {count}"):
        AddNoise().apply_params(clean(), make(count))


@MODELS
def test_an_empty_batch_stays_empty(model: str) -> None:
    empty = clean()[:0]
    assert AddNoise(model, seed=0)(empty, keys=[]).shape == (0, 4, 15, 21)
