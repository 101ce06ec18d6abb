"""Looks at what is installed: versions, what the extras need, which image files can be read."""

from __future__ import annotations

import platform
import re
from collections.abc import Iterator
from importlib import metadata, util

from PIL import features

from rawsynth.engine.doctor.findings import Finding
from rawsynth.versions import package_versions

PACKAGES = ("torch", "numpy", "pillow", "rawpy", "webdataset", "fsspec", "pydantic", "safetensors", "kornia")
_FORMATS = {"PNG": "zlib", "TIFF": "libtiff", "WebP": "webp", "AVIF": "avif", "JPEG 2000": "jpg_2000"}
# What the project's own developers install; they know.
_DEVELOPMENT = {"all", "docs", "lint", "test"}
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^]]*\])?\s*\(?([^;()]*)\)?(?:;.*extra\s*==\s*[\"'](\w+)[\"'])?")


def versions() -> Iterator[Finding]:
    """Yield the version of Python and of each package that decides what rawsynth does; too old is broken."""
    own = package_versions("rawsynth")["rawsynth"]
    yield Finding("versions", "rawsynth", own, figures=own)
    yield Finding("versions", "python", platform.python_version(), figures=platform.python_version())
    least = {package.lower(): bound for package, bound, extra in requirements() if not extra}
    for package, version in package_versions(*PACKAGES).items():
        bound = least.get(package, "")
        wanted = re.search(r">=\s*([\d.]+)", bound)
        if version == "unknown" or (wanted and _numbers(version) < _numbers(wanted[1])):
            shown = "not installed" if version == "unknown" else f"{version}, but {bound} is needed"
            yield Finding("versions", package, shown, "broken", f"pip install '{package}{bound}'", version)
        else:
            yield Finding("versions", package, version, figures=version)


def codecs() -> Iterator[Finding]:
    """Yield which image files can be read, and by what JPEGs are decoded."""
    if not features.check("jpg"):
        yield Finding("codecs", "JPEG", "no", "broken", "pip install --force-reinstall pillow", False)
    elif features.check_feature("libjpeg_turbo"):
        version = features.version_feature("libjpeg_turbo")
        yield Finding("codecs", "JPEG", f"libjpeg-turbo {version}", figures=version)
    else:
        advice = "decode JPEGs several times as fast, with libjpeg-turbo: pip install --force-reinstall pillow"
        yield Finding("codecs", "JPEG", "libjpeg, without turbo", "note", advice, features.version("jpg"))
    for name, feature in _FORMATS.items():
        if features.check(feature):
            yield Finding("codecs", name, "yes", figures=True)
        else:
            advice = f"read {name} files: pip install --upgrade --force-reinstall pillow"
            yield Finding("codecs", name, "no", "note", advice, False)
    if util.find_spec("pillow_heif") is None:
        told = "no; a phone's .heic files would be recorded as lost: pip install 'rawsynth[heic]'"
        yield Finding("codecs", "HEIC", told)
    else:
        yield Finding("codecs", "HEIC", "yes, by pillow-heif", figures=True)


def extras() -> Iterator[Finding]:
    """Yield each optional part of the package: there, or what it lacks and how to install it."""
    needs: dict[str, list[str]] = {}
    for package, _, extra in requirements():
        if extra and extra not in _DEVELOPMENT and package != "rawsynth":
            needs.setdefault(extra, []).append(package)
    for extra, packages in sorted(needs.items()):
        missing = [package for package in packages if package_versions(package)[package] == "unknown"]
        # The newest torchvision would bring another torch, and on a CPU gigabytes of CUDA.
        kept = f" torch=={package_versions('torch')['torch'].partition('+')[0]}" if extra == "torchvision" else ""
        shown = "installed" if not missing else f"no {', '.join(missing)}: pip install 'rawsynth[{extra}]'{kept}"
        yield Finding("extras", extra, shown, figures={"installed": not missing, "missing": missing})
    if not needs:
        yield Finding("extras", "unknown", "rawsynth runs from a folder and is not installed: pip install -e '.[all]'")


def requirements() -> list[tuple[str, str, str]]:
    """Return what the installed rawsynth requires: package, versions, extra (empty for what it cannot do without)."""
    try:
        stated = metadata.requires("rawsynth") or []
    except metadata.PackageNotFoundError:
        return []
    found = [_REQUIREMENT.match(text) for text in stated]
    return [(match[1], match[2].strip(), match[3] or "") for match in found if match]


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3]]
