"""Read a corpus back as training pairs, through WebDataset's own pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
import webdataset as wds
from braceexpand import braceexpand
from torch import Tensor
from torch.utils.data import get_worker_info
from torch.utils.data._utils.collate import default_collate_fn_map
from webdataset.tariterators import group_by_keys, tar_file_expander

from rawsynth import storage
from rawsynth.corpus.records import list_records, read_many, read_record
from rawsynth.errors import CorpusError, UsageError
from rawsynth.raw.codecs import decode_dn
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.synthesize import stored_members
from rawsynth.raw.image import RawImage
from rawsynth.raw.levels import Levels
from rawsynth.raw.metadata import RawMetadata
from rawsynth.raw.quantize import dequantize

_MARK = bytes(1024)


class SampleMeta(dict[str, Any]):
    """A sample's JSON. ``DataLoader`` collates a batch of these to a list of them, whatever they hold."""

    def raw(self) -> RawMetadata:
        """Return the metadata of the noisy image, or of the clean one if that is all, as the transforms have it."""
        noisy = self["noisy"]
        if not noisy:
            return RawMetadata.from_json(self["raw"])
        levels = {"shot": noisy["shot"], "read": noisy["read"]}
        noise = {**noisy["noise"], **levels}
        return RawMetadata.from_json({**self["raw"], **levels, "iso": noise.get("iso"), "noise": noise})


def _collate_meta(batch: list[SampleMeta], *, collate_fn_map: Any = None) -> list[SampleMeta]:
    return list(batch)


default_collate_fn_map[SampleMeta] = _collate_meta


def open_corpus(
    urls: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    split: str | None = None,
    shuffle: int = 1000,
    seed: int = 0,
    members: Sequence[str] = (),
) -> wds.DataPipeline:
    """Open a corpus as an iterable dataset of training pairs.

    Args:
        urls: folder or URL of a corpus, or its tars: a pattern with braces or globs, or a list.
        split: only the parts of this split.
        shuffle: size of the sample buffer; parts are shuffled too. 0 keeps the order of the corpus.
        seed: of the shuffling, which differs from epoch to epoch and is the same in a new run; in a ``DataLoader``'s
            workers it also follows ``torch.manual_seed``, as the loader does.
        members: others that are wanted, by extension: ``srgb.jpg``, or what was kept with ``--keep``.

    Returns:
        A WebDataset pipeline, split by node and by worker, of dicts:

        - ``noisy``, ``clean``: ``(4, h, w)`` float32, black 0, white 1; noise under black is negative.
        - ``variance``: ``(4, h, w)``, ``S max(noisy, 0) + O``, what a denoiser takes as noise map.
        - ``linear``: ``(3, 2h, 2w)`` camera RGB, in a corpus made with ``linear``, whether or not it is clean only.
        - ``meta``: :class:`SampleMeta`; ``meta["noisy"]`` is the entry of this pair's noisy image.
        - ``members``: bytes of each of ``members`` by its extension, if any are wanted; empty where a sample has none.

        With several realizations, each is a pair of its own. A corpus made with ``clean_only`` has no noisy images;
        its samples are dicts of

        - ``raw``: :class:`~rawsynth.RawImage`, clean, to be passed through ``AddNoise.from_corpus(url)``.
        - ``meta``: :class:`SampleMeta`; ``meta["noise_draws"]`` has the parameters that ``AddNoise.replay`` takes.

    Raises:
        UsageError: nothing matches, or the corpus has no such split or member.
        CorpusError: a part is not as long as its record says, or has no end-of-archive mark; raised when it is read.
    """
    given = [urls] if isinstance(urls, str | os.PathLike) else urls
    names, members = [os.fspath(url) for url in given], named_members(members)
    parts = list_parts(names, split, members)
    stages = sample_stages(parts)
    if shuffle:
        # Behind the split by node, so that nodes need not agree on an order.
        stages.insert(2, EpochShuffle(bufsize=len(parts), initial=len(parts), seed=seed))
    stages.append(_Pairs(members))
    if shuffle:
        stages.append(EpochShuffle(bufsize=shuffle, initial=shuffle, seed=seed))
    return wds.DataPipeline(*stages)


class EpochShuffle(wds.detshuffle):  # type: ignore[misc]
    """Shuffle another way each epoch, also in workers that start every epoch from a fresh copy of the dataset."""

    _epochs = 0

    def run(self, src: Iterable[Any]) -> Iterator[Any]:
        """Shuffle one epoch."""
        worker = get_worker_info()
        # The loader draws this number anew each epoch, the same for all of its workers.
        self.epoch = self._epochs + (worker.seed - worker.id if worker is not None else 0)
        self._epochs += 1
        shuffled: Iterator[Any] = super().run(src)
        return shuffled


def sample_stages(parts: dict[str, int | None]) -> list[Any]:
    """Return the stages that turn a list of parts into WebDataset samples of undecoded members."""
    return [
        wds.SimpleShardList(list(parts)),
        wds.split_by_node,
        wds.split_by_worker,
        _Opener(parts),
        tar_file_expander,
        group_by_keys,
    ]


