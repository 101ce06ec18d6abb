"""Cameras by the names that they are sold under, for suggestions: an A7S II is an ILCE-7SM2 in its files."""

from __future__ import annotations

import re
from collections.abc import Collection

_ROMAN = {"ii": 2, "iii": 3, "iv": 4, "v": 5, "vi": 6, "vii": 7}
_SOLD = re.compile(
    r"(?:sony)?[ -]*(?:alpha|α|a)?[ -]*((?:rx)?\d+)[ -]*([a-z]*?)[ -]*(?:(?:mark|mk|m)?[ -]*(ii|iii|iv|v|vi|vii|\d))?"
)
_SERIES = ("ILCE-", "ILCA-", "DSC-", "SLT-A", "DSLR-A")


def sold_as(name: str, known: Collection[str]) -> str | None:
    """Return the known camera that is sold as ``name``, or ``None``: Sony's, whose files name their cameras otherwise.

    >>> sold_as("Sony α7S II", ["Sony ILCE-7S", "Sony ILCE-7SM2"])
    'Sony ILCE-7SM2'
    """
    match = _SOLD.fullmatch(name.strip().lower())
    if match is None:
        return None
    number, letters, mark = match.groups()
    version = "" if mark is None else f"M{_ROMAN.get(mark, mark)}"
    names = (f"Sony {series}{number}{letters}{version}".upper() for series in _SERIES)
    return next((camera for sold in names for camera in known if camera.upper() == sold), None)
