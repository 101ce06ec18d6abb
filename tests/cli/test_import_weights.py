"""import-weights, the verb: a published checkpoint in, a weights file out, or one line of refusal."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.weights import load_weights

Cli = Callable[..., Any]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """The AIM 2022 baseline's weights under the authors' names, as a pickle."""
    kind = METHODS["aim22_unet"]
    assert issubclass(kind, LearnedMethod)
    names = {"encoder.": "encoder.enc_blocks.", ".conv_a.": ".conv1.", ".conv_b.": ".conv2.", ".convs": ""}
    state = {}
    for key, tensor in kind.build({"preset": "published"}).state_dict().items():
        if key.startswith("decoder"):
            key = key.replace("decoder.", "decoder.upconvs." if ".up." in key else "decoder.dec_blocks.")
            key = key.replace(".up.", ".")
        for ours, theirs in names.items():
            key = key.replace(ours, theirs)
        state[key] = tensor
    torch.save({"model": state}, tmp_path / "s7-unet.pt")
    save_file(state, tmp_path / "s7-unet.safetensors")
    return tmp_path / "s7-unet.pt"


def test_a_pickle_once_trusted(cli: Cli, checkpoint: Path, tmp_path: Path, photo: Callable[..., bytes]) -> None:
    out = tmp_path / "unet.safetensors"
    refused = cli("import-weights", "aim22_unet", checkpoint, out)
    assert refused.code == 2 and "--trust-pickle" in refused.err and not out.exists()
    done = cli("import-weights", "aim22_unet", checkpoint, out, "--trust-pickle", "--camera", "Samsung S7")
    assert done.code == 0 and f"{out}: aim22_unet, 1,861,764 parameters, sha256 " in done.out
    assert f"--method aim22_unet --weights {out}" in done.out
    weights = load_weights(out)
    assert weights.card.camera == "Samsung S7" and "none stated" in weights.card.licence
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.png").write_bytes(photo(0))
    made = cli("generate", tmp_path / "photos", tmp_path / "corpus", "--method", "aim22_unet", "--weights", out)
    assert made.code == 0, made.err


def test_safetensors_and_a_licence(cli: Cli, checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "unet.safetensors"
    done = cli("import-weights", "aim22_unet", checkpoint.with_suffix(".safetensors"), out, "--licence", "CC0-1.0")
    assert done.code == 0 and "licence: CC0-1.0" in done.out
    assert load_weights(out).card.licence == "CC0-1.0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("cycleisp", "{}", "x.safetensors", "--trust-pickle"), "do not fit 'cycleisp'"),
        (("unprocess", "{}", "x.safetensors"), "no checkpoints of 'unprocess' can be read"),
        (("aim22_unet", "{}", "x.pth", "--trust-pickle"), "x.pth: weights are written to a .safetensors file"),
        (("aim22_unet", "{}", "x.safetensors", "--preset", "tiny", "--trust-pickle"), "Choose from: published"),
        (("aim22_unet", "{}.gone.pt", "x.safetensors", "--trust-pickle"), "gone.pt"),
    ],
)
def test_one_line_of_refusal(cli: Cli, checkpoint: Path, arguments: tuple[str, ...], message: str) -> None:
    done = cli("import-weights", *(argument.format(checkpoint) for argument in arguments))
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not Path("x.safetensors").exists()
