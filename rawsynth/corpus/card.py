"""The dataset card of a finished corpus: ``README.md``, with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from rawsynth import storage
from rawsynth.counting import counted
from rawsynth.pipeline.card_file import CARD_FILE, is_own_card, read_card, sealed_card, stated_license
from rawsynth.pipeline.config import GenerateConfig
from rawsynth.pipeline.dataset import Dataset
from rawsynth.pipeline.linear_target import LINEAR_MEMBER
from rawsynth.pipeline.synthesize import stored_members, stored_noisy

NO_LICENSE = "other"
# The Hub's names for how many samples there are.
_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
          (10**8, "10M<n<100M"), (10**9, "100M<n<1B"))  # fmt: skip
_TAGS = ("raw", "bayer", "denoising", "noise", "synthetic", "webdataset")


@dataclass(frozen=True)
class CardCounts:
    """What a finished corpus holds, by its records."""

    sources: int
    samples: int
    lost: int
    left_out: int
    bytes: int


def write_card(dataset: Dataset, counts: CardCounts, license: str | None = None) -> bool:
    """Write the card of a corpus all of whose shards are done; the same corpus gives the same bytes.

    Args:
        dataset: its plan.
        counts: of all records.
        license: as the user states it; what an earlier card states if ``None``.

    Returns:
        Whether the card is rawsynth's: false where somebody has edited ``README.md``, which is left as it is.

    Raises:
        OutputError: it cannot be written.
    """
    corpus = dataset.config.output
    found = read_card(corpus)
    if found is not None and not is_own_card(found):
        return False
    stated = license or (None if found is None else stated_license(found)) or NO_LICENSE
    content = sealed_card(card_text(dataset, counts, stated))
    if content != found:
        storage.write_atomic(storage.join(corpus, CARD_FILE), content)
    return True


def card_text(dataset: Dataset, counts: CardCounts, license: str) -> str:
    """Return the card: front matter, what is synthetic, the facts, how to read it."""
    config = dataset.config
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _facts(dataset, counts).items())
    noise = "no noise yet: it is drawn on reading" if config.write.clean_only else "synthetic sensor noise"
    return "\n".join(
        [
            *_front_matter(config, counts.samples, license),
            "",
            f"# {'Clean RAW' if config.write.clean_only else 'Noisy and clean RAW'} of photographs",
            "",
            "**RAW of sRGB images is synthetic**: it was computed from them by a reverse ISP, and no sensor recorded "
            'it. Samples whose JSON states the method `"raw"` come from camera RAW files, whose own values are the '
            f"clean image. There is {noise}. What the images are, and under which terms, only who made this corpus "
            "knows: say it here.",
            "",
            "| | |",
            "| --- | --- |",
            rows,
            "",
            "Made by [rawsynth](https://pypi.org/project/rawsynth/). `dataset.json` has every option, `records/` every "
            "checksum and loss.",
            "",
            *_reading(config),
        ]
    )


def _front_matter(config: GenerateConfig, samples: int, license: str) -> Iterator[str]:
    yield "---"
    yield f'license: "{license}"'
    yield from ("task_categories:", "- image-to-image", "tags:", *(f"- {tag}" for tag in _TAGS))
    size = next((name for most, name in _SIZES if samples < most), "n>1B")
    yield from ("size_categories:", f'- "{size}"', "configs:", "- config_name: default", "  data_files:")
    for split, patterns in data_files(config).items():
        yield f"  - split: {split}"
        yield "    path:"
        yield from (f'    - "{pattern}"' for pattern in patterns)
    yield from _features(config)
    yield "---"


def _features(config: GenerateConfig) -> Iterator[str]:
    """Types of the members: left to itself the library guesses them from five samples, and JSON differs more."""
    if config.read.keep:
        return
    yield from ("dataset_info:", "  features:", "  - name: json", "    dtype: json")
    for member in ["clean.npy", *stored_noisy(config)]:
        yield from (f"  - name: {member}", "    list:", "      list:", "        list: uint16")
    if config.write.linear:
        yield from (f"  - name: {LINEAR_MEMBER}", "    list:", "      list:", "        list: uint16")
    if config.write.srgb:
        yield from ("  - name: srgb.jpg", "    dtype: image")
    for name in ("__key__", "__url__"):
        yield from (f"  - name: {name}", "    dtype: string")


def data_files(config: GenerateConfig) -> dict[str, list[str]]:
    """Return the patterns of each split's tars, relative to the corpus; all are ``train`` where there are no splits."""
    if not config.read.splits:
        return {"train": ["**/*.tar"]}
    # A shard's own name may hold another split's; the digits at the end are the part's number alone.
    ends = ("[0-9][0-9]", "[0-9][0-9][0-9]")
    return {split: [f"**/*-{split}-{digits}.tar" for digits in ends] for split in sorted(config.read.splits)}


