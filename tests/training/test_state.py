"""The state of a training on disk: what goes in comes out, and what is damaged is said to be, by one kind of error."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError, OutputError
from rawsynth.training.state import FORMAT, load_state, save_state

DTYPES = (
    torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.float8_e5m2, torch.complex64, torch.bool,
    torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64, torch.uint64,
)  # fmt: skip


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Any bits of any type and any small shape, also without an element, also not contiguous."""
    dtype, shape = draw(st.sampled_from(DTYPES)), draw(st.lists(st.integers(0, 3), max_size=3))
    count = int(np.prod(shape)) * torch.empty(0, dtype=dtype).element_size()
    content = draw(st.binary(min_size=count, max_size=count))
    if not content:
        return torch.empty(shape, dtype=dtype)
    if dtype == torch.bool:
        content = bytes(byte % 2 for byte in content)
    tensor = torch.frombuffer(bytearray(content), dtype=torch.uint8).view(dtype).reshape(shape)
    return tensor.transpose(0, -1) if tensor.dim() > 1 and draw(st.booleans()) else tensor


def states() -> st.SearchStrategy[dict[str, Any]]:
    keys = st.text(max_size=4) | st.integers() | st.booleans() | st.none()
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    nested = st.recursive(
        plain | tensors(),
        lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=8,
    )
    return st.dictionaries(st.text(max_size=4), nested, max_size=4)


def same(saved: Any, loaded: Any) -> bool:
    """Equal in value and type; tuples come back as lists, tensors with the same bits."""
    if isinstance(saved, Tensor):
        if not isinstance(loaded, Tensor) or (saved.dtype, saved.shape) != (loaded.dtype, loaded.shape):
            return False
        first, second = (t.contiguous().reshape(-1).view(torch.uint8) for t in (saved, loaded))
        return torch.equal(first, second)
    if isinstance(saved, dict):
        return (
            isinstance(loaded, dict)
            and [(type(k), k) for k in saved] == [(type(k), k) for k in loaded]
            and all(map(same, saved.values(), loaded.values()))
        )
    if isinstance(saved, list | tuple):
        return isinstance(loaded, list) and len(saved) == len(loaded) and all(map(same, saved, loaded))
    return type(saved) is type(loaded) and repr(saved) == repr(loaded)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(state=states())
@example(state={"a/b": torch.tensor(1.0), "a": {"b": torch.tensor(2.0)}})  # paths that read alike
@example(state={"a": {1: torch.tensor(1.0), "1": torch.tensor(2.0)}})
@example(state={"": {"": torch.tensor(1.0)}, "/": torch.tensor(2.0)})
@example(state={"__metadata__": torch.zeros(2), "tensor": {"tensor": "x"}, "dict": {"dict": [], "list": {}}})
def test_what_goes_in_comes_out(state: dict[str, Any], tmp_path: Path) -> None:
    url = str(tmp_path / "s.safetensors")
    save_state(url, state)
    assert same(state, load_state(url))


def test_tensors_may_share_memory() -> None:
    row = torch.arange(4.0)
    state = {"a": row, "b": row, "view": row[1:3], "wide": row[:1].expand(5)}
    save_state("memory://shared", state)
    assert same(state, load_state("memory://shared"))
    fsspec.filesystem("memory").rm("/shared")


def test_a_parameter_is_kept_without_its_gradient_and_untouched(tmp_path: Path) -> None:
    weight = nn.Parameter(torch.ones(2, 3))
    save_state(str(tmp_path / "s"), {"w": weight})
    loaded = load_state(str(tmp_path / "s"))["w"]
    loaded += 1.0
    assert type(loaded) is Tensor and not loaded.requires_grad
    assert weight.requires_grad and bool((weight == 1.0).all())


def learn(network: nn.Module, optimizer: torch.optim.Optimizer, scaler: Any, steps: range) -> None:
    for step in steps:
        x = torch.rand(8, 3, generator=torch.Generator().manual_seed(step))
        scale = 1e38 if step == 1 else 1.0  # one overflow, so that the scaler has something to remember
        optimizer.zero_grad()
        scaler.scale(scale * (network(x) - x.sum(1, keepdim=True)).square().mean()).backward()
        scaler.step(optimizer)
        scaler.update()


def fresh() -> tuple[nn.Module, torch.optim.Adam, Any]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    groups = [{"params": network[0].parameters(), "factor": 0.5}, {"params": network[2].parameters(), "factor": 1.0}]
    return network, torch.optim.Adam(groups, lr=1e-2, betas=(0.5, 0.9), foreach=True), torch.amp.GradScaler("cpu")


