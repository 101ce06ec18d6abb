"""``dataset.json``: the frozen plan of a corpus: its configuration and the inputs of every shard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.errors import CorpusError, InputAccessError, UsageError
from rawsynth.pipeline import environment, inputs
from rawsynth.pipeline.config import FORMAT_VERSION, GenerateConfig, build_config, digest_of
from rawsynth.pipeline.own_files import DATASET_FILE, check_apart, refuse_foreign_files, remove_corpus
from rawsynth.pipeline.parquet_source import check_columns
from rawsynth.pipeline.reader import count_samples
from rawsynth.pipeline.shards import InputFile, Listing, Shard, apply_limit, plan_shards
from rawsynth.pipeline.stated import stated
from rawsynth.pipeline.synthesize import noise_policy
from rawsynth.storage.sealed import read_sealed, write_sealed


_RESTORE = (
    "Copy it back from a backup, or make the corpus anew in another folder; its tars can still be read by themselves "
    "('CORPUS/*.tar')."
)


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
        body = read_sealed(url, _RESTORE)
        if body.get("format") != FORMAT_VERSION:
            raise CorpusError(
                f"{url} has format {body.get('format')}; this rawsynth reads {FORMAT_VERSION}. A version that wrote it "
                "reads it: pip install --upgrade rawsynth."
            )
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
            raise CorpusError(f"{url} is not a corpus plan: {error}. {_RESTORE}") from error

    @classmethod
    def of(cls, corpus: str) -> Dataset:
        """Read the plan of a corpus that must be there.

        Raises:
            CorpusError: there is none, or as :meth:`load`.
        """
        found = cls.load(corpus)
        if found is None:
            lacks = DATASET_FILE if storage.exists(corpus) else f"{DATASET_FILE}, nor such a folder"
            raise CorpusError(
                f"no corpus at {corpus}: there is no {lacks}. Give the folder or URL that `rawsynth generate` wrote."
            )
        return found


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
        remove_corpus(found.config.output, found.shards, found.config.read.splits)
        return planned
    return _check_additions(_resumed(found, config, tell), tell)


def join_dataset(config: GenerateConfig, tell: Callable[[str], None]) -> Dataset:
    """Return the plan that another process of the same run has written; the input is not listed again.

    Raises:
        CorpusError: there is no plan, or it is damaged.
        UsageError: it is of another configuration or input.
    """
    found = Dataset.load(config.output)
    if found is None:
        raise CorpusError(f"no plan at {config.output}: there is no {DATASET_FILE}.")
    return _resumed(found, config, tell)


def _resumed(found: Dataset, config: GenerateConfig, tell: Callable[[str], None]) -> Dataset:
    """Return a plan with what of the configuration may differ from run to run."""
    _check_same(found, config)
    # The method section as asked for now: a camera file of the same content may lie elsewhere today.
    today = {"run": config.run, "output": config.output, "method": config.method}
    if environment.describe(found.config.compute.device) != found.environment:
        tell("library versions or hardware differ from when this corpus was started; bytes may differ between shards")
    return replace(found, config=found.config.model_copy(update=today))


def _new_dataset(config: GenerateConfig) -> Dataset:
    try:
        listing = _list(config)
    except InputAccessError as error:
        raise UsageError(f"input: {error}") from error
    shards = plan_shards(listing, config.read)
    if (table := next((shard for shard in shards if shard.kind == "parquet"), None)) is not None:
        # Beside tars and folders, what is to be kept may be theirs.
        keep = config.read.keep if all(shard.kind == "parquet" for shard in shards) else ()
        check_columns(table, keep, config.read.image_column)
    shards = apply_limit(shards, config.read.limit, count_samples)
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


def _list(config: GenerateConfig) -> Listing:
    """List the input; a recursive pattern never takes the corpus itself for input."""
    listing = inputs.list_input(config.input, config.read)
    if not inputs.is_pattern(config.input):
        return listing
    corpus = storage.absolute(config.output) + "/"

    def outside(file: InputFile) -> bool:
        return not storage.absolute(storage.join(listing.root, file.path)).startswith(corpus)

    tars, images, tables = (tuple(filter(outside, files)) for files in (listing.tars, listing.images, listing.tables))
    return Listing(listing.root, tars, images, tables)


def _check_additions(dataset: Dataset, tell: Callable[[str], None]) -> Dataset:
    config = dataset.config
    if config.read.limit is not None:
        return dataset
    try:
        listing = _list(config)
    except (InputAccessError, UsageError) as error:
        tell(f"the input cannot be listed again ({error}); going on with the inputs listed at the start")
        return dataset
    added = [replace(s, base=dataset.base) for s in plan_shards(listing, config.read, dataset.shards)]
    if not added:
        return dataset
    count = sum(len(shard.files) for shard in added)
    if not config.run.extend:
        are, them = ("is", "it") if count == 1 else ("are", "them")
        tell(f"{counted(count, 'input file')} {are} new since this corpus was started; add --extend to take {them} up")
        return dataset
    extended = replace(dataset, shards=dataset.shards + tuple(added))
    extended.save()
    tell(f"{counted(count, 'new input file')} taken up, in {counted(len(added), 'shard')}")
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
    today = config.model_copy(update={"compute": asked})
    before = {"input": found.place, **_every_option(found.config, found.fields)}
    now = {"input": storage.absolute(config.input), **_every_option(today, today.byte_fields())}
    names = [name for name in {**now, **before} if now.get(name) != before.get(name)]
    changed = [f"{name} {before.get(name)!r} -> {now.get(name)!r}" for name in names]
    if changed:
        raise UsageError(
            f"{config.output} holds a corpus of another configuration: {'; '.join(changed)}. Choose another output, "
            "go back to the options it was started with, or start it afresh with --overwrite."
        )


def _every_option(config: GenerateConfig, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields flat, with what they leave out: an option that was none yet does by default what was done."""
    stated = config.model_dump(mode="json", exclude={"input", "output", "seed", "run"})
    return _flat({**fields, **{section: {**values, **fields.get(section, {})} for section, values in stated.items()}})


def _flat(nested: dict[str, Any]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in nested.items():
        if isinstance(value, dict) and name != "splits":
            out |= _flat(value)
        else:
            out[name] = value
    return out
