"""RawImage behaves as a batch does elsewhere in PyTorch."""

import copy
import pickle
from collections.abc import Sequence

import pytest
import torch
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset

from rawsynth.errors import UsageError
from rawsynth.raw.cfa import BAYER_LAYOUTS, mosaic
from rawsynth.raw.image import RawImage
from rawsynth.transforms import AddNoise, ReverseISP

KEYS = ["a", "b", "c", "d"]


def clean_batch(count: int = 4) -> RawImage:
    """Images that differ in everything, the CFA included."""
    srgb = torch.rand(count, 3, 6, 10, generator=torch.Generator().manual_seed(0))
    return ReverseISP("unprocess", seed=0)(srgb, keys=KEYS[:count], overrides={"cfa": list(BAYER_LAYOUTS)[:count]})


def noisy_batch(count: int = 4) -> RawImage:
    return AddNoise("heteroscedastic_gaussian", camera="Sony ILCE-7SM2", seed=0)(clean_batch(count), keys=KEYS[:count])


def assert_same(a: RawImage, b: RawImage) -> None:
    assert a.packed.dtype == b.packed.dtype
    assert torch.equal(a.packed, b.packed)
    assert a.metadata.to_json() == b.metadata.to_json()


BOTH = pytest.mark.parametrize("raw", [clean_batch(), noisy_batch()], ids=["clean", "noisy"])


@BOTH
def test_iterating_inverts_stacking(raw: RawImage) -> None:
    singles = list(raw)
    assert len(singles) == len(raw) == 4
    assert [single.is_batched for single in singles] == [False] * 4
    assert [single.metadata.cfa for single in singles] == list(BAYER_LAYOUTS)
    assert_same(RawImage.stack(singles), raw)


INDICES = [
    2,
    -1,
    slice(1, 3),
    slice(None, None, 2),
    [3, 0, 0],
    [True, False, True, False],
    torch.tensor([2, 1]),
    torch.tensor([False, True, True, False]),
    torch.tensor(1),
    torch.arange(4).numpy()[1],
    (torch.arange(4) > 1).numpy(),
    ...,
]


@BOTH
@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indexing_takes_planes_and_metadata_alike(raw: RawImage, index: object) -> None:
    rows = torch.arange(4)[index].flatten().tolist()
    picked = raw[index]
    assert_same(picked if picked.is_batched else RawImage.stack([picked]), RawImage.stack([raw[k] for k in rows]))


@pytest.mark.parametrize(
    "index",
    [
        (1, 0),
        (0,),
        None,
        "a",
        0.5,
        4,
        -5,
        [0, 4],
        [[0, 1]],
        [True, False],
        torch.tensor([True] * 3),
        [True] * 5,
    ],
    ids=str,
)
def test_other_indices_are_refused(index: object) -> None:
    """A tuple would part the planes from their metadata: batches are indexed dimension by dimension."""
    for batch in (noisy_batch(), noisy_batch().metadata):
        with pytest.raises(IndexError):
            batch[index]


def test_nested_batches() -> None:
    raw = noisy_batch()
    nested = RawImage.stack([raw[:2], raw[2:]])
    assert nested.shape == (2, 2, 4, 3, 5)
    assert len(nested) == 2
    assert_same(nested[1][0], raw[2])


@pytest.mark.parametrize("use", [len, list, lambda raw: raw[0]])
def test_one_image_is_no_batch(use) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(TypeError, match="one image, not a batch"):
        use(clean_batch()[0])


@BOTH
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_dtype_applies_to_the_planes_only(raw: RawImage, dtype: torch.dtype) -> None:
    moved = raw.to(dtype)
    assert moved.packed.dtype == dtype
    assert torch.equal(moved.packed, raw.packed.to(dtype))
    assert moved.metadata.rgb_gain.dtype == torch.float32
    assert moved.metadata.to_json() == raw.metadata.to_json()


@BOTH
def test_a_device_applies_to_everything(raw: RawImage) -> None:
    for moved in (raw.to("meta"), raw.to(device="meta", non_blocking=True), raw.to(torch.empty(0, device="meta"))):
        assert {leaf.device.type for leaf in pytree.tree_leaves(moved) if leaf is not None} == {"meta"}
        assert moved.device.type == "meta"
    assert_same(raw.cpu(), raw)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_and_back() -> None:
    raw = noisy_batch()
    assert raw.pin_memory().packed.is_pinned()
    assert_same(raw.pin_memory().to("cuda", non_blocking=True).cpu(), raw)


class Photographs(Dataset[dict]):
    """One RawImage an item, as a training set gives them."""

    def __getitem__(self, index: int) -> dict:
        return {"raw": noisy_batch()[index], "key": KEYS[index]}

    def __len__(self) -> int:
        return 4


