"""Signals: the first one is a wish, the second an order, and afterwards all is as before."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch

from rawsynth import storage
from rawsynth.errors import TrainingError
from rawsynth.pairs import ShardPairs
from rawsynth.training import train as training
from rawsynth.training.config import TrainConfig
from rawsynth.training.data import Steps, read_batches
from rawsynth.training.interrupt import Interrupt
from rawsynth.training.journal import read_curve
from rawsynth.training.learner import Learner
from rawsynth.training.state import load_state
from rawsynth.training.train import machine_fault, train

MakeConfig = Callable[..., TrainConfig]
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def send(number: int) -> None:
    """Send this process a signal, and give Python the chance to see it."""
    os.kill(os.getpid(), number)
    time.sleep(0)


def handlers() -> list[Any]:
    return [signal.getsignal(number) for number in SIGNALS]


# ---- the context ----


@pytest.mark.parametrize("first", SIGNALS)
@pytest.mark.parametrize("second", SIGNALS)
def test_the_first_is_noted_and_the_second_obeyed(first: int, second: int) -> None:
    with Interrupt() as interrupt:
        assert not interrupt.raised
        send(first)
        assert interrupt.raised
        with pytest.raises(KeyboardInterrupt):
            send(second)
        assert interrupt.raised


def test_handlers_are_those_of_before() -> None:
    mine = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        before = handlers()
        with Interrupt():
            assert not set(handlers()) & set(before)
        assert handlers() == before
        with pytest.raises(RuntimeError), Interrupt():
            raise RuntimeError
        assert handlers() == before
        with Interrupt() as outer:
            within = handlers()
            with Interrupt() as inner:
                send(signal.SIGINT)
            assert handlers() == within and inner.raised and not outer.raised
        assert handlers() == before
    finally:
        signal.signal(signal.SIGTERM, mine)


def test_a_signal_before_or_after_is_not_its_own() -> None:
    with Interrupt() as interrupt:
        pass
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    assert not interrupt.raised


def test_another_thread_has_no_signals_and_does_without() -> None:
    before, seen = handlers(), []

    def work() -> None:
        with Interrupt() as interrupt:
            seen.append((handlers() == before, interrupt.raised))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(True, False)] and handlers() == before


# ---- a training ----


def test_a_training_in_a_thread(train_config: MakeConfig) -> None:
    """As in a notebook or a server: no signals, the same weights."""
    short = {"optimizer.steps": 2, "watch.panels": 0}
    thread = threading.Thread(target=lambda: train(train_config("thread", **short), quiet=True))
    thread.start()
    thread.join()
    train(train_config("main", **short), quiet=True)
    states = [load_state(train_config(name, **short).output + "/last.safetensors") for name in ("thread", "main")]
    first, second = (state["learner"]["network"] for state in states)
    assert all(torch.equal(first[name], second[name]) for name in second)


@pytest.mark.parametrize("moment", ["validation", "learning", "last validation"])
def test_sigterm_ends_with_the_state_kept(
    train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    config = train_config(**{"watch.save_every": 100, "watch.validate_every": 3, "watch.log_every": 2})
    validate, learn, asked = training.validate, Learner.step, []

    def validating(*args: Any) -> Any:
        asked.append("validation")
        if (moment, len(asked)) in (("validation", 1), ("last validation", 2)):
            send(signal.SIGTERM)
        return validate(*args)

    def learning(self: Learner, batch: Any, step: int) -> Any:
        if moment == "learning" and step == 0:
            send(signal.SIGTERM)
        return learn(self, batch, step)

    with monkeypatch.context() as patch:
        patch.setattr(training, "validate", validating)
        patch.setattr(Learner, "step", learning)
        before = handlers()
        summary = train(config, quiet=True)
        assert handlers() == before
    # At once after a validation, else with the next entry of the curve; whoever has finished is not interrupted.
    stopped = {"validation": 3, "learning": 2, "last validation": 6}[moment]
    assert (summary.steps, summary.interrupted) == (stopped, moment != "last validation")
    assert load_state(storage.join(config.output, "last.safetensors"))["step"] == stopped
    assert (summary.best is not None) == (moment != "learning")
    again = train(config, quiet=True)
    assert (again.steps, again.interrupted) == (6, False)
    whole = train_config("whole", **{"watch.save_every": 100, "watch.log_every": 2})
    train(whole, quiet=True)
    curves = [[(row["step"], row.get("loss")) for row in read_curve(c.output)] for c in (config, whole)]
    assert curves[0] == curves[1]


def test_a_second_signal_ends_at_once_and_the_checkpoint_before_stays(
    train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = train_config(**{"watch.log_every": 50})
    learn = Learner.step

    def learning(self: Learner, batch: Any, step: int) -> Any:
        if step == 3:
            send(signal.SIGINT)
            send(signal.SIGINT)
        return learn(self, batch, step)

    with monkeypatch.context() as patch:
        patch.setattr(Learner, "step", learning)
        before = handlers()
        with pytest.raises(KeyboardInterrupt):
            train(config, quiet=True)
        assert handlers() == before
    assert load_state(storage.join(config.output, "last.safetensors"))["step"] == 2
    assert train(config, quiet=True).steps == 6


# ---- processes that read ----


@pytest.mark.parametrize("number", SIGNALS)
def test_workers_outlive_a_signal(pair_shards: Path, train_config: MakeConfig, number: int) -> None:
    """A terminal sends Ctrl-C to all processes of the foreground, SLURM sends SIGTERM to all of a job; the training
    could not come to an end in good order without its workers."""
    data = train_config(**{"data.workers": 2}).data
    batches = read_batches(ShardPairs(str(pair_shards)), data, seed=0, steps=Steps(0, 12, 2))
    first = [next(batches), next(batches)]  # one of each worker, so that both are on their way
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        assert worker.pid is not None
        os.kill(worker.pid, number)
    rest = list(batches)
    assert sorted(len(batch.keys) for batch in first + rest) == [2] * 12


def test_workers_can_be_ended(pair_shards: Path, train_config: MakeConfig) -> None:
    """As multiprocessing does when Python exits; it would wait for ever for one that cannot."""
    data = train_config(**{"data.workers": 1}).data
    batches = read_batches(ShardPairs(str(pair_shards)), data, seed=0, steps=Steps(0, 12, 2))
    next(batches)
    (worker,) = multiprocessing.active_children()
    # torch's handler of SIGCHLD raises wherever the main thread is when the worker ends.
    with suppress(RuntimeError):
        for _ in range(100):
            worker.terminate()
            worker.join(0.1)
            if not worker.is_alive():
                break
    with suppress(RuntimeError):
        worker.join(10)
    assert worker.exitcode == -signal.SIGTERM


def test_no_worker_is_left_behind(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while somebody still looks at the traceback."""
    learn = Learner.step

    def learning(self: Learner, batch: Any, step: int) -> Any:
        if step == 2:
            raise ValueError("mine")
        return learn(self, batch, step)

    monkeypatch.setattr(Learner, "step", learning)
    with pytest.raises(ValueError, match="mine") as failure:
        train(train_config(**{"data.workers": 2}), quiet=True)
    assert failure.tb is not None and not multiprocessing.active_children()


