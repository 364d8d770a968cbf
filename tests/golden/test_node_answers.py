"""A companion's own answers to visitors, crawler and peers, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import urlencode

from tests.golden import drive
from tests.golden.drive import EPOCH, PAGE, SECRET, Node, html, request, token_of
from tests.golden.golden import Golden, head_without_length, metrics, shown, without_moments

NONCE = "nonce-1"
VERSION, INTEGRITY = drive.SCRIPT_VERSION, drive.SCRIPT_INTEGRITY


class NodeGolden(Golden):
    """Answers with the script's version and digest left out."""

    def __init__(self, name: str) -> None:
        super().__init__(name, SECRET, {VERSION: "{script}", INTEGRITY: "{integrity}"})

    def log(self, node: Node) -> None:
        """The log lines of the node."""
        self.words("log", "\n".join(node.rig.logged))


def test_copies() -> None:
    with NodeGolden("node_copies") as golden:
        node = Node()
        token = node.view()
        golden.values("the token", token)
        golden.message("HEAD", node.fetch(token, "HEAD"))
        golden.message("GET", node.fetch(token))
        golden.message("GET with the page's head", node.fetch(token, "GET", b"Lbc-Page-Head: 1"))
        golden.message("HEAD with the page's head", node.fetch(token, "HEAD", b"Lbc-Page-Head: 1"))
        golden.message("GET HTTP/1.0 closes", node.exchange(_old(node, token)))
        golden.message("GET with Connection: close", node.fetch(token, "GET", b"Connection: close"))
        golden.message("DELETE", node.fetch(token, "DELETE"))
        golden.message("GET after DELETE", node.fetch(token), "n1", token, NONCE)
        open_node = Node(fetch={"addresses": (drive.network("192.0.2.0/24"),), "signature": "off"})
        token = open_node.view()
        golden.message("GET without a nonce", open_node.get(f"/_lbc/page/{token}"))
        golden.message("GET with a nonce that is none", open_node.get(f"/_lbc/page/{token}", b"Lbc-Nonce: a b"))
        golden.log(node)


def _old(node: Node, token: str) -> bytes:
    path = f"/_lbc/page/{token}"
    return request(path.encode(), *node.signed("GET", path), version=b"1.0")


def test_misses() -> None:
    with NodeGolden("node_misses") as golden:
        node = Node()
        for reason in ("expired", "evicted", "pulled", "unknown"):
            token = node.miss(reason)
            golden.message(reason, node.fetch(token), "n1", token, NONCE)
            golden.message(f"{reason}, HEAD", _without_length(node.fetch(token, "HEAD")))
        token = node.miss("unknown", "larger than max_page_bytes")
        golden.message("unknown with a detail", node.fetch(token), "n1", token, NONCE)
        token = token_of("n2")
        golden.message("misrouted", node.fetch(token), "n1", token, NONCE)
        golden.message("misrouted, DELETE", node.fetch(token, "DELETE"), "n1", token, NONCE)
        token = token_of("n1", secret=b"another farm's secret")
        golden.message("a token of another farm", node.fetch(token), "n1", token, NONCE)
        golden.message("no token", node.fetch("a.b"))
        golden.message("no token, HEAD", _without_length(node.fetch("a.b", "HEAD")))
        golden.message("on its way", node.fetch(node.is_pending()))
        failing = Node(fails=True)
        for method in ("GET", "DELETE"):
            golden.message(f"the store fails, {method}", failing.fetch(failing.miss_token(), method))
        node.raises()
        golden.message("the store raises", node.fetch(node.miss_token()))
        golden.log(node)


def _without_length(data: bytes) -> bytes:
    """The answer to HEAD about words: length, digest and proof follow from words that are not there."""
    head = []
    for line in data.split(b"\r\n"):
        name = line.partition(b":")[0]
        follows = name in {b"Content-Length", b"Repr-Digest", b"Lbc-Proof"}
        head.append(name + b": {of words}" if follows else line)
    return b"\r\n".join(head)


