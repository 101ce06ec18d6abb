"""Surrogates: laws of light, and that exposures fall as they are said to."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.cameras import load_camera
from rawsynth.pairs.surrogate import draw_surrogate, exposure_of, scene_light, to_camera, uneven_light
from rawsynth.seeding import scalar_rng

NEUTRAL = {"contrast": 1.0, "shoulder": 0.0, "knee": 1.0, "saturation": 1.0, "bright": 0.5, "keep": 1.0}


def test_draws_are_json_and_replay() -> None:
    for seed in range(20):
        params = draw_surrogate(scalar_rng(seed))
        assert json.loads(json.dumps(params, allow_nan=False)) == params == draw_surrogate(scalar_rng(seed))


def test_without_bends_light_is_what_it_was() -> None:
    linear = torch.rand(3, 9, 7, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(scene_light(linear, NEUTRAL), linear)


@given(st.integers(0, 10_000))
def test_light_rises_with_the_photograph(seed: int) -> None:
    params = draw_surrogate(scalar_rng(seed))
    grey = torch.linspace(0, 1, 200).expand(3, 1, 200)
    light = scene_light(grey, params)
    assert bool((light[:, :, 1:] >= light[:, :, :-1] - 1e-7).all()) and float(light[0, 0, 0]) == 0.0
    torch.testing.assert_close(light[0], light[2])
    # White is lifted by the shoulder, then bent by the contrast.
    wanted = (1 / (1 - params["shoulder"])) ** params["contrast"]
    assert float(light[0, 0, -1]) == pytest.approx(wanted, rel=1e-4)


def test_saturation_scales_the_distance_from_the_mean() -> None:
    color = torch.tensor([0.6, 0.3, 0.3])[:, None, None]
    light = scene_light(color, NEUTRAL | {"saturation": 0.5}).flatten()
    torch.testing.assert_close(light, torch.tensor([0.5, 0.35, 0.35]))


def test_light_falls_as_the_lamps_say_and_smoothly() -> None:
    places = (torch.arange(64) + 0.5) / 64
    torch.testing.assert_close(uneven_light(places, places[:40], np.zeros((4, 4)).tolist()), torch.ones(64, 40))
    torch.testing.assert_close(uneven_light(places, places, np.full((4, 4), -1.0).tolist()), torch.full((64, 64), 0.5))
    lamps = np.zeros((4, 4))
    lamps[1, 3] = 1.0  # upper half, at the right
    light = uneven_light(places, places, lamps.tolist())
    row, column = divmod(int(light.argmax()), 64)
    assert 16 <= row < 32 and column >= 48 and 1.6 < float(light.max()) < 2.2
    assert float((light[1:] / light[:-1]).log2().abs().max()) < 0.1
    # Any part of the frame has its place in the whole.
    torch.testing.assert_close(uneven_light(places[5:9], places[50:], lamps.tolist()), light[5:9, 50:])


def test_to_camera_is_linear_and_inverts() -> None:
    matrix, balance = load_camera("Sony ILCE-7SM2").color(4000)
    light = torch.rand(3, 5, 4, generator=torch.Generator().manual_seed(2))
    seen = to_camera(light, matrix, balance)
    torch.testing.assert_close(to_camera(3 * light, matrix, balance), 3 * seen)
    gains = np.array([balance[0], 1.0, balance[1]])[:, None, None]
    back = np.einsum("ij,jhw->ihw", np.linalg.inv(np.asarray(matrix)), seen.double().numpy() * gains)
    np.testing.assert_allclose(back, light.numpy(), atol=1e-5)
    grey = to_camera(torch.full((3, 1, 1), 0.5), matrix, balance).flatten().numpy()
    np.testing.assert_allclose(grey * gains.flatten(), 0.5, rtol=1e-5)


@pytest.mark.parametrize("bright", [0.1, 0.5, 2.0])
def test_exposure_puts_the_bright_percentile_where_it_is_drawn(bright: float) -> None:
    scene = torch.rand(3, 100, 100, generator=torch.Generator().manual_seed(3)) * 0.7
    gain = exposure_of(scene, scene * 0.9, NEUTRAL | {"bright": bright})
    peaks = scene.amax(dim=0).flatten().double().numpy() * gain
    assert float(np.quantile(peaks, 0.995)) == pytest.approx(bright, rel=1e-3)


def test_what_was_clipped_in_the_photograph_is_clipped_on_the_sensor() -> None:
    photograph = torch.full((3, 40, 40), 0.4)
    photograph[:, :4] = 1.0
    scene = photograph.clone()
    params = NEUTRAL | {"bright": 0.2}
    assert exposure_of(scene, photograph, params) == pytest.approx(1.0)
    assert exposure_of(scene, photograph, params | {"keep": 0.0}) == pytest.approx(0.2, rel=1e-3)
    assert exposure_of(scene, photograph * 0.99, params) == pytest.approx(0.2, rel=1e-3)


def test_exposures_of_draws_are_those_of_photographers() -> None:
    """Bright percentiles from deep shadow to well beyond saturation; most within a stop and a half of it."""
    rng = scalar_rng(5)
    bright = np.array([draw_surrogate(rng)["bright"] for _ in range(4000)])
    assert 0.05 <= bright.min() < 0.1 and 1.8 < bright.max() <= 3
    assert 0.2 < (bright > 1).mean() < 0.65 and 0.02 < (bright < 0.18).mean() < 0.1
    assert (np.abs(np.log2(bright)) < 1.5).mean() > 0.7
