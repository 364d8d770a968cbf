"""``PUT page/TOKEN``: the copies of a peer that stops, from nodes of this farm alone (docs/flow.rst)."""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

import attrs
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_message_signatures import HTTPMessageSigner, MappingKeyResolver, algorithms

from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.protocol.copies import HEAD_BYTES, page_to_frame
from lbcompanion.protocol.signatures import Signer
from lbcompanion.protocol.tokens import Tokens, is_valid_proof, repr_digest
from lbcompanion.settings import CaptureTable, FetchTable, StoreTable
from lbcompanion.testing.stores import FailingStore, make_page
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import EPOCH, HOST, InMemoryNode, VisitorResponse, read_responses, request
from tests.support.own_answers import guarded

BODY = b"<!doctype html><p>the copy of n2"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def token_of(owner: str, seed: bytes = b"x", secret: bytes = SECRET) -> str:
    return Tokens(secret, owner, lambda count: (seed * count)[:count]).mint()


def a_copy(owner: str = "n2", body: bytes = BODY, **more: Any) -> Page:
    return attrs.evolve(make_page(token_of(owner), body), captured_at=EPOCH, **more)


def lines(companion: InMemoryNode, path: str, body: bytes, secret: bytes = SECRET) -> list[bytes]:
    fields = Signer(secret).sign("PUT", f"http://{HOST.decode()}{path}", "nonce-1", companion.now(), body)
    return [f"{key}: {value}".encode() for key, value in fields]


def send(companion: InMemoryNode, path: str, body: bytes, signed: list[bytes], *more: bytes) -> VisitorResponse:
    visitor = companion.connect()
    visitor.send(request(path.encode(), b"Content-Length: %d" % len(body), *signed, *more, method=b"PUT"))
    companion.run()
    for start in range(0, len(body), 65536):
        visitor.send(body[start : start + 65536])
        companion.run()
    (answer,) = read_responses(visitor.received, [b"PUT"], visitor.eof or visitor.closed)
    return answer


def put(
    companion: InMemoryNode, page: Page, age: Any = 1.0, path_token: str = "", body: bytes | None = None, **more: Any
) -> VisitorResponse:
    """Give a copy as a node does."""
    written = page_to_frame(page, age=age).written() if body is None else body
    path = f"/_lbc/page/{path_token or page.token}"
    return send(companion, path, written, lines(companion, path, written, **more), b"Lbc-Hop: n2")


def held(companion: InMemoryNode) -> list[str]:
    found: list[str] = []
    companion.store.tokens().addCallback(found.extend)
    return found


def test_a_copy_is_kept_and_given_out_as_a_peers() -> None:
    companion = InMemoryNode(shared=False)
    page = a_copy()
    answer = put(companion, page)
    assert (answer.status, answer.body) == (204, b"")
    assert guarded(answer)
    told = {name: value.decode() for name, value in answer.fields}
    assert told[b"lbc-node"] == "n1"
    assert is_valid_proof(told[b"lbc-proof"], SECRET, "n1", page.token, "nonce-1", repr_digest(page.sha256))
    assert companion.counters.copies_transferred == {"taken": 1}
    fetched = companion.fetch(page.token)
    told = {name: value.decode("latin-1") for name, value in fetched.fields}
    assert (fetched.status, fetched.body) == (200, BODY)
    assert (told[b"lbc-node"], told[b"lbc-via"], told[b"lbc-page-method"]) == ("n1", "peer", "POST")
    assert told[b"lbc-captured-at"] == "2026-11-23T21:10:00.000000Z"
    assert is_valid_proof(told[b"lbc-proof"], SECRET, "n1", page.token, "nonce-1", told[b"repr-digest"])
    assert companion.fetch(page.token, "DELETE").status == 204
    assert companion.fetch(page.token).json["reason"] == "pulled"
    assert not any(page.token in line for line in companion.logged)


