from __future__ import annotations

import pytest
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.client import Client, PlainAgent
from lbcompanion.crawler.fetcher import SiteFetcher
from lbcompanion.crawler.minting import Minter, budget, handed_out
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes, RouteState
from tests.crawler.farm import SECRET, Farm


class MinterTests(SynchronousTestCase):
    def set_up(self, farm: Farm, **sticky: object) -> Minter:
        self.farm = farm
        self.kept: list[Route] = []
        self.routes = Routes()
        table = StickyTable(**sticky)  # type: ignore[arg-type]
        site = farm.settings(sticky=table).sites["main"]
        client = Client(PlainAgent(farm.hosts), farm.clock, 20)
        fetcher = SiteFetcher(site, SECRET, client, client, lambda: "nonce", farm.now)
        invented = iter(f"key{number}" for number in range(1000))
        return Minter(fetcher, CookieReader(table), self.routes, self.kept.append, farm.now, lambda: next(invented))

    def state(self, node: str) -> str:
        route = self.routes.of("main", node)
        return route.state.value if route else "none"

    def test_a_cookie_for_each_node(self) -> None:
        minter = self.set_up(Farm())
        for node in ("n1", "n2", "n3"):
            self.successResultOf(minter.mint(node))
            self.assertEqual(self.state(node), "proven")
        self.assertEqual(self.kept[-1].cookies[0].name, "SRV")
        self.assertLess(minter.probes, budget(3) * 3)

    def test_nothing_is_asked_for_what_is_known(self) -> None:
        minter = self.set_up(Farm())
        self.successResultOf(minter.mint("n1"))
        probes = minter.probes
        self.successResultOf(minter.mint("n1"))
        self.assertEqual(minter.probes, probes)

    def test_a_node_that_is_down_is_given_up_and_backed_off(self) -> None:
        minter = self.set_up(Farm())
        self.farm.nodes["n2"].up = False
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "none")
        self.assertLessEqual(minter.probes, budget(3) + 6)
        self.assertFalse(minter.may_mint("n2"))
        self.assertTrue(minter.may_mint("n1"))
        self.farm.clock.advance(3)
        self.assertTrue(minter.may_mint("n2"))

    def test_a_stale_cookie_is_tried_first(self) -> None:
        minter = self.set_up(Farm())
        cookies = (RoutingCookie("SRV", "n2"),)
        self.routes.learnt(Route("main", "n2", cookies, "", RouteState.STALE, 0.0))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "proven")
        self.assertTrue(all(asked == {"SRV": "n2"} for asked in self.farm.balancer.asked))

    def test_no_cookie_is_handed_out(self) -> None:
        minter = self.set_up(Farm(kind="table"))
        self.successResultOf(minter.mint("n2"))
        self.assertEqual(self.state("n2"), "none")
        self.assertLessEqual(minter.probes, 3)

    def test_an_invented_key_that_does_not_stick_is_no_route(self) -> None:
        minter = self.set_up(Farm(kind="table"), cookies=("sess",))
        self.successResultOf(minter.mint("n2"))
        self.assertNotEqual(self.state("n2"), "proven")

    def test_everything_is_down(self) -> None:
        minter = self.set_up(Farm())
        for node in self.farm.nodes.values():
            node.up = False
        self.successResultOf(minter.mint("n2"))
        self.assertLessEqual(minter.probes, 3)

    def test_one_campaign_for_all_who_wait(self) -> None:
        minter = self.set_up(Farm(("n1",)))
        self.farm.nodes["n1"].lie = lambda _request: b"HANG"
        first, second = minter.mint("n1"), minter.mint("n1")
        self.assertEqual(len(self.farm.balancer.asked), 1)
        for _ in range(10):
            self.farm.clock.advance(5)
        self.successResultOf(first)
        self.successResultOf(second)


@pytest.mark.parametrize(("nodes", "probes"), [(1, 13), (3, 27), (10, 98)])
def test_budget(nodes: int, probes: int) -> None:
    assert budget(nodes) == probes


def test_set_cookie_lines() -> None:
    lines = ("A=1; path=/; HttpOnly", "B=; path=/", "C=3; Max-Age=0", "D=4; max-age=10", "=x", "none", 'E="q"', "F=a b")
    assert handed_out(lines) == {"A": "1", "D": "4", "E": '"q"'}
