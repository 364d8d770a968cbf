"""Erasing recordings from the queue's tables: the selection of recordings, and the list of erasures.

A recording without records in the archive is deleted at once. A recording with records is marked, and its columns about
the visitor are emptied. The transaction that replaces its file deletes it (:mod:`.file_replacement`). No query shows a
marked recording.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Any

from attrs import field, frozen
from sqlalchemy import ColumnElement, and_, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.audit import forget_visitors
from lbcompanion.crawler.queue.backlog import LOSS_SECONDS, Arrival
from lbcompanion.crawler.queue.database import Database, insert_new, retried
from lbcompanion.crawler.queue.erasure_lock import lock_for_erasure
from lbcompanion.crawler.queue.file_erasures import (
    FileCriteria,
    is_searching,
    page_criteria,
    request_files,
    written_addresses,
)
from lbcompanion.crawler.queue.outcomes import forget_outcomes
from lbcompanion.crawler.queue.schema import (
    ERASED_TOKENS,
    ERASURES,
    FILE_ERASURES,
    FILES,
    LOSSES,
    RECORDINGS,
    ROUTES,
)
from lbcompanion.model import Loss
from lbcompanion.sticky.routes import Source

#: How long the notice of an erased recording is refused, in seconds: it may wait in a node's spool.
REFUSE_SECONDS = 30 * 86400.0
#: Retention refuses for a shorter time: a node rarely delivers the notice of an old recording again.
RETENTION_REFUSE_SECONDS = LOSS_SECONDS
#: How many recordings one transaction erases, so that other work need not wait for long.
BATCH_SIZE = 2000
#: Fewer than the parameters that SQLite allows in one statement.
_LIST_SIZE = 500
#: SQLite refuses expressions with more than 1000 levels, and a chain of OR has one level for each part.
_CHAIN_SIZE = 100


@frozen
class Selection:
    """The criteria of an erasure. It erases the recordings that meet every given criterion.

    :ivar tokens: recordings of these tokens.
    :ivar urls: of pages with these URLs, whatever their fragment; a ``*`` at the end stands for any rest. Files of
        pages with these URLs are erased too (:mod:`.file_erasures`).
    :ivar visitors: of visitors with these pseudonyms.
    :ivar before: of pages that were noticed before this time.
    :ivar received_before: of notices that this crawler received before this time.
    :ivar files: whose records are in these archive files.
    :ivar below_offset: whose records start before this offset of their file.
    """

    tokens: tuple[str, ...] = field(default=(), repr=False)
    urls: tuple[str, ...] = field(default=(), repr=False)
    visitors: tuple[str, ...] | None = field(default=None, repr=False)
    before: float | None = None
    received_before: float | None = None
    files: tuple[str, ...] = ()
    below_offset: int | None = None

    @property
    def is_retention(self) -> bool:
        """Whether recordings are erased for their age or the size of the archive only."""
        return self.received_before is not None or bool(self.files)

    @property
    def file_criteria(self) -> FileCriteria | None:
        """The criteria for files of pages whose recordings stay; None: no such file is erased."""
        if not self.urls:
            return None
        return FileCriteria(written_addresses(self.urls), self.tokens, self.visitors, self.before)

    @property
    def criteria(self) -> str:
        """The names of the given criteria, never their values."""
        given = (("token", self.tokens), ("url", self.urls), ("visitor", self.visitors is not None))
        times = (("before", self.before is not None), ("age", self.received_before is not None), ("size", self.files))
        return ", ".join(name for name, is_given in (*given, *times) if is_given)


@frozen
class Matches:
    """The number of recordings that a selection matches.

    :ivar archived: those with records in the archive.
    :ivar file_records: the records of files that match although their pages do not.
    """

    recordings: int
    archived: int
    file_records: int = 0


@frozen
class Batch:
    """The rows that one transaction erased.

    :ivar is_last: whether nothing that matches is left.
    :ivar routes: site and node of the routes that were deleted, because they may come from an erased notice.
    """

    recordings: int = 0
    archived: int = 0
    is_last: bool = True
    routes: tuple[tuple[str, str], ...] = ()


def token_hash(token: str) -> str:
    """Return the hash that is stored for an erased token."""
    return sha256(token.encode()).hexdigest()


class Erasures:
    """The erasures, over the crawler's database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        #: Whether no token is refused. Only this object erases from a queue that serves one crawler.
        self._refuses_none = False

    def count(self, selection: Selection) -> Matches:
        """Return how many recordings would be erased."""
        query = select(func.count(), func.count(RECORDINGS.c.warc_offset)).where(_matching(selection))
        with self._database.read() as connection:
            found = connection.execute(query).one()
        return Matches(int(found[0]), int(found[1]))

    def matching(self, selection: Selection, file: str) -> frozenset[int]:
        """Return the recordings of an archive file that would be erased."""
        query = select(RECORDINGS.c.id).where(RECORDINGS.c.warc_file == file, _matching(selection))
        with self._database.read() as connection:
            return frozenset(connection.execute(query).scalars())

    @retried
    def begin(self, selection: Selection, by: str, now: float) -> int:
        """Enter an erasure into the log.

        :param by: who erases: ``command``, ``api``, ``keep_days`` or ``keep_bytes``.
        :returns: its number.
        """
        counted = ("recordings", "archived", "losses", "routes", "records", "files", "bytes")
        values: dict[str, Any] = {
            "at": now,
            "erased_by": by,
            "criteria": selection.criteria,
            **dict.fromkeys(counted, 0),
        }
        with self._database.change() as connection:
            lock_for_erasure(connection)  # another crawler's erasure writes among the tokens that are pruned
            done = connection.execute(insert(ERASURES).values(values))
            _prune_tokens(connection, now)
            key = done.inserted_primary_key
            number = int(key[0]) if key else 0
            if selection.file_criteria is not None:
                request_files(connection, number, selection.file_criteria)
        return number

    @retried
    def erase(self, erasure: int, selection: Selection, now: float, refuse_seconds: float = REFUSE_SECONDS) -> Batch:
        """Erase some of the recordings of a selection, in one transaction; call it until nothing is left.

        :param refuse_seconds: how long notices of an erased recording are refused.
        """
        self._refuses_none = False
        query = select(RECORDINGS).where(_matching(selection)).order_by(RECORDINGS.c.id).limit(BATCH_SIZE)
        query = query.with_for_update()  # another crawler may be archiving one of them
        with self._database.change() as connection:
            lock_for_erasure(connection)
            rows = connection.execute(query).all()
            # Further notices of the given tokens may be on their way.
            tokens = list(dict.fromkeys([*(row.token for row in rows), *selection.tokens]))
            losses = _delete_losses(connection, tokens)
            _refuse(connection, tokens, now + refuse_seconds)
            forget_visitors(connection, tokens, selection.visitors or ())
            archived = [row.id for row in rows if row.warc_offset is not None]
            _delete_rows(connection, [row.id for row in rows if row.warc_offset is None])
            _mark_rows(connection, archived, erasure)
            routes = _delete_routes(connection, rows) if not selection.is_retention else ()
            counts = {"recordings": len(rows), "archived": len(archived), "losses": losses, "routes": len(routes)}
            _count(connection, erasure, counts)
            forget_outcomes(connection, tokens)  # last: it locks the numbers until the end
        return Batch(len(rows), len(archived), len(rows) < BATCH_SIZE, routes)

    @retried
    def finish(self, now: float) -> None:
        """Set the end time of each erasure that has no records left to remove."""
        waiting = select(RECORDINGS.c.id).where(RECORDINGS.c.erasure == ERASURES.c.id).exists()
        searching = select(FILES.c.id).where(FILE_ERASURES.c.erasure == ERASURES.c.id, is_searching()).exists()
        where = ERASURES.c.finished_at.is_(None), ~waiting, ~searching
        with self._database.change() as connection:
            connection.execute(update(ERASURES).where(*where).values(finished_at=now))

    def waiting(self, erasure: int) -> int:
        """Return how many recordings of an erasure still have records in the archive."""
        query = select(func.count()).select_from(RECORDINGS).where(RECORDINGS.c.erasure == erasure)
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def entry(self, erasure: int) -> dict[str, Any]:
        """Return one entry of the log."""
        with self._database.read() as connection:
            return dict(connection.execute(select(ERASURES).where(ERASURES.c.id == erasure)).one()._mapping)

    def entries(self, limit: int, before_id: int | None = None) -> list[dict[str, Any]]:
        """Return entries of the log, newest first.

        :param before_id: only entries with a smaller number.
        """
        query = select(ERASURES).order_by(ERASURES.c.id.desc()).limit(limit)
        if before_id is not None:
            query = query.where(ERASURES.c.id < before_id)
        with self._database.read() as connection:
            return [dict(row._mapping) for row in connection.execute(query).all()]

    def without_erased(
        self, arrivals: Sequence[Arrival], losses: Sequence[Loss]
    ) -> tuple[list[Arrival], list[Loss], int]:
        """Leave out notices of erased recordings that are delivered again.

        The caller holds the lock of :mod:`.erasure_lock` until it has stored the others.

        :returns: the arrivals and losses that are left, and how many notices were left out.
        """
        if self._refuses_none:
            return list(arrivals), list(losses), 0
        tokens = {each.notice.token for each in arrivals} | {loss.token for loss in losses}
        with self._database.read() as connection:
            if connection.execute(select(ERASED_TOKENS.c.sha256).limit(1)).first() is None:
                self._refuses_none = not self._database.is_server
                return list(arrivals), list(losses), 0
            erased = _erased(connection, tokens)
        kept = [each for each in arrivals if each.notice.token not in erased]
        return kept, [loss for loss in losses if loss.token not in erased], len(arrivals) - len(kept)


