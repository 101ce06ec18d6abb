"""The page of public names, from ``rawsynth.__all__`` and where each of them is at home."""

from __future__ import annotations

import rawsynth

# Topics by the package that a name is at home in; a name of none of them comes under "Further".
TOPICS = {
    "Transforms and RAW images": ("transforms", "raw"),
    "Corpora": ("engine", "pipeline", "corpus"),
    "Cameras and their noise": ("cameras", "calibration", "evaluation.noise_report"),
    "Pairs, training, scores": ("pairs", "training", "evaluation"),
}
# What a name's docstring has no room for; it follows the name.
_NOTES = {
    "GenerateConfig": "Its fields: [configuration files](options.md#a-corpus). `GenerateConfig(input=..., output=..., "
    "image={'crop': 512})` makes one; `rawsynth.generate` takes it.",
    "TrainConfig": "Its fields: [configuration files](options.md#a-training-on-pairs).",
}
_ERRORS = """\
## Errors

All that rawsynth raises on purpose derives from `rawsynth.errors.RawsynthError`.

::: rawsynth.errors
    options:
      show_root_heading: false
      show_root_toc_entry: false
"""


def homes() -> dict[str, str]:
    """Return the module that each public name is at home in."""
    return {name: rawsynth._HOMES[name] for name in rawsynth.__all__}


def topic_of(module: str) -> str:
    """Return the topic of a module: that of its longest prefix."""
    inside = module.removeprefix("rawsynth.")
    fits = [(len(prefix), topic) for topic, found in TOPICS.items() for prefix in found if inside.startswith(prefix)]
    return max(fits)[1] if fits else "Further"


def render() -> str:
    """Return the page: a block that mkdocstrings fills for each public name."""
    parts = ["# Python", "Every public name, as `rawsynth.NAME`. Text and signatures are those of the code."]
    named: dict[str, list[str]] = {}
    for name, module in homes().items():
        block = f"::: {module}.{name}\n    options:\n      heading: rawsynth.{name}\n      toc_label: {name}"
        named.setdefault(topic_of(module), []).append(block)
        if name in _NOTES:
            named[topic_of(module)].append(_NOTES[name])
    for topic in (*TOPICS, "Further"):
        if topic in named:
            parts += [f"## {topic}", *named[topic]]
    return "\n\n".join([*parts, _ERRORS])
