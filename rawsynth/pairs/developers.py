"""Develop camera RAW files with the software that photographers use, as shot and without lens correction.

LibRaw, by its ``dcraw_emu`` and within this process, ``darktable-cli`` and ``rawtherapee-cli``, each in several of its
styles. Every program runs with one thread and a configuration of its own, so a user's settings change nothing.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rawsynth import storage
from rawsynth.errors import SampleError
from rawsynth.raw import files
from rawsynth.raw.files import RawFile
from rawsynth.raw.libraw import opened

IN_PROCESS = "rawpy"
"""LibRaw within this process: always there."""

PROGRAMS = {"libraw": "dcraw_emu", "darktable": "darktable-cli", "rawtherapee": "rawtherapee-cli"}
"""What is called for each software, where it is installed."""

_SECONDS = 900
_PROFILES = Path("/usr/share/rawtherapee/profiles")
# Some of RawTherapee's profiles correct lenses, which moves pixels off their sites.
_NO_LENS = "[LensProfile]\nLcMode=none\nLCPFile=\n\n[PCVignette]\nEnabled=false\n"


@dataclass(frozen=True)
class DeveloperStyle:
    """One style of one program.

    Attributes:
        software: key in :data:`PROGRAMS`, or :data:`IN_PROCESS`.
        style: its name here.
        options: what makes the style: options of dcraw_emu, darktable's workflow (and ``sigmoid``), profiles of
            RawTherapee.
    """

    software: str
    style: str
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Software and style in one word."""
        return f"{self.software}-{self.style}"


STYLES = (
    DeveloperStyle("rawpy", "auto-bright"),
    DeveloperStyle("rawpy", "bt709", ("no_auto_bright",)),
    DeveloperStyle("rawpy", "srgb", ("srgb",)),
    DeveloperStyle("libraw", "auto-bright", ()),
    DeveloperStyle("libraw", "bt709", ("-W",)),
    DeveloperStyle("libraw", "srgb", ("-W", "-g", "2.4", "12.92")),
    DeveloperStyle("libraw", "blend", ("-H", "2")),
    DeveloperStyle("darktable", "filmic", ("scene-referred",)),
    DeveloperStyle("darktable", "sigmoid", ("none", "sigmoid")),
    DeveloperStyle("darktable", "basecurve", ("display-referred",)),
    DeveloperStyle("darktable", "none", ("none",)),
    DeveloperStyle("rawtherapee", "neutral", ()),
    DeveloperStyle("rawtherapee", "film-curve", ("Standard Film Curve - ISO Low.pp3",)),
    DeveloperStyle("rawtherapee", "auto-matched", ("Auto-Matched Curve - ISO Low.pp3",)),
    DeveloperStyle("rawtherapee", "pop-1", ("Pop/Pop 1.pp3",)),
    DeveloperStyle("rawtherapee", "pop-3", ("Pop/Pop 3 Skin.pp3",)),
)
"""What a file is developed to."""


def installed(software: str) -> bool:
    """Return whether a software can be called."""
    return software == IN_PROCESS or shutil.which(PROGRAMS[software]) is not None


