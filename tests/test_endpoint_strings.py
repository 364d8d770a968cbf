from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.allowed import Refused
from lbcompanion.endpoint_strings import EndpointString, client, optional_client, parse, server

HERE = Path()

RIGHT_SERVERS = [
    "tcp:0",
    "tcp:8080",
    "tcp:port=8080",
    "tcp:8080:interface=127.0.0.1",
    "tcp:8080:interface=\\:\\:1",
    "tcp:8080:backlog=100",
    "tcp6:8080",
    "unix:/run/lbc.sock",
    "unix:/run/a\\:b.sock:mode=660",
    "ssl:443:privateKey=a.pem:certKey=b.pem",
]
WRONG_SERVERS = [
    "",
    "tcp",
    "tcp:",
    "tcp:-1",
    "tcp:x",
    "tcp:٣",
    "tcp:1:2",
    "tcp:65536",
    "unix:",
    ":8080",
    "tcp:1:a=b",
    "x\n",
]
RIGHT_CLIENTS = [
    "tcp:127.0.0.1:8000",
    "tcp:localhost:8000",
    "tcp:host=a:port=1",
    "tcp:\\:\\:1:80",
    "unix:/run/app.sock",
    "tls:h:443",
]
WRONG_CLIENTS = ["", "tcp:80", "tcp:h:0", "tcp:h:http", "localhost:80", "tcp::80", "https://h"]


@pytest.mark.parametrize("text", RIGHT_SERVERS)
def test_a_right_server_stays_as_it_is(text: str) -> None:
    assert server(text, HERE) == text


@pytest.mark.parametrize("text", RIGHT_CLIENTS)
def test_a_right_client_stays_as_it_is(text: str) -> None:
    assert client(text, HERE) == text


@pytest.mark.parametrize("text", WRONG_SERVERS)
def test_a_wrong_server_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="endpoint string"):
        server(text, HERE)


@pytest.mark.parametrize("text", WRONG_CLIENTS)
def test_a_wrong_client_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="endpoint string"):
        client(text, HERE)


def test_empty_where_it_may_be() -> None:
    assert optional_client("", HERE) == ""


def test_escapes_are_undone() -> None:
    assert parse("tcp:\\:\\:1:80:timeout=5") == EndpointString("tcp", ("::1", "80"), {"timeout": "5"})


def test_named_places_are_places() -> None:
    assert parse("tcp:port=8080:backlog=5") == EndpointString("tcp", ("8080",), {"backlog": "5"})
    assert parse("tcp:port=80:host=a") == EndpointString("tcp", ("a", "80"), {})


@pytest.mark.parametrize("text", [one for one in RIGHT_SERVERS if not one.startswith("ssl")])
def test_twisted_agrees(text: str) -> None:
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.testing import MemoryReactor

    assert serverFromString(MemoryReactor(), text) is not None
