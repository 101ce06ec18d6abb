"""heap: memory that a batch has freed serves the next one, without page faults."""

import subprocess
import sys
from pathlib import Path

import pytest

from rawsynth.pipeline import heap

# Fresh processes, because what one test has freed would serve the next. Faults are counted over batches of six arrays.
_BATCHES = """
import resource, sys, torch
from rawsynth.pipeline.heap import keep_freed_memory
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert keep_freed_memory()
def batch():
    held = [torch.ones(1_750_000) for _ in range(6)]
for _ in range(3):
    batch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    batch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str) -> int:
    root = str(Path(__file__).parents[2])
    out = subprocess.run([sys.executable, "-c", _BATCHES, how], capture_output=True, text=True, check=True, cwd=root)
    return int(out.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_batches_stop_faulting() -> None:
    if not heap.keep_freed_memory():
        pytest.skip("another C library")
    assert faults("keep") < faults("as it is") / 10


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert heap.keep_freed_memory.__wrapped__() is False
