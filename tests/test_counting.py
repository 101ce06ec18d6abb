import pytest

from rawsynth.counting import counted


@pytest.mark.parametrize(
    ("count", "noun", "grouped", "words"),
    [
        (0, "image", False, "0 images"),
        (1, "image", False, "1 image"),
        (2, "RAW file", False, "2 RAW files"),
        (1234, "sample", False, "1234 samples"),
        (1234, "sample", True, "1,234 samples"),
        (1, "shard", True, "1 shard"),
    ],
)
def test_a_noun_has_an_s_unless_there_is_one(count: int, noun: str, grouped: bool, words: str) -> None:
    assert counted(count, noun, grouped=grouped) == words
