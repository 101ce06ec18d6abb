"""Dark frames as read noise, mostly on frames that the tests simulate: what is cut out is theirs, site for site.

Simulated is continuous noise of a known law plus a black level, rounded to DN as a converter rounds.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy import stats
from torch import Tensor

from rawsynth import seeding
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.noise.dark_frame_store import DarkFrameStore, open_dark_frames
from rawsynth.noise.dark_frames import DarkFrames
from rawsynth.raw.cfa import BAYER_LAYOUTS, plane_names, unpack
from rawsynth.raw.sensor_noise import SensorNoise
from tests.dng import dng

CPU = torch.device("cpu")
EMVA = Path(__file__).resolve().parents[2].parent / "shared/data/emva1288_ccd12"
BLACK, WHITE = 512, 4095
SAYS: dict[str, Any] = {"cfa": "RGGB", "black_level": BLACK, "white_level": WHITE}
CFAS = pytest.mark.parametrize("cfa", BAYER_LAYOUTS)


def npy(dn: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.rint(dn).astype(np.uint16))
    return buffer.getvalue()


def png(dn: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(dn).astype(np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


def folder(path: Path, files: Mapping[str, bytes], says: Mapping[str, Any] | None = SAYS) -> str:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    if says is not None:
        (path / "frames.json").write_text(json.dumps(says))
    return str(path)


def white_noise(seed: int = 0, sigma: float = 3.0, shape: tuple[int, int] = (40, 60)) -> np.ndarray:
    return BLACK + sigma * np.random.default_rng(seed).standard_normal(shape)


def noise_of(cfa: str = "RGGB", *, shot: float = 0.0, iso: float | None = None) -> SensorNoise:
    return SensorNoise((shot,) * 4, (1.0,) * 4, cfa=cfa, iso=iso)


def draws(model: DarkFrames, count: int, noise: SensorNoise) -> list[dict[str, Any]]:
    return [model.draw(noise, seeding.scalar_rng(seed)) for seed in range(count)]


def add(model: DarkFrames, clean: Tensor, params: Sequence[Mapping[str, Any]], first_seed: int = 0) -> Tensor:
    seeds = [first_seed + k for k in range(len(params))]
    return model.add(clean, seeding.seed_words(seeds, CPU), model.tensors(params, CPU))


def black(count: int, height: int, width: int) -> Tensor:
    return torch.zeros(count, 4, height, width)


def ramp(height: int, width: int) -> np.ndarray:
    """Every site has a value of its own, ``600 + width * row + column``."""
    return 600 + np.arange(height * width).reshape(height, width)


def in_dn(noise: Tensor, store: DarkFrameStore) -> np.ndarray:
    """Noise in DN of the frames, rows of the mosaic."""
    return unpack(noise).double().numpy() * store.sets[0].range_dn


# ---------------------------------------------------------------------------------------------- phase and position


@CFAS
@pytest.mark.parametrize("frames_cfa", BAYER_LAYOUTS)
@pytest.mark.parametrize("size", [(20, 30), (21, 31)])
def test_every_colour_gets_the_noise_of_its_own_sites(
    cfa: str, frames_cfa: str, size: tuple[int, int], tmp_path: Path
) -> None:
    """Amplitudes mark R, Gr, Gb and B; they alternate over the frame, because the planes' means are subtracted."""
    amplitudes = {"R": 20.0, "Gr": 40.0, "Gb": 80.0, "B": 160.0}
    dn = np.full(size, 1000.0)
    for k, name in enumerate(plane_names(frames_cfa)):
        plane = dn[k // 2 :: 2, k % 2 :: 2]
        plane += amplitudes[name] * (-1.0) ** np.add.outer(*map(np.arange, plane.shape))
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(dn)}, {**SAYS, "cfa": frames_cfa}))
    params = draws(model, 12, noise_of(cfa))
    noise = add(model, black(12, 6, 8), params) * model.store.sets[0].range_dn
    for k, name in enumerate(plane_names(cfa)):
        assert noise[:, k].abs().mean().item() == pytest.approx(amplitudes[name], abs=2.0)
        assert np.sqrt(params[0]["read"][k]) * (WHITE - BLACK) == pytest.approx(amplitudes[name], abs=2.0)


