"""Randomness as a function of (seed, key, purpose): nothing else decides a draw.

Two levels, both counter-based, so that no draw depends on the batch, the worker or the order of work:

* :func:`sample_seed` hashes the dataset's seed, a sample's key and a purpose to 63 bits; :func:`scalar_rng` opens a
  NumPy generator on it for the handful of scalars that a sample needs.
* :func:`random_planes` and :func:`random_pairs` draw per-pixel noise on any device with Threefry-2x32-13 (Salmon et
  al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), in 32-bit integer arithmetic that is the same on every
  device, followed by Box-Muller for normals. Only the last bit of ``log``/``cos`` can differ between devices or
  compilers.

:data:`RNG_VERSION` names the scheme and stands in every noise record; it changes whenever a stored seed would replay
differently.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

RNG_VERSION = "threefry2x32-13/box-muller/1"

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_SEED_BITS = 63

Law = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""Makes two fields of values of two words of 32 random bits each."""

# Eager CPU draws run in blocks that stay in a core's second-level cache, this many values a thread: the rounds over a
# whole batch would each cross memory, and smaller blocks would be split over threads that then wait for each other.
_EAGER_BLOCK = 1 << 16


def sample_seed(seed: int, key: str, purpose: str) -> int:
    """Hash ``(seed, key, purpose)`` to an integer in [0, 2**63).

    The parts are length-prefixed, so no two different triples share an encoding.

    >>> sample_seed(0, "a/b", "noise") == sample_seed(0, "a/b", "noise")
    True
    """
    digest = hashlib.blake2b(digest_size=8, person=b"rawsynth-seed")
    for part in (str(seed), key, purpose):
        encoded = part.encode("utf-8", "surrogatepass")
        digest.update(len(encoded).to_bytes(8, "little") + encoded)
    return int.from_bytes(digest.digest(), "little") >> (64 - _SEED_BITS)


def scalar_rng(seed: int) -> np.random.Generator:
    """Open the NumPy generator (Philox) of one sample's scalars."""
    return np.random.Generator(np.random.Philox(key=seed))


def draw_seeds(n: int) -> list[int]:
    """Draw ``n`` seeds in [0, 2**63) from torch's global CPU generator, as an unseeded transform does."""
    drawn: list[int] = torch.randint(0, 2**_SEED_BITS - 1, (n,), dtype=torch.int64).tolist()
    return drawn


def seed_words(seeds: Sequence[int], device: torch.device) -> Tensor:
    """Split 63-bit seeds into the generator's key words.

    Returns:
        ``(B, 2)`` int32: the low and the high 32 bits of each seed.
    """
    words = np.asarray(seeds, dtype=np.int64).view(np.int32).reshape(-1, 2)
    return torch.from_numpy(words.copy()).to(device, non_blocking=True)


def threefry2x32(
    key0: Tensor, key1: Tensor, counter0: Tensor, counter1: Tensor, rounds: int = 13
) -> tuple[Tensor, Tensor]:
    """Threefry-2x32 (Salmon et al. 2011), on int32 tensors that wrap as uint32 does.

    Args:
        key0, key1: int32, the key words; broadcast against the counters.
        counter0, counter1: int32, the counter words.
        rounds: 13 is the fewest that passes BigCrush and what the package draws with; 20 is the authors' default.

    Returns:
        Two int32 tensors of 32 random bits each.
    """
    keys = (key0, key1, key0 ^ key1 ^ _PARITY)
    x0, x1 = counter0 + key0, counter1 + key1
    for index in range(rounds):
        rotation = _ROTATIONS[index % 8]
        # In place, because eager rounds are bound by memory; `>>` keeps the sign, the mask takes it off again.
        x0 += x1
        low = x1 >> (32 - rotation)
        low &= (1 << rotation) - 1
        # The left half of the rotation: a product, because a sum takes one along in the same pass.
        x1 = low.add_(x1, alpha=1 << rotation)
        x1 ^= x0
        if index % 4 == 3:
            group = index // 4 + 1
            x0 += keys[group % 3]
            x1 += keys[(group + 1) % 3] + group
    return x0, x1


def box_muller(bits0: Tensor, bits1: Tensor) -> tuple[Tensor, Tensor]:
    """Two independent standard normals from two words of 32 random bits (Box and Muller 1958).

    The radius comes from the magnitude of the signed word, where float32 resolves the integers next to zero: the tail
    is exact out to 6.66 sigma and ``log(0)`` cannot occur.

    Returns:
        Two float32 tensors of the words' shape.
    """
    uniform = bits0.to(torch.float32).abs_().add_(0.5).mul_(2.0**-31)
    radius = uniform.log_().mul_(-2.0).sqrt_()
    angle = bits1.to(torch.float32).mul_(2.0 * math.pi * 2.0**-32)
    return torch.cos(angle).mul_(radius), angle.sin_().mul_(radius)


