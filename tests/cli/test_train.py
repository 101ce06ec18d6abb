"""train, the verb: one line a mistake, exit codes that scripts can use, and what a run says at its end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import rawsynth
from rawsynth.errors import OutputError
from rawsynth.training import state
from rawsynth.training.config import packaged_configs
from rawsynth.training.journal import read_curve
from rawsynth.training.learner import Learner
from rawsynth.training.scene_config import load_config

Cli = Callable[..., Any]
PACKAGED = sorted(packaged_configs())


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory, photo: Callable[..., bytes], make_corpus: Any) -> Path:
    """A corpus of 24 crops of four photographs with their sRGB, as ``rawsynth generate --srgb --crop`` writes it."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "photos").mkdir()
    for index in range(4):
        (folder / "photos" / f"p{index}.png").write_bytes(photo(index, height=120, width=120))
    image = {"crop": 64, "crops": 6}
    make_corpus(folder / "photos", folder / "corpus", image=image, method={"rgb_gain": 1.25}, write={"srgb": True})
    return folder / "corpus"


@pytest.fixture
def config(corpus: Path, tmp_path: Path) -> Path:
    """A training of four steps as a TOML file, which writes to ``run`` beside it."""
    file = tmp_path / "c.toml"
    file.write_text(
        f'output = "{tmp_path}/run"\n[data]\ntrain = "{corpus}"\nvalidation_share = 0.25\ncrop = 32\nworkers = 0\n'
        '[model]\npreset = "tiny"\noptions = {width = 2}\n[optimizer]\nsteps = 4\nbatch = 4\nlr = 3e-3\nema = 0.9\n'
        "[watch]\nlog_every = 1\nvalidate_every = 2\nsave_every = 2\npanels = 1\n"
    )
    return file


def lines(done: Any) -> list[str]:
    """What went wrong, which is one line and no traceback."""
    assert done.out == "" and "Traceback" not in done.err
    return list(done.err.splitlines())


# ---- done ----


def test_a_training_from_a_corpus(cli: Cli, config: Path, tmp_path: Path) -> None:
    done = cli("train", config)
    assert done.code == 0 and done.err.startswith("rawsynth train: 0 of 4 steps\n")
    first, second = done.out.splitlines()
    best = max(
        (row for row in read_curve(str(tmp_path / "run")) if row["kind"] == "validation"), key=lambda row: row["psnr"]
    )
    assert first == f"4 steps; best validation {best['psnr']:.2f} dB at step {best['step']}"
    assert second == f"weights: {tmp_path}/run/best.safetensors"
    packed = rawsynth.ReverseISP("rst_isp_net", second.removeprefix("weights: "))(torch.zeros(3, 32, 48)).packed
    assert packed.shape == (4, 16, 24)
    assert {path.name for path in (tmp_path / "run").iterdir()} == {
        "train.json", "last.safetensors", "metrics.jsonl", "best.safetensors", "final.safetensors", "tensorboard"
    }  # fmt: skip
    again = cli("train", config)
    assert (again.code, again.out) == (0, done.out)


def test_options_win_over_the_file(cli: Cli, config: Path, tmp_path: Path) -> None:
    options = ["--output", f"{tmp_path}/other", "--set", "optimizer.steps=2", "--set", " seed = 5 ", "--quiet"]
    done = cli("train", config, "--set", "seed=3", "--set", "licence=CC BY 4.0, mine=yes", *options)
    assert done.code == 0 and done.out.startswith("2 steps; ")
    plan = json.loads((tmp_path / "other" / "train.json").read_text())["config"]
    assert (plan["seed"], plan["optimizer"]["steps"], plan["licence"]) == (5, 2, "CC BY 4.0, mine=yes")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_learns_on_finite_losses(cli: Cli, config: Path, tmp_path: Path, dtype: str) -> None:
    done = cli("train", config, "--set", f"compute.dtype={dtype}", "--quiet")
    assert done.code == 0
    losses = [row["loss"] for row in read_curve(str(tmp_path / "run")) if row["kind"] == "train"]
    assert len(losses) == 4 and all(0 < loss < 10 for loss in losses)
    saved = state.load_state(str(tmp_path / "run" / "last.safetensors"))["learner"]
    assert {t.dtype for t in saved["network"].values()} == {torch.float32}
    assert bool(saved["scaler"]) == (dtype == "float16")


def test_another_training_needs_to_be_told_to_overwrite(cli: Cli, config: Path, tmp_path: Path) -> None:
    assert cli("train", config).code == 0
    (said,) = lines(refused := cli("train", config, "--set", "seed=1"))
    assert refused.code == 2 and f"{tmp_path}/run holds another training: seed 0 -> 1. " in said
    assert cli("train", config, "--set", "seed=1", "--overwrite").code == 0


