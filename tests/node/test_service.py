"""The companion as a process, before a real application: by the command (asyncio's transports) and by twistd."""

from __future__ import annotations

import gzip
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lbcompanion.demo.processes import companion_command
from lbcompanion.node.health import CONTROL, SIBLINGS, SPOOL
from lbcompanion.protocol.signatures import Signer
from lbcompanion.testing.strategies import SECRET
from tests.support import failure_report
from tests.support.commands import ROOT, TWISTD, WAIT, read_all, read_on
from tests.support.failure_report import LoggedProcess
from tests.support.in_memory_node import PAGE, VisitorResponse, read_responses, request, without_tag
from tests.support.node_process import balancer_checks
from tests.support.ports import free_port
from tests.support.raw_application import BIG, RawApplication

pytestmark = pytest.mark.network


class Node:
    """A running companion."""

    def __init__(self, folder: Path, upstream: int, start_mode: str, more: str = "", intake: str = "") -> None:
        self.port, self.admin = free_port(), free_port()
        (folder / "farm.secret").write_bytes(SECRET + b"\n")
        self.file = folder / "node.toml"
        self.file.write_text(
            f"""[node]
name = "n1"
listen = ["tcp:{self.port}:interface=127.0.0.1"]
upstream = "tcp:127.0.0.1:{upstream}"
secret_file = "farm.secret"
admin = "tcp:{self.admin}:interface=127.0.0.1"
[crawler]
intake = "{intake}"
{more}
"""
        )
        twistd = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "lbcompanion", "--config", str(self.file)]
        command = twistd if start_mode == "twistd" else companion_command("node", "--config", str(self.file))
        self.log = folder / "log"
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        failure_report.add(LoggedProcess("node", self.log, self.process))

    def wait_until_ready(self) -> None:
        end = time.monotonic() + WAIT
        while True:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            try:
                if self.ask_admin("/readyz").status == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)

    def ask_admin(self, path: str) -> VisitorResponse:
        with socket.create_connection(("127.0.0.1", self.admin), WAIT) as asking:
            asking.sendall(request(path.encode(), b"Connection: close", host=b"127.0.0.1"))
            (answer,) = read_responses(read_all(asking), [b"GET"], True)
            return answer

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), WAIT)

    def ask(self, *pieces: bytes, methods: tuple[bytes, ...] = (b"GET",), half: bool = False) -> list[VisitorResponse]:
        """Ask and read until the companion closes; the last request should say so."""
        with self.connect() as asking:
            for piece in pieces:
                asking.sendall(piece)
            if half:
                asking.shutdown(socket.SHUT_WR)
            return read_responses(read_on(asking), methods, True)

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        with balancer_checks(lambda: self.ask_admin("/readyz")):
            return self.process.wait(WAIT)


@contextmanager
def running(folder: Path, upstream: int, start_mode: str, more: str = "") -> Iterator[Node]:
    node = Node(folder, upstream, start_mode, more)
    try:
        try:
            node.wait_until_ready()
        except AssertionError:
            if "Address already in use" not in node.log.read_text():
                raise
            # Somebody else was given the port in the meantime.
            node = Node(folder, upstream, start_mode, more)
            node.wait_until_ready()
        yield node
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()


@pytest.fixture(name="node", scope="module", params=["command", "twistd"])
def _node(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, application: RawApplication
) -> Iterator[Node]:
    folder = tmp_path_factory.mktemp(request.param)
    with running(folder, application.server_address[1], request.param) as node:
        yield node
        assert "Traceback" not in node.log.read_text()
        assert "Unhandled" not in node.log.read_text()


LAST = b"Connection: close"


def test_a_page_is_captured_and_fetched(node: Node) -> None:
    (answer,) = node.ask(request(b"/page", LAST))
    assert without_tag(answer.body) == PAGE != answer.body
    token = answer.body.partition(b'data-lbc-token="')[2].partition(b'"')[0].decode()
    path = f"/_lbc/page/{token}"
    signed = Signer(SECRET).sign("GET", f"http://www.example.com{path}", "n", time.time())
    (copy,) = node.ask(request(path.encode(), LAST, *(f"{key}: {value}".encode() for key, value in signed)))
    assert (copy.status, copy.body) == (200, PAGE)
    log = node.log.read_text()
    assert token not in log
    assert SECRET.decode() not in log


