"""Balancers in front of the companions: each gives the command that runs it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lbcompanion.demo import haproxy
from lbcompanion.demo.backends import Backend
from tests.support import sealing_balancer
from tests.support.programs import need_program

#: ``command(folder, port, ports of the companions, ports of their admin listeners)``.
Balancer = Callable[[Path, int, Mapping[str, int], Mapping[str, int]], Sequence[str]]


def haproxy_with(mode: str) -> Balancer:
    """A real HAProxy with ``cookie SRV`` in that mode."""
    program = need_program("haproxy")

    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        backends = [Backend(name, f"127.0.0.1:{nodes[name]}", f"127.0.0.1:{admins[name]}") for name in nodes]
        config = folder / "haproxy.cfg"
        config.write_text(haproxy.configuration(port, backends, "SRV", mode))
        return haproxy.command(program, config)

    return command


#: What stands in nginx' cookie for each node: keys that say nothing.
_KEYS = {"n1": "q7Zt0mYw-3", "n2": "Lx_b19sKAe", "n3": "0fVhR.2cUd"}

_NGINX = """daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/nginx-body;
    proxy_temp_path {folder}/nginx-proxy;
    fastcgi_temp_path {folder}/nginx-fastcgi;
    uwsgi_temp_path {folder}/nginx-uwsgi;
    scgi_temp_path {folder}/nginx-scgi;
    {routing}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://$node;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            add_header Set-Cookie $crumb always;
        }}
    }}
}}
"""


def nginx_map() -> Balancer:
    """A real nginx whose configuration picks by ``map $cookie_crumb``, and hands out the cookie itself."""
    program = need_program("nginx")

    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        routing = [f"upstream {name} {{ server 127.0.0.1:{at}; keepalive 8; }}" for name, at in nodes.items()]
        share = f"{100 / len(nodes):.1f}%"
        *others, last = nodes
        routing.append(
            'split_clients "$request_id" $fresh { ' + "".join(f"{share} {n}; " for n in others) + f"* {last}; }}"
        )
        routing.append('map $cookie_crumb $known { default ""; ' + _pairs({_KEYS[n]: n for n in nodes}) + "}")
        routing.append('map $known $node { "" $fresh; default $known; }')
        fresh = {name: f'"crumb={_KEYS[name]}; Path=/; HttpOnly"' for name in nodes}
        routing.append("map $fresh $handed { " + _pairs(fresh) + "}")
        routing.append('map $known $crumb { "" $handed; default ""; }')
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port, routing="\n    ".join(routing)))
        return [program, "-p", str(folder), "-e", "stderr", "-c", str(config)]

    return command


def _pairs(pairs: Mapping[str, str]) -> str:
    return "".join(f"{key} {value}; " for key, value in pairs.items())


def sealing() -> Balancer:
    """The one of these tests, with a cookie that nobody but itself can read."""

    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        return [sys.executable, "-m", sealing_balancer.__name__, str(port), *(f"{n}={at}" for n, at in nodes.items())]

    return command


def not_sticky() -> Balancer:
    """A real HAProxy that gives each request to the next node."""
    program = need_program("haproxy")

    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        backends = [Backend(name, f"127.0.0.1:{at}") for name, at in nodes.items()]
        text = haproxy.configuration(port, backends, "SRV", "insert")
        lines = [line.partition(" cookie ")[0] for line in text.splitlines() if not line.startswith("    cookie ")]
        config = folder / "haproxy.cfg"
        config.write_text("\n".join(lines) + "\n")
        return haproxy.command(program, config)

    return command
