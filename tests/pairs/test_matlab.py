import io
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.pairs.matlab import read_array

VALUES = np.arange(12, dtype=np.float32).reshape(3, 4)


def level5(path: Path, **variables: Any) -> str:
    scipy.io.savemat(path, variables)
    return str(path)


def level73(path: Path, name: str, values: np.ndarray) -> str:
    """As MATLAB writes it: 512 bytes of its own, then HDF5 with the dimensions turned round."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file[name] = values.T
    with path.open("r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM")
    return str(path)


def test_both_versions_give_the_array_as_matlab_shows_it(tmp_path: Path) -> None:
    for url in (level5(tmp_path / "a.mat", x=VALUES), level73(tmp_path / "b.MAT", "x", VALUES)):
        read = read_array(url, "x")
        assert read.dtype == np.float32 and np.array_equal(read, VALUES)


def test_four_dimensions_keep_their_order(tmp_path: Path) -> None:
    blocks = np.random.default_rng(0).random((2, 3, 4, 6), dtype=np.float32)
    for url in (level5(tmp_path / "a.mat", v=blocks), level73(tmp_path / "b.mat", "v", blocks)):
        assert np.array_equal(read_array(url, "v"), blocks)


@pytest.mark.parametrize("make", [lambda p: level5(p, y=VALUES), lambda p: level73(p, "y", VALUES)])
def test_a_missing_variable_is_named(tmp_path: Path, make: Any) -> None:
    with pytest.raises(SampleError, match="a.mat has no variable 'x'"):
        read_array(make(tmp_path / "a.mat"), "x")


@pytest.mark.parametrize("make", [lambda p: level5(p, x=VALUES), lambda p: level73(p, "x", VALUES)])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_file_that_is_cut_short_is_a_sample_error(tmp_path: Path, make: Any, share: float) -> None:
    path = Path(make(tmp_path / "a.mat"))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(SampleError, match="a.mat"):
        read_array(str(path), "x")


def test_what_is_no_matlab_file_or_no_numbers_is_a_sample_error(tmp_path: Path) -> None:
    (tmp_path / "text.mat").write_bytes(b"not MATLAB's at all" * 20)
    for path in (str(tmp_path / "text.mat"), level5(tmp_path / "words.mat", x="words")):
        with pytest.raises(SampleError, match="mat"):
            read_array(path, "x")
    with pytest.raises(InputAccessError):
        read_array(str(tmp_path / "none.mat"), "x")


@pytest.mark.parametrize("package", ["h5py", "scipy.io"])
def test_without_its_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    url = level73(tmp_path / "a.mat", "x", VALUES) if package == "h5py" else level5(tmp_path / "a.mat", x=VALUES)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install 'rawsynth\[sidd\]'"):
        read_array(url, "x")


def test_nothing_is_left_open(tmp_path: Path) -> None:
    url = level73(tmp_path / "a.mat", "x", VALUES)
    read = read_array(url, "x")
    Path(url).unlink()
    assert float(read.sum()) == VALUES.sum()
    assert io.BytesIO(read.tobytes()).getbuffer().nbytes == VALUES.nbytes
