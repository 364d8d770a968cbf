"""The compiled ``[capture]`` rules: whether a page is captured (path, method, visitor, consent), and its caching.

A forced request (``force_parameter``) overrides ``include`` and Sec-Fetch-Dest only.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html.page_detection import is_page_destination
from lbcompanion.http1.heads import RequestHead
from lbcompanion.http1.path_patterns import PathPatterns
from lbcompanion.model import Page
from lbcompanion.node.capture.consent import Consent, refuses
from lbcompanion.settings import CaptureTable
from lbcompanion.sticky.cookies import parse


class CaptureRules:
    """The compiled ``[capture]``."""

    def __init__(self, capture: CaptureTable) -> None:
        self._capture = capture
        self.methods = frozenset(method.encode() for method in capture.methods)
        self.statuses = frozenset(capture.statuses)
        self._include = None if "/**" in capture.include else PathPatterns(capture.include)
        self._exclude = PathPatterns(capture.exclude) if capture.exclude else None
        self._no_store = PathPatterns(capture.no_store) if capture.no_store else None
        self._outlive_pull = PathPatterns(capture.outlive_pull)
        self._force = capture.force_parameter.encode()
        self._visitor_cookie = capture.visitor_cookie.encode()
        # A browser may send several cookies of the name, of different paths and domains: one refusal is enough.
        name = re.escape(self._visitor_cookie)
        self._is_refused = re.compile(
            rb"(?:\A|;)[ \t]*+" + name + rb"""[ \t]*+=[ \t]*+(?:0|"0")[ \t]*+(?:;|\Z)"""
        ).search
        self.consent = Consent(capture)
        self.needs_consent = self.consent.needed
        self.enabled = capture.enabled
        #: Whether :meth:`path_key` depends on the path.
        self.has_path_rules = self.enabled and any(
            rule is not None for rule in (self._include, self._exclude, self._no_store)
        )
        self._path_keys: BoundedCache[bytes, bytes] = BoundedCache()

    def refusal(self, head: RequestHead) -> str:
        """Why no response to this request is captured; empty if one may be."""
        return self.request_refusal(head) or self.visitor_refusal(head)

    def request_refusal(self, head: RequestHead) -> str:
        """The same by method, path and destination alone. The visitor does not matter."""
        if not self.enabled:
            return "capture is off"
        if head.method not in self.methods and head.method != b"HEAD":
            return "method"
        path, _, query = head.target.partition(b"?")
        if not query or not self._forced(query):
            # A request for an image or a script cannot become a page.
            destination = head.values.get(b"sec-fetch-dest")
            if destination is not None and not is_page_destination(destination):
                return "not a document"
            if self._include is not None and not self._include.includes(path):
                return "path not included"
        if self._exclude is not None and self._exclude.excludes(path):
            return "path excluded"
        return ""

    def visitor_refusal(self, head: RequestHead) -> str:
        """Why this visitor's pages are not captured; empty if they may be."""
        if self.refuses_cookie(head.values.get(b"cookie", b"")):
            return "visitor is not recorded"
        return self.consent.refusal(head) if self.needs_consent else ""

    def refuses_cookie(self, cookie: bytes) -> bool:
        """Whether a ``Cookie`` field says that its visitor is not recorded."""
        return bool(self._visitor_cookie and self._visitor_cookie in cookie and self._is_refused(cookie))

    def may_force(self, target: bytes) -> bool:
        """Whether the target may have the force parameter."""
        return bool(self._force) and self._force in target

    def path_key(self, path: bytes) -> bytes:
        """What the path rules say about a path, as a key: all paths with the same one are handled alike."""
        key = self._path_keys.get(path)
        if key is None:
            is_included = self._include is None or self._include.includes(path)
            is_excluded = self._exclude is not None and self._exclude.excludes(path)
            no_store = self._no_store is not None and self._no_store.excludes(path)
            key = b"%d%d%d" % (is_included, is_excluded, no_store)
            self._path_keys.put(path, key)
        return key

    def uncacheable(self, head: RequestHead) -> bool:
        """Whether a captured page of this request is sent with ``no-store``."""
        if self._capture.revalidate == "no-store":
            return True
        return self._no_store is not None and self._no_store.excludes(head.path)

    def outlives(self, url: str) -> bool:
        """Whether the copy of a page stays after the crawler fetched it.

        :param url: the page's absolute URL.
        """
        return self._outlive_pull.includes(urlsplit(url).path.encode("latin-1", "replace") or b"/")

    def allows_server_notice(self, page: Page, cookie: bytes) -> bool:
        """Whether the node may send a notice of a page itself: at a ratio below 1 only if there is a visitor cookie."""
        if self._capture.ratio >= 1 or self._forced(urlsplit(page.url).query.encode("latin-1", "replace")):
            return True
        return self._capture.visitor_cookie in parse(cookie)

    def explain(self, head: RequestHead) -> list[tuple[str, str]]:
        """The rules of :meth:`refusal` in their order, each with its result for this request."""
        capture = self._capture
        path, _, query = head.target.partition(b"?")
        destination = head.values.get(b"sec-fetch-dest")
        included = self._include is None or self._include.includes(path)
        excluded = self._exclude is not None and self._exclude.excludes(path)
        cookie = b"; ".join(head.all(b"cookie"))
        visitor_value = parse(cookie).get(capture.visitor_cookie)
        method = head.method in self.methods or head.method == b"HEAD"
        forced = self._forced(query)
        skipped = ", but forced" if forced else ""
        visitor = (
            "absent: recorded"
            if visitor_value is None
            else "0: not recorded"
            if self._is_refused(cookie)
            else "there: recorded"
        )
        if visitor_value is None and capture.ratio < 1:
            visitor = f"absent: captured, and the script samples visitors with ratio {capture.ratio:g}"
        if destination is None:
            document = "absent"
        else:
            document = "a document" if is_page_destination(destination) else "not a document" + skipped
        return [
            ("capture.enabled", "on" if self.enabled else "off: not recorded"),
            ("capture.methods", "listed" if method else "not listed: not recorded"),
            ("capture.force_parameter", "there" if forced else "absent"),
            ("Sec-Fetch-Dest", document),
            ("capture.include", "included" if included else "not included" + skipped),
            ("capture.exclude", "excluded" if excluded else "not excluded"),
            (f"cookie {capture.visitor_cookie}", visitor),
            *self._explain_consent(head),
        ]

    def _explain_consent(self, head: RequestHead) -> list[tuple[str, str]]:
        capture = self._capture
        rows = []
        if capture.consent_cookie:
            given = self.consent.is_given(head)
            rows.append(
                (f"consent cookie {capture.consent_cookie}", "consent" if given else "no consent: not recorded")
            )
        for respected, field in ((capture.respect_gpc, "Sec-GPC"), (capture.respect_dnt, "DNT")):
            if respected:
                refused = refuses(head, field.lower().encode())
                rows.append((field, "1: not recorded" if refused else "not 1"))
        return rows

    def _forced(self, query: bytes) -> bool:
        return bool(self._force and query and self._force in query.split(b"&"))