def test_a_worker_that_dies_is_said_to(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    config = train_config(**{"data.workers": 1, "optimizer.steps": 500, "watch.validate_every": 500})
    learn = Learner.step

    def learning(self: Learner, batch: Any, step: int) -> Any:
        if step == 2:
            (worker,) = multiprocessing.active_children()
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
        return learn(self, batch, step)

    monkeypatch.setattr(Learner, "step", learning)
    with pytest.raises(TrainingError, match=r"a process that reads pairs died.*fewer data\.workers") as failure:
        train(config, quiet=True)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize(
    ("signal_name", "words"),
    [("Terminated", "stopped: "), ("Alarm clock", "stopped: "), ("Killed", "out of memory or /dev/shm")],
)
def test_a_worker_that_was_told_to_end_is_no_lack_of_memory(signal_name: str, words: str) -> None:
    told = machine_fault(RuntimeError(f"DataLoader worker (pid 7) is killed by signal: {signal_name}. "))
    assert told is not None and words in told


def test_too_little_memory_is_said_so(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def learning(self: Learner, batch: Any, step: int) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.\nSee documentation.")

    monkeypatch.setattr(Learner, "step", learning)
    with pytest.raises(TrainingError, match=r"lower optimizer.batch or data.crop \(CUDA out of memory") as failure:
        train(train_config(), quiet=True)
    assert "\n" not in str(failure.value)


def test_a_fault_of_the_code_stays_what_it_is(train_config: MakeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def learning(self: Learner, batch: Any, step: int) -> Any:
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(Learner, "step", learning)
    with pytest.raises(RuntimeError, match="^shapes do not fit$"):
        train(train_config(), quiet=True)


@pytest.mark.slow
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_the_whole_group(train_config: MakeConfig, tmp_path: Path, number: int) -> None:
    """What Ctrl-C in a terminal and ``scancel`` do."""
    config = train_config(**{"data.workers": 2, "optimizer.steps": 100_000, "watch.validate_every": 50_000})
    (tmp_path / "c.json").write_text(config.model_dump_json())
    program = (
        "import sys, pathlib; from rawsynth.training.train import train; from rawsynth.training.config import *; "
        "s = train(TrainConfig.model_validate_json(pathlib.Path(sys.argv[1]).read_text()), quiet=True); "
        "print(s.steps, s.interrupted)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path / "c.json")],
        text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (Path(config.output) / "last.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    os.killpg(process.pid, number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.split()[1] == "True" and "Traceback" not in err
    assert load_state(storage.join(config.output, "last.safetensors"))["step"] == int(out.split()[0])
