from __future__ import annotations

import pytest

from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.settings import StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import make_page, page_store_contract
from tests.support.open_store import open_memory, result_of
from tests.support.store_machine import run_store_machine

TestMemoryStore = page_store_contract("TestMemoryStore", open_memory)


@pytest.mark.slow
def test_any_order_of_calls() -> None:
    run_store_machine(MemoryStore)


def _filled(pages: int, page_bytes: int = 10, **limits: int) -> tuple[MemoryStore, dict[str, int]]:
    store = MemoryStore(StoreTable(**limits), lambda: 1_000.0)
    for number in range(pages):
        store.put_now(make_page(f"token-{number}", b"x" * page_bytes))
    stats: dict[str, int] = result_of(store.stats())
    return store, stats


def test_a_full_store_frees_a_64th_more_than_a_page_needs() -> None:
    store, stats = _filled(641, max_pages=640)
    assert (stats["pages"], stats["evicted"]) == (630, 11)
    assert result_of(store.peek("token-10")) == Miss(MissReason.EVICTED)
    assert isinstance(result_of(store.peek("token-11")), Page)
    assert _filled(651, max_pages=640)[1]["evicted"] == 11, "there is room for ten further pages"
    assert _filled(652, max_pages=640)[1]["evicted"] == 22


@pytest.mark.slow
def test_no_more_than_64_pages_and_a_mebibyte_are_freed_in_advance() -> None:
    assert _filled(10_001, max_pages=10_000)[1]["evicted"] == 65
    stats = _filled(1_025, 100_000, max_bytes=102_400_000)[1]
    assert (stats["pages"], stats["evicted"]) == (1_013, 12)


@pytest.mark.parametrize("limits", [{"max_pages": 63}, {"max_bytes": 630}])
def test_a_small_store_frees_no_more_than_a_page_needs(limits: dict[str, int]) -> None:
    assert _filled(64, **limits)[1]["evicted"] == 1
