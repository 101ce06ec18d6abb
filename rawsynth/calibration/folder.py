"""A folder of captures: darks and flats by name, settings by metadata or by name.

* **Kind.** The file's name or a folder above it says ``dark`` (or ``bias``) or ``flat`` (or ``bright``); the part
  nearest to the file decides. Other files are left out, and said.
* **ISO and exposure time** come from the file (RAW and TIFF with EXIF), else from the path: ``iso800``; ``0.02s``,
  ``20ms``, ``500us``, ``1_50s`` or ``1-50s`` for 1/50 s.
* **Levels.** Flats of one folder, ISO and exposure time make one level of light; where no exposure time is known, those
  whose names differ in the last number or letter only (``flat_03_1.png``, ``flat_03_2.png``). For levels that differ by
  lamp or aperture, use one folder a level.
* Frames are paired in the order of their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from rawsynth import storage
from rawsynth.calibration.inspection import FrameFacts, Inspection, Progress
from rawsynth.calibration.listing import Listing, Shots
from rawsynth.errors import RawsynthError, SampleError, UsageError
from rawsynth.raw.frames import FRAME_SUFFIXES

_KINDS = re.compile(r"(?<![a-z])(?:(darks?|bias|biases)|(flats?|bright))(?![a-z])")
_ISO = re.compile(r"(?<![a-z0-9])iso[ _-]?(\d+)(?!\d)")
_EXPOSURE = re.compile(r"(?<![a-z0-9.])(?:1[_-](\d+)|(\d+(?:\.\d+)?))(s|ms|us)(?![a-z0-9])")
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_LAST = re.compile(r"[ _.-]*(?:\d+|(?<![a-z])[a-z])$")
_NAMED = 3


@dataclass(frozen=True)
class _File:
    path: str
    dark: bool
    iso: float | None
    exposure_s: float | None

    @property
    def group(self) -> tuple[object, ...]:
        folder, _, name = self.path.rpartition("/")
        if self.dark:
            return True, self.iso, self.exposure_s, ""
        level = folder if self.exposure_s is not None else f"{folder}/{_LAST.sub('', name.rpartition('.')[0].lower())}"
        return False, self.iso, self.exposure_s, level


def list_folder(
    url: str, *, burst: bool = False, progress: Progress | None = None
) -> tuple[Listing, dict[str, FrameFacts]]:
    """List the captures of a folder, and what each frame says of itself by URL.

    Args:
        url: the folder.
        burst: every frame shows the same static scene, unless its name says that it is dark.
        progress: is told of each frame.

    Raises:
        UsageError: nothing in it is a capture, or a path and its file contradict each other.
        SampleError: none of the captures can be read.
        InputAccessError: the folder cannot be reached.
    """
    suffixes = tuple(f".{suffix}" for suffix in FRAME_SUFFIXES)
    paths = [path for path, _ in storage.walk_files(url) if path.lower().endswith(suffixes)]
    paths = [path for path in paths if not any(part.startswith(".") for part in path.split("/"))]
    kinds = {path: _is_dark(path) for path in paths}
    captures = [path for path in paths if burst or kinds[path] is not None]
    inspection = Inspection(len(captures), progress)
    files = []
    for path in captures:
        facts = inspection.look(storage.join(url, path))
        if facts is not None:
            files.append(_File(path, bool(kinds[path]), *_settings(path, facts)))
    if not files:
        raise _nothing(url, paths, inspection.faults)
    warnings = [f"left out: {fault}" for fault in inspection.faults]
    warnings += _left_out([path for path in paths if path not in captures])
    return Listing(_shots(files, url, burst), warnings=tuple(warnings)), inspection.facts


def _is_dark(path: str) -> bool | None:
    for part in reversed(path.lower().split("/")):
        found = _KINDS.search(part)
        if found:
            return found[1] is not None
    return None


def _settings(path: str, facts: FrameFacts) -> tuple[float | None, float | None]:
    """Return ISO and exposure time; the file's own word wins where the path says nothing else.

    Raises:
        UsageError: path and file state different ISOs.
    """
    named = _ISO.search(path.lower())
    iso = float(named[1]) if named else None
    if iso is not None and facts.iso is not None and abs(iso - facts.iso) > 0.5:
        raise UsageError(
            f"{facts.name}: the path says ISO {iso:g}, the file ISO {facts.iso:g}. A set holds one ISO: move the "
            "file where it belongs, or take it again."
        )
    return facts.iso or iso, facts.exposure_s or _named_exposure(path)


def _named_exposure(path: str) -> float | None:
    for part in reversed(path.lower().rpartition(".")[0].split("/")):
        found = _EXPOSURE.search(part)
        if found:
            number = float(found[1] or found[2])
            seconds = _SECONDS[found[3]] * (1 / number if found[1] and number else number)
            return seconds or None
    return None


def _shots(files: Sequence[_File], url: str, burst: bool) -> tuple[Shots, ...]:
    groups: dict[tuple[object, ...], list[_File]] = {}
    for file in files:
        groups.setdefault(file.group if not burst or file.dark else (False, file.iso, None, ""), []).append(file)
    return tuple(_group(members, url, burst) for members in groups.values())


def _group(members: Sequence[_File], url: str, burst: bool) -> Shots:
    first = members[0]
    kind = "dark" if first.dark else "static scene" if burst else "flat"
    settings = [] if first.exposure_s is None else [f"{first.exposure_s:g} s"]
    settings += [] if first.iso is None else [f"ISO {first.iso:g}"]
    label = " ".join([kind, *(settings or [first.path])])
    urls = tuple(storage.join(url, member.path) for member in members)
    return Shots(first.dark, urls, label, first.iso, first.exposure_s, static=burst and not first.dark)


def _nothing(url: str, paths: Sequence[str], faults: Sequence[str]) -> RawsynthError:
    if faults:
        return SampleError(f"{url}: none of {len(faults)} captures can be read; the first: {faults[0]}")
    if paths:
        return UsageError(
            f"{url}: none of {len(paths)} frames is named dark... or flat..., nor lies in a folder of such a name "
            f"({paths[0]}, ...). Put flats into flat/ and darks into dark/; a static scene takes --burst."
        )
    return UsageError(
        f"{url} holds no frames ({', '.join(FRAME_SUFFIXES[:5])}, or camera RAW such as dng, nef, cr3, arw). Give a "
        "folder with flat/ and dark/, or an EMVA 1288 descriptor."
    )


def _left_out(others: Sequence[str]) -> list[str]:
    if not others:
        return []
    more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
    return [f"left out, named neither dark nor flat: {', '.join(others[:_NAMED])}{more}"]
