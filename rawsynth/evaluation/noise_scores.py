"""The figures of a noise report: what they are called, how far they may go, and one value of them with its null."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NULL_FACTOR = 4.0
"""A figure differs only beyond this many times the spread of its differences between halves of the real frames."""


@dataclass(frozen=True)
class FigureKind:
    """What a figure is called, in which unit it stands, and from where on it counts.

    Attributes:
        title: for people.
        limit: largest difference that passes; ``None`` where the figure is told and never judged.
        scale: what a value is multiplied by for people.
        unit: of the multiplied value.
        signed: whether it is a difference, synthetic minus real.
    """

    title: str
    limit: float | None
    scale: float = 1.0
    unit: str = ""
    signed: bool = True


FIGURES: dict[str, FigureKind] = {
    "kl_forward": FigureKind("KL(real, synthetic)", 0.01, unit="nats", signed=False),
    "kl_backward": FigureKind("KL(synthetic, real)", 0.01, unit="nats", signed=False),
    "kl_symmetric": FigureKind("KL, mean of both ways", 0.01, unit="nats", signed=False),
    "kl_by_intensity": FigureKind("KL by intensity, mean of both ways", 0.02, unit="nats", signed=False),
    "variance_overall": FigureKind("variance error, all intensities", 0.05, 100.0, "%"),
    "variance_error": FigureKind("variance error by intensity", 0.05, 100.0, "%"),
    "row_correlation": FigureKind("correlation along rows", 0.02),
    "column_correlation": FigureKind("correlation down columns", 0.02),
    "row_share": FigureKind("row noise, share of variance", 4e-4, 100.0, "%"),
    "column_share": FigureKind("column noise, share of variance", 4e-4, 100.0, "%"),
    "shared_rows": FigureKind("row noise that planes share", 4e-4, 100.0, "%"),
    "shared_columns": FigureKind("column noise that planes share", 4e-4, 100.0, "%"),
    "frame_share": FigureKind("flicker, share of variance", None, 100.0, "%"),
    "tail_quantile": FigureKind("quantile", 0.2, unit="sigma"),
    "mean_level": FigureKind("mean level", 0.1, unit="sigma"),
}
"""Every figure that is compared. Differences are synthetic minus real; a share of 4e-4 is 2 % of the pixels' sigma."""


@dataclass(frozen=True)
class Score:
    """One figure of one plane.

    Attributes:
        figure: key of :data:`FIGURES`.
        plane: name of the plane, or of the two that share.
        detail: intensity bin, lag or probability; empty where there is one only.
        value: synthetic against real; ``None`` where the synthetic frames have too few pixels of that intensity.
        null: largest absolute value between halves of the real frames; ``None`` where it cannot be had.
        spread: root mean square of such values over all splits, and over the figure's planes, lags and intensities,
            as one of them alone tells little of what chance can do to the worst of them.
    """

    figure: str
    plane: str
    detail: str
    value: float | None
    null: float | None
    spread: float | None

    @property
    def limit(self) -> float | None:
        """Largest absolute value that passes; ``None`` where nothing is judged, as without a null."""
        fixed = FIGURES[self.figure].limit
        return None if fixed is None or self.spread is None else max(fixed, NULL_FACTOR * self.spread)

    @property
    def excess(self) -> float:
        """Absolute value over the limit: above 1 it differs. 0 for what is not judged."""
        if self.value is None or self.limit is None:
            return 0.0
        return abs(self.value) / self.limit

    @property
    def differs(self) -> bool:
        """Whether the value is beyond the limit."""
        return self.excess > 1.0

    @property
    def blunt(self) -> bool:
        """Whether the null is so wide that a difference of the stated limit could not have been seen."""
        fixed = FIGURES[self.figure].limit
        return fixed is not None and self.limit is not None and self.limit > fixed

    def to_json(self) -> dict[str, Any]:
        """Return the score as a JSON object."""
        return {
            "figure": self.figure, "plane": self.plane, "detail": self.detail, "value": self.value, "null": self.null,
            "spread": self.spread, "limit": self.limit, "differs": self.differs,
        }  # fmt: skip
