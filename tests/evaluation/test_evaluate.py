"""evaluate: what is scored, what the method is told, and that one bad pair costs one pair."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from rawsynth.errors import InputAccessError, SampleError, UsageError
from rawsynth.evaluation.evaluate import evaluate
from rawsynth.evaluation.result import Evaluation
from rawsynth.methods import METHODS, ReverseMethod
from rawsynth.pairs import Pair, Scoring
from rawsynth.transforms import ReverseISP

MakePair = Callable[..., Pair]
PairSet = Callable[..., Any]
PSNRS = ("aim22_psnr", "psnr", "exposure_fitted_psnr", "psnr_r", "psnr_gr", "psnr_gb", "psnr_b")


class Halves(ReverseMethod):
    """Stands for a learned method: the green channel at each site times a weight; takes no colour."""

    name: ClassVar[str] = "halves"
    version = "1+abc"
    takes_color: ClassVar[bool] = False
    seen: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(0.5)
        self.frozen = nn.BatchNorm2d(4).eval()

    def draw(self, rng: np.random.Generator) -> dict[str, Any]:
        return {"cam_from_srgb": np.eye(3).tolist(), "white_balance": [1.0, 1.0], "rgb_gain": 1.0}

    def tensors(self, params: Sequence[Mapping[str, Any]], device: torch.device) -> dict[str, Tensor]:
        return {}

    def forward(self, srgb: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
        product = torch.ones(1, 2, device=srgb.device) @ torch.ones(2, 1, device=srgb.device)
        self.seen.append((len(srgb), self.training, torch.is_inference_mode_enabled(), product.dtype))
        planes = [srgb[:, 1, k // 2 :: 2, k % 2 :: 2] for k in range(4)]
        return self.dropout(torch.stack(planes, dim=1).float() / 255 * self.weight)


@pytest.fixture
def halves(monkeypatch: pytest.MonkeyPatch) -> ReverseISP:
    monkeypatch.setitem(METHODS, "halves", Halves)
    Halves.seen.clear()
    return ReverseISP("halves", seed=0)


def halved(pair: Pair) -> Pair:
    planes = [pair.srgb[1, k // 2 :: 2, k % 2 :: 2] for k in range(4)]
    return replace(pair, raw=torch.stack(planes).float() / 255 * 0.5, meta={})


def scores(evaluation: Evaluation, name: str) -> list[float]:
    return [row.scores[name] for row in evaluation.rows]


@pytest.fixture
def unprocess() -> ReverseISP:
    return ReverseISP("unprocess", seed=0)


def test_the_truth_scores_999(unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    """Told the colour that a pair was made with, the method makes the pair's RAW again, to the bit."""
    found = evaluate(unprocess, pair_set([make_pair(i) for i in range(4)]))
    for name in PSNRS:
        assert scores(found, name) == [999.0] * 4
        assert (found.means[name].low, found.means[name].value) == (999.0, 999.0)
    assert scores(found, "aim22_ssim") == pytest.approx([1.0] * 4, abs=1e-12)
    assert scores(found, "exposure") == [1.0] * 4
    assert [row.known for row in found.rows] == [("cam_from_srgb", "white_balance", "rgb_gain")] * 4
    assert (found.method, found.version, found.color, found.errors) == ("unprocess", "1", "known", {})


def test_the_truth_scores_999_on_a_submission_s_scale(
    unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet, aim22_scale: Scoring
) -> None:
    """A reference of whole DN: what the method makes of it between two DN is rounded down as a submission is."""

    def to_dn(raw: Tensor) -> Tensor:
        return torch.floor(raw * 1023) / 1023

    found = evaluate(unprocess, pair_set([make_pair(i, change=to_dn, scoring=aim22_scale) for i in range(3)]))
    assert scores(found, "aim22_psnr") == [999.0] * 3
    assert max(scores(found, "psnr")) < 80


