"""The whole way: frames on disk, a camera's noise put to the test, a page and JSON of every number."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rawsynth.cameras.profile import CameraProfile, camera_from_dict
from rawsynth.errors import InputAccessError, OutputError, SampleError, UsageError
from rawsynth.evaluation.noise_report import (
    ProfileNoise,
    SeriesSource,
    noise_report,
    series_sources,
    unique_names,
)
from rawsynth.evaluation.noise_synthesis import frame_levels, median_camera, temporal_mean
from tests.evaluation.noise_shots import BLACK, WHITE, as_stack, ramp, save, shoot

pytest.importorskip("matplotlib", reason="reports are drawn with matplotlib")
LIGHT = ramp(128, 192)


def camera(**changed: Any) -> CameraProfile:
    """The camera that :func:`shoot` simulates, at ISO 400."""
    noise = {"iso": [400.0], "gain_dn_per_electron": [0.5], "read_sigma_dn": [3.0], **changed.pop("noise", {})}
    levels = {"black_level": BLACK, "white_level": WHITE, "bits": 12, **changed}
    return camera_from_dict({"name": "Simulated", "cfa": "RGGB", "levels": levels, "noise": noise}, "test")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save(tmp_path_factory.mktemp("real"), shoot(np.random.default_rng(0), LIGHT, 12, row=1.0)))


def judged(real: str, *, cfa: str | None = "RGGB", model: str = "physics", **changed: Any) -> set[str]:
    noise = ProfileNoise(camera(**changed), 400, model)
    report = noise_report([SeriesSource("shots", real)], noise, cfa=cfa)
    return {score.figure for _, score in report.differing}


@pytest.mark.parametrize("cfa", ["RGGB", "GBRG", None])
def test_the_camera_s_own_noise_passes(real: str, cfa: str | None) -> None:
    assert judged(real, cfa=cfa, noise={"row_sigma_dn": [1.0]}) == set()


def test_missing_row_noise_is_found(real: str) -> None:
    assert "row_share" in judged(real) and "shared_rows" in judged(real, model="poisson_gaussian")


def test_a_gain_error_of_ten_percent_is_found(real: str) -> None:
    assert "variance_overall" in judged(real, noise={"gain_dn_per_electron": [0.55], "row_sigma_dn": [1.0]})


def test_brooks_generic_noise_is_found(real: str) -> None:
    """ln O = 2.18 ln S + 1.20 with the camera's own S: read noise of 0.4 DN where the camera has 3."""
    shot = 0.5 / (WHITE - BLACK)
    read_dn = math.exp(0.5 * (2.18 * math.log(shot) + 1.20)) * (WHITE - BLACK)
    assert "variance_error" in judged(real, model="heteroscedastic_gaussian", noise={"read_sigma_dn": [read_dn]})


def test_the_spread_of_a_profile_is_not_drawn(real: str) -> None:
    spread = {"row_sigma_dn": [1.0], "log_spread": {"read_sigma_dn": 0.8, "gain_dn_per_electron": 0.3}}
    assert judged(real, noise=spread) == set()
    tukey = {"tukey_lambdas": [-0.2, 0.1, 0.0], "tukey_scale_dn": [1.5]}
    noise = median_camera(camera(noise=tukey)).noise_profile()
    assert noise.tukey_lambdas == (0.0,) and noise.log_spread == {}


