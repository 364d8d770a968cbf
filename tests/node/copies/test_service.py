"""Copies as they are given out: proofs, misses with their reasons, and stores that fail."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from twisted.internet.defer import Deferred, fail, succeed

from lbcompanion.errors import PageNotReady
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.node.copies.service import CopyRequest
from lbcompanion.node.proxy.context import InternalResponse
from lbcompanion.protocol.confirmations import write_confirmation
from lbcompanion.protocol.tokens import Tokens, is_valid_proof
from lbcompanion.settings import CaptureTable, FetchTable, StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import PAGE, InMemoryNode, VisitorResponse, html, request
from tests.support.own_answers import FailingTakeStore, digest, guarded, proved, with_page


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_copy_with_proof_and_digest(method: str) -> None:
    companion, token = with_page()
    answer = companion.fetch(token, method, nonce="abc")
    assert answer.status == 200
    assert answer.body == (PAGE if method == "GET" else b"")
    told = {name: value.decode() for name, value in answer.fields}
    # Otherwise a balancer that changes HTML would change the copy.
    assert told[b"content-type"] == "application/octet-stream"
    assert told[b"lbc-page-type"] == "text/html; charset=utf-8"
    assert told[b"cache-control"] == "no-store, no-transform"
    assert told[b"content-length"] == str(len(PAGE))
    assert told[b"lbc-node"] == "n1"
    assert told[b"lbc-page-url"] == "http://www.example.com/shop?q=1"
    assert (told[b"lbc-page-method"], told[b"lbc-page-status"], told[b"lbc-via"]) == ("GET", "200", "own")
    assert told[b"lbc-captured-at"] == "2026-11-23T21:26:40.000000Z"
    assert told[b"repr-digest"] == digest(PAGE)
    assert told[b"lbc-proof"].encode() == proved("n1", token, "abc", digest(PAGE))
    assert guarded(answer, b"no-store, no-transform")


def test_a_copy_with_its_head_for_a_caller_that_asks_for_it() -> None:
    companion = InMemoryNode()
    body = b"HTTP/1.1 200 Yes\r\nContent-Type: text/html\r\nSet-Cookie: secret\r\nX-A: b\r\n"
    companion.application.answers(body + b"Content-Length: %d\r\n\r\n" % len(PAGE) + PAGE)
    companion.get()
    token = companion.page.token
    lines = b"Content-Type: text/html\r\nX-A: b\r\nContent-Length: %d\r\n" % len(PAGE)
    removed = b"Lbc-Removed: elements=0, blocks=0, documents=0\r\n"
    head = b"HTTP/1.1 200 Yes\r\n" + lines + removed + b"\r\nSet-Cookie\r\n"
    for method in ("GET", "HEAD"):
        answer = companion.fetch(token, method, b"Lbc-Page-Head: 1", nonce="abc")
        assert answer.body == (PAGE + head if method == "GET" else b"")
        told = {name: value.decode() for name, value in answer.fields}
        assert (told[b"content-length"], told[b"lbc-page-head"]) == (str(len(PAGE + head)), str(len(head)))
        assert told[b"repr-digest"] == digest(PAGE + head)
        assert is_valid_proof(told[b"lbc-proof"], SECRET, "n1", token, "abc", digest(PAGE + head), str(len(head)))
    for fields in ((), (b"Lbc-Page-Head: 0",), (b"Lbc-Page-Head: 1, 1",)):
        answer = companion.fetch(token, "GET", *fields)
        assert (answer.body, answer.all(b"lbc-page-head")) == (PAGE, [])


def test_a_crawler_of_version_0_1_gets_the_pages_type() -> None:
    companion, token = with_page()
    path = f"/_lbc/page/{token}"
    answer = companion.get(path.encode(), *companion.signed("GET", path))
    assert answer.all(b"content-type") == [b"text/html; charset=utf-8"]
    assert answer.all(b"lbc-page-type") == [b"text/html; charset=utf-8"]
    assert answer.body == PAGE


def test_without_a_nonce_there_is_no_proof_and_with_an_odd_one_neither() -> None:
    companion = InMemoryNode(fetch=FetchTable(addresses=(ip_network("192.0.2.0/24"),), signature="off"))
    companion.get()
    path = f"/_lbc/page/{companion.page.token}".encode()
    assert companion.get(path).all(b"lbc-proof") == []
    assert companion.get(path, b"Lbc-Nonce: a b").all(b"lbc-proof") == []
    assert len(companion.get(path, b"Lbc-Nonce: ab").all(b"lbc-proof")) == 1


def test_head_takes_nothing_away_and_a_pull_has_a_grace() -> None:
    companion, token = with_page()
    for _ in range(3):
        assert companion.fetch(token, "HEAD").status == 200
    companion.pass_time(61, 10)
    assert companion.fetch(token).status == 200
    # A crawler that asks again did not get the copy whole: the grace begins again.
    for _ in range(3):
        companion.pass_time(59, 10)
        assert companion.fetch(token).status == 200
    companion.pass_time(59, 10)
    assert companion.fetch(token, "HEAD").status == 200
    companion.pass_time(2)
    missed = companion.fetch(token)
    assert (missed.status, missed.json["reason"]) == (404, "pulled")


def test_a_delete_confirms() -> None:
    companion, token = with_page()
    for _ in range(2):
        answer = companion.fetch(token, "DELETE")
        assert (answer.status, answer.body, answer.all(b"content-length")) == (204, b"", [])
        assert guarded(answer)
    assert companion.fetch(token).json["reason"] == "pulled"


def test_a_post_confirms() -> None:
    companion, token = with_page()
    path = f"/_lbc/page/{token}/done"
    assert companion.get(path.encode(), method=b"POST").status == 403
    assert companion.fetch(token).status == 200
    for _ in range(2):
        answer = companion.get(path.encode(), *companion.signed("POST", path), method=b"POST")
        assert (answer.status, answer.body) == (204, b"")
        assert guarded(answer)
    assert companion.fetch(token).json["reason"] == "pulled"
    other = path.replace("done", "more")
    assert companion.get(other.encode(), *companion.signed("POST", other), method=b"POST").status == 404


def confirm_several(companion: InMemoryNode, body: bytes, signed: bytes | None = None) -> VisitorResponse:
    fields = companion.signed("POST", "/_lbc/done", body if signed is None else signed)
    length = b"Content-Length: %d" % len(body)
    asked = request(b"/_lbc/done", *fields, length, method=b"POST") + body
    (answer,) = companion.ask(asked, methods=[b"POST"])
    return answer


def test_a_post_confirms_several() -> None:
    companion, token = with_page()
    other = Tokens(SECRET, "n2", lambda count: b"\x01" * count).mint()
    body = write_confirmation([token, other, "nonsense"])
    assert confirm_several(companion, body, signed=b"another").status == 403
    assert confirm_several(companion, b"{}").status == 400
    assert companion.fetch(token).status == 200
    answer = confirm_several(companion, body)
    assert answer.status == 200
    assert answer.json == {"results": {token: 204, other: 404, "nonsense": 404}}
    assert guarded(answer)
    assert answer.get(b"lbc-proof") == proved("n1", "", "nonce-1", digest(answer.body))
    assert companion.fetch(token).json["reason"] == "pulled"
    unsigned = request(b"/_lbc/done", b"Content-Length: %d" % len(body), method=b"POST") + body
    assert companion.ask(unsigned, methods=[b"POST"])[0].status == 403
    assert companion.get(b"/_lbc/done").status == 405


def test_copies_may_outlive_a_pull() -> None:
    companion = InMemoryNode()
    companion.store = MemoryStore(StoreTable(delete_after_pull=False), companion.now)
    companion.copies.use_store(companion.store)
    companion.get()
    token = companion.page.token
    assert companion.fetch(token).status == 200
    assert companion.fetch(token, "DELETE").status == 204
    companion.pass_time(500, 50)
    assert companion.fetch(token).status == 200
    companion.pass_time(101, 50)
    assert companion.fetch(token).json["reason"] == "expired"


@pytest.mark.parametrize("reason", [MissReason.EXPIRED, MissReason.EVICTED, MissReason.PULLED, MissReason.UNKNOWN])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_misses_tell_their_reason_and_can_be_believed(reason: MissReason, method: str) -> None:
    companion = InMemoryNode()
    token = companion.tokens.mint()
    companion.store.mark(token, Miss(reason, "since it was so"))
    answer = companion.fetch(token, method, nonce="abc")
    assert answer.status == 404
    assert answer.get(b"content-type") == b"application/problem+json"
    assert guarded(answer)
    if method == "GET":
        assert answer.json["reason"] == reason.value
        assert answer.get(b"lbc-proof") == proved("n1", token, "abc", digest(answer.body))


def test_a_page_that_was_lost_on_its_way_is_unknown_with_a_reason() -> None:
    companion = InMemoryNode(capture=CaptureTable(max_page_bytes=10))
    companion.application.answers(
        html(b"", b"Transfer-Encoding: chunked", length=False) + b"59\r\n" + PAGE + b"\r\n0\r\n\r\n"
    )
    body = companion.get().body
    token = body.partition(b'data-lbc-token="')[2].partition(b'"')[0].decode()
    answer = companion.fetch(token)
    assert answer.status == 404
    assert answer.json["reason"] == "unknown"
    assert answer.json["detail"] == "larger than max_page_bytes"


def test_a_page_on_its_way_is_asked_for_again() -> None:
    companion = InMemoryNode()
    answer = companion.fetch(companion.copies.mint_token())
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert guarded(answer)
    token = companion.copies.mint_token()
    companion.pass_time(121, 60)
    assert companion.fetch(token).json["reason"] == "unknown"


def test_a_token_of_another_node_is_misrouted() -> None:
    companion = InMemoryNode()
    token = Tokens(SECRET, "n2", bytes).mint()
    for method in ("GET", "DELETE"):
        answer = companion.fetch(token, method)
        assert answer.status == 404
        assert (answer.json["reason"], answer.json["owner"]) == ("misrouted", "n2")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_forged_token_never_reaches_the_store(method: str) -> None:
    companion = InMemoryNode(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    token = companion.tokens.mint()
    forged = token[:5] + ("A" if token[5] != "A" else "B") + token[6:]
    other = Tokens(b"another farm's secret", "n1", bytes).mint()
    for wrong in (forged, other, "x", "a" * 63, "a" * 64, "a.b", "a/b", "", "%2e%2e"):
        answer = companion.fetch(wrong, method)
        assert answer.status == 404, wrong
        if method != "HEAD":
            assert answer.json["reason"] == "unknown"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_failing_store_is_503(method: str) -> None:
    companion = InMemoryNode(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    answer = companion.fetch(companion.tokens.mint(), method)
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert guarded(answer)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_so_is_a_store_that_raises(method: str) -> None:
    companion = InMemoryNode(store=FailingTakeStore(StoreTable(), lambda: 0.0))
    assert companion.fetch(companion.tokens.mint(), method).status == 503


def sharing() -> tuple[InMemoryNode, InMemoryNode, str]:
    """Two nodes, and the token of a page of the first one's."""
    store = MemoryStore(StoreTable(), lambda: 1000.0)
    one, other = InMemoryNode(store=store), InMemoryNode(store=store, name="n2")
    one.get(b"/shop?q=1")
    return one, other, one.page.token


