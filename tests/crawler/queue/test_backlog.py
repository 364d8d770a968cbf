from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from lbcompanion.crawler.queue.archive_index import ArchivedRecord, ArchiveIndex
from lbcompanion.crawler.queue.backlog import (
    LOSS_SECONDS,
    MAX_LOSSES,
    AlreadyEnded,
    Backlog,
    load_attempts,
)
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.model import Attempt, Loss, LossCode, LossReason, RouteKind, RoutingCookie
from tests.support.arrivals import arrival

EXPIRED = LossReason.of(LossCode.EXPIRED)
WENT = LossReason(LossCode.OTHER, "it went")
TOKENS = [f"token{number}" for number in range(6)]


def kept(end: int = 100) -> ArchivedRecord:
    return ArchivedRecord("a.warc.gz", 10, end, "n1", "own", "ab" * 32, 5, "text/html", 3.0, "http://www.example.com/x")


def opened(url: str = "sqlite://") -> Database:
    database = Database(open_engine(url))
    database.open()
    return database


def fresh() -> Backlog:
    return Backlog(opened())


class AgainstADict(RuleBasedStateMachine):
    """The backlog does what a dictionary of notices would."""

    def __init__(self) -> None:
        super().__init__()
        self.database = opened()
        self.backlog = Backlog(self.database)
        self.index = ArchiveIndex(self.database)
        self.index.new_file("a.warc.gz", 0.0)
        self.model: dict[str, dict[str, Any]] = {}
        self.now = 0.0

    @rule(token=st.sampled_from(TOKENS), node=st.sampled_from(["n1", "n2"]))
    def add(self, token: str, node: str) -> None:
        new = self.backlog.add([arrival(token, node), arrival(token, node)], self.now)
        assert new == (() if token in self.model else (node,))
        self.model.setdefault(
            token, {"outcome": None, "next": self.now, "node": node, "rounds": 0, "order": len(self.model)}
        )

    @rule(seconds=st.floats(0.5, 10))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(token=st.sampled_from(TOKENS), seconds=st.floats(0.5, 30))
    def postpone(self, token: str, seconds: float) -> None:
        known = self.model.get(token)
        if known is None or known["outcome"]:
            with pytest.raises(AlreadyEnded):
                self.backlog.postpone(token, 1, (), self.now + seconds)
            return
        known["rounds"] += 1
        known["next"] = self.now + seconds
        self.backlog.postpone(token, known["rounds"], (Attempt(RouteKind.ANY, "", "timeout", 1.0),), known["next"])

    @rule(token=st.sampled_from(TOKENS), archived=st.booleans())
    def end(self, token: str, archived: bool) -> None:
        known = self.model.get(token)
        finish = (
            (lambda: self.index.mark_archived(token, kept(), (), self.now))
            if archived
            else (lambda: self.backlog.mark_lost(token, EXPIRED, (), self.now))
        )
        if known is None or known["outcome"]:
            with pytest.raises(AlreadyEnded):
                finish()
            return
        finish()
        known["outcome"] = "archived" if archived else "lost"

    @rule()
    def make_all_due(self) -> None:
        self.backlog.make_all_due(self.now)
        for known in self.model.values():
            known["next"] = min(known["next"], self.now)

    @rule(node=st.sampled_from(["n1", "n2", "n3"]))
    def make_node_due(self, node: str) -> None:
        self.backlog.make_node_due(node, self.now)
        for known in self.model.values():
            if known["node"] == node:
                known["next"] = min(known["next"], self.now)

    @invariant()
    def same_due(self) -> None:
        due = [
            token
            for token, known in sorted(self.model.items(), key=lambda item: (item[1]["next"], item[1]["order"]))
            if known["outcome"] is None and known["next"] <= self.now
        ]
        assert [each.token for each in self.backlog.due(self.now, 10)] == due
        assert [each.token for each in self.backlog.due(self.now, 10, due[:1])] == due[1:]
        later = [known["next"] for known in self.model.values() if not known["outcome"] and known["next"] > self.now]
        assert self.backlog.next_due(self.now) == (min(later) if later else None)
        one = [each.token for each in self.backlog.due(self.now, 10, (), ["n1"])]
        assert one == [token for token in due if self.model[token]["node"] != "n1"]

    @invariant()
    def same_counts(self) -> None:
        counts = self.backlog.counts()
        for outcome in ("archived", "lost", None):
            assert counts[outcome or "open"] == sum(known["outcome"] == outcome for known in self.model.values())

    def teardown(self) -> None:
        self.database.close()


@pytest.mark.slow
def test_against_a_dict() -> None:
    run_state_machine_as_test(AgainstADict, settings=settings(max_examples=30, stateful_step_count=25))


