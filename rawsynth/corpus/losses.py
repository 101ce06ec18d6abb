"""Every image that a corpus lost, one by one, from its records."""

from __future__ import annotations

from collections.abc import Iterator

from rawsynth.corpus.index import finished_records
from rawsynth.errors import CorpusError
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.own_files import DATASET_FILE


def list_losses(corpus: str) -> Iterator[dict[str, str]]:
    """Yield ``{shard, key, stage, cause}`` of each image that was lost, in the order of the shards.

    Raises:
        CorpusError: there is no corpus, or its plan or a record is damaged.
        InputAccessError: the store cannot be reached.
    """
    dataset = Dataset.load(corpus)
    if dataset is None:
        raise CorpusError(f"no corpus at {corpus}: there is no {DATASET_FILE}.")
    for record in finished_records(dataset):
        for error in record.errors:
            yield {"shard": record.shard, **error}
