"""A new process takes a node's ports over: no connection is refused or cut, and no copy is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lbcompanion.demo.processes import companion_command
from tests.support.commands import ROOT, WAIT, read_on
from tests.support.in_memory_node import PAGE, request, without_tag
from tests.support.listener_certificates import AUTHORITY, IN_TLS
from tests.support.node_process import (
    START_MODES,
    NodeProcess,
    ask,
    ask_once,
    running_node,
    signed,
    token_in,
    wait_until,
)
from tests.support.raw_application import RawApplication
from tests.support.worker_processes import is_there, pids, upstream

pytestmark = pytest.mark.network

LAST = b"Connection: close"


class Visitors:
    """Open connections all the time, one after the other, and look at a page on each.

    :ivar failed: what went wrong, in words.
    """

    def __init__(self, node_process: NodeProcess, tls: bool) -> None:
        self._stand = node_process
        self._tls = tls
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._visit) for _ in range(2)]
        self.failed: list[str] = []
        self.tokens: list[str] = []

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _visit(self) -> None:
        for _ in range(1000):
            if self._done.is_set():
                return
            try:
                with self._stand.connect_tls(AUTHORITY.pem) if self._tls else self._stand.connect() as asking:
                    time.sleep(0.02)  # so that some are open and silent when the old process closes its listener
                    (answer,) = ask(asking, request(b"/page", LAST))
                assert without_tag(answer.body) == PAGE
                self.tokens.append(token_in(answer.body))
            except Exception as error:
                self.failed.append(repr(error))
            # Few pages a second: a process starts slowly on a busy machine, and all copies are handed over in seconds.
            time.sleep(0.06 if len(self.tokens) < 100 else 0.5)


def take_over(node_process: NodeProcess, start_mode: str) -> subprocess.Popen[bytes]:
    """Start a new process, and wait until it has said that it took over."""
    before = node_process.log_text().count("taken over")
    life = node_process.start(start_mode, "--take-over")

    def taken() -> bool:
        assert life.poll() is None, node_process.log_text()
        return node_process.log_text().count("taken over") > before

    wait_until(taken, "not taken over", 3 * WAIT)
    return life


@pytest.mark.parametrize("start_mode", START_MODES)
@pytest.mark.parametrize("kind", ["alone", "workers", "tls"])
def test_visitors_see_nothing(tmp_path: Path, application: RawApplication, start_mode: str, kind: str) -> None:
    AUTHORITY.write(tmp_path, "a", "www.example.com")
    listen = (IN_TLS,) if kind == "tls" else ("tcp:{port}:interface=127.0.0.1", "unix:lbc.sock")
    node = "workers = 2" if kind == "workers" else ""
    application.go_on.clear()
    application.slow.clear()
    with running_node(tmp_path, upstream(application), *listen, node=node, start_mode=start_mode) as node_process:
        old = node_process.processes[0]
        connect = (lambda: node_process.connect_tls(AUTHORITY.pem)) if kind == "tls" else node_process.connect
        with Visitors(node_process, kind == "tls") as visitors, connect() as slow, connect() as idle:
            wait_until(lambda: len(visitors.tokens) >= 10)
            ask_once(idle, request(b"/page"))
            slow.sendall(request(b"/slow"))
            assert application.slow.wait(WAIT)
            take_over(node_process, start_mode)
            # What runs in the old process goes on, and what rests there is closed.
            assert idle.recv(100) == b""
            assert old.poll() is None
            assert node_process.ask_admin("/readyz").status == 200
            application.go_on.set()
            assert read_on(slow).endswith(b"abcd")
            assert old.wait(WAIT) == 0
            so_far = len(visitors.tokens)
            wait_until(lambda: len(visitors.tokens) >= so_far + 10, str((visitors.failed[:5], so_far)))
        assert visitors.failed == []
        assert len(visitors.tokens) > 20
        # Every copy that the old process had is the new one's.
        for token in visitors.tokens[:200]:
            with connect() as asking:
                (answer,) = ask(asking, signed(token) if kind != "tls" else signed(token, scheme="https"))
            assert (answer.status, answer.body, answer.get(b"lbc-via")) == (200, PAGE, b"own"), node_process.log_text()
        assert node_process.ask_admin("/readyz").json == {"ready": True, "wrong": []}
        if kind != "tls":
            assert (tmp_path / "lbc.sock").exists()
        assert node_process.stop() in {0, -signal.SIGTERM}
        assert not (tmp_path / "lbc.sock").exists()


def test_a_node_may_change_from_one_process_to_several_and_back(tmp_path: Path, application: RawApplication) -> None:
    with running_node(tmp_path, upstream(application)) as node_process:
        (answer,) = node_process.ask(request(b"/page", LAST))
        token = token_in(answer.body)
        written = node_process.file.read_text()
        node_process.file.write_text(written.replace("[crawler]", "workers = 2\n[crawler]"))
        take_over(node_process, "command")
        assert node_process.processes[0].wait(WAIT) == 0
        workers = pids(node_process)
        assert len(workers) == 2
        for _ in range(4):
            (answer,) = node_process.ask(signed(token))
            assert answer.status == 200
        node_process.file.write_text(written)
        take_over(node_process, "command")
        assert node_process.processes[1].wait(WAIT) == 0
        assert not any(map(is_there, workers))
        (answer,) = node_process.ask(signed(token))
        assert answer.status == 200
        assert node_process.stop() == 0


def test_where_nobody_runs_it_is_a_start_as_any_other(tmp_path: Path, application: RawApplication) -> None:
    node_process = NodeProcess(tmp_path, upstream(application))
    life = node_process.start("command", "--take-over")
    try:
        node_process.wait_until_ready()
        assert node_process.stop() == 0
    finally:
        if life.poll() is None:
            life.kill()
            life.wait()


def test_a_successor_that_fails_leaves_the_old_one_serving(tmp_path: Path, application: RawApplication) -> None:
    with running_node(tmp_path, upstream(application)) as node_process:
        written = node_process.file.read_text()
        node_process.file.write_text(written.replace('listen = ["', 'listen = ["tcp:1:interface=192.0.2.1", "'))
        life = node_process.start("command", "--take-over")
        assert life.wait(3 * WAIT) == 1
        assert "cannot listen on tcp:1:interface=192.0.2.1" in node_process.log_text()
        (answer,) = node_process.ask(request(b"/page", LAST))
        assert answer.status == 200
        assert node_process.ask_admin("/readyz").status == 200
        # And another may still try.
        node_process.file.write_text(written)
        take_over(node_process, "command")
        assert node_process.processes[0].wait(WAIT) == 0


def test_a_second_start_without_it_changes_nothing(tmp_path: Path, application: RawApplication) -> None:
    with running_node(tmp_path, upstream(application)) as node_process:
        assert node_process.start().wait(3 * WAIT) == 1
        assert "Address already in use" in node_process.log_text()
        (answer,) = node_process.ask(request(b"/page", LAST))
        assert answer.status == 200
        node_process.processes.reverse()
        assert node_process.stop() == 0


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("store", ["memory:", "sqlite:///pages.db"])
def test_drain_waits_for_the_end_and_tells(
    tmp_path: Path, application: RawApplication, workers: int, store: str
) -> None:
    more = f'[crawler]\nintake = ""\n[store]\nurl = "{store}"'
    with running_node(tmp_path, upstream(application), node=f"workers = {workers}", more=more) as node_process:
        (answer,) = node_process.ask(request(b"/page", LAST))
        assert answer.status == 200
        command = companion_command("drain", "--config", str(node_process.file), "--json")
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with node_process.checked():
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert (said["node"], said["stopped"]) == ("n1", True)
        if store == "memory:":
            assert said["copies"] == {"lost": 1}
        elif workers == 1:
            assert said["copies"] == {"kept": 1}
        assert node_process.processes[0].wait(WAIT) == 0
        assert f"copies {'lost' if store == 'memory:' else 'kept'}: 1" in node_process.log_text()
        again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert again.returncode == 1
        assert "no node n1 runs" in again.stderr
