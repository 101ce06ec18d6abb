"""evaluate, the verb: pairs on disk in, a table and files out, and an exit code that scripts can trust."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from rawsynth.pairs import pair_members
from rawsynth.raw.levels import CLEAN_LEVELS
from rawsynth.raw.quantize import quantize
from rawsynth.storage import TarFile, tar_entries
from rawsynth.transforms import ReverseISP

Cli = Callable[..., Any]
COLOR = {
    "cam_from_srgb": [[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.25, 0.75]],
    "white_balance": [2.0, 1.75],
    "rgb_gain": 1.25,
}


def cut(index: int, side: int) -> Any:
    top = 4 * index
    return np.ascontiguousarray(data.astronaut()[top : top + side, top : top + side].transpose(2, 0, 1))


def write_pairs(path: Path, count: int = 6, *, damaged: int | None = None) -> Path:
    """A tar of pairs of three scenes whose RAW ``unprocess`` made with the colour that they state."""
    archive = TarFile(str(path))
    for index in range(count):
        srgb = cut(index, 48)
        raw = ReverseISP("unprocess", **COLOR, seed=0)(torch.from_numpy(srgb)[None], keys=["any"]).packed[0]
        dn = quantize(raw, CLEAN_LEVELS).numpy()
        meta = {"key": f"p{index}", "scene": f"scene{index % 3}", **COLOR}
        members = pair_members(srgb, dn, CLEAN_LEVELS, meta)
        if index == damaged:
            members["raw.npy"] = b"damaged"
        archive.write(tar_entries(f"p{index}", members))
    archive.commit()
    return path


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs") / "pairs.tar")


def evaluate_json(cli: Cli, *args: str | Path) -> Any:
    done = cli("evaluate", *args, "--json", "--device", "cpu", "--quiet")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_a_table_and_files(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    done = cli("evaluate", pairs, "--output", tmp_path / "scores", "--pictures", "2")
    assert done.code == 0 and "not scored" not in done.err
    assert done.out.startswith(f"unprocess version 1 on {pairs}: 6 images of 3 scenes; colour as the pairs'")
    assert "| exposure-fitted PSNR, dB |" in done.out
    content = json.loads((tmp_path / "scores/evaluation.json").read_text())
    assert content["scored"] == 6 and len(content["pictures"]) == 2
    assert {name: content["labels"][name] for name in ("pairs", "seed", "dtype", "weights")} == {
        "pairs": str(pairs), "seed": 0, "dtype": "float32", "weights": None
    }
    assert len((tmp_path / "scores/images.csv").read_text().splitlines()) == 7
    assert all((tmp_path / "scores" / name).exists() for name in content["pictures"].values())


def test_stored_at_16_bits_the_truth_scores_what_rounding_leaves(cli: Cli, pairs: Path) -> None:
    """Uniform rounding errors of one DN in 65535 have a variance of a twelfth of its square: 107 dB."""
    found = evaluate_json(cli, pairs)
    assert found["means"]["psnr"]["value"] == pytest.approx(20 * np.log10(65535) + 10 * np.log10(12), abs=0.3)


def test_drawn_color_costs(cli: Cli, pairs: Path) -> None:
    first, other = (evaluate_json(cli, pairs, "--drawn-color", "--seed", seed) for seed in ("0", "1"))
    assert first["color"] == "drawn" and first["means"]["psnr"]["value"] < 60
    assert first["means"] != other["means"]


def test_splits_part_scenes(cli: Cli, pairs: Path) -> None:
    keys = {}
    for split in ("train", "val"):
        found = evaluate_json(cli, pairs, "--splits", "train=0.6, val=0.4", "--split", split)
        keys[split] = {row["key"] for row in found["rows"]}
        assert found["labels"]["split"] == split
    assert keys["train"] | keys["val"] == {f"p{i}" for i in range(6)}
    assert not {int(k[1:]) % 3 for k in keys["train"]} & {int(k[1:]) % 3 for k in keys["val"]}


def test_limit_takes_pairs_from_all_over_the_set(cli: Cli, pairs: Path) -> None:
    for limit, expected in [("2", ["p0", "p3"]), ("4", ["p0", "p1", "p3", "p4"]), ("99", [f"p{i}" for i in range(6)])]:
        assert [row["key"] for row in evaluate_json(cli, pairs, "--limit", limit)["rows"]] == expected


def test_aim_2022_tiles(cli: Cli, tmp_path: Path) -> None:
    """In the challenge's own files, against PSNR of the stored DN in NumPy."""
    folder = tmp_path / "train"
    folder.mkdir()
    for index, name in enumerate(("6_0", "10_0")):
        Image.fromarray(cut(index, 504).transpose(1, 2, 0)).save(folder / f"{name}.jpg", quality=95)
        dn = (cut(index, 504)[1].reshape(252, 2, 252, 2).transpose(0, 2, 1, 3).reshape(252, 252, 4) * 4).astype("<u2")
        np.save(folder / f"{name}.npy", dn)
    found = evaluate_json(cli, folder, "--batch", "1")
    for row in found["rows"]:
        srgb = np.asarray(Image.open(folder / f"{row['key']}.jpg")).transpose(2, 0, 1)
        to_raw = ReverseISP("unprocess")
        made = to_raw.apply_params(torch.from_numpy(srgb.copy())[None], [row["params"]]).packed[0].double().numpy()
        stored = np.floor(made * 1024) / 1024
        reference = np.load(folder / f"{row['key']}.npy", allow_pickle=False).transpose(2, 0, 1) / 1024
        assert row["aim22_psnr"] == pytest.approx(-10 * np.log10(np.mean((stored - reference) ** 2)), abs=1e-4)
        assert row["known"] == []


