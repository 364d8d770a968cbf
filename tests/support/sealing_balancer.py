"""A balancer of a kind that nobody knows: the node's name, enciphered anew for every visitor, in a cookie of its own.

``python -m tests.support.sealing_balancer PORT n1=PORT n2=PORT ...``
"""

from __future__ import annotations

import hmac
import http.client
import itertools
import re
import secrets
import sys
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COOKIE = "wayfarer"
_KEY = secrets.token_bytes(32)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


def _sealed(node: str) -> str:
    nonce = secrets.token_bytes(12)
    pad = hmac.digest(_KEY, nonce, "sha256")
    cipher = bytes(a ^ b for a, b in zip(node.encode().ljust(16, b"\0"), pad, strict=False))
    return urlsafe_b64encode(nonce + cipher + hmac.digest(_KEY, nonce + cipher, "sha256")[:8]).decode()


def _opened(text: str) -> str:
    """The node's name, or nothing."""
    try:
        raw = urlsafe_b64decode(text)
    except ValueError:
        return ""
    nonce, cipher, mac = raw[:12], raw[12:28], raw[28:]
    if not hmac.compare_digest(mac, hmac.digest(_KEY, nonce + cipher, "sha256")[:8]):
        return ""
    pad = hmac.digest(_KEY, nonce, "sha256")
    return bytes(a ^ b for a, b in zip(cipher, pad, strict=False)).rstrip(b"\0").decode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    nodes: dict[str, int]
    turns: Any

    def _answer(self) -> None:
        found = re.search(rf"(?:^|; *){COOKIE}=([^;]*)", self.headers.get("Cookie", ""))
        node = _opened(found[1]) if found else ""
        fresh = node not in self.nodes
        node = next(self.turns) if fresh else node
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        asked = http.client.HTTPConnection("127.0.0.1", self.nodes[node], timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            asked.request(self.command, self.path, body or None, headers)
            answer = asked.getresponse()
            self._send(answer, answer.read(), _sealed(node) if fresh else "")
        except OSError:
            self.send_error(502)
        finally:
            asked.close()

    def _send(self, answer: http.client.HTTPResponse, body: bytes, cookie: str) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if cookie:
            self.send_header("Set-Cookie", f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax")
        if answer.status not in {204, 304}:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_HEAD = do_POST = do_DELETE = _answer

    def log_message(self, format: str, *args: Any) -> None:
        pass


if __name__ == "__main__":
    _Handler.nodes = {name: int(port) for name, _, port in (one.partition("=") for one in sys.argv[2:])}
    _Handler.turns = itertools.cycle(_Handler.nodes)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), _Handler).serve_forever()
