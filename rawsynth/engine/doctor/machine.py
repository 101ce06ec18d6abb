"""Looks at the machine: cores, what its processor multiplies fast, memory, GPUs, temporary space."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from rawsynth.engine.doctor.findings import Finding
from rawsynth.engine.resources import WORKER_BYTES, available_cores, available_memory
from rawsynth.pipeline.environment import can_compile

# A part is written to a temporary file before it goes to a store; this is its default size.
_PART_BYTES = 1_000_000_000
_PRODUCTS = {"amx_bf16": "AMX bfloat16", "avx512_bf16": "AVX-512 bfloat16", "bf16": "ARM bfloat16"}


def machine() -> Iterator[Finding]:
    """Yield what the machine has for a run."""
    cores, memory = available_cores(), available_memory()
    yield Finding("machine", "cores", f"{cores} of {os.cpu_count()}", figures=cores)
    yield from _load(cores)
    yield from _threads(cores)
    yield _products()
    if memory is not None:
        advice = None
        if memory < cores * WORKER_BYTES:
            advice = f"a worker takes up to 2 GB: memory free now serves {memory // WORKER_BYTES} of {cores} cores"
        yield Finding("machine", "memory", f"{memory / 1e9:.1f} GB free", "note" if advice else "ok", advice, memory)
    yield from gpus()
    if not can_compile("cuda" if torch.cuda.is_available() else "cpu"):
        advice = "torch.compile makes unprocess 1.4 times as fast on a CPU; it needs a C++ compiler: apt install g++"
        yield Finding("machine", "compiler", "none", "note", advice)
    yield temporary_space()


def bfloat16_products(cpuinfo: Path = Path("/proc/cpuinfo")) -> list[str]:
    """Return what the processor has to multiply bfloat16 with, as far as the system says."""
    try:
        flags = set(re.findall(r"\w+", cpuinfo.read_text("utf-8", "replace")[:20_000]))
    except OSError:
        return []
    return [name for flag, name in _PRODUCTS.items() if flag in flags]


def _products() -> Finding:
    found = bfloat16_products()
    name = f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    if not found:
        return Finding("machine", "processor", f"{name}; no bfloat16 products known", figures=[])
    advice = None
    if not torch.cuda.is_available():
        advice = "the network 1.5 times as fast on this processor, with fewer digits: generate --dtype bfloat16"
    return Finding("machine", "processor", f"{name}, {', '.join(found)}", "note" if advice else "ok", advice, found)


def _load(cores: int) -> Iterator[Finding]:
    """Others at work make every figure of speed too low, which should be said beside it."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    if load > cores:
        advice = f"{load:.1f} tasks wait for {cores} cores: speeds measured now are too low; look again when it is idle"
        yield Finding("machine", "load", f"{load:.1f}", "note", advice, load)


def _threads(cores: int) -> Iterator[Finding]:
    stated = os.environ.get("OMP_NUM_THREADS", "")
    if stated.isdigit() and int(stated) < cores:
        advice = f"OMP_NUM_THREADS={stated} leaves {cores - int(stated)} of {cores} cores idle in one process: unset it"
        yield Finding("machine", "threads", f"OMP_NUM_THREADS={stated}", "note", advice, int(stated))


def gpus() -> Iterator[Finding]:
    """Yield each GPU that torch sees, tried with one sum; or none, and whether there is one that it does not see."""
    if not torch.cuda.is_available():
        there = shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()
        advice = None
        if there and torch.version.cuda is None:
            advice = "there is an NVIDIA driver, but torch is built for CPUs: install its CUDA build"
        elif there:
            advice = f"there is an NVIDIA driver, but CUDA {torch.version.cuda} of torch finds no GPU; see nvidia-smi"
        yield Finding("machine", "GPUs", "none that torch sees", "note" if advice else "ok", advice, [])
        return
    for index in range(torch.cuda.device_count()):
        name, shown = f"GPU {index}", torch.cuda.get_device_name(index)
        try:
            total = torch.cuda.get_device_properties(index).total_memory
            float(torch.ones(8, device=f"cuda:{index}").sum())
        except RuntimeError as error:
            advice = f"torch {torch.__version__} cannot use it: {str(error).splitlines()[0]}"
            yield Finding("machine", name, shown, "broken", advice)
        else:
            yield Finding("machine", name, f"{shown}, {total / 1e9:.0f} GB", figures={"name": shown, "bytes": total})


def temporary_space() -> Finding:
    """Look at the folder for temporary files: parts are held there on their way to a store."""
    try:
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
    except OSError as error:
        failed = f"{error.strerror}; set TMPDIR to a folder that takes files"
        return Finding("machine", "temporary", "no folder takes files", "broken", failed)
    shown = f"{folder}, {free / 1e9:.1f} GB free"
    advice = None
    if free < _PART_BYTES:
        advice = "a part on its way to a store takes up to 1 GB there: set TMPDIR to a larger disk, or --part-size"
    return Finding("machine", "temporary", shown, "note" if advice else "ok", advice, {"folder": folder, "free": free})
