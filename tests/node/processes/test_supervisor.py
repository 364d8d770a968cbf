"""A node of several processes: they serve one port, help each other, die and come again, and leave together."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from lbcompanion.node.processes.supervisor import Supervisor
from lbcompanion.protocol.tokens import is_valid_proof
from lbcompanion.testing.stopped_processes import stop_processes
from lbcompanion.testing.strategies import SECRET
from tests.support.commands import WAIT, read_on
from tests.support.in_memory_node import PAGE, VisitorResponse, read_responses, request, settings, without_tag
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
_VIEWED_AT = "2026-11-23T21:20:00Z"
# A page of which a first half is passed on before the second comes.
LONG = PAGE.replace(b"<p>", b"<p>" + b"word " * 4000)


@contextmanager
def only(node_process: NodeProcess, worker: int) -> Iterator[None]:
    """All other workers are stopped, so that new connections get this one."""
    others = [pid for number, pid in enumerate(pids(node_process)) if number != worker]
    try:
        stop_processes(others)
        yield
    finally:
        for pid in others:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def connected_to(node_process: NodeProcess, *workers: int) -> Iterator[list[socket.socket]]:
    """A connection to each of these workers."""
    made = []
    for worker in workers:
        with only(node_process, worker):
            asking = node_process.connect()
            ask_once(asking, request(b"/_lbc/whoami"))
            made.append(asking)
    yield made
    for asking in made:
        asking.close()


def page(asking: socket.socket) -> str:
    """Look at a page; its token."""
    answer = ask_once(asking, request(b"/page"))
    assert without_tag(answer.body) == PAGE
    return token_in(answer.body)


def asked(
    node_process: NodeProcess, worker: int, raw: bytes, method: bytes = b"GET", later: bool = False
) -> VisitorResponse:
    """One request to one worker; while a copy is on its way into the store, asked again, unless ``later``."""
    while True:
        with connected_to(node_process, worker) as (asking,):
            (answer,) = ask(asking, raw, methods=(method,))
        if answer.status != 503 or later:
            return answer


def fetched(node_process: NodeProcess, worker: int, token: str) -> tuple[bytes, VisitorResponse]:
    """A signed request for a copy, and its answer.

    A worker that does not answer its sibling within 5 s counts as one without the copy, so a stalled machine is asked
    again.
    """
    for _ in range(3):
        raw = signed(token)
        answer = asked(node_process, worker, raw)
        if answer.status != 404:
            break
    return raw, answer


@pytest.mark.parametrize("start_mode", START_MODES)
@pytest.mark.parametrize("store", ["memory:", "sqlite:///pages.db"])
def test_workers_have_one_another_s_copies(
    tmp_path: Path, application: RawApplication, start_mode: str, store: str
) -> None:
    more = f'[crawler]\nintake = ""\n[store]\nurl = "{store}"'
    with running_node(
        tmp_path, upstream(application), node="workers = 3", more=more, start_mode=start_mode
    ) as node_process:
        with connected_to(node_process, 0, 1, 2) as made:
            tokens = [page(asking) for asking in made]
        for token in tokens:
            for worker in range(3):
                raw, answer = fetched(node_process, worker, token)
                assert (answer.status, answer.body) == (200, PAGE)
                assert answer.get(b"lbc-via") == b"own"
                nonce = raw.partition(b"Lbc-Nonce: ")[2].partition(b"\r\n")[0].decode()
                told = [(answer.get(name) or b"").decode() for name in (b"lbc-proof", b"repr-digest")]
                assert is_valid_proof(told[0], SECRET, "n1", token, nonce, told[1])
        assert asked(node_process, 1, signed(tokens[0], "HEAD"), b"HEAD").get(b"content-length") == b"%d" % len(PAGE)
        # The first worker's copy is confirmed to the second, and the third knows.
        assert asked(node_process, 1, signed(tokens[0], "DELETE"), b"DELETE").status == 204
        for worker in (0, 1, 2):
            answer = asked(node_process, worker, signed(tokens[0]))
            assert (answer.status, answer.json["reason"]) == (404, "pulled")
        assert asked(node_process, 2, signed(tokens[0], "DELETE"), b"DELETE").status == 204
        assert asked(node_process, 2, signed(tokens[1])).status == 200
        node_status = node_process.ask_admin("/status").json
        assert node_status["captured"] == 3
        assert node_status["ready"] is True
        assert [one["serves"] for one in node_status["workers"]] == [True] * 3
        assert node_process.metric("lbcompanion_node_pages_captured_total") == 3
        assert node_process.metric("lbcompanion_node_workers") == 3
        if start_mode == "command":
            assert node_process.stop() == 0


def test_a_notice_gets_the_cookies_of_a_page_that_another_worker_captured(
    tmp_path: Path, application: RawApplication
) -> None:
    more = '[crawler]\nintake = "http://127.0.0.1:1"\n[sticky]\ncookies = ["SRV"]'
    with running_node(tmp_path, upstream(application), node="workers = 2", more=more) as node_process:
        with connected_to(node_process, 0) as (asking,):
            token = token_in(ask_once(asking, request(b"/page", b"Cookie: SRV=n1; login=secret")).body)
        notice = {"token": token, "url": "http://www.example.com/page", "cookies": {}, "viewed_at": _VIEWED_AT}
        body = json.dumps(notice).encode()
        raw = request(b"/_lbc/notice", LAST, b"Content-Length: %d" % len(body), method=b"POST") + body
        assert asked(node_process, 1, raw, b"POST").status == 204
        state = tmp_path / "state"
        with closing(sqlite3.connect(next(state.rglob("notices.db")))) as spool:
            ((written,),) = spool.execute("SELECT notice FROM waiting WHERE token = ?", (token,))
        assert json.loads(written)["notices"][0]["cookies"] == {"SRV": "n1"}


def test_reasons_go_round(tmp_path: Path, application: RawApplication) -> None:
    more = '[crawler]\nintake = ""\n[store]\nmax_pages = 1\nmax_seconds = 6\npull_grace_seconds = 0'
    with running_node(tmp_path, upstream(application), node="workers = 2", more=more) as node_process:
        with connected_to(node_process, 0, 0, 1) as made:
            evicted, held, pulled = [page(asking) for asking in made]
        assert asked(node_process, 1, signed(evicted)).json["reason"] == "evicted"
        # Sent whole once, by whichever worker, and its grace is over.
        assert asked(node_process, 0, signed(pulled)).status == 200
        wait_until(lambda: asked(node_process, 0, signed(pulled)).status == 404)
        assert asked(node_process, 1, signed(pulled)).json["reason"] == "pulled"
        wait_until(lambda: asked(node_process, 1, signed(held, "HEAD"), b"HEAD").status == 404)
        assert asked(node_process, 1, signed(held)).json["reason"] == "expired"
        forged = "1" + "A" * 30 + "n1"
        assert asked(node_process, 0, signed(forged)).json["reason"] == "unknown"


def test_a_page_on_its_way_elsewhere_is_worth_waiting_for(tmp_path: Path) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    upstream = f"tcp:127.0.0.1:{server.getsockname()[1]}"
    with server, running_node(tmp_path, upstream, node="workers = 2") as node_process:
        with connected_to(node_process, 0) as (asking,):
            asking.sendall(request(b"/page", LAST))
            application = wait_for_request(server)
            application.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + LONG[:18000])
            found = read_on(asking, lambda found: b"data-lbc-token" in found and b"</script>" in found)
            token = token_in(found)
            answer = asked(node_process, 1, signed(token), later=True)
            assert (answer.status, answer.get(b"retry-after")) == (503, b"1")
            application.sendall(LONG[18000:])
            application.close()
            read_on(asking)
        assert asked(node_process, 1, signed(token)).body == LONG


def wait_for_request(server: socket.socket) -> socket.socket:
    """The connection on which a request comes; those that only look whether somebody is there are let go."""
    server.settimeout(WAIT)
    while True:
        connection, _ = server.accept()
        connection.settimeout(WAIT)
        if connection.recv(65536):
            return connection
        connection.close()


@pytest.mark.parametrize("start_mode", START_MODES)
def test_a_worker_that_is_killed_comes_again(tmp_path: Path, application: RawApplication, start_mode: str) -> None:
    with running_node(tmp_path, upstream(application), node="workers = 2", start_mode=start_mode) as node_process:
        first, second = pids(node_process)
        with connected_to(node_process, 1) as (asking,):
            token = page(asking)
            before = node_process.metric("lbcompanion_node_requests_total")
            # What waits in the port's queue while a worker dies is another's to take.
            stop_processes([first])
            os.kill(first, signal.SIGKILL)
            for _ in range(100):
                (answer,) = node_process.ask(request(b"/page", LAST))
                assert answer.status == 200
            assert page(asking)
            wait_until(lambda: node_process.metric("lbcompanion_node_workers") == 2, node_process.log_text())
            assert pids(node_process)[1] == second
            assert node_process.metric("lbcompanion_node_worker_restarts") == 1
            # What the dead one counted stays counted.
            assert node_process.metric("lbcompanion_node_requests_total") >= before + 101
        assert asked(node_process, 0, signed(token)).status == 200
        assert node_process.log_text().count("worker died") == 1


def test_one_that_dies_again_and_again_is_started_later_and_later(tmp_path: Path, application: RawApplication) -> None:
    with running_node(tmp_path, upstream(application), node="workers = 2") as node_process:
        first = pids(node_process)[0]
        for times in (1, 2, 3):
            # As soon as it is there, it is gone again: before it could be called steady.
            there = wait_until(lambda: [pid for pid in pids(node_process)[:1] if pid])[0]
            os.kill(there, signal.SIGKILL)
            wait_until(lambda times=times: node_process.log_text().count("worker died") == times)
            assert "1 of 2 workers do not serve" in node_process.ask_admin("/readyz").body.decode()
            assert node_process.ask_admin("/readyz").status == 200
        waits = [line.rpartition(" in ")[2] for line in node_process.log_text().splitlines() if "worker died" in line]
        assert waits in (["0.4 s", "0.8 s", "1.6 s"], ["0.2 s", "0.4 s", "0.8 s"])  # the first may have been steady
        wait_until(lambda: node_process.metric("lbcompanion_node_workers") == 2)
        assert pids(node_process)[0] != first


def test_a_worker_that_cannot_be_started_now_is_started_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may have no process or no descriptor left for some time."""
    clock, tried = Clock(), list[float]()

    def spawn(_supervisor: Supervisor, _worker: object) -> None:
        tried.append(clock.seconds())
        if len(tried) < 4:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(Supervisor, "_spawn", spawn)
    supervisor = Supervisor(settings=settings(), reactor=clock)
    supervisor._all_ready.callback(None)
    supervisor.on_exit(supervisor._workers[0], "killed")
    for _ in range(600):
        clock.advance(0.1)
    waits = [later - earlier for earlier, later in pairwise(tried)]
    assert len(tried) == 4
    assert waits == sorted(waits)
    assert not clock.getDelayedCalls()


