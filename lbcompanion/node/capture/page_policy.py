"""What is captured and injected, and what the two sides are told: decided by request, then by answer.

Each decision has its reason in words; they are counted, and shown on the debug page.
"""

from __future__ import annotations

import re
from urllib.parse import urljoin

from attrs import evolve, frozen

from lbcompanion.html.anchors import Anchor, Anchors
from lbcompanion.html.charset import utf_16_of
from lbcompanion.html.csp import TAG, Inserted, judge
from lbcompanion.html.csp_adapt import adapt
from lbcompanion.html.eligible import Eligibility, Refusal, eligible
from lbcompanion.html.inject import Injector
from lbcompanion.html.snippets import Snippet, beside, default_tag_parts, inline_hashes
from lbcompanion.html.usual import usual_place
from lbcompanion.http1.codings import DECODABLE, coding_of, offer
from lbcompanion.http1.fields import end_to_end
from lbcompanion.http1.heads import RequestHead, ResponseHead, without
from lbcompanion.http1.lines import ASKED, CODED, CONDITION, DOUBLED, FORWARDED, OF_BODY, PARTIAL, POLICY
from lbcompanion.model import WallClock
from lbcompanion.node.capture import robots
from lbcompanion.node.capture.pipeline import CaptureRules, Capturing, Facts
from lbcompanion.node.capture.rules import Recording
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.client_info import forwarded_on, forwarding_lines, host_of
from lbcompanion.node.proxy.context import LocalAnswer, Reply
from lbcompanion.protocol import headers
from lbcompanion.settings import InjectTable, NodeSettings