@CFAS
def test_a_crop_is_one_window_of_the_frame_with_its_rows_and_columns(cfa: str, tmp_path: Path) -> None:
    """Of a ramp, rounding the noise plus its mean gives back which sites were cut."""
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(ramp(31, 41))}, {**SAYS, "cfa": "GRBG"}))
    params = draws(model, 60, noise_of(cfa))
    dn = in_dn(add(model, black(60, 5, 6), params), model.store)
    parity = {"GRBG": (0, 0), "RGGB": (0, 1), "BGGR": (1, 0), "GBRG": (1, 1)}[cfa]
    seen = set()
    for image in dn:
        planes_mean = model.store.sets[0].mean_dn
        means = np.array([[planes_mean[2 * ((r + parity[0]) % 2) + (c + parity[1]) % 2] for c in range(12)]
                          for r in range(10)])  # fmt: skip
        sites = np.rint(image + means).astype(int) - 600
        row, column = divmod(int(sites[0, 0]), 41)
        assert (sites == 41 * np.arange(row, row + 10)[:, None] + np.arange(column, column + 12)).all()
        assert (row % 2, column % 2) == parity
        seen.add((row, column))
    # 11 x 15 places at most, by chance 50 different ones of 60; they reach both sides.
    assert len(seen) > 35
    assert min(row for row, _ in seen) <= 1
    assert max(row for row, _ in seen) >= 20


@pytest.fixture(scope="module")
def ramp_model(tmp_path_factory: pytest.TempPathFactory) -> DarkFrames:
    return DarkFrames.create(folder(tmp_path_factory.mktemp("ramp"), {"a.npy": npy(ramp(22, 22))}))


@given(st.integers(1, 10), st.integers(1, 10), st.sampled_from(BAYER_LAYOUTS), st.integers(0, 2**62))
def test_windows_never_leave_the_frame(ramp_model: DarkFrames, height: int, width: int, cfa: str, seed: int) -> None:
    model = ramp_model
    params = model.draw(noise_of(cfa), seeding.scalar_rng(seed))
    params["offset"] = params["offset"] if seed % 3 else [float(np.float32(1 - 1e-9)), 0.0]
    noise = add(model, black(1, height, width), [params])
    assert noise.shape == (1, 4, height, width)
    assert torch.isfinite(noise).all()


def test_an_image_larger_than_the_frames_is_refused(tmp_path: Path) -> None:
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(white_noise(shape=(20, 30)))}))
    add(model, black(1, 10, 15), draws(model, 1, noise_of()))
    with pytest.raises(UsageError, match="30x20 sensor pixels, too few for an image of 32x20"):
        add(model, black(1, 10, 16), draws(model, 1, noise_of()))
    with pytest.raises(UsageError, match="too few for an image of 30x20"):
        add(model, black(1, 10, 15), draws(model, 1, noise_of("GRBG")))


# ------------------------------------------------------------------------------------------------------ statistics


@pytest.mark.parametrize("sigma", [0.7, 1.5, 6.0])
def test_what_the_converter_rounded_off_comes_back(sigma: float, tmp_path: Path) -> None:
    """The law before rounding: its variance, and its distribution by Kolmogorov and Smirnov's distance.

    The plain dither U(-1/2, 1/2) would leave 1/6 DN squared too much, a third of the variance at 0.7 DN. Of the
    densities within a step some 0.016 DN squared remain, 0.005 at 1.5 DN (worked out from the normal's integrals).
    """
    dn = white_noise(5, sigma, (400, 600)) + 0.3
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(dn)}))
    params = {**model.draw(noise_of(), seeding.scalar_rng(0)), "offset": [0.0, 0.0]}
    values = in_dn(add(model, black(1, 200, 300), [params]), model.store).ravel()
    wanted = sigma**2 + {0.7: 0.0157, 1.5: 0.0045, 6.0: 0.0}[sigma]
    assert values.var() == pytest.approx(wanted, abs=5 * sigma**2 * np.sqrt(2 / values.size))
    assert values.mean() == pytest.approx(0.0, abs=5 * np.sqrt(1 / 12 / values.size))
    distance = stats.kstest(values, stats.norm(0, sigma).cdf).statistic
    plain = np.rint(dn) - np.rint(dn).mean() + np.random.default_rng(0).uniform(-0.5, 0.5, dn.shape)
    assert distance < (0.012 if sigma < 1 else 0.006)
    assert sigma > 1 or stats.kstest(plain.ravel(), stats.norm(0, sigma).cdf).statistic > 3 * distance


