"""Damage, drawn from a seed: what disks, networks, broken tools and ill will do to bytes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

ODD_NUMBERS = (0, 1, 2, 3, 7, 127, 128, 255, 256, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**63)
"""Numbers at which sizes, counts and offsets go wrong."""


def mutate(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """Damage bytes in one to four ways; ``other`` is a file to splice with."""
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_KINDS)(data, rng, other)
    return data


def odd_number(data: bytes, rng: Random, other: bytes = b"") -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes with a number that goes wrong easily, in either byte order."""
    width = min(rng.choice((1, 2, 4, 8)), len(data))
    at = _place(data, rng, width)
    number = rng.choice(ODD_NUMBERS) % 256**width if width else 0
    return data[:at] + number.to_bytes(width, rng.choice(("little", "big"))) + data[at + width :]


def _flipped(data: bytes, rng: Random, other: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64)) if data else 0):
        changed[_place(data, rng, 1)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(data: bytes, rng: Random, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _inserted(data: bytes, rng: Random, other: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.randbytes(rng.choice((1, 3, 16, 512, 2000))) + data[at:]


def _removed(data: bytes, rng: Random, other: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + data[end:]


def _doubled(data: bytes, rng: Random, other: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:end] * rng.choice((1, 1, 2)) + data[start:]


def _zeroed(data: bytes, rng: Random, other: bytes) -> bytes:
    start, end = _block(data, rng)
    return data[:start] + bytes([rng.choice((0, 0, 255))]) * (end - start) + data[end:]


def _spliced(data: bytes, rng: Random, other: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


def _place(data: bytes, rng: Random, width: int) -> int:
    """Half of the time near the start, where headers are."""
    room = max(len(data) - width, 0)
    return rng.randrange(min(room, 200) + 1) if rng.random() < 0.5 else min(rng.randrange(room + 1), room)


def _block(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(start + rng.choice((1, 4, 64, 512, 1024, 4096)), len(data))


_KINDS: tuple[Callable[[bytes, Random, bytes], bytes], ...] = (
    odd_number, odd_number, _flipped, _flipped, _cut, _inserted, _removed, _doubled, _zeroed, _spliced,
)  # fmt: skip
