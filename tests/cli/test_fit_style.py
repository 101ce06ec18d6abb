"""fit-style, the verb: pairs in, a style file and a table out, and what is wrong is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data

from rawsynth.methods.style_file import load_style
from rawsynth.pairs import pair_members
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.raw.quantize import quantize
from rawsynth.storage import TarFile, tar_entries
from rawsynth.transforms import ReverseISP
from tests.small_network import save_small_network, state

Cli = Callable[..., Any]
MATRIX = [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]]
COLOR: dict[str, Any] = {"cam_from_srgb": MATRIX, "white_balance": [2.0, 1.75], "camera": "Mine"}
PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "rocket")


def write_pairs(path: Path, count: int = 3, *, shifted: int | None = None, **changes: Any) -> Path:
    """A tar of pairs of several scenes, whose RAW is that of a power law."""
    archive = TarFile(str(path))
    for index in range(count):
        srgb = np.ascontiguousarray(getattr(data, PHOTOGRAPHS[index])()[60:188, 120:248].transpose(2, 0, 1))
        camera = np.einsum("ij,jhw->ihw", np.array(MATRIX) / [[2.0], [1.0], [1.75]], 0.6 * (srgb / 255) ** 1.6)
        raw = torch.from_numpy(np.stack([camera[c, k // 2 :: 2, k % 2 :: 2] for k, c in enumerate((0, 1, 1, 2))]))
        if index == shifted:
            srgb = np.roll(srgb, 4, axis=1)
        meta = {"key": f"p{index}", "scene": f"s{index}", **COLOR, **changes}
        meta = {name: value for name, value in meta.items() if value is not None}
        if callable(meta.get("camera")):
            meta["camera"] = meta["camera"](index)
        members = pair_members(srgb, quantize(raw.float(), CLEAN_LEVELS).numpy(), CLEAN_LEVELS, meta)
        archive.write(tar_entries(f"p{index}", members))
    archive.commit()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("fit-style")
    write_pairs(made / "pairs.tar")
    # Random corrections of neighbourhoods, which no style mends, would hide what a style does.
    quiet = {name: 0.05 * tensor for name, tensor in state().items() if name.startswith("locally.head")}
    save_small_network(made, tensors={**state(), **quiet})
    return made


@pytest.fixture(scope="module")
def weights(folder: Path) -> str:
    return str(folder / "small.safetensors")


@pytest.fixture
def fit(cli: Cli, weights: str) -> Cli:
    """``fit(PAIRS, OUTPUT, ...)`` with the small network, in few steps."""
    return lambda *args: cli("fit-style", *args, "--weights", weights, "--steps", "4")


def test_a_style_file_and_a_table(cli: Cli, folder: Path, weights: str, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    done = cli("fit-style", folder / "pairs.tar", output, "--weights", weights, "--steps", "12")
    assert done.code == 0 and "4 of 4 fits" in done.err
    lines = done.out.splitlines()
    assert lines[0] == "| absolute / exposure-fitted PSNR, dB | before | after | its scene left out |"
    assert [line.split(" | ")[0] for line in lines[2:6]] == ["| p0", "| p1", "| p2", "| mean"]
    assert "exposure: " in done.out and str(output) in lines[-1]
    fitted = load_style(output)
    assert fitted.digest[:12] in lines[-1] and output.stat().st_size < 10_000
    assert fitted.card.camera == "Mine" and len(fitted.card.pairs) == 3
    metrics = fitted.card.metrics
    assert metrics["after_db"][0] > metrics["before_db"][0] + 2
    # The file says what evaluating with it finds.
    found = cli(
        "evaluate", folder / "pairs.tar", "--method", "rst_isp_net_small", "--weights", weights, "--style", output,
        "--json", "--quiet", "--device", "cpu",
    )  # fmt: skip
    means = json.loads(found.out)["means"]
    assert means["psnr"]["value"] == pytest.approx(metrics["after_db"][0], abs=0.02)
    assert means["exposure_fitted_psnr"]["value"] == pytest.approx(metrics["after_db"][1], abs=0.02)


def test_the_card_as_json(fit: Cli, folder: Path, weights: str, tmp_path: Path) -> None:
    output = tmp_path / "mine.safetensors"
    done = fit(folder / "pairs.tar", output, "--json", "--limit", "2")
    content = json.loads(done.out)
    assert done.code == 0 and "2 pairs only" in done.err
    assert content["digest"] == load_style(output).digest and len(content["pairs"]) == 2
    assert content["weights_digest"] == ReverseISP("rst_isp_net_small", weights).method.digest


def test_one_pair_is_enough_and_said_to_be_few(fit: Cli, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "one.tar", 1)
    done = fit(pairs, tmp_path / "mine.safetensors")
    assert done.code == 0 and "1 pair only" in done.err and "| - |" in done.out


def test_a_misaligned_pair_is_left_out_and_the_exit_code_says_so(fit: Cli, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.tar", shifted=1)
    done = fit(pairs, tmp_path / "mine.safetensors")
    assert done.code == 1 and "p1: left out: its sRGB lies -4 rows" in done.err
    assert [row["key"] for row in load_style(tmp_path / "mine.safetensors").card.pairs] == ["p0", "p2"]


def test_color_from_the_command_line(fit: Cli, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.tar", cam_from_srgb=None, white_balance=None, camera=None)
    output, matrix = tmp_path / "mine.safetensors", ",".join(str(v) for row in MATRIX for v in row)
    refused = fit(pairs, output)
    assert refused.code == 2 and "pair p0 states no white_balance" in refused.err and not output.exists()
    stated = ("--white-balance", "2,1.75", "--cam-from-srgb", matrix)
    assert fit(pairs, output, *stated).code == 0
    named = ("--camera", "Canon EOS 5D Mark IV", "--cct", "5500", "--overwrite")
    assert fit(pairs, output, *named).code == 0
    assert load_style(output).card.camera == "Canon EOS 5D Mark IV"


def test_two_cameras(fit: Cli, tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs.tar", camera=lambda index: ("Mine", "Yours")[index % 2])
    done = fit(pairs, tmp_path / "mine.safetensors")
    assert done.code == 2 and "Mine, Yours" in done.err


WRONG: list[tuple[str, list[str], str]] = [
    ("nothing", [], "usage: rawsynth fit-style"),
    ("no output", ["PAIRS"], "usage: rawsynth fit-style"),
    ("suffix", ["PAIRS", "OUT/style.json"], "ends in .safetensors"),
    ("is there", ["PAIRS", "WEIGHTS"], "--overwrite"),
    ("limit", ["PAIRS", "OUT/s.safetensors", "--limit", "0"], "1 or more"),
    ("gains", ["PAIRS", "OUT/s.safetensors", "--white-balance", "2"], "2 numbers"),
    ("matrix", ["PAIRS", "OUT/s.safetensors", "--cam-from-srgb", "1,0,0,1"], "9 numbers"),
    ("rows", ["PAIRS", "OUT/s.safetensors", "--cam-from-srgb", "2,0,0,0,1,0,0,0,1"], "rows sum to 1"),
    ("camera alone", ["PAIRS", "OUT/s.safetensors", "--camera", "Canon EOS 5D Mark IV"], "go together"),
    ("cct alone", ["PAIRS", "OUT/s.safetensors", "--cct", "5000"], "go together"),
    ("camera", ["PAIRS", "OUT/s.safetensors", "--camera", "Canoon", "--cct", "5000"], "Canoon"),
    ("layout", ["PAIRS", "OUT/s.safetensors", "--layout", "aim23"], "layout"),
    ("weights", ["PAIRS", "OUT/s.safetensors", "--weights", "OUT/none.safetensors"], "none.safetensors"),
    ("a style for weights", ["PAIRS", "OUT/s.safetensors", "--weights", "PAIRS"], "safetensors"),
]


@pytest.mark.parametrize(("args", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_usage(cli: Cli, folder: Path, weights: str, args: list[str], words: str) -> None:
    names = {"PAIRS": str(folder / "pairs.tar"), "WEIGHTS": weights}
    filled = [names.get(arg, arg.replace("OUT", str(folder))) for arg in args]
    if len(args) > 1 and "--weights" not in args:
        filled += ["--weights", weights]
    done = cli("fit-style", *filled)
    assert done.code == 2 and done.out == "" and words in done.err
    assert not (folder / "s.safetensors").exists()


def test_what_cannot_be_reached(fit: Cli, folder: Path, tmp_path: Path) -> None:
    missing = fit(tmp_path / "nowhere", tmp_path / "s.safetensors")
    assert missing.code == 1 and "nowhere" in missing.err
    (tmp_path / "file").write_bytes(b"")
    unwritable = fit(folder / "pairs.tar", tmp_path / "file/s.safetensors")
    assert unwritable.code == 1 and str(tmp_path / "file") in unwritable.err


def test_help_has_examples(cli: Cli) -> None:
    done = cli("fit-style", "--help")
    assert done.code == 0 and "examples:" in done.out and "--cam-from-srgb" in done.out
    assert "fit-style" in cli("--help").out
