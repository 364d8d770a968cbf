"""The operations of a SQL store inside one transaction: blocking, without a thread, a queue or a clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Select, delete, func, insert, null, or_, select, update

from lbcompanion.model import PAGE_METADATA, Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.expiry import expiry_bounds, expiry_reason
from lbcompanion.stores.remote import Request
from lbcompanion.stores.schema import bodies, pages, tombstones, versions

_LIFE = select(pages.c.token, pages.c.stored_at, pages.c.sent_at)
_URL = select(pages.c.token, pages.c.url, pages.c.stored_at, pages.c.sent_at)
_PAGE = select(pages, bodies.c.body, bodies.c.head).join_from(pages, bodies, pages.c.token == bodies.c.token)
_PAGE_WITHOUT_HEAD = select(pages, bodies.c.body, null().label("head")).join_from(
    pages, bodies, pages.c.token == bodies.c.token
)
_TOTALS = select(func.count(), func.coalesce(func.sum(pages.c.size), 0)).select_from(pages)
#: How many rows one statement names or locks at most.
_CHUNK_ROWS = 256
#: The share of the free space that this node may fill before it measures again; other nodes fill the space as well.
_HEADROOM_SHARE = 1 / 32


@frozen
class Headroom:
    """How much this node may add before it measures the store again; zero at first."""

    pages: float = 0
    bytes: float = 0

    def after_adding(self, number: int, size: int) -> Headroom:
        """Return the headroom after adding ``number`` pages of ``size`` bytes in total."""
        return Headroom(self.pages - number, self.bytes - size)

    @property
    def is_sufficient(self) -> bool:
        """Whether no new measurement is necessary."""
        return self.pages >= 0 and self.bytes >= 0


class SqlOperations:
    """Executes requests in an open transaction.

    Several nodes may use the same tables. The transaction that locks a row removes its copy. A sweep or an
    eviction skips rows that another transaction has locked; an operation on one given copy waits for the lock.

    :param keeps_heads: whether the tables have a column for heads.
    :ivar counters: events since the start, including this transaction; valid only after the commit.
    :ivar headroom: the headroom, including this transaction; valid only after the commit.
    """

    def __init__(
        self,
        connection: Connection,
        settings: StoreTable,
        counters: dict[str, int],
        headroom: Headroom,
        *,
        keeps_heads: bool = True,
    ) -> None:
        self._connection = connection
        self._keeps_heads = keeps_heads
        self._settings = settings
        self.counters = dict(counters)
        self.headroom = headroom

    def run(self, requests: Sequence[Request]) -> list[object]:
        """Execute requests of one verb together; return a result for each."""
        verb = requests[0].verb
        if verb in ("put", "find", "url", "take", "sent", "drop", "mark"):
            handler: Callable[[Sequence[Request]], list[object]] = getattr(self, f"_{verb}")
            return handler(requests)
        return [self._run_one(request) for request in requests]

    def _run_one(self, request: Request) -> object:
        if request.verb == "sweep":
            return self._sweep(request.now)
        if request.verb == "tokens":
            self._sweep(request.now)
            return list(self._connection.execute(select(pages.c.token).order_by(pages.c.seq)).scalars())
        count, size = self._totals()
        return {"pages": count, "bytes": size, **self.counters}

    def _put(self, requests: Sequence[Request]) -> list[object]:
        last = {request.token: request for request in requests}
        ordered = [(request.page, request.now) for request in requests if last[request.token] is request]
        new_pages = [(page, now) for page, now in ordered if page is not None]
        self._delete_pages(list(last))
        self._delete_tombstones(list(last))
        self._connection.execute(insert(pages), [_page_row(page, now) for page, now in new_pages])
        self._connection.execute(insert(bodies), [self._body_row(page) for page, _ in new_pages])
        self._count("put", len(requests))
        self.headroom = self.headroom.after_adding(len(new_pages), sum(page.size for page, _ in new_pages))
        if not self.headroom.is_sufficient:
            self._make_room(max(now for _, now in new_pages))
        return [None] * len(requests)

    def _body_row(self, page: Page) -> dict[str, object]:
        head = {"head": page.head} if self._keeps_heads else {}
        return {"token": page.token, "body": page.body, **head}

    def _find(self, requests: Sequence[Request]) -> list[object]:
        found: dict[str, Page | Miss] = {}
        due: dict[MissReason, list[str]] = {}
        nows = {request.token: request.now for request in requests}
        statement = _PAGE if self._keeps_heads else _PAGE_WITHOUT_HEAD
        for portion in _chunks(list(nows)):
            for row in self._connection.execute(statement.where(pages.c.token.in_(portion))):
                reason = expiry_reason(self._settings, row.stored_at, row.sent_at, nows[row.token])
                found[row.token] = _page(row) if reason is None else Miss(reason)
                if reason is not None:
                    due.setdefault(reason, []).append(row.token)
        for reason, tokens in due.items():
            claimed = self._claim(_LIFE.where(pages.c.token.in_(tokens)))
            self._retire([row.token for row in claimed], reason)
        found.update(self._read_tombstones([token for token in nows if token not in found]))
        return [found.get(request.token, Miss(MissReason.UNKNOWN)) for request in requests]

    def _url(self, requests: Sequence[Request]) -> list[object]:
        nows = {request.token: request.now for request in requests}
        found: dict[str, str] = {}
        for portion in _chunks(list(nows)):
            for row in self._connection.execute(_URL.where(pages.c.token.in_(portion))):
                if expiry_reason(self._settings, row.stored_at, row.sent_at, nows[row.token]) is None:
                    found[row.token] = row.url
        return [found.get(request.token, "") for request in requests]

    def _take(self, requests: Sequence[Request]) -> list[object]:
        found = self._find(requests)
        tokens = sorted({page.token for page in found if isinstance(page, Page)})
        for portion in _chunks(tokens):
            self._connection.execute(
                update(pages).where(pages.c.token.in_(portion), pages.c.sent_at.is_not(None)).values(sent_at=None)
            )
        return found

    def _sent(self, requests: Sequence[Request]) -> list[object]:
        live_tokens = self._lock_live(requests)
        if live_tokens:
            now = max(request.now for request in requests)
            self._connection.execute(
                update(pages).where(pages.c.token.in_(live_tokens), pages.c.sent_at.is_(None)).values(sent_at=now)
            )
        return [None] * len(requests)

    def _drop(self, requests: Sequence[Request]) -> list[object]:
        live_tokens = self._lock_live(requests)
        if self._settings.delete_after_pull:
            self._retire(live_tokens, MissReason.PULLED)
        misses = self._read_tombstones([request.token for request in requests if request.token not in set(live_tokens)])
        pulled = {token for token, miss in misses.items() if miss.reason is MissReason.PULLED}
        return [request.token in pulled.union(live_tokens) for request in requests]

    def _mark(self, requests: Sequence[Request]) -> list[object]:
        live_tokens = set(self._lock_live(requests))
        self._insert_tombstones(
            {
                request.token: request.miss
                for request in requests
                if request.token not in live_tokens and request.miss is not None
            }
        )
        return [None] * len(requests)

    def _sweep(self, now: float) -> int:
        stored_bound, sent = expiry_bounds(self._settings, now)
        conditions = [pages.c.stored_at <= stored_bound]
        if sent is not None:
            conditions.append(pages.c.sent_at <= sent)
        found = self._claim(_LIFE.where(or_(*conditions)).order_by(pages.c.seq))
        return len(found) - len(self._retire_due(found, {}, now))

    def _lock_live(self, requests: Sequence[Request]) -> list[str]:
        """Lock the rows of the requests' copies, remove the expired copies, and return the tokens of the others."""
        nows = {request.token: request.now for request in requests}
        live_tokens: list[str] = []
        # All nodes lock rows in the same order, so that no two wait for each other.
        for portion in _chunks(sorted(nows)):
            locked = self._connection.execute(
                _LIFE.where(pages.c.token.in_(portion)).order_by(pages.c.token).with_for_update()
            )
            live_tokens += self._retire_due(locked.all(), nows, 0.0)
        return live_tokens

    def _retire_due(self, rows: Sequence[Any], nows: Mapping[str, float], now: float) -> list[str]:
        """Retire the expired copies among the rows; return the tokens of the others."""
        live_tokens: list[str] = []
        due: dict[MissReason, list[str]] = {}
        for token, stored_at, sent_at in rows:
            reason = expiry_reason(self._settings, stored_at, sent_at, nows.get(token, now))
            (live_tokens if reason is None else due.setdefault(reason, [])).append(token)
        for reason, tokens in due.items():
            self._retire(tokens, reason)
        return live_tokens

    def _totals(self) -> tuple[int, int]:
        count, size = self._connection.execute(_TOTALS).one()
        return int(count), int(size)

    def _make_room(self, now: float) -> None:
        count, size = self._totals()
        if self._exceeds_limits(count, size):
            # One node at a time evicts, or all nodes would evict for the same lack of space. Measure again after
            # the lock, because other nodes have stored copies in the meantime.
            self._connection.execute(select(versions.c.version).with_for_update())
            self._sweep(now)
            count, size = self._totals()
        while self._exceeds_limits(count, size):
            victims: list[str] = []
            for token, its_size in self._next_to_evict():
                if not self._exceeds_limits(count, size):
                    break
                victims.append(token)
                count, size = count - 1, size - its_size
            if not victims:
                # Other transactions have locked the remaining rows, and remove them.
                break
            self._retire(victims, MissReason.EVICTED)
        settings = self._settings
        self.headroom = Headroom(
            (settings.max_pages - count) * _HEADROOM_SHARE, (settings.max_bytes - size) * _HEADROOM_SHARE
        )

    def _exceeds_limits(self, count: int, size: int) -> bool:
        return count > self._settings.max_pages or size > self._settings.max_bytes

    def _next_to_evict(self) -> Sequence[Any]:
        sizes = select(pages.c.token, pages.c.size).limit(_CHUNK_ROWS)
        sent = sizes.where(pages.c.sent_at.is_not(None)).order_by(pages.c.sent_at, pages.c.seq)
        return self._claim(sent) or self._claim(sizes.where(pages.c.sent_at.is_(None)).order_by(pages.c.seq))

    def _claim(self, statement: Select[Any]) -> Sequence[Any]:
        """Lock and return the selected rows, without those that another transaction has locked."""
        return self._connection.execute(statement.with_for_update(skip_locked=True)).all()

    def _retire(self, tokens: Sequence[str], reason: MissReason) -> None:
        if tokens:
            self._delete_pages(tokens)
            self._insert_tombstones(dict.fromkeys(tokens, Miss(reason)))
            self._count(reason.value, len(tokens))

    def _delete_pages(self, tokens: Sequence[str]) -> None:
        for portion in _chunks(tokens):
            self._connection.execute(delete(pages).where(pages.c.token.in_(portion)))
            self._connection.execute(delete(bodies).where(bodies.c.token.in_(portion)))

    def _delete_tombstones(self, tokens: Sequence[str]) -> None:
        for portion in _chunks(tokens):
            self._connection.execute(delete(tombstones).where(tombstones.c.token.in_(portion)))

    def _read_tombstones(self, tokens: Sequence[str]) -> dict[str, Miss]:
        found = {}
        for portion in _chunks(tokens):
            for row in self._connection.execute(select(tombstones).where(tombstones.c.token.in_(portion))):
                found[row.token] = Miss(MissReason(row.reason), row.detail, row.owner)
        return found

    def _insert_tombstones(self, misses: Mapping[str, Miss]) -> None:
        if not misses:
            return
        self._delete_tombstones(list(misses))
        self._connection.execute(
            insert(tombstones),
            [
                {"token": token, "reason": miss.reason.value, "detail": miss.detail, "owner": miss.owner}
                for token, miss in misses.items()
            ],
        )
        newest = self._connection.execute(select(func.max(tombstones.c.seq))).scalar_one()
        self._connection.execute(delete(tombstones).where(tombstones.c.seq <= newest - self._settings.max_pages))

    def _count(self, counter: str, number: int) -> None:
        self.counters[counter] += number


def _chunks(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(tokens), _CHUNK_ROWS):
        yield tokens[start : start + _CHUNK_ROWS]


def _page(row: Any) -> Page:
    return Page(
        token=row.token,
        url=row.url,
        method=row.method,
        status=row.status,
        content_type=row.content_type,
        captured_at=row.captured_at,
        body=row.body,
        sha256=row.sha256,
        head=row.head or b"",
    )


def _page_row(page: Page, now: float) -> dict[str, object]:
    return {
        **{name: getattr(page, name) for name in PAGE_METADATA},
        "stored_at": now,
        "sent_at": None,
        "size": page.size,
        "sha256": page.sha256,
    }
