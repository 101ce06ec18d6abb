"""Where AddNoise takes its noise from: cameras, ISO laws, images' own metadata, and policies that say it again."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rawsynth import seeding
from rawsynth.cameras import CameraProfile, NoisePoint, NoiseProfile, builtin_cameras, format_camera
from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import Levels
from rawsynth.transforms import AddNoise

ISOS = (100.0, 400.0, 1600.0)
COLORS = (0.5, 1.0, 1.0, 2.0)


def profile(name: str = "Hand Made", cfa: str = "RGGB", **fields: Any) -> CameraProfile:
    """A camera whose planes differ, so that a plane in the wrong place shows."""
    points = tuple(
        NoisePoint(
            iso,
            gain_dn_per_electron=tuple(iso / 1000 * color for color in COLORS),  # type: ignore[arg-type]
            read_sigma_dn=tuple(math.sqrt(iso) / 5 * color for color in COLORS),  # type: ignore[arg-type]
        )
        for iso in ISOS
    )
    return CameraProfile(name, cfa, Levels(512, 4512, 14), noise=NoiseProfile(points, **fields))


def flat_raw(count: int = 1, cfa: str = "RGGB", **stated: Any) -> RawImage:
    return RawImage.from_packed(torch.full((count, 4, 4, 4), 0.25), cfa, **stated)


def test_a_profile_may_be_given_as_an_object() -> None:
    noisy = AddNoise("heteroscedastic_gaussian", camera=profile(), iso=400, seed=0)(flat_raw(), keys=["a"])
    record = noisy.metadata.noise[0]  # type: ignore[index]
    assert record.shot == pytest.approx([0.4 * color / 4000 for color in COLORS])
    assert record.read == pytest.approx([(4 * color / 4000) ** 2 for color in COLORS])
    assert noisy.metadata.iso is not None and noisy.metadata.iso.tolist() == [400]


@pytest.mark.parametrize(("camera_cfa", "image_cfa"), [("RGGB", "BGGR"), ("GBRG", "RGGB"), ("GRBG", "GRBG")])
def test_planes_follow_the_image_s_layout(camera_cfa: str, image_cfa: str) -> None:
    """What the camera says of its first plane is said of that colour's plane in the image."""
    add_noise = AddNoise("heteroscedastic_gaussian", camera=profile(cfa=camera_cfa), iso=100, seed=0)
    record = add_noise(flat_raw(cfa=image_cfa), keys=["a"]).metadata.noise[0]  # type: ignore[index]
    for color in "RB":
        assert record.shot[image_cfa.index(color)] == pytest.approx(COLORS[camera_cfa.index(color)] * 0.1 / 4000)


def test_the_image_names_its_camera_and_iso() -> None:
    add_noise = AddNoise(camera="image", seed=0)
    raw = RawImage.stack(
        [flat_raw(camera=name, iso=iso)[0] for name, iso in (("Sony ILCE-7SM2", 800.0), ("Nikon D850", 400.0))]
    )
    noisy = add_noise(raw, keys=["a", "b"])
    params = add_noise.make_params(2, keys=["a", "b"], overrides={"camera": ["Sony ILCE-7SM2", "Nikon D850"]})
    assert noisy.metadata.iso is not None and noisy.metadata.iso.tolist() == [800, 400]
    assert [entry["camera"] for entry in params] == ["Sony ILCE-7SM2", "Nikon D850"]


def test_an_iso_that_is_given_beats_the_image_s() -> None:
    noisy = AddNoise(camera="image", iso=1600, seed=0)(flat_raw(camera="Sony ILCE-7SM2", iso=800.0), keys=["a"])
    assert noisy.metadata.iso is not None and noisy.metadata.iso.tolist() == [1600]


def test_an_image_without_a_camera_is_told_what_to_do() -> None:
    with pytest.raises(UsageError, match="from_packed"):
        AddNoise(camera="image", seed=0)(flat_raw(), keys=["a"])


