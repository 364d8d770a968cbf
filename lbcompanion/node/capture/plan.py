"""Decides what is captured and injected, and which fields both sides get: by the request, then by the response.

Each decision has a reason in words, which is counted and shown on the debug page.
"""

from __future__ import annotations

import re

from lbcompanion.html.csp import InsertedScripts, evaluate
from lbcompanion.html.eligible import HTML_TYPES, Eligibility
from lbcompanion.http1.codings import DECODABLE, content_coding
from lbcompanion.http1.field_lines import BODY_DEPENDENT, CAPTURE_REQUESTED, CONDITIONAL, FORWARDED, HAS_CODING, HAS_CSP
from lbcompanion.http1.fields import end_to_end
from lbcompanion.http1.heads import RequestHead, ResponseHead, without
from lbcompanion.node.capture import robots
from lbcompanion.node.capture.insertion import Insertion
from lbcompanion.node.capture.page_policy import NO_TOKEN, PagePolicy
from lbcompanion.node.capture.pipeline import CapturePipeline, PageContext
from lbcompanion.node.proxy.client_info import appended_forwarding_lines
from lbcompanion.node.proxy.context import InternalResponse, ResponsePlan
from lbcompanion.protocol import headers

# Fields that are wrong for a changed body; ``Content-Length`` is always recalculated.
_BODY_DEPENDENT = frozenset({b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"})
_LONGEST_HTML_TYPE = max(map(len, HTML_TYPES))
_CONDITIONAL_FIELDS = frozenset({b"if-none-match", b"if-match"})
# Suffixes that mark entity tags of changed pages: of strong and of weak tags.
_STRONG, _WEAK = b'-lbcs"', b'-lbcw"'
_MARKED_ETAG = re.compile(rb'W/"([^"]*)-lbc([sw])"')
_ETAG = re.compile(rb"(?im)^(etag: )(W/)?([^\r\n]*)\"(?=\r$)")
_POLICY = re.compile(rb"(?im)^(content-security-policy: )([^\r\n]*)(?=\r$)")
_ACCEPT_ENCODING = re.compile(rb"(?im)^(accept-encoding: )[^\r\n]*\r\n")


class RequestPlan:
    """The decisions about one request and its response.

    :ivar policy: the compiled settings.
    :ivar reason: why the response is not captured, whatever it is; empty if it may be.
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

    def __init__(self, policy: PagePolicy, head: RequestHead, peer: str, trusted: bool, scheme: str) -> None:
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
            lines = without(lines, (b"accept-encoding",)) + b"Accept-Encoding: identity\r\n"
        elif not self.reason:
            accept = head.values.get(b"accept-encoding")
            if accept is not None and (accept_encoding := policy.accept_encoding(accept)) != accept:
                lines = _ACCEPT_ENCODING.sub(b"", lines) + b"Accept-Encoding: %b\r\n" % accept_encoding
        if flags & CONDITIONAL and b"-lbc" in lines:
            lines = self._restore_application_etags(lines)
        if flags & FORWARDED:
            return lines + appended_forwarding_lines(head, self._trusted, self._peer, self._scheme)
        return lines + policy.forwarding_lines(self._peer, self._scheme, head.values.get(b"host"))

    def _restore_application_etags(self, lines: bytes) -> bytes:
        """Translate marked entity tags in If-None-Match and If-Match back into the application's."""
        out = []
        for line in lines.splitlines(keepends=True):
            if b"-lbc" in line and line.partition(b":")[0].lower() in _CONDITIONAL_FIELDS:
                self._etag_translated = True
                line = _MARKED_ETAG.sub(lambda m: b'"%b"' % m[1] if m[2] == b"s" else b'W/"%b"' % m[1], line)  # noqa: PLW2901
            out.append(line)
        return b"".join(out)

    def plan_response(self, head: ResponseHead) -> ResponsePlan:
        """Decide about the response. If an error occurs, the visitor gets the application's response unchanged."""
        try:
            return self._plan_response(head)
        except Exception as error:
            self.policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            return ResponsePlan(end_to_end(head))

    def _plan_response(self, head: ResponseHead) -> ResponsePlan:
        if self._is_robots_txt:
            return self._plan_robots_response(head)
        if head.status == 304 and self._etag_translated:
            policy = self.policy
            # The cached page has inline scripts with a token that is unknown here.
            origin = policy.origin(self._head, self._trusted, self._scheme)
            csp_headers = policy.csp_headers(head, origin, policy.inserted)
            return ResponsePlan(_replace_csp(_mark_etag(end_to_end(head)), csp_headers))
        if not self.reason:
            content_type = head.values.get(b"content-type")
            if content_type is not None and content_type[:_LONGEST_HTML_TYPE].lower().startswith(HTML_TYPES):
                return self._plan_page(head, content_type)
        return ResponsePlan(end_to_end(head))

    def _plan_page(self, head: ResponseHead, content_type: bytes) -> ResponsePlan:
        policy = self.policy
        request = self._head
        is_head = request.method == b"HEAD"
        eligibility = policy.eligibility(request, head)
        why = self.not_captured(head, eligibility)
        if why:
            policy.counters.not_captured[why] += 1
            policy.counters.remember(request.path, why, "")
            return ResponsePlan(end_to_end(head))
        not_injected = policy.not_injected(head, eligibility)
        inject = not not_injected
        origin = policy.origin(request, self._trusted, self._scheme)
        # A HEAD has no copy; its fields are those of GET, except for a hash over the token.
        token = NO_TOKEN if is_head else policy.copies.begin()
        inserted = (
            policy.inserted_for(token, origin, eligibility.xhtml)
            if inject and head.flags & HAS_CSP
            else policy.inserted
        )
        csp_headers = policy.csp_headers(head, origin, inserted) if inject else []
        if is_head:
            changed = inject and not self._blocking_directive(csp_headers, origin, inserted)
            return ResponsePlan(self._visitor_lines(head, changed, csp_headers), _ChangedLength() if changed else None)
        insertion = self.insertion(csp_headers, eligibility, token, origin) if inject else None
        if insertion is not None and csp_headers and not insertion.allowed:
            insertion = None
        if not inject:
            policy.counters.count_not_injected(request.path, not_injected)
        pipeline = CapturePipeline(
            token=token,
            page_context=PageContext(request, head, origin, policy.now(), eligibility.charset),
            capture_limits=policy.capture_limits,
            copies=policy.copies,
            counters=policy.counters,
            coding=_coding(head),
            insertion=insertion,
        )
        lines = self._visitor_lines(head, insertion is not None, csp_headers)
        if self._capture_requested:
            lines += b"%b: %b\r\n" % (headers.CAPTURED_TOKEN.written, token.encode())
        return ResponsePlan(lines, pipeline)

    def not_captured(self, head: ResponseHead, eligibility: Eligibility) -> str:  # noqa: PLR0911 - as above
        """Why no copy is made of this response; empty if one is."""
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
        if policy.counters.capturing_bytes >= policy.capture_limits.capturing_bytes:
            return "capture memory is full"
        return ""

    def _visitor_lines(self, head: ResponseHead, changed: bool, csp_headers: list[bytes]) -> bytes:
        lines = end_to_end(head)
        if changed and head.flags & BODY_DEPENDENT:
            lines = _mark_etag(without(lines, _BODY_DEPENDENT))
        if changed and csp_headers and self.policy.adapts_csp:
            lines = _replace_csp(lines, csp_headers)
        if self.policy.capture_rules.uncacheable(self._head):
            lines = without(lines, (b"cache-control", b"etag", b"last-modified")) + b"Cache-Control: no-store\r\n"
        return lines

    def _blocking_directive(self, csp_headers: list[bytes], origin: str, inserted: InsertedScripts) -> str:
        """The directive of the header's policies that forbids the script; empty if none does."""
        policy = self.policy
        return evaluate(csp_headers, origin + policy.script_url, inserted=inserted).directive if csp_headers else ""

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
        lines = _mark_etag(end_to_end(head, _BODY_DEPENDENT))
        return ResponsePlan(lines, robots.RobotsRewriter(prefix) if self._head.method == b"GET" else _ChangedLength())


class _ChangedLength:
    """The pipeline of a HEAD response whose GET has a changed length: it suppresses ``Content-Length``."""

    same_length = False

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def transform_whole(self, data: bytes) -> list[bytes]:
        return [data]

    def written(self) -> None:
        pass

    def abort(self, why: str) -> None:
        pass


def _replace_csp(lines: bytes, csp_headers: list[bytes]) -> bytes:
    """Replace the values of the CSP lines, in order."""
    if not csp_headers:
        return lines
    left = iter(csp_headers)
    return _POLICY.sub(lambda found: found[1] + next(left), lines)


def _coding(head: ResponseHead) -> bytes:
    return content_coding((head.values[b"content-encoding"],)) if head.flags & HAS_CODING else b""


def _mark_etag(lines: bytes) -> bytes:
    """Mark the entity tag of a changed page: it differs from the application's and is recognised in conditions."""
    return _ETAG.sub(lambda found: b"%bW/%b%b" % (found[1], found[3], _WEAK if found[2] else _STRONG), lines)
