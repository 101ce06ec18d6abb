"""The authors' checkpoints of RST-ISP-Net under their original key names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from rawsynth.errors import UsageError
from rawsynth.methods.rst_isp_net import RstIspNet
from rawsynth.methods.weights import ModelCard, check_fit, read_pickle, weights_metadata

_RULES: tuple[tuple[str, Any], ...] = (
    (r"^ds_res(\d)\.", lambda m: f"encoder.blocks.{int(m[1]) - 1}."),
    (r"^res([234])\.", lambda m: f"decoder.{int(m[1]) - 2}."),
    (r"\.conv1\.0\.", ".conv_a."),
    (r"\.conv1\.1\.", ".conv_a."),
    # A blur stands first in the second convolution of strided blocks and moves the numbers by one.
    (r"\.conv2\.(?:0|1)\.weight$", ".conv_b.weight"),
    (r"\.conv2\.(?:1|2)\.bias$", ".conv_b.bias"),
    (r"^(decoder\.\d)\.conv1\.", r"\1.conv_a."),
    (r"^(decoder\.\d)\.conv2\.", r"\1.conv_b."),
    (r"^(decoder\.\d)\.n2\.", r"\1.unused_norm."),
    (r"\.style_projector\.fc\.", ".style.layers."),
    (r"\.ca\.fc\.0\.", ".channel_attention.squeeze."),
    (r"\.ca\.fc\.2\.", ".channel_attention.excite."),
    (r"\.sa\.conv1\.", ".spatial_attention.conv."),
    (r"\.lrelu2\.", ".act_out."),
)
_TAILS = {
    "s7": {"res5.weight": "tail.0.weight", "res6.weight": "tail.1.weight"},
    "p20": {"res5.weight": "tail.weight"},
}
# Constants, and statistics of a normalisation that the authors never applied.
_LEFT_OUT = re.compile(r"(\.kernel|running_mean|running_var|num_batches_tracked)$")


def rename(key: str, variant: str) -> str:
    """Return our name of one of the authors' state-dict keys.

    >>> rename("ds_res2.conv2.1.weight", "s7")
    'encoder.blocks.1.conv_b.weight'
    """
    key = key.removeprefix("module.")
    if key in _TAILS[variant]:
        return _TAILS[variant][key]
    for pattern, replacement in _RULES:
        key = re.sub(pattern, replacement, key)
    return key


def from_authors_state(state: Mapping[str, Tensor], preset: str, *, source: str = "state dict") -> RstIspNet:
    """Build the method from a state dict with the authors' keys.

    AdaIN's epsilon is 0, as these weights were trained.

    Args:
        state: tensors by the authors' key names, with or without ``module.`` in front.
        preset: ``"s7"`` or ``"p20"``.
        source: named in errors.

    Raises:
        UsageError: another preset, or keys or shapes that are not those of the preset's network.
    """
    if preset not in ("s7", "p20"):
        raise UsageError(f"the authors published the presets 's7' and 'p20'; got {preset!r}.")
    config = {"preset": preset, "epsilon": 0.0}
    network = RstIspNet.build(config)
    renamed = {rename(key, preset): tensor for key, tensor in state.items() if not _LEFT_OUT.search(key)}
    check_fit(renamed, network.state_dict(), f"{source} is not RST-ISP-Net {preset!r}")
    network.load_state_dict(renamed)
    card = ModelCard(
        camera={"s7": "Samsung Galaxy S7", "p20": "Huawei P20"}[preset],
        data=f"AIM 2022 Reversed ISP, {preset}",
        licence="none stated by the authors",
        recipe={"source": source},
    )
    stated = weights_metadata(RstIspNet.name, config, network.state_dict(), card)
    return RstIspNet(network, config, card, stated["sha256"])


def from_authors_checkpoint(url: str, preset: str, *, trust_pickle: bool = False) -> RstIspNet:
    """Read a checkpoint of the authors' code; then ``.save("rst_isp_net.safetensors")`` makes it a weights file.

    Args:
        url: path or URL of a ``.pth``.
        preset: ``"s7"`` or ``"p20"``.
        trust_pickle: say that you trust the file; it is then unpickled with ``weights_only=True``.

    Raises:
        UsageError: the file is not trusted, not there, or not of this network.
    """
    if not trust_pickle:
        raise UsageError(f"{url} is a pickle; if you trust where it comes from, pass trust_pickle=True.")
    return from_authors_state(read_pickle(url), preset, source=url)
