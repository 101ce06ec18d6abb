"""From an encoded source image to the views of it that become samples: decode, downscale, filter, crop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import seeding
from rawsynth.errors import InputAccessError, SampleError, SampleSkipped
from rawsynth.methods.style_encoder import grid_places
from rawsynth.pipeline.config import ImageConfig, ReadConfig
from rawsynth.pipeline.decode import crop_to_even, decode_srgb, downscale_linear
from rawsynth.pipeline.keys import crop_key
from rawsynth.pipeline.raw_source import RawChoices, decode_source
from rawsynth.pipeline.source_sample import LostSample, SourceSample
from rawsynth.pipeline.stages import StageClock


@dataclass(frozen=True)
class View:
    """Part of a source image that becomes one sample.

    Attributes:
        key: the sample's key.
        image: ``(3, H, W)`` uint8, or float32 in [0, 1]; H and W even. Of camera RAW, ``(4, H/2, W/2)`` float32 planes
            on the unit scale.
        frame: ``(3, h, w)``, pixels of all of the photograph at equal distances, of the image's type: what a reverse
            ISP reads a style from, so that crops of one photograph fit together. Empty for camera RAW.
        source: where it comes from and how it was cut, JSON-ready.
        kept: members that travel along, by extension.
        split: name of its split, if the corpus has any.
        raw: of camera RAW, what the sample's JSON has under ``raw``; ``None`` for a picture, which goes through a
            reverse ISP.
    """

    key: str
    image: NDArray[Any]
    frame: NDArray[Any]
    source: Mapping[str, Any]
    kept: Mapping[str, bytes]
    split: str | None
    raw: Mapping[str, Any] | None = None

    @property
    def pixels(self) -> int:
        """Pixels of the picture, or sites of the sensor."""
        return int(self.image[0].size) * (1 if self.raw is None else 4)


@dataclass(frozen=True)
class SkippedSample:
    """An image that a filter left out, for the record."""

    key: str
    reason: str


@dataclass(frozen=True)
class ViewMaker:
    """Cut one source image's views; depends on the image, its key and the configuration only. ``clock`` takes times."""

    seed: int
    read: ReadConfig
    image: ImageConfig
    clock: StageClock = field(default_factory=StageClock, compare=False)
    raw: RawChoices = RawChoices()

    def __call__(self, sample: SourceSample | LostSample) -> list[View] | LostSample | SkippedSample:
        """Return the views, or why there are none. Only a fault of access raises."""
        if isinstance(sample, LostSample):
            return sample
        try:
            return self._views(sample)
        except SampleSkipped as reason:
            return SkippedSample(sample.key, str(reason))
        except SampleError as error:
            return LostSample(sample.key, "decode", str(error))
        except (InputAccessError, MemoryError):
            # Neither is the image's fault.
            raise
        except Exception as error:  # noqa: BLE001 - the sample boundary: whatever an image causes costs that image
            return LostSample(sample.key, "decode", f"{type(error).__name__}: {error}")

    def _views(self, sample: SourceSample) -> list[View]:
        with self.clock.measure("read"):
            data = sample.load()
        with self.clock.measure("decode"):
            whole = self._decoded_raw(data, sample) if sample.is_raw else self._decoded(data, sample)
        with self.clock.measure("read"):
            kept = {extension: load() for extension, load in sample.kept.items()}
        with self.clock.measure("decode"):
            return self._cut(replace(whole, kept=kept))

    def _decoded(self, data: bytes, sample: SourceSample) -> View:
        image = decode_srgb(data, max_pixels=self.image.max_pixels)
        source = {"key": sample.source_key, "url": sample.url, "height": image.shape[1], "width": image.shape[2]}
        if self.image.downscale > 1:
            image = downscale_linear(image, self.image.downscale)
            source["downscale"] = self.image.downscale
        self._check(image, *image.shape[1:])
        split = choose_split(self.read.splits, self.seed, sample.key)
        return View(sample.key, image, frame_pixels(image), source, {}, split)

    def _decoded_raw(self, data: bytes, sample: SourceSample) -> View:
        limits = {"max_pixels": self.image.max_pixels, "downscale": self.image.downscale}
        decoded = decode_source(data, sample.source_key, **limits, choices=self.raw)  # type: ignore[arg-type]
        image = decoded.packed
        self._check(image, 2 * image.shape[1], 2 * image.shape[2])
        source = {"key": sample.source_key, "url": sample.url, **decoded.source}
        split = choose_split(self.read.splits, self.seed, sample.key)
        return View(sample.key, image, image[:3, :0, :0], source, {}, split, decoded.raw)

    def _check(self, image: NDArray[Any], height: int, width: int) -> None:
        check_size(height, width, self.image)
        if self.image.max_clipped is not None:
            check_clipping(image, self.image.max_clipped)

    def _cut(self, whole: View) -> list[View]:
        if self.image.crop is None:
            return [_even(whole)]
        # A tile of a mosaic is one place in its planes, so crops keep the phase.
        step = 1 if whole.raw is None else 2
        height, width = (side // step for side in self.image.crop)
        rows, columns = (step * side for side in whole.image.shape[1:])
        boxes = crop_boxes(rows, columns, self.image, self.seed, whole.key, step=step)
        return [
            replace(
                whole,
                key=crop_key(whole.key, index, self.image.crops),
                image=np.ascontiguousarray(
                    whole.image[:, top // step : top // step + height, left // step : left // step + width]
                ),
                source={**whole.source, "crop": [top, left, *self.image.crop]},
            )
            for index, (top, left) in enumerate(boxes)
        ]


def _even(whole: View) -> View:
    """Drop the last row and column of an odd side; a decoded mosaic has whole tiles already."""
    if whole.raw is not None:
        return whole
    even, trimmed = crop_to_even(whole.image)
    frame = frame_pixels(even) if trimmed else whole.frame
    return replace(whole, image=even, frame=frame, source={**whole.source, "trimmed_to_even": trimmed})


def frame_pixels(image: NDArray[Any]) -> NDArray[Any]:
    """Return the pixels of a photograph ``(3, H, W)`` that decide its style."""
    rows, columns = (grid_places(extent).numpy() for extent in image.shape[-2:])
    # NumPy takes these few pixels in a tenth of the time that indexing a tensor needs.
    return image.take(rows, axis=1).take(columns, axis=2)


def check_size(height: int, width: int, config: ImageConfig) -> None:
    """Raise SampleSkipped for an image smaller than the crop or the shortest side allowed."""
    side = config.min_side
    for reason, wanted in (("crop", config.crop), ("min_side", (side, side))):
        if wanted is not None and (height < wanted[0] or width < wanted[1]):
            raise SampleSkipped(f"too small: {height}x{width}, {reason} wants {wanted[0]}x{wanted[1]}")


def check_clipping(image: NDArray[Any], limit: float) -> None:
    """Raise SampleSkipped if too large a share of pixels has a saturated channel."""
    white = 255 if image.dtype == np.uint8 else 1.0
    share = float((image >= white).any(axis=0).mean())
    if share > limit:
        raise SampleSkipped(f"too clipped: {share:.3f} of the pixels saturated, max_clipped is {limit:g}")


def crop_boxes(
    height: int, width: int, config: ImageConfig, seed: int, key: str, *, step: int = 1
) -> list[tuple[int, int]]:
    """Draw the crops' top-left corners, uniformly over the multiples of ``step``, from the sample's key."""
    assert config.crop is not None
    rng = seeding.scalar_rng(seeding.sample_seed(seed, key, "crop"))
    spans = ((height - config.crop[0]) // step + 1, (width - config.crop[1]) // step + 1)
    return [(step * int(rng.integers(spans[0])), step * int(rng.integers(spans[1]))) for _ in range(config.crops)]


def choose_split(shares: Mapping[str, float], seed: int, key: str) -> str | None:
    """Assign a source image to a split by a hash of its key, so that its crops and realizations stay together."""
    if not shares:
        return None
    at = seeding.sample_seed(seed, key, "split") / 2.0**63
    # By name: the digest knows the shares, not the order in which they were written down.
    for name, share in sorted(shares.items()):
        at -= share
        if at < 0:
            return name
    return name
