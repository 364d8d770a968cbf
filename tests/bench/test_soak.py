"""The soak does all kinds of requests, checks every answer, and says what has grown."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.responses import WrongResponse
from bench.soak import event_loop
from bench.soak.event_loop import Visit
from bench.soak.growth import GROWTH_DESCRIPTORS, GROWTH_MEGABYTES, Sample, descriptors, memory
from bench.soak.visits import MIX, Visitor, VisitPlan, mixed

pytestmark = pytest.mark.programs

ROOT = Path(__file__).parents[2]


def test_a_small_soak() -> None:
    # Connections of 24 visitors level off after about 700 requests; the first fifth of a run is not judged.
    command = [sys.executable, "-m", "bench.soak", "--requests", "4000", "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert {*report["done"]} == {*MIX}
    assert report["samples"][-1][0] == sum(report["done"].values()) == 4000


def test_the_mix_is_of_a_hundred_and_names_what_there_is() -> None:
    assert sum(MIX.values()) == 100
    assert all(callable(getattr(Visitor, kind)) for kind in MIX)
    assert mixed() == mixed()
    assert sorted({*mixed()}) == sorted(MIX)


def samples(resident: list[float], opened: list[int]) -> list[Sample]:
    return [Sample(at, float(at), *both) for at, both in enumerate(zip(resident, opened, strict=True))]


@given(st.lists(st.floats(50, 57), min_size=20, max_size=200), st.integers(0, 90))
def test_what_wavers_is_flat(resident: list[float], opened: int) -> None:
    seen = samples(resident, [opened] * len(resident))
    assert memory(seen).within_limit
    assert descriptors(seen).within_limit


@given(st.integers(20, 300), st.floats(50, 120))
def test_what_grows_is_not(number: int, start: float) -> None:
    """Also where the whole growth is little for each sample."""
    step = 2 * GROWTH_MEGABYTES / number
    seen = samples(
        [start + at * step for at in range(number)], [at * 2 * GROWTH_DESCRIPTORS // number for at in range(number)]
    )
    assert not memory(seen).within_limit
    assert not descriptors(seen).within_limit


def test_growth_while_warming_does_not_count() -> None:
    resident = [float(min(at, 20)) * 10 for at in range(100)]
    assert memory(samples(resident, [0] * 100)).within_limit


def test_a_large_heap_may_waver_by_a_twentieth() -> None:
    assert memory(samples([1000.0] * 50 + [1049.0] * 50, [0] * 100)).within_limit
    assert not memory(samples([1000.0] * 50 + [1051.0] * 50, [0] * 100)).within_limit


def test_visitors_wait_beside_each_other() -> None:
    ours, theirs = socket.socketpair()
    said: list[str] = []

    def reads() -> Visit:
        yield ours
        said.append(f"heard {ours.recv(9).decode()}")

    def writes() -> Visit:
        yield 0.01
        said.append("waited")
        theirs.send(b"words")

    with ours, theirs:
        event_loop.run([reads(), writes()])
    assert said == ["waited", "heard words"]


def test_one_who_is_wronged_ends_all() -> None:
    def wronged() -> Visit:
        yield 0.0
        raise WrongResponse("not the page")

    with pytest.raises(WrongResponse, match="not the page"):
        event_loop.run([wronged()])


def test_a_token_may_not_come_twice() -> None:
    plan = VisitPlan(1, b"secret", 1, 2, lambda done: None)
    plan.record_page("a", 10)
    plan.record_page("b", 10)
    with pytest.raises(WrongResponse, match="twice"):
        plan.record_page("a", 10)
