"""The selection of recordings for an erasure, and the list of erasures."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import event, inspect, select

from lbcompanion.crawler.queue.backlog import Arrival, Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.erasures import REFUSE_SECONDS, Erasures, Selection, token_hash
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.crawler.queue.schema import ERASED_TOKENS
from lbcompanion.model import Loss, LossCode, LossReason, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source
from tests.support.arrivals import arrival

SITE = "http://www.example.com"
LOST = LossReason.of(LossCode.EXPIRED)


class Rig:
    def __init__(self) -> None:
        engine = open_engine("sqlite://")
        self.statements: list[str] = []
        event.listen(engine, "before_cursor_execute", lambda *of: self.statements.append(of[2]))
        self.database = Database(engine)
        self.database.open()
        self.backlog, self.erasures = Backlog(self.database), Erasures(self.database)
        self.routes = RouteTable(self.database)
        for token, url, page_url, visitor, at in (
            ("t1", f"{SITE}/a#x", "", "v1ann", 10.0),
            ("t2", f"{SITE}/else", f"{SITE}/a", "v1bob", 20.0),
            ("t3", f"{SITE}/a/b_c", "", "v1ann", 30.0),
            ("t4", f"{SITE}/a/bxc", "", "", 40.0),
        ):
            arrived = arrival(token, visitor=visitor)
            notice = evolve(arrived.notice, url=url, page_url=page_url, noticed_at=at)
            self.backlog.add([Arrival(notice, "n1", "main")], 100.0 + at)

    def erase(self, now: float = 200.0, **criteria: Any) -> set[str]:
        selection = Selection(**criteria)
        before = self.tokens()
        matches = self.erasures.count(selection)
        number = self.erasures.begin(selection, "command", now)
        batch = self.erasures.erase(number, selection, now)
        self.erasures.finish(now)
        assert matches.recordings == batch.recordings == len(before - self.tokens())
        return before - self.tokens()

    def save_route(self, site: str, node: str, source: Source) -> None:
        cookies = (RoutingCookie("SRV", node),)
        self.routes.save(Route(site, node, cookies, "", RouteState.PROVEN, 125.0, None, None, source))

    def tokens(self) -> set[str]:
        return {row["token"] for row in self.backlog.recordings(100)}


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({"tokens": ("t1", "t9")}, {"t1"}),
        ({"urls": (f"{SITE}/a",)}, {"t1", "t2"}),
        ({"urls": (f"{SITE}/a#other",)}, {"t1", "t2"}),
        ({"urls": (f"{SITE}/a*",)}, {"t1", "t2", "t3", "t4"}),
        ({"urls": (f"{SITE}/A*", f"{SITE}/A")}, set()),
        ({"urls": (f"{SITE}/a/b_*",)}, {"t3"}),
        ({"urls": (f"{SITE}/%",)}, set()),
        ({"visitors": ("v1ann", "v1old")}, {"t1", "t3"}),
        ({"visitors": ()}, set()),
        ({"before": 30.0}, {"t1", "t2"}),
        ({"received_before": 130.0}, {"t1", "t2"}),
        ({"visitors": ("v1ann",), "before": 30.0}, {"t1"}),
        ({"files": ("a.warc.gz",)}, set()),
        ({}, set()),
    ],
)
def test_what_meets_every_criterion_is_erased(criteria: dict[str, Any], expected: set[str]) -> None:
    assert Rig().erase(**criteria) == expected


@pytest.mark.slow
def test_one_selection_may_have_500_urls() -> None:
    """That many are allowed. SQLite refuses expressions with more than 1000 levels."""
    others = tuple(f"{SITE}/{number}{'*' * (number % 2)}" for number in range(499))
    assert Rig().erase(urls=(*others, f"{SITE}/a/b_c")) == {"t3"}


def test_the_log_has_numbers_and_no_values() -> None:
    rig = Rig()
    rig.backlog.add_losses([Loss("t1", LOST)], 150.0)
    rig.erase(tokens=("t1",), urls=(f"{SITE}/*",))
    (entry,) = rig.erasures.entries(9)
    assert (entry["at"], entry["finished_at"], entry["erased_by"], entry["criteria"]) == (
        200.0,
        200.0,
        "command",
        "token, url",
    )
    assert (entry["recordings"], entry["archived"], entry["losses"]) == (1, 0, 1)
    assert not any(value in str(entry) for value in ("t1", SITE))
    assert rig.erasures.entries(9, before_id=entry["id"]) == []


@pytest.mark.slow
def test_an_erased_notice_is_refused_for_some_time() -> None:
    rig = Rig()
    rig.erase(tokens=("t1", "t9"))
    arrivals = [arrival(token) for token in ("t1", "t2", "t9")]
    losses = [Loss("t1", LOST), Loss("t2", LOST)]
    assert rig.erasures.without_erased(arrivals, losses) == ([arrivals[1]], [losses[1]], 2)
    with rig.database.read() as connection:
        kept = set(connection.execute(select(ERASED_TOKENS.c.sha256)).scalars())
    assert kept == {token_hash("t1"), token_hash("t9")}
    rig.erase(now=201.0 + REFUSE_SECONDS, tokens=("t2",))
    assert rig.erasures.without_erased(arrivals, losses)[2] == 1


def test_a_longer_refusal_takes_the_place_of_a_shorter_one() -> None:
    rig = Rig()
    selection = Selection(tokens=("t1",))
    for seconds in (10.0, 100.0, 50.0):
        rig.erasures.erase(rig.erasures.begin(selection, "api", 200.0), selection, 200.0, seconds)
    with rig.database.read() as connection:
        assert connection.execute(select(ERASED_TOKENS.c.kept_until)).scalars().all() == [300.0]


@pytest.mark.slow
def test_only_routes_that_may_come_from_an_erased_notice_go() -> None:
    rig = Rig()
    for site, node, source in (
        ("main", "n1", Source.TRAFFIC),
        ("main", "n2", Source.TRAFFIC),
        ("other", "n1", Source.TRAFFIC),
    ):
        rig.save_route(site, node, source)
    assert rig.erase(tokens=("t3",)) == {"t3"}  # it came after the routes
    assert len(rig.routes.load()) == 3
    selection = Selection(tokens=("t1",))
    assert rig.erasures.erase(1, selection, 200.0).routes == (("main", "n1"),)
    assert [(route.site, route.node) for route in rig.routes.load()] == [("main", "n2"), ("other", "n1")]


@pytest.mark.slow
@pytest.mark.parametrize("source", [each for each in Source if each is not Source.TRAFFIC])
def test_routes_that_come_from_no_visitor_stay(source: Source) -> None:
    rig = Rig()
    rig.save_route("main", "n1", source)
    assert rig.erase(before=99.0) == {"t1", "t2", "t3", "t4"}
    assert len(rig.routes.load()) == 1


@pytest.mark.slow
def test_retention_deletes_no_routes() -> None:
    rig = Rig()
    rig.save_route("main", "n1", Source.TRAFFIC)
    assert rig.erase(received_before=999.0) == {"t1", "t2", "t3", "t4"}
    assert len(rig.routes.load()) == 1


@pytest.mark.slow
def test_many_recordings_are_erased_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbcompanion.crawler.queue.erasures.BATCH_SIZE", 3)
    rig = Rig()
    selection = Selection(before=99.0)
    number = rig.erasures.begin(selection, "api", 1.0)
    batches = [rig.erasures.erase(number, selection, 1.0) for _ in range(2)]
    assert [(batch.recordings, batch.is_last) for batch in batches] == [(3, False), (1, True)]
    assert rig.erasures.entry(number)["recordings"] == 4


@pytest.mark.slow
def test_an_older_queue_gets_the_indexes() -> None:
    database = Database(open_engine("sqlite://"))
    database.open()
    with database.change() as connection:
        connection.exec_driver_sql("DROP INDEX recordings_by_visitor")
        connection.exec_driver_sql("CREATE INDEX recordings_visitor ON recordings (visitor)")
        connection.exec_driver_sql("DELETE FROM schema_steps")
    database.open()
    with database.read() as connection:
        names = {index["name"] for index in inspect(connection).get_indexes("recordings")}
    assert "recordings_by_visitor" in names
    assert "recordings_visitor" not in names


def test_the_intake_asks_only_where_something_was_erased() -> None:
    rig = Rig()
    arrivals = [arrival("t1")]
    assert rig.erasures.without_erased(arrivals, [])[0] == arrivals
    asked = len(rig.statements)
    assert rig.erasures.without_erased(arrivals, [])[0] == arrivals
    assert len(rig.statements) == asked
    rig.erase(tokens=("t1",))
    assert rig.erasures.without_erased(arrivals, [])[0] == []
