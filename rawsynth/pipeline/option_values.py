"""How options are written on the command line and in TOML, beside the types that JSON has for them."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator


def split_commas(value: Any) -> Any:
    """Read ``"txt,json"``."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def numbers(value: Any) -> Any:
    """Read ``"1600..25600"``, ``"1,2,3"``, JSON or one number from the command line; leave other types alone."""
    if not isinstance(value, str):
        return value
    try:
        if value.lstrip().startswith("["):
            return json.loads(value)
        parts = value.split("..") if ".." in value else value.split(",")
        return float(parts[0]) if len(parts) == 1 else [float(part) for part in parts]
    except ValueError as error:
        raise ValueError("want a number, a list such as 1,2,3, or a range such as 1600..25600") from error


def height_width(value: Any) -> Any:
    """Read ``"512"`` or ``"384x512"`` (height x width)."""
    if isinstance(value, str):
        try:
            parts = [int(part) for part in value.lower().split("x")]
        except ValueError as error:
            raise ValueError("want pixels: 512, or height x width, 384x512") from error
        return parts * 2 if len(parts) == 1 else parts
    return [value, value] if isinstance(value, int) else value


def fractions(value: Any) -> Any:
    """Read ``"train=0.9,val=0.1"``."""
    if isinstance(value, str):
        try:
            return {name.strip(): float(share) for name, share in (part.split("=") for part in value.split(","))}
        except ValueError as error:
            raise ValueError("want names and shares, such as train=0.9,val=0.1") from error
    return value


def byte_size(value: Any) -> Any:
    """Read ``"500MB"`` or ``"1GB"``, powers of ten."""
    if isinstance(value, str):
        text = value.strip().upper().removesuffix("B")
        scale = {"K": 10**3, "M": 10**6, "G": 10**9}.get(text[-1:], 1)
        try:
            return int(float(text[:-1] if scale > 1 else text) * scale)
        except (ValueError, OverflowError) as error:
            raise ValueError("want bytes, such as 500MB or 1GB") from error
    return value


def workers_asked(value: Any) -> Any:
    """Read ``"auto"`` or a number from 1."""
    if value == "auto":
        return value
    number = int(value) if isinstance(value, str) and value.isdecimal() else value
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise ValueError("want a number from 1, or 'auto'")
    return number


Numbers = BeforeValidator(numbers)
FourPlanes = Annotated[float | tuple[float, float, float, float], Numbers]
NumberRange = Annotated[float | tuple[float, float], Numbers]
Pair = Annotated[tuple[float, float], Numbers]
Row = tuple[float, float, float]
Matrix = Annotated[tuple[Row, Row, Row], Numbers]
Names = Annotated[tuple[str, ...], BeforeValidator(split_commas)]
Fractions = Annotated[dict[str, float], BeforeValidator(fractions)]
HeightWidth = Annotated[tuple[int, int], BeforeValidator(height_width)]
ByteSize = Annotated[int, BeforeValidator(byte_size)]
Workers = Annotated[int | Literal["auto"], BeforeValidator(workers_asked)]
