"""A companion as processes, for tests: configured, started by the command or by twistd, asked, signalled."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from lbcompanion.demo.processes import companion_command
from lbcompanion.protocol.signatures import Signer
from lbcompanion.testing.strategies import SECRET
from tests.support import failure_report
from tests.support.commands import ROOT, TWISTD, WAIT, read_all, read_on
from tests.support.failure_report import LoggedProcess
from tests.support.in_memory_node import VisitorResponse, read_responses, request
from tests.support.ports import free_port

START_MODES = ("command", "twistd")
#: A reactor without an asyncio loop: connections are on Twisted's own transports.
TWISTED_TRANSPORTS = "twisted --reactor=epoll"


def wait_until(condition: Callable[[], Any], what: str = "it is not so", seconds: float = WAIT) -> Any:
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


@contextmanager
def balancer_checks(check: Callable[[], object]) -> Iterator[None]:
    """Check a node's readiness all the time, as a balancer does.

    A node that was checked lately and leaves waits up to 5 s, until two checks have heard of it.
    """
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(0.05):
            with suppress(Exception):  # a process that ends may break off in the middle of an answer
                check()

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


class NodeProcess:
    """One node.

    :param listen: endpoint strings, in which ``{port}`` is a free port.
    """

    def __init__(
        self, folder: Path, upstream: str, *listen: str, node: str = "", more: str = '[crawler]\nintake = ""'
    ) -> None:
        self.folder = folder
        self.port, self.admin = free_port(), free_port()
        (folder / "farm.secret").write_bytes(SECRET + b"\n")
        listening = [one.format(port=self.port) for one in listen or ("tcp:{port}:interface=127.0.0.1",)]
        self.file = folder / "node.toml"
        self.file.write_text(
            f"""[node]
