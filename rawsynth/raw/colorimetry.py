"""Colour spaces as figures."""

from __future__ import annotations

import numpy as np

# IEC 61966-2-1, D65, as printed in Brooks et al.'s reference implementation.
XYZ_FROM_SRGB = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
