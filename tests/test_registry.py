"""pick, and the tables that it serves."""

from collections.abc import Mapping

import pytest

from rawsynth.cameras import builtin_cameras
from rawsynth.errors import RawsynthError, UnknownNameError, UsageError
from rawsynth.methods import METHODS
from rawsynth.noise import NOISE_MODELS
from rawsynth.registry import pick

TABLE = {"unprocess": 1, "rst_isp_net": 2, "cycle_isp": 3}


@pytest.mark.parametrize("name", TABLE)
def test_known_names(name: str) -> None:
    assert pick(TABLE, name, "method") == TABLE[name]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("unproces", "did you mean 'unprocess'?"),
        ("rst-isp-net", "did you mean 'rst_isp_net'?"),
        ("Unprocess", "did you mean 'unprocess'?"),
    ],
)
def test_misspelt_names_get_a_hint_and_the_choices(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        pick(TABLE, name, "method")
    message = str(caught.value)
    assert message.startswith(f"unknown method {name!r};")
    assert hint in message
    assert message.endswith("Choose from: cycle_isp, rst_isp_net, unprocess")


@pytest.mark.parametrize("name", ["", "zzz", "unprocess\0", "method"])
def test_foreign_names_get_the_choices_only(name: str) -> None:
    with pytest.raises(UnknownNameError, match="Choose from: cycle_isp, rst_isp_net, unprocess") as caught:
        pick(dict(TABLE), name, "method")
    assert ("did you mean" in str(caught.value)) == (name == "unprocess\0")


@pytest.mark.parametrize("name", [None, 3])
def test_what_is_no_string_is_an_unknown_name(name: object) -> None:
    with pytest.raises(UnknownNameError, match="Choose from: "):
        pick(TABLE, name, "method")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [UsageError, ValueError, RawsynthError])
def test_unknown_names_are_usage_errors(kind: type[Exception]) -> None:
    with pytest.raises(kind):
        pick(TABLE, "nothing", "method")


@pytest.mark.parametrize("table", [METHODS, NOISE_MODELS], ids=["methods", "noise"])
def test_keys_are_names_and_file_names(table: Mapping[str, object]) -> None:
    assert table
    for key, entry in table.items():
        kind = entry if isinstance(entry, type) else type(entry)
        assert key == kind.name  # type: ignore[attr-defined]
        assert key == kind.__module__.rsplit(".", 1)[-1]


def test_cameras_are_listed_by_their_names() -> None:
    cameras = builtin_cameras()
    assert "Sony ILCE-7SM2" in cameras
    assert all(name == profile.name for name, profile in cameras.items())
