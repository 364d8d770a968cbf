"""The parts of a program that fail at present, for ``/readyz`` or ``/healthz`` and for the log.

The log gets one event when a part begins to fail, and one when it works again. Each part that writes is a part of its
own, so that the success of one never hides the failure of another.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Part = TypeVar("Part", bound=Hashable)


class FailingParts(Generic[Part]):
    """The failing parts, the earliest failure first. Any thread may report.

    Only the operation that failed shows that its part works again: a successful read says nothing about a full disk.
    """

    def __init__(self) -> None:
        self._reasons: dict[Part, str] = {}

    def failed(self, part: Part, why: str) -> None:
        """Report that an operation of this part failed.

        :param why: what is wrong, and what would be right.
        """
        is_new = part not in self._reasons
        self._reasons[part] = why
        if is_new:
            self._log_failure(part, why)

    def works(self, part: Part) -> None:
        """Report that the operation that may fail succeeded."""
        if self._reasons.pop(part, None) is not None:
            self._log_recovery(part)

    def is_failing(self, part: Part) -> bool:
        """Whether the last report on this part was a failure."""
        return part in self._reasons

    def _log_failure(self, part: Part, why: str) -> None:
        raise NotImplementedError

    def _log_recovery(self, part: Part) -> None:
        raise NotImplementedError
