"""What a SQL store does inside one transaction: blocking, without a thread, a queue or a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import Connection, Select, delete, func, insert, or_, select, update

from lbcompanion.model import PAGE_FACTS, Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.lifetime import latest_over, reason_to_go
from lbcompanion.stores.queued import Request
from lbcompanion.stores.schema import bodies, pages, tombstones, versions

_LIFE = select(pages.c.token, pages.c.stored_at, pages.c.sent_at)
_PAGE = select(pages, bodies.c.body).join_from(pages, bodies, pages.c.token == bodies.c.token)
_TOTALS = select(func.count(), func.coalesce(func.sum(pages.c.size), 0)).select_from(pages)
#: How many rows one statement names or claims.
_AT_ONCE = 256
#: Of the room that is left, so much may be filled before it is measured again: other nodes fill it as well.
_SHARE = 1 / 32


@frozen
class Room:
    """How much more may be kept before the store has to be measured again; nothing at first."""

    pages: float = 0
    bytes: float = 0

    def less(self, number: int, size: int) -> Room:
        """What is left after so many pages of this size together."""
        return Room(self.pages - number, self.bytes - size)

    @property
    def is_left(self) -> bool:
        """Whether there is no need to measure."""
        return self.pages >= 0 and self.bytes >= 0


class Rows:
    """Requests, done in an open transaction.

    Several nodes may be at the same tables. A copy is taken away by whoever holds its row: rows that another
    transaction holds are passed over where any would do, and waited for where it is that very one.

    :ivar counters: what happened since the start, this transaction included; worth keeping once it is committed.
    :ivar room: the same of the room that is left.
    """

    def __init__(self, connection: Connection, settings: StoreTable, counters: dict[str, int], room: Room) -> None:
        self._connection = connection
        self._settings = settings
        self.counters = dict(counters)
        self.room = room

    def do(self, requests: Sequence[Request]) -> list[object]:
        """Do requests of one verb together; a result for each."""
        verb = requests[0].verb
        if verb in ("put", "find", "sent", "drop", "mark"):
            together: Callable[[Sequence[Request]], list[object]] = getattr(self, f"_{verb}")
            return together(requests)
        return [self._about_all(request) for request in requests]

    def _about_all(self, request: Request) -> object:
        if request.verb == "sweep":
            return self._sweep(request.now)
        if request.verb == "tokens":
            self._sweep(request.now)
            return list(self._connection.execute(select(pages.c.token).order_by(pages.c.seq)).scalars())
        held, size = self._totals()
        return {"pages": held, "bytes": size, **self.counters}

    def _put(self, requests: Sequence[Request]) -> list[object]:
        last = {request.token: request for request in requests}
        ordered = [(request.page, request.now) for request in requests if last[request.token] is request]
        arrivals = [(page, now) for page, now in ordered if page is not None]
        self._remove(list(last))
        self._forget(list(last))
        self._connection.execute(insert(pages), [_page_row(page, now) for page, now in arrivals])
        self._connection.execute(insert(bodies), [{"token": page.token, "body": page.body} for page, _ in arrivals])
        self._count("put", len(requests))
        self.room = self.room.less(len(arrivals), sum(len(page.body) for page, _ in arrivals))
        if not self.room.is_left:
            self._make_room(max(now for _, now in arrivals))
        return [None] * len(requests)

    def _find(self, requests: Sequence[Request]) -> list[object]:
        found: dict[str, Page | Miss] = {}
        over: dict[MissReason, list[str]] = {}
        nows = {request.token: request.now for request in requests}
        for some in _portions(list(nows)):
            for row in self._connection.execute(_PAGE.where(pages.c.token.in_(some))):
                reason = reason_to_go(self._settings, row.stored_at, row.sent_at, nows[row.token])
                found[row.token] = _page(row) if reason is None else Miss(reason)
                if reason is not None:
                    over.setdefault(reason, []).append(row.token)
        for reason, tokens in over.items():
            held = self._claim(_LIFE.where(pages.c.token.in_(tokens)))
            self._retire([row.token for row in held], reason)
        found.update(self._tombstones([token for token in nows if token not in found]))
        return [found.get(request.token, Miss(MissReason.UNKNOWN)) for request in requests]

    def _sent(self, requests: Sequence[Request]) -> list[object]:
        living = self._living(requests)
        if living:
            now = max(request.now for request in requests)
            self._connection.execute(
                update(pages).where(pages.c.token.in_(living), pages.c.sent_at.is_(None)).values(sent_at=now)
            )
        return [None] * len(requests)

    def _drop(self, requests: Sequence[Request]) -> list[object]:
        living = self._living(requests)
        if self._settings.delete_after_pull:
            self._retire(living, MissReason.PULLED)
        told = self._tombstones([request.token for request in requests if request.token not in set(living)])
        pulled = {token for token, miss in told.items() if miss.reason is MissReason.PULLED}
        return [request.token in pulled.union(living) for request in requests]

    def _mark(self, requests: Sequence[Request]) -> list[object]:
        living = set(self._living(requests))
        self._bury({one.token: one.miss for one in requests if one.token not in living and one.miss is not None})
        return [None] * len(requests)

    def _sweep(self, now: float) -> int:
        kept, sent = latest_over(self._settings, now)
        late = [pages.c.stored_at <= kept]
        if sent is not None:
            late.append(pages.c.sent_at <= sent)
        found = self._claim(_LIFE.where(or_(*late)).order_by(pages.c.seq))
        return len(found) - len(self._let_go(found, {}, now))

    def _living(self, requests: Sequence[Request]) -> list[str]:
        """Those of the copies that live; they are this transaction's until it ends. The others are let go."""
        nows = {request.token: request.now for request in requests}
        living: list[str] = []
        # In one order everywhere, so that no two nodes wait for each other.
        for some in _portions(sorted(nows)):
            held = self._connection.execute(
                _LIFE.where(pages.c.token.in_(some)).order_by(pages.c.token).with_for_update()
            )
            living += self._let_go(held.all(), nows, 0.0)
        return living

    def _let_go(self, rows: Sequence[Any], nows: Mapping[str, float], now: float) -> list[str]:
        """Retire those of the rows whose time is over; the tokens of the others."""
        left: list[str] = []
        over: dict[MissReason, list[str]] = {}
        for token, stored_at, sent_at in rows:
            reason = reason_to_go(self._settings, stored_at, sent_at, nows.get(token, now))
            (left if reason is None else over.setdefault(reason, [])).append(token)
        for reason, tokens in over.items():
            self._retire(tokens, reason)
        return left

    def _totals(self) -> tuple[int, int]:
        held, size = self._connection.execute(_TOTALS).one()
        return int(held), int(size)

    def _make_room(self, now: float) -> None:
        held, size = self._totals()
        if self._is_over(held, size):
            # One node at a time, or all would push out copies for the same want of room. What others have put
            # meanwhile is counted then.
            self._connection.execute(select(versions.c.version).with_for_update())
            self._sweep(now)
            held, size = self._totals()
        while self._is_over(held, size):
            going: list[str] = []
            for token, its_size in self._next_to_go():
                if not self._is_over(held, size):
                    break
                going.append(token)
                held, size = held - 1, size - its_size
            if not going:
                # The rest is held by other transactions, which take it away themselves.
                break
            self._retire(going, MissReason.EVICTED)
        settings = self._settings
        self.room = Room((settings.max_pages - held) * _SHARE, (settings.max_bytes - size) * _SHARE)

    def _is_over(self, held: int, size: int) -> bool:
        return held > self._settings.max_pages or size > self._settings.max_bytes

    def _next_to_go(self) -> Sequence[Any]:
        sizes = select(pages.c.token, pages.c.size).limit(_AT_ONCE)
        sent = sizes.where(pages.c.sent_at.is_not(None)).order_by(pages.c.sent_at, pages.c.seq)
        return self._claim(sent) or self._claim(sizes.where(pages.c.sent_at.is_(None)).order_by(pages.c.seq))

    def _claim(self, statement: Select[Any]) -> Sequence[Any]:
        """The rows found that no other transaction holds; they are this one's until it ends."""
        return self._connection.execute(statement.with_for_update(skip_locked=True)).all()

    def _retire(self, tokens: Sequence[str], reason: MissReason) -> None:
        if tokens:
            self._remove(tokens)
            self._bury(dict.fromkeys(tokens, Miss(reason)))
            self._count(reason.value, len(tokens))

    def _remove(self, tokens: Sequence[str]) -> None:
        for some in _portions(tokens):
            self._connection.execute(delete(pages).where(pages.c.token.in_(some)))
            self._connection.execute(delete(bodies).where(bodies.c.token.in_(some)))

    def _forget(self, tokens: Sequence[str]) -> None:
        for some in _portions(tokens):
            self._connection.execute(delete(tombstones).where(tombstones.c.token.in_(some)))

    def _tombstones(self, tokens: Sequence[str]) -> dict[str, Miss]:
        found = {}
        for some in _portions(tokens):
            for row in self._connection.execute(select(tombstones).where(tombstones.c.token.in_(some))):
                found[row.token] = Miss(MissReason(row.reason), row.detail, row.owner)
        return found

    def _bury(self, dead: Mapping[str, Miss]) -> None:
        if not dead:
            return
        self._forget(list(dead))
        self._connection.execute(
            insert(tombstones),
            [
                {"token": token, "reason": miss.reason.value, "detail": miss.detail, "owner": miss.owner}
                for token, miss in dead.items()
            ],
        )
        newest = self._connection.execute(select(func.max(tombstones.c.seq))).scalar_one()
        self._connection.execute(delete(tombstones).where(tombstones.c.seq <= newest - self._settings.max_pages))

    def _count(self, what: str, number: int) -> None:
        self.counters[what] += number


def _portions(tokens: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(tokens), _AT_ONCE):
        yield tokens[start : start + _AT_ONCE]


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
    )


def _page_row(page: Page, now: float) -> dict[str, object]:
    return {
        **{name: getattr(page, name) for name in PAGE_FACTS},
        "stored_at": now,
        "sent_at": None,
        "size": len(page.body),
        "sha256": page.sha256,
    }
