"""The debug page shows every rule, and the page beside its copy, without live scripts and secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed

from lbcompanion.html.snippets import inline_hashes
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.endpoints.application_client import NoPageError, UpstreamResponse
from lbcompanion.settings import CaptureTable, FetchTable, InjectTable
from tests.support.in_memory_node import PAGE, InMemoryNode, html, request
from tests.support.live_html import Live

CSP = b"Content-Security-Policy: "


def debug(companion: InMemoryNode, *query: tuple[str, str]) -> Any:
    return companion.debug(f"?{urlencode(query)}").json


def browse(companion: InMemoryNode, *query: tuple[str, str]) -> Any:
    return companion.debug(f"?{urlencode(query)}", b"Accept: text/html,*/*;q=0.8")


def captured(body: bytes = PAGE, *fields: bytes, **tables: Any) -> tuple[InMemoryNode, str]:
    companion = InMemoryNode(**tables)
    companion.application.answers(html(body, *fields))
    companion.get(b"/shop?q=1")
    return companion, companion.page.token


@pytest.mark.slow
class TestThePageNow:
    """``compare``: what a visitor gets, and its copy, out of one answer of the application's."""

    PAGE = (
        b"<!DOCTYPE html><html><head></head><body><input type=password value=SECRET>"
        b"<!-- lbc:exclude -->HIDDEN<!-- /lbc:exclude --></body></html>"
    )

    def told(
        self, page: bytes, *answer: tuple[bytes, bytes], query: Any = (), **tables: Any
    ) -> tuple[Any, InMemoryNode]:
        companion = InMemoryNode(**tables)
        asked: list[RequestHead] = []

        def ask(head: RequestHead) -> Deferred[UpstreamResponse]:
            asked.append(head)
            fields = [(b"content-type", b"text/html"), *answer]
            return succeed(UpstreamResponse(ResponseHead.from_fields(11, 200, b"", fields), page))

        companion.on_ask_application = ask
        told = debug(companion, ("url", "/x?y"), ("compare", "1"), ("cookie", "a=b"), *query)
        for head in asked:
            assert (head.method, head.target, head.get(b"cookie")) == (b"GET", b"/x?y", b"a=b")
        # It was not viewed, so nothing is kept.
        assert companion.captured == []
        assert told["counted"]["captured"] == told["counted"]["injected"] == 0
        return told["compared"], companion

    def test_page_and_copy_of_one_answer(self) -> None:
        told, companion = self.told(self.PAGE)
        assert told["captured"]
        assert told["injected"]
        assert "SECRET" in told["page_text"]
        assert "HIDDEN" in told["page_text"]
        assert 'data-lbc-token="none"' in told["page_text"]
        assert (
            told["text"] == self.PAGE.decode().split("<!--")[0].replace("value=SECRET", 'value=""') + "</body></html>"
        )
        assert told["left_out_bytes"] == len(self.PAGE) - len(told["text"]) > 0
        live = Live()
        live.feed(browse(companion, ("url", "/"), ("compare", "1")).body.decode())
        assert live.found == []
        assert ["data-lbc-token" in frame for frame in live.frames] == [True, False]

    def test_policies_of_the_answer_count(self) -> None:
        told, _ = self.told(self.PAGE, (b"content-security-policy", b"script-src 'none'"))
        assert (told["injected"], told["not_injected"]) == (False, "blocked by CSP: script-src")
        assert told["page_text"] == self.PAGE.decode()
        meta = self.PAGE.replace(b"<head>", b"<head><meta http-equiv=content-security-policy content='script-src a'>")
        told, _ = self.told(meta)
        assert (told["injected"], told["not_injected"]) == (False, "blocked by CSP: script-src")
        told, _ = self.told(b"<p>", query=(("header", "Sec-Fetch-Site: none"),))
        assert told["not_injected"] == "fragment"

    def test_what_is_not_captured_has_no_copy(self) -> None:
        told, _ = self.told(self.PAGE, capture=CaptureTable(exclude=("/x",)))
        assert (told["captured"], told["reason"], "text" in told) == (False, "path excluded", False)
        overlapping = b"<!-- lbc:exclude --><div class=a>b<!-- /lbc:exclude --></div>"
        told, _ = self.told(overlapping, capture=CaptureTable(mask=(".a",)))
        assert (told["captured"], "overlap" in told["reason"], "text" in told) == (False, True, False)

    def test_no_page(self) -> None:
        told, companion = self.told(b"", query=(("method", "POST"),))
        assert not told["known"]
        companion.on_ask_application = lambda head: fail(NoPageError("the application did not answer"))
        assert debug(companion, ("url", "/"), ("compare", "1"))["compared"]["why"] == "the application did not answer"
        assert browse(companion, ("url", "/"), ("compare", "1")).status == 200


