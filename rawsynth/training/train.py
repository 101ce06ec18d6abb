"""A training from its configuration to its weights. Start reading here.

::

    pairs -> batch by position -> learn -> average -> validate, keep the best -> checkpoint
             (worker processes)                       (first process alone)

A step depends on the state and on its number alone, so a run that was killed goes on as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import torch

from rawsynth.errors import SampleError, TrainingError, UsageError
from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.methods.weights import ModelCard, Weights, load_weights
from rawsynth.seeding import sample_seed
from rawsynth.training import run_folder
from rawsynth.training.color import nominal_color
from rawsynth.training.config import TrainConfig
from rawsynth.training.data import Steps, TrainBatch, open_sets, read_batches
from rawsynth.training.distributed import Place, take_place
from rawsynth.training.interrupt import Interrupt
from rawsynth.training.journal import Journal
from rawsynth.training.learner import Learner
from rawsynth.training.validation import SELECTED_BY, draw, score_card, trial_method, validate
from rawsynth.training.window import Window


@dataclass(frozen=True)
class TrainSummary:
    """How a training ended.

    Attributes:
        steps: finished steps, of ``total``.
        best: step and scores of the best validation, or ``None`` before the first.
        weights: where the best weights are, or ``None``.
        lost: pairs that could not be read, counted each time.
        interrupted: whether it was stopped on the way; the same call goes on.
        first: whether this process validated and wrote; of several under torchrun, one did.
    """

    steps: int
    total: int
    best: dict[str, Any] | None
    weights: str | None
    lost: int
    interrupted: bool
    first: bool


def train(config: TrainConfig, *, quiet: bool = False, overwrite: bool = False) -> TrainSummary:
    """Train a network; go on where an earlier run of the same configuration stopped.

    Under torchrun every process calls this; the first one validates, writes and speaks.

    Args:
        config: what to do.
        quiet: no progress bar.
        overwrite: remove a run of another configuration from the output first.

    Raises:
        UsageError: the output holds another run, no pairs, sets or options that do not fit.
        TrainingError: the loss left the finite numbers (the last good checkpoint is kept, the batch is named), memory
            ran out, or a process that reads pairs died.
        OutputError: the output cannot be written.
    """
    kind = run_folder.learned_method(config)
    with take_place(config.compute.device) as place, Interrupt() as interrupt:
        run_folder.check_share(config, place.world)
        if place.first:
            run_folder.prepare(config, overwrite=overwrite)
        place.wait()
        try:
            return Training(config, kind, place, interrupt, quiet=quiet).run()
        except (RuntimeError, ConnectionError, EOFError) as error:
            if (fault := machine_fault(error)) is None:
                raise
            raise TrainingError(fault) from error


class Training:
    """One process's part in a training."""

    def __init__(
        self, config: TrainConfig, kind: type[LearnedMethod], place: Place, interrupt: Interrupt, *, quiet: bool
    ) -> None:
        self.config, self.place, self.interrupt = config, place, interrupt
        self.pairs, self.validation = open_sets(config.data, config.seed)
        self.color = nominal_color(self.pairs)
        self.learner = Learner(config, kind, fresh_network(config, kind), place)
        # After the learner, which puts the average on the device.
        self.trial = trial_method(kind, self.learner.average.network, config.model.network_config(), self.color)
        self.best: dict[str, Any] | None = None
        self.start = self._restore()
        self.lost = 0
        self.unread: list[tuple[int, str, str]] = []
        total, quiet = config.optimizer.steps, quiet or not place.first
        self.journal = Journal(config.output, start=self.start, total=total, quiet=quiet, board=place.first)

    def _restore(self) -> int:
        state = run_folder.load_checkpoint(self.config)
        if state is None:
            return 0
        self.learner.restore(state["learner"])
        self.best = state["best"]
        return int(state["step"])

    def run(self) -> TrainSummary:
        """Learn until the last step or an interruption."""
        config, total = self.config, self.config.optimizer.steps
        watch, step = config.watch, self.start
        window = Window(self.place, scaled=config.compute.dtype == "float16")
        with closing(self.journal), closing(self._batches()) as batches:
            for batch in batches:
                window.add(step, batch, self.learner.step(batch, step))
                step += 1
                self.unread += [(step, key, cause) for key, cause in batch.lost]
                last = step == total
                if not last and all(step % n for n in (watch.log_every, watch.validate_every, watch.save_every)):
                    continue
                self._note(step, window.close())
                if last or step % watch.validate_every == 0:
                    self._validate(step)
                stop = self.place.any(self.interrupt.raised)
                if last or stop or step % watch.save_every == 0:
                    self._save(step)
                if stop:
                    break
                window.resume()
        if step == total and self.place.first:
            self._export("final", step)
        weights = run_folder.weights_url(config, "best") if self.best is not None else None
        return TrainSummary(step, total, self.best, weights, self.lost, step < total, self.place.first)

    def _batches(self) -> Generator[TrainBatch, None, None]:
        config, place = self.config, self.place
        steps = Steps(self.start, config.optimizer.steps, config.optimizer.batch, rank=place.rank, world=place.world)
        on_gpu = place.device.type == "cuda"
        for batch in read_batches(self.pairs, config.data, seed=config.seed, steps=steps, pin=on_gpu):
            yield batch.to(place.device)

    def _note(self, step: int, values: dict[str, float]) -> None:
        """Record the losses of the steps since the last look, and what any process could not read in them."""
        for row in self.place.gather(self.unread):
            self._lose(*row)
        self.unread = []
        self.journal.add(step, values)
        self.journal.advance(step, {"loss": f"{values['loss']:.4g}", **self._best_shown()})

    def _lose(self, step: int, key: str, cause: str) -> None:
        self.lost += 1
        self.journal.add(step, {"key": key, "cause": cause}, kind="lost")
        self.journal.tell(f"lost {key}: {cause}")

    def _validate(self, step: int) -> None:
        if self.place.first:
            dtype = getattr(torch, self.config.compute.dtype)
            try:
                evaluation = validate(self.trial, self.validation, self.place.device, dtype)
            except SampleError as error:
                raise TrainingError(f"validation after step {step} failed: {error}") from error
            scores = score_card(evaluation)
            self.journal.add(step, scores, kind="validation")
            for key, cause in evaluation.errors.items():
                self._lose(step, key, cause)
            pictures = draw(
                evaluation, self.validation, self.trial, count=self.config.watch.panels, device=self.place.device
            )
            for key, pixels in pictures.items():
                self.journal.picture(step, key, pixels)
            if self.best is None or scores[SELECTED_BY] > self.best[SELECTED_BY]:
                self.best = {"step": step, **scores}
                self._export("best", step)
        self.place.wait()

    def _export(self, name: str, step: int) -> None:
        card = ModelCard(
            **self.color,
            data=self.config.description or f"pairs of {self.config.data.train}",
            licence=self.config.licence,
            recipe={"step": step, "seed": self.config.seed, "config": self.config.learning_fields()},
            metrics={"validation": self.best, "pairs": len(self.validation)} if self.best is not None else {},
        )
        self.trial.card = card
        self.trial.save(run_folder.weights_url(self.config, name))

    def _save(self, step: int) -> None:
        if self.place.first:
            self.journal.save()
            run_folder.save_checkpoint(
                self.config, {"step": step, "best": self.best, "learner": self.learner.state()}
            )
        self.place.wait()

    def _best_shown(self) -> dict[str, str]:
        return {} if self.best is None else {"best": f"{self.best[SELECTED_BY]:.2f} dB"}


