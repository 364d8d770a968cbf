"""Counts what happens to pages, minute by minute, for the pictures of the dashboard.

The counts are kept in memory and written to the queue's database every few seconds. They hold no page, address or
visitor: an erasure does not change them.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock

from attrs import Factory, define, frozen

#: The length of the buckets that are counted, in seconds.
STEP_SECONDS = 60
#: Upper limits of the delays that are counted apart, in seconds.
DELAY_LIMITS = (1, 10, 60, 600)
_MAX_REASON = 120

SEEN, ARCHIVED, LOST = "seen", "archived", "lost"


@frozen
class Bucket:
    """The pages that are counted together.

    :ivar at: where it begins, in seconds since the epoch.
    :ivar step: its length in seconds.
    :ivar outcome: ``seen``, ``archived`` or ``lost``.
    :ivar reason: why pages were lost; otherwise empty.
    """

    at: int
    step: int
    node: str
    outcome: str
    reason: str = ""


@define
class Counts:
    """The pages of a bucket.

    :ivar attempts: requests for these pages.
    :ivar bytes: of the archived pages.
    :ivar delay: from the views to the archive, in seconds, in sum.
    :ivar within: pages whose delay was within each of :data:`DELAY_LIMITS`.
    """

    pages: int = 0
    attempts: int = 0
    bytes: int = 0
    delay: float = 0.0
    within: list[int] = Factory(lambda: [0] * len(DELAY_LIMITS))

    def add(self, more: Counts) -> None:
        """Add those of another bucket."""
        self.pages += more.pages
        self.attempts += more.attempts
        self.bytes += more.bytes
        self.delay += more.delay
        self.within = [one + other for one, other in zip(self.within, more.within, strict=True)]


class Activity:
    """Counts pages until :meth:`take` takes the counts away. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[Bucket, Counts] = {}

    def seen(self, node: str, now: float) -> None:
        """Count a page that was viewed: its first notice has come."""
        self._add(_bucket(now, node, SEEN), Counts(pages=1))

    def archived(self, node: str, now: float, *, viewed_at: float, attempts: int, size: int) -> None:
        """Count an archived page."""
        delay = max(0.0, now - viewed_at)
        within = [int(delay <= limit) for limit in DELAY_LIMITS]
        self._add(_bucket(now, node, ARCHIVED), Counts(1, attempts, size, delay, within))

    def lost(self, node: str, now: float, *, reason: str, attempts: int) -> None:
        """Count a lost page; ``reason`` is one of a few."""
        self._add(_bucket(now, node, LOST, reason[:_MAX_REASON]), Counts(1, attempts))

    def take(self) -> Mapping[Bucket, Counts]:
        """Return what was counted since the last call."""
        with self._lock:
            taken, self._counts = self._counts, {}
        return taken

    def give_back(self, counts: Mapping[Bucket, Counts]) -> None:
        """Count again what was taken, because it could not be written."""
        for bucket, each in counts.items():
            self._add(bucket, each)

    def _add(self, bucket: Bucket, counts: Counts) -> None:
        with self._lock:
            self._counts.setdefault(bucket, Counts()).add(counts)


def _bucket(now: float, node: str, outcome: str, reason: str = "") -> Bucket:
    return Bucket(int(now) // STEP_SECONDS * STEP_SECONDS, STEP_SECONDS, node, outcome, reason)
