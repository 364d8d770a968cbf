"""Whether an answer is a page, and whether something may be inserted into it, by the heads alone.

The body is judged by :mod:`lbcompanion.html.inject` (AMP, our marker, a policy in a ``<meta>``), which returns a
:class:`Refusal`. Paths, statuses, methods and sizes are judged by the capture rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from functools import lru_cache

from attrs import frozen

from lbcompanion.html import charset

#: Header fields as the parsers give them: names in lower case.
Fields = Iterable[tuple[bytes, bytes]]

_HTML = b"text/html"
_XHTML = b"application/xhtml+xml"
#: The media types of pages.
HTML_TYPES = (_HTML, _XHTML)
_NO_BODY = frozenset({204, 205, 206, 304})
#: The fetch destinations (``Sec-Fetch-Dest``) under which a browser shows a document; "fencedframe" and the plugin
#: elements do as well (Fetch Metadata section 2.1).
DOCUMENT_DESTINATIONS = frozenset({b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object"})
#: Those under which a page may be asked for at all: a script that fetches a part of a page says "empty".
PAGE_DESTINATIONS = DOCUMENT_DESTINATIONS | {b"empty"}
_NAVIGATIONS = frozenset({b"navigate", b"nested-navigate"})
_FRAGMENT_FIELDS = frozenset({b"hx-request", b"turbo-frame", b"x-pjax"})
_PREFETCH_FIELDS = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
#: The fields of a request and of a response that are read here. A cache of :func:`eligible` needs all of them in its
#: key.
READ_OF_REQUEST = (
    _FRAGMENT_FIELDS | _PREFETCH_FIELDS | {b"sec-fetch-dest", b"sec-fetch-mode", b"x-requested-with", b"cache-control"}
)
READ_OF_RESPONSE = frozenset({b"content-type", b"content-disposition", b"cache-control"})
# Between the values of several lines: no value can hold a line feed.
_LINE_SEPARATOR = b"\n, "


class Refusal(Enum):
    """Why nothing is inserted into a page, as far as its body tells."""

    AMP = "AMP"
    CHARSET = "charset"
    CSP = "blocked by CSP"
    EMPTY = "empty"
    FAILED = "failed"
    FRAGMENT = "fragment"
    LARGE = "too large to be held back"
    MARKED = "marked already"
    NOWHERE = "no place"
    SKIPPED = "skip_if"
    UNSURE = "unsure"


@frozen
class Eligibility:
    """The judgement by the heads of an exchange.

    :ivar page: whether the answer is an HTML page of which a copy can be taken.
    :ivar inject: whether something may be inserted into it; never without ``page``.
    :ivar reason: why nothing may be inserted, in a word or two; empty where it may.
    :ivar fragment: it was asked for as a part of a page.
    :ivar needs_document: no header of the request has the destination: the response counts as a part of a page if it
        has neither a doctype nor ``<html>``.
    :ivar xhtml: it is to be read as XML.
    :ivar charset: the encoding that ``Content-Type`` names, in lower case.
    """

    page: bool
    inject: bool
    reason: str
    fragment: bool = False
    needs_document: bool = False
    xhtml: bool = False
    charset: str | None = None


def eligible(request_fields: Fields, status: int, response_fields: Fields, method: bytes = b"GET") -> Eligibility:
    """Judge an exchange by its heads.

    :param request_fields: the visitor's, names in lower case.
    :param status: the application's.
    :param response_fields: the application's, names in lower case.
    :param method: HEAD has no body to insert into.
    """
    if method == b"HEAD":
        return Eligibility(False, False, "HEAD")
    if status < 200 or status in _NO_BODY:
        return Eligibility(False, False, "status")
    response = _selected(response_fields, READ_OF_RESPONSE)
    html, xhtml, declared_charset = _read_type(response.get(b"content-type", b""))
    if not html:
        return Eligibility(False, False, "not HTML")
    if response.get(b"content-disposition", b"").lstrip()[:10].lower() == b"attachment":
        return Eligibility(False, False, "download")
    request = _selected(request_fields, READ_OF_REQUEST)
    fragment = _is_fragment(request)
    reason = ""
    if b"no-transform" in (response.get(b"cache-control", b"") + request.get(b"cache-control", b"")).lower():
        reason = "no-transform"
    elif _is_prefetch(request):
        reason = "prefetch"
    elif fragment:
        reason = "fragment"
    elif not charset.supports_insertion(declared_charset):
        reason = "charset"
    unknown = b"sec-fetch-dest" not in request and b"sec-fetch-mode" not in request
    return _page_eligibility(reason, fragment, unknown, xhtml, declared_charset)


@lru_cache(256)
def _read_type(value: bytes) -> tuple[bool, bool, str | None]:
    """Whether a Content-Type is HTML's, whether it is XHTML's, and its charset."""
    media_type = value.partition(b";")[0].strip().lower()
    if media_type not in HTML_TYPES or _LINE_SEPARATOR in value:
        return False, False, None
    return True, media_type == _XHTML, charset.content_type_charset(value)


@lru_cache(256)
def _page_eligibility(
    reason: str, fragment: bool, unknown: bool, xhtml: bool, declared_charset: str | None
) -> Eligibility:
    return Eligibility(True, not reason, reason, fragment, unknown, xhtml, declared_charset)


def _is_prefetch(request: dict[bytes, bytes]) -> bool:
    for name in _PREFETCH_FIELDS & request.keys():
        value = request[name].lower()
        if b"prefetch" in value or b"prerender" in value or value == b"preview":
            return True
    return False


def _selected(fields: Fields, names: frozenset[bytes]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in names:
            previous = found.get(name)
            found[name] = value if previous is None or previous == value else previous + _LINE_SEPARATOR + value
    return found


def _is_fragment(request: dict[bytes, bytes]) -> bool:
    if not request:
        return False
    if not _FRAGMENT_FIELDS.isdisjoint(request):
        return True
    destination = request.get(b"sec-fetch-dest")
    if destination is not None and destination.lower() not in DOCUMENT_DESTINATIONS:
        return True
    mode = request.get(b"sec-fetch-mode")
    if mode is not None and mode.lower() not in _NAVIGATIONS:
        return True
    # An Android web view sends its package's name here with every navigation.
    return request.get(b"x-requested-with", b"").lower() == b"xmlhttprequest"
