"""AddNoise: clean RAW to noisy RAW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rawsynth import seeding
from rawsynth.cameras import load_camera
from rawsynth.errors import UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.noise.sampling import brooks_shot_read
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import nest
from rawsynth.raw.noise_params import NoiseRecord, four_planes
from rawsynth.registry import pick
from rawsynth.transforms.base import Overrides, Params, Transform, float32


class AddNoise(Transform):
    """Add sensor noise to clean RAW.

    Args:
        model: name in the table of noise models.
        camera: profile with noise by ISO, by name or ``.toml`` file.
        iso: one ISO, or ``(low, high)`` to draw from, uniformly in its logarithm; without it a camera's whole table.
        shot, read: S and O on the unit scale, ``var = S x + O``: a number or four in the CFA's order; both or none.
        seed: integer for draws decided by keys, ``None`` for torch's RNG.

    With neither a camera nor shot and read, Brooks et al.'s law is drawn from for each image.

    Raises:
        UnknownNameError: an unknown model or camera; the message lists the choices.
        UsageError: half a specification, or an ISO outside the camera's table.

    >>> add_noise = AddNoise("poisson_gaussian", shot=0.01, read=0.0001, seed=0)
    >>> noisy = add_noise(RawImage.from_packed(torch.full((1, 4, 2, 2), 0.5)), keys=["a"])
    >>> noisy.metadata.noise[0].model
    'poisson_gaussian'
    """

    purpose: ClassVar[str] = "noise"
    override_dims: ClassVar[Mapping[str, tuple[int, ...]]] = {"iso": (0,), "shot": (1, 0), "read": (1, 0), "seed": (0,)}

    def __init__(
        self,
        model: str = "poisson_gaussian",
        *,
        camera: str | None = None,
        iso: float | Sequence[float] | None = None,
        shot: float | Sequence[float] | None = None,
        read: float | Sequence[float] | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.model = pick(NOISE_MODELS, model, "noise model")
        self.camera = None if camera is None else load_camera(camera)
        self.levels = _explicit_levels(shot, read)
        if self.levels is not None and (self.camera is not None or iso is not None):
            raise UsageError("shot and read already state the noise; leave camera and iso out.")
        if iso is not None and self.camera is None:
            raise UsageError("an ISO means something for a camera only; give camera=... or shot=... and read=...")
        self.iso_range = None if self.camera is None else _iso_range(iso, self.camera.iso_range)
        if self.camera is not None and self.iso_range is not None:
            for bound in self.iso_range:
                self.camera.shot_read(bound)
        self._add = self.model.add

    def extra_repr(self) -> str:
        """Show what is fixed."""
        camera = self.camera.name if self.camera else None
        return f"model={self.model.name!r}, {camera=}, iso={self.iso_range}, levels={self.levels}, seed={self.seed}"

    def compile_kernels(self, dynamic: bool | None = None) -> AddNoise:
        """Compile the device part with ``torch.compile(dynamic=...)`` and return self; draws stay Python."""
        self._add = torch.compile(self.model.add, dynamic=dynamic)
        return self

    def forward(
        self, raw: RawImage, *, keys: Sequence[str] | None = None, overrides: Overrides | None = None
    ) -> RawImage:
        """Draw parameters and apply them; see :meth:`make_params` and :meth:`apply_params`."""
        check_raw(raw)
        return self.apply_params(raw, self.make_params(raw.shape[:-3].numel(), keys=keys, overrides=overrides))

    def _draw(self, seed: int, fixed: Overrides) -> dict[str, Any]:
        if "iso" in fixed and self.camera is None:
            raise UsageError("an ISO means something for a camera only; give AddNoise one, or override shot and read.")
        rng = seeding.scalar_rng(seed)
        iso: float | None = None
        if self.levels is not None:
            shot, read = self.levels
        elif self.camera is not None and self.iso_range is not None:
            low, high = (math.log(bound) for bound in self.iso_range)
            drawn = math.exp(rng.uniform(low, high)) if low < high else self.iso_range[0]
            iso = _iso_range(fixed.get("iso", drawn), self.iso_range)[0]
            shot, read = (four_planes(value, "noise") for value in self.camera.shot_read(iso))
        else:
            shot, read = (four_planes(value, "noise") for value in brooks_shot_read(rng))
        shot = four_planes(fixed.get("shot", shot), "shot")
        read = four_planes(fixed.get("read", read), "read")
        return {
            "model": self.model.name,
            "params": {"shot": float32(shot), "read": float32(read)},
            # Of the same hash as the scalars', so that one number replays the sample.
            "seed": _check_seed(fixed.get("seed", seed)),
            "rng": seeding.RNG_VERSION,
            "iso": None if iso is None else float32(iso),
        }

    def apply_params(self, raw: RawImage, params: Params) -> RawImage:
        """Add noise with given parameters. Pure: the same parameters give the same bits on one device type.

        Args:
            raw: clean RAW.
            params: one entry a sample, from :meth:`make_params` or from JSON.

        Returns:
            RawImage of the same shape; values are not clipped, so noise under black stays negative.

        Raises:
            UsageError: the image has noise already; parameters too few, incomplete, another model's or generator's.
        """
        check_raw(raw)
        if raw.metadata.shot is not None:
            raise UsageError("this RawImage has noise already; add noise to the clean one.")
        lead = tuple(raw.shape[:-3])
        if len(params) != raw.shape[:-3].numel():
            raise UsageError(f"{raw.shape[:-3].numel()} images need as many parameter entries; got {len(params)}.")
        records = [self._record(p) for p in params]
        if not records:
            return RawImage(raw.packed.to(torch.float32), replace(raw.metadata, noise=()))
        device = raw.device
        with torch.no_grad():
            words = seeding.seed_words([record.seed for record in records], device)
            tensors = self.model.tensors([record.params for record in records], device)
            noisy = self._add(raw.packed.reshape(-1, *raw.shape[-3:]).to(torch.float32), words, tensors)
        isos = [p.get("iso") for p in params]
        metadata = replace(
            raw.metadata,
            noise=nest(iter(records), lead),
            shot=_stack([r.shot for r in records], lead, device),
            read=_stack([r.read for r in records], lead, device),
            iso=raw.metadata.iso if None in isos else _stack(isos, lead, device),
        )
        return RawImage(noisy.reshape(raw.shape), metadata)

    def _record(self, params: Mapping[str, Any]) -> NoiseRecord:
        missing = {"model", "params", "seed", "rng"} - set(params)
        if missing or not {"shot", "read"} <= set(params["params"]):
            raise UsageError(f"noise parameters are incomplete, got {sorted(params)}; take them from make_params.")
        if params["model"] != self.model.name:
            raise UsageError(f"these parameters are for {params['model']!r}; this AddNoise is {self.model.name!r}.")
        if params["rng"] != seeding.RNG_VERSION:
            raise UsageError(f"drawn with generator {params['rng']!r}; this rawsynth has {seeding.RNG_VERSION!r}.")
        shot, read = self.model.shot_read(params["params"])
        return NoiseRecord(params["model"], params["params"], _check_seed(params["seed"]), params["rng"], shot, read)


def check_raw(raw: RawImage) -> None:
    """Raise UsageError unless this is a RawImage of floats."""
    if not isinstance(raw, RawImage) or not raw.packed.is_floating_point():
        raise UsageError("AddNoise takes a RawImage; wrap packed planes with RawImage.from_packed(planes, cfa).")


def _stack(values: Sequence[Any], lead: tuple[int, ...], device: torch.device) -> Tensor:
    host = torch.tensor(values, dtype=torch.float32)
    return host.reshape((*lead, *host.shape[1:])).to(device, non_blocking=True)


def _explicit_levels(shot: Any, read: Any) -> tuple[Any, Any] | None:
    if (shot is None) != (read is None):
        raise UsageError("give both shot and read, or neither.")
    return None if shot is None else (four_planes(shot, "shot"), four_planes(read, "read"))


def _iso_range(iso: float | Sequence[float] | None, table: tuple[float, float]) -> tuple[float, float]:
    if iso is None:
        return table
    try:
        bounds = np.broadcast_to(np.asarray(iso, dtype=np.float64), 2).tolist() if not isinstance(iso, str) else []
    except (TypeError, ValueError):
        bounds = []
    if len(bounds) != 2 or not 0 < bounds[0] <= bounds[1] < math.inf:
        raise UsageError(f"iso is one positive number, or (low, high) with low <= high; got {iso!r}.")
    return float(bounds[0]), float(bounds[1])


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise UsageError(f"a noise seed is an integer in [0, 2**63); got {seed!r}.")
    return int(seed)