def test_refusals_of_callers_and_methods() -> None:
    with NodeGolden("node_forbidden") as golden:
        node = Node()
        token = node.view()
        path = f"/_lbc/page/{token}"
        signed = node.signed("GET", path)
        golden.message("no signature", node.get(path))
        golden.message("another nonce", node.get(path, *(line.replace(b"nonce-1", b"nonce-2") for line in signed)))
        golden.message("another method", node.get(path, *signed, method="DELETE"))
        golden.message("PUT without a signature", node.get(path, method="PUT", body=b"x"))
        golden.message("debug", node.get("/_lbc/debug"))
        for target, method in (
            *(("/_lbc/page/x", "POST"), ("/_lbc/whoami", "DELETE"), ("/_lbc/fetch-from.js", "POST")),
            *(("/_lbc/notice", "GET"), ("/_lbc/debug", "POST")),
        ):
            golden.message(f"{method} {target}", node.get(target, method=method))
        for target in ("/_lbc", "/_lbc/", "/_lbc/nothing", "/_lbc/page"):
            golden.message(f"GET {target}", node.get(target))
        golden.log(node)


def test_whoami_and_the_script() -> None:
    with Golden("node_whoami_script") as golden:
        node = Node()
        golden.message("whoami", node.get("/_lbc/whoami"))
        golden.message("whoami with a nonce", node.get("/_lbc/whoami", b"Lbc-Nonce: abc"))
        golden.message("whoami, HEAD", node.get("/_lbc/whoami", method="HEAD"))
        golden.message("the script, HEAD", node.get(f"/_lbc/fetch-from.js?v={VERSION}", method="HEAD"))
        golden.message("an old version, HEAD", node.get("/_lbc/fetch-from.js?v=old", method="HEAD"))
        tag = f'If-None-Match: "{VERSION}"'.encode()
        golden.message("the script, known", node.get(f"/_lbc/fetch-from.js?v={VERSION}", tag))
        golden.message("the script", node.get(f"/_lbc/fetch-from.js?v={VERSION}"))


def test_notices_taken(tmp_path: Path) -> None:
    with NodeGolden("node_notice") as golden:
        node = Node(tmp_path)
        body = json.dumps(
            {
                "token": node.view(),
                "url": "https://www.example.com/",
                "cookies": {},
                "viewed_at": "2026-11-23T21:20:00Z",
            }
        ).encode()
        golden.message("204", _post(node, body))
        golden.message("204 behind Expect", _post(node, body, b"Expect: 100-continue"))
        for title, wrong in (
            ("no JSON", b"{"),
            ("no object", b"[]"),
            ("a key twice", b'{"a":1,"a":2}'),
            ("no token", body.replace(b'"token": "', b'"token": "x')),
            ("an address", body.replace(b"https:", b"ftp:")),
            ("cookies", body.replace(b"{}", b"[]")),
            ("a time", body.replace(b"2026", b"never")),
        ):
            golden.message(f"400: {title}", _post(node, wrong))
        golden.message("413", _post(node, body + b" " * 16385))
        golden.message("no crawler: 204", _post(Node(), body))
        golden.message("503: too many wait", _post(Node(tmp_path / "full", most=0), body))
        golden.log(node)


def _post(node: Node, body: bytes, *fields: bytes) -> bytes:
    return node.get("/_lbc/notice", *fields, method="POST", body=body)


def test_debug() -> None:
    with NodeGolden("node_debug") as golden:
        node = Node(capture={"exclude": ("/private",), "mask": (".secret",)})
        token = node.view()
        for title, query in (
            ("nothing asked", ()),
            ("a request", (("url", "/private?x"), ("cookie", "SRV=n1"), ("header", "Sec-Fetch-Dest: document"))),
            ("an answer", (("url", "/a"), ("answer", "Content-Type: text/html"), ("status", "404"))),
            ("a policy", (("url", "/a"), ("answer", "Content-Security-Policy: script-src 'none'"))),
            ("no page to compare", (("url", "/a"), ("compare", "1"))),
            ("a copy", (("token", token),)),
            ("no copy", (("token", token_of("n2")),)),
        ):
            target = f"/_lbc/debug?{urlencode(query)}"
            golden.message(title, node.get(target, *node.signed("GET", target, nonce=title.replace(" ", "-"))))
        raw = node.get("/_lbc/debug", *node.signed("GET", "/_lbc/debug"), b"Accept: text/html")
        head, _, body = without_moments(raw).partition(b"\r\n\r\n")
        golden.values("for a browser", shown(head).replace(f"Content-Length: {len(body)}", "Content-Length: {right}"))
        golden.words("for a browser", shown(body))


