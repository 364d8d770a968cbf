from __future__ import annotations

import pytest

from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import page_store_contract
from tests.support.open_store import open_memory
from tests.support.store_machine import run_store_machine

TestMemoryStore = page_store_contract("TestMemoryStore", open_memory)


@pytest.mark.slow
def test_any_order_of_calls() -> None:
    run_store_machine(MemoryStore)