def list_parts(urls: Sequence[str], split: str | None, members: Sequence[str] = ()) -> dict[str, int | None]:
    """Return the parts' URLs with their sizes, ``None`` where no record states them; of a corpus with such members."""
    parts: dict[str, int | None] = {}
    for url in urls:
        dataset = None if url.endswith(".tar") else Dataset.load(url)
        if dataset is not None:
            check_members(dataset, members)
            parts |= _recorded_parts(url, dataset, split)
            continue
        if split is not None:
            raise UsageError(f"split={split!r} needs the folder of a corpus; got {url}.")
        for expanded in braceexpand(url):
            found = storage.glob(expanded) if any(c in expanded for c in "*?[") else [expanded]
            parts |= dict.fromkeys((f for f in found if f.endswith(".tar")), None)
    if not parts:
        raise UsageError(f"no corpus parts in {', '.join(urls)}: give a corpus folder, or tars such as 'corpus/*.tar'.")
    return parts


def named_members(members: Sequence[str]) -> tuple[str, ...]:
    """Return extensions of members as a tuple.

    Raises:
        UsageError: one name alone, which would be read letter by letter.
    """
    if isinstance(members, str):
        raise UsageError(f"members is a list of extensions; got {members!r}. Write members=[{members!r}].")
    return tuple(members)


def check_members(dataset: Dataset, members: Sequence[str]) -> None:
    """Raise UsageError if samples of a corpus never have one of these members."""
    keep = dataset.config.read.keep
    known = [*stored_members(dataset.config), *keep, *(f"source.{name}" for name in keep)]
    if unknown := [name for name in members if name not in known]:
        output = dataset.config.output
        raise UsageError(f"{output} has no member {unknown[0]!r}; its samples may have {', '.join(known)}.")


def _recorded_parts(corpus: str, dataset: Dataset, split: str | None) -> dict[str, int | None]:
    splits = dataset.config.read.splits
    if split is not None and split not in splits:
        raise UsageError(f"{corpus} has no split {split!r}; it has {', '.join(splits) or 'none'}.")
    parts: dict[str, int | None] = {}
    listing = list_records(corpus)
    names = [shard.name for shard in dataset.shards if listing.may_hold(shard.name)]
    for record in read_many(corpus, lambda name: read_record(corpus, name), names):
        if isinstance(record, CorpusError):
            raise record
        for part in record.parts if record is not None else ():
            if split is None or part.split == split:
                parts[storage.join(corpus, part.name)] = part.bytes
    return parts


class _Opener:
    """Open parts through fsspec; WebDataset itself knows neither fsspec nor a tar's end-of-archive mark."""

    def __init__(self, sizes: dict[str, int | None]) -> None:
        self.sizes = sizes

    def __call__(self, shards: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for shard in shards:
            url = shard["url"]
            with storage.open_read(url) as stream:
                self._check(url, stream)
                yield {**shard, "stream": stream}

    def _check(self, url: str, stream: Any) -> None:
        size, expected = stream.seek(0, 2), self.sizes[url]
        if expected is not None and size != expected:
            raise CorpusError(f"{url} has {size} bytes, its record says {expected}: run rawsynth verify.")
        stream.seek(max(0, size - len(_MARK)))
        if stream.read() != _MARK:
            raise CorpusError(f"{url} is cut short: the end-of-archive mark is missing. Run rawsynth verify.")
        stream.seek(0)


class _Pairs:
    """The last stage of a pipeline; an object, so that it can be sent to a worker."""

    def __init__(self, members: tuple[str, ...]) -> None:
        self.members = members

    def __call__(self, samples: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        for sample in samples:
            yield from sample_pairs(sample, members=self.members)


def sample_pairs(
    sample: Mapping[str, Any], realization: int | None = None, *, members: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Decode a WebDataset sample to what :func:`open_corpus` gives of it.

    Args:
        sample: undecoded members by extension.
        realization: which of its noisy images; a pair for each of them if ``None``.
        members: others that are wanted.

    Raises:
        CorpusError: it is not a sample of rawsynth's.
    """
    try:
        meta = json.loads(sample["json"])
        clean = unit_scale(sample["clean.npy"], meta["clean"]["levels"])
        target = meta.get("linear")
        more: dict[str, Any] = {"members": {name: sample.get(name, b"") for name in members}} if members else {}
        if target is not None:
            more["linear"] = unit_scale(sample[target["member"]], target["levels"])
        if "noise_draws" in meta:
            alone = SampleMeta(meta)
            yield {"raw": RawImage(clean, alone.raw()), **more, "meta": alone}
        entries = meta["noisy"] if realization is None else meta["noisy"][realization : realization + 1]
        for entry in entries:
            noisy = unit_scale(sample[entry["member"]], entry["levels"])
            shot, read = (torch.tensor(entry[name], dtype=torch.float32) for name in ("shot", "read"))
            variance = shot[:, None, None] * noisy.clamp(min=0) + read[:, None, None]
            pair = {"noisy": noisy, "clean": clean, "variance": variance}
            yield {**pair, **more, "meta": SampleMeta(meta, noisy=entry)}
    except (KeyError, ValueError) as error:
        where = f"{sample.get('__url__')}: sample {sample.get('__key__')}"
        raise CorpusError(f"{where} is not a rawsynth sample: {error}.") from error


def unit_scale(npy: bytes, levels: dict[str, int]) -> Tensor:
    """Decode a stored image to the unit scale: float32 of its own shape."""
    return dequantize(torch.from_numpy(decode_dn(npy).astype("int32")), Levels(**levels))