def test_rounded_once_more_the_noise_has_the_frames_variance(tmp_path: Path) -> None:
    """An image between whole DN, as the codec rounds it: as much noise as the camera's own files have."""
    dn = np.rint(white_noise(6, 0.8, (600, 600)))
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(dn)}))
    params = {**model.draw(noise_of(), seeding.scalar_rng(0)), "offset": [0.0, 0.0]}
    levels = torch.linspace(0.1, 0.2, 300).expand(1, 4, 300, 300)
    values = in_dn(add(model, levels, [params]), model.store)
    errors = np.rint(values) - in_dn(levels, model.store)
    assert errors.var() == pytest.approx(dn.var() + 0.0131, abs=5 * dn.var() * np.sqrt(2 / dn.size))


def test_rows_columns_and_tails_are_the_frames_own(tmp_path: Path) -> None:
    """Rows of sigma 4, columns of sigma 2, Tukey-lambda pixels of shape -0.1: what models miss is kept."""
    rng = np.random.default_rng(3)
    shape = (200, 240)
    pixels = stats.tukeylambda.rvs(-0.1, scale=2.0, size=shape, random_state=rng)
    dn = BLACK + pixels + 4 * rng.standard_normal((shape[0], 1)) + 2 * rng.standard_normal((1, shape[1]))
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(dn)}))
    params = {**model.draw(noise_of(), seeding.scalar_rng(0)), "offset": [0.0, 0.0]}
    values = in_dn(add(model, black(1, 100, 120), [params]), model.store)[0]
    frame = np.rint(dn)
    frame = frame - np.tile([[frame[r::2, c::2].mean() for c in (0, 1)] for r in (0, 1)], (100, 120))
    assert np.abs(values - frame).max() <= 0.51
    assert values.mean(axis=1).std() == pytest.approx(frame.mean(axis=1).std(), rel=0.01)
    assert values.mean(axis=0).std() == pytest.approx(frame.mean(axis=0).std(), rel=0.01)
    assert stats.kurtosis(values.ravel()) == pytest.approx(stats.kurtosis(frame.ravel()), rel=0.02)


def test_read_is_the_variance_that_is_added(tmp_path: Path) -> None:
    """A plane at a time; planes differ in theirs. Frames drift by 1 DN, which belongs to it."""
    sigmas = np.tile([[1.0, 2.0], [3.0, 4.0]], (100, 100))
    files = {f"{k}.npy": npy(BLACK + k % 2 * 2 + sigmas * (white_noise(k, 1.0, (200, 200)) - BLACK)) for k in range(6)}
    model = DarkFrames.create(folder(tmp_path, files))
    params = [{**p, "offset": [0.0, 0.0]} for p in draws(model, 60, noise_of())]
    shot, read = model.shot_read(params[0])
    assert shot == (0.0,) * 4
    assert np.array(read) * 3583**2 == pytest.approx(np.array([1, 4, 9, 16]) + 1.0, rel=0.03)
    noise = add(model, black(60, 100, 100), params).double()
    spread = noise.var(dim=(0, 2, 3)).numpy()
    assert spread == pytest.approx(read, rel=0.05)


