"""A GPU that fails in the middle of a verb ends it with one line, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rawsynth.cli import generate
from rawsynth.cli.device_faults import device_fault

FAULTS = [
    (torch.AcceleratorError("CUDA error: device-side assert triggered\nmore"), "assert triggered. `rawsynth"),
    (RuntimeError("Found no NVIDIA driver on your system. Please check ..."), "no NVIDIA driver"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 GiB."), "nvidia-smi shows who uses it"),
    (RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"), "`rawsynth doctor` examines it"),
]


@pytest.mark.parametrize(("error", "said"), FAULTS)
def test_faults_of_a_gpu(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: RuntimeError, said: str
) -> None:
    def fail(args: Any) -> int:
        raise error

    monkeypatch.setattr(generate, "run", fail)
    done = cli("generate", tmp_path, tmp_path)
    assert done.code == 1 and len(done.err.splitlines()) == 1
    assert done.err.startswith("rawsynth generate: the GPU") and said in done.err and "--device cpu" in done.err


@pytest.mark.parametrize("text", ["", "mat1 and mat2 shapes cannot be multiplied", "barracuda"])
def test_other_errors_are_none_of_a_gpu(text: str) -> None:
    assert device_fault(RuntimeError(text)) is None
