"""Looks at the GPUs: which there are, whether torch can use them, and if not, why not."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch

from rawsynth.engine.doctor.findings import Finding

_WITHOUT = "until then rawsynth generate --device cpu goes without it"


def gpus() -> Iterator[Finding]:
    """Yield each GPU that torch sees, tried with one sum; or none, and why torch sees none where one may be there."""
    with warnings.catch_warnings():
        # What torch warns of is asked for below, where there is a place to say it.
        warnings.simplefilter("ignore")
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        found = [_try(index) for index in range(count)]
        advice = None if found else _why_none()
    yield from found
    if not found:
        yield Finding("machine", "GPUs", "none that torch sees", "note" if advice else "ok", advice, [])


def usable_device(findings: list[Finding]) -> str:
    """Return the first GPU among the findings that works, else ``"cpu"``."""
    working = [f.name for f in findings if f.name.startswith("GPU ") and f.state != "broken"]
    return f"cuda:{working[0].removeprefix('GPU ')}" if working else "cpu"


def _try(index: int) -> Finding:
    shown = "not recognised"
    try:
        shown = torch.cuda.get_device_name(index)
        float(torch.ones(8, device=f"cuda:{index}").sum())
        free, total = torch.cuda.mem_get_info(index)
    except (RuntimeError, AssertionError) as error:
        return Finding("machine", f"GPU {index}", shown, "broken", _what_to_do(index, error))
    figures = {"name": shown, "bytes": total, "free": free}
    text = f"{shown}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    advice = None
    if free < total / 2:
        advice = f"more memory of GPU {index}: others use {(total - free) / 1e9:.1f} GB of it, nvidia-smi shows who"
    return Finding("machine", f"GPU {index}", text, "note" if advice else "ok", advice, figures)


def _what_to_do(index: int, error: Exception) -> str:
    reason = _first_line(error)
    if isinstance(error, torch.OutOfMemoryError):
        return f"its memory is full: see by whom with nvidia-smi; {_WITHOUT}"
    if "no kernel image" in reason:
        return f"{_misfit(index)}: install a build of torch for it, https://pytorch.org/get-started; {_WITHOUT}"
    return f"torch {torch.__version__} cannot use it: {reason}; does nvidia-smi work? A reboot may help. {_WITHOUT}"


def _misfit(index: int) -> str:
    """Say what the GPU is and what torch was built for."""
    built = ", ".join(torch.cuda.get_arch_list()) or "others"
    try:
        major, minor = torch.cuda.get_device_capability(index)
    except (RuntimeError, AssertionError):
        return f"torch {torch.__version__} is built for {built}, not for this GPU"
    return f"it has compute capability {major}.{minor}, torch {torch.__version__} is built for {built}"


def _why_none() -> str | None:
    if torch.version.cuda is None:
        if not _driver_is_there():
            return None
        return "there is an NVIDIA driver, but torch is built for CPUs: install its CUDA build, https://pytorch.org"
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if hidden is not None and hidden.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={hidden!r} hides all GPUs: unset it to use them"
    if not _driver_is_there():
        return None
    try:
        torch.cuda.init()  # type: ignore[no-untyped-call]
        reason = "it finds none"
    except (RuntimeError, AssertionError) as error:
        reason = _first_line(error)
    return f"there is an NVIDIA driver, but torch for CUDA {torch.version.cuda} finds no GPU: {reason}; see nvidia-smi"


def _driver_is_there() -> bool:
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(". ")
