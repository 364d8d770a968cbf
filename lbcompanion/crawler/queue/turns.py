"""Turns at a shared queue, and pauses of a site.

A turn lets one crawler at a time do something, such as probing a site for routes. All crawlers keep a pause. Both end
by themselves after a number of seconds.
"""

from __future__ import annotations

from sqlalchemy import or_, select, update

from lbcompanion.crawler.queue.database import Database, database_clock, insert_new
from lbcompanion.crawler.queue.schema import TURNS

#: What other crawlers are notified of.
PAUSED = "paused"
_PAUSE = "pause of "


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

    def end_all(self) -> None:
        """End all turns of this crawler, which stops."""
        with self._database.change() as connection:
            own = update(TURNS).where(TURNS.c.holder == self._claimant)
            connection.execute(own.values(holder=None, held_until=None))

    def pause(self, site: str, seconds: float) -> None:
        """Let all crawlers pause their requests to a site for at least ``seconds``."""
        with self._database.change() as connection:
            insert_new(connection, TURNS, [{"name": f"{_PAUSE}{site}"}])
            until = database_clock(connection) + seconds
            shorter = or_(TURNS.c.held_until.is_(None), TURNS.c.held_until < until)
            connection.execute(update(TURNS).where(TURNS.c.name == f"{_PAUSE}{site}", shorter).values(held_until=until))
            self._database.notify(connection, PAUSED)

    def pauses(self) -> dict[str, float]:
        """Return for how many seconds each site is still paused."""
        with self._database.read() as connection:
            now = database_clock(connection)
            query = select(TURNS).where(TURNS.c.name.startswith(_PAUSE), TURNS.c.held_until > now)
            return {row.name.removeprefix(_PAUSE): row.held_until - now for row in connection.execute(query).all()}
