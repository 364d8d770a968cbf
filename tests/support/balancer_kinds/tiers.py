"""Balancers in front of balancers: an edge that many visitors meet first, and what stands behind it."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from attrs import frozen

from tests.support.balancer_kinds.apache import apache
from tests.support.balancer_kinds.haproxy import DEFAULTS, haproxy
from tests.support.balancer_kinds.kind import Kind, Text, joined
from tests.support.balancer_programs import RUNS

_NO_DRAIN = "the edge does not know the nodes"


@frozen
class Tiers(Kind):
    """A balancer behind an edge.

    :ivar inner: the product behind the edge.
    :ivar inner_text: its configuration; it listens at ``GROUP.sock`` in the folder, which is the current directory.
    """

    inner: str = ""
    inner_text: Text = lambda _folder, _port, _nodes, _admins: ""

    def __call__(self, folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        """Write the files of both; one command that runs both, which end together."""
        below = folder / "inner"
        below.mkdir(exist_ok=True)
        file = below / f"{self.inner}.conf"
        file.write_text(self.inner_text(folder, port, nodes, admins))
        commands = RUNS[self.inner](file, below), super().__call__(folder, port, nodes, admins)
        # From this folder both name the sockets by short relative paths: sun_path has 108 bytes (unix(7)).
        return [
            "sh",
            "-c",
            f"cd {shlex.quote(str(folder))}; {shlex.join(commands[0])} & exec {shlex.join(commands[1])}",
        ]


#: The nodes behind each of two balancers.
_GROUPS = {"left": ("n1", "n2"), "right": ("n3",)}
_HAPROXY = f"global\n    maxconn 512\n{DEFAULTS}"
_NGINX = """events {{ worker_connections 512; }}
http {{
    {upstreams}
    {servers}
}}
"""
_PASS = 'proxy_http_version 1.1; proxy_set_header Connection "";'
#: What an nginx that hands out a cookie of its own writes for each node or group: keys that say nothing.
_KEYS = {"n1": "q7Zt0mYw3", "n2": "Lxb19sKAe", "n3": "0fVhR2cUd", "left": "Ak3vv90Qz", "right": "t5Wn2xPPu"}


def _chosen_by_cookie(what: str, cookie: str, names: Sequence[str], flags: str = "") -> list[str]:
    """nginx' directives that choose one of these by a cookie, which it hands out itself.

    Variables: ``$WHAT`` is what was chosen, ``$WHAT_cookie`` the value of ``Set-Cookie``, if one is needed.
    """
    share = 100 // len(names)
    fresh = "".join(f"{share}% {name}; " for name in names[:-1]) + f"* {names[-1]};"
    known = "".join(f"{_KEYS[name]} {name}; " for name in names)
    written = "".join(f'{name} "{cookie}={_KEYS[name]}; Path=/{flags}"; ' for name in names)
    return [
        f'split_clients "{what}$request_id" ${what}_fresh {{ {fresh} }}',
        f'map $cookie_{cookie} ${what}_known {{ default ""; {known} }}',
        f'map ${what}_known ${what} {{ "" ${what}_fresh; default ${what}_known; }}',
        f"map ${what}_fresh ${what}_new {{ {written} }}",
        f'map ${what}_known ${what}_cookie {{ "" ${what}_new; default ""; }}',
    ]


def _haproxy_edge(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
    """HAProxy in front of the two groups' balancers, for each of which it inserts a cookie."""
    lines = ["frontend visitors", f"    bind 127.0.0.1:{port}", "    default_backend tiers"]
    lines += ["backend tiers", "    balance roundrobin", "    cookie OUTER insert indirect nocache"]
    lines += [f"    server {group} unix@{group}.sock cookie {group}" for group in _GROUPS]
    return _HAPROXY + joined(lines)


