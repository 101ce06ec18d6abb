"""A test that hangs where no signal reaches it ends the process and says where."""

import faulthandler
from collections.abc import Iterator

import pytest

from tests.faults.effort import WATCHDOG_SECONDS


@pytest.fixture(autouse=True)
def watchdog() -> Iterator[None]:
    """Print all stacks and end the process if a test takes far longer than its cases may."""
    faulthandler.dump_traceback_later(WATCHDOG_SECONDS, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()
