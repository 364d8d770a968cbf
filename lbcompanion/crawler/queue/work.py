"""Gives the scheduler its work: all due notices of the only crawler, or claims at a shared queue.

At a shared queue a crawler claims each notice before it works on it. A claim holds for a time, its *lease*, which the
crawler renews while it works. When the lease has ended, because the crawler died or was stopped for a while, another
crawler may claim the notice. Every change of a notice checks the claim, so a crawler that lost it can no longer end or
archive the notice.
"""

from __future__ import annotations

import random
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

from attrs import frozen
from sqlalchemy import ColumnElement, Select, func, or_, select, union_all, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.backlog import NO_CLAIM, NOTICES, Backlog, PendingNotice, pending_notice
from lbcompanion.crawler.queue.database import CLAIMING, Database, database_clock
from lbcompanion.crawler.queue.schema import LOSSES, RECORDINGS, TURNS

#: A lease that began this many seconds in the future does not count: the database's clock was set back.
_CLOCK_SLACK_SECONDS = 5.0
#: Notices are never postponed for longer; one that is due later was postponed by a clock that was wrong.
MAX_PAUSE_SECONDS = 600.0
#: For how many seconds the nodes of open notices are remembered.
_NODES_SECONDS = 1.0
#: How many nodes are read at a time.
_MAX_READ_NODES = 200
#: How many nodes one claim searches while others are busy.
_MAX_NODES = 16
#: How often one claim looks for notices, because nodes may turn out to be busy.
_MAX_LOOKS = 4
#: The wait, in seconds, if another crawler claims at this moment.
_TURN_SECONDS = 0.02
#: The wait, in seconds, if other crawlers keep the nodes busy.
_BUSY_SECONDS = 0.2
#: The wait, in seconds, while this crawler does not hold its name.
_NO_NAME_SECONDS = 0.5


@frozen
class TakenNotices:
    """Notices that a crawler may work on now.

    :ivar again_seconds: when to try again, where there was more that could not be taken; None: when something changes.
    :ivar is_node_full: whether a node has as many claimed notices as ``per_node`` allows.
    """

    jobs: tuple[PendingNotice, ...]
    again_seconds: float | None = None
    is_node_full: bool = False


class WorkSource(Protocol):
    """The source of the scheduler's work; blocking.

    :ivar poll_seconds: how long to wait at most for news of other crawlers; None if there are none.
    :ivar pause_seconds: the least time between two calls of :meth:`take`, so that one transaction claims several.
    """

    poll_seconds: float | None
    pause_seconds: float

    def take(self, now: float, limit: int, running: Collection[str], full_nodes: Collection[str]) -> TakenNotices:
        """Take due notices, longest waiting first.

        :param running: tokens of notices that this crawler works on.
        :param full_nodes: origin nodes whose notices have to wait.
        """
        ...

    def give_back(self, tokens: Collection[str]) -> None:
        """Give back notices that were taken and will not be worked on now."""
        ...


class UnsharedQueue:
    """The work of the only crawler of a queue: all due notices. It needs no claims."""

    poll_seconds: float | None = None
    pause_seconds = 0.0

    def __init__(self, backlog: Backlog) -> None:
        self._backlog = backlog

    def take(self, now: float, limit: int, running: Collection[str], full_nodes: Collection[str]) -> TakenNotices:
        """Take due notices; nothing is written."""
        return TakenNotices(tuple(self._backlog.due(now, limit, running, full_nodes)))

    def give_back(self, tokens: Collection[str]) -> None:
        """Nothing was claimed."""


