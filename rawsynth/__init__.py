"""rawsynth: sRGB photographs to noisy/clean RAW corpora for training denoisers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rawsynth.calibration.run import calibrate
    from rawsynth.cameras import CameraProfile, load_camera
    from rawsynth.corpus.access import CorpusIndex
    from rawsynth.corpus.export import export
    from rawsynth.corpus.index import write_index
    from rawsynth.corpus.reading import open_corpus
    from rawsynth.corpus.status import Status, status
    from rawsynth.corpus.verify import verify
    from rawsynth.engine.local import generate
    from rawsynth.evaluation.evaluate import evaluate
    from rawsynth.evaluation.noise_report import noise_report
    from rawsynth.pairs.make import make_pairs
    from rawsynth.pairs.opening import open_pairs
    from rawsynth.pipeline.config import GenerateConfig
    from rawsynth.raw.dng import write_dng
    from rawsynth.raw.image import RawImage
    from rawsynth.raw.metadata import RawMetadata
    from rawsynth.training.config import TrainConfig
    from rawsynth.training.train import train
    from rawsynth.transforms import AddNoise, ReverseISP

__version__ = "0.1.0"

# Loaded on first use: importing rawsynth, or asking the command line for help, does not import torch.
_HOMES = {
    "AddNoise": "rawsynth.transforms",
    "CameraProfile": "rawsynth.cameras",
    "CorpusIndex": "rawsynth.corpus.access",
    "GenerateConfig": "rawsynth.pipeline.config",
    "RawImage": "rawsynth.raw.image",
    "RawMetadata": "rawsynth.raw.metadata",
    "ReverseISP": "rawsynth.transforms",
    "Status": "rawsynth.corpus.status",
    "TrainConfig": "rawsynth.training.config",
    "calibrate": "rawsynth.calibration.run",
    "evaluate": "rawsynth.evaluation.evaluate",
    "export": "rawsynth.corpus.export",
    "generate": "rawsynth.engine.local",
    "load_camera": "rawsynth.cameras",
    "make_pairs": "rawsynth.pairs.make",
    "noise_report": "rawsynth.evaluation.noise_report",
    "open_corpus": "rawsynth.corpus.reading",
    "open_pairs": "rawsynth.pairs.opening",
    "status": "rawsynth.corpus.status",
    "train": "rawsynth.training.train",
    "verify": "rawsynth.corpus.verify",
    "write_dng": "rawsynth.raw.dng",
    "write_index": "rawsynth.corpus.index",
}

__all__ = [
    "AddNoise",
    "CameraProfile",
    "CorpusIndex",
    "GenerateConfig",
    "RawImage",
    "RawMetadata",
    "ReverseISP",
    "Status",
    "TrainConfig",
    "calibrate",
    "evaluate",
    "export",
    "generate",
    "load_camera",
    "make_pairs",
    "noise_report",
    "open_corpus",
    "open_pairs",
    "status",
    "train",
    "verify",
    "write_dng",
    "write_index",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rawsynth' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
