"""The forward ISP as a whole: plain parameters, replays, parts of frames, automatic exposure, its range."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage import data
from torch import Tensor

from rawsynth.cameras import load_camera
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.isp_draws import USUAL
from rawsynth.pairs.renderings import apply_table, load_renderings
from rawsynth.seeding import scalar_rng

MATRIX, BALANCE = load_camera("Sony ILCE-7SM2").color(5000)
COLOR = {"cam_from_srgb": MATRIX, "white_balance": BALANCE, "cfa": "RGGB"}
PLAIN: dict[str, Any] = {
    "kind": "random", "noise": 0.0, "demosaic": 0.0, "highlights": "keep", "balance_error": [1.0, 1.0],
    "matrix_error": [0.0] * 6, "auto_share": 0.0, "auto_mean": 0.0, "unclipped": False, "ev": 0.0, "tone": "none",
    "transfer": "srgb", "s_curve": 0.0, "bends": None, "wide": 0.0, "ratio": 0.0, "black": 0.0, "saturation": 1.0,
    "hue": 0.0, "local_tone": 0.0, "smooth": 0.0, "sharpen": 0.0, "jpeg": None,
}  # fmt: skip
ISP = ForwardISP(load_renderings())


def light(side: int = 64) -> Tensor:
    """Linear sRGB of a piece of a photograph, muted so that no camera colour leaves [0, 1]."""
    srgb = torch.from_numpy(data.astronaut()[20 : 20 + side, 180 : 180 + side]).permute(2, 0, 1) / 255
    linear = torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4) * 0.8
    return torch.lerp(linear, linear.mean(dim=0, keepdim=True), 0.5)


def camera_rgb(linear: Tensor) -> Tensor:
    """What the camera sees of it: the matrix, then the gains undone."""
    gains = np.array([BALANCE[0], 1.0, BALANCE[1]])
    seen = np.einsum("ij,jhw->ihw", np.asarray(MATRIX) / gains[:, None], linear.double().numpy())
    return torch.from_numpy(seen).float().clamp(0, 1)


def drawn(seed: int, isp: ForwardISP = ISP, **changed: Any) -> dict[str, Any]:
    return {**isp.draw(scalar_rng(seed)), **COLOR, **changed}


def of_kind(kind: str, **changed: Any) -> dict[str, Any]:
    return next(params for params in (drawn(seed, **changed) for seed in range(100)) if params["kind"] == kind)


def encode(linear: Tensor) -> Tensor:
    """Encode by IEC 61966-2-1, in float64."""
    x = linear.double().numpy()
    return torch.from_numpy(np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055))


# ---- what is drawn ----


def test_plain_parameters_make_plain_srgb() -> None:
    """Each is neutral by itself: what was light comes out as its sRGB code, whatever the camera."""
    linear = light()
    raw = camera_rgb(linear)
    params = ISP.measure(raw, drawn(0) | PLAIN)
    made = ISP.render(raw, params)
    assert made.dtype == torch.uint8 and made.shape == raw.shape
    assert float((made.double() - encode(linear) * 255).abs().max()) <= 0.51  # rounded


def test_draws_are_json_and_decide_everything() -> None:
    raw = camera_rgb(light())
    for seed in range(12):
        params = ISP.draw(scalar_rng(seed))
        assert params == ISP.draw(scalar_rng(seed))
        replayed = json.loads(json.dumps(params, allow_nan=False))
        assert replayed == params
        first, second = (ISP.render(raw, ISP.measure(raw, p | COLOR)) for p in (params, replayed))
        assert torch.equal(first, second)


def test_shares_of_the_three_kinds() -> None:
    count = 1500
    rng = scalar_rng(3)
    kinds = [ISP.draw(rng)["kind"] for _ in range(count)]
    for kind, share in zip(("table", "automatic", "random"), ISP.shares, strict=True):
        error = (share * (1 - share) / count) ** 0.5
        assert kinds.count(kind) / count == pytest.approx(share, abs=4 * error)
    bare = ForwardISP()
    assert {bare.draw(rng)["kind"] for _ in range(200)} == {"automatic", "random"}


def test_no_family_is_crowded_out_and_usual_renderings_are_frequent() -> None:
    count, rng = 3000, scalar_rng(4)
    drawn_tables = [ISP.renderings[p["table"]] for p in (ISP.draw(rng) for _ in range(count)) if p["kind"] == "table"]
    count, names = len(drawn_tables), sorted({r.family for r in ISP.renderings})
    assert set(USUAL) <= {r.name for r in ISP.renderings}
    assert sum(r.name in USUAL for r in drawn_tables) / count > 0.5 - 4 * (0.25 / count) ** 0.5
    for name in names:
        least = 0.5 / len(names)
        found = sum(r.family == name for r in drawn_tables) / count
        assert found > least - 4 * (least * (1 - least) / count) ** 0.5


# ---- what is measured on the frame ----


@pytest.mark.parametrize("share", [0.001, 0.01, 0.03])
def test_automatic_exposure_puts_its_share_at_white(share: float) -> None:
    """As LibRaw: of the channel that has most there; the other channels have fewer."""
    linear = light(100) * 0.3
    params = ISP.measure(camera_rgb(linear), drawn(0) | PLAIN | {"auto_share": share})
    reached = (linear.double() * params["gain"] >= 1 - 1e-4).double().mean(dim=(1, 2))
    assert float(reached.max()) == pytest.approx(share, abs=2e-4)
    made = ISP.render(camera_rgb(linear), params)
    assert bool((made[:, linear.amax(dim=0) * params["gain"] > 1].amax(dim=0) == 255).all())
    darker = ISP.measure(camera_rgb(linear / 2), drawn(0) | PLAIN | {"auto_share": share})
    assert darker["gain"] == pytest.approx(2 * params["gain"], rel=1e-4)


@pytest.mark.parametrize("wanted", [0.12, 0.3])
def test_automatic_exposure_by_the_mean(wanted: float) -> None:
    linear = light(100) * 0.5
    params = ISP.measure(camera_rgb(linear), drawn(0) | PLAIN | {"auto_mean": wanted})
    found = (linear * params["gain"]).clamp(max=1).mean()
    # What is clipped after the gain is missing from the mean.
    assert 0.9 * wanted < float(found) <= 1.001 * wanted


def test_exposure_compensation_is_in_stops() -> None:
    raw = camera_rgb(light() * 0.4)
    up = ISP.render(raw, ISP.measure(raw, drawn(0) | PLAIN | {"ev": 1.0}))
    double = ISP.render(raw * 2, ISP.measure(raw * 2, drawn(0) | PLAIN))
    assert int((up.int() - double.int()).abs().max()) <= 1


# ---- parts of frames ----


@pytest.mark.parametrize("seed", range(8))
def test_a_part_is_developed_as_in_its_frame(seed: int) -> None:
    """Without detail every pixel is for itself, but for the slowly varying gain of local tone mapping."""
    raw = camera_rgb(light(96))
    local = {"local_tone": 0.3} if seed % 2 else {"local_tone": 0.0}
    params = ISP.measure(raw, drawn(seed, **local))
    whole = ISP.render(raw, params, detail=False)
    part = (16 / 96, 32 / 96, 80 / 96, 96 / 96)
    alone = ISP.render(raw[:, 16:80, 32:96], params, part=part, detail=False)
    assert int((whole[:, 16:80, 32:96].int() - alone.int()).abs().max()) <= (4 if seed % 2 else 0)


def test_local_tone_mapping_brightens_the_dark_side() -> None:
    flat = torch.full((3, 64, 64), 0.4)
    flat[:, :, :32] = 0.04
    raw = camera_rgb(flat)
    params = drawn(0) | PLAIN
    plain, mapped = (
        ISP.render(raw, ISP.measure(raw, params | {"local_tone": tone, "local_sigma": 2.0})).float()
        for tone in (0.0, 0.4)
    )
    assert float((mapped - plain)[:, :, :16].mean()) > 5 and float((mapped - plain)[:, :, 48:].mean()) < -5


# ---- tables ----


def test_a_table_without_jitter_is_the_table() -> None:
    linear = light()
    raw = camera_rgb(linear)
    for index in range(0, len(ISP.renderings), 9):
        neutral = {"kind": "table", "table": index, "other_table": 0, "other_share": 0.0, "gamma_jitter": 1.0}
        made = ISP.render(raw, ISP.measure(raw, {**drawn(0), **PLAIN, **neutral})).float()
        wanted = apply_table(linear[None], ISP.renderings[index].table[None])[0] * 255
        assert float((made - wanted).abs().max()) <= 1.0


def test_colour_errors_keep_or_move_greys() -> None:
    """A wrong matrix leaves greys alone, as its rows sum to 1; a wrong white balance does not."""
    raw = camera_rgb(torch.full((3, 8, 8), 0.3))
    params = drawn(0) | PLAIN
    twisted = ISP.render(raw, ISP.measure(raw, params | {"matrix_error": [0.1, -0.1, 0.05, 0.1, -0.08, 0.1]}))
    assert int(twisted.max()) - int(twisted.min()) <= 1
    warm = ISP.render(raw, ISP.measure(raw, params | {"balance_error": [1.2, 0.8]})).float().mean(dim=(1, 2))
    assert warm[0] > warm[1] + 5 and warm[2] < warm[1] - 5


# ---- detail ----


def test_noise_has_the_variance_that_is_stated() -> None:
    raw = camera_rgb(torch.full((3, 128, 128), 0.3))
    params = drawn(0) | PLAIN | {"noise": 1e-4, "noise_seed": 5, "transfer": "power", "gamma": 1.0}
    made = ISP.render(raw, ISP.measure(raw, params)).double() / 255
    plain = ISP.render(raw, ISP.measure(raw, params | {"noise": 0.0})).double() / 255
    found = (made - plain)[1].var()
    # Green of a grey is its light; the matrix, whose inverse mixes three independent noises, is known.
    gains = np.array([BALANCE[0], 1.0, BALANCE[1]])
    mixed = np.linalg.inv(np.asarray(MATRIX)) * gains
    level = raw[:, 0, 0].double().numpy()
    wanted = (mixed[1] ** 2 * (1e-4 * level + 2e-6)).sum() + 2 / 12 / 255**2
    # A variance over n values is good to sqrt(2 / n).
    assert float(found) == pytest.approx(wanted, rel=5 * (2 / 128**2) ** 0.5)


def test_the_range_is_broad() -> None:
    """Over draws the same grey comes out from dark to bright; no rendering is empty."""
    raw = camera_rgb(light(64))
    means = []
    for seed in range(40):
        made = ISP.render(raw, ISP.measure(raw, drawn(seed)))
        assert int(made.max()) > int(made.min()) + 30
        means.append(float(made.float().mean()))
    assert max(means) - min(means) > 60
    assert of_kind("automatic")["kind"] == "automatic"


# ---- in words ----


def test_the_blocks_of_its_document_run() -> None:
    text = (Path(__file__).parents[2] / "docs" / "forward-isp.md").read_text("utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "docs/forward-isp.md", "exec"), names)
    assert names["srgb"].shape == (3, 480, 640) and names["srgb"].dtype == torch.uint8
    faded = names["faded"]
    assert names["isp"].renderings[-1] is faded
    wanted = apply_table(torch.full((1, 3, 1, 1), 0.5), faded.table[None])
    torch.testing.assert_close(wanted, torch.full((1, 3, 1, 1), 0.05 + 0.95 * 0.5 ** (1 / 2.2)), atol=2e-3, rtol=0)
