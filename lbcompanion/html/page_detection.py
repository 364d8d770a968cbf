"""Decides by the heads of an exchange whether the response is a page, and whether the tag may be inserted.

:mod:`lbcompanion.html.inject` finds what only the body shows (AMP, an inserted script, a policy in a ``<meta>``), and
returns a :class:`Refusal`. The configured rules (paths, statuses, methods, sizes)
are applied by the capture policy.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import frozen

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.html import charset
from lbcompanion.html.media_type import MediaType, extract_media_type
from lbcompanion.http1.fragment_fields import FRAGMENT_FIELDS, REQUESTED_WITH

#: Header fields as the parsers give them: names in lower case.
Fields = Iterable[tuple[bytes, bytes]]

_XHTML = b"application/xhtml+xml"
#: The media types of pages.
HTML_TYPES = (b"text/html", _XHTML)
# Chromium treats these like a missing type.
_UNKNOWN_TYPES = frozenset({b"*/*", b"unknown/unknown", b"application/unknown"})
_NO_BODY = frozenset({204, 205, 206, 304})
#: The fetch destinations (``Sec-Fetch-Dest``) of navigations (Fetch Metadata section 2.1).
DOCUMENT_DESTINATIONS = frozenset({b"document", b"iframe", b"frame", b"fencedframe", b"embed", b"object"})
#: The destinations of all requests for pages. "empty" is the destination of requests by scripts, and of navigations
#: that a service worker passes on.
PAGE_DESTINATIONS = DOCUMENT_DESTINATIONS | {b"empty"}
_NAVIGATIONS = frozenset({b"navigate", b"nested-navigate"})
_PREFETCH_FIELDS = frozenset({b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"})
#: The fields of a request, and of a response, that :func:`detect_page` reads. A cache of its results must have all of
#: them in its key.
RELEVANT_REQUEST_FIELDS = (
    frozenset(FRAGMENT_FIELDS)
    | _PREFETCH_FIELDS
    | {
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"upgrade-insecure-requests",
        b"x-requested-with",
        b"surrogate-capability",
        b"cache-control",
    }
)
RELEVANT_RESPONSE_FIELDS = frozenset({b"content-type", b"content-disposition", b"cache-control"})

_media_types: BoundedCache[bytes, MediaType] = BoundedCache()


class Refusal(Enum):
    """Why nothing is inserted into a page, by its body."""

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
    """Whether a response is a page and may get the tag, as far as the heads of the exchange show.

    :ivar page: whether the response is an HTML page of which a copy can be made.
    :ivar inject: whether something may be inserted into it; never without ``page``.
    :ivar reason: why nothing may be inserted, in a word or two; empty if it may be.
    :ivar fragment: whether a script requested it.
    :ivar needs_document: whether a body without a doctype and without ``<html>`` counts as a fragment, because the
        request does not show what was requested.
    :ivar accepts_head: whether a tag that only documents begin with, such as ``<title>``, is enough, too.
    :ivar xhtml: whether it is parsed as XML.
    :ivar charset: the encoding that ``Content-Type`` names, in lower case.
    """

    page: bool
    inject: bool
    reason: str
    fragment: bool = False
    needs_document: bool = False
    xhtml: bool = False
    charset: str | None = None
    accepts_head: bool = False


def detect_page(request_fields: Fields, status: int, response_fields: Fields, method: bytes = b"GET") -> Eligibility:
    """Decide about an exchange by its heads.

    :param request_fields: the visitor's, names in lower case.
    :param status: the application's.
    :param response_fields: the application's, names in lower case.
    :param method: HEAD has no body to insert into.
    """
    if method == b"HEAD":
        return Eligibility(page=False, inject=False, reason="HEAD")
    if status < 200 or status in _NO_BODY:
        return Eligibility(page=False, inject=False, reason="status")
    response = _selected(response_fields, RELEVANT_RESPONSE_FIELDS)
    media_type = _media_type(response.get(b"content-type", b""))
    if media_type.essence not in HTML_TYPES:
        return Eligibility(page=False, inject=False, reason="not HTML")
    request = _selected(request_fields, RELEVANT_REQUEST_FIELDS)
    reason = request_reason(request)
    if reason == "download" or response.get(b"content-disposition", b"").lstrip()[:10].lower() == b"attachment":
        return Eligibility(page=False, inject=False, reason="download")
    fragment = reason == "fragment"
    if b"no-transform" in (response.get(b"cache-control", b"") + request.get(b"cache-control", b"")).lower():
        reason = "no-transform"
    elif not reason and not charset.supports_insertion(media_type.charset):
        reason = "charset"
    is_unknown = b"sec-fetch-dest" not in request and b"sec-fetch-mode" not in request
    return Eligibility(
        page=True,
        inject=not reason,
        reason=reason,
        fragment=fragment,
        # A cache that assembles pages passes the page's own fields on with the requests for its fragments.
        needs_document=is_unknown or b"surrogate-capability" in request,
        accepts_head=not is_unknown,
        xhtml=media_type.essence == _XHTML,
        charset=media_type.charset,
    )


def _media_type(value: bytes) -> MediaType:
    media_type = _media_types.get(value)
    return _media_types.put(value, extract_media_type(value)) if media_type is None else media_type


def may_be_html(content_type: bytes) -> bool:
    """Whether a ``Content-Type`` may be that of a page; only :func:`detect_page` can tell for a list."""
    media_type = content_type[:21].lower()
    return media_type.startswith(HTML_TYPES) or (b"," in content_type and b"html" in content_type.lower())


def is_sniffed(content_type: bytes | None) -> bool:
    """Whether browsers look for HTML in the body, because ``Content-Type`` names no type (MIME Sniffing Standard)."""
    essence = b"" if content_type is None else content_type.partition(b";")[0].strip(b" \t").lower()
    return b"/" not in essence or essence in _UNKNOWN_TYPES


def request_reason(request: dict[bytes, bytes]) -> str:  # noqa: PLR0911 - a list of rules, each with its word
    """Why the request is not one for a page: ``fragment``, ``prefetch`` or ``download``; empty if it may be one.

    :param request: the values of :data:`RELEVANT_REQUEST_FIELDS`; those of several lines joined by commas.
    """
    if not request:
        return ""
    if _is_by_script(request):
        return "fragment"
    mode = request.get(b"sec-fetch-mode")
    if mode is not None and _only_member(mode) not in _NAVIGATIONS:
        return "fragment"
    destination = request.get(b"sec-fetch-dest")
    is_navigation = destination is not None and _only_member(destination) in DOCUMENT_DESTINATIONS
    if destination is not None and not is_navigation:
        if mode is None or _only_member(destination) != b"empty":
            return "fragment"
        # Either a navigation that a service worker passes on, or a link with a "download" attribute. Scripts cannot
        # send the mode of navigations (Fetch Standard), and only navigations have the other field.
        if _only_member(request.get(b"upgrade-insecure-requests", b"")) != b"1":
            return "download"
        is_navigation = True
    if not _PREFETCH_FIELDS.isdisjoint(request) and _is_prefetch(request, is_navigation=is_navigation):
        return "prefetch"
    return ""


def is_page_destination(destination: bytes) -> bool:
    """Whether the response to a request with this ``Sec-Fetch-Dest`` can be a page."""
    return destination in PAGE_DESTINATIONS or _only_member(destination) in PAGE_DESTINATIONS


def _only_member(value: bytes) -> bytes:
    """The member that a list consists of, in lower case; the list if its members differ."""
    if b"," not in value:
        return value.lower()
    members = {member.strip(b" \t").lower() for member in value.split(b",")}
    return members.pop() if len(members) == 1 else value


def _is_by_script(request: dict[bytes, bytes]) -> bool:
    if not FRAGMENT_FIELDS.keys().isdisjoint(request):
        return True
    requested_with = request.get(b"x-requested-with")
    if requested_with is None:
        return False
    return any(member.strip(b" \t").lower() in REQUESTED_WITH for member in requested_with.split(b","))


def _is_prefetch(request: dict[bytes, bytes], *, is_navigation: bool) -> bool:
    """Whether the response may never be shown, or be shown without its scripts.

    A document that is prefetched or prerendered by speculation rules runs its scripts when it is viewed. Its notice
    waits for the view.
    """
    if is_navigation and b"prefetch" in request.get(b"sec-purpose", b"").lower():
        return False
    for name in _PREFETCH_FIELDS & request.keys():
        value = request[name].lower()
        if b"prefetch" in value or b"prerender" in value or value == b"preview":
            return True
    return False


def _selected(fields: Fields, names: frozenset[bytes]) -> dict[bytes, bytes]:
    """The values of some fields; those of several lines joined by commas, as in ``head.values``."""
    found: dict[bytes, bytes] = {}
    for name, value in fields:
        if name in names:
            previous = found.get(name)
            found[name] = value if previous is None else b"%b, %b" % (previous, value)
    return found
