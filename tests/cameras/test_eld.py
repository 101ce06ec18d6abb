"""ELD's parameter files: their laws, and that a pickle never runs anything."""

import math
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rawsynth.cameras import load_camera
from rawsynth.cameras.importers import import_eld
from rawsynth.cameras.importers.pickled_numbers import read_pickled_numbers
from rawsynth.errors import InputAccessError, UsageError

FOLDER = Path(__file__).parents[3] / "shared" / "data" / "noise_profiles" / "eld"
LAW = {"slope": np.float64(0.5), "bias": np.float64(1.0), "sigma": np.float64(0.25)}
PARAMETERS: dict[str, Any] = {
    "Kmin": np.float64(0.5),
    "Kmax": np.float64(4.0),
    "G_shape": np.array([0.1, 0.0, -0.1]),
    "color_bias": np.arange(24, dtype=np.float32).reshape(6, 4),
    "Profile-1": {"g_scale": LAW, "G_scale": {**LAW, "bias": 0.0}, "R_scale": {**LAW, "slope": 1.0, "bias": -1}},
}


def save(path: Path, content: Any) -> str:
    np.save(path, content, allow_pickle=True)
    return str(path)


def test_laws_become_medians_and_spreads(tmp_path: Path) -> None:
    camera = import_eld(save(tmp_path / "x.npy", PARAMETERS), "Acme One")
    noise = camera.noise_profile()
    assert noise.isos == (100, 200, 400, 800) and noise.nominal_iso and camera.nominal_levels
    for point in noise.points:
        gain = 0.5 * point.iso / 100
        assert point.gain_dn_per_electron == pytest.approx((gain,) * 4)
        assert point.read_sigma_dn == pytest.approx((math.exp(0.5 * math.log(gain) + 1),) * 4)
        assert point.tukey_scale_dn == pytest.approx((math.sqrt(gain),) * 4)
        assert point.row_sigma_dn == pytest.approx(gain / math.e)
    assert noise.tukey_lambdas == (0.1, 0.0, -0.1)
    assert noise.log_spread == {"read_sigma_dn": 0.25, "tukey_scale_dn": 0.25, "row_sigma_dn": 0.25}


def test_colour_bias_is_the_mean_of_pairs_in_reading_order(tmp_path: Path) -> None:
    """Rows 0 and 1 are R, Gr, B, Gb = 0, 1, 2, 3 and 4, 5, 6, 7; the fourth ISO has no pair."""
    points = import_eld(save(tmp_path / "x.npy", PARAMETERS), "Acme One").noise_profile().points
    assert points[0].color_bias_dn == (2, 3, 5, 4)
    assert points[3].color_bias_dn == (0, 0, 0, 0)


def test_numbers_of_all_kinds_come_through(tmp_path: Path) -> None:
    content = {
        "matrix": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "flags": np.array([True, False]),
        "scalar": np.float32(0.5),
        "plain": [1, 2.5, "text", None, (3, {"x": -1})],
    }
    read = read_pickled_numbers(save(tmp_path / "x.npy", content))
    assert read["matrix"].tolist() == [[0, 1, 2], [3, 4, 5]] and read["big"].tolist() == [0, 1, 2]
    assert read["flags"].tolist() == [True, False] and read["scalar"] == 0.5
    assert read["plain"] == [1, 2.5, "text", None, [3, {"x": -1}]]


