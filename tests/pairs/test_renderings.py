"""Measured renderings: the file, and the table look-up against SciPy's interpolation and closed forms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator
from skimage import data

from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.pairs.renderings import (
    QUANTUM,
    TOP,
    apply_table,
    decode_tables,
    encode_tables,
    load_renderings,
    node_values,
)

FAMILIES = {"darktable", "rawtherapee", "libraw", "base curve"}
SATURATION = 15


def table_of(function, count: int = 21) -> torch.Tensor:
    """A table that holds a function of the encoded position (N, N, N, 3) in [0, 1]."""
    axis = torch.linspace(0, 1, count)
    position = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    return function(position)[None]


def encoded(linear: torch.Tensor) -> torch.Tensor:
    return (linear.clamp(0, TOP) / TOP) ** (1 / 2.2)


def photograph() -> torch.Tensor:
    """(1, 3, H, W) scene-linear, from black to a little beyond saturation."""
    pixels = torch.from_numpy(data.coffee()[:200, :300].copy()).permute(2, 0, 1)[None] / 255
    return pixels**2.2 * 1.2


def test_nodes_are_even_after_encoding_and_one_of_them_is_saturation():
    nodes = node_values(21)
    assert nodes[0] == 0 and nodes[-1] == pytest.approx(TOP)
    assert nodes[SATURATION] == pytest.approx(1.0)
    assert torch.allclose(encoded(nodes).diff(), torch.tensor(1 / 20), atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(0, 6)] * 3))
def test_a_node_gives_its_entry(index):
    table = torch.rand((1, 7, 7, 7, 3), generator=torch.Generator().manual_seed(0))
    linear = node_values(7)[list(index)].reshape(1, 3, 1, 1)
    assert torch.allclose(apply_table(linear, table)[0, :, 0, 0], table[(0, *index)], atol=2e-6)


def test_axes_are_red_green_blue():
    only_red = torch.tensor([TOP, 0.0, 0.0]).reshape(1, 3, 1, 1)
    table = table_of(lambda p: torch.stack([p[..., 0], 2 * p[..., 0] / 3, p[..., 2]], dim=-1))
    assert torch.allclose(apply_table(only_red, table).flatten(), torch.tensor([1.0, 2 / 3, 0.0]), atol=1e-6)


def test_values_between_nodes_equal_scipys_trilinear_interpolation():
    rng = np.random.default_rng(1)
    table, linear = rng.random((9, 9, 9, 3)), rng.random((1, 3, 20, 30)) * TOP
    axis = np.linspace(0, 1, 9)
    position = (linear[0] / TOP).transpose(1, 2, 0) ** (1 / 2.2)
    wanted = RegularGridInterpolator((axis, axis, axis), table)(position)
    got = apply_table(torch.from_numpy(linear).float(), torch.from_numpy(table).float()[None])[0].permute(1, 2, 0)
    assert np.abs(got.numpy() - wanted).max() < 1e-5


def test_a_photograph_through_the_identity_comes_out_encoded():
    linear = photograph()
    assert torch.allclose(apply_table(linear, table_of(lambda p: p)), encoded(linear), atol=2e-6)


def test_an_affine_table_is_reproduced():
    matrix = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.7, 0.1], [0.1, 0.1, 0.8]])
    linear = photograph()
    wanted = torch.einsum("ij,bjhw->bihw", matrix, encoded(linear)) * 0.9 + 0.05
    assert torch.allclose(apply_table(linear, table_of(lambda p: p @ matrix.T * 0.9 + 0.05)), wanted, atol=3e-6)


def test_each_sample_has_its_own_table_and_one_table_serves_all():
    linear = photograph()[..., :40, :60].repeat(3, 1, 1, 1)
    tables = torch.rand((3, 5, 5, 5, 3), generator=torch.Generator().manual_seed(2))
    together = apply_table(linear, tables)
    alone = torch.cat([apply_table(linear[k : k + 1], tables[k : k + 1]) for k in range(3)])
    assert torch.equal(together, alone)
    assert not torch.allclose(together[0], together[1], atol=0.05)
    assert torch.equal(apply_table(linear, tables[:1])[2], together[0])


def test_what_lies_outside_is_taken_to_the_edge():
    table = table_of(lambda p: p * 0.8 + 0.1)
    beyond = torch.tensor([-0.5, TOP * 3, 1.0]).reshape(1, 3, 1, 1)
    edge = torch.tensor([0.0, TOP, 1.0]).reshape(1, 3, 1, 1)
    assert torch.equal(apply_table(beyond, table), apply_table(edge, table))


@pytest.mark.parametrize(
    ("linear", "tables"),
    [
        ((3, 8, 8), (1, 5, 5, 5, 3)),
        ((2, 4, 8, 8), (2, 5, 5, 5, 3)),
        ((2, 3, 8, 8), (5, 5, 5, 3)),
        ((2, 3, 8, 8), (3, 5, 5, 5, 3)),
        ((2, 3, 8, 8), (2, 5, 4, 5, 3)),
        ((2, 3, 8, 8), (2, 5, 5, 5, 4)),
        ((2, 3, 8, 8), (2, 1, 1, 1, 3)),
    ],
)
def test_shapes_that_do_not_fit_are_refused(linear, tables):
    with pytest.raises(UsageError, match="got"):
        apply_table(torch.zeros(linear), torch.zeros(tables))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_processor_gives():
    linear, tables = photograph(), torch.rand((1, 21, 21, 21, 3))
    assert torch.allclose(apply_table(linear.cuda(), tables.cuda()).cpu(), apply_table(linear, tables), atol=1e-4)


def test_packing_keeps_tables_to_half_a_quantum():
    tables = np.random.default_rng(3).random((2, 5, 5, 5, 3))
    tables[0, 0, 0, 0], tables[1, -1, -1, -1] = 0.0, 1.0
    assert np.abs(decode_tables(encode_tables(tables), tables.shape) - tables).max() <= QUANTUM / 2 + 1e-7


def test_the_file_holds_named_tables_of_every_family():
    found = load_renderings()
    assert len({rendering.name for rendering in found}) == len(found) >= 40
    assert {rendering.family for rendering in found} == FAMILIES
    for rendering in found:
        assert rendering.settings and rendering.table.shape == (21, 21, 21, 3)
        assert rendering.table.dtype == torch.float32
        assert rendering.table.min() >= 0 and rendering.table.max() <= 1


def test_families_are_chosen_by_name_and_unknown_ones_refused():
    chosen = load_renderings(["libraw", "darktable"])
    assert {rendering.family for rendering in chosen} == {"libraw", "darktable"}
    with pytest.raises(UnknownNameError, match="darktable"):
        load_renderings(["darktabel"])


@pytest.mark.parametrize("rendering", load_renderings(), ids=lambda rendering: rendering.name)
def test_greys_rise_from_black_to_white_and_stay_grey(rendering):
    k = torch.arange(21)
    grays = rendering.table[k, k, k]
    assert grays.diff(dim=0).min() >= -0.003, "a step down is more than the measurement's noise"
    assert grays[0].max() < 0.02 and grays[-1].min() > 0.85
    assert (grays - grays[:, 1:2]).abs().max() < 0.03
    assert 0.25 < grays[7, 1] < 0.85, "scene-linear 0.19, a grey card, is neither black nor white"


@pytest.mark.parametrize("rendering", load_renderings(), ids=lambda rendering: rendering.name)
def test_colours_keep_their_order(rendering):
    bright, dark = 12, 6
    for channel in range(3):
        index = [dark] * 3
        index[channel] = bright
        color = rendering.table[tuple(index)]
        assert color.argmax() == channel
        assert color[channel] > rendering.table[dark, dark, dark, channel]


def test_libraws_tables_are_the_standards_curves():
    tables = {rendering.name: rendering.table for rendering in load_renderings(["libraw"])}
    x = node_values(21).clamp(max=1).double()
    bt709 = torch.where(x < 0.018, 4.5 * x, 1.099 * x**0.45 - 0.099)
    srgb = torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    k = torch.arange(21)
    # LibRaw derives its constants from power and slope: within 2e-3 of the rounded ones of the standards.
    for name, wanted in (("libraw BT.709", bt709), ("libraw sRGB", srgb)):
        rendered = torch.stack([wanted, wanted[3].expand(21), wanted[12].expand(21)], dim=1)
        assert (tables[name][k, 3, 12] - rendered).abs().max() < 2e-3


def test_programs_without_a_curve_agree_with_each_other():
    tables = {rendering.name: rendering.table[:16, :16, :16] for rendering in load_renderings()}
    neutral = tables["libraw sRGB"]
    for name in ("rawtherapee neutral", "darktable none"):
        assert (tables[name] - neutral).abs().max() < 5e-3
