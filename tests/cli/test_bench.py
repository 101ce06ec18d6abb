"""bench, the verb: tables, files, an exit code that scripts can trust, and one clear error for wrong input."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cli = Callable[..., Any]
SMALL = ("--crop", "48", "--renditions", "1", "--rounds", "0", "--pictures", "0", "--device", "cpu")


def test_the_synthetic_set_from_the_command_line(cli: Cli, tmp_path: Path) -> None:
    args = ("bench", "synthetic", "--methods", "unprocess,srgb_linear,oracle", *SMALL, "--output", tmp_path / "out")
    done = cli(*args)
    assert done.code == 0
    assert done.err.splitlines()[1] == "rawsynth bench: unprocess on synthetic: 0 of 4 pairs"
    assert done.out == (tmp_path / "out/bench.md").read_text()
    assert "## synthetic, differences to unprocess" in done.out
    again = cli(*args, "--json")
    assert again.code == 0 and json.loads(again.out) == json.loads((tmp_path / "out/bench.json").read_text())
    assert (tmp_path / "out/bench.html").exists() and len(list((tmp_path / "out/results").iterdir())) == 3


def test_a_method_of_one_s_own(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from rawsynth.methods.srgb_linear import SrgbLinear\n\n\n"
        "class Mine(SrgbLinear):\n    name = 'mine'\n\n\n"
        "class Bad(SrgbLinear):\n    name = 'bad'\n\n    def forward(self, srgb, tensors):\n        return 1 / 0\n"
    )
    common = ("bench", "synthetic", "--methods", "srgb_linear", *SMALL, "--output", tmp_path / "out", "--json")
    done = cli(*common, "--own", f"{file}:Mine")
    methods = json.loads(done.out)["sets"][0]["methods"]
    assert done.code == 0 and methods["mine"]["means"] == methods["srgb_linear"]["means"]
    failed = cli(*common, "--own", f"{file}:Bad")
    assert failed.code == 1 and list(json.loads(failed.out)["sets"][0]["methods"]) == ["srgb_linear"]
    assert "rawsynth bench: bad on synthetic: ZeroDivisionError" in failed.err


def test_what_cannot_run_is_named(cli: Cli, tmp_path: Path) -> None:
    done = cli("bench", "synthetic", *SMALL, "--limit", "1", "--output", tmp_path)
    assert done.code == 0
    assert "rst_isp_net left out: no weights of it come with the package; give --weights rst_isp_net=FILE" in done.err


WRONG: list[tuple[str, list[str], str]] = [
    ("no set", [], "usage: rawsynth bench"),
    ("method", ["synthetic", "--methods", "unproces"], "did you mean 'unprocess'?"),
    ("twice", ["synthetic", "--methods", "oracle,oracle"], "each once"),
    ("weights", ["synthetic", "--weights", "s7.safetensors"], "METHOD=FILE"),
    ("weights missing", ["synthetic", "--methods", "rst_isp_net"], "no weights of it"),
    ("weights not there", ["synthetic", "--weights", "rst_isp_net=none.safetensors"], "none.safetensors"),
    ("own", ["synthetic", "--own", "mine"], "FILE.py:CLASS"),
    ("baseline", ["synthetic", "--methods", "oracle", "--baseline", "unprocess"], "does not compete"),
    ("software", ["RAW", "--software", "gimp"], "unknown software 'gimp'"),
    ("crop", ["synthetic", "--crop", "49"], "even crop"),
    ("device", ["synthetic", "--device", "tpu"], "unknown device 'tpu'"),
    ("limit", ["synthetic", "--limit", "0"], "1 or more"),
    ("set twice", ["synthetic", "synthetic"], "named once"),
    ("no photographs", ["synthetic", "--photographs", "EMPTY"], "no photograph"),
    ("nothing there", ["EMPTY"], "no pairs in"),
]


@pytest.mark.parametrize(("args", "words"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_usage(cli: Cli, tmp_path: Path, args: list[str], words: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.dng").write_bytes(b"nothing")
    places = {"EMPTY": str(tmp_path / "empty"), "RAW": str(tmp_path / "a.dng")}
    done = cli("bench", *(places.get(arg, arg) for arg in args), "--output", tmp_path / "out")
    assert done.code == 2 and done.out == ""
    assert words in done.err and "Traceback" not in done.err