@pytest.mark.skipif(not EMVA.is_dir(), reason="the EMVA 1288 reference set is not in ../shared")
def test_real_dark_frames_give_their_own_noise(tmp_path: Path) -> None:
    """A monochrome CCD's static darks, its sites taken for Bayer ones: variance and probability of every DN."""
    files = {path.name: path.read_bytes() for path in sorted((EMVA / "images").glob("d_s_*.png"))[:6]}
    assert len(files) == 6
    model = DarkFrames.create(folder(tmp_path, files, {"cfa": "RGGB", "white_level": 4095}))
    chosen = model.store.sets[0]
    params = [{**model.draw(noise_of(), seeding.scalar_rng(0)), "frame": name, "offset": [0.0, 0.0]} for name in files]
    values = in_dn(add(model, black(6, 240, 320), params), model.store)
    own = np.stack(chosen.frames).astype(float)
    assert values.var() == pytest.approx(own.var() - 1 / 12, abs=0.002 * own.var())
    drawn = values + np.tile(np.reshape(chosen.mean_dn, (2, 2)), (240, 320))
    assert (np.rint(drawn) == own).mean() > 0.9999


def test_shot_noise_is_the_poisson_gaussian_model_s(tmp_path: Path) -> None:
    """Variance S x over that of the frames; and skewness S^2 x, which only a Poisson law has."""
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(white_noise(1, 2.0, (400, 400)))}))
    params = {**model.draw(noise_of(shot=0.02), seeding.scalar_rng(0)), "offset": [0.0, 0.0]}
    noise = (add(model, torch.full((1, 4, 200, 200), 0.1), [params]) - 0.1).double()
    count = noise.numel()
    variance = 0.02 * 0.1 + params["read"][0]
    assert float(noise.var()) == pytest.approx(variance, rel=5 * np.sqrt(2 / count) + 0.01)
    assert float((noise**3).mean()) == pytest.approx(0.02**2 * 0.1, abs=5 * np.sqrt(15 * variance**3 / count))


def test_negative_values_pass_and_nothing_is_clipped(tmp_path: Path) -> None:
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(white_noise())}))
    params = draws(model, 1, noise_of(shot=0.01))
    assert torch.allclose(
        add(model, torch.full((1, 4, 8, 8), -0.2), params) + 0.2, add(model, black(1, 8, 8), params), atol=1e-7
    )


# ---------------------------------------------------------------------------------------------------------- replay


def test_parameters_replay_from_json_and_alone(tmp_path: Path) -> None:
    files = {f"{k}.npy": npy(white_noise(k)) for k in range(5)}
    model = DarkFrames.create(folder(tmp_path / "a", files))
    params = [model.draw(noise_of(cfa, shot=0.01), seeding.scalar_rng(k)) for k, cfa in enumerate(BAYER_LAYOUTS * 5)]
    assert len({p["frame"] for p in params}) == 5
    clean = torch.rand(20, 4, 9, 11, generator=torch.Generator().manual_seed(0))
    together = add(model, clean, params)
    replayed = json.loads(json.dumps(params))
    again = DarkFrames.create(folder(tmp_path / "moved", files))
    assert torch.equal(add(again, clean, replayed), together)
    for k in (0, 5, 11):
        assert torch.equal(add(again, clean[k : k + 1], replayed[k : k + 1], k)[0], together[k])


@pytest.mark.parametrize("change", ["value", "name", "level"])
def test_other_frames_refuse_to_replay(change: str, tmp_path: Path) -> None:
    dn = np.rint(white_noise())
    model = DarkFrames.create(folder(tmp_path / "a", {"a.npy": npy(dn)}))
    params = draws(model, 1, noise_of())
    dn[3, 4] += change == "value"
    says = {**SAYS, "white_level": WHITE - (change == "level")}
    other = DarkFrames.create(folder(tmp_path / "b", {"b.npy" if change == "name" else "a.npy": npy(dn)}, says))
    with pytest.raises(UsageError, match="drawn from other dark frames"):
        other.tensors(params, CPU)
    with pytest.raises(UsageError, match=r"lack \['frame'\]"):
        model.tensors([{k: v for k, v in params[0].items() if k != "frame"}], CPU)


# ------------------------------------------------------------------------------------------------ where frames lie


