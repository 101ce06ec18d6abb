"""The descriptor file of EMVA 1288 data sets: which images belong to which exposure.

A text file, one statement a line; ``#`` begins a comment::

    v 3.0                  release of the standard
    n 12 640 480           bits, width and height of the images
    b 40000.0 120.0        bright: exposure time in ns, mean photons a pixel; its images follow
    i images/b_000_snap_001.png
    i images/b_000_snap_002.png
    d 40000.0              dark: exposure time in ns; its images follow
    i images/d_000_snap_001.png
    i images/d_000_snap_002.png

Paths are relative to the descriptor, with either kind of slash. An exposure with two images gives a point of the
photon-transfer curve, one with more is a static series (EMVA 1288 release 3.1, sections 6 and 8); in a file without
any exposure of two images, all are points of the curve.
"""

from __future__ import annotations

from dataclasses import replace

from rawsynth import storage
from rawsynth.calibration.listing import Listing, Shots
from rawsynth.errors import UsageError

_NANOSECOND = 1e-9
_FIELDS = {"v": 1, "n": 3, "b": 2, "d": 1, "i": 1}


def read_descriptor(url: str) -> Listing:
    """Read an EMVA 1288 descriptor.

    Raises:
        UsageError: a line that is no statement of the format; the message names it.
        InputAccessError: the file cannot be reached.
    """
    data = storage.read_bytes(url)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        # Descriptors of Windows programs; the format itself is ASCII, only file names may hold more.
        text = data.decode("cp1252", "replace")
    folder = url.rpartition("/")[0]
    lines = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    statements = [(f"{url}, line {number}", line) for number, line in lines if line and not line.startswith("#")]
    return _listing(statements, folder, url)


def _listing(statements: list[tuple[str, str]], folder: str, url: str) -> Listing:
    shots: list[Shots] = []
    size: list[int] = []
    for where, line in statements:
        letter, values = _statement(where, line)
        if letter == "n":
            if size:
                raise UsageError(f"{where}: the images' format was stated before; one descriptor holds one format.")
            size = [int(value) for value in _numbers(where, line, values)]
        elif letter in "bd":
            exposure_ns, *rest = _numbers(where, line, values)
            photons = rest[0] if rest else None
            label = f"{'dark' if letter == 'd' else 'bright'} {exposure_ns / 1e6:g} ms"
            shots.append(Shots(letter == "d", (), label, None, exposure_ns * _NANOSECOND, photons))
        elif letter == "i":
            if not shots:
                raise UsageError(f"{where}: an image before any exposure; begin with 'b EXPOSURE_NS PHOTONS'.")
            path = storage.join(folder, values[0].replace("\\", "/"))
            shots[-1] = replace(shots[-1], urls=(*shots[-1].urls, path))
    if not shots:
        raise UsageError(
            f"{url} lists no exposure; an EMVA 1288 descriptor has lines 'b EXPOSURE_NS PHOTONS', 'd EXPOSURE_NS' and "
            "'i IMAGE'. Give a descriptor, or the folder that holds the captures."
        )
    bits, width, height = size or (None, None, None)
    return Listing(_static_marked(shots), bits, width, height)


def _statement(where: str, line: str) -> tuple[str, list[str]]:
    letter, *rest = line.split(maxsplit=1)
    if letter not in _FIELDS:
        raise UsageError(
            f"{where}: no statement of an EMVA 1288 descriptor (v, n, b, d or i): {line[:24]!r}. Give a descriptor, or "
            "a folder with flat/ and dark/."
        )
    values = rest if letter == "i" else rest[0].split() if rest else []
    if len(values) != _FIELDS[letter]:
        raise UsageError(f"{where}: '{letter}' takes {_FIELDS[letter]} values; got {line[:80]!r}.")
    return letter, values


def _numbers(where: str, line: str, values: list[str]) -> list[float]:
    """Read numbers; some programs write them with a comma."""
    try:
        numbers = [float(value.replace(",", ".")) for value in values]
    except ValueError as error:
        raise UsageError(f"{where}: wanted numbers, got {line[:80]!r}.") from error
    if not all(0 <= number < float("inf") for number in numbers):
        raise UsageError(f"{where}: wanted numbers of 0 or more, got {line[:80]!r}.")
    return numbers


def _static_marked(shots: list[Shots]) -> tuple[Shots, ...]:
    if not any(len(each.urls) == 2 for each in shots):
        return tuple(shots)
    return tuple(replace(each, static=len(each.urls) > 2) for each in shots)
