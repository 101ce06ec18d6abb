"""Parquet files of images: which column, which keys, what is kept, and what damage costs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.config import ReadConfig
from rawsynth.pipeline.inputs import list_input
from rawsynth.pipeline.reader import count_samples, read_shard
from rawsynth.pipeline.shards import InputFile, Shard, apply_limit, plan_shards
from rawsynth.pipeline.source_sample import LostSample, SourceSample
from tests.conftest import cut_photo

Rows = list[dict[str, Any]]
Read = list[SourceSample | LostSample]


def hugging_face_rows(count: int) -> Rows:
    """Rows as Hugging Face's `datasets` stores images with their labels."""
    return [
        {"image": {"bytes": cut_photo(i), "path": f"p{i}.png"}, "label": i, "text": f"photo {i}"} for i in range(count)
    ]


def write(path: Path, rows: Rows, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, **options)
    return path


def read(path: Path, keep: tuple[str, ...] = (), image_column: str | None = None) -> Read:
    shard = Shard("z", "parquet", str(path.parent), (InputFile(path.name, path.stat().st_size),))
    return list(read_shard(shard, keep, image_column=image_column))


def sources(samples: Read) -> list[SourceSample]:
    found = [sample for sample in samples if isinstance(sample, SourceSample)]
    assert len(found) == len(samples), samples
    return found


def test_a_row_is_a_sample_by_its_number(tmp_path: Path) -> None:
    samples = sources(read(write(tmp_path / "z.parquet", hugging_face_rows(20), row_group_size=3)))
    assert [sample.key for sample in samples] == [f"z/{i:08d}" for i in range(20)]
    assert samples[7].source_key == "00000007/p7.png" and samples[7].url == str(tmp_path / "z.parquet")
    assert [sample.load() for sample in samples] == [cut_photo(i) for i in range(20)]
    assert not any(sample.is_raw or sample.kept for sample in samples)


def test_columns_travel_along(tmp_path: Path) -> None:
    mask = {"bytes": b"a mask", "path": None}
    values = {
        "text": "été",
        "label": 3,
        "Boxes": [[0.5, 1.5]],
        "raw": b"\0\1",
        "mask": mask,
        "none": None,
        "nested": {"a": [b"\0"]},
    }
    rows = [{"image": {"bytes": cut_photo(0), "path": None}, **values}]
    (sample,) = sources(
        read(write(tmp_path / "z.parquet", rows), ("text", "label", "boxes", "raw", "mask", "none", "nested", "absent"))
    )
    kept = {name: load() for name, load in sample.kept.items()}
    assert kept.pop("boxes") == b"[[0.5, 1.5]]" and json.loads(kept.pop("nested")) == {"a": ["AA=="]}
    assert kept == {"text": "été".encode(), "label": b"3", "raw": b"\0\1", "mask": b"a mask"}
    assert sample.source_key == "00000000"


