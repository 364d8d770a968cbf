"""What is captured and injected, and what the two sides are told: decided by request, then by answer.

Each decision has its reason in words; they are counted, and shown on the debug page.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from lbcompanion.html.anchors import Anchor, Anchors
from lbcompanion.html.charset import utf_16_of
from lbcompanion.html.csp import judge
from lbcompanion.html.csp_adapt import adapt
from lbcompanion.html.eligible import Eligibility, eligible
from lbcompanion.html.inject import Injector
from lbcompanion.html.refusal import Refusal
from lbcompanion.html.snippets import Snippet, default_tag
from lbcompanion.http1.codings import DECODABLE, offer
from lbcompanion.http1.fields import dropped_names, end_to_end
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.node import robots
from lbcompanion.node.capture import CaptureRules, Capturing, Facts
from lbcompanion.node.copies import Copies
from lbcompanion.node.counters import Counters
from lbcompanion.node.hub import LocalAnswer, Reply
from lbcompanion.node.recording import Recording
from lbcompanion.settings import InjectTable, NodeSettings

_CHANGED = frozenset(
    {b"content-length", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"}
)
_HTML_TYPES = (b"text/html", b"application/xhtml+xml")
_FORWARDED = frozenset({b"content-length", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"expect"})
_CONDITIONS = frozenset({b"if-none-match", b"if-match"})
# How our entity tags differ from the application's: one for its strong tags, one for its weak ones.
_STRONG, _WEAK = b'-lbcs"', b'-lbcw"'
_OURS = re.compile(rb'W/"([^"]*)-lbc([sw])"')


#: Why a page got no script, where a policy forbids it; the directive follows.
BLOCKED = Refusal.CSP.value


@frozen
class Script:
    """The recorder as it is served, and its address below the prefix."""

    source: bytes
    version: str


class Policy(Recording):
    """The compiled settings.

    :param wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        settings: NodeSettings,
        copies: Copies,
        counters: Counters,
        rules: CaptureRules,
        script: Script,
        wall_clock: Callable[[], float],
    ) -> None:
        super().__init__(settings.capture)
        self.settings = settings
        self.copies = copies
        self.counters = counters
        self.rules = rules
        self.wall_clock = wall_clock
        self.prefix = settings.node.prefix
        self.script_url = f"{self.prefix}/fetch-from.js?v={script.version}"
        if settings.capture.outlive_pull:
            copies.outlives = self.outlives
        inject = settings.inject
        self.top = Snippet(inject.top) if inject.top is not None else None
        self.bottom = Snippet(inject.bottom) if inject.bottom is not None else None
        self.skip_if = re.compile(inject.skip_if.encode()) if inject.skip_if else None
        self.anchors = _anchors(inject)
        self.adapts = inject.csp == "adapt"
        self.inline = any(snippet is not None and snippet.inline for snippet in (self.top, self.bottom))

    def plan(self, head: RequestHead, peer: str, trusted: bool, scheme: str) -> RequestPlan:
        """Decide about a request; see :class:`RequestPlan`."""
        return RequestPlan(self, head, peer, trusted, scheme)

    def policies(self, head: ResponseHead, origin: str) -> list[bytes]:
        """The enforcing policies that the visitor gets with a page into which a script goes."""
        values = head.all(b"content-security-policy")
        if not values or not self.adapts:
            return values
        return adapt(values, origin + self.script_url, inline=self.inline) or values

    def origin(self, head: RequestHead, trusted: bool, scheme: str) -> str:
        """The public origin that this request was made to."""
        told = self.settings.node.public_origin
        if told:
            return told.rstrip("/")
        host = (head.get(b"x-forwarded-host") if trusted else None) or head.get(b"host") or b""
        return f"{scheme}://{host.decode('latin-1')}"


