"""The durable backlog: every notice from its intake to its one outcome, the routes, and the archive's ends.

Synchronous, over SQLAlchemy Core; the service calls it on one thread. What a method changed is durable when it
returns. Nothing here knows HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import field, frozen
from sqlalchemy import Engine, create_engine, delete, event, func, insert, inspect, select, text, update
from sqlalchemy.engine import Connection, Row
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import StaticPool

from lbcompanion.crawler.queue.schema import FILES, LOSSES, METADATA, PAYLOADS, RECORDINGS, ROUTES
from lbcompanion.errors import CompanionError
from lbcompanion.model import Attempt, Loss, Notice, RouteKind, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState, Source

#: How many attempts of one notice are kept: the first ones and the last ones.
_FIRST_KEPT, _LAST_KEPT = 10, 40
#: For so long, in seconds, and for so many, it is remembered that a copy is lost of which no notice has come: a page
#: may lie in a browser's back-forward cache, and a notice in a node's spool.
LOSS_SECONDS = 86400.0
LOSSES_KEPT = 100_000
_AT_ONCE = 500


class BacklogError(CompanionError):
    """The queue's database cannot do what was asked of it now."""


class AlreadyEnded(BacklogError):
    """The notice has its outcome already, or was never there."""


@frozen
class Arrival:
    """A notice on its way in.

    :ivar owner: the node that the token names.
    :ivar site: the site's name; empty where none matches.
    """

    notice: Notice
    owner: str
    site: str


@frozen
class Pending:
    """A notice that is under way.

    :ivar lost: why the copy is lost, as its node told; empty where none did.
    """

    token: str
    site: str
    owner: str
    cookies: tuple[RoutingCookie, ...] = field(repr=False)
    received_at: float
    rounds: int
    attempts: tuple[Attempt, ...]
    lost: str = ""


@frozen
class Kept:
    """Where an archived page stands, and what it is.

    :ivar committed: the file's length with all that belongs to this page.
    """

    file: str
    offset: int
    committed: int
    answered_by: str
    route: str
    sha256: str
    size: int
    content_type: str
    captured_at: float
    page_url: str
    payloads: tuple[tuple[str, str, str], ...] = ()


def _pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA secure_delete=ON")
    cursor.close()


def open_engine(url: str) -> Engine:
    """Connect lazily to the queue's database; SQLite is set so that a commit survives a power cut.

    :param url: an SQLAlchemy URL; for SQLite with an absolute path.
    """
    if not url.startswith("sqlite"):
        return create_engine(url)
    # One connection, one thread: the service sees to that, also when the threads of a pool change.
    engine = create_engine(url, poolclass=StaticPool, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _pragmas)
    return engine


