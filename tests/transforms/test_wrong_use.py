"""What people pass to the transforms by mistake: one error that says what was wanted, and no silent nonsense."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rawsynth import AddNoise, RawImage, RawMetadata, ReverseISP, write_dng
from rawsynth.errors import UsageError

SRGB = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
PLANES = torch.full((2, 4, 2, 2), 0.5)
DRAWN = AddNoise().make_params(1)


def untyped(value: Any) -> Any:
    """A value of whose type the caller knows nothing."""
    return value


def to_raw() -> ReverseISP:
    return ReverseISP("unprocess", seed=0)


def raw() -> RawImage:
    return RawImage.from_packed(PLANES)


WRONG: list[tuple[str, Callable[[], Any], str]] = [
    ("-1 to 1", lambda: to_raw()(torch.full((1, 3, 4, 4), -1.0), keys=["a"]), "to -1.*normalisation"),
    ("keys that are a number", lambda: to_raw()(SRGB, keys=untyped(5)), "keys must name 2 samples, a list"),
    ("no parameters", lambda: to_raw().apply_params(SRGB, untyped(None)), "list of one entry an image.*NoneType"),
    ("one image's entry", lambda: AddNoise().apply_params(raw()[0], untyped(DRAWN[0])), "list of one entry"),
    ("names for entries", lambda: AddNoise().apply_params(raw(), untyped(["a", "b"])), "dict, from.*got str"),
    ("less than no samples", lambda: to_raw().make_params(-1), "how many samples.*-1"),
    ("an array", lambda: RawImage.from_packed(untyped(np.zeros((4, 2, 2)))), "torch.from_numpy"),
    ("DN", lambda: RawImage.from_packed(PLANES * 4000), r"up to 2000.*\(dn - black\)"),
    ("metadata of others", lambda: RawImage(PLANES, RawMetadata.neutral((3,))), r"\(2,\); got that of \(3,\)"),
    ("no metadata", lambda: RawImage(PLANES, untyped(None)), "RawMetadata; got NoneType"),
    ("sizes that differ", lambda: RawImage.stack([raw()[0], RawImage.from_packed(torch.zeros(4, 3, 2))]), "one size"),
]


@pytest.mark.parametrize(("use", "said"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_wrong_use_is_told(use: Callable[[], Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        use()


def test_noise_entries_without_their_numbers_are_told() -> None:
    entries = [{**entry, "params": None} for entry in AddNoise().make_params(2)]
    with pytest.raises(UsageError, match="incomplete.*make_params"):
        AddNoise().apply_params(raw(), entries)


def test_a_denoiser_that_gave_nan_makes_no_dng(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="got NaN"):
        write_dng(str(tmp_path / "a.dng"), RawImage(PLANES[0] * torch.nan, RawMetadata.neutral()))
    assert not list(tmp_path.iterdir())


def test_light_a_little_outside_stays_welcome() -> None:
    overshoot = torch.linspace(-0.2, 1.2, 48).reshape(1, 3, 4, 4)
    assert to_raw()(overshoot, keys=["a"]).packed.isfinite().all()
    assert RawImage.from_packed(PLANES * 4).shape == PLANES.shape