def test_a_job_is_read_back_with_its_attempts() -> None:
    backlog = fresh()
    backlog.add([arrival("t", "n2", {"SRV": "n2"})], 7.0)
    job = backlog.due(7.0, 1)[0]
    assert (job.token, job.owner, job.site, job.received_at) == ("t", "n2", "main", 7.0)
    assert job.cookies == (RoutingCookie("SRV", "n2"),)
    attempts = (Attempt(RouteKind.OWN, "n3", "misrouted", 3.25),)
    backlog.postpone("t", 1, attempts, 8.0)
    again = backlog.due(8.0, 1)[0]
    assert (again.rounds, again.attempts) == (1, (Attempt(RouteKind.OWN, "n3", "misrouted", 3.2),))


def test_a_late_cookie_fills_in_what_was_missing() -> None:
    backlog = fresh()
    backlog.add([arrival("t")], 7.0)
    assert backlog.add([arrival("t", cookies={"SRV": "n1"})], 8.0) == ()
    assert backlog.add([arrival("t", cookies={"SRV": "n9"})], 8.0) == ()
    assert backlog.due(8.0, 1)[0].cookies == (RoutingCookie("SRV", "n1"),)


def test_a_late_visitor_fills_in_what_was_missing() -> None:
    backlog = fresh()
    backlog.add([arrival("t"), arrival("u", visitor="v1ann")], 7.0)
    backlog.mark_lost("t", EXPIRED, (), 8.0)
    backlog.add([arrival("t", visitor="v1bob"), arrival("u", visitor="v1bob")], 9.0)
    backlog.add([arrival("t", visitor="v1eve")], 9.0)
    assert [(row["token"], row["visitor"]) for row in backlog.recordings(9)] == [("u", "v1ann"), ("t", "v1bob")]


def test_cookies_go_with_the_outcome() -> None:
    backlog = fresh()
    backlog.add([arrival("t", cookies={"SRV": "n1"})], 7.0)
    backlog.mark_lost("t", EXPIRED, (), 9.0)
    row = backlog.recording("t")
    assert row is not None
    assert (row["cookies"], row["reason"], row["finished_at"]) == ("{}", "expired", 9.0)


@pytest.mark.slow
def test_the_attempts_kept_are_bounded() -> None:
    backlog = fresh()
    backlog.add([arrival("t")], 7.0)
    many = tuple(Attempt(RouteKind.ANY, "", f"status {number}", 1.0) for number in range(500))
    backlog.postpone("t", 1, many, 7.0)
    found = backlog.due(7.0, 1)[0].attempts
    assert len(found) == 50
    assert (found[0].result, found[-1].result) == ("status 0", "status 499")


def test_very_many_notices_are_not_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbcompanion.crawler.queue.backlog._MANY_NOTICES", 2)
    times = iter([0.0, 0.1, 1.0, 1.1, 5.0, 15.0, 15.1])
    backlog = Backlog(opened(), clock=times.__next__)
    found = []
    for number in range(4):
        backlog.add([arrival(f"t{number}")], 0.0)
        found.append(backlog.counts()["open"])
    assert found == [1, 2, 2, 4]


def test_the_last_notices_come_first() -> None:
    backlog = fresh()
    for number in range(3):
        backlog.add([arrival(f"t{number}", f"n{number % 2}")], float(number))
    assert [row["token"] for row in backlog.recordings(2)] == ["t2", "t1"]


def test_attempts_are_kept_with_what_was_learnt() -> None:
    assert load_attempts('[["own", "n1", "archived", 1.5]]') == (Attempt(RouteKind.OWN, "n1", "archived", 1.5),)
    backlog = fresh()
    backlog.add([arrival("token1")], 0.0)
    attempts = (Attempt(RouteKind.OWN, "n2", "misrouted", 1.5, "the own cookie does not lead to n1 now"),)
    backlog.mark_lost("token1", EXPIRED, attempts, 1.0)
    row = backlog.recording("token1")
    assert row is not None
    assert load_attempts(row["attempts"]) == attempts


@pytest.mark.slow
def test_losses_are_remembered_and_what_waits_for_them_is_due() -> None:
    backlog = fresh()
    backlog.add([arrival("token0"), arrival("token1")], 0.0)
    for token in ("token0", "token1"):
        backlog.postpone(token, 1, (), 1000.0)
    assert backlog.due(10.0, 5) == []
    assert backlog.add_losses([Loss("token0", "it went"), Loss("token2", "it went")], 10.0) == 2
    (due,) = backlog.due(10.0, 5)
    assert (due.token, due.loss_reason) == ("token0", WENT)
    assert backlog.add_losses([Loss("token0", "otherwise")], 11.0) == 0
    assert backlog.due(11.0, 5)[0].loss_reason == WENT
    # A notice that comes later finds it.
    backlog.add([arrival("token2")], 12.0)
    assert [one.loss_reason for one in backlog.due(12.0, 5)] == [WENT, WENT]
    assert [backlog.loss_of(token) for token in ("token1", "token2")] == [None, WENT]
    backlog.mark_lost("token0", WENT, (), 12.0)
    assert backlog.add_losses([Loss("token0", "it went")], 13.0) == 0
    assert backlog.recording("token0")["outcome"] == "lost"