class SharedQueue:
    """Claims at a queue that several crawlers share.

    :param name: the crawler's name.
    :param per_node: how many notices of one origin node may be worked on at a time, by all crawlers together.
    :param lease_seconds: how long a claim holds without being renewed.
    :param clock: returns the time of the database's clock.
    :param sites: the names of this crawler's sites; None: all. Notices of other sites are for other crawlers.
    :param give_up_after_seconds: how old a notice of another site is that is claimed nevertheless, because no crawler
        has the site.
    :ivar claimant: the name of this run of the crawler, in its claims; a later run has another one.
    """

    poll_seconds: float | None = 5.0
    pause_seconds = 0.05

    def __init__(
        self,
        database: Database,
        name: str,
        per_node: int,
        lease_seconds: float,
        clock: Callable[[Connection], float] = database_clock,
        sites: Collection[str] | None = None,
        give_up_after_seconds: float = 0.0,
    ) -> None:
        self._sites = None if sites is None else sorted({"", *sites})
        self._give_up_after_seconds = give_up_after_seconds
        self.claimant = f"{name}/{secrets.token_hex(8)}"
        self._database = database
        self._name = name
        self._per_node = per_node
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._nodes: set[str] = set()
        self._nodes_read_at = float("-inf")
        self._last_node = ""
        #: Whether this crawler holds its name at the queue; without it nothing may be claimed.
        self.may_claim: Callable[[], bool] = lambda: True

    def take(self, now: float, limit: int, running: Collection[str], full_nodes: Collection[str]) -> TakenNotices:
        """Claim due notices.

        One crawler at a time claims, so that the counts of the nodes are exact. The others do not wait meanwhile,
        because a crawler may be stopped at this moment.
        """
        if not self.may_claim():
            return TakenNotices((), _NO_NAME_SECONDS)
        with self._database.change() as connection:
            # If the server loses this transaction in a crash, no page is lost. So it need not be synced.
            turn = select(TURNS.c.name, *_without_sync(connection)).where(TURNS.c.name == CLAIMING)
            turn = turn.with_for_update(skip_locked=True)
            if connection.execute(turn).first() is None:
                return TakenNotices((), _TURN_SECONDS)
            time = self._clock(connection)
            due = self._of_own_sites(_due(now, time, running, full_nodes), now)
            rows, held_up = self._free_rows(connection, time, due, limit)
            if not rows:
                return TakenNotices((), _BUSY_SECONDS if held_up else None, held_up)
            claim = {"claimed_by": self.claimant, **self._lease(time)}
            ids = [row.id for row in rows]
            connection.execute(update(RECORDINGS).where(RECORDINGS.c.id.in_(ids)).values(claim))
            lost = _losses(connection, [row.token for row in rows])
        jobs = tuple(pending_notice(row, lost.get(row.token)) for row in rows)
        return TakenNotices(jobs, _BUSY_SECONDS if held_up else None, held_up)

    def _of_own_sites(self, due: Select[Any], now: float) -> Select[Any]:
        if self._sites is None:
            return due
        is_old = RECORDINGS.c.received_at <= now - self._give_up_after_seconds
        return due.where(or_(RECORDINGS.c.site.in_(self._sites), is_old))

    def _lease(self, time: float) -> dict[str, float]:
        return {"claimed_at": time, "lease_until": time + self._lease_seconds}

    def _free_rows(self, connection: Connection, time: float, due: Select[Any], limit: int) -> tuple[list[Any], bool]:
        """Lock due notices that nobody works on, of nodes that have room.

        :returns: the rows, and whether a node without room held up others.
        """
        busy = self._busy_nodes(connection, time)
        full = {node for node, count in busy.items() if count >= self._per_node}
        rows: list[Any] = []
        held_up = bool(full)
        for _ in range(_MAX_LOOKS):
            query = due.where(RECORDINGS.c.id.not_in([row.id for row in rows])) if rows else due
            if full:
                nodes = self._open_nodes(connection, time) - full
                query = query.where(RECORDINGS.c.id.in_(_first_of_nodes(connection, query, nodes, limit - len(rows))))
            found = connection.execute(query.limit(limit - len(rows)).with_for_update(skip_locked=True)).all()
            for row in found:
                if busy[row.origin_node] < self._per_node:
                    busy[row.origin_node] += 1
                    rows.append(row)
                else:
                    full.add(row.origin_node)
                    held_up = True
            if len(rows) >= limit or not found:
                break
        return rows, held_up

    def _open_nodes(self, connection: Connection, time: float) -> set[str]:
        """Return nodes that have open notices, as of a short time ago.

        Of more than :data:`_MAX_READ_NODES` these are some, and others the next time. Each node is one step in an
        index, however many notices it has.
        """
        if self._nodes_read_at <= time < self._nodes_read_at + _NODES_SECONDS:
            return self._nodes
        node = RECORDINGS.c.origin_node
        following = select(node).where(RECORDINGS.c.outcome.is_(None)).order_by(node).limit(1)
        self._nodes, self._nodes_read_at = set(), time
        for _ in range(_MAX_READ_NODES):
            found = connection.execute(following.where(node > self._last_node)).scalar()
            found = found or connection.execute(following).scalar()
            if found is None or found in self._nodes:
                break
            self._nodes.add(found)
            self._last_node = found
        return self._nodes

    @staticmethod
    def _busy_nodes(connection: Connection, time: float) -> Counter[str]:
        """Count the notices of each origin node that any crawler works on."""
        query = (
            select(RECORDINGS.c.origin_node, func.count())
            .where(RECORDINGS.c.lease_until > time, RECORDINGS.c.claimed_at <= time + _CLOCK_SLACK_SECONDS)
            .group_by(RECORDINGS.c.origin_node)
        )
        return Counter({row[0]: row[1] for row in connection.execute(query).all()})

    def renew(self, running: Collection[str]) -> set[str]:
        """Renew the leases of running jobs, and give back claims of jobs that do not run.

        A job may not run although its notice is claimed: the answer of a transaction may have been lost. A claim whose
        lease has ended is renewed if its node has room: other crawlers may have claimed other notices of the node.

        :returns: the tokens of the running jobs that are no longer this crawler's.
        """
        tokens = sorted(running)
        own = RECORDINGS.c.claimed_by == self.claimant
        with self._database.change() as connection:
            time = self._clock(connection)
            held: set[str] = set()
            if tokens:
                columns = RECORDINGS.c.token, RECORDINGS.c.origin_node, RECORDINGS.c.lease_until
                query = select(*columns).where(own, RECORDINGS.c.token.in_(tokens)).with_for_update()
                rows = connection.execute(query).all()
                ended = [row for row in rows if row.lease_until <= time]
                late, without_room = self._split(connection, time, ended) if ended else (set(), set())
                held = {row.token for row in rows} - without_room
                renewed = own, RECORDINGS.c.token.in_(sorted(held - late))
                connection.execute(update(RECORDINGS).where(*renewed).values(self._lease(time)))
                given_back = own, RECORDINGS.c.token.in_(sorted(without_room))
                if without_room:
                    connection.execute(update(RECORDINGS).where(*given_back).values(NO_CLAIM))
            # Recent claims may belong to jobs that begin just now.
            is_old = RECORDINGS.c.claimed_at < time - self._lease_seconds / 3
            forgotten = own, RECORDINGS.c.lease_until.is_not(None), RECORDINGS.c.token.not_in(tokens), is_old
            connection.execute(update(RECORDINGS).where(*forgotten).values(NO_CLAIM))
            # A crawler whose clock was set back meanwhile has postponed these until after any pause.
            far = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > time + MAX_PAUSE_SECONDS
            connection.execute(update(RECORDINGS).where(*far).values(next_at=time))
        return set(tokens) - held

    def _split(self, connection: Connection, time: float, ended: list[Any]) -> tuple[set[str], set[str]]:
        """Decide about claims whose leases have ended.

        :returns: those that cannot be renewed now, because another crawler claims at this moment; and those whose node
            has no room for them.
        """
        turn = select(TURNS.c.name).where(TURNS.c.name == CLAIMING).with_for_update(skip_locked=True)
        if connection.execute(turn).first() is None:
            return {row.token for row in ended}, set()
        busy = self._busy_nodes(connection, time)
        without_room: set[str] = set()
        for row in ended:
            if busy[row.origin_node] < self._per_node:
                busy[row.origin_node] += 1
            else:
                without_room.add(row.token)
        return set(), without_room

    def give_back(self, tokens: Collection[str]) -> None:
        """Give back claims."""
        own = RECORDINGS.c.claimed_by == self.claimant, RECORDINGS.c.token.in_(sorted(tokens))
        with self._database.change() as connection:
            connection.execute(update(RECORDINGS).where(*own).values(NO_CLAIM))

    def give_back_all(self) -> None:
        """Give back all claims of this run of the crawler."""
        self._free(RECORDINGS.c.claimed_by == self.claimant)

    def give_back_of_earlier_runs(self) -> None:
        """Give back the claims of earlier runs of this crawler; the caller makes sure that they have ended."""
        self._free(RECORDINGS.c.claimed_by.startswith(f"{self._name}/", autoescape=True))

    def _free(self, which: ColumnElement[bool]) -> None:
        claimed = which, RECORDINGS.c.lease_until.is_not(None)
        with self._database.change() as connection:
            connection.execute(update(RECORDINGS).where(*claimed).values(NO_CLAIM))
            self._database.notify(connection, NOTICES)


