"""``README.md`` of a corpus, its dataset card: how rawsynth's own text is told from one that somebody has edited."""

from __future__ import annotations

import hashlib
import re

from rawsynth import storage
from rawsynth.errors import InputAccessError

CARD_FILE = "README.md"
_MARK = re.compile(rb"\n<!-- rawsynth card, sha256 ([0-9a-f]{64}): edit the text and it is yours -->\n\Z")
_LICENSE = re.compile(r'^license: "?([A-Za-z0-9.+-]+)"?$', re.MULTILINE)


def sealed_card(text: str) -> bytes:
    """Return the card's file: the text, and a mark that fits this text alone."""
    body = text.encode("utf-8", "backslashreplace")
    digest = hashlib.sha256(body).hexdigest()
    return body + f"\n<!-- rawsynth card, sha256 {digest}: edit the text and it is yours -->\n".encode()


def is_own_card(content: bytes) -> bool:
    """Whether a file is a card as rawsynth wrote it.

    >>> is_own_card(sealed_card("# A corpus")), is_own_card(sealed_card("# A corpus").replace(b"A", b"My"))
    (True, False)
    """
    mark = _MARK.search(content)
    return mark is not None and hashlib.sha256(content[: mark.start()]).hexdigest().encode() == mark[1]


def read_card(corpus: str) -> bytes | None:
    """Return what stands at the card's place; ``None`` if nothing does."""
    url = storage.join(corpus, CARD_FILE)
    return storage.read_bytes(url) if storage.exists(url) else None


def holds_own_card(corpus: str) -> bool:
    """Whether a corpus has a card that is rawsynth's own and unedited."""
    try:
        content = read_card(corpus)
    except InputAccessError:
        return False
    return content is not None and is_own_card(content)


def stated_license(content: bytes) -> str | None:
    """Return the licence that a card states.

    >>> stated_license(b"---\\nlicense: cc-by-4.0\\n---")
    'cc-by-4.0'
    """
    found = _LICENSE.search(content.decode("utf-8", "replace"))
    return None if found is None else found[1]
