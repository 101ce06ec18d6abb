import pytest

from rawsynth.cameras import builtin_cameras, load_camera
from rawsynth.cameras.sold_names import sold_as
from rawsynth.errors import UnknownNameError


@pytest.mark.parametrize(
    ("name", "camera"),
    [
        ("sony a7s ii", "Sony ILCE-7SM2"),
        ("Sony A7R III", "Sony ILCE-7RM3"),
        ("α7S II", "Sony ILCE-7SM2"),
        ("Sony Alpha 7 IV", "Sony ILCE-7M4"),
        ("A7 Mark 3", "Sony ILCE-7M3"),
        ("a7siii", "Sony ILCE-7SM3"),
        ("Sony a6400", "Sony ILCE-6400"),
        ("A99 II", "Sony ILCA-99M2"),
        ("Sony RX100 VII", "Sony DSC-RX100M7"),
        ("sony a58", "Sony SLT-A58"),
        ("Sony A7 IX", None),
        ("Nikon D850", None),
        ("", None),
    ],
)
def test_names_that_cameras_are_sold_under(name: str, camera: str | None) -> None:
    assert sold_as(name, builtin_cameras()) == camera


def test_it_is_suggested_and_not_taken() -> None:
    with pytest.raises(UnknownNameError, match="unknown camera 'α7S II'; did you mean 'Sony ILCE-7SM2'?"):
        load_camera("α7S II")
