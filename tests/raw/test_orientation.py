"""Orientations are EXIF's, and their moves compose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rawsynth.raw.orientation import ORIENTATIONS, as_stored, between, upright
from tests import dng

PHOTO = dng.photograph("coffee", 32, 48)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_upright_is_what_exif_says(orientation: int) -> None:
    turned = upright(PHOTO.transpose(2, 0, 1), orientation)
    assert np.array_equal(turned.transpose(1, 2, 0), dng.seen(PHOTO, orientation))
    assert np.array_equal(as_stored(turned, orientation), PHOTO.transpose(2, 0, 1))


@given(image=st.sampled_from(ORIENTATIONS), sensor=st.sampled_from(ORIENTATIONS))
def test_from_an_image_to_its_sensor(image: int, sensor: int) -> None:
    """Both, each turned upright by its own tag, show the same scene the same way up."""
    scene = np.arange(30).reshape(5, 6)
    on_sensor, stored = as_stored(scene, sensor), as_stored(scene, image)
    assert np.array_equal(upright(stored, between(image, sensor)), on_sensor)
