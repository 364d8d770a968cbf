"""What the companion answers itself: statuses, headers, proofs (docs/reference-listener.rst)."""

from __future__ import annotations

import json
from base64 import b64encode
from ipaddress import ip_network
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from lbcompanion.model import Miss, MissReason
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.settings import CaptureTable, FetchTable, StoreTable, ToCrawlerTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import FailingStore
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import HOST, PAGE, Rig, html
from tests.support.own_answers import Odd, digest, guarded, proved, refused, with_page

# page


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_copy_with_proof_and_digest(method: str) -> None:
    rig, token = with_page()
    answer = rig.fetch(token, method, nonce="abc")
    assert answer.status == 200
    assert answer.body == (PAGE if method == "GET" else b"")
    told = {name: value.decode() for name, value in answer.fields}
    assert told[b"content-type"] == "text/html; charset=utf-8"
    assert told[b"content-length"] == str(len(PAGE))
    assert told[b"lbc-node"] == "n1"
    assert told[b"lbc-page-url"] == "http://www.example.com/shop?q=1"
    assert (told[b"lbc-page-method"], told[b"lbc-page-status"], told[b"lbc-via"]) == ("GET", "200", "own")
    assert told[b"lbc-captured-at"] == "2026-11-23T21:26:40.000000Z"
    assert told[b"repr-digest"] == digest(PAGE)
    assert told[b"lbc-proof"].encode() == proved("n1", token, "abc", digest(PAGE))
    assert guarded(answer)


def test_without_a_nonce_there_is_no_proof_and_with_an_odd_one_neither() -> None:
    rig = Rig(fetch=FetchTable(addresses=(ip_network("192.0.2.0/24"),), signature="off"))
    rig.get()
    path = f"/_lbc/page/{rig.page.token}".encode()
    assert rig.get(path).all(b"lbc-proof") == []
    assert rig.get(path, b"Lbc-Nonce: a b").all(b"lbc-proof") == []
    assert len(rig.get(path, b"Lbc-Nonce: ab").all(b"lbc-proof")) == 1


def test_head_takes_nothing_away_and_a_pull_has_a_grace() -> None:
    rig, token = with_page()
    for _ in range(3):
        assert rig.fetch(token, "HEAD").status == 200
    rig.pass_time(61, 10)
    assert rig.fetch(token).status == 200
    rig.pass_time(59, 10)
    assert rig.fetch(token).status == 200
    rig.pass_time(2)
    missed = rig.fetch(token)
    assert (missed.status, missed.json["reason"]) == (404, "pulled")


def test_a_delete_confirms() -> None:
    rig, token = with_page()
    for _ in range(2):
        answer = rig.fetch(token, "DELETE")
        assert (answer.status, answer.body, answer.all(b"content-length")) == (204, b"", [])
        assert guarded(answer)
    assert rig.fetch(token).json["reason"] == "pulled"


def test_copies_may_outlive_a_pull() -> None:
    rig = Rig()
    rig.store = MemoryStore(StoreTable(delete_after_pull=False), rig.now)
    rig.copies.live_in(rig.store)
    rig.get()
    token = rig.page.token
    assert rig.fetch(token).status == 200
    assert rig.fetch(token, "DELETE").status == 204
    rig.pass_time(500, 50)
    assert rig.fetch(token).status == 200
    rig.pass_time(101, 50)
    assert rig.fetch(token).json["reason"] == "expired"


@pytest.mark.parametrize("reason", [MissReason.EXPIRED, MissReason.EVICTED, MissReason.PULLED, MissReason.UNKNOWN])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_misses_tell_their_reason_and_can_be_believed(reason: MissReason, method: str) -> None:
    rig = Rig()
    token = rig.tokens.mint()
    rig.store.mark(token, Miss(reason, "since it was so"))
    answer = rig.fetch(token, method, nonce="abc")
    assert answer.status == 404
    assert answer.get(b"content-type") == b"application/problem+json"
    assert guarded(answer)
    if method == "GET":
        assert answer.json["reason"] == reason.value
        assert answer.get(b"lbc-proof") == proved("n1", token, "abc", digest(answer.body))


def test_a_page_that_was_lost_on_its_way_is_unknown_with_a_reason() -> None:
    rig = Rig(capture=CaptureTable(max_page_bytes=10))
    rig.app.answers(html(b"", b"Transfer-Encoding: chunked", length=False) + b"59\r\n" + PAGE + b"\r\n0\r\n\r\n")
    body = rig.get().body
    token = body.partition(b'data-lbc-token="')[2].partition(b'"')[0].decode()
    answer = rig.fetch(token)
    assert answer.status == 404
    assert answer.json["reason"] == "unknown"
    assert answer.json["detail"] == "larger than max_page_bytes"


