"""Holds back the bytes of a page after the last complete token, until more input arrives."""

from __future__ import annotations

# A token that has not ended is read again with each further piece, so that its end is seen at once; a long one only a
# limited number of times. After that it is read when the input has grown by a half: the total time stays linear.
_LONG_TOKEN_BYTES = 4096
_MAX_RESCANS = 16

#: Held bytes at one time, not joined: the start, a list of pieces, how many of them belong to it, and the end.
Mark = tuple[bytes, list[bytes], int, bytes]


def joined(mark: Mark) -> bytes:
    """The bytes that a mark stands for."""
    start, pieces, count, end = mark
    return b"".join((start, *pieces[:count], end))


class HeldInput:
    """The bytes of a page that are held back.

    The pieces of a long token are joined only when they are read, so that the total time stays linear.
    """

    # Class-level defaults: of most pages nothing is held back.
    _start = b""
    _piece_bytes = 0
    _may_end = False
    _is_long = False
    _token_start = -1
    _rescans = 0

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def __len__(self) -> int:
        return len(self._start) + self._piece_bytes

    def add(self, chunk: bytes, at_end: bool) -> bytes | None:
        """Add the next piece.

        :returns: all held bytes, to be read again; None if a long token at their end cannot have ended.
        """
        if self._is_long:
            self._pieces.append(chunk)
            self._piece_bytes += len(chunk)
            self._may_end = self._may_end or b">" in chunk
            if not at_end and not (self._may_end and self._should_rescan()):
                return None
            chunk = b"".join(self._pieces)
        return self._start + chunk if self._start else chunk

    def keep(self, rest: bytes, token_start: int, token_bytes: int) -> None:
        """Hold these bytes back instead.

        :param token_start: the offset in the page of the unfinished token at their end.
        :param token_bytes: its length so far.
        """
        self._start = rest
        self._pieces = []
        self._piece_bytes = 0
        self._may_end = False
        self._is_long = token_bytes >= _LONG_TOKEN_BYTES
        if self._is_long:
            self._rescans = self._rescans + 1 if token_start == self._token_start else 0
        self._token_start = token_start

    def mark(self) -> Mark:
        """The bytes held back now."""
        return self._start, self._pieces, len(self._pieces), b""

    def _should_rescan(self) -> bool:
        return self._rescans < _MAX_RESCANS or 2 * self._piece_bytes > len(self._start)
