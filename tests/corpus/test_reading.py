"""reading: training pairs on the unit scale, every sample once, whoever shares the work."""

import io
import json
import pickle
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
import webdataset as wds
from PIL import Image
from torch.utils.data import DataLoader

import rawsynth
from rawsynth.corpus.reading import SampleMeta
from rawsynth.errors import CorpusError, UsageError

Make = Callable[..., Any]
COUNT = 24


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, make_corpus: Make, photo: Callable[..., bytes]) -> Path:
    """24 photographs in eight parts and two splits; noise strong enough to fall under black."""
    root = tmp_path_factory.mktemp("made")
    (root / "in").mkdir()
    for index in range(COUNT):
        (root / f"in/p{index:02d}.png").write_bytes(photo(index))
    read = {"images_per_shard": 6, "splits": {"train": 0.7, "val": 0.3}}
    noise = {"shot": 0.01, "read": [1e-3, 2e-3, 3e-3, 4e-3]}
    make_corpus(root / "in", root / "corpus", read=read, noise=noise, image={"crop": (32, 32)})
    return root / "corpus"


@pytest.fixture
def corpus(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "corpus"))


def keys(pairs: Iterable[dict[str, Any]]) -> list[str]:
    return [pair["meta"]["key"] for pair in pairs]


ALL_KEYS = [f"p{index:02d}-png" for index in range(COUNT)]


# ---- what a pair is ----


def test_pairs_are_the_stored_dn_on_the_unit_scale(
    made: Path, read_samples: Callable[..., dict[str, dict[str, bytes]]]
) -> None:
    stored = read_samples(made)
    below = 0
    for pair in rawsynth.open_corpus(str(made), shuffle=0):
        members = stored[pair["meta"]["key"]]
        clean, noisy = (np.load(io.BytesIO(members[f"{name}.npy"])).astype(np.float64) for name in ("clean", "noisy"))
        noisy = (noisy - 512) / (16383 - 512)
        shot, read = (np.array(pair["meta"]["noisy"][name])[:, None, None] for name in ("shot", "read"))
        wanted = {"clean": clean / 65535, "noisy": noisy, "variance": shot * np.maximum(noisy, 0) + read}
        for name, values in wanted.items():
            assert pair[name].dtype == torch.float32 and pair[name].shape == (4, 16, 16)
            assert np.abs(pair[name].double().numpy() - values).max() < 1e-6, name
        below += int((pair["noisy"] < 0).sum())
    assert below > 100


def test_meta_is_the_sample_s_json(made: Path, read_samples: Callable[..., dict[str, dict[str, bytes]]]) -> None:
    stored = read_samples(made)
    for pair in rawsynth.open_corpus(str(made), shuffle=0):
        written = json.loads(stored[pair["meta"]["key"]]["json"])
        assert pair["meta"] == {**written, "noisy": written["noisy"][0]}
        raw = pair["meta"].raw()
        assert (raw.cfa, raw.method) == ("RGGB", "unprocess")
        assert raw.noise is not None and raw.noise.seed == pair["meta"]["noisy"]["noise"]["seed"]
        assert torch.allclose(raw.read, torch.tensor([1e-3, 2e-3, 3e-3, 4e-3]))
        assert torch.allclose(raw.white_balance, torch.tensor(written["raw"]["white_balance"]))


