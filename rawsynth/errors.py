"""The exception tree.

::

    RawsynthError
    |-- UsageError (ValueError)         a wrong argument, option or config field: nothing was done
    |   |-- UnknownNameError            a method, noise model or camera that no table lists
    |   `-- UnknownKeyError (KeyError)  a sample that an index does not have
    |-- InputAccessError (OSError)      an input cannot be reached now: the shard stays undone, to be retried
    |-- OutputError (OSError)           the output cannot be written
    |-- EngineError                     workers, ranks or a cluster that cannot go on: what is finished stays finished
    |-- TrainingError                   a training that diverged: its last good checkpoint is kept
    |-- CorpusError                     the output folder holds something that this run must not touch
    `-- SampleError (ValueError)        one image's content is at fault: recorded, the run goes on
        `-- SampleSkipped               nothing is wrong with it, a filter left it out: counted apart

Messages say what was wanted, what came and the next step.
"""

from __future__ import annotations


class RawsynthError(Exception):
    """Base of everything that rawsynth raises on purpose."""


class UsageError(RawsynthError, ValueError):
    """A wrong argument, option or config field."""


class UnknownNameError(UsageError):
    """A name that the table of its kind does not list."""


class UnknownKeyError(UsageError, KeyError, IndexError):
    """A sample that an index does not have, by its key or its number."""

    # KeyError would show the message as a quoted key.
    __str__ = Exception.__str__


class InputAccessError(RawsynthError, OSError):
    """An input that cannot be reached; retried by the next run."""


class OutputError(RawsynthError, OSError):
    """An output that cannot be written."""


class EngineError(RawsynthError):
    """Workers, ranks or a cluster that cannot go on."""


class TrainingError(RawsynthError):
    """A training that cannot go on."""


class CorpusError(RawsynthError):
    """An output folder whose content does not fit this run."""


class SampleError(RawsynthError, ValueError):
    """The content of one sample is at fault."""


class SampleSkipped(SampleError):
    """One sample that a filter left out."""
