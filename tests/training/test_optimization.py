"""Learning rates against closed forms, the average against a loop in float64, and who is in which group."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.learned import StyledNetwork
from rawsynth.methods.rst_isp_layers import EqualConv2d
from rawsynth.training.config import OptimizerConfig
from rawsynth.training.optimization import Average, is_style, learning_rate, make_optimizer, set_learning_rate

LEARNED = {name: method for name, method in METHODS.items() if issubclass(method, LearnedMethod)}
PRESETS = [(name, preset) for name, method in LEARNED.items() for preset in method.presets]


def rates(**fields: Any) -> list[float]:
    config = OptimizerConfig(**fields)
    return [learning_rate(config, step) for step in range(config.steps + 1)]


# ---- learning rate ----


@given(steps=st.integers(1, 60), warmup=st.integers(0, 30), lr=st.floats(1e-6, 10), final=st.floats(0, 1))
def test_a_warm_up_and_half_a_cosine(steps: int, warmup: int, lr: float, final: float) -> None:
    found = rates(steps=steps, warmup=warmup, lr=lr, final_lr=final)
    for step, rate in enumerate(found):
        if step < warmup:
            expected = lr * (step + 1) / (warmup + 1)
        else:
            turn = math.pi * (step - warmup) / max(1, steps - warmup)
            expected = final * lr + (1 - final) * lr * math.cos(turn / 2) ** 2
        assert rate == pytest.approx(expected, rel=1e-9, abs=1e-15 * lr)
    rise, fall = found[: warmup + 1], found[warmup:]
    assert rise == sorted(rise) and fall == sorted(fall, reverse=True)
    assert all(0 <= rate <= lr for rate in found)
    if warmup < steps:
        assert found[warmup] == lr and found[steps] == pytest.approx(final * lr, abs=1e-15 * lr)


@given(steps=st.integers(1, 60), warmup=st.integers(0, 30))
def test_a_constant_after_the_warm_up(steps: int, warmup: int) -> None:
    found = rates(steps=steps, warmup=warmup, lr=0.5, schedule="constant")
    assert found[warmup:] == [0.5] * len(found[warmup:]) and len(set(found[: warmup + 1])) == len(found[: warmup + 1])


def test_no_step_is_wasted() -> None:
    """Neither the first nor the last update has a rate of 0, whatever the schedule."""
    assert all(rate > 0 for rate in rates(steps=20, warmup=5, lr=1.0)[:20])
    assert rates(steps=4, warmup=100, lr=1.0)[:4] == [(k + 1) / 101 for k in range(4)]


# ---- groups ----


def network_of(name: str, preset: str) -> StyledNetwork:
    with torch.device("meta"):
        return LEARNED[name].build({"preset": preset})


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_each_trainable_parameter_is_in_one_group(name: str, preset: str) -> None:
    network = network_of(name, preset)
    groups = make_optimizer(network, OptimizerConfig(steps=1)).param_groups
    held = [id(p) for group in groups for p in group["params"]]
    assert len(held) == len(set(held))
    assert set(held) == {id(p) for p in network.parameters() if p.requires_grad}


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_the_style_group_is_every_linear_layer(name: str, preset: str) -> None:
    """They alone are not equalised, so that the rate that suits the others need not suit them."""
    network = network_of(name, preset)
    groups = make_optimizer(network, OptimizerConfig(steps=1, style_lr=0.25)).param_groups
    style = {id(p) for group in groups if group["factor"] == 0.25 for p in group["params"]}
    linear = {id(p) for m in network.modules() if isinstance(m, nn.Linear) for p in m.parameters() if p.requires_grad}
    equalised = {id(p) for m in network.modules() if isinstance(m, EqualConv2d) for p in m.parameters()}
    assert style == linear and not style & equalised
    assert bool(style) == (name == "rst_isp_net")


@pytest.mark.parametrize(
    ("name", "style"),
    [
        ("encoder.blocks.0.style.layers.0.weight", True),
        ("encoder.extractor.heads.4.bias", True),
        ("encoder.blocks.0.conv_a.weight", False),
        ("decoder.0.stylish.weight", False),
        ("restyle.0.weight", False),
    ],
)
def test_names_of_the_style_path(name: str, style: bool) -> None:
    assert is_style(name) is style


def test_frozen_parameters_are_in_no_group_and_stay() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    network[0].requires_grad_(False)
    frozen = network[0].weight.clone()
    optimizer = make_optimizer(network, OptimizerConfig(steps=1, lr=1.0))
    network(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert [len(group["params"]) for group in optimizer.param_groups] == [2]
    assert torch.equal(network[0].weight, frozen)


def test_rates_and_betas_reach_adam() -> None:
    network = LEARNED["rst_isp_net"].build({"preset": "tiny", "width": 2})
    optimizer = make_optimizer(network, OptimizerConfig(steps=1, lr=0.5, style_lr=0.25, betas=(0.5, 0.75)))
    for lr in (0.5, 2.0):
        set_learning_rate(optimizer, lr)
        assert sorted((g["factor"], g["lr"]) for g in optimizer.param_groups) == [(0.25, 0.25 * lr), (1.0, lr)]
    assert {g["betas"] for g in optimizer.param_groups} == {(0.5, 0.75)}


def test_adam_is_adam() -> None:
    """Three updates of one value by Kingma and Ba's algorithm 1, in float64."""
    weight = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    optimizer = make_optimizer(weight, OptimizerConfig(steps=3, lr=0.1, betas=(0.5, 0.75)))
    x, m, v = weight.weight.item(), 0.0, 0.0
    for t, gradient in enumerate((2.0, -1.0, 0.5), start=1):
        weight.weight.grad = torch.full((1, 1), gradient, dtype=torch.float64)
        optimizer.step()
        m, v = 0.5 * m + 0.5 * gradient, 0.75 * v + 0.25 * gradient**2
        x -= 0.1 * (m / (1 - 0.5**t)) / (math.sqrt(v / (1 - 0.75**t)) + 1e-8)
        assert weight.weight.item() == pytest.approx(x, rel=1e-12)


