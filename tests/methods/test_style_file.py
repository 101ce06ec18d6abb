"""Style files: what is written comes back, damage is found, and a style means the same for every frame."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from safetensors.torch import save as save_tensors

from rawsynth.errors import UsageError
from rawsynth.methods.rst_isp_net_small import SceneLinearNet, Style
from rawsynth.methods.style_file import FittedStyle, StyleCard, load_style, save_style
from rawsynth.transforms import ReverseISP
from tests.small_network import CONFIG, photographs, save_small_network, state


@pytest.fixture(scope="module")
def network() -> SceneLinearNet:
    made = SceneLinearNet(**CONFIG)
    made.load_state_dict(state())
    return made.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def fitted(network: SceneLinearNet) -> FittedStyle:
    style = network.encode_style(photographs(1).float() / 255)
    return FittedStyle(style, "fixed", "a" * 64, StyleCard(camera="Mine", pairs=[{"key": "p0"}], metrics={"n": 1.5}))


def test_what_is_written_comes_back(memory: fsspec.AbstractFileSystem, fitted: FittedStyle) -> None:
    assert save_style("memory://mine.safetensors", fitted) == fitted.digest
    first = memory.cat("/mine.safetensors")
    found = load_style("memory://mine.safetensors")
    assert torch.equal(found.style.code, fitted.style.code) and torch.equal(found.style.numbers, fitted.style.numbers)
    assert (found.exposure, found.weights_digest, found.card) == ("fixed", "a" * 64, fitted.card)
    assert found.digest == fitted.digest and found.at_white is None
    with_white = replace(fitted, at_white=torch.arange(6.0)[None])
    save_style("memory://white.safetensors", with_white)
    assert torch.equal(torch.arange(6.0)[None], torch.as_tensor(load_style("memory://white.safetensors").at_white))
    save_style("memory://mine.safetensors", found)
    assert memory.cat("/mine.safetensors") == first and len(first) < 8000


def test_everything_is_in_the_digest(fitted: FittedStyle) -> None:
    code, numbers = fitted.style.code, fitted.style.numbers
    others = [
        replace(fitted, style=Style(code + 1e-6, numbers)),
        replace(fitted, style=Style(code, numbers * 1.0001)),
        replace(fitted, exposure="frame"),
        replace(fitted, weights_digest="b" * 64),
        replace(fitted, card=StyleCard(camera="Another")),
        replace(fitted, at_white=torch.zeros(1, 6)),
    ]
    assert len({fitted.digest, *(other.digest for other in others)}) == 7


def rewritten(change: Callable[[bytes], bytes]) -> Callable[[Path, FittedStyle], None]:
    def write(path: Path, fitted: FittedStyle) -> None:
        save_style(str(path), fitted)
        path.write_bytes(change(path.read_bytes()))

    return write


def tensors_of(**changes: Any) -> Callable[[Path, FittedStyle], None]:
    def write(path: Path, fitted: FittedStyle) -> None:
        save_style(str(path), replace(fitted, style=replace(fitted.style, **changes)))

    return write


DAMAGED: list[tuple[str, Callable[[Path, FittedStyle], Any], str]] = [
    ("missing", lambda path, fitted: None, "No such file"),
    ("empty", lambda path, fitted: path.write_bytes(b""), "damaged"),
    ("no safetensors", lambda path, fitted: path.write_bytes(b"a style, honestly" * 9), "damaged"),
    ("cut short", rewritten(lambda data: data[:-3]), "damaged"),
    ("a byte of the numbers", rewritten(lambda data: data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]), "damaged"),
    ("an edited card", rewritten(lambda data: data.replace(b"Mine", b"Yours"[:4])), "damaged"),
    ("another exposure", rewritten(lambda data: data.replace(b"fixed", b"frame")), "damaged"),
    ("an unknown exposure", rewritten(lambda data: data.replace(b"fixed", b"mixed")), "exposure"),
    ("another format", rewritten(lambda data: data.replace(b"rawsynth-style/1", b"rawsynth-style/9")), "no style"),
    ("plain tensors", lambda path, fitted: path.write_bytes(save_tensors({"code": torch.zeros(1, 4)})), "no style"),
    ("weights", lambda path, fitted: save_small_network(path.parent, name=path.name), "no style"),
    ("NaN", tensors_of(code=torch.full((1, 12), torch.nan)), "NaN"),
    ("five at white", lambda path, fitted: save_style(str(path), replace(fitted, at_white=torch.zeros(1, 5))), "6"),
    ("two styles", tensors_of(numbers=torch.zeros(2, 40)), "wanted float32 (1, n)"),
]


@pytest.mark.parametrize(("write", "words"), [row[1:] for row in DAMAGED], ids=[row[0] for row in DAMAGED])
def test_damage_is_found(
    tmp_path: Path, fitted: FittedStyle, write: Callable[[Path, FittedStyle], Any], words: str
) -> None:
    path = tmp_path / "mine.safetensors"
    write(path, fitted)
    with pytest.raises(UsageError, match="mine.safetensors") as error:
        load_style(path)
    assert words in str(error.value)


def test_pickles_and_odd_names_are_refused(tmp_path: Path, fitted: FittedStyle) -> None:
    (tmp_path / "mine.pt").write_bytes(b"\x80")
    with pytest.raises(UsageError, match="pickles are refused"):
        load_style(tmp_path / "mine.pt")
    with pytest.raises(UsageError, match="ends in .safetensors"):
        save_style(str(tmp_path / "mine.style"), fitted)


def test_a_fixed_style_is_the_same_for_every_frame(network: SceneLinearNet, fitted: FittedStyle) -> None:
    style = fitted.for_frame(network, photographs(3).float() / 255)
    assert torch.equal(style.code, fitted.style.code.expand(3, -1))
    assert torch.equal(style.numbers, fitted.style.numbers.expand(3, -1))


def test_a_frames_own_exposure_keeps_the_level_that_the_network_sees(
    network: SceneLinearNet, fitted: FittedStyle
) -> None:
    """Light without the local part: its mean below white is the network's, times two to the offset."""
    pointwise = SceneLinearNet(**CONFIG, local=False).eval()
    pointwise.load_state_dict({k: v for k, v in state().items() if not k.startswith("locally.")})
    frames = photographs(4, 96, 96).float() / 255
    numbers = fitted.style.numbers.clone()
    numbers[:, 0] = 0.75
    style = replace(fitted, exposure="frame", style=Style(fitted.style.code, numbers)).for_frame(network, frames)
    with torch.no_grad():
        made, seen = pointwise.decode(frames, style), pointwise(frames)
    dark = (frames.amax(dim=1, keepdim=True) < 0.98).float()
    ratios = (made * dark).sum((1, 2, 3)) / (seen * dark).sum((1, 2, 3))
    assert ratios.tolist() == pytest.approx([2**0.75] * 4, rel=1e-3)
    assert len(set(style.numbers[:, 0].tolist())) == 4
    assert torch.equal(style.numbers[:, 1:], numbers[:, 1:].expand(4, -1))


