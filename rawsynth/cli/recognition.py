"""What a file is, by its name and what is in it, and the facts of each kind as JSON-ready dicts."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from rawsynth import storage
from rawsynth.cameras import camera_to_dict, load_camera
from rawsynth.corpus.decoded import decode_pair
from rawsynth.corpus.index_file import IndexFile
from rawsynth.corpus.index_parquet import HEADER_KEY
from rawsynth.corpus.index_rows import IndexHeader
from rawsynth.corpus.noise_check import check_noise, ratio_of
from rawsynth.corpus.part import open_sparsely, walk_samples
from rawsynth.corpus.picking import Damaged, pick_keys
from rawsynth.corpus.status import status
from rawsynth.errors import CorpusError, SampleError, UsageError
from rawsynth.methods import style_file, weights
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.own_files import DATASET_FILE
from rawsynth.pipeline.parquet_source import pick_image_column
from rawsynth.pipeline.record import ShardFailure, ShardRecord
from rawsynth.raw.cfa import plane_names
from rawsynth.raw.files import RAW_SUFFIXES, read_raw
from rawsynth.raw.image import RawImage
from rawsynth.storage.parquet import ParquetDamage, parquet_file
from rawsynth.storage.sealed import read_sealed

Facts = dict[str, Any]

_KINDS = (
    "a corpus (a folder or URL), a tar shard (.tar), a record, plan or index of a corpus (.json, .jsonl, .parquet), a "
    "table of images (.parquet), weights or a style (.safetensors), a camera (.toml, .json), or a camera RAW file "
    "(.dng, .cr2, .nef, ...)"
)
_MOST_LISTED = 5
# JSON and TOML of this size are no records or cameras.
_LARGEST_TEXT = 1 << 30


def inspect(what: str) -> Facts:
    """Return what a file, folder or URL is: ``name``, ``kind`` and its facts.

    Raises:
        UsageError: it is none of the kinds, or a damaged weights, style or camera file.
        CorpusError, SampleError: it is damaged.
        InputAccessError: it is not there, or cannot be reached.
    """
    if storage.exists(storage.join(what, DATASET_FILE)):
        return _corpus(what)
    if storage.is_folder(what):
        raise UsageError(f"{what} is a folder without {DATASET_FILE}, so no corpus. Wanted {_KINDS}.")
    size = storage.size(what)
    suffix = what.rpartition("/")[2].rpartition(".")[2].lower()
    readers: dict[str, Callable[[str], Facts]] = {
        "tar": _tar, "json": _json, "jsonl": _index, "parquet": _parquet, "toml": _camera, "safetensors": _safetensors,
    }  # fmt: skip
    reader = _raw_file if suffix in RAW_SUFFIXES else readers.get(suffix)
    if reader is None:
        raise UsageError(f"{what} ({size} bytes) is nothing that rawsynth knows by its name. Wanted {_KINDS}.")
    facts = reader(what)
    return {"name": what, "kind": facts.pop("kind"), "bytes": size, **facts}


def inspect_sample(corpus: str, key: str) -> Facts:
    """Return the facts of a sample of a corpus: its metadata, the values of its planes, its noise against its model.

    Raises:
        UnknownKeyError: there is no such sample.
        CorpusError, SampleError: it is damaged.
        InputAccessError: it cannot be reached.
    """
    (picked,) = pick_keys(corpus, [key])
    if isinstance(picked, Damaged):
        raise CorpusError(f"{corpus}: sample {key} is damaged: {picked.cause}. Run rawsynth verify {corpus}.")
    try:
        pair = decode_pair(picked)
    except SampleError as error:
        raise CorpusError(f"{corpus}: sample {key} is damaged: {error}. Run rawsynth verify {corpus}.") from error
    meta = {name: value for name, value in pair.meta.items() if name not in ("key", "noisy", "noise_draws")}
    facts: Facts = {"name": key, "kind": "a sample of a corpus", "part": picked.part}
    facts["members"] = {name: len(content) for name, content in picked.members.items()}
    facts |= meta
    if pair.entry is not None:
        facts["noise"] = dict(pair.entry)
    facts["clean planes"] = _planes(pair.clean)
    if pair.noisy is not None and pair.entry is not None:
        cfa = str(pair.clean.metadata.cfa)
        facts["noisy planes"] = _planes(pair.noisy)
        checks = check_noise(pair.clean.packed, pair.noisy.packed, pair.entry, cfa)
        ratios = {check.plane: ratio_of([check]) for check in checks}
        told = {name: None if ratio is None else round(ratio.value, 4) for name, ratio in ratios.items()}
        facts["noise, measured / model"] = told
    return facts


def _planes(raw: RawImage) -> dict[str, str]:
    height, width = raw.packed.shape[-2:]
    shown = {"size": f"(4, {height}, {width}), unit scale"}
    for name, plane in zip(plane_names(str(raw.metadata.cfa)), raw.packed, strict=True):
        shown[name] = f"{plane.min():.4f} to {plane.max():.4f}, mean {plane.mean():.4f}"
    return shown


def _corpus(corpus: str) -> Facts:
    dataset, found = Dataset.of(corpus), status(corpus)
    config = dataset.config
    return {
        "name": corpus,
        "kind": "a corpus" if found.complete else "a corpus, not complete",
        "shards": f"{found.done} of {found.shards} done, {len(found.failed)} failed, {len(found.damaged)} damaged",
        "samples": found.samples,
        "sources": found.sources,
        "lost": found.lost,
        "left out": found.left_out,
        "bytes": found.bytes,
        "configuration": dataset.digest,
        "input": config.input,
        "seed": config.seed,
        "method": _given(config.method.model_dump(mode="json")),
        "noise": _given(config.noise.model_dump(mode="json")),
        "image": _given(config.image.model_dump(mode="json")),
        "write": _given(config.write.model_dump(mode="json")),
        "environment": dataset.environment,
    }


def _given(section: Mapping[str, Any]) -> Facts:
    return {name: value for name, value in section.items() if value not in (None, False)}


def _tar(url: str) -> Facts:
    extensions: Counter[str] = Counter()
    samples, first, last, ours = 0, None, "", False
    try:
        with open_sparsely(url) as stream:
            for sample in walk_samples(stream):
                samples, last = samples + 1, sample.key
                first = first or sample
                ours = ours or {"clean.npy", "json"} <= sample.members.keys()
                extensions.update(sample.members.keys())
    except CorpusError as error:
        raise CorpusError(f"{url}: {error}.") from error
    facts: Facts = {"kind": "a tar part of a corpus" if ours else "a tar shard of WebDataset samples"}
    facts |= {"samples": samples, "first key": first and first.key, "last key": last or None}
    facts["members"] = dict(sorted(extensions.items()))
    if ours and first is not None and first.json is not None:
        facts["first sample's RAW"] = json.loads(first.json).get("raw")
    return facts


def _json(url: str) -> Facts:
    if storage.size(url) > _LARGEST_TEXT:
        raise UsageError(f"{url} is larger than any record or camera file. Wanted {_KINDS}.")
    try:
        data = json.loads(storage.read_bytes(url))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{url} is no JSON: {error}. Wanted {_KINDS}.") from error
    names = set(data) if isinstance(data, dict) else set()
    if {"seal", "parts", "shard"} <= names:
        record = ShardRecord.from_json(read_sealed(url), url)
        body = {**vars(record), "parts": [vars(part) for part in record.parts]}
        for name in ("inputs", "errors", "skips"):
            body[name] = _first(body[name])
        return {"kind": "the record of a finished shard", **body}
    if {"seal", "cause", "shard"} <= names:
        failure = vars(ShardFailure.from_json(read_sealed(url), url))
        return {**failure, "fault of": failure["kind"], "kind": "why a shard could not be made"}
    if {"seal", "byte_fields", "shards"} <= names:
        body = read_sealed(url)
        kept = {name: body[name] for name in ("format", "config_digest", "input", "byte_fields", "environment")}
        return {"kind": "the plan of a corpus", "shards": len(body["shards"]), **kept}
    if {"name", "cfa", "levels"} <= names:
        return _camera(url)
    raise UsageError(f"{url} is JSON, but no record, failure, plan or camera of rawsynth. Wanted {_KINDS}.")


def _first(rows: list[Any]) -> list[Any]:
    more = len(rows) - _MOST_LISTED
    return rows if more <= 0 else [*rows[:_MOST_LISTED], f"and {more} more"]


def _index(url: str) -> Facts:
    return _index_facts(IndexFile(url).header)


def _parquet(url: str) -> Facts:
    with storage.open_read(url) as stream:
        try:
            file = parquet_file(stream)
        except ParquetDamage as error:
            raise CorpusError(f"{url} is no Parquet file, or damaged: {error}.") from error
        header = (file.schema_arrow.metadata or {}).get(HEADER_KEY)
        if header is not None:
            try:
                return _index_facts(IndexHeader.from_json(header))
            except ValueError as error:
                raise CorpusError(f"{url} is no index that this version reads: {error}.") from error
        facts: Facts = {"kind": "a table", "rows": file.metadata.num_rows, "row groups": file.metadata.num_row_groups}
        columns = {field.name: str(field.type) for field in file.schema_arrow}
        try:
            return {**facts, "columns": columns, "images in": pick_image_column(file, url, None)}
        except UsageError as error:
            return {**facts, "columns": columns, "images in": f"not known: {error}"}


def _index_facts(header: IndexHeader) -> Facts:
    facts = {"samples": header.samples, "shards": len(header.shards), "parts": len(header.parts)}
    return {"kind": "the index of a corpus", "configuration": header.config_digest, **facts}


def _camera(url: str) -> Facts:
    try:
        camera = load_camera(url)
    except UsageError as error:
        raise UsageError(f"{str(error).rstrip('.')}. Wanted {_KINDS}.") from error
    return {"kind": "a camera", **{"camera" if k == "name" else k: v for k, v in camera_to_dict(camera).items()}}


def _safetensors(url: str) -> Facts:
    if style_file.is_style(url):
        fitted = style_file.load_style(url)
        card = fitted.card.model_dump(mode="json")
        return {
            "kind": "a style of a camera and its ISP, sound",
            "exposure": fitted.exposure,
            "fitted for weights": fitted.weights_digest,
            "sha256": fitted.digest,
            "card": {**card, "pairs": _first(card["pairs"])},
        }
    found = weights.load_weights(url)
    return {
        "kind": "weights of a reverse ISP, sound",
        "architecture": found.architecture,
        "parameters": sum(tensor.numel() for tensor in found.tensors.values()),
        "tensors": len(found.tensors),
        "types": sorted({str(tensor.dtype).removeprefix("torch.") for tensor in found.tensors.values()}),
        "sha256": found.digest,
        "config": dict(found.config),
        "card": found.card.model_dump(mode="json"),
    }


def _raw_file(url: str) -> Facts:
    raw = read_raw(url)
    height, width = raw.mosaic.shape
    return {
        "kind": "a camera RAW file",
        "camera": raw.camera,
        "size": f"{width} x {height} sites",
        "cfa": raw.cfa,
        "black": list(raw.black),
        "white": raw.white,
        "values": f"{raw.mosaic.min()} to {raw.mosaic.max()} DN",
        "saturated": round(float((raw.mosaic >= raw.white).mean()), 6),
        "iso": raw.iso,
        "exposure, s": raw.exposure_s,
        "as-shot gains, R and B": None if raw.white_balance is None else list(raw.white_balance),
        "cam_from_srgb": None if raw.cam_from_srgb is None else raw.cam_from_srgb.tolist(),
        "orientation": raw.orientation,
        "preview": None if raw.preview is None else f"JPEG of {len(raw.preview)} bytes",
    }
