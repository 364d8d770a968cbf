"""HAProxy for the demo, with two variants of cookie insertion: its configuration and command line."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lbcompanion.demo.backends import Backend
from lbcompanion.demo.balancer_program import BalancerProgram
from lbcompanion.demo.ports import LOOPBACK

#: The ways of sticking that the demo offers, as the parameters of HAProxy's ``cookie`` keyword.
INSERT = "insert"
INSERT_HIDDEN = "insert indirect nocache httponly"


def configuration(port: int, backends: Sequence[Backend], cookie: str = "SRV", mode: str = INSERT) -> str:
    """Return the configuration file's text.

    :param port: where visitors are served, on loopback.
    :param backends: each is checked by ``GET /readyz`` at its ``health`` address, where it has one.
    :param mode: the parameters after ``cookie NAME`` (HAProxy configuration manual, "cookie").
    """
    lines = [
        "global",
        "    maxconn 512",
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout client 75s",
        "    timeout server 75s",
        "    timeout http-keep-alive 75s",
        "    timeout tunnel 1h",
        "    option redispatch",
        "    retries 2",
        "    retry-on conn-failure empty-response",
        "frontend visitors",
        f"    bind {LOOPBACK}:{port}",
        "    option forwardfor",
        "    http-request set-header X-Forwarded-Proto http",
        "    default_backend nodes",
        "backend nodes",
        "    balance roundrobin",
        f"    cookie {cookie} {mode}",
        "    http-request disable-l7-retry if METH_POST",
        "    option httpchk GET /readyz",
        "    default-server inter 500ms fastinter 200ms fall 2 rise 1",
        *(_server(backend) for backend in backends),
    ]
    return "\n".join(lines) + "\n"


def command(program: str, config: Path) -> list[str]:
    """Return the command line: one process in the foreground."""
    return [program, "-db", "-f", str(config)]


def _server(backend: Backend) -> str:
    check = f" check port {backend.health.rpartition(':')[2]}" if backend.health else ""
    return f"    server {backend.name} {backend.address} cookie {backend.name}{check}"


def _sticking(mode: str) -> BalancerProgram:
    return BalancerProgram(
        program="haproxy",
        label=f"HAProxy, cookie SRV {mode}",
        dialect="haproxy-insert",
        configuration=partial(configuration, mode=mode),
        command=command,
    )


INSERTING = _sticking(INSERT)
INSERTING_HIDDEN = _sticking(INSERT_HIDDEN)
