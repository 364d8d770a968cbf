"""Each change of a part's state is reported once."""

from __future__ import annotations

from lbcompanion.failing_parts import FailingParts


class RecordedParts(FailingParts[str]):
    """Parts that record what would be logged."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[str, str]] = []

    def _log_failure(self, part: str, why: str) -> None:
        self.events.append((part, why))

    def _log_recovery(self, part: str) -> None:
        self.events.append((part, ""))


def test_a_change_is_reported_once() -> None:
    parts = RecordedParts()
    parts.works("disk")
    parts.failed("disk", "full")
    parts.failed("disk", "still full")
    parts.works("disk")
    parts.works("disk")
    parts.failed("disk", "full again")
    assert parts.events == [("disk", "full"), ("disk", ""), ("disk", "full again")]


def test_a_part_that_works_hides_no_other() -> None:
    parts = RecordedParts()
    parts.failed("spool", "full")
    parts.failed("store", "read-only")
    parts.works("store")
    assert (parts.is_failing("spool"), parts.is_failing("store"), parts.is_failing("queue")) == (True, False, False)
