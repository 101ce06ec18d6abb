"""Batches of pairs by position: position decides pair and augmentation, so any step can be replayed alone."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from rawsynth.errors import RawsynthError, SampleError, UsageError
from rawsynth.pairs import PairSet
from rawsynth.pairs.augment import augment_pair
from rawsynth.pairs.opening import open_pairs
from rawsynth.pairs.splits import split_scenes
from rawsynth.seeding import sample_seed, scalar_rng
from rawsynth.training.config import DataConfig

T = TypeVar("T")

_ATTEMPTS = 16
# As long as SLURM leaves a job between SIGTERM and SIGKILL.
_GRACE_S = 30


@dataclass(frozen=True)
class TrainBatch:
    """One step's pairs.

    Attributes:
        srgb: ``(B, 3, H, W)`` uint8.
        raw: ``(B, 4, H/2, W/2)`` float32 on the unit scale.
        keys: of the pairs.
        lost: what could not be read and was replaced: keys and causes.
    """

    srgb: Tensor
    raw: Tensor
    keys: tuple[str, ...]
    lost: tuple[tuple[str, str], ...]

    def to(self, device: torch.device) -> TrainBatch:
        """Move the images."""
        srgb, raw = (t.to(device, non_blocking=True) for t in (self.srgb, self.raw))
        return TrainBatch(srgb, raw, self.keys, self.lost)

    def pin_memory(self) -> TrainBatch:
        """Copy the images to page-locked memory; ``DataLoader(pin_memory=True)`` calls this."""
        return TrainBatch(self.srgb.pin_memory(), self.raw.pin_memory(), self.keys, self.lost)


Item = tuple[Tensor, Tensor, str, list[tuple[str, str]]]


class Positions(Dataset[Item]):
    """Endless run of augmented pairs: every epoch a new order, each pair once an epoch.

    A pair that cannot be read gives its place to the next one of the epoch's order, and is reported.
    """

    def __init__(self, pairs: PairSet, config: DataConfig, seed: int) -> None:
        self.pairs, self.config, self.seed = pairs, config, seed
        self._order: tuple[int, list[int]] = (-1, [])

    def __getitem__(self, position: int) -> Item:
        """Return sRGB, RAW, key and what was lost on the way.

        Raises:
            SampleError: sixteen pairs in a row cannot be read.
        """
        epoch, place = divmod(position, len(self.pairs))
        order = self._epoch_order(epoch)
        lost: list[tuple[str, str]] = []
        for attempt in range(min(_ATTEMPTS, len(order))):
            index = order[(place + attempt) % len(order)]
            try:
                pair = self.pairs[index]
                rng = scalar_rng(sample_seed(self.seed, f"{position}/{pair.key}", "augment"))
                cut = augment_pair(pair, rng, crop=self.config.crop, flips=self.config.flips)
                return cut.srgb, cut.raw, pair.key, lost
            except SampleError as error:
                lost.append((self.pairs.keys[index], str(error)))
        raise SampleError(f"{len(lost)} pairs in a row cannot be read; the first: {lost[0][1]}")

    def __getitems__(self, positions: list[int]) -> list[Item] | RawsynthError:
        """Return a step's items, or what is wrong: torch would put a worker's traceback into the message."""
        try:
            return [self[position] for position in positions]
        except RawsynthError as error:
            return error

    def _epoch_order(self, epoch: int) -> list[int]:
        if self._order[0] != epoch:
            rng = np.random.Generator(np.random.Philox(key=sample_seed(self.seed, f"epoch {epoch}", "order")))
            self._order = (epoch, rng.permutation(len(self.pairs)).tolist())
        return self._order[1]


class Steps:
    """Batch sampler: the positions of each step from ``start`` on, of one process among ``world``."""

    def __init__(self, start: int, stop: int, batch: int, *, rank: int = 0, world: int = 1) -> None:
        self.start, self.stop, self.batch, self.rank, self.world = start, stop, batch, rank, world

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __iter__(self) -> Iterator[list[int]]:
        share = self.batch // self.world
        for step in range(self.start, self.stop):
            first = step * self.batch + self.rank * share
            yield list(range(first, first + share))


def collate(items: list[Item]) -> TrainBatch:
    """Stack items.

    Raises:
        UsageError: their sizes differ.
    """
    sizes = {tuple(srgb.shape[-2:]) for srgb, *_ in items}
    if len(sizes) > 1:
        raise UsageError(f"pairs of different sizes, {sorted(sizes)[:3]}, cannot form a batch: set data.crop.")
    srgb, raw, keys, lost = zip(*items, strict=True)
    return TrainBatch(torch.stack(srgb), torch.stack(raw), tuple(keys), tuple(row for rows in lost for row in rows))


def read_batches(
    pairs: PairSet, config: DataConfig, *, seed: int, steps: Steps, pin: bool = False
) -> Iterator[TrainBatch]:
    """Read the batches of a run's remaining steps, one a step, ahead of their use.

    Raises:
        SampleError, UsageError: as :class:`Positions` and :func:`collate`.
        InputAccessError: pairs cannot be reached.
    """
    loader: DataLoader[Item] = _without_advice(
        DataLoader,
        Positions(pairs, config, seed),
        batch_sampler=steps,
        collate_fn=_collate_or_pass,
        num_workers=config.workers,
        worker_init_fn=outlive_signals,
        pin_memory=pin,
        # Of its own, so that loading draws nothing from the global generator.
        generator=torch.Generator().manual_seed(0),
    )
    # Not kept in a variable: the traceback of an error would keep its workers.
    for batch in _without_advice(iter, loader):
        if isinstance(batch, RawsynthError):
            raise batch
        assert isinstance(batch, TrainBatch)
        yield batch


def _without_advice(make: Callable[..., T], *args: Any, **options: Any) -> T:
    """Call without torch's advice on workers: more of them than cores are no fault, as disks take time too."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return make(*args, **options)


def _collate_or_pass(items: list[Item] | RawsynthError) -> TrainBatch | RawsynthError:
    try:
        return items if isinstance(items, RawsynthError) else collate(items)
    except UsageError as error:
        return error


def outlive_signals(worker: int) -> None:
    """Have a worker live on a while: what stops the training may reach it too, and the last steps need its pairs."""

    def wait(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.alarm(_GRACE_S)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "alarm"):
        signal.signal(signal.SIGTERM, wait)


def open_sets(config: DataConfig, seed: int) -> tuple[PairSet, PairSet]:
    """Open the pairs to train and to validate on.

    Raises:
        UsageError: a set is empty, or too few scenes to split.
    """
    train = open_pairs(config.train, layout=config.layout)
    if config.validation is None:
        shares = {"train": 1.0 - config.validation_share, "validation": config.validation_share}
        split = split_scenes(train, shares, seed=seed)
        train, validation = split["train"], split["validation"]
    else:
        validation = open_pairs(config.validation, layout=config.layout)
    if config.limit is not None:
        train = train.subset(range(min(config.limit, len(train))))
    if config.validation_limit is not None and config.validation_limit < len(validation):
        picks = np.linspace(0, len(validation) - 1, config.validation_limit).round().astype(int)
        validation = validation.subset(picks.tolist())
    return train, validation