def test_robots() -> None:
    with NodeGolden("node_robots") as golden:
        node = Node()
        node.application.answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno")
        golden.message("none", node.get("/robots.txt"))
        text = b"# ours\nUser-agent: a\nUser-agent: b\nDisallow: /x\n\nUser-agent: *\nAllow: /"
        head = b'HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nETag: "a"\r\nContent-Length: %d\r\n\r\n' % len(text)
        node.application.answers(head + text)
        golden.message("merged", node.get("/robots.txt"))
        golden.message("merged, HEAD", _robots_head(node))
        node.application.answers(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\nSitemap: /s\n"
        )
        golden.message("a group is added", node.get("/robots.txt"))


def _robots_head(node: Node) -> bytes:
    node.application.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 12\r\n\r\n")
    return node.get("/robots.txt", method="HEAD")


def test_between_peers() -> None:
    body = b"<!doctype html><p>the copy of n2"
    with NodeGolden("node_peers") as golden:
        node = Node(shared=False)
        token = token_of("n2")
        path = f"/_lbc/page/{token}"
        frame = drive.frame_of(token, body)
        golden.values("what is given", shown(frame))
        golden.message("PUT: 204", node.put(path, frame))
        golden.message("PUT again: 204", node.put(path, frame))
        golden.message("PUT behind Expect", node.put(path, frame, b"Expect: 100-continue"))
        golden.message("GET of it", node.fetch(token))
        golden.message("PUT: 400", node.put(path, b"nonsense"))
        golden.message("PUT: 400, another token", node.put(path, drive.frame_of(token_of("n3"), body)))
        golden.message("PUT: 404", node.put("/_lbc/page/a.b", frame))
        golden.message("PUT: 409", node.put(path, drive.frame_of(token, b"another page")))
        other = token_of("n3")
        golden.message("PUT: 410", node.put(f"/_lbc/page/{other}", drive.frame_of(other, body, age=600.0)))
        node.rig.leaving = True
        golden.message("PUT: 503", node.put(path, frame))
        small = Node(shared=False, capture={"max_page_bytes": 10})
        golden.message("PUT: 413", small.put(path, frame))
        full = Node(shared=False, store={"max_pages": 1})
        full.view()
        golden.message("PUT: 507", full.put(path, frame))
        golden.log(node)
        owner = Node(name="n2")
        token = owner.view()
        for title, answering in (("", owner), (" that is another", Node(name="n3"))):
            for method in ("GET", "HEAD", "DELETE"):
                asking = Node(peers={"n2": "http://192.0.2.2:8080"})
                written, received = asking.ask_peer(token, method, answering)
                golden.values(f"a peer{title} is asked, {method}", drive.without_version(shown(written)))
                of_words = answering is not owner and method == "HEAD"
                received = _without_length(received) if of_words else received
                golden.message(f"what comes of it{title}, {method}", received, "n1", token, NONCE)
        giving = Node(peers={"n1": "http://192.0.2.1:8080"}, name="n3")
        written = drive.give(giving, "n1", other, body)
        golden.values("a peer is given a copy", drive.without_version(shown(written)))
        golden.message("and takes it", Node(shared=False).exchange(written))


