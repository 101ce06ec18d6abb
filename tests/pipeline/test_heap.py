"""heap: memory that a batch has freed serves the next one, without page faults."""

import subprocess
import sys
from pathlib import Path

import pytest

from rawsynth.pipeline import heap

# In a fresh process, because what other tests have freed would serve it. Faults are counted over batches of six arrays.
_BATCHES = """
import resource, torch
from rawsynth.pipeline.heap import keep_freed_memory
torch.set_num_threads(1)
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


_PAGES_TOUCHED = 10 * 6 * 7_000_000 // 4096


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_batches_stop_faulting() -> None:
    """Without it nearly every page faults, or none: that hangs on what happens to lie at the top of the heap."""
    if not heap.keep_freed_memory():
        pytest.skip("another C library")
    root = str(Path(__file__).parents[2])
    out = subprocess.run([sys.executable, "-c", _BATCHES], capture_output=True, text=True, check=True, cwd=root)
    assert int(out.stdout) < _PAGES_TOUCHED / 50


def test_elsewhere_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert heap.keep_freed_memory.__wrapped__() is False
