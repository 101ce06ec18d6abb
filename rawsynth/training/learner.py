"""One step of learning: the network's, and before it the discriminator's where the loss has one."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from rawsynth.methods.learned import LearnedMethod, StyledNetwork
from rawsynth.seeding import sample_seed
from rawsynth.training.config import TrainConfig
from rawsynth.training.data import TrainBatch
from rawsynth.training.discriminator import (
    CHANNELS,
    WaveletDiscriminator,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
)
from rawsynth.training.distributed import Place
from rawsynth.training.losses import ReconstructionLoss
from rawsynth.training.optimization import Average, learning_rate, make_optimizer, set_learning_rate


class Learner:
    """A network, what moves it, and what it is judged by.

    Attributes:
        network: what is trained.
        average: its running average, which is validated and kept.
    """

    def __init__(self, config: TrainConfig, method: type[LearnedMethod], network: StyledNetwork, place: Place) -> None:
        self.config, self.method, self.place = config, method, place
        self.weights = config.loss.weights()
        device = place.device
        self.network = network.to(device).train()
        self.average = Average(self.network, config.optimizer.ema)
        self.optimizer = make_optimizer(self.network, config.optimizer)
        self.loss = ReconstructionLoss(self.weights)
        self.scaler = torch.amp.GradScaler(device.type, enabled=config.compute.dtype == "float16")
        self._wrapped = place.wrap(self.network)
        self._run: Any = torch.compile(self._wrapped) if config.compute.compile else self._wrapped
        self.critic = _Critic(config, self.weights.gradient_penalty, place) if self.weights.adversarial else None

    def step(self, batch: TrainBatch, step: int) -> dict[str, Tensor]:
        """Learn from one batch.

        Args:
            batch: on the device.
            step: its number, counted from 0.

        Returns:
            Scalars for the loss curve, on the device: ``loss``, its terms, ``grad_norm``.
        """
        set_learning_rate(self.optimizer, learning_rate(self.config.optimizer, step))
        with self._autocast():
            result = self._run(batch.srgb.float() / 255.0)
        total, scalars = self.loss(result, batch.raw)
        if self.critic is not None:
            scalars |= self.critic.learn(batch.raw, result.detach(), step, self._autocast)
            with self._autocast():
                verdict = generator_loss(self.critic.judge(result))
            scalars["adversarial"] = verdict.detach()
            total = total + self.weights.adversarial * verdict
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(total).backward()
        scalars["grad_norm"] = self._move()
        self.average.update(self.network, step)
        return {"loss": total.detach(), **scalars}

    def _move(self) -> Tensor:
        self.scaler.unscale_(self.optimizer)
        clip = self.config.optimizer.clip
        trained = [p for p in self.network.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(trained, clip or float("inf"))
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return norm.detach()

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = getattr(torch, self.config.compute.dtype)
        return torch.autocast(self.place.device.type, dtype, enabled=dtype != torch.float32)

    def state(self) -> dict[str, Any]:
        """Return all that the next step depends on."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }
        return state if self.critic is None else {**state, "critic": self.critic.state()}

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state that :meth:`state` returned."""
        self.network.load_state_dict(state["network"])
        self.average.network.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        if self.critic is not None:
            self.critic.restore(state["critic"])


class _Critic:
    """The wavelet discriminator with its own optimiser (WGAN-GP)."""

    def __init__(self, config: TrainConfig, penalty: float, place: Place) -> None:
        self.config, self.penalty, self.place = config, penalty, place
        with torch.random.fork_rng():
            torch.manual_seed(sample_seed(config.seed, "discriminator", "init"))
            channels = CHANNELS[config.critic.channels]
            self.network = WaveletDiscriminator(channels).to(place.device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.critic.lr, betas=(0.5, 0.999))

    def judge(self, result: Tensor) -> Tensor:
        """Score results for the network's sake: gradients flow through, not into, the discriminator."""
        self.network.requires_grad_(False)
        scores: Tensor = self.network(result)
        return scores

    def learn(self, real: Tensor, fake: Tensor, step: int, autocast: Any) -> dict[str, Tensor]:
        """Take the discriminator's steps on one batch."""
        self.network.requires_grad_(True)
        loss = penalty = torch.zeros(())
        for k in range(self.config.critic.steps):
            mix = self._mix(len(real), f"{step}/{k}/{self.place.rank}").to(real.device, non_blocking=True)
            with autocast():
                loss = discriminator_loss(self.network(real), self.network(fake))
            penalty = gradient_penalty(self.network, real, fake=fake, mix=mix)
            self.optimizer.zero_grad(set_to_none=True)
            torch.autograd.backward(loss + self.penalty * penalty)
            for parameter in self.network.parameters():
                if parameter.grad is not None:
                    # By hand: several forward passes and a gradient of a gradient precede one backward pass.
                    parameter.grad = self.place.mean(parameter.grad)
            self.optimizer.step()
        return {"critic": loss.detach(), "gradient_penalty": penalty.detach()}

    def _mix(self, count: int, name: str) -> Tensor:
        generator = torch.Generator().manual_seed(sample_seed(self.config.seed, name, "mix"))
        return torch.rand(count, 1, 1, 1, generator=generator)

    def state(self) -> dict[str, Any]:
        return {"network": self.network.state_dict(), "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