def _matching(selection: Selection) -> ColumnElement[bool]:
    columns = RECORDINGS.c
    wanted: list[ColumnElement[bool]] = [columns.erasure.is_(None)]
    wanted += page_criteria(selection.tokens, selection.visitors, selection.before)
    if selection.urls:
        wanted.append(_has_any_url(selection.urls))
    if selection.received_before is not None:
        wanted.append(columns.received_at < selection.received_before)
    if selection.files:
        wanted.append(columns.warc_file.in_(selection.files))
        if selection.below_offset is not None:
            wanted.append(columns.warc_offset < selection.below_offset)
    # Without a criterion nothing matches: an empty selection is a mistake.
    return and_(*wanted) if len(wanted) > 1 else and_(literal(1) == 0)


def _has_any_url(urls: Sequence[str]) -> ColumnElement[bool]:
    chains = (or_(*map(_has_url, part)) for part in _lists(urls, _CHAIN_SIZE))
    # SQLAlchemy joins nested ORs into one chain; CASE keeps the chains apart.
    return or_(*(case((chain, 1), else_=0) == 1 for chain in chains))


def _has_url(url: str) -> ColumnElement[bool]:
    """Match the copy's own address, and the one that the browser reported."""
    columns = (RECORDINGS.c.page_url, RECORDINGS.c.url)
    if url.endswith("*"):
        return or_(*(_begins(column, url[:-1]) for column in columns))
    url = url.partition("#")[0]
    return or_(*(or_(column == url, _begins(column, f"{url}#")) for column in columns))


