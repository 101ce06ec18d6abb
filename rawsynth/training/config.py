"""Everything that can be chosen for a training, one frozen section a concern; a TOML file states it."""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.methods import METHODS
from rawsynth.methods.learned import NetworkMethod
from rawsynth.pipeline.sections import Section, validated
from rawsynth.registry import pick
from rawsynth.training.discriminator import CHANNELS
from rawsynth.training.losses import LOSSES, LossWeights

Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1)]


def _two_sides(value: Any) -> Any:
    return [value, value] if isinstance(value, int) else value


class DataConfig(Section):
    """Which pairs are trained on, and how they are cut."""

    train: str = Field(description="pairs to train on: pair shards, a corpus made with --srgb, AIM 2022 tiles")
    validation: str | None = Field(default=None, description="pairs to validate on; some scenes of train if absent")
    validation_share: float = Field(default=0.1, gt=0, lt=1, description="of train's scenes, without validation")
    layout: str = Field(default="auto", description="layout of the pairs; see docs/pairs.md")
    crop: Annotated[tuple[int, int], BeforeValidator(_two_sides)] | None = Field(
        default=None, description="random crop of the sRGB, even sides; whole pairs if absent"
    )
    flips: bool = Field(default=True, description="mirror both ways, keeping the Bayer phase; needs a crop")
    limit: int | None = Field(default=None, gt=0, description="only the first N pairs of train")
    validation_limit: int | None = Field(default=None, gt=0, description="at most N pairs, evenly over validation")
    workers: int = Field(default=2, ge=0, le=64, description="processes that read pairs; 0: none but the training")

    @model_validator(mode="after")
    def _flips_need_a_crop(self) -> DataConfig:
        if self.crop and any(side < 2 or side % 2 for side in self.crop):
            raise ValueError(f"crop sides must be even; got {self.crop[0]}x{self.crop[1]}")
        if self.flips and self.crop is None:
            raise ValueError("flips move the Bayer phase by a pixel and need a crop to take it back: add crop")
        return self


class ModelConfig(Section):
    """Which network is trained, from where."""

    method: str = Field(default="rst_isp_net", description="learned method")
    preset: str | None = Field(default=None, description="of the method's network; its first one if not given")
    options: dict[str, Any] = Field(default={}, description="network options that win over the preset's")
    init: str | None = Field(default=None, description="weights to start from instead of fresh ones")

    @model_validator(mode="before")
    @classmethod
    def _first_preset(cls, values: Any) -> Any:
        """Say which preset it is, so that it is stated wherever the choices are."""
        if not isinstance(values, dict) or values.get("preset") is not None:
            return values
        method = METHODS.get(str(values.get("method", cls.model_fields["method"].default)))
        presets = method.presets if method is not None and issubclass(method, NetworkMethod) else {}
        return {**values, "preset": next(iter(presets), None)}

    def network_config(self) -> dict[str, Any]:
        """Return what the method builds its network from."""
        return {"preset": self.preset, **self.options}


class LossConfig(Section):
    """What is made small: a named set of weights, and single ones that win over it."""

    preset: str = Field(default="default", description="default or published")
    l1: float | None = Field(default=None, ge=0, description="weight of the absolute error")
    companded_l1: float | None = Field(default=None, ge=0, description="of the error after x^(1/2.2)")
    ssim: float | None = Field(default=None, ge=0, description="of 1 - SSIM")
    ms_ssim: float | None = Field(default=None, ge=0, description="of 1 - MS-SSIM")
    tv: float | None = Field(default=None, ge=0, description="of the total variation, summed")
    adversarial: float | None = Field(default=None, ge=0, description="of the wavelet discriminator; 0: there is none")
    gradient_penalty: float | None = Field(default=None, ge=0, description="in the discriminator's loss")

    def weights(self) -> LossWeights:
        """Return the weights.

        Raises:
            UsageError: an unknown preset, or weights that tie nothing to the target.
        """
        base = pick(LOSSES, self.preset, "loss preset")
        given = self.model_dump(exclude={"preset"}, exclude_none=True)
        return LossWeights(**{name: given.get(name, getattr(base, name)) for name in base.__dataclass_fields__})

    @model_validator(mode="after")
    def _weights_exist(self) -> LossConfig:
        self.weights()
        return self


class CriticConfig(Section):
    """The wavelet discriminator; used where the loss has an adversarial weight."""

    channels: str = Field(default="small", description="published, small or tiny")
    lr: Rate = Field(default=4e-4, description="its learning rate")
    steps: int = Field(default=3, gt=0, description="its updates an update of the network")

    @model_validator(mode="after")
    def _channels_exist(self) -> CriticConfig:
        pick(CHANNELS, self.channels, "channels of the discriminator")
        return self


