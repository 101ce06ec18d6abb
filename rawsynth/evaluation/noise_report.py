"""Is this noise real? Real frames of static scenes against synthetic ones, or against what a camera profile makes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rawsynth import storage
from rawsynth.cameras import CameraProfile, load_camera
from rawsynth.errors import UsageError
from rawsynth.evaluation.noise_comparison import compare_stacks
from rawsynth.evaluation.noise_figures import report_figures
from rawsynth.evaluation.noise_stack import FrameStack, frame_urls, read_stack
from rawsynth.evaluation.noise_synthesis import frame_levels, median_camera, synthesize, temporal_mean
from rawsynth.evaluation.noise_verdict import COLUMNS, NoiseReport, table_rows
from rawsynth.evaluation.page import Table, write_page
from rawsynth.evaluation.report import check_labels
from rawsynth.seeding import sample_seed
from rawsynth.transforms import AddNoise


@dataclass(frozen=True)
class SeriesSource:
    """One static series at one setting.

    Attributes:
        name: in the report.
        real: folder or pattern of real frames.
        synthetic: folder or pattern of synthetic ones; ``None`` where a camera's noise is put to the test.
    """

    name: str
    real: str
    synthetic: str | None = None


@dataclass(frozen=True)
class ProfileNoise:
    """A camera's noise, to be put to the test.

    Attributes:
        camera: built-in name, ``.toml`` or ``.json`` file, or a profile.
        iso: of the real frames; ``None`` takes it from their files.
        model: noise model.
        extrapolate: allow an ISO outside the profile.
        black_level: of the real frames in DN, where neither their files nor the camera say it right.
    """

    camera: str | CameraProfile
    iso: float | None = None
    model: str = "physics"
    extrapolate: bool = False
    black_level: int | None = None


def noise_report(
    sources: Sequence[SeriesSource],
    noise: ProfileNoise | None = None,
    *,
    cfa: str | None = None,
    white_level: int | None = None,
    limit: int | None = None,
    splits: int = 4,
    seed: int = 0,
    output: str | None = None,
    labels: Mapping[str, Any] | None = None,
) -> NoiseReport:
    """Compare real frames with synthetic ones, series by series.

    Args:
        sources: series of static frames.
        noise: what makes the synthetic frames of series that have none of their own: each series' temporal mean is
            taken as clean, noise is added, and the sum is rounded to the frames' DN and clipped at their white level.
        cfa, white_level: of frames whose files do not say.
        limit: at most this many frames a series.
        splits: into halves of the real frames, for the null.
        seed: of the synthetic noise and the splits.
        output: folder or URL for ``index.html``, its figures and ``noise-report.json``.
        labels: further facts for the report, JSON-ready.

    Raises:
        SampleError: frames that noise cannot be measured on; says what to capture instead.
        UsageError: a series without synthetic frames and no noise to make them, or an ISO that is not known.
        InputAccessError, OutputError: files that cannot be read or written.
    """
    if not sources or len({source.name for source in sources}) < len(sources):
        raise UsageError("a noise report takes one series at least, each with a name of its own.")
    check_labels(labels or {})
    if output is not None:
        storage.prepare_folder(output)
    groups = []
    for source in sources:
        real = read_stack(source.real, cfa=cfa, white_level=white_level, limit=limit)
        if source.synthetic is not None:
            made = read_stack(source.synthetic, cfa=cfa or real.cfa, white_level=real.white_level, limit=limit)
        elif noise is not None:
            # Of the series' name, not of where its files lie: a report is the same wherever it is made.
            real, made = _made_from(real, noise, sample_seed(seed, source.name, "noise report"))
        else:
            raise UsageError(f"{source.name}: give a folder of synthetic frames, or a camera whose noise is tested.")
        groups.append(compare_stacks(real, made, name=source.name, splits=splits, seed=seed))
    report = NoiseReport(groups, {**_noise_labels(noise), "seed": seed, **(labels or {})})
    if output is not None:
        write_noise_report(report, output)
    return report


def _made_from(real: FrameStack, noise: ProfileNoise, seed: int) -> tuple[FrameStack, FrameStack]:
    camera = median_camera(load_camera(noise.camera) if isinstance(noise.camera, str) else noise.camera)
    iso = real.iso if noise.iso is None else noise.iso
    if iso is None:
        raise UsageError(f"{real.name}: the files do not say their ISO; state it with --iso.")
    if real.iso is not None and abs(real.iso / iso - 1.0) > 0.01:
        raise UsageError(f"{real.name}: the files say ISO {real.iso:g}, asked for is ISO {iso:g}; leave out --iso.")
    add_noise = AddNoise(noise.model, camera=camera, iso=iso, extrapolate=noise.extrapolate, seed=seed)
    levels = frame_levels(real, camera, black_level=noise.black_level)
    name = f"{camera.name}, ISO {iso:g}, {noise.model}"
    # Both sides leave out what saturates, at the same level.
    real = replace(real, white_level=levels.white_level)
    return real, synthesize(real, temporal_mean(real), add_noise, levels, name=name)


def _noise_labels(noise: ProfileNoise | None) -> dict[str, Any]:
    if noise is None:
        return {}
    name = noise.camera if isinstance(noise.camera, str) else noise.camera.name
    return {"camera": name, "iso": noise.iso, "noise": noise.model}


def write_noise_report(report: NoiseReport, output: str) -> None:
    """Write ``index.html`` with its figures, and ``noise-report.json`` last, into a folder or URL.

    Raises:
        OutputError: a file cannot be written.
    """
    rows = table_rows(report)
    table = Table(
        "Figures", COLUMNS, rows,
        "Synthetic against real, furthest out in each series; differences are synthetic minus real. Beside it the "
        "largest difference between random halves of the real frames, which have half as many frames.",
    )  # fmt: skip
    sizes = [f"{g.name}: {g.frames} frames of {g.real_name} against {g.synthetic_name}." for g in report.groups]
    summary = [report.verdict, *sizes, *report.notes]
    write_page(output, title="Noise report", summary=summary, blocks=[table, *report_figures(report.groups)])
    text = json.dumps(report.to_json(), indent=1, allow_nan=False) + "\n"
    storage.write_atomic(storage.join(output, "noise-report.json"), text.encode("ascii"))


def series_sources(real: str, synthetic: str | None) -> list[SeriesSource]:
    """Read a pair of folders: of frames, or of one subfolder a series, named alike on both sides.

    Raises:
        UsageError: a series that has no synthetic counterpart.
        SampleError: no frames at all.
    """
    if any(sign in real for sign in "*?[") or frame_urls(real) or not storage.is_folder(real):
        return [SeriesSource(series_name(real), real, synthetic)]
    names = sorted({path.partition("/")[0] for path, _ in storage.walk_files(real) if "/" in path})
    names = [name for name in names if not name.startswith(".") and frame_urls(storage.join(real, name))]
    if not names:
        return [SeriesSource(series_name(real), real, synthetic)]
    missing = [name for name in names if synthetic and not frame_urls(storage.join(synthetic, name))]
    if missing:
        raise UsageError(f"{synthetic} has no frames in {missing[0]}/, which {real} has; name the series alike.")
    return [
        SeriesSource(name, storage.join(real, name), storage.join(synthetic, name) if synthetic else None)
        for name in names
    ]


def series_name(source: str) -> str:
    """Name a series after its folder or pattern.

    >>> series_name("shots/dark/"), series_name("shots/b_s_*.png")
    ('dark', 'b_s')
    """
    last = source.rstrip("/").rpartition("/")[2]
    if any(sign in last for sign in "*?["):
        last = last.replace("*", "?").replace("[", "?").partition("?")[0].rstrip("_-. ") or "frames"
    return last or "frames"


def unique_names(sources: Sequence[SeriesSource]) -> list[SeriesSource]:
    """Number the series whose names stand twice.

    >>> [source.name for source in unique_names([SeriesSource("a", "x"), SeriesSource("a", "y")])]
    ['a', 'a 2']
    """
    taken: dict[str, SeriesSource] = {}
    for source in sources:
        count = next(k for k in range(1, len(sources) + 1) if _numbered(source.name, k) not in taken)
        name = _numbered(source.name, count)
        taken[name] = replace(source, name=name)
    return list(taken.values())


def _numbered(name: str, count: int) -> str:
    return name if count == 1 else f"{name} {count}"