class RequestPlan:
    """The decisions about one request and its answer."""

    __slots__ = ("_asked", "_head", "_mapped", "_peer", "_policy", "_robots", "_scheme", "_trusted", "reason")

    def __init__(self, policy: Policy, head: RequestHead, peer: str, trusted: bool, scheme: str) -> None:
        self._policy = policy
        self._head = head
        self._peer = peer
        self._trusted = trusted
        self._scheme = scheme
        self._mapped = False
        self._robots = head.target == b"/robots.txt" and head.method in {b"GET", b"HEAD"}
        self._asked = head.get(b"lbc-capture") == b"1"
        try:
            self.reason = policy.refusal(head)
        except Exception as error:
            policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            self.reason = "failed"

    def request_fields(self) -> list[Field]:  # noqa: PLR0912 - one pass over the fields, on the hot path
        """The fields for the application (CONTRACT section 3, "Towards the application")."""
        head = self._head
        dropped = dropped_names(head) | _FORWARDED
        # Framing is written anew, but an expectation stays one: the application decides about it.
        may_capture = not self.reason
        out: list[Field] = []
        forwarded = proto = host = None
        for (name, value), written in zip(head.fields, head.names, strict=True):
            if name not in dropped:
                if may_capture or self._robots:
                    if name == b"accept-encoding":
                        continue
                    if name in _CONDITIONS:
                        out.append((written, self._their_tags(value)))
                        continue
                if name == b"lbc-capture":
                    continue
                out.append((written, value))
            elif name == b"x-forwarded-for":
                forwarded = value if forwarded is None else forwarded + b", " + value
            elif name == b"x-forwarded-proto":
                proto = value
            elif name == b"x-forwarded-host":
                host = value
            elif name == b"expect":
                out.append((written, value))
        if may_capture or self._robots:
            accept = head.get(b"accept-encoding")
            if self._robots:
                out.append((b"Accept-Encoding", b"identity"))
            elif accept is not None:
                out.append((b"Accept-Encoding", offer(accept)))
        peer = self._peer.encode()
        if peer or forwarded:
            out.append((b"X-Forwarded-For", b", ".join(part for part in (forwarded, peer) if part)))
        if not self._trusted or proto is None:
            proto = self._scheme.encode()
        out.append((b"X-Forwarded-Proto", proto))
        told_host = host if self._trusted and host is not None else head.get(b"host")
        if told_host is not None:
            out.append((b"X-Forwarded-Host", told_host))
        return out

    def _their_tags(self, value: bytes) -> bytes:
        """Our entity tags in a condition as the application knows them."""
        if b"-lbc" not in value:
            return value
        self._mapped = True
        return _OURS.sub(lambda m: b'"%b"' % m[1] if m[2] == b"s" else b'W/"%b"' % m[1], value)

    def reply(self, head: ResponseHead) -> Reply:
        """Decide about the answer. Whatever fails in here, the visitor gets the application's answer as it is."""
        try:
            return self._reply(head)
        except Exception as error:
            self._policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            return Reply(end_to_end(head, (b"content-length",)))

    def _reply(self, head: ResponseHead) -> Reply:
        if self._robots:
            return self._robots_reply(head)
        if not self.reason:
            if head.status == 304 and self._mapped:
                policy = self._policy
                policies = policy.policies(head, policy.origin(self._head, self._trusted, self._scheme))
                return Reply(_with_policies([_our_tag(f) for f in end_to_end(head, (b"content-length",))], policies))
            content_type = head.get(b"content-type")
            if content_type is not None and content_type[:21].lower().startswith(_HTML_TYPES):
                return self._html(head, content_type)
        return Reply(end_to_end(head, (b"content-length",)))

    def _html(self, head: ResponseHead, content_type: bytes) -> Reply:
        policy = self._policy
        request = self._head
        is_head = request.method == b"HEAD"
        # A HEAD answer is judged as the GET it stands for, since its fields must be the same.
        judged = eligible(request.fields, head.status, head.fields, b"GET" if is_head else request.method)
        why = self.not_captured(head, judged)
        if why:
            policy.counters.not_captured[why] += 1
            policy.counters.decided(request.path, why, "")
            return Reply(end_to_end(head, (b"content-length",)))
        inject = judged.inject and policy.settings.inject.enabled
        origin = policy.origin(request, self._trusted, self._scheme)
        policies = policy.policies(head, origin) if inject else []
        if is_head:
            changed = inject and not self._blocked(policies, origin)
            return Reply(self._visitor_fields(head, changed, policies), _NoBody() if changed else None)
        token = policy.copies.begin()
        injector = self.injector(policies, judged, token, origin) if inject else None
        if not inject:
            policy.counters.left_alone(request.path, judged.reason or "injection is off")
        facts = Facts(
            token,
            origin + request.target.decode("latin-1"),
            request.method.decode("ascii"),
            head.status,
            content_type.decode("latin-1"),
            policy.wall_clock(),
            judged.charset,
            b"; ".join(request.all(b"cookie")),
        )
        pipeline = Capturing(facts, policy.rules, policy.copies, policy.counters, _coding(head), injector)
        fields = self._visitor_fields(head, injector is not None, policies)
        if self._asked:
            fields.append((b"Lbc-Token", token.encode()))
        return Reply(fields, pipeline)

    def not_captured(self, head: ResponseHead, judged: Eligibility) -> str:  # noqa: PLR0911 - as above
        """Why no copy is taken of this answer; empty where one is."""
        policy = self._policy
        if head.status not in policy.statuses:
            return "status"
        if not judged.page:
            return judged.reason
        if judged.reason == "prefetch":
            return "prefetch"
        if judged.fragment and not (self._asked and policy.settings.capture.fragments == "on-request"):
            return "fragment"
        coding = _coding(head)
        if coding and coding not in DECODABLE:
            return "content coding"
        length = head.get(b"content-length")
        if length is not None and not coding and int(length) > policy.rules.max_page_bytes:
            return "larger than max_page_bytes"
        if policy.counters.capturing_bytes >= policy.rules.capturing_bytes:
            return "capture memory is full"
        return ""

    def _visitor_fields(self, head: ResponseHead, changed: bool, policies: list[bytes]) -> list[Field]:
        if not changed:
            fields = end_to_end(head, (b"content-length",))
        else:
            fields = _with_policies([_our_tag(field) for field in end_to_end(head, _CHANGED)], policies)
        if self._policy.uncacheable(self._head.path.decode("latin-1")):
            fields = [
                field for field in fields if field[0].lower() not in {b"cache-control", b"etag", b"last-modified"}
            ]
            fields.append((b"Cache-Control", b"no-store"))
        return fields

    def _blocked(self, policies: list[bytes], origin: str) -> str:
        """The directive of the page's header that forbids the script, if one does."""
        policy = self._policy
        return judge(policies, origin + policy.script_url, inline=policy.inline).directive if policies else ""

    def injector(self, policies: list[bytes], judged: Eligibility, token: str, origin: str) -> Injector | None:
        """The injector for a page, None where the page's policy forbids the script."""
        policy = self._policy
        fetch_from = f"{policy.settings.node.direct_origin.rstrip('/') or origin}{policy.prefix}/page/{token}"

        def snippets(more: tuple[str, ...]) -> tuple[bytes, bytes] | str:
            nonce = None
            if policies or more:
                verdict = judge([*policies, *more], origin + policy.script_url, inline=policy.inline)
                if not verdict.allowed:
                    return verdict.directive
                nonce = verdict.nonce
            return self._snippets(token, fetch_from, nonce, judged.xhtml)

        first = snippets(())
        if isinstance(first, str):
            policy.counters.left_alone(self._head.path, f"{BLOCKED}: {first}")
            return None
        return Injector(
            first[0],
            first[1],
            xhtml=judged.xhtml,
            charset_known=judged.charset is not None,
            utf_16=utf_16_of(judged.charset),
            needs_document=judged.needs_document,
            on_policies=snippets,
            skip_if=policy.skip_if,
            anchors=policy.anchors,
            limit_bytes=policy.rules.max_page_bytes,
        )

    def _snippets(self, token: str, fetch_from: str, nonce: str | None, xhtml: bool) -> tuple[bytes, bytes]:
        policy = self._policy
        if policy.top is None and policy.bottom is None:
            return default_tag(token, fetch_from, policy.script_url, nonce, xhtml), b""
        values = {
            "fetch_from": fetch_from,
            "token": token,
            "node": policy.settings.node.name,
            "prefix": policy.prefix,
            "nonce": nonce or "",
        }
        return (
            policy.top.fill(values) if policy.top is not None else b"",
            policy.bottom.fill(values) if policy.bottom is not None else b"",
        )

    def _robots_reply(self, head: ResponseHead) -> Reply:
        prefix = self._policy.prefix.encode()
        if head.status in {404, 410}:
            text = robots.alone(prefix)
            return Reply([], replace=LocalAnswer(200, [(b"Content-Type", b"text/plain; charset=utf-8")], text))
        if head.status != 200 or _coding(head):
            return Reply(end_to_end(head, (b"content-length",)))
        fields = [_our_tag(field) for field in end_to_end(head, _CHANGED)]
        return Reply(fields, _Robots(prefix) if self._head.method == b"GET" else _NoBody())


