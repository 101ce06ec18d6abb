"""ReverseISP: sRGB images to clean RAW."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from os import PathLike
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from rawsynth import seeding
from rawsynth.cameras import CameraProfile, load_camera
from rawsynth.cameras.choosing import RANDOM_CAMERA, random_cameras
from rawsynth.cameras.color import check_cct, draw_cct
from rawsynth.errors import UsageError
from rawsynth.methods import DEFAULT_METHOD, METHODS, ReverseMethod
from rawsynth.raw.cfa import check_cfa
from rawsynth.raw.image import RawImage
from rawsynth.raw.metadata import RawMetadata, fill, float32, nest
from rawsynth.registry import pick
from rawsynth.transforms.base import Overrides, Params, Transform, check_entries
from rawsynth.transforms.srgb import check_frame, check_srgb

_ROW_SUM_TOLERANCE = 1e-3
_ENTRY_NAMES = {"method", "method_version", "camera", "cfa", "cam_from_srgb", "white_balance", "rgb_gain"}
_PHYSICS_SHAPES: Mapping[str, tuple[int, ...]] = {"cam_from_srgb": (3, 3), "white_balance": (2,), "rgb_gain": ()}
_LARGEST = float(np.finfo(np.float32).max)


class ReverseISP(Transform):
    """Turn sRGB into clean RAW.

    Args:
        method: name in the table of methods, or a :class:`~rawsynth.methods.ReverseMethod` of your own.
        weights: of a learned method: a ``.safetensors`` file, path or fsspec URL, or a name that the package knows;
            ``rst_isp_net_small`` comes with its own, ``unprocess`` has none.
        style: for ``rst_isp_net_small``: a file that ``rawsynth fit-style`` wrote for its weights, path or fsspec URL;
            without one, the style of each image is read from it.
        camera: profile whose colour is used: a built-in name, a ``.toml`` or ``.json`` file, a profile, several of them
            to draw from for each image, or ``"random"`` for all built-in cameras with both colour and noise.
        cct: correlated colour temperature of the scene's light in kelvin, for a camera: one, or ``(low, high)`` to draw
            from, uniformly in 1/CCT; 2850 to 7500 if not given. The camera's matrices and white balance follow it.
        cfa: order of the planes, or ``"camera"`` for the camera's own.
        cam_from_srgb: 3x3, linear sRGB to camera RGB; rows sum to 1.
        white_balance: ``(red_gain, blue_gain)``.
        rgb_gain: linear values are divided by it, as in Brooks et al. 2019; 1.25 is the centre of their law. What a
            network sees in the picture is where the sensor saturates; 1, its own, leaves that as it is.
        seed: integer for draws decided by keys, ``None`` for torch's RNG.

    ``None`` for a physical quantity means that the method decides for each image: ``rst_isp_net_small``, the default,
    draws a built-in camera and the light, ``unprocess`` draws colour and exposure by Brooks' law; ``rst_isp_net`` makes
    the RAW of the camera that it was trained on and takes no camera, colour or exposure.

    Raises:
        UnknownNameError: an unknown method, camera or CFA; the message lists the choices.
        UsageError: a value of the wrong shape or range.

    >>> to_raw = ReverseISP(seed=0)
    >>> raw = to_raw(torch.zeros(2, 3, 6, 8, dtype=torch.uint8), keys=["a", "b"])
    >>> raw.packed.shape
    torch.Size([2, 4, 3, 4])
    """

    purpose: ClassVar[str] = "reverse_isp"
    override_dims: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "camera": (0,),
        "cct": (0,),
        "cfa": (0,),
        "cam_from_srgb": (2,),
        "white_balance": (1,),
        "rgb_gain": (0,),
    }

    def __init__(
        self,
        method: str | ReverseMethod = DEFAULT_METHOD,
        weights: str | PathLike[str] | None = None,
        *,
        style: str | PathLike[str] | None = None,
        camera: str | CameraProfile | Sequence[str | CameraProfile] | None = None,
        cct: float | Sequence[float] | None = None,
        cfa: str = "RGGB",
        cam_from_srgb: Any = None,
        white_balance: Sequence[float] | None = None,
        rgb_gain: float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__(seed)
        self.method = _created(method, weights, style)
        given: dict[str, Any] = {
            "camera": _profiles(camera), "cct": cct, "cam_from_srgb": cam_from_srgb, "white_balance": white_balance,
            "rgb_gain": rgb_gain,
        }  # fmt: skip
        self.fixed = {name: value for name, value in given.items() if value is not None} | {"cfa": cfa}
        # Says now what every draw would say; the generator's state is of no concern.
        self._resolve(self.fixed, seeding.scalar_rng(0))

    def extra_repr(self) -> str:
        """Show what is fixed."""
        shown = {**self.fixed, "seed": self.seed}
        if "camera" in shown:
            names = [camera.name for camera in shown["camera"]]
            shown["camera"] = names[0] if len(names) == 1 else f"any of {len(names)}"
        return ", ".join(f"{k}={v!r}" for k, v in shown.items())

    def compile_kernels(self, dynamic: bool | None = None) -> ReverseISP:
        """Compile the device part with ``torch.compile(dynamic=...)`` and return self; draws stay Python."""
        self.method.compile_kernels(dynamic)
        return self

    def forward(
        self,
        srgb: Tensor,
        *,
        keys: Sequence[str] | None = None,
        overrides: Overrides | None = None,
        frame: Tensor | None = None,
    ) -> RawImage:
        """Draw parameters and apply them; see :meth:`make_params` and :meth:`apply_params`."""
        check_srgb(srgb)
        params = self.make_params(srgb.shape[:-3].numel(), keys=keys, overrides=overrides)
        return self.apply_params(srgb, params, frame=frame)

    def _draw(self, seed: int, fixed: Overrides) -> dict[str, Any]:
        rng = seeding.scalar_rng(seed)
        resolved = self.method.draw(rng) | self._resolve({**self.fixed, **fixed}, rng)
        numbers = {name: float32(resolved[name]) for name in ("cam_from_srgb", "white_balance", "rgb_gain")}
        names = {"method": self.method.name, "method_version": self.method.version}
        return names | {name: resolved.get(name) for name in ("camera", "cct", "cfa")} | numbers

    def _resolve(self, stated: Overrides, rng: np.random.Generator) -> dict[str, Any]:
        """Check what is stated, and let the camera fill in what is not given."""
        out: dict[str, Any] = {}
        chosen = sorted(set(stated) - {"cfa"})
        if chosen and not self.method.takes_color:
            raise UsageError(
                f"{self.method.name} makes the RAW of the camera that its weights were trained on; "
                f"{', '.join(chosen)} cannot be chosen."
            )
        profile = _drawn_profile(stated.get("camera"), rng)
        if profile is not None:
            cct = _drawn_cct(stated.get("cct"), rng)
            out["camera"], out["cct"] = profile.name, cct
            out["cam_from_srgb"], out["white_balance"] = profile.color(cct)
        elif "cct" in stated:
            raise UsageError("a colour temperature means something for a camera only; give camera=... too.")
        elif {"cam_from_srgb", "white_balance"} <= set(stated):
            # Nothing is left of a camera that the method draws.
            out["camera"] = out["cct"] = None
        if stated["cfa"] == "camera" and profile is None:
            first = "give camera=... or a layout" if self.method.takes_color else "give a layout"
            raise UsageError(f'cfa="camera" takes the layout from a camera; {first} like "RGGB".')
        out["cfa"] = profile.cfa if profile and stated["cfa"] == "camera" else check_cfa(stated["cfa"])
        return out | check_physics({name: stated[name] for name in _PHYSICS_SHAPES if name in stated})

    def apply_params(self, srgb: Tensor, params: Params, *, frame: Tensor | None = None) -> RawImage:
        """Reverse the ISP with given parameters. Pure: no randomness, and no wait for the device.

        Args:
            srgb: ``(..., 3, H, W)`` uint8 or float in [0, 1]; H and W even.
            params: one entry a sample, from :meth:`make_params` or from JSON.
            frame: ``(..., 3, h, w)``, for each image the photograph that it was cut from, in any size: a network sees
                the ISP's style there, so that crops of one photograph fit together. ``None``: the images themselves.
                Methods without a style take no notice.

        Returns:
            RawImage of ``(..., 4, H/2, W/2)`` float32 in [0, 1] on the input's device.

        Raises:
            UsageError: a wrong shape, dtype or (seen on the CPU only) range, or parameters that are too few, incomplete
                or another method's.
        """
        check_srgb(srgb)
        lead = srgb.shape[:-3]
        check_entries(params, lead.numel())
        for entry in params:
            self._check_entry(entry)
        held = next(chain(self.method.parameters(), self.method.buffers()), None)
        if held is not None and held.device != srgb.device:
            self.method.to(srgb.device)
        tensors = self.method.tensors(params, srgb.device)
        if frame is not None:
            check_frame(frame, lead)
            tensors["frame"] = frame.reshape(-1, *frame.shape[-3:])
        with torch.no_grad():
            packed = self.method(srgb.reshape(-1, *srgb.shape[-3:]), tensors)
        metadata = method_metadata(params, tuple(lead), srgb.device)
        return RawImage(packed.reshape(*lead, *packed.shape[-3:]), metadata)

    def _check_entry(self, entry: Mapping[str, Any]) -> None:
        missing = _ENTRY_NAMES - set(entry)
        if missing:
            raise UsageError(f"parameters lack {', '.join(sorted(missing))}; take them from make_params.")
        made, this = (entry["method"], entry["method_version"]), (self.method.name, self.method.version)
        if made != this:
            raise UsageError(f"these parameters are for {' version '.join(made)}; this is {' version '.join(this)}.")


def _created(
    method: str | ReverseMethod, weights: str | PathLike[str] | None, style: str | PathLike[str] | None
) -> ReverseMethod:
    if not isinstance(method, ReverseMethod):
        return pick(METHODS, method, "method").create(weights, style=style)
    for name, value in (("weights", weights), ("style", style)):
        if value is not None:
            raise UsageError(f"a method that is given as an object has its {name}; leave {name}=None.")
    return method


def _profiles(camera: str | CameraProfile | Sequence[str | CameraProfile] | None) -> tuple[CameraProfile, ...] | None:
    """What a user's word for cameras stands for; one is drawn where there are several."""
    if camera is None:
        return None
    if isinstance(camera, str) and camera == RANDOM_CAMERA:
        return random_cameras(color=True)
    several = [camera] if isinstance(camera, str | CameraProfile) else list(camera)
    if not several:
        raise UsageError("camera is a list without a camera; name some, or leave it out.")
    return tuple(one if isinstance(one, CameraProfile) else load_camera(one) for one in several)


