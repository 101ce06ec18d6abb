"""Everything that can be chosen for a corpus: one frozen section a stage.

The command line, the TOML file, the digest and the records are derived from these fields; an option is written once.
All sections but ``run`` decide bytes and go into the digest.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from rawsynth import storage
from rawsynth.errors import InputAccessError, UsageError
from rawsynth.pipeline.option_values import (
    ByteSize,
    FourPlanes,
    Fractions,
    HeightWidth,
    Matrix,
    Names,
    NumberRange,
    Pair,
    Workers,
)
from rawsynth.pipeline.sections import Section, validated
from rawsynth.raw.levels import DEFAULT_LEVELS, Levels

FORMAT_VERSION = 1


class ReadConfig(Section):
    """Which inputs are read."""

    keep: Names = Field(
        default=(), description="other members that travel along, by extension: txt,json,cls; of Parquet by column"
    )
    image_column: str | None = Field(
        default=None, description="column of Parquet files that holds the images, if several may"
    )
    limit: int | None = Field(default=None, gt=0, description="only the first N source images")
    images_per_shard: int = Field(default=1000, gt=0, description="images a virtual shard, for folders and lists")
    splits: Fractions = Field(
        default={}, description="shares by source image: train=0.9,val=0.05,test=0.05"
    )

    @field_validator("splits")
    @classmethod
    def _shares_sum_to_one(cls, value: dict[str, float]) -> dict[str, float]:
        if value and (abs(sum(value.values()) - 1) > 1e-6 or min(value.values()) <= 0):
            raise ValueError(f"shares must be positive and sum to 1; got {value}")
        if any(not name.isalnum() for name in value):
            raise ValueError(f"split names are letters and digits; got {sorted(value)}")
        return value

    @field_validator("keep")
    @classmethod
    def _bare_extensions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any("/" in extension for extension in value):
            raise ValueError("extensions or columns have no slashes")
        return tuple(extension.lower().lstrip(".") for extension in value)


class ImageConfig(Section):
    """How source images are decoded, filtered and cut."""

    max_pixels: int = Field(default=100_000_000, gt=0, description="refuse larger images before they are decoded")
    min_side: int = Field(default=16, gt=1, description="leave out images with a shorter side, after downscaling")
    max_clipped: float | None = Field(
        default=None, ge=0, le=1, description="leave out images with a larger share of saturated pixels"
    )
    downscale: float = Field(
        default=1.0, ge=1, description="area-average by this factor in linear light; a whole number for camera RAW"
    )
    crop: HeightWidth | None = Field(
        default=None, description="crop size, 512 or 384x512 (height x width), even; the full image if not given"
    )
    crops: int = Field(default=1, gt=0, description="crops an image")

    @model_validator(mode="after")
    def _crop_is_even(self) -> ImageConfig:
        if self.crop and any(side < 2 or side % 2 for side in self.crop):
            raise ValueError(f"crop sides must be even; got {self.crop[0]}x{self.crop[1]}")
        if self.crops > 1 and self.crop is None:
            raise ValueError("crops needs a crop size: add crop")
        return self


class MethodConfig(Section):
    """How sRGB becomes RAW. What is not given is sampled for each image."""

    method: str = Field(default="rst_isp_net_small", description="reverse ISP")
    weights: str | None = Field(default=None, description="weights of a learned method, if not the packaged ones")
    style: str | None = Field(
        default=None, description="a camera's and ISP's style that fit-style wrote, for rst_isp_net_small"
    )
    camera: str | None = Field(
        default=None, description="whose colour, and noise if known: a name, a .toml or .json file, or 'random'"
    )
    cct: NumberRange | None = Field(
        default=None, description="light's colour temperature, K, with a camera: 5000 or 2850..7500, drawn if not given"
    )
    cfa: str = Field(default="RGGB", description="order of the planes, or 'camera'")
    cam_from_srgb: Matrix | None = Field(default=None, description="3x3 as JSON, rows summing to 1")
    white_balance: Pair | None = Field(default=None, description="red and blue gain: 2.1,1.7")
    rgb_gain: float | None = Field(default=None, description="linear values are divided by it; 1.25 is Brooks' centre")


class NoiseConfig(Section):
    """What noise is added. Without a camera that has noise, or shot and read, Brooks' law is drawn from."""

    noise: str = Field(default="poisson_gaussian", description="noise model")
    noise_camera: str | None = Field(
        default=None, description="whose noise, if not the camera's; 'brooks' for Brooks' law"
    )
    iso: NumberRange | None = Field(default=None, description="ISO or range, with a camera: 1600..25600")
    iso_law: Literal["log_uniform", "uniform", "stops"] = Field(
        default="log_uniform", description="how an ISO is drawn; stops: those of the camera's table"
    )
    extrapolate: bool = Field(default=False, description="allow an ISO outside the camera's table")
    dark_frames: str | None = Field(
        default=None, description="real dark frames for --noise dark_frames: a folder, a pattern or tars"
    )
    shot: FourPlanes | None = Field(default=None, description="S on the unit scale, one number or four")
    read: FourPlanes | None = Field(default=None, description="O, a variance on the unit scale, one number or four")
    realizations: int = Field(default=1, gt=0, description="noisy versions, or noise draws, of each clean image")


