from __future__ import annotations

from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import page_store_contract
from tests.stores.machine import run_store_machine
from tests.stores.opening import open_memory

TestMemoryStore = page_store_contract("TestMemoryStore", open_memory)


def test_any_order_of_calls() -> None:
    run_store_machine(MemoryStore)
