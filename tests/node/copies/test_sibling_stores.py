"""The store of one process of several: what is not here may be with a sibling."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred

from lbcompanion.errors import PageNotReady
from lbcompanion.model import Miss, MissReason, Page
from lbcompanion.node.copies.sibling_stores import SiblingRequestHandler, SiblingStores
from lbcompanion.node.processes.siblings import SiblingAnswers
from lbcompanion.protocol.copies import Frame
from lbcompanion.settings import StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.testing.stores import ManualWallClock, make_page


class Siblings:
    """Other processes, each as its desk; the silent ones do not answer."""

    def __init__(self, *silent: str, **desks: SiblingRequestHandler) -> None:
        self.silent = list(silent)
        self.desks = desks

    async def ask(self, name: str, frame: Frame) -> Frame:
        return await self.desks[name].answer(frame)

    async def ask_all(self, frame: Frame) -> SiblingAnswers:
        return SiblingAnswers({name: await desk.answer(frame) for name, desk in self.desks.items()}, self.silent)


def store() -> MemoryStore:
    return MemoryStore(StoreTable(), ManualWallClock())


def result(deferred: Deferred[Any]) -> Any:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found[0]


def two(is_pending: bool = False) -> tuple[SiblingStores, MemoryStore]:
    other = store()
    return SiblingStores(store(), Siblings(one=SiblingRequestHandler(other, lambda token: is_pending))), other  # type: ignore[arg-type]


def test_a_siblings_copy_is_found_and_goes_when_it_was_sent() -> None:
    shared, other = two()
    result(other.put(make_page("token")))
    assert isinstance(result(shared.take("token")), Page)
    result(shared.sent("token"))
    assert result(shared.drop("token")) is True
    assert result(other.tokens()) == []


def test_why_a_sibling_has_it_no_more_is_reported() -> None:
    shared, other = two()
    result(other.mark("token", Miss(MissReason.EVICTED, "no room")))
    assert result(shared.peek("token")) == Miss(MissReason.EVICTED, "no room")
    assert result(shared.peek("nowhere")).reason is MissReason.UNKNOWN


def test_a_copy_on_its_way_elsewhere_is_worth_waiting_for() -> None:
    shared, _ = two(is_pending=True)
    assert isinstance(result(shared.peek("token")).value, PageNotReady)


def test_alone_it_is_the_store_inside() -> None:
    shared = SiblingStores(store(), None)
    result(shared.put(make_page("token")))
    assert result(shared.peek("token")) == make_page("token")
    assert result(shared.drop("nowhere")) is False


def test_a_question_without_sense_is_refused() -> None:
    _, other = two()
    with pytest.raises(ValueError, match="unknown request"):
        SiblingRequestHandler(other, lambda token: False).answer(Frame({"do": "dance"})).send(None)


def with_a_silent_one() -> tuple[SiblingStores, MemoryStore]:
    other = store()
    return SiblingStores(store(), Siblings("two", one=SiblingRequestHandler(other, lambda token: False))), other  # type: ignore[arg-type]


def test_a_sibling_that_does_not_respond_may_have_the_copy() -> None:
    shared, other = with_a_silent_one()
    for call in (shared.peek, shared.take, shared.drop):
        assert isinstance(result(call("token")).value, PageNotReady)  # type: ignore[operator]
    assert result(shared.url_of("token")) == ""
    result(other.put(make_page("token")))
    assert isinstance(result(shared.peek("token")), Page)
    assert result(shared.drop("token")) is True


def test_a_sibling_that_had_the_copy_is_believed_although_another_does_not_respond() -> None:
    shared, other = with_a_silent_one()
    result(other.mark("token", Miss(MissReason.PULLED)))
    assert result(shared.take("token")).reason is MissReason.PULLED
