"""Score a reverse ISP over a set of pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.evaluation.pictures import write_pictures
from rawsynth.evaluation.report import check_labels, write_report
from rawsynth.evaluation.result import Evaluation, Row
from rawsynth.evaluation.running import Job, MethodRunner, Runner
from rawsynth.evaluation.scoring import check_pair, check_result, score_batch
from rawsynth.pairs import PairSet
from rawsynth.transforms import ReverseISP

Progress = Callable[[int], object]

# sRGB pixels that run at once; float64 maps of the scores take most of the memory.
_BATCH_PIXELS = {"cpu": 2_000_000, "cuda": 16_000_000}
# How many batches' worth of pixels may wait in batches that are not full, where images have many sizes.
_PENDING_BATCHES = 4


def evaluate(
    to_raw: ReverseISP,
    pairs: PairSet,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    batch: int | None = None,
    known_color: bool = True,
    output: str | None = None,
    pictures: int = 8,
    labels: Mapping[str, Any] | None = None,
    progress: Progress = lambda done: None,
) -> Evaluation:
    """Score a method over a set of pairs.

    Args:
        to_raw: the method with its options; with an integer seed, what it draws is decided by the pairs' keys.
        pairs: sRGB with reference RAW.
        device: where the method and the scores are computed.
        dtype: of the method's arithmetic, by autocast; scores are float64 always.
        batch: most images at once; the pixels at once are bounded besides.
        known_color: tell a method that takes colour what a pair's metadata state of ``cam_from_srgb``,
            ``white_balance`` and ``rgb_gain``, which wins over what ``to_raw`` fixes; else it draws or keeps its own.
        output: folder or URL for ``evaluation.json``, ``images.csv``, ``overview.png`` and ``pictures/``.
        pictures: how many images are drawn there; the worst, the median and the best come first.
        labels: what the report says besides, JSON-ready: the name of the set as ``pairs``, the weights' file, ...
        progress: called with the number of pairs that were finished since the last call.

    Returns:
        A row an image and their means. A pair that cannot be read or scored is in ``errors`` instead, and in no mean.

    Raises:
        UsageError: no pair, keys that occur twice, labels that JSON cannot hold, or planes that are not RGGB.
        SampleError, InputAccessError: not one pair could be scored.
        OutputError: the output cannot be written.
    """
    check_set(pairs, batch, pictures)
    check_labels(labels or {})
    if output is not None:
        storage.prepare_folder(output)
    runner = MethodRunner(to_raw, device=torch.device(device), dtype=dtype, known_color=known_color)
    with runner.evaluation_mode():
        made = score_pairs(runner, pairs, batch=batch, labels=labels, progress=progress)
        if output is not None:
            drawn, failed = write_pictures(made, pairs, runner, output, count=pictures)
            made = replace(made, pictures=drawn, picture_errors=failed)
            write_report(made, output)
    return made


def score_pairs(
    runner: Runner,
    pairs: PairSet,
    *,
    batch: int | None = None,
    labels: Mapping[str, Any] | None = None,
    progress: Progress = lambda done: None,
) -> Evaluation:
    """Score what a runner makes of every pair; it must be in its evaluation mode.

    Raises:
        UsageError, SampleError, InputAccessError: as :func:`evaluate`.
    """
    run = _Run(pairs, runner, batch, progress)
    run.score_all()
    return Evaluation(
        method=runner.name,
        version=runner.version,
        color=runner.color,
        rows=tuple(sorted(run.rows, key=lambda row: row.index)),
        errors={key: run.errors[key] for key in pairs.keys if key in run.errors},
        labels=dict(labels or {}),
    )


def check_set(pairs: PairSet, batch: int | None, pictures: int) -> None:
    """Raise UsageError for a set without pairs or with a key twice, or for counts that cannot be."""
    if batch is not None and batch < 1:
        raise UsageError(f"a batch holds one image or more; got {batch}.")
    if pictures < 0:
        raise UsageError(f"no fewer than 0 images can be drawn; got {pictures}.")
    if not len(pairs):
        raise UsageError("there is no pair to score; name a set that has some.")
    twice = [key for key, count in Counter(pairs.keys).items() if count > 1]
    if twice:
        raise UsageError(f"a key names one pair; {twice[0]!r} names several ({len(twice)} such keys). Rename them.")


class _Run:
    """One pass over the pairs: rows and errors as they come."""

    def __init__(self, pairs: PairSet, runner: Runner, batch: int | None, progress: Progress) -> None:
        self.pairs, self.runner, self.progress = pairs, runner, progress
        self.most = batch or len(pairs)
        self.budget = _BATCH_PIXELS.get(runner.device.type, _BATCH_PIXELS["cpu"])
        self.rows: list[Row] = []
        self.errors: dict[str, str] = {}
        self.first: Exception | None = None

    def score_all(self) -> None:
        """Score every pair.

        Raises:
            SampleError, InputAccessError: not one could be scored; the message has the first one's cause.
        """
        for jobs in self._batches():
            self._score(jobs)
            self.progress(len(jobs))
        if not self.rows:
            key, cause = next(iter(self.errors.items()))
            kind = InputAccessError if isinstance(self.first, InputAccessError) else SampleError
            pairs = counted(len(self.pairs), "pair")
            raise kind(f"none of {pairs} could be scored; the first, {key!r}: {cause}") from (
                self.first
            )

    def _lose(self, key: str, error: Exception) -> None:
        self.errors[key] = str(error) if isinstance(error, SampleError | InputAccessError) else repr(error)
        self.first = self.first or error

    def _jobs(self) -> Iterator[Job]:
        for index, key in enumerate(self.pairs.keys):
            try:
                pair = replace(self.pairs[index], key=key, scene=self.pairs.scenes[index])
                check_pair(pair)
                yield self.runner.prepare(index, pair)
                continue
            except UsageError:
                raise
            except Exception as error:  # noqa: BLE001 - the sample boundary: one pair costs one pair
                self._lose(key, error)
            self.progress(1)

    def _batches(self) -> Iterator[list[Job]]:
        """Group pairs of one size and scale; a batch goes out when full, the oldest ones when too much waits."""
        groups: dict[tuple[object, ...], list[Job]] = {}
        waiting = 0
        for job in self._jobs():
            pixels = job.pair.srgb[0].numel()
            frame = job.pair.frame
            kind = (*job.pair.srgb.shape, job.pair.scoring, None if frame is None else frame.shape)
            groups.setdefault(kind, []).append(job)
            waiting += pixels
            full = len(groups[kind]) >= min(self.most, max(1, self.budget // pixels))
            while full or waiting > _PENDING_BATCHES * self.budget:
                jobs = groups.pop(kind if full else next(iter(groups)))
                full = False
                waiting -= sum(job.pair.srgb[0].numel() for job in jobs)
                yield jobs
        yield from groups.values()

    def _score(self, jobs: list[Job]) -> None:
        try:
            made = self.runner(jobs)
        except SampleError as error:
            for job in jobs:
                self._lose(job.pair.key, error)
            return
        sound = []
        for position, job in enumerate(jobs):
            try:
                check_result(made[position], job.pair)
                sound.append(position)
            except SampleError as error:
                self._lose(job.pair.key, error)
        if sound:
            reference = torch.stack([jobs[position].pair.raw for position in sound]).to(made.device)
            with torch.inference_mode():
                scores = score_batch(made[sound], reference, jobs[0].pair.scoring)
            self.rows += [_row(jobs[position], row) for position, row in zip(sound, scores, strict=True)]


def _row(job: Job, scores: Mapping[str, float]) -> Row:
    pair = job.pair
    height, width = pair.srgb.shape[-2:]
    return Row(job.index, pair.key, pair.scene, height, width, scores, job.known, job.params)