class Backlog:
    """The queue, over an engine."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def _change(self) -> Iterator[Connection]:
        try:
            with self._engine.begin() as connection:
                yield connection
        except SQLAlchemyError as failure:
            # The driver's text may quote bound values: only its kind is told.
            raise BacklogError(f"the queue's database failed: {type(failure).__name__}") from None

    def open(self) -> None:
        """Make the tables where they are missing.

        :raises BacklogError: where the database cannot be used.
        """
        with self._change() as connection:
            METADATA.create_all(connection)
            _add_columns(connection)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    # notices

    def add(self, arrivals: Iterable[Arrival], now: float) -> int:
        """Take notices in; one whose token is known is the same notice.

        :returns: how many were new.
        """
        new = 0
        with self._change() as connection:
            for each in arrivals:
                row = connection.execute(
                    select(RECORDINGS.c.outcome, RECORDINGS.c.cookies).where(RECORDINGS.c.token == each.notice.token)
                ).first()
                if row is None:
                    connection.execute(insert(RECORDINGS).values(_new_row(each, now)))
                    new += 1
                elif row.outcome is None and row.cookies == "{}" and each.notice.cookies:
                    # The node's own notice came first, without cookies: what the browser adds makes a route.
                    cookies = json.dumps(dict(each.notice.cookies))
                    where = RECORDINGS.c.token == each.notice.token
                    connection.execute(update(RECORDINGS).where(where).values(cookies=cookies))
        return new

    def add_losses(self, losses: Iterable[Loss], now: float) -> int:
        """Remember which copies are lost; what is under way for them is due at once.

        :returns: of how many that was not known.
        """
        reasons = {loss.token: loss.reason for loss in losses}
        tokens = list(reasons)
        new = 0
        with self._change() as connection:
            for start in range(0, len(tokens), _AT_ONCE):
                some = tokens[start : start + _AT_ONCE]
                known = set(connection.execute(select(LOSSES.c.token).where(LOSSES.c.token.in_(some))).scalars())
                rows = [{"token": one, "reason": reasons[one], "told_at": now} for one in some if one not in known]
                if rows:
                    connection.execute(insert(LOSSES), rows)
                waiting = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now, RECORDINGS.c.token.in_(some)
                connection.execute(update(RECORDINGS).where(*waiting).values(next_at=now))
                new += len(rows)
            _forget_losses(connection, now)
        return new

    def loss_of(self, token: str) -> str:
        """Why a copy is lost; empty where no node said so."""
        with self._change() as connection:
            found = connection.execute(select(LOSSES.c.reason).where(LOSSES.c.token == token)).scalar()
        return found or ""

    def due(
        self, now: float, limit: int, running: Collection[str] = (), full_nodes: Collection[str] = ()
    ) -> list[Pending]:
        """The notices whose next round may begin, longest waiting first.

        :param running: tokens to leave out.
        :param full_nodes: origin nodes to leave out.
        """
        query = (
            select(RECORDINGS, LOSSES.c.reason.label("lost"))
            .select_from(RECORDINGS.outerjoin(LOSSES, LOSSES.c.token == RECORDINGS.c.token))
            .where(RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at <= now)
            .order_by(RECORDINGS.c.next_at, RECORDINGS.c.id)
            .limit(limit + len(running))
        )
        if full_nodes:
            query = query.where(RECORDINGS.c.origin_node.not_in(list(full_nodes)))
        with self._change() as connection:
            rows = connection.execute(query).all()
        return [_pending(row) for row in rows if row.token not in running][:limit]

    def next_due(self, after: float) -> float | None:
        """When the first round after ``after`` is due; None: nothing waits."""
        query = select(func.min(RECORDINGS.c.next_at)).where(
            RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > after
        )
        with self._change() as connection:
            found = connection.execute(query).scalar()
        return None if found is None else float(found)

    def wake_all(self, now: float) -> None:
        """Make every waiting notice due: after a start the back-offs of the last run mean little."""
        with self._change() as connection:
            connection.execute(
                update(RECORDINGS).where(RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now).values(next_at=now)
            )

    def wake_node(self, node: str, now: float) -> None:
        """Make every waiting notice of an origin node due: there is news of it."""
        waiting = RECORDINGS.c.outcome.is_(None), RECORDINGS.c.next_at > now, RECORDINGS.c.origin_node == node
        with self._change() as connection:
            connection.execute(update(RECORDINGS).where(*waiting).values(next_at=now))

    def postpone(self, token: str, rounds: int, attempts: tuple[Attempt, ...], next_at: float) -> None:
        """End a round without an outcome.

        :raises AlreadyEnded: where there is an outcome.
        """
        self._end(token, {"rounds": rounds, "attempts": _dump(attempts), "next_at": next_at})

    def lose(self, token: str, reason: str, attempts: tuple[Attempt, ...], now: float) -> None:
        """Give a notice the outcome ``lost``.

        :raises AlreadyEnded: where there is an outcome.
        """
        values = {"outcome": "lost", "reason": reason, "finished_at": now, "attempts": _dump(attempts), "cookies": "{}"}
        self._end(token, values)

    def keep(self, token: str, kept: Kept, attempts: tuple[Attempt, ...], now: float) -> None:
        """Give a notice the outcome ``archived``, and commit the archive's bytes with it.

        :raises AlreadyEnded: where there is an outcome; the archive's bytes are not committed then.
        """
        values = {
            "outcome": "archived",
            "finished_at": now,
            "attempts": _dump(attempts),
            "cookies": "{}",
            "answered_by": kept.answered_by,
            "route": kept.route,
            "sha256": kept.sha256,
            "bytes": kept.size,
            "content_type": kept.content_type,
            "captured_at": kept.captured_at,
            "page_url": kept.page_url,
            "warc_file": kept.file,
            "warc_offset": kept.offset,
        }
        self._end(token, values, kept)

    def _end(self, token: str, values: dict[str, Any], kept: Kept | None = None) -> None:
        where = (RECORDINGS.c.token == token, RECORDINGS.c.outcome.is_(None))
        with self._change() as connection:
            if connection.execute(update(RECORDINGS).where(*where).values(values)).rowcount != 1:
                raise AlreadyEnded("that notice has its outcome already")
            if kept is None:
                return
            connection.execute(update(FILES).where(FILES.c.name == kept.file).values(committed=kept.committed))
            for sha256, url, date in kept.payloads:
                connection.execute(insert(PAYLOADS).values(file=kept.file, sha256=sha256, url=url, date=date))

    # the archive's files

    def new_file(self, name: str) -> None:
        """Note a file that is about to be made."""
        with self._change() as connection:
            connection.execute(insert(FILES).values(name=name, committed=0))

    def files(self) -> dict[str, int]:
        """The archive's files, oldest first, and how many bytes of each are committed."""
        with self._change() as connection:
            rows = connection.execute(select(FILES).order_by(FILES.c.id)).all()
        return {row.name: row.committed for row in rows}

    def payloads(self, file: str) -> dict[str, tuple[str, str]]:
        """The requisites in one file: digest to address and date."""
        with self._change() as connection:
            rows = connection.execute(select(PAYLOADS).where(PAYLOADS.c.file == file)).all()
        return {row.sha256: (row.url, row.date) for row in rows}

    # routes

    def routes(self) -> list[Route]:
        """All routes kept."""
        with self._change() as connection:
            return [_route(row) for row in connection.execute(select(ROUTES)).all()]

    def keep_route(self, route: Route) -> None:
        """Keep a route in the place of the one before."""
        values = {
            "cookies": json.dumps([[each.name, each.value] for each in route.cookies]),
            "dialect": route.dialect,
            "state": route.state.value,
            "learnt_at": route.learnt_at,
            "proven_at": route.proven_at,
            "expires_at": route.expires_at,
            "source": route.source.value,
        }
        where = (ROUTES.c.site == route.site, ROUTES.c.node == route.node)
        with self._change() as connection:
            if connection.execute(update(ROUTES).where(*where).values(values)).rowcount == 0:
                connection.execute(insert(ROUTES).values(site=route.site, node=route.node, **values))

    # looking

    def recordings(
        self, limit: int, before_id: int | None = None, filters: Mapping[str, str] | None = None
    ) -> list[Any]:
        """Rows, newest first.

        :param before_id: only rows older than that one.
        :param filters: ``outcome`` (``archived``, ``lost`` or ``open``), ``route``, ``node``; empty: any.
        """
        query = select(RECORDINGS).order_by(RECORDINGS.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(RECORDINGS.c.id < before_id)
        for name, wanted in (filters or {}).items():
            query = query.where(_filter(name, wanted)) if wanted else query
        with self._change() as connection:
            return [row._mapping for row in connection.execute(query).all()]

    def recording(self, token: str) -> Any | None:
        """One row, or None."""
        with self._change() as connection:
            row = connection.execute(select(RECORDINGS).where(RECORDINGS.c.token == token)).first()
        return None if row is None else row._mapping

    def counts(self) -> dict[str, int]:
        """How many notices there are by outcome; ``open`` for those under way."""
        query = select(RECORDINGS.c.outcome, func.count()).group_by(RECORDINGS.c.outcome)
        counted = {"archived": 0, "lost": 0, "open": 0}
        with self._change() as connection:
            counted.update({outcome or "open": count for outcome, count in connection.execute(query).all()})
        return counted


def _add_columns(connection: Connection) -> None:
    """Give tables that an earlier version made the columns that came later; those may all be null."""
    for table in METADATA.sorted_tables:
        there = {column["name"] for column in inspect(connection).get_columns(table.name)}
        for column in table.columns:
            if column.name not in there:
                kind = column.type.compile(connection.dialect)
                connection.execute(text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))


