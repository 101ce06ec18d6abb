"""``dataset.json``: the frozen plan of a corpus: its configuration and the inputs of every shard."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.errors import CorpusError, InputAccessError, UsageError
from rawsynth.pipeline import environment, inputs
from rawsynth.pipeline.config import FORMAT_VERSION, GenerateConfig, build_config, digest_of
from rawsynth.pipeline.inputs import Shard
from rawsynth.pipeline.reader import count_samples
from rawsynth.pipeline.record import RECORD_FOLDER, ShardRecord
from rawsynth.pipeline.stated import stated
from rawsynth.pipeline.synthesize import noise_policy
from rawsynth.storage.sealed import read_sealed, write_sealed
from rawsynth.transforms.add_noise import CORPUS_FILE

DATASET_FILE = CORPUS_FILE


@dataclass(frozen=True)
class Dataset:
    """Plan of a corpus.

    Attributes:
        config: the configuration with every ``auto`` decided.
        fields: what of it decides bytes, as it was when the corpus was started.
        place: the input as an absolute place.
        root: what the shards' paths are relative to, as the user wrote it; ``base`` is the same as an absolute place.
        shards: units of work, in order.
        environment: versions and hardware at the start.
    """

    config: GenerateConfig
    fields: dict[str, Any]
    place: str
    root: str
    base: str
    shards: tuple[Shard, ...]
    environment: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest that the records of finished shards carry."""
        return digest_of(self.fields)

    def save(self) -> None:
        """Write ``dataset.json``, atomically."""
        body: dict[str, Any] = {
            "format": FORMAT_VERSION,
            "input": self.config.input,
            "config": self.config.model_dump(mode="json", exclude={"input", "output", "run"}),
            "byte_fields": self.fields,
            "config_digest": self.digest,
            "environment": self.environment,
            "place": self.place,
            "root": self.root,
            "base": self.base,
            "noise_policy": noise_policy(self.config),
            "shards": [shard.to_json() for shard in self.shards],
        }
        write_sealed(storage.join(self.config.output, DATASET_FILE), body)

    @classmethod
    def load(cls, corpus: str) -> Dataset | None:
        """Read the plan of a corpus; ``None`` if the folder holds none.

        Raises:
            CorpusError: the file is damaged, or of a format that this version does not know.
        """
        url = storage.join(corpus, DATASET_FILE)
        if not storage.exists(url):
            return None
        body = read_sealed(url)
        if body.get("format") != FORMAT_VERSION:
            raise CorpusError(f"{url} has format {body.get('format')}; this rawsynth reads {FORMAT_VERSION}.")
        try:
            config = build_config({**body["config"], "input": body["input"], "output": corpus})
            root, base = body["root"], body["base"]
            shards = tuple(Shard.from_json(shard, root, base) for shard in body["shards"])
            names = [shard.name for shard in shards]
            if len(set(names)) < len(names):
                raise UsageError("two shards have one name")
            plan = {"config": config, "fields": body["byte_fields"], "place": body["place"], "root": root, "base": base}
            return stated(cls, {**plan, "shards": shards, "environment": body["environment"]})
        except (LookupError, TypeError, AttributeError, UsageError) as error:
            raise CorpusError(f"{url} is not a corpus plan: {error}.") from error

    def records(self) -> dict[str, ShardRecord | None]:
        """Return each shard's record, ``None`` where there is none yet."""
        return {shard.name: ShardRecord.load(self.config.output, shard.name) for shard in self.shards}


def open_dataset(config: GenerateConfig, tell: Callable[[str], None]) -> Dataset:
    """Return the plan to work on: the corpus's own if there is one, else a new one, which is not saved yet.

    Args:
        config: what the user asks for; ``run`` says how to treat what is there.
        tell: takes messages for the user.

    Raises:
        CorpusError: the corpus's plan is damaged.
        UsageError: the corpus has another configuration or input, the folder holds other files, output and input
            contain each other, or the input holds nothing.
    """
    check_apart(config.input, config.output)
    found = Dataset.load(config.output)
    if found is None:
        refuse_foreign_files(config.output)
        return _new_dataset(config)
    if config.run.overwrite:
        # The new plan first: whatever is wrong with it, the old corpus is still there.
        planned = _new_dataset(config)
        remove_corpus(found)
        return planned
    _check_same(found, config)
    # The method section as asked for now: a camera file of the same content may lie elsewhere today.
    today = {"run": config.run, "output": config.output, "method": config.method}
    kept = replace(found, config=found.config.model_copy(update=today))
    if environment.describe(kept.config.compute.device) != found.environment:
        tell("library versions or hardware differ from when this corpus was started; bytes may differ between shards")
    return _check_additions(kept, tell)


def _new_dataset(config: GenerateConfig) -> Dataset:
    try:
        listing = _list(config)
    except InputAccessError as error:
        raise UsageError(f"input: {error}") from error
    shards = inputs.apply_limit(inputs.plan_shards(listing, config.read), config.read.limit, count_samples)
    compute = environment.decide(config.compute, sum(shard.size for shard in shards))
    decided = config.model_copy(update={"compute": compute})
    base = storage.absolute(listing.root or ".")
    return Dataset(
        config=decided,
        fields=decided.byte_fields(),
        place=storage.absolute(config.input),
        root=listing.root,
        base=base,
        shards=tuple(replace(shard, base=base) for shard in shards),
        environment=environment.describe(compute.device),
    )


