"""Every image that a corpus lost, one by one, from its records."""

from __future__ import annotations

from collections.abc import Iterator

from rawsynth.corpus.index import finished_records
from rawsynth.pipeline.dataset import Dataset


def list_losses(corpus: str) -> Iterator[dict[str, str]]:
    """Yield ``{shard, key, stage, cause}`` of each image that was lost, in the order of the shards.

    Raises:
        CorpusError: there is no corpus, or its plan or a record is damaged.
        InputAccessError: the store cannot be reached.
    """
    dataset = Dataset.of(corpus)
    for record in finished_records(dataset):
        for error in record.errors:
            yield {"shard": record.shard, **error}
