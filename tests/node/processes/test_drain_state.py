"""A node that stops waits until balancers that ask for readiness have read that it does."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from lbcompanion.node.processes.drain_state import DrainState


def leaving(asked_seconds_ago: float | None, quietly: bool = False) -> tuple[Clock, DrainState, Deferred[None]]:
    clock = Clock()
    clock.advance(100.0)
    state = DrainState(clock)
    if asked_seconds_ago is not None:
        state.note_check()
        clock.advance(asked_seconds_ago)
    return clock, state, Deferred.fromCoroutine(state.leave(quietly=quietly))


def test_stopping_does_not_wait_for_a_balancer_that_does_not_ask() -> None:
    assert leaving(None)[2].called
    assert leaving(16.0)[2].called
    assert leaving(1.0, quietly=True)[2].called


def test_two_answers_are_waited_for() -> None:
    clock, state, left = leaving(1.0)
    assert state.draining
    state.note_check()
    clock.advance(0.2)
    assert not left.called
    state.note_check()
    clock.advance(0.2)
    assert left.called


def test_a_balancer_that_asks_no_more_is_not_waited_for_long() -> None:
    clock, _, left = leaving(1.0)
    clock.pump([0.1] * 48)
    assert not left.called
    clock.pump([0.1] * 4)
    assert left.called
