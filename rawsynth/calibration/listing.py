"""What a set of captures lists, before any frame is read: which files belong together, and how they were taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shots:
    """Frames that were taken alike.

    Attributes:
        dark: no light reached the sensor.
        urls: the frames, in the order in which they are paired.
        label: what messages call them.
        iso, exposure_s: setting and exposure time, where they are stated.
        photons: mean number of photons that reached a pixel, where it is stated.
        static: a series for the pattern that stays, kept out of the photon-transfer curve.
    """

    dark: bool
    urls: tuple[str, ...]
    label: str
    iso: float | None = None
    exposure_s: float | None = None
    photons: float | None = None
    static: bool = False


@dataclass(frozen=True)
class Listing:
    """All the shots of a source.

    Attributes:
        shots: in the order in which the source states them.
        bits, width, height: of every frame, where the source states them.
        warnings: what the source holds and was left out.
    """

    shots: tuple[Shots, ...]
    bits: int | None = None
    width: int | None = None
    height: int | None = None
    warnings: tuple[str, ...] = ()