# What a changed body makes untrue; ``Content-Length`` is written anew anyway.
_CHANGED = frozenset({b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"})
_HTML_TYPES = (b"text/html", b"application/xhtml+xml")
_CONDITIONS = frozenset({b"if-none-match", b"if-match"})
# How our entity tags differ from the application's: one for its strong tags, one for its weak ones.
_STRONG, _WEAK = b'-lbcs"', b'-lbcw"'
_OURS = re.compile(rb'W/"([^"]*)-lbc([sw])"')
_ETAG = re.compile(rb"(?im)^(etag: )(W/)?([^\r\n]*)\"(?=\r$)")
_POLICY = re.compile(rb"(?im)^(content-security-policy: )([^\r\n]*)(?=\r$)")
_ACCEPT_ENCODING = re.compile(rb"(?im)^(accept-encoding: )[^\r\n]*\r\n")
# Many visitors say the same: what was worked out once is kept, bounded, since it is the peers who say it.
_MOST_KEPT = 1024


#: Stands where a page has none.
NO_TOKEN = "none"

#: Why a page got no script, where a policy forbids it; the directive follows.
BLOCKED = Refusal.CSP.value


@frozen
class Script:
    """The recorder as it is served, and its address below the prefix."""

    source: bytes
    version: str


class Policy:
    """The compiled settings.

    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        settings: NodeSettings,
        copies: Copies,
        counters: Counters,
        rules: CaptureRules,
        recording: Recording,
        script: Script,
        now: WallClock,
    ) -> None:
        self.settings = settings
        self.recording = recording
        self.copies = copies
        self.counters = counters
        self.rules = rules
        self.now = now
        self.prefix = settings.node.prefix
        self._public_origin = settings.node.public_origin.rstrip("/")
        self.script_url = f"{self.prefix}/fetch-from.js?v={script.version}"
        self._version = script.version
        self._beside_folder = self._script_beside("/")
        if settings.capture.outlive_pull:
            copies.outlives = recording.outlives
        inject = settings.inject
        self.top = Snippet(inject.top) if inject.top is not None else None
        self.bottom = Snippet(inject.bottom) if inject.bottom is not None else None
        self.skip_if = re.compile(inject.skip_if.encode()) if inject.skip_if else None
        self.anchors = _anchors(inject)
        # With anchors the tag may stand behind a <base>, which a relative address goes by.
        self._at_prefix = inject.address == "prefix" or self.anchors is not None
        self.adapts = inject.csp == "adapt"
        self._forwarded: dict[tuple[str, str, bytes | None], bytes] = {}
        self._offered: dict[bytes, bytes] = {}
        self._origins: dict[tuple[str, bytes | None], str] = {}
        self._tags: dict[str, tuple[bytes, bytes, bytes]] = {}
        self.built_in = self.top is None and self.bottom is None
        self._judged: dict[tuple[object, ...], Eligibility] = {}
        self.inserted = _inserted([snippet for snippet in (self.top, self.bottom) if snippet is not None])

    def plan(self, head: RequestHead, peer: str, trusted: bool, scheme: str) -> RequestPlan:
        """Decide about a request; see :class:`RequestPlan`."""
        return RequestPlan(policy=self, head=head, peer=peer, trusted=trusted, scheme=scheme)

    def policies(self, head: ResponseHead, origin: str, inserted: Inserted) -> list[bytes]:
        """The enforcing policies that the visitor gets with a page into which a script goes."""
        values = head.all(b"content-security-policy") if head.marks & POLICY else []
        if not values or not self.adapts:
            return values
        return adapt(values, origin + self.script_url, inserted=inserted) or values

    def origin(self, head: RequestHead, trusted: bool, scheme: str) -> str:
        """The public origin that this request was made to."""
        if self._public_origin:
            return self._public_origin
        host = host_of(head, trusted)
        key = (scheme, host)
        known = self._origins.get(key)
        if known is None:
            known = f"{scheme}://{host.decode('latin-1')}" if host else f"{scheme}://"
            if len(self._origins) < _MOST_KEPT:
                self._origins[key] = known
        return known

    def fetch_from(self, origin: str) -> str:
        """The address of a copy up to its token."""
        return f"{self.settings.node.direct_origin.rstrip('/') or origin}{self.prefix}/page/"

    def insert(self, token: str, origin: str, xhtml: bool) -> Inserted:
        """What is inserted into one page, for policies to judge: scripts in line differ from page to page."""
        if not self.inserted.inline or xhtml:
            return self.inserted
        return evolve(self.inserted, hashes=inline_hashes(b"".join(self.filled(token, origin, None))))

    def filled(self, token: str, origin: str, nonce: str | None) -> tuple[bytes, bytes]:
        """The operator's snippets for one page."""
        values = {
            "fetch_from": self.fetch_from(origin) + token,
            "token": token,
            "node": self.settings.node.name,
            "prefix": self.prefix,
            "nonce": nonce or "",
        }
        return (
            self.top.fill(values) if self.top is not None else b"",
            self.bottom.fill(values) if self.bottom is not None else b"",
        )

    def script_for(self, path: bytes) -> str:
        """The address of the script in the built-in tag of a page of that path."""
        if self._at_prefix:
            return self.script_url
        # Only a page at the top has an address of its own; all others go by their folder.
        return self._beside_folder if b"/" in path[1:] else self._script_beside(path.decode("latin-1"))

    def _script_beside(self, path: str) -> str:
        return f"{beside(path, self.prefix)}/fetch-from?v={self._version}"

    def usual_tag(self, token: str, origin: str, script: str) -> bytes:
        """The built-in tag for a page without a policy."""
        if script not in {self._beside_folder, self.script_url}:
            return token.encode().join(default_tag_parts.__wrapped__(self.fetch_from(origin), script, None, False))
        parts = self._tags.get(origin)
        if parts is None:
            parts = default_tag_parts(self.fetch_from(origin), script, None, False)
            if len(self._tags) < _MOST_KEPT:
                self._tags[origin] = parts
        return token.encode().join(parts)

    def tag(self, token: str, origin: str, script: str, nonce: str | None, xhtml: bool) -> bytes:
        """The built-in tag for any page."""
        parts = default_tag_parts if nonce is None else default_tag_parts.__wrapped__
        return token.encode().join(parts(self.fetch_from(origin), script, nonce, xhtml))

    def forwarded(self, peer: str, scheme: str, host: bytes | None) -> bytes:
        """What a proxy says of a request that came without such words."""
        key = (peer, scheme, host)
        lines = self._forwarded.get(key)
        if lines is None:
            lines = forwarding_lines(peer.encode(), scheme.encode(), host)
            if len(self._forwarded) >= _MOST_KEPT:
                self._forwarded.clear()
            self._forwarded[key] = lines
        return lines

    def offered(self, accept: bytes) -> bytes:
        """What the application is offered for a visitor's ``Accept-Encoding``."""
        offered = self._offered.get(accept)
        if offered is None:
            offered = offer(accept)
            if len(self._offered) < _MOST_KEPT:
                self._offered[accept] = offered
        return offered

    def judged(self, request: RequestHead, head: ResponseHead) -> Eligibility:
        """What the heads of an exchange say; a HEAD answer is judged as the GET it stands for."""
        method = b"GET" if request.method == b"HEAD" else request.method
        if (request.marks & (PARTIAL | DOUBLED)) or (head.marks & (PARTIAL | DOUBLED)):
            return eligible(request.fields, head.status, head.fields, method)
        asked, seen = request.seen, head.seen
        key = (
            asked.get(b"sec-fetch-dest"),
            asked.get(b"sec-fetch-mode"),
            head.status,
            seen.get(b"content-type"),
            seen.get(b"cache-control"),
            # A browser that asks for fresh pages says much the same each time.
            asked.get(b"cache-control"),
        )
        judged = self._judged.get(key)
        if judged is None:
            judged = eligible(request.fields, head.status, head.fields, method)
            if len(self._judged) < _MOST_KEPT:
                self._judged[key] = judged
        return judged


def _inserted(snippets: list[Snippet]) -> Inserted:
    """What policies have to judge, as far as it is the same in all pages."""
    scripts = [snippet for snippet in snippets if snippet.external or snippet.inline]
    if not snippets:
        return TAG
    return Inserted(
        any(snippet.external for snippet in scripts),
        any(snippet.inline for snippet in scripts),
        (),
        all(snippet.uses_nonce for snippet in scripts),
    )


class RequestPlan:
    """The decisions about one request and its answer.

    :ivar policy: the compiled settings.
    """

    __slots__ = ("_asked", "_head", "_mapped", "_peer", "_robots", "_scheme", "_trusted", "policy", "reason")

    def __init__(self, *, policy: Policy, head: RequestHead, peer: str, trusted: bool, scheme: str) -> None:
        self.policy = policy
        self._head = head
        self._peer = peer
        self._trusted = trusted
        self._scheme = scheme
        self._mapped = False
        self._robots = head.target == b"/robots.txt" and head.method in {b"GET", b"HEAD"}
        self._asked = head.marks & ASKED != 0 and head.get(headers.CAPTURE.key) == b"1"
        try:
            self.reason = policy.recording.refusal(head)
        except Exception as error:
            policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            self.reason = "failed"

    def request_lines(self) -> bytes:
        """The lines for the application (docs/reference-listener.rst, "Towards the application")."""
        head = self._head
        policy = self.policy
        marks = head.marks
        lines = end_to_end(head)
        if marks & ASKED:
            lines = without(lines, (headers.CAPTURE.key,))
        if self._robots:
            lines = without(lines, (b"accept-encoding",)) + b"Accept-Encoding: identity\r\n"
        elif not self.reason:
            accept = head.seen.get(b"accept-encoding")
            if accept is not None and (offered := policy.offered(accept)) != accept:
                lines = _ACCEPT_ENCODING.sub(b"", lines) + b"Accept-Encoding: %b\r\n" % offered
        if marks & CONDITION and b"-lbc" in lines:
            lines = self._their_tags(lines)
        if marks & FORWARDED:
            return lines + forwarded_on(head, self._trusted, self._peer, self._scheme)
        return lines + policy.forwarded(self._peer, self._scheme, head.seen.get(b"host"))

    def _their_tags(self, lines: bytes) -> bytes:
        """Our entity tags in the conditions as the application knows them."""
        out = []
        for line in lines.splitlines(keepends=True):
            if b"-lbc" in line and line.partition(b":")[0].lower() in _CONDITIONS:
                self._mapped = True
                line = _OURS.sub(lambda m: b'"%b"' % m[1] if m[2] == b"s" else b'W/"%b"' % m[1], line)  # noqa: PLW2901
            out.append(line)
        return b"".join(out)

    def reply(self, head: ResponseHead) -> Reply:
        """Decide about the answer. Whatever fails in here, the visitor gets the application's answer as it is."""
        try:
            return self._reply(head)
        except Exception as error:
            self.policy.counters.failed_open[f"policy: {type(error).__name__}"] += 1
            return Reply(end_to_end(head))

    def _reply(self, head: ResponseHead) -> Reply:
        if self._robots:
            return self._robots_reply(head)
        if head.status == 304 and self._mapped:
            policy = self.policy
            # The page in the visitor's cache has scripts in line with a token that is not known here.
            origin = policy.origin(self._head, self._trusted, self._scheme)
            policies = policy.policies(head, origin, policy.inserted)
            return Reply(_with_policies(_our_tag(end_to_end(head)), policies))
        if not self.reason:
            content_type = head.seen.get(b"content-type")
            if content_type is not None and content_type[:21].lower().startswith(_HTML_TYPES):
                return self._html(head, content_type)
        return Reply(end_to_end(head))

    def _html(self, head: ResponseHead, content_type: bytes) -> Reply:
        policy = self.policy
        request = self._head
        is_head = request.method == b"HEAD"
        judged = policy.judged(request, head)
        why = self.not_captured(head, judged)
        if why:
            policy.counters.not_captured[why] += 1
            policy.counters.decided(request.path, why, "")
            return Reply(end_to_end(head))
        inject = judged.inject and policy.settings.inject.enabled
        origin = policy.origin(request, self._trusted, self._scheme)
        # A HEAD leaves no copy; its fields are the GET's all the same, but for a hash over the token.
        token = NO_TOKEN if is_head else policy.copies.begin()
        inserted = policy.insert(token, origin, judged.xhtml) if inject and head.marks & POLICY else policy.inserted
        policies = policy.policies(head, origin, inserted) if inject else []
        if is_head:
            changed = inject and not self._blocked(policies, origin, inserted)
            return Reply(self._visitor_lines(head, changed, policies), _NoBody() if changed else None)
        insertion = (
            Insertion(plan=self, policies=policies, judged=judged, token=token, origin=origin) if inject else None
        )
        if insertion is not None and policies and not insertion.allowed:
            insertion = None
        if not inject:
            policy.counters.left_alone(request.path, judged.reason or "injection is off")
        pipeline = Capturing(
            token=token,
            facts=Facts(request, head, origin, policy.now(), judged.charset),
            rules=policy.rules,
            copies=policy.copies,
            counters=policy.counters,
            coding=_coding(head),
            insertion=insertion,
        )
        lines = self._visitor_lines(head, insertion is not None, policies)
        if self._asked:
            lines += b"%b: %b\r\n" % (headers.CAPTURED_TOKEN.written, token.encode())
        return Reply(lines, pipeline)

    def not_captured(self, head: ResponseHead, judged: Eligibility) -> str:  # noqa: PLR0911 - as above
        """Why no copy is taken of this answer; empty where one is."""
        policy = self.policy
        if head.status not in policy.recording.statuses:
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
        length = head.seen.get(b"content-length")
        if length is not None and not coding and int(length) > policy.rules.max_page_bytes:
            return "larger than max_page_bytes"
        if policy.counters.capturing_bytes >= policy.rules.capturing_bytes:
            return "capture memory is full"
        return ""

    def _visitor_lines(self, head: ResponseHead, changed: bool, policies: list[bytes]) -> bytes:
        lines = end_to_end(head)
        if changed and head.marks & OF_BODY:
            lines = _our_tag(without(lines, _CHANGED))
        if changed and policies and self.policy.adapts:
            lines = _with_policies(lines, policies)
        if self.policy.recording.uncacheable(self._head):
            lines = without(lines, (b"cache-control", b"etag", b"last-modified")) + b"Cache-Control: no-store\r\n"
        return lines

    def _blocked(self, policies: list[bytes], origin: str, inserted: Inserted) -> str:
        """The directive of the page's header that forbids the script, if one does."""
        policy = self.policy
        return judge(policies, origin + policy.script_url, inserted=inserted).directive if policies else ""

    def injector(self, policies: list[bytes], judged: Eligibility, token: str, origin: str) -> Injector | None:
        """The injector for a page, None where the page's policy forbids the script."""
        insertion = Insertion(plan=self, policies=policies, judged=judged, token=token, origin=origin)
        return insertion.injector() if insertion.allowed else None

    def snippets(
        self, policies: list[bytes], more: tuple[str, ...], judged: Eligibility, token: str, origin: str
    ) -> tuple[bytes, bytes] | str:
        """Top and bottom for a page, or the directive that forbids them.

        :param policies: of its header.
        :param more: of its ``<meta>`` tags.
        """
        policy = self.policy
        nonce = None
        script = self.script if policy.built_in else policy.script_url
        if policies or more:
            inserted = policy.insert(token, origin, judged.xhtml)
            page_url = origin + self._head.path.decode("latin-1")
            verdict = judge([*policies, *more], urljoin(page_url, script), inserted=inserted)
            if not verdict.allowed and script != policy.script_url:
                # A policy may name the address below the prefix, and no other.
                script = policy.script_url
                verdict = judge([*policies, *more], origin + script, inserted=inserted)
            if not verdict.allowed:
                return verdict.directive
            nonce = verdict.nonce
        if policy.built_in:
            return policy.tag(token, origin, script, nonce, judged.xhtml), b""
        return policy.filled(token, origin, nonce)

    @property
    def script(self) -> str:
        """The address of the script in the page's built-in tag, if no policy forbids that one."""
        return self.policy.script_for(self._head.path)

    def blocked_by(self, directive: str) -> None:
        """Count that the page's policy forbids the script."""
        self.policy.counters.left_alone(self._head.path, f"{BLOCKED}: {directive}")

    def _robots_reply(self, head: ResponseHead) -> Reply:
        prefix = self.policy.prefix.encode()
        if head.status in {404, 410}:
            text = robots.alone(prefix)
            return Reply(b"", replace=LocalAnswer(200, [(b"Content-Type", b"text/plain; charset=utf-8")], text))
        if head.status != 200 or _coding(head):
            return Reply(end_to_end(head))
        lines = _our_tag(end_to_end(head, _CHANGED))
        return Reply(lines, _Robots(prefix) if self._head.method == b"GET" else _NoBody())


class Insertion:
    """What is to be inserted into one page.

    :ivar allowed: whether the policies of the page's header allow it; counted where they do not.
    """

    __slots__ = ("_judged", "_origin", "_plan", "_policies", "_snippets", "_token", "allowed")

    def __init__(
        self, *, plan: RequestPlan, policies: list[bytes], judged: Eligibility, token: str, origin: str
    ) -> None:
        self._plan = plan
        self._policies = policies
        self._judged = judged
        self._token = token
        self._origin = origin
        self.allowed = True
        policy = plan.policy
        if policy.built_in and not policies and not judged.xhtml:
            self._snippets = (policy.usual_tag(token, origin, plan.script), b"")
            return
        first = plan.snippets(policies, (), judged, token, origin)
        if isinstance(first, str):
            plan.blocked_by(first)
            self.allowed = False
            first = (b"", b"")
        self._snippets = first

    def whole(self, page: bytes) -> list[bytes] | None:
        """A page that is here in one piece, with what is inserted, in pieces; None where only the machine can tell."""
        policy = self._plan.policy
        judged = self._judged
        top, bottom = self._snippets
        if bottom or not top or judged.xhtml or policy.skip_if is not None or policy.anchors is not None:
            return None
        at = usual_place(page, judged.charset, len(top))
        return None if at is None else [page[:at], top, page[at:]]

    def injector(self) -> Injector:
        """The machine, for a page that comes in pieces, or is not the usual one."""
        policy = self._plan.policy
        judged = self._judged
        return Injector(
            self._snippets[0],
            self._snippets[1],
            xhtml=judged.xhtml,
            charset_known=judged.charset is not None,
            utf_16=utf_16_of(judged.charset),
            needs_document=judged.needs_document,
            on_policies=self._with_more,
            skip_if=policy.skip_if,
            anchors=policy.anchors,
            limit_bytes=policy.rules.max_page_bytes,
        )

    def _with_more(self, more: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        return self._plan.snippets(self._policies, more, self._judged, self._token, self._origin)


class _NoBody:
    """Stands for a changed body in answers that have none."""

    same_length = False

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> bytes:
        return b""

    def whole(self, data: bytes) -> list[bytes]:
        return [self.feed(data), self.finish()]

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


def _with_policies(lines: bytes, policies: list[bytes]) -> bytes:
    """Lines with other policies in the place of theirs, line by line."""
    if not policies:
        return lines
    left = iter(policies)
    return _POLICY.sub(lambda found: found[1] + next(left), lines)


def _coding(head: ResponseHead) -> bytes:
    return coding_of((head.seen[b"content-encoding"],)) if head.marks & CODED else b""


def _our_tag(lines: bytes) -> bytes:
    """An application's entity tag as a changed page bears it: never its own, and found again in conditions."""
    return _ETAG.sub(lambda found: b"%bW/%b%b" % (found[1], found[3], _WEAK if found[2] else _STRONG), lines)
