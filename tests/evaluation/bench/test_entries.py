"""What competes: everything that can run, with what it was told; what cannot is named."""

from pathlib import Path

import pytest
import torch

from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.evaluation.bench.entries import Conditions, build_entries
from rawsynth.evaluation.bench.own import load_own_method
from rawsynth.methods import METHODS
from rawsynth.methods.listing import list_methods
from rawsynth.methods.rst_isp_net_small import RstIspNetSmall
from rawsynth.methods.style_file import FittedStyle, StyleCard, save_style
from tests.small_network import save_small_network


def test_all_that_can_run_and_the_oracle() -> None:
    entries, left_out = build_entries(None, Conditions())
    needy = {row.name for row in list_methods() if row.needs == "weights"}
    assert {entry.name for entry in entries} == set(METHODS) - needy | {"oracle"}
    assert set(left_out) == needy and all("--weights" in why for why in left_out.values())
    parameters = {entry.name: entry.parameters for entry in entries}
    assert parameters["unprocess"] == 0 and parameters["rst_isp_net_small"] == 1_554_361
    assert [entry.name for entry in entries if not entry.is_method] == ["oracle"]


def test_order_and_own_methods(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    text = "from rawsynth.methods.srgb_linear import SrgbLinear\n\n\nclass Mine(SrgbLinear):\n    name = 'mine'\n"
    file.write_text(text)
    own = [load_own_method(f"{file}:Mine")]
    names = ["srgb_linear", "oracle", "unprocess", "srgb_linear"]
    entries, left_out = build_entries(names, Conditions(), own=own)
    assert [entry.name for entry in entries] == ["srgb_linear", "oracle", "unprocess", "mine"] and not left_out
    assert entries[3].identity["file"] == own[0].sha256


def test_exposure_is_fixed_where_a_law_would_draw_it() -> None:
    for known, gain in ((True, 1.25), (False, None)):
        (entry,), _ = build_entries(["unprocess"], Conditions(known_color=known))
        assert entry.identity["rgb_gain"] == gain


def test_weights_decide_what_an_entry_is(tmp_path: Path) -> None:
    name = "rst_isp_net_small"
    files = [save_small_network(tmp_path, seed=seed, name=f"{seed}.safetensors") for seed in (0, 1)]
    made = [build_entries([name], Conditions(), weights={name: file})[0][0] for file in files]
    assert made[0].identity != made[1].identity and made[0].parameters == made[1].parameters > 0


def test_a_style_is_a_row_of_its_own(tmp_path: Path) -> None:
    method = RstIspNetSmall.create()
    style = method.network.encode_style(torch.rand(1, 3, 96, 96))
    file = str(tmp_path / "mine.safetensors")
    save_style(file, FittedStyle(style, "fixed", method.digest, StyleCard()))
    entries, _ = build_entries(["rst_isp_net_small", "unprocess"], Conditions(), style=file)
    assert [entry.name for entry in entries] == ["rst_isp_net_small", "rst_isp_net_small + style", "unprocess"]
    assert entries[0].identity["version"] != entries[1].identity["version"]


@pytest.mark.parametrize(
    ("names", "options", "words"),
    [
        (["rst_isp_net"], {}, "no weights of it come with the package"),
        (["unprocess"], {"weights": {"rst_isp_net": "x"}}, "not among the methods"),
        (["unprocess"], {"weights": {"unprocess": "x"}}, "has no weights"),
        (["unprocess"], {"style": "x"}, "none of the methods takes one"),
    ],
)
def test_what_does_not_fit(names: list[str], options: dict, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        build_entries(names, Conditions(), **options)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'unprocess'"):
        build_entries(["unproces"], Conditions())
    with pytest.raises(UnknownNameError):
        build_entries(None, Conditions(), weights={"another": "x"})
