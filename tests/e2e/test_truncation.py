"""An application that dies in mid-answer: whatever the framing, the visitor can tell that it has not got everything."""

from __future__ import annotations

import gzip
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from threading import Thread

import pytest

from lbcompanion.demo.ports import LOOPBACK
from tests.support.companion import Companion, companion

_PAGE = b"<!doctype html><html><head><title>x</title></head><body>" + b"<p>more to come" * 50
_CODED = gzip.compress(_PAGE * 20, mtime=0)
_PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
_HTML = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"

#: What is said before the end, and whether the end is a reset; without one, what was said shows that there is more.
_ENDS: dict[str, tuple[bytes, bool]] = {
    "length": (_PLAIN + b"Content-Length: 100\r\n\r\nhello", False),
    "length, reset": (_PLAIN + b"Content-Length: 100\r\n\r\nhello", True),
    "chunk": (_PLAIN + _CHUNKED + b"a\r\nhello", False),
    "between chunks": (_PLAIN + _CHUNKED + b"5\r\nhello\r\n", False),
    "before the last line": (_PLAIN + _CHUNKED + b"5\r\nhello\r\n0\r\n", False),
    "chunk, reset": (_PLAIN + _CHUNKED + b"a\r\nhello", True),
    "until close, reset": (_PLAIN + b"\r\nhello", True),
    "page with a length": (_HTML + b"Content-Length: 9999\r\n\r\n" + _PAGE, False),
    "page in chunks": (_HTML + _CHUNKED + b"%x\r\n%b\r\n" % (len(_PAGE), _PAGE), False),
    "page until close, reset": (_HTML + b"\r\n" + _PAGE, True),
    "page in gzip": (_HTML + b"Content-Encoding: gzip\r\nContent-Length: 9999\r\n\r\n" + _CODED, False),
    "page in half of a gzip": (
        _HTML + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_CODED) + _CODED[:-20],
        False,
    ),
}


@pytest.fixture(scope="module", name="front")
def _front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Companion]:
    with companion(tmp_path_factory.mktemp("truncation")) as one:
        yield one
        assert not one.left_open()
        assert not one.failures()


def _say(listener: socket.socket, data: bytes, reset: bool) -> None:
    """Answer one request; whoever only looks whether somebody is there gets none."""
    request = b""
    while not request:
        link, _ = listener.accept()
        link.settimeout(60)
        request = link.recv(65536)
    link.sendall(data)
    if reset:
        # Time for what was said to be read: a reset may overtake it.
        link.settimeout(0.2)
        with suppress(TimeoutError):
            link.recv(1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.close()


def _visit(front: Companion, version: bytes) -> tuple[bytes, bool]:
    """All that comes, and whether it ended with a reset."""
    with socket.create_connection((LOOPBACK, front.port), timeout=10) as link:
        link.sendall(b"GET / HTTP/" + version + b"\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n")
        got = b""
        while True:
            try:
                data = link.recv(65536)
            except ConnectionError:
                return got, True
            if not data:
                return got, False
            got += data


@pytest.mark.parametrize("name", list(_ENDS))
def test_end(name: str, front: Companion) -> None:
    _ends(name, b"1.1", front)


# To a visitor of 1.0 an answer without a length ends with the connection, which must not look like its end.
@pytest.mark.parametrize("name", [name for name in _ENDS if not name.startswith("length")])
def test_end_for_old_visitors(name: str, front: Companion) -> None:
    _ends(name, b"1.0", front)


def _ends(name: str, version: bytes, front: Companion) -> None:
    data, reset = _ENDS[name]
    with socket.create_server((LOOPBACK, front.application_port)) as listener:
        listener.settimeout(60)
        application = Thread(target=_say, args=(listener, data, reset))
        application.start()
        got, was_reset = _visit(front, version)
        application.join()
    head, _, body = got.partition(b"\r\n\r\n")
    if was_reset or not got:
        return
    if head.startswith(b"HTTP/1.1 502 "):
        # Seen before the first byte went out.
        return
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    length = [line.partition(b": ")[2] for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    if length:
        assert len(body) < int(length[0])
    else:
        assert b"\r\nTransfer-Encoding: chunked" in head, "the end of the connection says that this is all"
        assert not body.endswith(b"\r\n0\r\n\r\n")
