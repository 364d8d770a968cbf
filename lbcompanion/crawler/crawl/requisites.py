"""Page requisites: style sheets, scripts, images and fonts of the page's origin, fetched over the page's route.

Best effort: a file that cannot be fetched is left out, and the page is archived without it. Only GET, only the site's
own origin, no redirects, nothing below the companion's prefix; count, bytes and time are limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import Deferred, gatherResults

from lbcompanion.crawler.archive.warc_records import Asset
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.html.urls import resolve_url
from lbcompanion.model import WallClock
from lbcompanion.protocol.tokens import digest_of

MAX_FILES = 60
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_BYTES = 24 * 1024 * 1024
MAX_SECONDS = 10.0
_CONCURRENCY = 4

#: Only this much of a page is searched for links: the parser is slow, and links to requisites come early.
_MAX_SEARCHED_BYTES = 512 * 1024

_CSS_LINK = re.compile(
    r"""(?:@import\s+(?!url\()|url\(\s*)(?:"([^"\n]{1,2000})"|'([^'\n]{1,2000})'|([^\s"'()]{1,2000}))""", re.I
)
_ALLOWED_TYPE = re.compile(
    r"text/css|(text|application)/(x-)?(java|ecma)script|image/[\w.+-]+|(application/(x-)?)?font[/-][\w.+-]+"
    r"|application/vnd\.ms-fontobject|application/manifest\+json",
    re.ASCII | re.IGNORECASE,
)
_LINK_RELATIONS = frozenset({"stylesheet", "icon", "preload", "modulepreload", "apple-touch-icon", "manifest"})
_URL_ATTRIBUTES = {"script": ("src",), "img": ("src", "srcset"), "source": ("src", "srcset"), "input": ("src",)}
_URL_ATTRIBUTES |= {"link": ("href", "imagesrcset"), "image": ("href", "xlink:href"), "use": ("href", "xlink:href")}
_URL_ATTRIBUTES |= {"video": ("poster",), "body": ("background",)}


class _LinkParser(HTMLParser):
    """Collects the URLs of a page's requisites."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.base = ""
        self.found: list[str] = []
        self._in_style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect the URLs of one element."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "base" and not self.base:
            self.base = attributes.get("href", "")
        if tag != "link" or _LINK_RELATIONS & set(attributes.get("rel", "").lower().split()):
            for name in _URL_ATTRIBUTES.get(tag, ()):
                self.found += _addresses(name, attributes.get(name, ""))
        self.found += css_links(attributes.get("style", ""))
        self._in_style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        """End an inline style sheet."""
        self._in_style = False

    def handle_data(self, data: str) -> None:
        """Collect the URLs of an inline style sheet."""
        if self._in_style:
            self.found += css_links(data)


def _addresses(name: str, value: str) -> list[str]:
    if name.endswith("srcset"):
        return [part.split()[0] for part in value.split(",") if part.strip()]
    return [value.strip()] if value.strip() else []


def css_links(text: str) -> list[str]:
    """Return the URLs in a style sheet, as written."""
    return [next(filter(None, match)) for match in _CSS_LINK.findall(text) if any(match)]


def page_links(copy: FetchedCopy) -> list[str]:
    """Return the absolute URLs of a page's requisites in order, without duplicates."""
    parser = _LinkParser()
    with suppress(ValueError, AssertionError):  # the parser gives up on some malformed declarations
        parser.feed(copy.body[:_MAX_SEARCHED_BYTES].decode("utf-8", "replace"))
    own = resolve_url("", copy.url)
    return _absolute(resolve_url(own, parser.base) or own, parser.found)


def _absolute(base: str, found: Iterable[str]) -> list[str]:
    """Return absolute URLs without duplicates; the same text is checked, requested and recorded."""
    return list(dict.fromkeys(filter(None, (resolve_url(base, each) for each in found))))


def origin_of(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port; an empty host if the text is not a URL."""
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        return parts.scheme, (parts.hostname or "").lower(), port
    except ValueError:
        return "", "", None


class Requisites:
    """Fetches the requisites of one page.

    :param now: the time in seconds.
    """

    def __init__(self, fetcher: SiteFetcher, now: WallClock) -> None:
        self._fetcher = fetcher
        self._now = now

    async def gather(self, copy: FetchedCopy, fetch_path: FetchPath) -> tuple[Asset, ...]:
        """Fetch the page's requisites and those of its style sheets; failed files are left out, never raised."""
        deadline = self._now() + MAX_SECONDS
        found: dict[str, Asset] = {}
        tried: set[str] = set()
        wanted = self._allowed_urls(copy, page_links(copy), tried)
        while wanted and len(tried) < MAX_FILES:
            batch, wanted = wanted[:_CONCURRENCY], wanted[_CONCURRENCY:]
            tried.update(batch)
            bytes_left = min(MAX_BYTES - sum(len(each.body) for each in found.values()), MAX_FILE_BYTES)
            seconds_left = deadline - self._now()
            if bytes_left <= 0 or seconds_left <= 0:
                break
            for asset in await self._fetch_batch(batch, copy, fetch_path, bytes_left, seconds_left):
                found[asset.url] = asset
                if asset.content_type.lower().startswith("text/css"):
                    more = css_links(asset.body[:_MAX_SEARCHED_BYTES].decode("utf-8", "replace"))
                    wanted += self._allowed_urls(copy, _absolute(asset.url, more), tried | set(wanted))
        return tuple(found.values())

    def _allowed_urls(self, copy: FetchedCopy, urls: Iterable[str], exclude: set[str]) -> list[str]:
        site = self._fetcher.site
        own = {origin_of(copy.url), origin_of(site.origin)}
        prefix = f"{site.prefix}/"
        return [
            url
            for url in urls
            if url not in exclude and origin_of(url) in own and not urlsplit(url).path.startswith(prefix)
        ]

    async def _fetch_batch(
        self, urls: list[str], copy: FetchedCopy, fetch_path: FetchPath, max_bytes: int, seconds_left: float
    ) -> list[Asset]:
        running = [Deferred.fromCoroutine(self._fetch_file(url, fetch_path, max_bytes, seconds_left)) for url in urls]
        files: list[Any] = await gatherResults(running, consumeErrors=True)
        return [each for each in files if each is not None]

    async def _fetch_file(self, url: str, fetch_path: FetchPath, max_bytes: int, seconds_left: float) -> Asset | None:
        target = "/" + url.split("/", 3)[3]
        # Sent to the configured origin (or the node's own), even if the page has another host in its URL.
        origin = (fetch_path.direct or self._fetcher.site.origin).rstrip("/")
        try:
            reply = await self._fetcher.fetch_file(origin + target, fetch_path, max_bytes, seconds_left)
        except (FetchFailed, ValueError):
            return None
        content_type = reply.header("content-type")
        if reply.status != 200 or not _ALLOWED_TYPE.fullmatch(content_type.partition(";")[0].strip()):
            return None
        printable = "".join(char for char in content_type if " " <= char <= "~")
        return Asset(url, printable, digest_of(reply.body), reply.body)
