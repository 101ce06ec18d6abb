"""RawMetadata: JSON, indexing and stacking keep every field of every sample together."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS
from rawsynth.raw.metadata import SAMPLE_FIELDS, TENSOR_FIELDS, RawMetadata
from rawsynth.raw.noise_params import NoiseRecord

NUMBERS = st.floats(allow_nan=False, allow_infinity=False, width=32)
NAMES = st.none() | st.text(max_size=8)


def tensors(*shape: int) -> st.SearchStrategy[Tensor]:
    count = torch.Size(shape).numel()
    flat = st.lists(NUMBERS, min_size=count, max_size=count)
    return flat.map(lambda values: torch.tensor(values, dtype=torch.float32).reshape(shape))


@st.composite
def noise_records(draw: st.DrawFn) -> NoiseRecord:
    planes = st.tuples(*[st.floats(0, 1, width=32)] * 4)
    shot, read = draw(planes), draw(planes)
    params = {"shot": list(shot), "read": list(read)}
    return NoiseRecord("poisson_gaussian", params, draw(st.integers(0, 2**63 - 1)), "rng", shot, read)


@st.composite
def one_image(draw: st.DrawFn, iso: bool, noise: bool) -> RawMetadata:
    return RawMetadata(
        cfa=draw(st.sampled_from(BAYER_LAYOUTS)),
        method=draw(NAMES),
        method_version=draw(NAMES),
        camera=draw(NAMES),
        cam_from_srgb=draw(tensors(3, 3)),
        white_balance=draw(tensors(2)),
        rgb_gain=draw(tensors()),
        iso=draw(tensors()) if iso else None,
        shot=draw(tensors(4)) if noise else None,
        read=draw(tensors(4)) if noise else None,
        noise=draw(noise_records()) if noise else None,
    )


def images(count: int) -> st.SearchStrategy[list[RawMetadata]]:
    """Images of one kind, as a batch holds them."""
    kinds = st.tuples(st.booleans(), st.booleans())
    return kinds.flatmap(lambda kind: st.lists(one_image(*kind), min_size=count, max_size=count))


def same(a: RawMetadata, b: RawMetadata) -> bool:
    """Equal to the last bit in every field."""
    for name in TENSOR_FIELDS:
        left, right = getattr(a, name), getattr(b, name)
        if (left is None) != (right is None) or (left is not None and not torch.equal(left, right)):
            return False
    return all(getattr(a, name) == getattr(b, name) for name in SAMPLE_FIELDS)


def batch(count: int) -> RawMetadata:
    """Samples whose fields are all different."""
    singles = []
    for k in range(count):
        record = NoiseRecord("m", {"shot": [k] * 4}, k, "rng", (k, k, k, k), (k, k, k, k))
        one = RawMetadata.neutral((), BAYER_LAYOUTS[k % 4])
        one = replace(one, method=f"m{k}", method_version=str(k), camera=f"c{k}", noise=record)
        one = replace(one.map_tensors(lambda t, k=k: t + k), iso=torch.tensor(100.0 * k))
        singles.append(replace(one, shot=torch.full((4,), 0.1 * k), read=torch.full((4,), 0.2 * k)))
    return RawMetadata.stack(singles)


@settings(max_examples=40)
@given(images(3))
def test_json_gives_back_every_bit(singles: list[RawMetadata]) -> None:
    stacked = RawMetadata.stack(singles)
    for meta in (singles[0], stacked, RawMetadata.stack([stacked, stacked])):
        assert same(RawMetadata.from_json(json.loads(json.dumps(meta.to_json()))), meta)


@settings(max_examples=40)
@given(images(3))
def test_indexing_inverts_stacking(singles: list[RawMetadata]) -> None:
    stacked = RawMetadata.stack(singles)
    assert stacked.shape == (3,)
    assert all(same(stacked[k], single) and single.shape == () for k, single in enumerate(singles))


@pytest.mark.parametrize(
    "index",
    [
        0,
        -1,
        slice(1, None),
        slice(None, None, 2),
        slice(3, 3),
        [3, 0, 0],
        [True, False, True, False],
        torch.tensor([2, 1]),
        torch.tensor([-1, 0]),
        torch.tensor([False, True, True, False]),
        torch.tensor([False] * 4),
    ],
    ids=str,
)
def test_names_and_numbers_are_picked_alike(index: object) -> None:
    meta = batch(4)
    rows = torch.arange(4)[index]
    picked = meta[index]
    expected = meta[int(rows)] if rows.dim() == 0 else [meta[int(k)] for k in rows]
    if isinstance(expected, list):
        assert picked.shape == (len(expected),)
        assert all(same(picked[k], one) for k, one in enumerate(expected))
    else:
        assert same(picked, expected)


def test_nested_batches_index_dimension_by_dimension() -> None:
    nested = RawMetadata.stack([batch(3), batch(4)[1:]])
    assert nested.shape == (2, 3)
    assert same(nested[1][2], batch(4)[3])
    assert same(nested[[1, 0]][0], batch(4)[1:])


def test_neutral_metadata_change_nothing() -> None:
    meta = RawMetadata.neutral((2, 3), "GBRG")
    assert meta.shape == (2, 3)
    assert meta.cfa == (("GBRG",) * 3,) * 2
    assert torch.equal(meta.cam_from_srgb, torch.eye(3).expand(2, 3, 3, 3))
    assert meta.white_balance.unique().tolist() == meta.rgb_gain.unique().tolist() == [1.0]
    assert (meta.iso, meta.shot, meta.read, meta.noise) == (None, None, None, ((None,) * 3,) * 2)


def test_map_tensors_skips_what_is_absent() -> None:
    seen = RawMetadata.neutral((2,)).map_tensors(lambda t: t.double())
    assert {seen.cam_from_srgb.dtype, seen.white_balance.dtype, seen.rgb_gain.dtype} == {torch.float64}
    assert seen.iso is None


def lack(name: str) -> Callable[[], RawMetadata]:
    return lambda: RawMetadata.stack([batch(2)[0], replace(batch(2)[1], **{name: None})])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: RawMetadata.stack([]), "at least one"),
        (lack("iso"), "some images have 'iso' and some do not"),
        (lack("shot"), "some images have 'shot' and some do not"),
        (lack("read"), "some images have 'read' and some do not"),
    ],
)
def test_what_cannot_be_stacked_is_refused(use: Callable[[], RawMetadata], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        use()


def test_one_image_is_not_indexed() -> None:
    with pytest.raises(IndexError, match="one image"):
        batch(2)[0][0]
