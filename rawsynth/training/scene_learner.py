"""One step of learning scene-linear light, in either stage."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from rawsynth.methods.global_inverse import expand
from rawsynth.methods.rst_isp_net_small import SceneLinearNet
from rawsynth.seeding import sample_seed
from rawsynth.training.distributed import Place
from rawsynth.training.optimization import Average, learning_rate, set_learning_rate
from rawsynth.training.scene_config import LocalStageConfig, StageConfig
from rawsynth.training.scene_loss import scene_loss, sensor_response
from rawsynth.training.surrogates import RenderedBatch

_SCORES = ("absolute_db", "fitted_db")


def scene_terms(
    network: SceneLinearNet, batch: RenderedBatch, *, points: Tensor | None = None, global_loss: float = 1.0
) -> dict[str, Tensor]:
    """Judge a network on a batch: its global part on frames, and all of it on crops where the batch has some.

    Args:
        network: to be judged.
        batch: on its device.
        points: ``(N,)`` indices of the frames' pixels that count; all of them if absent.
        global_loss: weight of the global part's loss beside that of the crops.

    Returns:
        ``loss``, ``absolute_db`` and ``fitted_db`` (see :func:`scene_loss`); the latter two of the crops if there are.
    """
    frame = batch.frame_srgb.float() / 255
    style = network.encode_style(frame)
    srgb, raw = frame, batch.frame_raw
    if points is not None:
        srgb, raw = (x.flatten(2)[:, :, points].unsqueeze(3) for x in (srgb, raw))
    terms = _judged(expand(network.globally(srgb, style.numbers).float()), raw, batch)
    if batch.crop_srgb is None or batch.crop_raw is None:
        return terms
    crops = _judged(network.decode(batch.crop_srgb.float() / 255, style), batch.crop_raw, batch)
    return {**crops, "loss": crops["loss"] + global_loss * terms["loss"]}


def _judged(light: Tensor, raw: Tensor, batch: RenderedBatch) -> dict[str, Tensor]:
    with torch.autocast(light.device.type, enabled=False):
        return scene_loss(sensor_response(light.float(), batch.cam_from_srgb, batch.white_balance), raw)


class SceneLearner:
    """A network, what moves it in one stage, and its running average.

    Args:
        network: to be trained; on the device after this.
        stage: of the local part if it is a :class:`LocalStageConfig`, which then moves at the full rate, the rest
            slower; of all but the local part otherwise.
        points: squared, the number of pixels a frame that the global part learns from.
        seed: decides these.
        place, dtype: of the computation.
    """

    def __init__(
        self, network: SceneLinearNet, stage: StageConfig, *, points: int, seed: int, place: Place, dtype: torch.dtype
    ) -> None:
        self.stage, self.place, self.seed, self.dtype = stage, place, seed, dtype
        self.points = points * points
        self.network = network.to(place.device).train()
        self.average = Average(self.network, stage.ema)
        rest = [*network.style.parameters(), *network.globally.parameters()]
        groups: list[dict[str, Any]] = [{"params": rest, "factor": 1.0}]
        if isinstance(stage, LocalStageConfig):
            local = [] if network.locally is None else list(network.locally.parameters())
            groups = [{"params": local, "factor": 1.0}, {"params": rest, "factor": stage.rest_lr}]
        self.moved = [p for group in groups for p in group["params"]]
        self.optimizer = torch.optim.AdamW(
            [group for group in groups if group["params"]],
            lr=stage.lr, betas=stage.betas, weight_decay=stage.weight_decay, foreach=True,
        )  # fmt: skip

    def step(self, batch: RenderedBatch, step: int) -> dict[str, Tensor]:
        """Learn from one batch; a gradient that is not finite leaves the parameters as they are.

        Args:
            batch: on the device.
            step: its number in the stage, counted from 0.

        Returns:
            Scalars for the loss curve: ``loss``, ``absolute_db``, ``fitted_db``, ``grad_norm``; the last is not finite
            where nothing moved.
        """
        set_learning_rate(self.optimizer, learning_rate(self.stage, step))
        weight = self.stage.global_loss if isinstance(self.stage, LocalStageConfig) else 1.0
        points = self._points(batch.frame_raw[0, 0].numel(), step).to(self.place.device)
        with self.autocast():
            terms = scene_terms(self.network, batch, points=points, global_loss=weight)
        self.optimizer.zero_grad(set_to_none=True)
        terms["loss"].backward()  # type: ignore[no-untyped-call]
        norm = self._norm()
        if bool(norm.isfinite()):
            self.optimizer.step()
        self.average.update(self.network, step)
        return {**{name: terms[name].detach() for name in ("loss", *_SCORES)}, "grad_norm": norm}

    def autocast(self) -> torch.autocast:
        """The arithmetic of the stage."""
        return torch.autocast(self.place.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _points(self, count: int, step: int) -> Tensor:
        generator = torch.Generator().manual_seed(sample_seed(self.seed, str(step), "points"))
        return torch.randint(count, (self.points,), generator=generator)

    def _norm(self) -> Tensor:
        """Average the gradients over the processes and limit them; returns their norm before that."""
        if self.place.world > 1:
            for parameter in self.moved:
                if parameter.grad is not None:
                    parameter.grad = self.place.mean(parameter.grad)
        return nn.utils.clip_grad_norm_(self.moved, self.stage.clip or float("inf"))

    def state(self) -> dict[str, Any]:
        """Return what :meth:`restore` goes on from."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a state of the same stage."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])


@torch.no_grad()
def validate_scenes(learner: SceneLearner, batches: list[RenderedBatch]) -> dict[str, float]:
    """Return the means of ``absolute_db`` and ``fitted_db`` of the averaged network over batches, by their samples."""
    sums, count = dict.fromkeys(_SCORES, 0.0), 0
    for batch in batches:
        with learner.autocast():
            terms = scene_terms(learner.average.network, batch.to(learner.place.device))
        size = len(batch.frame_srgb)
        count += size
        for name in _SCORES:
            sums[name] += float(terms[name]) * size
    return {name: total / count for name, total in sums.items()}