def _begins(column: Any, prefix: str) -> ColumnElement[bool]:
    """Match a prefix. LIKE of SQLite does not distinguish upper and lower case."""
    return func.substr(column, 1, len(prefix)) == prefix


def _lists(values: Sequence[Any], size: int = _LIST_SIZE) -> Iterable[Sequence[Any]]:
    return (values[start : start + size] for start in range(0, len(values), size))


def _erased(connection: Connection, tokens: Iterable[str]) -> set[str]:
    by_hash = {token_hash(token): token for token in tokens}
    found: set[str] = set()
    for part in _lists(list(by_hash)):
        query = select(ERASED_TOKENS.c.sha256).where(ERASED_TOKENS.c.sha256.in_(part))
        found |= {by_hash[each] for each in connection.execute(query).scalars()}
    return found


def _refuse(connection: Connection, tokens: Sequence[str], until: float) -> None:
    rows = [{"sha256": token_hash(token), "kept_until": until} for token in sorted(tokens)]
    insert_new(connection, ERASED_TOKENS, rows)
    for part in _lists(rows):  # retention may have erased some of them for a shorter time
        earlier = ERASED_TOKENS.c.sha256.in_([row["sha256"] for row in part]), ERASED_TOKENS.c.kept_until < until
        connection.execute(update(ERASED_TOKENS).where(*earlier).values(kept_until=until))


def _prune_tokens(connection: Connection, now: float) -> None:
    connection.execute(delete(ERASED_TOKENS).where(ERASED_TOKENS.c.kept_until < now))


def _delete_losses(connection: Connection, tokens: Sequence[str]) -> int:
    return sum(connection.execute(delete(LOSSES).where(LOSSES.c.token.in_(part))).rowcount for part in _lists(tokens))


def _delete_rows(connection: Connection, ids: Sequence[int]) -> None:
    for part in _lists(ids):
        connection.execute(delete(RECORDINGS).where(RECORDINGS.c.id.in_(part)))


def _mark_rows(connection: Connection, ids: Sequence[int], erasure: int) -> None:
    emptied: dict[str, Any] = {**dict.fromkeys(("url", "page_url", "content_type", "sha256"), ""), "attempts": "[]"}
    emptied |= dict.fromkeys(("visitor", "requisites", "title", "title_key", "status", "method", "removed"))
    emptied["url_key"] = ""
    for part in _lists(ids):
        where = RECORDINGS.c.id.in_(part)
        connection.execute(update(RECORDINGS).where(where).values(erasure=erasure, **emptied))


def _delete_routes(connection: Connection, rows: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Delete the routes from visitors' cookies that may come from these recordings.

    A route does not say which notice it comes from. It cannot come from a notice that arrived after it was learnt.
    """
    first: dict[tuple[str, str], float] = {}
    for row in rows:
        key = (row.site, row.origin_node)
        first[key] = min(row.received_at, first.get(key, row.received_at))
    deleted = []
    for (site, node), since in first.items():
        where = (
            *(ROUTES.c.site == site, ROUTES.c.node == node),
            *(ROUTES.c.source == Source.TRAFFIC.value, ROUTES.c.learnt_at >= since),
        )
        if connection.execute(delete(ROUTES).where(*where)).rowcount:
            deleted.append((site, node))
    return tuple(deleted)


def _count(connection: Connection, erasure: int, counts: dict[str, int]) -> None:
    values = {ERASURES.c[name]: ERASURES.c[name] + count for name, count in counts.items() if count}
    if values:
        connection.execute(update(ERASURES).where(ERASURES.c.id == erasure).values(values))