def test_each_realization_is_a_pair(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus", noise={"realizations": 3})
    pairs = list(rawsynth.open_corpus(str(tmp_path / "corpus"), shuffle=0))
    assert Counter(keys(pairs)) == dict.fromkeys(keys(pairs), 3) and len(pairs) == 15
    for first, second, third in zip(*[iter(pairs)] * 3, strict=True):
        assert [p["meta"]["noisy"]["member"] for p in (first, second, third)] == [f"noisy.{k}.npy" for k in range(3)]
        assert torch.equal(first["clean"], third["clean"]) and not torch.equal(first["noisy"], second["noisy"])


def test_plain_webdataset_reads_the_parts(made: Path) -> None:
    urls = [str(path) for path in sorted(made.glob("*.tar"))]
    samples = list(wds.WebDataset(urls, shardshuffle=False).decode())
    assert sorted(sample["__key__"] for sample in samples) == ALL_KEYS
    for sample in samples:
        assert sample["clean.npy"].dtype == sample["noisy.npy"].dtype == np.uint16
        assert sample["noisy.npy"].shape == (4, 16, 16)
        assert sample["json"]["key"] == sample["__key__"]


# ---- order ----


def test_without_shuffling_the_order_is_the_corpus_s(made: Path) -> None:
    in_tars: list[str] = []
    for path in sorted(made.glob("*.tar")):
        with tarfile.open(path) as archive:
            in_tars += dict.fromkeys(name.partition(".")[0] for name in archive.getnames())
    dataset = rawsynth.open_corpus(str(made), shuffle=0)
    assert keys(dataset) == in_tars == keys(dataset)


def test_shuffling_is_seeded_and_complete(made: Path) -> None:
    first = keys(rawsynth.open_corpus(str(made), seed=1))
    assert sorted(first) == ALL_KEYS and first != ALL_KEYS
    assert keys(rawsynth.open_corpus(str(made), seed=1)) == first
    assert keys(rawsynth.open_corpus(str(made), seed=2)) != first
    assert sorted(keys(rawsynth.open_corpus(str(made), shuffle=3))) == ALL_KEYS


def test_epochs_differ(made: Path) -> None:
    dataset = rawsynth.open_corpus(str(made))
    first, second = keys(dataset), keys(dataset)
    assert first != second and sorted(first) == sorted(second)


@pytest.mark.parametrize("persistent", [True, False])
def test_epochs_differ_in_workers_too(made: Path, persistent: bool) -> None:
    """Without persistent workers each epoch starts from a fresh copy of the dataset."""
    dataset = rawsynth.open_corpus(str(made))
    loader = DataLoader(dataset, batch_size=None, num_workers=2, persistent_workers=persistent)
    first, second = keys(loader), keys(loader)
    assert sorted(first) == sorted(second) == ALL_KEYS
    assert first != second


# ---- shared work ----


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_share_the_samples(made: Path, workers: int) -> None:
    loader = DataLoader(rawsynth.open_corpus(str(made)), batch_size=None, num_workers=workers)
    assert sorted(keys(loader)) == ALL_KEYS


def test_more_workers_than_parts(photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    loader = DataLoader(rawsynth.open_corpus(str(tmp_path / "corpus")), batch_size=None, num_workers=2)
    assert len(set(keys(loader))) == 5


@pytest.mark.parametrize("shuffle", [0, 100])
def test_nodes_share_the_samples(made: Path, monkeypatch: pytest.MonkeyPatch, shuffle: int) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    shares = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(keys(rawsynth.open_corpus(str(made), shuffle=shuffle)))
    assert all(shares) and sorted(key for share in shares for key in share) == ALL_KEYS


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_collated(made: Path, workers: int) -> None:
    loader = DataLoader(rawsynth.open_corpus(str(made)), batch_size=4, num_workers=workers)
    seen = []
    for batch in loader:
        count = len(batch["meta"])
        assert all(batch[name].shape == (count, 4, 16, 16) for name in ("noisy", "clean", "variance"))
        assert all(isinstance(meta, SampleMeta) for meta in batch["meta"])
        seen += [meta["key"] for meta in batch["meta"]]
    assert sorted(seen) == ALL_KEYS


@pytest.fixture
def labelled(photos: Path, tmp_path: Path, make_corpus: Make) -> str:
    """A corpus of which one sample has a caption."""
    read = {"keep": ["txt"]}
    make_corpus(
        photos, tmp_path / "labelled", read=read, write={"srgb": True}, image={"crop": 32}, noise={"realizations": 2}
    )
    rawsynth.write_index(str(tmp_path / "labelled"))
    return str(tmp_path / "labelled")


def test_members_that_are_asked_for_come_along(labelled: str) -> None:
    caption = {"astronaut-jpg": b"a woman in a space suit"}
    pairs = list(rawsynth.open_corpus(labelled, members=["txt", "srgb.jpg"]))
    assert len(pairs) == 10 and all(pair["members"].keys() == {"txt", "srgb.jpg"} for pair in pairs)
    assert {pair["meta"]["key"]: pair["members"]["txt"] for pair in pairs if pair["members"]["txt"]} == caption
    assert all(Image.open(io.BytesIO(pair["members"]["srgb.jpg"])).size == (32, 32) for pair in pairs)
    index = rawsynth.CorpusIndex.open(labelled, members=["txt"])
    assert [pair["members"] for pair in index.filter(source="astronaut.jpg").values()] == [
        {"txt": caption["astronaut-jpg"]}
    ] * 2
    assert "members" not in rawsynth.CorpusIndex.open(labelled)[0]
    batch = next(iter(DataLoader(rawsynth.open_corpus(labelled, shuffle=0, members=["txt"]), batch_size=4)))
    assert batch["members"]["txt"] == [caption["astronaut-jpg"]] * 2 + [b""] * 2


def test_members_that_no_sample_has_are_refused(labelled: str) -> None:
    for read in (rawsynth.open_corpus, rawsynth.CorpusIndex.open):
        with pytest.raises(UsageError, match=r"no member 'cls'; its samples may have .*srgb\.jpg, txt"):
            read(labelled, members=["cls"])


def test_a_dataset_can_be_sent_to_a_spawned_worker(made: Path) -> None:
    dataset = pickle.loads(pickle.dumps(rawsynth.open_corpus(str(made))))
    assert sorted(keys(dataset)) == ALL_KEYS


# ---- which parts ----


def test_splits(made: Path) -> None:
    train, val = (rawsynth.open_corpus(str(made), split=name) for name in ("train", "val"))
    pairs = {"train": list(train), "val": list(val)}
    assert all({pair["meta"]["split"] for pair in some} == {name} for name, some in pairs.items())
    assert sorted(keys(pairs["train"]) + keys(pairs["val"])) == ALL_KEYS


NAMED = ["{c}", "{c}/", "file://{c}", "{c}/*.tar", "{c}/*-{{train,val}}-00.tar", ["{c}/*train*", "{c}/*val*"]]


@pytest.mark.parametrize("urls", NAMED)
def test_ways_to_name_a_corpus(made: Path, urls: str | list[str]) -> None:
    named = urls.format(c=made) if isinstance(urls, str) else [url.format(c=made) for url in urls]
    assert sorted(keys(rawsynth.open_corpus(named))) == ALL_KEYS


def test_in_memory(made: Path, memory: fsspec.AbstractFileSystem) -> None:
    memory.put(str(made), "/corpus", recursive=True)
    assert sorted(keys(rawsynth.open_corpus("memory://corpus"))) == ALL_KEYS
    assert sorted(keys(rawsynth.open_corpus("memory://corpus/*.tar"))) == ALL_KEYS


def test_an_unfinished_corpus_gives_what_is_done(corpus: Path) -> None:
    (corpus / "records/images-00001.json").unlink()
    assert sorted(keys(rawsynth.open_corpus(str(corpus)))) == ALL_KEYS[:6] + ALL_KEYS[12:]


MISSING = [
    ("{c}", {"split": "tset"}, "no split 'tset'; it has train, val"),
    ("{c}/*.tar", {"split": "train"}, "needs the folder of a corpus"),
    ("{c}/records", {}, "no corpus parts in"),
    ("{c}/*.tgz", {}, "no corpus parts in"),
    ("{c}/nowhere", {}, "no corpus parts in"),
]


@pytest.mark.parametrize(("urls", "options", "message"), MISSING)
def test_what_is_not_there_is_refused_at_once(made: Path, urls: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        rawsynth.open_corpus(urls.format(c=made), **options)


# ---- damage ----


@pytest.mark.parametrize("cut", [-512, -1024, 1536, 0])
@pytest.mark.parametrize("how", ["{c}", "{c}/*.tar"])
def test_a_part_cut_short_is_an_error(corpus: Path, how: str, cut: int) -> None:
    """webdataset alone would read it as a shorter part, without a word."""
    part = corpus / "images-00002-train-00.tar"
    content = part.read_bytes().rstrip(b"\0")
    whole = content.ljust(-(-len(content) // 512) * 512, b"\0") + bytes(1024)
    part.write_bytes(whole[:cut])
    with pytest.raises(CorpusError, match=r"images-00002-train-00\.tar.*rawsynth verify"):
        list(rawsynth.open_corpus(how.format(c=corpus)))


def test_a_part_of_another_length_is_an_error(corpus: Path) -> None:
    part = corpus / "images-00002-val-00.tar"
    part.write_bytes(part.read_bytes() + bytes(10240))
    with pytest.raises(CorpusError, match=r"val-00\.tar has \d+ bytes, its record says"):
        list(rawsynth.open_corpus(str(corpus)))


def test_a_part_that_is_gone_is_an_error(corpus: Path) -> None:
    (corpus / "images-00002-val-00.tar").unlink()
    with pytest.raises(OSError, match=r"val-00\.tar"):
        list(rawsynth.open_corpus(str(corpus)))


FOREIGN = [{"a.jpg": b"x"}, {"a.json": b"{}"}, {"a.json": b"no", "a.clean.npy": b""}, {"a.json": b'{"clean": 1}'}]


@pytest.mark.parametrize("members", FOREIGN, ids=repr)
def test_another_tar_is_an_error(tmp_path: Path, make_tar: Callable[..., Path], members: dict[str, bytes]) -> None:
    path = make_tar(tmp_path / "other.tar", members)
    with pytest.raises(CorpusError, match=r"other\.tar: sample a is not a rawsynth sample"):
        list(rawsynth.open_corpus(str(path)))


def test_a_damaged_plan_is_an_error(corpus: Path) -> None:
    (corpus / "dataset.json").write_text("{")
    with pytest.raises(CorpusError, match=r"dataset\.json is damaged"):
        rawsynth.open_corpus(str(corpus))
