"""The visitors' side in VTest's language: ``varnishtest`` plays visitor and application around a running companion.

The cases run beside one another, as many as there are companions for them: an application's port is taken by one
case at a time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from lbcompanion.demo.ports import ReservedPorts
from tests.support.children import Children
from tests.support.companion import Companion
from tests.support.programs import need_program
from tests.vtest.cases import COMPANIONS, Case, all_cases, run

#: Companions of each kind; the usual one has most of the cases.
_EACH = {"usual": 2}
#: Companions knock at the application's door every two seconds in which they answered nobody.
_BEAT_SECONDS = 0.4
_CASES = {case.name: case for case in all_cases()}


def _parameters() -> Iterator[object]:
    for name, case in _CASES.items():
        marks = []
        if case.broken:
            marks.append(pytest.mark.xfail(strict=True, reason=case.broken))
        if case.lacking:
            marks.append(pytest.mark.skip(f"the companion does not speak {case.lacking}"))
        yield pytest.param(name, id=name, marks=marks)


class Runs:
    """All cases of this session, under way."""

    def __init__(self, program: str, cases: list[Case], folder: Path) -> None:
        self._program = program
        self._folder = folder
        self._ports, self._children = ReservedPorts(), Children(folder)
        self.companions: list[Companion] = []
        self._awake: list[Companion] = []
        self._pools: list[ThreadPoolExecutor] = []
        self._results: dict[str, Future[str]] = {}
        kinds: dict[str, list[Case]] = defaultdict(list)
        for case in cases:
            kinds[case.companion].append(case)
        for kind, members in kinds.items():
            self._start(kind, members)
        self._ended = Event()
        self._beating = Thread(target=self._beat)
        self._beating.start()

    def _start(self, kind: str, cases: list[Case]) -> None:
        count = min(_EACH.get(kind, 1), len(cases))
        free = [self._companion(f"{kind}{number}", COMPANIONS[kind]) for number in range(count)]
        pool = ThreadPoolExecutor(count)
        self._pools.append(pool)
        for case in cases:
            self._results[case.name] = pool.submit(self._run, case, free)

    def _companion(self, name: str, more: str) -> Companion:
        one = Companion(self._folder, self._children, self._ports, name, more)
        self.companions.append(one)
        return one

    def _run(self, case: Case, free: list[Companion]) -> str:
        companion = free.pop()
        try:
            if companion not in self._awake:
                companion.wait()
                companion.knocked()
                self._awake.append(companion)
            return run(self._program, case, companion, self._folder)
        finally:
            free.append(companion)

    def _beat(self) -> None:
        while not self._ended.wait(_BEAT_SECONDS):
            for companion in list(self._awake):
                with suppress(OSError):
                    companion.keep_busy()

    def result(self, name: str) -> str:
        """Wait for a case and return its failure."""
        return self._results[name].result()

    def wait(self) -> None:
        """Until all have run."""
        for result in self._results.values():
            result.exception()

    def stop(self) -> None:
        """Run no more cases; end the companions."""
        for pool in self._pools:
            pool.shutdown(wait=True, cancel_futures=True)
        self._ended.set()
        self._beating.join()
        self._children.kill()
        self._ports.release()


@pytest.fixture(scope="module", name="runs")
def _runs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    chosen = [
        _CASES[item.callspec.params["name"]]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and hasattr(item, "callspec")
    ]
    runs = Runs(
        need_program("varnishtest"), [case for case in chosen if not case.lacking], tmp_path_factory.mktemp("v")
    )
    try:
        yield runs
    finally:
        runs.stop()


@pytest.mark.parametrize("name", list(_parameters()))
def test_case(name: str, runs: Runs) -> None:
    failure = runs.result(name)
    assert not failure, f"{name}\n{failure}"


def test_no_error_inside(runs: Runs) -> None:
    """Whatever was sent, nothing failed that the companion had to cover up."""
    runs.wait()
    found = {one.name: failures for one in runs.companions if (failures := one.failures())}
    assert not found, found
