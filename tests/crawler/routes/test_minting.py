from __future__ import annotations

from itertools import count

import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.web.server import Request

from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.crawler.routes.mint_method import probe_budget
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState
from tests.support.minter_case import MinterCase
from tests.support.simulated_balancers import (
    ContextBalancer,
    DrainingBalancer,
    HashingBalancer,
    LearningBalancer,
    PostOnlyBalancer,
    RoundRobinBalancer,
    SuffixingBalancer,
)
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


class MinterTests(MinterCase):
    def test_a_cookie_for_each_node(self) -> None:
        minter = self.set_up(SimulatedFarm())
        for node in ("n1", "n2", "n3"):
            self.successResultOf(minter.mint(node))
            self.assertEqual(self.state(node), "proven")
        self.assertEqual(self.kept[-1].cookies[0].name, "SRV")
        self.assertLess(minter.probes, probe_budget(3) * 3)

    def test_nothing_is_asked_for_what_is_known(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.successResultOf(minter.mint("n1"))
        probes = minter.probes
        self.successResultOf(minter.mint("n1"))
        self.assertEqual(minter.probes, probes)

    def test_another_crawler_mints_at_this_moment(self) -> None:
        minter, ended = self.set_up(SimulatedFarm()), []
        answers = [succeed(False), succeed(False), succeed(False), succeed(True), fail(BacklogError("gone"))]
        minter.take_turn = lambda: answers.pop(0)
        minter.end_turn = lambda: ended.append(True)
        for _ in range(3):  # the wait does not grow: the node did not fail
            self.successResultOf(minter.mint("n2"))
            self.assertEqual((self.state("n2"), minter.probes, ended), ("none", 0, []))
            self.assertFalse(minter.may_mint("n2"))
            self.farm.clock.advance(2)
            self.assertTrue(minter.may_mint("n2"))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual((self.state("n2"), ended), ("proven", [True]))
        self.successResultOf(minter.mint("n3"))
        self.assertEqual(ended, [True])

    def test_a_node_that_is_down_is_given_up_and_backed_off(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.farm.nodes["n2"].up = False
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "none")
        self.assertLessEqual(minter.probes, probe_budget(3) + 6)
        self.assertFalse(minter.may_mint("n2"))
        self.assertTrue(minter.may_mint("n1"))
        self.farm.clock.advance(3)
        self.assertTrue(minter.may_mint("n2"))

    def test_a_stale_cookie_is_tried_first(self) -> None:
        minter = self.set_up(SimulatedFarm())
        cookies = (RoutingCookie("SRV", "n2"),)
        self.routes.put(Route("main", "n2", cookies, "", RouteState.STALE, 0.0))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "proven")
        self.assertTrue(all(asked == {"SRV": "n2"} for asked in self.farm.balancer.asked))

    def test_no_cookie_is_handed_out(self) -> None:
        minter = self.set_up(SimulatedFarm(kind="table"))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "none")
        self.assertLessEqual(minter.probes, 3)

    def test_everything_is_down(self) -> None:
        minter = self.set_up(SimulatedFarm())
        for node in self.farm.nodes.values():
            node.up = False
        self.successResultOf(minter.mint("n2"))
        self.assertLessEqual(minter.probes, 3)

    def test_one_campaign_for_all_who_wait(self) -> None:
        minter = self.set_up(SimulatedFarm(("n1",)))
        self.farm.nodes["n1"].override = lambda _request: b"HANG"
        first, second = minter.mint("n1"), minter.mint("n1")
        self.assertEqual(len(self.farm.balancer.asked), 1)
        for _ in range(10):
            self.farm.clock.advance(5)
        self.successResultOf(first)
        self.successResultOf(second)

    def test_a_caller_that_waits_for_a_node_is_answered_at_once(self) -> None:
        minter = self.set_up(SimulatedFarm())
        done = minter.mint("n2")
        minter.mint("n1")
        self.successResultOf(done)

    def test_a_cookie_that_ends_is_made_again_before(self) -> None:
        farm = SimulatedFarm(balancer=DrainingBalancer)
        minter = self.set_up(farm)
        self.successResultOf(minter.mint("n2"))
        first = self.routes.get("main", "n2")
        assert first is not None
        assert first.expires_at == farm.now() + 60
        farm.clock.advance(50)
        farm.balancer.generation = 2
        self.assertEqual(self.state("n2"), "proven")
        self.successResultOf(minter.mint("n2"))
        second = self.routes.get("main", "n2")
        assert second is not None
        self.assertEqual((second.expires_at, second.cookies[0].value), (farm.now() + 60, "n2/2"))

    def test_a_draining_node_keeps_its_proven_cookie(self) -> None:
        farm = SimulatedFarm(balancer=DrainingBalancer)
        minter = self.set_up(farm)
        self.successResultOf(minter.mint("n2"))
        farm.balancer.draining = "n2"
        farm.clock.advance(50)
        minter.mint("n2")
        self.assertEqual(self.state("n2"), "proven")
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(minter.reverify("n2"))))
        farm.clock.advance(10)
        route = self.routes.current("main", "n2", farm.now())
        assert route is not None
        self.assertEqual(route.state.value, "stale")

    def test_a_key_of_our_own_where_a_hash_decides(self) -> None:
        minter = self.set_up(SimulatedFarm(balancer=HashingBalancer), dialect="nginx-hash", cookies=("SRV",))
        for node in ("n1", "n2", "n3"):
            done = minter.mint(node)
            self.settle()
            self.successResultOf(done)
            route = self.routes.get("main", node)
            assert route is not None
            self.assertEqual(
                (route.state.value, route.source.value, route.dialect), ("proven", "invented", "nginx-hash")
            )

    def test_a_key_of_our_own_behind_a_firewall_that_sets_its_cookie_on_each_reply(self) -> None:
        minter = self.set_up(SimulatedFarm(balancer=HashingBalancer), dialect="nginx-hash", cookies=("SRV",))
        values = count()

        def override(request: Request) -> None:
            request.responseHeaders.addRawHeader(b"set-cookie", b"fw=%d" % next(values))

        for node in self.farm.nodes.values():
            node.override = override
        for node in ("n1", "n2", "n3"):
            done = minter.mint(node)
            self.settle()
            self.successResultOf(done)
            self.assertEqual(self.state(node), "proven")
            for _ in range(4):
                self.assertTrue(self.successResultOf(Deferred.fromCoroutine(minter.reverify(node))))

    def test_a_session_of_our_own_where_a_table_decides(self) -> None:
        minter = self.set_up(SimulatedFarm(balancer=LearningBalancer), dialect="nginx-learn", cookies=("sess",))
        done = minter.mint("n2")
        self.settle()
        self.successResultOf(done)
        route = self.routes.get("main", "n2")
        assert route is not None
        self.assertEqual((route.state.value, route.source.value), ("proven", "session"))
        self.assertEqual([each.name for each in route.cookies], ["sess"])

    def test_of_a_session_of_our_own_the_suffix_is_enough(self) -> None:
        minter = self.set_up(SimulatedFarm(balancer=SuffixingBalancer), dialect="jvmroute")
        done = minter.mint("n3")
        self.settle()
        self.successResultOf(done)
        self.assertEqual(self.state("n3"), "proven")
        proven = [route for route in self.routes if route.state is RouteState.PROVEN]
        self.assertTrue(all(route.cookies[0].value == f".{route.node}" for route in proven))

    def test_told_nothing_a_session_of_our_own_is_tried_as_well(self) -> None:
        for balancer, names in ((SuffixingBalancer, ["JSESSIONID"]), (LearningBalancer, ["sess", "lang"])):
            minter = self.set_up(SimulatedFarm(balancer=balancer))
            for node in ("n1", "n2", "n3"):
                done = minter.mint(node)
                self.settle()
                self.successResultOf(done)
                route = self.routes.get("main", node)
                assert route is not None
                self.assertEqual((route.state.value, route.source.value), ("proven", "session"))
                self.assertEqual([each.name for each in route.cookies], names)

    def test_a_session_is_opened_at_a_page_without_the_session_in_its_address(self) -> None:
        secret = "lit3py55t21z5v55vlm25s55"
        for path in (
            f"/shop/page;jsessionid={secret}.tc-n1",
            f"/shop;a=b;sid={secret[:6]}/page",
            f"/shop/page%3Bjsessionid={secret}",
            f"/(S({secret}))/shop/page?PHPSESSID={secret}",
        ):
            farm = SimulatedFarm(balancer=ContextBalancer)
            minter = self.set_up(farm, dialect="jvmroute")
            minter.note_page(f"http://www.example.com{path}")
            done = minter.mint("n2")
            self.settle()
            self.successResultOf(done)
            asked = [uri for uri in farm.hosts.uris if "/_lbc/" not in uri]
            self.assertIn("/shop", "".join(asked), path)
            self.assertNotIn(secret[:6], "".join(asked))

    def test_where_nothing_sticks_it_is_asked_less_and_less_often(self) -> None:
        farm = SimulatedFarm(balancer=RoundRobinBalancer)
        minter = self.set_up(farm)
        waits = []
        for _ in range(9):
            done = minter.mint("n3")
            self.settle()
            self.successResultOf(done)
            self.assertNotEqual(self.state("n3"), "proven")
            waits.append(self.waits_for(minter, "n3"))
        self.assertGreater(max(waits), 280)
        sessions = [uri for uri in farm.hosts.uris if "/_lbc/" not in uri]
        self.assertLessEqual(len(sessions), 9 * 4)

    def test_a_cookie_that_comes_in_answer_to_post_only(self) -> None:
        for told in ({}, {"cookies": ("SRV",)}, {"dialect": "haproxy-postonly", "cookies": ("SRV",)}):
            minter = self.set_up(SimulatedFarm(balancer=PostOnlyBalancer), **told)
            for node in ("n1", "n2", "n3"):
                self.successResultOf(minter.mint(node))
                route = self.routes.get("main", node)
                assert route is not None
                self.assertEqual((route.state.value, route.source.value), ("proven", "minted"))
                self.assertEqual(route.cookies, (RoutingCookie("SRV", node),))

    def waits_for(self, minter: Minter, node: str) -> int:
        for seconds in range(1000):
            if minter.may_mint(node):
                return seconds
            self.farm.clock.advance(1)
        raise AssertionError("no end of waiting")

    def test_a_visitors_own_value_is_no_candidate(self) -> None:
        for dialect in ("nginx-hash", "haproxy-table", "auto"):
            minter = self.set_up(SimulatedFarm(), dialect=dialect, cookies=("SRV",), allow_credentials=("SRV",))
            minter.note_visitor_cookies("n2", (RoutingCookie("SRV", "visitor17"),))
            self.assertEqual(self.state("n2"), "none", dialect)

    def test_a_visitors_session_is_no_candidate_whatever_is_configured(self) -> None:
        name, value = "d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55", "9f86d081884c7d659a2feaa0c55ad015"
        for dialect in ("auto", "openshift-router", "haproxy-insert", "nginx-sticky", "haproxy-rewrite"):
            for names in ((), (name,)):
                minter = self.set_up(SimulatedFarm(), dialect=dialect, cookies=names, allow_credentials=names)
                minter.note_visitor_cookies("n2", (RoutingCookie(name, value),))
                self.assertEqual(self.state("n2"), "none", dialect)

    def test_many_cookies_of_one_visitor_are_no_candidate(self) -> None:
        minter = self.set_up(SimulatedFarm())
        urls = tuple(RoutingCookie(f"_{number:05x}", "http://x") for number in range(240))
        for cookies in (urls, urls[:2], (RoutingCookie("_00000", f"http://{'x.' * 250}x"),)):
            minter.note_visitor_cookies("n1", cookies)
            self.assertEqual(self.state("n1"), "none")
        minter.note_visitor_cookies("n1", (RoutingCookie("_00000", "http://n1:8080"),))
        self.assertEqual(self.state("n1"), "candidate")

    def test_what_was_handed_out_on_the_way_is_a_candidate(self) -> None:
        minter = self.set_up(SimulatedFarm())
        self.assertIn("n3", minter.add_candidate("n3", ("SRV=n3; path=/",)))
        self.assertEqual(self.state("n3"), "candidate")
        self.assertEqual(minter.add_candidate("n3", ("SRV=; Max-Age=0",)), "")
        self.successResultOf(minter.mint("n3"))
        self.assertEqual(minter.add_candidate("n3", ("SRV=n3; path=/",)), "")
