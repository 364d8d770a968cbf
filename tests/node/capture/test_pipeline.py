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

from lbcompanion.errors import PageRefused, StoreError, StoreUnreachable
from lbcompanion.html.inject import Injector
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import Page
from lbcompanion.node.capture.page_policy import Policy
from lbcompanion.node.capture.rules import Recording
from lbcompanion.node.proxy.context import Reply
from lbcompanion.settings import CaptureTable, InjectTable, LimitsTable, StoreTable
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore, SlowStore
from lbcompanion.testing.strategies import cuts
from tests.support.in_memory_node import PAGE, Rig, chunked, html, read_answers, request, without_tag

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
    rig = Rig()
    raw = html(coded(LONG, coding), b"Content-Encoding: " + coding.rsplit(maxsplit=1)[-1].encode())
    step = len(raw) // pieces + 1
    rig.app.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
    visitor = rig.connect()
    visitor.send(request(b"/", b"Accept-Encoding: gzip, deflate", version=version))
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], visitor.eof)
    assert answer.get(b"content-encoding") == coding.rsplit(maxsplit=1)[-1].encode()
    back = gzip.decompress if coding == "gzip" else zlib.decompress
    assert without_tag(back(answer.body)) == LONG != back(answer.body)
    assert rig.page.body == LONG


def test_a_coded_page_flows_as_it_comes() -> None:
    rig = Rig()
    packer = zlib.compressobj(wbits=31)
    first = packer.compress(PAGE) + packer.flush(zlib.Z_SYNC_FLUSH)
    head = html(b"", b"Content-Encoding: gzip", b"Transfer-Encoding: chunked", length=False)
    rig.app.answers(head + b"%x\r\n%b\r\n" % (len(first), first))
    visitor = rig.connect()
    visitor.send(request(b"/", b"Accept-Encoding: gzip"))
    rig.run()
    (answer,) = read_answers(visitor.received, [b"GET"], False)
    assert without_tag(zlib.decompressobj(31).decompress(answer.body)) == PAGE


def test_a_coded_page_without_script_passes_byte_for_byte() -> None:
    rig = Rig(inject=InjectTable(enabled=False))
    body = gzip.compress(LONG)
    rig.app.answers(html(body, b"Content-Encoding: gzip", b'ETag: "x"'))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert answer.body == body
    assert answer.get(b"etag") == b'"x"'
    assert answer.get(b"content-length") == b"%d" % len(body)
    assert rig.page.body == LONG


def test_an_empty_coded_page_stays_empty() -> None:
    rig = Rig()
    rig.app.answers(html(b"", b"Content-Encoding: gzip"))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert (answer.body, answer.whole) == (b"", True)
    assert rig.page.body == b""


def test_what_is_said_to_be_coded_and_is_not_passes_as_it_is() -> None:
    for pieces in (1, 3):
        rig = Rig()
        raw = html(PAGE, b"Content-Encoding: gzip")
        step = len(raw) // pieces + 1
        rig.app.answers(*[raw[at : at + step] for at in range(0, len(raw), step)])
        answer = rig.get(b"/", b"Accept-Encoding: gzip")
        assert answer.body == PAGE
        assert rig.kept == []
        assert rig.copies.pending == rig.counters.capturing_bytes == 0


@pytest.mark.parametrize("inject", [True, False])
def test_a_page_that_is_coded_badly_in_the_middle_gives_no_copy(inject: bool) -> None:
    rig = Rig(inject=InjectTable(enabled=inject))
    body = gzip.compress(bytes(range(256)) * 4 + LONG, 1)
    broken = body[: len(body) // 2] + b"\xff" * 40
    rig.app.answers(html(b"", b"Content-Encoding: gzip", b"Content-Length: %d" % len(broken), length=False) + broken)
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert answer.whole
    assert rig.kept == []
    assert rig.copies.pending == rig.counters.capturing_bytes == 0
    if not inject:
        assert answer.body == broken


@pytest.mark.parametrize("inject", [True, False])
def test_a_coded_page_that_was_cut_short_gives_no_copy(inject: bool) -> None:
    rig = Rig(inject=InjectTable(enabled=inject))
    body = gzip.compress(LONG)[:-9]
    rig.app.answers(html(body, b"Content-Encoding: gzip"))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert answer.whole
    assert rig.kept == []
    assert rig.counters.not_captured["the coded body is cut short"] == 1
    if not inject:
        assert answer.body == body
    else:
        found = zlib.decompressobj(31).decompress(answer.body)
        assert LONG.startswith(without_tag(found))


# Bounds.


@pytest.mark.parametrize("coding", ["", "gzip"])
def test_a_page_that_grows_over_the_limit_flows_on_without_a_copy(coding: str) -> None:
    rig = Rig(capture=CaptureTable(max_page_bytes=5000))
    body = coded(LONG, coding) if coding else LONG
    fields = [b"Content-Encoding: gzip"] if coding else []
    head = html(b"", b"Transfer-Encoding: chunked", *fields, length=False)
    rig.app.answers(head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body) if coding else answer.body) == LONG
    assert rig.kept == []
    assert rig.counters.not_captured["larger than max_page_bytes"] == 1
    assert rig.counters.capturing_bytes == rig.copies.pending == 0


