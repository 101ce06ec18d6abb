"""The training of rst_isp_net_small, from photographs to its weights. Start reading here.

::

    photographs -> samples by position -> stage 1: style and global part, from pixels of frames
                   (worker processes)  -> stage 2: all of the network, from crops
                                          average -> validate, keep the best -> checkpoint

A sample depends on the seed and its position, a step on the state and its number, so a run that was killed goes on as
if nothing had happened. The second stage starts from the first one's average.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import TrainingError, UsageError
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.methods.weights import ModelCard, check_fit, load_weights, save_weights
from rawsynth.seeding import sample_seed
from rawsynth.training import run_folder
from rawsynth.training.data import Steps
from rawsynth.training.distributed import Place, take_place
from rawsynth.training.interrupt import Interrupt
from rawsynth.training.journal import Journal
from rawsynth.training.run_folder import PHOTOGRAPHS_FILE
from rawsynth.training.scene_config import METHOD, LocalStageConfig, SceneTrainConfig
from rawsynth.training.scene_data import open_scenes, read_scene_batches
from rawsynth.training.scene_learner import SceneLearner, validate_scenes
from rawsynth.training.scene_pictures import draw_scenes
from rawsynth.training.surrogates import RenderedBatch
from rawsynth.training.train import TrainSummary, machine_fault

SELECTED_BY = "absolute_db"
_PATIENCE = 20


def train_scene_linear(config: SceneTrainConfig, *, quiet: bool = False, overwrite: bool = False) -> TrainSummary:
    """Train rst_isp_net_small; go on where an earlier run of the same configuration stopped.

    Args:
        config: what to do.
        quiet: no progress bar.
        overwrite: remove a run of another configuration from the output first.

    Raises:
        UsageError: the output holds another run, or options, photographs or weights that do not fit.
        TrainingError: gradients left the finite numbers and did not come back (the last checkpoint is kept), memory
            ran out, or a process that makes samples died.
        InputAccessError, OutputError: photographs cannot be read, the output cannot be written.
    """
    with take_place(config.compute.device) as place, Interrupt() as interrupt:
        for stage in (config.globally, config.locally):
            if stage.batch % place.world:
                raise UsageError(f"batches of {stage.batch} cannot be dealt out to {place.world} processes.")
        network = fresh_network(config)
        if place.first:
            run_folder.prepare(config, overwrite=overwrite)
        place.wait()
        try:
            return SceneTraining(config, network, place, interrupt, quiet=quiet).run()
        except (RuntimeError, ConnectionError, EOFError) as error:
            if (fault := machine_fault(error)) is None:
                raise
            raise TrainingError(fault) from error


def fresh_network(config: SceneTrainConfig) -> SceneLinearNet:
    """Build the network with parameters that the seed decides, or those of ``model.init``.

    Raises:
        UsageError: options that do not fit, or weights of another network.
    """
    with torch.random.fork_rng():
        torch.manual_seed(sample_seed(config.seed, "network", "init"))
        try:
            network = SceneLinearNet(**config.model.network_config())
        except TypeError as error:
            raise UsageError(f"model.options: {error}") from error
    if network.locally is None and config.locally.steps:
        raise UsageError("model.options: a network without local part has no second stage: set locally.steps = 0.")
    if config.model.init is not None:
        weights = load_weights(config.model.init)
        if weights.architecture != METHOD:
            raise UsageError(f"{weights.source}: weights of {weights.architecture!r}, not of {METHOD!r}.")
        check_fit(weights.tensors, network.state_dict(), f"{weights.source}: they do not fit model.options")
        network.load_state_dict(dict(weights.tensors))
    return network


class SceneTraining:
    """One process's part in a training."""

    def __init__(
        self, config: SceneTrainConfig, network: SceneLinearNet, place: Place, interrupt: Interrupt, *, quiet: bool
    ) -> None:
        self.config, self.network, self.place, self.interrupt = config, network, place, interrupt
        begins = {"globally": 0, "locally": config.globally.steps}
        stages = {"globally": config.globally, "locally": config.locally}
        self.plan = [(begins[name], stage) for name, stage in stages.items() if stage.steps]
        state = run_folder.load_checkpoint(config)
        self.step = 0 if state is None else int(state["step"])
        self.best: dict[str, Any] | None = None if state is None else state["best"]
        self.sets = open_scenes(config.data)
        if state is not None and state["photographs"] != self.sets.digest:
            raise UsageError(
                f"{config.data.photographs} holds other photographs than those that {config.output} was begun with "
                f"(see its {PHOTOGRAPHS_FILE}): put them back, choose another output, or use --overwrite."
            )
        self._begin_stage(None if state is None else state["learner"])
        if place.first:
            storage.write_atomic(storage.join(config.output, PHOTOGRAPHS_FILE), self.sets.listing())
        quiet = quiet or not place.first
        self.journal = Journal(config.output, start=self.step, total=config.steps, quiet=quiet, board=place.first)

    def _begin_stage(self, state: dict[str, Any] | None) -> None:
        """Set up the stage of the next step, or the last one, from a learner's state.

        A stage that begins takes the average of the one before; otherwise the learner goes on.
        """
        config = self.config
        within = (row for row in self.plan if row[0] <= self.step < row[0] + row[1].steps)
        self.begin, self.stage = next(within, self.plan[-1])
        fresh = self.step == self.begin
        if fresh:
            # What is validated is another thing from here on.
            self.best = None
            if state is not None:
                self.network.load_state_dict(state["average"])
        self.learner = SceneLearner(
            self.network, self.stage, points=config.data.points,
            seed=sample_seed(config.seed, str(self.begin), "stage"),
            place=self.place, dtype=getattr(torch, config.compute.dtype),
        )  # fmt: skip
        if state is not None and not fresh:
            self.learner.restore(state)
        self.crop = config.data.crop if isinstance(self.stage, LocalStageConfig) else 0
        self._checks: list[RenderedBatch] = []

    def run(self) -> TrainSummary:
        """Learn until the last step or an interruption."""
        total, stopped = self.config.steps, False
        with closing(self.journal):
            while self.step < total and not stopped:
                if self.step == self.begin + self.stage.steps:
                    self._begin_stage(self.learner.state())
                stopped = self._run_stage()
        if self.step == total and self.place.first:
            self._export("final")
        weights = run_folder.weights_url(self.config, "best") if self.best is not None else None
        return TrainSummary(self.step, total, self.best, weights, 0, self.step < total, self.place.first)

    def _run_stage(self) -> bool:
        """Learn until the stage ends; returns whether somebody wants to stop."""
        watch, end, stop = self.config.watch, self.begin + self.stage.steps, False
        window = _Window(self.place)
        with closing(self._batches()) as batches:
            for batch in batches:
                window.add(self.step + 1, self.learner.step(batch, self.step - self.begin), len(batch.frame_srgb))
                self.step += 1
                step, last = self.step, self.step == end
                if not last and all(step % n for n in (watch.log_every, watch.validate_every, watch.save_every)):
                    continue
                self._note(window.close())
                if last or step % watch.validate_every == 0:
                    self._validate()
                stop = self.place.any(self.interrupt.raised)
                if last or stop or step % watch.save_every == 0:
                    self._save()
                if stop:
                    break
                window.resume()
        return stop

    def _batches(self) -> Generator[RenderedBatch, None, None]:
        place, stage = self.place, self.stage
        steps = Steps(self.step - self.begin, stage.steps, stage.batch, rank=place.rank, world=place.world)
        # Of its own in each stage, or the second would see the first one's samples again.
        seed = sample_seed(self.config.seed, str(self.begin), "samples")
        samples = self.sets.samples(seed=seed, crop=self.crop)
        on_gpu = place.device.type == "cuda"
        for batch in read_scene_batches(samples, steps, workers=self.config.data.workers, pin=on_gpu):
            yield batch.to(place.device)

    def _note(self, values: dict[str, float]) -> None:
        self.journal.add(self.step, values)
        self.journal.advance(self.step, {name: f"{values[name]:.2f}" for name in ("loss", SELECTED_BY)})

    def _validate(self) -> None:
        if self.place.first:
            if not self._checks:
                self._checks = self.sets.validation(self.config.data, seed=self.config.seed, crop=self.crop)
            scores = validate_scenes(self.learner, self._checks)
            self.journal.add(self.step, scores, kind="validation")
            drawn = draw_scenes(self.learner.average.network, self._checks[0], count=self.config.watch.panels)
            for name, pixels in drawn.items():
                self.journal.picture(self.step, name, pixels)
            if self.best is None or scores[SELECTED_BY] > self.best[SELECTED_BY]:
                self.best = {"step": self.step, **scores}
                self._export("best")
        self.place.wait()

    def _export(self, name: str) -> None:
        config, sets = self.config, self.sets
        photographs = {"train": len(sets.train), "validation": len(sets.held), "sha256": sets.digest}
        fields = config.learning_fields()
        measured = {"validation": self.best, "samples": config.data.validation_samples, "crop": self.crop}
        card = ModelCard(
            data=config.description or "synthetic pairs of photographs, by a random forward ISP",
            licence=config.licence,
            recipe={"step": self.step, "seed": config.seed, "config": fields, "photographs": photographs},
            metrics=measured if self.best is not None else {},
        )
        tensors = self.learner.average.network.state_dict()
        save_weights(run_folder.weights_url(config, name), METHOD, config.model.network_config(), tensors, card)

    def _save(self) -> None:
        if self.place.first:
            self.journal.save()
            state = {"step": self.step, "best": self.best, "photographs": self.sets.digest}
            run_folder.save_checkpoint(self.config, {**state, "learner": self.learner.state()})
        self.place.wait()