# ---- average ----


class Walking(nn.Module):
    """A network with a parameter, a frozen one and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 2))
        self.frozen = nn.Parameter(torch.zeros(2), requires_grad=False)
        self.register_buffer("running", torch.zeros(4))

    def walk(self, step: int) -> None:
        generator = torch.Generator().manual_seed(step)
        with torch.no_grad():
            for tensor in (self.weight, self.frozen, self.running):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))


@settings(max_examples=30)
@given(decay=st.sampled_from([0.5, 0.9, 0.99, 0.999]), steps=st.integers(1, 40))
def test_the_average_is_a_loop_in_float64(decay: float, steps: int) -> None:
    network = Walking()
    network.walk(1000)
    average = Average(network, decay)
    names = ("weight", "frozen", "running")
    expected = {name: getattr(network, name).detach().double() for name in names}
    for n in range(steps):
        network.walk(n)
        average.update(network, n)
        d = min(decay, (1 + n) / (10 + n))
        expected = {name: d * expected[name] + (1 - d) * getattr(network, name).detach().double() for name in names}
    for name in names:
        assert torch.allclose(getattr(average.network, name).double(), expected[name], atol=1e-6)


def test_without_decay_the_average_is_the_network_to_the_bit() -> None:
    network = Walking()
    average = Average(network, 0.0)
    for n in (0, 5, 10**6):
        network.walk(n)
        average.update(network, n)
        assert all(torch.equal(average.network.state_dict()[k], v) for k, v in network.state_dict().items())


def test_the_average_of_a_network_that_stands_still_is_the_network() -> None:
    network = Walking()
    average = Average(network, 0.999)
    network.walk(3)
    for n in range(3000):
        average.update(network, n)
    assert torch.allclose(average.network.weight, network.weight, atol=1e-4)
    before = average.network.weight.clone()
    average.update(network, 10**9)
    assert (average.network.weight - before).abs().max() < 1e-6


def test_the_average_is_apart_from_the_network() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
    average = Average(network, 0.9)
    assert not average.network.training and network.training
    assert not any(p.requires_grad for p in average.network.parameters())
    assert all(p.requires_grad and p.grad is None for p in network.parameters())
    with torch.no_grad():
        network[0].weight.add_(1.0)
    assert not torch.equal(average.network[0].weight, network[0].weight)
