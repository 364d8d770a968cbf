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
from lbcompanion.testing.stores import FailingStore, a_page
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import EPOCH, HOST, Answer, Rig, read_answers, request
from tests.support.own_answers import guarded

BODY = b"<!doctype html><p>the copy of n2"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


def token_of(owner: str, seed: bytes = b"x", secret: bytes = SECRET) -> str:
    return Tokens(secret, owner, lambda count: (seed * count)[:count]).mint()


def a_copy(owner: str = "n2", body: bytes = BODY, **more: Any) -> Page:
    return attrs.evolve(a_page(token_of(owner), body), captured_at=EPOCH, **more)


def lines(rig: Rig, path: str, body: bytes, secret: bytes = SECRET) -> list[bytes]:
    fields = Signer(secret).sign("PUT", f"http://{HOST.decode()}{path}", "nonce-1", rig.now(), body)
    return [f"{key}: {value}".encode() for key, value in fields]


def send(rig: Rig, path: str, body: bytes, signed: list[bytes], *more: bytes) -> Answer:
    visitor = rig.connect()
    visitor.send(request(path.encode(), b"Content-Length: %d" % len(body), *signed, *more, method=b"PUT"))
    rig.run()
    for start in range(0, len(body), 65536):
        visitor.send(body[start : start + 65536])
        rig.run()
    (answer,) = read_answers(visitor.received, [b"PUT"], visitor.eof or visitor.closed)
    return answer


def put(rig: Rig, page: Page, age: Any = 1.0, path_token: str = "", body: bytes | None = None, **more: Any) -> Answer:
    """Give a copy as a node does."""
    written = page_to_frame(page, age=age).written() if body is None else body
    path = f"/_lbc/page/{path_token or page.token}"
    return send(rig, path, written, lines(rig, path, written, **more), b"Lbc-Hop: n2")


def held(rig: Rig) -> list[str]:
    found: list[str] = []
    rig.store.tokens().addCallback(found.extend)
    return found


def test_a_copy_is_kept_and_given_out_as_a_peers() -> None:
    rig = Rig(shared=False)
    page = a_copy()
    answer = put(rig, page)
    assert (answer.status, answer.body) == (204, b"")
    assert guarded(answer)
    told = {name: value.decode() for name, value in answer.fields}
    assert told[b"lbc-node"] == "n1"
    assert is_valid_proof(told[b"lbc-proof"], SECRET, "n1", page.token, "nonce-1", repr_digest(page.sha256))
    assert rig.counters.handed == {"taken": 1}
    fetched = rig.fetch(page.token)
    told = {name: value.decode("latin-1") for name, value in fetched.fields}
    assert (fetched.status, fetched.body) == (200, BODY)
    assert (told[b"lbc-node"], told[b"lbc-via"], told[b"lbc-page-method"]) == ("n1", "peer", "POST")
    assert told[b"lbc-captured-at"] == "2026-11-23T21:10:00.000000Z"
    assert is_valid_proof(told[b"lbc-proof"], SECRET, "n1", page.token, "nonce-1", told[b"repr-digest"])
    assert rig.fetch(page.token, "DELETE").status == 204
    assert rig.fetch(page.token).json["reason"] == "pulled"
    assert not any(page.token in line for line in rig.logged)


def test_where_nodes_share_a_store_it_is_the_stores() -> None:
    rig = Rig()
    page = a_copy()
    assert put(rig, page).status == 204
    assert rig.fetch(page.token).get(b"lbc-via") == b"store"


def test_it_expires_when_it_would_have() -> None:
    rig = Rig()
    page = a_copy()
    assert put(rig, page, age=590.0).status == 204
    rig.pass_time(9)
    assert rig.fetch(page.token).status == 200
    rig.pass_time(2)
    assert rig.fetch(page.token).json["reason"] == "expired"
    late = put(rig, a_copy("n3"), age=600.0)
    assert (late.status, held(rig)) == (410, [])


def test_given_twice_it_is_there_once() -> None:
    rig = Rig()
    page = a_copy()
    assert [put(rig, page).status for _ in range(2)] == [204, 204]
    assert held(rig) == [page.token]
    assert rig.counters.handed == {"taken": 1}
    other = put(rig, a_copy(body=b"another page", sha256=b""))
    assert other.status == 409
    assert rig.fetch(page.token).body == BODY


