"""The loss on scene-linear light against a transcription in NumPy, float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from rawsynth.cameras import load_camera
from rawsynth.pairs.surrogate import to_camera
from rawsynth.training.scene_loss import leaky_clip, scene_loss, sensor_response


def by_numpy(estimate: Any, raw: Any, fitted: float, companded: float) -> tuple[float, float, float]:
    """Loss, absolute and exposure-fitted PSNR."""

    def clip(x: Any) -> Any:
        return np.where(x < 0, 0.05 * x, np.where(x > 1, 1 + 0.05 * (x - 1), x))

    logs: list[list[float]] = [[], []]
    scores: list[list[float]] = [[], []]
    for image, truth in zip(estimate, raw, strict=True):
        valid = truth.max(axis=0) < 0.99
        scale = (image * truth)[:, valid].sum() / max((image**2)[:, valid].sum(), 1e-6)
        for k, shown in enumerate((clip(image), clip(image * np.clip(scale, 0.05, 20)))):
            error = ((shown - truth) ** 2).mean()
            logs[k].append(np.log10(error + 1e-5))
            scores[k].append(-10 * np.log10(error + 1e-7))
    roots = np.abs(np.sqrt(np.maximum(clip(estimate), 0) + 1e-4) - np.sqrt(raw + 1e-4)).mean()
    loss = np.mean(logs[0]) + fitted * np.mean(logs[1]) + companded * roots
    return float(loss), float(np.mean(scores[0])), float(np.mean(scores[1]))


@pytest.mark.parametrize(("fitted", "companded"), [(0.5, 2.0), (0.0, 0.0), (1.0, 0.3)])
def test_scene_loss(fitted: float, companded: float) -> None:
    rng = np.random.default_rng(0)
    raw = rng.random((4, 3, 12, 10)) ** 2
    raw[1, :, :4] = 1.0  # saturated
    estimate = raw * 1.4 + rng.normal(0, 0.05, raw.shape) - 0.02
    found = scene_loss(*(torch.from_numpy(x).float() for x in (estimate, raw)), fitted=fitted, companded=companded)
    wanted = by_numpy(estimate, raw, fitted, companded)
    assert [float(found[name]) for name in ("loss", "absolute_db", "fitted_db")] == pytest.approx(wanted, rel=1e-4)


def test_the_truth_is_the_smallest_and_scale_costs_nothing_when_fitted() -> None:
    raw = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 0.8
    truth, half = scene_loss(raw, raw), scene_loss(raw / 2, raw)
    assert float(truth["loss"]) < float(half["loss"])
    assert float(truth["fitted_db"]) == pytest.approx(70, abs=0.1) == pytest.approx(float(half["fitted_db"]), abs=0.1)
    assert float(half["absolute_db"]) < 20


def test_beyond_saturation_costs_little_but_has_a_slope() -> None:
    raw = torch.ones(1, 3, 4, 4)
    over = torch.full_like(raw, 3.0).requires_grad_()
    under = torch.full_like(raw, 0.5)
    assert float(scene_loss(over, raw)["loss"].detach()) < float(scene_loss(under, raw)["loss"])
    scene_loss(over, raw)["loss"].backward()  # type: ignore[no-untyped-call]
    assert over.grad is not None and bool((over.grad > 0).all())
    assert leaky_clip(torch.tensor([-1.0, 0.3, 2.0])).tolist() == pytest.approx([-0.05, 0.3, 1.05])


def test_all_saturated_or_black_is_finite() -> None:
    for level in (0.0, 1.0):
        raw = torch.full((1, 3, 4, 4), level)
        estimate = torch.zeros_like(raw).requires_grad_()
        terms = scene_loss(estimate, raw)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        assert all(bool(value.isfinite()) for value in terms.values())
        assert estimate.grad is not None and bool(estimate.grad.isfinite().all())


def test_a_batch_is_the_mean_of_its_images() -> None:
    generator = torch.Generator().manual_seed(2)
    raw, estimate = (torch.rand(3, 3, 8, 8, generator=generator) for _ in range(2))
    whole = scene_loss(estimate, raw)
    parts = [scene_loss(estimate[k, None], raw[k, None]) for k in range(3)]
    for name, value in whole.items():
        torch.testing.assert_close(value, torch.stack([part[name] for part in parts]).mean())


def test_the_sensor_sees_as_the_surrogate_does() -> None:
    generator = torch.Generator().manual_seed(3)
    light = torch.rand(2, 3, 6, 5, generator=generator)
    colors = [load_camera("Sony ILCE-7SM2").color(cct) for cct in (3000, 6500)]
    matrices = torch.tensor(np.array([matrix for matrix, _ in colors])).float()
    balances = torch.tensor([balance for _, balance in colors])
    seen = sensor_response(light, matrices, balances)
    for k, (matrix, balance) in enumerate(colors):
        torch.testing.assert_close(seen[k], to_camera(light[k], matrix, balance))