def test_official_scores_are_of_dn_over_1024(halves: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    """Computed here from whole DN in NumPy, the way that a scoring script reads two files."""
    pair = replace(halved(make_pair(0)), scoring=Scoring(60, 1020, 1024, floor=True))
    pair = replace(pair, raw=(pair.raw * 960 * 0.9).round() / 960)
    result = np.floor(halved(pair).raw.double().numpy() * 960 + 60)
    reference = np.rint(pair.raw.double().numpy() * 960 + 60)
    mse = np.mean((result / 1024 - reference / 1024) ** 2)
    (row,) = evaluate(halves, pair_set([pair])).rows
    assert row.scores["aim22_psnr"] == pytest.approx(10 * np.log10(1 / mse), abs=1e-9)
    assert row.scores["psnr"] == pytest.approx(
        -10 * np.log10(np.mean((halved(pair).raw.double().numpy() - pair.raw.double().numpy()) ** 2)), abs=1e-9
    )


def test_a_darker_exposure_is_forgiven(unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    found = evaluate(unprocess, pair_set([make_pair(i, change=lambda raw: 0.5 * raw) for i in range(3)]))
    assert min(scores(found, "exposure_fitted_psnr")) > 250
    assert scores(found, "exposure") == pytest.approx([0.5] * 3, abs=1e-12)
    assert max(scores(found, "psnr")) < 40


def test_a_result_counts_as_clipped_to_black_and_white(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = make_pair(0)
    reference = (pair.raw > 0.1).float()
    monkeypatch.setattr(Halves, "forward", lambda self, srgb, tensors: 5 * reference[None] - 2)
    (row,) = evaluate(halves, pair_set([replace(pair, raw=reference)])).rows
    assert [row.scores[name] for name in PSNRS] == [999.0] * len(PSNRS)


def test_noisier_references_score_less(unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    def noisy(sigma: float) -> Callable[[Tensor], Tensor]:
        generator = torch.Generator().manual_seed(0)
        return lambda raw: (raw + sigma * torch.randn(raw.shape, generator=generator)).clamp(0, 1)

    sets = [pair_set([make_pair(0, change=noisy(sigma))]) for sigma in (0, 1e-3, 1e-2, 1e-1)]
    rows = [evaluate(unprocess, pairs).rows[0] for pairs in sets]
    for name in (*PSNRS, "aim22_ssim"):
        values = [row.scores[name] for row in rows]
        assert values == sorted(values, reverse=True) and len(set(values)) == 4


def test_one_wrong_plane_shows_in_its_own_score(
    unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet
) -> None:
    def spoil(raw: Tensor) -> Tensor:
        return torch.cat([raw[:3], raw[3:] * 0.5])

    (row,) = evaluate(unprocess, pair_set([make_pair(0, change=spoil)])).rows
    assert [row.scores[f"psnr_{name}"] == 999 for name in ("r", "gr", "gb", "b")] == [True, True, True, False]


@pytest.mark.parametrize("known_color", [True, False])
def test_the_batch_changes_nothing(
    unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet, known_color: bool
) -> None:
    """Several sizes and scales, pairs with all, some and no colour, a lost one between them."""
    sizes = [(48, 64), (48, 64), (22, 24), (48, 64), (64, 48), (22, 24), (48, 64)]
    metas = [None, {}, None, {"white_balance": [1.5, 1.25]}, {}, None, None]
    pairs = pair_set(
        [make_pair(i, size=s, meta=m, change=lambda r: r * 0.9) for i, (s, m) in enumerate(zip(sizes, metas))]
        + [SampleError("damaged"), make_pair(8, scoring=Scoring(0, 1023, 1024, True))]
    )
    found = [evaluate(unprocess, pairs, batch=n, known_color=known_color) for n in (1, 2, 3, None)]
    for other in found[1:]:
        assert [r.key for r in other.rows] == [r.key for r in found[0].rows] == [*pairs.keys[:7], "p8"]
        assert other.errors == found[0].errors == {"lost-7": "damaged"}
        for row, first in zip(other.rows, found[0].rows, strict=True):
            assert (row.params, row.known) == (first.params, first.known)
            assert row.scores == pytest.approx(first.scores, abs=1e-9)


def test_few_pixels_at_once(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = pair_set([make_pair(i) for i in range(7)])
    evaluate(halves, pairs)
    monkeypatch.setattr("rawsynth.evaluation.evaluate._BATCH_PIXELS", {"cpu": 2 * 48 * 64 + 1})
    evaluate(halves, pairs)
    evaluate(halves, pairs, batch=3)
    assert [seen[0] for seen in Halves.seen] == [7, *[2, 2, 2, 1] * 2]


def test_images_of_many_sizes_do_not_pile_up(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No two share a batch here; what was read and not yet scored stays within four batches' pixels and one image."""
    budget = 22 * 60 * 3
    monkeypatch.setattr("rawsynth.evaluation.evaluate._BATCH_PIXELS", {"cpu": budget})
    pairs = pair_set([make_pair(i, size=(22, 24 + 2 * i)) for i in range(40)])
    read: list[int] = []
    waiting: list[int] = []
    plain = type(pairs).__getitem__
    monkeypatch.setattr(type(pairs), "__getitem__", lambda self, index: (read.append(index), plain(self, index))[1])

    def forward(self: Halves, srgb: Tensor, tensors: object) -> Tensor:
        Halves.seen.append(srgb.shape[-1])
        waiting.append(sum(22 * (24 + 2 * i) for i in read) - sum(22 * width for width in Halves.seen[:-1]))
        return torch.zeros(len(srgb), 4, srgb.shape[-2] // 2, srgb.shape[-1] // 2)

    monkeypatch.setattr(Halves, "forward", forward)
    found = evaluate(halves, pairs)
    assert [row.key for row in found.rows] == pairs.keys
    assert len(Halves.seen) == 40 and 2 * budget < max(waiting) <= 4 * budget + 22 * 102


def test_what_the_method_is_told(unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    """Stated fields only, with the others drawn; nothing if the colour is to be drawn."""
    pairs = pair_set([make_pair(0, meta={"white_balance": [3.0, 2.5], "rgb_gain": None}), make_pair(1, meta={})])
    told, untold = evaluate(unprocess, pairs).rows
    drawn = evaluate(unprocess, pairs, known_color=False)
    assert (told.known, untold.known) == (("white_balance",), ())
    assert told.params["white_balance"] == [3.0, 2.5]
    assert {**told.params, "white_balance": None} == {**drawn.rows[0].params, "white_balance": None}
    assert drawn.rows[0].params["white_balance"] != [3.0, 2.5]
    assert untold.params == drawn.rows[1].params
    assert drawn.color == "drawn" and drawn.rows[0].known == ()


def test_another_seed_draws_another_colour(make_pair: MakePair, pair_set: PairSet) -> None:
    pairs = pair_set([make_pair(i, meta={}) for i in range(3)])
    first, again, other = (evaluate(ReverseISP("unprocess", seed=seed), pairs) for seed in (0, 0, 1))
    assert first.rows == again.rows
    assert scores(first, "psnr") != scores(other, "psnr")


def test_parameters_replay_a_row(make_pair: MakePair, pair_set: PairSet) -> None:
    """Even where torch's own generator drew them."""
    pairs = pair_set([make_pair(i, meta={}) for i in range(3)])
    to_raw = ReverseISP("unprocess", seed=None)
    for row, pair in zip(evaluate(to_raw, pairs).rows, pairs, strict=True):
        made = to_raw.apply_params(pair.srgb[None], [json.loads(json.dumps(row.params))]).packed[0].double()
        mse = float((made - pair.raw.double()).square().mean())
        assert row.scores["psnr"] == pytest.approx(-10 * np.log10(mse), abs=1e-9)


def test_a_learned_method_is_told_nothing(halves: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    found = evaluate(halves, pair_set([replace(halved(make_pair(0)), meta=make_pair(0).meta)]))
    assert (found.color, found.rows[0].known, found.version) == ("own", (), "1+abc")
    assert found.rows[0].scores["psnr"] == 999


def test_a_method_runs_in_evaluation_mode(halves: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    """Without dropout and gradients; afterwards every module is as it was, and the weights can be trained."""
    modes = {module: module.training for module in halves.modules()}
    assert len(set(modes.values())) == 2
    evaluate(halves, pair_set([make_pair(0), make_pair(1)]))
    assert Halves.seen == [(2, False, True, torch.float32)]
    assert {module: module.training for module in halves.modules()} == modes
    (halves.method.weight * 2).backward()
    assert halves.method.weight.grad == 2


def test_modes_come_back_after_a_failure(halves: ReverseISP, pair_set: PairSet) -> None:
    modes = {module: module.training for module in halves.modules()}
    with pytest.raises(SampleError):
        evaluate(halves, pair_set([SampleError("damaged")]))
    assert {module: module.training for module in halves.modules()} == modes


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_lower_precision(halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, dtype: torch.dtype) -> None:
    found = evaluate(halves, pair_set([halved(make_pair(0))]), dtype=dtype)
    assert Halves.seen[0][3] == dtype
    assert found.rows[0].scores["psnr"] > 40


def test_means_are_over_images_and_intervals_over_scenes(
    unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet
) -> None:
    pairs = pair_set([make_pair(i, change=lambda raw, i=i: raw * (0.9 - 0.05 * i)) for i in range(6)])
    found = evaluate(unprocess, pairs)
    values = scores(found, "psnr")
    means = [np.mean(values[scene::3]) for scene in range(3)]
    assert [found.scenes[f"scene{k}"]["psnr"] for k in range(3)] == pytest.approx(means)
    margin = stats.t.ppf(0.975, 2) * np.std(means, ddof=1) / 3**0.5
    mean = found.means["psnr"]
    assert (mean.value, mean.low, mean.high) == pytest.approx(
        (np.mean(values), np.mean(values) - margin, np.mean(values) + margin)
    )


def spoiled(pair: Pair, **changes: Any) -> Pair:
    return replace(pair, key="bad", **changes)


BAD: list[tuple[str, Callable[[Pair], Pair | Exception], str]] = [
    ("damaged", lambda p: SampleError("bad.png is damaged"), "bad.png is damaged"),
    ("out of reach", lambda p: InputAccessError("cannot read bad.png"), "cannot read bad.png"),
    ("anything", lambda p: ZeroDivisionError("odd"), "ZeroDivisionError('odd')"),
    ("RAW of another size", lambda p: spoiled(p, raw=p.raw[:, :-1]), "(4, 23, 32)"),
    ("odd sRGB", lambda p: spoiled(p, srgb=p.srgb[:, :-1]), "(3, 47, 64)"),
    ("gray", lambda p: spoiled(p, srgb=p.srgb[:1]), "(1, 48, 64)"),
    ("float sRGB", lambda p: spoiled(p, srgb=p.srgb / 255), "torch.float32"),
    ("integer RAW", lambda p: spoiled(p, raw=p.raw.to(torch.int32)), "torch.int32"),
    ("small", lambda p: spoiled(p, srgb=p.srgb[:, :20], raw=p.raw[:, :10]), "20x64 is too small"),
    ("NaN", lambda p: spoiled(p, raw=torch.full_like(p.raw, torch.nan)), "NaN or infinity"),
    ("infinity", lambda p: spoiled(p, raw=p.raw / 0), "NaN or infinity"),
    ("colour", lambda p: spoiled(p, meta={"cam_from_srgb": [[1, 1, 1]] * 3}), "rows sum to 1"),
    ("gains", lambda p: spoiled(p, meta={"white_balance": [0.0, 1.0]}), "must be positive"),
    ("words", lambda p: spoiled(p, meta={"white_balance": "daylight"}), "white_balance"),
    ("scale", lambda p: spoiled(p, scoring=Scoring(peak_dn=0)), "positive peak"),
    ("levels", lambda p: spoiled(p, scoring=Scoring(white_dn=0)), "0 <= black < white"),
]


@pytest.mark.parametrize(("make_bad", "cause"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_a_bad_pair_costs_itself(
    unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet, make_bad: Any, cause: str
) -> None:
    good, done = [make_pair(0), make_pair(1)], []
    found = evaluate(unprocess, pair_set([good[0], make_bad(make_pair(2)), good[1]]), progress=done.append)
    assert [row.key for row in found.rows] == ["p0", "p1"]
    (error,) = found.errors.values()
    assert cause in error
    assert sum(done) == 3
    assert found.means["psnr"].value == 999


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_result_that_is_not_finite_is_never_in_a_mean(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    def forward(self: Halves, srgb: Tensor, tensors: object) -> Tensor:
        raw = torch.full((len(srgb), 4, srgb.shape[-2] // 2, srgb.shape[-1] // 2), 0.5)
        raw[1, 2, 3, 4] = bad
        return raw

    monkeypatch.setattr(Halves, "forward", forward)
    found = evaluate(halves, pair_set([make_pair(i) for i in range(3)]))
    assert [row.key for row in found.rows] == ["p0", "p2"] and list(found.errors) == ["p1"]
    assert "NaN or infinity" in found.errors["p1"]
    assert all(np.isfinite(mean.value) for mean in found.means.values())


def test_a_result_of_another_size_is_an_error(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Halves, "forward", lambda self, srgb, tensors: torch.zeros(len(srgb), 4, 20, 30))
    with pytest.raises(SampleError, match=r"none of 1 pair.*'p0'.*\(4, 20, 30\).*\(4, 24, 32\)"):
        evaluate(halves, pair_set([make_pair(0)]))


def test_too_little_memory_names_the_batch(
    halves: ReverseISP, make_pair: MakePair, pair_set: PairSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: Halves, srgb: Tensor, tensors: object) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Halves, "forward", forward)
    with pytest.raises(UsageError, match="2 images of 48x64 at once; ask for a smaller batch"):
        evaluate(halves, pair_set([make_pair(0), make_pair(1)]))


@pytest.mark.parametrize(("error", "kind"), [(SampleError, SampleError), (InputAccessError, InputAccessError)])
def test_nothing_to_score_is_an_error(
    unprocess: ReverseISP, pair_set: PairSet, error: type[Exception], kind: type[Exception]
) -> None:
    with pytest.raises(kind, match="none of 2 pairs could be scored; the first, 'lost-0': one"):
        evaluate(unprocess, pair_set([error("one"), error("two")]))


def test_wrong_use_is_refused_before_anything_runs(halves: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    one = pair_set([make_pair(0)])
    for pairs, options, words in [
        (pair_set([]), {}, "no pair"),
        (pair_set([make_pair(0), make_pair(0)]), {}, "'p0' names several"),
        (one, {"batch": 0}, "one image or more"),
        (one, {"pictures": -1}, "fewer than 0"),
        (one, {"labels": {"a": np.float32(1)}}, "labels"),
        (one, {"labels": {"a": float("nan")}}, "labels"),
    ]:
        with pytest.raises(UsageError, match=words):
            evaluate(halves, pairs, **options)
    assert Halves.seen == []


@pytest.mark.parametrize("options", [{"cfa": "GBRG"}, {"camera": "Sony ILCE-7SM2", "cfa": "BGGR"}])
def test_planes_in_another_order_are_refused(make_pair: MakePair, pair_set: PairSet, options: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="pairs are RGGB"):
        evaluate(ReverseISP("unprocess", seed=0, **options), pair_set([make_pair(0)]))


def test_keys_and_scenes_are_the_set_s(unprocess: ReverseISP, make_pair: MakePair, pair_set: PairSet) -> None:
    found = evaluate(unprocess, pair_set([make_pair(0), make_pair(1)], scenes=["x", "x"]))
    assert list(found.scenes) == ["x"]
    assert found.means["psnr"].low is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same_scores(make_pair: MakePair, pair_set: PairSet) -> None:
    pairs = pair_set([make_pair(i, meta={}) for i in range(5)])
    host, device = (evaluate(ReverseISP("unprocess", seed=0), pairs, device=name) for name in ("cpu", "cuda"))
    for row, other in zip(host.rows, device.rows, strict=True):
        assert other.scores == pytest.approx(row.scores, abs=1e-3)
