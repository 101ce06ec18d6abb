"""Weights files: what goes in comes out, whatever is damaged, foreign or a pickle is refused in words."""

from __future__ import annotations

import io
import json
import pickle
import struct
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from safetensors import safe_open
from safetensors.torch import save as save_foreign
from torch import Tensor

from rawsynth.errors import OutputError, UnknownNameError, UsageError
from rawsynth.methods import weights as weights_module
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.weights import (
    FORMAT,
    ModelCard,
    Weights,
    load_weights,
    packaged_weights,
    read_pickle,
    save_weights,
    tensors_digest,
    weights_digest,
    weights_metadata,
)

CONFIG = {"preset": "p20", "width": 2}
CARD = ModelCard(
    camera="Наша камера №1",
    cam_from_srgb=[[0.75, 0.25, 0.0], [0.125, 0.75, 0.125], [0.0, 0.1, 0.9]],
    white_balance=[2.1, 1.7],
    data="12 scenes, real",
    licence="CC0",
    recipe={"step": 9, "config": {"lr": 1e-4, "betas": [0.5, 0.999]}},
    metrics={"psnr": 31.25},
    contact={"mail": "a@b", "notes": ["Ω", None, True]},  # type: ignore[call-arg]
)


@cache
def state(seed: int = 0) -> dict[str, Tensor]:
    """Tensors of a narrow network."""
    torch.manual_seed(seed)
    return RstIspNet.build(CONFIG).state_dict()


def write(url: str, **changes: Any) -> str:
    given = {"architecture": "rst_isp_net", "config": CONFIG, "tensors": state(), "card": CARD, **changes}
    return save_weights(url, **given)


@cache
def sound() -> bytes:
    """A whole file."""
    write("memory://sound.safetensors")
    return bytes(fsspec.filesystem("memory").cat_file("/sound.safetensors"))


def header_length() -> int:
    return 8 + int(struct.unpack("<Q", sound()[:8])[0])


def load(data: bytes) -> Weights:
    fsspec.filesystem("memory").pipe_file("/net.safetensors", data)
    return load_weights("memory://net.safetensors")


def same(a: Weights, b: Weights) -> bool:
    equal = all(torch.equal(a.tensors[name], tensor) for name, tensor in b.tensors.items())
    facts = [(w.architecture, w.config, w.card, w.digest, w.tensors.keys()) for w in (a, b)]
    return equal and facts[0] == facts[1]


def refusal(data: bytes) -> str:
    with pytest.raises(UsageError) as error:
        load(data)
    message = str(error.value)
    assert message.startswith("memory://net.safetensors") and "\n" not in message
    return message


def with_header(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


# ---- what goes in comes out ----

PLACES = {
    "path": lambda folder: str(folder / "deep/net.safetensors"),
    "path object": lambda folder: folder / "net.safetensors",
    "file URL": lambda folder: f"file://{folder}/net.safetensors",
    "memory": lambda folder: "memory://bucket/net.safetensors",
    "dots and spaces": lambda folder: str(folder / "my net.v2.best (1).safetensors"),
    "no suffix": lambda folder: str(folder / "net"),
}


@pytest.mark.parametrize("place", PLACES)
def test_round_trip(place: str, tmp_path: Path) -> None:
    url = PLACES[place](tmp_path)
    digest = write(url)
    read = load_weights(url)
    assert (read.architecture, read.config, read.card, read.digest) == ("rst_isp_net", CONFIG, CARD, digest)
    assert read.source == str(url)
    assert read.tensors.keys() == state().keys()
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in state().items())
    assert weights_digest(url) == digest and len(digest) == 64


def test_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digest = write("net.safetensors")
    (tmp_path / "net.safetensors").rename("net")
    assert load_weights("net").digest == digest


def test_safetensors_own_reader_finds_the_same(tmp_path: Path) -> None:
    digest = write(str(tmp_path / "net.safetensors"))
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}
    assert metadata.keys() == {"format", "architecture", "config", "sha256", "card"}
    assert (metadata["format"], metadata["sha256"]) == (FORMAT, digest)
    assert json.loads(metadata["config"]) == CONFIG
    assert json.loads(metadata["card"]) == CARD.model_dump()
    assert tensors.keys() == state().keys() and all(torch.equal(t, state()[name]) for name, t in tensors.items())


def test_equal_content_makes_equal_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(str(tmp_path / name), config=dict(reversed(CONFIG.items())) if name == "a" else CONFIG)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == sound()


