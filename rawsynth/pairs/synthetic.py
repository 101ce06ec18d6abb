"""Synthetic pairs of photographs: surrogate light, a simulated camera, a random ISP. Neither side is real RAW."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rawsynth.cameras import CameraProfile
from rawsynth.cameras.choosing import cameras_with
from rawsynth.cameras.color import draw_cct
from rawsynth.errors import UsageError
from rawsynth.methods.global_inverse import srgb_decoding
from rawsynth.methods.style_encoder import grid_places
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.pair import Pair, PairSet
from rawsynth.pairs.photographs import Photograph, decode_photograph
from rawsynth.pairs.renderings import load_renderings
from rawsynth.pairs.surrogate import draw_surrogate, exposure_of, scene_light, to_camera, uneven_light
from rawsynth.raw.cfa import mosaic
from rawsynth.seeding import sample_seed, scalar_rng

PACKAGED = ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg")
"""Real photographs that come with scikit-image."""

_CFA = "RGGB"


class SyntheticPairs(PairSet):
    """Crops of photographs as random cameras and ISPs would have taken them.

    Args:
        photographs: material; each is one scene.
        seed: of everything; the key decides a pair, whatever else is in the set.
        renditions: pairs of each photograph: another camera, light, exposure, ISP and crop each.
        crop: side of the crops in pixels, even; less where a photograph is smaller.

    Pairs state the camera's matrix and white balance, not the exposure.

    Raises:
        UsageError: no photograph, no rendition, or a crop that is odd or below 32.
    """

    def __init__(
        self, photographs: Sequence[Photograph], *, seed: int = 0, renditions: int = 4, crop: int = 256
    ) -> None:
        if not photographs or renditions < 1 or crop < 32 or crop % 2:
            raise UsageError(
                "synthetic pairs take photographs, 1 rendition or more and an even crop from 32 up; got "
                f"{len(photographs)}, {renditions} and {crop}."
            )
        self.seed, self.crop = seed, crop
        self._places = [(photograph, k) for photograph in photographs for k in range(renditions)]
        self.keys = [f"{photograph.name}/{k}" for photograph, k in self._places]
        self.scenes = [photograph.name for photograph, _ in self._places]
        self._cameras: tuple[CameraProfile, ...] = tuple(cameras_with(color=True).values())
        self._isp = ForwardISP(load_renderings())

    def __getitem__(self, index: int) -> Pair:
        (photograph, _), key = self._places[index], self.keys[index]
        rng = scalar_rng(sample_seed(self.seed, key, "synthetic pair"))
        camera, cct_k = self._cameras[int(rng.integers(len(self._cameras)))], float(draw_cct(rng))
        matrix, gains = camera.color(cct_k)
        known = {"cam_from_srgb": np.asarray(matrix).tolist(), "white_balance": [float(gain) for gain in gains]}
        surrogate, isp = draw_surrogate(rng), self._isp.draw(rng) | known | {"cfa": _CFA}
        height, width = photograph.codes.shape[1:]
        sides = [min(self.crop, side // 2 * 2) for side in (height, width)]
        top, left = (int(rng.integers(full - side + 1)) for full, side in zip((height, width), sides, strict=True))
        grid = [grid_places(side) for side in (height, width)]
        seen, frame = _sensor(photograph, grid, surrogate, known)
        exposure, ceiling = exposure_of(frame, seen, surrogate), surrogate["ceiling"]
        frame = (frame * exposure).clamp(0.0, ceiling)
        isp = self._isp.measure(frame, isp)
        places = [torch.arange(start, start + side) for start, side in zip((top, left), sides, strict=True)]
        crop = (_sensor(photograph, places, surrogate, known)[1] * exposure).clamp(0.0, ceiling)
        part = (top / height, left / width, (top + sides[0]) / height, (left + sides[1]) / width)
        return Pair(
            key=key,
            scene=photograph.name,
            srgb=self._isp.render(crop, isp, part=part),
            raw=mosaic(crop, _CFA).float(),
            meta={"camera": camera.name, "cct": cct_k, "isp": isp["kind"], **known},
            frame=self._isp.render(frame, isp, detail=False),
        )


def _sensor(
    photograph: Photograph, places: Sequence[Tensor], surrogate: dict[str, Any], known: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Return the photograph's sRGB at rows and columns, and the sensor's unclipped RGB of its surrogate light."""
    srgb = photograph.srgb(*places)
    rows, columns = ((at + 0.5) / full for at, full in zip(places, photograph.codes.shape[1:], strict=True))
    light = scene_light(srgb_decoding(srgb), surrogate) * uneven_light(rows, columns, surrogate["lamps"])
    return srgb, to_camera(light, known["cam_from_srgb"], known["white_balance"])


def packaged_photographs() -> list[Photograph]:
    """Read the four real photographs that come with scikit-image.

    Raises:
        UsageError: it is not installed.
    """
    try:
        import skimage
    except ImportError as error:
        raise UsageError(
            "the synthetic set is made of photographs: give --photographs FOLDER, or install those of scikit-image "
            "(pip install 'rawsynth[demo]')."
        ) from error
    folder = Path(skimage.__file__).parent / "data"
    return [decode_photograph(name, (folder / name).read_bytes()) for name in PACKAGED]