def test_a_page_on_its_way_is_asked_for_again() -> None:
    rig = Rig()
    answer = rig.fetch(rig.copies.begin())
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert guarded(answer)
    token = rig.copies.begin()
    rig.pass_time(121, 60)
    assert rig.fetch(token).json["reason"] == "unknown"


def test_a_token_of_another_node_is_misrouted() -> None:
    rig = Rig()
    token = Tokens(SECRET, "n2", bytes).mint()
    for method in ("GET", "DELETE"):
        answer = rig.fetch(token, method)
        assert answer.status == 404
        assert (answer.json["reason"], answer.json["owner"]) == ("misrouted", "n2")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_forged_token_never_reaches_the_store(method: str) -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    token = rig.tokens.mint()
    forged = token[:5] + ("A" if token[5] != "A" else "B") + token[6:]
    other = Tokens(b"another farm's secret", "n1", bytes).mint()
    for wrong in (forged, other, "x", "a" * 63, "a" * 64, "a.b", "a/b", "", "%2e%2e"):
        answer = rig.fetch(wrong, method)
        assert answer.status == 404, wrong
        if method != "HEAD":
            assert answer.json["reason"] == "unknown"


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_a_failing_store_is_503(method: str) -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    answer = rig.fetch(rig.tokens.mint(), method)
    assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
    assert guarded(answer)


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
def test_so_is_a_store_that_raises(method: str) -> None:
    rig = Rig(store=Odd(StoreTable(), lambda: 0.0))
    assert rig.fetch(rig.tokens.mint(), method).status == 503


# A store that several nodes share.


def sharing() -> tuple[Rig, Rig, str]:
    """Two nodes, and the token of a page of the first one's."""
    store = MemoryStore(StoreTable(), lambda: 1000.0)
    one, other = Rig(store=store), Rig(store=store, name="n2")
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
    for rig in (one, other):
        assert (rig.fetch(token).status, rig.fetch(token).json["reason"]) == (404, "pulled")


def test_any_node_knows_what_became_of_a_page() -> None:
    one, other, _ = sharing()
    token = one.copies.begin()
    one.copies.lost(token, "grew too large")
    told = other.fetch(token).json
    assert (told["reason"], told["detail"]) == ("unknown", "grew too large")
    one.store.mark(token, Miss(MissReason.EXPIRED))
    assert other.fetch(token).json["reason"] == "expired"
    assert other.fetch(token, "DELETE").json["reason"] == "expired"
    # Of a page that is on its way into the store only its owner knows.
    assert other.fetch(one.copies.begin()).json == {
        "type": "about:blank", "title": "no copy here", "status": 404, "reason": "misrouted", "owner": "n1"
    }  # fmt: skip


# Who may fetch.


def test_who_is_not_known_learns_nothing() -> None:
    rig, token = with_page()
    path = f"/_lbc/page/{token}"
    signed = rig.signed("GET", path)
    refused(rig, rig.get(path.encode()))
    refused(rig, rig.get(b"/_lbc/page/nonsense"))
    refused(rig, rig.get(path.encode() + b"x", *signed))
    refused(rig, rig.get(path.encode(), *signed, method=b"DELETE"))
    refused(rig, rig.get(path.encode(), *(line.replace(b"nonce-1", b"nonce-2") for line in signed)))
    refused(rig, rig.get(path.encode(), *signed[:-1]))
    for away in (301, -302):
        old = rig.signer.sign("GET", f"http://{HOST.decode()}{path}", "n", rig.now() - away)
        refused(rig, rig.get(path.encode(), *(f"{key}: {value}".encode() for key, value in old)))
    assert not any(token in line for line in rig.logged)
    assert rig.fetch(token).status == 200


def test_a_foreign_crawler_is_let_in_by_its_key() -> None:
    key = Ed25519PrivateKey.generate()
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    rig, token = with_page(fetch=FetchTable(public_keys={"them": pem}))
    path = f"/_lbc/page/{token}"
    parameters = f'("@method" "@authority" "@path" "lbc-nonce");created={int(rig.now())};keyid="them";alg="ed25519"'
    base = (
        f'"@method": GET\n"@authority": {HOST.decode()}\n"@path": {path}\n"lbc-nonce": n\n'
        f'"@signature-params": {parameters}'
    )
    signature = b64encode(key.sign(base.encode())).decode()
    fields = [b"Lbc-Nonce: n", f"Signature-Input: lbc={parameters}".encode(), f"Signature: lbc=:{signature}:".encode()]
    assert rig.get(path.encode(), *fields).body == PAGE


