"""Every kind of stickiness that can be had for nothing, by the real programs: each gives the command that runs it."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tests.balancers.programs import RUNS
from tests.real.balancers import Balancer
from tests.real.session_site import SESSION, SHOPPER, TOMCAT, WHERE

#: ``text(folder, port, ports of the companions, ports of their admin listeners)``.
_Text = Callable[[Path, int, Mapping[str, int], Mapping[str, int]], str]

_HAPROXY = """global
    maxconn 512
    stats socket abns@lbc-{port} level admin
defaults
    mode http
    timeout connect 5s
    timeout client 75s
    timeout server 75s
    option redispatch
    retries 2
    retry-on conn-failure empty-response
frontend visitors
    bind 127.0.0.1:{port}
    default_backend nodes
"""
_CHECKED = """    balance roundrobin
    option httpchk GET /readyz
    default-server inter 300ms fastinter 100ms fall 2 rise 1
"""


def _by(product: str, text: _Text) -> Balancer:
    def command(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> Sequence[str]:
        file = folder / f"{product}.{'yaml' if product == 'envoy' else 'conf'}"
        file.write_text(text(folder, port, nodes, admins))
        return RUNS[product](file, folder)

    return command


def haproxy(*sticking: str) -> Balancer:
    """HAProxy with one backend, and these lines in it."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        # A dynamic cookie is no server's own.
        own = not any("dynamic" in line for line in sticking)
        lines = [
            f"    server {name} 127.0.0.1:{at}{f' cookie {name}' * own} check port {admins[name]}"
            for name, at in nodes.items()
        ]
        return _HAPROXY.format(port=port) + "backend nodes\n" + _CHECKED + _lines([*_indented(sticking), *lines])

    return _by("haproxy", text)


def haproxy_tiers() -> Balancer:
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
        return _HAPROXY.format(port=port) + _lines(lines)

    return _by("haproxy", text)


class Runtime:
    """HAProxy's runtime API.

    :param port: where the balancer serves; its socket is called after it.
    """

    def __init__(self, port: int) -> None:
        self._name = f"\0lbc-{port}".ljust(108, "\0")  # HAProxy fills abstract names up (haproxy.org, manual 11.1)

    def say(self, command: str) -> str:
        """Say one command; what it answers."""
        with socket.socket(socket.AF_UNIX) as asked:
            asked.settimeout(5)
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

    def status(self, server: str) -> str:
        """A server's status, such as ``UP`` and ``DOWN``."""
        lines = [line.split(",") for line in self.say("show stat").splitlines()]
        at = lines[0].index("status")
        return next(line[at] for line in lines if line[:2] == ["nodes", server])


_APACHE = """{modules}
ServerName localhost
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel warn
Listen 127.0.0.1:{port}
ProxyPreserveHost On
<Proxy balancer://nodes>
{members}
    ProxySet stickysession={cookie} lbmethod=byrequests
</Proxy>
{more}
ProxyPass "/" "balancer://nodes/"
"""
_MODULES = (
    *("mpm_event", "authz_core", "headers", "slotmem_shm", "lbmethod_byrequests"),
    *("proxy", "proxy_http", "proxy_balancer"),
)


def apache(cookie: str, *more: str) -> Balancer:
    """Apache with mod_proxy_balancer."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        loaded = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES]
        members = [f"    BalancerMember http://127.0.0.1:{at} route={name} retry=1" for name, at in nodes.items()]
        return _APACHE.format(
            modules=_lines(loaded), port=port, members=_lines(members), cookie=cookie, more=_lines(more)
        )

    return _by("apache", text)


_NGINX = """events {{ worker_connections 512; }}
http {{
    upstream nodes {{
        {how};
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
        }}
    }}
}}
"""


def nginx(how: str) -> Balancer:
    """nginx with one upstream, and this directive in it."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        servers = " ".join(f"server 127.0.0.1:{at};" for at in nodes.values())
        return _NGINX.format(how=how, servers=servers, port=port)

    return _by("nginx", text)


def caddy(policy: str) -> Balancer:
    """Caddy with this ``lb_policy``."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        upstreams = " ".join(f"127.0.0.1:{at}" for at in nodes.values())
        proxy = f"reverse_proxy {upstreams} {{\n\t\tlb_policy {policy}\n\t}}"
        return f"http://:{port} {{\n\tbind 127.0.0.1\n\t{proxy}\n}}\n"

    return _by("caddy", text)


_ENVOY = """static_resources:
  listeners:
  - name: visitors
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": {type}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: visitors
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config: {{ "@type": {type}.filters.http.router.v3.Router }}
          route_config:
            virtual_hosts:
            - name: site
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: nodes, timeout: 0s{route} }}
  clusters:
  - name: nodes
    type: STATIC
    lb_policy: {policy}
    load_assignment:
      cluster_name: nodes
      endpoints:
      - lb_endpoints:
{endpoints}
"""
_ENVOY_STATEFUL = """          - name: envoy.filters.http.stateful_session
            typed_config:
              "@type": {type}.filters.http.stateful_session.v3.StatefulSession
              session_state:
                name: envoy.http.stateful_session.cookie
                typed_config:
                  "@type": {type}.http.stateful_session.cookie.v3.CookieBasedSessionState
                  cookie: {{ name: {cookie}, path: /, ttl: 3600s }}"""


def envoy(policy: str, stateful: str = "", route: str = "") -> Balancer:
    """Envoy with this ``lb_policy``, a cookie for stateful sessions, and what its route says besides."""
    kinds = "type.googleapis.com/envoy.extensions"

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        endpoint = "        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}"
        return _ENVOY.format(
            type=kinds,
            port=port,
            filters=_ENVOY_STATEFUL.format(type=kinds, cookie=stateful) if stateful else "",
            route=f", {route}" if route else "",
            policy=policy,
            endpoints="\n".join(endpoint.format(at) for at in nodes.values()),
        )

    return _by("envoy", text)


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"    {line}" for line in lines]


def _lines(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


#: What the dynamic cookies are made with.
DYNAMIC_KEY = "the key of dynamic cookies"

INSERT = haproxy("cookie SRV insert")
HIDDEN = haproxy("cookie SRV insert indirect nocache httponly")
PREFIX = haproxy(f"cookie {TOMCAT} prefix")
REWRITE = haproxy(f"cookie {WHERE} rewrite")
DATED = haproxy("cookie SRV insert maxidle 1h maxlife 8h")
DYNAMIC = haproxy("cookie SRV insert indirect nocache dynamic", f'dynamic-cookie-key "{DYNAMIC_KEY}"')
TABLE = haproxy(
    "stick-table type string len 64 size 100k expire 30m",
    f"stick on req.cook({SESSION})",
    f"stick store-response res.cook({SESSION})",
)
APACHE_ROUTE = apache(
    "ROUTEID", 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED'
)
TOMCATS = apache(f"{TOMCAT}|{TOMCAT.lower()}")
NGINX_HASH = nginx(f"hash $cookie_{SHOPPER} consistent")
NGINX_SECRET_HASH = nginx(f"hash $cookie_{SESSION}")
CADDY = caddy("cookie lb a-secret-of-caddy")
ENVOY = envoy("ROUND_ROBIN", stateful="stuck")
ENVOY_RING = envoy("RING_HASH", route="hash_policy: [{ cookie: { name: ring, ttl: 3600s, path: / } }]")
NOTHING = haproxy()
