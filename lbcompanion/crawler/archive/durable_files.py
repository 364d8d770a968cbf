"""Changes of files that are on the disk when the call returns."""

from __future__ import annotations

import os
from pathlib import Path


def truncate(path: Path, size: int) -> None:
    """Shorten a file, and sync it.

    :raises OSError: if it cannot be shortened.
    """
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Sync the names of the files in a folder.

    :raises OSError: if they cannot be synced.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
