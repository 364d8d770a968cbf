"""Turns at a shared queue: what only one crawler at a time should do. A turn ends by itself after a while."""

from __future__ import annotations

from sqlalchemy import or_, update

from lbcompanion.crawler.queue.database import Database, database_clock, insert_new
from lbcompanion.crawler.queue.schema import TURNS


class Turns:
    """The turns of one crawler.

    :param claimant: the name of this run of the crawler.
    """

    def __init__(self, database: Database, claimant: str) -> None:
        self._database = database
        self._claimant = claimant

    def take(self, name: str, seconds: float) -> bool:
        """Take a turn for a while, unless another crawler has it; returns whether it was taken."""
        with self._database.change() as connection:
            insert_new(connection, TURNS, [{"name": name}])
            now = database_clock(connection)
            # A turn held for longer than this one would be: the database's clock was set back.
            over = or_(TURNS.c.held_until.is_(None), TURNS.c.held_until <= now, TURNS.c.held_until > now + 2 * seconds)
            may = TURNS.c.name == name, or_(over, TURNS.c.holder == self._claimant)
            values = {"holder": self._claimant, "held_until": now + seconds}
            return connection.execute(update(TURNS).where(*may).values(values)).rowcount == 1

    def end(self, name: str) -> None:
        """End a turn before its time, if this crawler has it."""
        own = TURNS.c.name == name, TURNS.c.holder == self._claimant
        with self._database.change() as connection:
            connection.execute(update(TURNS).where(*own).values(holder=None, held_until=None))
