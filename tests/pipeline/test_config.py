"""config: one way to write each choice, checked when it is made, and a digest of all that decides bytes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from rawsynth.errors import UsageError
from rawsynth.methods.rst_isp_net_small import Style
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from rawsynth.methods.weights import weights_digest
from rawsynth.pipeline.config import SECTIONS, GenerateConfig, build_config, load_toml

BASE = {"input": "photos", "output": "corpus"}


def config(**values: Any) -> GenerateConfig:
    return build_config({**BASE, **values})


def to_toml(values: dict[str, Any]) -> str:
    """Write nested values as TOML: what JSON says of strings, numbers and lists holds there too."""

    def one(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{json.dumps(k)} = {one(v)}" for k, v in value.items()) + "}"
        return json.dumps(value)

    plain = [f"{k} = {one(v)}" for k, v in values.items() if not isinstance(v, dict)]
    tables = [
        "\n".join([f"[{name}]", *(f"{k} = {one(v)}" for k, v in table.items())])
        for name, table in values.items()
        if isinstance(table, dict)
    ]
    return "\n".join([*plain, *tables]) + "\n"


# ---- round trips ----


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_json_round_trip(config_values: st.SearchStrategy[dict[str, Any]], data: st.DataObject) -> None:
    """What ``dataset.json`` keeps builds the same configuration again; ``run`` is not kept."""
    made = build_config(data.draw(config_values))
    kept = json.loads(made.model_dump_json(exclude={"input", "output", "run"}))
    again = build_config({**kept, "input": made.input, "output": made.output})
    assert again == made.model_copy(update={"run": again.run})
    assert again.digest() == made.digest()


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_toml_round_trip(
    config_values: st.SearchStrategy[dict[str, Any]], data: st.DataObject, tmp_path: Path
) -> None:
    values = data.draw(config_values)
    (tmp_path / "corpus.toml").write_text(to_toml(values))
    assert build_config(load_toml(str(tmp_path / "corpus.toml"))) == build_config(values)


# ---- how values are written ----

SPELLINGS: list[tuple[str, str, Any, Any]] = [
    ("image", "crop", "512", (512, 512)),
    ("image", "crop", "384x512", (384, 512)),
    ("image", "crop", "384X512", (384, 512)),
    ("image", "crop", 64, (64, 64)),
    ("image", "crop", [2, 4], (2, 4)),
    ("noise", "iso", "1600", 1600.0),
    ("noise", "iso", "1600..25600", (1600.0, 25600.0)),
    ("noise", "iso", 800, 800.0),
    ("noise", "shot", "0.01", 0.01),
    ("noise", "shot", "1e-3,2e-3,3e-3,4e-3", (1e-3, 2e-3, 3e-3, 4e-3)),
    ("method", "white_balance", "2.1,1.7", (2.1, 1.7)),
    ("method", "cam_from_srgb", "[[1,0,0],[0,1,0],[0,0,1]]", ((1, 0, 0), (0, 1, 0), (0, 0, 1))),
    ("write", "part_size", "500MB", 500_000_000),
    ("write", "part_size", "1.5 gb", 1_500_000_000),
    ("write", "part_size", "2G", 2_000_000_000),
    ("write", "part_size", "100k", 100_000),
    ("write", "part_size", "4096", 4096),
    ("write", "part_size", "4096B", 4096),
    ("read", "keep", "txt, .JSON,cls", ("txt", "json", "cls")),
    ("read", "keep", "", ()),
    ("read", "splits", "train=0.9, val=0.1", {"train": 0.9, "val": 0.1}),
]


@pytest.mark.parametrize(("section", "name", "text", "value"), SPELLINGS)
def test_spellings(section: str, name: str, text: Any, value: Any) -> None:
    assert getattr(getattr(config(**{section: {name: text}}), section), name) == value


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"image": {"crop": "511"}}, "crop sides must be even"),
    ({"image": {"crop": "0"}}, "crop sides must be even"),
    ({"image": {"crop": "512x"}}, "image.crop"),
    ({"image": {"crop": "1x2x3"}}, "image.crop"),
    ({"image": {"crops": 4}}, "crops needs a crop size"),
    ({"image": {"downscale": 0.5}}, "image.downscale.*greater than or equal to 1.*0.5"),
    ({"image": {"max_clipped": 1.5}}, "image.max_clipped"),
    ({"image": {"min_side": 1}}, "image.min_side"),
    ({"read": {"splits": "train=0.9"}}, "read.splits.*sum to 1"),
    ({"read": {"splits": "train=1.5,val=-0.5"}}, "read.splits.*positive"),
    ({"read": {"splits": "train"}}, "read.splits"),
    ({"read": {"splits": {"a/b": 1.0}}}, "letters and digits"),
    ({"read": {"limit": 0}}, "read.limit"),
    ({"read": {"limt": 3}}, "read.limt: no such option"),
    ({"noise": {"shot": "0.1,0.2"}}, "noise.shot"),
    ({"noise": {"iso": "many"}}, "noise.iso"),
    ({"noise": {"realizations": 0}}, "noise.realizations"),
    ({"method": {"cam_from_srgb": "[[1"}}, "method.cam_from_srgb"),
    ({"method": {"white_balance": "2.1"}}, "method.white_balance"),
    ({"write": {"black_level": 16383}}, "black < white"),
    ({"write": {"white_level": 20000}}, "white <= 16383 at 14 bits"),
    ({"write": {"bits": 17}}, "write.bits"),
    ({"write": {"part_size": "big"}}, "write.part_size: want bytes, such as 500MB.*got 'big'"),
    ({"image": {"crop": "100x"}}, "image.crop: want pixels: 512, or height x width, 384x512 .got '100x'"),
    ({"noise": {"iso": "lots"}}, "noise.iso: want a number, a list .* or a range such as 1600..25600 .got 'lots'"),
    ({"noise": {"shot": "[1,"}}, "noise.shot.*: want a number, a list"),
    ({"read": {"splits": "train"}}, "read.splits: want names and shares, such as train=0.9,val=0.1"),
    ({"output": ""}, "output: .*at least 1 character"),
    ({"write": {"part_size": 0}}, "write.part_size"),
    ({"compute": {"dtype": "int8"}}, "compute.dtype.*float32"),
    ({"run": {"threads": 0}}, "run.threads"),
    ({"run": {"workers": 0}}, "run.workers.*from 1, or 'auto' .got 0."),
    ({"run": {"workers": "many"}}, "run.workers.*got 'many'"),
    ({"run": {"engine": "spark"}}, "run.engine.*'local' or 'ray'"),
    ({"seed": "nine"}, "seed.*'nine'"),
    ({"colour": {}}, "colour: no such option$"),
    ({"imge": {}}, "imge: no such option; did you mean image\\?"),
    ({"image": {"crps": 4}}, "image.crps: no such option; did you mean crops\\?"),
    ({"read": 3}, "read"),
]


@pytest.mark.parametrize(("values", "message"), WRONG, ids=[repr(values) for values, _ in WRONG])
def test_a_wrong_value_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config(**values)


def test_all_wrong_values_are_named_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        build_config({"output": "x", "image": {"downscale": 0}, "noise": {"realizations": 0}})
    assert all(name in str(caught.value) for name in ("input", "image.downscale", "noise.realizations"))


@pytest.mark.parametrize("text", ["input = ", "a = 1\na = 2", "\x00", "[read\n"])
def test_a_file_that_is_no_toml_names_itself(tmp_path: Path, text: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(UsageError, match=r"c\.toml"):
        load_toml(str(tmp_path / "c.toml"))


@pytest.mark.parametrize("path", ["gone.toml", "folder", "latin1.toml"])
def test_a_file_that_cannot_be_read_names_itself(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "latin1.toml").write_bytes(b'input = "caf\xe9"')
    with pytest.raises(UsageError, match=path):
        load_toml(str(tmp_path / path))


def test_a_configuration_is_frozen() -> None:
    made = config()
    with pytest.raises(ValidationError):
        made.seed = 3
    with pytest.raises(ValidationError):
        made.read.limit = 3


# ---- the digest ----

CHANGES: dict[str, dict[str, Any]] = {
    "read": {"keep": ["txt"], "image_column": "photo", "limit": 5, "images_per_shard": 7, "splits": {"train": 1.0}},
    "image": {
        "max_pixels": 10**6, "min_side": 32, "max_clipped": 0.5, "downscale": 2.0, "crop": [64, 64], "crops": 2,
    },
    "method": {
        "method": "other", "weights": "w", "style": "a.safetensors", "camera": "c", "cct": 5000, "cfa": "GBRG",
        "cam_from_srgb": [[1, 0, 0]] * 3, "white_balance": [2, 2], "rgb_gain": 1.25,
    },
    "noise": {
        "noise": "other", "noise_camera": "d", "iso": 800, "iso_law": "stops", "extrapolate": True, "shot": 0.01,
        "read": 0.01, "dark_frames": "darks", "realizations": 2,
    },
    "write": {
        "black_level": 0, "white_level": 16000, "bits": 15, "part_size": 10**6, "srgb": True, "linear": True,
        "clean_only": True,
    },
    "compute": {"device": "cpu", "dtype": "bfloat16", "compile": "on", "batch_pixels": 10**6},
    "run": {
        "threads": 3, "max_errors": 5, "retry_errors": True, "extend": True, "overwrite": True, "dry_run": True,
        "quiet": True, "json_log": True, "engine": "ray", "workers": 4, "gpus_per_worker": 0.5, "stall_timeout": 60.0,
        "plan_only": True, "summary": "summary.json", "license": "cc0-1.0",
    },
}  # fmt: skip


def test_the_table_of_changes_names_every_field() -> None:
    assert {name: set(model.model_fields) for name, model in SECTIONS.items()} == {
        name: set(fields) for name, fields in CHANGES.items()
    }


@pytest.fixture
def darks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder ``darks`` of one simulated dark frame, where the test runs."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "darks"
    folder.mkdir()
    np.save(folder / "a.npy", np.random.default_rng(0).normal(64, 2, (16, 16)).round().astype(np.uint16))
    (folder / "frames.json").write_text('{"cfa": "RGGB", "black_level": 64, "white_level": 1023}')
    return folder


def test_dark_frames_decide_by_what_they_hold(darks: Path) -> None:
    made = config(noise={"dark_frames": "darks"})
    first = made.digest()
    assert config(noise={"dark_frames": str(darks)}).digest() == first
    np.save(darks / "b.npy", np.load(darks / "a.npy"))
    assert made.digest() != first


@pytest.fixture
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A style file ``a.safetensors`` where the test runs."""
    monkeypatch.chdir(tmp_path)
    return write_style(tmp_path / "a.safetensors", 0.0)