def test_containers_give_the_same_frames(tmp_path: Path, make_tar: Callable[..., Path]) -> None:
    dn = [np.rint(white_noise(k)).astype(np.uint16) for k in range(4)]
    says = json.dumps({**SAYS, "iso": 800}).encode()
    folder(tmp_path / "npy", {f"{k}.npy": npy(d) for k, d in enumerate(dn)}, {**SAYS, "iso": 800})
    folder(tmp_path / "png/iso800", {f"{k}.png": png(d) for k, d in enumerate(dn)}, None)
    folder(tmp_path / "png", {}, SAYS)
    own = {f"{k}.json": json.dumps({**SAYS, "iso": 800}).encode() for k in range(4)}
    folder(tmp_path / "own", {**{f"{k}.png": png(d) for k, d in enumerate(dn)}, **own}, None)
    camera = {f"{k}.dng": dng(d, black=(BLACK,) * 4, white=WHITE) for k, d in enumerate(dn)}
    folder(tmp_path / "dng", camera, None)
    for shard in (0, 1):
        members = [(f"{k}.{kind}", content) for k in (2 * shard, 2 * shard + 1)
                   for kind, content in (("json", says), ("npy", npy(dn[k])))][:: 1 - 2 * shard]  # fmt: skip
        make_tar(tmp_path / f"tar/dark-{shard:03d}.tar", members)
    make_tar(tmp_path / "gz/dark.tar.gz", [(f"{k}.npy", npy(dn[k])) for k in range(4)], mode="w:gz")
    folder(tmp_path / "gz", {}, {**SAYS, "iso": 800})
    places = ["npy", "png", "own", "own/*.png", "dng", "tar", "tar/dark-{000..001}.tar", "tar/*.tar", "gz/dark.tar.gz"]
    wanted = sorted(d.tobytes() for d in dn)
    for place in places:
        store = open_dark_frames(str(tmp_path / place))
        assert (store.cfa, store.height, store.width) == ("RGGB", 40, 60)
        assert [s.iso for s in store.sets] == [800]
        assert sorted(frame.tobytes() for frame in store.sets[0].frames) == wanted, place
        assert store.sets[0].range_dn == WHITE - BLACK
    # Of a part, what stands above it still holds: its folder's ISO, its parent's frames.json.
    assert open_dark_frames(str(tmp_path / "png/iso800")).sets[0].iso == 800
    one = open_dark_frames(str(tmp_path / "npy/2.npy")).sets[0]
    assert one.names == ("2.npy",)
    assert one.frames[0].tobytes() == dn[2].tobytes()


def test_a_json_s_word_counts_more_than_the_file_s(tmp_path: Path) -> None:
    camera = dng(np.rint(white_noise()).astype(np.uint16), "GBRG")
    store = open_dark_frames(folder(tmp_path, {"a.dng": camera, "a.json": b'{"iso": 1600, "cfa": "BGGR"}'}, None))
    assert (store.cfa, store.sets[0].iso) == ("BGGR", 1600)


def test_without_a_black_level_the_frames_mean_is_black(tmp_path: Path) -> None:
    store = open_dark_frames(folder(tmp_path, {"a.npy": npy(white_noise())}, {"cfa": "RGGB", "white_level": WHITE}))
    assert store.sets[0].range_dn == pytest.approx(WHITE - BLACK, abs=5 * 3 / np.sqrt(2400))


def test_other_files_are_named_and_hidden_ones_are_not(tmp_path: Path) -> None:
    files = {"a.npy": npy(white_noise()), "README.md": b"", ".DS_Store": b"", ".cache/b.npy": b""}
    with pytest.warns(UserWarning, match=r"not frames, left out: README\.md$"):
        assert open_dark_frames(folder(tmp_path, files)).sets[0].names == ("a.npy",)


