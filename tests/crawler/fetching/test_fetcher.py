from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from lbcompanion.crawler.fetching.fetcher import (
    FetchedCopy,
    FetchMiss,
    FetchPath,
    SiteFetcher,
    WhoamiReply,
    cookie_header,
)
from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, IdentityCodingAgent
from lbcompanion.model import RoutingCookie
from lbcompanion.protocol import tokens
from lbcompanion.protocol.response_heads import PageHead
from tests.support.simulated_farm import SECRET, SimulatedFarm

HEAD = b"HTTP/1.1 403 No\r\nX-A: hush\r\n\r\nSet-Cookie\r\n"
ONE = FetchPath((RoutingCookie("SRV", "n1"),))


class FetcherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        self.n1 = self.farm.nodes["n1"]
        self.token = self.n1.capture(b"<p>hello", "/a", "POST", 404)
        client = Client(IdentityCodingAgent(self.farm.hosts), self.farm.clock, 20)
        site = self.farm.settings().sites["main"]
        self.fetcher = SiteFetcher(
            site=site, secret=SECRET, balancer=client, direct=client, nonce=lambda: "nonce-1", now=self.farm.now
        )

    def page(self, fetch_path: FetchPath = ONE) -> FetchedCopy | FetchMiss:
        answer: FetchedCopy | FetchMiss = self.successResultOf(
            Deferred.fromCoroutine(self.fetcher.page(self.token, fetch_path))
        )
        return answer

    def override(self, answer: bytes, status: int = 200, **headers: str) -> None:
        def tell(request: Request) -> bytes:
            request.setResponseCode(status)
            for name, value in headers.items():
                request.setHeader(name.replace("_", "-").encode(), value.encode())
            return answer

        self.n1.override = tell

    def test_a_copy_with_all_that_is_known_of_it(self) -> None:
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertEqual((copy.node, copy.body, copy.method, copy.status), ("n1", b"<p>hello", "POST", 404))
        self.assertEqual(copy.url, "http://www.example.com/a")
        self.assertEqual((copy.content_type, copy.via), ("text/html; charset=utf-8", "own"))
        self.assertEqual(copy.captured_at, 1795468200.25)
        self.assertNotIn("hello", repr(copy))

    def test_a_copy_with_the_applications_head(self) -> None:
        self.token = self.n1.capture(b"<p>hello", "/a", status=404, head=HEAD)
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertEqual(copy.head, PageHead.read(HEAD))
        self.assertEqual((copy.body, copy.sha256, copy.status), (b"<p>hello", tokens.digest_of(b"<p>hello"), 403))
        self.assertNotIn("hush", repr(copy))

    def test_an_empty_page_with_a_head(self) -> None:
        self.token = self.n1.capture(b"", "/a", head=HEAD)
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertEqual((copy.head, copy.body), (PageHead.read(HEAD), b""))

    def test_a_node_of_an_earlier_version_sends_no_head(self) -> None:
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertIsNone(copy.head)

    def test_a_head_that_cannot_be_read_costs_no_page(self) -> None:
        self.token = self.n1.capture(b"<p>hello", "/a", status=404, head=b"no head")
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertEqual((copy.body, copy.status, copy.head), (b"<p>hello", 404, None))

    def test_the_length_of_a_head_is_proven(self) -> None:
        body = b"<p>hello" + HEAD
        digest = tokens.repr_digest(tokens.digest_of(body))
        proof = tokens.proof(SECRET, "n1", self.token, "nonce-1", digest, str(len(HEAD)))
        self.override(body, Lbc_Node="n1", Lbc_Proof=proof, Repr_Digest=digest, Lbc_Page_Head=str(len(HEAD)))
        assert isinstance(self.page(), FetchedCopy)
        for length in ("1", str(len(HEAD) + 1), "1" * 9, "x"):
            self.override(body, Lbc_Node="n1", Lbc_Proof=proof, Repr_Digest=digest, Lbc_Page_Head=length)
            self.assertEqual(self.page(), FetchMiss("", "unproven"))
        self.override(body, Lbc_Node="n1", Lbc_Proof=proof, Repr_Digest=digest)
        self.assertEqual(self.page(), FetchMiss("", "unproven"))

    def test_an_altered_head_is_noticed(self) -> None:
        digest = tokens.repr_digest(tokens.digest_of(b"<p>hello" + HEAD))
        proof = tokens.proof(SECRET, "n1", self.token, "nonce-1", digest, str(len(HEAD)))
        altered = b"<p>hello" + HEAD.replace(b"hush", b"HUSH")
        self.override(altered, Lbc_Node="n1", Lbc_Proof=proof, Repr_Digest=digest, Lbc_Page_Head=str(len(HEAD)))
        self.assertEqual(self.page(), FetchMiss("n1", "digest"))

    @pytest.mark.slow
    def test_the_address_is_built_here(self) -> None:
        self.page(FetchPath(direct="http://n1.local/"))
        self.assertEqual(self.farm.hosts.uris, [f"http://n1.local/_lbc/page/{self.token}"])

    def test_misrouted(self) -> None:
        self.assertEqual(self.page(FetchPath((RoutingCookie("SRV", "n2"),))), FetchMiss("n2", "misrouted"))

    def test_a_miss_has_the_owners_word(self) -> None:
        self.n1.forget(self.token, "evicted")
        self.assertEqual(self.page(), FetchMiss("n1", "evicted"))

    def test_no_proof(self) -> None:
        self.override(b"x", Lbc_Node="n1")
        self.assertEqual(self.page(), FetchMiss("", "unproven"))
        self.override(b'{"reason": "expired"}', 404)
        self.assertEqual(self.page(), FetchMiss("", "unproven"))

    def test_an_old_proof_does_not_count(self) -> None:
        digest = tokens.repr_digest(tokens.digest_of(b"x"))
        old = tokens.proof(SECRET, "n1", self.token, "nonce-0", digest)
        self.override(b"x", Lbc_Node="n1", Lbc_Proof=old, Repr_Digest=digest)
        self.assertEqual(self.page(), FetchMiss("", "unproven"))

    def test_a_proof_without_a_digest_does_not_count(self) -> None:
        self.override(b"x", Lbc_Node="n1", Lbc_Proof=tokens.proof(SECRET, "n1", self.token, "nonce-1"))
        self.assertEqual(self.page(), FetchMiss("", "unproven"))

    def test_a_body_of_another_digest(self) -> None:
        digest = tokens.repr_digest(tokens.digest_of(b"y"))
        proof = tokens.proof(SECRET, "n1", self.token, "nonce-1", digest)
        self.override(b"x", Lbc_Node="n1", Lbc_Proof=proof, Repr_Digest=digest)
        self.assertEqual(self.page(), FetchMiss("n1", "digest"))

    def test_other_answers(self) -> None:
        self.override(b"", 503)
        self.assertEqual(self.page(), FetchMiss("", "status 503"))
        self.override(b"", 302, Location="http://elsewhere.example/")
        self.assertEqual(self.page(), FetchMiss("", "status 302"))
        self.override(gzip.compress(b"x"), 200, Content_Encoding="gzip")
        self.assertEqual(self.page(), FetchMiss("", "coded"))

    def test_refused(self) -> None:
        self.n1.up = False
        self.assertEqual(self.page(FetchPath(direct="http://n1.local")), FetchMiss("", "refused"))

    def test_timeout(self) -> None:
        self.n1.override = lambda _request: b"HANG"
        waiting = Deferred.fromCoroutine(self.fetcher.page(self.token, ONE))
        self.farm.clock.advance(19.9)
        self.assertNoResult(waiting)
        self.farm.clock.advance(0.2)
        self.assertEqual(self.successResultOf(waiting), FetchMiss("", "timeout"))
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_being_called_off_is_no_timeout(self) -> None:
        self.n1.override = lambda _request: b"HANG"
        waiting = Deferred.fromCoroutine(self.fetcher.page(self.token, ONE))
        waiting.cancel()
        self.failureResultOf(waiting)
        self.assertEqual(self.farm.clock.getDelayedCalls(), [])

    def test_a_cap(self) -> None:
        client = Client(IdentityCodingAgent(self.farm.hosts), self.farm.clock, 20)
        self.override(b"x" * 101)
        asking = Deferred.fromCoroutine(client.ask("GET", "http://n1.local/", [], 100))
        self.assertEqual(self.failureResultOf(asking, FetchFailed).value.word, "too large")

    def test_no_balancers_choice_comes_back(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.fetcher.whoami(FetchPath())))
        self.successResultOf(Deferred.fromCoroutine(self.fetcher.whoami(FetchPath())))
        self.assertEqual(self.farm.balancer.asked, [{}, {}])

    def test_whoami(self) -> None:
        seen: WhoamiReply = self.successResultOf(Deferred.fromCoroutine(self.fetcher.whoami(FetchPath())))
        self.assertEqual(seen.set_cookies, (f"SRV={seen.node}; path=/",))
        self.n1.override = lambda _request: b"{}"
        self.failureResultOf(Deferred.fromCoroutine(self.fetcher.whoami(ONE)), FetchFailed)

    def test_confirm(self) -> None:
        done: Any = self.successResultOf(Deferred.fromCoroutine(self.fetcher.confirm(self.token, ONE)))
        self.assertTrue(done)
        self.assertEqual(self.n1.miss_reasons, {self.token: "pulled"})
        self.override(b"", 503)
        self.assertFalse(self.successResultOf(Deferred.fromCoroutine(self.fetcher.confirm(self.token, ONE))))
        self.assertEqual([method for method, _, _ in self.n1.asked], ["POST"] * 3)

    def test_a_confirmation_passes_firewalls_and_reaches_earlier_nodes(self) -> None:
        for refused, statuses, asked in (
            ("POST", (405, 204), ["POST", "DELETE"]),
            ("POST", (403, 204), ["POST", "DELETE"]),
            ("both", (403, 403), ["POST", "DELETE"]),
            ("both", (501, 405), ["POST", "DELETE"]),
            ("POST", (400, 204), ["POST"]),
        ):
            self.n1.asked.clear()
            answers = iter(statuses)

            def answer(request: Request, answers: Any = answers) -> bytes:
                request.setResponseCode(next(answers))
                return b""

            self.n1.override = answer
            done = self.successResultOf(Deferred.fromCoroutine(self.fetcher.confirm(self.token, ONE)))
            self.assertEqual([method for method, _, _ in self.n1.asked], asked)
            self.assertEqual(done, statuses[-1] == 204 and len(asked) == 2, refused)

    def confirmed(self, fetch_path: FetchPath) -> bool:
        done: bool = self.successResultOf(Deferred.fromCoroutine(self.fetcher.confirm(self.token, fetch_path)))
        return done

    def test_only_a_node_that_knows_the_copy_confirms_that_it_is_gone(self) -> None:
        self.assertFalse(self.confirmed(FetchPath((RoutingCookie("SRV", "n2"),))))  # it answers "misrouted"
        self.assertIn(self.token, self.n1.pages)
        self.override(b"no such page", 404)  # the application, or a node of another farm
        self.assertFalse(self.confirmed(ONE))
        self.n1.override = lambda _request: None
        for reason in ("expired", "pulled", "evicted", "unknown"):
            self.n1.forget(self.token, reason)
            self.assertTrue(self.confirmed(ONE), reason)

    def test_a_peer_that_passes_a_confirmation_on_confirms_it(self) -> None:
        self.farm.nodes["n2"].peers["n1"] = self.n1
        self.assertTrue(self.confirmed(FetchPath((RoutingCookie("SRV", "n2"),))))
        self.assertTrue(self.confirmed(FetchPath((RoutingCookie("SRV", "n2"),))))  # the reason is "pulled" now
        self.assertEqual(self.n1.miss_reasons, {self.token: "pulled"})

    def test_several_that_another_node_does_not_have_are_not_confirmed(self) -> None:
        statuses = {self.token: 404, "other": 204}

        def answer(request: Request) -> bytes:
            body = json.dumps({"results": statuses}).encode()
            digest = tokens.repr_digest(tokens.digest_of(body))
            request.setHeader(b"lbc-node", b"n1")
            request.setHeader(b"repr-digest", digest.encode())
            request.setHeader(b"lbc-proof", tokens.proof(SECRET, "n1", "", "nonce-1", digest).encode())
            return body

        self.n1.override = answer
        for owner, confirmed in (("n1", statuses), ("n2", {"other": 204})):
            asking = Deferred.fromCoroutine(self.fetcher.confirm_several([self.token, "other"], ONE, owner))
            self.assertEqual(self.successResultOf(asking), confirmed)

    def test_a_bad_cookie_is_not_sent(self) -> None:
        self.assertEqual(self.page(FetchPath((RoutingCookie("SRV", "n1\r\nX: y"),))), FetchMiss("", "bad cookie"))
        self.assertEqual(self.farm.hosts.uris, [])

    def test_nonsense_in_the_headers(self) -> None:
        node = self.n1
        node.pages[self.token] = type(node.pages[self.token])(
            self.token, "javascript:alert(1)", "ge t", 99, "text/html", 0.0, b"x", tokens.digest_of(b"x")
        )
        copy = self.page()
        assert isinstance(copy, FetchedCopy)
        self.assertEqual((copy.url, copy.method, copy.status), ("", "GET", 200))


@pytest.mark.parametrize("value", ["a;b", "\x7f", "é", "a\n", " a", "x" * 4097])
def test_cookies_that_cannot_be_sent(value: str) -> None:
    with pytest.raises(FetchFailed):
        cookie_header((RoutingCookie("SRV", value),))


@pytest.mark.parametrize(
    "value", ["", "n1~", ".n2", '"MTI3LjAuMC4x"', "a b", "a,b", 'a"b', "a\\b", "a=b==", "!$%&'()*"]
)
def test_cookies_are_sent_raw(value: str) -> None:
    assert cookie_header((RoutingCookie("SRV", value), RoutingCookie("b", "c"))) == f"SRV={value}; b=c"