def test_its_head_comes_along_and_its_bytes_need_room() -> None:
    companion = InMemoryNode(shared=False)
    page = attrs.evolve(a_copy(), head=b"HTTP/1.1 200 OK\r\nX-A: \xfc\r\n\r\nSet-Cookie\r\n")
    assert put(companion, page).status == 204
    assert companion.fetch(page.token, "GET", b"Lbc-Page-Head: 1").body == BODY + page.head
    small = InMemoryNode(shared=False, store=StoreTable(max_bytes=page.size - 1))
    assert put(small, page).status == 507
    assert put(small, attrs.evolve(page, head=b"")).status == 204


def test_where_nodes_share_a_store_it_is_the_stores() -> None:
    companion = InMemoryNode()
    page = a_copy()
    assert put(companion, page).status == 204
    assert companion.fetch(page.token).get(b"lbc-via") == b"store"


def test_it_expires_when_it_would_have() -> None:
    companion = InMemoryNode()
    page = a_copy()
    assert put(companion, page, age=590.0).status == 204
    companion.pass_time(9)
    assert companion.fetch(page.token).status == 200
    companion.pass_time(2)
    assert companion.fetch(page.token).json["reason"] == "expired"
    late = put(companion, a_copy("n3"), age=600.0)
    assert (late.status, held(companion)) == (410, [])


def test_given_twice_it_is_there_once() -> None:
    companion = InMemoryNode()
    page = a_copy()
    assert [put(companion, page).status for _ in range(2)] == [204, 204]
    assert held(companion) == [page.token]
    assert companion.counters.copies_transferred == {"taken": 1}
    other = put(companion, a_copy(body=b"another page", sha256=b""))
    assert other.status == 409
    assert companion.fetch(page.token).body == BODY


def test_what_the_crawler_has_does_not_come_back() -> None:
    companion = InMemoryNode()
    page = a_copy()
    put(companion, page)
    companion.fetch(page.token, "DELETE")
    assert put(companion, page).status == 204
    assert companion.fetch(page.token).json["reason"] == "pulled"


def test_its_own_comes_back() -> None:
    """The owner had handed the copy over when it stopped, and now the keeper stops."""
    companion = InMemoryNode()
    page = a_copy("n1")
    assert companion.fetch(page.token).json["reason"] == "unknown"
    assert put(companion, page).status == 204
    answer = companion.fetch(page.token)
    assert (answer.body, answer.get(b"lbc-via")) == (BODY, b"own")


# Who may not.


def refused(companion: InMemoryNode, answer: VisitorResponse) -> bool:
    """403, and nothing learnt or kept."""
    assert answer.status == 403, (answer, companion.logged)
    assert answer.json == {"type": "about:blank", "status": 403}
    assert answer.all(b"lbc-node") == []
    assert answer.all(b"lbc-proof") == []
    assert held(companion) == []
    return companion.counters.fetches == {"forbidden": 1}


def test_unsigned() -> None:
    companion = InMemoryNode()
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    assert refused(companion, send(companion, f"/_lbc/page/{page.token}", body, [b"Lbc-Nonce: abc"]))


def test_unsigned_though_fetches_need_no_signature() -> None:
    companion = InMemoryNode(fetch=FetchTable(addresses=(ip_network("192.0.2.0/24"),), signature="off"))
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    assert refused(companion, send(companion, f"/_lbc/page/{page.token}", body, []))


def test_from_an_address_that_is_not_listed() -> None:
    companion = InMemoryNode(fetch=FetchTable(addresses=(ip_network("198.51.100.0/24"),)))
    assert refused(companion, put(companion, a_copy()))


def test_signed_with_another_secret() -> None:
    companion = InMemoryNode()
    assert refused(companion, put(companion, a_copy(), secret=b"another farm's"))


@attrs.frozen
class _Message:
    method: str
    url: str
    headers: dict[str, str]


