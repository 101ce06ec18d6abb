"""Damaged images: decoded or lost for a stated cause, in silence, in no time; never anything else."""

import io
import subprocess
import sys
import threading
import warnings
from random import Random

import pytest
from PIL import Image

from rawsynth.errors import SampleError
from rawsynth.pipeline.config import ImageConfig, ReadConfig
from rawsynth.pipeline.decode import decode_srgb
from rawsynth.pipeline.source_sample import ImageBytes, LostSample, SourceSample
from rawsynth.pipeline.views import SkippedSample, ViewMaker
from tests.faults.bombs import many_scans, overlapping_tags
from tests.faults.effort import cases, time_limit
from tests.faults.image_files import image_seeds, mutate_image

LIMIT = 4_000_000
SECONDS = 5.0


def outcome(data: bytes) -> str:
    try:
        planes = decode_srgb(data, max_pixels=LIMIT)
    except SampleError as error:
        return str(error)
    assert planes.shape[0] == 3 and planes.size <= 3 * LIMIT and planes.flags.c_contiguous
    return ""


@pytest.mark.soak
@pytest.mark.parametrize("name", image_seeds())
def test_a_damaged_image_is_decoded_or_lost(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    lost = tried = 0
    for case, rng in cases(f"image/{name}", 0.4 / len(image_seeds())):
        data = mutate_image(name, image_seeds()[name], rng)
        with time_limit(SECONDS):
            cause = outcome(data)
        assert "\n" not in cause and len(cause) < 800, case
        lost, tried = lost + bool(cause), tried + 1
    assert lost, f"none of {tried} is damaged: the mutator does nothing"
    assert capfd.readouterr() == ("", "")


@pytest.mark.soak
def test_a_damaged_image_costs_itself_alone() -> None:
    """With filters, crops and downscaling behind the decoder: a view, a loss or a reason, never an exception."""
    make = ViewMaker(0, ReadConfig(), ImageConfig(max_pixels=LIMIT, min_side=2, crop=(8, 8), downscale=1.5))
    for case, rng in cases("view", 0.05):
        name = rng.choice(sorted(image_seeds()))
        data = mutate_image(name, image_seeds()[name], rng)
        with time_limit(SECONDS):
            made = make(SourceSample(case, case, "z.tar", ImageBytes(data=data)))
        assert isinstance(made, LostSample | SkippedSample) or [view.image.shape for view in made] == [(3, 8, 8)]


def test_the_same_seed_is_the_same_damage() -> None:
    for name, data in image_seeds().items():
        first, again, other = (mutate_image(name, data, Random(seed)) for seed in ("1", "1", "2"))
        assert first == again != other


# What was found by mutation.


NOISY = {
    "libtiff": image_seeds()["tiff lzw"].replace(b"\x11\x01\x04\x00\x01\0\0\0", b"\x11\x01\x02\x00\x01\0\0\0"),
    "warnings": overlapping_tags(50, 4000),
    "logging": image_seeds()["tiff"].replace(b"\x15\x01\x03\0\x01\0\0\0\x03", b"\x15\x01\x03\0\x01\0\0\0\x63"),
}


@pytest.mark.parametrize("kind", NOISY)
def test_nothing_is_printed_of_a_damaged_image(kind: str) -> None:
    """As in a run: nobody has set up logging, and warnings are shown; 20 thousand of them came of one file."""
    script = (
        "import sys; from rawsynth.pipeline.decode import decode_srgb; from rawsynth.errors import SampleError\n"
        "try: decode_srgb(sys.stdin.buffer.read(), max_pixels=1000000)\n"
        "except SampleError: print('lost')"
    )
    done = subprocess.run([sys.executable, "-W", "always", "-c", script], input=NOISY[kind], capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"lost\n", b"")


def test_filters_and_limit_are_put_back() -> None:
    before, limit = list(warnings.filters), Image.MAX_IMAGE_PIXELS
    files = [mutate_image(name, data, Random(name)) for name, data in image_seeds().items()]
    threads = [threading.Thread(target=lambda: [outcome(data) for data in files]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(warnings.filters) == before and Image.MAX_IMAGE_PIXELS == limit


def test_scans_without_end_are_refused() -> None:
    """Each is a pass over all pixels and takes some bytes: 100 Mpx of them would decode for an hour."""
    data = many_scans(256, 400)
    assert outcome(data) == ""
    with pytest.raises(SampleError, match="JPEG with 4.. scans of 256x256 pixels, want 228 or fewer"):
        decode_srgb(data, max_pixels=75_000)
    buffer = io.BytesIO(image_seeds()["jpeg progressive"])
    small = buffer.getvalue() + b"\xff\xda" * 10_000
    assert decode_srgb(small, max_pixels=2000).shape == (3, 40, 48), "what follows the image counts as no scan"
