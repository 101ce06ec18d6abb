"""The end of a run: the dataset card, once every shard of the corpus is done, whoever made it."""

from __future__ import annotations

from rawsynth.corpus.card import CardCounts, write_card
from rawsynth.corpus.index import finished_records
from rawsynth.engine.corpus_run import CorpusRun
from rawsynth.engine.ranks import Rank
from rawsynth.engine.summary import Summary


def finish_card(run: CorpusRun, rank: Rank) -> None:
    """Write the card if nothing is left to do in the corpus; of several ranks each that finds it so writes the same.

    Raises:
        CorpusError: another rank's record is damaged.
        OutputError: it cannot be written.
    """
    counts = _whole(run) if rank.several else run.summary
    if counts.done < len(run.dataset.shards) or not counts.samples:
        return
    told = CardCounts(counts.sources, counts.samples, counts.lost, counts.left_out, counts.bytes)
    if not write_card(run.dataset, told, run.dataset.config.run.license):
        run.observer.tell("README.md was edited since rawsynth wrote it, and is left as it is")


def _whole(run: CorpusRun) -> Summary:
    counts = Summary(run.dataset.config.output)
    if run.summary.done == run.summary.shards:
        for record in finished_records(run.dataset):
            counts.add(record)
    return counts
