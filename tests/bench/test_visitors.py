"""Visitors judge how their connection is closed, and which TLS they got."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from bench import certificate
from bench.responses import WrongResponse
from bench.schedule import Origin
from bench.visitors import Visitor, Visitors
from bench.workload import CASES, Case, answer_of

pytestmark = pytest.mark.network


def request_once(visitor: Visitor) -> None:
    visitor.wait()
    visitor.expect_close()


@contextmanager
def application(case: Case, after: bytes, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """One that answers the first request of its first connection, with further bytes, and closes; yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as plain:
                try:
                    visitor = plain if context is None else context.wrap_socket(plain, server_side=True)
                except OSError:
                    return
                visitor.recv(65536)
                visitor.sendall(answer_of(case, 1) + after)
                visitor.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            thread.join(10)


def test_a_closed_connection_is_expected_after_a_request_to_close() -> None:
    case = CASES["asset-10k-close"]
    with application(case, b"") as port:
        request_once(Visitor(port, case, count(1)))


def test_bytes_after_the_last_answer_are_wrong() -> None:
    case = CASES["asset-10k-close"]
    with application(case, b"more") as port:
        visitor = Visitor(port, case, count(1))
        with pytest.raises(WrongResponse, match="after the answer"):
            request_once(visitor)
        visitor.socket.close()


@pytest.mark.parametrize("right", [True, False])
def test_peers_with_other_tls_are_not_compared(tmp_path: Path, right: bool) -> None:
    certificate.write(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / certificate.CERTIFICATE, tmp_path / certificate.KEY)
    if not right:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    case = CASES["asset-10k-tls"]
    with application(case, b"", context) as port:
        if right:
            Visitor(port, case, count(1)).wait()
        else:
            with pytest.raises((WrongResponse, ssl.SSLError)):
                Visitor(port, case, count(1))


def test_held_connections_are_counted_when_they_are_released() -> None:
    case = CASES["asset-10k"]
    with application(case, b"") as port:
        visitors = Visitors()
        assert visitors.hold(port, case.key, False, 1) == {"open": 1}
    assert visitors.release() == {"closed": 1}
    assert visitors.release() == {"closed": 0}


@pytest.mark.programs
def test_tokens_are_sampled_at_even_distances() -> None:
    with Origin() as origin:
        result = Visitors().load(origin.port, "asset-10k", False, 100, 4, 30, sample=10)
    assert len(result["tokens"]) == 10
