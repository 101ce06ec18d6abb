"""run: one shard from its inputs to its record; the bytes follow from inputs and configuration, never from timing."""

import io
import json
import random
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch

from rawsynth.engine.local import generate
from rawsynth.engine.observer import Observer
from rawsynth.errors import InputAccessError
from rawsynth.pipeline import views
from rawsynth.pipeline.config import build_config
from rawsynth.pipeline.dataset import open_dataset
from rawsynth.pipeline.decode import decode_srgb
from rawsynth.pipeline.run import Progress, make_pools, run_shard
from rawsynth.pipeline.stages import STAGES
from rawsynth.pipeline.synthesize import Synthesizer
from rawsynth.raw.image import RawImage
from rawsynth.transforms import AddNoise, ReverseISP

Make = Callable[..., Any]
Hash = Callable[[str | Path], dict[str, str]]
Read = Callable[[str | Path], dict[str, dict[str, bytes]]]
Records = Callable[[str | Path], dict[str, dict[str, Any]]]


@pytest.fixture
def many(tmp_path: Path, photo: Callable[..., bytes], photo_tar: Callable[..., Path]) -> Path:
    """Forty photographs of three sizes in a folder and a tar: several batches, whose order could go wrong."""
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(30):
        size = [(32, 48), (48, 32), (33, 48)][index % 3]
        (folder / f"p{index:02d}.png").write_bytes(photo(index, height=size[0], width=size[1]))
    photo_tar(folder / "t.tar", 10, first=30)
    return folder


SMALL_BATCHES = {"batch_pixels": 5000}
FULL = {"compute": SMALL_BATCHES, "read": {"images_per_shard": 12}}


# ---- the same bytes ----


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_threads_change_no_byte(many: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, threads: int) -> None:
    make_corpus(many, tmp_path / "a", **FULL, run={"threads": 1})
    make_corpus(many, tmp_path / "b", **FULL, run={"threads": threads})
    first = hash_tars(tmp_path / "a")
    assert first == hash_tars(tmp_path / "b") and len(first) == 4