@pytest.mark.parametrize("inject", [True, False])
def test_a_bomb_gives_no_copy(inject: bool) -> None:
    rig = Rig(inject=InjectTable(enabled=inject), limits=LimitsTable(expansion_ratio=50))
    rig.app.answers(html(gzip.compress(PAGE + bytes(2_000_000)), b"Content-Encoding: gzip"))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body)) == PAGE + bytes(2_000_000)
    assert rig.kept == []
    assert rig.counters.not_captured["grows more than expansion_ratio"] == 1


def test_copies_under_way_share_their_memory() -> None:
    rig = Rig(limits=LimitsTable(capturing_bytes=10_000))
    rig.app.on_request = lambda connection, seen: connection.send(chunked(PAGE + b"x" * 4000, last=False))
    visitors = [rig.connect() for _ in range(4)]
    for visitor in visitors:
        visitor.send(request())
    rig.run()
    assert rig.counters.capturing_bytes < 10_000
    for connection in rig.app.connections:
        connection.send(b"0\r\n\r\n")
    rig.run()
    for visitor in visitors:
        (answer,) = read_answers(visitor.received, [b"GET"], False)
        assert without_tag(answer.body) == PAGE + b"x" * 4000
    assert len(rig.kept) == 2
    assert rig.counters.not_captured["capture memory is full"] == 2
    assert rig.counters.capturing_bytes == rig.copies.pending == 0


def test_trailers_of_a_page_that_was_changed_are_left_out() -> None:
    raw = chunked(PAGE, last=False) + b"0\r\nDigest: x\r\n\r\n"
    for inject, trailers in ((True, ()), (False, ((b"digest", b"x"),))):
        rig = Rig(inject=InjectTable(enabled=inject))
        rig.app.answers(raw)
        assert rig.get().trailers == trailers


# Masks and excluded blocks.


def test_the_copy_is_masked_and_the_visitors_page_is_not() -> None:
    page = (
        b"<!DOCTYPE html><form><input type=password value=hunter2><p>one<!-- lbc:exclude --> two"
        b"<!-- /lbc:exclude --> three</form>"
    )
    rig = Rig()
    rig.app.answers(html(page))
    assert without_tag(rig.get().body) == page
    assert b"hunter2" not in rig.page.body
    assert b"one three" in rig.page.body


# Fail open.


def served(rig: Rig, body: bytes = PAGE, times: int = 2) -> None:
    """Visitors get the application's page, however it comes."""
    for raw in (html(body), html(gzip.compress(body), b"Content-Encoding: gzip"), chunked(body[:40], body[40:])):
        for pieces in ([raw], [raw[:90], raw[90:200], raw[200:]]):
            rig.app.answers(*pieces)
            visitor = rig.connect()
            visitor.send(request(b"/", b"Accept-Encoding: gzip") * times)
            rig.run()
            answers = read_answers(visitor.received, [b"GET"] * times, False)
            assert len(answers) == times
            for answer in answers:
                assert answer.whole
                found = gzip.decompress(answer.body) if answer.get(b"content-encoding") else answer.body
                assert without_tag(found) == body
    assert rig.counters.capturing_bytes == 0


@implementer(IPageStore)
class Raising:
    """A store that was not written with care."""

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            raise ZeroDivisionError(name)

        return call


def test_a_store_that_fails() -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    served(rig)
    assert rig.counters.captured == 0
    assert rig.counters.failed_open["store"] == 12
    assert rig.copies.pending == 0
    assert not rig.copies.store_works
    assert rig.logged == ["store fails: down on purpose"]
    rig.store.failing = False
    served(rig)
    assert rig.copies.store_works
    assert rig.logged[1:] == ["store works again: "]


class Moody(MemoryStore):
    """Fails to put with the error that the test chose."""

    error: StoreError | None = None

    def put_now(self, page: Any) -> None:
        if self.error is not None:
            raise self.error
        super().put_now(page)


def test_a_sweep_shows_whether_the_store_is_there() -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    rig.copies.sweep()
    rig.copies.sweep()
    assert not rig.copies.store_works
    rig.store.failing = False
    rig.copies.sweep()
    rig.copies.sweep()
    assert rig.copies.store_works
    assert rig.logged == ["store fails: down on purpose", "store works again: "]


def test_a_store_that_is_there_and_takes_no_page() -> None:
    rig = Rig(store=Moody(StoreTable(), lambda: 0.0))
    rig.store.error = StoreError("it is full")
    for _ in range(3):
        served(rig)
        rig.copies.sweep()
    assert not rig.copies.store_works
    assert rig.logged == ["store fails: it is full"]
    rig.store.error = StoreUnreachable("gone")
    served(rig)
    rig.copies.sweep()
    assert rig.copies.store_works
    rig.store.error = None
    served(rig)
    assert rig.logged == ["store fails: it is full", "store works again: "]


