"""A page on its way: decoded, copied, injected, encoded again; and whatever fails in us, the visitor has its page."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from zope.interface import implementer

from lbcompanion.errors import PageRefused, StoreError, StoreUnreachable, StoreUnwritable
from lbcompanion.html.inject import Injector
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.page_policy import PagePolicy
from lbcompanion.node.proxy.context import ResponsePlan
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable, StoreTable
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore, SlowStore
from lbcompanion.testing.strategies import cuts
from tests.support.in_memory_node import (
    PAGE,
    TAG_START,
    InMemoryNode,
    chunked,
    html,
    read_responses,
    request,
    without_tag,
)

LONG = PAGE.replace(b"<p>", b"<p>" + b"all work and no play " * 400)


def coded(body: bytes, coding: str) -> bytes:
    if coding == "raw deflate":
        packer = zlib.compressobj(6, zlib.DEFLATED, -15)
        return packer.compress(body) + packer.flush()
    return {"gzip": gzip.compress, "deflate": zlib.compress}[coding](body)


# Codings.


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate"])
@pytest.mark.parametrize("pieces", [1, 5])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_coded_page_is_decoded_and_coded_again(coding: str, pieces: int, version: bytes) -> None:
    companion = InMemoryNode()
    raw = html(coded(LONG, coding), b"Content-Encoding: " + coding.rsplit(maxsplit=1)[-1].encode())
    step = len(raw) // pieces + 1
    companion.application.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
    visitor = companion.connect()
    visitor.send(request(b"/", b"Accept-Encoding: gzip, deflate", version=version))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], visitor.eof)
    assert answer.get(b"content-encoding") == coding.rsplit(maxsplit=1)[-1].encode()
    back = gzip.decompress if coding == "gzip" else zlib.decompress
    assert without_tag(back(answer.body)) == LONG != back(answer.body)
    assert companion.page.body == LONG


def test_a_coded_page_flows_as_it_comes() -> None:
    companion = InMemoryNode()
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(PAGE) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = html(b"", b"Content-Encoding: gzip", b"Transfer-Encoding: chunked", length=False)
    companion.application.answers(head + b"%x\r\n%b\r\n" % (len(first), first))
    visitor = companion.connect()
    visitor.send(request(b"/", b"Accept-Encoding: gzip"))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"GET"], False)
    assert without_tag(zlib.decompressobj(31).decompress(answer.body)) == PAGE


def test_a_coded_page_without_script_passes_byte_for_byte() -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=False))
    body = gzip.compress(LONG)
    companion.application.answers(html(body, b"Content-Encoding: gzip", b'ETag: "x"'))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert answer.body == body
    assert answer.get(b"etag") == b'"x"'
    assert answer.get(b"content-length") == b"%d" % len(body)
    assert companion.page.body == LONG


def test_an_empty_coded_page_stays_empty() -> None:
    companion = InMemoryNode()
    companion.application.answers(html(b"", b"Content-Encoding: gzip"))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert (answer.body, answer.complete) == (b"", True)
    assert companion.page.body == b""


def test_what_is_said_to_be_coded_and_is_not_passes_as_it_is() -> None:
    for pieces in (1, 3):
        companion = InMemoryNode()
        raw = html(PAGE, b"Content-Encoding: gzip")
        step = len(raw) // pieces + 1
        companion.application.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
        answer = companion.get(b"/", b"Accept-Encoding: gzip")
        assert answer.body == PAGE
        assert companion.captured == []
        assert companion.copies.pending == companion.counters.capturing_bytes == 0


@pytest.mark.parametrize("inject", [True, False])
def test_a_page_that_is_coded_badly_in_the_middle_gives_no_copy(inject: bool) -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=inject))
    body = gzip.compress(bytes(range(256)) * 4 + LONG, 1)
    broken = body[: len(body) // 2] + b"\xff" * 40
    companion.application.answers(
        html(b"", b"Content-Encoding: gzip", b"Content-Length: %d" % len(broken), length=False) + broken
    )
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert answer.complete
    assert companion.captured == []
    assert companion.copies.pending == companion.counters.capturing_bytes == 0
    if not inject:
        assert answer.body == broken


@pytest.mark.parametrize("inject", [True, False])
def test_a_coded_page_that_was_cut_short_gives_no_copy(inject: bool) -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=inject))
    body = gzip.compress(LONG)[:-9]
    companion.application.answers(html(body, b"Content-Encoding: gzip"))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert answer.complete
    assert companion.captured == []
    assert companion.counters.not_captured["the coded body is cut short"] == 1
    if not inject:
        assert answer.body == body
    else:
        found = zlib.decompressobj(31).decompress(answer.body)
        assert LONG.startswith(without_tag(found))


# Bounds.


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_page_that_grows_over_the_limit_flows_on_without_a_copy(coding: str) -> None:
    companion = InMemoryNode(capture=CaptureTable(max_page_bytes=5000))
    body = coded(LONG, coding) if coding else LONG
    fields = [b"Content-Encoding: gzip"] if coding else []
    head = html(b"", b"Transfer-Encoding: chunked", *fields, length=False)
    companion.application.answers(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body) if coding else answer.body) == LONG
    assert companion.captured == []
    assert companion.counters.not_captured["larger than max_page_bytes"] == 1
    assert companion.counters.capturing_bytes == companion.copies.pending == 0


def test_a_page_with_more_masked_elements_than_the_limit_has_no_copy() -> None:
    companion = InMemoryNode(limits=LimitsTable(masked_elements=3))
    masked = b"<input type=password>"
    for count in (3, 4):
        companion.application.answers(html(b"<!DOCTYPE html><title>x</title>" + masked * count))
        assert companion.get().status == 200
    assert len(companion.captured) == 1
    why = "masks or excluded blocks could not be taken out: more than 3 elements to mask"
    assert companion.counters.not_captured[why] == 1


@pytest.mark.parametrize("csp", ["respect", "adapt"])
def test_a_page_with_longer_policies_than_the_limit_gets_no_script(csp: str) -> None:
    companion = InMemoryNode(limits=LimitsTable(policy_bytes=40), inject=InjectTable(csp=csp))
    for padding in (1, 40):
        companion.application.answers(html(PAGE, b"Content-Security-Policy: script-src *" + b" a" * padding))
        assert (TAG_START in companion.get().body) is (padding == 1)
    assert len(companion.captured) == 2
    assert companion.counters.not_injected == {"blocked by CSP: more than 40 bytes": 1}


@pytest.mark.slow
@pytest.mark.parametrize("inject", [True, False])
def test_a_bomb_gives_no_copy(inject: bool) -> None:
    companion = InMemoryNode(inject=InjectTable(enabled=inject), limits=LimitsTable(expansion_ratio=50))
    companion.application.answers(html(gzip.compress(PAGE + bytes(2_000_000)), b"Content-Encoding: gzip"))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body)) == PAGE + bytes(2_000_000)
    assert companion.captured == []
    assert companion.counters.not_captured["grows more than expansion_ratio"] == 1


def test_copies_under_way_share_their_memory() -> None:
    companion = InMemoryNode(limits=LimitsTable(capturing_bytes=10_000))
    companion.application.on_request = lambda connection, seen: connection.send(chunked(PAGE + b"x" * 4000, last=False))
    visitors = [companion.connect() for _ in range(4)]
    for visitor in visitors:
        visitor.send(request())
    companion.run()
    assert companion.counters.capturing_bytes < 10_000
    for connection in companion.application.connections:
        connection.send(b"0\r\n\r\n")
    companion.run()
    for visitor in visitors:
        (answer,) = read_responses(visitor.received, [b"GET"], False)
        assert without_tag(answer.body) == PAGE + b"x" * 4000
    assert len(companion.captured) == 2
    assert companion.counters.not_captured["capture memory is full"] == 2
    assert companion.counters.capturing_bytes == companion.copies.pending == 0


def test_trailers_of_a_page_that_was_changed_are_left_out() -> None:
    raw = chunked(PAGE, last=False) + b"0\r\nDigest: x\r\n\r\n"
    for inject, trailers in ((True, ()), (False, ((b"digest", b"x"),))):
        companion = InMemoryNode(inject=InjectTable(enabled=inject))
        companion.application.answers(raw)
        assert companion.get().trailers == trailers


# Masks and excluded blocks.


def test_the_copy_is_masked_and_the_visitors_page_is_not() -> None:
    page = (
        b"<!DOCTYPE html><form><input type=password value=hunter2><p>one<!-- lbc:exclude --> two"
        b"<!-- /lbc:exclude --> three</form>"
    )
    companion = InMemoryNode()
    companion.application.answers(html(page))
    assert without_tag(companion.get().body) == page
    assert b"hunter2" not in companion.page.body
    assert b"one three" in companion.page.body


# Fail open.


def served(companion: InMemoryNode, body: bytes = PAGE, times: int = 2) -> None:
    """Visitors get the application's page, however it comes."""
    for raw in (html(body), html(gzip.compress(body), b"Content-Encoding: gzip"), chunked(body[:40], body[40:])):
        for pieces in ([raw], [raw[:90], raw[90:200], raw[200:]]):
            companion.application.answers(*pieces)
            visitor = companion.connect()
            visitor.send(request(b"/", b"Accept-Encoding: gzip") * times)
            companion.run()
            answers = read_responses(visitor.received, [b"GET"] * times, False)
            assert len(answers) == times
            for answer in answers:
                assert answer.complete
                found = gzip.decompress(answer.body) if answer.get(b"content-encoding") else answer.body
                assert without_tag(found) == body
    assert companion.counters.capturing_bytes == 0


