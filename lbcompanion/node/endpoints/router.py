"""What the companion answers itself, below the prefix (docs/reference-listener.rst)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from lbcompanion.http1.heads import Field
from lbcompanion.node.capture.page_policy import Script
from lbcompanion.node.copies.peer_import import Taking
from lbcompanion.node.copies.service import Ask, Copies
from lbcompanion.node.endpoints.debug_page import GUARD, render, wants_html
from lbcompanion.node.endpoints.fetch_auth import Callers, CallerVerdict
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.receiver import NoticeDesk
from lbcompanion.node.proxy.answers import GUARDS, not_allowed, problem
from lbcompanion.node.proxy.context import LocalAnswer, LocalRequest
from lbcompanion.protocol import headers, shapes

_YEAR = 31536000


class Endpoints:
    """Finds the answer by path and method.

    :param taking: takes the copies of peers that stop.
    :param debug: ``debug(request, verdict)`` gives what the debug page tells an allowed caller.
    """

    def __init__(
        self,
        *,
        node: str,
        prefix: str,
        callers: Callers,
        copies: Copies,
        desk: NoticeDesk,
        taking: Taking,
        script: Script,
        counters: Counters,
        log: Callable[[str, str], None],
        debug: Callable[[LocalRequest, CallerVerdict], Deferred[dict[str, Any]]],
    ) -> None:
        self._node = node
        self._prefix = prefix.encode()
        self._callers = callers
        self._copies = copies
        self._desk = desk
        self._taking = taking
        self._script = script
        self._counters = counters
        self._log = log
        self._debug = debug

    def answer(self, request: LocalRequest) -> Deferred[LocalAnswer]:
        """Answer one request."""
        path = self._below_prefix(request).decode("latin-1")
        if path.startswith("/page/"):
            return self._page(request, path[len("/page/") :])
        known = {
            "/whoami": ("GET, HEAD", self._whoami),
            "/fetch-from.js": ("GET, HEAD", self._fetch_from),
            "/fetch-from": ("GET, HEAD", self._fetch_from),
            "/notice": ("POST", self._notice),
            "/debug": ("GET", self._debug_page),
        }.get(path)
        if known is None:
            return succeed(problem(404, detail="there is nothing here"))
        allowed, answer = known
        if request.head.method.decode() not in allowed.split(", "):
            return succeed(not_allowed(allowed))
        return answer(request)

    def _below_prefix(self, request: LocalRequest) -> bytes:
        """What of a request's path stands below the prefix, which itself may stand below a page's folder."""
        path = request.head.path
        below = path[len(self._prefix) :]
        if path.startswith(self._prefix) and below[:1] in {b"/", b""}:
            return below
        return path[path.rindex(b"/") :]

    def _page(self, request: LocalRequest, token: str) -> Deferred[LocalAnswer]:
        method = request.head.method
        if method == b"PUT":
            return self._put(request, token)
        if method not in {b"GET", b"HEAD", b"DELETE"}:
            return succeed(not_allowed("GET, HEAD, DELETE, PUT"))
        verdict = self._callers.judge(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        ask = Ask(token, _nonce(request), request.head.get(headers.HOP.key) is not None)
        if not shapes.TOKEN.fullmatch(token):
            return succeed(problem(404, detail="not a token", reason="unknown"))
        if method == b"DELETE":
            return self._copies.drop(ask)
        return self._copies.get(ask, take=method == b"GET")

    def most_body(self, request: LocalRequest) -> int:
        """How long a body is worth reading of a ``PUT`` whose head this is."""
        page = self._below_prefix(request).startswith(b"/page/")
        allowed = page and self._callers.judge_node(request, body_follows=True).allowed
        return self._taking.most_body if allowed else 0

    def _put(self, request: LocalRequest, token: str) -> Deferred[LocalAnswer]:
        verdict = self._callers.judge_node(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        if not shapes.TOKEN.fullmatch(token):
            return succeed(problem(404, detail="not a token", reason="unknown"))
        return Deferred.fromCoroutine(self._taking.take(token, _nonce(request), request.body, request.cut))

    def _forbidden(self, verdict: CallerVerdict) -> LocalAnswer:
        self._counters.fetches["forbidden"] += 1
        self._log("fetch refused", f"{verdict.address}: {verdict.why}")
        return problem(403)

    def _whoami(self, request: LocalRequest) -> Deferred[LocalAnswer]:
        body = json.dumps({"node": self._node}).encode()
        identity = self._copies.identity.fields("", _nonce(request))
        return succeed(LocalAnswer(200, [(b"Content-Type", b"application/json"), *identity, *GUARDS], body))

    def _fetch_from(self, request: LocalRequest) -> Deferred[LocalAnswer]:
        script = self._script
        current = request.head.target.endswith(f"?v={script.version}".encode())
        # An address without the version, or with an old one, must be asked for again before long.
        age = b"public, max-age=%d, immutable" % _YEAR if current else b"public, max-age=300"
        tag = b'"%b"' % script.version.encode()
        fields: list[Field] = [
            (b"Cache-Control", age),
            (b"ETag", tag),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Cross-Origin-Resource-Policy", b"cross-origin"),
            (b"X-Content-Type-Options", b"nosniff"),
        ]
        if request.head.get(b"if-none-match") == tag:
            return succeed(LocalAnswer(304, fields))
        return succeed(LocalAnswer(200, [(b"Content-Type", b"text/javascript; charset=utf-8"), *fields], script.source))

    def _notice(self, request: LocalRequest) -> Deferred[LocalAnswer]:
        return Deferred.fromCoroutine(self._desk.take(request))

    def _debug_page(self, request: LocalRequest) -> Deferred[LocalAnswer]:
        verdict = self._callers.judge(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))

        def told(said: dict[str, Any]) -> LocalAnswer:
            if wants_html(request.head.get(b"accept")):
                kept = [field for field in GUARDS if field[0] != GUARD[0]]
                return LocalAnswer(200, [(b"Content-Type", b"text/html; charset=utf-8"), GUARD, *kept], render(said))
            body = json.dumps(said, indent=1, sort_keys=False, default=str).encode()
            return LocalAnswer(200, [(b"Content-Type", b"application/json"), *GUARDS], body)

        return self._debug(request, verdict).addCallback(told)


def _nonce(request: LocalRequest) -> str:
    nonce = (request.head.get(headers.NONCE.key) or b"").decode("latin-1")
    return nonce if shapes.NONCE.fullmatch(nonce) else ""