class _Window:
    """The steps since the last entry of the curve."""

    def __init__(self, place: Place) -> None:
        self.place, self.left_out = place, 0
        self._begin()

    def _begin(self) -> None:
        self.rows: list[Tensor] = []
        self.samples, self.skipped, self.started = 0, 0, time.perf_counter()

    def resume(self) -> None:
        """Begin to measure the rate anew."""
        self.started = time.perf_counter()

    def add(self, step: int, scalars: dict[str, Tensor], samples: int) -> None:
        """Take in one step.

        Raises:
            TrainingError: twenty steps in a row had no finite gradient.
        """
        self.names, self.samples = list(scalars), self.samples + samples
        if bool(scalars["grad_norm"].isfinite()):
            self.rows.append(torch.stack([value.float() for value in scalars.values()]))
            self.left_out = 0
            return
        self.skipped, self.left_out = self.skipped + 1, self.left_out + 1
        if self.left_out >= _PATIENCE:
            raise TrainingError(
                f"the last {_PATIENCE} steps up to {step} had no finite gradient. The checkpoint before them is kept; "
                "lower lr, or use float32."
            )

    def close(self) -> dict[str, float]:
        """Return the means over the steps that moved and over the processes, and begin the next window."""
        means = torch.stack(self.rows).mean(dim=0) if self.rows else torch.full((len(self.names),), math.nan)
        values = dict(zip(self.names, self.place.mean(means).tolist(), strict=True))
        rate = self.samples * self.place.world / max(1e-9, time.perf_counter() - self.started)
        values |= {"skipped": self.skipped, "samples_per_s": round(rate, 2)}
        self._begin()
        return values