def _forget_losses(connection: Connection, now: float) -> None:
    """Those that are old, and of too many the oldest."""
    connection.execute(delete(LOSSES).where(LOSSES.c.told_at < now - LOSS_SECONDS))
    newest = select(LOSSES.c.told_at).order_by(LOSSES.c.told_at.desc()).offset(LOSSES_KEPT).limit(1)
    bound = connection.execute(newest).scalar()
    if bound is not None:
        connection.execute(delete(LOSSES).where(LOSSES.c.told_at <= bound))


def _filter(name: str, wanted: str) -> Any:
    if name == "outcome":
        return RECORDINGS.c.outcome.is_(None) if wanted == "open" else RECORDINGS.c.outcome == wanted
    return {"route": RECORDINGS.c.route, "node": RECORDINGS.c.origin_node}[name] == wanted


def _new_row(each: Arrival, now: float) -> dict[str, Any]:
    notice = each.notice
    return {
        "token": notice.token,
        "site": each.site,
        "origin_node": each.owner,
        "url": notice.url,
        "page_url": notice.page_url,
        "cookies": json.dumps(dict(notice.cookies)),
        "told_by": notice.by.value,
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
    }


def load_attempts(written: str) -> tuple[Attempt, ...]:
    """Read the attempts of a row."""
    return tuple(Attempt(RouteKind(route), *rest) for route, *rest in json.loads(written))


def _dump(attempts: tuple[Attempt, ...]) -> str:
    if len(attempts) > _FIRST_KEPT + _LAST_KEPT:
        attempts = attempts[:_FIRST_KEPT] + attempts[-_LAST_KEPT:]
    return json.dumps([[each.route.value, each.node, each.result, round(each.ms, 1), each.learnt] for each in attempts])


def _pending(row: Row[Any]) -> Pending:
    return Pending(
        token=row.token,
        site=row.site,
        owner=row.origin_node,
        cookies=tuple(RoutingCookie(name, value) for name, value in json.loads(row.cookies).items()),
        received_at=row.received_at,
        rounds=row.rounds,
        attempts=load_attempts(row.attempts),
        lost=row.lost or "",
    )


def _route(row: Row[Any]) -> Route:
    cookies = tuple(RoutingCookie(name, value) for name, value in json.loads(row.cookies))
    return Route(
        site=row.site,
        node=row.node,
        cookies=cookies,
        dialect=row.dialect,
        state=RouteState(row.state),
        learnt_at=row.learnt_at,
        proven_at=row.proven_at,
        expires_at=row.expires_at,
        source=Source(row.source or Source.MINTED.value),
    )
