"""preview: the verb around the gallery."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

Cli = Callable[..., Any]
Make = Callable[..., Any]


def test_it_draws_and_says_where(cli: Cli, photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    done = cli("preview", tmp_path / "corpus", "--output", tmp_path / "look", "--limit", "2", "--window", "32")
    assert done.code == 0 and "2 samples" in done.out
    for name in ("preview.png", "preview.html"):
        assert str(tmp_path / "look" / name) in done.out and (tmp_path / "look" / name).stat().st_size > 1000
    chosen = cli("preview", tmp_path / "corpus", "-o", tmp_path / "look", "--keys", "cats/chelsea-png", "coffee-PNG")
    assert chosen.code == 0 and "2 samples" in chosen.out


def test_damage_is_named_and_the_exit_code_is_1(cli: Cli, photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    (part,) = (tmp_path / "corpus").glob("*.tar")
    content = part.read_bytes()
    at = content.index(b"coffee-PNG.json") + 512
    part.write_bytes(content[:at] + b"x" + content[at + 1 :])
    done = cli("preview", tmp_path / "corpus", "--output", tmp_path / "look")
    assert done.code == 1 and "coffee-PNG" in done.out and "4 samples" in done.out


def test_wrong_usage(cli: Cli, photos: Path, tmp_path: Path, make_corpus: Make) -> None:
    make_corpus(photos, tmp_path / "corpus")
    unknown = cli("preview", tmp_path / "corpus", "--keys", "nobody", "-o", tmp_path / "look")
    assert unknown.code == 2 and "no sample 'nobody'" in unknown.err and not (tmp_path / "look").exists()
    assert cli("preview", tmp_path / "corpus", "--limit", "0").code == 2
    assert cli("preview", tmp_path / "none").code == 2