@pytest.mark.parametrize(
    ("header", "trusted", "fields", "peer", "allowed"),
    [
        ("", (), (), "10.0.0.1", True),
        ("", (), (), "::ffff:10.0.0.1", True),
        ("", (), (), "10.1.0.1", False),
        ("", (), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", False),
        ("X-Forwarded-For", (), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", False),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1",), "10.1.0.1", True),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1, 10.1.0.9",), "10.1.0.1", True),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: 10.0.0.1, 9.9.9.9",), "10.1.0.1", False),
        (
            "X-Forwarded-For",
            ("10.1.0.0/16",),
            (b"X-Forwarded-For: 10.0.0.1", b"X-Forwarded-For: 9.9.9.9"),
            "10.1.0.1",
            False,
        ),
        ("X-Forwarded-For", ("10.1.0.0/16",), (b"X-Forwarded-For: nonsense",), "10.1.0.1", False),
        ("X-Forwarded-For", ("10.1.0.0/16",), (), "10.1.0.1", False),
    ],
)
@pytest.mark.parametrize("signature", ["required", "off"])
def test_addresses(
    header: str, trusted: tuple[str, ...], fields: tuple[bytes, ...], peer: str, allowed: bool, signature: str
) -> None:
    rig = Rig(
        node={"trusted_proxies": tuple(map(ip_network, trusted))},
        fetch=FetchTable(addresses=(ip_network("10.0.0.0/24"),), address_header=header, signature=signature),
    )
    path = f"/_lbc/page/{rig.tokens.mint()}"
    signed = rig.signed("GET", path) if signature == "required" else []
    answer = rig.get(path.encode(), *signed, *fields, peer=(peer, 1))
    assert answer.status == (404 if allowed else 403)
    if signature == "required" and allowed:
        assert rig.get(path.encode(), *fields, peer=(peer, 1)).status == 403


# The others.


def test_whoami() -> None:
    rig = Rig()
    answer = rig.get(b"/_lbc/whoami", b"Lbc-Nonce: abc")
    assert (answer.status, answer.json) == (200, {"node": "n1"})
    assert answer.get(b"content-type") == b"application/json"
    assert answer.get(b"lbc-node") == b"n1"
    assert answer.get(b"lbc-proof") == proved("n1", "", "abc")
    assert guarded(answer)
    assert rig.get(b"/_lbc/whoami").all(b"lbc-proof") == []
    assert rig.get(b"/_lbc/whoami?x=1", method=b"HEAD").status == 200


@pytest.mark.parametrize("folder", [b"", b"/shop", b"/shop/a.b", b"/_lbcx"])
def test_below_a_pages_folder_there_are_the_script_and_the_notice(folder: bytes) -> None:
    rig = Rig()
    answer = rig.get(folder + f"/-/_lbc/fetch-from?v={rig.script.version}".encode())
    assert (answer.status, answer.body) == (200, rig.script.source)
    assert answer.get(b"cache-control") == b"public, max-age=31536000, immutable"
    assert rig.get(folder + b"/-/_lbc/notice", method=b"POST").status == 400
    assert rig.get(folder + b"/-/_lbc/notice").status == 405
    assert rig.app.seen == []


@pytest.mark.parametrize(
    "end", [b"/-/_lbc/whoami", b"/-/_lbc/page/x", b"/-/_lbc/debug", b"/_lbc/notice", b"x/_lbc/fetch-from"]
)
def test_all_else_there_is_the_applications(end: bytes) -> None:
    rig = Rig()
    rig.get(b"/shop" + end)
    assert len(rig.app.seen) == 1


def test_the_script() -> None:
    rig = Rig()
    versioned = f"/_lbc/fetch-from.js?v={rig.script.version}".encode()
    answer = rig.get(versioned)
    assert answer.status == 200
    assert answer.body == rig.script.source
    assert b"immutable" in (answer.get(b"cache-control") or b"")
    assert answer.get(b"content-type") == b"text/javascript; charset=utf-8"
    assert answer.get(b"access-control-allow-origin") == b"*"
    head = rig.get(versioned, method=b"HEAD")
    assert head.body == b""
    assert head.get(b"content-length") == b"%d" % len(rig.script.source)
    tag = answer.get(b"etag")
    assert tag is not None
    assert rig.get(versioned, b"If-None-Match: " + tag).status == 304
    assert rig.get(b"/_lbc/fetch-from.js?v=old").get(b"cache-control") == b"public, max-age=300"


@pytest.mark.parametrize(
    ("path", "methods", "allowed"),
    [
        (b"/_lbc/page/x", [b"POST", b"PATCH", b"OPTIONS"], b"GET, HEAD, DELETE, PUT"),
        (b"/_lbc/whoami", [b"POST", b"DELETE"], b"GET, HEAD"),
        (b"/_lbc/fetch-from.js", [b"POST"], b"GET, HEAD"),
        (b"/_lbc/notice", [b"GET", b"PUT", b"HEAD"], b"POST"),
        (b"/_lbc/debug", [b"POST"], b"GET"),
    ],
)
def test_other_methods_get_405(path: bytes, methods: list[bytes], allowed: bytes) -> None:
    for method in methods:
        answer = Rig().get(path, method=method)
        assert (answer.status, answer.get(b"allow")) == (405, allowed)
        assert guarded(answer)


