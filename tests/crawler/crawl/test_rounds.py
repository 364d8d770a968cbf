from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.settings import StickyTable
from tests.support.in_memory_crawler import Rig
from tests.support.simulated_balancers import Spreading
from tests.support.simulated_farm import Farm

pytestmark = pytest.mark.slow


INSERT = StickyTable("haproxy-insert", cookies=("SRV",))


class CrawlTests(SynchronousTestCase):
    def rig(self, farm: Farm, **site: Any) -> Rig:
        rig = Rig(farm, self.folder(), **site)
        self.addCleanup(rig.close)
        return rig

    def folder(self) -> Path:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        return Path(holder.name)

    def test_own_cookie_is_minted_and_kept(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        for name in ("n3", "n1", "n2", "n3"):
            token = farm.nodes[name].capture(name.encode())
            rig.take(token)
            self.assertEqual((rig.row(token)["outcome"], rig.row(token)["route"]), ("archived", "own"))
        self.assertEqual([route.state.value for route in rig.route_table.load()], ["proven"] * 3)

    def test_a_cookie_that_met_its_node_by_chance_is_no_route(self) -> None:
        farm = Farm(names=("n1", "n2"), balancer=Spreading)
        rig = self.rig(farm, sticky=StickyTable())
        farm.nodes["n2"].up = False
        token = farm.nodes["n1"].capture(b"x")
        rig.take(token, {"JSESSIONID": ".n1"})
        self.assertEqual(rig.row(token)["route"], "recorded")
        self.assertEqual([(one.node, one.state.value) for one in rig.routes], [("n1", "candidate")])

    def test_names_that_do_not_route_come_after_a_route_of_our_own(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=StickyTable())
        for name in ("n3", "n1", "n2"):
            rig.take(farm.nodes[name].capture(name.encode()), {"JSESSIONID": f".{name}"})
        for name in ("n1", "n2", "n3") * 4:
            token = farm.nodes[name].capture(name.encode())
            rig.take(token, {"JSESSIONID": f".{name}"})
            rig.run(1)
            self.assertEqual([(a["route"], a["result"]) for a in self.attempts(rig, token)], [("own", "archived")])

    def test_misleading_cookie_moves_down_at_once(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        token = farm.nodes["n1"].capture(b"x")
        rig.take(token, {"SRV": "n2"})
        self.assertEqual([a["route"] for a in self.attempts(rig, token)], ["recorded", "own"])
        again = farm.nodes["n1"].capture(b"y")
        rig.take(again, {"SRV": "n2"})
        self.assertEqual([a["route"] for a in self.attempts(rig, again)], ["own"])

    def attempts(self, rig: Rig, token: str) -> Any:
        from lbcompanion.crawler.admin.json_views import recording

        return recording(rig.row(token))["attempts"]

    def test_origin_down_is_lost_in_the_end(self) -> None:
        farm = Farm()
        rig = self.rig(farm, direct=True)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        rig.take(token, {"SRV": "n2"})
        self.assertIsNone(rig.row(token)["outcome"])
        rig.run(61)
        row = rig.row(token)
        self.assertEqual((row["outcome"], row["reason"]), ("lost", "no answer from n2 within 60 s: last refused"))

    def test_origin_back_in_time(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        rig.take(token, {"SRV": "n2"})
        rig.run(10)
        farm.nodes["n2"].up = True
        rig.run(50)
        self.assertEqual(rig.row(token)["outcome"], "archived")

    def test_everything_down(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        token = farm.nodes["n2"].capture(b"x")
        for node in farm.nodes.values():
            node.up = False
        rig.take(token)
        rig.run(62)
        self.assertEqual(rig.row(token)["reason"], "no answer from n2 within 60 s: last status 503")

    def test_final_words_of_the_owner(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        for reason in ("expired", "pulled", "evicted"):
            token = farm.nodes["n2"].capture(b"x")
            farm.nodes["n2"].forget(token, reason)
            rig.take(token, {"SRV": "n2"})
            self.assertEqual((rig.row(token)["outcome"], rig.row(token)["reason"]), ("lost", reason))

    def test_unknown_at_the_owner_is_asked_again(self) -> None:
        farm = Farm()
        rig = self.rig(farm)
        token = farm.nodes["n2"].capture(b"x")
        page = farm.nodes["n2"].pages.pop(token)
        rig.take(token, {"SRV": "n2"})
        rig.run(5)
        self.assertIsNone(rig.row(token)["outcome"])
        farm.nodes["n2"].pages[token] = page
        rig.run(40)
        self.assertEqual(rig.row(token)["outcome"], "archived")
        lost = farm.nodes["n2"].capture(b"y")
        farm.nodes["n2"].pages.pop(lost)
        rig.take(lost, {"SRV": "n2"})
        rig.run(62)
        self.assertEqual(rig.row(lost)["reason"], "unknown at its owner n2")

    def test_a_table_is_never_asked_with_a_visitors_key_while_its_node_is_down(self) -> None:
        farm = Farm(kind="table")
        rig = self.rig(farm, direct=True, sticky=StickyTable(dialect="auto", cookies=("sess",)))
        farm.balancer.table["visitor"] = "n2"
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        rig.take(token, {"sess": "visitor"})
        rig.run(20)
        self.assertEqual(farm.balancer.moved, [])
        self.assertFalse(any(asked.get("sess") == "visitor" for asked in farm.balancer.asked))
        farm.nodes["n2"].up = True
        rig.run(45)
        self.assertEqual(rig.row(token)["outcome"], "archived")
        self.assertEqual(farm.balancer.moved, [])

    def test_a_cookie_is_computed_where_the_dialect_can(self) -> None:
        farm = Farm()
        sticky = StickyTable(dialect="haproxy-insert", cookies=("SRV",))
        rig = self.rig(farm, ladder=("computed",), sticky=sticky)
        token = farm.nodes["n2"].capture(b"x")
        rig.take(token)
        self.assertEqual(rig.row(token)["outcome"], "archived")
        self.assertEqual([each["route"] for each in self.attempts(rig, token)], ["computed"])
        self.assertIn({"SRV": "n2"}, farm.balancer.asked)

    def test_a_peer_may_answer(self) -> None:
        farm = Farm(("n1", "n2"))
        farm.nodes["n1"].peers["n2"] = farm.nodes["n2"]
        rig = self.rig(farm, ladder=("any",))
        token = farm.nodes["n2"].capture(b"handed over")
        rig.take(token)
        rig.run(5)
        row = rig.row(token)
        self.assertEqual((row["outcome"], row["answered_by"] in {"n1", "n2"}), ("archived", True))
        self.assertEqual(rig.page(token), b"handed over")

    def test_a_copy_that_its_node_told_lost_is_waited_for_no_longer(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        rig.take(token, {"SRV": "n2"})
        rig.run(20)
        self.assertIsNone(rig.row(token)["outcome"])
        before = len(self.attempts(rig, token))
        rig.told_lost(token, "the node stopped")
        rig.run(2)
        row = rig.row(token)
        self.assertEqual((row["outcome"], row["reason"], row["cookies"]), ("lost", "the node stopped", "{}"))
        # Another way had its chance.
        self.assertGreater(len(self.attempts(rig, token)), before)

    def test_a_notice_that_comes_after_that_word(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        rig.told_lost(token, "the node stopped")
        self.assertIsNone(rig.row(token))
        rig.run(100)
        rig.take(token, {"SRV": "n2"})
        rig.run(2)
        self.assertEqual((rig.row(token)["outcome"], rig.row(token)["reason"]), ("lost", "the node stopped"))

    def test_a_copy_that_can_be_had_all_the_same_is_archived(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        early, late = farm.nodes["n2"].capture(b"x"), farm.nodes["n2"].capture(b"y")
        farm.nodes["n2"].up = False
        rig.take(early, {"SRV": "n2"})
        rig.run(5)
        # A peer has them, whose answer the node did not hear.
        farm.nodes["n3"].pages |= farm.nodes["n2"].pages
        for name in ("n1", "n3"):
            farm.nodes[name].keeps_for["n2"] = farm.nodes["n3"]
        for token in (early, late):
            rig.told_lost(token, "the node stopped")
        rig.take(late, {"SRV": "n2"})
        rig.run(10)
        self.assertEqual([rig.row(token)["outcome"] for token in (early, late)], ["archived", "archived"])
        # What is archived stays so.
        rig.told_lost(early, "the node stopped")
        self.assertEqual(rig.row(early)["outcome"], "archived")

    def test_its_own_last_word_says_more(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].forget(token, "expired")
        rig.told_lost(token, "the node stopped")
        rig.take(token, {"SRV": "n2"})
        self.assertEqual(rig.row(token)["reason"], "expired")

    def test_that_word_while_a_round_runs(self) -> None:
        farm = Farm(("n1",))
        rig = self.rig(farm, ladder=("any",))
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].lie = lambda _request: b"HANG"
        rig.take(token)
        rig.run(5)
        rig.told_lost(token, "the node stopped")
        farm.nodes["n1"].up = False
        rig.run(14)
        self.assertIsNone(rig.row(token)["outcome"])
        rig.run(2)
        self.assertEqual((rig.row(token)["outcome"], rig.row(token)["reason"]), ("lost", "the node stopped"))
        self.assertEqual([a["result"] for a in self.attempts(rig, token)], ["timeout", "status 503"])

    def test_routes_are_not_spoilt_by_a_peer_that_answers_for_a_node_that_is_away(self) -> None:
        farm = Farm()
        rig = self.rig(farm, sticky=INSERT)
        for name in ("n1", "n2", "n3"):
            rig.take(farm.nodes[name].capture(name.encode()))
            rig.run(2)
        self.assertEqual({route.state.value for route in rig.routes}, {"proven"})
        farm.nodes["n2"].up = False
        for node in farm.nodes.values():
            node.keeps_for["n2"] = farm.nodes["n3"]
        kept = [farm.nodes["n2"].capture(b"kept %d" % number) for number in range(6)]
        for token in kept:
            farm.nodes["n3"].pages[token] = farm.nodes["n2"].pages.pop(token)
            rig.take(token, {"SRV": "n2"})
            rig.run(15)
            row = rig.row(token)
            self.assertEqual((row["outcome"], row["answered_by"] in {"n1", "n3"}), ("archived", True))
        # The others' visitors go on as before, and n2's as soon as it is back.
        farm.nodes["n2"].up = True
        for name in ("n1", "n3"):
            token = farm.nodes[name].capture(b"after")
            rig.take(token, {"SRV": name})
            self.assertEqual((rig.row(token)["outcome"], rig.row(token)["answered_by"]), ("archived", name))
        rig.run(15)
        token = farm.nodes["n2"].capture(b"back")
        rig.take(token, {"SRV": "n2"})
        rig.run(5)
        self.assertEqual((rig.row(token)["outcome"], rig.row(token)["answered_by"]), ("archived", "n2"))
        self.assertEqual([a["route"] for a in self.attempts(rig, token)], ["recorded"])
        self.assertEqual({route.state.value for route in rig.routes}, {"proven"})

    def test_forged_answers_do_not_count(self) -> None:
        farm = Farm(("n1",))
        rig = self.rig(farm)
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].lie = lambda _request: b"<p>another page</p>"
        rig.take(token, {"SRV": "n1"})
        rig.run(62)
        self.assertEqual(rig.row(token)["outcome"], "lost")
        self.assertIn("unproven", rig.row(token)["reason"])

    def test_timeouts(self) -> None:
        farm = Farm(("n1",))
        rig = self.rig(farm, ladder=("any",))
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].lie = lambda _request: b"HANG"
        rig.take(token, {"SRV": "n1"})
        rig.run(40)
        self.assertEqual([a["result"] for a in self.attempts(rig, token)][:1], ["timeout"])

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["visit", "notice", "twice", "down", "up", "restart", "wait"]),
                st.sampled_from(["n1", "n2", "n3"]),
                st.sampled_from(["n1", "n2", "n3", ""]),
            ),
            max_size=25,
        )
    )
    def test_what_is_archived_is_what_was_served(self, events: list[tuple[str, str, str]]) -> None:
        farm = Farm()
        with tempfile.TemporaryDirectory() as name:
            rig = Rig(farm, Path(name), give_up=20)
            served: dict[str, tuple[str, bytes]] = {}
            for number, (what, node, cookie) in enumerate(events):
                if what in {"visit", "notice", "twice"} and farm.nodes[node].up:
                    body = f"<p>{number} by {node}".encode()
                    token = farm.nodes[node].capture(body)
                    served[token] = (node, body)
                    for _ in range(2 if what == "twice" else 1):
                        rig.take(token, {"SRV": cookie} if cookie else None)
                elif what == "down":
                    farm.nodes[node].up = False
                elif what == "up":
                    farm.nodes[node].up = True
                elif what == "restart":
                    farm.nodes[node].pages.clear()
                    rig.close()
                    rig = Rig(farm, Path(name), give_up=20)
                    rig.crawl.wake()
                else:
                    rig.run(3)
            rig.run(60)
            for token, (node, body) in served.items():
                row = rig.row(token)
                if row["outcome"] == "archived":
                    assert (row["answered_by"], rig.page(token)) == (node, body)
                else:
                    assert row["outcome"] == "lost"
                    assert row["reason"]
            rig.close()
