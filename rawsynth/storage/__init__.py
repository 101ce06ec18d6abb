"""Every path of the package goes through here: fsspec URLs in, streams, listings and atomic commits out."""

from rawsynth.storage.atomic import AtomicFile, write_atomic
from rawsynth.storage.files_ahead import FilesAhead
from rawsynth.storage.folders import is_temporary, prepare_folder, remove, remove_stale
from rawsynth.storage.listing import exists, glob, is_folder, list_names, size, walk_files
from rawsynth.storage.ranges import read_range
from rawsynth.storage.retrying import retry
from rawsynth.storage.streams import GuardedStream, open_read, read_bytes
from rawsynth.storage.tar import TarFile, tar_entries
from rawsynth.storage.urls import absolute, is_local, join, resolve

__all__ = [
    "AtomicFile",
    "FilesAhead",
    "GuardedStream",
    "TarFile",
    "absolute",
    "exists",
    "glob",
    "is_folder",
    "is_local",
    "is_temporary",
    "join",
    "list_names",
    "open_read",
    "prepare_folder",
    "read_bytes",
    "read_range",
    "remove",
    "remove_stale",
    "resolve",
    "retry",
    "size",
    "tar_entries",
    "walk_files",
    "write_atomic",
]
