"""The state of the node's parts that write to the disk, for ``/readyz`` and the log.

The log gets one line when a part breaks, and one when it works again.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen


@frozen
class Part:
    """A part of the node that writes below ``state_dir``.

    :ivar problem: what ``/readyz`` says while it is broken.
    :ivar broken: the log event when it breaks.
    :ivar works: the log event when it works again.
    """

    problem: str
    broken: str
    works: str


SPOOL = Part("the spool of notices cannot be written; notices are refused", "spool fails", "spool works again")
SPOOL_FULL = Part("the spool of notices is full; some notices are lost", "spool is full", "spool has room again")
CONTROL = Part(
    "the control socket cannot be opened; drain and take-over do not work",
    "control socket fails",
    "control socket works again",
)
SIBLINGS = Part(
    "the socket for other processes of this node cannot be opened; they get no copies of this one",
    "sibling socket fails",
    "sibling socket works again",
)


class Health:
    """Which parts are broken.

    Only the operation that failed shows that a part works again: a successful read says nothing about a full disk.

    :param log: ``log(event, detail)``.
    """

    def __init__(self, log: Callable[[str, str], None]) -> None:
        self._log = log
        self._broken: dict[Part, str] = {}

    def failed(self, part: Part, why: str) -> None:
        """An operation of this part failed."""
        if part not in self._broken:
            self._log(part.broken, why)
        self._broken[part] = why

    def succeeded(self, part: Part) -> None:
        """The operation that may fail succeeded."""
        if self._broken.pop(part, None) is not None:
            self._log(part.works, "")

    def is_broken(self, part: Part) -> bool:
        """Whether the last operation of this part failed."""
        return part in self._broken

    def problems(self) -> list[str]:
        """The words for the broken parts, in the order in which they broke."""
        return [part.problem for part in self._broken]