@implementer(IPageStore)
class Raising:
    """A store that was not written with care."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            raise ZeroDivisionError(name)

        return call


def test_a_store_that_fails() -> None:
    companion = InMemoryNode(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    served(companion)
    assert companion.counters.captured == 0
    assert companion.counters.failed_open["store"] == 12
    assert companion.copies.pending == 0
    assert not companion.copies.store_works
    assert companion.logged == ["store fails: down on purpose"]
    companion.store.failing = False
    served(companion)
    assert companion.copies.store_works
    assert companion.logged[1:] == ["store works again: "]


class Moody(MemoryStore):
    """Fails to put with the error that the test chose."""

    error: StoreError | None = None

    def put_now(self, page: Any) -> None:
        if self.error is not None:
            raise self.error
        super().put_now(page)


def test_a_sweep_shows_whether_the_store_is_there() -> None:
    companion = InMemoryNode(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    companion.copies.sweep()
    companion.copies.sweep()
    assert not companion.copies.store_works
    companion.store.failing = False
    companion.copies.sweep()
    companion.copies.sweep()
    assert companion.copies.store_works
    assert companion.logged == ["store fails: down on purpose", "store works again: "]


@pytest.mark.slow
def test_a_store_that_is_there_and_takes_no_page() -> None:
    companion = InMemoryNode(store=Moody(StoreTable(), lambda: 0.0))
    companion.store.error = StoreError("it is full")
    for _ in range(3):
        served(companion)
        companion.copies.sweep()
    assert not companion.copies.store_works
    assert companion.logged == ["store fails: it is full"]
    companion.store.error = StoreUnreachable("gone")
    served(companion)
    companion.copies.sweep()
    assert companion.copies.store_works
    companion.store.error = None
    served(companion)
    assert companion.logged == ["store fails: it is full", "store works again: "]


def test_a_read_or_a_sweep_does_not_end_a_failed_write() -> None:
    companion = InMemoryNode(store=Moody(StoreTable(), lambda: 0.0))
    served(companion)
    token = companion.captured[0][0].token
    companion.store.error = StoreUnwritable("the disk is full")
    for _ in range(3):
        companion.get()
        companion.copies.sweep()
        assert companion.fetch(token).status == 200
        assert not companion.copies.store_works
    companion.store.error = None
    companion.get()
    assert companion.copies.store_works
    assert [line for line in companion.logged if line.startswith("store")] == [
        "store fails: the disk is full",
        "store works again: ",
    ]


def test_a_page_that_no_store_could_keep_says_nothing_of_the_store() -> None:
    companion = InMemoryNode(store=Moody(StoreTable(), lambda: 0.0))
    companion.store.error = PageRefused("too large")
    served(companion)
    assert companion.counters.captured == 0
    assert companion.copies.store_works
    assert companion.logged == []


def test_a_store_that_raises() -> None:
    companion = InMemoryNode(store=Raising())
    served(companion)
    assert companion.copies.pending == 0
    assert companion.get(b"/_lbc/page/" + companion.copies.mint_token().encode(), method=b"GET").status == 403


def test_a_store_that_hangs() -> None:
    companion = InMemoryNode()
    companion.store = SlowStore(companion.store, companion.clock, 1e9)
    companion.copies.use_store(companion.store)
    served(companion)
    assert companion.copies.pending == 12
    token = companion.captured[0][0].token
    answer = companion.fetch(token)
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")


class FailingInjector(Injector):
    """Raises at its n-th call."""

    calls = 0
    at = 1

    def feed(self, chunk: bytes) -> bytes:
        self._count()
        return super().feed(chunk)

    def finish(self) -> bytes:
        self._count()
        return super().finish()

    def _count(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise ZeroDivisionError


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_an_injector_that_raises(at: int) -> None:
    class Bad(FailingInjector):
        pass

    Bad.at = at

    class _Plan:
        def __init__(self, plan: Any) -> None:
            self._plan = plan
            self.request_lines = plan.request_lines

        def plan_response(self, head: ResponseHead) -> ResponsePlan:
            plan_response: ResponsePlan = self._plan.plan_response(head)
            if plan_response.pipeline is not None:
                pipeline: Any = plan_response.pipeline
                pipeline._insertion = _Insertion()
            return plan_response

    class _Insertion:
        def whole(self, page: bytes) -> None:
            return None

        def injector(self) -> Injector:
            return Bad(b"<script async src=/></script>", b"")

    companion = InMemoryNode()
    plan = companion.context.plan
    companion.context.plan = lambda *args: _Plan(plan(*args))
    served(companion)
    assert len(companion.captured) == 12
    assert {page.body for page, _ in companion.captured} == {PAGE}
    if at <= 2:
        assert companion.counters.failed_open["injection: ZeroDivisionError"] > 0


class RaisingMasks:
    """Masks whose engine fails."""

    def candidates(self, lowered: bytes) -> list[str]:
        raise ZeroDivisionError


def test_a_mask_that_raises_gives_no_copy() -> None:
    companion = InMemoryNode()
    object.__setattr__(companion.policy.capture_limits, "masks", RaisingMasks())
    served(companion)
    assert companion.captured == []
    assert companion.counters.captured == 0
    assert companion.counters.failed_open["copy: ZeroDivisionError"] == 12
    assert companion.copies.pending == 0


class RefusalRaises(PagePolicy):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.capture_rules = RaisingRecording(self.settings.capture)


class RaisingRecording(CaptureRules):
    def refusal(self, head: RequestHead) -> str:
        raise ZeroDivisionError


class OriginRaises(PagePolicy):
    def origin(self, head: RequestHead, trusted: bool, scheme: str) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("policy", [RefusalRaises, OriginRaises])
def test_a_policy_that_raises(policy: type[PagePolicy]) -> None:
    companion = InMemoryNode(policy=policy)
    served(companion)
    assert companion.captured == []
    assert companion.counters.failed_open["policy: ZeroDivisionError"] == 12
    assert companion.copies.pending == 0


def test_a_notice_that_raises() -> None:
    companion = InMemoryNode()

    def fail(page: Page, cookie: bytes) -> None:
        raise ZeroDivisionError

    companion.on_captured = fail
    served(companion)
    assert companion.counters.captured == 12
    assert companion.counters.failed_open["notice: ZeroDivisionError"] == 12


def test_a_pattern_that_skips() -> None:
    companion = InMemoryNode(inject=InjectTable(skip_if="caf."))
    served(companion)
    assert companion.counters.injected == 0
    assert len(companion.captured) == 12


_WORDS = [
    *(b"<!DOCTYPE html>", b"<html>", b"<head>", b"</head>", b"<body>", b"</body>", b"</html>", b"<meta charset=utf-8>"),
    *(b"<title>x</title>", b"<p>", b"text ", b"\xc3\xa9", b"<!-- c -->", b"<script>a</script>", b"<!--", b"<", b"\0"),
    b"<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">",
]


@given(st.lists(st.sampled_from(_WORDS), max_size=12), st.sampled_from(["", "gzip"]), st.data())
def test_a_visitors_page_less_the_tag_is_the_applications(words: list[bytes], coding: str, data: st.DataObject) -> None:
    page = b"".join(words)
    companion = InMemoryNode()
    body = coded(page, coding) if coding else page
    companion.application.answers(*data.draw(cuts(html(body, *([b"Content-Encoding: gzip"] if coding else [])))))
    answer = companion.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body) if coding else answer.body) == page
    assert companion.page.body == page


def test_nothing_of_the_deferred_kind_is_left_over() -> None:
    companion = InMemoryNode()
    companion.get()
    found = companion.store.peek(companion.page.token)
    assert isinstance(found, Deferred)
    assert found.result == companion.page
