"""generate with cameras and noise: what the documents promise, the same bytes however often it was stopped."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from rawsynth import AddNoise, open_corpus, verify
from rawsynth.cameras import CameraProfile, NoisePoint, NoiseProfile, camera_to_dict, format_camera, load_camera
from rawsynth.cameras.choosing import cameras_with
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.levels import Levels
from rawsynth.storage.sealed import read_sealed

Cli = Callable[..., Any]
SONY = "Sony ILCE-7SM2"
QUICK = ("--quiet", "--crop", "16")


def camera(name: str = "Mine", *, color: bool = True) -> CameraProfile:
    points = (NoisePoint(100, (0.5,) * 4, (1.0,) * 4), NoisePoint(3200, (16.0,) * 4, (9.0,) * 4))
    matrices = load_camera(SONY).cam_from_xyz if color else {}
    return CameraProfile(name, "GBRG", Levels(64, 1023, 10), cam_from_xyz=matrices, noise=NoiseProfile(points))


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.toml"
    path.write_text(format_camera(camera()))
    return path


@pytest.fixture
def darks(tmp_path: Path) -> Path:
    """Simulated dark frames at two ISOs."""
    folder, rng = tmp_path / "darks", np.random.default_rng(0)
    for iso in (800, 1600):
        (folder / f"iso{iso}").mkdir(parents=True)
        for index in range(2):
            frame = np.rint(rng.normal(512, iso / 200, (40, 60))).astype(np.uint16)
            np.save(folder / f"iso{iso}/{index}.npy", frame)
    (folder / "frames.json").write_text(json.dumps({"cfa": "RGGB", "white_level": 16383, "black_level": 512}))
    return folder


def metas(corpus: Path) -> Iterator[dict[str, Any]]:
    for sample in open_corpus(str(corpus), shuffle=0):
        yield sample["meta"]


# ---- whose noise ----


def test_the_command_of_the_documents(cli: Cli, photos: Path, tmp_path: Path) -> None:
    done = cli(
        "generate", photos, tmp_path / "c", "--camera", SONY, "--iso", "1600..25600", "--noise", "physics", *QUICK
    )
    assert done.code == 0 and verify(str(tmp_path / "c")).ok
    profile = load_camera(SONY)
    for meta in metas(tmp_path / "c"):
        noise = meta["noisy"]["noise"]
        assert 1600 <= noise["iso"] <= 25600 and (noise["camera"], meta["raw"]["camera"]) == (SONY, SONY)
        assert noise["model"] == "physics" and noise["params"]["tukey_lambda"] is not None
        gain = profile.noise_profile().at(noise["iso"]).gain_dn_per_electron[0]
        assert meta["noisy"]["shot"][0] == pytest.approx(gain / profile.levels.range_dn, rel=1e-6)
        matrix, gains = profile.color(meta["raw"]["cct"])
        assert 2850 <= meta["raw"]["cct"] <= 7500 and np.allclose(matrix, meta["raw"]["cam_from_srgb"], atol=1e-6)
        assert meta["raw"]["white_balance"] == pytest.approx(gains, rel=1e-6)


def test_random_draws_colour_and_noise_of_one_camera(cli: Cli, photos: Path, tmp_path: Path) -> None:
    more = ("--crops", "8", "--cfa", "camera", "--noise", "physics_gaussian")
    assert cli("generate", photos, tmp_path / "c", "--camera", "random", *QUICK, *more).code == 0
    both, drawn = cameras_with(color=True, noise=True), set()
    for meta in metas(tmp_path / "c"):
        chosen = both[meta["raw"]["camera"]]
        assert meta["noisy"]["noise"]["camera"] == chosen.name and meta["raw"]["cfa"] == chosen.cfa
        assert np.allclose(chosen.color(meta["raw"]["cct"])[0], meta["raw"]["cam_from_srgb"], atol=1e-6)
        low, high = chosen.noise_profile().iso_range
        assert low <= meta["noisy"]["noise"]["iso"] <= high
        drawn.add(chosen.name)
    assert len(drawn) > 10


@pytest.mark.parametrize("place", ["toml", "json", "url"])
def test_a_camera_of_one_s_own(
    cli: Cli, photos: Path, tmp_path: Path, mine: Path, memory: fsspec.AbstractFileSystem, place: str
) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(camera_to_dict(camera())))
    memory.pipe_file("/mine.toml", mine.read_bytes())
    given = {"toml": mine, "json": tmp_path / "mine.json", "url": "memory://mine.toml"}[place]
    more = ("--iso", "100..3200", "--cct", "5000", "--cfa", "camera")
    assert cli("generate", photos, tmp_path / "c", "--camera", given, *QUICK, *more).code == 0
    for meta in metas(tmp_path / "c"):
        assert (meta["raw"]["camera"], meta["raw"]["cfa"], meta["raw"]["cct"]) == ("Mine", "GBRG", 5000)
        assert meta["noisy"]["shot"][0] == pytest.approx(meta["noisy"]["noise"]["iso"] / 200 / 959, rel=1e-6)


def test_noise_of_another_camera(cli: Cli, photos: Path, tmp_path: Path) -> None:
    """A calibrated camera may have no colour: its noise alone goes on any RAW."""
    (tmp_path / "mine.toml").write_text(format_camera(camera(color=False)))
    more = ("--noise-camera", tmp_path / "mine.toml", "--iso", "3200")
    assert cli("generate", photos, tmp_path / "c", "--camera", SONY, *QUICK, *more).code == 0
    for meta in metas(tmp_path / "c"):
        assert (meta["raw"]["camera"], meta["noisy"]["noise"]["camera"]) == (SONY, "Mine")
        assert meta["noisy"]["shot"] == pytest.approx([16 / 959] * 4, rel=1e-6)


def test_stops_and_extrapolation(cli: Cli, photos: Path, tmp_path: Path, mine: Path) -> None:
    assert cli("generate", photos, tmp_path / "s", "--camera", mine, "--iso-law", "stops", *QUICK).code == 0
    assert {meta["noisy"]["noise"]["iso"] for meta in metas(tmp_path / "s")} <= {100, 3200}
    more = ("--camera", mine, "--iso", "6400", "--extrapolate")
    assert cli("generate", photos, tmp_path / "e", *more, *QUICK).code == 0
    assert all(meta["noisy"]["shot"][0] == pytest.approx(32 / 959, rel=1e-6) for meta in metas(tmp_path / "e"))


@pytest.mark.parametrize("noise", sorted(NOISE_MODELS))
def test_every_model_replays_what_it_stored(cli: Cli, photos: Path, tmp_path: Path, darks: Path, noise: str) -> None:
    frames = ("--dark-frames", darks) if NOISE_MODELS[noise].takes_frames else ()
    more = ("--camera", SONY, "--iso", "800", "--noise", noise, "--realizations", "2", *frames)
    assert cli("generate", photos, tmp_path / "pairs", *QUICK, *more).code == 0
    assert cli("generate", photos, tmp_path / "clean", *QUICK, *more, "--clean-only").code == 0
    add_noise = AddNoise.from_corpus(str(tmp_path / "clean"))
    pairs: dict[str, list[torch.Tensor]] = {}
    for pair in open_corpus(str(tmp_path / "pairs"), shuffle=0):
        pairs.setdefault(pair["meta"]["key"], []).append(pair["noisy"])
    for sample in open_corpus(str(tmp_path / "clean"), shuffle=0):
        for entry, stored in zip(sample["meta"]["noise_draws"], pairs[sample["meta"]["key"]], strict=True):
            replayed = add_noise.replay(sample["raw"], [entry]).packed
            # One half of a DN of 14 bits, but where the stored image is clipped.
            unclipped = (stored > -512 / 15871) & (stored < 1)
            assert float((replayed - stored)[unclipped].abs().max()) <= 0.501 / 15871


# ---- stopped and resumed ----


@pytest.mark.parametrize("clean_only", [(), ("--clean-only",)], ids=["pairs", "clean only"])
def test_stopped_and_resumed_is_the_same(
    cli: Cli,
    photos: Path,
    tmp_path: Path,
    hash_tars: Callable[..., dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    clean_only: tuple[str, ...],
) -> None:
    from rawsynth.transforms import ReverseISP

    options = ("--camera", "random", "--noise", "physics", "--images-per-shard", "2", "--seed", "3")
    argv = ("generate", photos, tmp_path / "stopped", *options, *clean_only, *QUICK)
    calls, apply = iter("nnx"), ReverseISP.apply_params

    def until_interrupted(self: ReverseISP, *args: Any, **kwargs: Any) -> Any:
        if next(calls, "n") == "x":
            raise KeyboardInterrupt
        return apply(self, *args, **kwargs)

    monkeypatch.setattr(ReverseISP, "apply_params", until_interrupted)
    stopped = cli(*argv)
    assert stopped.code == 130 and "the same command goes on" in stopped.err
    monkeypatch.undo()
    assert 0 < len(list((tmp_path / "stopped/records").glob("*.json"))) < 3
    assert cli(*argv).code == 0
    assert cli("generate", photos, tmp_path / "whole", *options, *clean_only, *QUICK).code == 0
    assert hash_tars(tmp_path / "stopped") == hash_tars(tmp_path / "whole") != {}


def test_a_camera_file_that_changed_is_another_configuration(
    cli: Cli, photos: Path, tmp_path: Path, mine: Path
) -> None:
    argv = ("generate", photos, tmp_path / "c", "--camera", mine, *QUICK)
    assert cli(*argv).code == 0
    moved = mine.rename(tmp_path / "elsewhere.toml")
    assert cli("generate", photos, tmp_path / "c", "--camera", moved, *QUICK).code == 0
    mine.write_text(format_camera(camera("Other")))
    done = cli(*argv)
    assert done.code == 2 and "camera" in done.err and "--overwrite" in done.err


# ---- dry run and clean only ----


def test_a_dry_run_names_the_noise(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for more, shown in ((("--camera", SONY, "--iso", "800", "--noise", "physics"), SONY), ((), "poisson_gaussian")):
        done = cli("generate", photos, tmp_path / "c", "--dry-run", *more)
        assert done.code == 0 and shown in done.out and not (tmp_path / "c").exists()


def test_clean_only_stores_the_policy_and_no_noisy_images(cli: Cli, photos: Path, tmp_path: Path, mine: Path) -> None:
    more = ("--clean-only", "--camera", mine, "--iso", "100..3200", "--noise", "physics")
    assert cli("generate", photos, tmp_path / "c", *QUICK, *more).code == 0
    policy = read_sealed(str(tmp_path / "c/dataset.json"))["noise_policy"]
    assert policy["add_noise"]["camera"]["name"] == "Mine" and policy["add_noise"]["iso"] == [100, 3200]
    assert (policy["device"], policy["levels"]["white_level"]) == ("cpu", 16383)
    mine.unlink()
    add_noise = AddNoise.from_corpus(str(tmp_path / "c"))
    for sample in open_corpus(str(tmp_path / "c"), shuffle=0):
        assert set(sample) == {"raw", "meta"} and sample["meta"]["noisy"] == []
        assert 100 <= float(add_noise(sample["raw"]).metadata.iso) <= 3200


# ---- refused, and nothing is done ----

WRONG: list[tuple[str, list[str], str]] = [
    ("no such camera", ["--camera", "Nikon D8500"], "did you mean 'Nikon D85"),
    ("no camera of images", ["--camera", "image"], "unknown camera 'image'"),
    ("camera without colour", ["--camera", "{root}/plain.toml"], "no colour matrix"),
    ("camera without noise", ["--camera", "Canon EOS R5", "--iso", "800"], "no noise by ISO.*calibrate"),
    ("noise camera without noise", ["--noise-camera", "Canon EOS R5"], "no noise by ISO"),
    ("ISO outside", ["--camera", SONY, "--iso", "800..51200"], "ISO 51200 is outside .*50 to 25600.*--extrapolate"),
    ("ISO backwards", ["--camera", SONY, "--iso", "800..400"], "low <= high"),
    ("ISO of no number", ["--camera", SONY, "--iso", "auto"], "noise.iso"),
    ("half a range", ["--camera", SONY, "--iso", "800.."], "noise.iso"),
    ("three ISOs", ["--camera", SONY, "--iso", "100,200,400"], "noise.iso"),
    ("ISO and levels", ["--camera", SONY, "--iso", "800", "--shot", "0.1", "--read", "0.1"], "already state"),
    ("temperature too low", ["--camera", SONY, "--cct", "1000"], "2000 to 12000 K"),
    ("temperatures backwards", ["--camera", SONY, "--cct", "7000..3000"], "low <= high"),
    ("temperature without camera", ["--cct", "5000"], "camera"),
    ("no dark frames", ["--noise", "dark_frames"], "--dark-frames"),
    ("dark frames for another model", ["--noise", "physics", "--dark-frames", "{root}"], "takes no dark frames"),
    ("dark frames of nothing", ["--noise", "dark_frames", "--dark-frames", "{root}/none"], "none"),
    ("broken camera file", ["--camera", "{root}/broken.toml"], "broken.toml"),
    ("camera file out of reach", ["--camera", "memory://none.json"], "memory://none.json"),
]


@pytest.mark.parametrize(("argv", "message"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_usage(cli: Cli, photos: Path, tmp_path: Path, argv: list[str], message: str) -> None:
    (tmp_path / "plain.toml").write_text(format_camera(camera(color=False)))
    (tmp_path / "broken.toml").write_text("name = ")
    done = cli("generate", photos, tmp_path / "c", *(arg.format(root=tmp_path) for arg in argv), *QUICK)
    assert done.code == 2 and not (tmp_path / "c").exists()
    assert done.err.startswith("rawsynth generate: ") and len(done.err.splitlines()) == 1
    assert re.search(message, done.err), done.err
