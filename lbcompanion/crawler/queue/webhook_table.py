"""How far each webhook has got the outcomes; all crawlers of a queue share it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from attrs import frozen
from sqlalchemy import select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import Database, database_clock, insert_new
from lbcompanion.crawler.queue.outcomes import Position
from lbcompanion.crawler.queue.schema import WEBHOOKS

_MOST_ERROR = 255


@frozen
class WebhookState:
    """The state of a webhook.

    :ivar position: the last outcome that it has accepted, or that it does not want.
    :ivar failures: how many requests have failed since it last accepted one.
    :ivar wait_seconds: in how long the next request may be sent; 0: now.
    :ivar error: what failed last; empty after a success.
    :ivar succeeded_at: when it last accepted a request, in seconds since the epoch; None: never.
    """

    position: Position
    failures: int = 0
    wait_seconds: float = 0.0
    error: str = ""
    succeeded_at: float | None = None


class WebhookTable:
    """The states of all webhooks. Blocking.

    :param clock: returns the time of the database's clock.
    """

    def __init__(self, database: Database, clock: Callable[[Connection], float] = database_clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, name: str, position: Position) -> None:
        """Add a webhook that is not known yet; it gets the outcomes after a position.

        :raises BacklogError: if the database fails.
        """
        first = {"name": name, "queue": position.queue, "number": position.number}
        with self._database.change() as connection:
            insert_new(connection, WEBHOOKS, [{**first, "failures": 0, "next_at": 0.0, "error": ""}])

    def states(self, names: Collection[str]) -> dict[str, WebhookState]:
        """Return the states of webhooks.

        :raises BacklogError: if the database fails.
        """
        with self._database.read() as connection:
            rows = connection.execute(select(WEBHOOKS).where(WEBHOOKS.c.name.in_(sorted(names)))).all()
            now = self._clock(connection) if rows else 0.0
        return {
            row.name: WebhookState(
                Position(row.queue, int(row.number)),
                row.failures,
                max(0.0, row.next_at - now),
                row.error,
                row.succeeded_at,
            )
            for row in rows
        }

    def accepted(self, name: str, old: Position, new: Position) -> bool:
        """Move a webhook's position on after it accepted a request; return whether it was moved.

        It is not if another crawler has moved it meanwhile.

        :raises BacklogError: if the database fails.
        """
        with self._database.change() as connection:
            success = {"failures": 0, "next_at": 0.0, "error": "", "succeeded_at": self._clock(connection)}
            return _move(connection, name, old, new, success)

    def skipped(self, name: str, old: Position, new: Position) -> bool:
        """Move a webhook's position on because its filters exclude the outcomes between; as :meth:`accepted` does.

        :raises BacklogError: if the database fails.
        """
        with self._database.change() as connection:
            return _move(connection, name, old, new, {})

    def failed(self, name: str, error: str, failures: int, pause_seconds: float) -> None:
        """Note that a request failed, and when the next one may be sent.

        :raises BacklogError: if the database fails.
        """
        with self._database.change() as connection:
            next_at = self._clock(connection) + pause_seconds
            values = {"error": error[:_MOST_ERROR], "failures": failures, "next_at": next_at}
            connection.execute(update(WEBHOOKS).where(WEBHOOKS.c.name == name).values(values))


def _move(connection: Connection, name: str, old: Position, new: Position, more: Mapping[str, object]) -> bool:
    same = WEBHOOKS.c.name == name, WEBHOOKS.c.queue == old.queue, WEBHOOKS.c.number == old.number
    values = {"queue": new.queue, "number": new.number, **more}
    return connection.execute(update(WEBHOOKS).where(*same).values(values)).rowcount == 1
