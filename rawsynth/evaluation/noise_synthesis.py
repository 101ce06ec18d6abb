"""Synthetic frames of a real static scene: its temporal mean, with a noise model's noise, rounded to the real DN."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from rawsynth.cameras import CameraProfile
from rawsynth.errors import UsageError
from rawsynth.evaluation.noise_stack import FrameStack, stack_frames
from rawsynth.raw import cfa as cfa_module
from rawsynth.raw.frames import Frame
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import Levels
from rawsynth.raw.quantize import quantize
from rawsynth.raw.sensor_noise import NO_BIAS
from rawsynth.transforms import AddNoise


def median_camera(camera: CameraProfile) -> CameraProfile:
    """Return the camera with the middle of what its noise profile leaves open: no spread, one Tukey-lambda shape.

    A corpus draws around the profile; real frames are compared with the profile itself. Colour bias is left out, as the
    real frames' mean, which noise is added to, holds theirs.
    """
    profile = camera.noise_profile()
    shapes = sorted(profile.tukey_lambdas)
    middle = tuple(shapes[len(shapes) // 2 : len(shapes) // 2 + 1])
    points = tuple(replace(point, color_bias_dn=NO_BIAS) for point in profile.points)
    return replace(camera, noise=replace(profile, points=points, tukey_lambdas=middle, log_spread={}))


def frame_levels(stack: FrameStack, camera: CameraProfile, *, black_level: int | None = None) -> Levels:
    """Return the levels of real frames: what is stated here, else what the files say, else the camera's.

    Raises:
        UsageError: their range is another than the camera's, so its figures in DN are not theirs.
    """
    stated = stack.black_level if black_level is None else black_level
    black = camera.levels.black_level if stated is None else round(stated)
    white = camera.levels.white_level if stack.white_level is None else stack.white_level
    if abs((white - black) / camera.levels.range_dn - 1.0) > 0.02:
        raise UsageError(
            f"{stack.name} runs from {black} to {white} DN, camera {camera.name!r} from {camera.levels.black_level} to "
            f"{camera.levels.white_level}: a gain in DN of one is none of the other. Give the camera's own frames, or "
            "state --black-level and --white-level."
        )
    return Levels(black, white, max(8, white.bit_length()))


def synthesize(
    stack: FrameStack, clean_dn: NDArray[np.float32], add_noise: AddNoise, levels: Levels, *, name: str
) -> FrameStack:
    """Make as many synthetic frames as there are real ones.

    Args:
        stack: the real frames.
        clean_dn: ``(H, W)``, their temporal mean in DN.
        add_noise: with a seed, so that the frames can be made again; a monochrome frame is packed as four phases.
        levels: black and white level of the frames in DN; values are rounded, and clipped at 0 and at white.
        name: of the new stack.

    Raises:
        UsageError: ``add_noise`` has no seed.
    """
    if add_noise.seed is None:
        raise UsageError("synthetic frames are made with a seed, so that they can be made again; give AddNoise one.")
    unit = (torch.from_numpy(clean_dn) - levels.black_level) / levels.range_dn
    packed = cfa_module.pack(unit)[None]
    layout = stack.cfa or "RGGB"

    def frame(index: int) -> Frame:
        noisy = add_noise(RawImage.from_packed(packed, layout), keys=[f"frame {index}"])
        dn = quantize(noisy.mosaic()[0], levels).numpy()
        return Frame(f"{name} {index}", np.ascontiguousarray(dn), white_level=levels.white_level)

    frames = (frame(index) for index in range(len(stack.dn)))
    made = stack_frames(name, frames, len(stack.dn), cfa=stack.cfa)
    return replace(made, black_level=stack.black_level, iso=stack.iso)


def temporal_mean(stack: FrameStack) -> NDArray[np.float32]:
    """Return the temporal mean ``(H, W)`` in DN."""
    mean = np.empty(stack.dn.shape[1:], np.float32)
    for plane in stack.planes:
        values = stack.plane_values(plane)
        target = mean[plane.row :: plane.step, plane.column :: plane.step]
        for rows in stack.bands(plane):
            target[rows] = values[:, rows].mean(axis=0, dtype=np.float64)
    return mean
