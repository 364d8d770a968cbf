from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from lbcompanion.crawler.queue.backlog import AlreadyEnded, Backlog
from lbcompanion.crawler.queue.database import BacklogError, ConflictError, Database, open_engine
from lbcompanion.crawler.queue.erasures import Erasures, Selection
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.crawler.queue.outcomes import BadPosition, Extent, Outcomes, Position, forget_outcomes, note_outcome
from lbcompanion.crawler.queue.schema import OUTCOME_NUMBERS, OUTCOMES, RECORDINGS
from lbcompanion.model import LossCode, LossReason
from tests.support.arrivals import arrival
from tests.support.queue_databases import QUEUE_KINDS, empty_database, queue_url

ALL = Filters()
LOST = LossReason.of(LossCode.NO_SITE)
#: For databases with several writers at a time.
SERVERS = pytest.mark.parametrize("url", [kind for kind in QUEUE_KINDS if kind.id != "sqlite"], indirect=True)


@pytest.fixture(name="url", params=QUEUE_KINDS, scope="module")
def _url(request: Any) -> Iterator[str]:
    with queue_url(request.param) as url:
        yield url


@pytest.fixture(name="database")
def _database(url: str) -> Iterator[Database]:
    with empty_database(url) as database:
        yield database


def lose(database: Database, *tokens: str, at: float = 5.0, node: str = "n1") -> None:
    """Give new recordings an outcome."""
    backlog = Backlog(database)
    backlog.add([arrival(token, node) for token in tokens], 1.0)
    for token in tokens:
        backlog.mark_lost(token, LOST, (), at)


def follow(outcomes: Outcomes, after: Position, filters: Filters = ALL, limit: int = 3) -> tuple[list[str], Position]:
    """All that can be read after a position."""
    found: list[str] = []
    while True:
        part = outcomes.read(after, filters, limit)
        assert not part.missed
        found += [row["token"] for _, row in part.rows]
        if part.position == after:
            return found, after
        after = part.position


def test_outcomes_are_read_once_and_in_order(database: Database) -> None:
    outcomes = Outcomes(database)
    start = outcomes.number()
    assert (start.deleted, start.last) == (0, 0)
    lose(database, *"abcde")
    Backlog(database).add([arrival("open")], 1.0)
    assert outcomes.number().last == 5
    found, position = follow(outcomes, start.end)
    assert found == list("abcde")
    assert follow(outcomes, position) == ([], position)
    lose(database, "f", node="n2")
    lose(database, "g")
    outcomes.number()
    assert follow(outcomes, position)[0] == ["f", "g"]
    assert follow(outcomes, start.end, Filters(node="n2"))[0] == ["f"]


def test_what_has_no_outcome_is_not_noted(database: Database) -> None:
    backlog = Backlog(database)
    backlog.add([arrival("a")], 1.0)
    backlog.postpone("a", 1, (), 2.0)
    backlog.mark_lost("a", LOST, (), 3.0)
    with pytest.raises(AlreadyEnded):
        backlog.mark_lost("a", LOST, (), 4.0)

    def fail() -> None:
        with database.change() as connection:
            note_outcome(connection, "b", 1.0)
            connection.exec_driver_sql("SELECT 1 FROM nothing_here")

    with pytest.raises(BacklogError):
        fail()
    assert Outcomes(database).number().last == 1


def test_erased_recordings_are_left_out(database: Database) -> None:
    outcomes = Outcomes(database)
    start = outcomes.number()
    lose(database, "a", "b")
    with database.change() as connection:
        connection.execute(delete(RECORDINGS).where(RECORDINGS.c.token == "a"))
    outcomes.number()
    assert follow(outcomes, start.end)[0] == ["b"]


