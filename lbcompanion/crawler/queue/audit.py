"""The audit log: who did what at the admin listener, in a table that all crawlers of a queue share.

It has pseudonyms of visitors, never values of cookies. When a recording is erased, its lines lose the pseudonym.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import asdict, frozen
from sqlalchemy import String, delete, insert, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import AUDIT, RECORDINGS

ALLOWED, REFUSED, FAILED = "allowed", "refused", "failed"
#: The columns that a listing can be filtered by.
FILTERS = ("user", "how", "address", "action", "result", "token", "visitor")

_DAY_SECONDS = 86400.0
#: How many lines one transaction prunes.
_PRUNED_AT_ONCE = 5000
#: Fewer than the parameters that SQLite allows in one statement.
_LIST_SIZE = 500
_LENGTHS = {column.name: column.type.length for column in AUDIT.c if isinstance(column.type, String)}


@frozen
class AuditLine:
    """One line.

    :ivar user: who did it; empty if that is not known.
    :ivar how: how the user was authenticated: ``password``, ``token``, ``proxy``, ``command`` or ``open``; or empty.
    :ivar address: from where.
    :ivar action: such as ``view page`` or ``log-in``.
    :ivar result: ``allowed``, ``refused`` (by the role, or by the pace of log-ins) or ``failed``.
    :ivar token: of the recording, or empty.
    :ivar visitor: the pseudonym of the visitor whose walk it is, or empty; else it is the one of the recording.
    :ivar detail: further words; never a value that identifies a visitor.
    """

    user: str
    how: str
    address: str
    action: str
    result: str = ALLOWED
    token: str = ""
    visitor: str = ""
    detail: str = ""


class AuditLog:
    """The audit log, over the crawler's database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, line: AuditLine, now: float) -> int:
        """Write a line, with the pseudonym of the recording's visitor, and return its number.

        :raises BacklogError: if it is not written.
        """
        values: dict[str, Any] = {name: _fitting(value, _LENGTHS[name]) for name, value in asdict(line).items()}
        with self._database.change() as connection:
            visitor = values["visitor"] or None
            if line.token and not visitor:
                query = select(RECORDINGS.c.visitor).where(RECORDINGS.c.token == values["token"])
                visitor = connection.execute(query).scalar() or None
            values |= {"at": now, "token": values["token"] or None, "visitor": visitor}
            key = connection.execute(insert(AUDIT).values(values)).inserted_primary_key
        return int(key[0]) if key else 0

    def describe(self, number: int, detail: str) -> None:
        """Replace the detail of a line.

        :raises BacklogError: if it is not written.
        """
        value = _fitting(detail, _LENGTHS["detail"])
        with self._database.change() as connection:
            connection.execute(update(AUDIT).where(AUDIT.c.id == number).values(detail=value))

    def entries(
        self, limit: int, before_id: int | None = None, filters: Mapping[str, str] | None = None
    ) -> list[dict[str, Any]]:
        """Return lines, newest first.

        :param before_id: only lines with a smaller number.
        :param filters: values of :data:`FILTERS`; an empty one does not filter.
        """
        query = select(AUDIT).order_by(AUDIT.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(AUDIT.c.id < before_id)
        for name, value in (filters or {}).items():
            if value:
                query = query.where(AUDIT.c[name] == value)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query).all()]

    def prune(self, days: float, now: float) -> int:
        """Delete lines that are older than some days, and return how many; 0 days keep all."""
        if not days:
            return 0
        deleted, count = 0, _PRUNED_AT_ONCE
        old = select(AUDIT.c.id).where(AUDIT.c.at < now - days * _DAY_SECONDS).order_by(AUDIT.c.at)
        while count == _PRUNED_AT_ONCE:
            with self._database.change() as connection:
                ids = connection.execute(old.limit(_PRUNED_AT_ONCE)).scalars().all()
                count = len(ids)
                for part in _lists(ids):
                    connection.execute(delete(AUDIT).where(AUDIT.c.id.in_(part)))
            deleted += count
        return deleted


def forget_visitors(connection: Connection, tokens: Sequence[str], visitors: Sequence[str]) -> None:
    """Remove the pseudonyms of visitors whose recordings are erased. The lines stay, with the token of the recording.

    :param tokens: of the recordings.
    :param visitors: pseudonyms that are erased as a whole.
    """
    for column, values in ((AUDIT.c.token, tokens), (AUDIT.c.visitor, visitors)):
        for part in _lists(values):
            where = column.in_(part), AUDIT.c.visitor.is_not(None)
            connection.execute(update(AUDIT).where(*where).values(visitor=None))


def _fitting(text: str, length: int | None) -> str:
    """Return a text that every database accepts: without control characters, and not too long for its column."""
    shown = "".join(each if each.isprintable() else "?" for each in text)
    return shown.encode("utf-8", "replace").decode()[:length]


def _lists(values: Iterable[Any]) -> Iterable[Sequence[Any]]:
    found = list(values)
    return (found[start : start + _LIST_SIZE] for start in range(0, len(found), _LIST_SIZE))
