"""Routing truth, by real balancers in front of three nodes: every page archived as it was made, nobody moved, nothing
told to anyone; in fair weather, and through drains, outages, new addresses and poisoned notices.

``LBC_TEST_VISITS`` says how many pages are visited behind each balancer.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import frozen

from lbcompanion.demo.ports import ReservedPorts
from tests.real import sticky_balancers as kinds
from tests.real.balancers import Balancer
from tests.real.children import Children, wait_for
from tests.real.farm import NODES, Applications, Farm, Sticking, plain_applications
from tests.real.session_site import SESSION, SHOPPER, TOMCAT, WHERE
from tests.real.visitor import View, Visitor

VISITS = int(os.environ.get("LBC_TEST_VISITS", "24"))
FIRST_ATTEMPT_SHARE = 0.95

OWN = frozenset({"own"})
BOTH = frozenset({"recorded", "own"})


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    """The three applications, which serve behind one balancer after the other."""
    folder = tmp_path_factory.mktemp("applications")
    ports, children = ReservedPorts(), Children(folder)
    try:
        yield plain_applications(children, ports, folder, "tests.real.session_site")
    finally:
        children.kill()
        ports.release()


class Crowd:
    """Visitors of one farm, and all that they saw.

    :param late: whether a visitor's first page came before there was a cookie to go by.
    """

    def __init__(self, farm: Farm, sticks: bool = True, late: bool = False) -> None:
        self.farm = farm
        self.visitors: list[Visitor] = []
        self.views: list[View] = []
        self._nodes: list[list[str]] = []
        self._sticks = sticks
        self._late = late

    @property
    def homes(self) -> list[str]:
        """Each visitor's node."""
        return [nodes[-1] for nodes in self._nodes]

    def come(self, notice: bool = True) -> View:
        """A new visitor looks at a first page."""
        self.visitors.append(Visitor(self.farm.site, self.farm.sticking.cookies))
        self._nodes.append([])
        return self.look(len(self.visitors) - 1, notice)

    def come_to_all(self, least: int) -> None:
        """As many as it takes until each node has so many."""
        while any(self.homes.count(name) < least for name in NODES):
            assert len(self.homes) < 40
            self.come()
            if self._late:
                self.look(len(self.visitors) - 1)

    def look(self, number: int, notice: bool = True) -> View:
        """One of them looks at another page, at the node where all of their pages were."""
        view = self.visitors[number].view(f"/page/{len(self.views)}?q=1")
        self.views.append(view)
        nodes = self._nodes[number]
        nodes.append(self.farm.made(view).node)
        assert len(set(nodes[self._late :])) <= 1 or not self._sticks, f"visitor {number} was moved: {nodes}"
        if notice:
            self.visitors[number].notice(view)
        return view

    def of(self, node: str) -> list[int]:
        """Whose home that node is."""
        return [number for number, home in enumerate(self.homes) if home == node]

    def finished(self, seconds: float = 30.0) -> Mapping[str, Mapping[str, Any]]:
        return self.farm.finished([view.token for view in self.views], seconds)

    def is_home(self, numbers: list[int]) -> None:
        """None of these was moved: a look on a new connection goes where they always went."""
        for number in numbers:
            again = Visitor(self.farm.site)
            again.cookies = dict(self.visitors[number].cookies)
            self._nodes[number].append(self.farm.made(again.view("/home")).node)
            nodes = self._nodes[number][self._late :]
            assert len(set(nodes)) == 1, f"visitor {number} was moved: {nodes}"

    def secrets(self) -> list[str]:
        """What opens a session; what the operator has set free is left out."""
        free = self.farm.sticking.allow
        found = [visitor.cookies[SESSION] for visitor in self.visitors if SESSION not in free]
        return found + [
            visitor.cookies[TOMCAT].partition("~")[2] or visitor.cookies[TOMCAT] for visitor in self.visitors
        ]


@frozen
class Case:
    """A balancer, what is configured for it, and what of it is to be expected."""

    balancer: Balancer
    sticking: Sticking
    routes: frozenset[str] = frozenset({"recorded"})
    site_lines: Any = lambda public: ""
    more: Mapping[str, Any] = {}
    late: bool = False

    @property
    def sticks(self) -> bool:
        return not self.more


