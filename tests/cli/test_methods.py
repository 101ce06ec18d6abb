"""methods, the verb: every method of the table, and what it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from rawsynth.cli.methods import fitted, oracle_row, shown
from rawsynth.methods import METHODS
from rawsynth.methods.learned import NetworkMethod
from rawsynth.methods.listing import list_methods

Cli = Callable[..., Any]


def test_every_method_has_its_row(cli: Cli) -> None:
    done = cli("methods")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == ["method", *sorted(METHODS), "oracle"]
    assert all(METHODS[name].facts.licence in line for name, line in zip(sorted(METHODS), lines[1:], strict=False))


def test_json(cli: Cli) -> None:
    rows = {row["name"]: row for row in json.loads(cli("methods", "--json").out)}
    assert set(rows) == {*METHODS, "oracle"}
    small, big, plain, oracle = (rows[n] for n in ("rst_isp_net_small", "rst_isp_net", "unprocess", "oracle"))
    assert (small["parameters"], small["needs"], small["weights"]) == (1_554_361, "nothing", ["rst_isp_net_small"])
    assert small["takes"] == ["camera colour", "style"] and small["trainable"]
    assert big["parameters"] > 86_000_000 and big["needs"] == "weights" and big["weights"] == []
    assert (plain["parameters"], plain["trainable"], plain["licence"]) == (0, False, "Apache-2.0")
    assert oracle["needs"] == "reference"
    for name, method in METHODS.items():
        assert rows[name]["trainable"] == issubclass(method, NetworkMethod)
        assert rows[name]["source"] and rows[name]["summary"]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_narrow_terminal_gets_the_last_columns_below(width: int) -> None:
    rows = shown([*list_methods(), oracle_row()])
    lines = fitted(rows, width)
    assert max(map(len, lines)) <= width
    below = " ".join(line.strip() for line in lines if line.startswith("    "))
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["method", *sorted(METHODS), "oracle"]
    assert below.count("original's licence: ") == len(rows) - 1 and all(row[-1] in below for row in rows[1:])


def test_a_wide_terminal_gets_what_a_pipe_gets() -> None:
    rows = shown([*list_methods(), oracle_row()])
    assert fitted(rows, 1000) == fitted(rows, None) and len(fitted(rows, None)) == len(rows)