class _NoBody:
    """Stands for a changed body in answers that have none."""

    same_length = False

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def written(self) -> None:
        pass

    def abort(self, why: str) -> None:
        pass


class _Robots(_NoBody):
    """Collects robots.txt and gives it with our rule; one that is too large passes as it is."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._text: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        if self._text is None:
            return data
        self._text += data
        if len(self._text) <= robots.MAX_BYTES:
            return b""
        text, self._text = self._text, None
        return text

    def finish(self) -> bytes:
        return b"" if self._text is None else robots.with_rule(self._text, self._prefix)


def _anchors(inject: InjectTable) -> Anchors | None:
    def one(after: str, before: str) -> Anchor | None:
        written = after or before
        return Anchor(re.compile(written.encode()), bool(after)) if written else None

    top = one(inject.top_after, inject.top_before)
    bottom = one(inject.bottom_after, inject.bottom_before)
    return Anchors(top, bottom) if top or bottom else None


def _with_policies(fields: list[Field], policies: list[bytes]) -> list[Field]:
    """Fields with other policies in the place of theirs, line by line."""
    if not policies:
        return fields
    left = iter(policies)
    return [(name, next(left) if name.lower() == b"content-security-policy" else value) for name, value in fields]


def _coding(head: ResponseHead) -> bytes:
    codings = head.all(b"content-encoding")
    coding = b", ".join(codings).strip().lower()
    # ``none`` and ``identity`` are written by some applications and mean nothing.
    return b"" if coding in {b"", b"identity", b"none"} else coding


def _our_tag(field: Field) -> Field:
    """An application's entity tag as a changed page bears it: never its own, and found again in conditions."""
    name, value = field
    if name.lower() != b"etag" or not value.endswith(b'"'):
        return field
    weak = value.startswith(b"W/")
    return name, (value[:-1] + _WEAK) if weak else (b"W/" + value[:-1] + _STRONG)
