"""Checkpoints that authors published, under their own key names, made into methods whose weights can be saved."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import Tensor

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.methods import METHODS
from rawsynth.methods.learned import NetworkMethod
from rawsynth.methods.weights import (
    FORMAT,
    SUFFIX,
    ModelCard,
    Weights,
    one_line,
    read_metadata,
    read_pickle,
    weights_metadata,
)
from rawsynth.registry import pick


def importable() -> dict[str, type[NetworkMethod]]:
    """Return the methods whose authors' checkpoints can be read, by name."""
    return {
        name: kind for name, kind in METHODS.items() if issubclass(kind, NetworkMethod) and kind.published
    }


def import_checkpoint(
    method: str,
    url: str,
    *,
    preset: str | None = None,
    trust_pickle: bool = False,
    camera: str | None = None,
    licence: str | None = None,
) -> NetworkMethod:
    """Read a checkpoint of the authors' code; ``.save("weights.safetensors")`` then makes it a weights file.

    Args:
        method: such as ``"cycleisp"``.
        url: path or URL of a ``.safetensors`` file, or of a pickle: ``.pth``, ``.pt`` and the like.
        preset: whose network it is of; the first one that was published if not given.
        trust_pickle: say that you trust a pickle; it is then unpickled with ``weights_only=True``.
        camera: whose RAW the weights make, for their card.
        licence: of the weights, for their card; the original's if not given.

    Raises:
        UsageError: no such method or preset; a pickle that is not trusted; a file that is not there, is damaged, or is
            not of this network.

    >>> import_checkpoint("cycleisp", "rgb2raw.pth")
    Traceback (most recent call last):
    rawsynth.errors.UsageError: rgb2raw.pth: not a .safetensors file, so a pickle, which can run code when it is...
    """
    _published(method, preset)
    if url.lower().endswith(SUFFIX):
        state = _read_safetensors(url)
    elif trust_pickle:
        state = read_pickle(url)
    else:
        raise UsageError(
            f"{url}: not a {SUFFIX} file, so a pickle, which can run code when it is opened. If you trust where it "
            "comes from, pass trust_pickle=True, on the command line --trust-pickle."
        )
    return import_state(method, state, preset=preset, source=url, camera=camera, licence=licence)


def import_state(
    method: str,
    state: Mapping[str, Tensor],
    *,
    preset: str | None = None,
    source: str = "state dict",
    camera: str | None = None,
    licence: str | None = None,
) -> NetworkMethod:
    """Build a method from a state dict with its authors' keys, with or without ``module.`` in front.

    Args:
        method: such as ``"cycleisp"``.
        state: tensors by the authors' names.
        preset: whose network it is of; the first one that was published if not given.
        source: named in errors and on the card.
        camera, licence: as in :func:`import_checkpoint`.

    Raises:
        UsageError: no such method or preset; keys or shapes that are not those of its network; NaN or infinity.
    """
    kind, preset = _published(method, preset)
    published = kind.published[preset]
    config = {"preset": preset, **published.options}
    tensors = {name: tensor.float() for name, tensor in published.renamed(state, source).items()}
    card = ModelCard(
        camera=camera if camera is not None else published.camera,
        data=f"by the authors: {published.data}",
        licence=licence if licence is not None else f"the original's: {kind.facts.licence}",
        recipe={"source": source, "published": kind.facts.source},
    )
    stated = weights_metadata(kind.name, config, tensors, card)
    return kind.from_weights(Weights(source, kind.name, config, card, tensors, stated["sha256"]))


def _published(method: str, preset: str | None) -> tuple[type[NetworkMethod], str]:
    kind = pick(METHODS, method, "method")
    kinds = importable()
    if kind.name not in kinds:
        raise UsageError(f"no checkpoints of {method!r} can be read; choose from: {', '.join(sorted(kinds))}.")
    names = {name: name for name in kinds[method].published}
    return kinds[method], next(iter(names)) if preset is None else pick(names, preset, f"published preset of {method}")


def _read_safetensors(url: str) -> dict[str, Tensor]:
    try:
        data = storage.read_bytes(url)
        tensors: dict[str, Tensor] = load_tensors(data)
    except InputAccessError as error:
        raise UsageError(str(error)) from error
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UsageError(f"{url}: damaged, or no safetensors file ({one_line(error)}); get it again.") from error
    if read_metadata(data, url).get("format") == FORMAT:
        raise UsageError(f"{url}: weights of rawsynth already; use them as they are, with --weights {url}.")
    return tensors
