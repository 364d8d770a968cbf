from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred
from zope.interface import Interface

from lbcompanion.model import Miss, MissReason
from lbcompanion.settings import StoreTable
from lbcompanion.stores.delegating import DelegatingStore, T
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import ManualWallClock, make_page, page_store_contract
from tests.support.open_store import result_of

TestDelegatingStore = page_store_contract(
    "TestDelegatingStore", lambda case, settings, clock: DelegatingStore(MemoryStore(settings, clock))
)

CALLS: dict[str, tuple[object, ...]] = {
    "put": (make_page("a"),),
    "peek": ("a",),
    "url_of": ("a",),
    "take": ("a",),
    "sent": ("a",),
    "drop": ("a",),
    "mark": ("b", Miss(MissReason.EXPIRED)),
    "sweep": (),
    "tokens": (),
    "stats": (),
    "close": (),
}


class Counting(DelegatingStore):
    """Counts the calls that are handed on."""

    count = 0

    def delegate(self, call: Callable[[], Deferred[T]]) -> Deferred[T]:
        self.count += 1
        return super().delegate(call)


def test_the_calls_here_are_all_that_a_store_has() -> None:
    interface: type[Interface] = IPageStore
    assert set(CALLS) == set(interface.names())


@pytest.mark.parametrize("name", CALLS)
def test_each_call_goes_by_delegate(name: str) -> None:
    store = Counting(MemoryStore(StoreTable(), ManualWallClock()))
    result_of(getattr(store, name)(*CALLS[name]))
    assert store.count == 1


def test_what_is_no_store_is_refused() -> None:
    with pytest.raises(TypeError):
        DelegatingStore(object())