def test_old_outcomes_are_deleted_and_that_is_reported(database: Database) -> None:
    outcomes = Outcomes(database)
    start = outcomes.number()
    lose(database, "a", "b", at=100.0)
    lose(database, "c", "d", "e", at=200.0)
    assert outcomes.trim(250.0, keep_seconds=100.0, keep_count=10) == 2
    extent = outcomes.number()
    assert (extent.deleted, extent.last) == (2, 5)
    found = outcomes.read(start.end, ALL, 10)
    assert found.missed
    assert follow(outcomes, found.position)[0] == ["c", "d", "e"]
    assert outcomes.trim(250.0, keep_seconds=100.0, keep_count=1) == 2
    assert follow(outcomes, outcomes.number().beginning)[0] == ["e"]
    assert outcomes.trim(1000.0, keep_seconds=100.0, keep_count=1) == 1
    assert outcomes.trim(1000.0, keep_seconds=100.0, keep_count=1) == 0
    lose(database, "f", at=1000.0)
    assert outcomes.number() == Extent(start.queue, 5, 6)
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(OUTCOMES)).scalar() == 1


@pytest.mark.parametrize(
    ("queue", "number", "has"), [("", 0, False), ("", 1, True), ("", 3, True), ("", 4, False), ("00000000", 2, False)]
)
def test_a_position_of_another_queue_or_time_is_refused(database: Database, queue: str, number: int, has: bool) -> None:
    outcomes = Outcomes(database)
    lose(database, "a", at=1.0)
    lose(database, "b", "c", at=9.0)
    outcomes.trim(9.0, 5.0, 10)
    extent = outcomes.number()
    position = Position(queue or extent.queue, number)
    assert extent.has(position) is has
    assert outcomes.read(position, ALL, 5).missed is not has


@given(st.from_regex(r"[0-9a-f]{8}-[0-9]{1,18}", fullmatch=True))
def test_positions_as_texts(text: str) -> None:
    position = Position.read(text)
    assert Position.read(str(position)) == position


@pytest.mark.parametrize("text", ["", "1", "x-1", "0123456789", "01234567-", "01234567-x", "01234567-" + "9" * 19])
def test_other_texts_are_no_positions(text: str) -> None:
    with pytest.raises(BadPosition, match="earlier event"):
        Position.read(text)


@pytest.mark.slow
def test_many_outcomes_are_numbered_in_parts(database: Database) -> None:
    with database.change() as connection:
        for number in range(2100):
            note_outcome(connection, f"t{number}", 1.0)
    outcomes = Outcomes(database)
    seen = [outcomes.number().last for _ in range(4)]
    assert seen == [1000, 2000, 2100, 2100]
    assert follow(outcomes, outcomes.number().beginning, limit=50)[0] == []
    assert outcomes.trim(1.0, 10.0, 5) == 2095


@pytest.mark.slow
@SERVERS
def test_a_late_commit_is_not_missed(url: str, database: Database) -> None:
    """A transaction that began first and ends last has the lower row id, which a reader must not pass over."""
    other = Database(open_engine(url))
    outcomes = Outcomes(database)
    start = outcomes.number()
    Backlog(database).add([arrival("early"), arrival("late")], 1.0)
    with other.change() as connection:
        note_outcome(connection, "early", 2.0)
        Backlog(database).mark_lost("late", LOST, (), 2.0)
        outcomes.number()
        first, position = follow(outcomes, start.end)
    assert first == ["late"]
    outcomes.number()
    assert follow(outcomes, position)[0] == ["early"]
    other.close()


