"""A cache of requisites in memory, for each site and node, by RFC 9111 and a least time.

Nodes share no entry, because during a deploy one URL may have other bytes on each node. Bytes with the same digest are
kept once for all nodes. The cache is bounded in bytes and in entries; the entry that was not used for the longest time
is dropped first. :class:`~lbcompanion.bounded_cache.BoundedCache` would drop all entries, and all files would be
requested again at once.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from attrs import evolve, field, frozen

from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.requisite_report import Refusal
from lbcompanion.http1.freshness import Lines, StoredHead
from lbcompanion.model import RoutingCookie

#: How long a failure that may pass, such as a timeout, is remembered.
FAILURE_SECONDS = 5.0
#: The approximate memory of an entry without its texts and bytes.
_ENTRY_BYTES = 1024

Cookies = tuple[RoutingCookie, ...]


class FileKey(NamedTuple):
    """The key of a stored file.

    :ivar node: the node that answered for the page.
    :ivar direct: the origin of the node if it is asked without the balancer, else empty. It may answer differently.
    """

    site: str
    node: str
    direct: str
    url: str


@frozen
class CachedFile:
    """The result of the last request for one file.

    :ivar result: the file, or why it cannot be archived.
    :ivar asked_at: when a node last answered for it.
    :ivar head: the head of the response; None if no complete response came.
    :ivar cookies: the cookies with which it was requested.
    :ivar personal: whether it may be used only for pages that were fetched with the same cookies.
    :ivar may_pass: whether it is a failure that may pass, such as a timeout.
    """

    result: Requisite | Refusal = field(repr=False)
    asked_at: float
    head: StoredHead | None = field(default=None, repr=False)
    cookies: Cookies = field(default=(), repr=False)
    personal: bool = False
    may_pass: bool = False

    def is_for(self, cookies: Cookies) -> bool:
        """Whether the result may be used for a page that was fetched with these cookies."""
        return not self.personal or cookies == self.cookies

    def is_usable(self, now: float, fresh_seconds: float) -> bool:
        """Whether the result may be used without a request.

        :param fresh_seconds: the floor: within this time the file is not requested again, whatever its fields say.
        """
        floor = min(FAILURE_SECONDS, fresh_seconds) if self.may_pass else fresh_seconds
        if 0 <= now - self.asked_at < floor:
            return True
        head = self.head
        return not self.may_pass and head is not None and head.may_be_stored() and head.is_fresh(now)

    def conditions(self) -> Lines:
        """Return the fields that validate the file; empty if it has to be requested as a whole."""
        head = self.head
        if head is None or isinstance(self.result, Refusal) or not head.may_be_stored():
            return ()
        return head.conditions()

    def text_bytes(self) -> int:
        """Return the size without the file's own bytes."""
        lines = () if self.head is None else self.head.lines
        written = self.result.head if isinstance(self.result, Requisite) else None
        fields = () if written is None else written.fields
        size = _ENTRY_BYTES + sum(len(name) + len(value) for name, value in (*lines, *fields))
        return size + sum(len(each.name) + len(each.value) for each in self.cookies)


class RequisiteCache:
    """The files of one crawler's sites and nodes.

    :ivar evicted: how many entries were dropped because the cache was full.
    :param max_bytes: how much it holds, about; 0: nothing is kept.
    :param max_files: how many entries it has.
    """

    def __init__(self, max_bytes: int, max_files: int) -> None:
        self._max_bytes = max_bytes
        self._max_files = max_files
        self._entries: OrderedDict[FileKey, CachedFile] = OrderedDict()
        #: The bytes of each digest, and how many entries have it.
        self._bodies: dict[bytes, tuple[bytes, int]] = {}
        self._bytes = 0
        self.evicted = 0

    def get(self, key: FileKey) -> CachedFile | None:
        """Return what is known about a file, usable or not."""
        known = self._entries.get(key)
        if known is not None:
            self._entries.move_to_end(key)
        return known

    def put(self, key: FileKey, known: CachedFile) -> CachedFile:
        """Keep an entry in place of the one before.

        :returns: the entry; its bytes are those that another entry with the same digest has.
        """
        self._drop(key)
        result = known.result
        if isinstance(result, Requisite):
            held = self._bodies.get(result.sha256)
            if held is not None:
                known = evolve(known, result=evolve(result, body=held[0]))
        if self._size(key, known) > self._max_bytes // 4:
            return known
        self._add(key, known)
        while self._bytes > self._max_bytes or len(self._entries) > self._max_files:
            self._drop(next(iter(self._entries)))
            self.evicted += 1
        return known

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
        self._bodies.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def total_bytes(self) -> int:
        """The approximate number of bytes in memory."""
        return self._bytes

    def _size(self, key: FileKey, known: CachedFile) -> int:
        result = known.result
        body = len(result.body) if isinstance(result, Requisite) and result.sha256 not in self._bodies else 0
        return body + len(key.url) + known.text_bytes()

    def _add(self, key: FileKey, known: CachedFile) -> None:
        self._bytes += self._size(key, known)
        self._entries[key] = known
        result = known.result
        if isinstance(result, Requisite):
            body, count = self._bodies.get(result.sha256, (result.body, 0))
            self._bodies[result.sha256] = (body, count + 1)

    def _drop(self, key: FileKey) -> None:
        known = self._entries.pop(key, None)
        if known is None:
            return
        result = known.result
        if isinstance(result, Requisite):
            body, count = self._bodies.pop(result.sha256)
            if count > 1:
                self._bodies[result.sha256] = (body, count - 1)
        # The size of a body counts with the last entry that has it.
        self._bytes -= self._size(key, known)
