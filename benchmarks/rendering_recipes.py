"""The renderings that `measure_renderings.py` measures: which developer, with which settings, pinned how."""

from __future__ import annotations

import base64
import math
import os
import re
import sqlite3
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rawsynth.pairs.renderings import TOP

# darktable's operations in its XMP sidecars; parameters not given here are the program's own presets and defaults.
FILMIC_COLOR, EXPOSURE_BLACK, EXPOSURE_EV, CURVE_COLOR = 18 * 4, 1 * 4, 2 * 4, 516
FILMIC_COLORS = ("no", "max RGB", "luminance Y", "RGB power norm")
PER_CHANNEL, LUMINANCE = 0, 1
CHART_EV = math.log2(TOP)
PROFILES = Path("/usr/share/rawtherapee/profiles")


class Step(NamedTuple):
    """One module of a darktable history."""

    operation: str
    version: int
    params: bytes
    enabled: bool = True


@dataclass(frozen=True)
class Recipe:
    """One rendering.

    Attributes:
        name, family, settings: as in :class:`rawsynth.pairs.renderings.Rendering`.
        develop: turns a DNG into a TIFF.
        dark: the DNG is darker by ``TOP``, which the recipe gives back; else its gains reach ``TOP``.
        clips: its table stands still beyond saturation.
    """

    name: str
    family: str
    settings: str
    develop: Callable[[Path, Path], None]
    dark: bool = False
    clips: bool = False


