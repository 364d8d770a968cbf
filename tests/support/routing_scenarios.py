"""Fair weather and bad, behind any balancer: visits; then a drain, an outage and its end, notices that mislead, a
restart under a new address. Every page is archived all the same, and no fetch moves a visitor.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping

from tests.support.children import wait_for
from tests.support.farm import NODES, ProcessFarm, fetched, listens
from tests.support.routing_cases import ANYBODY, ITS_OWN, Case
from tests.support.visitor import View, Visitor
from tests.support.visitors import VisitorGroup

VISITS = int(os.environ.get("LBC_TEST_VISITS", "40"))
FIRST_ATTEMPT_SHARE = 0.95
AWAY = "n2"
#: What bad weather asks for: copies that outlive a companion, and a crawler that waits.
DURABLE = {"store": "sqlite:///pages-NAME.db", "give_up_seconds": 90}


def visited(visitors: VisitorGroup, case: Case) -> None:
    """Fair weather."""
    farm = visitors.farm
    visitors.join_on_all_nodes(1)
    visitors.finished()
    if "own" in case.routes and case.sticks and not case.by_address:
        wait_for("warm routes", lambda: routes_are_warm(farm))
    warm_up = len(visitors.views)
    # Newcomers, and those who come again.
    for _ in range(4):
        visitors.join()
    while len(visitors.views) < max(VISITS, warm_up + VISITS // 2):
        visitors.view_page(len(visitors.views) % len(visitors.visitors))
    found = visitors.check_archived()
    assert len(found) == len(visitors.views)
    later = [found[view.token] for view in visitors.views[warm_up:]]
    at_once = [said for said in later if len(said["attempts"]) == 1]
    tried = [said["attempts"] for said in later if len(said["attempts"]) > 1]
    assert len(at_once) >= FIRST_ATTEMPT_SHARE * len(later), f"{len(at_once)} of {len(later)} at once; else {tried}"
    assert {said["route"] for said in at_once} <= case.routes, {said["route"] for said in at_once}
    visitors.are_home(visitors.everybody)
    farm.check_secrecy(visitors.secrets(), [view.token for view in visitors.views])


def routes_are_warm(farm: ProcessFarm) -> bool:
    """Whether the crawler has a way of its own to each node."""
    states = {route["node"]: route["state"] for route in json.loads(fetched(farm.api, "/api/routes")[1])["routes"]}
    return states == dict.fromkeys(NODES, "proven")


def troubled(visitors: VisitorGroup, case: Case) -> None:
    """Bad weather."""
    for number in visitors.everybody:  # visitors of fair weather who saw one page only have no home yet
        visitors.view_page(number)
    visitors.join_on_all_nodes(3)
    visitors.finished()
    if not case.kind.no_drain:
        drained(visitors, case)
    astray = gone_and_back(visitors, case)
    elsewhere(visitors, case, astray)
    visitors.check_archived()
    visitors.farm.check_secrecy(visitors.secrets(), [view.token for view in visitors.views])


def drained(visitors: VisitorGroup, case: Case) -> None:
    """Its visitors stay, newcomers go elsewhere."""
    farm = visitors.farm
    everybody = visitors.everybody
    case.kind.drain(farm, AWAY, True)
    wait_for("a drain", lambda: AWAY not in {farm.whoami() for _ in range(6)})
    for number in everybody:
        visitors.view_page(number)
    assert AWAY not in {farm.served_page(visitors.join()).node for _ in range(3)}
    visitors.check_new_archived()
    case.kind.drain(farm, AWAY, False)
    case.kind.sees_up(farm, AWAY)


def noticed_by(farm: ProcessFarm, messenger: str, view: View, cookies: Mapping[str, str]) -> None:
    """A notice with these cookies, brought to that node past the balancer, which must not act on it."""
    told = Visitor(farm.public[messenger], farm.sticky.cookies)
    told.cookies = dict(cookies)
    told.notice(view)


def gone_and_back(visitors: VisitorGroup, case: Case) -> set[int]:
    """An outage: notices of its pages come meanwhile, and notices that mislead. Who was moved by himself."""
    farm = visitors.farm
    stale, *quiet = visitors.of(AWAY) if case.sticks else (0, 1, 2)
    waiting = visitors.pages_of(AWAY, 2, quiet)
    farm.wait_stored(AWAY)
    farm.children[f"companion-{AWAY}"].kill()
    farm.children[f"companion-{AWAY}"].ended()
    case.kind.sees_down(farm, AWAY, visitors.visitors[stale].cookies)
    for number, view in waiting:
        noticed_by(farm, "n1", view, visitors.visitors[number].cookies)
    tried = [view.token for _, view in waiting]
    wait_for("attempts", lambda: all(farm.recordings().get(token, {}).get("attempts") for token in tried), 60)
    with visitors.roaming(case.roaming):
        others = poisoned(visitors, case, stale, quiet[0])
    farm.check_archived(others, farm.finished([view.token for view in others], 30))
    if not farm.central:
        assert [farm.recordings()[token]["outcome"] for token in tried] == [None] * len(tried)
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    case.kind.sees_up(farm, AWAY)
    visitors.check_new_archived()
    visitors.are_home(set(visitors.everybody) - {stale})
    return {stale}


def poisoned(visitors: VisitorGroup, case: Case, stale: int, quiet: int) -> list[View]:
    """While a node is away, pages of the others are noticed with cookies that lead nowhere, or to somebody else."""
    farm = visitors.farm
    wanderer = visitors.again(stale)
    wanderer.cookies = dict(visitors.visitors[stale].cookies)
    moved = wanderer.view("/stale")
    visitors.views.append(moved)
    assert farm.served_page(moved).node != AWAY
    noticed_by(farm, "n1", moved, visitors.visitors[stale].cookies)
    left, right = (visitors.of("n1")[0], visitors.of("n3")[0]) if case.sticks else (0, 1)
    views = [visitors.view_page(number, notice=False) for number in (left, left, right)]
    nonsense = dict.fromkeys(farm.sticky.cookies, "5f0c9a77d1e2b3a4")
    for view, cookies in zip(
        views, (visitors.visitors[quiet].cookies, nonsense, visitors.visitors[left].cookies), strict=True
    ):
        noticed_by(farm, "n1", view, cookies)
    return [moved, *views]


def elsewhere(visitors: VisitorGroup, case: Case, astray: set[int]) -> None:
    """The companion is told to stop, hands over or keeps what it has, and is started again with another address."""
    farm = visitors.farm
    quiet = [number for number in visitors.of(AWAY) if number not in astray] if case.sticks else []
    waiting = visitors.pages_of(AWAY, 2, quiet)
    farm.wait_stored(AWAY)
    farm.children[f"companion-{AWAY}"].send(signal.SIGTERM)
    assert farm.children[f"companion-{AWAY}"].ended() == 0
    before = farm.site_lines(farm.public)
    farm.public[AWAY] = farm.ports.take()
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    case.kind.readdress(farm, AWAY)
    for name in NODES if farm.peers else ():  # those who have each other's addresses in their files
        if name != AWAY:
            farm.children[f"companion-{name}"].send(signal.SIGTERM)
            assert farm.children[f"companion-{name}"].ended() == 0
            farm.start_companion(name)
            farm.wait_ready(name)
            case.kind.sees_up(farm, name)
    if farm.site_lines(farm.public) != before:  # what is configured must be configured anew
        farm.children["crawler"].send(signal.SIGTERM)
        assert farm.children["crawler"].ended() == 0
        farm.start_crawler()
        wait_for("crawler", lambda: listens(farm.api, "/healthz"), 60, farm.children["crawler"])
    case.kind.sees_up(farm, AWAY)
    for number, view in waiting:
        noticed_by(farm, "n1", view, visitors.visitors[number].cookies)
    everybody = set(visitors.everybody) - astray
    # Whom the balancer gives to another node, because the node's address was what they were known by.
    given = {ITS_OWN: set(quiet), ANYBODY: everybody}.get(case.readdressed, set())
    visitors.resettle(given)
    for number in everybody - given:
        visitors.view_page(number)
    visitors.join_on_all_nodes(len(quiet) + 1 if case.sticks else 0)
    visitors.check_new_archived()
    visitors.are_home(everybody)
