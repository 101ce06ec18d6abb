"""Small files that ask for gigabytes or hours are refused, or passed over, in next to no memory and time."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.bombs import ARCHIVE_BOMBS, IMAGE_BOMBS

# What is decoded in time is decoded in seconds on any machine; what is not takes minutes to hours, or gigabytes.
SECONDS = 60.0
GROWTH_MB = 128.0


@pytest.fixture(scope="module")
def explosions() -> dict[str, dict[str, Any]]:
    """What each bomb cost, in a process of its own that starts small."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.faults.explosions"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10 * SECONDS, check=True)
    assert done.stderr == ""
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {row["name"]: row for row in rows}


@pytest.mark.parametrize("name", [*IMAGE_BOMBS, *ARCHIVE_BOMBS])
def test_a_bomb_is_refused_in_little_memory(name: str, explosions: dict[str, dict[str, Any]]) -> None:
    row = explosions[name]
    assert row["bytes"] < 20e6 and row["grown_mb"] < GROWTH_MB and row["seconds"] < SECONDS, row
    assert row["said"] and "decoded" not in row["said"] and "a sample" not in row["said"]
    if name.startswith("sides") and "only" not in name and name.split()[1] not in ("webp", "avif"):
        assert "60000x60000 = 3600000000 pixels exceeds max_pixels" in row["said"]