def machine_fault(error: Exception) -> str | None:
    """Say what can be done about a fault of the machine; ``None`` if it is none."""
    cause = str(error).partition("\n")[0]
    if isinstance(error, torch.OutOfMemoryError):
        return f"too little memory: lower optimizer.batch or data.crop ({cause})."
    # Of SIGTERM to the whole job: at once, or at the end of the while that a process lives on to serve the last steps.
    if "killed by signal: Terminated" in cause or "killed by signal: Alarm clock" in cause:
        return f"stopped: a process that reads pairs was told to end, so the last steps got no more of them ({cause})."
    # A process that dies while it hands over a batch is met as a broken connection.
    if "DataLoader worker" in cause or isinstance(error, ConnectionError | EOFError):
        return f"a process that reads pairs died, out of memory or /dev/shm? Take fewer data.workers, or 0 ({cause})."
    return None


def fresh_network(config: TrainConfig, kind: type[LearnedMethod]) -> StyledNetwork:
    """Build the network with parameters that the seed decides, or those of ``model.init``.

    Raises:
        UsageError: the weights to start from are of another network.
    """
    with torch.random.fork_rng():
        torch.manual_seed(sample_seed(config.seed, "network", "init"))
        network = kind.build(config.model.network_config())
    if config.model.init is not None:
        fill_network(network, load_weights(config.model.init), kind)
    return network


def fill_network(network: StyledNetwork, weights: Weights, kind: type[LearnedMethod]) -> None:
    """Give a network the parameters of a weights file."""
    if weights.architecture != kind.name:
        raise UsageError(f"{weights.source}: weights of {weights.architecture!r}, not of {kind.name!r}.")
    try:
        network.load_state_dict(dict(weights.tensors))
    except RuntimeError as error:
        reason = str(error).strip().replace("\n\t", " ")[:500]
        raise UsageError(f"{weights.source}: they do not fit model.preset and model.options: {reason}") from error
