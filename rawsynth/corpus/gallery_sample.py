"""One sample of a gallery: its pictures at the sensor's pixels, its charts, its facts."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, ImageDraw
from torch import Tensor

from rawsynth.corpus.decoded import DecodedPair
from rawsynth.corpus.gallery_charts import histogram_chart, noise_chart
from rawsynth.corpus.gallery_page import PictureBlock, SampleBlock
from rawsynth.corpus.noise_check import PlaneCheck, ratio_of
from rawsynth.corpus.preview import clean_detail, noise_detail, residual_mosaic
from rawsynth.raw.display import shrink_packed
from rawsynth.raw.image import RawImage
from rawsynth.raw.pictures import encode_png, picture
from rawsynth.raw.rendering import render

_FRAME_PX = 480
_MARK = (255, 220, 0)


def sample_block(
    pair: DecodedPair, checks: Sequence[PlaneCheck], window: int, gain: float | None
) -> SampleBlock:
    """Draw one pair.

    Args:
        pair: what is shown.
        checks: of its noise, by plane; none where it has no noisy image.
        window: even side in sensor pixels of what is shown, the middle of the image.
        gain: of the residual; ``None`` where there is none.
    """
    place = Place.middle(pair.clean.packed, window)
    shown = pair.clean if pair.noisy is None else pair.noisy
    charts = [("Histogram", histogram_chart(shown.packed, str(shown.metadata.cfa)))]
    if checks:
        charts.append(("Noise against the model, measured / model by plane", noise_chart(checks)))
    return SampleBlock(
        name=pair.name,
        pictures=list(_pictures(pair, place, gain)),
        frame=_frame(pair.clean, place) if place.is_part else None,
        frame_caption=f"{place.full_width} x {place.full_height}, and what is shown of it",
        charts=charts,
        facts=_facts(pair, checks),
        meta=pair.meta,
    )


@dataclass(frozen=True)
class Place:
    """A rectangle of an image, in packed pixels."""

    top: int
    left: int
    height: int
    width: int
    full: tuple[int, int]

    @classmethod
    def middle(cls, packed: Tensor, window: int) -> Place:
        """Return the middle of ``(4, h, w)``, at most ``window`` sensor pixels on a side."""
        rows, columns = packed.shape[-2:]
        height, width = min(rows, window // 2), min(columns, window // 2)
        return cls((rows - height) // 2, (columns - width) // 2, height, width, (rows, columns))

    @property
    def is_part(self) -> bool:
        """Whether there is more of the image."""
        return (self.height, self.width) != self.full

    @property
    def full_height(self) -> int:
        """Rows of the sensor's image."""
        return 2 * self.full[0]

    @property
    def full_width(self) -> int:
        """Columns of the sensor's image."""
        return 2 * self.full[1]

    def of_packed(self, packed: Tensor) -> Tensor:
        """Cut it out of packed planes."""
        return packed[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def of_raw(self, raw: RawImage) -> RawImage:
        """Cut it out of an image."""
        return RawImage(self.of_packed(raw.packed), raw.metadata)

    def of_pixels(self, image: Tensor) -> Tensor:
        """Cut it out of ``(..., H, W)`` at the sensor's size."""
        top, left = 2 * self.top, 2 * self.left
        return image[..., top : top + 2 * self.height, left : left + 2 * self.width]


def _pictures(pair: DecodedPair, place: Place, gain: float | None) -> Iterator[PictureBlock]:
    if pair.srgb is not None:
        yield _block("sRGB", f"of {pair.meta['source']['key']}", place.of_pixels(torch.from_numpy(pair.srgb)))
    method = pair.clean.metadata.method
    yield _block("clean", f"RAW by {method}: {clean_detail(pair.meta)}", render(place.of_raw(pair.clean)))
    if pair.noisy is None or pair.entry is None or gain is None:
        return
    detail = noise_detail(pair.entry, pair.clean.packed, pair.noisy.packed)
    yield _block("noisy", f"RAW: {detail}", render(place.of_raw(pair.noisy)))
    residual = residual_mosaic(place.of_packed(pair.clean.packed), place.of_packed(pair.noisy.packed), gain)
    yield _block("residual", f"noisy - clean, x {gain:g}: the mosaic, gray is no noise", residual, gray=True)


def _block(view: str, caption: str, srgb: Tensor, *, gray: bool = False) -> PictureBlock:
    height, width = srgb.shape[-2:]
    image = picture(srgb, height)
    # One channel holds all of a gray picture, in a third of the bytes.
    return PictureBlock(view, caption, encode_png(image.convert("L") if gray else image), width, height)


def _frame(raw: RawImage, place: Place) -> bytes:
    scale = _FRAME_PX / max(place.full)
    rows, columns = (max(1, round(side * scale)) for side in place.full)
    small = RawImage(shrink_packed(raw.packed, _FRAME_PX), raw.metadata)
    image = picture(render(small), rows).resize((columns, rows), Image.Resampling.BOX)
    box = (place.left, place.top, place.left + place.width, place.top + place.height)
    ImageDraw.Draw(image).rectangle([round(side * scale) for side in box], outline=_MARK, width=2)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def _facts(pair: DecodedPair, checks: Sequence[PlaneCheck]) -> dict[str, str]:
    meta, raw, levels = pair.meta, pair.meta["raw"], pair.levels
    rows, columns = (2 * side for side in pair.clean.packed.shape[-2:])
    source = meta["source"]
    facts = {
        "source": f"{source['key']}, {source['width']} x {source['height']}",
        "RAW": f"{columns} x {rows}, {raw['cfa']}, {raw['method']} version {raw['method_version']}",
        "camera": f"{raw['camera']}, light of {raw['cct']:.0f} K" if raw.get("camera") and raw.get("cct") else "none",
        "levels": f"black {levels.black_level}, white {levels.white_level}, {levels.bits} bits",
    }
    if meta.get("split"):
        facts["split"] = str(meta["split"])
    if pair.entry is not None:
        noise = pair.entry["noise"]
        whose = f" of {noise['camera']}" if noise.get("camera") else ""
        iso = f" at ISO {noise['iso']:.0f}" if noise.get("iso") else ""
        facts["noise"] = f"{noise['model']}{whose}{iso}"
        for name, values in (("S", pair.entry["shot"]), ("O", pair.entry["read"])):
            facts[name] = "  ".join(f"{value:.3e}" for value in values)
    ratio = ratio_of(checks)
    if ratio is not None:
        facts["measured / model"] = str(ratio)
    return facts
