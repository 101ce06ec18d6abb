"""keys: readable, reversible, dot-free, and a function of one path only."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webdataset.tariterators import base_plus_ext

from rawsynth.pipeline.keys import crop_key, escape, key_from_path

# What escaping itself uses, what it must escape, and characters of one to four bytes.
TRICKY = "aAcC0129F=-_./ é語🙂#\\\udce9"
NAMES = st.text(TRICKY, min_size=1, max_size=8) | st.text(min_size=1, max_size=8).filter(lambda t: t.isprintable())
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join).filter(lambda path: not path.startswith("/"))


def path_from_key(key: str) -> str:
    """The inverse, written from the docstring of keys.py."""
    dotted = key.replace("-", ".")
    raw = re.sub(rb"=([0-9A-F]{2})", lambda m: bytes([int(m[1], 16)]), dotted.encode("ascii"))
    return raw.decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("a.jpg", "a-jpg"),
        ("cats/IMG_01.v2.jpg", "cats/IMG_01=2Ev2-jpg"),
        ("a b&c.png", "a=20b=26c-png"),
        ("a-b.png", "a=2Db-png"),
        ("a=b.png", "a=3Db-png"),
        ("naïve.png", "na=C3=AFve-png"),
        ("v1.2/photo", "v1=2E2/photo"),
        (".hidden", "=2Ehidden"),
        ("a/.hidden", "a/=2Ehidden"),
        ("../a.jpg", "=2E=2E/a-jpg"),
        ("a.JPG", "a-JPG"),
        ("\ud800.png", "=UD800-png"),
        ("٣.png", "=D9=A3-png"),
    ],
)
def test_keys(path: str, key: str) -> None:
    assert key_from_path(path) == key


@given(path=PATHS)
def test_a_path_can_be_had_back(path: str) -> None:
    """So no two paths share a key."""
    assert path_from_key(key_from_path(path)) == path


@given(path=PATHS)
def test_keys_have_plain_characters_only(path: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_=/-]+", key_from_path(path))
    assert re.fullmatch(r"[A-Za-z0-9_=/]+", escape(path))


@given(path=PATHS, extension=st.sampled_from(["json", "clean.npy", "noisy.0.npy"]))
def test_webdataset_finds_the_key_again(path: str, extension: str) -> None:
    key = key_from_path(path)
    assert base_plus_ext(f"{key}.{extension}") == (key, extension)


@given(paths=st.lists(PATHS, unique=True, max_size=6), count=st.integers(2, 12))
def test_crops_collide_with_nothing(paths: list[str], count: int) -> None:
    images = [key_from_path(path) for path in paths]
    crops = [crop_key(key, index, count) for key in images for index in range(count)]
    assert len(set(crops)) == len(crops)
    assert not set(crops) & set(images)


@given(stem=PATHS, index=st.integers(0, 20))
def test_no_image_can_be_named_like_a_crop(stem: str, index: int) -> None:
    of_a_file = crop_key(key_from_path(f"{stem}.jpg"), index, 21)
    in_a_tar = crop_key(f"{escape('shards/00')}/{escape(stem)}", index, 21)
    names = (f"{stem}-c{index}", f"{stem}.jpg-c{index}", f"{stem}-jpg-c{index}", f"shards/00/{stem}-c{index}")
    assert not {of_a_file, in_a_tar} & {key_from_path(f"{name}.jpg") for name in names}


def test_a_single_crop_has_the_image_s_key() -> None:
    assert crop_key("a-jpg", 0, 1) == "a-jpg"


@pytest.mark.parametrize("path", ["/data/a.jpg", "//data/a.jpg", "/a.jpg"])
def test_a_key_is_no_absolute_path(path: str) -> None:
    """A list may name files by absolute paths; a tar member with such a name is unpacked elsewhere, or refused."""
    assert not key_from_path(path).startswith("/")
    assert key_from_path(path) != key_from_path(path.lstrip("/"))