def _due(now: float, time: float, running: Collection[str], full_nodes: Collection[str]) -> Select[Any]:
    """The query for due notices that nobody works on."""
    query = (
        select(RECORDINGS)
        .where(RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at <= now, _is_free(time))
        .order_by(RECORDINGS.c.next_at, RECORDINGS.c.id)
    )
    for column, without in ((RECORDINGS.c.token, running), (RECORDINGS.c.origin_node, full_nodes)):
        query = query.where(column.not_in(sorted(without))) if without else query
    return query


def _first_of_nodes(connection: Connection, due: Select[Any], nodes: Collection[str], limit: int) -> list[int]:
    """Return the ids of the first due notices of these nodes, without looking at those of other nodes.

    A node without room may have a million due notices before them.
    """
    chosen = sorted(nodes) if len(nodes) <= _MAX_NODES else random.sample(sorted(nodes), _MAX_NODES)
    columns = RECORDINGS.c.id, RECORDINGS.c.next_at
    firsts = [
        select(due.where(RECORDINGS.c.origin_node == node).with_only_columns(*columns).limit(limit).subquery())
        for node in chosen
    ]
    if not firsts:
        return []
    found = union_all(*firsts).subquery()
    query = select(found.c.id).order_by(found.c.next_at, found.c.id).limit(limit)
    return list(connection.execute(query).scalars())


def _is_free(time: float) -> ColumnElement[bool]:
    """Whether nobody works on a notice: there is no claim, its lease has ended, or the clock was set back since."""
    return or_(
        RECORDINGS.c.claimed_by.is_(None),
        RECORDINGS.c.lease_until <= time,
        RECORDINGS.c.claimed_at > time + _CLOCK_SLACK_SECONDS,
    )


def _without_sync(connection: Connection) -> tuple[ColumnElement[Any], ...]:
    """The columns of a query that let its transaction end before it is on the disk."""
    is_postgresql = connection.dialect.name == "postgresql"
    return (func.set_config("synchronous_commit", "off", True),) if is_postgresql else ()


def _losses(connection: Connection, tokens: Collection[str]) -> Mapping[str, str]:
    query = select(LOSSES.c.token, LOSSES.c.reason).where(LOSSES.c.token.in_(list(tokens)))
    return {row.token: row.reason for row in connection.execute(query).all()}