def test_signed_by_a_foreign_crawler_who_may_fetch() -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    companion = InMemoryNode(fetch=FetchTable(public_keys={"studio": bytes(pem)}))
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    path = f"/_lbc/page/{page.token}"
    keys = MappingKeyResolver(public_keys={}, private_keys={"studio": KEY})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=keys)

    def signed(method: str, body: bytes | None) -> list[bytes]:
        message = _Message(method, f"http://{HOST.decode()}{path}", {"Lbc-Nonce": "abc"})
        created = datetime.fromtimestamp(int(companion.now()), UTC)
        covered = ("@method", "@authority", "@path", "lbc-nonce")
        signer.sign(message, key_id="studio", created=created, label="lbc", covered_component_ids=covered, body=body)
        return [f"{key}: {value}".encode() for key, value in message.headers.items()]

    assert companion.get(path.encode(), *signed("GET", None)).status == 404
    companion.counters.fetches.clear()
    assert refused(companion, send(companion, path, body, signed("PUT", body)))


def test_with_another_body_than_was_signed() -> None:
    companion = InMemoryNode()
    page = a_copy()
    path = f"/_lbc/page/{page.token}"
    body = page_to_frame(page, age=1.0).written()
    other = body.replace(b"the copy", b"a forgery")
    assert refused(companion, send(companion, path, other, lines(companion, path, body)))
    without = [line for line in lines(companion, path, body) if not line.startswith(b"Content-Digest")]
    companion.counters.fetches.clear()
    assert refused(companion, send(companion, path, body, without))


def test_a_signature_that_covers_no_body() -> None:
    companion = InMemoryNode()
    page = a_copy()
    path = f"/_lbc/page/{page.token}"
    body = page_to_frame(page, age=1.0).written()
    assert refused(companion, send(companion, path, body, companion.signed("PUT", path)))


def test_a_signature_for_another_page() -> None:
    companion = InMemoryNode()
    one, other = a_copy("n2"), a_copy("n3")
    body = page_to_frame(one, age=1.0).written()
    signed = lines(companion, f"/_lbc/page/{other.token}", body)
    assert refused(companion, send(companion, f"/_lbc/page/{one.token}", body, signed))


def test_a_forbidden_put_is_refused_before_its_body() -> None:
    companion = InMemoryNode()
    visitor = companion.connect()
    head = [b"Content-Length: 4000000", b"Expect: 100-continue"]
    visitor.send(request(f"/_lbc/page/{token_of('n2')}".encode(), *head, method=b"PUT"))
    companion.run()
    (answer,) = read_responses(visitor.received, [b"PUT"], True)
    assert (answer.status, answer.interim) == (403, ())
    for _ in range(10):
        visitor.send(b"x" * 65536)
        companion.run()
    assert visitor.received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/_lbc/whoami", "/_lbc/notice", "/_lbc/nothing", "/_lbc/debug"])
def test_nothing_else_takes_a_put_nor_reads_it(path: str) -> None:
    companion = InMemoryNode()
    body = b"x" * 70000
    assert send(companion, path, body, lines(companion, path, body)).status in {404, 405}


# What is not taken of a node of this farm.


@pytest.mark.parametrize(
    ("page", "status"),
    [
        (attrs.evolve(a_copy(), token=token_of("n2", secret=b"another farm's")), 400),
        (attrs.evolve(a_copy(), token="1" + "x" * 40), 400),
        (attrs.evolve(a_copy(), sha256=bytes(32)), 400),
        (a_copy(url="https://www.example.com/\r\nSet-Cookie: a=b"), 400),
        (a_copy(url="file:///etc/passwd"), 400),
        (a_copy(method="GET\r\nA: b"), 400),
        (a_copy(content_type="text/html\r\nSet-Cookie: a=b"), 400),
        (a_copy(content_type="text/\u2028html"), 400),
        (a_copy(status=7), 400),
        (attrs.evolve(a_copy(), status="200"), 400),  # type: ignore[arg-type]
        (attrs.evolve(a_copy(), captured_at=1e30), 400),
        (attrs.evolve(a_copy(), captured_at=float("nan")), 400),
    ],
)
def test_what_no_node_gives_is_refused(page: Page, status: int) -> None:
    companion = InMemoryNode()
    answer = put(companion, page)
    assert answer.status == status, answer
    assert guarded(answer)
    assert held(companion) == []
    assert companion.counters.copies_transferred == {"refused": 1}


