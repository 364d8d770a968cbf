from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lbcompanion.stores.sqlite_wal import use_wal


def connection_to(folder: Path) -> sqlite3.Connection:
    return sqlite3.connect(folder / "a.db", timeout=5, isolation_level=None)


@pytest.fixture
def writer(tmp_path: Path) -> sqlite3.Connection:
    """A connection that holds the write lock of a database that does not use WAL yet."""
    connection = connection_to(tmp_path)
    connection.execute("CREATE TABLE t (a)")
    connection.execute("BEGIN IMMEDIATE")
    return connection


def test_it_waits_for_another_writer(tmp_path: Path, writer: sqlite3.Connection) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            writer.execute("COMMIT")

    connection = connection_to(tmp_path)
    use_wal(connection, 60, sleep)
    assert len(pauses) == 3
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_it_does_not_wait_longer_than_it_may(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        use_wal(connection_to(tmp_path), 0.0)
    writer.execute("COMMIT")


def test_another_error_is_raised_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"no database" * 100)
    pauses: list[float] = []
    with pytest.raises(sqlite3.DatabaseError, match="not a database"):
        use_wal(connection_to(tmp_path), 60, pauses.append)
    assert pauses == []