def dynamic_facts(public: Mapping[str, int]) -> str:
    """What the formula of dynamic cookies needs."""
    nodes = "".join(f'[sites.main.nodes.{name}]\naddress = "127.0.0.1:{at}"\n' for name, at in public.items())
    return f'key = "{kinds.DYNAMIC_KEY}"\n{nodes}'


def computed_only(public: Mapping[str, int]) -> str:
    return 'ladder = ["computed"]\n' + dynamic_facts(public)


CASES = {
    "haproxy insert": Case(kinds.INSERT, Sticking(("SRV",), "haproxy-insert")),
    "haproxy insert, told the name only": Case(kinds.HIDDEN, Sticking(("SRV",)), OWN),
    "haproxy insert indirect nocache httponly": Case(kinds.HIDDEN, Sticking(("SRV",), "haproxy-insert"), OWN),
    "haproxy insert dated": Case(kinds.DATED, Sticking(("SRV",), "haproxy-dated")),
    "haproxy prefix": Case(kinds.PREFIX, Sticking((TOMCAT,), "haproxy-prefix")),
    "haproxy rewrite": Case(kinds.REWRITE, Sticking((WHERE,), "haproxy-rewrite")),
    "haproxy dynamic": Case(kinds.DYNAMIC, Sticking(("SRV",), "haproxy-dynamic"), site_lines=dynamic_facts),
    "haproxy dynamic, computed": Case(
        kinds.DYNAMIC, Sticking(("SRV",), "haproxy-dynamic"), frozenset({"computed"}), computed_only
    ),
    "haproxy stick table": Case(kinds.TABLE, Sticking((SESSION,), "haproxy-table"), OWN),
    "haproxy stick table, set free": Case(kinds.TABLE, Sticking((SESSION,), "haproxy-table", (SESSION,)), OWN),
    "haproxy tiers": Case(kinds.haproxy_tiers(), Sticking(("OUTER", "INNER"), "haproxy-insert")),
    "apache ROUTEID": Case(kinds.APACHE_ROUTE, Sticking(("ROUTEID",), "apache-route")),
    "apache before tomcats": Case(kinds.TOMCATS, Sticking((TOMCAT,), "jvmroute")),
    "nginx hash": Case(kinds.NGINX_HASH, Sticking((SHOPPER,), "nginx-hash"), BOTH, late=True),
    "nginx hash of a session": Case(kinds.NGINX_SECRET_HASH, Sticking((SESSION,), "nginx-hash"), OWN, late=True),
    "caddy": Case(kinds.CADDY, Sticking(("lb",), "caddy")),
    "envoy": Case(kinds.ENVOY, Sticking(("stuck",), "envoy")),
    "envoy ring hash": Case(kinds.ENVOY_RING, Sticking(("ring",), "envoy-hash"), BOTH),
    "nothing, peers": Case(kinds.NOTHING, Sticking(), frozenset({"recorded", "own", "any"}), more={"peers": True}),
    "nothing, a central store": Case(
        kinds.NOTHING, Sticking(), frozenset({"recorded", "own", "any"}), more={"store": "sqlite:///pages.db"}
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_every_page_is_archived_from_its_node(new_farm, applications, case):
    farm = new_farm(case.balancer, case.sticking, applications, site_lines=case.site_lines, **case.more)
    crowd = Crowd(farm, case.sticks, case.late)
    crowd.come_to_all(1)
    crowd.finished()
    warm_up = len(crowd.views)
    # Newcomers, and those who come again.
    for _ in range(4):
        crowd.come()
    while len(crowd.views) < max(VISITS, warm_up + VISITS // 2):
        crowd.look(len(crowd.views) % len(crowd.visitors))
    found = crowd.finished()
    farm.check_archived(crowd.views, found)
    assert len(found) == len(crowd.views)
    later = [found[view.token] for view in crowd.views[warm_up:]]
    at_once = [said for said in later if len(said["attempts"]) == 1]
    assert len(at_once) >= FIRST_ATTEMPT_SHARE * len(later), [said["attempts"] for said in later]
    assert {said["route"] for said in at_once} <= case.routes
    if case.sticks:
        crowd.is_home(list(range(len(crowd.visitors))))
    farm.check_kept_secret(crowd.secrets(), [view.token for view in crowd.views])


AWAY = "n2"
TROUBLED = ("haproxy insert", "haproxy stick table, set free", "haproxy dynamic")


def noticed_by(farm: Farm, messenger: str, view: View, cookies: Mapping[str, str]) -> None:
    """A notice with these cookies, brought to that node past the balancer, which must not act on it."""
    told = Visitor(farm.public[messenger], farm.sticking.cookies)
    told.cookies = dict(cookies)
    told.notice(view)


def is_up(runtime: kinds.Runtime, name: str) -> None:
    wait_for(f"{name} is up", lambda: runtime.status(name).startswith("UP"), 10)


def poisoned(crowd: Crowd, stale: int, quiet: int) -> list[View]:
    """While a node is away, pages of the others are noticed with cookies that lead nowhere, or to somebody else."""
    farm = crowd.farm
    wanderer = Visitor(farm.site)
    wanderer.cookies = dict(crowd.visitors[stale].cookies)
    moved = wanderer.view("/stale")
    crowd.views.append(moved)
    assert farm.made(moved).node != AWAY
    noticed_by(farm, "n1", moved, crowd.visitors[stale].cookies)
    left, right = crowd.of("n1")[0], crowd.of("n3")[0]
    views = [crowd.look(number, notice=False) for number in (left, left, right)]
    nonsense = dict.fromkeys(farm.sticking.cookies, "5f0c9a77d1e2b3a4")
    for view, cookies in zip(
        views, (crowd.visitors[quiet].cookies, nonsense, crowd.visitors[left].cookies), strict=True
    ):
        noticed_by(farm, "n1", view, cookies)
    return [moved, *views]


@pytest.mark.parametrize("name", TROUBLED)
def test_through_drain_outage_poison_and_a_new_address(new_farm, applications, name):
    case = CASES[name]
    more = {"store": "sqlite:///pages-NAME.db", "give_up_seconds": 60}
    farm = new_farm(case.balancer, case.sticking, applications, site_lines=case.site_lines, **more)
    runtime, crowd = kinds.Runtime(farm.balanced), Crowd(farm)
    crowd.come_to_all(3)
    crowd.finished()
    everybody = list(range(len(crowd.visitors)))

    # A drain: its visitors stay, newcomers go elsewhere.
    runtime.order(f"set server nodes/{AWAY} state drain")
    for number in everybody:
        crowd.look(number)
    assert AWAY not in {farm.made(crowd.come()).node for _ in range(3)}
    farm.check_archived(crowd.views, crowd.finished())
    runtime.order(f"set server nodes/{AWAY} state ready")

    # An outage: notices of its pages come meanwhile, and notices that mislead.
    stale, *quiet = crowd.of(AWAY)
    waiting = [(number, crowd.look(number, notice=False)) for number in quiet]
    farm.settled(AWAY)
    farm.children[f"companion-{AWAY}"].kill()
    farm.children[f"companion-{AWAY}"].ended()
    wait_for(f"{AWAY} is down", lambda: runtime.status(AWAY).startswith("DOWN"), 10)
    for number, view in waiting:
        noticed_by(farm, "n1", view, crowd.visitors[number].cookies)
    wait_for("vain attempts", lambda: all(farm.recordings().get(v.token, {}).get("attempts") for _, v in waiting), 10)
    others = poisoned(crowd, stale, quiet[0])
    farm.check_archived(others, farm.finished([view.token for view in others], 15))
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    is_up(runtime, AWAY)
    farm.check_archived(crowd.views, crowd.finished(40))
    crowd.is_home([number for number in range(len(crowd.visitors)) if number != stale])

    # A restart with another address.
    waiting = [(number, crowd.look(number, notice=False)) for number in quiet]
    farm.settled(AWAY)
    farm.children[f"companion-{AWAY}"].send(signal.SIGTERM)
    assert farm.children[f"companion-{AWAY}"].ended() == 0
    farm.public[AWAY] = farm.ports.take()
    farm.start_companion(AWAY)
    farm.wait_ready(AWAY)
    runtime.order(f"set server nodes/{AWAY} addr 127.0.0.1 port {farm.public[AWAY]}")
    is_up(runtime, AWAY)
    for number, view in waiting:
        noticed_by(farm, "n1", view, crowd.visitors[number].cookies)
    staying = crowd.of("n1") + crowd.of("n3") + (quiet if name != "haproxy dynamic" else [])
    for number in staying:
        if number != stale:
            crowd.look(number)
    crowd.come_to_all(len(quiet) + 2)
    farm.check_archived(crowd.views, crowd.finished(40))
    crowd.is_home([number for number in staying if number != stale])
    farm.check_kept_secret(crowd.secrets(), [view.token for view in crowd.views])