class OutputConfig(Section):
    """What is written."""

    black_level: int = Field(
        default=DEFAULT_LEVELS.black_level, ge=0, description="black level of the noisy image, DN"
    )
    white_level: int = Field(
        default=DEFAULT_LEVELS.white_level, gt=0, description="white level of the noisy image, DN"
    )
    bits: int = Field(
        default=DEFAULT_LEVELS.bits, ge=8, le=16, description="bit depth of the noisy image; the clean one has 16"
    )
    part_size: ByteSize = Field(
        default=1_000_000_000, gt=0, description="start a new part beyond this: 500MB, 1GB"
    )
    srgb: bool = Field(default=False, description="also write the source crop as KEY.srgb.jpg")
    linear: bool = Field(default=False, description="also write the three colours of every site, KEY.linear.npy")
    clean_only: bool = Field(
        default=False, description="store clean RAW and how to add the noise on reading; half the bytes, endless noise"
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> OutputConfig:
        self.levels()
        return self

    def levels(self) -> Levels:
        """Levels of the noisy image."""
        return Levels(self.black_level, self.white_level, self.bits)


class ComputeConfig(Section):
    """Where and how the pixels are computed. ``auto`` is decided once a corpus and kept in its ``dataset.json``."""

    device: str = Field(default="auto", description="auto, cpu, cuda or cuda:N")
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        default="float32", description="autocast type of a learned method; physics stays in float32"
    )
    compile: Literal["auto", "on", "off"] = Field(default="auto", description="torch.compile; auto: for large corpora")
    batch_pixels: int | None = Field(
        default=None, gt=0, description="source pixels a batch; 2 million on a CPU, 16 million on a GPU if not given"
    )

    def budget(self) -> int:
        """Source pixels a batch, once decided."""
        assert self.batch_pixels is not None, "environment.decide() has not run"
        return self.batch_pixels


class RunConfig(Section):
    """How this run behaves; nothing here changes a byte of the samples."""

    engine: Literal["local", "ray"] = Field(
        default="local", description="processes of this machine (and of torchrun's or srun's ranks), or a Ray cluster"
    )
    workers: Workers = Field(
        default="auto", description="processes, each with its own shards; auto: by cores, memory, GPUs and input"
    )
    gpus_per_worker: float = Field(default=1.0, gt=0, description="GPUs, or the share of one, that each worker gets")
    threads: int | None = Field(
        default=None, gt=0, description="decoding threads a worker; its share of the cores if not given"
    )
    stall_timeout: float = Field(
        default=1800.0, gt=0, description="seconds without progress after which a worker is ended and its shard retried"
    )
    plan_only: bool = Field(default=False, description="write the plan and stop; for runs on many nodes")
    summary: str | None = Field(
        default=None, description="also write the summary as JSON to this file or URL; a log: what is there is replaced"
    )
    max_errors: int | None = Field(default=None, ge=0, description="stop and exit with 1 past this many lost images")
    retry_errors: bool = Field(default=False, description="run shards again that lost images")
    extend: bool = Field(default=False, description="take up files that were added to the input since")
    license: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9.+-]{1,60}$",
        description="of the corpus, for its README.md: cc-by-4.0, ...; as stated before, or 'other', if not given",
    )
    overwrite: bool = Field(default=False, description="delete a corpus of another configuration first")
    dry_run: bool = Field(default=False, description="say what would be written, and stop")
    quiet: bool = Field(default=False, description="no progress")
    json_log: bool = Field(default=False, description="one JSON object a line on standard error, instead of progress")


class GenerateConfig(Section):
    """A corpus: what comes in, what is done, what goes out."""

    input: str = Field(
        min_length=1,
        description="tar shards (braces, globs), a folder of images or camera RAW, Parquet or a list file; path or URL",
    )
    output: str = Field(min_length=1, description="folder or URL of the corpus")
    seed: int = Field(default=0, description="seed of everything random")
    read: ReadConfig = ReadConfig()
    image: ImageConfig = ImageConfig()
    method: MethodConfig = MethodConfig()
    noise: NoiseConfig = NoiseConfig()
    write: OutputConfig = OutputConfig()
    compute: ComputeConfig = ComputeConfig()
    run: RunConfig = RunConfig()

    def byte_fields(self) -> dict[str, Any]:
        """Return every choice that decides the corpus's bytes, JSON-ready."""
        fields: dict[str, Any] = self.model_dump(mode="json", exclude={"input", "output", "run"})
        # Younger than the digests that stand in corpora: they count where they are used.
        if not self.write.linear:
            del fields["write"]["linear"]
        if self.read.image_column is None:
            del fields["read"]["image_column"]
        # Imported here: it takes torch, which nothing else of the command line's options needs.
        from rawsynth.pipeline.contents import checksums

        for section, found in checksums(self).items():
            fields[section] |= found
        return fields

    def digest(self) -> str:
        """Return the sha256 of :meth:`byte_fields` and the format's version."""
        return digest_of(self.byte_fields())


SECTIONS: dict[str, type[Section]] = {
    "read": ReadConfig,
    "image": ImageConfig,
    "method": MethodConfig,
    "noise": NoiseConfig,
    "write": OutputConfig,
    "compute": ComputeConfig,
    "run": RunConfig,
}


def digest_of(byte_fields: dict[str, Any]) -> str:
    """Return the digest of what :meth:`GenerateConfig.byte_fields` returned."""
    text = json.dumps({"format": FORMAT_VERSION, **byte_fields}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def build_config(values: dict[str, Any]) -> GenerateConfig:
    """Build a configuration from nested values.

    Raises:
        UsageError: one line a wrong field, with what was wanted.
    """
    return validated(GenerateConfig, values)


def load_toml(path: str) -> dict[str, Any]:
    """Read a TOML configuration.

    Raises:
        UsageError: the file cannot be read or is not TOML.
    """
    try:
        return tomllib.loads(storage.read_bytes(path).decode("utf-8"))
    except InputAccessError as error:
        raise UsageError(f"config file {path}: {error}") from error
    except (ValueError, RecursionError) as error:
        # No text, no TOML, a number of thousands of digits, or lists within lists without end.
        raise UsageError(f"config file {path}: {error}") from error