def _list(config: GenerateConfig) -> inputs.Listing:
    """List the input; a recursive pattern never takes the corpus itself for input."""
    listing = inputs.list_input(config.input, config.read)
    if not inputs.is_pattern(config.input):
        return listing
    corpus = storage.absolute(config.output) + "/"

    def outside(file: inputs.InputFile) -> bool:
        return not storage.absolute(storage.join(listing.root, file.path)).startswith(corpus)

    return replace(
        listing, tars=tuple(filter(outside, listing.tars)), images=tuple(filter(outside, listing.images))
    )


def _check_additions(dataset: Dataset, tell: Callable[[str], None]) -> Dataset:
    config = dataset.config
    if config.read.limit is not None:
        return dataset
    try:
        listing = _list(config)
    except (InputAccessError, UsageError) as error:
        tell(f"the input cannot be listed again ({error}); going on with the inputs listed at the start")
        return dataset
    added = [replace(s, base=dataset.base) for s in inputs.plan_shards(listing, config.read, dataset.shards)]
    if not added:
        return dataset
    count = sum(len(shard.files) for shard in added)
    if not config.run.extend:
        tell(f"{count} input files are new since this corpus was started; add --extend to take them up")
        return dataset
    extended = replace(dataset, shards=dataset.shards + tuple(added))
    extended.save()
    tell(f"{count} new input files taken up, in {len(added)} shards")
    return extended


def accept_changes(dataset: Dataset, shard: Shard) -> Dataset:
    """Take the current sizes of a shard's inputs as the right ones; for ``--retry-errors``."""
    files = []
    for file in shard.files:
        try:
            files.append(replace(file, size=storage.size(shard.url(file))))
        except InputAccessError:
            files.append(file)
    updated = replace(shard, files=tuple(files))
    if updated == shard:
        return dataset
    shards = tuple(updated if s.name == shard.name else s for s in dataset.shards)
    changed = replace(dataset, shards=shards)
    changed.save()
    return changed


def _check_same(found: Dataset, config: GenerateConfig) -> None:
    compute = found.config.compute
    # What is left open now is what was decided then.
    asked = config.compute.model_copy(
        update={
            "device": compute.device if config.compute.device == "auto" else config.compute.device,
            "compile": compute.compile if config.compute.compile == "auto" else config.compute.compile,
            "batch_pixels": config.compute.batch_pixels or compute.batch_pixels,
        }
    )
    before = _flat({"input": found.place, **found.fields})
    fields = config.model_copy(update={"compute": asked}).byte_fields()
    now = _flat({"input": storage.absolute(config.input), **fields})
    changed = [f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in now if now[name] != before.get(name)]
    if changed:
        raise UsageError(
            f"{config.output} holds a corpus of another configuration: {'; '.join(changed)}. Choose another output, "
            "go back to the options it was started with, or start it afresh with --overwrite."
        )


def _flat(nested: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict) and name != "splits":
            out |= _flat(value)
        else:
            out[name] = value
    return out


def check_apart(source: str, output: str) -> None:
    """Raise UsageError if the output lies inside the input folder, or the input inside the output."""
    inside, outside = storage.absolute(source).rstrip("/") + "/", storage.absolute(output).rstrip("/") + "/"
    if outside.startswith(inside) and storage.exists(source) and storage.is_folder(source):
        raise UsageError(f"output {output} lies inside the input {source}; choose a folder elsewhere.")
    if inside.startswith(outside):
        raise UsageError(f"input {source} lies inside the output {output}; choose a folder elsewhere.")


def refuse_foreign_files(output: str) -> None:
    """Raise UsageError if the output folder holds files but no corpus."""
    if not storage.exists(output):
        return
    if not storage.is_folder(output):
        raise UsageError(f"output {output} is a file; give a folder.")
    files = [path for path, _ in storage.walk_files(output) if not path.split("/")[-1].startswith(".")]
    own = _recorded_files(output, files)
    foreign = [path for path in files if path not in own]
    if foreign:
        raise UsageError(
            f"{output} holds {len(foreign)} files, such as {foreign[0]!r}, but no {DATASET_FILE}. "
            "Choose an empty folder."
        )


def _recorded_files(output: str, files: list[str]) -> set[str]:
    """Files of a corpus that has lost its plan: sound records and the parts that they name."""
    own: set[str] = set()
    for path in files:
        if path.startswith(f"{RECORD_FOLDER}/") and path.endswith(".json"):
            try:
                url = storage.join(output, path)
                record = ShardRecord.from_json(read_sealed(url), url)
            except CorpusError:
                continue
            own |= {path, *(part.name for part in record.parts)}
    return own


def remove_corpus(dataset: Dataset) -> None:
    """Delete a corpus's own files, plan last, and nothing else."""
    output = dataset.config.output
    splits = [None, *dataset.config.read.splits]
    names = {shard.name if split is None else f"{shard.name}-{split}" for shard in dataset.shards for split in splits}
    files = [path for path, _ in storage.walk_files(output)]
    # Records go first: a part without a record is made again, a record without its part would not be.
    records = [p for p in files if p.startswith(f"{RECORD_FOLDER}/") and p[len(RECORD_FOLDER) + 1 : -5] in names]
    parts = [p for p in files if (match := re.fullmatch(r"(.+)-\d{2,}\.tar", p)) and match[1] in names]
    for path in [*records, *parts]:
        storage.remove(storage.join(output, path))
    storage.remove(storage.join(output, DATASET_FILE))