def test_what_was_read_can_be_written_again(tmp_path: Path) -> None:
    read = load(sound())
    save_weights(str(tmp_path / "again"), read.architecture, read.config, read.tensors, read.card)
    assert (tmp_path / "again").read_bytes() == sound()


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="file/net.safetensors"):
        write(str(tmp_path / "file/net.safetensors"))


numbers = st.floats(allow_nan=False, allow_infinity=False, width=32) | st.integers(-(2**53), 2**53)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
cards = st.fixed_dictionaries(
    {},
    optional={
        "camera": st.none() | st.text(st.characters(codec="utf-8")),
        "cam_from_srgb": st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=3, max_size=3),
        "white_balance": st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=2),
        "recipe": st.dictionaries(st.text(max_size=5), json_values, max_size=3),
        "an extra": json_values,
    },
)


@settings(max_examples=60)
@given(cards)
def test_any_card_comes_back(values: dict[str, Any]) -> None:
    card = ModelCard(**values)
    digest = write("memory://card.safetensors", card=card, tensors={"a": torch.zeros(2)})
    read = load_weights("memory://card.safetensors")
    assert read.card == card and read.digest == digest
    assert read.card.model_dump() == card.model_dump()


WRONG_CARDS: list[dict[str, Any]] = [
    {"white_balance": [2.0]},
    {"white_balance": [2.0, 1.5, 1.0]},
    {"white_balance": [2.0, 0.0]},
    {"white_balance": [2.0, float("inf")]},
    {"white_balance": "daylight"},
    {"cam_from_srgb": [[1.0]]},
    {"cam_from_srgb": [[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]},
    {"cam_from_srgb": [[float("nan"), 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]},
    {"camera": 7},
    {"recipe": "long"},
]


@pytest.mark.parametrize("values", WRONG_CARDS, ids=repr)
def test_a_wrong_card_is_refused_on_the_way_in_and_out(values: dict[str, Any]) -> None:
    """A colour of another shape would fail in the middle of a corpus."""
    with pytest.raises(ValidationError, match=next(iter(values))):
        ModelCard(**values)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydantic's own, of the wrong types
        metadata = weights_metadata("rst_isp_net", CONFIG, {}, ModelCard.model_construct(**values))
    assert "damaged" in refusal(save_foreign({}, metadata))


# ---- the digest ----


def rearranged(how: str) -> dict[str, Tensor]:
    tensors = {name: tensor.clone() for name, tensor in state().items()}
    if how == "order":
        return dict(reversed(tensors.items()))
    if how == "parameters":
        return {name: torch.nn.Parameter(tensor) for name, tensor in tensors.items()}
    if how == "channels last":
        return {n: t.contiguous(memory_format=torch.channels_last) if t.dim() == 4 else t for n, t in tensors.items()}
    if how == "transposed":
        return {n: t.t().contiguous().t() if t.dim() == 2 else t for n, t in tensors.items()}
    return {n: torch.stack([t, -t], dim=-1)[..., 0] for n, t in tensors.items()}


@pytest.mark.parametrize("how", ["order", "parameters", "channels last", "transposed", "strided"])
def test_the_digest_knows_values_and_not_how_they_lie(how: str) -> None:
    tensors = rearranged(how)
    if how not in ("order", "parameters"):
        assert any(not tensor.is_contiguous() for tensor in tensors.values())
    assert write("memory://rearranged", tensors=tensors) == load(sound()).digest
    assert bytes(fsspec.filesystem("memory").cat_file("/rearranged")) == sound()


TENSOR_CHANGES: dict[str, Callable[[dict[str, Tensor]], dict[str, Tensor]]] = {
    "one bit": lambda t: t | {"a": torch.tensor([1.0, 2.0000002])},
    "sign of zero": lambda t: t | {"b": torch.tensor([[-0.0, 0.0]])},
    "shape": lambda t: t | {"b": t["b"].reshape(2, 1)},
    "dtype of the same bytes": lambda t: t | {"a": t["a"].view(torch.int32)},
    "swapped names": lambda t: {"a": t["a2"], "a2": t["a"], "b": t["b"]},
    "renamed": lambda t: {"c" if name == "b" else name: tensor for name, tensor in t.items()},
    "one more": lambda t: t | {"z": torch.zeros(0)},
    "one less": lambda t: {"a": t["a"], "b": t["b"]},
}


@pytest.mark.parametrize("change", TENSOR_CHANGES)
def test_the_digest_knows_any_change_of_the_tensors(change: str) -> None:
    plain = {"a": torch.tensor([1.0, 2.0]), "a2": torch.tensor([3.0, 4.0]), "b": torch.zeros(1, 2)}
    changed = TENSOR_CHANGES[change](plain)
    assert tensors_digest(changed) != tensors_digest(plain)
    assert write("memory://x", tensors=changed) != write("memory://x", tensors=plain)


@pytest.mark.parametrize(
    "change",
    [
        {"architecture": "other"},
        {"config": {**CONFIG, "epsilon": 0.0}},  # the same tensors, another RAW
        {"card": CARD.model_copy(update={"white_balance": [2.1, 1.6]})},  # the same RAW, other metadata
        {"card": CARD.model_copy(update={"camera": "another"})},
    ],
    ids=["architecture", "epsilon", "gains", "camera"],
)
def test_the_digest_knows_what_is_stated_of_the_tensors(change: dict[str, Any]) -> None:
    assert write("memory://x", **change) != load(sound()).digest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.bool], ids=str)
