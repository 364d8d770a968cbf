"""Loops that an error does not stop."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from lbcompanion.loops import SteadyLoop
from tests.support.house_map import imported_names

PACKAGE = Path(__file__).parent.parent / "lbcompanion"


def raises() -> object:
    raise ZeroDivisionError("a defect")


#: What a call may do, and whether that counts as a failure.
CALLS: list[tuple[Callable[[], Any], bool]] = [
    (lambda: None, False),
    (lambda: succeed(1), False),
    (raises, True),
    (lambda: fail(ValueError("no")), True),
    (lambda: succeed(1).addCallback(lambda _: raises()), True),
]


@given(st.lists(st.sampled_from(CALLS), max_size=20))
def test_every_call_comes_at_its_time(calls: list[tuple[Callable[[], Any], bool]]) -> None:
    clock, made, errors = Clock(), [], list[str]()
    waiting = iter(calls)

    def call() -> object:
        made.append(clock.seconds())
        action, _ = next(waiting, CALLS[0])
        return action()

    loop = SteadyLoop(call, name="a test", clock=clock, count_error=lambda name, _error: errors.append(name))
    loop.start(2)
    for _ in calls:
        clock.advance(2)
    assert made == [2.0 * number for number in range(len(calls) + 1)]
    assert errors == ["a test"] * sum(is_failure for _, is_failure in calls)
    assert loop.running
    loop.stop()
    loop.stop()
    assert not loop.running
    assert not clock.getDelayedCalls()


def test_the_next_call_waits_for_a_deferred() -> None:
    clock, waiting = Clock(), list[Deferred[None]]()

    def call() -> Deferred[None]:
        waiting.append(Deferred())
        return waiting[-1]

    loop = SteadyLoop(call, name="a test", clock=clock)
    loop.start(1, now=False)
    assert not waiting
    clock.advance(1)
    clock.advance(5)
    assert len(waiting) == 1
    waiting[0].errback(ZeroDivisionError())
    clock.advance(1)
    assert len(waiting) == 2
    loop.stop()


def test_a_failure_that_lasts_is_logged_seldom() -> None:
    clock, lines = Clock(), list[int]()

    def observe(event: Any) -> None:
        if event.get("log_namespace") == "lbcompanion.loops":
            lines.append(event["failures"])

    loop = SteadyLoop(raises, name="a test", clock=clock)
    globalLogPublisher.addObserver(observe)
    try:
        loop.start(1)
        for _ in range(99):
            clock.advance(1)
    finally:
        globalLogPublisher.removeObserver(observe)
        loop.stop()
    assert lines == [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.slow
def test_there_are_no_other_loops() -> None:
    """An error stops a bare ``LoopingCall`` for ever, and nothing reports it."""
    found = [
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if "twisted.internet.task.LoopingCall" in imported_names(path.read_text())
    ]
    assert found == ["loops.py"]
