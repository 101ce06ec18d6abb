"""device_memory: a batch that does not fit is halved where that changes no byte, else the setting to use is named."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from rawsynth.errors import UsageError
from rawsynth.methods import METHODS
from rawsynth.pipeline.config import build_config
from rawsynth.pipeline.decode import decode_srgb
from rawsynth.pipeline.device_memory import BatchFitter
from rawsynth.pipeline.synthesize import SynthesizedSample, Synthesizer
from rawsynth.pipeline.views import View, frame_pixels


def view(key: str, pixels: Any = None, height: int = 4, width: int = 6) -> View:
    image = np.zeros((3, height, width), np.uint8) if pixels is None else pixels
    return View(key, image, frame_pixels(image), {"key": key, "url": "in"}, {}, None)


class Device:
    """Holds so many pixels at once."""

    def __init__(self, room: int) -> None:
        self.room, self.asked = room, list[int]()

    def __call__(self, views: Sequence[View]) -> list[str]:
        self.asked.append(len(views))
        if sum(one.image[0].size for one in views) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of 1 GiB.")
        return [one.key for one in views]


KEYS = [f"k{i}" for i in range(11)]


@pytest.mark.parametrize("images_fit", [1, 2, 3, 5, 10, 11, 99])
def test_halved_until_it_fits_nothing_missing_or_twice(images_fit: int) -> None:
    device = Device(24 * images_fit)
    assert BatchFitter(divisible=True)(device, [view(key) for key in KEYS]) == KEYS


def test_what_fits_is_remembered_in_pixels() -> None:
    device, fit = Device(24 * 5), BatchFitter(divisible=True)
    fit(device, [view(key) for key in KEYS])
    assert device.asked == [11, 5, 5, 1]
    fit(device, [view(key) for key in KEYS])
    assert device.asked[4:] == [5, 5, 1]
    fit(device, [view(key, height=8) for key in KEYS[:4]])
    assert device.asked[7:] == [2, 2]


def test_the_setting_is_named_and_fits() -> None:
    device = Device(24 * 5)
    with pytest.raises(UsageError, match="11 images of 4x6.*CUDA out of memory.*--overwrite") as raised:
        BatchFitter(divisible=False)(device, [view(key) for key in KEYS])
    named = re.search(r"--batch-pixels (\d+)", str(raised.value))
    assert named is not None and int(named[1]) == 5 * 24
    assert device.asked == [11]


def test_padding_counts_into_what_is_named() -> None:
    """A short batch of a compiled pipeline is filled up, so it needs the memory of a full one."""
    with pytest.raises(UsageError, match="8 images of 4x6.*--batch-pixels 96,"):
        BatchFitter(divisible=False, padded=8)(Device(24), [view(key) for key in KEYS[:3]])


@pytest.mark.parametrize("divisible", [False, True])
def test_one_image_that_does_not_fit(divisible: bool) -> None:
    with pytest.raises(UsageError, match="1 image of 4x6.*--crop") as raised:
        BatchFitter(divisible=divisible)(Device(23), [view("k")])
    assert "--batch-pixels" not in str(raised.value)


def test_other_faults_pass() -> None:
    def broken(views: Sequence[View]) -> list[str]:
        raise RuntimeError("something else")

    with pytest.raises(RuntimeError, match="something else"):
        BatchFitter(divisible=True)(broken, [view("k")])


# ---- in the synthesizer ----


def synthesizer(method: str, compiled: str = "off") -> Synthesizer:
    values = {"input": "in", "output": "out", "method": {"method": method}}
    compute = {"device": "cpu", "compile": compiled, "batch_pixels": 10**6}
    return Synthesizer(build_config({**values, "compute": compute}))


def run_out_of_memory(made: Synthesizer, largest: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the noise, half way through a batch, fail for more than so many images."""
    add = made.add_noise.apply_params

    def limited(raw: Any, params: list[Any]) -> Any:
        if len(params) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return add(raw, params)

    monkeypatch.setattr(made.add_noise, "apply_params", limited)


def values_of(sample: SynthesizedSample) -> tuple[Any, ...]:
    return sample.view.key, {name: dn.tobytes() for name, dn in sample.arrays.items()}, dict(sample.metadata)


def test_smaller_batches_make_the_same_samples(
    photo: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    views = [view(f"k{i}", decode_srgb(photo(i), max_pixels=10**6)) for i in range(5)]
    whole = [values_of(sample) for sample in synthesizer("unprocess")(views)]
    made = synthesizer("unprocess")
    run_out_of_memory(made, 2, monkeypatch)
    assert [values_of(sample) for sample in made(views)] == whole


@pytest.mark.parametrize(("method", "compiled"), [("rst_isp_net_small", "off"), ("unprocess", "on")])
def test_where_bytes_depend_on_the_batch_it_ends(
    method: str, compiled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = synthesizer(method, compiled)

    def full(*args: Any, **named: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(made.to_raw, "apply_params", full)
    with pytest.raises(UsageError, match="--batch-pixels 48,"):
        made([view(key) for key in KEYS[:4]])


def test_networks_depend_on_the_batch() -> None:
    alone = {name for name, method in METHODS.items() if method.ignores_batch}
    assert alone == {"smoothstep_gamma", "srgb_linear", "unprocess"}
