"""Damaged settings, cameras and lists: taken, or refused by one error that names the file."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rawsynth.cameras import builtin_cameras, camera_to_dict, format_camera, load_camera
from rawsynth.cameras.importers.darktable import import_darktable
from rawsynth.errors import RawsynthError, UsageError
from rawsynth.pipeline.config import ReadConfig, build_config, load_toml
from rawsynth.pipeline.inputs import list_input
from rawsynth.pipeline.shards import plan_shards
from rawsynth.pipeline.synthesize import make_transforms
from rawsynth.training.config import packaged_configs
from rawsynth.training.scene_config import load_config
from tests.faults.documents import mutate_json, mutate_toml
from tests.faults.effort import cases, time_limit
from tests.faults.mutation import mutate

SECONDS = 10.0
CAMERAS = ("Sony ILCE-7SM2", "Nikon D850", "Google Pixel", "Sony IMX686")

SETTINGS = """\
input = "photos"
output = "corpus"
[read]
keep = ["txt", "json"]
limit = 10
splits = { train = 0.9, val = 0.1 }
[image]
max_pixels = 1000000
max_clipped = 0.5
downscale = 1.5
crop = [64, 64]
crops = 2
[method]
method = "unprocess"
camera = "Sony ILCE-7SM2"
cct = [2850, 7500]
cfa = "RGGB"
rgb_gain = 1.25
[noise]
noise = "poisson_gaussian"
iso = [1600, 25600]
iso_law = "stops"
realizations = 2
[write]
black_level = 512
white_level = 16383
bits = 14
part_size = "500MB"
[compute]
device = "cpu"
compile = "off"
batch_pixels = 100000
[run]
threads = 2
"""


def answer(path: Path, content: bytes, read: Callable[[str], Any]) -> str:
    """Read a file that holds this; returns what was wrong with it, on one line that is not too long."""
    path.write_bytes(content)
    with time_limit(SECONDS), warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read(str(path))
        except RawsynthError as error:
            said = str(error)
            assert said and len(said) < 20_000
            return said
    return ""


def use_settings(url: str) -> None:
    make_transforms(build_config(load_toml(url)))


def use_camera(url: str) -> None:
    """Read a camera and everything that it offers."""
    camera = load_camera(url)
    if camera.noise is not None:
        for iso in camera.noise.iso_range:
            camera.sensor_noise(iso)
    if camera.cam_from_xyz:
        camera.color(5000)


@pytest.mark.soak
def test_damaged_settings(tmp_path: Path) -> None:
    use_settings_of = tmp_path / "right.toml"
    use_settings_of.write_text(SETTINGS)
    use_settings(str(use_settings_of))
    refused = 0
    for _, rng in cases("settings", 0.05):
        refused += bool(answer(tmp_path / "c.toml", mutate_toml(SETTINGS, rng), use_settings))
    assert refused


@pytest.mark.soak
def test_damaged_settings_of_a_training(tmp_path: Path) -> None:
    refused = 0
    for _, rng in cases("training", 0.03):
        text = packaged_configs()[rng.choice(sorted(packaged_configs()))]
        refused += bool(answer(tmp_path / "c.toml", mutate_toml(text, rng), load_config))
    assert refused


@pytest.mark.soak
@pytest.mark.parametrize("suffix", [".toml", ".json"])
def test_damaged_cameras(tmp_path: Path, suffix: str) -> None:
    refused = 0
    for case, rng in cases(f"camera{suffix}", 0.03):
        camera = builtin_cameras()[rng.choice(CAMERAS)]
        if suffix == ".toml":
            content = mutate_toml(format_camera(camera), rng)
        else:
            content = json.dumps(mutate_json(camera_to_dict(camera), rng)).encode()
            content = mutate(content, rng) if rng.random() < 0.2 else content
        said = answer(tmp_path / f"c{suffix}", content, use_camera)
        refused += bool(said)
    assert refused


@pytest.mark.soak
def test_damaged_lists(tmp_path: Path) -> None:
    """A line may name anything; it is a file that is not there, and never a crash."""
    right = b"a.jpg\n# photographs\nsub/b.png\n/abs/c.tif\ns.tar\n../up.jpg\n\xc3\xa9.webp\n" * 3
    config = ReadConfig(keep=("txt",))
    for _, rng in cases("list", 0.02):
        content = mutate(right, rng, b"x://y.png\n~root/z.jpg\n\0.jpg\n" + rng.randbytes(20))
        answer(tmp_path / "l.txt", content, lambda url: plan_shards(list_input(url, config), config))


# What was found by mutation.

ENDLESS = {"lists": "[" * 100_000, "tables": '{"a":' * 100_000, "digits": "1" * 5000, "inline tables": "{a=" * 3000}


@pytest.mark.parametrize("kind", ENDLESS)
def test_text_that_nests_without_end_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    readers: list[tuple[str, str, Callable[[str], Any]]] = [
        ("c.json", "", load_camera),
        ("c.toml", "a = ", load_camera),
        ("s.toml", "a = ", load_toml),
        ("t.toml", "a = ", load_config),
    ]
    for name, before, read in readers:
        assert name in answer(tmp_path / name, (before + ENDLESS[kind]).encode(), read)


def test_a_number_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    data = camera_to_dict(builtin_cameras()["Sony ILCE-7SM2"])
    data["noise"]["iso"][0] = 10**400
    (tmp_path / "c.json").write_text(json.dumps(data))
    with pytest.raises(UsageError, match=r"c.json: an entry of noise.iso is a number; got one of 401 digits"):
        load_camera(str(tmp_path / "c.json"))


def test_a_colour_beyond_all_floats_is_refused(tmp_path: Path) -> None:
    data = camera_to_dict(builtin_cameras()["Sony ILCE-7SM2"])
    data["cam_from_xyz"]["D65"][0][0] = 10**400
    said = answer(tmp_path / "c.json", json.dumps(data).encode(), load_camera)
    assert "c.json: missing or wrong field int too large" in said


NO_TABLES = ("[" * 100_000, '{"noiseprofiles": [{"maker": "A", "models": [{"model": 5, "profiles": 7}]}]}')
NO_SETTINGS = ("[[1, 2]]", '[{"iso": 1%s, "a": [1, 1, 1], "b": [1, 1, 1]}]' % ("0" * 400), "[5]")


@pytest.mark.parametrize("table", NO_TABLES)
def test_what_is_no_table_of_darktable_is_refused(tmp_path: Path, table: str) -> None:
    assert "t.json" in answer(tmp_path / "t.json", table.encode(), lambda url: import_darktable(url, "A B"))


@pytest.mark.parametrize("settings", NO_SETTINGS)
def test_what_is_no_setting_of_darktable_is_refused(tmp_path: Path, settings: str) -> None:
    text = '{"noiseprofiles": [{"maker": "A", "models": [{"model": "B", "profiles": %s}]}]}' % settings
    said = answer(tmp_path / "t.json", text.encode(), lambda url: import_darktable(url, "A B"))
    assert "a setting needs iso" in said


def test_a_zero_byte_in_a_list_is_refused(tmp_path: Path) -> None:
    said = answer(tmp_path / "l.txt", b"a.jpg\nb\0.jpg\n", lambda url: list_input(url, ReadConfig()))
    assert "l.txt holds a zero byte, on line 2" in said


def test_the_same_seed_is_the_same_damage() -> None:
    first, again, other = (mutate_toml(SETTINGS, Random(seed)) for seed in ("1", "1", "2"))
    assert first == again != other