def test_any_node_answers_from_a_central_store() -> None:
    one, other, token = sharing()
    answer = other.fetch(token, nonce="abc")
    assert (answer.status, answer.body) == (200, PAGE)
    assert (answer.get(b"lbc-node"), answer.get(b"lbc-via")) == (b"n2", b"store")
    assert answer.get(b"lbc-proof") == proved("n2", token, "abc", digest(PAGE))
    assert one.fetch(token).get(b"lbc-via") == b"own"
    assert other.fetch(token, "DELETE").status == 204
    for companion in (one, other):
        assert (companion.fetch(token).status, companion.fetch(token).json["reason"]) == (404, "pulled")


def test_any_node_knows_what_became_of_a_page() -> None:
    one, other, _ = sharing()
    token = one.copies.mint_token()
    one.copies.record_loss(token, "grew too large")
    told = other.fetch(token).json
    assert (told["reason"], told["detail"]) == ("unknown", "grew too large")
    one.store.mark(token, Miss(MissReason.EXPIRED))
    assert other.fetch(token).json["reason"] == "expired"
    assert other.fetch(token, "DELETE").json["reason"] == "expired"
    # Of a page that is on its way into the store only its owner knows.
    assert other.fetch(one.copies.mint_token()).json == {
        "type": "about:blank", "title": "no copy here", "status": 404, "reason": "misrouted", "owner": "n1"
    }  # fmt: skip