def test_adam_and_scaler_go_on_to_the_last_bit(tmp_path: Path) -> None:
    whole, parts = fresh(), fresh()
    learn(*whole, range(8))
    learn(*parts, range(4))
    save_state(str(tmp_path / "s"), {"all": [part.state_dict() for part in parts]})
    resumed = fresh()
    learn(*resumed, range(100, 103))  # whatever it was before is gone
    for part, state in zip(resumed, load_state(str(tmp_path / "s"))["all"], strict=True):
        part.load_state_dict(state)
    learn(*resumed, range(4, 8))
    assert resumed[2].get_scale() == whole[2].get_scale() != 65536.0
    first, second = ([part.state_dict() for part in parts] for parts in (whole, resumed))
    assert same(first[0], second[0]) and same(first[1]["state"], second[1]["state"]) and same(first[2], second[2])
    assert [g["factor"] for g in second[1]["param_groups"]] == [0.5, 1.0]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """A small training's state as bytes."""
    url = str(tmp_path_factory.mktemp("sound") / "s")
    network, optimizer, scaler = fresh()
    learn(network, optimizer, scaler, range(2))
    save_state(url, {"step": 7, "network": network.state_dict(), "o": optimizer.state_dict(), "best": None})
    yield storage.read_bytes(url)


def outcome(data: bytes, folder: Path) -> str:
    """``"read"``, or the one error there may be; anything else surfaces."""
    (folder / "damaged").write_bytes(data)
    try:
        load_state(str(folder / "damaged"))
    except CorpusError as error:
        assert "damaged" in str(error) and len(str(error)) < 2000
        return "refused"
    return "read"


def test_cut_short_anywhere(sound: bytes, tmp_path: Path) -> None:
    assert {outcome(sound[:length], tmp_path) for length in range(0, len(sound), 7)} == {"refused"}
    assert outcome(sound + b"\0", tmp_path) == "refused"
    assert outcome(sound, tmp_path) == "read"


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_bit_flipped_anywhere(place: float, bit: int, sound: bytes, tmp_path: Path) -> None:
    """Also in the tensors' own bytes, which a header alone cannot vouch for."""
    data = bytearray(sound)
    data[int(place * len(data))] ^= 1 << bit
    assert outcome(bytes(data), tmp_path) == "refused"


def crafted(header: Any, tail: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tail


FOREIGN = {
    "nothing": b"",
    "zeros": bytes(4096),
    "a huge header": b"\xff" * 8 + b"{}",
    "a list": crafted([]),
    "null": crafted(b"null"),
    "no metadata": crafted({}),
    "metadata null": crafted({"__metadata__": None}),
    "metadata of numbers": crafted({"__metadata__": {"format": FORMAT, "state": 3, "sha256": 4}}),
    "another format": crafted({"__metadata__": {"format": "rawsynth-weights/1", "state": "{}"}}),
    "no checksum": crafted({"__metadata__": {"format": FORMAT, "state": '{"dict": []}'}}),
    "deep": crafted({"__metadata__": {"format": FORMAT, "state": "[" * 50_000, "sha256": "x"}}),
    "deep header": crafted(b"[" * 50_000),
    "no UTF-8": crafted(b'{"__metadata__": {"format": "\xff"}}'),
    "a pickle": b"\x80\x04cos\nsystem\n(S'false'\ntR.",
    "a zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("data", FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_state_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "s").write_bytes(data)
    with pytest.raises(CorpusError, match=r"/s "):
        load_state(str(tmp_path / "s"))


def test_another_safetensors_file_is_no_state(tmp_path: Path) -> None:
    save_file({"w": torch.zeros(2)}, str(tmp_path / "w.safetensors"))
    with pytest.raises(CorpusError, match="w.safetensors"):
        load_state(str(tmp_path / "w.safetensors"))


def test_a_state_is_safetensors_and_names_its_tensors(tmp_path: Path) -> None:
    save_state(str(tmp_path / "s.safetensors"), {"step": 3, "network": {"conv.weight": torch.ones(2)}})
    (name,) = load_file(tmp_path / "s.safetensors")
    assert name.endswith("/network/conv.weight")


def test_what_json_cannot_say_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    url = str(tmp_path / "s")
    save_state(url, {"step": 1})
    with pytest.raises(TypeError):
        save_state(url, {"step": np.int64(2)})
    assert load_state(url) == {"step": 1} and len(list(tmp_path.iterdir())) == 1


def test_a_failed_save_leaves_the_state_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = str(tmp_path / "s")
    save_state(url, {"step": 1})

    class Killed(BaseException):
        pass

    def fail(self: storage.AtomicFile) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(storage.AtomicFile, "commit", fail)
        with pytest.raises(Killed):
            save_state(url, {"step": 2})
    assert load_state(url) == {"step": 1} and len(list(tmp_path.iterdir())) == 1


def test_where_nothing_can_be_written_or_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="file/s"):
        save_state(str(tmp_path / "file" / "s"), {"step": 1})
    with pytest.raises(InputAccessError, match="nowhere"):
        load_state(str(tmp_path / "nowhere"))