def test_a_damaged_pair_is_named_and_the_exit_code_says_so(cli: Cli, tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "pairs.tar", damaged=2)
    done = cli("evaluate", path, "--output", tmp_path / "scores", "--pictures", "0")
    assert done.code == 1
    assert "5 images of 3 scenes" in done.out and "1 pair could not be scored" in done.out
    assert "rawsynth evaluate: p2: not scored: " in done.err
    assert list(json.loads((tmp_path / "scores/evaluation.json").read_text())["errors"]) == ["p2"]


def test_nothing_to_score(cli: Cli, tmp_path: Path) -> None:
    done = cli("evaluate", write_pairs(tmp_path / "pairs.tar", 1, damaged=0))
    assert done.code == 1 and done.out == ""
    assert "none of 1 pair could be scored" in done.err


WRONG: list[tuple[str, list[str], str]] = [
    ("no pairs", [], "usage: rawsynth evaluate"),
    ("method", ["PAIRS", "--method", "unproces"], "did you mean 'unprocess'?"),
    ("layout", ["PAIRS", "--layout", "aim23"], "layout"),
    ("weights missing", ["PAIRS", "--method", "rst_isp_net"], "needs weights"),
    ("weights for none", ["PAIRS", "--weights", "x.safetensors"], "has no weights"),
    ("device", ["PAIRS", "--device", "tpu"], "unknown device 'tpu'"),
    ("dtype", ["PAIRS", "--dtype", "float8"], "invalid choice"),
    ("limit", ["PAIRS", "--limit", "0"], "1 or more"),
    ("batch", ["PAIRS", "--batch", "-1"], "1 or more"),
    ("pictures", ["PAIRS", "--pictures", "many"], "0 or more"),
    ("split alone", ["PAIRS", "--split", "val"], "takes both"),
    ("splits alone", ["PAIRS", "--splits", "train=0.5,val=0.5"], "takes both"),
    ("other split", ["PAIRS", "--splits", "train=0.5,val=0.5", "--split", "test"], "'test'"),
    ("twice", ["PAIRS", "--splits", "a=0.5,a=0.5", "--split", "a"], "once"),
    ("no number", ["PAIRS", "--splits", "a=b", "--split", "a"], "NAME=SHARE"),
    ("no share", ["PAIRS", "--splits", "a", "--split", "a"], "NAME=SHARE"),
    ("shares", ["PAIRS", "--splits", "a=0.5,b=0.6", "--split", "a"], "sum to 1"),
    ("NaN", ["PAIRS", "--splits", "a=nan,b=0.6", "--split", "a"], "sum to 1"),
    ("too few scenes", ["PAIRS", "--splits", "a=0.25,b=0.25,c=0.25,d=0.25", "--split", "a"], "scenes"),
]


@pytest.mark.parametrize(("args", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_usage(cli: Cli, pairs: Path, args: list[str], words: str) -> None:
    done = cli("evaluate", *(str(pairs) if arg == "PAIRS" else arg for arg in args))
    assert done.code == 2 and done.out == ""
    assert words in done.err


def test_what_cannot_be_reached(cli: Cli, pairs: Path, tmp_path: Path) -> None:
    missing = cli("evaluate", tmp_path / "nowhere")
    assert missing.code == 1 and str(tmp_path / "nowhere") in missing.err
    (tmp_path / "file").write_bytes(b"")
    unwritable = cli("evaluate", pairs, "--output", tmp_path / "file/scores")
    assert unwritable.code == 1 and unwritable.out == "" and str(tmp_path / "file") in unwritable.err


def test_help_has_examples(cli: Cli) -> None:
    done = cli("evaluate", "--help")
    assert done.code == 0
    assert "examples:" in done.out and "--drawn-color" in done.out
    assert "score a reverse ISP over pairs" in cli("--help").out
