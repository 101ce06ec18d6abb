"""Damaged weights, styles and checkpoints: refused by one error that names the file, in little memory."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load

from rawsynth.errors import CorpusError, RawsynthError, UsageError
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.style_file import FittedStyle, StyleCard, load_style, save_style
from rawsynth.methods.weights import load_weights, tensors_digest
from rawsynth.training.state import load_state, save_state
from rawsynth.transforms import ReverseISP
from tests.faults.effort import cases, time_limit
from tests.faults.tensor_files import joined_tensors, mutate_tensors, split_tensors
from tests.small_network import CONFIG, save_small_network, state

SECONDS = 20.0
Stated = dict[str, str]


def sealed_weights(stated: Stated, tensors: dict[str, torch.Tensor]) -> Stated:
    text = json.dumps([stated[name] for name in ("format", "architecture", "config", "card")])
    digest = hashlib.sha256(f"{text}\n{tensors_digest(tensors)}".encode()).hexdigest()
    return {**stated, "sha256": digest}


def sealed_style(stated: Stated, tensors: dict[str, torch.Tensor]) -> Stated:
    style = json.loads(stated["style"])
    style.pop("sha256", None)
    text = json.dumps(style, sort_keys=True)
    digest = hashlib.sha256(f"{text}\n{tensors_digest(tensors)}".encode()).hexdigest()
    return {"style": json.dumps({**style, "sha256": digest})}


def sealed_state(stated: Stated, tensors: dict[str, torch.Tensor]) -> Stated:
    return {**stated, "sha256": hashlib.sha256(f"{tensors_digest(tensors)} {stated['state']}".encode()).hexdigest()}


def resealed(data: bytes, seal: Callable[[Stated, dict[str, torch.Tensor]], Stated]) -> bytes:
    """Give a file the checksum that belongs to it, if it is whole enough to have one."""
    try:
        header, content = split_tensors(data)
        header["__metadata__"] = seal(header["__metadata__"], load(data))
    except Exception:  # noqa: BLE001 - damaged beyond that, in whatever way
        return data
    return joined_tensors(header, content)


def write_style(folder: Path) -> bytes:
    network = SceneLinearNet(**CONFIG)
    network.load_state_dict(state())
    style = network.encode_style(torch.rand(1, 3, 8, 8))
    path = folder / "style.safetensors"
    save_style(str(path), FittedStyle(style, "fixed", "a" * 64, StyleCard(camera="x"), torch.zeros(1, 6)))
    return path.read_bytes()


def write_state(folder: Path) -> bytes:
    path = folder / "last.safetensors"
    optimizer = {"state": {0: {"x": torch.zeros(1)}}, "groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]}
    save_state(str(path), {"step": 3, "net": {"a": torch.zeros(3, 2), "b": torch.ones(2)}, "opt": optimizer})
    return path.read_bytes()


def use_weights(url: str) -> None:
    ReverseISP("rst_isp_net_small", url, seed=0)


KINDS: dict[str, tuple[Callable[[Path], bytes], Callable[[str], Any], Callable[..., Stated]]] = {
    "weights": (lambda folder: Path(save_small_network(folder)).read_bytes(), load_weights, sealed_weights),
    "network": (lambda folder: Path(save_small_network(folder)).read_bytes(), use_weights, sealed_weights),
    "style": (write_style, load_style, sealed_style),
    "checkpoint": (write_state, load_state, sealed_state),
}


@pytest.mark.soak
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_of_tensors(tmp_path: Path, kind: str) -> None:
    write, read, seal = KINDS[kind]
    right, refused = write(tmp_path), 0
    path = tmp_path / "damaged.safetensors"
    for index, (case, rng) in enumerate(cases(kind, 0.005 if kind == "network" else 0.02)):
        data = mutate_tensors(right, rng)
        path.write_bytes(resealed(data, seal) if index % 2 else data)
        with time_limit(SECONDS):
            try:
                read(str(path))
            except RawsynthError as error:
                assert path.name in str(error) and "\n" not in str(error) and len(str(error)) < 2000, case
                refused += 1
    assert refused


# What was found by mutation.


MISFITS: list[dict[str, Any]] = [
    {"widths": [8, 10]},
    {"widths": [2**31, 10, 12]},
    {"widths": []},
    {"blocks": [1, 1, 2**31]},
    {"hidden": 9000, "code": 9000},
]


@pytest.mark.parametrize("change", MISFITS)
def test_weights_that_ask_for_another_network_than_they_hold(tmp_path: Path, change: dict[str, Any]) -> None:
    """Some ended with another exception, some took all memory there is for layers before shapes were compared."""
    url = save_small_network(tmp_path, config=CONFIG | change)
    with time_limit(SECONDS), pytest.raises(UsageError, match="small.safetensors: the weights do not fit"):
        use_weights(url)


def test_a_long_format_is_not_repeated(tmp_path: Path) -> None:
    header, content = split_tensors(write_state(tmp_path))
    header["__metadata__"]["format"] = "x" * 5000
    (tmp_path / "last.safetensors").write_bytes(joined_tensors(header, content))
    with pytest.raises(CorpusError) as state_error:
        load_state(str(tmp_path / "last.safetensors"))
    with pytest.raises(UsageError) as weights_error:
        load_weights(str(tmp_path / "last.safetensors"))
    assert len(str(state_error.value)) < 500 and len(str(weights_error.value)) < 500