name = "n1"
listen = {json.dumps(listening)}
upstream = {json.dumps(upstream)}
secret_file = "farm.secret"
admin = "tcp:{self.admin}:interface=127.0.0.1"
{node}
{more}
"""
        )
        self.processes: list[subprocess.Popen[bytes]] = []
        self.log = folder / "log"

    def start(self, start_mode: str = "command", *options: str) -> subprocess.Popen[bytes]:
        """Start a process; more than one may run."""
        return self._run(self._command(start_mode, *options))

    def start_with_sockets(self, start_mode: str, listening: socket.socket, name: str) -> subprocess.Popen[bytes]:
        """Start it as systemd does, with an open socket (sd_listen_fds(3))."""
        output = {"LISTEN_FDS": "1", "LISTEN_FDNAMES": name}
        code = (
            "import os, sys; os.dup2(int(sys.argv[1]), 3); os.environ['LISTEN_PID'] = str(os.getpid());"
            "os.execv(sys.argv[2], sys.argv[2:])"
        )
        number = str(listening.fileno())
        command = [sys.executable, "-c", code, number, *self._command(start_mode)]
        return self._run(command, output, pass_fds=(listening.fileno(),))

    def _command(self, start_mode: str, *options: str) -> list[str]:
        arguments = ["--config", str(self.file), *options]
        if start_mode == TWISTED_TRANSPORTS:
            return [sys.executable, "-m", *TWISTED_TRANSPORTS.split(), "lbcompanion", *arguments]
        twistd = [sys.executable, "-c", TWISTD, "-n", "--pidfile=", "lbcompanion", *arguments]
        return twistd if start_mode == "twistd" else companion_command("node", *arguments)

    def _run(self, command: list[str], output: dict[str, str] | None = None, **more: Any) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), **(output or {})}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=subprocess.STDOUT, **more
            )
        self.processes.append(process)
        failure_report.add(LoggedProcess("node", self.log, process))
        return process

    def log_text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_ready(self) -> None:
        def ready() -> bool:
            assert self.processes[-1].poll() is None, self.log_text()
            with suppress(OSError):
                return self.ask_admin("/readyz").status == 200
            return False

        # Several processes begin at once, on a machine that may have other work.
        end = time.monotonic() + 3 * WAIT
        while not ready():
            assert time.monotonic() < end, self.log_text()
            time.sleep(0.05)

    def ask_admin(self, path: str) -> VisitorResponse:
        with socket.create_connection(("127.0.0.1", self.admin), WAIT) as client:
            client.sendall(request(path.encode(), b"Connection: close", host=b"127.0.0.1"))
            (answer,) = read_responses(read_all(client), [b"GET"], True)
            return answer

    def metric(self, name: str) -> float:
        for line in self.ask_admin("/metrics").body.decode().splitlines():
            if line.startswith(name + " "):
                return float(line.rpartition(" ")[2])
        return 0.0

    def connect(self, host: str = "127.0.0.1") -> socket.socket:
        return socket.create_connection((host, self.port), WAIT)

    def connect_tls(self, roots: bytes, before: bytes = b"", tls_over_memory: bool = False) -> ssl.SSLSocket:
        """Speak TLS, behind some bytes in the clear.

        :param tls_over_memory: send those in one piece with the first bytes of TLS.
        """
        context = ssl.create_default_context(cadata=roots.decode())
        context.set_alpn_protocols(["h2", "http/1.1"])
        plain: Any = self.connect()
        if tls_over_memory:
            return TlsSocket(plain, before, context).handshake()
        if before:
            plain.sendall(before)
        return context.wrap_socket(plain, server_hostname="www.example.com")

    def ask(self, *pieces: bytes, methods: tuple[bytes, ...] = (b"GET",)) -> list[VisitorResponse]:
        with self.connect() as client:
            return ask(client, *pieces, methods=methods)

    def stop(self) -> int:
        """Have the youngest process stop, and tell its exit code."""
        process = self.processes[-1]
        process.send_signal(signal.SIGTERM)
        with self.checked():
            return process.wait(WAIT)

    def checked(self) -> AbstractContextManager[None]:
        """Have a balancer check it meanwhile."""
        return balancer_checks(lambda: self.ask_admin("/readyz"))


class TlsSocket:
    """A TLS client by hand: its first bytes go out in one piece with others."""

    def __init__(self, plain: socket.socket, before: bytes, context: ssl.SSLContext) -> None:
        self._plain = plain
        self._before = before
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_hostname="www.example.com")

    def handshake(self) -> Any:
        self._try(self._tls.do_handshake)
        return self

    def sendall(self, data: bytes) -> None:
        self._try(lambda: self._tls.write(data))

    def recv(self, size: int) -> bytes:
        try:
            return bytes(self._try(lambda: self._tls.read(size)))
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _try(self, work: Callable[[], Any]) -> Any:
        while True:
            try:
                done = work()
            except ssl.SSLWantReadError:
                self._flush()
                data = self._plain.recv(65536)
                if data:
                    self._in.write(data)
                else:
                    self._in.write_eof()
            else:
                self._flush()
                return done

    def _flush(self) -> None:
        if data := self._out.read():
            self._plain.sendall(self._before + data)
            self._before = b""

    def selected_alpn_protocol(self) -> str | None:
        return self._tls.selected_alpn_protocol()

    def __enter__(self) -> TlsSocket:
        return self

    def __exit__(self, *_: object) -> None:
        self._plain.close()


def ask(client: Any, *pieces: bytes, methods: tuple[bytes, ...] = (b"GET",)) -> list[VisitorResponse]:
    """Ask on a connection and read until the companion closes; the last request should say so."""
    for piece in pieces:
        client.sendall(piece)
    return read_responses(read_on(client), methods, True)


def ask_once(client: Any, raw: bytes) -> VisitorResponse:
    """Ask and read one answer that tells its length; the connection stays."""
    client.sendall(raw)
    found = b""
    while True:
        data = client.recv(65536)
        assert data, found
        found += data
        head, end, body = found.partition(b"\r\n\r\n")
        length = int(next(line[15:] for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")))
        if end and len(body) >= length:
            (answer,) = read_responses(found, [b"GET"], False)
            return answer


def token_in(page: bytes) -> str:
    return page.partition(b'data-lbc-token="')[2].partition(b'"')[0].decode()


def signed(token: str, method: str = "GET", scheme: str = "http") -> bytes:
    """A signed request for a copy, on a connection of its own."""
    path = f"/_lbc/page/{token}"
    fields = Signer(SECRET).sign(method, f"{scheme}://www.example.com{path}", os.urandom(6).hex(), time.time())
    lines = [f"{key}: {value}".encode() for key, value in fields]
    return request(path.encode(), b"Connection: close", *lines, method=method.encode())


@contextmanager
def running_node(
    folder: Path, upstream: str, *listen: str, start_mode: str = "command", **more: str
) -> Iterator[NodeProcess]:
    """A node that runs; none of its processes is left behind."""
    node_process = NodeProcess(folder, upstream, *listen, **more)
    try:
        node_process.start(start_mode)
        node_process.wait_until_ready()
        yield node_process
        assert "Traceback" not in node_process.log_text(), node_process.log_text()
        assert "Unhandled" not in node_process.log_text(), node_process.log_text()
    finally:
        for process in node_process.processes:
            if process.poll() is None:
                process.kill()
            process.wait()
