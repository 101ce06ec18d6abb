"""Camera profiles from what others measured: one file a format."""

from rawsynth.cameras.importers.darktable import import_darktable
from rawsynth.cameras.importers.dng import import_dng
from rawsynth.cameras.importers.eld import import_eld

__all__ = ["import_darktable", "import_dng", "import_eld"]
