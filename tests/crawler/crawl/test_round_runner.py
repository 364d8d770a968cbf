from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.model import DEFAULT_LADDER, RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.routes import Route, RouteState, Source
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_balancers import CheckingBalancer, ContextBalancer, RoundRobinBalancer, SourceBalancer
from tests.support.simulated_farm import SimulatedFarm

pytestmark = pytest.mark.slow


INSERT = StickyTable("haproxy-insert", cookies=("SRV",))


class CrawlTests(SynchronousTestCase):
    def crawler(self, farm: SimulatedFarm, **site: Any) -> InMemoryCrawler:
        crawler = InMemoryCrawler(farm, self.folder(), **site)
        self.addCleanup(crawler.close)
        return crawler

    def folder(self) -> Path:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        return Path(holder.name)

    def test_own_cookie_is_minted_and_kept(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        for name in ("n3", "n1", "n2", "n3"):
            token = farm.nodes[name].capture(name.encode())
            crawler.take(token)
            self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["route"]), ("archived", "own"))
        self.assertEqual([route.state.value for route in crawler.route_table.load()], ["proven"] * 3)

    def test_a_cookie_that_met_its_node_by_chance_is_no_route(self) -> None:
        farm = SimulatedFarm(names=("n1", "n2"), balancer=RoundRobinBalancer)
        crawler = self.crawler(farm, sticky=StickyTable())
        farm.nodes["n2"].up = False
        token = farm.nodes["n1"].capture(b"x")
        crawler.take(token, {"JSESSIONID": ".n1"})
        self.assertEqual(crawler.row(token)["route"], "recorded")
        self.assertEqual([(one.node, one.state.value) for one in crawler.routes], [("n1", "candidate")])

    def test_names_that_do_not_route_come_after_a_route_of_our_own(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=StickyTable())
        for name in ("n3", "n1", "n2"):
            crawler.take(farm.nodes[name].capture(name.encode()), {"JSESSIONID": f".{name}"})
        for name in ("n1", "n2", "n3") * 4:
            token = farm.nodes[name].capture(name.encode())
            crawler.take(token, {"JSESSIONID": f".{name}"})
            crawler.run(1)
            self.assertEqual([(a["route"], a["result"]) for a in self.attempts(crawler, token)], [("own", "archived")])

    def test_misleading_cookie_moves_down_at_once(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token = farm.nodes["n1"].capture(b"x")
        crawler.take(token, {"SRV": "n2"})
        self.assertEqual([a["route"] for a in self.attempts(crawler, token)], ["recorded", "own"])
        again = farm.nodes["n1"].capture(b"y")
        crawler.take(again, {"SRV": "n2"})
        self.assertEqual([a["route"] for a in self.attempts(crawler, again)], ["own"])

    def attempts(self, crawler: InMemoryCrawler, token: str) -> Any:
        from lbcompanion.crawler.admin.json_views import recording

        return recording(crawler.row(token))["attempts"]

    def test_origin_down_is_lost_in_the_end(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, direct=True)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        crawler.take(token, {"SRV": "n2"})
        self.assertIsNone(crawler.row(token)["outcome"])
        crawler.run(61)
        row = crawler.row(token)
        self.assertEqual((row["outcome"], row["reason"]), ("lost", "no answer from n2 within 60 s: last refused"))

    def test_origin_back_in_time(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        crawler.take(token, {"SRV": "n2"})
        crawler.run(10)
        farm.nodes["n2"].up = True
        crawler.run(50)
        self.assertEqual(crawler.row(token)["outcome"], "archived")

    def test_everything_down(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n2"].capture(b"x")
        for node in farm.nodes.values():
            node.up = False
        crawler.take(token)
        crawler.run(62)
        self.assertEqual(crawler.row(token)["reason"], "no answer from n2 within 60 s: last status 503")

    def test_final_words_of_the_owner(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        for reason in ("expired", "pulled", "evicted"):
            token = farm.nodes["n2"].capture(b"x")
            farm.nodes["n2"].forget(token, reason)
            crawler.take(token, {"SRV": "n2"})
            self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["reason"]), ("lost", reason))

    def test_unknown_at_the_owner_is_asked_again(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n2"].capture(b"x")
        page = farm.nodes["n2"].pages.pop(token)
        crawler.take(token, {"SRV": "n2"})
        crawler.run(5)
        self.assertIsNone(crawler.row(token)["outcome"])
        farm.nodes["n2"].pages[token] = page
        crawler.run(40)
        self.assertEqual(crawler.row(token)["outcome"], "archived")
        lost = farm.nodes["n2"].capture(b"y")
        farm.nodes["n2"].pages.pop(lost)
        crawler.take(lost, {"SRV": "n2"})
        crawler.run(62)
        self.assertEqual(crawler.row(lost)["reason"], "unknown at its owner n2")

    def test_a_table_is_never_asked_with_a_visitors_key_while_its_node_is_down(self) -> None:
        farm = SimulatedFarm(kind="table")
        crawler = self.crawler(farm, direct=True, sticky=StickyTable(dialect="auto", cookies=("sess",)))
        farm.balancer.table["visitor"] = "n2"
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        crawler.take(token, {"sess": "visitor"})
        crawler.run(20)
        self.assertEqual(farm.balancer.moved, [])
        self.assertFalse(any(asked.get("sess") == "visitor" for asked in farm.balancer.asked))
        farm.nodes["n2"].up = True
        crawler.run(45)
        self.assertEqual(crawler.row(token)["outcome"], "archived")
        self.assertEqual(farm.balancer.moved, [])

    def test_a_table_is_never_asked_with_a_visitors_key_while_its_node_is_maintained(self) -> None:
        """The node is alive, and says so at its own address; the balancer would bind the key to another one."""
        for ladder in (("recorded", "own", "any"), ("recorded",), ("any", "recorded"), DEFAULT_LADDER[:4]):
            farm = SimulatedFarm(kind="table")
            sticky = StickyTable("haproxy-table", cookies=("sess",), allow_credentials=("sess",))
            crawler = self.crawler(farm, direct=True, sticky=sticky, ladder=ladder)
            farm.balancer.table["visitor"] = "n2"
            for node in farm.nodes.values():  # all were seen a moment ago, at their own addresses too
                crawler.take(node.capture(b"before"))
            farm.balancer.maintained.add("n2")
            for _ in range(3):
                crawler.take(farm.nodes["n2"].capture(b"x"), {"sess": "visitor"})
                crawler.run(5)
            self.assertEqual(farm.balancer.moved, [], ladder)
            self.assertFalse(any(asked.get("sess") == "visitor" for asked in farm.balancer.asked), ladder)

    def test_a_replay_that_could_move_follows_one_that_reached_the_node(self) -> None:
        farm = SimulatedFarm(kind="table")
        sticky = StickyTable("haproxy-table", cookies=("sess",), allow_credentials=("sess",))
        crawler = self.crawler(farm, sticky=sticky, ladder=("recorded",))
        farm.balancer.table.update({"visitor": "n2", "ours": "n2"})
        crawler.routes.put(
            Route("main", "n2", (RoutingCookie("sess", "ours"),), "", RouteState.PROVEN, farm.now(), farm.now())
        )
        token = farm.nodes["n2"].capture(b"x")
        crawler.take(token, {"sess": "visitor"})
        self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["route"]), ("archived", "recorded"))
        self.assertEqual([asked.get("sess") for asked in farm.balancer.asked][:2], ["ours", "visitor"])

    def test_what_many_visitors_of_a_node_sent_is_tried(self) -> None:
        """Newcomers are not spread for the crawler, and no dialect is configured."""
        farm = SimulatedFarm(balancer=SourceBalancer)
        crawler = self.crawler(farm)
        tokens = []
        for number in range(12):
            name = f"n{number % 3 + 1}"
            tokens.append(farm.nodes[name].capture(f"{number}".encode()))
            crawler.take(tokens[-1], {"SRV": name}, visitor=f"visitor {number}")
            crawler.run(1)
        crawler.run(30)
        self.assertEqual([crawler.row(token)["outcome"] for token in tokens], ["archived"] * 12)
        self.assertEqual(
            [(route.node, route.state, route.source) for route in crawler.routes if route.node != "n1"],
            [("n2", RouteState.PROVEN, Source.TRAFFIC), ("n3", RouteState.PROVEN, Source.TRAFFIC)],
        )
        self.assertLess(len(farm.balancer.asked), 300)

    def test_forged_notices_do_not_keep_a_nodes_value_from_being_tried(self) -> None:
        """Somebody with many User-Agents sends the value of one node with pages of the other."""
        farm = SimulatedFarm(balancer=SourceBalancer)
        crawler = self.crawler(farm)
        for number in range(20):
            for name, other in (("n2", "n3"), ("n3", "n2")):
                crawler.take(farm.nodes[name].capture(b"x"), {"SRV": other}, visitor=f"forged {number}")
        tokens = []
        for number in range(8):
            name = f"n{number % 2 + 2}"
            tokens.append(farm.nodes[name].capture(f"{number}".encode()))
            crawler.take(tokens[-1], {"SRV": name}, visitor=f"visitor {number}")
            crawler.run(1)
        crawler.run(50)
        self.assertEqual([crawler.row(token)["outcome"] for token in tokens], ["archived"] * 8)
        for node in ("n2", "n3"):
            self.assertEqual([cookie.value for cookie in crawler.routes.get("main", node).cookies], [node])

    def test_a_session_beside_a_nodes_value_is_left_out(self) -> None:
        farm = SimulatedFarm(balancer=SourceBalancer)
        crawler = self.crawler(farm, sticky=StickyTable(cookies=("SRV", "sid", "user")))
        tokens = []
        for number in range(6):
            tokens.append(farm.nodes["n2"].capture(b"x"))
            cookies = {"SRV": "n2", "sid": "n2", "user": f"u{number}"}
            crawler.take(tokens[-1], cookies, visitor=f"visitor {number}")
        crawler.run(30)
        self.assertEqual([crawler.row(token)["outcome"] for token in tokens], ["archived"] * 6)
        sent = {name for asked in farm.balancer.asked for name in asked}
        self.assertEqual(sent, {"SRV"})

    def test_a_value_of_one_visitor_is_not_tried(self) -> None:
        farm = SimulatedFarm(balancer=SourceBalancer)
        crawler = self.crawler(farm)
        for number in range(8):
            crawler.take(farm.nodes["n2"].capture(f"{number}".encode()), {"SRV": "n2"}, visitor="the same")
            crawler.take(farm.nodes["n3"].capture(f"{number}".encode()), {"SRV": f"own{number}"}, visitor=f"{number}")
            crawler.run(2)
        sent = {asked["SRV"] for asked in farm.balancer.asked if "SRV" in asked}
        self.assertEqual({value for value in sent if value == "n2" or value.startswith("own")}, set())

    def test_a_cookie_check_is_passed(self) -> None:
        for sticky in (StickyTable(), StickyTable(cookies=("SRV",)), INSERT):
            farm = SimulatedFarm(balancer=CheckingBalancer)
            crawler = self.crawler(farm, sticky=sticky)
            tokens = []
            for number in range(6):
                name = f"n{number % 3 + 1}"
                tokens.append(farm.nodes[name].capture(name.encode()))
                crawler.take(tokens[-1])
                crawler.run(1)
            self.assertEqual([crawler.row(token)["outcome"] for token in tokens], ["archived"] * 6)

    def test_a_session_is_opened_at_the_pages_path(self) -> None:
        farm = SimulatedFarm(balancer=ContextBalancer)
        crawler = self.crawler(farm, sticky=StickyTable("jvmroute", ("JSESSIONID",)))
        tokens = []
        for number in range(6):
            name = f"n{number % 3 + 1}"
            tokens.append(farm.nodes[name].capture(name.encode(), "/shop/item"))
            crawler.take(tokens[-1], page_url="http://www.example.com/shop/item?id=1")
            crawler.run(5)
        self.assertEqual([crawler.row(token)["outcome"] for token in tokens], ["archived"] * 6)
        self.assertEqual([crawler.row(token)["route"] for token in tokens], ["own"] * 6)

    def test_a_cookie_is_computed_where_the_dialect_can(self) -> None:
        farm = SimulatedFarm()
        sticky = StickyTable(dialect="haproxy-insert", cookies=("SRV",))
        crawler = self.crawler(farm, ladder=("computed",), sticky=sticky)
        token = farm.nodes["n2"].capture(b"x")
        crawler.take(token)
        self.assertEqual(crawler.row(token)["outcome"], "archived")
        self.assertEqual([each["route"] for each in self.attempts(crawler, token)], ["computed"])
        self.assertIn({"SRV": "n2"}, farm.balancer.asked)

    def test_a_peer_may_answer(self) -> None:
        farm = SimulatedFarm(("n1", "n2"))
        farm.nodes["n1"].peers["n2"] = farm.nodes["n2"]
        crawler = self.crawler(farm, ladder=("any",))
        token = farm.nodes["n2"].capture(b"handed over")
        crawler.take(token)
        crawler.run(5)
        row = crawler.row(token)
        self.assertEqual((row["outcome"], row["answered_by"] in {"n1", "n2"}), ("archived", True))
        self.assertEqual(crawler.page(token), b"handed over")

    def test_a_copy_reported_lost_is_no_longer_waited_for(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        crawler.take(token, {"SRV": "n2"})
        crawler.run(20)
        self.assertIsNone(crawler.row(token)["outcome"])
        before = len(self.attempts(crawler, token))
        crawler.add_loss(token, "the node stopped")
        crawler.run(2)
        row = crawler.row(token)
        self.assertEqual((row["outcome"], row["reason"], row["cookies"]), ("lost", "the node stopped", "{}"))
        # Another way had its chance.
        self.assertGreater(len(self.attempts(crawler, token)), before)

    def test_a_notice_that_comes_after_that_word(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].up = False
        crawler.add_loss(token, "the node stopped")
        self.assertIsNone(crawler.row(token))
        crawler.run(100)
        crawler.take(token, {"SRV": "n2"})
        crawler.run(2)
        self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["reason"]), ("lost", "the node stopped"))

    def test_a_copy_that_can_be_had_all_the_same_is_archived(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        early, late = farm.nodes["n2"].capture(b"x"), farm.nodes["n2"].capture(b"y")
        farm.nodes["n2"].up = False
        crawler.take(early, {"SRV": "n2"})
        crawler.run(5)
        # A peer has them, whose answer the node did not hear.
        farm.nodes["n3"].pages |= farm.nodes["n2"].pages
        for name in ("n1", "n3"):
            farm.nodes[name].holds_copies_of["n2"] = farm.nodes["n3"]
        for token in (early, late):
            crawler.add_loss(token, "the node stopped")
        crawler.take(late, {"SRV": "n2"})
        crawler.run(10)
        self.assertEqual([crawler.row(token)["outcome"] for token in (early, late)], ["archived", "archived"])
        # What is archived stays so.
        crawler.add_loss(early, "the node stopped")
        self.assertEqual(crawler.row(early)["outcome"], "archived")

    def test_its_own_last_word_says_more(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"x")
        farm.nodes["n2"].forget(token, "expired")
        crawler.add_loss(token, "the node stopped")
        crawler.take(token, {"SRV": "n2"})
        self.assertEqual(crawler.row(token)["reason"], "expired")

    def test_that_word_while_a_round_runs(self) -> None:
        farm = SimulatedFarm(("n1",))
        crawler = self.crawler(farm, ladder=("any",))
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].override = lambda _request: b"HANG"
        crawler.take(token)
        crawler.run(5)
        crawler.add_loss(token, "the node stopped")
        farm.nodes["n1"].up = False
        crawler.run(14)
        self.assertIsNone(crawler.row(token)["outcome"])
        crawler.run(2)
        self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["reason"]), ("lost", "the node stopped"))
        self.assertEqual([a["result"] for a in self.attempts(crawler, token)], ["timeout", "status 503"])

    def test_routes_are_not_spoilt_by_a_peer_that_answers_for_a_node_that_is_away(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        for name in ("n1", "n2", "n3"):
            crawler.take(farm.nodes[name].capture(name.encode()))
            crawler.run(2)
        self.assertEqual({route.state.value for route in crawler.routes}, {"proven"})
        farm.nodes["n2"].up = False
        for node in farm.nodes.values():
            node.holds_copies_of["n2"] = farm.nodes["n3"]
        kept = [farm.nodes["n2"].capture(b"kept %d" % number) for number in range(6)]
        for token in kept:
            farm.nodes["n3"].pages[token] = farm.nodes["n2"].pages.pop(token)
            crawler.take(token, {"SRV": "n2"})
            crawler.run(15)
            row = crawler.row(token)
            self.assertEqual((row["outcome"], row["answered_by"] in {"n1", "n3"}), ("archived", True))
        # The others' visitors go on as before, and n2's as soon as it is back.
        farm.nodes["n2"].up = True
        for name in ("n1", "n3"):
            token = farm.nodes[name].capture(b"after")
            crawler.take(token, {"SRV": name})
            self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["answered_by"]), ("archived", name))
        crawler.run(15)
        token = farm.nodes["n2"].capture(b"back")
        crawler.take(token, {"SRV": "n2"})
        crawler.run(5)
        self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["answered_by"]), ("archived", "n2"))
        self.assertEqual([a["route"] for a in self.attempts(crawler, token)], ["recorded"])
        self.assertEqual({route.state.value for route in crawler.routes}, {"proven"})

    def test_forged_answers_do_not_count(self) -> None:
        farm = SimulatedFarm(("n1",))
        crawler = self.crawler(farm)
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].override = lambda _request: b"<p>another page</p>"
        crawler.take(token, {"SRV": "n1"})
        crawler.run(62)
        self.assertEqual(crawler.row(token)["outcome"], "lost")
        self.assertIn("unproven", crawler.row(token)["reason"])

    def test_timeouts(self) -> None:
        farm = SimulatedFarm(("n1",))
        crawler = self.crawler(farm, ladder=("any",))
        token = farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].override = lambda _request: b"HANG"
        crawler.take(token, {"SRV": "n1"})
        crawler.run(40)
        self.assertEqual([a["result"] for a in self.attempts(crawler, token)][:1], ["timeout"])

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
        farm = SimulatedFarm()
        with tempfile.TemporaryDirectory() as name:
            crawler = InMemoryCrawler(farm, Path(name), give_up=20)
            served: dict[str, tuple[str, bytes]] = {}
            for number, (what, node, cookie) in enumerate(events):
                if what in {"visit", "notice", "twice"} and farm.nodes[node].up:
                    body = f"<p>{number} by {node}".encode()
                    token = farm.nodes[node].capture(body)
                    served[token] = (node, body)
                    for _ in range(2 if what == "twice" else 1):
                        crawler.take(token, {"SRV": cookie} if cookie else None)
                elif what == "down":
                    farm.nodes[node].up = False
                elif what == "up":
                    farm.nodes[node].up = True
                elif what == "restart":
                    farm.nodes[node].pages.clear()
                    crawler.close()
                    crawler = InMemoryCrawler(farm, Path(name), give_up=20)
                    crawler.scheduler.wake()
                else:
                    crawler.run(3)
            crawler.run(60)
            for token, (node, body) in served.items():
                row = crawler.row(token)
                if row["outcome"] == "archived":
                    assert (row["answered_by"], crawler.page(token)) == (node, body)
                else:
                    assert row["outcome"] == "lost"
                    assert row["reason"]
            crawler.close()