def test_memory_is_bounded_by_an_even_choice_of_each_iso(tmp_path: Path) -> None:
    """Eight frames at ISO 100, two at ISO 800; five fit: every fourth of the one, both of the other."""
    files = {f"iso100/{k}.npy": npy(white_noise(k)) for k in range(8)}
    files |= {f"iso800/{k}.npy": npy(white_noise(10 + k)) for k in range(2)}
    url = folder(tmp_path, files)
    with pytest.warns(UserWarning, match="6 of 10 frames left out, evenly"):
        store = open_dark_frames(url, limit_bytes=5 * 2 * 40 * 60)
    assert [s.names for s in store.sets] == [("iso100/0.npy", "iso100/4.npy"), ("iso800/0.npy", "iso800/1.npy")]
    assert sum(len(s.names) for s in open_dark_frames(url, limit_bytes=10 * 2 * 40 * 60).sets) == 10


# ------------------------------------------------------------------------------------------------------------- ISO


@pytest.fixture
def two_isos(tmp_path: Path) -> DarkFrames:
    files = {"iso800/a.npy": npy(white_noise(0, 2.0)), "iso1600/a.npy": npy(white_noise(1, 8.0))}
    return DarkFrames.create(folder(tmp_path, files))


@pytest.mark.parametrize(("iso", "sigma"), [(800, 2.0), (890, 2.0), (720, 2.0), (1600, 8.0), (1790, 8.0)])
def test_an_iso_takes_the_frames_within_a_sixth_of_a_stop(two_isos: DarkFrames, iso: float, sigma: float) -> None:
    assert two_isos.isos == (800, 1600)
    params = two_isos.draw(noise_of(iso=iso), np.random.default_rng(0))
    assert np.sqrt(params["read"]) * 3583 == pytest.approx([sigma] * 4, rel=0.15)
    noise = add(two_isos, black(1, 20, 30), [params])
    assert float(noise.std()) * 3583 == pytest.approx(sigma, rel=0.1)


@pytest.mark.parametrize("iso", [700, 1131, 2000, 12800, None])
def test_an_iso_without_frames_is_refused_by_name(two_isos: DarkFrames, iso: float | None) -> None:
    with pytest.raises(UsageError, match="of ISO 800, 1600"):
        two_isos.draw(noise_of(iso=iso), np.random.default_rng(0))


def test_frames_that_state_no_iso_serve_any(tmp_path: Path) -> None:
    model = DarkFrames.create(folder(tmp_path / "cap-on", {"a.npy": npy(white_noise())}))
    assert model.isos == ()
    assert model.draw(noise_of(iso=6400), np.random.default_rng(0))["frame"] == "a.npy"


# ---------------------------------------------------------------------------------------------------------- faults

DARK = npy(white_noise())
FAULTS: dict[str, tuple[dict[str, bytes], Mapping[str, Any] | None, str]] = {
    "nothing": ({"a.txt": b""}, None, "no frame in 1 file"),
    "no cfa": ({"a.npy": DARK}, {"white_level": 4095}, r"does not say its CFA.*frames\.json"),
    "no white level": ({"a.npy": DARK}, {"cfa": "RGGB"}, "does not say its white level"),
    "no Bayer layout": ({"a.npy": DARK}, {**SAYS, "cfa": "RGBW"}, "unknown CFA layout 'RGBW'"),
    "a word for a number": ({"a.npy": DARK}, {**SAYS, "white_level": "high"}, "white_level is a number"),
    "levels upside down": ({"a.npy": DARK}, {**SAYS, "white_level": 500}, "black level 512 is not below"),
    "two sizes": ({"a.npy": DARK, "b.npy": npy(white_noise(shape=(20, 20)))}, SAYS, "20x20 RGGB, a.npy 60x40"),
    "two layouts": ({"a.npy": DARK, "b.npy": DARK, "b.json": b'{"cfa": "BGGR"}'}, SAYS, "60x40 BGGR, a.npy 60x40 RGGB"),
    "two levels": ({"a.npy": DARK, "b.npy": DARK, "b.json": b'{"white_level": 4000}'}, SAYS, "differ in"),
    "some without ISO": ({"a.npy": DARK, "iso100/b.npy": DARK}, SAYS, "and 1 do not, such as a.npy"),
    "light": ({"a.npy": npy(white_noise() + 1500)}, SAYS, "is not dark: its mean is 2012 DN of 4095"),
    "cut off": ({"a.npy": npy(np.maximum(white_noise() - BLACK, 0))}, {**SAYS, "black_level": 0}, "cut off at black"),
    "a damaged frame": ({"a.npy": DARK[:-7]}, SAYS, "a.npy.*damaged or cut short.*Replace the file"),
    "pickled objects": ({"a.npy": npy(white_noise())[:10] + b"x" * 300}, SAYS, "a.npy"),
    "a damaged JSON": ({"a.npy": DARK, "a.json": b"{"}, SAYS, "a.json: no JSON of a dark frame"),
    "a JSON of another kind": ({"a.npy": DARK, "a.json": b"[1]"}, SAYS, "wanted an object, got list"),
    "a tar cut short": ({"a.tar": b""}, SAYS, "tar damaged or cut short"),
}  # fmt: skip