def test_tensors_of_any_type_and_shape(dtype: torch.dtype) -> None:
    shapes: dict[str, tuple[int, ...]] = {"scalar": (), "none": (0, 3), "π": (2, 3)}
    tensors = {name: torch.ones(shape).to(dtype) for name, shape in shapes.items()}
    digest = write("memory://typed", tensors=tensors)
    read = load_weights("memory://typed")
    assert read.digest == digest
    assert all(torch.equal(read.tensors[n], t) and read.tensors[n].dtype == t.dtype for n, t in tensors.items())


# ---- damaged ----


@settings(max_examples=60)
@given(st.floats(0, 1, exclude_max=True))
@example(0.0)
@example(7 / len(sound()))
@example(8 / len(sound()))
@example(9 / len(sound()))
@example(header_length() / len(sound()))
@example((header_length() - 1) / len(sound()))
@example(1 - 1.5 / len(sound()))
def test_any_truncation_is_refused(share: float) -> None:
    cut = sound()[: int(share * len(sound()))]
    assert len(cut) < len(sound())
    message = refusal(cut)
    assert f"{len(cut)} bytes" in message and "get it again" in message


@pytest.mark.parametrize("more", [b"\0", b"PK\x03\x04 and a zip", b"x" * 1000], ids=["byte", "zip", "block"])
def test_anything_appended_is_refused(more: bytes) -> None:
    """Also a zip at the end, which makes a file that is safetensors and a pickle at once."""
    assert f"{len(sound()) + len(more)} bytes" in refusal(sound() + more)


@settings(max_examples=60)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_flipped_bits_of_the_tensors_are_refused(share: float, bits: int) -> None:
    at = header_length() + int(share * (len(sound()) - header_length()))
    message = refusal(sound()[:at] + bytes([sound()[at] ^ bits]) + sound()[at + 1 :])
    assert "sha256" in message and "get it again" in message


@settings(max_examples=300)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(0.0, 1)
@example(7 / header_length(), 1)
@example(7 / header_length(), 128)
def test_any_flipped_bits_of_the_header_are_refused_or_mean_nothing(share: float, bits: int) -> None:
    at = int(share * header_length())
    flipped = sound()[:at] + bytes([sound()[at] ^ bits]) + sound()[at + 1 :]
    try:
        read = load(flipped)
    except UsageError as error:
        assert str(error).startswith("memory://net.safetensors") and "\n" not in str(error)
    else:
        assert same(read, load(sound())), f"byte {at} ^ {bits} changed what is read"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'\\"width\\": 2', b'\\"width\\": 3'),
        (b"[2.1,1.7]", b"[2.1,1.6]"),
        (b"31.25", b"41.25"),
        (b"CC0", b"CC1"),
        (b"rst_isp_net", b"rst_isp_met"),
        (b"rawsynth-weights/1", b"rawsynth-weights/2"),
    ],
)
def test_an_edited_header_is_refused(old: bytes, new: bytes) -> None:
    assert sound().count(old) == 1
    refusal(sound().replace(old, new))


@settings(max_examples=100)
@given(st.binary(max_size=200) | json_values.map(with_header) | st.binary(max_size=50).map(with_header))
def test_whatever_else_is_refused(data: bytes) -> None:
    refusal(data)


