"""What besides the configuration decides bytes: library versions, instruction set, GPU model."""

from __future__ import annotations

import platform
import re
import shutil
from functools import cache
from importlib import util

import torch

from rawsynth.errors import UsageError
from rawsynth.pipeline.config import ComputeConfig
from rawsynth.versions import package_versions

# Below this much input, compiling (about a minute on two cores, once a machine) costs more than it saves.
AUTO_COMPILE_BYTES = 1_000_000_000
# More than this gains nothing on two cores and costs memory; a GPU wants more to do at once.
BATCH_PIXELS = {"cpu": 2_000_000, "cuda": 16_000_000}


@cache
def describe(device: str) -> dict[str, str]:
    """Return versions and hardware, for the record."""
    out = package_versions("rawsynth", "torch", "numpy", "pillow", "webdataset")
    out |= {"python": platform.python_version(), "machine": platform.machine()}
    out["cpu"] = torch.backends.cpu.get_cpu_capability()
    if torch.device(device).type == "cuda":
        out["gpu"] = torch.cuda.get_device_name(device)
    return out


def decide(compute: ComputeConfig, input_bytes: int) -> ComputeConfig:
    """Replace what is left open by what this machine and this much input call for.

    Raises:
        UsageError: an unknown device, or one that is not there.
    """
    device = compute.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    check_device(device)
    compiled = compute.compile
    if compiled == "auto":
        worth_it = input_bytes >= AUTO_COMPILE_BYTES and can_compile(device)
        compiled = "on" if worth_it else "off"
    pixels = compute.batch_pixels or BATCH_PIXELS[torch.device(device).type]
    return compute.model_copy(update={"device": device, "compile": compiled, "batch_pixels": pixels})


def check_device(device: str) -> torch.device:
    """Return the device.

    Raises:
        UsageError: its name is unknown, or it is not there.
    """
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise UsageError(f"unknown device {device!r}; choose from: auto, cpu, cuda, cuda:N.")
    gpus = torch.cuda.device_count()
    if device != "cpu" and int(device.partition(":")[2] or 0) >= gpus:
        raise UsageError(
            f"device {device!r} is not available: torch sees {gpus} GPUs. `rawsynth doctor` says why; --device cpu does"
            " without."
        )
    return torch.device(device)


def can_compile(device: str) -> bool:
    """Whether ``torch.compile`` finds the tools that it needs: Triton on a GPU, a C++ compiler on a CPU."""
    if torch.device(device).type == "cuda":
        return util.find_spec("triton") is not None
    return any(shutil.which(compiler) for compiler in ("g++", "clang++", "cl"))
