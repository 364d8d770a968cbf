"""The ``Date`` field line of responses, made once a second."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate


class DateLine:
    """Returns the ``Date`` field line for now, with its line end (RFC 9110 section 6.6.1).

    :param now: seconds since 1970.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._second = -1
        self._line = b""

    def __call__(self) -> bytes:
        second = int(self._now())
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line
