"""The durable backlog: every notice from its intake to its outcome.

A method's changes are durable when it returns. Nothing here knows HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from time import monotonic
from typing import Any

from attrs import field, frozen
from sqlalchemy import ColumnElement, bindparam, delete, func, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import BacklogError, Database, insert_new, insert_new_keys
from lbcompanion.crawler.queue.outcomes import note_outcome
from lbcompanion.crawler.queue.schema import LOSSES, RECORDINGS
from lbcompanion.crawler.queue.url_keys import url_key
from lbcompanion.model import Attempt, Loss, LossReason, Notice, RouteKind, RoutingCookie, Verdict

#: Most attempts stored for one notice: its first and its last ones.
_MAX_FIRST_ATTEMPTS, _MAX_LAST_ATTEMPTS = 10, 40
#: Seconds for which a loss is stored, and the most losses stored. The notice may come later than the loss: a page may
#: lie in a browser's back-forward cache, and a notice in a node's spool.
LOSS_SECONDS = 86400.0
MAX_LOSSES = 100_000
_BATCH_SIZE = 500
#: The word that wakes other crawlers: notices came in, or became due.
NOTICES = "notices"
#: The columns of a claim, for a notice that no crawler works on.
NO_CLAIM: Mapping[str, Any] = {"claimed_by": None, "claimed_at": None, "lease_until": None}

#: While the slots of some nodes are taken: how many due notices are searched for those of other nodes, and how often
#: at most all of them are searched.
_FIRST_DUE, _SEARCH_SECONDS = 2000, 5.0

#: This many notices are not counted at once again, but after that many times as long as it took.
_MANY_NOTICES, _COUNT_EVERY = 50_000, 100

#: A row whose records wait to be removed from the archive is not shown any more.
_NOT_ERASED = RECORDINGS.c.erasure.is_(None)

#: Conditions of a query.
Where = tuple[ColumnElement[bool], ...]


class AlreadyEnded(BacklogError):
    """The notice already has its outcome, does not exist, or is claimed by another crawler."""


@frozen
class Arrival:
    """A notice that the intake accepted.

    :ivar owner: the node that the token names.
    :ivar site: the site's name; empty if no site matches.
    """

    notice: Notice
    owner: str
    site: str


@frozen
class PendingNotice:
    """A notice without an outcome.

    :ivar loss_reason: why the copy is lost, as its node reported; None if no node did.
    :ivar page_url: the page's URL as its node reported it; empty if it did not.
    """

    token: str
    site: str
    owner: str
    cookies: tuple[RoutingCookie, ...] = field(repr=False)
    received_at: float
    rounds: int
    attempts: tuple[Attempt, ...]
    loss_reason: LossReason | None = None
    page_url: str = ""
    viewed_at: float = 0.0


class Backlog:
    """The queue, over the crawler's database.

    :param clock: measures how long a count takes.
    """

    def __init__(
        self,
        database: Database,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._database = database
        self._clock = clock
        self._counted: dict[str, int] | None = None
        self._counted_at = self._counted_until = 0.0
        self._searched_at = float("-inf")

    def add(self, arrivals: Iterable[Arrival], now: float) -> tuple[str, ...]:
        """Store notices; a notice with a known token counts as the same notice.

        :returns: the origin node of each new notice.
        """
        # In one order, so that two crawlers that store the same notices do not wait for each other.
        ordered = sorted(arrivals, key=lambda arrival: arrival.notice.token)
        first: dict[str, Arrival] = {}
        for each in ordered:
            first.setdefault(each.notice.token, each)
        with self._database.change() as connection:
            inserted = insert_new_keys(
                connection, RECORDINGS, RECORDINGS.c.token, [_new_row(each, now) for each in first.values()]
            )
            new = [each.owner for token, each in first.items() if token in inserted]
            for each in ordered:
                if each.notice.token in inserted and each is first[each.notice.token]:
                    continue
                row = connection.execute(
                    select(RECORDINGS.c.outcome, RECORDINGS.c.cookies, RECORDINGS.c.visitor).where(
                        RECORDINGS.c.token == each.notice.token
                    )
                ).first()
                # None: it was erased at this moment.
                if row is not None and (values := _supplement(row, each.notice)):
                    where = RECORDINGS.c.token == each.notice.token
                    connection.execute(update(RECORDINGS).where(where).values(values))
            if new:
                self._database.notify(connection, NOTICES)
        return tuple(new)

    def add_losses(self, losses: Iterable[Loss], now: float) -> int:
        """Store losses; open notices of these copies become due at once.

        :returns: the number of new losses.
        """
        reasons = {loss.token: loss.reason.text for loss in losses}
        tokens = sorted(reasons)
        new = 0
        with self._database.change() as connection:
            for start in range(0, len(tokens), _BATCH_SIZE):
                batch = tokens[start : start + _BATCH_SIZE]
                known = set(connection.execute(select(LOSSES.c.token).where(LOSSES.c.token.in_(batch))).scalars())
                rows = [{"token": one, "reason": reasons[one], "told_at": now} for one in batch if one not in known]
                new += insert_new(connection, LOSSES, rows)
                waiting = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now, RECORDINGS.c.token.in_(batch)
                connection.execute(update(RECORDINGS).where(*waiting).values(next_at=now))
            _prune_losses(connection, now)
            self._database.notify(connection, NOTICES)
        return new

    def loss_of(self, token: str) -> LossReason | None:
        """Return why a copy is lost; None if no node reported it lost."""
        with self._database.read() as connection:
            found = connection.execute(select(LOSSES.c.reason).where(LOSSES.c.token == token)).scalar()
        return LossReason.read(found) if found else None

    def due(
        self, now: float, limit: int, running: Collection[str] = (), full_nodes: Collection[str] = ()
    ) -> list[PendingNotice]:
        """Return the notices whose next round may begin, longest waiting first.

        :param running: tokens to leave out.
        :param full_nodes: origin nodes to leave out.
        """
        due = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at <= now
        others = RECORDINGS.c.origin_node.not_in(list(full_nodes))
        with self._database.read() as connection:
            if not full_nodes:
                rows = _due_rows(connection, due, limit + len(running))
            else:
                rows = self._due_of_others(connection, due, others, limit + len(running), now)
        return [pending_notice(row, row.lost) for row in rows if row.token not in running][:limit]

    def _due_of_others(self, connection: Connection, due: Where, others: Any, limit: int, now: float) -> Sequence[Any]:
        """Search the first due notices; rarely all of them, because a node that is down may have a million."""
        first = select(RECORDINGS.c.id).where(*due).order_by(RECORDINGS.c.next_at, RECORDINGS.c.id).limit(_FIRST_DUE)
        found = _due_rows(connection, (RECORDINGS.c.id.in_(first.scalar_subquery()), others), limit)
        if found or 0 <= now - self._searched_at < _SEARCH_SECONDS:
            return found
        if len(connection.execute(first).all()) < _FIRST_DUE:
            return found
        self._searched_at = now
        return _due_rows(connection, (*due, others), limit)

    def next_due(self, after: float) -> float | None:
        """Return when the first round after ``after`` is due; None if no notice waits."""
        query = select(func.min(RECORDINGS.c.next_at)).where(
            RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > after
        )
        with self._database.read() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else float(found)

    def make_all_due(self, now: float) -> None:
        """Make every waiting notice due: after a start the back-offs of the last run no longer matter."""
        with self._database.change() as connection:
            connection.execute(
                update(RECORDINGS).where(RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now).values(next_at=now)
            )

    def make_node_due(self, node: str, now: float) -> None:
        """Make every waiting notice of an origin node due: the node's state has changed."""
        waiting = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now, RECORDINGS.c.origin_node == node
        with self._database.change() as connection:
            connection.execute(update(RECORDINGS).where(*waiting).values(next_at=now))
            self._database.notify(connection, NOTICES)

    def postpone(self, token: str, rounds: int, attempts: tuple[Attempt, ...], next_at: float) -> None:
        """End a round without an outcome.

        :raises AlreadyEnded: as :func:`update_open`.
        """
        self._finish(token, {"rounds": rounds, "attempts": dump_attempts(attempts), "next_at": next_at})

    def mark_lost(self, token: str, reason: LossReason, attempts: tuple[Attempt, ...], now: float) -> None:
        """Give a notice the outcome ``lost``.

        :raises AlreadyEnded: as :func:`update_open`.
        """
        values = {
            "outcome": Verdict.LOST.value,
            "reason": reason.text,
            "finished_at": now,
            "attempts": dump_attempts(attempts),
            "cookies": "{}",
        }
        self._finish(token, values)

    def _finish(self, token: str, values: dict[str, Any]) -> None:
        with self._database.change() as connection:
            update_open(connection, token, values, self._database.claimant)

    def recordings(self, limit: int) -> list[Any]:
        """Return the rows of the notices that came last, the last one first; :mod:`.search` finds others."""
        query = select(RECORDINGS).where(_NOT_ERASED).order_by(RECORDINGS.c.id.desc()).limit(limit)
        with self._database.read() as connection:
            return [row._mapping for row in connection.execute(query).all()]

    def recording(self, token: str) -> Any | None:
        """Return the row of a token, or None."""
        with self._database.read() as connection:
            row = connection.execute(select(RECORDINGS).where(RECORDINGS.c.token == token, _NOT_ERASED)).first()
        return None if row is None else row._mapping

    def check(self) -> None:
        """Read one row.

        :raises BacklogError: if the database fails.
        """
        with self._database.read() as connection:
            connection.execute(select(RECORDINGS.c.id).limit(1)).first()

    def counts(self) -> dict[str, int]:
        """Return the number of notices by outcome; ``open`` counts those without one.

        To count a million rows takes a tenth of a second. Of very many rows, the numbers of the last count are returned
        again, for a hundred times as long as the count took.
        """
        started = self._clock()
        if self._counted is None or not self._counted_at <= started < self._counted_until:
            self._counted = self._count()
            is_long = sum(self._counted.values()) >= _MANY_NOTICES
            self._counted_at, took = started, self._clock() - started
            self._counted_until = started + (_COUNT_EVERY * took if is_long else 0.0)
        return dict(self._counted)

    def _count(self) -> dict[str, int]:
        query = select(RECORDINGS.c.outcome, func.count()).where(_NOT_ERASED).group_by(RECORDINGS.c.outcome)
        totals = {**dict.fromkeys((each.value for each in Verdict), 0), "open": 0}
        with self._database.read() as connection:
            totals.update({outcome or "open": count for outcome, count in connection.execute(query).all()})
        return totals