def test_the_directive_that_blocks() -> None:
    companion, _ = captured(PAGE, CSP + b"script-src 'none'")
    told = debug(companion)
    assert told["counted"]["not_injected"] == {"blocked by CSP: script-src": 1}
    assert told["recent"][0] == {"path": "/shop", "not_captured": "", "not_injected": "blocked by CSP: script-src"}
    companion, _ = captured(
        PAGE.replace(b"<head>", b"<head><meta http-equiv=Content-Security-Policy content='connect-src a'>")
    )
    assert debug(companion)["recent"][0]["not_injected"] == "blocked by CSP: connect-src"


@pytest.mark.slow
def test_an_answer_is_judged_too() -> None:
    companion = InMemoryNode()
    html_line = ("answer", "Content-Type: text/html; charset=utf-8")
    for more, expected in (
        ((), {"captured": True, "injected": True, "reason": "", "not_injected": ""}),
        ((("status", "404"),), {"captured": False, "injected": False, "reason": "status"}),
        ((("header", "HX-Request: true"),), {"captured": False, "reason": "fragment"}),
        ((("answer", "Cache-Control: no-transform"),), {"captured": True, "not_injected": "no-transform"}),
        ((("answer", "Content-Security-Policy: default-src 'none'"),), {"not_injected": "blocked by CSP: default-src"}),
        ((("answer", "Content-Security-Policy: script-src 'nonce-a'"),), {"injected": True, "nonce_used": True}),
        ((("cookie", "WRUID=0"),), {"captured": False, "reason": "visitor is not recorded"}),
    ):
        told = debug(companion, ("url", "/x"), html_line, *more)["decision"]["answer"]
        assert told | expected == told, more
    companion = InMemoryNode(inject=InjectTable(csp="adapt"))
    told = debug(companion, ("url", "/x"), html_line, ("answer", "Content-Security-Policy: script-src 'none'"))
    assert told["decision"]["answer"]["adapted"]
    assert told["decision"]["answer"]["injected"]


def test_consent_is_reported() -> None:
    capture = CaptureTable(consent_cookie="consent", consent_values=("yes",), respect_gpc=True, respect_dnt=True)
    companion = InMemoryNode(capture=capture)
    for more, reason, rows in (
        (("cookie", "consent=yes"), "", ["consent", "not 1", "not 1"]),
        (("cookie", "consent=no"), "no consent", ["no consent: not recorded", "not 1", "not 1"]),
        (("header", "DNT: 1"), "DNT", ["no consent: not recorded", "not 1", "1: not recorded"]),
        (("header", "Sec-GPC: 1"), "Sec-GPC", ["no consent: not recorded", "1: not recorded", "not 1"]),
    ):
        told = debug(companion, ("url", "/x"), more)["decision"]
        assert told["captured"] is (not reason)
        assert told["reason"].startswith(reason)
        shown = [(row["rule"], row["says"]) for row in told["rules"]][-3:]
        assert shown == list(zip(["consent cookie consent", "Sec-GPC", "DNT"], rows, strict=True))


def test_ratio_and_paths_are_reported() -> None:
    companion = InMemoryNode(capture=CaptureTable(ratio=0.5, no_store=("/a",), outlive_pull=("/b",)))
    told = debug(companion, ("url", "/a"))["decision"]
    assert (told["uncacheable"], told["outlives_pull"]) == (True, False)
    assert {"rule": "cookie WRUID", "says": "absent: captured, and the script samples visitors with ratio 0.5"} in told[
        "rules"
    ]
    told = debug(companion, ("url", "/b?x"))["decision"]
    assert (told["uncacheable"], told["outlives_pull"]) == (False, True)


PATHS = st.sampled_from([b"/", b"/a", b"/a/b", b"/c?lbc=record", b"/a?lbc=record", b"/b?x"])
GLOBS = st.lists(st.sampled_from(["/**", "/a", "/a/*", "/b"]), max_size=2).map(tuple)
FIELDS = st.lists(st.sampled_from([(b"cookie", b"WRUID=0"), (b"cookie", b"WRUID=1"), (b"sec-fetch-dest", b"image"),
                                   (b"sec-fetch-dest", b"document"), (b"cookie", b"a=b")]), max_size=2)  # fmt: skip


