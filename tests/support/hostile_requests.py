"""Requests of strangers, no two alike: each fills one kind of table or cache that a companion or a crawler may keep.

A kind is a function from a number to the bytes of a request. Values are as long as they may be, so that what is kept
shows in few requests.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable

from lbcompanion.protocol.tokens import Tokens

HOST = b"Host: www.example.com\r\n"
#: Below the 65536 of ``head_bytes``.
LONG = 56000


def token(number: int, secret: bytes = b"another farm's secret") -> bytes:
    """A token of another farm, another one for each number."""
    return Tokens(secret, "n1", random.Random(number).randbytes).mint().encode()


def padded(number: int, size: int) -> bytes:
    """Text of this size that differs for each number, at its beginning and its end."""
    mark = b"%010d" % number
    return mark + b"a" * max(size - 20, 0) + mark


def get(target: bytes, *fields: bytes, host: bytes = HOST, method: bytes = b"GET") -> bytes:
    """A request without a body."""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method, target, host, b"".join(field + b"\r\n" for field in fields))


def post(target: bytes, body: bytes, *fields: bytes) -> bytes:
    """A request with a body."""
    return get(target, b"Content-Length: %d" % len(body), *fields, method=b"POST") + body


def signature(number: int) -> tuple[bytes, bytes, bytes]:
    """The fields of a signature that nobody made."""
    nonce = padded(number, 300)
    value = b'sig1=("@method" "@authority" "@path");created=1700000000;keyid="%b";nonce="%b"' % (nonce, nonce)
    return b"Signature-Input: " + value, b"Signature: sig1=:" + b"QUJD" * 16 + b":", b"Lbc-Nonce: " + nonce


def notice(token: bytes, number: int, size: int = 12000) -> bytes:
    """A notice as a browser posts it."""
    text = padded(number, size).decode()
    said = {
        "token": token.decode(),
        "url": f"http://www.example.com/{text[:4000]}",
        "cookies": {f"SRV{number}": text[:1000], text[:200]: "n1"},
        "viewed_at": "2026-11-23T21:20:00Z",
        "more": text,
    }
    return json.dumps(said).encode()


def _many_cookies(number: int) -> bytes:
    return b"; ".join(b"_%05x%d=http://%d" % (number, index, index) for index in range(2000))


Kind = Callable[[int], bytes]

#: To a node, by kind.
NODE_REQUESTS: dict[str, Kind] = {
    "tokens": lambda n: get(b"/_lbc/page/" + token(n)),
    "signed fetches": lambda n: get(b"/_lbc/page/" + token(n), *signature(n)),
    "confirmations": lambda n: get(b"/_lbc/page/" + token(n) + b"/done", *signature(n), method=b"POST"),
    "debug": lambda n: get(b"/_lbc/debug?url=/" + padded(n, 2000), *signature(n)),
    "nonces": lambda n: get(b"/_lbc/whoami", b"Lbc-Nonce: " + padded(n, 2000)),
    "scripts": lambda n: get(b"/" + padded(n, 4000) + b"/-/_lbc/fetch-from?v=" + padded(n, 100)),
    "pages": lambda n: get(b"/page/" + padded(n, 15000)),
    "folders": lambda n: get(b"/" + padded(n, 900) + b"/page"),
    "queries": lambda n: get(b"/page?" + padded(n, LONG)),
    "files": lambda n: get(b"/file/" + padded(n, 15000), b"Range: bytes=0-" + b"%d" % n),
    "ranges": lambda n: get(b"/page/" + padded(n, 900), b"Range: bytes=%d-" % n, b'If-Range: "%b"' % padded(n, 900)),
    "hosts": lambda n: get(b"/page", host=b"Host: h%b.example\r\n" % padded(n, 200)),
    "long hosts": lambda n: get(b"/page", host=b"Host: %b\r\n" % padded(n, LONG)),
    "absolute": lambda n: get(b"http://h%b.example/page" % padded(n, 180)),
    "cookies": lambda n: get(b"/page", b"Cookie: " + _many_cookies(n)),
    "long cookies": lambda n: get(b"/page", b"Cookie: SRV=" + padded(n, 14000)),
    "forwarded for": lambda n: get(b"/page", b"X-Forwarded-For: " + b"10.0.%d.%d, " % (n >> 8 & 255, n & 255) * 3000),
    "forwarded host": lambda n: get(b"/page", b"X-Forwarded-Host: h%b.example" % padded(n, 200)),
    "forwarded proto": lambda n: get(b"/page", b"X-Forwarded-Proto: https, %b" % padded(n, 900)),
    "forwarded": lambda n: get(b"/page", b'Forwarded: for="[2001:db8::%x]";host=h%d.example;proto=https' % (n, n)),
    "forwarded long": lambda n: get(b"/page", b"Forwarded: for=%b" % padded(n, LONG)),
    "via": lambda n: get(b"/page", b"Via: 1.1 %b" % padded(n, 4000), b"Forwarded-By: " + padded(n, 4000)),
    "codings": lambda n: get(b"/page", b"Accept-Encoding: gzip;q=0.%d, x%b" % (n % 1000, padded(n, 900))),
    "long codings": lambda n: get(b"/page", b"Accept-Encoding: %b" % padded(n, LONG)),
    "fetch metadata": lambda n: get(b"/page", b"Sec-Fetch-Dest: document", b"Sec-Fetch-Mode: %b" % padded(n, 900)),
    "cache control": lambda n: get(b"/page", b"Cache-Control: %b" % padded(n, 900)),
    "insecure": lambda n: get(b"/page", b"Upgrade-Insecure-Requests: %b" % padded(n, 900)),
    "tags": lambda n: get(b"/page", b'If-None-Match: W/"%b-lbcs"' % padded(n, 8000)),
    "field names": lambda n: get(b"/page", b"X-%b: 1" % padded(n, 200), b"Y-%b: 2" % padded(n, 30000)),
    "methods": lambda n: get(b"/page", method=b"M%d" % n),
    "hops": lambda n: get(b"/page", b"Max-Forwards: %d" % (n + 5), method=b"OPTIONS"),
    "upgrades": lambda n: get(b"/page", b"Connection: Upgrade", b"Upgrade: p%b" % padded(n, 4000)),
    "logins": lambda n: get(b"/page", b"Authorization: NTLM " + padded(n, 4000)),
    "notices": lambda n: post(b"/_lbc/notice", notice(token(n), n)),
    "foreign notices": lambda n: post(b"/_lbc/notice", notice(token(n), n), b"Origin: http://h%d.example" % n),
    "no notices": lambda n: post(b"/_lbc/notice", b'{"' + padded(n, 12000)),
    "peers": lambda n: post(b"/_lbc/page/" + token(n), padded(n, 12000), *signature(n)),
    "malformed": lambda n: get(b"/page", b"X y: %b" % padded(n, 900)),
}

#: To a crawler's listener, by kind.
CRAWLER_REQUESTS: dict[str, Kind] = {
    "unsigned notices": lambda n: post(b"/notices", b'{"notices":[%b]}' % notice(token(n), n)),
    "signed notices": lambda n: post(b"/notices", b'{"notices":[%b]}' % notice(token(n), n), *signature(n)),
    "long notices": lambda n: post(b"/notices", padded(n, 60000), *signature(n)),
    "digests": lambda n: post(b"/notices", b"{}", b"Content-Digest: sha-256=:%b:" % padded(n, 4000), *signature(n)),
    "paths": lambda n: get(b"/" + padded(n, 12000)),
    "queries": lambda n: get(b"/healthz?" + padded(n, 12000)),
    "hosts": lambda n: get(b"/healthz", host=b"Host: %b.example\r\n" % padded(n, 200)),
    "methods": lambda n: get(b"/notices", method=b"M%d" % n),
    "field names": lambda n: get(b"/healthz", b"X-%b: 1" % padded(n, 12000)),
    "forwarded": lambda n: get(b"/healthz", b"X-Forwarded-For: " + b"10.0.%d.%d, " % (n >> 8 & 255, n & 255) * 900),
}
