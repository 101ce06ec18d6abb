"""A training's output folder: what it was asked for, its checkpoint, its weights.

::

    train.json            what decides the learning, written first
    last.safetensors      the state of the training, to go on from
    metrics.jsonl         the loss curve up to that state
    best.safetensors      averaged weights of the best validation: what ReverseISP takes
    final.safetensors     averaged weights of the last step
    photographs.json      which photographs those of rst_isp_net_small were made of
    tensorboard/          the same for TensorBoard, if it is installed
"""

from __future__ import annotations

import json
from typing import Any, Protocol

from rawsynth import storage
from rawsynth.errors import CorpusError, UsageError
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.registry import pick
from rawsynth.training.config import TrainConfig
from rawsynth.training.journal import CURVE_FILE
from rawsynth.training.state import load_state, save_state

PLAN_FILE, STATE_FILE = "train.json", "last.safetensors"
PHOTOGRAPHS_FILE = "photographs.json"
WEIGHTS = ("best", "final")
FORMAT_VERSION = 1


class Planned(Protocol):
    """A configuration that has an output and knows what of it decides the learning."""

    @property
    def output(self) -> str: ...

    def learning_fields(self) -> dict[str, Any]: ...

    def model_dump(self, *, mode: str) -> dict[str, Any]: ...


def learned_method(config: TrainConfig) -> type[LearnedMethod]:
    """Return the method to train.

    Raises:
        UnknownNameError, UsageError: there is no such method, or it has nothing to learn.
    """
    method = pick(METHODS, config.model.method, "method")
    if not issubclass(method, LearnedMethod):
        learned = sorted(name for name, kind in METHODS.items() if issubclass(kind, LearnedMethod))
        raise UsageError(f"method {config.model.method!r} has nothing to learn; choose from: {', '.join(learned)}")
    return method


def check_share(config: TrainConfig, world: int) -> None:
    """Raise UsageError unless the batch can be dealt out evenly."""
    if config.optimizer.batch % world:
        raise UsageError(f"optimizer.batch {config.optimizer.batch} cannot be dealt out to {world} processes.")


def prepare(config: Planned, *, overwrite: bool) -> None:
    """Make the folder ready for this training: new, or the same as before.

    Another training that came to nothing, before its first checkpoint, makes room: it may have failed for the very
    option that is now another.

    Raises:
        UsageError: it holds another training, or files that are none.
        CorpusError: what it says about its training is damaged.
        OutputError: it cannot be written.
    """
    plan = storage.join(config.output, PLAN_FILE)
    fields = config.learning_fields()
    if storage.exists(plan):
        changes = _changes(_read_plan(plan), fields)
        storage.remove_stale(config.output)
        if not changes:
            return
        if not overwrite and _has_results(config.output):
            raise UsageError(
                f"{config.output} holds another training: {changes}. Choose another output, go back "
                "to the options it was started with, or start it afresh with --overwrite."
            )
        _remove(config.output)
    elif storage.exists(config.output) and storage.is_folder(config.output) and storage.walk_files(config.output):
        raise UsageError(f"{config.output} holds files, but no {PLAN_FILE}: choose an empty folder.")
    storage.prepare_folder(config.output)
    body = {"format": FORMAT_VERSION, "learning": fields, "config": config.model_dump(mode="json")}
    storage.write_atomic(plan, json.dumps(body, indent=1, sort_keys=True).encode())


def _read_plan(url: str) -> dict[str, Any]:
    try:
        fields: dict[str, Any] = json.loads(storage.read_bytes(url))["learning"]
        if not isinstance(fields, dict):
            raise TypeError(f"learning is {fields!r}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorpusError(f"{url} is damaged ({error}); remove the folder to start afresh.") from error
    return fields


def _has_results(output: str) -> bool:
    names = (STATE_FILE, *(f"{name}.safetensors" for name in WEIGHTS))
    return any(storage.exists(storage.join(output, name)) for name in names)


def _changes(before: dict[str, Any], now: dict[str, Any]) -> str:
    old, new = _flat(before), _flat(now)
    # As text, or 1, 1.0 and true would pass for the same.
    names = sorted(name for name in old.keys() | new.keys() if repr(old.get(name)) != repr(new.get(name)))
    return "; ".join(f"{name} {old.get(name)!r} -> {new.get(name)!r}" for name in names)


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in nested.items():
        out |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return out


def _remove(output: str) -> None:
    """Remove a training's own files, the plan last."""
    names = [STATE_FILE, CURVE_FILE, PHOTOGRAPHS_FILE, *(f"{name}.safetensors" for name in WEIGHTS)]
    boards = [path for path, _ in storage.walk_files(output) if path.startswith("tensorboard/events.")]
    for name in [*names, *boards, PLAN_FILE]:
        storage.remove(storage.join(output, name))


def save_checkpoint(config: Planned, state: dict[str, Any]) -> None:
    """Write the state of the training."""
    save_state(storage.join(config.output, STATE_FILE), state)


def load_checkpoint(config: Planned) -> dict[str, Any] | None:
    """Read the state to go on from; ``None`` before the first checkpoint.

    Raises:
        CorpusError: it is damaged.
    """
    url = storage.join(config.output, STATE_FILE)
    return load_state(url) if storage.exists(url) else None


def weights_url(config: Planned, name: str) -> str:
    """Where weights of a name are kept."""
    return storage.join(config.output, f"{name}.safetensors")