STATED = {"format": FORMAT, "architecture": "rst_isp_net", "config": "{}", "card": "{}", "sha256": "0" * 64}
ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}
HEADERS: dict[str, bytes] = {
    "nothing": b"",
    "text": b"this is a text file, and not a short one\n",
    "HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "length alone": struct.pack("<Q", 0),
    "length of everything": struct.pack("<Q", 2**64 - 1) + b"{}",
    "deep": with_header(b"[" * 200_000),
    "deep object": with_header(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "list": with_header([1]),
    "metadata null": with_header({"__metadata__": None}),
    "metadata list": with_header({"__metadata__": ["format"]}),
    "metadata numbers": with_header({"__metadata__": {**STATED, "config": 5}}),
    "no metadata": with_header({"a": ONE}, bytes(4)),
    "no config": with_header({"__metadata__": {k: v for k, v in STATED.items() if k != "config"}}),
    "no checksum": with_header({"__metadata__": {k: v for k, v in STATED.items() if k != "sha256"}}),
    "config is a list": with_header({"__metadata__": {**STATED, "config": "[1]"}}),
    "config is no JSON": with_header({"__metadata__": {**STATED, "config": "{'a': 1}"}}),
    "deep config": with_header({"__metadata__": {**STATED, "config": "[" * 100_000}}),
    "card is a list": with_header({"__metadata__": {**STATED, "card": "[]"}}),
    "deep card": with_header({"__metadata__": {**STATED, "card": '{"a":' * 100_000}}),
    "offsets are words": with_header({"__metadata__": STATED, "a": {**ONE, "data_offsets": ["a", "b"]}}),
    "offsets are few": with_header({"__metadata__": STATED, "a": {**ONE, "data_offsets": []}}),
    "offsets are infinite": with_header(b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}}'),
    "offsets overlap": with_header({"__metadata__": STATED, "a": ONE, "b": ONE}, bytes(4)),
    "type of others": with_header({"__metadata__": STATED, "a": {**ONE, "dtype": "F4", "shape": [8]}}, bytes(4)),
    "unknown type": with_header({"__metadata__": STATED, "a": {**ONE, "dtype": "Q1"}}, bytes(4)),
    "shape too large": with_header({"__metadata__": STATED, "a": {**ONE, "shape": [2**62, 2**62]}}, bytes(4)),
    "shape negative": with_header({"__metadata__": STATED, "a": {**ONE, "shape": [-1]}}, bytes(4)),
    "name of thousands": with_header({"__metadata__": {**STATED, "architecture": "1" * 5000}, "a": ONE}, bytes(4)),
    "other checksum": with_header({"__metadata__": STATED, "a": ONE}, bytes(4)),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_crafted_files_are_refused(kind: str) -> None:
    message = refusal(HEADERS[kind])
    assert kind != "name of thousands" or "architecture is a name of 5000 characters" in message
    assert len(message) < 600 and ("get it again" in message or "`rawsynth train`" in message)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"format": "rawsynth-weights/99"}], ids=repr)
def test_safetensors_of_others_are_told_apart(metadata: dict[str, str] | None) -> None:
    message = refusal(save_foreign(state(), metadata))
    stated = None if metadata is None else metadata["format"]
    assert f"its format is {stated!r}, not {FORMAT!r}" in message and "`rawsynth train`" in message


# ---- not there ----


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    for name in (tmp_path / "none.safetensors", "memory://none/net.safetensors", tmp_path / "no/net"):
        with pytest.raises(UsageError, match=f"weights: cannot read {name}"):
            load_weights(name)
    for folder in (tmp_path, f"{tmp_path}/"):
        with pytest.raises(UsageError, match=f"{tmp_path}.*directory"):
            load_weights(folder)
    with pytest.raises(UsageError, match="nosuch"):
        load_weights("nosuch://bucket/net.safetensors")
    for nothing in (5, None, b"net.safetensors"):
        with pytest.raises(UsageError, match="a path, a URL or a name; got"):
            load_weights(nothing)  # type: ignore[arg-type]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder that stands for the installed package."""
    monkeypatch.setattr(weights_module.resources, "files", lambda name: tmp_path / "installed")
    return tmp_path / "installed"


