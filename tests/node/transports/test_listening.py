"""Every kind of endpoint, in real processes, on asyncio's transports and on Twisted's."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import WAIT
from tests.support.in_memory_node import PAGE, request, without_tag
from tests.support.listener_certificates import AUTHORITY, IN_TLS
from tests.support.node_process import START_MODES, NodeProcess, ask, ask_once, running_node, wait_until
from tests.support.pems import CertificateAuthority
from tests.support.proxy_headers import FOUR, TLS, v2

pytestmark = pytest.mark.network

LAST = b"Connection: close"
LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"
BIG = bytes(range(256)) * 20_000


class _Handler(socketserver.BaseRequestHandler):
    """The application: tells what it was asked, or sends much."""

    def handle(self) -> None:
        self.request.settimeout(WAIT)
        found = b""
        try:
            while data := self.request.recv(65536):
                found += data
                while b"\r\n\r\n" in found:
                    head, _, found = found.partition(b"\r\n\r\n")
                    kind, body = b"text/plain", head
                    if head.startswith(b"GET /page "):
                        kind, body = b"text/html", PAGE
                    elif head.startswith(b"GET /big "):
                        body = BIG
                    length = b"Content-Length: %d" % len(body)
                    self.request.sendall(
                        b"HTTP/1.1 200 OK\r\nContent-Type: " + kind + b"\r\n" + length + b"\r\n\r\n" + body
                    )
        except OSError:
            return


class Tcp(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128
    context: ssl.SSLContext | None = None

    def get_request(self) -> Any:
        asking, peer = super().get_request()
        return (self.context.wrap_socket(asking, server_side=True) if self.context else asking), peer

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


class Unix(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture(name="application", scope="module")
def _application() -> Iterator[str]:
    with Tcp(("127.0.0.1", 0), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"tcp:127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def fields(body: bytes) -> dict[bytes, bytes]:
    return dict(line.split(b": ", 1) for line in body.split(b"\r\n")[1:])


@pytest.mark.parametrize("start_mode", START_MODES)
def test_tls(tmp_path: Path, application: str, start_mode: str) -> None:
    AUTHORITY.write(tmp_path, "a", "www.example.com")
    with running_node(tmp_path, application, IN_TLS, start_mode=start_mode) as node_process:
        with node_process.connect_tls(AUTHORITY.pem) as asking:
            assert asking.selected_alpn_protocol() == "http/1.1"
            answer = ask_once(asking, request(b"/what"))
            assert fields(answer.body)[b"X-Forwarded-Proto"] == b"https"
            # Kept alive, pipelined, and large.
            raw = request(b"/page") + request(b"/big") + request(b"/page", LAST)
            answers = ask(asking, raw, methods=(b"GET",) * 3)
        assert [without_tag(answer.body) for answer in answers] == [PAGE, BIG, PAGE]
        assert b"https://www.example.com/_lbc/page/" in answers[0].body
        # A client without TLS and a silent client do not disturb others.
        assert node_process.connect().sendall(request()) is None
        with node_process.connect() as plain:
            plain.sendall(request())
            assert not plain.recv(100).startswith(b"HTTP")
        certificate = ssl.create_default_context(cadata=CertificateAuthority("another").pem.decode())
        with pytest.raises(ssl.SSLError), node_process.connect() as asking:
            certificate.wrap_socket(asking, server_hostname="www.example.com")
        assert node_process.stop() in {0, -signal.SIGTERM}


def _workers(node_process: NodeProcess) -> list[tuple[int, int]]:
    """The number and the process of each worker; empty if the node is one process."""
    status = json.loads(node_process.ask_admin("/status").body)
    return [(worker["worker"], worker["pid"]) for worker in status.get("workers", [])]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("start_mode", START_MODES)
def test_sighup_reads_certificates_again(tmp_path: Path, application: str, start_mode: str, workers: int) -> None:
    certificate, _ = AUTHORITY.write(tmp_path, "a", "www.example.com")
    node = f"workers = {workers}"
    with running_node(tmp_path, application, IN_TLS, start_mode=start_mode, node=node) as node_process:
        before = _workers(node_process)
        assert len(before) == (workers if workers > 1 else 0)

        def shown() -> bytes:
            with node_process.connect_tls(AUTHORITY.pem) as asking:
                return asking.getpeercert(True) or b""

        first = shown()
        with node_process.connect_tls(AUTHORITY.pem) as open_since_then:
            ask_once(open_since_then, request(b"/what"))
            AUTHORITY.write(tmp_path, "a", "www.example.com")
            node_process.processes[-1].send_signal(signal.SIGHUP)
            # Any of the workers may answer.
            wait_until(lambda: first not in {shown() for _ in range(20)}, node_process.log_text())
            second = shown()
            certificate.write_bytes(b"rubbish")
            node_process.processes[-1].send_signal(signal.SIGHUP)
            wait_until(lambda: node_process.log_text().count("the old one stays") == workers, node_process.log_text())
            assert {shown() for _ in range(20)} == {second}
            assert ask_once(open_since_then, request(b"/what")).status == 200
        assert node_process.log_text().count("the old one stays") == workers
        assert _workers(node_process) == before


@pytest.mark.parametrize("start_mode", START_MODES)
def test_a_balancer_tells_who_asks(tmp_path: Path, application: str, start_mode: str) -> None:
    with running_node(
        tmp_path, application, "haproxy:tcp:{port}:interface=127.0.0.1", start_mode=start_mode
    ) as node_process:
        for header, scheme in ((LINE, b"http"), (v2(0x11, FOUR + TLS), b"https"), (v2(0x11, FOUR), b"http")):
            for cut in (0, 1, 13, 17, len(header)):
                raw = header + request(b"/what", LAST)
                (answer,) = node_process.ask(raw[:cut], raw[cut:])
                told = fields(answer.body)
                assert told[b"X-Forwarded-For"] == b"203.0.113.9"
                assert told[b"X-Forwarded-Proto"] == scheme
        (answer,) = node_process.ask(b"PROXY UNKNOWN\r\n" + request(b"/what", LAST))
        assert fields(answer.body)[b"X-Forwarded-For"] == b"127.0.0.1"
        (page,) = node_process.ask(LINE + request(b"/page", LAST))
        assert without_tag(page.body) == PAGE
        with node_process.connect() as asking:
            asking.sendall(request())
            assert is_closed(asking)


@pytest.mark.parametrize("start_mode", START_MODES)
def test_tls_behind_the_header(tmp_path: Path, application: str, start_mode: str) -> None:
    AUTHORITY.write(tmp_path, "a", "www.example.com")
    with running_node(tmp_path, application, "haproxy:" + IN_TLS, start_mode=start_mode) as node_process:
        for joined in (False, True):
            for header in (LINE, v2(0x11, FOUR)):
                with node_process.connect_tls(AUTHORITY.pem, header, joined) as asking:
                    answers = ask(asking, request(b"/what") + request(b"/big", LAST), methods=(b"GET",) * 2)
                told = fields(answers[0].body)
                assert (told[b"X-Forwarded-For"], told[b"X-Forwarded-Proto"]) == (b"203.0.113.9", b"https")
                assert answers[1].body == BIG


@pytest.mark.parametrize("start_mode", START_MODES)
def test_nobody_else_may_tell(tmp_path: Path, application: str, start_mode: str) -> None:
    more = 'trusted_proxies = ["10.0.0.0/8"]'
    with (
        running_node(
            tmp_path, application, "haproxy:tcp:{port}:interface=127.0.0.1", start_mode=start_mode, node=more
        ) as node_process,
        node_process.connect() as asking,
    ):
        assert is_closed(asking)
        assert "no trusted proxy" in node_process.log_text()


@pytest.mark.parametrize("start_mode", START_MODES)
def test_a_header_that_does_not_come(tmp_path: Path, application: str, start_mode: str) -> None:
    more = '[crawler]\nintake = ""\n[limits]\nhead_seconds = 1'
    with (
        running_node(
            tmp_path, application, "haproxy:tcp:{port}:interface=127.0.0.1", start_mode=start_mode, more=more
        ) as node_process,
        node_process.connect() as asking,
    ):
        asking.sendall(LINE[:20])
        assert is_closed(asking)
        assert b'timeouts_total{of="proxy header"} 1.0' in node_process.ask_admin("/metrics").body


@pytest.mark.parametrize("start_mode", START_MODES)
def test_unix_sockets_and_ipv6(tmp_path: Path, start_mode: str) -> None:
    with Unix(str(tmp_path / "app.sock"), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        listen = ("unix:lbc.sock:mode=660", "tcp:{port}:interface=127.0.0.1", "tcp:{port}:interface=\\:\\:1")
        with running_node(tmp_path, "unix:app.sock", *listen, start_mode=start_mode) as node_process:
            path = tmp_path / "lbc.sock"
            assert path.stat().st_mode & 0o777 == 0o660
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(path))
                (page,) = ask(asking, request(b"/page", LAST))
            assert without_tag(page.body) == PAGE
            with node_process.connect("::1") as asking:
                (answer,) = ask(asking, request(b"/what", LAST))
            assert fields(answer.body)[b"X-Forwarded-For"] == b"::1"
            assert node_process.stop() in {0, -signal.SIGTERM}
            assert not path.exists()
        server.shutdown()


@pytest.mark.parametrize("start_mode", START_MODES)
def test_a_dual_stack_listener(tmp_path: Path, application: str, start_mode: str) -> None:
    with running_node(tmp_path, application, "tcp6:{port}", start_mode=start_mode) as node_process:
        for host in ("::1", "127.0.0.1"):
            with node_process.connect(host) as asking:
                (answer,) = ask(asking, request(b"/what", LAST))
            assert fields(answer.body)[b"X-Forwarded-For"] == host.encode()


@pytest.mark.parametrize("start_mode", START_MODES)
@pytest.mark.parametrize("kind", ["tls", "ssl", "endpoint"])
def test_tls_towards_the_application(tmp_path: Path, start_mode: str, kind: str) -> None:
    authority = CertificateAuthority("the application's")
    certificate, key = authority.write(tmp_path, "app", "app.internal", "127.0.0.1")
    (tmp_path / "roots.pem").write_bytes(authority.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Tcp(("127.0.0.1", 0), _Handler) as server:
        server.context = context
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = server.server_address[1]
        upstream = {
            "tls": f"tls:127.0.0.1:{port}:trustRoots=roots.pem",
            "ssl": f"ssl:127.0.0.1:{port}:hostname=app.internal:caCertsDir=roots.pem",
            "endpoint": f"tls:app.internal:1:trustRoots=roots.pem:endpoint=tcp\\:127.0.0.1\\:{port}",
        }[kind]
        with running_node(tmp_path, upstream, start_mode=start_mode) as node_process:
            answers = node_process.ask(request(b"/page") + request(b"/big", LAST), methods=(b"GET",) * 2)
            assert [without_tag(answer.body) for answer in answers] == [PAGE, BIG]
        server.shutdown()


@pytest.mark.parametrize("start_mode", START_MODES)
@pytest.mark.parametrize("wrong", ["authority", "name"])
def test_a_wrong_application_is_not_spoken_to(tmp_path: Path, start_mode: str, wrong: str) -> None:
    authority = CertificateAuthority("the application's")
    certificate, key = authority.write(tmp_path, "app", "127.0.0.1" if wrong == "authority" else "other.internal")
    trusted = CertificateAuthority("another") if wrong == "authority" else authority
    (tmp_path / "roots.pem").write_bytes(trusted.pem)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Tcp(("127.0.0.1", 0), _Handler) as server:
        server.context = context
        threading.Thread(target=server.serve_forever, daemon=True).start()
        node_process = NodeProcess(tmp_path, f"tls:127.0.0.1:{server.server_address[1]}:trustRoots=roots.pem")
        life = node_process.start(start_mode)
        try:
            wait_until(lambda: "application not reached" in node_process.log_text(), "not told")
            (answer,) = node_process.ask(request(b"/page", LAST))
            assert answer.status == 502
            assert node_process.ask_admin("/readyz").status == 503
            assert b'upstream_errors_total{what="tls"}' in node_process.ask_admin("/metrics").body
            assert "Traceback" not in node_process.log_text()
        finally:
            life.kill()
            life.wait()
        server.shutdown()


@pytest.mark.parametrize("start_mode", START_MODES)
def test_a_socket_of_systemd(tmp_path: Path, application: str, start_mode: str) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        node_process = NodeProcess(tmp_path, application, "systemd:name=web")
        node_process.port = listening.getsockname()[1]
        life = node_process.start_with_sockets(start_mode, listening, "web")
    try:
        node_process.wait_until_ready()
        (page,) = node_process.ask(request(b"/page", LAST))
        assert without_tag(page.body) == PAGE
    finally:
        life.kill()
        life.wait()


def is_closed(asking: socket.socket) -> bool:
    try:
        return asking.recv(100) == b""
    except ConnectionResetError:
        return True
