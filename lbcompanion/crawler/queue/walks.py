"""The walks of visitors through a site: their recordings in the order of the views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import func, select

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.crawler.queue.search import FoundPage, Position, Search

#: In front of every recording.
_BEGINNING = Position(-1e100, 0)


@frozen
class Walk:
    """One visitor's walk, as a whole.

    :ivar pages: how many recordings there are.
    """

    visitor: str
    first_at: float
    last_at: float
    pages: int


@frozen
class Walks:
    """The walks, over the crawler's database."""

    _database: Database
    _search: Search

    def page(
        self, filters: Filters, limit: int, after: Position | None, before: Position | None
    ) -> tuple[list[Walk], FoundPage]:
        """Return the visitors of a page, the one with the last view first, and the page of their last views.

        :param filters: of the last views.
        """
        last = Filters(start=filters.start, end=filters.end, site=filters.site, last_of_visitor=True)
        found = self._search.page(last, limit, after=after, before=before)
        visitors = [row["visitor"] for row in found.rows]
        known = self._walks(visitors)
        return [known[each] for each in visitors if each in known], found

    def walk(self, visitor: str) -> Walk | None:
        """Return a visitor's walk; None if there are no recordings of the visitor."""
        return self._walks([visitor]).get(visitor)

    def _walks(self, visitors: Sequence[str]) -> dict[str, Walk]:
        """Return walks by visitor."""
        viewed_at = RECORDINGS.c.viewed_at
        query = select(RECORDINGS.c.visitor, func.min(viewed_at), func.max(viewed_at), func.count())
        query = query.where(RECORDINGS.c.erasure.is_(None)).group_by(RECORDINGS.c.visitor)
        found: dict[str, Walk] = {}
        with self._database.read() as connection:
            for start in range(0, len(visitors), 500):
                part = query.where(RECORDINGS.c.visitor.in_(visitors[start : start + 500]))
                found |= {row[0]: Walk(*row) for row in connection.execute(part).all()}
        return found

    def steps(
        self, visitor: str, limit: int, after: Position | None = None, before: Position | None = None
    ) -> FoundPage:
        """Return the recordings of a walk in the order of the views.

        :returns: ``next`` is where the later ones begin, ``previous`` where the earlier ones end.
        """
        of_visitor = Filters(visitors=(visitor,))
        # A page of the listing, from its end.
        if before is not None:
            found = self._search.page(of_visitor, limit, after=before)
        else:
            found = self._search.page(of_visitor, limit, before=after or _BEGINNING)
        previous = found.next if after is not None or before is not None else None
        return FoundPage(found.rows[::-1], found.previous, previous)

    def neighbours(self, row: Any) -> tuple[str | None, str | None]:
        """Return the tokens of the visitor's recordings before and after a recording; None at an end of the walk."""
        if not row["visitor"]:
            return None, None
        at = Position(row["viewed_at"], row["id"])
        of_visitor = Filters(visitors=(row["visitor"],))
        earlier = self._search.page(of_visitor, 1, after=at).rows
        later = self._search.page(of_visitor, 1, before=at).rows
        return earlier[0]["token"] if earlier else None, later[0]["token"] if later else None
