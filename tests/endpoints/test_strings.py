from __future__ import annotations

import pytest

from lbcompanion.endpoints.strings import EndpointString, parse

WRITTEN = [
    "tcp:8080",
    "tcp:port=8080",
    "tcp:8080:interface=\\:\\:1",
    "unix:/run/a\\:b.sock:mode=660",
    "ssl:443:privateKey=/run/a.pem:certKey=/run/b.pem",
    "haproxy:unix:/run/lbc.sock",
    "systemd:domain=INET:index=0",
    "haproxy:systemd:name=web",
    "tcp:host=a:port=1",
    "tls:h:443:trustRoots=/etc/roots:endpoint=unix\\:/run/app.sock",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_what_is_written_again_is_read_as_the_same(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


def test_haproxy_before_it() -> None:
    assert parse("haproxy:tcp:8080") == EndpointString("tcp", ("8080",), {}, proxy_protocol=True)


def test_escapes_are_undone() -> None:
    assert parse("tcp:\\:\\:1:80:timeout=5") == EndpointString("tcp", ("::1", "80"), {"timeout": "5"})


def test_named_places_are_places() -> None:
    assert parse("tcp:port=8080:backlog=5") == EndpointString("tcp", ("8080",), {"backlog": "5"})
    assert parse("tcp:port=80:host=a") == EndpointString("tcp", ("a", "80"), {})
