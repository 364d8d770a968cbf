"""Requests to an admin listener that is called ``crawler.internal`` beside what is allowed always."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from twisted.internet.testing import StringTransport


@frozen
class Case:
    """Header lines, and the status that they lead to."""

    status: int
    lines: tuple[bytes, ...]
    version: bytes = b"1.1"


def _hosts(status: int, *hosts: bytes) -> list[Case]:
    return [Case(status, (b"Host: " + host,)) for host in hosts]


_LOCAL = b"Host: 127.0.0.1:9201"

ALLOWED = [
    *_hosts(
        200, b"127.0.0.1", b"127.0.0.1:9201", b"127.0.0.1:", b"127.0.0.1.", b"10.0.0.1:80", b"[::1]", b"[::1]:9201"
    ),
    *_hosts(
        200, b"[2001:DB8::1]", b"[::ffff:127.0.0.1]", b"localhost", b"LOCALHOST:9201", b"localhost.", b"a.localhost"
    ),
    *_hosts(200, b"a.b.localhost:80", b"crawler.internal", b"Crawler.Internal:9201", b"crawler.internal.:80"),
    Case(200, (), b"1.0"),
    Case(200, (_LOCAL,), b"1.0"),
    Case(200, (_LOCAL, b"Origin: http://127.0.0.1:9201")),
    Case(200, (_LOCAL, b"Sec-Fetch-Site: same-origin", b"Sec-Fetch-Mode: cors")),
    Case(200, (_LOCAL, b"Sec-Fetch-Site: none", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")),
    Case(200, (_LOCAL, b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: document")),
]
REFUSED = [
    *_hosts(421, b"evil.example", b"evil.example:9201", b"EVIL.example.", b"", b":9201", b".", b"..", b"localhost.."),
    *_hosts(421, b"localhost.evil.example", b"127.0.0.1.evil.example", b"evil-localhost", b"xlocalhost"),
    *_hosts(421, b"x.crawler.internal", b"crawler.internal.evil.example", b"crawler.internal..", b"xcrawler.internal"),
    *_hosts(421, b"evil@127.0.0.1", b"127.0.0.1@evil.example", b"user:1@localhost", b"localhost:1@evil.example"),
    *_hosts(421, b"localhost:x", b"localhost:1:2", b"localhost:999999", b"localhost, evil.example", b"localhost/x"),
    *_hosts(421, b"evil.example localhost", b"http://localhost"),
    *_hosts(421, b"localhost#x", b"localhost?", b"loc\xc3\xa4l", b"evil.internal", b"[:::]", b"n1"),
    *_hosts(421, b"::1", b"[::1", b"::1]", b"[]", b"[evil.example]", b"[127.0.0.1]", b"[::1%25lo]", b"[::1]evil"),
    *_hosts(421, b"2130706433", b"0x7f.1", b"127.1", b"127.0.0.01", b"256.0.0.1", b"1.2.3.4.5", b"\xc2\xb9.0.0.1"),
    Case(421, (_LOCAL, b"Host: evil.example")),
    Case(421, (b"Host: evil.example", _LOCAL)),
    Case(421, (_LOCAL, _LOCAL)),
    Case(421, (b"X: y",)),
    Case(421, (b"Host: evil.example",), b"1.0"),
    Case(421, (b"Host:",), b"1.0"),
    Case(403, (_LOCAL, b"Origin: http://evil.example")),
    Case(403, (_LOCAL, b"Origin: http://127.0.0.1:3000")),
    Case(403, (_LOCAL, b"Origin: null")),
    Case(403, (b"Origin: http://evil.example",), b"1.0"),
    Case(403, (_LOCAL, b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: no-cors", b"Sec-Fetch-Dest: script")),
    Case(403, (_LOCAL, b"Sec-Fetch-Site: same-site", b"Sec-Fetch-Mode: no-cors", b"Sec-Fetch-Dest: image")),
    Case(403, (_LOCAL, b"Sec-Fetch-Site: cross-site", b"Sec-Fetch-Mode: navigate", b"Sec-Fetch-Dest: iframe")),
    Case(403, (_LOCAL, b"Sec-Fetch-Site: cross-site")),
]  # fmt: skip


def answer_of(site: Any, path: str, case: Case, method: bytes = b"GET") -> tuple[int, dict[str, str], bytes]:
    """Return a Twisted factory's response: status, header lines and body."""
    protocol, transport = site.buildProtocol(None), StringTransport()
    protocol.makeConnection(transport)
    lines = [method + b" " + path.encode() + b" HTTP/" + case.version, *case.lines, b"Connection: close", b"", b""]
    protocol.dataReceived(b"\r\n".join(lines))
    head, _, body = transport.value().partition(b"\r\n\r\n")
    first, *fields = head.decode().split("\r\n")
    read = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    if read.get("transfer-encoding") == "chunked":
        body = b"".join(body.split(b"\r\n")[1:-3:2])
    return int(first.split()[1]), read, body
