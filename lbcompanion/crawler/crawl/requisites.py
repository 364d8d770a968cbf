"""Page requisites: style sheets, scripts, images and fonts of the site's origins, fetched over the page's route.

A file that cannot be fetched is left out, and the page is archived without it; the recording names the file and the
reason. A file that is answered with 429 ends the requests for this page. Only GET, only the site's own origins, no
redirects, nothing below the companion's prefix; count, bytes and time are limited. Pages and style sheets are read in
another thread, since that takes up to a second of CPU for a large one.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from attrs import evolve, frozen
from twisted.internet.defer import Deferred, FirstError, execute, gatherResults

from lbcompanion.bounded_cache import BoundedCache
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisite_source import AnswerCookies, RequisiteSource, WantedFile
from lbcompanion.crawler.fetching.fetcher import FetchedCopy, FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.site_addresses import site_origins
from lbcompanion.crawler.queue.requisite_report import (
    MissingRequisite,
    Refusal,
    RequisiteReport,
    UnsearchedText,
)
from lbcompanion.html.charset import content_type_charset
from lbcompanion.html.css_urls import decode_style_sheet, read_css
from lbcompanion.html.requisite_links import MAX_LINKS, PageLinks, page_links
from lbcompanion.html.urls import origin_of, path_of, resolve_url
from lbcompanion.model import MissingKind, WallClock
from lbcompanion.settings import RequisitesTable
from lbcompanion.sticky.address_sessions import without_session_ids
from lbcompanion.sticky.reader import CookieReader

#: How many files of one page are requested at a time.
_CONCURRENCY = 4

#: Only this much of a style sheet is searched for more files.
MAX_SEARCHED_BYTES = 1024 * 1024
#: The limit of steps for the search of one style sheet; see :func:`lbcompanion.html.css_urls.read_css`.
MAX_STEPS = 120_000
#: The limit of steps for all style sheets of a page. After it no further style sheet is searched.
MAX_PAGE_STEPS = 300_000

#: More URLs than this are not counted for one page and its style sheets.
_MAX_WANTED = 2 * MAX_LINKS

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


@frozen
class _SheetLinks:
    """The URLs in a style sheet.

    :ivar encoding: the style sheet's encoding, for those that it imports.
    :ivar steps: how many steps the search took.
    :ivar unsearched: why a part of it was not searched; empty if all of it was.
    """

    urls: tuple[str, ...]
    encoding: str
    steps: int
    unsearched: str


class Requisites:
    """Fetches the requisites of pages.

    :param source: where files come from.
    :param now: the time in seconds.
    :param parse: runs a function in another thread.
    """

    def __init__(
        self, source: RequisiteSource, now: WallClock, limits: RequisitesTable, parse: Parse = execute
    ) -> None:
        self.source = source
        self.now = now
        self.limits = limits
        self._parse = parse
        #: The same style sheets belong to many pages.
        self._sheets: BoundedCache[tuple[bytes, str, str, str], tuple[_SheetLinks, tuple[str, ...]]]
        self._sheets = BoundedCache(max_bytes=8 * 1024 * 1024, max_key_bytes=4096)

    async def gather(
        self, fetcher: SiteFetcher, reader: CookieReader, copy: FetchedCopy, fetch_path: FetchPath
    ) -> Gathered:
        """Fetch the page's requisites and those of its style sheets; failures are reported, never raised."""
        cookies = AnswerCookies(reader, fetch_path.cookies)
        # If the page came from another node than its cookie names, its files come from that other node too.
        cookies = evolve(cookies, may_move=cookies.shows_move(copy.set_cookies))
        return await _Gathering(self, fetcher, copy, fetch_path, cookies).run()

    async def page_links(self, copy: FetchedCopy) -> PageLinks:
        """Read a page."""
        found: PageLinks = await self._parse(page_links, copy.body, copy.url, copy.content_type)
        return found

    async def sheet_links(self, sheet: Requisite, environment: str) -> _SheetLinks:
        """Search a style sheet, or return the links that an earlier search found."""
        key = (sheet.sha256, sheet.url, sheet.content_type, environment)
        known = self._sheets.get(key)
        if known is None:
            found: _SheetLinks = await self._parse(style_sheet_links, sheet, environment)
            known = self._sheets.put(key, (found, found.urls))  # the texts count beside the object
        return known[0]


