"""Published checkpoints under their authors' keys: read once by rule, refused in words where they do not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from rawsynth.errors import UnknownNameError, UsageError
from rawsynth.methods import METHODS, LearnedMethod
from rawsynth.methods.importing import import_checkpoint, import_state, importable
from rawsynth.methods.weights import load_weights


def authors_unet(seed: int = 0) -> dict[str, Tensor]:
    """A state dict of the AIM 2022 baseline as its authors name things, with small random weights."""
    shapes: dict[str, tuple[int, ...]] = {"head.weight": (4, 64, 1, 1), "head.bias": (4,)}
    for k, (before, after) in enumerate([(3, 64), (64, 128), (128, 256)]):
        shapes[f"encoder.enc_blocks.{k}.conv1.weight"] = (after, before, 3, 3)
        shapes[f"encoder.enc_blocks.{k}.conv2.weight"] = (after, after, 3, 3)
    for k, (before, after) in enumerate([(256, 128), (128, 64)]):
        shapes[f"decoder.upconvs.{k}.weight"], shapes[f"decoder.upconvs.{k}.bias"] = (before, after, 2, 2), (after,)
        shapes[f"decoder.dec_blocks.{k}.conv1.weight"] = (after, before, 3, 3)
        shapes[f"decoder.dec_blocks.{k}.conv2.weight"] = (after, after, 3, 3)
    generator = torch.Generator().manual_seed(seed)
    return {key: torch.randn(shape, generator=generator) * 0.05 for key, shape in shapes.items()}


def authors_invisp() -> dict[str, Tensor]:
    """InvISP's, with the buffers that its mixtures have."""
    state: dict[str, Tensor] = {}
    for k in range(8):
        for part, (before, after) in {"F": (2, 1), "G": (1, 2), "H": (1, 2)}.items():
            for j in range(1, 6):
                out = 32 if j < 5 else after
                state[f"operations.{k}.{part}.conv{j}.weight"] = torch.randn(out, before + 32 * (j - 1), 3, 3) * 0.02
                state[f"operations.{k}.{part}.conv{j}.bias"] = torch.zeros(out)
        state[f"operations.{k}.invconv.p"] = torch.eye(3)[[1, 2, 0]]
        state[f"operations.{k}.invconv.sign_s"] = torch.tensor([1.0, -1.0, 1.0])
        state |= {f"operations.{k}.invconv.{name}": torch.randn(3, 3) * 0.1 for name in ("lower", "upper")}
        state[f"operations.{k}.invconv.log_s"] = torch.zeros(3)
    return state


def published_cycleisp() -> dict[str, Tensor]:
    """CycleISP's, made from a fresh network of ours: the one PReLU under each of its sixteen names."""
    kind = METHODS["cycleisp"]
    assert issubclass(kind, LearnedMethod)
    torch.manual_seed(1)
    back = [
        (r"^groups\.(\d)\.blocks\.(\d)\.channel\.squeeze\.", r"body.\1.body.\2.CA.conv_du.0."),
        (r"^groups\.(\d)\.blocks\.(\d)\.channel\.excite\.", r"body.\1.body.\2.CA.conv_du.2."),
        (r"^groups\.(\d)\.blocks\.(\d)\.spatial\.", r"body.\1.body.\2.SA.spatial.conv."),
        (r"^groups\.(\d)\.blocks\.(\d)\.conv_a\.", r"body.\1.body.\2.body.0."),
        (r"^groups\.(\d)\.blocks\.(\d)\.conv_b\.", r"body.\1.body.\2.body.2."),
        (r"^groups\.(\d)\.blocks\.(\d)\.join\.", r"body.\1.body.\2.conv1x1."),
        (r"^groups\.(\d)\.leave\.", r"body.\1.body.5."),
        (r"^body\.(weight|bias)$", r"body.3.\1"),
        (r"^(head|tail)\.(weight|bias)$", r"\1.0.\2"),
    ]
    state: dict[str, Tensor] = {}
    for key, tensor in kind.build({"preset": "published"}).state_dict().items():
        if key == "activation.weight":
            names = [f"body.{g}.body.{b}.body.1.weight" for g in range(3) for b in range(5)]
            state |= dict.fromkeys([*names, "body.4.weight"], tensor)
            continue
        for pattern, replacement in back:
            renamed = re.sub(pattern, replacement, key)
            if renamed != key:
                break
        state[renamed] = tensor
    return state


def test_which_methods_have_published_checkpoints() -> None:
    assert sorted(importable()) == [
        "aim22_0noise", "aim22_unet", "cycleisp", "invisp", "liteispnet_s", "rst_isp_net",
    ]  # fmt: skip
    for kind in importable().values():
        assert kind.published.keys() <= kind.presets.keys()


