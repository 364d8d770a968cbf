"""A route counts as proven when replays of its cookies reach its node and no other."""

from __future__ import annotations

from functools import partial

import pytest
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from lbcompanion.model import RoutingCookie
from tests.support.minter_case import MinterCase
from tests.support.simulated_balancers import RotatingBalancer, TwoTierBalancer
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


def set_cookie(line: bytes, request: Request) -> None:
    """Let a node's answer set a cookie, as a balancer would."""
    request.responseHeaders.addRawHeader(b"set-cookie", line)


class MinterTests(MinterCase):
    def test_an_invented_key_that_does_not_stick_is_no_route(self) -> None:
        minter = self.set_up(SimulatedFarm(kind="table"), cookies=("sess",))
        self.successResultOf(minter.mint("n2"))
        self.assertNotEqual(self.state("n2"), "proven")

    def test_of_a_cookie_that_changes_the_newest_is_kept(self) -> None:
        farm = SimulatedFarm(balancer=RotatingBalancer)
        minter = self.set_up(farm)
        self.successResultOf(minter.mint("n2"))
        for _ in range(5):
            self.assertTrue(self.successResultOf(Deferred.fromCoroutine(minter.reverify("n2"))))
        route = self.routes.get("main", "n2")
        assert route is not None
        self.assertEqual(route.cookies[0].value, farm.balancer.issued["n2"][-1])
        self.assertEqual(self.kept[-1], route)

    def test_a_guess_is_nothing_where_the_balancer_hands_out_another_cookie(self) -> None:
        minter = self.set_up(SimulatedFarm(names=("n1",)))
        minter.note_visitor_cookies("n1", (RoutingCookie("JSESSIONID", ".n1"),))
        self.successResultOf(minter.mint("n1"))
        route = self.routes.get("main", "n1")
        assert route is not None
        self.assertEqual((route.state.value, route.source.value), ("proven", "minted"))
        self.assertEqual(route.cookies, (RoutingCookie("SRV", "n1"),))

    def test_of_two_tiers_one_cookie_that_reached_the_node_by_chance_is_no_route(self) -> None:
        """The tier whose cookie is not sent happens to choose the node in each replay."""
        names = ("left-one", "left-two", "right-one", "right-two")
        minter = self.set_up(SimulatedFarm(names, balancer=TwoTierBalancer), cookies=("EDGE",))
        self.successResultOf(minter.mint("left-one"))
        route = self.routes.get("main", "left-one")
        assert route is not None
        self.assertEqual(route.state.value, "proven")
        self.assertEqual({(one.name, one.value) for one in route.cookies}, {("EDGE", "left"), ("SRV", "one")})
        self.assertIn({"EDGE": "left"}, self.farm.balancer.asked)  # the smaller candidate was tried

    def test_a_route_in_use_stays_although_a_tier_without_its_cookie_chose_the_node(self) -> None:
        """Such a reply shows neither that the route holds nor that it leads elsewhere. A cookie may be deleted."""
        minter = self.set_up(SimulatedFarm())
        self.successResultOf(minter.mint("n2"))
        for line, holds in ((b"EDGE=left; path=/", False), (b"EDGE=; path=/; Max-Age=0", True)):
            self.farm.nodes["n2"].override = partial(set_cookie, line)
            self.farm.clock.advance(1)
            self.assertEqual(self.successResultOf(Deferred.fromCoroutine(minter.reverify("n2"))), holds)
            self.assertEqual(self.routes.is_reached("main", "n2", self.farm.now()), holds)
            route = self.routes.get("main", "n2")
            assert route is not None
            self.assertEqual((route.state.value, route.cookies), ("proven", (RoutingCookie("SRV", "n2"),)))

    def test_a_value_recorded_for_a_node_is_a_candidate_until_a_replay_proves_it(self) -> None:
        minter = self.set_up(SimulatedFarm(), dialect="haproxy-insert", cookies=("SRV",))
        minter.note_visitor_cookies("n2", (RoutingCookie("SRV", "n2"),))
        self.assertEqual((self.state("n2"), self.kept[-1].source.value), ("candidate", "traffic"))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "proven")
        self.assertTrue(all(asked == {"SRV": "n2"} for asked in self.farm.balancer.asked))

    def test_a_poisoned_candidate_does_no_harm(self) -> None:
        minter = self.set_up(SimulatedFarm(), dialect="haproxy-insert", cookies=("SRV",))
        self.farm.nodes["n2"].up = False
        minter.note_visitor_cookies("n1", (RoutingCookie("SRV", "n2"),))
        self.successResultOf(minter.mint("n1"))
        route = self.routes.get("main", "n1")
        assert route is not None
        self.assertEqual((route.state.value, route.cookies[0].value), ("proven", "n1"))
        minter.note_visitor_cookies("n1", (RoutingCookie("SRV", "n2"),))
        self.assertEqual(self.routes.get("main", "n1"), route)