@pytest.mark.slow
@SERVERS
def test_several_writers_and_readers_miss_and_repeat_nothing(url: str, database: Database) -> None:
    start = Outcomes(database).number()
    failures: list[BaseException] = []
    read: list[list[str]] = [[], []]
    done = threading.Event()
    everything = {f"{name}{number}" for name in "abc" for number in range(40)}

    def write(name: str) -> None:
        own = Database(open_engine(url))
        for number in range(0, 40, 4):
            with own.gathered():
                lose(own, *(f"{name}{each}" for each in range(number, number + 4)))
        own.close()

    def follow_all(into: list[str]) -> None:
        own, position = Database(open_engine(url)), start.end
        outcomes = Outcomes(own)
        while True:
            is_over = done.is_set()
            outcomes.number()
            found, position = follow(outcomes, position)
            into += found
            if is_over and not found:
                break
        own.close()

    def run(call: Any, *args: Any) -> None:
        try:
            call(*args)
        except BaseException as failure:
            failures.append(failure)

    writers = [threading.Thread(target=run, args=(write, name)) for name in "abc"]
    readers = [threading.Thread(target=run, args=(follow_all, into)) for into in read]
    for each in (*writers, *readers):
        each.start()
    for each in writers:
        each.join()
    done.set()
    for each in readers:
        each.join()
    assert not failures
    assert read[0] == read[1]
    assert len(read[0]) == len(set(read[0]))
    assert set(read[0]) == everything
    with database.read() as connection:
        assert connection.execute(select(OUTCOME_NUMBERS.c.last)).scalar() == len(everything)


def test_erased_outcomes_are_not_missed(database: Database) -> None:
    """A reader is told to have missed something only if old outcomes were deleted."""
    outcomes = Outcomes(database)
    start = outcomes.number()
    lose(database, "a", "b")
    outcomes.number()
    with database.change() as connection:
        forget_outcomes(connection, ["a", "b"])
    assert outcomes.trim(9.0, 1000.0, 100) == 0
    lose(database, "c", at=9.0)
    outcomes.number()
    assert outcomes.trim(9.0, 1000.0, 100) == 0
    assert follow(outcomes, start.end)[0] == ["c"]


def again(call: Callable[..., Any], *args: Any) -> Any:
    """Repeat a call whose transaction MariaDB ended because of a deadlock; a crawler tries again, too."""
    for _ in range(100):
        with suppress(ConflictError):
            return call(*args)
    raise AssertionError("no end of deadlocks")


@pytest.mark.slow
@SERVERS
def test_erasures_at_the_same_time_as_numbering(url: str, database: Database) -> None:
    """Both change the same rows: no erased outcome is left, and no other one is lost."""
    start = Outcomes(database).number()
    failures: list[BaseException] = []
    read: list[str] = []
    done = threading.Event()
    tokens = [f"t{number}" for number in range(60)]
    doomed = tokens[::3]

    def run(call: Callable[[Database], None]) -> None:
        own = Database(open_engine(url))
        try:
            call(own)
        except BaseException as failure:
            failures.append(failure)
        finally:
            own.close()

    def write(own: Database) -> None:
        backlog = Backlog(own)
        for token in tokens:
            again(backlog.add, [arrival(token)], 1.0)
            with suppress(AlreadyEnded):  # it was erased meanwhile
                again(backlog.mark_lost, token, LOST, (), 5.0)

    def erase(own: Database) -> None:
        erasures, selection, is_over = Erasures(own), Selection(tokens=tuple(reversed(doomed))), False
        while not is_over:
            is_over = not writer.is_alive()  # then this erasure finds all
            erasures.erase(erasures.begin(selection, "api", 9.0), selection, 9.0)

    def number(own: Database) -> None:
        outcomes, position, is_over = Outcomes(own), start.end, False
        while not is_over:
            is_over = done.is_set()
            again(outcomes.number)
            again(outcomes.trim, 9.0, 1000.0, 100000)
            found, position = follow(outcomes, position)
            read.extend(found)

    writer = threading.Thread(target=run, args=(write,))
    erasers = [threading.Thread(target=run, args=(erase,)) for _ in range(2)]
    readers = [threading.Thread(target=run, args=(number,)) for _ in range(2)]
    for each in (writer, *erasers, *readers):
        each.start()
    for each in (writer, *erasers):
        each.join()
    done.set()
    for each in readers:
        each.join()
    if failures:
        raise failures[0]
    left = set(tokens) - set(doomed)
    with database.read() as connection:
        numbered = connection.execute(select(OUTCOMES.c.token, OUTCOMES.c.number)).all()
    assert {row.token for row in numbered} == left
    assert len({row.number for row in numbered}) == len(left)
    assert set(read) >= left
    assert set(follow(Outcomes(database), start.end)[0]) == left
