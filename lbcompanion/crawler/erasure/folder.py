"""The archive's files as erasure uses them: read a file, write a successor, remove a file.

Files are on this machine, or in an object store. A successor is always written on this machine; like every closed file
it is then uploaded (:mod:`lbcompanion.crawler.archive.uploads`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from lbcompanion.crawler.archive.durable_files import sync_folder
from lbcompanion.crawler.archive.file_index import index_name, index_path, remove_index, write_index
from lbcompanion.crawler.archive.object_store import ObjectStore
from lbcompanion.crawler.archive.warc_reader import UnreadableRecord
from lbcompanion.crawler.crawler_name import path_in_archive

#: Called from time to time; raises to end the operation.
Check = Callable[[], None]

_SUFFIX = ".warc.gz"
_COPY_BYTES = 1 << 20
_SERIAL = re.compile(r"(.*)-e(\d+)", re.ASCII)


class ArchivePlace(Protocol):
    """The places of one crawler's archive files. All methods block, and raise ``OSError`` or ``StoreFailed``.

    A file is on this machine, or in an object store, whose URL is given as ``place``.
    """

    def size(self, name: str, place: str = "") -> int:
        """Return a file's length in bytes; -1 if it is missing."""
        ...

    def open(self, name: str, place: str = "", check: Check = lambda: None) -> BinaryIO:
        """Open a file for reading; it can be sought.

        :param check: called from time to time while the file is fetched; what it raises ends that.
        """
        ...

    def open_index(self, name: str, place: str = "", check: Check = lambda: None) -> BinaryIO:
        """Open the index of a file for reading.

        :param check: as that of :meth:`open`.
        :raises FileNotFoundError: if it has none.
        """
        ...

    def create(self, name: str) -> BinaryIO:
        """Create a file for writing; it must not exist."""
        ...

    def sync(self, stream: BinaryIO) -> None:
        """Make a file that :meth:`create` opened durable, with its name, and close it."""
        ...

    def write_index(self, name: str, check: Check) -> None:
        """Write the index of a file that :meth:`sync` made durable.

        :param check: as that of :meth:`open`.
        """
        ...

    def remove(self, name: str, place: str = "") -> None:
        """Remove a file and its index durably, from this machine and the object store; a missing one is no error."""
        ...


class ArchiveFolder:
    """A folder of this machine, and object stores.

    :param store: returns the object store of a URL.
    """

    def __init__(self, folder: Path, store: Callable[[str], ObjectStore] = ObjectStore) -> None:
        self._folder = folder
        self._store = store

    def _path(self, name: str) -> Path:
        return path_in_archive(self._folder, name)

    def size(self, name: str, place: str = "") -> int:
        """Return a file's length in bytes; -1 if it is missing."""
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            found = self._store(place).size(name) if place else None
        return -1 if found is None else found

    def open(self, name: str, place: str = "", check: Check = lambda: None) -> BinaryIO:
        """Open a file for reading. One in an object store is copied into a file without a name first."""
        try:
            return self._path(name).open("rb")
        except FileNotFoundError:
            if not place:
                raise
        return self._fetched(name, place, check)

    def open_index(self, name: str, place: str = "", check: Check = lambda: None) -> BinaryIO:
        """Open the index of a file for reading."""
        try:
            return index_path(self._path(name)).open("rb")
        except FileNotFoundError:
            if not place:
                raise
        return self._fetched(index_name(name), place, check)

    def _fetched(self, name: str, place: str, check: Check) -> BinaryIO:
        copy = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder))  # noqa: SIM115 - the caller closes it
        with closing_on_error(copy), self._store(place).open(name) as source:
            check()
            while data := source.read(_COPY_BYTES):
                copy.write(data)
                check()
            copy.seek(0)
        return copy

    def create(self, name: str) -> BinaryIO:
        """Create a file for writing; it must not exist."""
        descriptor = os.open(self._path(name), os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        return os.fdopen(descriptor, "wb")

    def sync(self, stream: BinaryIO) -> None:
        """Make a new file durable, with its name, and close it."""
        with stream:
            stream.flush()
            os.fsync(stream.fileno())
        sync_folder(self._folder)

    def write_index(self, name: str, check: Check) -> None:
        """Write the index of a file."""
        # Without an index the file is whole, too; a damaged file has none.
        with suppress(UnreadableRecord, ValueError):
            write_index(self._path(name), check)

    def remove(self, name: str, place: str = "") -> None:
        """Remove a file and its index durably, from this machine and from the object store."""
        path = self._path(name)
        if place:
            for each in (index_name(name), name):
                self._store(place).remove(each)
        remove_index(path)
        path.unlink(missing_ok=True)
        if self._folder.exists():
            sync_folder(self._folder)


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
