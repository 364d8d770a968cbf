"""Decides whether ``Range`` is removed from a request, because its response may be a page that is changed.

A range of the application's page does not fit the changed page that a client has already. But media players, download
tools and PDF viewers need ranges, and without Fetch Metadata their requests look like those for a page. So a range is
kept if the request shows that it is not for a page.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
# The statuses of responses whose type is that of the path.
_WITH_CONTENT = frozenset({200, 206})
_FROM_START = re.compile(rb"bytes=0-[0-9]*\Z", re.IGNORECASE)
# The length of the longest of them.
_EXTENSION_BYTES = len(b".parquet")


def _is_file(path: bytes) -> bool:
    return _FILE.search(path, max(len(path) - _EXTENSION_BYTES, 0)) is not None


class RangeRequests:
    """Decides about ``Range``; remembers the paths whose responses contradict what a request shows of them."""

    __slots__ = ("_is_page",)

    def __init__(self) -> None:
        # Lists of one member, because the type of a path may change.
        self._is_page: BoundedCache[bytes, list[bool]] = BoundedCache()

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
        learnt = self._is_page.get(path)
        if not (learnt[0] if learnt else not _is_file(path)):
            return False
        # A media player requests the first range to learn the type of the path. A client that has a part of the page
        # does not request its first byte.
        return b"if-range" in values or not _FROM_START.match(values.get(b"range", b""))

    def learn(self, request: RequestHead, response: ResponseHead) -> None:
        """Remember that a path is not a page's. Only a response with content shows this: a redirect may lead to the
        login before a page."""
        content_type = response.values.get(b"content-type", b"")
        if (
            request.flags & RANGE
            and response.status in _WITH_CONTENT
            and content_type
            and not may_be_html(content_type)
        ):
            self._learn(request.path, is_page=False)

    def learn_page(self, path: bytes, status: int) -> None:
        """Remember that a path is that of a changed page, though it may look like that of a file:
        ``/wiki/File:Photo.jpg``."""
        if status in _WITH_CONTENT and (self._is_page.get(path) or _is_file(path)):
            self._learn(path, is_page=True)

    @property
    def learnt(self) -> Mapping[bytes, list[bool]]:
        """The paths, each with a list of one member: whether it is that of a changed page."""
        return self._is_page.entries

    def _learn(self, path: bytes, *, is_page: bool) -> None:
        learnt = self._is_page.get(path)
        if learnt is None:
            self._is_page.put(path, [is_page])
        else:
            learnt[0] = is_page
