"""What a network in training makes of samples, for eyes: sRGB, true light, estimated light."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.pairs.isp_stages import transfer
from rawsynth.training.surrogates import RenderedBatch


@torch.no_grad()
def draw_scenes(network: SceneLinearNet, batch: RenderedBatch, *, count: int) -> dict[str, NDArray[np.uint8]]:
    """Draw the first samples of a batch, each in a row: its sRGB, the true light and the estimate, encoded plainly.

    Args:
        network: on any device.
        batch: on the CPU; its crops are drawn if it has some, else its frames.
        count: most samples.

    Returns:
        ``(H, 3 W, 3)`` uint8 by the sample's number.
    """
    device = next(network.parameters()).device
    srgb = batch.frame_srgb if batch.crop_srgb is None else batch.crop_srgb
    raw = batch.frame_raw if batch.crop_raw is None else batch.crop_raw
    drawn = {}
    for k in range(min(count, len(srgb))):
        frame, shown = (x[k, None].to(device).float() / 255 for x in (batch.frame_srgb, srgb))
        light = network.decode(shown, network.encode_style(frame))[0].float().cpu()
        true = true_light(raw[k], batch.cam_from_srgb[k], batch.white_balance[k])
        row = [srgb[k], *((transfer(x, "srgb", 2.2).clamp(0, 1) * 255).round().to(torch.uint8) for x in (true, light))]
        drawn[f"sample {k}"] = torch.cat(row, dim=2).permute(1, 2, 0).contiguous().numpy()
    return drawn


def true_light(raw: Tensor, cam_from_srgb: Tensor, white_balance: Tensor) -> Tensor:
    """Return the scene-linear light of camera RGB ``(3, H, W)``, as far as the sensor held it."""
    gains = torch.stack([white_balance[0], torch.ones(()), white_balance[1]])
    return torch.einsum("ij,jhw->ihw", torch.linalg.inv(cam_from_srgb), raw * gains[:, None, None])
