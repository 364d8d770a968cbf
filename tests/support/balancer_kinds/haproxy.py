"""HAProxy in all its modes, steered by its runtime API."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.balancer_kinds.kind import Kind, indented, joined
from tests.support.children import wait_for
from tests.support.session_site import SESSION, SHOPPER, TOMCAT, WHERE

#: The defaults section of every HAProxy here.
DEFAULTS = """defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    timeout check 10s
    option redispatch
    retries 2
    retry-on conn-failure empty-response
"""
_GLOBAL = f"""global
    maxconn 512
    stats socket abns@lbc-{{port}} level admin
{DEFAULTS}frontend visitors
    bind 127.0.0.1:{{port}}
    default_backend nodes
"""
_CHECKED = """    balance roundrobin
    option httpchk GET /readyz
    default-server inter 300ms fastinter 100ms fall 2 rise 1
"""


class Runtime:
    """HAProxy's runtime API.

    :param port: where the balancer serves; its socket is called after it.
    """

    def __init__(self, port: int) -> None:
        self._name = f"\0lbc-{port}".ljust(108, "\0")  # HAProxy fills abstract names up (haproxy.org, manual 11.1)

    def say(self, command: str) -> str:
        """Say one command; what it answers."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(60)
            asked.connect(self._name.encode())
            asked.sendall(f"{command}\n".encode())
            answer = b""
            while more := asked.recv(65536):
                answer += more
        return answer.decode()

    def order(self, command: str) -> None:
        """Say one command that has nothing to answer but what is wrong."""
        said = self.say(command)
        assert "changed" in said or not said.strip(), f"{command}: {said}"

    def status(self, backend: str, server: str) -> str:
        """A server's status, such as ``UP`` and ``DOWN``."""
        lines = [line.split(",") for line in self.say("show stat").splitlines()]
        at = lines[0].index("status")
        return next(line[at] for line in lines if line[:2] == [backend, server])


@frozen
class Haproxy(Kind):
    """:ivar backends: where each node is, if not in ``nodes``."""

    backends: Mapping[str, str] = {}

    def _server(self, node: str) -> str:
        return f"{self.backends.get(node, 'nodes')}/{node}"

    def drain(self, farm: Any, node: str, on: bool) -> None:
        """By ``set server``."""
        Runtime(farm.balanced).order(f"set server {self._server(node)} state {'drain' if on else 'ready'}")

    def readdress(self, farm: Any, node: str) -> None:
        """By ``set server``; the check's port, the admin listener's, stays."""
        Runtime(farm.balanced).order(f"set server {self._server(node)} addr 127.0.0.1 port {farm.public[node]}")

    def _waits(self, farm: Any, node: str, status: str) -> None:
        runtime, backend = Runtime(farm.balanced), self.backends.get(node, "nodes")
        wait_for(f"{node} is {status}", lambda: runtime.status(backend, node).startswith(status))

    def sees_up(self, farm: Any, node: str) -> None:
        """Read it from the statistics."""
        self._waits(farm, node, "UP")

    def sees_down(self, farm: Any, node: str, cookies: Mapping[str, str]) -> None:
        """Read it from the statistics, because a request with the cookies could move their owner."""
        self._waits(farm, node, "DOWN")


def haproxy(*sticky: str, no_drain: str = "", value: str = "{}") -> Haproxy:
    """HAProxy with one backend, and these lines in it.

    :param value: of a server's cookie, with its name filled in.
    """

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        # A dynamic cookie is no server's own.
        own = any(line.startswith("cookie ") and "dynamic" not in line for line in sticky)
        lines = [
            f"    server {name} 127.0.0.1:{at}{f' cookie {value.format(name)}' * own} check port {admins[name]}"
            for name, at in nodes.items()
        ]
        return _GLOBAL.format(port=port) + "backend nodes\n" + _CHECKED + joined([*indented(sticky), *lines])

    return Haproxy("haproxy", text, no_drain)


def haproxy_tiers() -> Haproxy:
    """HAProxy in front of two farms with a HAProxy each; both cookies are needed."""
    farms = {"left": ("n1", "n2"), "right": ("n3",)}

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        lines = ["backend nodes", "    balance roundrobin", "    cookie OUTER insert indirect nocache"]
        lines += [f"    server {farm} abns@lbc-{port}-{farm} cookie {farm}" for farm in farms]
        for farm, names in farms.items():
            lines += [f"frontend {farm}", f"    bind abns@lbc-{port}-{farm}", f"    default_backend in_{farm}"]
            lines += [f"backend in_{farm}", *_CHECKED.rstrip().splitlines(), "    cookie INNER insert httponly"]
            lines += [
                f"    server {name} 127.0.0.1:{nodes[name]} cookie {name} check port {admins[name]}" for name in names
            ]
        return _GLOBAL.format(port=port) + joined(lines)

    return Haproxy("haproxy", text, "", {name: f"in_{farm}" for farm, names in farms.items() for name in names})


#: What the dynamic cookies are made with.
DYNAMIC_KEY = "the key of dynamic cookies"

INSERT = haproxy("cookie SRV insert")
HIDDEN = haproxy("cookie SRV insert indirect nocache httponly")
PREFIX = haproxy(f"cookie {TOMCAT} prefix")
REWRITE = haproxy(f"cookie {WHERE} rewrite")
DATED = haproxy("cookie SRV insert maxidle 1h maxlife 8h")
POSTONLY = haproxy("cookie SRV insert postonly")
DYNAMIC = haproxy("cookie SRV insert indirect nocache dynamic", f'dynamic-cookie-key "{DYNAMIC_KEY}"')
TABLE = haproxy(
    "stick-table type string len 64 size 100k expire 30m",
    f"stick on req.cook({SESSION})",
    f"stick store-response res.cook({SESSION})",
)
HASH = haproxy(
    f"balance hash req.cook({SHOPPER})", "hash-type consistent", no_drain="a hash takes a draining server out"
)
#: What the example of a dialect from outside reads.
ACME = haproxy("cookie ACME_NODE insert", value="v1-{}-")
NOTHING = haproxy()
_CHECKED_PATHS = "{ path_beg /_lbc/whoami /_lbc/page/ } !{ req.cook(SRV) -m found }"
#: The crawler's requests without the cookie are answered by a redirect to the same address that sets it.
COOKIE_CHECK = haproxy(
    f"http-request set-var(txn.to) rand(3) if {_CHECKED_PATHS}",
    *(
        f"http-request redirect location %[url] code 302 set-cookie SRV=n{number + 1}"
        f" if {_CHECKED_PATHS} {{ var(txn.to) -m int {number} }}"
        for number in range(3)
    ),
    "cookie SRV insert",
)