def test_names_of_packaged_weights(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert packaged_weights() == {}
    with pytest.raises(UsageError, match="no file 'my-camera', and none come with the package"):
        load_weights("my-camera")
    digest = write(str(package / "weights_files/my-camera.safetensors"))
    (package / "weights_files/README.md").write_text("about them")
    assert packaged_weights() == {"my-camera": str(package / "weights_files/my-camera.safetensors")}
    assert load_weights("my-camera").digest == digest
    with pytest.raises(UnknownNameError, match="'my-camra'; did you mean 'my-camera'"):
        load_weights("my-camra")
    other = write(str(tmp_path / "my-camera"), card=ModelCard())
    assert load_weights("my-camera").digest == other != digest  # a file of that name wins


# ---- pickles ----


class Trace:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def pickled(how: str, content: Any) -> bytes:
    buffer = io.BytesIO()
    if how.startswith("torch"):
        torch.save(content, buffer, _use_new_zipfile_serialization=how == "torch zip")
        return buffer.getvalue()
    return pickle.dumps(content, protocol=int(how.split()[1]))


PICKLES = ["torch zip", "torch legacy", "protocol 0", "protocol 1", "protocol 2", "protocol 5"]


@pytest.mark.parametrize("how", PICKLES)
@pytest.mark.parametrize("name", ["net.pth", "NET.PT", "a.ckpt", "a.pkl", "a.bin", "a.tar", "net.safetensors", "net"])
def test_pickles_are_refused_unopened(name: str, how: str, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    data = pickled(how, Trace(trace))
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError) as error:
        load_weights(tmp_path / name)
    message = str(error.value)
    assert message.startswith(str(tmp_path / name)) and "\n" not in message
    if name.endswith((".safetensors", "net")) and how in ("protocol 0", "protocol 1"):
        assert "not a safetensors file" in message
    else:
        assert "is a pickle, which can run code" in message and "import-weights" in message
    assert not trace.exists()
    pickle.loads(pickle.dumps(Trace(trace)))
    assert trace.exists(), "the trace leaves no trace: this test could not fail"


@pytest.mark.parametrize("how", ["torch zip", "torch legacy", "protocol 2"])
def test_a_trusted_pickle_runs_no_code_either(how: str, tmp_path: Path) -> None:
    content = {"state_dict": {"a": torch.zeros(1), "b": Trace(tmp_path / "trace")}}
    (tmp_path / "evil.pth").write_bytes(pickled(how, content))
    with pytest.raises(UsageError, match="tensors alone"):
        read_pickle(str(tmp_path / "evil.pth"))
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("how", ["torch zip", "torch legacy"])
@pytest.mark.parametrize("nest", [[], ["state_dict"], ["model", "generator"]], ids=repr)
def test_a_trusted_pickle_of_tensors_is_read(how: str, nest: list[str], tmp_path: Path) -> None:
    tensors: Any = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}
    for key in reversed(nest):
        tensors = {key: tensors, "step": 5}
    (tmp_path / "net.pth").write_bytes(pickled(how, tensors))
    read = read_pickle(str(tmp_path / "net.pth"))
    assert read.keys() == {"a", "b"} and torch.equal(read["a"], torch.arange(3.0))


@settings(max_examples=150)
@given(st.sampled_from(["torch zip", "torch legacy"]), st.floats(0, 1, exclude_max=True), st.integers(0, 255))
def test_a_damaged_trusted_pickle_is_refused_in_words(how: str, share: float, bits: int) -> None:
    """``bits == 0`` cuts, others flip; a flip that only touches values cannot be known."""
    data = pickled(how, {"a": torch.arange(3.0), "b": torch.ones(2, 2)})
    at = int(share * len(data))
    damaged = data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :] if bits else data[:at]
    fsspec.filesystem("memory").pipe_file("/net.pth", damaged)
    try:
        read = read_pickle("memory://net.pth")
    except UsageError as error:
        assert str(error).startswith("memory://net.pth") and "\n" not in str(error)
    else:
        assert bits or how == "torch legacy"
        assert all(isinstance(tensor, Tensor) for tensor in read.values())


def test_pickles_without_tensors(tmp_path: Path) -> None:
    for content in ({}, {"a": 1}, [torch.zeros(1)], {"one": {}, "two": {}}):
        (tmp_path / "net.pth").write_bytes(pickled("torch zip", content))
        with pytest.raises(UsageError, match="net.pth: no state dict of tensors"):
            read_pickle(str(tmp_path / "net.pth"))
    with pytest.raises(UsageError, match="none.pth"):
        read_pickle(str(tmp_path / "none.pth"))