def test_a_page_that_no_store_could_keep_says_nothing_of_the_store() -> None:
    rig = Rig(store=Moody(StoreTable(), lambda: 0.0))
    rig.store.error = PageRefused("too large")
    served(rig)
    assert rig.counters.captured == 0
    assert rig.copies.store_works
    assert rig.logged == []


def test_a_store_that_raises() -> None:
    rig = Rig(store=Raising())
    served(rig)
    assert rig.copies.pending == 0
    assert rig.get(b"/_lbc/page/" + rig.copies.begin().encode(), method=b"GET").status == 403


def test_a_store_that_hangs() -> None:
    rig = Rig()
    rig.store = SlowStore(rig.store, rig.clock, 1e9)
    rig.copies.live_in(rig.store)
    served(rig)
    assert rig.copies.pending == 12
    token = rig.kept[0][0].token
    answer = rig.fetch(token)
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

        def reply(self, head: ResponseHead) -> Reply:
            reply: Reply = self._plan.reply(head)
            if reply.pipeline is not None:
                pipeline: Any = reply.pipeline
                pipeline._insertion = _Insertion()
            return reply

    class _Insertion:
        def whole(self, page: bytes) -> None:
            return None

        def injector(self) -> Injector:
            return Bad(b"<script async src=/></script>", b"")

    rig = Rig()
    plan = rig.hub.plan
    rig.hub.plan = lambda *args: _Plan(plan(*args))
    served(rig)
    assert len(rig.kept) == 12
    assert {page.body for page, _ in rig.kept} == {PAGE}
    if at <= 2:
        assert rig.counters.failed_open["injection: ZeroDivisionError"] > 0


class RaisingMasks:
    """Masks whose engine fails."""

    def candidates(self, lowered: bytes) -> list[str]:
        raise ZeroDivisionError


def test_a_mask_that_raises_gives_no_copy() -> None:
    rig = Rig()
    object.__setattr__(rig.policy.rules, "masks", RaisingMasks())
    served(rig)
    assert rig.kept == []
    assert rig.counters.captured == 0
    assert rig.counters.failed_open["copy: ZeroDivisionError"] == 12
    assert rig.copies.pending == 0


class RefusalRaises(Policy):
    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.recording = RaisingRecording(self.settings.capture)


class RaisingRecording(Recording):
    def refusal(self, head: RequestHead) -> str:
        raise ZeroDivisionError


class OriginRaises(Policy):
    def origin(self, head: RequestHead, trusted: bool, scheme: str) -> str:
        raise ZeroDivisionError


@pytest.mark.parametrize("policy", [RefusalRaises, OriginRaises])
def test_a_policy_that_raises(policy: type[Policy]) -> None:
    rig = Rig(policy=policy)
    served(rig)
    assert rig.kept == []
    assert rig.counters.failed_open["policy: ZeroDivisionError"] == 12
    assert rig.copies.pending == 0


def test_a_notice_that_raises() -> None:
    rig = Rig()

    def fail(page: Page, cookie: bytes) -> None:
        raise ZeroDivisionError

    rig.on_kept = fail
    served(rig)
    assert rig.counters.captured == 12
    assert rig.counters.failed_open["notice: ZeroDivisionError"] == 12


def test_a_pattern_that_skips() -> None:
    rig = Rig(inject=InjectTable(skip_if="caf."))
    served(rig)
    assert rig.counters.injected == 0
    assert len(rig.kept) == 12


_WORDS = [
    *(b"<!DOCTYPE html>", b"<html>", b"<head>", b"</head>", b"<body>", b"</body>", b"</html>", b"<meta charset=utf-8>"),
    *(b"<title>x</title>", b"<p>", b"text ", b"\xc3\xa9", b"<!-- c -->", b"<script>a</script>", b"<!--", b"<", b"\0"),
    b"<meta http-equiv=Content-Security-Policy content=\"script-src 'none'\">",
]


@given(st.lists(st.sampled_from(_WORDS), max_size=12), st.sampled_from(["", "gzip"]), st.data())
def test_a_visitors_page_less_the_tag_is_the_applications(words: list[bytes], coding: str, data: st.DataObject) -> None:
    page = b"".join(words)
    rig = Rig()
    body = coded(page, coding) if coding else page
    rig.app.answers(*data.draw(cuts(html(body, *([b"Content-Encoding: gzip"] if coding else [])))))
    answer = rig.get(b"/", b"Accept-Encoding: gzip")
    assert without_tag(gzip.decompress(answer.body) if coding else answer.body) == page
    assert rig.page.body == page


def test_nothing_of_the_deferred_kind_is_left_over() -> None:
    rig = Rig()
    rig.get()
    found = rig.store.peek(rig.page.token)
    assert isinstance(found, Deferred)
    assert found.result == rig.page
