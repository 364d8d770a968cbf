"""Helpers whose faults would hide those of the program: clicks, reports of failures, forked processes."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support import failure_report, page_actions, preloaded
from tests.support.farm import ProcessFarm, accepts
from tests.support.programs import need_library


class _Element:
    """The part of Playwright's locator that ``click`` uses.

    :param heard: for each click, whether the element got it; an exception is raised.
    """

    def __init__(self, *heard: bool | Exception) -> None:
        self._heard = iter(heard)
        self.clicks = 0

    def evaluate_handle(self, script: str) -> _Element:
        assert "addEventListener('click'" in script
        assert self.clicks == 0, "the listener has to be there before the first click"
        return self

    def click(self, timeout: float) -> None:
        self.clicks += 1

    def evaluate(self, script: str) -> bool:
        heard = next(self._heard)
        if isinstance(heard, Exception):
            raise heard
        return heard

    def __str__(self) -> str:
        return "the button"


@pytest.mark.slow
@pytest.mark.parametrize(("heard", "clicks"), [((True, True), 1), ((False, False, True, True), 3)])
def test_an_element_is_clicked_until_it_has_got_a_click(heard: tuple[bool, ...], clicks: int) -> None:
    need_library("playwright")
    element = _Element(*heard)
    page_actions.click(element)
    assert element.clicks == clicks


@pytest.mark.slow
def test_a_click_that_leads_to_another_page_is_not_repeated() -> None:
    need_library("playwright")
    from playwright.sync_api import Error

    element = _Element(Error("Execution context was destroyed"), False)
    page_actions.click(element)
    assert element.clicks == 1


@pytest.mark.slow
def test_an_element_that_never_gets_a_click_is_a_failure() -> None:
    need_library("playwright")
    with pytest.raises(AssertionError, match="the button got no click"):
        page_actions.click(_Element(*[False] * 100))


class _Source:
    """A process with a fixed log."""

    def __init__(self, text: str, *, ended: bool = False) -> None:
        self.text = text
        self.ended = ended

    def died(self) -> bool:
        return self.ended

    def last_words(self) -> str:
        if not self.text:
            raise FileNotFoundError("its log")
        return self.text


@pytest.fixture(name="sources")
def sources_fixture(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    sources: list[Any] = []
    monkeypatch.setattr(failure_report, "_sources", sources)
    return sources


def _extended(*, failed: bool) -> list[tuple[str, str]]:
    report = SimpleNamespace(failed=failed, sections=[])
    failure_report.extend(report)
    return report.sections


@pytest.mark.usefixtures("sources")
def test_only_the_report_of_a_failure_gets_the_logs() -> None:
    assert _extended(failed=True) == []
    for text in ("---- n1 ----\nready", "", "---- n2 ----\nstopped"):
        failure_report.add(_Source(text))
    assert _extended(failed=False) == []
    ((_, text),) = _extended(failed=True)
    lines = text.splitlines()
    assert lines[:2] == ["---- n1 ----", "ready"]
    assert "its log" in lines[2]
    assert lines[3:] == ["---- n2 ----", "stopped"]


def test_a_process_that_ended_is_reported_on_until_the_next_test(sources: list[Any]) -> None:
    running, ended = _Source("---- n1 ----\n"), _Source("---- n2 ----\nTraceback", ended=True)
    for source in (running, ended, running):
        failure_report.add(source)
    assert sources == [running, ended]
    assert "Traceback" in failure_report.collected()
    failure_report.forget_ended()
    assert sources == [running]


@pytest.mark.usefixtures("sources")
def test_long_logs_share_the_report_and_keep_their_ends() -> None:
    for name in ("n1", "n2", "n3"):
        failure_report.add(_Source(f"---- {name} ----\nfirst line of {name}\n{'x' * 100_000}\nlast line of {name}"))
    text = failure_report.collected()
    assert len(text) < 1.1 * failure_report._LIMIT
    for name in ("n1", "n2", "n3"):
        assert f"---- {name} ----" in text
        assert f"last line of {name}" in text
        assert f"first line of {name}" not in text


def test_a_variable_that_is_read_at_the_start_needs_a_new_interpreter() -> None:
    command = companion_command("node", "--config", "n1.toml")
    assert preloaded.arguments_of(command, {"LBC_TOKEN": "t"}) == ["node", "--config", "n1.toml"]
    for name in ("PYTHONPATH", "PYTHONHASHSEED", "LD_PRELOAD"):
        assert preloaded.arguments_of(command, {name: "1"}) is None
    assert preloaded.arguments_of([sys.executable, "-m", "http.server"], {}) is None
    module = ["-m", "tests.support.queue_crawler", "folder", "{}"]
    assert preloaded.arguments_of([sys.executable, *module], {}) == module
    assert preloaded.arguments_of([sys.executable, *module], {"PYTHONPATH": "1"}) is None


#: A command that prints its own state, in the place of ``lbcompanion``.
_PRINT_STATE = """
import json, os, random, signal, socket, sys
from tests.support.preloaded import take_orders
arguments = take_orders(socket.socket(fileno=int(sys.argv[1])))
print(json.dumps({
    "arguments": arguments,
    "argv": sys.argv,
    "environment": dict(os.environ),
    "folder": os.getcwd(),
    "leads_session": os.getsid(0) == os.getpid(),
    "descriptors": [name for name in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{name}")],
    "input": sys.stdin.read(),
    "number": random.random(),
}))
sys.exit(3)
"""


@pytest.mark.network
def test_a_forked_process_inherits_neither_variables_nor_descriptors_nor_random_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LBC_OF_THE_PARENT", "1")
    parent = preloaded.Parent(("-c", _PRINT_STATE))
    states = []
    for name in ("n1", "n2"):
        folder = tmp_path / name
        folder.mkdir()
        log = tmp_path / f"{name}.log"
        order = {"arguments": ["node", name], "environment": {"LBC_NAME": name}, "folder": str(folder)}
        with log.open("wb") as output:
            pid = parent.ask(order, output.fileno())
        assert pid != os.getpid()
        assert parent.ask({"ended": pid}) == 3, log.read_text()
        states.append(json.loads(log.read_text()))
    parent.end()
    assert states[0].pop("number") != states[1].pop("number")
    assert states == [
        {
            "arguments": ["node", name],
            "argv": ["-c", "node", name],
            "environment": {"LBC_NAME": name},
            "folder": str(tmp_path / name),
            "leads_session": True,
            "descriptors": ["0", "1", "2"],
            "input": "",
        }
        for name in ("n1", "n2")
    ]


@pytest.mark.network
def test_a_balancer_has_stopped_when_its_port_is_free() -> None:
    """A worker process may hold the port longer than its master lives; the next balancer could not listen."""
    listening = socket.create_server(("127.0.0.1", 0))
    master = SimpleNamespace(kill=lambda: threading.Timer(0.3, listening.close).start(), ended=lambda: None)
    farm = SimpleNamespace(balanced=listening.getsockname()[1], children={"balancer": master})
    ProcessFarm.stop_balancer(farm)  # type: ignore[arg-type]
    assert not accepts(farm.balanced)