def _drawn_profile(cameras: Any, rng: np.random.Generator) -> CameraProfile | None:
    among = cameras if cameras is None or isinstance(cameras, tuple) else _profiles(cameras)
    if among is None:
        return None
    picked: CameraProfile = among[int(rng.integers(len(among)))] if len(among) > 1 else among[0]
    return picked


def _drawn_cct(cct: Any, rng: np.random.Generator) -> float:
    """Draw a colour temperature, rounded to float32 so that the one that is recorded is the one that decided."""
    if cct is None:
        return float(np.float32(draw_cct(rng)))
    try:
        low, high = np.broadcast_to(np.asarray(cct, dtype=np.float64), 2).tolist()
    except (TypeError, ValueError) as error:
        raise UsageError(f"cct is one temperature in kelvin, or (low, high); got {cct!r}.") from error
    if not low <= high:
        raise UsageError(f"cct is one temperature in kelvin, or (low, high) with low <= high; got {cct!r}.")
    check_cct(low)
    return float(np.float32(low if low == high else draw_cct(rng, low=low, high=high)))


def check_physics(values: Mapping[str, Any]) -> dict[str, Any]:
    """Check colour and exposure given by the user.

    Raises:
        UsageError: a matrix that is not 3x3 with rows summing to 1, or gains that are not positive.
    """
    out: dict[str, Any] = {}
    for name, value in values.items():
        try:
            array = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError):
            array = np.full((), np.nan)
        if array.shape != _PHYSICS_SHAPES[name] or not (np.abs(array) < _LARGEST).all():
            raise UsageError(f"{name} has shape {_PHYSICS_SHAPES[name]} and finite values; got {value!r}.")
        if name == "cam_from_srgb" and np.abs(array.sum(axis=1) - 1).max() > _ROW_SUM_TOLERANCE:
            raise UsageError(f"cam_from_srgb keeps white: rows sum to 1; got sums {array.sum(axis=1).tolist()}.")
        if name != "cam_from_srgb" and (array <= 0).any():
            raise UsageError(f"{name} must be positive; got {value!r}.")
        out[name] = array.tolist()
    return out


def method_metadata(params: Params, lead: tuple[int, ...], device: torch.device) -> RawMetadata:
    """Arrange the samples' parameters as the metadata of a batch of leading shape ``lead``."""

    def tensor(name: str, *shape: int) -> Tensor:
        host = torch.tensor([p[name] for p in params], dtype=torch.float32).reshape((*lead, *shape))
        return host.to(device, non_blocking=True)

    return RawMetadata(
        cfa=nest(iter([p["cfa"] for p in params]), lead),
        method=nest(iter([p["method"] for p in params]), lead),
        method_version=nest(iter([p["method_version"] for p in params]), lead),
        camera=nest(iter([p["camera"] for p in params]), lead),
        cam_from_srgb=tensor("cam_from_srgb", 3, 3),
        white_balance=tensor("white_balance", 2),
        rgb_gain=tensor("rgb_gain"),
        cct=tensor("cct") if params and all(p.get("cct") is not None for p in params) else None,
        noise=fill(None, lead),
    )