def test_lost_pairs_are_counted(cli: Cli, config: Path, corpus: Path, tmp_path: Path) -> None:
    done = cli("train", config, "--set", f"data.train={damage(corpus, tmp_path / 'damaged')}")
    assert done.code == 0
    lost = [row for row in read_curve(str(tmp_path / "run")) if row["kind"] == "lost"]
    assert lost and f"; {len(lost)} times a pair could not be read (see metrics.jsonl)" in done.out


def damage(corpus: Path, folder: Path) -> Path:
    """The corpus's tars, with every tenth pair's RAW cut short in its header."""
    folder.mkdir()
    for tar in corpus.rglob("*.tar"):
        parts = tar.read_bytes().split(b"\x93NUMPY")
        joints = [b"\x93NUMPY" if k % 5 else b"\x93NOMPY" for k in range(1, len(parts))]
        (folder / tar.name).write_bytes(b"".join(a + b for a, b in zip(parts, [*joints, b""], strict=True)))
    return folder


# ---- stopped ----


@pytest.mark.parametrize(("signals", "said"), [(1, "stopped after step 2 of 4; the same command"), (2, "interrupted;")])
def test_stopped_by_a_signal(
    cli: Cli, config: Path, monkeypatch: pytest.MonkeyPatch, signals: int, said: str
) -> None:
    learn = Learner.step

    def learning(self: Learner, batch: Any, step: int) -> Any:
        for _ in range(signals if step == 1 else 0):
            os.kill(os.getpid(), signal.SIGINT)
        return learn(self, batch, step)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", learning)
        done = cli("train", config, "--set", "watch.save_every=99", "--set", "watch.validate_every=99")
    assert done.code == 130 and said in (done.out if signals == 1 else done.err)
    assert "Traceback" not in done.err and "goes on" in done.out + done.err
    assert cli("train", config).code == 0