def test_what_the_crawler_has_does_not_come_back() -> None:
    rig = Rig()
    page = a_copy()
    put(rig, page)
    rig.fetch(page.token, "DELETE")
    assert put(rig, page).status == 204
    assert rig.fetch(page.token).json["reason"] == "pulled"


def test_its_own_comes_back() -> None:
    """It had given it away when it stopped, and whoever kept it stops now."""
    rig = Rig()
    page = a_copy("n1")
    assert rig.fetch(page.token).json["reason"] == "unknown"
    assert put(rig, page).status == 204
    answer = rig.fetch(page.token)
    assert (answer.body, answer.get(b"lbc-via")) == (BODY, b"own")


# Who may not.


def refused(rig: Rig, answer: Answer) -> bool:
    """403, and nothing learnt or kept."""
    assert answer.status == 403, (answer, rig.logged)
    assert answer.json == {"type": "about:blank", "status": 403}
    assert answer.all(b"lbc-node") == []
    assert answer.all(b"lbc-proof") == []
    assert held(rig) == []
    return rig.counters.fetches == {"forbidden": 1}


def test_unsigned() -> None:
    rig = Rig()
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    assert refused(rig, send(rig, f"/_lbc/page/{page.token}", body, [b"Lbc-Nonce: abc"]))


def test_unsigned_though_fetches_need_no_signature() -> None:
    rig = Rig(fetch=FetchTable(addresses=(ip_network("192.0.2.0/24"),), signature="off"))
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    assert refused(rig, send(rig, f"/_lbc/page/{page.token}", body, []))


def test_from_an_address_that_is_not_listed() -> None:
    rig = Rig(fetch=FetchTable(addresses=(ip_network("198.51.100.0/24"),)))
    assert refused(rig, put(rig, a_copy()))


def test_signed_with_another_secret() -> None:
    rig = Rig()
    assert refused(rig, put(rig, a_copy(), secret=b"another farm's"))


@attrs.frozen
class _Message:
    method: str
    url: str
    headers: dict[str, str]


def test_signed_by_a_foreign_crawler_who_may_fetch() -> None:
    pem = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rig = Rig(fetch=FetchTable(public_keys={"studio": bytes(pem)}))
    page = a_copy()
    body = page_to_frame(page, age=1.0).written()
    path = f"/_lbc/page/{page.token}"
    keys = MappingKeyResolver(public_keys={}, private_keys={"studio": KEY})
    signer = HTTPMessageSigner(signature_algorithm=algorithms.ED25519, key_resolver=keys)

    def signed(method: str, body: bytes | None) -> list[bytes]:
        message = _Message(method, f"http://{HOST.decode()}{path}", {"Lbc-Nonce": "abc"})
        created = datetime.fromtimestamp(int(rig.now()), UTC)
        covered = ("@method", "@authority", "@path", "lbc-nonce")
        signer.sign(message, key_id="studio", created=created, label="lbc", covered_component_ids=covered, body=body)
        return [f"{key}: {value}".encode() for key, value in message.headers.items()]

    assert rig.get(path.encode(), *signed("GET", None)).status == 404
    rig.counters.fetches.clear()
    assert refused(rig, send(rig, path, body, signed("PUT", body)))


def test_with_another_body_than_was_signed() -> None:
    rig = Rig()
    page = a_copy()
    path = f"/_lbc/page/{page.token}"
    body = page_to_frame(page, age=1.0).written()
    other = body.replace(b"the copy", b"a forgery")
    assert refused(rig, send(rig, path, other, lines(rig, path, body)))
    without = [line for line in lines(rig, path, body) if not line.startswith(b"Content-Digest")]
    rig.counters.fetches.clear()
    assert refused(rig, send(rig, path, body, without))


def test_a_signature_that_covers_no_body() -> None:
    rig = Rig()
    page = a_copy()
    path = f"/_lbc/page/{page.token}"
    body = page_to_frame(page, age=1.0).written()
    assert refused(rig, send(rig, path, body, rig.signed("PUT", path)))


def test_a_signature_for_another_page() -> None:
    rig = Rig()
    one, other = a_copy("n2"), a_copy("n3")
    body = page_to_frame(one, age=1.0).written()
    signed = lines(rig, f"/_lbc/page/{other.token}", body)
    assert refused(rig, send(rig, f"/_lbc/page/{one.token}", body, signed))


