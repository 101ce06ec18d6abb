"""The discriminator's size and shape, its penalty where theory knows it, and that it learns to see blur."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from scipy import ndimage
from skimage import data
from torch import Tensor, nn

from rawsynth.errors import UsageError
from rawsynth.training.discriminator import (
    CHANNELS,
    WaveletDiscriminator,
    append_deviation,
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    resize,
    wavelet_pyramid,
)
from rawsynth.transforms import ReverseISP


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def tiny(channels: Sequence[int] = (4, 6), *, spectral: bool = True) -> WaveletDiscriminator:
    torch.manual_seed(0)
    return WaveletDiscriminator(channels, spectral=spectral)


@pytest.mark.parametrize("spectral", [True, False])
def test_the_published_size(spectral: bool) -> None:
    discriminator = WaveletDiscriminator(spectral=spectral)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 26_222_337
    assert discriminator.size == 256


@pytest.mark.parametrize("name", CHANNELS)
def test_sizes_by_hand(name: str) -> None:
    """Weights and one bias a channel; the first linear layer has a second one."""
    channels = CHANNELS[name]
    widths = [*channels, channels[-1]]
    last = widths[-1]
    expected = sum(17 * width for width in widths)
    expected += sum(9 * a * a + a + 9 * a * b + b for a, b in zip(widths, widths[1:], strict=False))
    expected += 9 * (last + 1) * last + last + 16 * last * last + 2 * last + last + 1
    discriminator = WaveletDiscriminator(channels, spectral=False)
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == expected


@pytest.mark.parametrize("channels", [(4,), (4, 6), (3, 5, 7)])
def test_bands_meet_the_trunk_down_to_4x4(channels: tuple[int, ...]) -> None:
    discriminator, seen = tiny(channels), []
    for entry in discriminator.entries:
        entry.register_forward_hook(lambda module, inputs, output: seen.append((inputs[0].shape, output.shape)))
    discriminator(torch.rand(2, 4, 40, 40, generator=rng()))
    sides = [4 * 2 ** (len(channels) - k) for k in range(len(channels) + 1)]
    assert [side for _, (*_, side) in seen] == sides
    assert seen == [
        ((2, 16, side, side), (2, width, side, side))
        for side, width in zip(sides, [*channels, channels[-1]], strict=True)
    ]


def test_the_pyramid_keeps_a_level_and_shows_detail_at_its_scale() -> None:
    level = torch.full((1, 4, 64, 64), 0.3)
    for bands in wavelet_pyramid(level, size=64, levels=3):
        inside = bands[:, :, 2:-2, 2:-2].reshape(4, 4, -1)  # the blur fades at the border
        assert torch.allclose(inside[:, 0], torch.tensor(0.6))
        assert inside[:, 1:].abs().max() < 1e-6
    columns = torch.arange(64)
    energies = []
    for period in (2, 4, 8):
        stripes = ((columns % period < period // 2) * 1.0).expand(1, 4, 64, 64)
        bands = wavelet_pyramid(stripes, size=64, levels=3)
        details = [band.reshape(1, 4, 4, *band.shape[2:])[:, :, 2, :, 2:-2].square().mean().item() for band in bands]
        energies.append(int(np.argmax(details)))
    assert energies == [0, 1, 2]


def test_the_pyramid_is_not_in_half_precision() -> None:
    raw = torch.rand(1, 4, 40, 40, generator=rng())
    exact = wavelet_pyramid(raw, size=64, levels=3)
    with torch.autocast("cpu", torch.bfloat16):
        cast = wavelet_pyramid(raw, size=64, levels=3)
    assert all(map(torch.equal, cast, exact))
    assert wavelet_pyramid(raw.bfloat16(), size=64, levels=3)[2].dtype == torch.float32


@pytest.mark.parametrize("size", [(32, 32), (16, 16), (33, 47), (252, 248), (8, 300), (1, 1)])
@pytest.mark.parametrize("batch", [1, 2, 3, 4, 5, 6, 7, 8])
def test_any_size_and_any_batch_has_a_score_a_sample(batch: int, size: tuple[int, int]) -> None:
    scores = tiny()(torch.rand(batch, 4, *size, generator=rng()))
    assert scores.shape == (batch,)
    assert torch.isfinite(scores).all()


def test_planes_are_resized_over_what_they_cover() -> None:
    lines = (torch.arange(64) % 4 == 1).float().expand(1, 4, 64, 64)
    assert resize(lines, 16)[..., 1:-1].sub(0.25).abs().max() < 0.07  # between two pixels it would be 0.5
    small = torch.rand(1, 4, 13, 17, generator=rng())
    enlarged = nn.functional.interpolate(small, (32, 32), mode="bilinear", align_corners=False)
    assert torch.allclose(resize(small, 32), enlarged, atol=1e-6)  # the published case, 252 to 256
    assert resize(enlarged, 32) is enlarged


def test_spectral_normalisation_bounds_every_weight() -> None:
    discriminator, plain = tiny((8, 8)), tiny((8, 8), spectral=False)
    raw = torch.rand(4, 4, 32, 32, generator=rng())
    for _ in range(60):  # one power iteration each
        discriminator(raw)

    def largest(net: WaveletDiscriminator) -> list[float]:
        layers = [layer for layer in net.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
        assert len(layers) == 3 + 4 + 1 + 2
        return [float(np.linalg.norm(layer.weight.detach().flatten(1).numpy(), 2)) for layer in layers]

    assert largest(discriminator) == pytest.approx([1.0] * 10, abs=1e-2)
    assert max(largest(plain)) > 1.2


@pytest.mark.parametrize(("batch", "group"), [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 3), (8, 4), (7, 7), (12, 4)])
def test_the_deviation_of_each_group(batch: int, group: int) -> None:
    features = torch.randn(batch, 3, 2, 2, generator=rng())
    appended = append_deviation(features)
    assert torch.equal(appended[:, :3], features)
    for sample in range(batch):
        mates = features[sample % (batch // group) :: batch // group]
        assert len(mates) == group
        expected = np.sqrt(mates.numpy().astype(np.float64).var(axis=0) + 1e-8).mean()
        assert np.allclose(appended[sample, 3].numpy(), expected, rtol=1e-5)


def test_the_deviation_survives_half_precision() -> None:
    features = 100 + torch.randn(4, 3, 4, 4, generator=rng())
    exact = append_deviation(features.bfloat16().float())[0, 3, 0, 0]
    assert append_deviation(features.bfloat16())[0, 3, 0, 0].item() == pytest.approx(exact.item(), rel=1e-2)


class Linear(nn.Module):
    """A critic whose gradient is its weight, everywhere."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, raw: Tensor) -> Tensor:
        assert raw.dtype == torch.float32
        return nn.functional.linear(raw.flatten(1), self.weight.flatten()[None]).squeeze(1) + 3


