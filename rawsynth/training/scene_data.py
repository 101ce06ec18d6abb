"""What rst_isp_net_small is trained on: photographs, cameras and renderings as a configuration chooses them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader

from rawsynth.cameras import CameraProfile
from rawsynth.cameras.choosing import cameras_with, load_camera
from rawsynth.errors import UsageError
from rawsynth.pairs.forward_isp import ForwardISP
from rawsynth.pairs.photographs import Photograph, read_photographs
from rawsynth.pairs.renderings import Rendering, load_renderings
from rawsynth.seeding import sample_seed
from rawsynth.training.data import Steps, outlive_signals
from rawsynth.training.scene_config import SceneDataConfig
from rawsynth.training.surrogates import RenderedBatch, RenderedSurrogates, collate, split_photographs

_VALIDATION_BATCH = 24


@dataclass(frozen=True)
class SceneSets:
    """Material of a training.

    Attributes:
        train, held: photographs to learn from, and those kept back.
        cameras, isp: see :class:`~rawsynth.training.surrogates.RenderedSurrogates`.
        left_out: names of pictures that could not be used, each with the cause.
    """

    train: Sequence[Photograph]
    held: Sequence[Photograph]
    cameras: Sequence[CameraProfile]
    isp: ForwardISP
    left_out: Sequence[str]

    @property
    def digest(self) -> str:
        """The sha256 over the photographs' sorted hashes, one a line: which ones they are, whatever they are called."""
        hashes = sorted(photograph.sha256 for photograph in [*self.train, *self.held])
        return hashlib.sha256("".join(f"{sha256}\n" for sha256 in hashes).encode()).hexdigest()

    def listing(self) -> bytes:
        """Return as JSON which photographs are used for what, and which are not."""
        rows = {"train": self.train, "validation": self.held}
        body = {use: [{"name": p.name, "sha256": p.sha256} for p in kept] for use, kept in rows.items()}
        return json.dumps({"sha256": self.digest, **body, "left_out": list(self.left_out)}, indent=1).encode()

    def samples(self, *, seed: int, crop: int) -> RenderedSurrogates:
        """Return the samples to learn from; a crop of 0 for frames alone."""
        return RenderedSurrogates(self.train, self.cameras, isp=self.isp, seed=seed, crop=crop)

    def validation(self, config: SceneDataConfig, *, seed: int, crop: int) -> list[RenderedBatch]:
        """Make the batches to validate on, the same ones in every run of a seed."""
        own = sample_seed(seed, "validation", "surrogate")
        samples = RenderedSurrogates(self.held, self.cameras, isp=self.isp, seed=own, crop=crop)
        count = config.validation_samples
        places = [range(k, min(count, k + _VALIDATION_BATCH)) for k in range(0, count, _VALIDATION_BATCH)]
        return [collate([samples[k] for k in batch]) for batch in places]


def open_scenes(config: SceneDataConfig) -> SceneSets:
    """Read the photographs and look up cameras and renderings.

    Raises:
        UsageError: fewer than two photographs, an unknown camera, one without colour, an unknown family.
        InputAccessError: the folder or a photograph cannot be read.
    """
    cameras, renderings = _cameras(config.cameras), _renderings(config.renderings)
    left_out: list[str] = []
    photographs = read_photographs(config.photographs, cache=config.cache, observe=left_out.append)
    if len(photographs) < 2:
        raise UsageError(f"{config.photographs}: one photograph; two are needed, one to learn from, one to validate.")
    train, held = split_photographs(photographs, config.validation_share)
    if not train:
        raise UsageError(f"data.validation_share {config.validation_share} of {len(photographs)} leaves none to train.")
    return SceneSets(train, held, cameras, ForwardISP(renderings), left_out)


def read_scene_batches(
    samples: RenderedSurrogates, steps: Steps, *, workers: int, pin: bool = False
) -> Iterator[RenderedBatch]:
    """Make the batches of a stage's remaining steps, one a step, ahead of their use."""
    loader: DataLoader[RenderedBatch] = DataLoader(
        samples,  # type: ignore[arg-type]
        batch_sampler=steps,
        collate_fn=collate,
        num_workers=workers,
        worker_init_fn=outlive_signals,
        pin_memory=pin,
        # Of its own, so that loading draws nothing from the global generator.
        generator=torch.Generator().manual_seed(0),
    )
    yield from loader


def _cameras(names: Sequence[str]) -> tuple[CameraProfile, ...]:
    if not names:
        return tuple(cameras_with(color=True).values())
    cameras = tuple(load_camera(name) for name in names)
    for camera in cameras:
        if not camera.cam_from_xyz:
            raise UsageError(f"data.cameras: {camera.name} has no colour matrices; see `rawsynth cameras`.")
    return cameras


def _renderings(chosen: str | Sequence[str]) -> tuple[Rendering, ...]:
    if chosen == "none":
        return ()
    return load_renderings() if isinstance(chosen, str) else load_renderings(chosen)
