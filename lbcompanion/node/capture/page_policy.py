"""The compiled settings of capture and insertion, and what is the same for many requests.

:mod:`lbcompanion.node.capture.plan` decides about one request by it.
"""

from __future__ import annotations

import re

from attrs import evolve, frozen

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html.csp import DEFAULT_TAG, InsertedScripts
from lbcompanion.html.csp_adapt import adapt
from lbcompanion.html.eligible import Eligibility, eligible
from lbcompanion.html.insertion_points import InsertionPoint, InsertionPoints
from lbcompanion.html.snippets import Snippet, default_tag_parts, inline_hashes, relative_prefix
from lbcompanion.http1.codings import acceptable_codings
from lbcompanion.http1.field_lines import DUPLICATE, FRAGMENT_HINT, HAS_CSP
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import WallClock
from lbcompanion.node.capture.pipeline import CaptureRules
from lbcompanion.node.capture.rules import Recording
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.client_info import forwarding_lines, host_of
from lbcompanion.settings import InjectTable, NodeSettings

#: Stands where a page has none.
NO_TOKEN = "none"


@frozen
class Script:
    """The recorder as it is served, and its address below the prefix."""

    source: bytes
    version: str


class Policy:
    """What the settings say of pages, compiled, and what was worked out from it before.

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
        self.insertion_points = _anchors(inject)
        # With anchors the tag may stand behind a <base>, which a relative address goes by.
        self._at_prefix = inject.address == "prefix" or self.insertion_points is not None
        self.adapts = inject.csp == "adapt"
        # Many visitors say the same.
        self._forwarded: BoundedCache[tuple[str, str, bytes | None], bytes] = BoundedCache()
        self._offered: BoundedCache[bytes, bytes] = BoundedCache()
        self._origins: BoundedCache[tuple[str, bytes | None], str] = BoundedCache()
        self._tags: BoundedCache[tuple[str, str, bool], tuple[bytes, bytes, bytes]] = BoundedCache()
        self.built_in = self.top is None and self.bottom is None
        self._judged: BoundedCache[tuple[object, ...], Eligibility] = BoundedCache()
        self.inserted = _inserted([snippet for snippet in (self.top, self.bottom) if snippet is not None])

    def policies(self, head: ResponseHead, origin: str, inserted: InsertedScripts) -> list[bytes]:
        """The enforcing policies that the visitor gets with a page into which a script goes."""
        values = head.all(b"content-security-policy") if head.flags & HAS_CSP else []
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
            known = self._origins.put(key, f"{scheme}://{host.decode('latin-1')}" if host else f"{scheme}://")
        return known

    def fetch_from(self, origin: str) -> str:
        """The address of a copy up to its token."""
        return f"{self.settings.node.direct_origin.rstrip('/') or origin}{self.prefix}/page/"

    def insert(self, token: str, origin: str, xhtml: bool) -> InsertedScripts:
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
        return f"{relative_prefix(path, self.prefix)}/fetch-from?v={self._version}"

    def tag(self, token: str, origin: str, script: str, nonce: str | None, xhtml: bool) -> bytes:
        """The built-in tag for a page."""
        if nonce is not None:
            # Nonces do not come again.
            return token.encode().join(default_tag_parts(self.fetch_from(origin), script, nonce, xhtml))
        key = (origin, script, xhtml)
        parts = self._tags.get(key)
        if parts is None:
            parts = self._tags.put(key, default_tag_parts(self.fetch_from(origin), script, None, xhtml))
        return token.encode().join(parts)

    def forwarded(self, peer: str, scheme: str, host: bytes | None) -> bytes:
        """What a proxy says of a request that came without such words."""
        key = (peer, scheme, host)
        lines = self._forwarded.get(key)
        if lines is None:
            lines = self._forwarded.put(key, forwarding_lines(peer.encode(), scheme.encode(), host))
        return lines

    def offered(self, accept: bytes) -> bytes:
        """What the application is offered for a visitor's ``Accept-Encoding``."""
        offered = self._offered.get(accept)
        if offered is None:
            offered = self._offered.put(accept, acceptable_codings(accept))
        return offered

    def judged(self, request: RequestHead, head: ResponseHead) -> Eligibility:
        """What the heads of an exchange say; a HEAD answer is judged as the GET it stands for."""
        method = b"GET" if request.method == b"HEAD" else request.method
        if (request.flags & (FRAGMENT_HINT | DUPLICATE)) or (head.flags & (FRAGMENT_HINT | DUPLICATE)):
            return eligible(request.fields, head.status, head.fields, method)
        # All that eligible() reads of heads without these marks (a test holds it to that).
        asked, values = request.values, head.values
        key = (
            asked.get(b"sec-fetch-dest"),
            asked.get(b"sec-fetch-mode"),
            head.status,
            values.get(b"content-type"),
            values.get(b"cache-control"),
            # A browser that asks for fresh pages says much the same each time.
            asked.get(b"cache-control"),
        )
        judged = self._judged.get(key)
        if judged is None:
            judged = self._judged.put(key, eligible(request.fields, head.status, head.fields, method))
        return judged


def _inserted(snippets: list[Snippet]) -> InsertedScripts:
    """What policies have to judge, as far as it is the same in all pages."""
    scripts = [snippet for snippet in snippets if snippet.external or snippet.inline]
    if not snippets:
        return DEFAULT_TAG
    return InsertedScripts(
        any(snippet.external for snippet in scripts),
        any(snippet.inline for snippet in scripts),
        (),
        all(snippet.uses_nonce for snippet in scripts),
    )


def _anchors(inject: InjectTable) -> InsertionPoints | None:
    def one(after: str, before: str) -> InsertionPoint | None:
        written = after or before
        return InsertionPoint(re.compile(written.encode()), bool(after)) if written else None

    top = one(inject.top_after, inject.top_before)
    bottom = one(inject.bottom_after, inject.bottom_before)
    return InsertionPoints(top, bottom) if top or bottom else None