def run(command: Sequence[str | os.PathLike[str]], product: Path) -> None:
    """Run a developer; an exit status says little of these programs, so the product is looked at."""
    product.unlink(missing_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    if not product.exists():
        raise SystemExit(f"{command[0]} made no {product.name}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


# ---------------------------------------------------------------- LibRaw

def libraw_recipes() -> Iterator[Recipe]:
    """No automatic brightness: it is an exposure that depends on the picture, before the same curve."""
    gammas = {"BT.709": "2.222 4.5", "sRGB": "2.4 12.92", "gamma 2.2": "2.2 0", "gamma 1.8": "1.8 0"}
    for curve, gamma in gammas.items():
        flags = ["-w", "-W", "-6", "-T", "-o", "1", "-g", *gamma.split()]
        yield Recipe(f"libraw {curve}", "libraw", f"dcraw_emu {' '.join(flags)}", partial(develop_libraw, flags))


def develop_libraw(flags: Sequence[str], dng: Path, tiff: Path) -> None:
    """Run LibRaw's dcraw_emu."""
    run(["dcraw_emu", *flags, "-Z", tiff, dng], tiff)


# ---------------------------------------------------------------- RawTherapee

PINNED = """[Exposure]\nAuto=false\nHistogramMatching=false\n[Color appearance]\nAutoDegree=false\nDegree=90
AutoDegreeout=false\nDegreeout=90\nAutoAdapscen=false\nAdaptScene=500\nAutoybscen=false\nYbScene=18
[EPD]\nEnabled=false\n[PCVignette]\nEnabled=false\n[Local Contrast]\nEnabled=false\n[Dehaze]\nEnabled=false
[LensProfile]\nLcMode=none\n[RAW]\nCA=false\n[HLRecovery]\nEnabled=false
[Directional Pyramid Denoising]\nEnabled=false
[Color Management]\nInputProfile=(cameraICC)\nToneCurve=false\nOutputProfile=RTv4_sRGB\n"""
S_CURVE = "1;0;0;0.11;0.09;0.32;0.43;0.66;0.87;1;1;"
# Not "Pop 3 Skin": it follows the picture (26.9 dB of table against program), nor what is black and white.
BUNDLED = {
    "film curve low": "Standard Film Curve - ISO Low.pp3",
    "film curve medium": "Standard Film Curve - ISO Medium.pp3",
    "film curve high": "Standard Film Curve - ISO High.pp3",
    "pop 1": "Pop/Pop 1.pp3",
    "pop 2 lab": "Pop/Pop 2 Lab.pp3",
}
OWN = {
    "neutral": "",
    "s-curve standard": f"[Exposure]\nCurveMode=Standard\nCurve={S_CURVE}\n",
    "s-curve weighted": f"[Exposure]\nCurveMode=WeightedStd\nCurve={S_CURVE}\n",
    "s-curve luminance": f"[Exposure]\nCurveMode=Luminance\nCurve={S_CURVE}\n",
    "s-curve perceptual": f"[Exposure]\nCurveMode=Perceptual\nCurve={S_CURVE}\n",
    "s-curve sat-value": f"[Exposure]\nCurveMode=SatAndValueBlending\nCurve={S_CURVE}\n",
    "soft film": "[Exposure]\nCurveMode=FilmLike\nCurve=1;0;0;0.12;0.16;0.4;0.56;0.75;0.9;1;1;\n",
    "bright film": "[Exposure]\nCompensation=0.7\nHighlightCompr=60\nCurveMode=FilmLike\n"
    "Curve=1;0;0;0.09;0.08;0.3;0.37;0.65;0.8;1;1;\n",
    "contrast saturation": "[Exposure]\nContrast=20\nSaturation=15\nCurveMode=FilmLike\n",
    "vibrance": "[Vibrance]\nEnabled=true\nPastels=40\nSaturated=25\nPSThreshold=0;75;\nPastSatTog=false\n"
    f"[Exposure]\nCurveMode=FilmLike\nCurve={S_CURVE}\n",
    "lab contrast": "[Luminance Curve]\nEnabled=true\nBrightness=5\nContrast=20\nChromaticity=15\n",
    "ciecam": "[Color appearance]\nEnabled=true\nModel=RawT\nAlgorithm=JC\nJ-Light=10\nJ-Contrast=10\nC-Chroma=10\n",
}  # fmt: skip


def rawtherapee_recipes(work: Path) -> Iterator[Recipe]:
    """The bundled profiles that suit photographs, and profiles of typical settings."""
    (work / "pinned.pp3").write_text(PINNED)
    for name, bundled in BUNDLED.items():
        profiles = [PROFILES / bundled, work / "pinned.pp3"]
        yield Recipe(f"rawtherapee {name}", "rawtherapee", bundled, partial(develop_rawtherapee, profiles))
    for name, text in OWN.items():
        profile = work / f"{name}.pp3"
        profile.write_text(text)
        words = "; ".join(text.split("\n")).strip("; ") or "no tone curve"
        develop = partial(develop_rawtherapee, [work / "pinned.pp3", profile])
        yield Recipe(f"rawtherapee {name}", "rawtherapee", words, develop)


def develop_rawtherapee(profiles: Sequence[Path], dng: Path, tiff: Path) -> None:
    """Run rawtherapee-cli; a later profile overrides an earlier one."""
    layers = [word for profile in profiles for word in ("-p", profile)]
    run(["rawtherapee-cli", "-q", "-o", tiff, *layers, "-b16", "-t", "-Y", "-c", dng], tiff)


# ---------------------------------------------------------------- darktable

def darktable_recipes(dng: Path, work: Path) -> Iterator[Recipe]:
    """The scene-referred default and its relatives, sigmoid, and the base and tone curves of the presets.

    The chart is darker by :data:`CHART_EV`, which the exposure module gives back: its float pipeline then sees values
    beyond saturation as it does in a photograph.
    """
    scene, modern = history(dng, work, "scene-referred"), history(dng, work, "scene-referred", adaptation="modern")
    filmic, exposure = (find(scene, operation) for operation in ("filmicrgb", "exposure"))
    plain = exposure._replace(params=lifted(patched(patched(exposure.params, EXPOSURE_EV, 0.0), EXPOSURE_BLACK, 0.0)))
    lift = exposure._replace(params=lifted(exposure.params))
    shared = [step for step in scene if step.operation not in ("filmicrgb", "exposure")]
    adapted = find(modern, "channelmixerrgb")

    def recipe(name: str, settings: str, *steps: Step, family: str = "darktable", clips: bool = False) -> Recipe:
        develop = partial(develop_darktable, work, [*shared, *steps])
        return Recipe(name, family, settings, develop, dark=True, clips=clips)

    yield recipe("darktable none", "no workflow: camera matrix and sRGB curve", plain)
    for code, kept in enumerate(FILMIC_COLORS):
        step = filmic._replace(params=patched(filmic.params, FILMIC_COLOR, code))
        yield recipe(f"darktable filmic, {kept}", f"filmic rgb, preserves chrominance: {kept}; +0.7 EV", step, lift)
    for name, step in presets(work, "colorbalancergb"):
        yield recipe(f"darktable filmic, {name}", f"filmic rgb, color balance rgb {name!r}", step, filmic, lift)
    yield recipe("darktable filmic, modern adaptation", "filmic rgb, color calibration; +0.7 EV", adapted, filmic, lift)
    default = Step("sigmoid", 1, struct.pack("<4fif", 1.5, 0.0, 100.0, 0.0152, 0, 100.0))
    yield recipe("darktable sigmoid, modern adaptation", "sigmoid, color calibration; +0.7 EV", adapted, default, lift)
    for name, step in (("default", default), *presets(work, "sigmoid")):
        yield recipe(f"darktable sigmoid, {name}", f"sigmoid {name}; +0.7 EV", step, lift)
    yield from camera_recipes(recipe, work, plain)


def camera_recipes(recipe: Callable[..., Recipe], work: Path, plain: Step) -> Iterator[Recipe]:
    """Base and tone curves like cameras' own."""
    for name, step in presets(work, "basecurve"):
        # The program keeps colour by luminance, as its default; a camera's own curve more often acts on each channel.
        for code, how in ((LUMINANCE, "luminance"), (PER_CHANNEL, "per channel")):
            if code == LUMINANCE and not name.endswith(("like", "neutral")):
                continue
            kept = step._replace(params=patched(step.params, CURVE_COLOR, code))
            settings = f"darktable base curve preset {name!r}, {how}"
            clips = code == PER_CHANNEL
            yield recipe(f"base curve {name}, {how}", settings, kept, plain, family="base curve", clips=clips)
    for name, step in presets(work, "tonecurve"):
        if name.lower().startswith(("nikon", "olympus")) or name.startswith("contrast -"):
            settings = f"darktable tone curve preset {name!r}"
            yield recipe(f"tone curve {name}", settings, step, plain, family="base curve", clips=True)


def find(steps: Sequence[Step], operation: str) -> Step:
    """The first step of an operation."""
    return next(step for step in steps if step.operation == operation)


def lifted(params: bytes) -> bytes:
    """Raise an exposure by what the chart is too dark."""
    stops, black = struct.unpack_from("<f", params, EXPOSURE_EV)[0], struct.unpack_from("<f", params, EXPOSURE_BLACK)[0]
    return patched(patched(params, EXPOSURE_EV, stops + CHART_EV), EXPOSURE_BLACK, black / 2.0**CHART_EV)


def patched(params: bytes, offset: int, value: int | float) -> bytes:
    """Replace one number of a module's parameters."""
    field = struct.pack("<i" if isinstance(value, int) else "<f", value)
    return params[:offset] + field + params[offset + 4 :]


def darktable(
    dng: Path, sidecar: Path | None, tiff: Path, work: Path, *, workflow: str = "none", adaptation: str = "legacy"
) -> None:
    """Run darktable-cli without OpenCL and with a configuration of its own."""
    conf = ["plugins/imageio/format/tiff/bpp=16", f"plugins/darkroom/workflow={workflow}"]
    conf += [f"plugins/darkroom/chromatic-adaptation={adaptation}"]
    core = ["--core", "--configdir", work / "darktable", "--library", ":memory:", "--disable-opencl"]
    options = [word for pair in conf for word in ("--conf", pair)]
    run(["darktable-cli", dng, *([sidecar] if sidecar else []), tiff, "--icc-type", "SRGB", *core, *options], tiff)


def history(dng: Path, work: Path, workflow: str, *, adaptation: str = "legacy") -> list[Step]:
    """The modules that a workflow puts on a RAW by itself, read from an export; highlight reconstruction off."""
    tiff = work / f"{workflow}.tif"
    darktable(dng, None, tiff, work, workflow=workflow, adaptation=adaptation)
    steps = []
    for item in tiff.read_bytes().decode("latin-1").split("<rdf:li")[1:]:
        fields = dict(re.findall(r'darktable:(\w+)="([^"]*)"', item))
        operation, params = fields["operation"], unpacked(fields["params"])
        steps.append(Step(operation, int(fields["modversion"]), params, operation != "highlights"))
    return steps


def unpacked(text: str) -> bytes:
    """Decode a parameter field: hexadecimal, or gzNN and base64 of a zlib stream."""
    return zlib.decompress(base64.b64decode(text[4:])) if text.startswith("gz") else bytes.fromhex(text)


def presets(work: Path, operation: str) -> list[tuple[str, Step]]:
    """The presets of a module that darktable has put into its configuration."""
    query = "select name, op_version, op_params from presets where operation = ? order by name"
    with sqlite3.connect(work / "darktable" / "data.db") as data:
        return [(name, Step(operation, version, params)) for name, version, params in data.execute(query, (operation,))]


def develop_darktable(work: Path, steps: Sequence[Step], dng: Path, tiff: Path) -> None:
    """Write a sidecar with a history and export."""
    items = "".join(
        f'<rdf:li darktable:num="{number}" darktable:operation="{step.operation}" darktable:enabled="{step.enabled:d}"'
        f' darktable:modversion="{step.version}" darktable:params="{step.params.hex()}" darktable:multi_name=""'
        ' darktable:multi_priority="0" darktable:blendop_version="11"'
        ' darktable:blendop_params="gz14eJxjYIAACQYYOOHEgAZY0QVwggZ7CB6pfNoAAE8gGQg="/>'
        for number, step in enumerate(steps)
    )
    sidecar = work / "recipe.xmp"
    sidecar.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:darktable="http://darktable.sf.net/" darktable:xmp_version="5" darktable:raw_params="0"'
        f' darktable:auto_presets_applied="1" darktable:history_end="{len(steps)}" darktable:iop_order_version="2">'
        f"<darktable:history><rdf:Seq>{items}</rdf:Seq></darktable:history></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    darktable(dng, sidecar, tiff, work)
