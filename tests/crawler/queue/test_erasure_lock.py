"""The lock takes part in a transaction; that it excludes is tried at real servers in ``test_admission``."""

from __future__ import annotations

from unittest.mock import Mock

import pytest
from sqlalchemy.dialects import postgresql

from lbcompanion.crawler.queue.erasure_lock import lock_for_erasure, lock_for_notices


def test_a_queue_of_one_crawler_needs_no_lock() -> None:
    connection = Mock()
    connection.dialect.name = "sqlite"
    lock_for_notices(connection)
    lock_for_erasure(connection)
    connection.execute.assert_not_called()


@pytest.mark.parametrize(("lock", "suffix"), [(lock_for_notices, "_shared"), (lock_for_erasure, "")])
def test_postgresql_locks_without_a_row(lock: object, suffix: str) -> None:
    connection = Mock()
    connection.dialect.name = "postgresql"
    lock(connection)  # type: ignore[operator]
    ((statement,), _) = connection.execute.call_args
    assert f"pg_advisory_xact_lock{suffix}(" in str(statement.compile(dialect=postgresql.dialect()))
