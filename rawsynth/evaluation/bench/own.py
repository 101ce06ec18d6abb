"""A user's own method, from a file that the user names: naming it is trusting it, as for any program that is run."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import sys
from dataclasses import dataclass
from pathlib import Path

from rawsynth.errors import UsageError
from rawsynth.methods import METHODS, ReverseMethod


@dataclass(frozen=True)
class OwnMethod:
    """A class with what it came from.

    Attributes:
        method: the class.
        source: ``FILE.py:CLASS`` as given.
        sha256: of the file; results of another file are not these.
    """

    method: type[ReverseMethod]
    source: str
    sha256: str


def load_own_method(place: str) -> OwnMethod:
    """Load a method from ``FILE.py:CLASS``; the file runs.

    Raises:
        UsageError: no such file or class, a file that fails, a class that is no complete ReverseMethod, or a name that
            is taken.
    """
    file, colon, name = place.rpartition(":")
    path = Path(file)
    if not colon or not name.isidentifier() or path.suffix != ".py":
        raise UsageError(f"--own takes FILE.py:CLASS, such as mine.py:MyMethod; got {place!r}.")
    if not path.is_file():
        raise UsageError(f"--own {place}: there is no file {file}. docs/add-a-method.md has one to begin with.")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    # Under a name of its own: two files of one name may be given.
    spec = importlib.util.spec_from_file_location(f"rawsynth_own_{digest[:12]}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"--own {place}: {file} fails when it is run: {type(error).__name__}: {error}") from error
    return OwnMethod(_checked(getattr(module, name, None), place, name), place, digest)


def _checked(found: object, place: str, name: str) -> type[ReverseMethod]:
    if not (isinstance(found, type) and issubclass(found, ReverseMethod)):
        raise UsageError(f"--own {place}: {name} is no subclass of rawsynth.methods.ReverseMethod in that file.")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise UsageError(f"--own {place}: {name} lacks {missing}; docs/add-a-method.md says what they do.")
    for attribute in ("name", "version"):
        if not isinstance(getattr(found, attribute, None), str):
            raise UsageError(f"--own {place}: give {name} a {attribute}, such as {attribute} = 'my_method'.")
    if found.name in METHODS:
        raise UsageError(f"--own {place}: the package has a method {found.name!r}; give {name} another name.")
    return found
