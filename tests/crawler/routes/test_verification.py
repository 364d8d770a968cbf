"""A route counts as proven when replays of its cookies reach its node and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, product, repeat
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import RouteState
from tests.support.minter_case import MinterCase
from tests.support.simulated_balancers import NoisyTiersBalancer, RotatingBalancer, TwoTierBalancer
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


class Noise:
    """A cookie of a firewall or a content delivery network.

    :param name: may have ``{}``, for a name of its own on each reply.
    :param value: the same.
    :param often: on which replies it comes, by turns.
    :param if_missing: whether it comes only if the request has no cookie of the name.
    """

    def __init__(self, name: str, value: str, attributes: str, often: list[bool], *, if_missing: bool) -> None:
        self.name, self.value, self.attributes, self.often, self.if_missing = name, value, attributes, often, if_missing
        self.replies = 0

    def __repr__(self) -> str:
        return f"Noise({self.name}={self.value}{self.attributes}, {self.often}, if_missing={self.if_missing})"

    def __call__(self, cookies: dict[str, str]) -> str:
        self.replies += 1
        name = self.name.format(self.replies)
        if not self.often[self.replies % len(self.often)] or (self.if_missing and name in cookies):
            return ""
        return f"{name}={self.value.format(self.replies)}{self.attributes}"


NOISES = st.builds(
    Noise,
    st.sampled_from(["fw", "fw{}"]),
    st.sampled_from(["x", "x{}"]),
    st.sampled_from(["; path=/", "; path=/; Max-Age=600"]),
    st.lists(st.booleans(), min_size=1, max_size=3),
    if_missing=st.booleans(),
)
TIERS = st.sampled_from(
    [(("SRV", 3),), (("SERVERID", 2),), (("EDGE", 2), ("SRV", 2)), (("ROUTEID", 2), ("mylb", 2)), (("AWSALB", 3),)]
)


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

    def check_again(self, minter: Minter, set_cookies: Iterator[str], times: int = 1) -> list[set[str]]:
        """Verify the route to n2 again while its replies set these cookies; return the names of the route's cookies
        after each time, empty if the route does not hold."""

        def override(request: Request) -> None:
            if line := next(set_cookies, ""):
                request.responseHeaders.addRawHeader(b"set-cookie", line.encode())

        self.farm.nodes["n2"].override = override
        found = []
        for _ in range(times):
            self.farm.clock.advance(1)
            holds = self.successResultOf(Deferred.fromCoroutine(minter.reverify("n2")))
            self.assertEqual(self.routes.is_reached("main", "n2", self.farm.now()), holds)
            self.assertEqual(self.state("n2"), "proven")
            route = self.routes.get("main", "n2")
            assert route is not None
            self.assertIn(RoutingCookie("SRV", "n2"), route.cookies)
            found.append({cookie.name for cookie in route.cookies} if holds else set())
        return found

    def test_a_route_gets_the_cookie_that_a_further_tier_or_a_firewall_begins_to_set(self) -> None:
        """Otherwise the route would be missed at each verification, and never minted again."""
        for line in ("EDGE=left", "EDGE={}", "EDGE={}; Max-Age=60"):
            minter = self.set_up(SimulatedFarm())
            self.successResultOf(minter.mint("n2"))
            lines = (line.format(number) for number in count())
            self.assertEqual(self.check_again(minter, lines, 3), [{"SRV", "EDGE"}] * 3)
            self.assertEqual(self.kept[-1].cookies, self.routes.get("main", "n2").cookies)  # type: ignore[union-attr]

    def test_a_cookie_of_a_new_name_on_each_reply_is_not_of_a_tier(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.successResultOf(minter.mint("n2"))
        lines = (f"fw{number}=x" for number in count())
        self.assertEqual(self.check_again(minter, lines, 5), [{"SRV"}] * 5)
        self.assertLessEqual(minter.probes, 30)

    def test_a_deleted_cookie_is_not_of_a_tier(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.check_again(minter, repeat("EDGE=; Max-Age=0"), 2), [{"SRV"}] * 2)

    def test_cookies_that_are_too_long_together_leave_the_route_as_it_is(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.check_again(minter, repeat(f"EDGE={'x' * 4090}")), [set()])
        self.assertEqual(self.routes.get("main", "n2").cookies, (RoutingCookie("SRV", "n2"),))  # type: ignore[union-attr]

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

    def assert_no_wrong_route(self, balancer: NoisyTiersBalancer) -> None:
        """A proven route must pin the choice of each tier."""
        for route in self.kept:
            if route.state is RouteState.PROVEN:
                choices = dict(zip([name for name, _ in balancer.tiers], route.node.split("-"), strict=True))
                self.assertLessEqual(choices.items(), {one.name: one.value for one in route.cookies}.items())

    @given(TIERS, NOISES, st.sampled_from([(), ("SRV", "EDGE"), ("SRV",)]), st.booleans(), st.integers(0, 999))
    def test_each_route_is_proven_and_never_a_wrong_one(
        self,
        tiers: tuple[tuple[str, int], ...],
        noise: Callable[[dict[str, str]], str],
        names: tuple[str, ...],
        comes_later: bool,
        seed: int,
    ) -> None:
        """One tier or two, and a cookie that means nothing, from the start or from some time on."""
        nodes = ["-".join(map(str, choice)) for choice in product(*(range(number) for _, number in tiers))]
        minter = self.set_up(SimulatedFarm(nodes, balancer=NoisyTiersBalancer), cookies=names)
        balancer = self.farm.balancer
        assert isinstance(balancer, NoisyTiersBalancer)
        balancer.tiers, balancer.random = tiers, Random(seed)
        for is_late in (False, True):
            if is_late or not comes_later:
                balancer.noise = noise  # type: ignore[method-assign]
            for node in nodes:
                for _ in range(9):
                    if self.state(node) != "proven":
                        self.successResultOf(minter.mint(node))
                        self.farm.clock.advance(40)
                self.assertEqual(self.state(node), "proven", node)
                for _ in range(2):
                    self.farm.clock.advance(1)
                    self.assertTrue(self.successResultOf(Deferred.fromCoroutine(minter.reverify(node))), node)
                    self.assertTrue(self.routes.is_reached("main", node, self.farm.now()))
        self.assert_no_wrong_route(balancer)
