"""Appends bytes to the archive's files, and syncs them: each time, or several pages at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lbcompanion.crawler.crawler_name import path_in_archive


class Appender:
    """Appends to the files of one folder.

    :param folder: of the archive.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        #: While pages are gathered: the descriptors of the files that were written and are not synced yet.
        self._unsynced: dict[str, int] | None = None

    @property
    def is_gathering(self) -> bool:
        """Whether appended bytes wait for :meth:`sync`."""
        return self._unsynced is not None

    def append(self, name: str, end: int, data: bytes) -> None:
        """Write bytes at an offset of a file, in place of all that it has from there on.

        :raises OSError: if they cannot be written, or synced where no pages are gathered.
        """
        descriptor = self._descriptor(name)
        try:
            os.ftruncate(descriptor, end)
            os.lseek(descriptor, end, os.SEEK_SET)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            if self._unsynced is None:
                self._sync_file(name, descriptor)
        finally:
            if self._unsynced is None:
                os.close(descriptor)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Sync nothing within the block, except by :meth:`sync`."""
        unsynced: dict[str, int] = {}
        self._unsynced = unsynced
        try:
            yield
        finally:
            self._unsynced = None
            for descriptor in unsynced.values():
                os.close(descriptor)

    def sync(self) -> bool:
        """Sync the files that were written while pages were gathered; return whether there were any.

        :raises OSError: if a file cannot be synced, or its name is gone.
        """
        unsynced = self._unsynced or {}
        for name, descriptor in unsynced.items():
            self._sync_file(name, descriptor)
        return bool(unsynced)

    def _sync_file(self, name: str, descriptor: int) -> None:
        """Sync a file that is written.

        :raises FileNotFoundError: if its name is gone: the pages are not committed, and come into another file.
        """
        os.fsync(descriptor)
        if not os.path.samestat(os.fstat(descriptor), path_in_archive(self._folder, name).stat()):
            raise FileNotFoundError(errno.ENOENT, f"{name} was replaced while it was written")

    def _descriptor(self, name: str) -> int:
        """Open a file for writing; while pages are gathered it stays open until they are synced."""
        if self._unsynced is None:
            return os.open(self._folder / name, os.O_WRONLY)
        if name not in self._unsynced:
            self._unsynced[name] = os.open(self._folder / name, os.O_WRONLY)
        return self._unsynced[name]
