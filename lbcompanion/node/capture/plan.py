"""Decides what is captured and injected, and which fields both sides get: by the request, then by the response.

Each decision has a reason in words, which is counted and shown on the debug page.
"""

from __future__ import annotations

import re

from lbcompanion.html.csp import InsertedScripts
from lbcompanion.html.page_detection import Eligibility, is_sniffed, may_be_html, request_reason
from lbcompanion.http1.codings import DECODABLE, content_coding
from lbcompanion.http1.field_lines import (
    BODY_DEPENDENT,
    CAPTURE_REQUESTED,
    CONDITIONAL,
    FORWARDED,
    HAS_CODING,
    HAS_CSP,
    RANGE,
)
from lbcompanion.http1.fields import end_to_end
from lbcompanion.http1.heads import RequestHead, ResponseHead, without
from lbcompanion.node.capture import consent, robots
from lbcompanion.node.capture.entity_tags import BODY_FIELDS, mark_etag, mark_not_modified, restore_etags
from lbcompanion.node.capture.insertion import Insertion
from lbcompanion.node.capture.page_policy import NO_TOKEN, PagePolicy
from lbcompanion.node.capture.pipeline import CapturePipeline, PageContext
from lbcompanion.node.proxy.client_info import appended_forwarding_lines
from lbcompanion.node.proxy.context import InternalResponse, ResponsePlan
from lbcompanion.protocol import headers

_POLICY = re.compile(rb"(?im)^(content-security-policy: )([^\r\n]*)(?=\r$)")
_ACCEPT_ENCODING = re.compile(rb"(?im)^(accept-encoding: )[^\r\n]*\r\n")
_RANGE_FIELDS = (b"range", b"if-range")