def test_requests_refused() -> None:
    with NodeGolden("node_refused") as golden:
        counted = Node()
        for title, raw in (
            ("a bare line feed", b"GET / HTTP/1.1\nHost: a\n\n"),
            ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
            ("Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
            ("a space before the colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
            ("two lengths", request(b"/", b"Content-Length: 1", b"Content-Length: 2", method=b"POST")),
            ("length and chunks", request(b"/", b"Content-Length: 1", b"Transfer-Encoding: chunked")),
            ("a broken chunk", request(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"x\r\n"),
            ("a long head", request(b"/", b"X: " + b"a" * 70000)),
            ("many lines", request(b"/", *[b"X: y"] * 200)),
            ("another coding", request(b"/", b"Transfer-Encoding: gzip, chunked", method=b"POST")),
            ("a coding without chunks", request(b"/", b"Transfer-Encoding: gzip", method=b"POST")),
            ("an expectation", request(b"/", b"Expect: else", b"Content-Length: 1", method=b"POST")),
            ("HTTP/2.0", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
            ("CONNECT", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
        ):
            golden.message(title, counted.exchange(raw))
        slow = counted.exchange(b"GET / HTTP/1.1\r\n", seconds=12)
        golden.message("a slow head", slow)
        golden.message("a slow body", counted.exchange(request(b"/", b"Content-Length: 9", method=b"POST"), seconds=42))
        full = Node(limits={"connections": 1})
        full.rig.connect()
        golden.message("too many connections", full.exchange(request()))
        dead = Node()
        dead.application.connect_error = "ConnectionRefusedError"
        golden.message("nobody listens", dead.exchange(request()))
        golden.message("nobody listens, HEAD", _without_length(dead.get("/", method="HEAD")))
        golden.message("nobody listens, HTTP/1.0", dead.exchange(request(version=b"1.0")))
        broken = Node()
        broken.application.answers(b"HTTP/1.1 nonsense\r\n\r\n")
        golden.message("nonsense", broken.exchange(request()))
        silent = Node()
        silent.application.on_request = lambda connection, seen: None
        golden.message("it does not answer", silent.exchange(request(), seconds=70))
        for node in (counted, full, dead, broken, silent):
            golden.log(node)


def test_pages() -> None:
    with NodeGolden("node_pages") as golden:
        node = Node(node={"trusted_proxies": (drive.network("192.0.2.0/24"),)})
        asked = (
            *(b"Cookie: SRV=n1; a=b", b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-Proto: https", b"TE: trailers"),
            *(b"Connection: keep-alive, x-hop", b"X-Hop: 1", b"Accept-Encoding: gzip, br, unknown", b"Via: 1.1 lb"),
            *(b'If-None-Match: "a", "b"', b"Lbc-Nonce: x", b"User-Agent: a browser"),
        )
        golden.message("a page, injected", node.get("/shop?q=1", *asked))
        plain = Node()
        golden.message("of a stranger", plain.get("/", *asked))
        golden.message("POST", plain.get("/form", b"Content-Type: text/plain", method="POST", body=b"a=b"))
        golden.message("HEAD", plain.get("/", method="HEAD"))
        golden.message("HTTP/1.0", plain.exchange(request(b"/", version=b"1.0")))
        plain.application.answers(
            html(PAGE, b'ETag: "a"', b"Last-Modified: x", b"Digest: y", b"Set-Cookie: a=b", b"X-A: b")
        )
        golden.message("fields of an answer", plain.get("/"))
        plain.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'nonce-abc'"))
        golden.message("a nonce of a policy", plain.get("/"))
        plain.application.answers(html(PAGE, b"Content-Security-Policy: script-src 'none'"))
        golden.message("a policy against it", plain.get("/"))
        xhtml = (
            b'<?xml version="1.0"?>\n<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml"><head>'
            b"<title>x</title></head><body/></html>\n"
        )
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/xhtml+xml; charset=utf-8\r\nContent-Length: %d\r\n\r\n"
        plain.application.answers(head % len(xhtml) + xhtml)
        golden.message("XHTML", plain.get("/x"))
        plain.application.answers(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 3\r\n\r\nabc")
        golden.message("no page", plain.get("/i.png"))
        plain.application.answers(
            html(b"", b"Transfer-Encoding: chunked", length=False) + b"%x\r\n%b\r\n0\r\n\r\n" % (len(PAGE), PAGE)
        )
        golden.message("in chunks", plain.get("/c"))
        framed = Node(inject={"top": b"<!-- {token} -->", "bottom": b"<!-- bottom -->"})
        golden.message("snippets at both ends", framed.get("/"))
        for title, one in (("of the proxy", node), ("of visitors", plain)):
            for number, received in enumerate(one.received):
                golden.values(f"what the application receives {title}, {number}", shown(received))
        for page, cookie in (*node.rig.captured[:1], *plain.rig.captured):
            golden.values("a copy", f"{page.token} {page.method} {page.status} {page.url} {page.content_type}\n"
                          f"{page.captured_at - EPOCH} {page.sha256.hex()} {cookie!r}\n{shown(page.body)}")  # fmt: skip


def test_a_packed_page() -> None:
    with NodeGolden("node_gzip") as golden:
        node = Node()
        packed = drive.packed(PAGE)
        node.application.answers(html(packed, b"Content-Encoding: gzip", b'ETag: "a"'))
        head, _, body = node.get("/", b"Accept-Encoding: gzip").partition(b"\r\n\r\n")
        assert f"Content-Length: {len(body)}".encode() in head or b"chunked" in head
        length = head.replace(f"Content-Length: {len(body)}".encode(), b"Content-Length: {right}")
        golden.message("a page in gzip", length + b"\r\n\r\n" + drive.unpacked(body, b"chunked" in head))
        golden.values("its copy", shown(node.rig.captured[0][0].body))


def test_notices_sent(tmp_path: Path) -> None:
    with NodeGolden("node_notice_sent") as golden:
        node = Node(tmp_path, sticky={"dialect": "auto", "cookies": ("SRV", "JSESSIONID")})
        token = node.view("/shop?q=1", b"Cookie: SRV=n1; JSESSIONID=5e55104ABCDEF5e55104ABCDEF012345.node1")
        said = {
            "token": token,
            "url": "http://www.example.com/shop?q=1#top",
            "cookies": {"SRV": "n1", "other": "x"},
            "viewed_at": "2026-11-23T21:26:40.125Z",
        }
        cookie = b"Cookie: SRV=n1; sessionid=5e55104; JSESSIONID=5e55104ABCDEF5e55104ABCDEF012345.node1"
        _post(node, json.dumps(said).encode(), cookie, b"Content-Type: text/plain")
        node.view("/other")
        node.tell(b"SRV=n1")
        golden.values("the request to the intake", drive.without_version(shown(node.deliver())))
        node.wire.answer(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        golden.values("counted", repr(sorted(node.rig.counters.notices.items())))


def test_admin() -> None:
    with NodeGolden("node_admin") as golden:
        node = Node()
        token = node.view()
        node.fetch(token)
        node.fetch(node.miss("expired"))
        node.get("/_lbc/page/x")
        for path in ("/healthz", "/readyz", "/status"):
            raw = b"GET %b HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode()
            golden.message(f"GET {path}", node.admin(raw))
            golden.message(f"HEAD {path}", node.admin(raw.replace(b"GET", b"HEAD")))
        golden.message("not ready", node.admin(b"GET /readyz HTTP/1.0\r\n\r\n", ready=False))
        golden.message("workers", node.admin(b"GET /status HTTP/1.0\r\n\r\n", workers=True))
        for method, path in ((b"GET", b"/nothing"), (b"POST", b"/healthz"), (b"POST", b"/metrics")):
            answer = without_moments(node.admin(method + b" " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            golden.values(f"{method.decode()} {path.decode()}", shown(head_without_length(answer)))
        golden.message("another name", node.admin(b"GET /status HTTP/1.0\r\nHost: www.example.com\r\n\r\n"))
        metrics(golden, node.admin(b"GET /metrics HTTP/1.0\r\n\r\n"))