class UpdatesConfig(Section):
    """How many updates of how many samples, and how large: warm-up, schedule, limits, average."""

    steps: int = Field(gt=0, description="updates of the network")
    batch: int = Field(default=8, gt=0, description="samples an update, over all processes")
    lr: Rate = Field(default=1e-4, description="learning rate after the warm-up")
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), description="of Adam")
    schedule: Literal["cosine", "constant"] = Field(default="cosine", description="after the warm-up")
    warmup: int = Field(default=0, ge=0, description="steps of linear warm-up")
    final_lr: float = Field(default=0.0, ge=0, le=1, description="share of lr that the cosine ends at")
    clip: float | None = Field(default=1.0, ge=0, allow_inf_nan=False, description="largest gradient norm; 0: no limit")
    ema: Decay = Field(default=0.999, description="decay of the averaged weights, which are kept; 0: none")


class OptimizerConfig(UpdatesConfig):
    """How parameters move: Adam, warm-up and a schedule."""

    style_lr: Rate = Field(default=1.0, description="factor on lr for style projectors, which are not equalised")


class TrainComputeConfig(Section):
    """Where and in which arithmetic."""

    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N; one a process under torchrun")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(default="float32", description="autocast type")
    compile: bool = Field(default=False, description="torch.compile the network")


class WatchConfig(Section):
    """How often something is said, validated and kept; changes nothing of what is learned."""

    log_every: int = Field(default=10, gt=0, description="steps between entries of the loss curve")
    validate_every: int = Field(default=1000, gt=0, description="steps between validations")
    save_every: int = Field(default=500, gt=0, description="steps between checkpoints")
    panels: int = Field(default=3, ge=0, description="validation images drawn at each validation")


class TrainConfig(Section):
    """A training: what comes in, what is learned, where it goes."""

    output: str = Field(description="folder or URL of checkpoints, weights and logs")
    seed: int = Field(default=0, description="of initialisation, order and augmentation")
    data: DataConfig
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    critic: CriticConfig = CriticConfig()
    optimizer: OptimizerConfig
    compute: TrainComputeConfig = TrainComputeConfig()
    watch: WatchConfig = WatchConfig()
    licence: str = Field(default="not stated", description="of the weights, for their card")
    description: str = Field(default="", description="of the data, for the card: real, synthetic or simulated")

    def learning_fields(self) -> dict[str, Any]:
        """Return every choice that decides what is learned, JSON-ready; a run is resumed only with the same."""
        fields = self.model_dump(mode="json", exclude={"output", "watch", "licence", "description"})
        del fields["data"]["workers"], fields["compute"]["device"]
        return fields


def packaged_configs() -> dict[str, str]:
    """Return the configurations that come with the package: their text by name."""
    folder = resources.files("rawsynth.training") / "configs"
    return {f.name.removesuffix(".toml"): f.read_text("utf-8") for f in folder.iterdir() if f.name.endswith(".toml")}


def load_train_config(source: str, overrides: dict[str, str] | None = None) -> TrainConfig:
    """Read the configuration of a training on pairs; see :func:`read_config`."""
    return validated(TrainConfig, read_config(source, overrides))


def read_config(source: str, overrides: dict[str, str] | None = None) -> dict[str, Any]:
    """Read a training's configuration, not yet validated.

    Args:
        source: path or URL of a TOML file, or the name of one that comes with the package.
        overrides: ``{"table.key": value}`` as TOML values, or plain strings; they win.

    Raises:
        UsageError: no such file or name, or no TOML.
    """
    try:
        if source.endswith(".toml") or "/" in source:
            text = storage.read_bytes(source).decode("utf-8")
        else:
            text = pick(packaged_configs(), source, "training configuration (or give a path to a .toml file):")
        values = tomllib.loads(text)
    except (InputAccessError, ValueError, RecursionError) as error:
        raise UsageError(f"config file {source}: {error}") from error
    for name, value in (overrides or {}).items():
        _put(values, name, _toml_value(value))
    return values


def _put(values: dict[str, Any], name: str, value: Any) -> None:
    *tables, key = name.split(".")
    for table in tables:
        values = values.setdefault(table, {})
        if not isinstance(values, dict):
            raise UsageError(f"--set {name}: {table} is no table.")
    values[key] = value


def _toml_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, RecursionError):
        return text