def write_style(path: Path, exposure: float) -> Path:
    style = Style(torch.zeros(1, 8), torch.full((1, 9), exposure))
    save_style(str(path), FittedStyle(style, "fixed", "0" * 64, StyleCard()))
    return path


def test_styles_decide_by_what_they_hold(style: Path) -> None:
    made = config(method={"style": "a.safetensors"})
    first = made.digest()
    assert config(method={"style": str(style)}).digest() == first != config().digest()
    write_style(style, 0.5)
    assert made.digest() != first


def test_weights_that_come_with_the_package_decide_unnamed() -> None:
    """Another release may bring others: the corpus is of those that it was started with."""
    digest = weights_digest("rst_isp_net_small")
    assert config().byte_fields()["method"]["weights"] == f"sha256:{digest}"
    assert config(method={"weights": "rst_isp_net_small"}).digest() == config().digest()
    assert config(method={"method": "unprocess"}).byte_fields()["method"]["weights"] is None


@pytest.mark.usefixtures("darks", "style")
def test_every_choice_that_decides_bytes_changes_the_digest() -> None:
    made = {"": config(), "seed": config(seed=1)}
    for section, fields in CHANGES.items():
        for name, value in fields.items():
            values = {"crop": [64, 64], name: value} if name == "crops" else {name: value}
            made[f"{section}.{name}"] = config(**{section: values})
    base = made.pop("").digest()
    digests = {name: one.digest() for name, one in made.items()}
    assert {name for name, digest in digests.items() if digest == base} == {f"run.{name}" for name in CHANGES["run"]}
    deciding = [digest for name, digest in digests.items() if not name.startswith("run.")]
    assert len(set(deciding)) == len(deciding)


def test_places_are_not_in_the_digest() -> None:
    assert config().digest() == config(input="elsewhere", output="there").digest()


def test_equal_choices_have_one_digest_however_they_are_written() -> None:
    spelled = config(image={"crop": "64"}, noise={"iso": "800"}, read={"keep": ".TXT"}, write={"part_size": "1GB"})
    plain = config(image={"crop": (64, 64)}, noise={"iso": 800.0}, read={"keep": ["txt"]})
    assert spelled.digest() == plain.digest()