@given(PATHS, GLOBS, GLOBS, FIELDS, st.sampled_from([b"GET", b"PUT", b"HEAD"]), st.booleans())
def test_the_shown_rules_are_those_that_decide(
    target: bytes, include: Any, exclude: Any, fields: Any, method: bytes, enabled: bool
) -> None:
    companion = InMemoryNode(
        capture=CaptureTable(include=include, exclude=exclude, enabled=enabled, force_parameter="lbc=record")
    )
    head = RequestHead.from_fields(method, target, 11, fields)
    says = [said for _, said in companion.policy.capture_rules.explain(head)]
    no = ("off", "not listed", "not a document", "not included", "excluded", "0:")
    against = [said for said in says if said.startswith(no) and not said.endswith("but forced")]
    assert bool(companion.policy.capture_rules.refusal(head)) == bool(against)


def test_a_copy_that_outlives_the_pull() -> None:
    for paths, left in (((), 404), (("/shop",), 200)):
        companion, token = captured(capture=CaptureTable(outlive_pull=paths))
        assert companion.fetch(token).status == 200
        assert companion.fetch(token, "DELETE").status == 204
        companion.pass_time(120, 30)
        assert companion.fetch(token).status == left


def test_own_notices_wait_for_the_browsers_lots() -> None:
    def may(cookie: bytes, ratio: float, url: str = "http://a/b") -> bool:
        page = Page("t", url, "GET", 200, "text/html", 0.0, b"", b"")
        capture = CaptureTable(ratio=ratio, force_parameter="lbc=record")
        return InMemoryNode(capture=capture).policy.capture_rules.allows_server_notice(page, cookie)

    assert may(b"", 1)
    assert not may(b"", 0.5)
    assert may(b"WRUID=1", 0.5)
    assert may(b"", 0.5, "http://a/b?lbc=record")


def test_adapted_in_get_head_and_304_alike() -> None:
    policy = CSP + b"script-src 'none'"
    made = b"script-src http://www.example.com/_lbc/fetch-from.js"
    companion = InMemoryNode(inject=InjectTable(csp="adapt"))
    companion.application.answers(html(PAGE, policy, b'ETag: "a"'))
    got = companion.get()
    assert got.get(b"content-security-policy") == made
    assert b"data-lbc-token" in got.body
    assert companion.get(method=b"HEAD").get(b"content-security-policy") == made
    companion.application.answers(b"HTTP/1.1 304 Not Modified\r\n" + policy + b'\r\nETag: "a"\r\n\r\n')
    (again,) = companion.ask(request(b"/", b"If-None-Match: " + (got.get(b"etag") or b"")))
    assert (again.status, again.get(b"content-security-policy")) == (304, made)


def test_adapted_by_the_hash_of_what_the_page_got() -> None:
    companion = InMemoryNode(inject=InjectTable(csp="adapt", top=b"<script>told = '{token}'</script>"))
    companion.application.answers(html(PAGE, CSP + b"script-src 'strict-dynamic'"))
    got = companion.get(b"/shop")
    (script,) = inline_hashes(got.body[got.body.index(b"<script") : got.body.index(b"</script>") + 9])
    assert got.get(b"content-security-policy") == f"script-src 'strict-dynamic' {script}".encode()
    told = debug(
        companion,
        ("url", "/x"),
        ("answer", "Content-Type: text/html"),
        ("answer", "Content-Security-Policy: script-src"),
    )
    assert told["decision"]["answer"]["injected"]
    head = companion.get(method=b"HEAD")
    assert (head.get(b"content-security-policy") or b"").startswith(b"script-src 'strict-dynamic' 'sha256-")
    assert head.get(b"content-length") is None


def test_a_snippet_without_a_place_for_the_nonce_is_not_let_in_by_it() -> None:
    for top, placed in ((b"<script>{token}</script>", False), (b"<script nonce='{nonce}'>{token}</script>", True)):
        companion = InMemoryNode(inject=InjectTable(top=top))
        companion.application.answers(html(PAGE, CSP + b"script-src 'nonce-abc'"))
        assert (b"<script" in companion.get(b"/shop").body) is placed
        assert bool(debug(companion)["counted"]["not_injected"]) is not placed


def test_by_address_alone() -> None:
    from ipaddress import ip_network

    companion = InMemoryNode(fetch=FetchTable(addresses=(ip_network("192.0.2.0/24"),), signature="off"))
    assert companion.get(b"/_lbc/debug", b"Accept: text/html").status == 200


def test_a_head_is_judged_as_its_page_but_leaves_no_copy() -> None:
    companion, _ = captured()
    said = debug(companion, ("url", "/page"), ("method", "HEAD"), ("answer", "Content-Type: text/html"))["decision"][
        "answer"
    ]
    assert (said["captured"], said["reason"]) == (False, "HEAD")
    assert (said["injected"], said["not_injected"]) == (False, "HEAD")