def _due_rows(connection: Connection, where: Where, limit: int) -> Sequence[Any]:
    query = (
        select(RECORDINGS, LOSSES.c.reason.label("lost"))
        .select_from(RECORDINGS.outerjoin(LOSSES, LOSSES.c.token == RECORDINGS.c.token))
        .where(*where)
        .order_by(RECORDINGS.c.next_at, RECORDINGS.c.id)
        .limit(limit)
    )
    return connection.execute(query).all()


# Made once: SQLAlchemy takes a quarter of a millisecond to make such a statement. The values are the parameters.
_IS_OPEN = RECORDINGS.c.token == bindparam("the_token"), RECORDINGS.c.outcome.is_(None)
_UPDATE_OPEN = update(RECORDINGS).where(*_IS_OPEN, RECORDINGS.c.claimed_by.is_(None))
_UPDATE_CLAIMED = update(RECORDINGS).where(*_IS_OPEN, RECORDINGS.c.claimed_by == bindparam("the_claimant"))


def update_open(connection: Connection, token: str, values: dict[str, Any], claimant: str | None = None) -> None:
    """Change the row of a notice without an outcome, within a transaction, and give back the claim.

    An outcome among the values is noted in the same transaction, for those who follow outcomes.

    :param claimant: the name under which the notice is claimed; None at a queue without claims.
    :raises AlreadyEnded: if it already has an outcome, does not exist, or is claimed by another crawler.
    """
    given = {**values, "the_token": token}
    if claimant is not None:
        given |= {**NO_CLAIM, "the_claimant": claimant}
    statement = _UPDATE_OPEN if claimant is None else _UPDATE_CLAIMED
    if connection.execute(statement, given).rowcount != 1:
        raise AlreadyEnded("that notice has its outcome already, or another crawler works on it")
    if "outcome" in values:
        note_outcome(connection, token, values["finished_at"])


