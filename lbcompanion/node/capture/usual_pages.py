"""The usual path: usual messages are handled as the Python machine handled others of the same kind.

:class:`~lbcompanion.node.capture.plan.RequestPlan` decides about the first request of a kind. Its result is kept: which
lines are added, whether a page is captured, and how. Two messages are of one kind if the fields are equal on which the
decisions depend (:mod:`lbcompanion.http1.usual_heads`). What depends on more is checked for each message: the visitor's
cookies, the target, sizes. ``tests/node/capture/test_usual_pages.py`` and the fuzz target ``usual`` compare this path
with the machine.

Kinds are kept for the process, in bounded caches. They are dropped with the settings: a new policy has a new object.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.errors import BadRequest, BadResponse
from lbcompanion.html.fast_path import fast_head_end
from lbcompanion.html.page_detection import (
    RELEVANT_REQUEST_FIELDS,
    Eligibility,
    is_page_destination,
    is_sniffed,
    may_be_html,
)
from lbcompanion.http1.codings import CodingError, content_coding, decode_whole, encode_whole
from lbcompanion.http1.field_lines import BODY_DEPENDENT, CONNECTION, HAS_DATE
from lbcompanion.http1.framing import NO_BODY
from lbcompanion.http1.heads import RequestHead, ResponseHead, read_request_head, read_response_head, without
from lbcompanion.http1.usual_heads import REQUEST_KEY, compiled_usual
from lbcompanion.node.capture.page_copy import CopyFacts, finish_copy
from lbcompanion.node.capture.page_policy import PagePolicy
from lbcompanion.node.capture.pipeline import max_decoded_bytes
from lbcompanion.node.capture.plan import RequestPlan, lines_of_changed_body, uncacheable_lines
from lbcompanion.node.proxy.context import ProxyContext
from lbcompanion.node.proxy.interface import VisitorSide
from lbcompanion.node.proxy.request_head import request_head
from lbcompanion.protocol import headers

# Enough for the kinds of a site behind a balancer, and for many visitors without one: their addresses are part of the
# kind. Strangers can fill the caches.
_MAX_KINDS = 4096
_MAX_KIND_BYTES = 1048576
# More than the longest key of _usual.c, which has a content security policy in it.
_MAX_RESPONSE_KEY_BYTES = 8192
# How many content security policies kinds are kept for.
_MAX_POLICIES = 64
_STATUS_LINE = b"HTTP/1.1 200 OK\r\n"
_ROBOTS_TXT = b"/robots.txt"
# Path rules are asked about shorter paths only.
_MAX_PATH_BYTES = 512
_DESTINATION = re.compile(rb"\r\n(?i:sec-fetch-dest): ([^\r\n]*)\r\n")
_FORWARDED_FOR = b"\r\nX-Forwarded-For: "
# The fields of a usual request that decide about its response; detect_page() reads no others.
_READ_BY_ELIGIBILITY = tuple(name for name in REQUEST_KEY if name in RELEVANT_REQUEST_FIELDS)
#: Reasons that depend on one message, not on its kind.
_OF_ONE_MESSAGE: Final = frozenset(
    {"larger than max_page_bytes", "no valid host", "address too long", "capture memory is full"}
)


class RequestKind(NamedTuple):
    """How requests of one kind are handled. The compiled part reads the first three fields.

    :ivar replaces_accept_encoding: whether the visitor's ``Accept-Encoding`` line is left out.
    :ivar before: the lines that are added, up to the place of the value of the visitor's ``X-Forwarded-For``.
    :ivar after: the lines that are added, from that place on.
    :ivar reason: why no response to any visitor is captured; empty if one may be.
    :ivar origin: the public origin; empty if the request has no valid host.
    :ivar response_key: the part of the key of a response's kind that the request determines.
    :ivar is_uncacheable: whether a captured page is sent with ``no-store``.
    """

    replaces_accept_encoding: bool
    before: bytes
    after: bytes
    reason: str
    origin: str
    response_key: bytes
    is_uncacheable: bool


class ResponseKind(NamedTuple):
    """How responses of one kind are handled.

    :ivar reason: why an HTML response is not captured, which is counted; empty for one that is captured, and for any
        other response.
    :ivar eligibility: of a page that is captured; else None.
    :ivar coding: its content coding; empty for none.
    :ivar content_type: the value of its ``Content-Type``.
    :ivar csp: the value of its ``Content-Security-Policy``; empty for none.
    """

    reason: str
    eligibility: Eligibility | None
    coding: bytes
    content_type: bytes
    csp: bytes = b""


class UsualRequest(NamedTuple):
    """A request that was sent, as its response needs it."""

    kind: RequestKind
    target: bytes
    cookie: bytes
    data: bytes
    visitor: VisitorSide


class UsualCopy(NamedTuple):
    """A page that was sent, and whose copy is to be stored."""

    facts: CopyFacts
    page: bytes


class _Body(NamedTuple):
    """The body of a response, with its content coding.

    :ivar data: the whole response.
    :ivar start: where the body starts.
    :ivar chunks: the bytes of a chunked body; None of a body with a length.
    """

    data: bytes
    start: int
    chunks: bytes | None

    @property
    def is_chunked(self) -> bool:
        return self.chunks is not None

    @property
    def size(self) -> int:
        return len(self.data) - self.start if self.chunks is None else len(self.chunks)

    def joined(self) -> bytes:
        return self.data[self.start :] if self.chunks is None else self.chunks


#: In place of a kind whose messages are not usual.
_Unusual = tuple[()]
_UNUSUAL: _Unusual = ()


class UsualPages:
    """The usual path of one process: an implementation of ``UsualPath`` in :mod:`..proxy.usual_exchange`.

    :param context: see :class:`~lbcompanion.node.proxy.context.ProxyContext`.
    """

    def __init__(self, policy: PagePolicy, context: ProxyContext) -> None:
        compiled = compiled_usual()
        assert compiled is not None
        self._read_request = compiled.usual_request
        self._read_response = compiled.usual_response
        self._write = compiled.write_response
        self._policy = policy
        self._context = context
        self._rules = policy.capture_rules
        self._prefix = context.prefix
        self._max_lines = context.limits.header_lines
        self._requests: BoundedCache[bytes, RequestKind | _Unusual] = BoundedCache(
            max_entries=_MAX_KINDS, max_bytes=_MAX_KIND_BYTES
        )
        self._responses: BoundedCache[bytes, ResponseKind | _Unusual] = BoundedCache(
            max_entries=_MAX_KINDS, max_bytes=_MAX_KIND_BYTES, max_key_bytes=_MAX_RESPONSE_KEY_BYTES
        )
        self._policies: set[bytes] = set()

    @staticmethod
    def is_for(policy: PagePolicy) -> bool:
        """Whether it can do what the settings ask for, and the compiled part was built."""
        has_default_insertion = policy.changes_pages and policy.uses_default_tag and not policy.buffers_pages
        return has_default_insertion and compiled_usual() is not None

    # Requests.

    def request(self, data: bytes, visitor: VisitorSide, connection: bytes) -> tuple[bytes, UsualRequest] | None:
        """See ``UsualPath``. After an error the machine handles the request."""
        try:
            return self._request(data, visitor, connection)
        except Exception as error:
            self._policy.counters.failed_open[f"usual path: {type(error).__name__}"] += 1
            return None

    def _request(self, data: bytes, visitor: VisitorSide, connection: bytes) -> tuple[bytes, UsualRequest] | None:
        if not data.startswith(b"GET /"):
            return None
        rules = self._rules
        target = data[4 : data.find(b" ", 4)]
        path, _, query = target.partition(b"?")
        if (
            # What is below the prefix, or asks for capture by a parameter, is decided by the target.
            self._prefix in target
            or path == _ROBOTS_TXT
            or (query and rules.may_force(query))
            # The cost of the path rules grows with the path, and the caches keep no long ones.
            or (rules.has_path_rules and len(path) > _MAX_PATH_BYTES)
        ):
            return None
        key = connection + (self._path_key(path, data) if rules.has_path_rules else b"")
        found = self._read_request(data, key, self._requests.entries, self._max_lines)
        if isinstance(found, bytes):
            self._learn_request(found, data, visitor)
            found = self._read_request(data, key, self._requests.entries, self._max_lines)
        if found is None or isinstance(found, bytes):
            return None
        sent, kind, cookie = found
        if not kind.reason and self._is_refused(cookie, data):
            return None
        return sent, UsualRequest(kind, target, cookie, data, visitor)

    def _is_refused(self, cookie: bytes, data: bytes) -> bool:
        """Whether this visitor's pages are not captured."""
        rules = self._rules
        if cookie and rules.refuses_cookie(cookie):
            return True
        return rules.needs_consent and bool(rules.consent.refusal(read_request_head(data, self._max_lines)))

    def _path_key(self, path: bytes, data: bytes) -> bytes:
        """What the path rules say about a request; a fixed text for one that no path makes a page."""
        destination = _DESTINATION.search(data)
        if destination is not None and not is_page_destination(destination[1]):
            return b"-"
        return self._rules.path_key(path)

    def _learn_request(self, key: bytes, data: bytes, visitor: VisitorSide) -> None:
        try:
            head = read_request_head(data, self._max_lines)
        except BadRequest:
            return
        reason = self._rules.request_refusal(head)
        scheme = visitor.scheme(head)
        plan = RequestPlan(self._policy, head, visitor.peer, visitor.trusted, scheme)
        if plan.reason == "failed":
            return
        # The kind is that of all visitors, whatever this one's cookies say.
        plan.reason = reason
        added = _added_lines(head, request_head(head, NO_BODY, plan, self._context, None))
        if added is None:
            self._requests.put(key, _UNUSUAL)
            return
        values = head.values
        origin = self._policy.origin(head, trusted=visitor.trusted, scheme=scheme)
        response_key = b"\0".join(
            [
                reason.encode(),
                *(b"-" if (value := values.get(name)) is None else b"+" + value for name in _READ_BY_ELIGIBILITY),
            ]
        )
        self._requests.put(key, RequestKind(*added, reason, origin, response_key, self._rules.uncacheable(head)))

    # Responses.

    def response(self, request: UsualRequest, data: bytes) -> tuple[bytes, UsualCopy | None] | None:
        """See ``UsualPath``. After an error the machine handles the response."""
        try:
            return self._response(request, data)
        except Exception as error:
            self._policy.counters.failed_open[f"usual path: {type(error).__name__}"] += 1
            return None

    def _response(self, request: UsualRequest, data: bytes) -> tuple[bytes, UsualCopy | None] | None:
        key = request.kind.response_key
        found = self._read_response(data, key, self._responses.entries, self._max_lines)
        if isinstance(found, bytes):
            self._learn_response(found, request, data)
            found = self._read_response(data, key, self._responses.entries, self._max_lines)
        if found is None or isinstance(found, bytes):
            return None
        kind, lines, body_start, flags, chunked_body = found
        if not kind or body_start > self._context.limits.upstream_head_bytes:
            return None
        if kind.eligibility is not None:
            return self._page(request, kind, data[:body_start], lines, flags, _Body(data, body_start, chunked_body))
        if kind.reason:
            counters = self._policy.counters
            counters.not_captured[kind.reason] += 1
            counters.remember(request.target.partition(b"?")[0], kind.reason, "")
        start = self._start(lines, flags)
        if chunked_body is not None:
            return self._write(start, chunked_body, 0, 0, b"", True), None
        return self._write(start, data, body_start, 0, b"", False), None

    def _start(self, lines: bytes, flags: int) -> bytes:
        return _STATUS_LINE + (lines if flags & HAS_DATE else self._context.date_line() + lines)

    def _page(
        self, request: UsualRequest, kind: ResponseKind, raw_head: bytes, lines: bytes, flags: int, body: _Body
    ) -> tuple[bytes, UsualCopy] | None:
        policy = self._policy
        counters = policy.counters
        capture_limits = policy.capture_limits
        request_kind, target, cookie, _, _ = request
        origin = request_kind.origin
        if (
            not origin
            or body.size > capture_limits.max_page_bytes
            or len(target) + len(origin) > headers.MAX_PAGE_URL_BYTES
        ):
            return None
        page = body.joined()
        if kind.coding:
            decoded = self._decoded(kind.coding, page)
            if decoded is None:
                return None
            page = decoded
        elif not page:
            return None
        eligibility = kind.eligibility
        assert eligibility is not None
        if counters.capturing_bytes + len(page) > capture_limits.capturing_bytes:
            return None
        at = fast_head_end(page, eligibility.charset, 0, base_allowed=not policy.absolute_after_base)
        path = target.partition(b"?")[0]
        tag_parts = policy.usual_tag_parts(origin, path, kind.csp)
        if at is None or not tag_parts:
            return None
        token = policy.copies.mint_token()
        tag = token.encode().join(tag_parts)
        # Its Connection names nothing, or the response would not be usual.
        head = ResponseHead(11, 200, b"OK", raw_head, lines, {}, flags & ~CONNECTION)
        if policy.keep_cookies is not None:
            policy.keep_cookies(token, cookie, raw_head)
        if flags & BODY_DEPENDENT:
            lines = lines_of_changed_body(lines)
        if request_kind.is_uncacheable:
            lines = uncacheable_lines(lines)
        start = self._start(lines, flags)
        if kind.coding:
            coded = encode_whole(kind.coding, b"".join((page[:at], tag, page[at:])))
            response = self._write(start, coded, 0, 0, b"", body.is_chunked)
        else:
            response = self._write(start, page, 0, at, tag, body.is_chunked)
        policy.range_requests.learn_page(path, 200)
        counters.injected += 1
        counters.remember(path, "", "")
        url = origin + target.decode("latin-1")
        facts = CopyFacts(token, url, "GET", head, kind.content_type, policy.now(), eligibility, cookie)
        return response, UsualCopy(facts, page)

    def _decoded(self, coding: bytes, data: bytes) -> bytes | None:
        try:
            page = decode_whole(coding, data, max_decoded_bytes(self._policy.capture_limits, len(data)))
        except CodingError:
            return None
        return page if data and len(page) <= self._policy.capture_limits.max_page_bytes else None

    def finish(self, copy: UsualCopy) -> None:
        """See ``UsualPath``."""
        policy = self._policy
        finish_copy(
            copy.facts,
            copy.page,
            capture_limits=policy.capture_limits,
            copies=policy.copies,
            counters=policy.counters,
        )

    def _learn_response(self, key: bytes, request: UsualRequest, data: bytes) -> None:
        raw = data[: data.index(b"\r\n\r\n") + 4]
        try:
            head = read_response_head(raw)
        except BadResponse:
            return
        csp = head.values.get(b"content-security-policy", b"")
        if csp and not self._learns_csp(csp):
            return
        request_head = read_request_head(request.data, self._max_lines)
        kind = self._response_kind(request_head, request, head)
        if kind is not None:
            self._responses.put(key, kind)

    def _response_kind(
        self, request_head: RequestHead, request: UsualRequest, head: ResponseHead
    ) -> ResponseKind | _Unusual | None:
        """What is known about the kind; None if it depends on this message."""
        content_type = head.values.get(b"content-type")
        if content_type is None or not may_be_html(content_type):
            # Whether a page without a type is counted depends on more fields.
            return _UNUSUAL if is_sniffed(content_type) else ResponseKind("", None, b"", b"")
        if request.kind.reason:
            return ResponseKind(request.kind.reason, None, b"", b"")
        policy = self._policy
        eligibility = policy.eligibility(request_head, head)
        visitor = request.visitor
        plan = RequestPlan(policy, request_head, visitor.peer, visitor.trusted, visitor.scheme(request_head))
        why = plan.not_captured(head, eligibility, request.kind.origin)
        if why in _OF_ONE_MESSAGE:
            return None
        csp = head.values.get(b"content-security-policy", b"")
        if why or policy.not_injected(head, eligibility) or (csp and policy.adapts_csp):
            return _UNUSUAL
        if eligibility.xhtml or eligibility.charset is None:
            return _UNUSUAL
        coding = head.values.get(b"content-encoding")
        return ResponseKind("", eligibility, b"" if coding is None else content_coding((coding,)), content_type, csp)

    def _learns_csp(self, csp: bytes) -> bool:
        """Whether to keep kinds with this policy. It is so for the first :data:`_MAX_POLICIES` ones: an application may
        send another policy with each page."""
        if len(self._policies) < _MAX_POLICIES:
            self._policies.add(csp)
        return csp in self._policies


def _added_lines(head: RequestHead, sent: bytes) -> tuple[bool, bytes, bytes] | None:
    """The first three fields of a :class:`RequestKind`, by what the Python machine sends for one request of the kind.

    None if that is not the visitor's lines with others behind them."""
    start = b"GET %b HTTP/1.1\r\n" % head.target
    lines = sent[len(start) : -2]
    if not sent.startswith(start):
        return None
    replaces = False
    kept = head.forwardable
    if not lines.startswith(kept):
        replaces = True
        kept = without(kept, (b"accept-encoding",))
        if not lines.startswith(kept):
            return None
    added = lines[len(kept) :]
    appended = head.values.get(b"x-forwarded-for")
    if appended is None:
        return replaces, added, b""
    before, separator, after = (b"\r\n" + added).partition(_FORWARDED_FOR + appended + b", ")
    if not separator:
        return None
    return replaces, (before + _FORWARDED_FOR)[2:], b", " + after
