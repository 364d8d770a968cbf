"""A route counts as proven when replays of its cookies reach its node and no other."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from lbcompanion.model import RoutingCookie
from tests.support.minter_case import MinterCase
from tests.support.simulated_balancers import RotatingBalancer
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


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
