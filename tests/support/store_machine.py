"""A store as a state machine beside a plain dictionary: whatever is asked in whatever order, they agree."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from lbcompanion.errors import StoreError
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.testing.stores import ManualWallClock, make_page
from tests.support.open_store import result_of

TOKENS = st.sampled_from([f"t{number}" for number in range(8)])
TABLES = (
    StoreTable(max_pages=4, max_bytes=1000, max_seconds=64, pull_grace_seconds=8),
    StoreTable(max_pages=100, max_bytes=600, max_seconds=16, pull_grace_seconds=32),
    StoreTable(max_pages=3, max_bytes=10_000, max_seconds=32, pull_grace_seconds=0, delete_after_pull=False),
)
# A fraction that floats hold exactly, as the edges of lives are asked for to the instant.
TICK = 1 / 1024


@define
class Copy:
    page: Page
    stored_at: float
    sent_at: float | None = None


class DictionaryStore:
    """A simple model of a store."""

    def __init__(self, table: StoreTable, overhead: int) -> None:
        self.table = table
        self.overhead = overhead
        self.copies: dict[str, Copy] = {}
        self.dead: dict[str, MissReason] = {}
        self.buried = 0
        self.counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}

    def pass_to(self, now: float) -> None:
        for token, copy in list(self.copies.items()):
            ends = [(copy.stored_at + self.table.max_seconds, MissReason.EXPIRED)]
            if copy.sent_at is not None and self.table.delete_after_pull:
                ends.insert(0, (copy.sent_at + self.table.pull_grace_seconds, MissReason.PULLED))
            at, reason = min(ends, key=lambda end: end[0])
            if at <= now:
                self.go(token, reason)

    def go(self, token: str, reason: MissReason) -> None:
        del self.copies[token]
        self.counters[reason.value] += 1
        self.bury(token, reason)

    def bury(self, token: str, reason: MissReason) -> None:
        self.dead[token] = reason
        self.buried += 1

    def size(self) -> int:
        return sum(len(copy.page.body) + self.overhead for copy in self.copies.values())

    def put(self, page: Page, now: float) -> None:
        self.copies.pop(page.token, None)
        self.dead.pop(page.token, None)
        self.copies[page.token] = Copy(page, now)
        self.counters["put"] += 1
        while len(self.copies) > self.table.max_pages or self.size() > self.table.max_bytes:
            sent = [(copy.sent_at, token) for token, copy in self.copies.items() if copy.sent_at is not None]
            self.go(min(sent)[1] if sent else next(iter(self.copies)), MissReason.EVICTED)


def run_store_machine(
    open_store: Callable[[StoreTable, Callable[[], float]], Any],
    overhead: int = 0,
    durable: bool = False,
    examples: int = 60,
) -> None:
    """Run it against a kind of store.

    :param open_store: opens one; for a durable one, the same one within a run whenever it is asked with the same table.
    """

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.clock = ManualWallClock()

        @initialize(table=st.sampled_from(TABLES))
        def open(self, table: StoreTable) -> None:
            self.table = table
            self.store = open_store(self.table, self.clock)
            self.model = DictionaryStore(self.table, overhead)

        def tick(self) -> None:
            self.clock.advance(TICK)
            self.model.pass_to(self.clock.now)

        @rule(token=TOKENS, size=st.sampled_from([0, 1, 100, 200, 300, 572, 600, 1001, 2000]))
        def put(self, token: str, size: int) -> None:
            self.tick()
            page = make_page(token, bytes(size))
            try:
                result_of(self.store.put(page))
            except StoreError:
                assert size + overhead > self.table.max_bytes
            else:
                assert size + overhead <= self.table.max_bytes
                self.model.put(page, self.clock.now)

        @rule(token=TOKENS)
        def sent(self, token: str) -> None:
            self.tick()
            result_of(self.store.sent(token))
            copy = self.model.copies.get(token)
            if copy is not None and copy.sent_at is None:
                copy.sent_at = self.clock.now

        @rule(token=TOKENS)
        def drop(self, token: str) -> None:
            self.tick()
            dropped = result_of(self.store.drop(token))
            if token in self.model.copies:
                assert dropped is True
                if self.table.delete_after_pull:
                    self.model.go(token, MissReason.PULLED)
            elif self.model.dead.get(token) is not MissReason.PULLED:
                assert dropped is False
            elif self.model.buried <= self.table.max_pages:
                assert dropped is True

        @rule(token=TOKENS, reason=st.sampled_from([MissReason.EVICTED, MissReason.EXPIRED]))
        def mark(self, token: str, reason: MissReason) -> None:
            self.tick()
            result_of(self.store.mark(token, Miss(reason)))
            if token not in self.model.copies:
                self.model.bury(token, reason)

        @rule(seconds=st.sampled_from([1.0, 7.0, 8.0, 16.0, 64.0]))
        def wait(self, seconds: float) -> None:
            self.clock.advance(seconds)
            self.model.pass_to(self.clock.now)

        @rule()
        def sweep(self) -> None:
            result_of(self.store.sweep())
            told = result_of(self.store.stats())
            assert told == {"pages": len(self.model.copies), "bytes": self.model.size(), **self.model.counters}

        @rule(token=TOKENS, take=st.booleans())
        def look(self, token: str, take: bool) -> None:
            found = result_of(self.store.take(token) if take else self.store.peek(token))
            copy = self.model.copies.get(token)
            assert result_of(self.store.url_of(token)) == (copy.page.url if copy is not None else "")
            if copy is not None:
                assert found == copy.page
                if take:
                    copy.sent_at = None
            else:
                expected = Miss(self.model.dead.get(token, MissReason.UNKNOWN))
                forgotten = self.model.buried > self.table.max_pages and found == Miss(MissReason.UNKNOWN)
                assert found == expected or forgotten

        if durable:

            @rule(politely=st.booleans())
            def reopen(self, politely: bool) -> None:
                result_of(self.store.sweep())
                if politely:
                    result_of(self.store.close())
                else:
                    self.kill(self.store)
                self.store = open_store(self.table, self.clock)
                self.model.counters = dict.fromkeys(self.model.counters, 0)

            def kill(self, store: Any) -> None:
                # A process that died: its connection is there no more, but nothing was said on the way out.
                store.backend.disconnect()

        @invariant()
        def limits_hold(self) -> None:
            told = result_of(self.store.stats())
            assert told["pages"] <= self.table.max_pages
            assert told["bytes"] <= self.table.max_bytes

        @invariant()
        def the_same_are_held(self) -> None:
            assert result_of(self.store.tokens()) == list(self.model.copies)

        def teardown(self) -> None:
            if hasattr(self, "store"):
                result_of(self.store.close())

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
