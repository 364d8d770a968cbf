"""Gets the requisites of all pages: from the cache, or by one request to the page's node.

Several requests for the same file of a node become one. A node gets at most ``per_node`` of these requests at a time. A
request that fails for a temporary reason is repeated a few times, with growing pauses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Protocol

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred, DeferredSemaphore

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.crawl.requisite_cache import CachedFile, Cookies, FileKey, RequisiteCache
from lbcompanion.crawler.fetching.fetcher import FetchPath, SiteFetcher
from lbcompanion.crawler.fetching.http_client import CUT, FetchFailed, Reply
from lbcompanion.crawler.fetching.site_pause import asks_for_fewer, retry_after_seconds
from lbcompanion.crawler.queue.requisite_report import Refusal
from lbcompanion.html.urls import target_of
from lbcompanion.http1.file_patterns import FilePatterns
from lbcompanion.http1.freshness import FIELDS, Lines, StoredHead
from lbcompanion.http1.kept_head import ALWAYS_LEFT_OUT
from lbcompanion.model import MissingKind, WallClock
from lbcompanion.protocol.response_heads import PageHead
from lbcompanion.protocol.tokens import digest_of
from lbcompanion.settings import CaptureTable, RequisitesTable
from lbcompanion.sticky.address_sessions import without_session_ids
from lbcompanion.sticky.cookies import set_cookie_pairs
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.set_cookie import MAX_SET_COOKIES

#: The pause before the first repetition in seconds; each further one takes twice as long.
_FIRST_PAUSE_SECONDS = 0.25
#: A longer ``Retry-After`` is not waited for.
_MAX_PAUSE_SECONDS = 2.0
#: One request may use this part of the time for a page's files, so that a repetition has time as well.
_PART_OF_TIME = 0.5
#: Failures that a repetition may not meet.
_PASSING_FAILURES = frozenset({"timeout", "refused", "unreachable", "broken", CUT})
_PASSING_STATUSES = frozenset({502, 503, 504})

#: The fields of a file's response that are not archived. The crawler knows no node's ``archive_fields_exclude``.
_LEFT_OUT = frozenset(
    {name.decode() for name in ALWAYS_LEFT_OUT} | {name.lower() for name in CaptureTable().archive_fields_exclude}
)
_ALLOWED_TYPE = re.compile(
    r"text/css|(text|application)/(x-)?(java|ecma)script|image/[\w.+-]+|(application/(x-)?)?font[/-][\w.+-]+"
    r"|application/vnd\.ms-fontobject|application/manifest\+json",
    re.ASCII | re.IGNORECASE,
)


class Counts(Protocol):
    """The metrics of requisites."""

    def count_requisite_source(self, source: str) -> None:
        """Count a file that came from the ``cache``, a ``joined`` request, a ``validated`` entry or a ``node``."""
        ...

    def count_requisite_request(self) -> None:
        """Count a request for a file."""
        ...

    def watch_requisites(self, cache: RequisiteCache) -> None:
        """Export the size of the cache."""
        ...


@frozen
class AnswerCookies:
    """Reads the ``Set-Cookie`` values of answers for one page.

    :ivar sent: the cookies that are sent.
    :ivar may_move: whether an answer of another node than the cookies name is expected, because the page itself came
        from another one.
    """

    reader: CookieReader
    sent: Cookies
    may_move: bool = False

    def shows_move(self, set_cookies: tuple[str, ...]) -> bool:
        """Whether another node than the page's answered."""
        return bool(set_cookies) and not self.may_move and self.reader.detects_move(self.sent, set_cookies) is True

    def begins_session(self, set_cookies: tuple[str, ...]) -> bool:
        """Whether a cookie is the application's. Some balancers renew theirs with each answer."""
        sent = {each.name for each in self.sent}
        pairs = set_cookie_pairs(set_cookies[:MAX_SET_COOKIES])
        return len(set_cookies) > MAX_SET_COOKIES or any(
            name not in sent and self.reader.dialect_of(name, value) is None for name, value in pairs.items()
        )


@frozen
class WantedFile:
    """A file of a page.

    :ivar node: the node that answered for the page.
    :ivar deadline: until when the page waits for it.
    :ivar answer_cookies: reads the ``Set-Cookie`` values of an answer.
    """

    fetcher: SiteFetcher
    fetch_path: FetchPath
    node: str
    url: str
    deadline: float
    answer_cookies: AnswerCookies = field(repr=False, eq=False)

    @property
    def key(self) -> FileKey:
        """Return the key of the stored file."""
        return FileKey(self.fetcher.site.name, self.node, self.fetch_path.direct, self.url)

    @property
    def address(self) -> str:
        """Return the URL that is requested: the page's without a visitor's session. The file is recorded under the
        page's URL, where a player of the archive looks for it."""
        return without_session_ids(self.url)

    @property
    def cookies(self) -> Cookies:
        """Return the cookies that are sent."""
        return self.fetch_path.cookies


