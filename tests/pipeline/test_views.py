"""views: what of an image becomes a sample, or why nothing does; a function of the image, its key and the seed."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from rawsynth.errors import InputAccessError
from rawsynth.methods.style_encoder import GRID
from rawsynth.pipeline.config import GenerateConfig, ImageConfig, ReadConfig
from rawsynth.pipeline.decode import decode_srgb, downscale_linear
from rawsynth.pipeline.source_sample import ImageBytes, LostSample, SourceSample
from rawsynth.pipeline.views import SkippedSample, View, ViewMaker, choose_split, crop_boxes

SIZES = st.tuples(st.integers(2, 40), st.integers(2, 40))


def source(data: bytes, key: str = "a-jpg", kept: dict[str, ImageBytes] | None = None) -> SourceSample:
    return SourceSample(key, "a.jpg", "in/a.jpg", ImageBytes(data=data), kept or {})


def views(sample: SourceSample, *, seed: int = 0, splits: dict[str, float] | None = None, **image: Any) -> list[View]:
    made = ViewMaker(seed, ReadConfig(splits=splits or {}), ImageConfig(**image))(sample)
    assert isinstance(made, list), made
    return made


def refusal(sample: SourceSample, **image: Any) -> LostSample | SkippedSample:
    made = ViewMaker(0, ReadConfig(), ImageConfig(**image))(sample)
    assert not isinstance(made, list)
    return made


def decoded(data: bytes) -> np.ndarray:
    return decode_srgb(data, max_pixels=10**8)


# ---- the full image ----


def test_a_view_knows_its_photograph(photo: Callable[..., bytes]) -> None:
    """The pixels that the style is read from are those of all of the photograph, whatever is cut from it."""
    data = photo(0, height=301, width=259)
    image = decoded(data)
    rows, columns = ((np.arange(GRID) * 2 + 1) * side // (2 * GRID) for side in (301, 259))
    for view in views(source(data), crop=(32, 48), crops=2):
        assert np.array_equal(view.frame, image[:, rows][:, :, columns])
    (whole,) = views(source(data))
    rows, columns = ((np.arange(GRID) * 2 + 1) * side // (2 * GRID) for side in whole.image.shape[1:])
    assert np.array_equal(whole.frame, whole.image[:, rows][:, :, columns])


@pytest.mark.parametrize(("height", "width"), [(32, 48), (33, 48), (32, 49), (33, 49), (16, 16), (17, 99)])
def test_an_odd_side_loses_one_pixel_and_says_so(photo: Callable[..., bytes], height: int, width: int) -> None:
    data = photo(0, height=height, width=width)
    (view,) = views(source(data))
    assert view.image.shape == (3, height // 2 * 2, width // 2 * 2)
    assert np.array_equal(view.image, decoded(data)[:, : height // 2 * 2, : width // 2 * 2])
    assert view.source == {
        "key": "a.jpg",
        "url": "in/a.jpg",
        "height": height,
        "width": width,
        "trimmed_to_even": bool(height % 2 or width % 2),
    }
    assert (view.key, view.split, view.kept) == ("a-jpg", None, {})


def test_downscaled_in_linear_light(photo: Callable[..., bytes]) -> None:
    data = photo(0, height=47, width=66)
    (view,) = views(source(data), downscale=1.5)
    assert view.image.dtype == np.float32
    assert np.array_equal(view.image, downscale_linear(decoded(data), 1.5)[:, :30])
    assert (view.source["downscale"], view.source["height"], view.source["width"]) == (1.5, 47, 66)
    assert view.source["trimmed_to_even"]


def test_kept_members_are_loaded(tmp_path: Path, photo: Callable[..., bytes]) -> None:
    (tmp_path / "a.txt").write_text("a caption")
    kept = {"txt": ImageBytes(url=str(tmp_path / "a.txt")), "cls": ImageBytes(data=b"7")}
    (view,) = views(source(photo(0), kept=kept))
    assert view.kept == {"txt": b"a caption", "cls": b"7"}


# ---- what cannot be a sample ----

CORRUPT: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "zero bytes": (lambda jpeg: b"", "empty file"),
    "cut JPEG": (lambda jpeg: jpeg[: len(jpeg) // 2], "damaged"),
    "JPEG header only": (lambda jpeg: jpeg[:20], "damaged"),
    "text": (lambda jpeg: b"no image at all", "not an image"),
    "HTML": (lambda jpeg: b"<!DOCTYPE html><html>404</html>", "HTML"),
    "LFS pointer": (lambda jpeg: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
}


@pytest.mark.parametrize("what", CORRUPT)
def test_a_corrupt_image_is_recorded(photo: Callable[..., bytes], what: str) -> None:
    damage, cause = CORRUPT[what]
    lost = refusal(source(damage(photo(0, height=64, width=64, fmt="JPEG"))))
    assert isinstance(lost, LostSample)
    assert (lost.key, lost.stage) == ("a-jpg", "decode") and cause in lost.cause


def test_an_image_over_max_pixels_is_recorded_before_it_is_decoded(photo: Callable[..., bytes]) -> None:
    lost = refusal(source(photo(0, height=40, width=50)[:60]), max_pixels=1999)
    assert isinstance(lost, LostSample) and "2000 pixels exceeds max_pixels 1999" in lost.cause


@pytest.mark.parametrize("error", [RuntimeError("odd"), ZeroDivisionError("by zero")])
def test_whatever_an_image_causes_costs_that_image(
    photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("rawsynth.pipeline.views.decode_srgb", fail)
    lost = refusal(source(photo(0)))
    assert isinstance(lost, LostSample) and type(error).__name__ in lost.cause


@pytest.mark.parametrize("which", ["image", "label"])
def test_a_fault_of_access_is_no_loss(tmp_path: Path, photo: Callable[..., bytes], which: str) -> None:
    gone = ImageBytes(url=str(tmp_path / "gone"))
    there = ImageBytes(data=photo(0))
    image, label = (gone, there) if which == "image" else (there, gone)
    with pytest.raises(InputAccessError, match="gone"):
        ViewMaker(0, ReadConfig(), ImageConfig())(SourceSample("a", "a", "a", image, {"txt": label}))


def test_what_the_reader_lost_stays_lost() -> None:
    lost = LostSample("a", "read", "cut off")
    assert ViewMaker(0, ReadConfig(), ImageConfig())(lost) is lost


# ---- what is left out ----

LEFT_OUT = [
    ({"crop": 64}, "too small: 32x48, crop wants 64x64"),
    ({"crop": (32, 50)}, "too small: 32x48, crop wants 32x50"),
    ({"crop": (34, 48)}, "too small: 32x48, crop wants 34x48"),
    ({"min_side": 33}, "too small: 32x48, min_side wants 33x33"),
    ({"crop": 16, "min_side": 33}, "too small: 32x48, min_side wants 33x33"),
    ({"downscale": 2.0, "crop": 18}, "too small: 16x24, crop wants 18x18"),
    ({"downscale": 2.5}, "too small: 12x19, min_side wants 16x16"),
]


@pytest.mark.parametrize(("image", "reason"), LEFT_OUT)
def test_a_small_image_is_left_out_and_counted_apart(
    photo: Callable[..., bytes], image: dict[str, Any], reason: str
) -> None:
    assert refusal(source(photo(0)), **image) == SkippedSample("a-jpg", reason)


@pytest.mark.parametrize("image", [{"crop": 32}, {"crop": (32, 48)}, {"min_side": 32}, {"downscale": 2.0, "crop": 16}])
def test_an_image_that_just_fits_is_taken(photo: Callable[..., bytes], image: dict[str, Any]) -> None:
    assert len(views(source(photo(0)), **image)) == 1


def half_white(share: float, *, channels: int = 1) -> bytes:
    """A 20 x 50 image with that share of its pixels saturated in some channels."""
    pixels = np.full((20, 50, 3), 100, np.uint8)
    pixels.reshape(-1, 3)[: round(1000 * share), :channels] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("share", "limit", "taken"), [(0.2, 0.2, True), (0.2, 0.199, False), (0.0, 0.0, True), (0.001, 0.0, False)]
)
def test_max_clipped_counts_pixels_with_a_saturated_channel(
    share: float, limit: float, taken: bool, channels: int
) -> None:
    made = ViewMaker(0, ReadConfig(), ImageConfig(max_clipped=limit))(source(half_white(share, channels=channels)))
    if taken:
        assert isinstance(made, list)
    else:
        reason = f"too clipped: {share:.3f} of the pixels saturated, max_clipped is {limit:g}"
        assert made == SkippedSample("a-jpg", reason)


def test_clipping_is_counted_after_downscaling() -> None:
    """Averaging hides single white pixels; what counts is the image that is used."""
    data = half_white(0.5)
    assert isinstance(refusal(source(data), max_clipped=0.4), SkippedSample)
    (view,) = views(source(data), max_clipped=0.6, downscale=1.25)
    assert view.image.shape == (3, 16, 40)


# ---- crops ----


SPARES = st.tuples(st.integers(0, 30), st.integers(0, 30))


@given(size=SIZES, spare=SPARES, count=st.integers(1, 6), seed=st.integers(0))
def test_crops_lie_inside(size: tuple[int, int], spare: tuple[int, int], count: int, seed: int) -> None:
    crop = (size[0] // 2 * 2, size[1] // 2 * 2)
    height, width = crop[0] + spare[0], crop[1] + spare[1]
    config = ImageConfig(crop=crop, crops=count)
    boxes = crop_boxes(height, width, config, seed, "key")
    assert len(boxes) == count
    assert all(0 <= top <= spare[0] and 0 <= left <= spare[1] for top, left in boxes)
    assert boxes == crop_boxes(height, width, config, seed, "key")


def test_every_place_is_drawn() -> None:
    """An image just larger than the crop: all nine places come up, each about equally often."""
    config = ImageConfig(crop=4, crops=1)
    drawn = [crop_boxes(6, 6, config, 0, f"key{i}")[0] for i in range(900)]
    counts = {box: drawn.count(box) for box in set(drawn)}
    assert set(counts) == {(top, left) for top in range(3) for left in range(3)}
    assert all(60 < count < 145 for count in counts.values())  # 100 expected, sigma 9.4


def test_crops_are_cut_where_they_say(photo: Callable[..., bytes]) -> None:
    data = photo(0, height=45, width=61)
    made = views(source(data), crop=(16, 24), crops=4, seed=3)
    assert [view.key for view in made] == [f"a-jpg-c{i}" for i in range(4)]
    for view in made:
        top, left, height, width = view.source["crop"]
        assert (height, width) == (16, 24)
        assert np.array_equal(view.image, decoded(data)[:, top : top + 16, left : left + 24])
        assert view.image.flags.c_contiguous
    assert len({tuple(view.source["crop"]) for view in made}) > 1


def test_crops_depend_on_seed_and_key_only(photo: Callable[..., bytes]) -> None:
    def boxes(index: int, key: str, seed: int) -> list[Any]:
        made = views(source(photo(index, height=64, width=80), key), crop=16, crops=3, seed=seed)
        return [view.source["crop"] for view in made]

    assert boxes(0, "a-jpg", 0) == boxes(0, "a-jpg", 0) == boxes(1, "a-jpg", 0)
    assert boxes(0, "a-jpg", 0) != boxes(0, "a-jpg", 1)
    assert boxes(0, "a-jpg", 0) != boxes(0, "b-jpg", 0)


def test_more_crops_begin_with_the_same_ones() -> None:
    few, many = (crop_boxes(90, 90, ImageConfig(crop=16, crops=n), 5, "key") for n in (2, 5))
    assert many[:2] == few


def test_a_single_crop_keeps_the_image_s_key(photo: Callable[..., bytes]) -> None:
    (view,) = views(source(photo(0)), crop=16)
    assert view.key == "a-jpg" and view.image.shape == (3, 16, 16)


# ---- splits ----

SHARES = {"train": 0.7, "val": 0.2, "test": 0.1}


def test_an_image_s_crops_share_a_split(photo: Callable[..., bytes]) -> None:
    data = photo(0)
    chosen = [
        {view.split for view in views(source(data, f"k{i}"), crop=16, crops=4, splits=SHARES)} for i in range(40)
    ]
    assert all(len(splits) == 1 for splits in chosen)
    assert set.union(*chosen) == set(SHARES)


def test_splits_have_their_shares() -> None:
    n = 4000
    chosen = [choose_split(SHARES, 1, f"key{i}") for i in range(n)]
    for name, share in SHARES.items():
        assert abs(chosen.count(name) - n * share) < 5 * (n * share * (1 - share)) ** 0.5


def test_splits_follow_the_seed_and_not_the_crops() -> None:
    keys = [f"key{i}" for i in range(200)]
    assert [choose_split(SHARES, 0, k) for k in keys] != [choose_split(SHARES, 1, k) for k in keys]
    assert {choose_split({}, 0, k) for k in keys} == {None}
    assert {choose_split({"all": 1.0}, 0, k) for k in keys} == {"all"}


@given(key=st.text(max_size=8))
def test_one_digest_is_one_way_to_split(key: str) -> None:
    """Two configurations that a record cannot tell apart must not make different corpora."""
    reordered = dict(reversed(SHARES.items()))
    digests = {GenerateConfig(input="a", output="b", read=ReadConfig(splits=s)).digest() for s in (SHARES, reordered)}
    if len(digests) == 1:
        assert choose_split(SHARES, 0, key) == choose_split(reordered, 0, key)
