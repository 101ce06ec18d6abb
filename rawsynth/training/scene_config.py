"""Everything that can be chosen for the training of rst_isp_net_small, which makes its pairs from photographs."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from rawsynth.errors import UsageError
from rawsynth.pipeline.sections import Section, validated
from rawsynth.training.config import Decay, Rate, TrainConfig, UpdatesConfig, WatchConfig, read_config

METHOD: Literal["rst_isp_net_small"] = "rst_isp_net_small"
LARGEST_CROP = 256


class SceneDataConfig(Section):
    """What the pairs are made of."""

    photographs: str = Field(description="folder or URL of sRGB photographs")
    cache: str | None = Field(default=None, description="folder that keeps them reduced; they are not held in memory")
    validation_share: float = Field(default=0.08, gt=0, lt=1, description="of the photographs, by their files' hashes")
    validation_samples: int = Field(default=120, gt=0, description="samples made of these")
    cameras: tuple[str, ...] = Field(default=(), description="names or files; all built-in ones with colour if empty")
    renderings: Literal["all", "none"] | tuple[str, ...] = Field(
        default="all", description="measured tone curves: all, none, or families such as libraw"
    )
    crop: int = Field(default=160, gt=0, le=LARGEST_CROP, description="side of the crops of the local stage, even")
    points: int = Field(default=48, gt=0, le=128, description="so many squared pixels a frame for the global part")
    workers: int = Field(default=1, ge=0, le=64, description="processes that make samples; 0: none but the training")

    @model_validator(mode="after")
    def _crops_are_even(self) -> SceneDataConfig:
        if self.crop % 2:
            raise ValueError(f"crop must be even; got {self.crop}")
        return self


class SceneModelConfig(Section):
    """Which network is trained, from where."""

    method: Literal["rst_isp_net_small"] = Field(default=METHOD, description="what this recipe trains")
    options: dict[str, Any] = Field(default={}, description="of the network, where not its own defaults")
    init: str | None = Field(default=None, description="weights to start from instead of fresh ones")

    def network_config(self) -> dict[str, Any]:
        """Return what the network is built from."""
        return dict(self.options)


class StageConfig(UpdatesConfig):
    """One stage: AdamW, warm-up and a cosine."""

    steps: int = Field(ge=0, description="updates of the network; 0 leaves the stage out")
    lr: Rate = Field(default=1e-3, description="learning rate after the warm-up")
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.98), description="of AdamW")
    warmup: int = Field(default=200, ge=0, description="steps of linear warm-up")
    final_lr: float = Field(default=0.02, ge=0, le=1, description="share of lr that the cosine ends at")
    ema: Decay = Field(default=0.998, description="decay of the averaged weights, which are kept; 0: none")
    weight_decay: float = Field(default=1e-4, ge=0, allow_inf_nan=False, description="of AdamW")


class LocalStageConfig(StageConfig):
    """The second stage, in which all of the network moves."""

    rest_lr: Rate = Field(default=0.15, description="factor on lr for all but the local part")
    global_loss: float = Field(default=0.3, ge=0, allow_inf_nan=False, description="weight of the global part's loss")


class SceneComputeConfig(Section):
    """Where and in which arithmetic."""

    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N; one a process under torchrun")
    dtype: Literal["float32", "bfloat16"] = Field(default="float32", description="autocast type")


class SceneTrainConfig(Section):
    """A training of rst_isp_net_small: the global part on pixels, then all of it on crops."""

    output: str = Field(description="folder or URL of checkpoints, weights and logs")
    seed: int = Field(default=0, description="of initialisation and samples")
    data: SceneDataConfig
    model: SceneModelConfig = SceneModelConfig()
    globally: StageConfig
    locally: LocalStageConfig
    compute: SceneComputeConfig = SceneComputeConfig()
    watch: WatchConfig = WatchConfig(log_every=50, validate_every=500, save_every=250)
    licence: str = Field(default="not stated", description="of the weights, for their card")
    description: str = Field(default="", description="of the data, for the card: real, synthetic or simulated")

    @model_validator(mode="after")
    def _something_is_learned(self) -> SceneTrainConfig:
        if not self.steps:
            raise ValueError("globally.steps and locally.steps are both 0")
        return self

    @property
    def steps(self) -> int:
        """Of both stages."""
        return self.globally.steps + self.locally.steps

    def learning_fields(self) -> dict[str, Any]:
        """Return every choice that decides what is learned, JSON-ready; a run is resumed only with the same.

        The photographs are known by their hashes, not by where they lie.
        """
        fields = self.model_dump(mode="json", exclude={"output", "watch", "licence", "description"})
        for name in ("photographs", "cache", "workers"):
            del fields["data"][name]
        del fields["compute"]["device"]
        return fields


def load_config(source: str, overrides: dict[str, str] | None = None) -> TrainConfig | SceneTrainConfig:
    """Read the configuration of any training; ``model.method`` says of which kind.

    Args:
        source: path or URL of a TOML file, or the name of one that comes with the package.
        overrides: ``{"table.key": value}`` as TOML values, or plain strings; they win.

    Raises:
        UsageError: no such file or name, no TOML, or fields that are missing, wrong or unknown.

    >>> type(load_config("rst_isp_net_small")).__name__, type(load_config("tiny")).__name__
    ('SceneTrainConfig', 'TrainConfig')
    """
    values = read_config(source, overrides)
    model = values.get("model")
    try:
        if isinstance(model, dict) and model.get("method") == METHOD:
            return validated(SceneTrainConfig, values)
        return validated(TrainConfig, values)
    except UsageError as error:
        raise UsageError(f"config file {source}: {error}") from error
