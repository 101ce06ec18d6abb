"""What this installation and this machine can do, what is broken, and what would make it faster."""

from rawsynth.engine.doctor.examine import examine
from rawsynth.engine.doctor.findings import Examination, Finding

__all__ = ["Examination", "Finding", "examine"]