@pytest.mark.parametrize("seed", range(3))
def test_timing_changes_no_byte(
    many: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    make_corpus(many, tmp_path / "a", **FULL)
    rng = random.Random(seed)

    def slow(data: bytes, *, max_pixels: int) -> np.ndarray:
        time.sleep(rng.choice([0, 0, 0.001, 0.01]))
        return decode_srgb(data, max_pixels=max_pixels)

    monkeypatch.setattr(views, "decode_srgb", slow)
    make_corpus(many, tmp_path / "b", **FULL, run={"threads": 4})
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b")


def test_torch_s_own_threads_and_rng_change_no_byte(
    many: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    before = torch.get_num_threads()
    make_corpus(many, tmp_path / "a", **FULL)
    try:
        torch.manual_seed(123)
        np.random.seed(5)
        torch.set_num_threads(3)
        make_corpus(many, tmp_path / "b", **FULL)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert hash_tars(tmp_path / "a") == hash_tars(tmp_path / "b")


def test_a_network_s_corpus_is_the_same_whatever_the_threads(
    photos: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash
) -> None:
    values = {"method": {"method": "rst_isp_net_small"}, "image": {"crop": 16, "crops": 3}}
    for threads in (1, 3):
        make_corpus(photos, tmp_path / str(threads), **values, run={"threads": threads})
    assert hash_tars(tmp_path / "1") == hash_tars(tmp_path / "3")


def pixels_of(samples: dict[str, dict[str, bytes]]) -> dict[str, dict[str, bytes]]:
    return {key: {name: data for name, data in members.items() if name != "json"} for key, members in samples.items()}


def test_the_size_of_parts_and_shards_moves_samples_and_changes_none(
    many: Path, tmp_path: Path, make_corpus: Make, read_samples: Read
) -> None:
    make_corpus(many, tmp_path / "whole", compute=SMALL_BATCHES)
    make_corpus(many, tmp_path / "parts", compute=SMALL_BATCHES, write={"part_size": 30_000})
    make_corpus(many, tmp_path / "shards", compute=SMALL_BATCHES, read={"images_per_shard": 7})
    whole = read_samples(tmp_path / "whole")
    assert len(whole) == 40
    assert read_samples(tmp_path / "parts") == whole == read_samples(tmp_path / "shards")
    counts = [len(list((tmp_path / name).glob("*.tar"))) for name in ("whole", "parts", "shards")]
    assert counts[0] == 2 and counts[1] > 5 and counts[2] == 6


def test_the_batch_budget_changes_no_pixel(many: Path, tmp_path: Path, make_corpus: Make, read_samples: Read) -> None:
    """True of unprocess, whose samples do not see each other; it stands in the digest for networks' sake."""
    for name, budget in (("a", 1), ("b", 5000), ("c", 10**7)):
        make_corpus(many, tmp_path / name, compute={"batch_pixels": budget})
    assert read_samples(tmp_path / "a") == read_samples(tmp_path / "b") == read_samples(tmp_path / "c")


def test_the_first_realization_is_the_only_one(
    many: Path, tmp_path: Path, make_corpus: Make, read_samples: Read
) -> None:
    make_corpus(many, tmp_path / "one", **FULL)
    make_corpus(many, tmp_path / "three", **FULL, noise={"realizations": 3})
    one, three = read_samples(tmp_path / "one"), read_samples(tmp_path / "three")
    assert one.keys() == three.keys()
    for key, members in three.items():
        assert set(members) == {"json", "clean.npy", "noisy.0.npy", "noisy.1.npy", "noisy.2.npy"}
        assert members["noisy.0.npy"] == one[key]["noisy.npy"] and members["clean.npy"] == one[key]["clean.npy"]
        assert len({members[f"noisy.{k}.npy"] for k in range(3)}) == 3


def test_the_same_in_memory(
    many: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash, memory: fsspec.AbstractFileSystem
) -> None:
    make_corpus(many, tmp_path / "disk", **FULL)
    make_corpus(many, "memory://corpus", **FULL)
    assert hash_tars("memory://corpus") == hash_tars(tmp_path / "disk")


def test_input_from_memory_to_memory(
    many: Path, tmp_path: Path, make_corpus: Make, read_samples: Read, memory: fsspec.AbstractFileSystem
) -> None:
    memory.put(str(many), "/photos", recursive=True)
    assert make_corpus("memory://photos", "memory://corpus", **FULL).exit_code == 0
    make_corpus(many, tmp_path / "disk", **FULL)
    assert pixels_of(read_samples("memory://corpus")) == pixels_of(read_samples(tmp_path / "disk"))
    assert make_corpus("memory://photos", "memory://corpus", **FULL).skipped_shards == 4


# ---- what is in a corpus ----


@pytest.mark.parametrize("method", ["unprocess", "rst_isp_net_small"])
def test_stored_values_replay_from_the_source_and_the_json(
    method: str, photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Read
) -> None:
    """With nothing but a photograph, KEY.json and the transforms: the DN of KEY.clean.npy and KEY.noisy.npy."""
    values = {"image": {"crop": (16, 24), "crops": 2}, "noise": {"realizations": 2}, "method": {"method": method}}
    make_corpus(photos, tmp_path / "corpus", **values)
    samples = read_samples(tmp_path / "corpus")
    assert len(samples) == 10
    for members in samples.values():
        meta = json.loads(members["json"])
        srgb = decode_srgb(Path(meta["source"]["url"]).read_bytes(), max_pixels=10**6)
        top, left, height, width = meta["source"]["crop"]
        crop = torch.from_numpy(srgb[None, :, top : top + height, left : left + width].copy())
        frame = torch.from_numpy(srgb)[None]
        clean = ReverseISP(meta["raw"]["method"]).apply_params(crop, [meta["raw"]], frame=frame)
        stored = {"clean.npy": (clean, meta["clean"]["levels"])}
        rounded = RawImage((clean.packed * 65535).round() / 65535, clean.metadata)
        for entry in meta["noisy"]:
            noisy = AddNoise(entry["noise"]["model"]).apply_params(rounded, [entry["noise"]])
            stored[entry["member"]] = (noisy, entry["levels"])
        for name, (raw, levels) in stored.items():
            black, white = levels["black_level"], levels["white_level"]
            dn = (raw.packed[0] * (white - black) + black).round().clamp(0, white).numpy().astype(np.uint16)
            assert np.array_equal(np.load(io.BytesIO(members[name])), dn), (meta["key"], name)


def test_names_and_sources(photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Read) -> None:
    make_corpus(photos, tmp_path / "corpus")
    samples = read_samples(tmp_path / "corpus")
    sources = {key: json.loads(members["json"])["source"] for key, members in samples.items()}
    assert {key: source["key"] for key, source in sources.items()} == {
        "astronaut-jpg": "astronaut.jpg",
        "cats/chelsea-png": "cats/chelsea.png",
        "cats/chelsea=2Ev2-jpeg": "cats/chelsea.v2.jpeg",
        "coffee-PNG": "coffee.PNG",
        "rocket-jpg": "rocket.jpg",
    }
    assert all(source["url"] == str(photos / source["key"]) for source in sources.values())
    assert {key for key, source in sources.items() if source["trimmed_to_even"]} == {"rocket-jpg"}
    assert all(set(members) == {"json", "clean.npy", "noisy.npy"} for members in samples.values())


def test_kept_members_travel_along_and_replace_nothing(
    tmp_path: Path, make_tar: Callable[..., Path], make_corpus: Make, read_samples: Read, photo: Callable[..., bytes]
) -> None:
    kept = {"txt": b"a caption", "json": b'{"label": 3}', "cls": b"3", "clean.npy": b"not ours"}
    members = {"a.png": photo(0), **{f"a.{ext}": data for ext, data in kept.items()}, "b.png": photo(1)}
    make_tar(tmp_path / "in.tar", members)
    make_corpus(
        tmp_path / "in.tar", tmp_path / "corpus", read={"keep": list(kept)}, image={"crop": 16, "crops": 2}
    )
    samples = read_samples(tmp_path / "corpus")
    assert set(samples) == {"in/a-c0", "in/a-c1", "in/b-c0", "in/b-c1"}
    for key in ("in/a-c0", "in/a-c1"):
        assert json.loads(samples[key]["json"])["key"] == key
        assert {ext: samples[key].get(ext) for ext in ("txt", "source.json", "cls", "source.clean.npy")} == {
            "txt": b"a caption", "source.json": b'{"label": 3}', "cls": b"3", "source.clean.npy": b"not ours",
        }  # fmt: skip
    assert set(samples["in/b-c0"]) == {"json", "clean.npy", "noisy.npy"}


def test_the_source_crop_can_travel_along(
    photos: Path, tmp_path: Path, make_corpus: Make, read_samples: Read, read_records: Records
) -> None:
    make_corpus(photos, tmp_path / "corpus", write={"srgb": True}, image={"crop": 16})
    for members in read_samples(tmp_path / "corpus").values():
        picture = decode_srgb(members["srgb.jpg"], max_pixels=10**6)
        meta = json.loads(members["json"])
        top, left, height, width = meta["source"]["crop"]
        srgb = decode_srgb(Path(meta["source"]["url"]).read_bytes(), max_pixels=10**6)
        cut = srgb[:, top : top + height, left : left + width].astype(float)
        assert np.sqrt(((picture - cut) ** 2).mean()) < 8
    (record,) = read_records(tmp_path / "corpus").values()
    assert record["members"] == ["json", "clean.npy", "noisy.npy", "srgb.jpg"]


@pytest.mark.parametrize("limit", [1, 10, 12, 99])
def test_limit_counts_images_over_tars_and_folders(
    many: Path, tmp_path: Path, make_corpus: Make, read_samples: Read, limit: int
) -> None:
    """The tar comes first, with ten; then the folder, in its paths' order."""
    summary = make_corpus(many, tmp_path / "corpus", read={"limit": limit, "images_per_shard": 12})
    written = list(read_samples(tmp_path / "corpus"))
    everything = [*(f"t/s{i:02d}" for i in range(10)), *(f"p{i:02d}-png" for i in range(30))]
    assert summary.exit_code == 0 and summary.sources == min(limit, 40)
    assert sorted(written) == sorted(everything[:limit])


def test_splits_go_by_source(many: Path, tmp_path: Path, make_corpus: Make, read_records: Records) -> None:
    splits = {"train": 0.6, "val": 0.4}
    make_corpus(many, tmp_path / "corpus", read={"splits": splits}, image={"crop": 16, "crops": 3})
    parts = [part for record in read_records(tmp_path / "corpus").values() for part in record["parts"]]
    assert {part["name"]: part["split"] for part in parts} == {
        f"{shard}-{split}-00.tar": split for shard in ("images-00000", "t") for split in splits
    }
    images: dict[str, set[str]] = {name: set() for name in splits}
    for part in parts:
        with tarfile.open(tmp_path / "corpus" / part["name"]) as archive:
            keys = {name.partition(".")[0] for name in archive.getnames()}
        assert len(keys) == part["samples"]
        images[part["split"]] |= {key.rpartition("-c")[0] for key in keys}
        assert all({f"{image}-c{i}" for i in range(3)} <= keys for image in {k.rpartition("-c")[0] for k in keys})
    assert not images["train"] & images["val"] and len(images["train"] | images["val"]) == 40


# ---- what is recorded ----


def test_losses_and_filters_are_recorded_and_counted(
    photos: Path, tmp_path: Path, make_corpus: Make, read_records: Records, photo: Callable[..., bytes]
) -> None:
    (photos / "b0.jpg").write_bytes(b"")
    (photos / "b1.jpg").write_bytes(photo(0, fmt="JPEG")[:300])
    (photos / "b2.png").write_text("text")
    (photos / "small.png").write_bytes(photo(0, height=12, width=60))
    summary = make_corpus(photos, tmp_path / "corpus")
    (record,) = read_records(tmp_path / "corpus").values()
    assert (record["sources"], record["samples"], record["skipped"], record["lost"]) == (9, 5, 1, 3)
    assert (summary.sources, summary.samples, summary.left_out, summary.lost) == (9, 5, 1, 3)
    wanted = (("b0-jpg", "empty"), ("b1-jpg", "damaged"), ("b2-png", "not an image"))
    for error, (key, cause) in zip(record["errors"], wanted, strict=True):
        assert (error["key"], error["stage"]) == (key, "decode") and cause in error["cause"]
    assert record["skips"] == [{"key": "small-png", "reason": "too small: 12x60, min_side wants 16x16"}]
    assert summary.exit_code == 0


@pytest.mark.parametrize("blocks_left", [2, 9, 20])
def test_a_tar_cut_short_is_recorded(
    tmp_path: Path, photo_tar: Callable[..., Path], make_corpus: Make, read_records: Records, blocks_left: int
) -> None:
    path = photo_tar(tmp_path / "in.tar", 4)
    path.write_bytes(path.read_bytes()[: 512 * blocks_left])
    make_corpus(path, tmp_path / "corpus")
    (record,) = read_records(tmp_path / "corpus").values()
    assert record["lost"] == len(record["errors"]) >= 1
    assert {e["stage"] for e in record["errors"]} == {"read"}
    assert any(e["key"] == str(path) and "cut short" in e["cause"] for e in record["errors"])
    assert record["samples"] < 4


def test_a_record_says_what_made_it(
    photos: Path, tmp_path: Path, make_corpus: Make, read_records: Records, hash_tars: Hash
) -> None:
    make_corpus(photos, tmp_path / "corpus", read={"images_per_shard": 2})
    plan = json.loads((tmp_path / "corpus/dataset.json").read_text())
    records = read_records(tmp_path / "corpus")
    assert {name: sha for r in records.values() for name, sha in [(p["name"], p["sha256"]) for p in r["parts"]]} == (
        hash_tars(tmp_path / "corpus")
    )
    assert {r["config_digest"] for r in records.values()} == {plan["config_digest"]}
    assert [row for r in records.values() for row in r["inputs"]] == [
        [str(photos / path), size] for shard in plan["shards"] for path, size in shard["files"]
    ]
    for record in records.values():
        assert {"torch", "numpy", "pillow", "rawsynth", "cpu"} <= record["environment"].keys()
        assert {"host", "started", "seconds"} <= record["run"].keys()


def test_whoever_watches_hears_of_everything_once(
    photos: Path, tmp_path: Path, photo: Callable[..., bytes]
) -> None:
    (photos / "broken.jpg").write_bytes(b"")
    heard: list[Progress] = []

    class Watching(Observer):
        def progress(self, shard: object, progress: Progress) -> None:
            heard.append(progress)

    made = build_config({"input": str(photos), "output": str(tmp_path / "corpus"), "compute": {"batch_pixels": 1}})
    summary = generate(made, Watching())
    totals = [sum(getattr(p, name) for p in heard) for name in ("sources", "samples", "lost", "skipped")]
    assert totals == [summary.sources, summary.samples, summary.lost, summary.left_out] == [6, 5, 1, 0]
    assert len(heard) >= 5
    assert 0 < sum(p.bytes_written for p in heard) <= summary.bytes
    (error,) = [error for p in heard for error in p.errors]
    assert (error["key"], error["stage"]) == ("broken-jpg", "decode") and "empty" in error["cause"]
    assert all(len(p.errors) == p.lost for p in heard)


def test_a_record_says_where_the_time_went(
    many: Path, tmp_path: Path, make_corpus: Make, read_records: Records
) -> None:
    make_corpus(many, tmp_path / "corpus", **FULL, run={"threads": 2})
    for record in read_records(tmp_path / "corpus").values():
        stages, seconds = record["run"]["stages"], record["run"]["seconds"]
        assert set(stages) == set(STAGES)
        assert all(stages[name] > 0 for name in ("decode", "method", "noise", "write"))
        # Two threads that decode, two that synthesise, one that reads ahead and one that writes.
        assert sum(stages.values()) <= 6 * (seconds + 0.1)


def test_shards_may_share_their_threads(many: Path, tmp_path: Path, make_corpus: Make, hash_tars: Hash) -> None:
    make_corpus(many, tmp_path / "apart", **FULL)
    config = build_config({
        "input": str(many), "output": str(tmp_path / "shared"), "method": {"method": "unprocess"}, **FULL,
    })  # fmt: skip
    dataset = open_dataset(config, print)
    synthesizer = Synthesizer(dataset.config)
    with make_pools(synthesizer, 3) as pools:
        for shard in dataset.shards:
            run_shard(shard, dataset.config, synthesizer, digest="", threads=3, pools=pools)
    assert hash_tars(tmp_path / "shared") == hash_tars(tmp_path / "apart")


def test_a_shard_that_fails_leaves_shared_threads_idle(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was under way is over when the shard has raised, so that it cannot meet the next one."""
    config = build_config({
        "input": str(many), "output": str(tmp_path / "out"), "method": {"method": "unprocess"}, **FULL,
    })  # fmt: skip
    dataset = open_dataset(config, print)
    synthesizer = Synthesizer(dataset.config)
    working: list[str] = []

    def slow(data: bytes, *, max_pixels: int) -> np.ndarray:
        working.append("begun")
        time.sleep(0.05)
        working.remove("begun")
        return decode_srgb(data, max_pixels=max_pixels)

    monkeypatch.setattr(views, "decode_srgb", slow)
    folder = next(shard for shard in dataset.shards if shard.kind == "images")
    (many / folder.files[1].path).unlink()
    with make_pools(synthesizer, 4) as pools:
        with pytest.raises(InputAccessError):
            run_shard(folder, dataset.config, synthesizer, digest="", threads=4, pools=pools)
        assert not working


def test_a_file_name_that_is_no_utf8(
    tmp_path: Path, make_corpus: Make, read_samples: Read, photo: Callable[..., bytes]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / b"caf\xe9.png".decode("utf-8", "surrogateescape")).write_bytes(photo(0))
    assert make_corpus(folder, tmp_path / "corpus").exit_code == 0
    (members,) = read_samples(tmp_path / "corpus").values()
    assert json.loads(members["json"])["key"] == "caf=E9-png"


def test_names_in_a_tar_lead_nowhere(
    tmp_path: Path, make_tar: Callable[..., Path], make_corpus: Make, photo: Callable[..., bytes]
) -> None:
    names = ["/abs/a.png", "../../up.png", "x/../../y.png"]
    make_tar(tmp_path / "in.tar", {name: photo(i) for i, name in enumerate(names)})
    (tmp_path / "list.txt").write_text(f"in.tar\n{tmp_path}/abs.png\n")
    (tmp_path / "abs.png").write_bytes(photo(5))
    summary = make_corpus(tmp_path / "list.txt", tmp_path / "corpus")
    assert summary.samples == 4
    for part in (tmp_path / "corpus").glob("*.tar"):
        with tarfile.open(part) as archive:
            for member in archive:
                assert tarfile.data_filter(member, str(tmp_path / "unpacked")).name == member.name
