"""doctor: what is found, what counts as broken, and what is left behind."""

from __future__ import annotations

import stat
from importlib import metadata
from pathlib import Path

import fsspec
import pytest
from PIL import features

from rawsynth.engine.doctor import Examination, Finding, examine, machine, software, trials


def by_name(found: Examination) -> dict[tuple[str, str], Finding]:
    return {(finding.topic, finding.name): finding for finding in found.findings}


def test_this_environment_is_fine() -> None:
    found = examine(seconds=0)
    assert found.exit_code == 0 and not found.broken
    names = by_name(found)
    assert names["versions", "torch"].figures == metadata.version("torch")
    assert names["machine", "cores"].figures >= 1
    assert {topic for topic, _ in names} == {"versions", "codecs", "machine", "extras"}
    assert len(names) == len(found.findings), "a name stands for one thing"


@pytest.mark.parametrize(
    ("stated", "broken"),
    [
        ({"numpy": "1.26.4"}, {"numpy"}),
        ({"torch": "unknown"}, {"torch"}),
        ({"numpy": "2.0"}, set()),
        ({"torch": "2.11.0+cpu"}, set()),
    ],
)
def test_old_and_missing_packages(monkeypatch: pytest.MonkeyPatch, stated: dict[str, str], broken: set[str]) -> None:
    fine = {package: "99" for package in ("rawsynth", *software.PACKAGES)}
    monkeypatch.setattr(software, "package_versions", lambda *packages: {**fine, **stated})
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=2.0", "torch>=2.11"])
    found = [finding for finding in software.versions() if finding.state == "broken"]
    assert {finding.name for finding in found} == broken
    assert all(finding.advice and "pip install" in finding.advice for finding in found)


def test_a_missing_extra_names_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    stated = ["torch>=2", 'no-such-driver[x]>=1; extra == "s3"', 'numpy>=1; extra == "index"', 'mypy; extra == "lint"']
    monkeypatch.setattr(metadata, "requires", lambda name: [*stated, 'rawsynth[s3,index]; extra == "all"'])
    found = {finding.name: finding for finding in software.extras()}
    assert set(found) == {"s3", "index"}
    assert found["s3"].shown == "no no-such-driver: pip install 'rawsynth[s3]'"
    assert found["index"].figures == {"installed": True, "missing": []}


def test_torchvision_is_advised_for_the_torch_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: ["torch>=2", 'torchvision>=0.26; extra == "torchvision"'])
    versions = {"torch": "2.13.0+cpu", "torchvision": "unknown"}
    monkeypatch.setattr(software, "package_versions", lambda *names: {name: versions[name] for name in names})
    (finding,) = software.extras()
    assert finding.shown == "no torchvision: pip install 'rawsynth[torchvision]' torch==2.13.0"


def test_not_installed_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", missing)
    (finding,) = software.extras()
    assert "pip install -e" in finding.shown and finding.state == "ok"


def test_codecs_that_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    monkeypatch.setattr(features, "check_feature", lambda name: False)
    monkeypatch.setattr(features, "version", lambda name: "6b")
    states = {finding.name: finding.state for finding in software.codecs()}
    assert states["AVIF"] == "note" and states["JPEG"] == "note" and states["WebP"] == "ok"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("flags : fpu sse2 avx512_bf16 amx_bf16\n", ["AMX bfloat16", "AVX-512 bfloat16"]),
        ("Features : fp asimd bf16\n", ["ARM bfloat16"]),
        ("flags : fpu sse2 avx2\n", []),
        (None, []),
    ],
)
def test_products_of_bfloat16(tmp_path: Path, text: str | None, found: list[str]) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert machine.bfloat16_products(tmp_path / "cpuinfo") == found


def test_threads_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (finding,) = [finding for finding in machine.machine() if finding.name == "threads"]
    assert finding.state == "note" and "7 of 8 cores idle" in str(finding.advice)


@pytest.mark.parametrize(("load", "told"), [(7.5, True), (1.0, False)])
def test_a_busy_machine_is_said_beside_its_speed(monkeypatch: pytest.MonkeyPatch, load: float, told: bool) -> None:
    monkeypatch.setattr(machine, "available_cores", lambda: 2)
    monkeypatch.setattr(machine.os, "getloadavg", lambda: (load, load, load))
    assert ("load" in {finding.name for finding in machine.machine()}) is told


def test_a_folder_takes_files_and_keeps_none(tmp_path: Path) -> None:
    steps = list(trials.write_test(str(tmp_path / "new folder")))
    assert [step.name for step in steps] == ["write", "read", "read a range", "list", "remove"]
    assert {step.state for step in steps} == {"ok"}
    assert not list((tmp_path / "new folder").iterdir())


def test_a_store_in_memory(memory: fsspec.AbstractFileSystem) -> None:
    assert {step.state for step in trials.write_test("memory://bucket/corpus")} == {"ok"}
    assert memory.find("/bucket") == []


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    found = examine(write_to=str(tmp_path / "taken"), seconds=0)
    assert found.exit_code == 1
    assert [finding.name for finding in found.broken] == ["write"]
    assert (tmp_path / "taken").read_text() == "a file"
    assert stat.S_ISREG((tmp_path / "taken").stat().st_mode)


def test_a_store_that_shows_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials.storage, "list_names", lambda url: set())
    steps = list(trials.write_test(str(tmp_path)))
    assert steps[-1].name == "list" and steps[-1].state == "broken"


def test_an_unknown_protocol_is_broken_and_no_traceback() -> None:
    (step,) = trials.write_test("nosuch://bucket/corpus")
    assert step.state == "broken" and "nosuch" in step.shown


def test_speed_of_the_formula() -> None:
    (finding,) = trials.speeds(0.01, ("unprocess",))
    rate = finding.figures["images_per_second"]
    assert finding.state == "ok" and rate > 0
    assert f"a million take {1e6 / rate / 3600:.1f} hours" in finding.shown


def test_a_method_that_fails_is_broken() -> None:
    (finding,) = trials.speeds(0.01, ("no_such_method",))
    assert finding.state == "broken"
