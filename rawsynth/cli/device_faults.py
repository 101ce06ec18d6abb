"""A GPU that fails is no fault of rawsynth or its user: it gets a line that leads on, like every other fault."""

from __future__ import annotations

import re
import sys

_OF_A_GPU = re.compile(r"\b(CUDA|cuda|cuDNN|CUDNN|CUBLAS|NVIDIA)")


def device_fault(error: RuntimeError) -> str | None:
    """Return what to say of an error that torch raised for a GPU; ``None`` if it is none."""
    torch = sys.modules.get("torch")
    if torch is None:
        return None
    reason = (str(error).splitlines() or ["no reason given"])[0].rstrip(". ")
    if isinstance(error, torch.OutOfMemoryError):
        return f"the GPU's memory is full: {reason}. nvidia-smi shows who uses it; --device cpu goes without the GPU."
    if isinstance(error, torch.AcceleratorError) or _OF_A_GPU.search(reason):
        return f"the GPU cannot be used: {reason}. `rawsynth doctor` examines it; --device cpu goes without it."
    return None