def test_random_draws_among_all_cameras_with_noise() -> None:
    params = AddNoise(camera="random", seed=0).make_params(400, keys=[str(k) for k in range(400)])
    with_noise = {name for name, camera in builtin_cameras().items() if camera.noise is not None} - {"Brooks generic"}
    drawn = {entry["camera"] for entry in params}
    assert drawn <= with_noise and len(drawn) > 0.9 * len(with_noise)
    for entry in params:
        camera = builtin_cameras()[entry["camera"]].noise_profile()
        assert camera.iso_range[0] <= entry["iso"] <= camera.iso_range[1]


def test_random_with_isos_draws_among_those_that_reach_them() -> None:
    params = AddNoise(camera="random", iso=(100, 3200), seed=0).make_params(100, keys=[str(k) for k in range(100)])
    for entry in params:
        low, high = builtin_cameras()[entry["camera"]].noise_profile().iso_range
        assert low <= 100 and high >= 3200
    with pytest.raises(UsageError, match="no built-in camera"):
        AddNoise(camera="random", iso=(1, 10_000_000))


@pytest.mark.parametrize(("law", "mean"), [("uniform", (100 + 1600) / 2), ("log_uniform", 1500 / math.log(16))])
def test_iso_laws_have_their_means(law: str, mean: float) -> None:
    params = AddNoise(camera=profile(), iso_law=law, seed=1).make_params(2000, keys=[str(k) for k in range(2000)])
    isos = np.array([entry["iso"] for entry in params])
    assert abs(isos.mean() - mean) < 4 * isos.std() / math.sqrt(len(isos))


def test_stops_are_the_table_s() -> None:
    keys = [str(k) for k in range(200)]
    drawn = AddNoise(camera=profile(), iso=(200, 1600), iso_law="stops", seed=1).make_params(200, keys=keys)
    assert {entry["iso"] for entry in drawn} == {400.0, 1600.0}


def test_outside_the_table_only_when_asked() -> None:
    with pytest.raises(UsageError, match="--extrapolate"):
        AddNoise(camera=profile(), iso=6400)
    entry = AddNoise(camera=profile(), iso=6400, extrapolate=True, seed=0).make_params(1, keys=["a"])[0]
    assert entry["params"]["shot"][1] == pytest.approx(6.4 / 4000)


def test_figures_spread_about_the_table_from_sample_to_sample() -> None:
    spread = profile(log_spread={"read_sigma_dn": 0.2})
    params = AddNoise(camera=spread, iso=100, seed=0).make_params(300, keys=[str(k) for k in range(300)])
    logs = np.log([entry["params"]["read"][0] for entry in params])
    assert logs.std() == pytest.approx(0.4, rel=0.2)
    assert len({entry["params"]["shot"][0] for entry in params}) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"camera": "Canon EOS 1000D"}, "no noise by ISO.*calibrate"),
        ({"camera": profile(), "iso_law": "gauss"}, "ISO law"),
        ({"iso_law": "stops"}, "for a camera only"),
        ({"extrapolate": True}, "for a camera only"),
        ({"camera": 5}, "a name, a file or a CameraProfile"),
        ({"camera": profile(), "shot": 0.1, "read": 0.1}, "already state"),
        ({"quantization": "uniform", "model": "physics"}, "a camera"),
        ({"quantization": "uniform", "camera": profile()}, "physics"),
        ({"quantization": "round"}, "quantization"),
        ({"dark_frames": "darks/"}, "takes no dark frames"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, UnknownNameError), match=message):
        AddNoise(**arguments)


def test_the_surrogate_of_rounding_adds_a_twelfth_of_a_step_squared() -> None:
    camera = replace(profile(), levels=Levels(0, 100, 8))
    raw = RawImage.from_packed(torch.full((1, 4, 128, 128), 0.5))
    plain = AddNoise("physics", camera=camera, iso=100, seed=0)
    rounded = AddNoise("physics", camera=camera, iso=100, quantization="uniform", seed=0)
    difference = rounded(raw, keys=["a"]).packed - plain(raw, keys=["a"]).packed
    assert float(difference.abs().max()) <= 0.005 * (1 + 1e-5)
    assert float(difference.var()) == pytest.approx(0.01**2 / 12, rel=0.05)


