"""Every path of the package goes through here: fsspec URLs in, streams, listings and atomic commits out."""

from rawsynth.storage.atomic import AtomicFile, remove_stale, write_atomic
from rawsynth.storage.streams import GuardedStream, open_read
from rawsynth.storage.tar import TarFile, tar_entries
from rawsynth.storage.urls import (
    absolute,
    exists,
    glob,
    is_folder,
    is_local,
    join,
    list_names,
    prepare_folder,
    read_bytes,
    remove,
    resolve,
    retry,
    size,
    walk_files,
)

__all__ = [
    "AtomicFile",
    "GuardedStream",
    "TarFile",
    "absolute",
    "exists",
    "glob",
    "is_folder",
    "is_local",
    "join",
    "list_names",
    "open_read",
    "prepare_folder",
    "read_bytes",
    "remove",
    "remove_stale",
    "resolve",
    "retry",
    "size",
    "tar_entries",
    "walk_files",
    "write_atomic",
]