@pytest.mark.parametrize(("files", "says", "message"), FAULTS.values(), ids=FAULTS)
def test_frames_that_cannot_serve_are_named(
    files: dict[str, bytes], says: Mapping[str, Any] | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        DarkFrames.create(folder(tmp_path, files, says))


@pytest.mark.parametrize("cut", [700, 512, 1024 + 512])
def test_a_tar_that_was_cut_is_no_whole_tar(cut: int, tmp_path: Path, make_tar: Callable[..., Path]) -> None:
    """Between two members, in a header and in a member."""
    tar = make_tar(tmp_path / "a.tar", {"a.npy": DARK, "b.npy": DARK})
    folder(tmp_path, {}, SAYS)
    assert len(open_dark_frames(str(tar)).sets[0].names) == 2
    second = 512 + -(-len(DARK) // 512) * 512
    tar.write_bytes(tar.read_bytes()[: second + (0 if cut == 512 else cut)])
    with pytest.raises(UsageError, match="tar damaged or cut short"):
        open_dark_frames(str(tar))


def test_a_json_without_its_frame_is_not_passed_over(tmp_path: Path, make_tar: Callable[..., Path]) -> None:
    make_tar(tmp_path / "a.tar", {"a.npy": DARK, "b.npy": DARK, "a.json": b"{}"})
    with pytest.raises(UsageError, match="no frame stands next to a.json"):
        open_dark_frames(folder(tmp_path, {}))


def test_frames_may_lie_in_a_store() -> None:
    store = fsspec.filesystem("memory")
    store.pipe({"/dark/iso800/a.npy": DARK, "/dark/frames.json": json.dumps(SAYS).encode()})
    for place in ("memory://dark", "memory://dark/iso800", "memory://dark/*/*.npy"):
        assert open_dark_frames(place).sets[0].iso == 800
    store.rm("/dark", recursive=True)


def test_monochrome_frames_are_refused(tmp_path: Path) -> None:
    linear = dng(np.rint(white_noise()).astype(np.uint16), "", black=(0, 0, 0, 0))
    with pytest.raises(UsageError, match="monochrome"):
        DarkFrames.create(folder(tmp_path, {"a.dng": linear}, None))


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dark-frames"):
        DarkFrames.create()
    with pytest.raises(InputAccessError):
        DarkFrames.create(str(tmp_path / "nowhere.npy"))


@pytest.mark.slow
def test_compiled_it_adds_the_same_noise(tmp_path: Path) -> None:
    model = DarkFrames.create(folder(tmp_path, {"a.npy": npy(white_noise())}))
    params = draws(model, 2, noise_of("BGGR", shot=0.01))
    clean = torch.rand(2, 4, 12, 16, generator=torch.Generator().manual_seed(0))
    words, tensors = seeding.seed_words([0, 1], CPU), model.tensors(params, CPU)
    # Dynamo's part and the graph's, which break over host memory; the code generator behind them takes a minute.
    compiled = torch.compile(model.add, backend="aot_eager")(clean, words, tensors)
    assert torch.allclose(compiled, model.add(clean, words, tensors), atol=1e-6)
