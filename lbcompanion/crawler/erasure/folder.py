"""The folder of archive files as erasure uses it: read a file, write a successor, remove a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol

_SUFFIX = ".warc.gz"
_SERIAL = re.compile(r"(.*)-e(\d+)", re.ASCII)


class ArchivePlace(Protocol):
    """Where one crawler's archive files are. All methods block and raise ``OSError``."""

    def size(self, name: str) -> int:
        """Return a file's length in bytes; -1 if it is missing."""
        ...

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; it can be sought."""
        ...

    def create(self, name: str) -> BinaryIO:
        """Create a file for writing; it must not exist."""
        ...

    def sync(self, stream: BinaryIO) -> None:
        """Make a file that :meth:`create` opened durable, with its name, and close it."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file durably; a missing one is no error."""
        ...


class ArchiveFolder:
    """A folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def size(self, name: str) -> int:
        """Return a file's length in bytes; -1 if it is missing."""
        try:
            return (self._folder / name).stat().st_size
        except FileNotFoundError:
            return -1

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading."""
        return (self._folder / name).open("rb")

    def create(self, name: str) -> BinaryIO:
        """Create a file for writing; it must not exist."""
        descriptor = os.open(self._folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "wb")

    def sync(self, stream: BinaryIO) -> None:
        """Make a new file durable, with its name, and close it."""
        with stream:
            stream.flush()
            os.fsync(stream.fileno())
        self._sync_folder()

    def remove(self, name: str) -> None:
        """Remove a file durably; a missing one is no error."""
        (self._folder / name).unlink(missing_ok=True)
        if self._folder.exists():
            self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def closing_on_error(stream: BinaryIO) -> Iterator[BinaryIO]:
    """Close a file if the block raises."""
    try:
        yield stream
    except BaseException:
        stream.close()
        raise


def successor_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """Return the name of a file's successor: the same with ``-e1``, ``-e2`` and so on at the end."""
    stem = name.removesuffix(_SUFFIX)
    found = _SERIAL.fullmatch(stem)
    base, serial = (found[1], int(found[2])) if found else (stem, 0)
    while True:
        serial += 1
        candidate = f"{base}-e{serial}{_SUFFIX}"
        if not is_taken(candidate):
            return candidate