def _prune_losses(connection: Connection, now: float) -> None:
    """Delete losses that are too old and, above :data:`MAX_LOSSES`, the oldest."""
    connection.execute(delete(LOSSES).where(LOSSES.c.told_at < now - LOSS_SECONDS))
    newest = select(LOSSES.c.told_at).order_by(LOSSES.c.told_at.desc()).offset(MAX_LOSSES).limit(1)
    bound = connection.execute(newest).scalar()
    if bound is not None:
        connection.execute(delete(LOSSES).where(LOSSES.c.told_at <= bound))


def _supplement(row: Any, notice: Notice) -> dict[str, Any]:
    """Return what a further notice of the same page adds to its row.

    The node's own notice may have come first: only the browser's has cookies, and the visitor of a first page view.
    """
    values: dict[str, Any] = {}
    if row.outcome is None and row.cookies == "{}" and notice.cookies:
        values["cookies"] = json.dumps(dict(notice.cookies))
    if notice.visitor and not row.visitor:
        values["visitor"] = notice.visitor
    return values


def _new_row(each: Arrival, now: float) -> dict[str, Any]:
    notice = each.notice
    return {
        "token": notice.token,
        "site": each.site,
        "origin_node": each.owner,
        "url": notice.url,
        "page_url": notice.page_url,
        "url_key": url_key(notice.page_url or notice.url),
        "cookies": json.dumps(dict(notice.cookies)),
        "told_by": notice.source.value,
        "viewed_at": notice.viewed_at,
        "noticed_at": notice.noticed_at,
        "received_at": now,
        "next_at": now,
        "rounds": 0,
        "attempts": "[]",
        "reason": "",
        "answered_by": "",
        "route": "",
        "sha256": "",
        "content_type": "",
        "warc_file": "",
        "visitor": notice.visitor or None,
    }


