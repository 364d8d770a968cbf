"""Locks an archive or a queue against a second crawler, because two crawlers would destroy each other's pages."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from lbcompanion.errors import CompanionError

NAME = ".crawler.lock"


class InUse(CompanionError):
    """Another crawler uses the folder or file; the text names both."""


class Lock:
    """The lock of one folder, or of one file. The kernel releases it when the process ends, however it ends.

    :param locked: an existing folder, or a file; the lock file of a file is in the same folder.
    :param owner: the name of this crawler in the lock file, besides process and host.
    :raises InUse: if another crawler has the lock.
    :raises OSError: if the lock file cannot be opened, or its file system has no locks.
    """

    def __init__(self, locked: Path, owner: str) -> None:
        self.path = locked / NAME if locked.is_dir() else locked.with_name(f".{locked.name}.lock")
        self._descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            first = _described(os.pread(self._descriptor, 4096, 0))
            os.close(self._descriptor)
            raise InUse(f"{locked} is in use by another crawler: {first}") from None
        except OSError as failure:  # a file system without locks
            os.close(self._descriptor)
            raise OSError(failure.errno, failure.strerror, str(self.path)) from None
        entry = {"pid": os.getpid(), "host": socket.gethostname(), "crawler": owner}
        # The lock holds without its text too, which a full disk cannot take.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, json.dumps(entry).encode(), 0)

    def is_in_place(self) -> bool:
        """Whether the lock file is still the one that this process has locked."""
        try:
            return os.path.samestat(os.fstat(self._descriptor), self.path.stat())
        except OSError:
            return False

    def release(self) -> None:
        """Release the lock."""
        os.close(self._descriptor)


class Locks:
    """All locks of one crawler.

    :param owner: as that of :class:`Lock`.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._held: dict[Path, Lock] = {}

    def lock(self, locked: Path) -> None:
        """Lock a folder or a file unless it is locked already; again if its lock file was removed.

        :raises InUse: if another crawler has the lock.
        :raises OSError: if the lock file cannot be opened, or its file system has no locks.
        """
        locked = locked.resolve()
        held = self._held.get(locked)
        if held is not None:
            if held.is_in_place():
                return
            held.release()
            del self._held[locked]
        self._held[locked] = Lock(locked, self._owner)

    def release(self) -> None:
        """Release all of them."""
        for lock in self._held.values():
            lock.release()
        self._held.clear()


def _described(content: bytes) -> str:
    try:
        entry = json.loads(content)
        return f"{entry['crawler']}, process {entry['pid']} on {entry['host']}"
    except (ValueError, TypeError, KeyError):
        return "one that did not write its name"
