"""The laws of :class:`rawsynth.pairs.forward_isp.ForwardISP`: every number of a rendering, drawn, JSON-ready.

How often what is drawn decides what a network takes for likely: exposure is read from a picture only as far as
renderings are known. So half of the tables drawn are what developers give unasked, and most of these are left as they
are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from rawsynth.pairs.renderings import Rendering

USUAL: Mapping[str, float] = {
    "libraw BT.709": 4.0, "libraw sRGB": 1.0, "rawtherapee neutral": 1.5, "rawtherapee film curve low": 2.0,
    "rawtherapee pop 1": 0.5, "darktable none": 0.5, "darktable filmic, max RGB": 1.0,
    "darktable filmic, RGB power norm": 1.0, "darktable filmic, modern adaptation": 1.0,
    "darktable sigmoid, default": 1.0, "darktable sigmoid, modern adaptation": 1.0,
}  # fmt: skip
"""Renderings that developers give unasked, and how often each is drawn; half of the tables are among them."""

_BENDS = 12

NO_CURVE: dict[str, Any] = {
    "auto_share": 0.0, "auto_mean": 0.0, "unclipped": False, "ev": 0.0, "tone": "none", "strength": 1.0,
    "contrast": 1.0, "transfer": "srgb", "gamma": 2.2, "s_curve": 0.0, "bends": None, "wide": 0.0, "ratio": 0.0,
    "black": 0.0, "saturation": 1.0, "hue": 0.0,
}  # fmt: skip
"""Neutral tone and colour: linear light encoded as sRGB."""


def draw_table(rng: np.random.Generator, renderings: Sequence[Rendering]) -> dict[str, Any]:
    """Draw a measured rendering, mostly as it is, else bent and coloured a little."""
    first = _draw_rendering(rng, renderings)
    jittered = rng.random() < (0.15 if renderings[first].name in USUAL else 0.35)
    return {
        **NO_CURVE,
        "table": first,
        "other_table": int(rng.integers(len(renderings))),
        "other_share": float(rng.uniform(0, 0.4)) if rng.random() < 0.15 else 0.0,
        "ev": float(rng.normal(0, 0.4)) if jittered else 0.0,
        "s_curve": float(rng.normal(0, 0.12)) if jittered else 0.0,
        "saturation": float(np.exp(rng.normal(0, 0.08))) if jittered else 1.0,
        "hue": float(rng.normal(0, 0.03)) if jittered else 0.0,
        "gamma_jitter": float(np.exp(rng.normal(0, 0.05))) if jittered else 1.0,
        "auto_mean": float(rng.uniform(0.1, 0.32)) if rng.random() < 0.1 else 0.0,
    }


def _draw_rendering(rng: np.random.Generator, renderings: Sequence[Rendering]) -> int:
    usual = np.array([USUAL.get(r.name, 0.0) for r in renderings])
    if usual.any() and rng.random() < 0.5:
        return int(rng.choice(len(usual), p=usual / usual.sum()))
    # Families by equal shares: one developer's many profiles shall not crowd out another's few.
    families = sorted({r.family for r in renderings})
    family = families[int(rng.integers(len(families)))]
    among = [k for k, r in enumerate(renderings) if r.family == family]
    return among[int(rng.integers(len(among)))]


def draw_sensor(rng: np.random.Generator) -> dict[str, Any]:
    """Draw noise, demosaicing, highlights, and how far white balance and matrix are off."""
    mode = ("clip", "neutral", "keep")[int(rng.choice(3, p=[0.55, 0.3, 0.15]))]
    off = rng.random() < 0.5
    return {
        "noise": float(np.exp(rng.uniform(np.log(1e-5), np.log(1.5e-4)))) if rng.random() < 0.35 else 0.0,
        "noise_seed": int(rng.integers(2**31)),
        "demosaic": float(rng.choice([0.0, rng.uniform(0, 0.6), 1.0], p=[0.35, 0.5, 0.15])),
        "highlights": mode,
        "neutral": float(rng.uniform(0.5, 1.0)),
        "balance_error": np.exp(rng.normal(0, 0.04, 2) * (rng.random() < 0.5)).tolist(),
        "matrix_error": (rng.normal(0, 0.03, 6) * off).tolist(),
    }


def draw_automatic(rng: np.random.Generator) -> dict[str, Any]:
    """Draw an automatic exposure, or none, with a display curve: what LibRaw does, and the like."""
    plain = rng.random() < 0.65
    drawn = {
        **NO_CURVE,
        "auto_share": (0.01 if rng.random() < 0.55 else 0.0)
        if plain
        else float(np.exp(rng.uniform(np.log(5e-4), np.log(0.03)))),
        "ev": 0.0 if plain else float(rng.normal(0, 0.25)),
        "transfer": "bt709" if rng.random() < 0.7 else "srgb",
        "s_curve": 0.0 if plain else float(rng.uniform(-0.2, 0.5)),
    }
    if plain and rng.random() < 0.8:
        drawn["highlights"] = "clip"
    elif rng.random() < 0.4:
        drawn |= {"unclipped": True, "highlights": "neutral", "auto_share": 0.0, "ev": 0.0}
    return drawn


def draw_random(rng: np.random.Generator) -> dict[str, Any]:
    """Draw a curve of a broad family, with colour of its own."""
    kind = ("none", "reinhard", "exponential", "sigmoid")[int(rng.choice(4, p=[0.25, 0.25, 0.2, 0.3]))]
    strength = {"none": 1.0, "reinhard": 4.0, "exponential": 3.0, "sigmoid": 2.5}[kind] * float(
        np.exp(rng.normal(0, 0.4))
    )
    bends = np.convolve(rng.normal(0, 0.35, _BENDS + 4), np.ones(5) / 5, mode="valid")
    return {
        **NO_CURVE,
        "auto_share": float(np.exp(rng.uniform(np.log(5e-4), np.log(0.03)))) if rng.random() < 0.25 else 0.0,
        "ev": float(rng.normal(0.05, 0.35)) if rng.random() < 0.4 else 0.0,
        "tone": kind,
        "strength": strength,
        "contrast": float(rng.uniform(1.0, 1.7)),
        "transfer": ("srgb", "bt709", "power")[int(rng.choice(3, p=[0.6, 0.2, 0.2]))],
        "gamma": float(rng.uniform(1.8, 2.5)),
        # Without a curve that lifts the middle, contrast alone would darken it, which few renderings do.
        "s_curve": float(rng.normal(0.1, 0.2) if kind == "none" else rng.normal(0.3, 0.3))
        if rng.random() < 0.7
        else 0.0,
        "bends": bends.tolist() if rng.random() < 0.4 else None,
        "wide": float(rng.uniform(0.0, 1.0)) if rng.random() < 0.4 else 0.0,
        "ratio": float(rng.uniform(0.0, 1.0)) if rng.random() < 0.3 else 0.0,
        "black": float(rng.normal(0, 0.008)) if rng.random() < 0.3 else 0.0,
        "saturation": float(np.exp(rng.normal(0.08, 0.15))) if rng.random() < 0.6 else 1.0,
        "hue": float(rng.normal(0, 0.06)) if rng.random() < 0.4 else 0.0,
    }


def draw_detail(rng: np.random.Generator) -> dict[str, Any]:
    """Draw local tone mapping, smoothing, sharpening and JPEG."""
    quality = int(np.clip(round(98 - rng.exponential(8)), 70, 98))
    return {
        "local_tone": float(rng.uniform(0.1, 0.45)) if rng.random() < 0.12 else 0.0,
        "local_sigma": float(rng.uniform(0.8, 3.0)),
        "smooth": float(rng.uniform(0.3, 0.8)) if rng.random() < 0.3 else 0.0,
        "sharpen": float(rng.uniform(0.1, 1.2)) if rng.random() < 0.55 else 0.0,
        "sharpen_sigma": float(rng.uniform(0.5, 1.4)),
        "jpeg": {"quality": quality, "subsampling": int(rng.choice([0, 2], p=[0.5, 0.5]))}
        if rng.random() < 0.85
        else None,
    }
