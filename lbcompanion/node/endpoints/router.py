"""The endpoints below the prefix (docs/reference-listener.rst)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, succeed

from lbcompanion.errors import ConfirmationError
from lbcompanion.http1.heads import Field
from lbcompanion.node.capture.page_policy import Script
from lbcompanion.node.copies.peer_import import PeerImport
from lbcompanion.node.copies.service import Copies, CopyRequest
from lbcompanion.node.endpoints.debug_page import GUARD, render, wants_html
from lbcompanion.node.endpoints.fetch_auth import AuthResult, FetchAuthorizer
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.notices.receiver import NoticeReceiver
from lbcompanion.node.proxy.answers import GUARDS, not_allowed, problem
from lbcompanion.node.proxy.client_info import normal_host
from lbcompanion.node.proxy.context import InternalRequest, InternalResponse
from lbcompanion.protocol import headers, shapes
from lbcompanion.protocol.confirmations import read_confirmation, write_results
from lbcompanion.protocol.tokens import digest_of, repr_digest

#: How much of a request's own field ``whoami`` repeats.
_SHOWN_BYTES = 256
_YEAR = 31536000


class EndpointRouter:
    """Dispatches internal requests by path and method.

    :param peer_import: takes the copies of peers that stop.
    :param debug: ``debug(request, verdict)`` returns the content of the debug page.
    """

    def __init__(
        self,
        *,
        node: str,
        prefix: str,
        authorizer: FetchAuthorizer,
        copies: Copies,
        notice_receiver: NoticeReceiver,
        peer_import: PeerImport,
        script: Script,
        counters: Counters,
        log: Callable[[str, str], None],
        debug: Callable[[InternalRequest, AuthResult], Deferred[dict[str, Any]]],
    ) -> None:
        self._node = node
        self._prefix = prefix.encode()
        self._authorizer = authorizer
        self._copies = copies
        self._notice_receiver = notice_receiver
        self._peer_import = peer_import
        self._script = script
        self._counters = counters
        self._log = log
        self._debug = debug

    def answer(self, request: InternalRequest) -> Deferred[InternalResponse]:
        """Answer a request."""
        path = self._below_prefix(request).decode("latin-1")
        if path.startswith("/page/"):
            token, _, action = path[len("/page/") :].partition("/")
            return self._page(request, token) if not action else self._page_action(request, token, action)
        known = {
            "/whoami": ("GET, HEAD", self._whoami),
            "/fetch-from.js": ("GET, HEAD", self._fetch_from),
            "/fetch-from": ("GET, HEAD", self._fetch_from),
            "/notice": ("POST", self._notice),
            "/done": ("POST", self._confirm_several),
            "/debug": ("GET", self._debug_page),
        }.get(path)
        if known is None:
            return succeed(problem(404, detail="there is nothing here"))
        allowed, answer = known
        if request.head.method.decode() not in allowed.split(", "):
            return succeed(not_allowed(allowed))
        return answer(request)

    def _below_prefix(self, request: InternalRequest) -> bytes:
        """The part of a path below the prefix, which may itself be below a page's folder."""
        path = request.head.path
        below = path[len(self._prefix) :]
        if path.startswith(self._prefix) and below[:1] in {b"/", b""}:
            return below
        return path[path.rindex(b"/") :]

    def _page_action(self, request: InternalRequest, token: str, action: str) -> Deferred[InternalResponse]:
        """Answer ``POST .../done``, which confirms a copy like ``DELETE``: firewalls often refuse that method."""
        if action != "done":
            return succeed(problem(404, detail="there is nothing here", reason="unknown"))
        if request.head.method != b"POST":
            return succeed(not_allowed("POST"))
        verdict = self._authorizer.authorize(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        return self._confirm(request, token)

    def _confirm(self, request: InternalRequest, token: str) -> Deferred[InternalResponse]:
        if not shapes.TOKEN.fullmatch(token):
            return succeed(problem(404, detail="not a token", reason="unknown"))
        return self._copies.drop(CopyRequest(token, _nonce(request), request.head.get(headers.HOP.key) is not None))

    def _confirm_several(self, request: InternalRequest) -> Deferred[InternalResponse]:
        """Answer ``POST done``, which confirms the copies that its body names. The answer is proven: an earlier node,
        or another program on the way, must not be taken for one that has removed the copies."""
        verdict = self._authorizer.authorize(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        if request.truncated:
            return succeed(problem(413, detail="the body is too long"))
        try:
            tokens = read_confirmation(request.body)
        except ConfirmationError as error:
            return succeed(problem(400, detail=str(error)))
        nonce, forwarded = _nonce(request), request.head.get(headers.HOP.key) is not None
        dropping = [self._copies.drop(CopyRequest(token, nonce, forwarded)) for token in tokens]

        def answer(results: list[InternalResponse]) -> InternalResponse:
            body = write_results({token: each.status for token, each in zip(tokens, results, strict=True)})
            fields = self._copies.identity.digest_fields("", nonce, repr_digest(digest_of(body)))
            return InternalResponse(200, [(b"Content-Type", b"application/json"), *fields, *GUARDS], body)

        return gatherResults(dropping, consumeErrors=True).addCallback(answer)

    def _page(self, request: InternalRequest, token: str) -> Deferred[InternalResponse]:
        method = request.head.method
        if method == b"PUT":
            return self._put(request, token)
        if method not in {b"GET", b"HEAD", b"DELETE"}:
            return succeed(not_allowed("GET, HEAD, DELETE, PUT"))
        verdict = self._authorizer.authorize(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        if method == b"DELETE":
            return self._confirm(request, token)
        head = request.head
        copy_request = CopyRequest(
            token,
            _nonce(request),
            forwarded=head.get(headers.HOP.key) is not None,
            with_head=head.get(headers.PAGE_HEAD.key) == b"1",
        )
        if not shapes.TOKEN.fullmatch(token):
            return succeed(problem(404, detail="not a token", reason="unknown"))
        answer = self._copies.get(copy_request, is_head=method == b"HEAD")
        if request.head.get(headers.AUTHORITY.key) is None:
            answer.addCallback(_with_page_type)
        if verdict.public_host:
            answer.addCallback(_with_public_host, request.head.values.get(b"host", b""), verdict.public_host)
        return answer

    def max_body_bytes(self, request: InternalRequest) -> int:
        """The body limit of a ``PUT`` with this head, in bytes; 0 if it is refused."""
        page = self._below_prefix(request).startswith(b"/page/")
        allowed = page and self._authorizer.authorize_node(request, body_follows=True).allowed
        return self._peer_import.max_body_bytes if allowed else 0

    def _put(self, request: InternalRequest, token: str) -> Deferred[InternalResponse]:
        verdict = self._authorizer.authorize_node(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))
        if not shapes.TOKEN.fullmatch(token):
            return succeed(problem(404, detail="not a token", reason="unknown"))
        return Deferred.fromCoroutine(
            self._peer_import.receive(token, _nonce(request), request.body, truncated=request.truncated)
        )

    def _forbidden(self, verdict: AuthResult) -> InternalResponse:
        self._counters.fetches["forbidden"] += 1
        self._log("fetch refused", f"{verdict.address}: {verdict.why}")
        return problem(403)

    def _whoami(self, request: InternalRequest) -> Deferred[InternalResponse]:
        nonce = _nonce(request)
        answer = {"node": self._node}
        if request.head.get(headers.ECHO.key) is not None:
            # What came through the balancer, for the doctor. Pages of other sites cannot send this field.
            answer |= {name: _shown(request.head.get(name.encode())) for name in ("host", "user-agent")}
        body = json.dumps(answer).encode()
        identity = self._copies.identity.fields("", nonce)
        return succeed(InternalResponse(200, [(b"Content-Type", b"application/json"), *identity, *GUARDS], body))

    def _fetch_from(self, request: InternalRequest) -> Deferred[InternalResponse]:
        script = self._script
        version = request.head.target.partition(b"?v=")[2]
        # No transformation: the tag names the digest of these bytes.
        if version == script.version.encode():
            caching = b"public, max-age=%d, immutable, no-transform" % _YEAR
        else:
            # A tag of another version has another digest. Its browser refuses these bytes, so no cache may keep them.
            caching = b"no-store, no-transform" if version else b"public, max-age=300, no-transform"
        tag = b'"%b"' % script.version.encode()
        fields: list[Field] = [
            (b"Cache-Control", caching),
            (b"ETag", tag),
            (b"Access-Control-Allow-Origin", b"*"),
            (b"Cross-Origin-Resource-Policy", b"cross-origin"),
            (b"X-Content-Type-Options", b"nosniff"),
        ]
        if request.head.get(b"if-none-match") == tag:
            return succeed(InternalResponse(304, fields))
        return succeed(
            InternalResponse(200, [(b"Content-Type", b"text/javascript; charset=utf-8"), *fields], script.source)
        )

    def _notice(self, request: InternalRequest) -> Deferred[InternalResponse]:
        return Deferred.fromCoroutine(self._notice_receiver.receive(request))

    def _debug_page(self, request: InternalRequest) -> Deferred[InternalResponse]:
        verdict = self._authorizer.authorize_once(request)
        if not verdict.allowed:
            return succeed(self._forbidden(verdict))

        def render_report(report: dict[str, Any]) -> InternalResponse:
            if wants_html(request.head.get(b"accept")):
                guards = [field for field in GUARDS if field[0] != GUARD[0]]
                return InternalResponse(
                    200, [(b"Content-Type", b"text/html; charset=utf-8"), GUARD, *guards], render(report)
                )
            body = json.dumps(report, indent=1, sort_keys=False, default=str).encode()
            return InternalResponse(200, [(b"Content-Type", b"application/json"), *GUARDS], body)

        return self._debug(request, verdict).addCallback(render_report)


def _with_page_type(answer: InternalResponse) -> InternalResponse:
    """Send a copy with the page's own type, as a crawler of version 0.1 expects it; it sends no ``Lbc-Authority``."""
    page_type = next((value for name, value in answer.fields if name == headers.PAGE_TYPE.written), None)
    if page_type is not None:
        content_type = headers.CONTENT_TYPE.written
        answer.fields[:] = [(name, page_type if name == content_type else value) for name, value in answer.fields]
    return answer


def _with_public_host(answer: InternalResponse, received_host: bytes, public_host: str) -> InternalResponse:
    """Name the page by the host that the crawler signed, if its visitor's request had the ``Host`` of this fetch.

    The balancer replaces ``Host`` in both, so the visitor's request had the crawler's host before.
    """
    for number, (name, value) in enumerate(answer.fields):
        if name == headers.PAGE_URL.written:
            scheme, _, rest = value.partition(b"://")
            host, slash, path = rest.partition(b"/")
            if host.decode("latin-1") == normal_host(received_host, scheme.decode("latin-1")):
                url = b"%b://%b%b%b" % (scheme, public_host.encode("latin-1"), slash, path)
                answer.fields[number] = (name, url)
    return answer


def _shown(value: bytes | None) -> str:
    return (value or b"")[:_SHOWN_BYTES].decode("latin-1")


def _nonce(request: InternalRequest) -> str:
    nonce = (request.head.get(headers.NONCE.key) or b"").decode("latin-1")
    return nonce if shapes.NONCE.fullmatch(nonce) else ""