def test_a_worker_that_is_starting_reloads_when_it_is_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have read the old certificate before the signal came, and would show it until the next one."""
    sent = list[tuple[int, str]]()

    class Process:
        def __init__(self, number: int) -> None:
            self.number = number

        def writeToChild(self, _descriptor: int, _data: bytes) -> None:
            pass

        def signalProcess(self, name: str) -> None:
            sent.append((self.number, name))

    class Reactor(Clock):
        def spawnProcess(self, protocol: Any, *_command: object, **_options: object) -> Process:
            return Process(protocol._worker.number)

    supervisor = Supervisor(settings=settings(node={"workers": 2}), reactor=Reactor())
    one, other = supervisor._workers
    for worker in (one, other):
        supervisor._spawn(worker)
    supervisor.on_ready(one)
    supervisor.reload()
    assert sent == [(1, "HUP")]
    supervisor.on_ready(other)
    assert sent == [(1, "HUP"), (2, "HUP")]
    # One that starts after the signal reads the new files.
    supervisor._spawn(other)
    supervisor.on_ready(other)
    assert len(sent) == 2


@pytest.mark.parametrize("start_mode", START_MODES)
def test_all_finish_and_leave(tmp_path: Path, application: RawApplication, start_mode: str) -> None:
    application.go_on.clear()
    with running_node(tmp_path, upstream(application), node="workers = 2", start_mode=start_mode) as node_process:
        there = pids(node_process)
        with connected_to(node_process, 0, 1, 0) as (one, other, idle):
            for asking in (one, other):
                application.slow.clear()
                asking.sendall(request(b"/slow"))
                assert application.slow.wait(WAIT)
            life = node_process.processes[-1]
            life.send_signal(signal.SIGTERM)
            wait_until(lambda: node_process.ask_admin("/readyz").status == 503)
            node_process.ask_admin("/readyz")
            assert idle.recv(10) == b""
            assert life.poll() is None
            application.go_on.set()
            for asking in (one, other):
                (answer,) = read_responses(read_on(asking), [b"GET"], True)
                assert answer.body == b"abcd"
        assert life.wait(WAIT) == (0 if start_mode == "command" else -signal.SIGTERM)
        assert not any(map(is_there, there))
        assert node_process.log_text().count("0 connections cut") == 2
        assert not list((tmp_path / "state").rglob("*.sock"))
        assert not list((tmp_path / "state").rglob("*.control"))


@pytest.mark.parametrize("start_mode", START_MODES)
def test_without_their_supervisor_workers_leave(tmp_path: Path, application: RawApplication, start_mode: str) -> None:
    with running_node(tmp_path, upstream(application), node="workers = 2", start_mode=start_mode) as node_process:
        there = pids(node_process)
        node_process.processes[-1].kill()
        wait_until(lambda: not any(map(is_there, there)), "workers are still there")
        with pytest.raises(ConnectionRefusedError):
            node_process.connect()


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path, application: RawApplication) -> None:
    node_process = NodeProcess(tmp_path, upstream(application), node="workers = 2")
    (tmp_path / "state").mkdir()
    (tmp_path / "state/siblings").write_text("no folder")
    life = node_process.start()
    assert life.wait(WAIT) == 1
    assert "not started" in node_process.log_text()
    assert "state" in node_process.log_text()
    assert "Traceback" not in node_process.log_text()


class _Intake(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.notices.extend(json.loads(body)["notices"])  # type: ignore[attr-defined]
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def intake() -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Intake)
    server.notices = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def notice(asking: socket.socket, token: str) -> None:
    """Tell that a page was viewed."""
    said = {"token": token, "url": "http://www.example.com/page", "cookies": {}, "viewed_at": "2026-11-23T21:10:00Z"}
    body = json.dumps(said).encode()
    head = request(b"/_lbc/notice", b"Content-Length: %d" % len(body), method=b"POST")
    asking.sendall(head + body)
    assert b" 204 " in read_on(asking, lambda found: found.endswith(b"\r\n\r\n"))


def test_one_worker_delivers_everybody_s_notices(tmp_path: Path, application: RawApplication) -> None:
    with intake() as crawler:
        more = f'[crawler]\nintake = "http://127.0.0.1:{crawler.server_address[1]}"'
        with running_node(tmp_path, upstream(application), node="workers = 3", more=more) as node_process:
            with connected_to(node_process, 0, 1, 2) as made:
                tokens = [page(asking) for asking in made]
                # Each notice lands at a worker that has not got the copy.
                for asking, token in zip([*made[1:], made[0]], tokens, strict=True):
                    notice(asking, token)
            wait_until(lambda: len(crawler.notices) >= 3, "notices did not arrive")
            time.sleep(0.2)
            assert sorted(one["token"] for one in crawler.notices) == sorted(tokens)
            assert {one["page_url"] for one in crawler.notices} == {"http://www.example.com/page"}
            assert node_process.metric('lbcompanion_node_notices_total{what="delivered"}') == 3
            # The one that delivers dies, and the next of its number goes on.
            with suppress(ProcessLookupError):
                os.kill(pids(node_process)[0], signal.SIGKILL)
            with node_process.connect() as asking:
                token = page(asking)
                notice(asking, token)
            wait_until(lambda: token in {one["token"] for one in crawler.notices}, "the notice did not arrive")