@pytest.mark.slow
@pytest.mark.parametrize("age", [-1.0, "x", None, float("nan"), float("inf"), [], 1e300])
def test_an_invalid_age(age: Any) -> None:
    companion = InMemoryNode()
    assert put(companion, a_copy(), age=age).status in {400, 410}
    assert held(companion) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"{}", b"[]", b"{", b"\xff\n", b'{"page": 5, "age": 1}\n', b"[" * 100000,
     b'{"page": {"token": "a"}, "age": 1}\n', b'{"page": {"kept_at": 1}, "age": 1}\n'],
)  # fmt: skip
def test_a_body_that_is_no_page(body: bytes) -> None:
    companion = InMemoryNode()
    assert put(companion, a_copy(), body=body).status == 400
    assert held(companion) == []


def test_another_page_than_the_address_names() -> None:
    companion = InMemoryNode()
    assert put(companion, a_copy("n2"), path_token=token_of("n3")).status == 400
    assert held(companion) == []


def test_the_size_is_bounded() -> None:
    companion = InMemoryNode(capture=CaptureTable(max_page_bytes=100_000))
    assert put(companion, a_copy(body=bytes(100_000), sha256=b"")).status == 204
    assert put(companion, a_copy("n3", body=bytes(100_001), sha256=b"")).status == 413
    # Far too much is not even listened to for long.
    page = a_copy("n4", body=bytes(100_001 + HEAD_BYTES), sha256=b"")
    assert put(companion, page).status == 413
    assert held(companion) == [token_of("n2")]


def test_a_page_that_the_store_can_never_keep() -> None:
    companion = InMemoryNode(store=StoreTable(max_bytes=1000))
    assert put(companion, a_copy(body=bytes(1001), sha256=b"")).status == 507
    assert put(companion, a_copy(body=bytes(1000), sha256=b"")).status == 204


def test_no_copy_of_this_nodes_own_makes_room() -> None:
    companion = InMemoryNode(store=StoreTable(max_pages=3))
    own = [own_page(companion) for _ in range(3)]
    answer = put(companion, a_copy())
    assert answer.status == 507
    assert held(companion) == own
    companion.fetch(own[0], "DELETE")
    assert put(companion, a_copy()).status == 204


def own_page(companion: InMemoryNode) -> str:
    token = companion.tokens.mint()
    companion.store.put(attrs.evolve(make_page(token), captured_at=EPOCH))
    return token


def test_one_that_leaves_itself_takes_nothing() -> None:
    companion = InMemoryNode()
    companion.leaving = True
    answer = put(companion, a_copy())
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert held(companion) == []


def test_a_store_that_fails_keeps_nothing() -> None:
    companion = InMemoryNode()
    companion = InMemoryNode(store=FailingStore(companion.store))
    answer = put(companion, a_copy())
    assert answer.status == 503
    assert "taken" not in companion.counters.copies_transferred


def test_that_it_hopped_changes_nothing() -> None:
    asked: list[Any] = []
    companion = InMemoryNode(ask_peers=lambda method, owner, ask: asked.append(method))
    page = a_copy()
    written = page_to_frame(page, age=1.0).written()
    path = f"/_lbc/page/{page.token}"
    assert send(companion, path, written, lines(companion, path, written)).status == 204
    assert send(companion, path, written, lines(companion, path, written), b"Lbc-Hop: n3", b"Lbc-Hop: n4").status == 204
    assert asked == []


def test_a_tombstone_of_another_kind_gives_way() -> None:
    companion = InMemoryNode()
    page = a_copy()
    companion.store.mark(page.token, Miss(MissReason.EVICTED))
    assert put(companion, page).status == 204
    assert held(companion) == [page.token]