def test_a_style_of_another_networks_size_is_refused(network: SceneLinearNet, fitted: FittedStyle) -> None:
    other = replace(fitted, style=Style(fitted.style.code, fitted.style.numbers[:, 1:]))
    with pytest.raises(UsageError, match="numbers"):
        other.for_frame(network, torch.zeros(1, 3, 16, 16))


def test_reverse_isp_takes_a_file(tmp_path: Path, fitted: FittedStyle, network: SceneLinearNet) -> None:
    """The style is the first photograph's: its own RAW stays, that of another changes."""
    weights, images = save_small_network(tmp_path), photographs(2)
    color = {"cam_from_srgb": [[1, 0, 0], [0, 1, 0], [0, 0, 1]], "white_balance": (2.0, 1.5)}
    without = ReverseISP("rst_isp_net_small", weights, **color)
    own = replace(fitted, weights_digest=without.method.digest)
    save_style(str(tmp_path / "mine.safetensors"), own)
    with_style = ReverseISP("rst_isp_net_small", weights, style=str(tmp_path / "mine.safetensors"), **color)
    difference = (with_style(images).packed - without(images).packed).abs().amax(dim=(1, 2, 3))
    assert difference[0] < 1e-5 and difference[1] > 1e-2
    assert own.digest[:12] in with_style.method.version