@pytest.mark.parametrize("length", [0.0, 0.25, 1.0, 3.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_the_penalty_of_a_linear_critic(length: float, dtype: torch.dtype) -> None:
    weight = torch.randn(4, 6, 6, generator=rng())
    critic = Linear(length * weight / weight.norm())
    real, fake = torch.rand(2, 3, 4, 6, 6, generator=rng(1)).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        penalty = gradient_penalty(critic, real, fake=fake, mix=torch.rand(3, 1, 1, 1, generator=rng(2)))
    penalty.backward()
    assert penalty.item() == pytest.approx((length - 1) ** 2, abs=1e-6)
    assert critic.weight.grad is not None
    expected = 2 * (length - 1) * weight / weight.norm() if length else torch.zeros_like(weight)
    assert torch.allclose(critic.weight.grad, expected, atol=1e-5)


def test_the_penalty_is_taken_at_each_sample_s_own_mix() -> None:
    """With D(x) = |x|**2 / 2 the gradient is the mix itself."""
    real, fake = torch.rand(2, 5, 4, 6, 6, generator=rng(1))
    mix = torch.tensor([0.0, 1.0, 0.5, 0.25, 0.9]).reshape(5, 1, 1, 1)
    norms = np.linalg.norm((mix * real + (1 - mix) * fake).flatten(1).numpy(), axis=1)
    penalty = gradient_penalty(lambda x: x.square().sum(dim=(1, 2, 3)) / 2, real, fake=fake, mix=mix)
    assert penalty.item() == pytest.approx(((norms - 1) ** 2).mean(), rel=1e-5)


def test_the_penalty_leaves_the_generator_alone() -> None:
    real, fake = torch.rand(2, 2, 4, 32, 32, generator=rng()).unbind(0)
    fake.requires_grad_()
    gradient_penalty(tiny(), real, fake=fake, mix=torch.rand(2, 1, 1, 1, generator=rng())).backward()
    assert fake.grad is None


@pytest.mark.parametrize("spectral", [True, False])
def test_second_derivatives_are_those_of_finite_differences(spectral: bool) -> None:
    discriminator = tiny((3,), spectral=spectral).double().eval()
    raw = torch.randn(2, 4, 19, 18, generator=rng(), dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(discriminator, (raw,), fast_mode=True)
    real, fake = raw.detach(), raw.detach().flip(0)
    mix = torch.rand(2, 1, 1, 1, generator=rng(1), dtype=torch.float64)

    def penalty() -> Tensor:
        return gradient_penalty(discriminator, real, fake=fake, mix=mix)

    penalty().backward()
    for parameter in discriminator.parameters():
        if parameter.grad is None:
            assert parameter.shape == (1,)  # the last bias moves no gradient
            continue
        direction = torch.randn(parameter.shape, generator=rng(3), dtype=torch.float64)
        sides = []
        for step in (1e-6, -2e-6):
            parameter.data += step * direction
            sides.append(penalty().item())
        parameter.data += 1e-6 * direction
        slope = (parameter.grad * direction).sum().item()
        assert (sides[0] - sides[1]) / 2e-6 == pytest.approx(slope, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("shapes", [((2, 4, 8, 8), (2, 4, 8, 6), (2, 1, 1, 1)), ((2, 4, 8, 8), (2, 4, 8, 8), (2,))])
def test_mixes_that_do_not_fit_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    real, fake, mix = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(UsageError, match="mix is"):
        gradient_penalty(Linear(torch.ones(4, 8, 8)), real, fake=fake, mix=mix)


def test_wasserstein_losses_by_hand() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([-1.0, 0.0, 4.0])
    assert discriminator_loss(real, fake).item() == pytest.approx(1.0 - 2.0)
    assert generator_loss(fake).item() == pytest.approx(-1.0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_scores_under_autocast_are_near_those_without(dtype: torch.dtype) -> None:
    discriminator, raw = tiny((8, 16), spectral=False).eval(), torch.rand(3, 4, 40, 36, generator=rng()).to(dtype)
    exact = discriminator(raw)
    with torch.autocast("cpu", torch.bfloat16):
        scores = discriminator(raw)
    assert scores.dtype == exact.dtype == torch.float32
    assert torch.allclose(scores, exact, atol=0.1 * exact.abs().max().item())
    assert discriminator.bfloat16()(raw).isfinite().all()


@pytest.mark.parametrize(
    "raw", [torch.zeros(2, 3, 32, 32), torch.zeros(4, 32, 32), torch.zeros(0, 4, 32, 32), torch.zeros(1, 4, 8, 8).int()]
)
def test_what_is_no_packed_raw_is_refused(raw: Tensor) -> None:
    with pytest.raises(UsageError, match="packed RAW"):
        tiny()(raw)


@pytest.mark.parametrize("channels", [(), (8, 0)])
def test_impossible_widths_are_refused(channels: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match="one positive width a level"):
        WaveletDiscriminator(channels)


def crops(name: str, count: int = 64, *, side: int = 32, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Sharp pieces of a photograph as packed RAW, and the same blurred."""
    pixels = torch.from_numpy(getattr(data, name)().copy()).permute(2, 0, 1)
    height, width = (length // 2 * 2 for length in pixels.shape[1:])
    packed = ReverseISP("unprocess", seed=0)(pixels[None, :, :height, :width], keys=[name]).packed
    blurred = torch.from_numpy(ndimage.gaussian_filter(packed.numpy(), (0, 0, 2.0, 2.0)))
    draws = np.random.default_rng(seed)
    corners = [(draws.integers(packed.shape[2] - side), draws.integers(packed.shape[3] - side)) for _ in range(count)]
    cuts = [[image[0, :, y : y + side, x : x + side] for y, x in corners] for image in (packed, blurred)]
    return torch.stack(cuts[0]), torch.stack(cuts[1])


def share_told_apart(critic: WaveletDiscriminator, name: str) -> float:
    with torch.no_grad():
        sharp, blurred = (critic(pieces) for pieces in crops(name, 96, seed=5))
    return (sharp > blurred).float().mean().item()


@pytest.mark.parametrize("spectral", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_tiny_critic_learns_to_see_blur(spectral: bool) -> None:
    """Trained on pieces of three photographs, it scores sharp above blurred in a fourth."""
    critic = tiny((8, 16), spectral=spectral)
    optimizer = torch.optim.Adam(critic.parameters(), lr=2e-3, betas=(0.5, 0.999))
    sharp, blurred = (torch.cat(kind) for kind in zip(*map(crops, ("rocket", "coffee", "chelsea")), strict=True))
    draws, losses = rng(1), []
    for _ in range(36):
        chosen = torch.randint(len(sharp), (8,), generator=draws)
        real, fake = sharp[chosen], blurred[chosen]
        penalty = gradient_penalty(critic, real, fake=fake, mix=torch.rand(8, 1, 1, 1, generator=draws))
        loss = discriminator_loss(critic(real), critic(fake)) + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in critic.parameters())
    assert np.mean(losses[-6:]) < np.mean(losses[:6]) - 0.2
    assert share_told_apart(critic.eval(), "astronaut") > 0.85
    assert share_told_apart(tiny((8, 16), spectral=spectral).eval(), "astronaut") < 0.7  # before training
