"""access: any sample by its key or number, as open_corpus gives it, and never one that the index has wrong."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
from torch.utils.data import DataLoader

import rawsynth
from rawsynth import CorpusIndex
from rawsynth.corpus.index import write_index
from rawsynth.errors import CorpusError, UnknownKeyError, UsageError
from tests.corpus.damage import patch_record

Make = Callable[..., Any]


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> dict[str, Path]:
    """An indexed corpus of each kind, eight photographs in four shards and two splits."""
    root = tmp_path_factory.mktemp("kinds")
    (root / "in").mkdir()
    for index in range(8):
        (root / f"in/p{index}.png").write_bytes(photo(index))
    read = {"images_per_shard": 2, "splits": {"train": 0.6, "val": 0.4}}
    noise = {"iso": [800, 6400]}
    kinds: dict[str, dict[str, Any]] = {
        "pairs": {"noise": noise, "write": {"srgb": True}},
        "realizations": {"noise": {**noise, "realizations": 3}},
        "clean": {"noise": {**noise, "realizations": 2}, "write": {"clean_only": True}},
    }
    for name, values in kinds.items():
        make_corpus(root / "in", root / name, read=read, method={"camera": "Sony ILCE-7SM2"}, **values)
        write_index(str(root / name))
    return {name: root / name for name in kinds}


@pytest.fixture
def indexed(kinds: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(kinds["pairs"], tmp_path / "indexed"))


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    if one.keys() != other.keys() or one["meta"] != other["meta"]:
        return False
    if "raw" in one:
        return torch.equal(one["raw"].packed, other["raw"].packed)
    return all(torch.equal(one[name], other[name]) for name in ("noisy", "clean", "variance"))


# ---- the same samples ----


@pytest.mark.parametrize("kind", ["pairs", "realizations", "clean"])
def test_keys_and_numbers_give_what_open_corpus_gives_in_its_order(kinds: dict[str, Path], kind: str) -> None:
    index = CorpusIndex.open(str(kinds[kind]))
    pairs = list(rawsynth.open_corpus(str(kinds[kind]), shuffle=0))
    keys = list(index)
    assert len(index) == len(pairs) == len(set(keys))
    for number, (key, pair) in enumerate(zip(keys, pairs, strict=True)):
        assert same(index[key], pair) and same(index[number], pair) and same(index[number - len(pairs)], pair)
        assert key in index and key.partition("#")[0] == pair["meta"]["key"]


def test_several_realizations_have_keys_of_their_own(kinds: dict[str, Path]) -> None:
    index = CorpusIndex.open(str(kinds["realizations"]))
    assert list(index)[:3] == ["p0-png", "p0-png#1", "p0-png#2"]
    assert index["p0-png#2"]["meta"]["noisy"]["member"] == "noisy.2.npy"
    for wrong in ("p0-png#0", "p0-png#3", "p0-png#", "p0-png#01", "p0-png#x"):
        assert wrong not in index


def test_only_the_sample_s_bytes_are_read(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index = CorpusIndex.open(str(indexed))
    row = index.row("p5-png")
    read: list[tuple[str, int, int]] = []
    inner = fsspec.implementations.local.LocalFileSystem.cat_file

    def counted(fs: Any, path: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        if path.endswith(".tar"):
            assert start is not None and end is not None
            read.append((path, start, end))
        data: bytes = inner(fs, path, start=start, end=end, **options)
        return data

    monkeypatch.setattr(fsspec.implementations.local.LocalFileSystem, "cat_file", counted)
    index["p5-png"]
    first, last = row["members"]["clean.npy"], row["members"]["noisy.npy"]
    assert read == [(str(indexed / row["part"]), first[0] - 512, sum(last))]


def test_long_names(tmp_path: Path, photo: Callable[..., bytes], make_corpus: Make) -> None:
    """A name over 100 characters stands in a header of its own."""
    folder = tmp_path / "in" / ("a" * 90) / ("b" * 90)
    folder.mkdir(parents=True)
    for index in range(2):
        (folder / f"{'c' * 90}{index}.png").write_bytes(photo(index))
    make_corpus(tmp_path / "in", tmp_path / "corpus")
    write_index(str(tmp_path / "corpus"))
    index = CorpusIndex.open(str(tmp_path / "corpus"))
    pairs = list(rawsynth.open_corpus(str(tmp_path / "corpus"), shuffle=0))
    assert len(index) == 2 and all(same(index[number], pair) for number, pair in enumerate(pairs))
    assert rawsynth.verify(str(tmp_path / "corpus")).problems == []


def test_in_memory(indexed: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.put(str(indexed), "/corpus", recursive=True)
    remote, local = CorpusIndex.open("memory://corpus"), CorpusIndex.open(str(indexed))
    assert list(remote) == list(local)
    assert all(same(remote[key], local[key]) for key in local)
    assert same(pickle.loads(pickle.dumps(remote))["p3-png"], local["p3-png"])


# ---- as a dataset ----


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_takes_it_for_a_map_style_dataset(kinds: dict[str, Path], workers: int) -> None:
    index = CorpusIndex.open(str(kinds["pairs"]))
    loader = DataLoader(index, batch_size=3, shuffle=True, num_workers=workers)  # type: ignore[arg-type]
    batches = list(loader)
    assert [batch["noisy"].shape[0] for batch in batches] == [3, 3, 2]
    assert sorted(meta["key"] for batch in batches for meta in batch["meta"]) == sorted(index)


def test_it_can_be_sent_to_another_process(indexed: Path) -> None:
    index = CorpusIndex.open(str(indexed)).filter(split="train")
    sent = pickle.dumps(index)
    assert len(sent) < 20_000
    again = pickle.loads(sent)
    assert list(again) == list(index) and same(again[0], index[0])
    with (indexed / "index.jsonl").open("ab") as file:
        file.write(b"{}\n")
    with pytest.raises(CorpusError, match="open it again"):
        pickle.loads(sent)


# ---- rows and choices ----


def test_rows_are_flat(kinds: dict[str, Path]) -> None:
    index = CorpusIndex.open(str(kinds["realizations"]))
    rows = list(index.rows())
    assert len(rows) == 24 and rows[4] == index.row(4) == index.row("p1-png#1")
    meta = index[4]["meta"]
    row = rows[4]
    assert (row["iso"], row["shot"]) == (meta["noisy"]["noise"]["iso"], meta["noisy"]["shot"])
    assert (row["realization"], row["member"], row["noise"]) == (1, "noisy.1.npy", "poisson_gaussian")
    assert (row["camera"], row["noise_camera"], row["source"]) == ("Sony ILCE-7SM2", "Sony ILCE-7SM2", "p1.png")


def test_filters(kinds: dict[str, Path]) -> None:
    index = CorpusIndex.open(str(kinds["pairs"]))
    isos = {row["key"]: row["iso"] for row in index.rows()}
    middle = sorted(isos.values())[3]
    low = index.filter(iso=(0, middle))
    assert list(low) == [key for key, iso in isos.items() if iso <= middle] and len(low) == 4
    assert [pair["meta"]["key"] for pair in low.values()] == list(low)
    assert same(low[-1], index[list(low)[-1]])
    train = index.filter(split="train")
    assert {pair["meta"]["split"] for pair in train.values()} == {"train"} and 0 < len(train) < 8
    both = train.filter(lambda row: row["iso"] <= middle, camera={"Sony ILCE-7SM2"})
    assert list(both) == [key for key in train if key in low]
    assert all((key in both) == (key in set(both)) for key in index)
    assert len(index.filter(camera="none")) == 0 and list(index.filter(camera="none").filter(cct=(0, 1))) == []
    with pytest.raises(UsageError, match="no column lens; it has key, shard"):
        index.filter(lens="50 mm")


# ---- what is not there ----


@pytest.mark.parametrize("key", ["p9-png", "", "p0", 8, -9])
def test_an_unknown_sample_says_what_there_is(kinds: dict[str, Path], key: str | int) -> None:
    index = CorpusIndex.open(str(kinds["pairs"]))
    hint = "from 0 to 7" if isinstance(key, int) else "like 'p0-png'.*rawsynth index"
    with pytest.raises(UnknownKeyError, match=hint):
        index[key]
    with pytest.raises(LookupError):
        index.row(key)
    assert index.get(str(key)) is None and key not in index


def test_what_a_filter_left_out_is_unknown(kinds: dict[str, Path]) -> None:
    index = CorpusIndex.open(str(kinds["pairs"]))
    one = index.filter(source="p3.png")
    assert list(one) == ["p3-png"]
    with pytest.raises(UnknownKeyError):
        one["p4-png"]
    with pytest.raises(UnknownKeyError):
        one[1]


def test_a_missing_index_names_the_command(indexed: Path) -> None:
    (indexed / "index.jsonl").unlink()
    with pytest.raises(CorpusError, match=f"no index at .*index.jsonl.*rawsynth index {indexed}"):
        CorpusIndex.open(str(indexed))
    with pytest.raises(CorpusError, match="no corpus at"):
        CorpusIndex.open(str(indexed / "records"))


def test_an_index_elsewhere(indexed: Path, tmp_path: Path) -> None:
    (indexed / "index.jsonl").rename(tmp_path / "mine.jsonl")
    assert len(CorpusIndex.open(str(indexed), str(tmp_path / "mine.jsonl"))) == 8


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_damaged_index_names_the_command(indexed: Path, share: float) -> None:
    path = indexed / "index.jsonl"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CorpusError, match=r"index\.jsonl is .*rawsynth index"):
        CorpusIndex.open(str(indexed))


@pytest.mark.parametrize("member", ["clean.npy", "noisy.npy", "json"])
def test_a_row_that_leads_to_another_sample_is_an_error(indexed: Path, member: str) -> None:
    """Its pixels would fit as well."""
    path = indexed / "index.jsonl"
    header, *rows = path.read_text().splitlines()
    places = {json.loads(row)["part"]: json.loads(row)["members"][member] for row in rows}
    number = next(i for i, row in enumerate(map(json.loads, rows)) if places[row["part"]] != row["members"][member])
    one = json.loads(rows[number])
    one["members"][member] = places[one["part"]]
    rows[number] = json.dumps(one, separators=(",", ":"))
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(CorpusError, match=f"does not hold {one['key']}.{member} where the index says"):
        CorpusIndex.open(str(indexed))[number]


# ---- a corpus that went on ----


def test_an_index_of_another_configuration_is_stale(indexed: Path, kinds: dict[str, Path]) -> None:
    shutil.copy(kinds["realizations"] / "index.jsonl", indexed / "index.jsonl")
    with pytest.raises(CorpusError, match="does not fit .*another configuration.*rawsynth index"):
        CorpusIndex.open(str(indexed))


def test_an_index_that_lacks_a_shard_is_stale_once_it_is_made(indexed: Path) -> None:
    record = indexed / "records/images-00001.json"
    record.rename(indexed / "kept")
    write_index(str(indexed))
    assert len(CorpusIndex.open(str(indexed))) == 6
    (indexed / "kept").rename(record)
    with pytest.raises(CorpusError, match="shard images-00001 was made since.*rawsynth index"):
        CorpusIndex.open(str(indexed))


@pytest.mark.parametrize("what", ["made again", "not done any more", "damaged"])
def test_a_shard_that_changed_is_not_read_from(indexed: Path, what: str) -> None:
    index = CorpusIndex.open(str(indexed))
    record = indexed / "records/images-00001.json"
    if what == "made again":
        parts = [{**part, "sha256": "0" * 64} for part in json.loads(record.read_text())["parts"]]
        patch_record(indexed, "images-00001", parts=parts)
    elif what == "not done any more":
        record.unlink()
    else:
        record.write_text("{")
    assert index["p0-png"] and index["p7-png"]
    with pytest.raises(CorpusError, match=f"images-00001.*{what}.*rawsynth index"):
        index["p2-png"]


def test_a_part_cut_short_is_an_error(indexed: Path) -> None:
    index = CorpusIndex.open(str(indexed))
    part = indexed / index.row("p1-png")["part"]
    part.write_bytes(part.read_bytes()[:700])
    with pytest.raises(OSError, match="wanted .* bytes from"):
        index["p1-png"]


# ---- what people pass by mistake ----


def test_paths_are_as_good_as_strings(kinds: dict[str, Path]) -> None:
    corpus = kinds["pairs"]
    by_path = next(iter(rawsynth.open_corpus(corpus, shuffle=0)))
    assert same(by_path, CorpusIndex.open(corpus)[0])
    assert same(next(iter(rawsynth.open_corpus(sorted(corpus.glob("*.tar")), shuffle=0))), by_path)
    assert CorpusIndex.open(corpus, corpus / "index.jsonl")[0].keys() == by_path.keys()
    assert rawsynth.AddNoise.from_corpus(kinds["clean"]).model.name == "poisson_gaussian"


@pytest.mark.parametrize("opening", [rawsynth.open_corpus, CorpusIndex.open])
def test_one_member_as_a_string_is_told(kinds: dict[str, Path], opening: Callable[..., Any]) -> None:
    with pytest.raises(UsageError, match=r"Write members=\['srgb.jpg'\]"):
        opening(str(kinds["pairs"]), members="srgb.jpg")


def test_a_tuple_that_is_no_range_is_told(kinds: dict[str, Path]) -> None:
    with pytest.raises(UsageError, match=r"range \(least, most\); got iso=\(1, 2, 3\).*list"):
        CorpusIndex.open(str(kinds["pairs"])).filter(iso=(1, 2, 3))
