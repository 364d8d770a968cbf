"""Remembers the nonces of signed requests that count once."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Protocol

from lbcompanion.protocol.signatures import MAX_SKEW_SECONDS

# Only holders of a key can add nonces.
_MAX_NONCES = 4096
# A signature is valid from MAX_SKEW_SECONDS before ``created`` to MAX_SKEW_SECONDS after it.
_VALID_SECONDS = 2 * MAX_SKEW_SECONDS
_USED, _TOO_MANY = "the nonce was used before", "too many nonces were used"


class NonceStore(Protocol):
    """The nonces of valid signatures, for as long as the signatures are valid."""

    def use(self, key: str, nonce: bytes, now: float) -> str:
        """Remember a nonce; give the reason why the request must be refused, or the empty string."""


class UsedNonces:
    """The nonces that one process has seen."""

    def __init__(self) -> None:
        self._expiry: dict[tuple[str, bytes], float] = {}

    def use(self, key: str, nonce: bytes, now: float) -> str:
        """See :class:`NonceStore`."""
        # Entries are in the order of their expiry.
        while self._expiry and self._expiry[entry := next(iter(self._expiry))] <= now:
            del self._expiry[entry]
        if (key, nonce) in self._expiry:
            return _USED
        if len(self._expiry) >= _MAX_NONCES:
            return _TOO_MANY
        self._expiry[key, nonce] = now + _VALID_SECONDS
        return ""


class SharedNonces:
    """The nonces that all processes of a node have seen: an empty file for each.

    :param folder: for the files; it is created when it is needed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def use(self, key: str, nonce: bytes, now: float) -> str:
        """See :class:`NonceStore`. A nonce that cannot be remembered is refused."""
        path = self._folder / sha256(key.encode() + b"\0" + nonce).hexdigest()
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            if self._count_valid(now) >= _MAX_NONCES:
                return _TOO_MANY
            return "" if _is_new(path, now) else _USED
        except OSError as error:
            return f"the nonce cannot be remembered in {self._folder}: {error.strerror}"

    def _count_valid(self, now: float) -> int:
        """Remove the files of nonces whose signatures are not valid any more, and count the others."""
        count = 0
        with os.scandir(self._folder) as entries:
            for entry in entries:
                try:
                    if entry.stat(follow_symlinks=False).st_mtime + _VALID_SECONDS <= now:
                        os.unlink(entry.path)
                    else:
                        count += 1
                except FileNotFoundError:
                    pass  # another process removed it
        return count


def _is_new(path: Path, now: float) -> bool:
    """Create a file, unless it exists: of several processes one creates it."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    os.utime(path, (now, now))
    return True