def test_a_data_loader_collates_with_workers() -> None:
    batches = list(DataLoader(Photographs(), batch_size=2, num_workers=2, multiprocessing_context="fork"))
    assert [item["key"] for item in batches] == [["a", "b"], ["c", "d"]]
    raw = noisy_batch()
    for item, expected in zip(batches, (raw[:2], raw[2:]), strict=True):
        assert_same(item["raw"], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_data_loader_pins() -> None:
    batch = next(iter(DataLoader(Photographs(), batch_size=4, pin_memory=True)))
    assert batch["raw"].packed.is_pinned()
    assert batch["raw"].metadata.shot.is_pinned()


@BOTH
def test_copies(raw: RawImage) -> None:
    assert_same(copy.deepcopy(raw), raw)
    assert_same(pickle.loads(pickle.dumps(raw)), raw)


@pytest.mark.parametrize(
    "raw",
    [
        noisy_batch(),
        clean_batch(),
    ],
    ids=["noisy", "clean"],
)
def test_the_leaves_are_the_tensors(raw: RawImage) -> None:
    leaves, spec = pytree.tree_flatten(raw)
    assert leaves[0] is raw.packed
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    assert_same(pytree.tree_unflatten(leaves, spec), raw)
    mapped = pytree.tree_map(lambda t: t.double(), raw)
    assert mapped.packed.dtype == mapped.metadata.white_balance.dtype == torch.float64
    assert mapped.metadata.cfa == raw.metadata.cfa
    assert mapped.metadata.noise == raw.metadata.noise


def test_the_mosaic_is_the_sensor_image() -> None:
    rgb = torch.rand(2, 3, 6, 8)
    raw = RawImage.from_packed(mosaic(rgb, "GRBG"), "GRBG")
    assert torch.equal(raw.mosaic()[:, 0::2, 1::2], rgb[:, 0, 0::2, 1::2])
    assert torch.equal(raw.mosaic()[:, 1::2, 0::2], rgb[:, 2, 1::2, 0::2])
    assert raw.mosaic().shape == (2, 6, 8)


def test_variance_by_plane() -> None:
    x = torch.tensor([[-0.5, 0.0], [0.25, 1.0]]).expand(3, 4, 2, 2)
    shot, read = [0.1, 0.2, 0.4, 0.8], [0.01, 0.02, 0.03, 0.04]
    raw = AddNoise("heteroscedastic_gaussian", shot=shot, read=read)(RawImage.from_packed(x))
    raw = RawImage(x, raw.metadata)
    for plane in range(4):
        expected = torch.tensor([read[plane] + shot[plane] * light for light in (0.0, 0.0, 0.25, 1.0)])
        assert torch.allclose(raw.variance()[:, plane], expected.view(2, 2).expand(3, 2, 2))
        assert torch.equal(raw[1].variance()[plane], raw.variance()[1, plane])


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (RawImage.from_packed(torch.zeros(4, 2, 3), iso=100), "(4, 2, 3) float32 on cpu, RGGB, ISO 100, no noise"),
        (RawImage.from_packed(torch.zeros(2, 1, 4, 2, 3), iso=[[100], [800]], camera="A"), "A, ISO 100 to 800, no"),
        (RawImage.from_packed(torch.zeros(0, 4, 2, 3), iso=100), "(0, 4, 2, 3) float32 on cpu, no noise"),
        (noisy_batch(2), "heteroscedastic_gaussian)"),
    ],
    ids=["one", "nested", "none", "noisy"],
)
def test_it_says_what_it_is_in_one_line(raw: RawImage, said: str) -> None:
    assert said in repr(raw) and len(repr(raw)) < 200


def test_variance_needs_noise() -> None:
    with pytest.raises(UsageError, match="AddNoise"):
        clean_batch().variance()


def stack_of(sizes: Sequence[int]) -> RawImage:
    return RawImage.stack([RawImage.from_packed(torch.zeros(4, size, 2)) for size in sizes])


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: RawImage.from_packed(torch.zeros(3, 2, 2)), r"\(3, 2, 2\)"),
        (lambda: RawImage.from_packed(torch.zeros(4, 2)), r"\(4, 2\)"),
        (lambda: RawImage.from_packed(torch.zeros(4, 2, 2, dtype=torch.int32)), "int32"),
        (lambda: RawImage.from_packed(torch.zeros(4, 2, 2), "RGBG"), "BGGR, GBRG, GRBG, RGGB"),
        (lambda: stack_of([]), "at least one"),
        (lambda: RawImage.stack([clean_batch()[0], noisy_batch()[0]]), "'iso'"),
    ],
)
def test_wrong_planes_are_refused(use, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=message):
        use()