def load_attempts(text: str) -> tuple[Attempt, ...]:
    """Read the attempts of a row."""
    return tuple(Attempt(RouteKind(route), *rest) for route, *rest in json.loads(text))


def dump_attempts(attempts: tuple[Attempt, ...]) -> str:
    """Write attempts for a row; of too many only the first and the last ones."""
    if len(attempts) > _MAX_FIRST_ATTEMPTS + _MAX_LAST_ATTEMPTS:
        attempts = attempts[:_MAX_FIRST_ATTEMPTS] + attempts[-_MAX_LAST_ATTEMPTS:]
    return json.dumps([[each.route.value, each.node, each.result, round(each.ms, 1), each.learnt] for each in attempts])


def pending_notice(row: Any, lost: str | None) -> PendingNotice:
    """Read a row of a notice.

    :param lost: why its copy is lost, as its node reported it.
    """
    return PendingNotice(
        token=row.token,
        site=row.site,
        owner=row.origin_node,
        cookies=tuple(RoutingCookie(name, value) for name, value in json.loads(row.cookies).items()),
        received_at=row.received_at,
        rounds=row.rounds,
        attempts=load_attempts(row.attempts),
        loss_reason=LossReason.read(lost) if lost else None,
        page_url=row.page_url,
        viewed_at=row.viewed_at,
    )
