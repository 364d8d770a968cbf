"""``memory:``: copies in this process, which end with it.

The visitor's response waits for a call, so each call touches only the copy in question and the copies that it removes.
"""

from __future__ import annotations

from collections import OrderedDict
from heapq import heappop, heappush

from attrs import define
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, MissReason, Page, WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores.expiry import check_size, expiry_reason
from lbcompanion.stores.interface import IImmediateStore

_COUNTERS = {MissReason.EVICTED: "evicted", MissReason.EXPIRED: "expired", MissReason.PULLED: "pulled"}
_MISSES = {reason: Miss(reason) for reason in _COUNTERS}
_EVICTED = _MISSES[MissReason.EVICTED]
#: A full store frees a 64th of its limits in advance, but not more than these.
_SPARE_PART = 64
_MAX_SPARE_PAGES = 64
_MAX_SPARE_BYTES = 1 << 20
#: In a store with a smaller ``max_bytes``, few bytes may be a whole copy.
_MIN_BYTES_WITH_SPARE = 1 << 20


@define
class _Entry:
    page: Page
    size: int
    stored_at: float
    sent_at: float | None = None


@implementer(IImmediateStore)
class MemoryStore:
    """Copies in two ordered dictionaries: all copies in order of arrival, sent copies in order of sending.

    The first entry of each is therefore the next to expire, to be evicted, or to pass its grace period. (OrderedDict,
    because a plain dict scans the gaps that removals leave at its front.) A copy that another node stored before is
    older than its position, so it is in a heap as well.

    :param now: seconds since the epoch.
    """

    def __init__(self, settings: StoreTable, now: WallClock) -> None:
        self._settings = settings
        self._spare_pages = min(_MAX_SPARE_PAGES, settings.max_pages // _SPARE_PART)
        spare = min(_MAX_SPARE_BYTES, settings.max_bytes // _SPARE_PART)
        self._spare_bytes = spare if settings.max_bytes >= _MIN_BYTES_WITH_SPARE else 0
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._sent: OrderedDict[str, None] = OrderedDict()
        self._backdated: list[tuple[float, str]] = []
        self._tombstones: OrderedDict[str, Miss] = OrderedDict()
        self._bytes = 0
        self._counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}
        self._closed = False

    def put(self, page: Page) -> Deferred[None]:
        """Store a copy, and replace a copy with the same token."""
        try:
            self.put_now(page)
        except StoreError as error:
            return fail(error)
        return succeed(None)

    def put_now(self, page: Page) -> None:
        """Store a copy synchronously.

        :raises StoreError: if the page cannot be stored.
        """
        self._check_open()
        settings = self._settings
        size = page.size
        check_size(settings, size)
        now = self._now()
        token = page.token
        if token in self._entries:
            self._remove(token)
        if self._tombstones:
            self._tombstones.pop(token, None)
        if len(self._entries) >= settings.max_pages or self._bytes + size > settings.max_bytes:
            # Remove expired copies first, so that they are counted as expired and not as evicted.
            self._retire_due(now)
            self._make_room(size)
        kept_at = page.kept_at
        if kept_at is None or kept_at >= now:
            self._entries[token] = _Entry(page, size, now)
        else:
            self._entries[token] = _Entry(page, size, kept_at)
            heappush(self._backdated, (kept_at, token))
        self._bytes += size
        self._counters["put"] += 1

    def peek(self, token: str) -> Deferred[Page | Miss]:
        """Return the copy, or a miss with the reason."""
        if self._closed:
            return fail(self._closed_error())
        entry = self._live_entry(token)
        if entry is not None:
            return succeed(entry.page)
        return succeed(self._tombstones.get(token) or Miss(MissReason.UNKNOWN))

    def url_of(self, token: str) -> Deferred[str]:
        """Return the URL of a copy; empty if there is none."""
        if self._closed:
            return fail(self._closed_error())
        entry = self._live_entry(token)
        return succeed(entry.page.url if entry is not None else "")

    def take(self, token: str) -> Deferred[Page | Miss]:
        """Return the copy, or a miss with the reason; a copy that was sent counts as not sent."""
        if self._closed:
            return fail(self._closed_error())
        entry = self._live_entry(token)
        if entry is None:
            return succeed(self._tombstones.get(token) or Miss(MissReason.UNKNOWN))
        if entry.sent_at is not None:
            entry.sent_at = None
            self._sent.pop(token, None)
        return succeed(entry.page)

    def sent(self, token: str) -> Deferred[None]:
        """Record that the copy was sent completely."""
        if self._closed:
            return fail(self._closed_error())
        entry = self._live_entry(token)
        if entry is not None and entry.sent_at is None:
            entry.sent_at = self._now()
            self._sent[token] = None
        return succeed(None)

    def drop(self, token: str) -> Deferred[bool]:
        """Remove a copy that the crawler has archived, if ``delete_after_pull`` says so."""
        if self._closed:
            return fail(self._closed_error())
        if self._live_entry(token) is not None:
            if self._settings.delete_after_pull:
                self._retire(token, MissReason.PULLED)
            return succeed(True)
        tombstone = self._tombstones.get(token)
        return succeed(tombstone is not None and tombstone.reason is MissReason.PULLED)

    def mark(self, token: str, miss: Miss) -> Deferred[None]:
        """Write a tombstone, unless there is a copy with this token."""
        if self._closed:
            return fail(self._closed_error())
        if self._live_entry(token) is None:
            self._add_tombstone(token, miss)
        return succeed(None)

    def sweep(self) -> Deferred[int]:
        """Remove expired copies."""
        if self._closed:
            return fail(self._closed_error())
        return succeed(self._retire_due(self._now()))

    def tokens(self) -> Deferred[list[str]]:
        """Return the tokens of all valid copies, oldest first."""
        if self._closed:
            return fail(self._closed_error())
        self._retire_due(self._now())
        return succeed(list(self._entries))

    def stats(self) -> Deferred[dict[str, int]]:
        """Return the present numbers, and the counters since the start."""
        if self._closed:
            return fail(self._closed_error())
        return succeed({"pages": len(self._entries), "bytes": self._bytes, **self._counters})

    def close(self) -> Deferred[None]:
        """Remove everything."""
        self._closed = True
        for collection in (self._entries, self._sent, self._tombstones):
            collection.clear()
        self._backdated.clear()
        self._bytes = 0
        return succeed(None)

    @staticmethod
    def _closed_error() -> StoreError:
        return StoreError("the store is closed")

    def _check_open(self) -> None:
        if self._closed:
            raise self._closed_error()

    def _live_entry(self, token: str) -> _Entry | None:
        entry = self._entries.get(token)
        if entry is None:
            return None
        reason = expiry_reason(self._settings, entry.stored_at, entry.sent_at, self._now())
        if reason is None:
            return entry
        self._retire(token, reason)
        return None

    def _retire_due(self, now: float) -> int:
        """Remove expired copies from the front of both dictionaries; return how many."""
        retired = self._retire_backdated(now) if self._backdated else 0
        for queue in (self._entries, self._sent):
            while queue:
                token = next(iter(queue))
                entry = self._entries[token]
                reason = expiry_reason(self._settings, entry.stored_at, entry.sent_at, now)
                if reason is None:
                    break
                self._retire(token, reason)
                retired += 1
        return retired

    def _retire_backdated(self, now: float) -> int:
        retired = 0
        while self._backdated and self._backdated[0][0] + self._settings.max_seconds <= now:
            _, token = heappop(self._backdated)
            entry = self._entries.get(token)
            reason = None if entry is None else expiry_reason(self._settings, entry.stored_at, entry.sent_at, now)
            if reason is not None:
                self._retire(token, reason)
                retired += 1
        return retired

    def _make_room(self, size: int) -> None:
        """Evict copies for this page and for the next ones, since one call for many copies costs less per copy."""
        entries, sent, tombstones = self._entries, self._sent, self._tombstones
        max_bytes = max(0, self._settings.max_bytes - size - self._spare_bytes)
        max_pages = self._settings.max_pages - self._spare_pages
        evicted = 0
        while entries and (len(entries) >= max_pages or self._bytes > max_bytes):
            # If no copy was sent, the first of all copies is one that was not sent.
            if sent:
                token, _ = sent.popitem(last=False)
                entry = entries.pop(token)
            else:
                token, entry = entries.popitem(last=False)
            self._bytes -= entry.size
            evicted += 1
            # A token with a copy has no tombstone, so this one comes last.
            tombstones[token] = _EVICTED
        self._counters["evicted"] += evicted
        while len(tombstones) > self._settings.max_pages:
            tombstones.popitem(last=False)

    def _retire(self, token: str, reason: MissReason) -> None:
        self._remove(token)
        self._counters[_COUNTERS[reason]] += 1
        self._add_tombstone(token, _MISSES[reason])

    def _remove(self, token: str) -> None:
        self._bytes -= self._entries.pop(token).size
        if self._sent:
            self._sent.pop(token, None)

    def _add_tombstone(self, token: str, miss: Miss) -> None:
        self._tombstones[token] = miss
        self._tombstones.move_to_end(token)
        if len(self._tombstones) > self._settings.max_pages:
            self._tombstones.popitem(last=False)
