"""Routing truth in fair weather, by real balancers in front of three nodes: every page archived as it was made, nobody
moved, nothing told to anyone.

``LBC_TEST_VISITS`` says how many pages are visited behind each balancer.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import pytest

from tests.real.cases import TOLD, UNTOLD
from tests.real.children import wait_for
from tests.real.farm import NODES, Farm, fetched
from tests.real.together import Grounds, Together, chosen

VISITS = int(os.environ.get("LBC_TEST_VISITS", "40"))
FIRST_ATTEMPT_SHARE = 0.95
CASES = {**TOLD, **UNTOLD}


@pytest.fixture(scope="module")
def cases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Together]:
    """All that were chosen, running."""
    grounds = Grounds(tmp_path_factory.mktemp("matrix"))
    names = chosen(request.session, "test_every_page_is_archived_from_its_node")
    together = Together(names, lambda name: visited(grounds, name))
    try:
        yield together
    finally:
        together.stop()
        grounds.stop()


def visited(grounds: Grounds, name: str) -> None:
    """The whole of one case."""
    case = CASES[name]
    with grounds.crowd(name, case) as crowd:
        farm = crowd.farm
        crowd.come_to_all(1)
        crowd.finished()
        if "own" in case.routes and case.sticks and not case.by_address:
            wait_for("warm routes", lambda: routes_are_warm(farm), 30)
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
        assert {said["route"] for said in at_once} <= case.routes, {said["route"] for said in at_once}
        crowd.are_home(crowd.everybody)
        farm.check_kept_secret(crowd.secrets(), [view.token for view in crowd.views])


def routes_are_warm(farm: Farm) -> bool:
    """Whether the crawler has a way of its own to each node."""
    states = {one["node"]: one["state"] for one in json.loads(fetched(farm.api, "/api/routes")[1])["routes"]}
    return states == dict.fromkeys(NODES, "proven")


@pytest.mark.parametrize("name", CASES)
def test_every_page_is_archived_from_its_node(cases, name):
    cases.ended(name)