_SCRIPT = re.compile(rb"<script[\s/>]", re.IGNORECASE)
_OTHER_ORIGIN = Refusal("another origin", MissingKind.ANOTHER_ORIGIN)


class _Gathering:
    """The requisites of one page while they are being fetched."""

    def __init__(
        self,
        requisites: Requisites,
        fetcher: SiteFetcher,
        copy: FetchedCopy,
        fetch_path: FetchPath,
        answer_cookies: AnswerCookies,
    ) -> None:
        self._answer_cookies = answer_cookies
        self._requisites = requisites
        self._limits = requisites.limits
        self._fetcher = fetcher
        self._origins = site_origins(fetcher.site)
        self._is_foreign: dict[str, bool] = {}
        self._copy = copy
        self._fetch_path = fetch_path
        self._deadline = requisites.now() + self._limits.max_seconds
        #: What became of each wanted URL: a file, the reason why it is missing, or None while it is not yet known.
        self._results: dict[str, Requisite | Refusal | None] = {}
        self._unsearched: list[UnsearchedText] = []
        self._waiting: deque[str] = deque()
        self._tried = 0
        self._bytes = 0
        self._steps_left = MAX_PAGE_STEPS
        #: The answer that asked for fewer requests; empty: no answer did.
        self._refused = ""
        #: The encoding of the document or style sheet that refers to each wanted URL first.
        self._environments: dict[str, str] = {}

    async def run(self) -> Gathered:
        """Fetch until nothing is left or a limit is reached."""
        links = await self._requisites.page_links(self._copy)
        self._note_unsearched(self._copy.url, links.unsearched)
        self._want(links.urls, links.encoding)
        await self._fetch_all()
        # After the files that the page names, so that a limit concerns them last.
        self._want(self._script_files(), "utf-8")
        await self._fetch_all()
        return self._gathered()

    def _script_files(self) -> list[str]:
        """Return the configured addresses of files that scripts load, if the page has scripts."""
        paths = self._fetcher.site.script_files
        if not paths or not _SCRIPT.search(self._copy.body):
            return []
        return [url for url in (resolve_url(self._copy.url, path) for path in paths) if url]

    async def _fetch_all(self) -> None:
        while self._waiting:
            workers = [Deferred.fromCoroutine(self._fetch_waiting()) for _ in range(_CONCURRENCY)]
            try:
                await gatherResults(workers, consumeErrors=True)
            except FirstError as failure:  # cancelled, or a defect
                failure.subFailure.raiseException()

    def _want(self, urls: Iterable[str], encoding: str) -> None:
        for url in urls:
            if url in self._results:
                continue
            if len(self._results) >= _MAX_WANTED:
                self._note_unsearched(self._copy.url, f"more than {_MAX_WANTED} files")
                return
            refusal = self._refusal(url)
            self._results[url] = refusal
            if refusal is None:
                self._waiting.append(url)
                self._environments[url] = encoding

    def _note_unsearched(self, url: str, reason: str) -> None:
        if reason and not any(each.url == url for each in self._unsearched):
            self._unsearched.append(UnsearchedText(url, reason))

    def _refusal(self, url: str) -> Refusal | None:
        """Return why a URL is not requested; None if it is."""
        site = self._fetcher.site
        # Everything before the path. Resolved URLs are in the normal form.
        end = url.find("/", len("https://"))
        start = url[:end] if end > 0 else url
        if start not in self._is_foreign:
            self._is_foreign[start] = origin_of(url) not in self._origins
        if self._is_foreign[start]:
            return _OTHER_ORIGIN
        # The rules hold for the address that is requested, too.
        for address in dict.fromkeys((url, without_session_ids(url))):
            if path_of(address).startswith(f"{site.prefix}/"):
                return Refusal("below the companion's prefix", MissingKind.PREFIX)
            if self._requisites.source.excluded.match(address):
                return Refusal("excluded", MissingKind.EXCLUDED)
        return None

    def _reached_limit(self) -> Refusal | None:
        limits = self._limits
        if self._refused:
            return Refusal(f"not requested after {self._refused}", MissingKind.REFUSED)
        if self._tried >= limits.max_files:
            return Refusal(f"more than {limits.max_files} files", MissingKind.LIMIT)
        if self._bytes >= limits.max_bytes:
            return self._too_many_bytes()
        if self._requisites.now() >= self._deadline:
            return Refusal(f"more than {limits.max_seconds:g} s in all", MissingKind.LIMIT)
        return None

    def _too_many_bytes(self) -> Refusal:
        return Refusal(f"more than {self._limits.max_bytes} bytes in all", MissingKind.LIMIT)

    async def _fetch_waiting(self) -> None:
        """Fetch one file after another until no file waits, or a limit is reached."""
        while self._waiting:
            limit = self._reached_limit()
            if limit is not None:
                self._results.update(dict.fromkeys(self._waiting, limit))
                self._waiting.clear()
                return
            self._tried += 1
            await self._fetch(self._waiting.popleft())

    async def _fetch(self, url: str) -> None:
        wanted = WantedFile(self._fetcher, self._fetch_path, self._copy.node, url, self._deadline, self._answer_cookies)
        result = await self._requisites.source.get(wanted)
        if isinstance(result, Requisite) and self._bytes + len(result.body) > self._limits.max_bytes:
            result = self._too_many_bytes()
        self._results[url] = result
        if isinstance(result, Refusal):
            if result.kind is MissingKind.REFUSED:
                self._refused = result.reason
            return
        self._bytes += len(result.body)
        if result.content_type.lower().startswith("text/css"):
            await self._search(result)

    async def _search(self, sheet: Requisite) -> None:
        if self._steps_left <= 0:
            self._note_unsearched(sheet.url, "the style sheets before it took too long to search")
            return
        links = await self._requisites.sheet_links(sheet, self._environments[sheet.url])
        self._steps_left -= links.steps
        self._want(links.urls, links.encoding)
        self._note_unsearched(sheet.url, links.unsearched)

    def _gathered(self) -> Gathered:
        files = tuple(each for each in self._results.values() if isinstance(each, Requisite))
        missing = tuple(
            MissingRequisite(url, each.reason, each.kind)
            for url, each in self._results.items()
            if isinstance(each, Refusal)
        )
        return Gathered(files, RequisiteReport(len(self._results), missing, tuple(self._unsearched)))


def style_sheet_links(sheet: Requisite, environment: str) -> _SheetLinks:
    """Return the absolute URLs in a style sheet, without duplicates.

    :param environment: the encoding of the document or of the style sheet that refers to it.
    """
    declared = content_type_charset(sheet.content_type.encode("latin-1", "replace")) or ""
    text, encoding = decode_style_sheet(sheet.body[:MAX_SEARCHED_BYTES], declared, environment)
    css = read_css(text, MAX_STEPS, MAX_LINKS)
    found = (resolve_url(sheet.url, each, "utf-8" if each in css.imported else encoding) for each in css.urls)
    urls = tuple(dict.fromkeys(each for each in found if each and each != sheet.url))
    unsearched = "its style sheet takes too long to search, or has too many links" if not css.is_whole else ""
    if not unsearched and len(sheet.body) > MAX_SEARCHED_BYTES:
        unsearched = f"longer than {MAX_SEARCHED_BYTES} bytes"
    return _SheetLinks(urls, encoding, css.steps, unsearched)
