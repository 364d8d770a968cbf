"""Due recordings are fetched, archived and confirmed; one that cannot be archived now is postponed."""

from __future__ import annotations

import gzip
import shutil
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.admin.json_views import recording
from lbcompanion.crawler.fetching.http_client import Reply
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.queue.work import SharedQueue
from lbcompanion.protocol.headers import CopyHead, FieldLookup, read_copy_head
from lbcompanion.settings import KnownNode, StickyTable
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import ORIGIN, SimulatedFarm

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

    def test_recorded_cookie_leads_to_the_origin(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token = farm.nodes["n2"].capture(b"<p>seen</p>", "/cart?x=1", status=200)
        crawler.take(token, {"SRV": "n2"})
        row = crawler.row(token)
        self.assertEqual((row["outcome"], row["route"], row["answered_by"]), ("archived", "recorded", "n2"))
        self.assertEqual(crawler.page(token), b"<p>seen</p>")
        self.assertEqual(row["page_url"], "http://www.example.com/cart?x=1")
        self.assertEqual(row["cookies"], "{}")
        self.assertEqual(farm.nodes["n2"].miss_reasons[token], "pulled")

    def attempts(self, crawler: InMemoryCrawler, token: str) -> Any:
        return recording(crawler.row(token))["attempts"]

    def test_outcomes_are_counted_over_time(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        token, lost = farm.nodes["n2"].capture(b"<p>12345"), farm.nodes["n1"].capture(b"x")
        farm.nodes["n1"].forget(lost, "expired")
        crawler.take(token, {"SRV": "n2"})
        crawler.take(lost)
        counts = {(each.node, each.outcome, each.reason): counts for each, counts in crawler.activity.take().items()}
        self.assertEqual(set(counts), {("n2", "archived", ""), ("n1", "lost", "expired")})
        archived = counts["n2", "archived", ""]
        self.assertEqual((archived.pages, archived.attempts, archived.bytes, archived.delay), (1, 1, 8, 0.0))

    def test_requisites_come_from_the_same_node(self) -> None:
        farm = SimulatedFarm()
        for name, node in farm.nodes.items():
            node.assets["/a.css"] = ("text/css", f"body{{}} /* {name} */ @import 'b.css';".encode())
            node.assets["/b.css"] = ("text/css", name.encode() * 9)
            node.assets["/_lbc/x.js"] = ("text/javascript", b"never")
        crawler = self.crawler(farm)
        body = b"<link rel=stylesheet href=/a.css><script src=/_lbc/x.js></script><img src=//other.example/x.png>"
        for _ in range(2):
            crawler.take(farm.nodes["n2"].capture(body), {"SRV": "n2"})
        files = list(crawler.archive._folder.glob("*.warc.gz"))
        self.assertEqual(len(files), 1)
        text = gzip.decompress(files[0].read_bytes())
        self.assertEqual(text.count(b"/* n2 */"), 1)
        self.assertEqual(text.count(b"WARC-Type: revisit"), 3)  # and the page itself
        self.assertNotIn(b"never", text)
        self.assertNotIn(b"/* n1 */", text)
        self.assertFalse(any("other.example" in uri for uri in farm.hosts.uris))

    def test_pages_of_other_origins_are_lost_with_the_reason(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, origins=("https://shop.example.com",))
        for url, reason in (
            (
                "http://www.bank.example/x",
                "its address is of http://www.bank.example, which is not an origin of the site main",
            ),
            ('http://h"><script>alert(4)</script>', "its address is not a valid URL"),
            ("javascript:alert(1)", "its address is not a valid URL"),
            ("http://shop.example.com/x", ""),
            ("http://www.example.com/\u00fc", ""),
        ):
            node = farm.nodes["n1"]
            token = node.capture(b"<img src=/a.png>")
            node.pages[token] = evolve(node.pages[token], url=url)
            crawler.take(token, {"SRV": "n1"})
            crawler.run(1)  # the image is requested again: nothing listens at https
            row = crawler.row(token)
            self.assertEqual((row["outcome"], row["reason"]), ("lost" if reason else "archived", reason))
            self.assertEqual(node.miss_reasons.get(token), None if reason else "pulled")
        self.assertEqual(row["page_url"], "http://www.example.com/%C3%BC")
        archive = b"".join(gzip.decompress(file.read_bytes()) for file in crawler.archive._folder.glob("*.warc.gz"))
        self.assertIn(b"WARC-Target-URI: https://shop.example.com/x\r\n", archive)
        for word in (b"bank", b"script", b"javascript"):
            self.assertNotIn(word, archive)

    def test_missing_requisites_are_named(self) -> None:
        farm = SimulatedFarm()
        node = farm.nodes["n1"]
        node.assets["/a.css"] = ("text/css", b"x{y:url(/gone.png);z:url(//cdn.example/f.woff2)}")
        node.assets["/p.html"] = ("text/html", b"x")
        crawler = self.crawler(farm)
        token = node.capture(b"<link rel=stylesheet href=/a.css><img src=/p.html><script src=/_lbc/x.js></script>")
        crawler.take(token, {"SRV": "n1"})
        found = recording(crawler.row(token))["requisites"]
        self.assertEqual((found["wanted"], found["archived"]), (5, 1))
        base = "http://www.example.com"
        self.assertEqual(
            {each["url"]: each["reason"] for each in found["missing"]},
            {
                f"{base}/p.html": "type text/html",
                f"{base}/_lbc/x.js": "below the companion's prefix",
                f"{base}/gone.png": "status 404",
                "http://cdn.example/f.woff2": "another origin",
            },
        )

    def test_each_node_is_asked_once_for_a_file_and_each_page_has_it(self) -> None:
        """The same with 1,000 views and 55 files: 55 requests a node; 18,333 before there was a cache."""
        farm, views, files = SimulatedFarm(), 30, [f"/{number}.css" for number in range(11)]
        for name, node in farm.nodes.items():
            node.assets = {path: ("text/css", path.encode()) for path in files}
            node.assets["/0.css"] = ("text/css", f"x{{}} /* a deploy has reached {name} */".encode())
        crawler = self.crawler(farm, sticky=INSERT)
        body = "".join(f"<link rel=stylesheet href={path}>" for path in files).encode()
        for view in range(views):
            name = f"n{view % 3 + 1}"
            crawler.take(farm.nodes[name].capture(body, f"/{view}"), {"SRV": name})
        for node in farm.nodes.values():
            self.assertEqual(sorted(path for _method, path, _ in node.asked if path in files), sorted(files))
        (archive,) = crawler.archive._folder.glob("*.warc.gz")
        with archive.open("rb") as stream:
            records = [
                (each.rec_type, each.rec_headers.get_header("WARC-Target-URI"), each.content_stream().read())
                for each in ArchiveIterator(stream, check_digests="raise")
            ]
        found = Counter((kind, url) for kind, url, _body in records)
        for path in files:
            of_nodes = 3 if path == "/0.css" else 1
            self.assertEqual(found["response", ORIGIN + path], of_nodes)
            self.assertEqual(found["revisit", ORIGIN + path], views - of_nodes)

    def test_files_that_do_not_come_keep_no_page_from_being_fetched(self) -> None:
        farm = SimulatedFarm()
        node = farm.nodes["n1"]
        node.override = lambda request: b"HANG" if request.path.startswith(b"/slow") else None
        crawler = self.crawler(farm, sticky=INSERT)
        slow = [node.capture(b"<img src=/slow%d>" % number) for number in range(20)]
        for token in slow:
            crawler.take(token, {"SRV": "n1"})
        self.assertEqual(len(crawler.scheduler._running), 16)
        self.assertEqual(sum(path.startswith("/slow") for _method, path, _cookies in node.asked), 6)
        crawler.run(60)
        self.assertEqual({crawler.row(token)["outcome"] for token in slow}, {"archived"})
        self.assertEqual({crawler.row(token)["attempts"].count("archived") for token in slow}, {1})
        self.assertEqual(crawler.scheduler._waiting_for_files, 0)

    def test_a_crawler_that_stops_gives_up_the_files_and_keeps_the_notices(self) -> None:
        farm = SimulatedFarm()
        node = farm.nodes["n1"]
        node.override = lambda request: b"HANG" if request.path.startswith(b"/slow") else None
        crawler = self.crawler(farm, sticky=INSERT)
        tokens = [node.capture(b"<img src=/slow%d><img src=/slow>" % number) for number in range(4)]
        for token in tokens:
            crawler.take(token, {"SRV": "n1"})
        crawler.scheduler.stop()
        crawler.scheduler.abandon()
        self.assertEqual(crawler.scheduler._running, {})
        self.assertEqual({crawler.row(token)["outcome"] for token in tokens}, {None})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_page_is_fetched_while_others_wait_for_their_files(self) -> None:
        farm = SimulatedFarm()
        node = farm.nodes["n1"]
        node.override = lambda request: b"HANG" if request.path.startswith(b"/slow") else None
        crawler = self.crawler(farm, sticky=INSERT)
        for number in range(8):
            crawler.take(node.capture(b"<img src=/slow%d>" % number), {"SRV": "n1"})
        quick = node.capture(b"<p>")
        crawler.take(quick, {"SRV": "n1"})
        self.assertEqual(crawler.row(quick)["outcome"], "archived")
        crawler.run(30)

    def test_answers_that_no_client_can_use_are_not_asked_for_without_end(self) -> None:
        farm = SimulatedFarm(("n1",))
        crawler = self.crawler(farm)
        token = farm.nodes["n1"].capture(b"x" * 100)
        node = farm.nodes["n1"]

        def altered(request: Request) -> bytes | None:
            answer = None
            if "/page/" in request.path.decode():
                node.override = lambda _request: None
                answer = node.render(request)
                node.override = altered
            return None if answer is None else b"<!-- altered -->" + answer

        node.override = altered
        crawler.take(token, {"SRV": "n1"})
        crawler.run(120)
        row = crawler.row(token)
        self.assertEqual(row["outcome"], "lost")
        self.assertRegex(row["reason"], "^no usable answer from n1 in (8|9) tries: last digest$")
        self.assertLessEqual(len(self.attempts(crawler, token)), 10)
        self.assertEqual(crawler.scheduler._failing_nodes, set())

    def test_a_site_that_asks_for_fewer_requests_gets_fewer(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        refused: list[float] = []

        def refuse(request: Request) -> bytes:
            refused.append(farm.now())
            request.setResponseCode(429)
            request.setHeader(b"retry-after", b"10")
            return b""

        tokens = [node.capture(b"x") for node in farm.nodes.values() for _ in range(4)]
        for node in farm.nodes.values():
            node.override = refuse
        for token in tokens:
            crawler.take(token, {"SRV": crawler.owner_of(token)})
        crawler.run(9)
        self.assertEqual(len(refused), 1)
        for node in farm.nodes.values():
            node.override = lambda _request: None
        crawler.run(11)
        for token in tokens:
            self.assertEqual(crawler.row(token)["outcome"], "archived")
            self.assertLessEqual(len(self.attempts(crawler, token)), 2)

    def test_a_node_of_its_own_address_is_asked_during_a_pause(self) -> None:
        farm = SimulatedFarm(("n1",))
        crawler = self.crawler(farm, sticky=INSERT, nodes={"n1": KnownNode(direct="http://n1.local")})
        context = crawler.contexts["main"]
        context.fetcher.site_pause.note(Reply(429, (("retry-after", "60"),), b""))
        token = farm.nodes["n1"].capture(b"x")
        crawler.take(token, {"SRV": "n1"})
        self.assertEqual((crawler.row(token)["outcome"], crawler.row(token)["route"]), ("archived", "direct"))
        self.assertEqual([each["result"] for each in self.attempts(crawler, token)], ["archived"])

    def test_no_site(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n1"].capture(b"x")
        crawler.scheduler._contexts = {"a": None, "b": None}
        crawler.backlog.add([Arrival(farm.notice(token), "n1", "")], farm.now())
        crawler.scheduler.wake()
        self.assertEqual(crawler.row(token)["reason"], "no site for this address")

    def test_disk_trouble_puts_off(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n1"].capture(b"x")
        shutil.rmtree(crawler.archive._folder)
        crawler.archive._folder.write_bytes(b"")
        crawler.take(token, {"SRV": "n1"})
        self.assertEqual([a["result"] for a in self.attempts(crawler, token)], ["not stored"])
        metrics = crawler.metrics.exposition(0).decode()
        self.assertIn('attempts_total{result="not stored",route="own"} 1.0', metrics)
        self.assertNotIn('result="archived"', metrics)
        crawler.archive._folder.unlink()
        crawler.archive._folder.mkdir()
        crawler.run(12)
        self.assertEqual(crawler.row(token)["outcome"], "archived")

    def test_what_no_record_can_hold_is_lost_with_the_reason(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm)
        token = farm.nodes["n1"].capture(b"x")

        def unprintable(header: FieldLookup) -> CopyHead:
            return evolve(read_copy_head(header), content_type="text/html\r\nX: y")

        with mock.patch("lbcompanion.crawler.fetching.fetcher.read_copy_head", unprintable):
            crawler.take(token, {"SRV": "n1"})
        self.assertEqual(crawler.row(token)["outcome"], "lost")
        reason = "cannot be archived: Content-Type has other characters than printable ASCII"
        self.assertEqual(crawler.row(token)["reason"], reason)
        self.assertEqual([a["result"] for a in self.attempts(crawler, token)], ["not stored"])


class SharingTests(SynchronousTestCase):
    """Limits over several notices, and a queue that other crawlers use too."""

    database_time = 1000.0

    def crawler(self, farm: SimulatedFarm, **site: Any) -> InMemoryCrawler:
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        crawler = InMemoryCrawler(farm, Path(holder.name), **site)
        self.addCleanup(crawler.close)
        return crawler

    def hanging(self, farm: SimulatedFarm, name: str) -> None:
        def override(request: Request) -> bytes | None:
            return b"HANG" if b"/page/" in request.path else None

        farm.nodes[name].override = override

    def metric(self, crawler: InMemoryCrawler, name: str) -> float:
        lines = crawler.metrics.exposition(0).decode().splitlines()
        return float(next(line for line in lines if line.startswith(f"lbcompanion_crawler_{name}_total ")).split()[1])

    def shared(self, crawler: InMemoryCrawler, per_node: int = 8) -> SharedQueue:
        work = SharedQueue(crawler.database, "a", per_node, 60.0, lambda _connection: self.database_time)
        crawler.database.claimant = work.claimant
        crawler.scheduler._work = work
        return work

    def test_a_node_has_a_limited_number_at_a_time(self) -> None:
        for is_shared in (False, True):
            farm = SimulatedFarm()
            crawler = self.crawler(farm, sticky=INSERT)
            crawler.scheduler._per_node = 2
            if is_shared:
                self.shared(crawler, per_node=2)
            self.hanging(farm, "n2")
            tokens = [farm.nodes["n2"].capture(b"<p>late") for _ in range(5)]
            other = farm.nodes["n1"].capture(b"<p>soon")
            for token in tokens:
                crawler.take(token, {"SRV": "n2"})
            crawler.take(other, {"SRV": "n1"})
            farm.clock.pump([0.1] * 10)
            self.assertEqual(crawler.row(other)["outcome"], "archived")
            self.assertEqual(len(crawler.scheduler.running_tokens()), 2)
            self.assertGreater(self.metric(crawler, "node_waits"), 0)

    def test_a_clock_that_is_set_back_delays_no_notice(self) -> None:
        """A notice arrived while the clock was an hour ahead."""
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        error = 3600.0
        crawler.scheduler._now = lambda: farm.now() + error
        crawler.scheduler.wake()
        token = farm.nodes["n2"].capture(b"<p>late")
        crawler.backlog.add([Arrival(farm.notice(token, {"SRV": "n2"}), "n2", "main")], farm.now() + error)
        error = 0.0
        crawler.scheduler.wake()
        farm.clock.pump([0.1] * 10)
        self.assertEqual(crawler.row(token)["outcome"], "archived")

    def test_a_job_whose_claim_is_lost_is_cancelled(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        work = self.shared(crawler)
        self.hanging(farm, "n2")
        token = farm.nodes["n2"].capture(b"<p>late")
        crawler.take(token, {"SRV": "n2"})
        self.assertEqual(crawler.scheduler.running_tokens(), (token,))
        self.database_time += 60.0
        other = SharedQueue(crawler.database, "b", 8, 60.0, lambda _connection: self.database_time)
        self.assertEqual([job.token for job in other.take(farm.now(), 1, (), ()).jobs], [token])
        lost = work.renew(crawler.scheduler.running_tokens())
        before = dict(crawler.row(token))
        crawler.scheduler.cancel([*lost, "unknown"])
        farm.clock.pump([0.1] * 100)
        self.assertEqual(crawler.scheduler.running_tokens(), ())
        self.assertEqual(dict(crawler.row(token)), before)
        self.assertEqual(self.metric(crawler, "claims_lost"), 1)

    def test_a_job_that_confirms_its_archived_page_has_lost_no_claim(self) -> None:
        """The claim ended with the outcome. The confirmation of a slow node goes on, and is counted."""
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        work = self.shared(crawler)
        farm.nodes["n2"].override = lambda request: b"HANG" if request.path.endswith(b"/done") else None
        token = farm.nodes["n2"].capture(b"<p>slow")
        crawler.take(token, {"SRV": "n2"})
        before = crawler.scheduler.running_tokens()
        farm.clock.pump([0.1] * 5)
        self.assertEqual(crawler.row(token)["outcome"], "archived")
        crawler.scheduler.cancel(work.renew(crawler.scheduler.running_tokens() or before))
        crawler.scheduler.cancel(work.renew([token]))  # the tokens may have been read before the commit
        self.assertEqual(self.metric(crawler, "claims_lost"), 0)
        farm.nodes["n2"].override = lambda _request: None
        farm.clock.pump([1.0] * 100)
        self.assertIn(b'confirmations_total{result="done"} 1.0', crawler.metrics.exposition(0))

    def test_what_is_not_started_is_given_back(self) -> None:
        farm = SimulatedFarm()
        crawler = self.crawler(farm, sticky=INSERT)
        self.shared(crawler)
        crawler.scheduler._per_node = 1  # this crawler's own limit; the shared one is higher
        self.hanging(farm, "n2")
        tokens = [farm.nodes["n2"].capture(b"<p>late") for _ in range(3)]
        now = farm.now()
        crawler.backlog.add([Arrival(farm.notice(token, {"SRV": "n2"}), "n2", "main") for token in tokens], now)
        crawler.scheduler.wake()
        farm.clock.pump([0.1] * 5)
        (running,) = crawler.scheduler.running_tokens()
        claims = {token for token in tokens if crawler.row(token)["claimed_by"]}
        self.assertEqual(claims, {running})
