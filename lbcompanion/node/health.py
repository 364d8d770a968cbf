"""The state of the node's parts that write to the disk, for ``/readyz`` and the log.

The log gets one line when a part breaks, and one when it works again.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lbcompanion.failing_parts import FailingParts


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


class Health(FailingParts[Part]):
    """The node's failing parts.

    :param log: ``log(event, detail)``.
    """

    def __init__(self, log: Callable[[str, str], None]) -> None:
        super().__init__()
        self._log = log

    def problems(self) -> list[str]:
        """The words for the failing parts, the earliest failure first."""
        return [part.problem for part in self._reasons]

    def _log_failure(self, part: Part, why: str) -> None:
        self._log(part.broken, why)

    def _log_recovery(self, part: Part) -> None:
        self._log(part.works, "")
