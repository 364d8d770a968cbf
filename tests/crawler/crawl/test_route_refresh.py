from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.admin import json_views as shown
from lbcompanion.crawler.crawl.route_refresh import LIVELY_SECONDS, LOOK_SECONDS, REPROVE_SECONDS, RETURN_SECONDS
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.routes import UP_SECONDS
from tests.support.in_memory_crawler import Rig
from tests.support.simulated_balancers import Lasting
from tests.support.simulated_farm import Farm

pytestmark = pytest.mark.slow


class WarmthTests(SynchronousTestCase):
    def rig(self, farm: Farm, **site: Any) -> Rig:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        rig = Rig(farm, Path(holder.name), **site)
        self.addCleanup(rig.close)
        return rig

    def visit(self, rig: Rig, node: str) -> list[dict[str, Any]]:
        token = rig.farm.nodes[node].capture(b"x")
        rig.take(token)
        attempts: list[dict[str, Any]] = shown.recording(rig.row(token))["attempts"]
        return attempts

    def states(self, rig: Rig) -> dict[str, str]:
        return {route.node: route.state.value for route in rig.routes}

    def test_routes_are_proven_anew_while_pages_are_viewed(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        self.visit(rig, "n2")
        asked = len(farm.balancer.asked)
        rig.run(60)
        self.assertTrue(rig.routes.is_up("main", "n2", farm.now()))
        self.assertLessEqual(len(farm.balancer.asked) - asked, 60 / REPROVE_SECONDS + 1)
        self.assertLess(REPROVE_SECONDS, UP_SECONDS)

    def test_nobody_is_asked_when_nobody_visits(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        self.visit(rig, "n2")
        rig.run(LIVELY_SECONDS + 30)
        asked = len(farm.balancer.asked)
        rig.run(120)
        self.assertEqual(len(farm.balancer.asked), asked)
        self.assertEqual(farm.clock.getDelayedCalls(), [])

    def test_a_new_address_is_found_before_a_fetch_needs_it(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        self.visit(rig, "n2")
        # The balancer gives another node the name of n2, and n2 another name.
        nodes = farm.balancer.nodes
        nodes["n4"], nodes["n2"] = nodes["n2"], nodes["n3"]
        del nodes["n3"]
        farm.nodes["n2"].name = "n2"
        rig.run(REPROVE_SECONDS + 10)
        self.assertEqual(self.states(rig)["n2"], "stale")

    def test_an_outage_and_the_return(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        self.visit(rig, "n2")
        farm.nodes["n2"].up = False
        rig.run(REPROVE_SECONDS + 3)
        self.assertEqual(self.states(rig)["n2"], "stale")
        self.assertFalse(rig.routes.is_up("main", "n2", farm.now()))
        farm.nodes["n2"].up = True
        rig.run(40)
        self.assertEqual(self.states(rig)["n2"], "proven")
        self.assertEqual([each["result"] for each in self.visit(rig, "n2")], ["archived"])

    def test_who_waits_for_a_node_is_served_soon_after_its_return(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        self.visit(rig, "n2")
        farm.nodes["n2"].up = False
        token = farm.nodes["n2"].capture(b"x")
        rig.take(token)
        rig.run(45)  # back-offs of half a minute by now
        self.assertIsNone(rig.row(token)["outcome"])
        farm.nodes["n2"].up = True
        rig.run(RETURN_SECONDS + 2 * LOOK_SECONDS)
        self.assertEqual(rig.row(token)["outcome"], "archived")

    def test_a_node_that_stays_away_is_asked_for_gently(self) -> None:
        farm = Farm()
        rig = self.rig(farm, give_up=10_000)
        self.visit(rig, "n2")
        farm.nodes["n2"].up = False
        rig.take(farm.nodes["n2"].capture(b"x"))
        rig.run(40)
        asked = len(farm.balancer.asked)
        rig.run(60)
        self.assertLess(len(farm.balancer.asked) - asked, 60 * 2)

    def test_a_cookie_that_ends_never_ends_while_it_is_needed(self) -> None:
        farm = Farm(balancer=Lasting)
        rig = self.rig(farm)
        self.visit(rig, "n2")
        for _ in range(20):
            rig.run(13)
            self.assertEqual([each["result"] for each in self.visit(rig, "n2")], ["archived"])

    def test_a_deploy_of_the_balancer(self) -> None:
        farm = Farm(balancer=Lasting)
        rig = self.rig(farm)
        for node in ("n1", "n2", "n3"):
            self.visit(rig, node)
        farm.balancer.generation = 2
        rig.run(30)
        for node in ("n1", "n2", "n3"):
            self.assertEqual([each["result"] for each in self.visit(rig, node)], ["archived"])

    def test_a_site_without_the_rung_is_left_alone(self) -> None:
        farm = Farm()
        rig = self.rig(farm, ladder=("any",))
        rig.take(farm.nodes["n2"].capture(b"x"))
        rig.run(200)
        self.assertFalse(any("whoami" in uri for uri in farm.hosts.uris))

    def test_every_attempt_says_what_was_learnt(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=StickyTable("haproxy-insert", cookies=("SRV",)))
        token = farm.nodes["n1"].capture(b"x")
        rig.take(token, {"SRV": "n3"})
        first, second = shown.recording(rig.row(token))["attempts"]
        self.assertEqual(first["learnt"], "the recorded cookie does not lead to n1 now")
        self.assertEqual(second["learnt"], "the balancer was asked for a cookie of ours: proven for n1")
        farm.nodes["n2"].up = False
        gone = farm.nodes["n2"].capture(b"y")
        rig.take(gone)
        rig.run(30)
        said = shown.recording(rig.row(gone))["attempts"][-1]["learnt"]
        self.assertIn("recorded not tried: no routing cookie was recorded", said)
        self.assertIn("direct not tried: no address of the node's own is configured", said)
