"""picking: samples spread over the parts, or by key; damage costs what it hits."""

from pathlib import Path

import pytest

import rawsynth
from rawsynth.corpus.picking import Damaged, Picked, pick_first, pick_keys
from rawsynth.errors import UnknownKeyError, UsageError


def names(found: list[Picked | Damaged]) -> list[str]:
    return [one.name for one in found]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 6, 20])
def test_first_samples_come_from_as_many_parts_as_there_are(corpus: Path, count: int) -> None:
    found = list(pick_first(str(corpus), count))
    assert all(isinstance(one, Picked) for one in found)
    parts = {one.part for one in found if isinstance(one, Picked)}
    assert len(parts) == min(count, len(list(corpus.rglob("*.tar")))) and len(found) == min(count, 6)
    assert len(set(names(found))) == len(found)


def test_by_key_with_and_without_an_index(corpus: Path) -> None:
    every = names(list(pick_first(str(corpus), 20)))
    wanted = [every[-1], every[0], every[2]]
    plain = pick_keys(str(corpus), wanted)
    assert names(plain) == wanted
    rawsynth.write_index(str(corpus))
    assert pick_keys(str(corpus), wanted) == plain
    assert {"json", "clean.npy", "noisy.npy"} <= set(plain[0].members)  # type: ignore[union-attr]


def test_an_index_that_does_not_fit_is_not_believed(corpus: Path) -> None:
    key = names(list(pick_first(str(corpus), 1)))[0]
    rawsynth.write_index(str(corpus))
    text = (corpus / "index.jsonl").read_text()
    (corpus / "index.jsonl").write_text(text.replace('"config_digest":"', '"config_digest":"0'))
    assert names(pick_keys(str(corpus), [key])) == [key]


def test_further_realizations_have_names(corpus: Path) -> None:
    key = names(list(pick_first(str(corpus), 1)))[0]
    (again,) = pick_keys(str(corpus), [f"{key}#1"])
    assert isinstance(again, Picked) and (again.key, again.realization, again.name) == (key, 1, f"{key}#1")


def test_unknown_keys(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownKeyError, match=f"{corpus} has no sample 'nobody'.*rawsynth index"):
        pick_keys(str(corpus), ["nobody"])
    with pytest.raises(UsageError, match="no corpus parts"):
        list(pick_first(str(tmp_path / "empty"), 3))


def test_a_damaged_header_costs_the_rest_of_its_part(corpus: Path) -> None:
    path = sorted(corpus.rglob("*.tar"))[0]
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"?" + content[101:])
    found = list(pick_first(str(corpus), 20))
    (damaged,) = (one for one in found if isinstance(one, Damaged))
    assert damaged.name == str(path) and "unreadable" in damaged.cause
    assert len(found) > 2