def test_pipelined_requests(node: Node) -> None:
    targets = [b"/page", b"/gzip", b"/_lbc/whoami", b"/chunked", b"/close", b"/robots.txt"] * 5
    raw = b"".join(request(target, b"Accept-Encoding: gzip") for target in targets) + request(b"/page", LAST)
    answers = node.ask(raw, methods=(b"GET",) * (len(targets) + 1))
    assert len(answers) == len(targets) + 1
    for target, answer in zip(targets, answers, strict=False):
        body = gzip.decompress(answer.body) if target == b"/gzip" else answer.body
        if target in {b"/page", b"/gzip", b"/close"}:
            assert without_tag(body) == PAGE
        elif target == b"/chunked":
            assert body == BIG


@pytest.mark.parametrize("target", [b"/big", b"/chunked"])
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
def test_a_slow_reader_gets_everything_before_the_close(node: Node, target: bytes, version: bytes) -> None:
    with node.connect() as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 262144)
        asking.sendall(request(target, LAST, version=version))
        time.sleep(0.3)
        (answer,) = read_responses(read_on(asking), [b"GET"], True)
    assert answer.complete
    assert answer.body == BIG


def test_a_large_body_is_passed_on(node: Node) -> None:
    head = request(b"/echo", LAST, b"Content-Length: %d" % len(BIG), method=b"POST")
    (answer,) = node.ask(head, BIG, methods=(b"POST",))
    assert answer.body == BIG
    head = request(b"/echo", LAST, b"Transfer-Encoding: chunked", method=b"POST")
    (answer,) = node.ask(head, b"%x\r\n" % len(BIG) + BIG + b"\r\n0\r\n\r\n", methods=(b"POST",))
    assert answer.body == BIG


def test_an_early_answer_reaches_a_visitor_who_still_sends(node: Node) -> None:
    for target, status in ((b"/_lbc/notice", 413), (b"/a b", 400)):
        with node.connect() as asking:
            asking.sendall(request(target, b"Content-Length: 3000000", method=b"POST"))
            for _ in range(30):
                try:
                    asking.sendall(bytes(100_000))
                except OSError:
                    break
            (answer,) = read_responses(read_on(asking), [b"POST"], True)
        assert answer.status == status


def test_a_head_that_is_too_large_gets_its_answer(node: Node) -> None:
    (answer,) = node.ask(request(b"/", b"X: " + b"a" * 500_000))
    assert answer.status == 431


def test_a_visitor_who_closes_its_own_direction_gets_its_answers(node: Node) -> None:
    answers = node.ask(request(b"/page") * 3, methods=(b"GET",) * 3, half=True)
    assert [without_tag(answer.body) for answer in answers] == [PAGE] * 3


def test_an_application_that_dies_is_seen(node: Node) -> None:
    (answer,) = node.ask(request(b"/dies"))
    assert (answer.status, answer.complete) == (200, False)


def test_a_tunnel(node: Node) -> None:
    with node.connect() as asking:
        asking.sendall(request(b"/ws", b"Connection: Upgrade", b"Upgrade: websocket"))
        found = read_on(asking, lambda found: found.endswith(b"\r\n\r\n"))
        assert found.startswith(b"HTTP/1.1 101")
        asking.sendall(b"\0\xffGET")
        assert read_on(asking, lambda found: len(found) >= 5) == b"\0\xffGET"
        asking.shutdown(socket.SHUT_WR)
        assert read_on(asking) == b""


def test_the_admin_listener(node: Node) -> None:
    node.ask(request(b"/page", LAST))
    assert node.ask_admin("/healthz").status == 200
    assert node.ask_admin("/readyz").json == {"ready": True, "wrong": []}
    metrics = node.ask_admin("/metrics").body
    assert b"lbcompanion_node_pages_captured_total" in metrics
    assert b'lbcompanion_node_responses_total{status="200"}' in metrics
    for name in (
        b"upstream_open",
        b"upstream_waiting 0.0",
        b"upstream_workers 0.0",
        b"upstream_waited_total 0.0",
        b"upstream_made_way_total",
    ):
        assert b"\nlbcompanion_node_" + name in metrics
    status = node.ask_admin("/status").json
    assert status["node"] == "n1"
    assert status["failed_open"] == {}


