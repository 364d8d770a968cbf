"""The compiled ``[capture]`` rules: whether a page is captured (path, method, visitor), and its caching."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from lbcompanion.html.eligible import PAGE_DESTINATIONS
from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import Page
from lbcompanion.settings import CaptureTable
from lbcompanion.sticky.cookies import parse


def glob(pattern: str) -> str:
    """A path glob as a regular expression: ``**`` is anything, ``*`` anything but ``/``, ``?`` one such character."""
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    known = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(known.get(part, re.escape(part)) for part in parts)


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    return re.compile("|".join(f"(?:{glob(g)})" for g in globs), re.DOTALL) if globs else None


class CaptureRules:
    """The compiled ``[capture]``."""

    def __init__(self, capture: CaptureTable) -> None:
        self._capture = capture
        self.methods = frozenset(method.encode() for method in capture.methods)
        self.statuses = frozenset(capture.statuses)
        everything = capture.include == ("/**",)
        self._include = None if everything else _any_of(capture.include)
        self._includes_all = everything
        self._exclude = _any_of(capture.exclude)
        self._no_store = _any_of(capture.no_store)
        self._outlive = _any_of(capture.outlive_pull)
        self._force = capture.force_parameter.encode()
        self._globs = not everything or self._exclude is not None
        self._visitor_cookie = capture.visitor_cookie.encode()
        self.enabled = capture.enabled

    def refusal(self, head: RequestHead) -> str:  # noqa: PLR0911 - a list of rules, each with its word
        """Why the response to this request is not captured, whatever it is; empty if it may be."""
        if not self.enabled:
            return "capture is off"
        if head.method not in self.methods and head.method != b"HEAD":
            return "method"
        path, _, query = head.target.partition(b"?")
        if query and self._forced(query):
            return ""
        values = head.values
        # A request for an image or a script cannot become a page.
        destination = values.get(b"sec-fetch-dest")
        if destination is not None and destination not in PAGE_DESTINATIONS:
            return "not a document"
        if self._globs:
            text = path.decode("latin-1")
            if not self._includes_all and (self._include is None or not self._include.fullmatch(text)):
                return "path not included"
            if self._exclude is not None and self._exclude.fullmatch(text):
                return "path excluded"
        cookie = values.get(b"cookie", b"")
        named = self._visitor_cookie and self._visitor_cookie in cookie
        if named and parse(cookie).get(self._capture.visitor_cookie) == "0":
            return "visitor is not recorded"
        return ""

    def uncacheable(self, head: RequestHead) -> bool:
        """Whether a captured page of this request is sent with ``no-store``."""
        if self._capture.revalidate == "no-store":
            return True
        return self._no_store is not None and self._no_store.fullmatch(head.path.decode("latin-1")) is not None

    def outlives(self, url: str) -> bool:
        """Whether the copy of a page stays after the crawler fetched it."""
        return self._outlive is not None and self._outlive.fullmatch(urlsplit(url).path or "/") is not None

    def allows_server_notice(self, page: Page, cookie: bytes) -> bool:
        """Whether the node may send a notice of a page itself: below ratio 1 only if the browser has drawn before."""
        if self._capture.ratio >= 1 or self._forced(urlsplit(page.url).query.encode("latin-1", "replace")):
            return True
        return self._capture.visitor_cookie in parse(cookie)

    def explain(self, head: RequestHead) -> list[tuple[str, str]]:
        """The rules of :meth:`refusal` in their order, each with its result for this request."""
        capture = self._capture
        path, _, query = head.target.partition(b"?")
        text = path.decode("latin-1")
        destination = head.get(b"sec-fetch-dest")
        included = self._includes_all or (self._include is not None and bool(self._include.fullmatch(text)))
        excluded = self._exclude is not None and bool(self._exclude.fullmatch(text))
        visitor_value = parse(b"; ".join(head.all(b"cookie"))).get(capture.visitor_cookie)
        method = head.method in self.methods or head.method == b"HEAD"
        forced = self._forced(query)
        skipped = ", but forced" if forced else ""
        visitor = (
            "absent: recorded"
            if visitor_value is None
            else "0: not recorded"
            if visitor_value == "0"
            else "there: recorded"
        )
        if visitor_value is None and capture.ratio < 1:
            visitor = f"absent: captured, and the browser draws lots at {capture.ratio:g}"
        return [
            ("capture.enabled", "on" if self.enabled else "off: not recorded"),
            ("capture.methods", "listed" if method else "not listed: not recorded"),
            ("capture.force_parameter", "there: recorded" if forced else "absent"),
            ("Sec-Fetch-Dest", ("a document" if destination in PAGE_DESTINATIONS else "not a document" + skipped)
             if destination is not None else "not told"),
            ("capture.include", "included" if included else "not included" + skipped),
            ("capture.exclude", "excluded" + skipped if excluded else "not excluded"),
            (f"cookie {capture.visitor_cookie}", visitor + (skipped if visitor_value == "0" else "")),
        ]  # fmt: skip

    def _forced(self, query: bytes) -> bool:
        return bool(self._force and query and self._force in query.split(b"&"))
