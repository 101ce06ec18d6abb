"""Tries what cannot be looked up: does a place take files, and how fast is RAW made here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.engine.doctor.findings import Finding
from rawsynth.errors import RawsynthError
from rawsynth.transforms import AddNoise, ReverseISP

SIDE, BATCH = 504, 4
METHODS = ("unprocess", "rst_isp_net_small")
_CONTENT = bytes(range(256)) * 4


def write_test(url: str) -> Iterator[Finding]:
    """Write a file of 1 kB below a folder or URL, read it whole and in part, list it, remove it; yield each step.

    What fails is broken, and ends the test; the file does not stay unless it cannot be removed.
    """
    name = f"rawsynth-doctor-{secrets.token_hex(4)}"
    file = storage.join(url, name)
    steps: tuple[tuple[str, Callable[[], bool]], ...] = (
        ("write", lambda: _written(file)),
        ("read", lambda: storage.read_bytes(file) == _CONTENT),
        ("read a range", lambda: storage.read_range(file, 100, 300) == _CONTENT[100:400]),
        ("list", lambda: name in storage.list_names(url)),
        ("remove", lambda: _removed(file)),
    )
    for step, run in steps:
        begin = time.perf_counter()
        try:
            right = run()
        except (RawsynthError, OSError, ValueError) as error:
            advice = f"{url} cannot take a corpus; docs/storage.md says what a store needs"
            yield Finding("write test", step, f"failed: {error}", "broken", advice)
            return
        milliseconds = 1000 * (time.perf_counter() - begin)
        if not right:
            advice = f"{url} does not give back at once what was written; a corpus cannot be kept there"
            yield Finding("write test", step, "not what was written", "broken", advice)
            return
        yield Finding("write test", step, f"{milliseconds:.0f} ms", figures=milliseconds)


def _written(file: str) -> bool:
    storage.write_atomic(file, _CONTENT)
    return True


def _removed(file: str) -> bool:
    storage.remove(file)
    return not storage.exists(file)


def speeds(seconds: float, methods: tuple[str, ...] = METHODS, *, device: str = "cpu") -> Iterator[Finding]:
    """Time each method with noise on images of 504x504, on a GPU or on this process's threads.

    Args:
        seconds: spent on each method, after a first batch that is not counted.
        methods: names of reverse ISPs.
        device: where.
    """
    srgb = _picture().expand(BATCH, -1, -1, -1).contiguous()
    for name in methods:
        try:
            to_raw, add_noise = ReverseISP(name, seed=0).to(device), AddNoise("heteroscedastic_gaussian", seed=0)
            rate = _rate(partial(_make, to_raw, add_noise, srgb.to(device)), seconds)
        except (RawsynthError, RuntimeError) as error:
            shown = f"failed on {device}: {str(error).splitlines()[0]}"
            yield Finding("speed", name, shown, "broken", _after(error))
            continue
        where = f"{torch.get_num_threads()} threads" if device == "cpu" else f"GPU {torch.device(device).index or 0}"
        hours = 1e6 / rate / 3600
        shown = f"{rate:.3g} images/s on {where}; a million take {hours:.1f} hours"
        yield Finding("speed", name, shown, figures={"images_per_second": rate, "device": device, "side": SIDE})


def _after(error: Exception) -> str:
    if isinstance(error, RawsynthError):
        return "reinstall rawsynth if its weights are damaged: pip install --force-reinstall --no-deps rawsynth"
    if isinstance(error, torch.OutOfMemoryError):
        return "the GPU's memory is full: see by whom with nvidia-smi, or use --device cpu"
    return "torch fails at it on this device; --device cpu goes without a GPU"


def _picture() -> Tensor:
    """Return ``(3, SIDE, SIDE)`` uint8: waves of all brightnesses; the time does not depend on what is seen."""
    y, x = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    waves = [((x * a + y * b) / 90).sin() for a, b in ((1, 2), (2, 1), (3, 1))]
    return ((torch.stack(waves) + 1) * 127.5).to(torch.uint8)


def _make(to_raw: ReverseISP, add_noise: AddNoise, srgb: Tensor) -> Tensor:
    keys = [str(index) for index in range(BATCH)]
    noisy: Tensor = add_noise(to_raw(srgb, keys=keys), keys=keys).packed
    return noisy


def _rate(make: Callable[[], Tensor], seconds: float) -> float:
    """Return images a second; reading one number waits for the device."""
    float(make().flatten()[0])
    begin, batches = time.perf_counter(), 0
    while batches == 0 or time.perf_counter() - begin < seconds:
        float(make().flatten()[0])
        batches += 1
    return batches * BATCH / (time.perf_counter() - begin)
