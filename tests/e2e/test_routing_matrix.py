"""Routing truth, by real balancers in front of three nodes: every page archived as it was made, nobody moved, nothing
told to anyone; in fair weather, and through drains, outages, poisoned notices and new addresses.

``LBC_TEST_VISITS`` says how many pages are visited behind each balancer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import routing_scenarios
from tests.support.parallel_cases import Environment, ParallelCases, chosen
from tests.support.routing_cases import CONFIGURED, UNCONFIGURED

#: Who has fair weather only, and why.
FAIR_WEATHER = {
    **dict.fromkeys(UNCONFIGURED, "as those who were told, with another first rung at most"),
    "haproxy insert dated": "nothing in it differs from insert here",
    "haproxy insert, a plugin's dialect": "nor from insert",
    "haproxy dynamic, computed": "nor from dynamic",
    "haproxy cookie check": "nor from insert, but for the crawler's first request to each node",
    "haproxy tiers, as configured": "nor from the dialects of the catalogue",
    "apache before Tomcat, as configured": "nor from those",
    "envoy maglev": "nor from the ring hash",
    "haproxy before nginx": "an nginx that chooses by a map does not go to another node while one is away",
    "pen, peers": "pen closes the connections of those whose server is down, instead of giving them to another one",
}
CASES = {**CONFIGURED, **UNCONFIGURED}
#: Set-ups that were seen in the field and are not among the cases: what tests them, or why nothing does.
ELSEWHERE = {
    "a balancer that writes Host anew, or changes HTML": "test_default_balancers.py",
    "a cookie that does not reach the prefix": "test_unmoved.py",
    "Tomcat below a context path": "test_context_path.py",
    "newcomers of one address at one node": "test_newcomers_at_one_node.py",
    "a cookie that only the balancer can read": "test_other_balancer.py",
    "maintenance of a live node": "test_maintenance.py",
    "a cache, a firewall, a rate limit in front": "test_doctor.py",
    "nginx's `sticky`, `learn` and `drain`": "need nginx 1.29.6, which is neither in Debian nor a wheel; the"
    " dialects have samples (tests/sticky)",
    "Perlbal": "nothing sticks behind it; the doctor's model of it is in tests/doctor/test_stickiness.py",
    "a hash of address and cookie": "all visitors of a test have one address; the doctor's model of it is there too",
}
#: Nodes are not drained here, for reasons that the kinds of balancers give.
UNDRAINED = {name for name, case in CASES.items() if case.kind.no_drain}


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ParallelCases]:
    """All that were chosen, running."""
    environment = Environment(tmp_path_factory.mktemp("matrix"))
    names = chosen(request.session, "test_every_page_is_archived_from_its_node")
    parallel_cases = ParallelCases(names, lambda name: run(environment, name))
    try:
        yield parallel_cases
    finally:
        parallel_cases.stop()
        environment.stop()


def run(environment: Environment, name: str) -> None:
    """The whole of one case."""
    case = CASES[name]
    more = {} if name in FAIR_WEATHER else routing_scenarios.DURABLE
    with environment.visitor_group(name, case, **{**more, **case.more}) as visitors:
        routing_scenarios.visited(visitors, case)
        if name not in FAIR_WEATHER:
            routing_scenarios.troubled(visitors, case)


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_archived_from_its_node(cases, name):
    cases.ended(name)


def test_what_a_balancer_cannot_do_is_known():
    assert {name for name in CASES if name.split()[0] in {"caddy", "nginx", "varnish"}} <= UNDRAINED
    assert {name for name in CASES if name.startswith(("haproxy insert", "apache"))}.isdisjoint(UNDRAINED)
    assert FAIR_WEATHER.keys() <= CASES.keys()
    folder = Path(__file__).parent
    assert all((folder / where).is_file() for where in ELSEWHERE.values() if where.endswith(".py") and "/" not in where)
