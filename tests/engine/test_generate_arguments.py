"""local: generate from Python, told what it is given by mistake."""

from typing import Any

import pytest

import rawsynth
from rawsynth.errors import UsageError


@pytest.mark.parametrize("config", [{"input": "photos/", "output": "corpus/"}, "photos/"], ids=["dict", "string"])
def test_what_is_no_configuration_is_told(config: Any) -> None:
    with pytest.raises(UsageError, match="generate takes a GenerateConfig.*got (dict|str)"):
        rawsynth.generate(config)
