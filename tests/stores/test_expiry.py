from __future__ import annotations

import pytest

from lbcompanion.errors import StoreError
from lbcompanion.model import MissReason
from lbcompanion.settings import StoreTable
from lbcompanion.stores.expiry import check_size, expiry_bounds, expiry_reason, grace_seconds

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
def test_the_earlier_end_is_reported(sent_at: float | None, now: float, reason: MissReason | None) -> None:
    assert expiry_reason(TABLE, 0, sent_at, now) is reason


def test_without_delete_after_pull_nothing_is_pulled() -> None:
    table = StoreTable(max_seconds=100, pull_grace_seconds=10, delete_after_pull=False)
    assert expiry_reason(table, 0, 5, 99) is None
    assert expiry_reason(table, 0, 5, 100) is MissReason.EXPIRED


@pytest.mark.parametrize("delete_after_pull", [True, False])
@pytest.mark.parametrize("sent_at", [None, 3, 50, 90, 97])
@pytest.mark.parametrize("now", [12, 13, 60, 99, 100, 107])
def test_the_bounds_find_what_is_over(delete_after_pull: bool, sent_at: float | None, now: float) -> None:
    table = StoreTable(max_seconds=100, pull_grace_seconds=10, delete_after_pull=delete_after_pull)
    kept, sent = expiry_bounds(table, now)
    found = kept >= 0 or (sent is not None and sent_at is not None and sent_at <= sent)
    assert found is (expiry_reason(table, 0, sent_at, now) is not None)


def test_the_grace_of_copies_that_stay() -> None:
    assert grace_seconds(TABLE) == 10
    assert grace_seconds(StoreTable(delete_after_pull=False)) is None


def test_sizes() -> None:
    check_size(StoreTable(max_bytes=4), 4)
    with pytest.raises(StoreError):
        check_size(StoreTable(max_bytes=4), 5)
    with pytest.raises(StoreError):
        check_size(StoreTable(max_pages=0), 0)