def test_a_disk_that_is_full_keeps_the_checkpoint_before(
    cli: Cli, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, saved = state.save_state, []

    def full(url: str, content: dict[str, Any]) -> None:
        if saved:
            raise OutputError(f"cannot write {url}: No space left on device. Free some space and run again.")
        saved.append(save(url, content))

    with monkeypatch.context() as patch:
        patch.setattr("rawsynth.training.run_folder.save_state", full)
        (said,) = lines(done := cli("train", config, "--quiet"))
    assert done.code == 1 and "No space left" in said
    assert state.load_state(str(tmp_path / "run" / "last.safetensors"))["step"] == 2
    assert cli("train", config).code == 0
    assert [row["step"] for row in read_curve(str(tmp_path / "run")) if row["kind"] == "train"] == [1, 2, 3, 4]


def test_a_training_that_diverges_names_its_batch(cli: Cli, config: Path) -> None:
    options = ("--set", "optimizer.lr=1e30", "--set", "optimizer.clip=0")
    (said,) = lines(done := cli("train", config, *options, "--quiet"))
    assert done.code == 1 and "has loss" in said and "on the pairs p" in said and "lower lr" in said


@pytest.mark.parametrize("name", ["last.safetensors", "metrics.jsonl", "train.json"])
def test_a_damaged_file_of_the_run_is_named(cli: Cli, config: Path, tmp_path: Path, name: str) -> None:
    assert cli("train", config).code == 0
    file = tmp_path / "run" / name
    file.write_bytes(file.read_bytes()[:-9])
    (said,) = lines(done := cli("train", config, "--quiet"))
    assert done.code == 1 and f"{name} is damaged" in said


# ---- wrong ----

WRONG: list[tuple[list[str], int, str]] = [
    (["own_camer"], 2, "did you mean 'own_camera'"),
    (["nowhere.toml"], 2, "nowhere.toml: No such file or directory"),
    (["BAD.toml"], 2, "BAD.toml: Invalid value"),
    (["own_camer", "--show"], 2, "did you mean 'own_camera'"),
    (["CONFIG", "--set", "seed"], 2, "--set seed: write --set table.key=value"),
    (["CONFIG", "--set", "=3"], 2, "--set =3: write"),
    (["CONFIG", "--set", "optimizer.stps=3"], 2, "optimizer.stps: no such option"),
    (["CONFIG", "--set", "optimizer.steps=few"], 2, "optimizer.steps: "),
    (["CONFIG", "--set", "output.x=1"], 2, "--set output.x: output is no table"),
    (["CONFIG", "--set", "optimizer.betas=[0.9, 1.5]"], 2, "optimizer.betas.1: "),
    (["CONFIG", "--set", "loss.adversarial=1", "--set", "critic.channels=smal"], 2, "did you mean 'small'"),
    (["CONFIG", "--set", "model.method=unprocess"], 2, "has nothing to learn"),
    (["CONFIG", "--set", "model.method=rst"], 2, "unknown method 'rst'"),
    (["CONFIG", "--set", "model.preset=s9"], 2, "unknown preset of rst_isp_net 's9'"),
    (["CONFIG", "--set", "model.options.wide=3"], 2, "wide"),
    (["CONFIG", "--set", "model.init=none.safetensors"], 2, "none.safetensors"),
    (["CONFIG", "--set", "data.train=nowhere"], 1, "cannot read nowhere: no such file or folder"),
    (["CONFIG", "--set", "data.train=CONFIG"], 2, "is a file and no tar"),
    (["CONFIG", "--set", "data.validation=nowhere"], 1, "cannot read nowhere"),
    (["CONFIG", "--set", "data.layout=aim23"], 2, "unknown layout of pairs 'aim23'"),
    (["CONFIG", "--set", "data.crop=96"], 1, "wanted at least 96x96 pixels to crop, got 64x64"),
    (["CONFIG", "--set", "data.crop=96", "--set", "data.workers=1"], 1, "wanted at least 96x96 pixels"),
    (["CONFIG", "--set", "data.crop=64", "--set", "data.workers=1"], 2, "Choose a smaller crop"),
    (["CONFIG", "--set", "data.crop=2"], 2, "Train on larger crops"),
    (["CONFIG", "--set", "compute.device=tpu"], 2, "device 'tpu'"),
    (["CONFIG", "--set", "compute.device=meta"], 2, "device 'meta'"),
    (["CONFIG", "--output", "CONFIG"], 1, "cannot write to"),
    (["CONFIG", "--output", "odd://x"], 2, "odd"),
    (["CONFIG", "--steps", "3"], 2, "unrecognized arguments: --steps"),
    ([], 2, "CONFIG"),
]


@pytest.mark.parametrize(("args", "code", "said"), WRONG, ids=[" ".join(row[0]) for row in WRONG])
def test_a_mistake_is_named(cli: Cli, config: Path, tmp_path: Path, args: list[str], code: int, said: str) -> None:
    (tmp_path / "BAD.toml").write_text("seed = ")
    bad = str(tmp_path / "BAD.toml")
    done = cli("train", *(arg.replace("CONFIG", str(config)).replace("BAD.toml", bad) for arg in args))
    said_last = lines(done)[-1]
    assert (done.code, said in said_last) == (code, True), done.err
    assert done.err.startswith(("rawsynth train: ", "usage: rawsynth "))
    assert not list((tmp_path / "run").glob("*.safetensors"))


def test_a_mistake_that_is_mended_needs_no_overwrite(cli: Cli, config: Path) -> None:
    assert cli("train", config, "--set", "data.crop=96").code == 1
    assert cli("train", config).code == 0


# ---- shown ----


@pytest.mark.parametrize("name", PACKAGED)
def test_a_shown_configuration_is_one_to_start_from(cli: Cli, tmp_path: Path, name: str) -> None:
    done = cli("train", name, "--show")
    assert (done.code, done.err) == (0, "")
    (tmp_path / "my.toml").write_text(done.out)
    assert load_config(str(tmp_path / "my.toml")) == load_config(name)


def test_help_names_every_packaged_configuration(cli: Cli) -> None:
    done = cli("train", "--help")
    assert done.code == 0 and "examples:" in done.out and all(name in done.out for name in PACKAGED)
    assert "train a reverse ISP on pairs" in cli("--help").out


# ---- several processes ----


@pytest.mark.slow
def test_what_any_process_could_not_read_is_in_the_curve(config: Path, corpus: Path, tmp_path: Path, cli: Cli) -> None:
    damaged = str(damage(corpus, tmp_path / "damaged"))
    options = ["--set", f"data.train={damaged}", "--set", "optimizer.steps=6", "--quiet"]
    assert cli("train", config, *options, "--output", tmp_path / "alone").code == 0
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29518"]
    command += ["-m", "rawsynth", "train", str(config), *options, "--output", str(tmp_path / "shared")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, text=True, capture_output=True, timeout=280, env=environment)
    assert done.returncode == 0, done.stderr
    lost = [
        sorted((row["step"], row["key"]) for row in read_curve(str(tmp_path / name)) if row["kind"] == "lost")
        for name in ("alone", "shared")
    ]
    assert lost[0] == lost[1] and len(lost[0]) > 2
    assert f"; {len(lost[0])} times a pair could not be read" in done.stdout
    assert len(list((tmp_path / "shared" / "tensorboard").iterdir())) == 1
