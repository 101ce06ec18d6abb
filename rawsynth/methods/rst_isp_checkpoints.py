"""The authors' checkpoints of RST-ISP-Net: what their keys are called here."""

from __future__ import annotations

from collections.abc import Mapping

from rawsynth.methods.published import Published, Rule

_RULES: tuple[Rule, ...] = (
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


def _published(tail: tuple[Rule, ...], camera: str, track: str) -> Published:
    return Published(
        rules=(*tail, *_RULES),
        # Blurs, and statistics of a normalisation that the authors never applied.
        constants=r"(\.kernel|running_mean|running_var|num_batches_tracked)$",
        # As these weights were trained.
        options={"epsilon": 0.0},
        camera=camera,
        data=f"AIM 2022 Reversed ISP, {track}",
    )


PUBLISHED: Mapping[str, Published] = {
    "s7": _published(
        ((r"^res5\.weight$", "tail.0.weight"), (r"^res6\.weight$", "tail.1.weight")), "Samsung Galaxy S7", "s7"
    ),
    "p20": _published(((r"^res5\.weight$", "tail.weight"),), "Huawei P20", "p20"),
}