class RequestPlan:
    """The decisions about one request and its response.

    :ivar policy: the compiled settings.
    :ivar reason: why no response to this request is captured; empty if one may be.
    """

    __slots__ = (
        "_capture_requested",
        "_etag_translated",
        "_head",
        "_is_robots_txt",
        "_peer",
        "_scheme",
        "_trusted",
        "policy",
        "reason",
    )

    # The exchange calls ProxyContext.plan, which is this, by position.
    def __init__(self, policy: PagePolicy, head: RequestHead, peer: str, trusted: bool, scheme: str) -> None:  # noqa: FBT001
        self.policy = policy
        self._head = head
        self._peer = peer
        self._trusted = trusted
        self._scheme = scheme
        self._etag_translated = False
        self._is_robots_txt = head.target == b"/robots.txt" and head.method in {b"GET", b"HEAD"}
        self._capture_requested = head.flags & CAPTURE_REQUESTED != 0 and head.get(headers.CAPTURE.key) == b"1"
        try:
            self.reason = policy.capture_rules.refusal(head)
        except Exception as error:
            policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            self.reason = "failed"

    def request_lines(self) -> bytes:
        """The field lines for the application (docs/reference-listener.rst, "Towards the application")."""
        head = self._head
        policy = self.policy
        flags = head.flags
        lines = end_to_end(head)
        if flags & CAPTURE_REQUESTED:
            lines = without(lines, (headers.CAPTURE.key,))
        if self._is_robots_txt:
            lines = without(lines, (b"accept-encoding", *_RANGE_FIELDS)) + b"Accept-Encoding: identity\r\n"
        elif not self.reason:
            accept = head.values.get(b"accept-encoding")
            if accept is not None and (accept_encoding := policy.accept_encoding(accept)) != accept:
                lines = _ACCEPT_ENCODING.sub(b"", lines) + b"Accept-Encoding: %b\r\n" % accept_encoding
            if flags & RANGE and policy.changes_pages and policy.range_requests.may_be_of_changed_page(head):
                lines = without(lines, _RANGE_FIELDS)
        if flags & CONDITIONAL and b"-lbc" in lines:
            if self.reason in consent.REASONS:
                # The browser still has a page with the script. A 304 would have it shown without consent.
                lines = without(lines, (b"if-none-match",))
            restored = restore_etags(lines)
            self._etag_translated = restored != lines
            lines = restored
        if flags & FORWARDED:
            return lines + appended_forwarding_lines(head, self._peer, self._scheme, trusted=self._trusted)
        return lines + policy.forwarding_lines(self._peer, self._scheme, head.values.get(b"host"))

    def plan_response(self, head: ResponseHead) -> ResponsePlan:
        """Decide about the response. If an error occurs, the visitor gets the application's response unchanged."""
        try:
            return self._plan_response(head)
        except Exception as error:
            self.policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            return ResponsePlan(end_to_end(head))

    def _plan_response(self, head: ResponseHead) -> ResponsePlan:
        if head.status == 304 and self._may_be_of_changed_page():
            return self._plan_not_modified(head)
        if self._is_robots_txt:
            return self._plan_robots_response(head)
        content_type = head.values.get(b"content-type")
        if content_type is not None and may_be_html(content_type):
            if not self.reason:
                return self._plan_page(head)
            self._count_not_captured(self.reason)
        elif is_sniffed(content_type):
            if self._may_be_page_without_type(head):
                self._count_not_captured("no content type")
        elif self._head.flags & RANGE:
            self.policy.range_requests.learn(self._head, head)
        return ResponsePlan(end_to_end(head))

    def _may_be_page_without_type(self, head: ResponseHead) -> bool:
        """Whether browsers may show a response without a type as a page."""
        request = self._head
        if self.reason or head.status not in self.policy.capture_rules.statuses or request.method == b"HEAD":
            return False
        if request_reason(request.values) or head.values.get(b"content-length") == b"0":
            return False
        accepts_html = b"html" in (request.get(b"accept") or b"").lower()
        is_navigation = b"sec-fetch-dest" in request.values or accepts_html
        return is_navigation and (head.get(b"x-content-type-options") or b"").lower() != b"nosniff"

    def _may_be_of_changed_page(self) -> bool:
        """Whether the visitor's stored response, to which a 304 belongs, may be one that was changed."""
        if self._etag_translated or self._is_robots_txt:
            return True
        return self.policy.changes_pages and not self.reason and not request_reason(self._head.values)

    def _plan_not_modified(self, head: ResponseHead) -> ResponsePlan:
        policy = self.policy
        lines = mark_not_modified(end_to_end(head), self._head.values.get(b"if-none-match", b""))
        if self._etag_translated and not self._is_robots_txt:
            # The stored page has inline scripts with a token that is unknown here.
            origin = policy.origin(self._head, trusted=self._trusted, scheme=self._scheme)
            if origin:
                lines = _replace_csp(lines, policy.csp_headers(head, origin, policy.inserted))
        return ResponsePlan(lines, _ChangedLength())

    def _count_not_captured(self, why: str) -> None:
        self.policy.counters.not_captured[why] += 1
        self.policy.counters.remember(self._head.path, why, "")

    def _plan_page(self, head: ResponseHead) -> ResponsePlan:
        policy = self.policy
        request = self._head
        is_head = request.method == b"HEAD"
        eligibility = policy.eligibility(request, head)
        origin = policy.origin(request, trusted=self._trusted, scheme=self._scheme)
        why = self.not_captured(head, eligibility, origin)
        if why:
            self._count_not_captured(why)
            return ResponsePlan(end_to_end(head))
        not_injected = policy.not_injected(head, eligibility)
        inject = not not_injected
        # A HEAD has no copy; its fields are those of GET, except for a hash over the token.
        token = NO_TOKEN if is_head else policy.copies.mint_token()
        inserted = (
            policy.inserted_for(token, origin, xhtml=eligibility.xhtml)
            if inject and head.flags & HAS_CSP
            else policy.inserted
        )
        csp_headers = policy.csp_headers(head, origin, inserted) if inject else []
        if is_head:
            changed = inject and not self._blocking_directive(csp_headers, origin, inserted)
            return ResponsePlan(
                self._visitor_lines(head, changed=changed, csp_headers=csp_headers),
                _ChangedLength() if changed else None,
            )
        insertion = self.insertion(csp_headers, eligibility, token, origin) if inject else None
        if insertion is not None and csp_headers and not insertion.allowed:
            insertion = None
        if not inject:
            policy.counters.count_not_injected(request.path, not_injected)
        elif insertion is not None:
            policy.range_requests.learn_page(request.path, head.status)
        pipeline = CapturePipeline(
            token=token,
            page_context=PageContext(request, head, origin, policy.now(), eligibility),
            capture_limits=policy.capture_limits,
            copies=policy.copies,
            counters=policy.counters,
            coding=_coding(head),
            insertion=insertion,
        )
        if policy.keep_cookies is not None:
            policy.keep_cookies(token, request.values.get(b"cookie", b""), head.raw)
        lines = self._visitor_lines(head, changed=insertion is not None, csp_headers=csp_headers)
        if self._capture_requested:
            lines += b"%b: %b\r\n" % (headers.CAPTURED_TOKEN.written, token.encode())
        return ResponsePlan(lines, pipeline)

    def not_captured(self, head: ResponseHead, eligibility: Eligibility, origin: str) -> str:  # noqa: PLR0911 - a list of rules, each with its word
        """Why no copy is made of this response; empty if one is.

        :param origin: the public origin of the request; empty if it has none.
        """
        policy = self.policy
        if head.status not in policy.capture_rules.statuses:
            return "status"
        if not eligibility.page:
            return eligibility.reason
        if eligibility.reason == "prefetch":
            return "prefetch"
        if eligibility.fragment and not (self._capture_requested and policy.settings.capture.fragments == "on-request"):
            return "fragment"
        coding = _coding(head)
        if coding and coding not in DECODABLE:
            return "content coding"
        length = head.values.get(b"content-length")
        if length is not None and not coding and int(length) > policy.capture_limits.max_page_bytes:
            return "larger than max_page_bytes"
        if not origin:
            return "no valid host"
        if len(self._head.target) + len(origin) > headers.MAX_PAGE_URL_BYTES:
            # A copy whose head the crawler cannot read would be sent in vain until the crawler gives up.
            return "address too long"
        if policy.counters.capturing_bytes >= policy.capture_limits.capturing_bytes:
            return "capture memory is full"
        return ""

    def _visitor_lines(self, head: ResponseHead, *, changed: bool, csp_headers: list[bytes]) -> bytes:
        lines = end_to_end(head)
        if changed and head.flags & BODY_DEPENDENT:
            lines = lines_of_changed_body(lines)
        if changed and csp_headers and self.policy.adapts_csp:
            lines = _replace_csp(lines, csp_headers)
        return uncacheable_lines(lines) if self.policy.capture_rules.uncacheable(self._head) else lines

    def _blocking_directive(self, csp_headers: list[bytes], origin: str, inserted: InsertedScripts) -> str:
        """The directive of the header's policies that forbids the script; empty if none does."""
        policy = self.policy
        return policy.verdict(csp_headers, origin + policy.script_url, inserted).directive if csp_headers else ""

    def insertion(self, csp_headers: list[bytes], eligibility: Eligibility, token: str, origin: str) -> Insertion:
        """The insertion into the response to this request."""
        return Insertion(
            policy=self.policy,
            path=self._head.path,
            csp_headers=csp_headers,
            eligibility=eligibility,
            token=token,
            origin=origin,
        )

    def _plan_robots_response(self, head: ResponseHead) -> ResponsePlan:
        prefix = self.policy.prefix.encode()
        if head.status in {404, 410}:
            text = robots.default_robots(prefix)
            return ResponsePlan(
                b"", replacement=InternalResponse(200, [(b"Content-Type", b"text/plain; charset=utf-8")], text)
            )
        if head.status != 200 or _coding(head):
            return ResponsePlan(end_to_end(head))
        lines = mark_etag(end_to_end(head, BODY_FIELDS))
        return ResponsePlan(lines, robots.RobotsRewriter(prefix) if self._head.method == b"GET" else _ChangedLength())


def lines_of_changed_body(lines: bytes) -> bytes:
    """The field lines of a page that was changed: its validators are marked, and digests of the body are left out."""
    return mark_etag(without(lines, BODY_FIELDS))


def uncacheable_lines(lines: bytes) -> bytes:
    """The field lines of a page that no cache may keep."""
    return without(lines, (b"cache-control", b"etag", b"last-modified")) + b"Cache-Control: no-store\r\n"


class _ChangedLength:
    """The pipeline of a HEAD response or 304 whose page has a changed length: it suppresses ``Content-Length``."""

    same_length = False
    broken = ""

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def transform_whole(self, data: bytes) -> list[bytes]:
        return [data]

    def written(self) -> None:
        pass

    def abort(self, why: str) -> bytes:
        return b""


def _replace_csp(lines: bytes, csp_headers: list[bytes]) -> bytes:
    """Replace the values of the CSP lines, in order."""
    if not csp_headers:
        return lines
    left = iter(csp_headers)
    return _POLICY.sub(lambda found: found[1] + next(left), lines)


def _coding(head: ResponseHead) -> bytes:
    return content_coding((head.values[b"content-encoding"],)) if head.flags & HAS_CODING else b""