def test_files(real: str, tmp_path: Path) -> None:
    output = tmp_path / "new/report"
    noise = ProfileNoise(camera(noise={"row_sigma_dn": [1.0]}), 400)
    report = noise_report([SeriesSource("shots", real)], noise, output=str(output), labels={"who": "me"})
    names = {path.name for path in output.iterdir()}
    assert {"index.html", "noise-report.json", "histograms.png", "variance.png", "quantiles.png"} <= names
    for path in output.glob("*.png"):
        with Image.open(path) as image:
            assert image.width >= 900
    content = json.loads((output / "noise-report.json").read_text("ascii"))
    assert content == json.loads(json.dumps(report.to_json()))
    assert content["passed"] is True and content["labels"]["who"] == "me" and content["labels"]["camera"] == "Simulated"
    (group,) = content["groups"]
    assert group["frames"] == 12 and len(group["scores"]) == len(report.groups[0].scores)
    (plane,) = group["planes"]
    wanted = 0.5 * (plane["real"]["mean_dn"] - BLACK) + 9 + 1 + 1 / 12
    assert plane["real"]["sigma_dn"] ** 2 == pytest.approx(wanted, rel=0.02)
    assert report.verdict in (output / "index.html").read_text("utf-8")


def test_the_same_seed_gives_the_same_report(real: str) -> None:
    def scores(seed: int) -> list[Any]:
        made = noise_report([SeriesSource("shots", real)], ProfileNoise(camera(), 400), seed=seed, limit=4)
        return list(made.groups[0].scores)

    assert scores(1) == scores(1) != scores(2)


def test_folders_of_two_series(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for side in ("real", "made"):
        for name, light in (("bright", LIGHT), ("dark", 0 * LIGHT)):
            save(tmp_path / side / name, shoot(rng, light, 6))
    sources = series_sources(str(tmp_path / "real"), str(tmp_path / "made"))
    assert [source.name for source in sources] == ["bright", "dark"]
    report = noise_report(sources)
    assert report.passed and [group.name for group in report.groups] == ["bright", "dark"]
    with pytest.raises(InputAccessError, match="real/dark/bright: no such file or folder"):
        series_sources(str(tmp_path / "real"), str(tmp_path / "real/dark"))
    for name in ("bright", "dark"):
        (tmp_path / "real/dark" / name).mkdir()
    with pytest.raises(UsageError, match="has no frames in bright/"):
        series_sources(str(tmp_path / "real"), str(tmp_path / "real/dark"))


def test_series_of_one_name_are_numbered() -> None:
    names = [source.name for source in unique_names([SeriesSource(name, name) for name in "aaba"])]
    assert names == ["a", "a 2", "b", "a 3"]


def test_frames_of_other_levels_are_refused(real: str) -> None:
    with pytest.raises(UsageError, match=r"64 to 4095 DN, camera 'Simulated' from 64 to 16383"):
        noise_report([SeriesSource("s", real)], ProfileNoise(camera(white_level=16383, bits=14), 400), white_level=4095)


def test_the_frames_own_black_level_counts() -> None:
    stack = as_stack(shoot(np.random.default_rng(2), LIGHT, 4))
    assert frame_levels(stack, camera()).black_level == BLACK
    assert frame_levels(stack, camera(), black_level=60).black_level == 60
    assert temporal_mean(stack) == pytest.approx(stack.dn.mean(axis=0))


@pytest.mark.parametrize(
    ("sources", "noise", "said"),
    [
        ([], None, "one series at least"),
        ([SeriesSource("a", "x"), SeriesSource("a", "y")], None, "a name of its own"),
        (["real"], None, "give a folder of synthetic frames, or a camera"),
        (["real"], {"iso": None}, "state it with --iso"),
        (["real"], {"iso": 800}, "outside the noise profile"),
        (["real"], {"model": "physic"}, "physics"),
    ],
)
def test_wrong_usage(real: str, sources: Any, noise: Any, said: str) -> None:
    tested = None if noise is None else ProfileNoise(**{"camera": camera(), "iso": 400, **noise})
    with pytest.raises(UsageError, match=said):
        noise_report([SeriesSource("s", real) if one == "real" else one for one in sources], tested)


def test_an_output_that_cannot_be_written_is_found_first(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        noise_report([SeriesSource("s", "nowhere")], output=str(tmp_path / "file/report"))
    with pytest.raises(SampleError, match="0 frames"):
        noise_report([SeriesSource("s", str(tmp_path / "no*"), "y")])
