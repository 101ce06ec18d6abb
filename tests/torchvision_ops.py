"""torchvision beside a torch that it was not built for, as on a machine whose torch is for the CPU only."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import util
from types import ModuleType

import pytest
import torch

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


@cache
def import_v2() -> ModuleType:
    """Import torchvision.transforms.v2, after defining what it looks for in operators that do not load here.

    Skips the test without torchvision.
    """
    if util.find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    # Asked of another process: where they do load, a definition made before would end this one.
    loads = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True).returncode == 0
    if not loads:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                library.define(name + _SCHEMA)
        _LIBRARIES.append(library)
    from torchvision.transforms import v2

    return v2


# Definitions go when the object that made them does.
_LIBRARIES: list[torch.library.Library] = []