class _SilentStore(MemoryStore):
    """A store of several processes, of which one does not respond."""

    def take(self, token: str) -> Deferred[Page | Miss]:
        return fail(PageNotReady("a process does not respond"))

    peek = take

    def drop(self, token: str) -> Deferred[bool]:
        return fail(PageNotReady("a process does not respond"))


@pytest.mark.parametrize("owner", ["n1", "n2"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_process_that_does_not_respond_is_503(method: str, owner: str) -> None:
    companion = InMemoryNode()
    companion.copies.use_store(_SilentStore(StoreTable(), companion.now))
    answer = companion.fetch(Tokens(SECRET, owner, bytes).mint(), method)
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert companion.copies.store_works


@pytest.mark.parametrize(("status", "expected"), [(200, 200), (404, 503), (503, 503)])
def test_a_copy_of_another_node_is_asked_for_there_although_a_process_does_not_respond(
    status: int, expected: int
) -> None:
    def ask_peers(method: bytes, owner: str, ask: CopyRequest) -> Deferred[InternalResponse | None]:
        return succeed(InternalResponse(status, [], PAGE))

    companion = InMemoryNode(ask_peers=ask_peers)
    companion.copies.use_store(_SilentStore(StoreTable(), companion.now))
    assert companion.fetch(Tokens(SECRET, "n2", bytes).mint()).status == expected