@pytest.mark.parametrize("nest", ["plain", "module", "state_dict", "beside an optimizer"])
def test_pickles_of_the_authors_once_trusted(nest: str, tmp_path: Path) -> None:
    content: Any = authors_unet()
    if nest == "module":
        content = {f"module.{key}": tensor for key, tensor in content.items()}
    elif nest == "state_dict":
        content = {"epoch": 3, "state_dict": content}
    elif nest == "beside an optimizer":
        content = {"optimizer": {"state": {0: {"exp_avg": torch.zeros(1)}}}, "params": content, "step": torch.ones(1)}
    torch.save(content, tmp_path / "net.pth")
    with pytest.raises(UsageError, match="can run code.*trust_pickle=True"):
        import_checkpoint("aim22_unet", str(tmp_path / "net.pth"))
    method = import_checkpoint("aim22_unet", str(tmp_path / "net.pth"), trust_pickle=True, camera="Samsung S7")
    assert method.card.camera == "Samsung S7" and method.card.licence == "the original's: none stated"
    assert torch.equal(method.network.decoder[1].up.weight, authors_unet()["decoder.upconvs.1.weight"])
    assert torch.equal(method.network.head.bias, authors_unet()["head.bias"])


def test_safetensors_need_no_trust_and_keep_their_version(tmp_path: Path) -> None:
    save_file({key: tensor.half() for key, tensor in authors_invisp().items()}, tmp_path / "invisp.safetensors")
    method = import_checkpoint("invisp", str(tmp_path / "invisp.safetensors"), licence="MIT")
    assert method.card.licence == "MIT" and method.config == {"preset": "published"}
    method.save(str(tmp_path / "ours.safetensors"))
    loaded = METHODS["invisp"].create(str(tmp_path / "ours.safetensors"))
    assert loaded.version == method.version
    mixing = method.network.blocks[3].mixing
    assert torch.equal(mixing.p, torch.eye(3)[[1, 2, 0]]) and mixing.sign_s.tolist() == [1, -1, 1]


def test_a_shared_parameter_has_one_value() -> None:
    state = published_cycleisp()
    once = {key: t for key, t in state.items() if not re.search(r"body\.1\.weight$|^body\.4", key)}
    once["body.0.body.0.body.1.weight"] = state["body.4.weight"]
    everywhere, listed_once = import_state("cycleisp", state), import_state("cycleisp", once)
    assert len(state) == len(once) + 15 and everywhere.version == listed_once.version
    with pytest.raises(UsageError, match=r"'body\.4\.weight' is 'activation\.weight' here.* its values differ"):
        import_state("cycleisp", state | {"body.4.weight": torch.zeros(96)})


def test_fixed_filters_are_left_out() -> None:
    published = importable()["liteispnet_s"].published["published"]
    found = published.renamed({"down1.3.weight": torch.zeros(1), "module.up2.0.weight": torch.zeros(1)}, "x")
    assert found == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.bias": None}, "net: the weights do not fit 'aim22_unet': 1 missing, such as 'head.bias'"),
        ({"extra": torch.zeros(1)}, "1 unknown, such as 'extra'"),
        ({"head.bias": torch.zeros(3)}, r"'head.bias' has shape \(3,\), not \(4,\)"),
        ({"head.bias": torch.full((4,), torch.nan)}, "1 tensors hold NaN or infinity"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, Tensor | None], message: str) -> None:
    state = {key: t for key, t in {**authors_unet(), **change}.items() if t is not None}
    with pytest.raises(UsageError, match=message):
        import_state("aim22_unet", state, source="net")


def test_methods_and_presets_that_nobody_published(tmp_path: Path) -> None:
    for name in ("unprocess", "rst_isp_net_small"):
        with pytest.raises(UsageError, match=f"no checkpoints of '{name}' can be read; choose from: aim22_0noise"):
            import_state(name, {})
    with pytest.raises(UnknownNameError, match="unknown published preset of rst_isp_net 'text'.*Choose from: p20, s7"):
        import_state("rst_isp_net", {}, preset="text")
    with pytest.raises(UnknownNameError, match="did you mean 'cycleisp'"):
        import_checkpoint("cycle_isp", "net.pth")
    for content, message in ((None, "net.safetensors"), (b"12345678{", "damaged, or no safetensors file")):
        if content is not None:
            (tmp_path / "net.safetensors").write_bytes(content)
        with pytest.raises(UsageError, match=message):
            import_checkpoint("invisp", str(tmp_path / "net.safetensors"))


def test_what_rawsynth_wrote_is_no_published_checkpoint(tmp_path: Path) -> None:
    url = str(tmp_path / "ours.safetensors")
    import_state("aim22_unet", authors_unet()).save(url)
    assert load_weights(url).architecture == "aim22_unet"
    with pytest.raises(UsageError, match="weights of rawsynth already"):
        import_checkpoint("aim22_unet", url)
