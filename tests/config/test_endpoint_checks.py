from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbcompanion.config.endpoint_checks import client, listener, optional_client, server
from lbcompanion.errors import InvalidValue

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
    with pytest.raises(InvalidValue, match="endpoint string"):
        server(text, HERE)


@pytest.mark.parametrize("text", WRONG_CLIENTS)
def test_a_wrong_client_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="endpoint string"):
        client(text, HERE)


@pytest.mark.parametrize("text", RIGHT_LISTENERS)
def test_a_right_listener_stays_as_it_is(text: str) -> None:
    assert listener(text, HERE) == text


@pytest.mark.parametrize(
    "text", [*WRONG_LISTENERS, *(one for one in WRONG_SERVERS if one[:7] not in ("haproxy", "systemd"))]
)
def test_a_wrong_listener_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="endpoint string"):
        listener(text, HERE)


def test_paths_start_at_the_file_s_folder() -> None:
    folder = Path("/etc/a:b")
    assert listener("haproxy:unix:lbc.sock:mode=660", folder) == "haproxy:unix:/etc/a\\:b/lbc.sock:mode=660"
    assert server("ssl:443:privateKey=k:certKey=/c", folder) == "ssl:443:privateKey=/etc/a\\:b/k:certKey=/c"
    assert client("tls:h:443:trustRoots=roots", folder) == "tls:h:443:trustRoots=/etc/a\\:b/roots"
    assert client("unix:path=app.sock", folder) == "unix:/etc/a\\:b/app.sock"


def test_empty_where_it_may_be() -> None:
    assert optional_client("", HERE) == ""


@pytest.mark.parametrize("text", [one for one in RIGHT_SERVERS if not one.startswith("ssl")])
def test_twisted_agrees(text: str) -> None:
    from twisted.internet.endpoints import serverFromString
    from twisted.internet.testing import MemoryReactor

    assert serverFromString(MemoryReactor(), text) is not None


@pytest.mark.parametrize("check", [server, client, listener])
def test_the_path_of_a_unix_socket_fits_into_its_address(check: Any) -> None:
    """The absolute path counts, in bytes, however short the relative one is."""
    folder = Path("/" + "f" * 97)
    assert check("unix:a.b.sock", folder) == f"unix:{folder}/a.b.sock"
    for path in ("a.bc.sock", "ä.b.sock"):
        with pytest.raises(InvalidValue, match="at most 107 bytes"):
            check(f"unix:{path}", folder)
