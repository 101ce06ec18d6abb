"""File names may hold anything; a terminal obeys some of it."""


def printable(text: str) -> str:
    r"""Return text with control characters, and bytes that are no text, as escapes; lines stay.

    >>> printable("p\x1b[2Jhoto\udcff.jpg")
    'p\\x1b[2Jhoto\\udcff.jpg'
    """
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
