"""preview: a picture from which one can judge a corpus."""

import io
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import webdataset as wds
from PIL import Image

from rawsynth.corpus.preview import sample_panels, write_preview
from rawsynth.corpus.reading import list_parts, sample_stages
from rawsynth.errors import UsageError

Make = Callable[..., Any]


def undecoded(corpus: Path, count: int) -> list[dict[str, Any]]:
    pipeline = wds.DataPipeline(*sample_stages(list_parts([str(corpus)], None)))
    return list(islice(pipeline, count))


def picture(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        return image


@pytest.mark.parametrize(("srgb", "columns"), [(True, 3), (False, 2)])
def test_a_row_a_sample(photos: Path, tmp_path: Path, make_corpus: Make, srgb: bool, columns: int) -> None:
    make_corpus(photos, tmp_path / "corpus", write={"srgb": srgb}, image={"crop": (24, 32)}, noise={"realizations": 2})
    target = str(tmp_path / "preview.png")
    assert write_preview(str(tmp_path / "corpus"), target, height=120) == target
    five = picture(tmp_path / "preview.png")
    write_preview(str(tmp_path / "corpus"), target, height=120, rows=2)
    two = picture(tmp_path / "preview.png")
    assert five.width == two.width and columns * 160 < five.width < columns * 160 + 60
    assert 5 * 120 < five.height < 5 * 120 + 400
    assert abs((five.height - two.height) / 3 - 168) <= 1


def test_panels_show_the_photograph_three_times(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    """Developed again, the clean RAW looks like its source, and the noisy one like a noisy version of it."""
    make_corpus(photos, tmp_path / "corpus", write={"srgb": True}, noise={"shot": 0.02, "read": 0.001})
    for sample in undecoded(tmp_path / "corpus", 5):
        source, clean, noisy = (
            np.asarray(panel.image.convert("L"), float) for panel in sample_panels(sample, height=32)
        )
        assert source.shape == clean.shape == noisy.shape
        inner = (slice(2, -2), slice(2, -2))
        same, less = (np.corrcoef(source[inner].ravel(), other[inner].ravel())[0, 1] for other in (clean, noisy))
        assert 0.8 < same and less < same
        assert abs(source.mean() - clean.mean()) < 40


def test_captions_name_what_was_done(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    method = {"cfa": "GBRG", "white_balance": [2.0, 1.5], "rgb_gain": 1.25}
    noise = {"noise": "heteroscedastic_gaussian", "shot": 0.01, "read": 0.001}
    make_corpus(photos, tmp_path / "corpus", write={"srgb": True}, method=method, noise=noise)
    source, clean, noisy = sample_panels(undecoded(tmp_path / "corpus", 1)[0], height=64)
    assert (source.title, source.detail) == ("sRGB: astronaut.jpg", "48 x 32")
    assert clean.title == "clean RAW by unprocess"
    assert all(text in clean.detail for text in ("GBRG", "R 2.00", "B 1.50", "1/1.25"))
    assert all(text in noisy.detail for text in ("heteroscedastic_gaussian", "1.0e-02", "1.0e-03", "PSNR"))


def test_unprocess_beside_the_network(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    """With the same colour of the same camera; developed again, what unprocess made is the source."""
    method = {"method": "rst_isp_net_small", "camera": "Sony ILCE-7SM2", "cct": 5000}
    make_corpus(photos, tmp_path / "corpus", write={"srgb": True}, method=method)
    for sample in undecoded(tmp_path / "corpus", 2):
        source, unprocessed, clean, noisy = sample_panels(sample, height=32, beside_unprocess=True)
        titles = [panel.title for panel in (unprocessed, clean, noisy)]
        assert titles == ["clean RAW by unprocess", "clean RAW by rst_isp_net_small", "noisy RAW"]
        assert "Sony ILCE-7SM2 at 5000 K" in clean.detail and "same camera, exposure 1/1.25" in unprocessed.detail
        wanted, again, by_network = (
            np.asarray(panel.image, float)[2:-2, 2:-2] for panel in (source, unprocessed, clean)
        )
        assert np.corrcoef(wanted.ravel(), again.ravel())[0, 1] > 0.9
        assert np.abs(by_network - again).mean() > 1


def test_unprocess_needs_the_sources(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    sample, *_ = undecoded(tmp_path / "corpus", 1)
    assert len(sample_panels(sample, height=32, beside_unprocess=True)) == 2


def test_in_memory(photos: Path, make_corpus: Make, memory: fsspec.AbstractFileSystem) -> None:
    make_corpus(photos, "memory://corpus")
    write_preview("memory://corpus", "memory://corpus/preview.png", rows=1)
    with Image.open(io.BytesIO(memory.cat("/corpus/preview.png"))) as image:
        assert image.height > 260


def test_images_of_several_sizes_fit(
    tmp_path: Path, make_corpus: Make, photo: Callable[..., bytes]
) -> None:
    (tmp_path / "in").mkdir()
    for index, (height, width) in enumerate([(32, 200), (200, 32), (64, 64), (16, 16)]):
        (tmp_path / f"in/{index}.png").write_bytes(photo(index, height=height, width=width))
    make_corpus(tmp_path / "in", tmp_path / "corpus")
    write_preview(str(tmp_path / "corpus"), str(tmp_path / "preview.png"), height=100)
    assert picture(tmp_path / "preview.png").width >= 2 * 625


def test_a_corpus_without_samples_is_refused(tmp_path: Path, make_corpus: Make) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"")
    make_corpus(tmp_path / "in", tmp_path / "corpus")
    with pytest.raises(UsageError):
        write_preview(str(tmp_path / "corpus"), str(tmp_path / "preview.png"))
    assert not (tmp_path / "preview.png").exists()
