"""Database queries for the recording that is shown for an address, and for the places of a payload."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, or_, select

from lbcompanion.crawler.archive.export import hex_digest
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.url_keys import url_key
from lbcompanion.crawler.replay.recorded_files import FileRecord
from lbcompanion.model import Verdict, from_rfc3339

#: A time in a record has microseconds; the database's column is a floating-point number.
_SAME_TIME = 0.001
#: How many recordings before, and how many after, may show a file that a recording lacks.
_NEIGHBOURS = 2

_columns = RECORDINGS.c
_SHOWN = (_columns.outcome == Verdict.ARCHIVED.value, _columns.erasure.is_(None), _columns.captured_at.is_not(None))
#: Rows of earlier versions have no method.
_IS_GET = or_(_columns.method.is_(None), _columns.method.in_(("", "GET", "HEAD")))


@frozen
class Near:
    """A recording near another one.

    :ivar node: whose copy it is.
    """

    token: str
    captured_at: float
    node: str
    file: str
    offset: int


class Nearest:
    """Finds recordings. Its methods block; they run on the thread of the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def recording(self, url: str, row: Any) -> Near | None:
        """Return the recording of an address that is nearest in time to a recording.

        One of the same visitor comes before one of the same node, and this before any other. Pages that were answered
        to another method than GET come after all others.

        :param url: without a fragment.
        :param row: the recording from which the address is looked up.
        """
        at = row["captured_at"]
        if at is None:
            return None
        address = self._address(url)
        preferred: list[tuple[ColumnElement[bool], ...]] = [()]
        if row["answered_by"]:
            preferred.insert(0, (_columns.answered_by == row["answered_by"],))
        if row["visitor"]:
            preferred.insert(0, (_columns.visitor == row["visitor"],))
        for methods in ((_IS_GET,), ()):
            for conditions in preferred:
                if found := self._near((*address, *methods, *conditions), at):
                    return found
        return None

    @staticmethod
    def _address(url: str) -> tuple[ColumnElement[bool], ...]:
        return _columns.url_key == url_key(url), _columns.page_url == url

    def _near(self, conditions: tuple[ColumnElement[bool], ...], at: float) -> Near | None:
        before = _columns.captured_at <= at, _columns.captured_at.desc()
        after = _columns.captured_at > at, _columns.captured_at
        rows: list[Any] = []
        with self._database.read() as connection:
            for side, order in (before, after):
                query = select(RECORDINGS).where(*_SHOWN, *conditions, side).order_by(order, _columns.id).limit(1)
                rows += connection.execute(query).all()
        if not rows:
            return None
        return _near_of(min(rows, key=lambda each: abs(each.captured_at - at)))

    def neighbours(self, row: Any) -> list[Near]:
        """Return the recordings right before and after one in its archive file, those of its node first."""
        own = *_SHOWN, _columns.warc_file == row["warc_file"], _columns.site == row["site"]
        offset = _columns.warc_offset
        sides = (offset < row["warc_offset"], offset.desc()), (offset > row["warc_offset"], offset)
        rows: list[Any] = []
        with self._database.read() as connection:
            for side, order in sides:
                query = select(RECORDINGS).where(*own, side).order_by(order).limit(_NEIGHBOURS)
                rows += connection.execute(query).all()
        at, node = row["captured_at"], row["answered_by"]
        return [_near_of(each) for each in sorted(rows, key=lambda x: (x.answered_by != node, abs(x.captured_at - at)))]

    def pages_with(self, archive_file: str, file: FileRecord) -> list[int]:
        """Return the offsets of the pages among whose records the payload of a revisit may be."""
        try:
            at = from_rfc3339(file.first_date)
        except ValueError:
            return []
        of_time = _columns.captured_at.between(at - _SAME_TIME, at + _SAME_TIME)
        has_bytes = _columns.sha256 == hex_digest(file.digest) if hex_digest(file.digest) else of_time
        query = (
            select(_columns.warc_offset)
            .where(_columns.warc_file == archive_file, or_(of_time, has_bytes), _columns.warc_offset.is_not(None))
            .order_by(_columns.warc_offset)
            .limit(20)
        )
        with self._database.read() as connection:
            return list(connection.execute(query).scalars())


def _near_of(row: Any) -> Near:
    return Near(row.token, row.captured_at, row.answered_by, row.warc_file, row.warc_offset)