@pytest.mark.parametrize("path", [b"/_lbc", b"/_lbc/", b"/_lbc/nothing", b"/_lbc?x", b"/_lbc/page", b"/_lbc/whoami/"])
def test_there_is_nothing_else(path: bytes) -> None:
    rig = Rig()
    answer = rig.get(path)
    assert answer.status == 404
    assert guarded(answer)
    assert rig.app.seen == []


@pytest.mark.parametrize("path", [b"/_lbcx", b"/x/_lbc/whoami", b"//_lbc/whoami", b"/_lbc%2Fwhoami", b"/_LBC/whoami"])
def test_what_only_looks_like_ours_is_the_applications(path: bytes) -> None:
    rig = Rig()
    rig.get(path)
    assert [seen.target for seen in rig.app.seen] == [path]


def test_an_endpoint_that_fails_says_so_and_no_more() -> None:
    rig = Rig()

    class Broken:
        def answer(self, request: object) -> Any:
            raise ZeroDivisionError("a secret")

    rig.hub.local = Broken()
    answer = rig.get(b"/_lbc/whoami")
    assert (answer.status, answer.body) == (500, b"internal error\n")
    assert not any("a secret" in line for line in rig.logged)


# debug


def debug(rig: Rig, query: str) -> Any:
    return rig.get(f"/_lbc/debug{query}".encode(), *rig.signed("GET", "/_lbc/debug")).json


def test_debug_is_for_allowed_callers() -> None:
    rig, token = with_page()
    refused(rig, rig.get(b"/_lbc/debug"))
    told = debug(rig, "")
    assert told["node"] == "n1"
    assert told["caller"] == {"allowed": True, "address": "192.0.2.7", "key": "farm"}
    assert debug(rig, f"?token={token}")["copy"]["url"] == "http://www.example.com/shop?q=1"
    assert debug(rig, f"?token={token}x")["copy"]["known"] is False
    assert debug(rig, f"?token={rig.tokens.mint()}")["copy"]["why"] == "unknown"
    assert rig.fetch(token).status == 200


def test_debug_tells_what_would_be_decided() -> None:
    rig = Rig(capture=CaptureTable(exclude=("/private/**",)))
    for query, captured, reason in (
        ("?url=/private/x", False, "path excluded"),
        ("?url=http://a/b%3Fc", True, "its answer decides"),
        ("?url=/&cookie=WRUID%3D0", False, "visitor is not recorded"),
        ("?url=/&method=PUT", False, "method"),
    ):
        told = debug(rig, query)["decision"]
        assert told["captured"] is captured
        assert told["reason"].startswith(reason)


def test_debug_shows_no_secret() -> None:
    rig, token = with_page(fetch=FetchTable(), crawler=ToCrawlerTable(intake="http://10.0.0.9:9200"))
    said = rig.get(f"/_lbc/debug?token={token}&url=/".encode(), *rig.signed("GET", "/_lbc/debug")).body
    assert SECRET not in said
    assert token.encode() not in said
    assert json.loads(said)["settings"]["node"]["secret"] == "(hidden)"
    assert json.loads(said)["settings"]["store"]["url"] == "(hidden)"


def test_debug_survives_a_failing_store() -> None:
    rig = Rig(store=FailingStore(MemoryStore(StoreTable(), lambda: 0.0)))
    assert debug(rig, f"?token={rig.tokens.mint()}")["copy"]["why"] == "down on purpose"


# What goes into the log.


def test_no_log_line_holds_what_must_stay_secret() -> None:
    rig, token = with_page()
    cookie = b"Cookie: sessionid=5e55104; SRV=n1secret"
    path = f"/_lbc/page/{token}".encode()
    rig.get(path, cookie)
    rig.get(path, cookie, b"Authorization: Bearer 5e55104")
    rig.fetch(token)
    rig.fetch(token, "DELETE")
    rig.fetch(token)
    rig.get(b"/ \x01" + path, cookie)
    rig.app.answers(b"bad: " + token.encode() + b"\r\n\r\n")
    rig.get(b"/", cookie)
    rig.app.answers(b"HTTP/1.1 200 OK\r\nSet-Cookie: s=5e55104\r\n folded\r\n\r\n")
    rig.get(b"/", cookie)
    rig.get(b"/_lbc/notice", cookie, method=b"POST")
    assert len(rig.logged) >= 6
    for line in rig.logged:
        for secret in (token, "5e55104", "n1secret", SECRET.decode()):
            assert secret not in line
