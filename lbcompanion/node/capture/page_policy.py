"""The compiled settings of capture and insertion, with caches of values that many requests share.

:mod:`lbcompanion.node.capture.plan` uses them to decide about one request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from urllib.parse import urljoin

from attrs import evolve, frozen

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html import integrity_policy
from lbcompanion.html.csp import ALLOWED, DEFAULT_TAG, InsertedScripts, ScriptVerdict, evaluate
from lbcompanion.html.csp_adapt import adapt
from lbcompanion.html.integrity_policy import blocks_scripts
from lbcompanion.html.page_detection import Eligibility, detect_page
from lbcompanion.html.place_patterns import InsertionPoint, InsertionPoints
from lbcompanion.html.snippets import (
    Snippet,
    default_tag_parts,
    inline_hashes,
    integrity_of,
    relative_folder,
    script_folder,
)
from lbcompanion.http1.codings import acceptable_codings
from lbcompanion.http1.field_lines import DUPLICATE, FRAGMENT_HINT, HAS_CSP
from lbcompanion.http1.heads import RequestHead, ResponseHead
from lbcompanion.model import WallClock
from lbcompanion.node.capture.capture_rules import CaptureRules
from lbcompanion.node.capture.page_copy import CaptureLimits
from lbcompanion.node.capture.range_requests import RangeRequests
from lbcompanion.node.copies.service import Copies
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.client_info import PublicOrigin, forwarding_lines
from lbcompanion.settings import InjectTable, NodeSettings

#: The token in the fields of a page without one.
NO_TOKEN = "none"


@frozen
class Script:
    """The recorder script as served, and the version in its URL."""

    source: bytes
    version: str


class PagePolicy:
    """The compiled settings for pages, and caches of derived values.

    :param now: seconds since the epoch.
    """

    def __init__(
        self,
        *,
        settings: NodeSettings,
        copies: Copies,
        counters: Counters,
        capture_limits: CaptureLimits,
        capture_rules: CaptureRules,
        script: Script,
        now: WallClock,
    ) -> None:
        self.settings = settings
        self.capture_rules = capture_rules
        self.copies = copies
        self.counters = counters
        self.capture_limits = capture_limits
        self.keep_cookies = capture_limits.keep_cookies
        self.range_requests = RangeRequests()
        self.now = now
        self.prefix = settings.node.prefix
        self._public_origin = PublicOrigin(settings.node.public_origin)
        self._has_public_origin = settings.node.public_origin != ""
        self.script_url = f"{self.prefix}/fetch-from.js?v={script.version}"
        self._below_folder = f"-{self.prefix}/fetch-from?v={script.version}"
        self._integrity = integrity_of(script.source)
        if settings.capture.outlive_pull:
            copies.outlives = capture_rules.outlives
        inject = settings.inject
        self.changes_pages = inject.enabled
        self.top = Snippet(inject.top) if inject.top is not None else None
        self.bottom = Snippet(inject.bottom) if inject.bottom is not None else None
        self.skip_if = re.compile(inject.skip_if.encode()) if inject.skip_if else None
        self.insertion_points = _anchors(inject)
        self.buffers_pages = self.skip_if is not None or self.insertion_points is not None
        self._script_at_prefix = inject.address == "prefix"
        # Without a configured origin, the host that visitors use may be unknown here: a balancer may replace Host.
        self.absolute_after_base = inject.address != "relative" and not self._has_public_origin
        self._is_relative = inject.address == "relative" or not self._has_public_origin
        self.adapts_csp = inject.csp == "adapt"
        self._policy_bytes = settings.limits.policy_bytes
        # Caches: many requests are alike.
        self._forwarding_lines: BoundedCache[tuple[str, str, bytes | None], bytes] = BoundedCache()
        self._accept_encodings: BoundedCache[bytes, bytes] = BoundedCache()
        self._script_paths: BoundedCache[bytes, str] = BoundedCache()
        self._tags: BoundedCache[tuple[str, str, bool, bool], tuple[bytes, bytes, bytes]] = BoundedCache()
        # A key may contain a content security policy.
        self._usual_tags: BoundedCache[tuple[str, bytes, bytes], tuple[bytes, ...]] = BoundedCache(max_key_bytes=8192)
        self.uses_default_tag = self.top is None and self.bottom is None
        self._eligibility: BoundedCache[tuple[object, ...], Eligibility] = BoundedCache()
        snippets = [snippet for snippet in (self.top, self.bottom) if snippet is not None]
        self.uses_prefix = any(snippet.uses_prefix for snippet in snippets)
        self._lacks_integrity = any(snippet.lacks_integrity for snippet in snippets)
        self.inserted = _inserted(snippets)

    def not_injected(self, head: ResponseHead, eligibility: Eligibility) -> str:
        """Why nothing is inserted into a page, by its head and apart from its CSP; empty if something may be."""
        if eligibility.reason or not self.changes_pages:
            return eligibility.reason or "injection is off"
        if self._lacks_integrity and blocks_scripts(head.all(integrity_policy.FIELD)):
            return "blocked by Integrity-Policy"
        return ""

    def csp_headers(self, head: ResponseHead, origin: str, inserted: InsertedScripts) -> list[bytes]:
        """The enforcing CSP values for a page with the script, adapted if the settings say so."""
        values = head.all(b"content-security-policy") if head.flags & HAS_CSP else []
        if not values or not self.adapts_csp:
            return values
        adapted = adapt(values, origin + self.script_url, inserted=inserted, max_chars=self._policy_bytes)
        return adapted or values

    def verdict(self, policies: Iterable[bytes | str], script_url: str, inserted: InsertedScripts) -> ScriptVerdict:
        """Whether a page's policies allow the inserted markup."""
        return evaluate(policies, script_url, inserted=inserted, max_chars=self._policy_bytes)

    def origin(self, head: RequestHead, *, trusted: bool, scheme: str) -> str:
        """The public origin of a request; empty if it has no valid host."""
        return self._public_origin.of(head, trusted=trusted, scheme=scheme)

    def copy_base_url(self, origin: str) -> str:
        """The URL of a copy without its token."""
        return f"{self.settings.node.direct_origin.rstrip('/') or origin}{self.prefix}/page/"

    def inserted_for(self, token: str, origin: str, *, xhtml: bool) -> InsertedScripts:
        """The insertion into one page, as input for CSP checks: the hashes of inline scripts differ per page."""
        if not self.inserted.inline or xhtml:
            return self.inserted
        hashes = inline_hashes(b"".join(self.fill_snippets(token, origin, None)))
        if hashes and self.uses_prefix:
            # Whether a <base> precedes a snippet is not known yet.
            more = inline_hashes(b"".join(self.fill_snippets(token, origin, None, after_base=True)))
            hashes = tuple(dict.fromkeys((*hashes, *more)))
        return evolve(self.inserted, hashes=hashes)

    def fill_snippets(
        self, token: str, origin: str, nonce: str | None, *, after_base: bool = False
    ) -> tuple[bytes, bytes]:
        """The configured snippets for one page, top and bottom.

        :param after_base: whether the prefix is absolute, because a ``<base>`` precedes the snippet.
        """
        values = {
            "fetch_from": self.copy_base_url(origin) + token,
            "token": token,
            "node": self.settings.node.name,
            "prefix": self._address(origin, self.prefix, after_base=after_base) if after_base else self.prefix,
            "nonce": nonce or "",
        }
        return (
            self.top.fill(values) if self.top is not None else b"",
            self.bottom.fill(values) if self.bottom is not None else b"",
        )

    def script_path_for(self, path: bytes) -> str:
        """The script's address in the default tag of a page with this path: relative to the page, or a path."""
        if self._script_at_prefix:
            return self.script_url
        key = _folder_key(path)
        script_path = self._script_paths.get(key)
        if script_path is None:
            folder_path = relative_folder(key) if self._is_relative else script_folder(key)
            script_path = self._script_paths.put(key, folder_path + self._below_folder)
        return script_path

    def script_path_after_base(self, path: bytes) -> str:
        """The path of the script for a page with this path, from which its absolute address is made."""
        return script_folder(path) + self._below_folder

    def _address(self, origin: str, script_path: str, *, after_base: bool) -> str:
        """The script's address in the tag.

        It is ``script_path`` if the host is not known for sure and no ``<base>`` precedes the tag, else absolute.

        The browser may have requested the page by ``https`` where the companion knows of ``http`` only, so the scheme
        is that of the page then.
        """
        if script_path.startswith(".") or (self.absolute_after_base and not after_base):
            return script_path
        if not origin:
            # Two slashes at the start would name a host.
            return "/" + script_path.lstrip("/")
        if self._has_public_origin or origin.startswith("https:"):
            return origin + script_path
        return origin.removeprefix("http:") + script_path

    def usual_tag_parts(self, origin: str, path: bytes, csp: bytes = b"") -> tuple[bytes, ...]:
        """The default tag for an HTML page with this path, without a nonce, and with no ``<base>`` before it.

        :param csp: the value of the page's ``Content-Security-Policy``; empty if it has none.
        :returns: the parts between which the token stands; empty if the policy forbids the tag, or wants a nonce.
        """
        key = (origin, _folder_key(path), csp)
        parts = self._usual_tags.get(key)
        if parts is None:
            script_path, verdict = self.script_path_for(path), ALLOWED
            if csp:
                script_path, verdict = self.allowed_script_path(script_path, (csp,), path, origin, self.inserted)
            parts = ()
            if verdict.allowed and verdict.nonce is None:
                address = self._address(origin, script_path, after_base=False)
                base = self.copy_base_url(origin)
                parts = default_tag_parts(base, address, None, xhtml=False, integrity=self._integrity)
            self._usual_tags.put(key, parts)
        return parts

    def allowed_script_path(
        self,
        script_path: str,
        policies: Sequence[bytes | str],
        path: bytes,
        origin: str,
        inserted: InsertedScripts,
    ) -> tuple[str, ScriptVerdict]:
        """The script's address that a page's policies allow, and their verdict on it.

        :param script_path: the preferred address.
        :param path: the page's path.
        """
        verdict = self.verdict(policies, _absolute_url(origin, path, script_path), inserted)
        if verdict.allowed or script_path == self.script_url:
            return script_path, verdict
        # The policies may allow the script's URL below the prefix only.
        return self.script_url, self.verdict(policies, origin + self.script_url, inserted)

    def script_tag(
        self, token: str, origin: str, script_path: str, nonce: str | None, *, xhtml: bool, after_base: bool = False
    ) -> bytes:
        """The default tag for a page.

        :param after_base: whether a ``<base>`` precedes it.
        """
        # A nonce is used once: not cached.
        key = (origin, script_path, xhtml, after_base)
        parts = self._tags.get(key) if nonce is None else None
        if parts is None:
            address = self._address(origin, script_path, after_base=after_base)
            parts = default_tag_parts(
                self.copy_base_url(origin), address, nonce, xhtml=xhtml, integrity=self._integrity
            )
            if nonce is None:
                self._tags.put(key, parts)
        return token.encode().join(parts)

    def forwarding_lines(self, peer: str, scheme: str, host: bytes | None) -> bytes:
        """The forwarding lines for a request without any."""
        key = (peer, scheme, host)
        lines = self._forwarding_lines.get(key)
        if lines is None:
            lines = self._forwarding_lines.put(key, forwarding_lines(peer.encode(), scheme.encode(), host))
        return lines

    def accept_encoding(self, accept: bytes) -> bytes:
        """The ``Accept-Encoding`` for the application, from the visitor's."""
        accept_encoding = self._accept_encodings.get(accept)
        if accept_encoding is None:
            accept_encoding = self._accept_encodings.put(accept, acceptable_codings(accept))
        return accept_encoding

    def eligibility(self, request: RequestHead, head: ResponseHead) -> Eligibility:
        """The eligibility of a response by the heads of request and response; HEAD counts as GET."""
        method = b"GET" if request.method == b"HEAD" else request.method
        if (request.flags | head.flags) & (FRAGMENT_HINT | DUPLICATE):
            return detect_page(request.fields, head.status, head.fields, method)
        # All that detect_page() reads of heads without these marks (a test checks that).
        request_fields, values = request.values, head.values
        key = (
            request_fields.get(b"sec-fetch-dest"),
            request_fields.get(b"sec-fetch-mode"),
            request_fields.get(b"upgrade-insecure-requests"),
            head.status,
            values.get(b"content-type"),
            values.get(b"cache-control"),
            # A reload sends one of a few values.
            request_fields.get(b"cache-control"),
        )
        eligibility = self._eligibility.get(key)
        if eligibility is None:
            eligibility = self._eligibility.put(key, detect_page(request.fields, head.status, head.fields, method))
        return eligibility


def _absolute_url(origin: str, path: bytes, script_path: str) -> str:
    if script_path.startswith("/"):
        return origin + script_path
    return urljoin(origin + path.decode("latin-1"), script_path)


def _folder_key(path: bytes) -> bytes:
    """The part of a path that the script's address depends on: its folder, which most pages share, or all of it."""
    folder = path[: path.rfind(b"/") + 1]
    return folder if len(folder) > 1 else path


def _inserted(snippets: list[Snippet]) -> InsertedScripts:
    """The insertion as input for CSP checks, as far as it is equal for all pages."""
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
    def anchor(after: str, before: str) -> InsertionPoint | None:
        pattern = after or before
        return InsertionPoint(re.compile(pattern.encode()), bool(after)) if pattern else None

    top = anchor(inject.top_after, inject.top_before)
    bottom = anchor(inject.bottom_after, inject.bottom_before)
    return InsertionPoints(top, bottom) if top or bottom else None