def uniform_from_bits(bits0: Tensor, bits1: Tensor) -> tuple[Tensor, Tensor]:
    """Two uniforms on [-1/2, 1/2] from two words of 32 random bits, symmetric about 0.

    Returns:
        Two float32 tensors of the words' shape.
    """
    return (bits0.to(torch.float32) + 0.5) * 2.0**-32, (bits1.to(torch.float32) + 0.5) * 2.0**-32


def normal_pairs(words: Tensor, count: int, stream: int = 0) -> tuple[Tensor, Tensor]:
    """Draw two independent fields of standard normals a sample; see :func:`random_pairs`."""
    return random_pairs(words, count, stream, law=box_muller)


def normal_planes(words: Tensor, height: int, width: int, stream: int = 0) -> Tensor:
    """Draw ``(B, 4, height, width)`` float32 standard normals; see :func:`random_planes`."""
    return random_planes(words, height, width, stream=stream)


def random_pairs(words: Tensor, count: int, stream: int, *, law: Law = box_muller) -> tuple[Tensor, Tensor]:
    """Draw two independent fields a sample.

    Args:
        words: ``(B, 2)`` int32 key words, from :func:`seed_words`; the fields live on its device.
        count: how many values a sample and field.
        stream: tells apart the draws that one seed serves.
        law: what makes values of random bits, element by element.

    Returns:
        Two ``(B, count)`` float32 tensors. A value depends on its sample's words, its index and the stream only.
    """
    if _draws_at_once(words):
        return _draw(words, 0, count, stream, law)
    first = torch.empty((words.shape[0], count), dtype=torch.float32)
    second = torch.empty_like(first)
    _draw_in_blocks(words, stream, law, (first, second))
    return first, second


def random_planes(words: Tensor, height: int, width: int, *, stream: int, law: Law = box_muller) -> Tensor:
    """Draw ``(B, 4, height, width)`` float32 values: :func:`random_pairs`' first field in planes 0 and 1, then the
    second.
    """
    count = 2 * height * width
    if _draws_at_once(words):
        return torch.cat(_draw(words, 0, count, stream, law), dim=1).view(-1, 4, height, width)
    planes = torch.empty((words.shape[0], 2, count), dtype=torch.float32)
    _draw_in_blocks(words, stream, law, (planes[:, 0], planes[:, 1]))
    return planes.view(-1, 4, height, width)


def eager_block() -> int:
    """How many values an eager CPU operation should take at once."""
    return _EAGER_BLOCK * torch.get_num_threads()


def _draws_at_once(words: Tensor) -> bool:
    return torch.compiler.is_compiling() or words.device.type != "cpu"


def _draw(words: Tensor, start: int, stop: int, stream: int, law: Law) -> tuple[Tensor, Tensor]:
    counter = torch.arange(start, stop, dtype=torch.int32, device=words.device)[None]
    return law(*threefry2x32(words[:, :1], words[:, 1:], counter, torch.full_like(counter, stream)))


def _draw_in_blocks(words: Tensor, stream: int, law: Law, fields: tuple[Tensor, Tensor]) -> None:
    count = fields[0].shape[1]
    step = max(1, eager_block() // words.shape[0])
    for start in range(0, count, step):
        block = slice(start, min(start + step, count))
        fields[0][:, block], fields[1][:, block] = law(*_eager_threefry(words, block.start, block.stop, stream))


def _eager_threefry(words: Tensor, start: int, stop: int, stream: int) -> tuple[Tensor, Tensor]:
    """:func:`threefry2x32` of the counters ``(start..stop, stream)``, the same bits in fewer passes.

    NumPy shifts unsigned words in one pass, where torch needs a second to take the sign off; torch rotates and adds in
    one pass, which NumPy cannot. Both work on the same memory. The first round is of numbers, not of fields, for the
    half that the counter does not reach.
    """
    key0, key1 = words.numpy().view(np.uint32).T[..., None]
    keys = (key0, key1, key0 ^ key1 ^ np.uint32(_PARITY))
    first = key1 + np.uint32(stream)
    x0 = np.arange(start, stop, dtype=np.uint32)[None] + (key0 + first)
    x1 = x0 ^ (first << np.uint32(_ROTATIONS[0]) | first >> np.uint32(32 - _ROTATIONS[0]))
    low = np.empty_like(x1)
    for index in range(1, 13):
        rotation = _ROTATIONS[index % 8]
        np.add(x0, x1, out=x0)
        np.right_shift(x1, np.uint32(32 - rotation), out=low)
        _signed(low).add_(_signed(x1), alpha=1 << rotation)
        np.bitwise_xor(low, x0, out=x1)
        if index % 4 == 3:
            group = index // 4 + 1
            np.add(x0, keys[group % 3], out=x0)
            np.add(x1, keys[(group + 1) % 3] + np.uint32(group), out=x1)
    return _signed(x0), _signed(x1)


def _signed(words: NDArray[np.uint32]) -> Tensor:
    return torch.from_numpy(words.view(np.int32))