def _haproxy_before_nginx() -> Tiers:
    """HAProxy inserts a cookie for each of two nginx, which hand out their own."""

    def inner(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        upstreams = [f"upstream {name} {{ server 127.0.0.1:{at}; }}" for name, at in nodes.items()]
        servers = []
        for group, names in _GROUPS.items():
            upstreams += _chosen_by_cookie(f"of_{group}", "seat", names, "; HttpOnly")
            servers.append(
                f"server {{ listen unix:{group}.sock; location / {{ proxy_pass http://$of_{group};"
                f" proxy_set_header Host $http_host; {_PASS} add_header Set-Cookie $of_{group}_cookie always; }} }}"
            )
        return _NGINX.format(upstreams="\n    ".join(upstreams), servers="\n    ".join(servers))

    return Tiers("haproxy", _haproxy_edge, _NO_DRAIN, "nginx", inner)


def _caddys(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
    """A Caddy that is the balancer of both groups, each at a socket of its own."""
    written = ""
    for number, (group, names) in enumerate(_GROUPS.items(), 1):
        upstreams = " ".join(f"127.0.0.1:{nodes[name]}" for name in names)
        inside = "lb_policy cookie lb a-secret-of-caddy\n\t\tlb_try_duration 3s\n\t\tfail_duration 1s"
        bind = f"bind unix/{group}.sock"
        written += f"http://:{number} {{\n\t{bind}\n\treverse_proxy {upstreams} {{\n\t\t{inside}\n\t}}\n}}\n"
    return written


def _edge(directives: str = "", choose: Sequence[str] = ()) -> Text:
    """An nginx in front of one or two HAProxys, with these directives in its location."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        upstreams = [f"upstream {group} {{ server unix:{group}.sock; }}" for group in _GROUPS]
        to, more = "left", ""
        if choose:
            upstreams += choose
            to, more = "$edge", "add_header Set-Cookie $edge_cookie always;"
        location = f"location / {{ proxy_pass http://{to}; {_PASS} {directives} {more} }}"
        servers = f"server {{ listen 127.0.0.1:{port}; {location} }}"
        return _NGINX.format(upstreams="\n    ".join(upstreams), servers=servers)

    return text


def _haproxys(groups: Mapping[str, Sequence[str]], *lines: str) -> Text:
    """HAProxys at sockets called after the groups, with ``cookie SRV insert`` and these lines in their frontends."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        written = []
        for group, names in groups.items():
            bind = f"    bind unix@{group}.sock mode 666"
            written += [f"frontend to_{group}", bind, *lines, f"    default_backend {group}"]
            written += [f"backend {group}", "    balance roundrobin", "    cookie SRV insert"]
            written += ["    option httpchk GET /readyz", "    default-server inter 300ms fall 2 rise 1"]
            for name in names:
                written.append(f"    server {name} 127.0.0.1:{nodes[name]} cookie {name} check port {admins[name]}")
        return _HAPROXY + joined(written)

    return text


_ALL = {"left": ("n1", "n2", "n3")}
_KEEP_HOST = "proxy_set_header Host $http_host;"

HAPROXY_BEFORE_NGINX = _haproxy_before_nginx()
HAPROXY_BEFORE_CADDY = Tiers("haproxy", _haproxy_edge, _NO_DRAIN, "caddy", _caddys)
NGINX_BEFORE_HAPROXY = Tiers(
    "nginx",
    _edge(_KEEP_HOST, _chosen_by_cookie("edge", "edge", tuple(_GROUPS))),
    _NO_DRAIN,
    "haproxy",
    _haproxys(_GROUPS),
)
#: The edge replaces Host by the name of its upstream, as stock nginx does.
HOST_REPLACED_AT_EDGE = Tiers(
    "nginx", _edge("proxy_set_header X-Forwarded-For $remote_addr;"), _NO_DRAIN, "haproxy", _haproxys(_ALL)
)
#: The edge gives the cookie of the balancer behind it another name, and takes it back in requests.
COOKIE_RENAMED_AT_EDGE = haproxy(
    "http-request replace-header Cookie (.*)edge_SRV=(.*) \\1SRV=\\2",
    "http-after-response replace-header Set-Cookie ^SRV=(.*) edge_SRV=\\1",
    "cookie SRV insert",
)
#: The cookie is handed out with pages only, not below the companions' prefix.
COOKIE_OF_PAGES = haproxy(
    "http-after-response del-header Set-Cookie if { capture.req.uri -m beg /_lbc/ }", "cookie SRV insert"
)


def _apache_with_two_balancers() -> Kind:
    """Apache that chooses for ``/shop`` apart from all else: each with its own cookie, for its own path."""
    usual = apache(
        "ROUTEID",
        'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" '
        "\"expr=reqenv('BALANCER_ROUTE_CHANGED') == '1' && reqenv('BALANCER_NAME') == 'balancer://nodes'\"",
        'Header add Set-Cookie "SHOPID=.%{BALANCER_WORKER_ROUTE}e; path=/shop" '
        "\"expr=reqenv('BALANCER_ROUTE_CHANGED') == '1' && reqenv('BALANCER_NAME') == 'balancer://shop'\"",
    )

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        members = [f"    BalancerMember http://127.0.0.1:{at} route={name} retry=1" for name, at in nodes.items()]
        shop = ["<Proxy balancer://shop>", *members, "    ProxySet stickysession=SHOPID", "</Proxy>"]
        paths = joined([*shop, 'ProxyPass "/shop" "balancer://shop/shop"'])
        written = usual.text(folder, port, nodes, admins)
        return written.replace('ProxyPass "/" ', paths + 'ProxyPass "/" ')

    return Kind("apache", text, "its manager names two balancers")


APACHE_TWO_BALANCERS = _apache_with_two_balancers()
