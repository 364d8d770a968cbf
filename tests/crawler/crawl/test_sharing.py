"""A crawler's part in a shared queue, at SQLite and without a name of its own: claims, routes, turns."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import evolve
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from lbcompanion.crawler.crawl import sharing
from lbcompanion.crawler.crawl.sharing import Sharing
from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.crawler.fetching.site_pause import SitePause
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.membership import NAME
from lbcompanion.crawler.queue.route_table import RouteTable
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, Routes, RouteState
from tests.support.arrivals import arrival
from tests.support.simulated_farm import SimulatedFarm, immediately


class Runner:
    def __init__(self) -> None:
        self.running: tuple[str, ...] = ()
        self.cancelled: list[str] = []
        self.woken = 0
        self.back: list[str] = []

    def wake(self) -> None:
        self.woken += 1

    def running_tokens(self) -> tuple[str, ...]:
        return self.running

    def cancel(self, tokens: Iterable[str]) -> None:
        self.cancelled += tokens

    def on_node_back(self, node: str) -> None:
        self.back.append(node)


class Member:
    """A membership that is always held."""

    is_held = True

    def __init__(self, *arguments: Any) -> None:
        self.notified, self.failed = arguments[4:]

    def join(self) -> None:
        return

    def leave(self) -> None:
        self.is_held = False


class Place:
    def __init__(self, folder: Path) -> None:
        self.clock = Clock()
        self.clock.callFromThread = lambda call, *arguments: call(*arguments)  # type: ignore[attr-defined]
        self.database = Database(open_engine("sqlite://"))
        self.database.open()
        self.backlog = Backlog(self.database)
        self.health = Health()
        farm = SimulatedFarm()
        settings = farm.settings(folder)
        self.settings = evolve(settings, crawler=evolve(settings.crawler, queue="mysql://h/d"))
        self.routes = Routes()
        self.runner = Runner()

    def sharing(self, name: str) -> Sharing:
        return Sharing(self.settings, name, self.database, self.health, self.clock, immediately)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(sharing, "Membership", Member)
    return Place(tmp_path)


@pytest.mark.slow
def test_leases_are_renewed_and_lost_jobs_cancelled(place: Place) -> None:
    place.backlog.add([arrival("t1"), arrival("t2")], 0.0)
    first = place.sharing("a")
    first.join()
    first.start(place.runner, place.routes, {})
    place.runner.running = tuple(job.token for job in first.work.take(1.0, 9, (), ()).jobs)
    place.clock.advance(20)
    assert place.runner.cancelled == []
    second = place.sharing("a")
    second.join()  # of the same name: the first one is taken for dead
    assert [job.token for job in second.work.take(1.0, 1, (), ()).jobs] == ["t1"]
    place.clock.advance(20)
    assert sorted(place.runner.cancelled) == ["t1", "t2"]
    first.stop()
    first.leave()
    assert first.work.take(1.0, 9, (), ()).jobs == ()
    assert place.clock.getDelayedCalls() == []


def test_a_crawler_that_leaves_gives_back_its_turns(place: Place) -> None:
    """Else no other crawler could mint for the site until the turn ends by itself."""
    minters = []
    for name in "ab":
        minter: Any = SimpleNamespace()
        context: Any = SimpleNamespace(minter=minter, fetcher=SimpleNamespace(site_pause=SimpleNamespace()))
        part = place.sharing(name)
        part.start(place.runner, place.routes, {"main": context})
        minters.append((part, minter))
    (first, first_minter), (second, second_minter) = minters
    assert first_minter.take_turn().result
    assert not second_minter.take_turn().result
    first.stop()
    first.leave()  # a campaign is under way
    assert second_minter.take_turn().result
    second.stop()


@pytest.mark.slow
def test_notifications(place: Place) -> None:
    first = place.sharing("a")
    first._notified_in_thread("notices")  # before the start
    first.start(place.runner, place.routes, {})
    first._notified_in_thread("notices")
    assert place.runner.woken == 1
    RouteTable(place.database).save(Route("main", "n1", (RoutingCookie("SRV", "x"),), "", RouteState.PROVEN, 1.0, 50.0))
    for _ in range(3):
        first._notified_in_thread("routes")
    place.clock.advance(1)
    assert (place.runner.back, place.runner.woken) == (["n1"], 1)
    first._notified_in_thread("")  # the session was made again
    first.stop()
    first._notified_in_thread("notices")
    assert place.runner.woken == 2
    assert place.clock.getDelayedCalls() == []


def test_routes_are_read_without_notifications(place: Place) -> None:
    first = place.sharing("a")
    first.start(place.runner, place.routes, {})
    RouteTable(place.database).save(Route("main", "n2", (RoutingCookie("SRV", "x"),), "", RouteState.STALE, 1.0))
    place.clock.advance(15)
    assert [route.node for route in place.routes] == ["n2"]
    first.stop()


def test_a_pause_holds_for_all_crawlers(place: Place) -> None:
    pauses, parts = [], []
    for name in "ab":
        pause = SitePause(lambda: 1000.0 + place.clock.seconds())
        context: Any = SimpleNamespace(minter=SimpleNamespace(), fetcher=SimpleNamespace(site_pause=pause))
        part = place.sharing(name)
        part.start(place.runner, place.routes, {"main": context})
        pauses.append(pause)
        parts.append(part)
    pauses[0].note(Reply(429, (("retry-after", "40"),), b""))
    assert (pauses[0].seconds_left(), pauses[1].seconds_left()) == (40, 0)
    parts[1]._notified_in_thread("paused")
    assert 39 < pauses[1].seconds_left() <= 40
    pauses[1].note(Reply(429, (("retry-after", "60"),), b""))
    place.clock.advance(15)  # without a notification
    assert 44 < pauses[0].seconds_left() <= 60
    for part in parts:
        part.stop()


@pytest.mark.slow
def test_a_name_that_is_lost_is_a_problem(place: Place) -> None:
    first = place.sharing("a")
    first._name_reported("gone")
    assert place.health.lines() == [f"{NAME}: gone"]
    first._name_reported("")
    assert place.health.lines() == []


def test_one_crawler_mints_at_a_time(place: Place) -> None:
    first, second = place.sharing("a"), place.sharing("b")
    assert succeed(None).addCallback(lambda _: first._minting_turn("main")()).result is True
    assert second._minting_turn("main")().result is False
    first._end_of_minting("main")()
    assert second._minting_turn("main")().result is True


def test_a_defect_when_jobs_are_cancelled_does_not_end_the_renewal(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all later claims of this crawler would end, and each page would be fetched twice."""
    first = place.sharing("a")
    first.start(place.runner, place.routes, {})
    renewed: list[object] = []

    def renew(running: object) -> set[str]:
        renewed.append(running)
        return {"t1"}

    def cancel(_tokens: Iterable[str]) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(first.work, "renew", renew)
    monkeypatch.setattr(place.runner, "cancel", cancel)
    for _ in range(3):
        place.clock.advance(first._renewal_seconds)
    assert len(renewed) == 3
    first.stop()