@frozen
class _Answer:
    """The result of one request.

    :ivar try_again: whether a repetition may help.
    :ivar hurried: whether the request had less time than usual.
    :ivar pause: how many seconds the repetition has to wait at least.
    """

    known: CachedFile
    try_again: bool = False
    hurried: bool = False
    pause: float = 0.0


class RequisiteSource:
    """The files of all sites of one crawler.

    :ivar excluded: the patterns of files that are never requested.
    :param now: the time in seconds.
    :param sleep: returns a Deferred that fires after a number of seconds.
    """

    def __init__(
        self,
        now: WallClock,
        sleep: Callable[[float], Deferred[None]],
        limits: RequisitesTable,
        counts: Counts | None = None,
    ) -> None:
        self._now = now
        self._sleep = sleep
        self._limits = limits
        self._counts = counts
        self._cache = RequisiteCache(limits.cache_bytes, limits.cache_files)
        self.excluded = FilePatterns(limits.exclude)
        #: How often all files were forgotten.
        self._forgotten = 0
        #: Those that wait for a request that is under way.
        self._joined: dict[FileKey, list[Deferred[CachedFile | None]]] = {}
        self._slots: dict[tuple[str, str], DeferredSemaphore] = {}
        if counts is not None:
            counts.watch_requisites(self._cache)

    async def get(self, wanted: WantedFile) -> Requisite | Refusal:
        """Return a file, or why it cannot be archived; no answer of a node makes it raise."""
        known = self._cache.get(wanted.key)
        if known is not None and self._may_use(known, wanted):
            return self._counted("cache", known)
        if wanted.key in self._joined:
            joined = await self._join(wanted.key)
            if joined is not None and self._may_use(joined, wanted):
                return self._counted("joined", joined)
            # It is personal, or may not be used twice: this one is requested without waiting for others.
            return (await self._ask(wanted)).known.result
        self._joined[wanted.key] = []
        result: CachedFile | None = None
        forgotten = self._forgotten
        try:
            answer = await self._ask(wanted)
            result = None if answer.hurried or forgotten != self._forgotten else answer.known
            return answer.known.result
        finally:
            for waiting in self._joined.pop(wanted.key):
                waiting.callback(result)

    def forget(self) -> None:
        """Forget all files: an erased page may have had any of them, and the site may not have it any more.

        The answers to requests that are under way serve the pages that asked for them, and no others.
        """
        self._cache.clear()
        self._forgotten += 1

    def _may_use(self, known: CachedFile, wanted: WantedFile) -> bool:
        return known.is_for(wanted.cookies) and known.is_usable(self._now(), self._limits.fresh_seconds)

    def _join(self, key: FileKey) -> Deferred[CachedFile | None]:
        waiting: Deferred[CachedFile | None] = Deferred()
        self._joined[key].append(waiting)
        return waiting

    async def _ask(self, wanted: WantedFile) -> _Answer:
        """Request a file, again if that may help, and keep the result."""
        pause = _FIRST_PAUSE_SECONDS
        forgotten = self._forgotten
        answer = await self._ask_in_turn(wanted)
        for _ in range(self._limits.retries):
            seconds = max(pause, answer.pause)
            if not answer.try_again or self._now() + seconds >= wanted.deadline:
                break
            await self._sleep(seconds)
            pause *= 2
            answer = await self._ask_in_turn(wanted)
        return self._kept(wanted.key, answer) if forgotten == self._forgotten else answer

    def _kept(self, key: FileKey, answer: _Answer) -> _Answer:
        known = answer.known
        if known.may_pass:
            before = self._cache.get(key)
            # A file that can still be validated is worth more than the memory of a failure.
            if not answer.hurried and (before is None or isinstance(before.result, Refusal)):
                self._cache.put(key, known)
            return answer
        return evolve(answer, known=self._cache.put(key, known))

    async def _ask_in_turn(self, wanted: WantedFile) -> _Answer:
        """Request a file once the node has fewer than ``per_node`` such requests."""
        node = (wanted.fetcher.site.name, wanted.node)
        slots = self._slots.setdefault(node, DeferredSemaphore(self._limits.per_node))
        await slots.acquire()
        try:
            return await self._ask_once(wanted)
        finally:
            slots.release()
            if slots.tokens == slots.limit:
                self._slots.pop(node, None)

    async def _ask_once(self, wanted: WantedFile) -> _Answer:
        known = self._cache.get(wanted.key)
        conditions = known.conditions() if known is not None and known.is_for(wanted.cookies) else ()
        answer = await self._exchange(wanted, conditions, known)
        return answer or await self._exchange(wanted, (), None) or self._failed("status 304", MissingKind.STATUS)

    async def _exchange(self, wanted: WantedFile, conditions: Lines, known: CachedFile | None) -> _Answer | None:
        """Send one request.

        :param conditions: the fields that validate the entry.
        :returns: None if the answer is 304 and does not validate the entry.
        """
        asked_at = self._now()
        usual = self._limits.max_seconds * _PART_OF_TIME
        seconds = min(wanted.deadline - asked_at, usual)
        if seconds <= 0:
            reason = f"more than {self._limits.max_seconds:g} s in all"
            return self._failed(reason, MissingKind.LIMIT, hurried=True)
        try:
            reply = await self._send(wanted, conditions, seconds)
        except FetchFailed as failure:
            again, hurried = failure.word in _PASSING_FAILURES, seconds < usual
            return self._failed(failure.word, MissingKind.FAILED, try_again=again, hurried=hurried)
        except ValueError:
            return self._failed("its address cannot be requested", MissingKind.UNUSABLE)
        return self._understood(wanted, reply, asked_at, known if conditions else None, known)

    def _understood(
        self, wanted: WantedFile, reply: Reply, asked_at: float, validated: CachedFile | None, known: CachedFile | None
    ) -> _Answer | None:
        """Read a complete response.

        :param validated: the entry that a response 304 is about.
        :param known: the entry, whether it was to be validated or not.
        """
        lines = tuple(line for line in reply.headers if line[0] in FIELDS)
        head = StoredHead(reply.status, lines, asked_at, self._now())
        has_moved = wanted.answer_cookies.shows_move(reply.all("set-cookie"))
        if reply.status == 304 and not has_moved:
            fresher = None if validated is None or validated.head is None else validated.head.freshened(head)
            if validated is None or fresher is None:
                return None
            self._count("validated")
            return _Answer(evolve(validated, head=fresher, asked_at=head.received_at))
        self._count("node")
        answer = self._read(wanted, reply, head)
        if has_moved and not _are_same_bytes(answer.known, known):
            return self._failed("answered by another node", MissingKind.FAILED)
        return answer

    async def _send(self, wanted: WantedFile, conditions: Lines, seconds: float) -> Reply:
        direct = wanted.fetch_path.direct
        # With ``direct`` it is requested at the node's own origin.
        address = f"{direct.rstrip('/')}{target_of(wanted.address)}" if direct else wanted.address
        if self._counts is not None:
            self._counts.count_requisite_request()
        return await wanted.fetcher.fetch_file(
            address, wanted.fetch_path, self._limits.max_file_bytes, seconds, conditions
        )

    def _read(self, wanted: WantedFile, reply: Reply, head: StoredHead) -> _Answer:
        """Read a complete response other than 304."""
        if asks_for_fewer(reply):
            seconds = retry_after_seconds(reply, head.received_at)
            refused = self._failed(f"status {reply.status}", MissingKind.REFUSED)
            return evolve(
                refused, try_again=seconds is not None and seconds <= _MAX_PAUSE_SECONDS, pause=seconds or 0.0
            )
        if reply.status >= 500:
            again = reply.status in _PASSING_STATUSES
            return self._failed(f"status {reply.status}", MissingKind.STATUS, try_again=again)
        result = _result_of(wanted.url, reply)
        personal = _is_personal(head) or wanted.answer_cookies.begins_session(reply.all("set-cookie"))
        return _Answer(CachedFile(result, head.received_at, head, wanted.cookies, personal))

    def _failed(self, reason: str, kind: MissingKind, *, try_again: bool = False, hurried: bool = False) -> _Answer:
        known = CachedFile(Refusal(reason, kind), self._now(), may_pass=True)
        return _Answer(known, try_again, hurried)

    def _count(self, source: str) -> None:
        if self._counts is not None:
            self._counts.count_requisite_source(source)

    def _counted(self, source: str, known: CachedFile) -> Requisite | Refusal:
        self._count(source)
        return known.result


def _are_same_bytes(one: CachedFile, other: CachedFile | None) -> bool:
    first, second = one.result, None if other is None else other.result
    return isinstance(first, Requisite) and isinstance(second, Requisite) and first.sha256 == second.sha256


def _result_of(url: str, reply: Reply) -> Requisite | Refusal:
    if reply.status != 200:
        return Refusal(f"status {reply.status}", MissingKind.STATUS)
    content_type = "".join(char for char in reply.header("content-type") if " " <= char <= "~")
    if not _ALLOWED_TYPE.fullmatch(content_type.partition(";")[0].strip()):
        return Refusal(f"type {content_type.partition(';')[0].strip()[:100] or 'not named'}", MissingKind.TYPE)
    # The client has the names in lower case.
    fields = (("-".join(map(str.capitalize, name.split("-"))), value) for name, value in reply.headers)
    head = PageHead.of_fields(reply.status, fields, _LEFT_OUT)
    return Requisite(url, content_type, digest_of(reply.body), reply.body, head)


def _is_personal(head: StoredHead) -> bool:
    """Whether a response says that it depends on the user."""
    return head.is_private() or not head.vary().isdisjoint({"cookie", "authorization", "*"})
