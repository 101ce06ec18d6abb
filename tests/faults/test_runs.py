"""Whole runs over damaged inputs: every source is written or recorded, and nothing is written anywhere else."""

import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import rawsynth
from rawsynth.pipeline.keys import key_from_path
from tests.conftest import Finished
from tests.faults.archive_files import archive_seeds, mutate_archive, tar_of
from tests.faults.effort import SEED, cases, time_limit
from tests.faults.image_files import image_seeds, mutate_image

SECONDS = 60.0
IMAGES, ARCHIVES = 40, 4
SMALL = {"image": {"min_side": 2, "max_pixels": 1_000_000}, "read": {"keep": ["txt"], "images_per_shard": 25}}


def damaged_folder(folder: Path, rng: Random) -> list[str]:
    """Write damaged images and tars; return the images' paths."""
    (folder / "sub").mkdir(parents=True)
    images = []
    for index in range(IMAGES):
        name = rng.choice(sorted(image_seeds()))
        path = f"{'sub/' if index % 3 else ''}i{index}.{rng.choice(('jpg', 'png', 'tif', 'webp'))}"
        data = image_seeds()[name]
        (folder / path).write_bytes(data if index % 8 == 0 else mutate_image(name, data, rng))
        images.append(path)
    for index in range(ARCHIVES):
        name = rng.choice(sorted(archive_seeds()))
        (folder / f"t{index}.tar").write_bytes(mutate_archive(name, archive_seeds()[name], rng))
    return images


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


@pytest.mark.soak
def test_a_run_over_damaged_inputs_accounts_for_all_of_them(
    tmp_path: Path,
    make_corpus: Callable[..., Any],
    read_records: Callable[..., dict[str, dict[str, Any]]],
    read_samples: Callable[..., dict[str, dict[str, bytes]]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    for case, rng in cases("run", 0.1 / (IMAGES + ARCHIVES)):
        place = tmp_path / case.replace("/", "-")
        images = damaged_folder(place / "in", rng)
        before = files_of(place)
        with time_limit(SECONDS):
            made = make_corpus(place / "in", place / "out", **SMALL)
        records, samples = read_records(place / "out"), read_samples(place / "out")
        assert made.exit_code == 0 and not made.failed and made.shards == len(records) == 2 + ARCHIVES
        assert made.sources == made.samples + made.lost + made.left_out and len(samples) == made.samples
        named = {entry["key"] for record in records.values() for entry in record["errors"] + record["skips"]}
        assert {key_from_path(path) for path in images} <= named | samples.keys(), case
        assert all(path.startswith("out/") for path in files_of(place) - before)
        assert rawsynth.verify(str(place / "out")).problems == []
    assert capfd.readouterr() == ("", "")


ODD_NAMES = (
    "a\nb.png", "a b'\"`$(x);&|.png", "-rf.png", "%s%n{}.png", "=2E.png", "\udcff\udc80.png", "x" * 250 + ".png",
    "é" * 120 + ".png",
    "a.b.c..png", "...png", "\u202e.png", "\x1b[31m.png", "CON.png", "a\\..\\b.png", "*?.png",
)  # fmt: skip


def test_no_name_of_a_file_leads_out_of_the_corpus(tmp_path: Path, cli: Callable[..., Finished]) -> None:
    (tmp_path / "in").mkdir()
    for name in ODD_NAMES:
        (tmp_path / "in" / name).write_bytes(image_seeds()["png"])
        (tmp_path / "in" / f"{name[:-4][:240]}.jpg").write_bytes(b"damaged")
    before = files_of(tmp_path)
    command = ("generate", tmp_path / "in", tmp_path / "out", "--method", "unprocess", "--quiet", "--keep")
    assert cli(*command, "txt,../up").code == 2
    done = cli(*command, "txt")
    assert done.code == 0, done.err
    assert all(path.startswith("out/") for path in files_of(tmp_path) - before)
    assert cli("verify", tmp_path / "out").code == 0


TRICKS = (
    "../up.png", "/etc/x.png", "a/../../b.png", "../../../../tmp/x.png", "records/images-00000.png", "a.../up.png"
)  # fmt: skip


def test_no_name_in_a_tar_and_of_a_tar_leads_out_of_the_corpus(
    tmp_path: Path, make_corpus: Callable[..., Any], read_samples: Callable[..., dict[str, dict[str, bytes]]]
) -> None:
    (tmp_path / "in").mkdir()
    names = ("..tar", "...tar", "-00.tar", "dataset.json.tar", ".. ..tar", "a\n.tar")
    for name in names:
        (tmp_path / "in" / name).write_bytes(tar_of({member: image_seeds()["png"] for member in TRICKS}))
    (tmp_path / "list.txt").write_text("\n".join(f"in/../in/{name}" for name in names if "\n" not in name))
    before = files_of(tmp_path)
    for source in ("in", "list.txt"):
        made = make_corpus(tmp_path / source, tmp_path / f"out-{source}", **SMALL)
        assert made.exit_code == 0 and made.sources == made.samples + made.lost
        keys = read_samples(tmp_path / f"out-{source}")
        assert not [key for key in keys if os.path.normpath(key) != key or key.startswith(("/", ".."))]
    new = files_of(tmp_path) - before
    assert new and all(path.startswith(("out-in/", "out-list.txt/")) for path in new)


def test_the_corpus_of_damaged_inputs_is_the_same_again(
    tmp_path: Path, make_corpus: Callable[..., Any], hash_tars: Callable[..., dict[str, str]]
) -> None:
    damaged_folder(tmp_path / "in", Random(SEED))
    for name, threads in (("one", 1), ("two", 3)):
        make_corpus(tmp_path / "in", tmp_path / name, **SMALL, run={"threads": threads})
    assert hash_tars(tmp_path / "one") == hash_tars(tmp_path / "two")
    assert tarfile.is_tarfile(tmp_path / "one" / "images-00000-00.tar")
