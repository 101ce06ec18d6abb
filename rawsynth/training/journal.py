"""What a training says: the loss curve, validations and pictures, on the screen, in a file and in TensorBoard."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rawsynth import storage
from rawsynth.errors import CorpusError
from rawsynth.meter import Meter, say

CURVE_FILE = "metrics.jsonl"


class Journal:
    """Rows by step, kept in memory and written before each checkpoint; what is past it is dropped on resuming.

    Args:
        output: folder or URL.
        start: the step that the run begins or goes on with; later rows of an interrupted run are dropped.
        quiet: no progress on standard error.
        total: steps of the whole training.
        board: also write TensorBoard's events, where it is installed and the output is a local folder.

    Raises:
        CorpusError: the curve of an interrupted run is damaged.
    """

    def __init__(self, output: str, *, start: int, total: int, quiet: bool, board: bool = True) -> None:
        self.url = storage.join(output, CURVE_FILE)
        self.rows = [row for row in read_curve(output) if row["step"] <= start]
        self._quiet, self._told, self._at = quiet, set[str](), start
        self._meter = Meter("step", total, name="rawsynth train", done=start, shown=not quiet)
        self._board = _board(output, start) if board else None

    def add(self, step: int, values: Mapping[str, Any], *, kind: str = "train") -> None:
        """Add one row; ``step`` counts finished steps."""
        self.rows.append({"step": step, "kind": kind, **values})
        if self._board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self._board.add_scalar(f"{kind}/{name}", value, step)

    def advance(self, step: int, shown: Mapping[str, str]) -> None:
        """Say how many steps are finished, and figures beside it."""
        if shown:
            self._meter.note(**shown)
        self._meter.advance(step - self._at)
        self._at = step

    def picture(self, step: int, name: str, pixels: NDArray[np.uint8]) -> None:
        """Show ``(H, W, 3)`` uint8 in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, pixels, step, dataformats="HWC")

    def tell(self, message: str) -> None:
        """Say something once: the same pair is lost in every round over the pairs."""
        if not self._quiet and message not in self._told:
            self._told.add(message)
            say(f"rawsynth train: {message}")

    def save(self) -> None:
        """Write the curve."""
        text = "".join(json.dumps(_finite(row), sort_keys=True, allow_nan=False) + "\n" for row in self.rows)
        storage.write_atomic(self.url, text.encode())
        if self._board is not None:
            self._board.flush()

    def close(self) -> None:
        """End meter and board."""
        self._meter.close()
        if self._board is not None:
            self._board.close()


def read_curve(output: str) -> list[dict[str, Any]]:
    """Return the rows of a run's curve, in order; none where there is no file.

    Raises:
        CorpusError: the file is damaged.
    """
    url = storage.join(output, CURVE_FILE)
    if not storage.exists(url):
        return []
    try:
        rows = [json.loads(line) for line in storage.read_bytes(url).decode().splitlines() if line]
        if not all(isinstance(row, dict) and isinstance(row.get("step"), int) for row in rows):
            raise ValueError("a row without a step")
    except (ValueError, RecursionError) as error:
        raise CorpusError(f"{url} is damaged ({error}); mend it, or remove it to go on with a new curve.") from error
    return rows


def _finite(row: Mapping[str, Any]) -> dict[str, Any]:
    """Replace what JSON has no word for: a gradient that overflowed under float16 is infinite, and no fault."""
    return {name: None if isinstance(v, float) and not math.isfinite(v) else v for name, v in row.items()}


def _board(output: str, start: int) -> Any:
    """Open TensorBoard's writer where it is installed and the output is a local folder."""
    if not storage.is_local(output):
        return None
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    # Events of an interrupted run past its last checkpoint are hidden; those of the checkpoint's own step are in it.
    return SummaryWriter(storage.join(storage.absolute(output), "tensorboard"), purge_step=start + 1)