class Call:
    """Pickles to a call of ``function`` with ``arguments`` when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


@pytest.mark.parametrize("inside", ["value", "key of a list", "instead of the dictionary", "array of objects"])
@pytest.mark.parametrize("function", ["mkdir", "eval", "getattr", "load"])
def test_a_pickle_that_would_run_something_is_refused_and_not_run(tmp_path: Path, function: str, inside: str) -> None:
    victim = tmp_path / "made"
    call = {
        "mkdir": Call(os.mkdir, str(victim)),
        "eval": Call(eval, f"__import__('os').mkdir({str(victim)!r})"),
        "getattr": Call(getattr, "text", "upper"),
        "load": Call(np.load, str(victim)),
    }[function]
    content: Any = {
        "value": {**PARAMETERS, "Kmin": call},
        "key of a list": {**PARAMETERS, "G_shape": [0.1, [call]]},
        "instead of the dictionary": call,
        "array of objects": {**PARAMETERS, "G_shape": np.array([call, 1], dtype=object)},
    }[inside]
    array = np.empty((), dtype=object)
    array[()] = content
    url = save(tmp_path / "evil.npy", array)
    with pytest.raises(UsageError, match="evil.npy holds the name .* Nothing of it was run"):
        import_eld(url, "Acme One")
    assert not victim.exists()


def test_the_attack_itself_is_real(tmp_path: Path) -> None:
    """What is refused above does run where pickles are trusted."""
    victim = tmp_path / "made"
    pickle.loads(pickle.dumps(Call(os.mkdir, str(victim))))
    assert victim.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros(3), "holds an array of float64"),
        (np.array([1, "x"], dtype=object), "holds an array of object"),
        ([1, 2], "array of"),
        (np.array({1: 2}), "wanted one pickled dictionary"),
        ({**PARAMETERS, "Kmin": 1j}, "the name builtins.complex"),
        ({**PARAMETERS, "Kmin": np.array(["text"])}, "values of the type"),
        ({"Kmin": 1.0}, "not the parameters of an ELD camera .*Kmax"),
        ({**PARAMETERS, "Profile-1": {}}, "not the parameters of an ELD camera .*g_scale"),
        ({**PARAMETERS, "Kmin": 0.0}, "not the parameters of an ELD camera"),
        ({**PARAMETERS, "G_shape": 1.0}, "not the parameters of an ELD camera"),
    ],
)
def test_other_content_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        import_eld(save(tmp_path / "x.npy", content), "Acme One")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    whole = Path(save(path, PARAMETERS)).read_bytes()
    overwritten = whole[:200] + b"\xff" * 40 + whole[240:]
    for damaged in (b"", b"no array", whole[:40], whole[:-30], overwritten, bytes(1 << 21)):
        path.write_bytes(damaged)
        with pytest.raises(UsageError, match="x.npy"):
            import_eld(str(path), "Acme One")
    with pytest.raises(InputAccessError):
        import_eld(str(tmp_path / "none.npy"), "Acme One")


@pytest.mark.skipif(not FOLDER.exists(), reason="needs ../shared/data, which is not part of the repository")
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("CanonEOS5D4", "Canon EOS 5D Mark IV"),
        ("CanonEOS700D", "Canon EOS 700D"),
        ("CanonEOS70D", "Canon EOS 70D"),
        ("NikonD850", "Nikon D850"),
        ("SonyA7S2", None),
    ],
)
def test_the_files_as_numpy_reads_them_and_what_ships(file: str, name: str | None) -> None:
    url = str(FOLDER / f"{file}_params.npy")
    read, trusted = read_pickled_numbers(url), np.load(url, allow_pickle=True).item()
    assert read.keys() == trusted.keys() and float(read["Kmin"]) == float(trusted["Kmin"])
    assert np.array_equal(read["G_shape"], trusted["G_shape"])
    assert np.array_equal(read["color_bias"], trusted["color_bias"])
    assert read["Profile-1"] == trusted["Profile-1"]
    if name is not None:
        imported, shipped = import_eld(url, name).noise_profile(), load_camera(name).noise_profile()
        assert shipped.tukey_lambdas == pytest.approx(imported.tukey_lambdas, rel=1e-4)
        for ours, theirs in zip(shipped.points, imported.points, strict=True):
            assert ours.gain_dn_per_electron == pytest.approx(theirs.gain_dn_per_electron, rel=1e-5)
            assert ours.read_sigma_dn == pytest.approx(theirs.read_sigma_dn, rel=1e-5)
            assert ours.tukey_scale_dn == pytest.approx(theirs.tukey_scale_dn, rel=1e-5)
            assert ours.color_bias_dn == pytest.approx(theirs.color_bias_dn, rel=1e-4, abs=1e-5)
