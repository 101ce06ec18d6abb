"""AddNoise: clean RAW to noisy RAW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from rawsynth import seeding, storage
from rawsynth.cameras import CameraProfile, camera_to_dict
from rawsynth.errors import CorpusError, UsageError
from rawsynth.noise import NOISE_MODELS
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import flat, float32, nest
from rawsynth.raw.noise_params import NoiseRecord, four_planes
from rawsynth.registry import pick
from rawsynth.storage.sealed import read_sealed
from rawsynth.transforms.base import Overrides, Params, Transform, check_entries
from rawsynth.transforms.noise_source import IMAGE_CAMERA, CameraNoise, noise_source, serving, stated_levels

CORPUS_FILE = "dataset.json"
"""The file of a corpus that states how its noise is drawn."""


class AddNoise(Transform):
    """Add sensor noise to clean RAW.

    Args:
        model: name in the table of noise models.
        camera: whose noise: a built-in name, a ``.toml`` or ``.json`` file, a :class:`~rawsynth.cameras.CameraProfile`,
            ``"random"`` for any built-in camera with noise, or ``"image"`` for the camera that each image's metadata
            names (and its ISO, if it has one and none is given here).
        iso: one ISO, or ``(low, high)`` to draw from; without it a camera's whole table.
        iso_law: how it is drawn: ``"log_uniform"``, ``"uniform"``, or ``"stops"`` for the ISOs of the camera's table.
        extrapolate: allow an ISO outside the camera's table.
        shot, read: S and O on the unit scale, ``var = S x + O``: a number or four in the CFA's order; both or none.
        dark_frames: real dark frames for the model of that name: a folder, a pattern or tars; path or URL.
        quantization: ``"uniform"`` adds the uniform surrogate of rounding to the camera's DN, for consumers that never
            quantise; a corpus is rounded once, when it is stored.
        seed: integer for draws decided by keys, ``None`` for torch's RNG.

    With neither a camera nor shot and read, Brooks et al.'s law is drawn from for each image.

    Raises:
        UnknownNameError: an unknown model, camera or ISO law; the message lists the choices.
        UsageError: half a specification, or an ISO outside the camera's table.

    >>> add_noise = AddNoise("physics", camera="Sony ILCE-7SM2", iso=(800, 12800), seed=0)
    >>> noisy = add_noise(RawImage.from_packed(torch.full((1, 4, 2, 2), 0.5)), keys=["a"])
    >>> noisy.metadata.noise[0].model
    'physics'
    """

    purpose: ClassVar[str] = "noise"
    override_dims: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "camera": (0,),
        "cfa": (0,),
        "iso": (0,),
        "shot": (1, 0),
        "read": (1, 0),
        "seed": (0,),
    }

    def __init__(
        self,
        model: str = "poisson_gaussian",
        *,
        camera: str | CameraProfile | None = None,
        iso: float | Sequence[float] | None = None,
        iso_law: str = "log_uniform",
        extrapolate: bool = False,
        shot: float | Sequence[float] | None = None,
        read: float | Sequence[float] | None = None,
        dark_frames: str | None = None,
        quantization: str = "none",
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.model = pick(NOISE_MODELS, model, "noise model").create(dark_frames)
        self.source = noise_source(camera, iso, iso_law, extrapolate, stated_levels(shot, read))
        if self.model.isos:
            self.source = serving(self.source, self.model.isos)
        if quantization not in ("none", "uniform"):
            raise UsageError(f'quantization is "none" or "uniform"; got {quantization!r}.')
        if quantization == "uniform" and not (self.model.takes_quantization and isinstance(self.source, CameraNoise)):
            raise UsageError(
                'quantization="uniform" needs a model of the sensor\'s stages ("physics") and a camera, whose levels '
                "say what one DN is."
            )
        self.options: dict[str, Any] = {
            "camera": camera, "iso": iso, "iso_law": iso_law, "extrapolate": extrapolate, "shot": shot, "read": read,
            "dark_frames": dark_frames, "quantization": quantization,
        }  # fmt: skip
        # Device type and generator of the corpus whose noise this is.
        self.recorded: tuple[str, str] | None = None
        self._add = self.model.add

    @classmethod
    def from_policy(cls, policy: Mapping[str, Any], *, seed: int | None = None) -> Self:
        """Build what :meth:`policy` described.

        Raises:
            UsageError: it is no noise policy of this version.
        """
        try:
            options = {**policy}
            model = options.pop("model")
            return cls(model, **options, seed=seed)
        except (KeyError, TypeError) as error:
            raise UsageError(f"not a noise policy that this rawsynth knows: {error}.") from error

    @classmethod
    def from_corpus(cls, url: str | PathLike[str], *, seed: int | None = None) -> Self:
        """Build the noise that a corpus was made with, to draw it afresh while training.

        Args:
            url: folder or URL of the corpus.
            seed: see :class:`AddNoise`; ``None`` gives other noise every epoch.

        Raises:
            InputAccessError: there is no corpus.
            CorpusError: its ``dataset.json`` is damaged, or from before corpora told their noise.
        """
        place = storage.join(fspath(url), CORPUS_FILE)
        try:
            policy = read_sealed(place)["noise_policy"]
            made = cls.from_policy(policy["add_noise"], seed=seed)
            made.recorded = (policy["device"], policy["rng"])
        except KeyError as error:
            raise CorpusError(f"{place} states no noise policy ({error}); make the corpus again.") from error
        return made

    def replay(self, raw: RawImage, params: Params) -> RawImage:
        """Add the very noise that a corpus recorded: ``[meta["noise_draws"][0] for meta in batch["meta"]]``.

        Args:
            raw: clean RAW, on the type of device that the corpus was made on.
            params: entries of the corpus's samples: of ``noise_draws``, or their ``noise``.

        Raises:
            UsageError: this was not built by :meth:`from_corpus`, or the device type or generator is another, so that
                the noise would not be the same.
        """
        if self.recorded is None:
            raise UsageError("only noise from AddNoise.from_corpus(...) can be replayed.")
        made_with, now = self.recorded, (raw.device.type, seeding.RNG_VERSION)
        if made_with != now:
            raise UsageError(
                f"the corpus's noise was drawn on {made_with[0]} with {made_with[1]}, this would be {now[0]} with "
                f"{now[1]}: not the same noise. Replay on {made_with[0]}, or draw fresh noise by calling the transform."
            )
        if not all(isinstance(entry, Mapping) for entry in params):
            raise UsageError('replay takes one entry a sample: [meta["noise_draws"][0] for meta in batch["meta"]].')
        return self.apply_params(raw, [entry.get("noise", entry) for entry in params])

    def policy(self) -> dict[str, Any]:
        """Return everything but the seed, JSON-ready; a camera that is not built in stands in it with its figures."""
        options = dict(self.options)
        if isinstance(self.source, CameraNoise) and isinstance(self.source.camera, CameraProfile):
            options["camera"] = camera_to_dict(self.source.camera)
        for name in ("iso", "shot", "read"):
            if options[name] is not None:
                options[name] = np.asarray(options[name], dtype=np.float64).tolist()
        if options["dark_frames"] is not None:
            options["dark_frames"] = storage.absolute(options["dark_frames"])
        return {"model": self.model.name, **options}

    def extra_repr(self) -> str:
        """Show what is fixed."""
        stated = {name: value for name, value in self.policy().items() if value not in (None, False, "none")}
        if isinstance(stated.get("camera"), dict):
            stated["camera"] = stated["camera"]["name"]
        if "camera" not in stated:
            stated.pop("iso_law")
        return ", ".join(f"{k}={v!r}" for k, v in {**stated, "seed": self.seed}.items())

    def compile_kernels(self, dynamic: bool | None = None) -> AddNoise:
        """Compile the device part with ``torch.compile(dynamic=...)`` and return self; draws stay Python."""
        if self.model.can_compile:
            self._add = torch.compile(self.model.add, dynamic=dynamic)
        return self

    def forward(
        self, raw: RawImage, *, keys: Sequence[str] | None = None, overrides: Overrides | None = None
    ) -> RawImage:
        """Draw parameters and apply them; see :meth:`make_params` and :meth:`apply_params`."""
        check_raw(raw)
        stated = {**self._of_image(raw), **(overrides or {})}
        return self.apply_params(raw, self.make_params(raw.shape[:-3].numel(), keys=keys, overrides=stated))

    def _of_image(self, raw: RawImage) -> dict[str, Any]:
        """What the images themselves say."""
        lead, metadata = tuple(raw.shape[:-3]), raw.metadata
        out: dict[str, Any] = {"cfa": flat(metadata.cfa, lead)}
        if isinstance(self.source, CameraNoise) and self.source.camera == IMAGE_CAMERA:
            out["camera"] = flat(metadata.camera, lead)
            if metadata.iso is not None and self.source.iso is None:
                out["iso"] = metadata.iso.reshape(-1).tolist()
        return out

    def _draw(self, seed: int, fixed: Overrides) -> dict[str, Any]:
        rng = seeding.scalar_rng(seed)
        drawn = self.source.draw(rng, fixed)
        noise = drawn.noise
        if "cfa" in fixed:
            # Levels that no camera stated are in the order of the image already.
            noise = replace(noise, cfa=fixed["cfa"]) if drawn.camera is None else noise.in_layout(fixed["cfa"])
        if "shot" in fixed:
            noise = replace(noise, shot=four_planes(fixed["shot"], "shot"))
        if "read" in fixed:
            # O is all that does not depend on light, so nothing of it is left to rows, columns and tails.
            planes = four_planes(fixed["read"], "read")
            noise = replace(
                noise, read=planes, tukey_scale=None, tukey_lambda=None, row_sigma=0.0, column_sigma=0.0
            )
        if self.options["quantization"] == "none":
            noise = replace(noise, quantization_step=0.0)
        return {
            "model": self.model.name,
            "params": self.model.draw(noise, rng),
            # Of the same hash as the scalars', so that one number replays the sample.
            "seed": _check_seed(fixed.get("seed", seed)),
            "rng": seeding.RNG_VERSION,
            "iso": None if noise.iso is None else float32(noise.iso),
            "camera": drawn.camera,
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
        check_entries(params, raw.shape[:-3].numel())
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
        if missing:
            raise UsageError(f"noise parameters are incomplete, got {sorted(params)}; take them from make_params.")
        if params["model"] != self.model.name:
            raise UsageError(f"these parameters are for {params['model']!r}; this AddNoise is {self.model.name!r}.")
        if params["rng"] != seeding.RNG_VERSION:
            raise UsageError(f"drawn with generator {params['rng']!r}; this rawsynth has {seeding.RNG_VERSION!r}.")
        try:
            shot, read = self.model.shot_read(params["params"])
        except (KeyError, TypeError) as error:
            raise UsageError(f"noise parameters are incomplete ({error}); take them from make_params.") from error
        return NoiseRecord(params["model"], params["params"], _check_seed(params["seed"]), params["rng"], shot, read)


def check_raw(raw: RawImage) -> None:
    """Raise UsageError unless this is a RawImage of floats."""
    if not isinstance(raw, RawImage) or not raw.packed.is_floating_point():
        raise UsageError("AddNoise takes a RawImage; wrap packed planes with RawImage.from_packed(planes, cfa).")


def _stack(values: Sequence[Any], lead: tuple[int, ...], device: torch.device) -> Tensor:
    host = torch.tensor(values, dtype=torch.float32)
    return host.reshape((*lead, *host.shape[1:])).to(device, non_blocking=True)


def _check_seed(seed: Any) -> int:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**63:
        raise UsageError(f"a noise seed is an integer in [0, 2**63); got {seed!r}.")
    return int(seed)