def test_who_may_not_is_told_before_the_body_comes() -> None:
    rig = Rig()
    visitor = rig.connect()
    head = [b"Content-Length: 4000000", b"Expect: 100-continue"]
    visitor.send(request(f"/_lbc/page/{token_of('n2')}".encode(), *head, method=b"PUT"))
    rig.run()
    (answer,) = read_answers(visitor.received, [b"PUT"], True)
    assert (answer.status, answer.interim) == (403, ())
    for _ in range(10):
        visitor.send(b"x" * 65536)
        rig.run()
    assert visitor.received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/_lbc/whoami", "/_lbc/notice", "/_lbc/nothing", "/_lbc/debug"])
def test_nothing_else_takes_a_put_nor_reads_it(path: str) -> None:
    rig = Rig()
    body = b"x" * 70000
    assert send(rig, path, body, lines(rig, path, body)).status in {404, 405}


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
    rig = Rig()
    answer = put(rig, page)
    assert answer.status == status, answer
    assert guarded(answer)
    assert held(rig) == []
    assert rig.counters.handed == {"refused": 1}


@pytest.mark.parametrize("age", [-1.0, "x", None, float("nan"), float("inf"), [], 1e300])
def test_an_age_that_is_none(age: Any) -> None:
    rig = Rig()
    assert put(rig, a_copy(), age=age).status in {400, 410}
    assert held(rig) == []


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"{}", b"[]", b"{", b"\xff\n", b'{"page": 5, "age": 1}\n', b"[" * 100000,
     b'{"page": {"token": "a"}, "age": 1}\n', b'{"page": {"kept_at": 1}, "age": 1}\n'],
)  # fmt: skip
def test_a_body_that_is_no_page(body: bytes) -> None:
    rig = Rig()
    assert put(rig, a_copy(), body=body).status == 400
    assert held(rig) == []


def test_another_page_than_the_address_names() -> None:
    rig = Rig()
    assert put(rig, a_copy("n2"), path_token=token_of("n3")).status == 400
    assert held(rig) == []


def test_the_size_is_bounded() -> None:
    rig = Rig(capture=CaptureTable(max_page_bytes=100_000))
    assert put(rig, a_copy(body=bytes(100_000), sha256=b"")).status == 204
    assert put(rig, a_copy("n3", body=bytes(100_001), sha256=b"")).status == 413
    # Far too much is not even listened to for long.
    page = a_copy("n4", body=bytes(100_001 + HEAD_BYTES), sha256=b"")
    assert put(rig, page).status == 413
    assert held(rig) == [token_of("n2")]


def test_a_page_that_the_store_can_never_keep() -> None:
    rig = Rig(store=StoreTable(max_bytes=1000))
    assert put(rig, a_copy(body=bytes(1001), sha256=b"")).status == 507
    assert put(rig, a_copy(body=bytes(1000), sha256=b"")).status == 204


def test_no_copy_of_this_nodes_own_makes_room() -> None:
    rig = Rig(store=StoreTable(max_pages=3))
    own = [own_page(rig) for _ in range(3)]
    answer = put(rig, a_copy())
    assert answer.status == 507
    assert held(rig) == own
    rig.fetch(own[0], "DELETE")
    assert put(rig, a_copy()).status == 204


def own_page(rig: Rig) -> str:
    token = rig.tokens.mint()
    rig.store.put(attrs.evolve(a_page(token), captured_at=EPOCH))
    return token


def test_one_that_leaves_itself_takes_nothing() -> None:
    rig = Rig()
    rig.leaving = True
    answer = put(rig, a_copy())
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert held(rig) == []


def test_a_store_that_fails_keeps_nothing() -> None:
    rig = Rig()
    rig = Rig(store=FailingStore(rig.store))
    answer = put(rig, a_copy())
    assert answer.status == 503
    assert "taken" not in rig.counters.handed


def test_that_it_hopped_changes_nothing() -> None:
    asked: list[Any] = []
    rig = Rig(pass_on=lambda method, owner, ask: asked.append(method))
    page = a_copy()
    written = page_to_frame(page, age=1.0).written()
    path = f"/_lbc/page/{page.token}"
    assert send(rig, path, written, lines(rig, path, written)).status == 204
    assert send(rig, path, written, lines(rig, path, written), b"Lbc-Hop: n3", b"Lbc-Hop: n4").status == 204
    assert asked == []


def test_a_tombstone_of_another_kind_gives_way() -> None:
    rig = Rig()
    page = a_copy()
    rig.store.mark(page.token, Miss(MissReason.EVICTED))
    assert put(rig, page).status == 204
    assert held(rig) == [page.token]
