"""A corpus to look at: a contact sheet, and a gallery of samples with their noise against its model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from rawsynth import storage
from rawsynth.corpus.decoded import DecodedPair, decode_pair
from rawsynth.corpus.gallery_page import SampleBlock, gallery_html
from rawsynth.corpus.gallery_sample import sample_block
from rawsynth.corpus.noise_check import PlaneCheck, check_noise, ratio_of
from rawsynth.corpus.picking import Damaged, Picked, pick_first, pick_keys
from rawsynth.corpus.preview import pair_panels, residual_gain
from rawsynth.counting import counted
from rawsynth.errors import InputAccessError, RawsynthError, SampleError, UsageError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.raw.cfa import plane_names
from rawsynth.raw.pictures import Panel, compose, encode_png

SHEET_FILE, GALLERY_FILE = "preview.png", "preview.html"
_SHEET_PX = 260
# The sheet is one picture in memory, and the page one file in a browser.
_MOST_SAMPLES = 100
_SMALLEST_WINDOW, _LARGEST_WINDOW = 32, 2048


@dataclass
class GallerySummary:
    """What :func:`write_gallery` wrote.

    Attributes:
        page: URL of the gallery.
        sheet: URL of the contact sheet; ``None`` where no sample could be drawn.
        samples: that are shown.
        damaged: what could not be shown.
    """

    page: str
    sheet: str | None = None
    samples: int = 0
    damaged: list[Damaged] = field(default_factory=list)

    @property
    def exit_code(self) -> int:
        """1 if anything was damaged, else 0."""
        return int(bool(self.damaged))


def write_gallery(
    corpus: str,
    output: str,
    *,
    limit: int = 8,
    keys: Sequence[str] | None = None,
    window: int = 384,
    gain: float | None = None,
) -> GallerySummary:
    """Write ``preview.png``, a row a sample, and ``preview.html``, which needs no other file and no network.

    Args:
        corpus: folder or URL of a corpus, or tars as :func:`~rawsynth.open_corpus` takes them.
        output: folder or URL; files of these names are replaced.
        limit: at most so many samples, of parts spread over the corpus.
        keys: these samples instead: ``KEY``, or ``KEY#1`` for a further realization.
        window: side in sensor pixels of what is shown of each image, its middle, never scaled.
        gain: of the residual noisy - clean; by each sample's noise if ``None``.

    Raises:
        UsageError: the corpus holds no sample, or a number out of range.
        UnknownKeyError: it has no sample of such a key.
        CorpusError, InputAccessError: its plan or records are damaged, or it cannot be reached.
        OutputError: a file cannot be written.
    """
    _check(limit, keys, window, gain)
    found: Iterable[Picked | Damaged] = pick_first(corpus, limit) if keys is None else pick_keys(corpus, keys)
    shown = _Shown(window // 2 * 2, gain)
    for sample in found:
        shown.add(sample)
    summary = GallerySummary(storage.join(output, GALLERY_FILE), damaged=shown.damaged, samples=len(shown.blocks))
    if not shown.blocks and not shown.damaged:
        raise UsageError(f"{corpus} holds no sample to draw.")
    if shown.rows:
        summary.sheet = storage.join(output, SHEET_FILE)
        storage.write_atomic(summary.sheet, encode_png(compose(shown.rows, _SHEET_PX)))
    page = _page(corpus, shown)
    storage.write_atomic(summary.page, page.encode("utf-8", "backslashreplace"))
    return summary


def _page(corpus: str, shown: _Shown) -> str:
    title = f"{corpus.rstrip('/').rpartition('/')[2] or corpus}: {counted(len(shown.blocks), 'sample')}"
    facts = {"corpus": corpus, **_corpus_facts(corpus), **shown.facts()}
    return gallery_html(title, notes=shown.notes(), facts=facts, samples=shown.blocks, damaged=shown.damaged)


def _check(limit: int, keys: Sequence[str] | None, window: int, gain: float | None) -> None:
    if not 1 <= (limit if keys is None else len(keys)) <= _MOST_SAMPLES:
        raise UsageError(f"a gallery shows 1 to {_MOST_SAMPLES} samples; got {limit if keys is None else len(keys)}.")
    if not _SMALLEST_WINDOW <= window <= _LARGEST_WINDOW:
        raise UsageError(f"window is {_SMALLEST_WINDOW} to {_LARGEST_WINDOW} pixels; got {window}.")
    if gain is not None and not 0 < gain < float("inf"):
        raise UsageError(f"gain is over 0; got {gain:g}.")


def _corpus_facts(corpus: str) -> dict[str, str]:
    dataset = None if corpus.endswith(".tar") else Dataset.load(corpus)
    if dataset is None:
        return {}
    config, shards = dataset.config, len(dataset.shards)
    return {
        "made by": f"{config.method.method}, noise {config.noise.noise}, seed {config.seed}",
        "plan": f"{shards} shard{'s' * (shards != 1)}, configuration {dataset.digest[:12]}",
    }


class _Shown:
    """What is drawn so far: each sample is let go once its blocks are made."""

    def __init__(self, window: int, gain: float | None) -> None:
        self._window, self._gain = window, gain
        self.blocks: list[SampleBlock] = []
        self.rows: list[list[Panel]] = []
        self.damaged: list[Damaged] = []
        self._checks: list[PlaneCheck] = []
        self._without_srgb = self._clean_only = self._cut = 0

    def add(self, sample: Picked | Damaged) -> None:
        """Draw one more sample, or note why not."""
        if isinstance(sample, Damaged):
            self.damaged.append(sample)
            return
        try:
            self._draw(decode_pair(sample))
        except InputAccessError:
            raise
        except (RawsynthError, SampleError) as error:
            self.damaged.append(Damaged(sample.name, str(error)))
        except Exception as error:  # noqa: BLE001 - the sample boundary: whatever a sample causes costs that sample
            self.damaged.append(Damaged(sample.name, f"{type(error).__name__}: {error}"))

    def _draw(self, pair: DecodedPair) -> None:
        gain, checks = self._gain, []
        if pair.noisy is not None and pair.entry is not None:
            gain = gain or residual_gain(pair.clean.packed, pair.noisy.packed)
            cfa = str(pair.clean.metadata.cfa)
            checks = check_noise(pair.clean.packed, pair.noisy.packed, pair.entry, cfa)
        block = sample_block(pair, checks, self._window, gain)
        row = pair_panels(pair, _SHEET_PX, gain=gain)
        self.blocks.append(block)
        self.rows.append(row)
        self._checks += checks
        self._without_srgb += pair.srgb is None
        self._clean_only += pair.noisy is None
        self._cut += block.frame is not None

    def facts(self) -> dict[str, str]:
        """Measured over modelled noise, by plane, over all samples that are shown."""
        names = list(dict.fromkeys(check.plane for check in self._checks))
        names.sort(key=lambda name: plane_names("RGGB").index(name))
        ratios = {name: ratio_of(check for check in self._checks if check.plane == name) for name in names}
        told = ", ".join(f"{name} {ratio}" for name, ratio in ratios.items() if ratio is not None)
        return {"noise, measured / model": told} if told else {}

    def notes(self) -> list[str]:
        """Say what is shown, and what is not and why."""
        notes = []
        if self.blocks:
            notes.append(
                "RAW is rendered by white balance, bilinear demosaicing, the colour matrix and one tone curve. Click a "
                "picture for its pixels; there the keys 1 to 4 change the picture, + and - or the wheel the size."
            )
        if self._without_srgb:
            notes.append("The corpus holds no source pictures (it was made without --srgb), so none are shown.")
        if self._clean_only:
            notes.append("The corpus holds clean RAW only; its noise is drawn when it is read, so none is shown.")
        if self._cut:
            notes.append(f"Of larger images the middle {self._window} pixels are shown; measured is all of each image.")
        if self._checks:
            notes.append(
                "Noise: the variance of noisy - clean by level of the clean image, with 95 % intervals that take "
                "pixels as independent, beside S x + O and the rounding to DN. Hollow points are cut off at 0 DN or at "
                "white."
            )
        return notes