def _facts(dataset: Dataset, counts: CardCounts) -> dict[str, object]:
    config = dataset.config
    method, noise, write, image = config.method, config.noise, config.write, config.image
    # Of a camera file its name alone: a card is published, and where the file lay is nobody's concern.
    cameras = [None if name is None else name.rpartition("/")[2] for name in (method.camera, noise.noise_camera)]
    style = None if method.style is None else method.style.rpartition("/")[2]
    color = {"camera": cameras[0], "style": style, "CCT": method.cct, "CFA": method.cfa}
    laws = {"camera": cameras[1], "ISO": noise.iso, "S": noise.shot, "O": noise.read}
    lost = counted(counts.lost, "image", grouped=True)
    crop = "none" if image.crop is None else "{}x{}".format(*image.crop)
    return {
        "samples": f"{counts.samples:,}, from {counted(counts.sources, 'image', grouped=True)}",
        "lost, left out": f"{lost} could not be used, {counts.left_out:,} left out by filters",
        "shards": f"{len(dataset.shards):,}, {counts.bytes / 1e6:,.1f} MB",
        "splits": _listed(config.read.splits) or "none",
        "images": _listed({"downscale": image.downscale, "crop": crop, "crops an image": image.crops}),
        "reverse ISP": _listed({"": method.method, **color}),
        "noise": _listed({"": noise.noise, **laws, "realizations": noise.realizations}),
        "levels": f"black {write.black_level}, white {write.white_level}, {write.bits} bits; clean 0 to 65535",
        "members": ", ".join(stored_members(config)),
        "seed": config.seed,
        "configuration": f"`{dataset.digest}`",
        "made with": _listed({name: dataset.environment.get(name) for name in ("rawsynth", "torch")}),
    }


def _listed(facts: Mapping[str, object]) -> str:
    told = {name: value for name, value in facts.items() if value is not None}
    return ", ".join(f"{name} {_value(value)}".strip() for name, value in told.items())


def _value(value: object) -> str:
    return " to ".join(map(_value, value)) if isinstance(value, tuple) else (
        f"{value:g}" if isinstance(value, float) else str(value)
    )


def _cell(value: object) -> str:
    """Keep a name of anything from ending its cell or its row."""
    return " ".join(str(value).replace("|", "\\|").split())


def _reading(config: GenerateConfig) -> Iterator[str]:
    names = '"clean.npy"' if config.write.clean_only else '"noisy.npy", "clean.npy"'
    if not config.write.clean_only and config.noise.realizations > 1:
        names = '"noisy.0.npy", "clean.npy"'
    split = next(iter(data_files(config)))
    yield "## Read it"
    yield ""
    yield "Planes are packed `(4, h, w)` uint16 in the reading order of the CFA; on the unit scale a value is"
    yield "`(DN - black_level) / (white_level - black_level)`, with the levels that each sample's JSON states."
    yield ""
    yield "```python"
    yield "import rawsynth"
    yield ""
    yield 'for pair in rawsynth.open_corpus("."):'
    yield '    pair["raw"]' if config.write.clean_only else '    pair["noisy"], pair["clean"], pair["variance"]'
    yield "```"
    yield ""
    yield "Without rawsynth, where this folder lies:"
    yield ""
    yield "```python"
    yield "from datasets import load_dataset"
    yield ""
    yield f'dataset = load_dataset(".", split="{split}", streaming=True)'
    yield f"sample = next(iter(dataset))    # {names}, \"json\""
    yield "```"
