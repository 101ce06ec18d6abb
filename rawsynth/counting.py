"""Counts in words: one image, two images."""

from __future__ import annotations


def counted(count: int, noun: str, *, grouped: bool = False) -> str:
    """Return a count with its noun, which takes an s unless there is one.

    Args:
        count: how many.
        noun: one of them; the last word takes the s.
        grouped: write thousands with commas.

    >>> counted(1, "image"), counted(0, "RAW file"), counted(1234, "image", grouped=True)
    ('1 image', '0 RAW files', '1,234 images')
    """
    return f"{count:{',' if grouped else ''}} {noun}{'' if count == 1 else 's'}"