POLICIES: dict[str, dict[str, Any]] = {
    "brooks": {},
    "levels": {"shot": (0.1, 0.2, 0.3, 0.4), "read": np.float64(0.01)},
    "name": {"camera": "Sony ILCE-7SM2", "iso": (800, 3200), "iso_law": "uniform"},
    "object": {"camera": profile(log_spread={"read_sigma_dn": 0.1}), "extrapolate": True, "iso": 3200},
    "random": {"camera": "random"},
}


@pytest.mark.parametrize("model", sorted(set(NOISE_MODELS) - {"dark_frames"}))
@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_draws_the_same_noise_again(model: str, name: str) -> None:
    made = AddNoise(model, **POLICIES[name], seed=5)
    policy = json.loads(json.dumps(made.policy()))
    again = AddNoise.from_policy(policy, seed=5)
    keys = ["a", "b", "c"]
    assert again.make_params(3, keys=keys) == made.make_params(3, keys=keys)


@pytest.mark.parametrize("policy", [{}, {"model": "physics", "colour": 1}])
def test_what_is_no_policy_is_refused(policy: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="noise policy"):
        AddNoise.from_policy(policy)


def test_only_a_corpus_s_noise_can_be_replayed() -> None:
    add_noise = AddNoise(seed=0)
    with pytest.raises(UsageError, match="from_corpus"):
        add_noise.replay(flat_raw(), add_noise.make_params(1, keys=["a"]))


@pytest.mark.parametrize("arguments", [{}, {"camera": profile()}, {"camera": "random"}, {"shot": 0.1, "read": 0.1}])
def test_a_camera_is_an_override_only_where_the_image_names_it(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match='camera="image"'):
        AddNoise(seed=0, **arguments).make_params(1, keys=["a"], overrides={"camera": "Google Pixel"})


def test_random_cameras_reach_an_iso_that_is_an_override() -> None:
    keys = [str(k) for k in range(60)]
    for entry in AddNoise(camera="random", seed=0).make_params(60, keys=keys, overrides={"iso": 25600}):
        assert builtin_cameras()[entry["camera"]].noise_profile().iso_range[1] >= 25600


def test_a_name_in_any_case_and_a_path(tmp_path: Path) -> None:
    assert AddNoise(camera="sony ilce-7sm2", iso=800, seed=0).policy()["camera"]["name"] == "Sony ILCE-7SM2"
    path: Any = tmp_path / "mine.TOML"
    path.write_text(format_camera(profile()))
    assert AddNoise(camera=path, seed=0).policy()["camera"]["name"] == "Hand Made"


def test_isos_as_a_tensor_are_shown_as_numbers() -> None:
    isos: Any = torch.tensor([100.0, 200.0])
    assert "iso=[100.0, 200.0]" in repr(AddNoise(camera=profile(), iso=isos))


def test_an_image_may_state_an_iso_for_each_of_a_batch() -> None:
    raw = RawImage.from_packed(torch.zeros(2, 4, 2, 2), camera="Sony ILCE-7SM2", iso=[800, 1600])
    assert raw.metadata.iso is not None and raw.metadata.iso.tolist() == [800, 1600]
    with pytest.raises(UsageError, match="one an image"):
        RawImage.from_packed(torch.zeros(2, 4, 2, 2), iso=[1, 2, 3])


def test_what_replay_takes_is_said() -> None:
    add_noise = AddNoise(seed=0)
    add_noise.recorded = ("cpu", seeding.RNG_VERSION)
    with pytest.raises(UsageError, match="one entry a sample"):
        add_noise.replay(flat_raw(), ["model"])  # type: ignore[list-item]
