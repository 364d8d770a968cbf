"""What a SQL store does inside one transaction: blocking, without a thread, a queue or a clock of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, update

from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.lifetime import reason_to_go
from lbcompanion.stores.schema import bodies, pages, tombstones

_TOKEN = "a_token"
_DELETE_PAGE = delete(pages).where(pages.c.token == bindparam(_TOKEN))
_DELETE_BODY = delete(bodies).where(bodies.c.token == bindparam(_TOKEN))
_DELETE_TOMBSTONE = delete(tombstones).where(tombstones.c.token == bindparam(_TOKEN))
_LIFE = select(pages.c.token, pages.c.stored_at, pages.c.sent_at)
_PAGE = select(pages, bodies.c.body).join_from(pages, bodies, pages.c.token == bodies.c.token)
_TOTALS = select(func.count(), func.coalesce(func.sum(pages.c.size), 0)).select_from(pages)


@frozen
class Arrival:
    """A copy that is to be kept, and when it came."""

    page: Page
    now: float


class Rows:
    """The verbs of a store over an open transaction.

    :ivar counters: what happened since the start, this transaction included; worth keeping once it is committed.
    """

    def __init__(self, connection: Connection, settings: StoreTable, counters: dict[str, int]) -> None:
        self._connection = connection
        self._settings = settings
        self.counters = dict(counters)

    def put(self, arrivals: Sequence[Arrival]) -> None:
        """Keep copies, all together; room is made once, at the end."""
        last = {arrival.page.token: arrival for arrival in arrivals}
        ordered = [arrival for arrival in arrivals if last[arrival.page.token] is arrival]
        self._remove([arrival.page.token for arrival in ordered])
        self._connection.execute(_DELETE_TOMBSTONE, [{_TOKEN: arrival.page.token} for arrival in ordered])
        self.sweep(max(arrival.now for arrival in ordered))
        self._connection.execute(insert(pages), [_page_row(arrival) for arrival in ordered])
        self._connection.execute(
            insert(bodies), [{"token": arrival.page.token, "body": arrival.page.body} for arrival in ordered]
        )
        self._count("put", len(arrivals))
        self._make_room()

    def find(self, token: str, now: float) -> Page | Miss:
        """The copy, or why there is none."""
        row = self._connection.execute(_PAGE.where(pages.c.token == token)).one_or_none()
        if row is None:
            return self._tombstone(token) or Miss(MissReason.UNKNOWN)
        reason = reason_to_go(self._settings, row.stored_at, row.sent_at, now)
        if reason is not None:
            self._retire([token], reason)
            return Miss(reason)
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

    def sent(self, token: str, now: float) -> None:
        """Remember the first time that a copy went out whole."""
        if self._lives(token, now):
            self._connection.execute(
                update(pages).where(pages.c.token == token, pages.c.sent_at.is_(None)).values(sent_at=now)
            )

    def drop(self, token: str, now: float) -> bool:
        """Let a copy go; whether there was one, or one that was pulled already."""
        if self._lives(token, now):
            if self._settings.delete_after_pull:
                self._retire([token], MissReason.PULLED)
            return True
        tombstone = self._tombstone(token)
        return tombstone is not None and tombstone.reason is MissReason.PULLED

    def mark(self, token: str, miss: Miss, now: float) -> None:
        """Leave a tombstone where no copy is."""
        if not self._lives(token, now):
            self._bury([(token, miss)])

    def sweep(self, now: float) -> int:
        """Take away what is past its time; how many they were."""
        late = [pages.c.stored_at <= now - self._settings.max_seconds]
        if self._settings.delete_after_pull:
            late.append(pages.c.sent_at <= now - self._settings.pull_grace_seconds)
        due: dict[MissReason, list[str]] = {}
        for token, stored_at, sent_at in self._connection.execute(_LIFE.where(or_(*late)).order_by(pages.c.seq)):
            reason = reason_to_go(self._settings, stored_at, sent_at, now)
            if reason is not None:
                due.setdefault(reason, []).append(token)
        for reason, tokens in due.items():
            self._retire(tokens, reason)
        return sum(map(len, due.values()))

    def tokens(self, now: float) -> list[str]:
        """All copies that live, oldest first."""
        self.sweep(now)
        return list(self._connection.execute(select(pages.c.token).order_by(pages.c.seq)).scalars())

    def stats(self) -> dict[str, int]:
        """What is held now, and what happened since the start."""
        held, size = self._totals()
        return {"pages": held, "bytes": size, **self.counters}

    def _totals(self) -> tuple[int, int]:
        held, size = self._connection.execute(_TOTALS).one()
        return int(held), int(size)

    def _lives(self, token: str, now: float) -> bool:
        row = self._connection.execute(_LIFE.where(pages.c.token == token)).one_or_none()
        if row is None:
            return False
        reason = reason_to_go(self._settings, row.stored_at, row.sent_at, now)
        if reason is not None:
            self._retire([token], reason)
        return reason is None

    def _make_room(self) -> None:
        held, size = self._totals()
        going: list[str] = []
        sizes = select(pages.c.token, pages.c.size)
        for victims in (
            sizes.where(pages.c.sent_at.is_not(None)).order_by(pages.c.sent_at, pages.c.seq),
            sizes.where(pages.c.sent_at.is_(None)).order_by(pages.c.seq),
        ):
            if held <= self._settings.max_pages and size <= self._settings.max_bytes:
                break
            with self._connection.execute(victims) as found:
                for token, its_size in found:
                    if held <= self._settings.max_pages and size <= self._settings.max_bytes:
                        break
                    going.append(token)
                    held, size = held - 1, size - its_size
        if going:
            self._retire(going, MissReason.EVICTED)

    def _retire(self, tokens: Sequence[str], reason: MissReason) -> None:
        self._remove(tokens)
        self._bury([(token, Miss(reason)) for token in tokens])
        self._count(reason.value, len(tokens))

    def _remove(self, tokens: Iterable[str]) -> None:
        named = [{_TOKEN: token} for token in tokens]
        self._connection.execute(_DELETE_PAGE, named)
        self._connection.execute(_DELETE_BODY, named)

    def _tombstone(self, token: str) -> Miss | None:
        row = self._connection.execute(select(tombstones).where(tombstones.c.token == token)).one_or_none()
        return None if row is None else Miss(MissReason(row.reason), row.detail, row.owner)

    def _bury(self, dead: Sequence[tuple[str, Miss]]) -> None:
        self._connection.execute(_DELETE_TOMBSTONE, [{_TOKEN: token} for token, _ in dead])
        self._connection.execute(
            insert(tombstones),
            [
                {"token": token, "reason": miss.reason.value, "detail": miss.detail, "owner": miss.owner}
                for token, miss in dead
            ],
        )
        newest = self._connection.execute(select(func.max(tombstones.c.seq))).scalar_one()
        self._connection.execute(delete(tombstones).where(tombstones.c.seq <= newest - self._settings.max_pages))

    def _count(self, what: str, number: int) -> None:
        self.counters[what] += number


def _page_row(arrival: Arrival) -> dict[str, object]:
    page = arrival.page
    return {
        "token": page.token,
        "url": page.url,
        "method": page.method,
        "status": page.status,
        "content_type": page.content_type,
        "captured_at": page.captured_at,
        "stored_at": arrival.now,
        "sent_at": None,
        "size": len(page.body),
        "sha256": page.sha256,
    }
