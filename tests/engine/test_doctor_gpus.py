"""doctor and GPUs, on a machine that has none: torch.cuda is replaced by one that behaves as others do.

What the replacements raise and return is worded as torch 2.13 words it; none of it was seen on such a machine here.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from rawsynth.engine.doctor import Finding, examine, gpus, machine, trials

Cuda = Callable[..., None]
GB = 10**9
NO_KERNEL = (
    "CUDA error: no kernel image is available for execution on the device\nCUDA kernel errors might be asynchronously "
    "reported at some other API call, so the stacktrace below might be incorrect."
)
TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version."
)


def raising(error: Exception) -> Callable[..., Any]:
    def raise_it(*args: Any, **options: Any) -> Any:
        raise error

    return raise_it


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    """``cuda(ones=, count=, ...)``: a machine with GPUs, whose parts may be replaced by what fails."""

    def install(count: int = 1, free: int = 79 * GB, **parts: Any) -> None:
        # Whatever is computed "on the GPU" is computed here, so that the whole examination runs.
        real = torch.ones
        working = {
            "is_available": lambda: count > 0,
            "device_count": lambda: count,
            "get_device_name": lambda index=0: f"NVIDIA Test {index}",
            "mem_get_info": lambda index=0: (free, 80 * GB),
            "get_device_capability": lambda index=0: (5, 0),
            "get_arch_list": lambda: ["sm_75", "sm_90"],
        }
        for name, part in {**working, **{k: v for k, v in parts.items() if k != "ones"}}.items():
            monkeypatch.setattr(torch.cuda, name, part)
        ones = parts.get("ones", lambda size, **options: real(size))
        monkeypatch.setattr(gpus.torch, "ones", ones)
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    return install


def found() -> list[Finding]:
    return list(gpus.gpus())


def test_one_that_works(cuda: Cuda) -> None:
    cuda()
    (gpu,) = found()
    assert (gpu.name, gpu.state, gpu.shown) == ("GPU 0", "ok", "NVIDIA Test 0, 79.0 of 80.0 GB free")
    assert gpu.figures == {"name": "NVIDIA Test 0", "bytes": 80 * GB, "free": 79 * GB}
    assert gpus.usable_device([gpu]) == "cuda:0"


def test_one_that_others_fill(cuda: Cuda) -> None:
    cuda(free=5 * GB)
    (gpu,) = found()
    assert gpu.state == "note" and "others use 75.0 GB" in str(gpu.advice) and "nvidia-smi" in str(gpu.advice)


FAULTS: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "too old for this torch",
        {"ones": raising(torch.AcceleratorError(NO_KERNEL))},
        ["compute capability 5.0", "sm_75, sm_90", "install a build of torch for it"],
    ),
    (
        "too old, and it does not say what it is",
        {"ones": raising(RuntimeError(NO_KERNEL)), "get_device_capability": raising(RuntimeError("CUDA error"))},
        ["built for sm_75, sm_90, not for this GPU", "install a build of torch for it"],
    ),
    (
        "driver and library of two versions",
        {"get_device_name": raising(RuntimeError("CUDA driver initialization failed, you might not have a CUDA gpu."))},
        ["CUDA driver initialization failed, you might not have a CUDA gpu;", "nvidia-smi"],
    ),
    (
        "full",
        {"ones": raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."))},
        ["its memory is full", "nvidia-smi"],
    ),
    ("fallen off the bus", {"ones": raising(RuntimeError(""))}, ["cannot use it: RuntimeError", "reboot"]),
    (
        "no memory figures",
        {"mem_get_info": raising(torch.AcceleratorError("CUDA error: unknown error\n"))},
        ["CUDA error: unknown error", "nvidia-smi"],
    ),
]


@pytest.mark.parametrize(("parts", "advice"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS])
def test_one_that_fails_is_broken_and_leads_on(cuda: Cuda, parts: dict[str, Any], advice: list[str]) -> None:
    cuda(**parts)
    (gpu,) = found()
    assert gpu.state == "broken" and gpu.name == "GPU 0"
    assert all(words in str(gpu.advice) for words in advice), gpu.advice
    assert "--device cpu" in str(gpu.advice) and "\n" not in str(gpu.advice)
    assert gpus.usable_device([gpu]) == "cpu"


def test_the_first_that_works_is_timed(cuda: Cuda) -> None:
    def first_fails(size: int, device: str) -> torch.Tensor:
        if device == "cuda:0":
            raise RuntimeError(NO_KERNEL)
        return torch.zeros(size)

    cuda(count=3, ones=first_fails)
    all_three = found()
    assert [gpu.state for gpu in all_three] == ["broken", "ok", "ok"]
    assert gpus.usable_device(all_three) == "cuda:1"


NONE: list[tuple[str, dict[str, Any], str | None]] = [
    ("a CPU build and no driver", {"built": None, "driver": False}, None),
    ("a CPU build where there is a driver", {"built": None}, "torch is built for CPUs: install its CUDA build"),
    ("a CUDA build and no driver", {"driver": False}, None),
    ("no device", {"init": raising(RuntimeError("No CUDA GPUs are available"))}, "No CUDA GPUs are available; see"),
    ("a driver that is too old", {"init": raising(RuntimeError(TOO_OLD))}, "driver on your system is too old"),
    ("a driver that says nothing", {"init": lambda: None}, "it finds none; see nvidia-smi"),
    ("hidden", {"hidden": ""}, "CUDA_VISIBLE_DEVICES='' hides all GPUs"),
    ("hidden by number", {"hidden": "-1", "driver": False}, "CUDA_VISIBLE_DEVICES='-1' hides all GPUs"),
]


@pytest.mark.parametrize(("case", "advice"), [row[1:] for row in NONE], ids=[row[0] for row in NONE])
def test_none_and_why(
    cuda: Cuda, monkeypatch: pytest.MonkeyPatch, case: dict[str, Any], advice: str | None
) -> None:
    cuda(count=0, init=case.get("init", raising(AssertionError("Torch not compiled with CUDA enabled"))))
    monkeypatch.setattr(torch.version, "cuda", case.get("built", "13.0"))
    monkeypatch.setattr(gpus, "_driver_is_there", lambda: case.get("driver", True))
    if "hidden" in case:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", case["hidden"])
    (nothing,) = found()
    assert (nothing.name, nothing.shown) == ("GPUs", "none that torch sees")
    assert nothing.state == ("ok" if advice is None else "note")
    assert nothing.advice is None if advice is None else advice in str(nothing.advice)
    assert gpus.usable_device([nothing]) == "cpu"


def test_torch_s_own_warnings_are_not_said_twice(cuda: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn() -> bool:
        warnings.warn("CUDA initialization: the driver is too old", UserWarning, stacklevel=1)
        return False

    cuda(count=0, is_available=warn, init=raising(RuntimeError(TOO_OLD)))
    monkeypatch.setattr(gpus, "_driver_is_there", lambda: True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "too old" in str(found()[0].advice)


def test_a_gpu_that_fails_does_not_end_the_examination(
    cuda: Cuda, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The speed is then that of the CPU, which is what a run would have to use."""
    cuda(ones=raising(RuntimeError(NO_KERNEL)))
    monkeypatch.setattr(trials, "METHODS", ("unprocess",))
    whole = examine(write_to=str(tmp_path), seconds=0.01)
    assert [finding.name for finding in whole.broken] == ["GPU 0"] and whole.exit_code == 1
    assert "threads" in next(finding.shown for finding in whole.findings if finding.topic == "speed")


def test_a_gpu_that_fails_while_it_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    full = raising(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."))
    monkeypatch.setattr(trials, "_rate", full)
    (speed,) = trials.speeds(0.01, ("unprocess",))
    assert speed.state == "broken" and "nvidia-smi" in str(speed.advice) and "weights" not in str(speed.advice)


@pytest.mark.parametrize(("gpu", "needs"), [(True, "pip install triton"), (False, "apt install g++")])
def test_what_compiling_lacks(cuda: Cuda, monkeypatch: pytest.MonkeyPatch, gpu: bool, needs: str) -> None:
    cuda(count=int(gpu))
    monkeypatch.setattr(machine, "can_compile", lambda device: False)
    (compiler,) = [finding for finding in machine.machine() if finding.name == "compiler"]
    assert needs in str(compiler.advice)