@pytest.mark.parametrize("start_mode", ["command", "twistd"])
def test_running_requests_end_before_the_process_does(
    tmp_path: Path, application: RawApplication, start_mode: str
) -> None:
    application.slow.clear()
    application.go_on.clear()
    with (
        running(tmp_path, application.server_address[1], start_mode) as node,
        node.connect() as asking,
        node.connect() as idle,
    ):
        asking.sendall(request(b"/slow"))
        assert application.slow.wait(WAIT)
        node.process.send_signal(signal.SIGTERM)
        end = time.monotonic() + WAIT
        while node.ask_admin("/readyz").status != 503:
            assert time.monotonic() < end
            time.sleep(0.05)
        node.ask_admin("/readyz")
        assert idle.recv(10) == b""
        time.sleep(0.1)
        assert node.process.poll() is None
        application.go_on.set()
        (answer,) = read_responses(read_on(asking), [b"GET"], True)
        assert answer.body == b"abcd"
        code = node.process.wait(WAIT)
        assert code == (0 if start_mode == "command" else -signal.SIGTERM)
        assert "0 connections cut" in node.log.read_text()


def test_a_node_without_its_application_serves_and_says_so(tmp_path: Path) -> None:
    node = Node(tmp_path, free_port(), "command")
    try:
        end = time.monotonic() + WAIT
        while True:
            assert time.monotonic() < end
            try:
                ready = node.ask_admin("/readyz")
            except OSError:
                time.sleep(0.05)
                continue
            if ready.status == 503:
                break
            time.sleep(0.05)
        assert ready.json["wrong"] == ["the application cannot be reached"]
        assert [answer.status for answer in node.ask(request(b"/", LAST))] == [502]
        assert node.ask(request(b"/_lbc/whoami", LAST))[0].json == {"node": "n1"}
        assert node.stop() == 0
        assert node.log.read_text().count("application not reached") == 1
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()


def test_a_state_folder_that_cannot_be_written_stops_no_visitor(tmp_path: Path, application: RawApplication) -> None:
    """Each part has its own word and its own lines; all but the siblings' folder are tried again."""
    state = tmp_path / "state"
    for folder in (state / "notices.db", state / "n1.control"):
        folder.mkdir(parents=True)
    (state / "siblings").write_text("not a folder")
    broken = [
        SIBLINGS,
        CONTROL,
        SPOOL,
    ]
    node = Node(tmp_path, application.server_address[1], "command", intake=f"http://127.0.0.1:{free_port()}")

    def wait_for_problems(problems: set[str]) -> None:
        end = time.monotonic() + WAIT
        while set(node.ask_admin("/readyz").json["wrong"]) != problems:
            assert time.monotonic() < end, node.ask_admin("/readyz").json
            time.sleep(0.2)

    try:
        node.wait_until_ready()
        wait_for_problems({part.problem for part in broken})
        (page,) = node.ask(request(b"/page", LAST))
        assert page.status == 200
        for folder in (state / "notices.db", state / "n1.control"):
            folder.rmdir()
        wait_for_problems({SIBLINGS.problem})
        assert node.stop() == 0
        log = node.log.read_text()
        assert [log.count(f"{part.broken}: ") for part in broken] == [1, 1, 1]
        assert [log.count(part.works) for part in broken] == [0, 1, 1]
        assert "Traceback" not in log
    finally:
        if node.process.poll() is None:
            node.process.kill()
            node.process.wait()


def test_a_port_in_use_ends_the_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        node_port = taken.getsockname()[1]
        file = tmp_path / "node.toml"
        (tmp_path / "farm.secret").write_bytes(SECRET)
        file.write_text(
            f'[node]\nname = "n1"\nlisten = ["tcp:{node_port}:interface=127.0.0.1"]\nupstream = "tcp:127.0.0.1:1"\n'
            f'secret_file = "farm.secret"\nadmin = "tcp:{free_port()}:interface=127.0.0.1"\n'
        )
        done = subprocess.run(
            companion_command("node", "--config", str(file)),
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=WAIT,
            check=False,
        )
    assert done.returncode == 1, done.stderr
    assert str(node_port) in done.stderr
    assert "Traceback" not in done.stderr