def develop(raw: RawFile, style: DeveloperStyle, folder: Path) -> NDArray[np.uint8]:
    """Develop one file.

    Args:
        raw: the RAW file; a local one, but for LibRaw within this process.
        style: how.
        folder: for the programs' own settings and what they write.

    Returns:
        ``(3, H, W)`` uint8 sRGB: upright as the file's orientation says, but as the sensor lies for LibRaw.

    Raises:
        SampleError: the program wrote no 8-bit colour image, or took too long; the message has its last words.
    """
    if style.software == IN_PROCESS:
        return _in_process(raw, style)
    if not storage.is_local(raw.url):
        raise SampleError(f"{raw.url}: {PROGRAMS[style.software]} reads local files only; copy it here first.")
    folder.mkdir(parents=True, exist_ok=True)
    out, source = folder / f"{style.name}.tif", Path(storage.absolute(raw.url))
    out.unlink(missing_ok=True)
    command = _COMMANDS[style.software](source.resolve(), style.options, folder.resolve(), out.resolve())
    home = {"HOME": str(folder.resolve()), "OMP_NUM_THREADS": "1", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["nice", *command], env=os.environ | home, cwd=folder, capture_output=True, text=True, timeout=_SECONDS,
            errors="replace",
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SampleError(f"{raw.url}: {command[0]} was not done after {_SECONDS} seconds.") from error
    if not out.exists():
        words = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise SampleError(f"{raw.url}: {command[0]} gave no {style.style!r} image: {' / '.join(words) or 'no words'}")
    with Image.open(out) as image:
        pixels = np.asarray(image)
    out.unlink()
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise SampleError(f"{raw.url}: wanted 8-bit RGB from {command[0]}, got {pixels.dtype} of shape {pixels.shape}.")
    return np.ascontiguousarray(pixels[..., :3].transpose(2, 0, 1))


def _in_process(raw: RawFile, style: DeveloperStyle) -> NDArray[np.uint8]:
    """Develop with rawpy: with the sRGB curve as `rawsynth pairs` does, else as LibRaw's own defaults have it."""
    if "srgb" in style.options:
        return files.develop(raw)
    options: dict[str, Any] = {"use_camera_wb": True, "output_bps": 8, "user_flip": 0}
    with opened(raw.data, raw.url) as handle:
        pixels = handle.postprocess(**options, no_auto_bright="no_auto_bright" in style.options)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _libraw(raw: Path, options: Sequence[str], folder: Path, out: Path) -> list[str]:
    return ["dcraw_emu", "-w", "-o", "1", "-t", "0", "-T", *options, "-Z", str(out), str(raw)]


def _darktable(raw: Path, options: Sequence[str], folder: Path, out: Path) -> list[str]:
    workflow, *modules = options
    history = []
    if modules:
        sidecar = folder / "history.xmp"
        sidecar.write_text(_history(raw.name))
        history = [str(sidecar)]
    settings = {
        "plugins/darkroom/workflow": workflow,
        "plugins/darkroom/chromatic-adaptation": "modern" if workflow == "scene-referred" else "legacy",
        "plugins/imageio/format/tiff/bpp": "8",
        "write_sidecar_files": "never",
    }
    core = ["--library", ":memory:", "--configdir", str(folder / "darktable"), "--cachedir", str(folder / "darktable")]
    core += ["-t", "1", "--disable-opencl"] + [word for item in settings.items() for word in ("--conf", "=".join(item))]
    return ["darktable-cli", str(raw), *history, str(out), "--icc-type", "SRGB", "--core", *core]


def _history(file: str) -> str:
    """Return a sidecar that puts sigmoid with its defaults behind darktable's exposure of +0.7 EV, as its manual says.

    Parameters are the modules' C structures as darktable 4.2 defines them, little endian.
    """
    # Mode, black, exposure in EV, deflicker percentile and level, compensation of the camera's bias.
    exposure = struct.pack("<iffffi", 0, -0.000244140625, 0.7, 50.0, -4.0, 1)
    # Contrast, skewness, white and black in percent, colour processing by channel, hue preservation in percent.
    sigmoid = struct.pack("<ffffif", 1.5, 0.0, 100.0, 0.0152, 0, 100.0)
    items = "".join(
        f'<rdf:li darktable:num="{k}" darktable:operation="{name}" darktable:enabled="1" '
        f'darktable:modversion="{version}" darktable:params="{params.hex()}" darktable:multi_name="" '
        'darktable:multi_priority="0"/>'
        for k, (name, version, params) in enumerate([("exposure", 6, exposure), ("sigmoid", 1, sigmoid)])
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:xmpMM="http://ns.adobe.com/xap/1.0/mm/" xmlns:darktable="http://darktable.sf.net/" '
        f'xmpMM:DerivedFrom="{file}" darktable:xmp_version="5" darktable:raw_params="0" '
        'darktable:auto_presets_applied="0" darktable:history_end="2" darktable:iop_order_version="2">'
        f"<darktable:history><rdf:Seq>{items}</rdf:Seq></darktable:history>"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def _rawtherapee(raw: Path, options: Sequence[str], folder: Path, out: Path) -> list[str]:
    sidecar = folder / "no_lens.pp3"
    sidecar.write_text(_NO_LENS)
    profiles = [*(str(_PROFILES / name) for name in options), str(sidecar)]
    chosen = [word for profile in profiles for word in ("-p", profile)]
    return ["rawtherapee-cli", "-q", "-o", str(out), *chosen, "-t", "-b8", "-Y", "-c", str(raw)]


_COMMANDS: dict[str, Callable[[Path, Sequence[str], Path, Path], list[str]]] = {
    "libraw": _libraw,
    "darktable": _darktable,
    "rawtherapee": _rawtherapee,
}