def test_camera_raw_is_known_by_its_path(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": b"raw", "path": "a/b.NEF"}}, {"image": {"bytes": b"sRGB", "path": "a/b.jpg"}}]
    assert [sample.is_raw for sample in sources(read(write(tmp_path / "z.parquet", rows)))] == [True, False]


def test_rows_without_an_image_are_lost_by_their_key(tmp_path: Path) -> None:
    images = [
        {"bytes": cut_photo(0), "path": None},
        None,
        {"bytes": None, "path": "far/away.jpg"},
        {"bytes": cut_photo(1), "path": None},
    ]
    samples = read(write(tmp_path / "z.parquet", [{"image": image} for image in images]))
    assert [isinstance(sample, LostSample) for sample in samples] == [False, True, True, False]
    assert samples[1] == LostSample("z/00000001", "read", "no image in column 'image': null")
    told = "no image in column 'image': only the name 'far/away.jpg'; write the bytes into the table"
    assert samples[2] == LostSample("z/00000002", "read", told)
    assert samples[3].key == "z/00000003"


def test_a_row_may_name_the_file_that_its_image_is_in(tmp_path: Path, memory: Any) -> None:
    """Hugging Face's `to_parquet` leaves the bytes of local files where they are."""
    (tmp_path / "a.png").write_bytes(cut_photo(1))
    memory.pipe("/b.png", cut_photo(2))
    paths = [str(tmp_path / "a.png"), "memory://b.png", str(tmp_path / "gone.png")]
    samples = sources(read(write(tmp_path / "z.parquet", [{"image": {"bytes": None, "path": p}} for p in paths])))
    assert [sample.load() for sample in samples[:2]] == [cut_photo(1), cut_photo(2)]
    with pytest.raises(InputAccessError, match=r"gone\.png"):
        samples[2].load()


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {
    b"huggingface": json.dumps(
        {"info": {"features": {"sound": {"_type": "Audio"}, "face": {"_type": "Image"}}}}
    ).encode()
}
COLUMNS: list[tuple[dict[str, Any], dict[bytes, bytes], str | None, str]] = [
    ({"image": STRUCT, "label": pa.int64()}, {}, None, "image"),
    ({"photo": STRUCT, "label": pa.int64()}, {}, None, "photo"),
    ({"jpg": pa.binary(), "id": pa.string()}, {}, None, "jpg"),
    ({"jpg": pa.large_binary(), "id": pa.string()}, {}, None, "jpg"),
    ({"jpg": pa.binary_view(), "id": pa.string()}, {}, None, "jpg"),
    ({"mask": STRUCT, "image": STRUCT}, {}, None, "image"),
    ({"img": pa.binary(), "thumbnail": pa.binary()}, {}, None, "img"),
    ({"before": STRUCT, "after": STRUCT}, {}, "after", "after"),
    ({"sound": STRUCT, "face": STRUCT}, FEATURES, None, "face"),
    ({"sound": STRUCT, "face": STRUCT}, {b"huggingface": b"[no json"}, "face", "face"),
    ({"a.b": pa.binary(), "n": pa.int8()}, {}, None, "a.b"),
]


@pytest.mark.parametrize(
    ("columns", "metadata", "asked", "wanted"), COLUMNS, ids=[str(list(c[0])) + str(c[2]) for c in COLUMNS]
)
def test_which_column_holds_the_images(
    tmp_path: Path, columns: dict[str, Any], metadata: dict[bytes, bytes], asked: str | None, wanted: str
) -> None:
    def cell(name: str, kind: Any) -> Any:
        data = cut_photo(1) if name == wanted else b"something else"
        return {"bytes": data, "path": None} if kind == STRUCT else data if "binary" in str(kind) else None

    row = {name: cell(name, kind) for name, kind in columns.items()}
    pq.write_table(pa.Table.from_pylist([row], schema=pa.schema(columns, metadata=metadata)), tmp_path / "z.parquet")
    (sample,) = sources(read(tmp_path / "z.parquet", (), asked))
    assert sample.load() == cut_photo(1)


WRONG: list[tuple[dict[str, Any], str | None, str]] = [
    (
        {"url": pa.string(), "text": pa.string()},
        None,
        r"no column of encoded images .*url \(string\), text \(string\).*img2dataset",
    ),
    ({"before": STRUCT, "after": STRUCT}, None, r"several columns .*--image-column: before \(struct<.*after"),
    ({"image": STRUCT}, "photo", "no column 'photo' of encoded images"),
    ({"image": STRUCT, "label": pa.int64()}, "label", "no column 'label' of encoded images"),
    ({f"c{i}": pa.string() for i in range(50)}, None, "c19 .string. and 30 more"),
]


@pytest.mark.parametrize(("columns", "asked", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_unclear_columns_are_refused_before_a_run_and_recorded_within_one(
    tmp_path: Path, cli: Callable[..., Any], columns: dict[str, Any], asked: str | None, message: str
) -> None:
    pq.write_table(pa.Table.from_pylist([], schema=pa.schema(columns)), tmp_path / "in.parquet")
    options = () if asked is None else ("--image-column", asked)
    ended = cli("generate", tmp_path / "in.parquet", tmp_path / "out", *options)
    assert ended.code == 2 and "Traceback" not in ended.err and not (tmp_path / "out").exists()
    (loss,) = read(tmp_path / "in.parquet", (), asked)
    assert isinstance(loss, LostSample) and loss.key == str(tmp_path / "in.parquet")
    with pytest.raises(UsageError, match=message):
        raise UsageError(loss.cause)
    assert loss.cause.removesuffix(" All 0 rows are lost.") in ended.err


def test_a_table_without_rows_or_images_says_so(tmp_path: Path, cli: Callable[..., Any]) -> None:
    schema = pa.schema({"image": STRUCT})
    pq.write_table(pa.Table.from_pylist([], schema=schema), tmp_path / "in.parquet")
    ended = cli("generate", tmp_path / "in.parquet", tmp_path / "out", "--method", "unprocess", "--quiet")
    assert ended.code == 1 and "nothing was written: there was no image" in ended.out
    (loss,) = read(write(tmp_path / "urls.parquet", [{"url": "https://a/b.jpg"}] * 3))
    assert isinstance(loss, LostSample) and loss.cause.endswith("All 3 rows are lost.")


def test_a_column_to_keep_that_is_not_there_is_refused(tmp_path: Path, cli: Callable[..., Any]) -> None:
    write(tmp_path / "in.parquet", hugging_face_rows(1))
    ended = cli("generate", tmp_path / "in.parquet", tmp_path / "out", "--keep", "txt")
    assert ended.code == 2 and "no column 'txt' to keep" in ended.err and "text (string)" in ended.err


# ---- what an input names ----


def test_a_folder_of_tables_is_an_input(tmp_path: Path) -> None:
    for name in ("data/train_0.parquet", "data/train_1.parquet"):
        write(tmp_path / name, hugging_face_rows(3))
    (tmp_path / "README.md").write_text("a dataset")
    shards = plan_shards(list_input(str(tmp_path), ReadConfig()), ReadConfig())
    assert [(shard.kind, shard.name) for shard in shards] == [
        ("parquet", f"data/train_{i}") for i in range(2)
    ]
    assert [Shard.from_json(shard.to_json(), shard.root, shard.base) for shard in shards] == shards
    limited = apply_limit(shards, 4, count_samples)
    assert [len(sources(list(read_shard(shard, ())))) for shard in limited] == [3, 1]
    assert count_samples(shards[0], -1) == 3 and count_samples(shards[0], 2) == 2


@pytest.mark.parametrize("source", ["{root}/*.parquet", "{root}/{{00000,00001}}.parquet", "{root}/list.txt"])
def test_tables_are_inputs_where_they_are_named(tmp_path: Path, photo_tar: Callable[..., Path], source: str) -> None:
    photo_tar(tmp_path / "00000.tar")
    for name in ("00000.parquet", "00001.parquet"):
        write(tmp_path / name, hugging_face_rows(1))
    (tmp_path / "list.txt").write_text("00000.parquet\n00001.parquet\n")
    assert [file.path for file in list_input(source.format(root=tmp_path), ReadConfig()).tables] == [
        "00000.parquet",
        "00001.parquet",
    ]


@pytest.mark.parametrize("source", ["{root}", "{root}/*"])
def test_a_table_beside_tars_is_about_them(tmp_path: Path, photo_tar: Callable[..., Path], source: str) -> None:
    """img2dataset writes a table of URLs and captions beside each tar."""
    photo_tar(tmp_path / "00000.tar")
    pq.write_table(pa.table({"url": ["http://a/b.jpg"], "caption": ["a"]}), tmp_path / "00000.parquet")
    listing = list_input(source.format(root=tmp_path), ReadConfig())
    assert ([file.path for file in listing.tars], listing.tables) == (["00000.tar"], ())


# ---- damage, access ----


def test_damage_costs_its_row_group(tmp_path: Path) -> None:
    path = write(
        tmp_path / "z.parquet",
        hugging_face_rows(12),
        row_group_size=4,
        compression="none",
        use_dictionary=False,
        write_statistics=False,
        write_page_checksum=True,
    )
    data = path.read_bytes()
    at = data.index(cut_photo(5)) + 100
    path.write_bytes(data[:at] + bytes([data[at] ^ 255]) + data[at + 1 :])
    samples = read(path)
    (loss,) = (sample for sample in samples if isinstance(sample, LostSample))
    assert loss.key == f"{path}:4" and loss.stage == "read" and "rows 4 to 7 cannot be read" in loss.cause
    assert [s.key for s in samples if s is not loss] == [f"z/{i:08d}" for i in (0, 1, 2, 3, 8, 9, 10, 11)]


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_parquet_is_lost_whole(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "z.parquet").write_bytes(content)
    (loss,) = read(tmp_path / "z.parquet")
    assert isinstance(loss, LostSample) and loss.key == str(tmp_path / "z.parquet")
    assert loss.cause.startswith("not a Parquet file, or damaged: ")


def test_a_table_out_of_reach_raises(tmp_path: Path) -> None:
    path = write(tmp_path / "z.parquet", hugging_face_rows(2))
    shard = partial(Shard, "z", "parquet", str(tmp_path))
    with pytest.raises(InputAccessError, match=r"gone\.parquet"):
        list(read_shard(shard((InputFile("gone.parquet", 5),)), ()))
    with pytest.raises(InputAccessError, match="when the inputs were listed"):
        list(read_shard(shard((InputFile("z.parquet", path.stat().st_size + 1),)), ()))


def test_a_store_that_fails_is_not_taken_for_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rawsynth.storage.streams import GuardedStream

    write(tmp_path / "z.parquet", hugging_face_rows(40), row_group_size=5, use_dictionary=False)
    read_before, reads = GuardedStream.read, iter(range(10**6))

    def fail(self: GuardedStream, size: int | None = -1) -> bytes:
        if next(reads) > 6:
            self.failure = InputAccessError("the network is gone")
            raise self.failure
        return read_before(self, size)

    monkeypatch.setattr(GuardedStream, "read", fail)
    with pytest.raises(InputAccessError, match="the network is gone"):
        read(tmp_path / "z.parquet")


def test_without_pyarrow_it_is_said_what_to_install(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "in.parquet", hugging_face_rows(1))
    monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
    ended = cli("generate", tmp_path / "in.parquet", tmp_path / "out")
    assert ended.code == 2 and "pip install 'rawsynth[parquet]'" in ended.err


# ---- to the end ----


def test_a_table_becomes_a_corpus_and_a_rerun_changes_nothing(
    tmp_path: Path, make_corpus: Any, read_samples: Any, hash_tars: Any, read_records: Any
) -> None:
    rows = hugging_face_rows(5)
    rows[3]["image"] = {"bytes": b"\xff\xd8\xffno picture", "path": None}
    write(tmp_path / "in/train.parquet", rows, row_group_size=2)
    options = {"read": {"keep": ["label", "text"]}, "seed": 3}
    summary = make_corpus(tmp_path / "in", tmp_path / "out", **options)
    samples = read_samples(tmp_path / "out")
    assert sorted(samples) == [f"train/{i:08d}" for i in (0, 1, 2, 4)]
    assert samples["train/00000004"]["label"] == b"4" and samples["train/00000004"]["text"] == b"photo 4"
    source = json.loads(samples["train/00000002"]["json"])["source"]
    assert source["key"] == "00000002/p2.png" and source["url"].endswith("in/train.parquet")
    (record,) = read_records(tmp_path / "out").values()
    assert summary.lost == 1 and record["errors"][0]["key"] == "train/00000003"
    before = hash_tars(tmp_path / "out")
    make_corpus(tmp_path / "in", tmp_path / "again", **options, run={"threads": 1})
    assert hash_tars(tmp_path / "again") == before
    assert make_corpus(tmp_path / "in", tmp_path / "out", **options).skipped_shards == 1


def test_a_table_in_a_store(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/in/z.parquet", write(tmp_path / "z.parquet", hugging_face_rows(9), row_group_size=2).read_bytes())
    (shard,) = plan_shards(list_input("memory://in", ReadConfig()), ReadConfig())
    assert [sample.load() for sample in sources(list(read_shard(shard, ())))] == [cut_photo(i) for i in range(9)]
