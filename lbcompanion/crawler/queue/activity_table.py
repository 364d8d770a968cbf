"""The table of counts over time: minutes for two days, hours after that."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from lbcompanion.crawler.activity import DELAY_LIMITS, STEP_SECONDS, Bucket, Counts
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import ACTIVITY

#: How long minutes are kept apart, in seconds.
MINUTES_SECONDS = 2 * 86400
HOUR_SECONDS = 3600
#: How long hours are kept, in seconds.
HOURS_SECONDS = 400 * 86400

_WITHIN = tuple(ACTIVITY.c[f"within_{limit}"] for limit in DELAY_LIMITS)
_VALUES = (ACTIVITY.c.pages, ACTIVITY.c.attempts, ACTIVITY.c.bytes, ACTIVITY.c.delay, *_WITHIN)
_KEY = (ACTIVITY.c.at, ACTIVITY.c.step, ACTIVITY.c.crawler, ACTIVITY.c.node, ACTIVITY.c.outcome, ACTIVITY.c.reason)


class ActivityTable:
    """The counts of all crawlers that use a queue.

    :param crawler: the name of this one, which writes rows of its own.
    """

    def __init__(self, database: Database, crawler: str) -> None:
        self._database = database
        self._crawler = crawler

    def add(self, counts: Mapping[Bucket, Counts], now: float) -> None:
        """Add counts; of minutes that are no longer kept apart, their hours are counted.

        :raises BacklogError: if the database fails; nothing is added then.
        """
        oldest_minute = self._oldest_minute(now)
        with self._database.change() as connection:
            for bucket, each in counts.items():
                at, step = bucket.at, bucket.step
                if at < oldest_minute:
                    at, step = at // HOUR_SECONDS * HOUR_SECONDS, HOUR_SECONDS
                self._add(connection, (at, step, self._crawler, bucket.node, bucket.outcome, bucket.reason), each)

    def fold(self, now: float) -> None:
        """Turn minutes that are old enough into hours, and forget hours that are too old.

        :raises BacklogError: if the database fails.
        """
        mine = ACTIVITY.c.crawler == self._crawler
        old = (mine, ACTIVITY.c.step == STEP_SECONDS, ACTIVITY.c.at < self._oldest_minute(now))
        with self._database.change() as connection:
            hour = ACTIVITY.c.at - ACTIVITY.c.at % HOUR_SECONDS
            keys = (ACTIVITY.c.node, ACTIVITY.c.outcome, ACTIVITY.c.reason)
            query = select(hour, *keys, *(func.sum(each) for each in _VALUES)).where(*old).group_by(hour, *keys)
            for at, node, outcome, reason, *values in connection.execute(query).all():
                self._add(connection, (at, HOUR_SECONDS, self._crawler, node, outcome, reason), _counts(values))
            connection.execute(delete(ACTIVITY).where(*old))
            # Also of crawlers that do not return.
            connection.execute(delete(ACTIVITY).where(ACTIVITY.c.at < now - HOURS_SECONDS))

    def read(self, since: float, until: float, step: int) -> dict[Bucket, Counts]:
        """Return the counts of all crawlers within a time.

        :param step: the length of the buckets in seconds, a multiple of a minute; of older times, of an hour.
        :raises BacklogError: if the database fails.
        """
        at = ACTIVITY.c.at - ACTIVITY.c.at % step
        keys = (at, ACTIVITY.c.node, ACTIVITY.c.outcome, ACTIVITY.c.reason)
        query = (
            select(*keys, *(func.sum(each) for each in _VALUES))
            .where(ACTIVITY.c.at >= since, ACTIVITY.c.at < until)
            .group_by(*keys)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        return {
            Bucket(int(start), step, *names): _counts(values)
            for start, *rest in rows
            for names, values in [(rest[:3], rest[3:])]
        }

    @staticmethod
    def _oldest_minute(now: float) -> int:
        return int(now - MINUTES_SECONDS) // HOUR_SECONDS * HOUR_SECONDS

    @staticmethod
    def _add(connection: Connection, key: tuple[Any, ...], counts: Counts) -> None:
        given = dict(zip((each.name for each in _VALUES), _values(counts), strict=True))
        where = [column == value for column, value in zip(_KEY, key, strict=True)]
        added = {column.name: column + given[column.name] for column in _VALUES}
        if connection.execute(update(ACTIVITY).where(*where).values(added)).rowcount == 0:
            named = dict(zip((each.name for each in _KEY), key, strict=True))
            connection.execute(insert(ACTIVITY).values({**named, **given}))


def _values(counts: Counts) -> tuple[float, ...]:
    return (counts.pages, counts.attempts, counts.bytes, counts.delay, *counts.within)


def _counts(values: Sequence[Any]) -> Counts:
    pages, attempts, size, delay, *within = values
    return Counts(int(pages), int(attempts), int(size), float(delay), [int(each) for each in within])
