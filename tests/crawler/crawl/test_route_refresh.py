from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.crawl.route_refresh import ACTIVE_SECONDS, CHECK_SECONDS, RETRY_STALE_SECONDS, REVERIFY_SECONDS
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.routes import ALIVE_SECONDS
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_balancers import DrainingBalancer
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


class RouteRefresherTests(SynchronousTestCase):
    def crawler(self, farm: SimulatedFarm, **site: Any) -> InMemoryCrawler:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        crawler = InMemoryCrawler(farm, Path(holder.name), **site)
        self.addCleanup(crawler.close)
        return crawler

    def visit(self, crawler: InMemoryCrawler, node: str) -> list[dict[str, Any]]:
        token = crawler.farm.nodes[node].capture(b"x")
        crawler.take(token)
        attempts: list[dict[str, Any]] = json_views.recording(crawler.row(token))["attempts"]
        return attempts

    def states(self, crawler: InMemoryCrawler) -> dict[str, str]:
        return {route.node: route.state.value for route in crawler.routes}

    def test_routes_are_proven_again_while_pages_are_viewed(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        asked = len(farm.balancer.asked)
        crawler.run(60)
        self.assertTrue(crawler.routes.is_alive("main", "n2", farm.now()))
        self.assertLessEqual(len(farm.balancer.asked) - asked, 60 / REVERIFY_SECONDS + 1)
        self.assertLess(REVERIFY_SECONDS, ALIVE_SECONDS)

    def test_nobody_is_asked_when_nobody_visits(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        crawler.run(ACTIVE_SECONDS + 30)
        asked = len(farm.balancer.asked)
        crawler.run(120)
        self.assertEqual(len(farm.balancer.asked), asked)
        self.assertEqual(farm.clock.getDelayedCalls(), [])

    def test_a_new_address_is_found_before_a_fetch_needs_it(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        # The balancer gives another node the name of n2, and n2 another name.
        nodes = farm.balancer.nodes
        nodes["n4"], nodes["n2"] = nodes["n2"], nodes["n3"]
        del nodes["n3"]
        farm.nodes["n2"].name = "n2"
        crawler.run(REVERIFY_SECONDS + 10)
        self.assertEqual(self.states(crawler)["n2"], "stale")

    def test_an_outage_and_the_return(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        farm.nodes["n2"].up = False
        crawler.run(REVERIFY_SECONDS + 3)
        self.assertEqual(self.states(crawler)["n2"], "stale")
        self.assertFalse(crawler.routes.is_reached("main", "n2", farm.now()))
        farm.nodes["n2"].up = True
        crawler.run(40)
        self.assertEqual(self.states(crawler)["n2"], "proven")
        self.assertEqual([each["result"] for each in self.visit(crawler, "n2")], ["archived"])

    def test_who_waits_for_a_node_is_served_soon_after_its_return(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        farm.nodes["n2"].up = False
        token = farm.nodes["n2"].capture(b"x")
        crawler.take(token)
        crawler.run(45)  # back-offs of half a minute by now
        self.assertIsNone(crawler.row(token)["outcome"])
        farm.nodes["n2"].up = True
        crawler.run(RETRY_STALE_SECONDS + 2 * CHECK_SECONDS)
        self.assertEqual(crawler.row(token)["outcome"], "archived")

    def test_a_node_that_stays_away_is_asked_for_gently(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, give_up=10_000)
        self.visit(crawler, "n2")
        farm.nodes["n2"].up = False
        crawler.take(farm.nodes["n2"].capture(b"x"))
        crawler.run(40)
        asked = len(farm.balancer.asked)
        crawler.run(60)
        self.assertLess(len(farm.balancer.asked) - asked, 60 * 2)

    def test_a_cookie_that_ends_never_ends_while_it_is_needed(self) -> None:
        farm = SimulatedFarm(balancer=DrainingBalancer)
        crawler = self.crawler(farm)
        self.visit(crawler, "n2")
        for _ in range(20):
            crawler.run(13)
            self.assertEqual([each["result"] for each in self.visit(crawler, "n2")], ["archived"])

    def test_a_deploy_of_the_balancer(self) -> None:
        farm = SimulatedFarm(balancer=DrainingBalancer)
        crawler = self.crawler(farm)
        for node in ("n1", "n2", "n3"):
            self.visit(crawler, node)
        farm.balancer.generation = 2
        crawler.run(30)
        for node in ("n1", "n2", "n3"):
            self.assertEqual([each["result"] for each in self.visit(crawler, node)], ["archived"])

    def test_a_site_without_the_rung_is_left_alone(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, ladder=("any",))
        crawler.take(farm.nodes["n2"].capture(b"x"))
        crawler.run(200)
        self.assertFalse(any("whoami" in uri for uri in farm.hosts.uris))

    def test_every_attempt_says_what_was_learnt(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=StickyTable("haproxy-insert", cookies=("SRV",)))
        token = farm.nodes["n1"].capture(b"x")
        crawler.take(token, {"SRV": "n3"})
        first, second = json_views.recording(crawler.row(token))["attempts"]
        self.assertEqual(first["learnt"], "the recorded cookie does not lead to n1 now")
        self.assertEqual(second["learnt"], "the balancer was asked for a new cookie: proven for n1")
        farm.nodes["n2"].up = False
        gone = farm.nodes["n2"].capture(b"y")
        crawler.take(gone)
        crawler.run(30)
        said = json_views.recording(crawler.row(gone))["attempts"][-1]["learnt"]
        self.assertIn("recorded not tried: no routing cookie was recorded", said)
        self.assertIn("direct not tried: no address of the node's own is configured", said)
