"""Unprocess against the published steps in float64, and its draws against the published laws."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from skimage import data as photos
from torch import Tensor

from rawsynth.methods.unprocess import linear_table, random_cam_from_srgb
from rawsynth.transforms import ReverseISP

Array = NDArray[np.float64]
TOLERANCE = 1e-5

# Row, column and RGB channel of each packed plane, written out from the sensors' layouts.
SITES = {
    "RGGB": ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)),
    "BGGR": ((0, 0, 2), (0, 1, 1), (1, 0, 1), (1, 1, 0)),
    "GRBG": ((0, 0, 1), (0, 1, 0), (1, 0, 2), (1, 1, 1)),
    "GBRG": ((0, 0, 1), (0, 1, 2), (1, 0, 0), (1, 1, 1)),
}
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
DTYPES = (torch.uint8, torch.float16, torch.float32, torch.float64)
# One table row a look: drawn by the law, and physics at the edges of what a user may state.
LOOKS: dict[str, dict] = {
    "drawn": {},
    "bright": {"rgb_gain": 0.6},
    "dark": {"rgb_gain": 3.0},
    "neutral": {"cam_from_srgb": np.eye(3).tolist(), "white_balance": (1.0, 1.0), "rgb_gain": 1.0},
    "negative": {"cam_from_srgb": [[1.8, -0.6, -0.2], [-0.3, 1.6, -0.3], [0.1, -0.7, 1.6]], "rgb_gain": 1.0},
    "amplified": {"white_balance": (0.5, 0.7), "rgb_gain": 1.0},
}


def published_steps(srgb: Array, cam_from_srgb: Array, red: float, blue: float, rgb_gain: float, cfa: str) -> Array:
    """Brooks et al. 2019 for one (H, W, 3) image in float64, step by step, to (4, H/2, W/2)."""
    x = np.clip(srgb, 0.0, 1.0)
    y = 0.5 - np.sin(np.arcsin(1.0 - 2.0 * x) / 3.0)
    linear = np.maximum(y, 1e-8) ** 2.2
    camera = np.tensordot(linear, cam_from_srgb, axes=[[-1], [-1]])
    gains = np.array([1.0 / red, 1.0, 1.0 / blue]) / rgb_gain
    gray = camera.mean(axis=-1, keepdims=True)
    mask = (np.maximum(gray - 0.9, 0.0) / (1.0 - 0.9)) ** 2
    camera = camera * np.maximum(mask + (1.0 - mask) * gains, gains)
    camera = np.clip(camera, 0.0, 1.0)
    return np.stack([camera[i::2, j::2, c] for i, j, c in SITES[cfa]])


def reference(srgb: Tensor, params: list[dict]) -> Array:
    """published_steps for a batch (B, 3, H, W) of any dtype."""
    images = srgb.to(torch.float64).permute(0, 2, 3, 1).numpy() / (255.0 if srgb.dtype == torch.uint8 else 1.0)
    return np.stack(
        [
            published_steps(x, np.array(p["cam_from_srgb"]), *p["white_balance"], p["rgb_gain"], p["cfa"])
            for x, p in zip(images, params, strict=True)
        ]
    )


def deviation(srgb: Tensor, params: list[dict]) -> float:
    packed = ReverseISP("unprocess").apply_params(srgb, params).packed
    assert packed.dtype == torch.float32
    return float(np.abs(packed.reshape(-1, *packed.shape[-3:]).double().numpy() - reference(srgb, params)).max())


def photo(name: str, dtype: torch.dtype = torch.uint8) -> Tensor:
    """A photograph of even size as (1, 3, H, W)."""
    pixels = getattr(photos, name)()
    pixels = pixels[: pixels.shape[0] // 2 * 2, : pixels.shape[1] // 2 * 2]
    image = torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None]
    return image if dtype == torch.uint8 else (image / 255.0).to(dtype)


def extreme_values(dtype: torch.dtype) -> Tensor:
    """What is hard: the neighbours of 0, 1/2 and 1, where the tone curve is steep or switches, and out of range."""
    if dtype == torch.uint8:
        return torch.arange(256, dtype=torch.uint8)
    near = torch.tensor([0.0] + [m * 10.0**-k for k in range(1, 46) for m in (1, 3)], dtype=torch.float64)
    steps = torch.arange(1, 40, dtype=torch.float64) * torch.finfo(dtype).eps / 4
    around = torch.cat([centre + sign * d for centre in (0.5, 1.0) for d in (near, steps) for sign in (-1, 1)])
    outside = torch.tensor([-0.4, -1e-4, 1.0001, 1.5, 1.9], dtype=torch.float64)
    return torch.cat([near, around, torch.linspace(0, 1, 97, dtype=torch.float64), outside]).to(dtype)


def extreme_image(dtype: torch.dtype, batch: int = 4, side: int = 128) -> Tensor:
    """Every combination of hard values in three channels that chance finds, and the grey of each."""
    values = extreme_values(dtype)
    rng = np.random.default_rng(5)
    image = values[torch.from_numpy(rng.integers(0, len(values), (batch, 3, side, side)))]
    gray = values[torch.arange(side * side // 4) % len(values)].reshape(side // 2, side // 2)
    image[:, :, : side // 2, : side // 2] = gray
    return image


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", PHOTOS)
def test_photographs_follow_the_published_steps(name: str, dtype: torch.dtype) -> None:
    image = photo(name, dtype)
    to_raw = ReverseISP("unprocess", seed=3, cfa="GRBG")
    assert deviation(image, to_raw.make_params(1, keys=[name])) < TOLERANCE


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "dtype",
    # Half needs no wider bound: its values are exact in float32, where everything is computed.
    [
        torch.uint8,
        torch.float16,
        torch.float32,
        torch.float64,
    ],
    ids=str,
)
def test_extreme_values_follow_the_published_steps(dtype: torch.dtype, look: str) -> None:
    to_raw = ReverseISP("unprocess", seed=4)
    params = to_raw.make_params(4, keys=list("abcd"), overrides={**LOOKS[look], "cfa": list(SITES)})
    assert deviation(extreme_image(dtype), params) < TOLERANCE


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32], ids=str)
@pytest.mark.parametrize("lead", [(), (1,), (3,), (2, 3), (1, 2, 1, 2)], ids=str)
@pytest.mark.parametrize("size", [(2, 2), (6, 10), (34, 18)], ids=str)
def test_leading_shapes_and_cfas_follow_the_published_steps(
    lead: tuple[int, ...], size: tuple[int, int], dtype: torch.dtype
) -> None:
    image = extreme_image(dtype, batch=6)[: int(np.prod(lead)), :, 50 : 50 + size[0], 50 : 50 + size[1]]
    for cfa in SITES:
        params = ReverseISP("unprocess", seed=1, cfa=cfa).make_params(len(image), keys=list("abcdef")[: len(image)])
        raw = ReverseISP("unprocess").apply_params(image.reshape(*lead, *image.shape[1:]), params)
        assert raw.shape == (*lead, 4, size[0] // 2, size[1] // 2)
        assert raw.metadata.shape == lead
        flat = raw.packed.reshape(-1, *raw.shape[-3:]).double().numpy()
        assert np.abs(flat - reference(image, params)).max() < TOLERANCE


def test_memory_layout_does_not_matter() -> None:
    photo_last = photo("coffee")[..., :60, :84].contiguous(memory_format=torch.channels_last)
    to_raw = ReverseISP("unprocess", seed=0)
    for image in (photo_last, photo_last / 255.0):
        dense = image.clone(memory_format=torch.contiguous_format)
        assert torch.equal(to_raw(image, keys=["a"]).packed, to_raw(dense, keys=["a"]).packed)


def test_clean_raw_lies_in_the_unit_interval_and_reaches_both_ends() -> None:
    to_raw = ReverseISP("unprocess", cam_from_srgb=LOOKS["negative"]["cam_from_srgb"], rgb_gain=0.7, seed=0)
    packed = to_raw(extreme_image(torch.float32), keys=list("abcd")).packed
    assert packed.min() == 0.0
    assert packed.max() == 1.0


def test_white_stays_white_where_the_gains_would_darken_it() -> None:
    packed = ReverseISP("unprocess", seed=0)(torch.full((1, 3, 2, 2), 255, dtype=torch.uint8), keys=["a"]).packed
    assert packed.min() > 1.0 - 1e-6  # without safe_invert_gains red would be 1 / 2.15 / 1.25


def test_table_of_uint8_values() -> None:
    x = np.arange(256) / 255.0
    expected = np.maximum(0.5 - np.sin(np.arcsin(1.0 - 2.0 * x) / 3.0), 1e-8) ** 2.2
    assert np.abs(linear_table().double().numpy() - expected).max() < 1e-7


class ExtremeWeights(np.random.Generator):
    """Draws of the weights' law that put everything on one camera."""

    def __init__(self, camera: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.camera = camera

    def uniform(self, low: float = 0.0, high: float = 1.0, size: int | None = None) -> Array:  # type: ignore[override]
        return np.where(np.arange(size) == self.camera, high, low)


@pytest.mark.parametrize(
    ("camera", "printed"),
    [
        (0, [[0.8264, 0.2951, -0.1214], [0.1092, 0.9178, -0.0269], [0.0352, 0.2445, 0.7203]]),
        (1, [[0.488, 0.3443, 0.1677], [0.037, 0.7205, 0.2425], [-0.0057, 0.2163, 0.7895]]),
        (2, [[0.6218, 0.2241, 0.1541], [0.1064, 0.6482, 0.2454], [0.0222, 0.2139, 0.7639]]),
        (3, [[0.6337, 0.2249, 0.1414], [0.0788, 0.7403, 0.1809], [0.0058, 0.2224, 0.7718]]),
    ],
)
def test_corners_of_the_matrix_law(camera: int, printed: list[list[float]]) -> None:
    assert np.abs(random_cam_from_srgb(ExtremeWeights(camera)) - printed).max() < 5.1e-5


DRAWS = 20_000


@pytest.fixture(scope="module")
def drawn() -> Iterator[dict[str, Array]]:
    params = ReverseISP("unprocess", seed=2019).make_params(DRAWS, keys=[str(i) for i in range(DRAWS)])
    white_balance = np.array([p["white_balance"] for p in params])
    yield {
        "exposure": 1.0 / np.array([p["rgb_gain"] for p in params]),
        "red": white_balance[:, 0],
        "blue": white_balance[:, 1],
        "cam_from_srgb": np.array([p["cam_from_srgb"] for p in params]),
    }


@pytest.mark.parametrize(
    ("name", "law"),
    [
        ("exposure", stats.norm(0.8, 0.1)),
        ("red", stats.uniform(1.9, 0.5)),
        ("blue", stats.uniform(1.5, 0.4)),
    ],
)
def test_gains_follow_their_laws(drawn: dict[str, Array], name: str, law: stats.rv_continuous) -> None:
    # Keys are fixed, so this never flakes; a bound that is off by 2 % of the width gives p = 1e-6.
    assert stats.kstest(drawn[name], law.cdf).pvalue > 1e-3


def test_rows_of_drawn_matrices_sum_to_one(drawn: dict[str, Array]) -> None:
    assert np.abs(drawn["cam_from_srgb"].sum(axis=-1) - 1.0).max() < 2e-7


def mixing_weights(cam_from_srgb: Array) -> Array:
    """Recover the four weights from row-normalised mixes (N, 3, 3): rows are linear in them, so it is a null space."""
    corners = np.stack([unnormalised(camera) for camera in range(4)])
    residual = corners[None] - corners.sum(axis=-1)[None, ..., None] * cam_from_srgb[:, None]
    null = np.linalg.svd(residual.reshape(len(residual), 4, 9).swapaxes(1, 2))[2][:, -1]
    return np.asarray(null / null.sum(axis=1, keepdims=True))


def unnormalised(camera: int) -> Array:
    """XYZ -> camera matrices of Brooks et al. times linear sRGB -> XYZ, from the published listing."""
    cam_from_xyz = [
        [1.0234, -0.2969, -0.2266, -0.5625, 1.6328, -0.0469, -0.0703, 0.2188, 0.6406],
        [0.4913, -0.0541, -0.0202, -0.613, 1.3513, 0.2906, -0.1564, 0.2151, 0.7183],
        [0.838, -0.263, -0.0639, -0.2887, 1.0725, 0.2496, -0.0627, 0.1427, 0.5438],
        [0.6596, -0.2079, -0.0562, -0.4782, 1.3016, 0.1933, -0.097, 0.1581, 0.5181],
    ][camera]
    xyz_from_srgb = [0.4124564, 0.3575761, 0.1804375, 0.2126729, 0.7151522, 0.0721750, 0.0193339, 0.1191920, 0.9503041]
    return np.reshape(cam_from_xyz, (3, 3)) @ np.reshape(xyz_from_srgb, (3, 3))


def test_matrix_weights_are_normalised_uniforms(drawn: dict[str, Array]) -> None:
    weights = mixing_weights(drawn["cam_from_srgb"])
    uniforms = np.random.default_rng(0).uniform(size=(400_000, 4))
    law = uniforms / uniforms.sum(axis=1, keepdims=True)
    for camera in range(4):
        assert stats.ks_2samp(weights[:, camera], law[:, camera]).pvalue > 1e-3
        # The uniform law on the simplex, a plausible mistake, has Beta(1, 3) margins.
        assert stats.kstest(weights[:, camera], stats.beta(1, 3).cdf).pvalue < 1e-30
    assert stats.ks_2samp(weights.max(axis=1), law.max(axis=1)).pvalue > 1e-3
    assert stats.ks_2samp(weights.min(axis=1), law.min(axis=1)).pvalue > 1e-3


def test_draws_are_independent(drawn: dict[str, Array]) -> None:
    weights = mixing_weights(drawn["cam_from_srgb"])[:, 0]
    table = np.stack([drawn["exposure"], drawn["red"], drawn["blue"], weights])
    columns = np.concatenate([table[:, 1:], table[:, :-1]])  # each quantity, and the next sample's
    correlation = stats.spearmanr(columns, axis=1).statistic
    off_diagonal = correlation[~np.eye(len(columns), dtype=bool)]
    assert np.abs(off_diagonal).max() * np.sqrt(DRAWS) < 4.5
