"""Page requisites: style sheets, scripts, images and fonts of the site's origins, fetched over the page's route.

A file that cannot be fetched is left out, and the page is archived without it; the recording names the file and the
reason. A file that is answered with 429 ends the requests for this page. Only GET, only the site's own origins, no
redirects, nothing below the companion's prefix; count, bytes and time are limited. Pages and style sheets are read in
another thread, since that takes up to a second of CPU for a large one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, execute, gatherResults

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import FetchFailed
from lbcompanion.crawler.fetching.site_addresses import site_origins
from lbcompanion.crawler.fetching.site_pause import asks_for_fewer
from lbcompanion.crawler.queue.requisite_report import MissingRequisite, RequisiteReport
from lbcompanion.html.charset import content_type_charset
from lbcompanion.html.css_urls import css_urls, decode_style_sheet
from lbcompanion.html.requisite_links import MAX_LINKS, PageLinks, page_links
from lbcompanion.html.urls import origin_of, path_of, resolve_url, target_of
from lbcompanion.model import WallClock
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import RequisitesTable

_CONCURRENCY = 4

#: Only this much of a style sheet is searched for more files.
_MAX_SEARCHED_BYTES = 1024 * 1024
DEFAULT_LIMITS = RequisitesTable()

#: More URLs than this are not counted for one page and its style sheets.
_MAX_WANTED = 2 * MAX_LINKS

_ALLOWED_TYPE = re.compile(
    r"text/css|(text|application)/(x-)?(java|ecma)script|image/[\w.+-]+|(application/(x-)?)?font[/-][\w.+-]+"
    r"|application/vnd\.ms-fontobject|application/manifest\+json",
    re.ASCII | re.IGNORECASE,
)

#: Runs a function with its arguments in another thread; the Deferred fires with its result.
Parse = Callable[..., Deferred[Any]]


@frozen
class Gathered:
    """The requisites of one page.

    :ivar files: those that were fetched.
    :ivar report: how many were wanted, and those that are missing.
    """

    files: tuple[Requisite, ...]
    report: RequisiteReport


class Requisites:
    """Fetches the requisites of pages of one site.

    :param now: the time in seconds.
    :param parse: runs a function in another thread.
    """

    def __init__(
        self,
        fetcher: SiteFetcher,
        now: WallClock,
        parse: Parse = execute,
        limits: RequisitesTable = DEFAULT_LIMITS,
    ) -> None:
        self._limits = limits
        self._fetcher = fetcher
        self._now = now
        self._parse = parse

    async def gather(self, copy: FetchedCopy, fetch_path: FetchPath) -> Gathered:
        """Fetch the page's requisites and those of its style sheets; failures are reported, never raised."""
        return await _Gathering(self._fetcher, self._now, self._parse, self._limits, copy, fetch_path).run()


class _Gathering:
    """The requisites of one page while they are being fetched."""

    def __init__(
        self,
        fetcher: SiteFetcher,
        now: WallClock,
        parse: Parse,
        limits: RequisitesTable,
        copy: FetchedCopy,
        fetch_path: FetchPath,
    ) -> None:
        self._limits = limits
        self._fetcher = fetcher
        self._now = now
        self._parse = parse
        self._copy = copy
        self._fetch_path = fetch_path
        self._deadline = now() + limits.max_seconds
        #: What became of each wanted URL: a file, the reason why it is missing, or None while it is not yet known.
        self._results: dict[str, Requisite | str | None] = {}
        self._waiting: list[str] = []
        self._tried = 0
        self._bytes = 0
        #: The status that asked for fewer requests; 0 if none did.
        self._refused_status = 0
        self._encoding = "utf-8"

    async def run(self) -> Gathered:
        """Fetch until nothing is left or a limit is reached."""
        copy = self._copy
        links: PageLinks = await self._parse(page_links, copy.body, copy.url, copy.content_type)
        self._encoding = links.encoding
        self._want(links.urls)
        while self._waiting:
            limit = self._reached_limit()
            if limit:
                self._results.update(dict.fromkeys(self._waiting, limit))
                break
            await self._fetch_batch()
        return self._gathered()

    def _want(self, urls: Iterable[str]) -> None:
        for url in urls:
            if url in self._results or len(self._results) >= _MAX_WANTED:
                continue
            refusal = self._refusal(url)
            self._results[url] = refusal or None
            if not refusal:
                self._waiting.append(url)

    def _refusal(self, url: str) -> str:
        """Return why a URL is not requested; empty if it is."""
        site = self._fetcher.site
        if origin_of(url) not in site_origins(site):
            return "another origin"
        return "below the companion's prefix" if path_of(url).startswith(f"{site.prefix}/") else ""

    def _reached_limit(self) -> str:
        limits = self._limits
        if self._refused_status:
            return f"not requested after status {self._refused_status}"
        if self._tried >= limits.max_files:
            return f"more than {limits.max_files} files"
        if self._bytes >= limits.max_bytes:
            return f"more than {limits.max_bytes} bytes in all"
        return f"more than {limits.max_seconds:g} s in all" if self._now() >= self._deadline else ""

    async def _fetch_batch(self) -> None:
        count = min(_CONCURRENCY, self._limits.max_files - self._tried)
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        self._tried += len(batch)
        max_bytes = min(self._limits.max_bytes - self._bytes, self._limits.max_file_bytes)
        seconds = self._deadline - self._now()
        running = [Deferred.fromCoroutine(self._fetch(url, max_bytes, seconds)) for url in batch]
        for url, result in zip(batch, await gatherResults(running, consumeErrors=True), strict=True):
            self._results[url] = result
            if isinstance(result, Requisite):
                self._bytes += len(result.body)
                if result.content_type.lower().startswith("text/css"):
                    self._want(await self._parse(_style_sheet_links, result, self._encoding))

    async def _fetch(self, url: str, max_bytes: int, seconds: float) -> Requisite | str:
        """Fetch one file; return the reason if it cannot be archived."""
        # By ``direct`` it is requested at the node's own origin.
        address = f"{self._fetch_path.direct.rstrip('/')}{target_of(url)}" if self._fetch_path.direct else url
        try:
            reply = await self._fetcher.fetch_file(address, self._fetch_path, max_bytes, seconds)
        except FetchFailed as failure:
            return failure.word
        except ValueError:
            return "its address cannot be requested"
        if asks_for_fewer(reply):
            self._refused_status = reply.status
        if reply.status != 200:
            return f"status {reply.status}"
        content_type = "".join(char for char in reply.header("content-type") if " " <= char <= "~")
        if not _ALLOWED_TYPE.fullmatch(content_type.partition(";")[0].strip()):
            return f"type {content_type.partition(';')[0].strip()[:100] or 'not named'}"
        return Requisite(url, content_type, digest_of(reply.body), reply.body)

    def _gathered(self) -> Gathered:
        files = tuple(each for each in self._results.values() if isinstance(each, Requisite))
        missing = tuple(
            MissingRequisite(url, each or "not requested")
            for url, each in self._results.items()
            if not isinstance(each, Requisite)
        )
        return Gathered(files, RequisiteReport(len(self._results), missing))


def _style_sheet_links(sheet: Requisite, page_encoding: str) -> list[str]:
    """Return the absolute URLs in a style sheet, without duplicates."""
    declared = content_type_charset(sheet.content_type.encode("latin-1", "replace")) or ""
    text = decode_style_sheet(sheet.body[:_MAX_SEARCHED_BYTES], declared, page_encoding)
    found = (resolve_url(sheet.url, each) for each in css_urls(text))
    return [each for each in dict.fromkeys(found) if each and each != sheet.url]
