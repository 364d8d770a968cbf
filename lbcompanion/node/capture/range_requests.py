"""Decides whether ``Range`` is removed from a request, because its response may be a page that is changed.

A range of the application's page does not fit the changed page that a client has already. But media players, download
tools and PDF viewers need ranges, and without Fetch Metadata their requests look like those for a page. So a range is
kept if the request shows that it is not for a page.
"""

from __future__ import annotations

import re

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html.page_detection import may_be_html, request_reason
from lbcompanion.http1.field_lines import RANGE
from lbcompanion.http1.heads import RequestHead, ResponseHead

# Extensions of files that are requested in ranges, and are not pages.
_FILE = re.compile(
    rb"\.(?:mp[34]|m4[abv]|og[agv]|opus|webm|mov|mkv|avi|wav|flac|aac|m3u8|mpd|m2?ts|pdf|epub|zip|t?gz|t?bz2|t?xz|zst|7z"
    rb"|rar|tar|iso|img|bin|dmg|exe|msi|pkg|deb|rpm|apk|jar|whl|jpe?g|png|gif|webp|avif|svg|ico|tiff?|css|m?js|wasm|json"
    rb"|csv|txt|parquet|pmtiles|woff2?)\Z",
    re.IGNORECASE,
)
_FROM_START = re.compile(rb"bytes=0-[0-9]*\Z", re.IGNORECASE)


class RangeRequests:
    """Decides about ``Range``; remembers the paths whose responses were not HTML."""

    __slots__ = ("_other_paths",)

    def __init__(self) -> None:
        self._other_paths: BoundedCache[bytes, bool] = BoundedCache()

    def may_be_of_changed_page(self, head: RequestHead) -> bool:
        """Whether the response to a request with ``Range`` may be a page with the inserted script."""
        values = head.values
        if request_reason(values):
            return False
        if (
            b"sec-fetch-dest" in values
            or b"sec-fetch-mode" in values
            or b"html" in (head.get(b"accept") or b"").lower()
        ):
            return True
        path = head.path
        if _FILE.search(path) or self._other_paths.get(path):
            return False
        # A media player requests the first range to learn the type of the path. A client that has a part of the page
        # does not request its first byte.
        return b"if-range" in values or not _FROM_START.match(values.get(b"range", b""))

    def learn(self, request: RequestHead, response: ResponseHead) -> None:
        """Remember that a path is not a page's."""
        if request.flags & RANGE and not may_be_html(response.values.get(b"content-type", b"")):
            self._other_paths.put(request.path, True)
