from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.checks import Refused
from lbcompanion.endpoints.strings import EndpointString, client, listener, optional_client, parse, server

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
    "ssl:443:privateKey=/run/a.pem:certKey=/run/b.pem",
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
    "tcp:1:backlog=0",
    "unix:/run/a:mode=999",
    "unix:/run/a:lockfile=yes",
    "ssl:443",
    "haproxy:tcp:80",
    "systemd:index=0",
    "x\n",
]
RIGHT_LISTENERS = [
    *RIGHT_SERVERS,
    "haproxy:tcp:8080",
    "haproxy:unix:/run/lbc.sock",
    "systemd:domain=INET:index=0",
    "systemd:name=web",
    "haproxy:systemd:name=web",
]
WRONG_LISTENERS = ["haproxy:", "haproxy:haproxy:tcp:80", "haproxy", "systemd:", "systemd:index=0:name=web", "systemd:7"]
RIGHT_CLIENTS = [
    "tcp:127.0.0.1:8000",
    "tcp:localhost:8000",
    "tcp:host=a:port=1",
    "tcp:\\:\\:1:80",
    "unix:/run/app.sock",
    "tls:h:443",
    "tls:h:443:trustRoots=/etc/roots:endpoint=unix\\:/run/app.sock",
    "ssl:h:443:hostname=app",
]
WRONG_CLIENTS = [
    "",
    "tcp:80",
    "tcp:h:0",
    "tcp:h:http",
    "localhost:80",
    "tcp::80",
    "https://h",
    "haproxy:tcp:h:80",
    "tls:h:443:endpoint=tls\\:h\\:1",
]


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


@pytest.mark.parametrize("text", RIGHT_LISTENERS)
def test_a_right_listener_stays_as_it_is(text: str) -> None:
    assert listener(text, HERE) == text


@pytest.mark.parametrize(
    "text", [*WRONG_LISTENERS, *(one for one in WRONG_SERVERS if one[:7] not in ("haproxy", "systemd"))]
)
def test_a_wrong_listener_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="endpoint string"):
        listener(text, HERE)


def test_paths_start_at_the_file_s_folder() -> None:
    folder = Path("/etc/a:b")
    assert listener("haproxy:unix:lbc.sock:mode=660", folder) == "haproxy:unix:/etc/a\\:b/lbc.sock:mode=660"
    assert server("ssl:443:privateKey=k:certKey=/c", folder) == "ssl:443:privateKey=/etc/a\\:b/k:certKey=/c"
    assert client("tls:h:443:trustRoots=roots", folder) == "tls:h:443:trustRoots=/etc/a\\:b/roots"
    assert client("unix:path=app.sock", folder) == "unix:/etc/a\\:b/app.sock"


@pytest.mark.parametrize("text", [*RIGHT_LISTENERS, *RIGHT_CLIENTS])
def test_what_is_written_anew_is_read_as_the_same(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


def test_haproxy_before_it() -> None:
    assert parse("haproxy:tcp:8080") == EndpointString("tcp", ("8080",), {}, proxied=True)


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
