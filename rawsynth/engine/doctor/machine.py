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
from rawsynth.engine.doctor.gpus import gpus
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
    yield from _compiler()
    yield temporary_space()


def _compiler() -> Iterator[Finding]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not can_compile(device):
        needs = "Triton: pip install triton" if device == "cuda" else "a C++ compiler: apt install g++"
        gain = "" if device == "cuda" else ", 1.4 times for unprocess on a CPU"
        advice = f"torch.compile makes RAW faster{gain}; it needs {needs}"
        yield Finding("machine", "compiler", "none", "note", advice)


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
