"""Routing truth in bad weather, behind every balancer: a drain, an outage and its end, notices that mislead, a restart
under a new address. Every page is archived all the same, and no fetch moves a visitor.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping

import pytest

from tests.real.cases import ANYBODY, ITS_OWN, TOLD, Case
from tests.real.children import wait_for
from tests.real.crowd import Crowd
from tests.real.farm import Farm, listens
from tests.real.together import Grounds, Together, chosen
from tests.real.visitor import View, Visitor

AWAY = "n2"
#: What is left out, and why.
NOT_HERE = {
    "haproxy insert dated": "nothing in it differs from insert here",
    "haproxy dynamic, computed": "nor from dynamic",
    "haproxy insert, a plugin's dialect": "nor from insert",
    "haproxy tiers, as configured": "nor from the dialects of the catalogue",
    "apache before Tomcat, as configured": "nor from those",
    "envoy maglev": "nor from the ring hash",
    "pen, peers": "pen closes the connections of those whose server is down, instead of giving them to another one",
}
CASES = {name: case for name, case in TOLD.items() if name not in NOT_HERE}
DURABLE = {"store": "sqlite:///pages-NAME.db", "give_up_seconds": 90}
#: Nodes do without a drain here, whose reasons the kinds of balancers give.
UNDRAINED = {name for name, case in CASES.items() if case.kind.no_drain}


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    """All that were chosen, running."""
    grounds = Grounds(tmp_path_factory.mktemp("trouble"))
    names = chosen(request.session, "test_every_page_is_archived_in_bad_weather_too")
    together = Together(names, lambda name: troubled(grounds, name))
    try:
        yield together
    finally:
        together.stop()
        grounds.stop()


def troubled(grounds: Grounds, name: str) -> None:
    """The whole of one case."""
    case = CASES[name]
    with grounds.crowd(name, case, **{**DURABLE, **case.more}) as crowd:
        crowd.come_to_all(3)
        crowd.finished()
        if not case.kind.no_drain:
            drained(crowd, case)
        astray = gone_and_back(crowd, case)
        elsewhere(crowd, case, astray)
        crowd.farm.check_archived(crowd.views, crowd.finished())
        crowd.farm.check_kept_secret(crowd.secrets(), [view.token for view in crowd.views])


def drained(crowd: Crowd, case: Case) -> None:
    """Its visitors stay, newcomers go elsewhere."""
    farm = crowd.farm
    everybody = crowd.everybody
    case.kind.drain(farm, AWAY, True)
    wait_for("a drain", lambda: AWAY not in {farm.asked_who() for _ in range(6)}, 10)
    for number in everybody:
        crowd.look(number)
    assert AWAY not in {farm.made(crowd.come()).node for _ in range(3)}
    farm.check_archived(crowd.views, crowd.finished())
    case.kind.drain(farm, AWAY, False)
    case.kind.sees_up(farm, AWAY)


def noticed_by(farm: Farm, messenger: str, view: View, cookies: Mapping[str, str]) -> None:
    """A notice with these cookies, brought to that node past the balancer, which must not act on it."""
    told = Visitor(farm.public[messenger], farm.sticking.cookies)
    told.cookies = dict(cookies)
    told.notice(view)


def gone_and_back(crowd: Crowd, case: Case) -> set[int]:
    """An outage: notices of its pages come meanwhile, and notices that mislead. Who was moved by himself."""
    farm = crowd.farm
    stale, *quiet = crowd.of(AWAY) if case.sticks else (0, 1, 2)
    waiting = crowd.pages_of(AWAY, 2, quiet)
    farm.settled(AWAY)
    farm.children[f"companion-{AWAY}"].kill()
    farm.children[f"companion-{AWAY}"].ended()
    case.kind.sees_down(farm, AWAY, crowd.visitors[stale].cookies)
    for number, view in waiting:
        noticed_by(farm, "n1", view, crowd.visitors[number].cookies)
    tried = [view.token for _, view in waiting]
    wait_for("attempts", lambda: all(farm.recordings().get(token, {}).get("attempts") for token in tried), 20)
    others = poisoned(crowd, case, stale, quiet[0])
    farm.check_archived(others, farm.finished([view.token for view in others], 30))
    if not farm.central:
        assert [farm.recordings()[token]["outcome"] for token in tried] == [None] * len(tried)
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    case.kind.sees_up(farm, AWAY)
    farm.check_archived(crowd.views, crowd.finished(60))
    crowd.are_home(set(crowd.everybody) - {stale})
    return {stale}


def poisoned(crowd: Crowd, case: Case, stale: int, quiet: int) -> list[View]:
    """While a node is away, pages of the others are noticed with cookies that lead nowhere, or to somebody else."""
    farm = crowd.farm
    wanderer = crowd.again(stale)
    wanderer.cookies = dict(crowd.visitors[stale].cookies)
    moved = wanderer.view("/stale")
    crowd.views.append(moved)
    assert farm.made(moved).node != AWAY
    noticed_by(farm, "n1", moved, crowd.visitors[stale].cookies)
    left, right = (crowd.of("n1")[0], crowd.of("n3")[0]) if case.sticks else (0, 1)
    views = [crowd.look(number, notice=False) for number in (left, left, right)]
    nonsense = dict.fromkeys(farm.sticking.cookies, "5f0c9a77d1e2b3a4")
    for view, cookies in zip(
        views, (crowd.visitors[quiet].cookies, nonsense, crowd.visitors[left].cookies), strict=True
    ):
        noticed_by(farm, "n1", view, cookies)
    return [moved, *views]


def elsewhere(crowd: Crowd, case: Case, astray: set[int]) -> None:
    """The companion is told to stop, hands over or keeps what it has, and is started again with another address."""
    farm = crowd.farm
    quiet = [number for number in crowd.of(AWAY) if number not in astray] if case.sticks else []
    waiting = crowd.pages_of(AWAY, 2, quiet)
    farm.settled(AWAY)
    farm.children[f"companion-{AWAY}"].send(signal.SIGTERM)
    assert farm.children[f"companion-{AWAY}"].ended() == 0
    before = farm.site_lines(farm.public)
    farm.public[AWAY] = farm.ports.take()
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    case.kind.readdress(farm, AWAY)
    if farm.site_lines(farm.public) != before:  # what is configured must be configured anew
        farm.children["crawler"].send(signal.SIGTERM)
        assert farm.children["crawler"].ended() == 0
        farm.start_crawler()
        wait_for("crawler", lambda: listens(farm.api, "/healthz"), 20, farm.children["crawler"])
    case.kind.sees_up(farm, AWAY)
    for number, view in waiting:
        noticed_by(farm, "n1", view, crowd.visitors[number].cookies)
    everybody = set(crowd.everybody) - astray
    # Whom the balancer gives to another node, because the node's address was what they were known by.
    given = {ITS_OWN: set(quiet), ANYBODY: everybody}.get(case.readdressed, set())
    crowd.resettle(given)
    for number in everybody - given:
        crowd.look(number)
    crowd.come_to_all(len(quiet) + 1 if case.sticks else 0)
    farm.check_archived(crowd.views, crowd.finished(60))
    crowd.are_home(everybody)


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_archived_in_bad_weather_too(cases, name):
    cases.ended(name)


def test_what_a_balancer_cannot_do_is_known():
    """Who stands here without a drain does so for a reason that is written down with the kind of balancer."""
    assert {name for name in CASES if name.split()[0] in {"caddy", "nginx", "varnish"}} <= UNDRAINED
    assert {name for name in CASES if name.startswith("haproxy insert")}.isdisjoint(UNDRAINED)
