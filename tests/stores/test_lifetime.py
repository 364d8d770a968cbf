from __future__ import annotations

import pytest

from lbcompanion.errors import StoreError
from lbcompanion.model import MissReason
from lbcompanion.settings import StoreTable
from lbcompanion.stores.lifetime import check_size, reason_to_go
from lbcompanion.testing.stores import a_page

TABLE = StoreTable(max_seconds=100, pull_grace_seconds=10)


@pytest.mark.parametrize(
    ("sent_at", "now", "reason"),
    [
        (None, 99.9, None),
        (None, 100, MissReason.EXPIRED),
        (5, 14.9, None),
        (5, 15, MissReason.PULLED),
        (90, 100, MissReason.PULLED),
        (91, 100, MissReason.EXPIRED),
        (5, 1000, MissReason.PULLED),
        (0, 10, MissReason.PULLED),
    ],
)
def test_the_earlier_end_is_told(sent_at: float | None, now: float, reason: MissReason | None) -> None:
    assert reason_to_go(TABLE, 0, sent_at, now) is reason


def test_without_delete_after_pull_nothing_is_pulled() -> None:
    table = StoreTable(max_seconds=100, pull_grace_seconds=10, delete_after_pull=False)
    assert reason_to_go(table, 0, 5, 99) is None
    assert reason_to_go(table, 0, 5, 100) is MissReason.EXPIRED


def test_sizes() -> None:
    check_size(StoreTable(max_bytes=4), a_page("a", b"1234"))
    with pytest.raises(StoreError):
        check_size(StoreTable(max_bytes=4), a_page("a", b"12345"))
    with pytest.raises(StoreError):
        check_size(StoreTable(max_pages=0), a_page("a", b""))
