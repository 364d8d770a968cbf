from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue import database
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import (
    READING,
    WRITING,
    BacklogError,
    ConflictError,
    Database,
    insert_new,
    open_engine,
    queue_file,
    retried,
)
from lbcompanion.crawler.queue.schema import LOSSES
from tests.support.arrivals import arrival


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////var/lib/q.db", Path("/var/lib/q.db")),
        ("sqlite:///q.db?timeout=5", Path("q.db")),
        ("sqlite:///:memory:", None),
        ("sqlite://", None),
        ("postgresql://h/q", None),
    ],
)
def test_the_file_of_a_queue(url: str, file: Path | None) -> None:
    assert queue_file(url) == file


def test_errors_tell_no_values() -> None:
    backlog = Backlog(Database(open_engine("sqlite://")))
    with pytest.raises(BacklogError) as caught:
        backlog.add([arrival("t", cookies={"SRV": "a-secret-value"})], 1.0)
    assert "a-secret-value" not in str(caught.value)
    assert caught.value.__cause__ is None


class _Conflicts:
    """A queue whose first transactions conflict with others."""

    def __init__(self, number: int, code: str = "40P01") -> None:
        self.health = Health()
        self.database = Database(open_engine("sqlite://"), self.health)
        self.left, self.code = number, code

    @retried
    def change(self, result: str) -> str:
        with self.database.change() as connection:
            connection.execute(text("SELECT 1"))
            if self.left:
                self.left -= 1
                cause = Exception("deadlock detected")
                cause.sqlstate = self.code  # type: ignore[attr-defined]
                raise OperationalError("UPDATE", {}, cause)
        return result


def test_a_transaction_is_tried_again_after_a_conflict() -> None:
    queue = _Conflicts(3)
    assert queue.change("done") == "done"
    assert queue.health.lines() == []


def test_a_conflict_without_end_is_an_error_in_the_end() -> None:
    queue = _Conflicts(1000)
    with pytest.raises(ConflictError):
        queue.change("done")
    assert queue.left == 990


def test_long_waits_for_others_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait for a lock takes seconds, and the thread has other work."""
    times = iter((0.0, 4.0, 8.0))
    monkeypatch.setattr(database, "monotonic", lambda: next(times))
    queue = _Conflicts(1000)
    queue.database._clock = lambda: 0.0
    with pytest.raises(ConflictError):
        queue.change("done")
    assert queue.left == 998


def test_another_error_is_not_tried_again() -> None:
    queue = _Conflicts(1, "57014")
    with pytest.raises(BacklogError):
        queue.change("done")
    assert queue.left == 0
    assert queue.health.is_failing(WRITING)


@pytest.mark.slow
def test_a_successful_read_does_not_hide_a_failed_write(tmp_path: Path) -> None:
    health = Health()
    database = Database(open_engine(f"sqlite:///{tmp_path}/q.db"), health)
    database.open()
    backlog = Backlog(database)
    backlog.add([arrival("t")], 1.0)
    assert health.lines() == []
    with database.change() as connection:
        connection.execute(text("PRAGMA query_only=ON"))
    for _ in range(2):
        with pytest.raises(BacklogError):
            backlog.add([arrival("u")], 1.0)
        assert backlog.counts()["open"] == 1
        assert health.is_failing(WRITING)
        assert not health.is_failing(READING)
    with database.change() as connection:  # changes nothing
        connection.execute(text("PRAGMA query_only=OFF"))
    assert health.is_failing(WRITING)
    backlog.add([arrival("u")], 1.0)
    assert health.lines() == []
    database.close()
    with database.change() as connection:
        connection.execute(text("DROP TABLE recordings"))
    with pytest.raises(BacklogError):
        backlog.counts()
    assert health.is_failing(READING)


@pytest.mark.network
@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_is_gone_is_not_asked_for_a_moment(scheme: str) -> None:
    """Each transaction would wait for it, one after another, and the notices of the intake with them."""
    health, now = Health(), [100.0]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    database = Database(open_engine(f"{scheme}://u:hush@127.0.0.1:{port}/d"), health, lambda: now[0])
    backlog = Backlog(database)
    with pytest.raises(BacklogError, match="refused"):
        backlog.add([arrival("t")], 1.0)
    with pytest.raises(BacklogError, match=r"cannot be reached$"):
        backlog.counts()
    now[0] += 1.0
    with pytest.raises(BacklogError, match="refused"):
        backlog.counts()
    assert all("see whether the server runs" in line for line in health.lines())
    assert "hush" not in str(health.lines())
    assert database.is_server
    database.close()


def test_rows_that_are_there_are_not_inserted_again() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    rows = [{"token": f"t{number}", "reason": "", "told_at": 1.0} for number in range(4)]
    with database.change() as connection:
        counts = [insert_new(connection, LOSSES, part) for part in ([], rows[:1], rows[:1], rows[:3], rows, rows)]
    assert counts == [0, 1, 0, 2, 1, 0]
    database.close()


def test_a_gathered_transaction_fails_with_any_of_its_parts() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    backlog = Backlog(database)

    def gather() -> None:
        with database.gathered():
            backlog.add([arrival("t")], 1.0)
            with suppress(BacklogError), database.change() as connection:
                connection.execute(text("no statement"))

    with pytest.raises(BacklogError):
        gather()
    assert backlog.counts()["open"] == 0
    backlog.add([arrival("t")], 1.0)
    assert backlog.counts()["open"] == 1
    database.close()
