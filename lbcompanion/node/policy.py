"""What is captured and injected, and what the two sides are told: decided by request, then by answer.

Each decision has its reason in words; they are counted, and shown on the debug page.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from attrs import frozen

from lbcompanion.html.csp import judge
from lbcompanion.html.eligible import Eligibility, eligible
from lbcompanion.html.inject import Injector
from lbcompanion.html.snippets import Snippet, default_tag
from lbcompanion.http1.codings import DECODABLE, offer
from lbcompanion.http1.fields import dropped_names, end_to_end
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.node import robots
from lbcompanion.node.capture import CaptureRules, Capturing, Facts
from lbcompanion.node.copies import Copies
from lbcompanion.node.counters import Counters
from lbcompanion.node.hub import LocalAnswer, Reply
from lbcompanion.settings import NodeSettings
from lbcompanion.sticky.cookies import parse

# Fetch Metadata: what is asked for as a picture or a script cannot become a page.
_DOCUMENTS = frozenset({b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object", b"empty"})
_CHANGED = frozenset(
    {b"content-length", b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"}
)
_HTML_TYPES = (b"text/html", b"application/xhtml+xml")
_FORWARDED = frozenset({b"content-length", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"expect"})
_CONDITIONS = frozenset({b"if-none-match", b"if-match"})
# How our entity tags differ from the application's: one for its strong tags, one for its weak ones.
_STRONG, _WEAK = b'-lbcs"', b'-lbcw"'
_OURS = re.compile(rb'W/"([^"]*)-lbc([sw])"')


def glob(pattern: str) -> str:
    """A path glob as a regular expression: ``**`` is anything, ``*`` anything but ``/``, ``?`` one such character."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part, re.escape(part)) for part in parts)


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{glob(g)})" for g in globs), re.DOTALL) if globs else None


@frozen
class Script:
    """The recorder as it is served, and its address below the prefix."""

    source: bytes
    version: str


class Policy:
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
        capture = settings.capture
        self.settings = settings
        self.copies = copies
        self.counters = counters
        self.rules = rules
        self.wall_clock = wall_clock
        self.prefix = settings.node.prefix
        self.script_url = f"{self.prefix}/fetch-from.js?v={script.version}"
        self.methods = frozenset(method.encode() for method in capture.methods)
        self.statuses = frozenset(capture.statuses)
        everything = capture.include == ("/**",)
        self._include = None if everything else _any_of(capture.include)
        self._includes_all = everything
        self._exclude = _any_of(capture.exclude)
        self._force = capture.force_parameter.encode()
        self.enabled = capture.enabled
        inject = settings.inject
        self.top = Snippet(inject.top) if inject.top is not None else None
        self.bottom = Snippet(inject.bottom) if inject.bottom is not None else None
        self.skip_if = re.compile(inject.skip_if.encode()) if inject.skip_if else None
        self.inline = any(snippet is not None and snippet.inline for snippet in (self.top, self.bottom))

    def plan(self, head: RequestHead, peer: str, trusted: bool, scheme: str) -> RequestPlan:
        """Decide about a request; see :class:`RequestPlan`."""
        return RequestPlan(self, head, peer, trusted, scheme)

    def refusal(self, head: RequestHead) -> str:  # noqa: PLR0911 - a list of rules, each with its word
        """Why this request's answer is not captured whatever it is; empty where it may be."""
        if not self.enabled:
            return "capture is off"
        if head.method not in self.methods and head.method != b"HEAD":
            return "method"
        path, _, query = head.target.partition(b"?")
        if self._force and query and self._force in query.split(b"&"):
            return ""
        destination = head.get(b"sec-fetch-dest")
        if destination is not None and destination not in _DOCUMENTS:
            return "not a document"
        text = path.decode("latin-1")
        if not self._includes_all and (self._include is None or not self._include.fullmatch(text)):
            return "path not included"
        if self._exclude is not None and self._exclude.fullmatch(text):
            return "path excluded"
        name = self.settings.capture.visitor_cookie
        cookie = head.get(b"cookie")
        if name and cookie is not None and name.encode() in cookie:
            told = parse(b"; ".join(head.all(b"cookie"))).get(name)
            if told == "0":
                return "visitor is not recorded"
        return ""

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
                return Reply([_our_tag(field) for field in end_to_end(head, (b"content-length",))])
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
        why = self._not_captured(head, judged)
        if why:
            policy.counters.not_captured[why] += 1
            return Reply(end_to_end(head, (b"content-length",)))
        inject = judged.inject and policy.settings.inject.enabled
        if is_head:
            changed = inject and head.status in policy.statuses
            return Reply(self._visitor_fields(head, changed), _NoBody() if changed else None)
        origin = policy.origin(request, self._trusted, self._scheme)
        token = policy.copies.begin()
        injector = self._injector(head, judged, token, origin) if inject else None
        if not inject:
            policy.counters.not_injected[judged.reason or "injection is off"] += 1
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
        fields = self._visitor_fields(head, injector is not None)
        if self._asked:
            fields.append((b"Lbc-Token", token.encode()))
        return Reply(fields, pipeline)

    def _not_captured(self, head: ResponseHead, judged: Eligibility) -> str:  # noqa: PLR0911 - as above
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

    def _visitor_fields(self, head: ResponseHead, changed: bool) -> list[Field]:
        if not changed:
            fields = end_to_end(head, (b"content-length",))
        else:
            fields = [_our_tag(field) for field in end_to_end(head, _CHANGED)]
        if self._policy.settings.capture.revalidate == "no-store":
            fields = [
                field for field in fields if field[0].lower() not in {b"cache-control", b"etag", b"last-modified"}
            ]
            fields.append((b"Cache-Control", b"no-store"))
        return fields

    def _injector(self, head: ResponseHead, judged: Eligibility, token: str, origin: str) -> Injector | None:
        """The injector for a page, None where the page's policy forbids the script."""
        policy = self._policy
        header_policies = head.all(b"content-security-policy")
        fetch_from = f"{policy.settings.node.direct_origin.rstrip('/') or origin}{policy.prefix}/page/{token}"

        def snippets(more: tuple[str, ...]) -> tuple[bytes, bytes] | None:
            nonce = None
            if header_policies or more:
                verdict = judge([*header_policies, *more], origin + policy.script_url, inline=policy.inline)
                if not verdict.allowed:
                    return None
                nonce = verdict.nonce
            return self._snippets(token, fetch_from, nonce, judged.xhtml)

        first = snippets(())
        if first is None:
            policy.counters.not_injected["CSP"] += 1
            return None
        return Injector(
            first[0],
            first[1],
            xhtml=judged.xhtml,
            charset_known=judged.charset is not None,
            needs_document=judged.needs_document,
            on_policies=snippets,
            skip_if=policy.skip_if,
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