@pytest.mark.slow
def test_losses_are_forgotten_in_time_and_when_they_are_too_many() -> None:
    backlog = fresh()
    backlog.add_losses([Loss("token0", "it went")], 0.0)
    backlog.add_losses([Loss("token1", "it went")], LOSS_SECONDS)
    assert backlog.loss_of("token0") == WENT
    backlog.add_losses([Loss("token2", "it went")], LOSS_SECONDS + 1)
    assert [backlog.loss_of(token) for token in ("token0", "token1")] == [None, WENT]
    many = fresh()
    many.add_losses([Loss(f"old{number}", "it went") for number in range(3)], 0.0)
    many.add_losses([Loss(f"new{number}", "it went") for number in range(MAX_LOSSES - 1)], 1.0)
    assert [many.loss_of(token) for token in ("old0", "new0", f"new{MAX_LOSSES - 2}")] == [None, WENT, WENT]


def _filled(folder: Path, count: int) -> Database:
    """A queue with this many due notices of two nodes."""
    database = Database(open_engine(f"sqlite:///{folder}/{count}.db"))
    database.open()
    columns = {each.name: "''" for each in RECORDINGS.c if not each.nullable and each.name != "id"}
    columns |= dict.fromkeys(("viewed_at", "noticed_at"), "i")
    columns |= {"received_at": "i", "next_at": "i", "rounds": "0", "cookies": "'{}'", "attempts": "'[]'"}
    columns |= {"token": "'token-' || i", "origin_node": "'n' || i % 2", "told_by": "'browser'"}
    numbers = f"WITH RECURSIVE numbers(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < {count})"
    with database.change() as connection:
        names, values = ", ".join(columns), ", ".join(columns.values())
        connection.exec_driver_sql(f"INSERT INTO recordings ({names}) {numbers} SELECT {values} FROM numbers")
    return database


def _steps(database: Database, call: Callable[[Backlog], object]) -> int:
    """The number of steps, in hundreds, that SQLite's virtual machine takes for a call."""
    steps = [0]

    def count() -> None:
        steps[0] += 1

    with database.read() as connection:
        driver: Any = connection.connection.driver_connection
    driver.set_progress_handler(count, 100)
    call(Backlog(database))
    driver.set_progress_handler(None, 100)
    return steps[0]


@pytest.mark.slow
@pytest.mark.parametrize(
    "call",
    [
        lambda backlog: backlog.due(1e9, 32),
        lambda backlog: backlog.due(1e9, 32, [f"token-{number}" for number in range(1, 65)]),
        lambda backlog: backlog.due(1e9, 32, (), ("n0",)),
        lambda backlog: backlog.next_due(5.0),
        lambda backlog: backlog.next_due(1e9),
        lambda backlog: backlog.make_all_due(1e9),
        lambda backlog: backlog.loss_of("token-7"),
        lambda backlog: backlog.add([arrival("token-7")], 1.0),
        lambda backlog: backlog.postpone("token-7", 1, (), 2.0),
    ],
)
def test_a_long_queue_takes_no_more_steps(tmp_path: Path, call: Callable[[Backlog], object]) -> None:
    short, long = (_filled(tmp_path, count) for count in (1_000, 100_000))
    assert _steps(long, call) <= 2 * _steps(short, call) + 2
    short.close()
    long.close()


@pytest.mark.slow
def test_the_notices_of_a_full_node_are_not_read_again_and_again(tmp_path: Path) -> None:
    database = _filled(tmp_path, 100_000)
    with database.change() as connection:
        connection.exec_driver_sql("UPDATE recordings SET origin_node = CASE WHEN id > 99990 THEN 'n2' ELSE 'n1' END")
    backlog = Backlog(database)
    assert len(backlog.due(1e9, 32, (), ("n1",))) == 10
    taken: list[Any] = []
    assert _steps(database, lambda _other: taken.append(backlog.due(1e9 + 1, 32, (), ("n1",)))) < 2_000
    assert taken == [[]]
    assert len(backlog.due(1e9 + 6, 32, (), ("n1",))) == 10
    with database.change() as connection:
        connection.exec_driver_sql("UPDATE recordings SET next_at = 0 WHERE id > 99990")
    assert len(backlog.due(1e9 + 7, 32, (), ("n1",))) == 10
    database.close()
