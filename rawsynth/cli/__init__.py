"""The command line: one file a verb."""

from rawsynth.cli.main import main

__all__ = ["main"]
