"""The trained denoisers on real noise, where the user has the data: SIDD raw and ELD, by their own scores.

The denoisers were trained for RGGB and want to know S and O. Images of other layouts are mirrored until they begin with
red, which changes no score. S and O are fitted to each pair itself, noisy less clean, alike for every denoiser: nobody
has that in the field, and it leaves what the corpora taught as the only difference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from downstream_denoiser import SmallUNet, denoise, variance_map
from downstream_report import Score
from torch import Tensor

from rawsynth.evaluation.denoising import eld_scores, sidd_scores
from rawsynth.pairs.eld import EldPairs
from rawsynth.pairs.noisy import NoisyPair
from rawsynth.pairs.sidd import SiddBlocks, open_sidd
from rawsynth.raw.cfa import flip_horizontal, flip_vertical

SIDD, ELD = "SIDD raw (real)", "ELD (real, illuminance corrected)"
# Full frames of SIDD are scored on a middle part, as blocks are; ELD's on the whole, as its evaluation does.
_SIDD_SIDE = 128
_TILE, _HALO = 512, 32
_BINS = 24

Denoisers = Sequence[tuple[str, int, SmallUNet]]


def real_shots(denoisers: Denoisers, *, sidd: str | None, eld: str | None) -> list[Score]:
    """Score every denoiser, and the noisy images themselves, on what there is of the two sets."""
    scores: list[Score] = []
    for pair in _sidd_pairs(sidd):
        scores += _scored(pair, denoisers, SIDD, "all")
    if eld is not None:
        for pair in EldPairs(eld):
            scores += _scored(pair, denoisers, ELD, f"x{pair.meta['nominal_ratio']}")
    return scores


def _sidd_pairs(url: str | None) -> Iterator[NoisyPair]:
    if url is None:
        return
    pairs = open_sidd(url)
    if isinstance(pairs, SiddBlocks):
        raise SystemExit(
            f"{url} holds validation blocks, which do not say their phone's layout, and the denoisers know colours: "
            "give the folder of SIDD-Small or SIDD-Medium raw, or score blocks with rawsynth.evaluation.denoising."
        )
    for pair in pairs:
        top, left = ((side - _SIDD_SIDE) // 2 for side in pair.noisy.shape[-2:])
        noisy, clean = (
            image[:, max(0, top) : max(0, top) + _SIDD_SIDE, max(0, left) : max(0, left) + _SIDD_SIDE]
            for image in (pair.noisy, pair.clean)
        )
        yield NoisyPair(pair.key, pair.scene, noisy, clean, pair.cfa, pair.meta)


def _scored(pair: NoisyPair, denoisers: Denoisers, test: str, level: str) -> Iterator[Score]:
    noisy, clean = (_red_first(image, pair.cfa) for image in (pair.noisy, pair.clean))
    variance = variance_map(noisy[None], *fit_levels(noisy, clean))[0]
    measure = sidd_scores if test == SIDD else eld_scores
    number = int(pair.key[-3:]) if pair.key[-3:].isdigit() else 0
    for name, seed, network in [("noisy", 0, None), *denoisers]:
        result = noisy if network is None else _tiled(network, noisy, variance)
        psnr, ssim = measure(result, clean)
        yield Score(name, seed, test, level, pair.scene, number, float(psnr), float(ssim))


def _red_first(planes: Tensor, cfa: str) -> Tensor:
    """Mirror an image until its layout is RGGB."""
    if cfa.index("R") % 2:
        planes, cfa = flip_horizontal(planes, cfa)
    if cfa.index("R") // 2:
        planes, cfa = flip_vertical(planes, cfa)
    return planes.contiguous()


def fit_levels(noisy: Tensor, clean: Tensor) -> tuple[Tensor, Tensor]:
    """Fit ``var = S x + O`` to a pair, one line for all planes; returns S and O as ``(4,)``.

    Bins of equally many values by brightness, least squares over their variances; values at the ends are left out.
    """
    x, error = clean.flatten().double(), (noisy - clean).flatten().double()
    inside = (x < 0.95) & (noisy.flatten() > 0) & (noisy.flatten() < 1)
    order = x[inside].argsort()
    bins = [part for part in order.tensor_split(_BINS) if len(part) > 1]
    if not bins:
        return torch.full((4,), 1e-4), torch.full((4,), 1e-6)
    means = torch.stack([x[inside][part].mean() for part in bins])
    variances = torch.stack([error[inside][part].var() for part in bins])
    # Relative errors count: a bin's variance is known to a share of itself.
    weights = 1 / variances.clamp(min=1e-12)
    design = torch.stack([means, torch.ones_like(means)], dim=1) * weights[:, None]
    shot, read = torch.linalg.lstsq(design, (variances * weights)[:, None]).solution.flatten().clamp(min=1e-8).tolist()
    return torch.full((4,), shot), torch.full((4,), read)


def _tiled(network: SmallUNet, noisy: Tensor, variance: Tensor) -> Tensor:
    """Denoise by tiles with a halo, in bounded memory."""
    height, width = noisy.shape[-2:]
    result = torch.empty_like(noisy)
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            first, start = max(0, top - _HALO), max(0, left - _HALO)
            window = slice(first, top + _TILE + _HALO), slice(start, left + _TILE + _HALO)
            part = denoise(network, noisy[:, window[0], window[1]], variance[:, window[0], window[1]])
            rows, columns = min(_TILE, height - top), min(_TILE, width - left)
            result[:, top : top + rows, left : left + columns] = part[
                :, top - first : top - first + rows, left - start : left - start + columns
            ]
    return result
