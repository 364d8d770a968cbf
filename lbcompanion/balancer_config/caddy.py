"""Caddy 2: ``lb_policy cookie``, as a Caddyfile."""

from __future__ import annotations

from collections.abc import Iterable

from lbcompanion.balancer_config.comments import (
    comment,
    file_header,
    indented,
    readyz_unreachable,
    sticky_settings,
    text,
)
from lbcompanion.balancer_config.pool import Pool, is_loopback

#: The sticky cookie, if the nodes' files name none: one that ``auto`` recognises.
COOKIE = "lb"
#: The dialect of this cookie, and the usual name of the file.
DIALECT = "caddy"
FILE_NAME = "Caddyfile"


def configuration(pool: Pool) -> str:
    """Return the whole Caddyfile."""
    cookie = pool.cookie or COOKIE
    return _with_tabs(
        [
            *file_header(
                "Caddy",
                pool,
                "A Caddyfile. Check it: caddy validate --adapter caddyfile --config FILE. Run it: caddy run --adapter "
                "caddyfile --config FILE.",
            ),
            *sticky_settings("caddy", cookie),
            "",
            *_site(pool),
            *indented(_proxy(pool, cookie), "    "),
            "}",
        ]
    )


def _with_tabs(lines: Iterable[str]) -> str:
    """Indent with tabs, as ``caddy fmt`` does."""
    return text([f"{chr(9) * ((len(line) - len(line.lstrip(' '))) // 4)}{line.lstrip(' ')}" for line in lines])


def _site(pool: Pool) -> list[str]:
    lines = [
        "# Plain HTTP at this port, for any host. With the site's name instead (www.example.com {), Caddy serves https",
        "# and obtains the certificate itself.",
        f"http://:{pool.listen_port} {{",
    ]
    if pool.listen_host:
        lines.append(f"    bind {pool.listen_host}")
    return lines


def _proxy(pool: Pool, cookie: str) -> list[str]:
    return [
        f"reverse_proxy {' '.join(member.address for member in pool.members)} {{",
        *comment(
            "The cookie's value is an HMAC of the node's address above. With a secret after the cookie's name, only "
            "Caddy could compute it.",
            "    ",
        ),
        f"    lb_policy cookie {cookie}",
        "    # If a connection to a node fails, try another node. Only a GET is ever sent again.",
        "    lb_try_duration 5s",
        "    lb_try_interval 100ms",
        "",
        *indented(_health(pool), "    "),
        "    # In addition, avoid a node for a moment after a failed request.",
        "    fail_duration 2s",
        "    max_fails 1",
        "",
        "    # Every request tells the node its address in this file.",
        "    header_up X-LB-Server {http.reverse_proxy.upstream.hostport}",
        *comment(
            "Caddy sets X-Forwarded-For, -Proto and -Host, and ignores those of visitors. Host stays unchanged.",
            "    ",
        ),
        "    flush_interval -1",
        "    transport http {",
        "        dial_timeout 5s",
        f"        response_header_timeout {pool.answer_seconds}s",
        f"        keepalive {pool.keep_seconds}s",
        "        # No compression here: the companion compresses if the application does.",
        "        compression off",
        "    }",
        "}",
    ]


def _health(pool: Pool) -> list[str]:
    """Return the health check. Caddy checks all nodes at one port, and at the hosts of the upstreams."""
    ports = {member.check_port for member in pool.members}
    same_host = all(
        member.check_host == member.host or (is_loopback(member.check_host) and is_loopback(member.host))
        for member in pool.members
    )
    timing = ["health_interval 1s", "health_timeout 2s", "health_status 200"]
    if pool.readyz_is_reachable and len(ports) == 1 and same_host:
        return [
            "# Health check at the node's admin listener.",
            "health_uri /readyz",
            f"health_port {min(ports)}",
            "health_headers {",
            "    Host localhost",
            "}",
            *timing,
        ]
    if not pool.readyz_is_reachable:
        return [*readyz_unreachable(pool), f"health_uri {pool.prefix}/whoami", *timing]
    return [
        *comment(
            "Caddy can check all nodes at the same port only, but the admin listeners of these nodes, which serve "
            f"/readyz, have several ports. The health check is {pool.prefix}/whoami at the public port instead: it "
            "detects a dead node, but not a node whose application is down or that is about to stop."
        ),
        f"health_uri {pool.prefix}/whoami",
        *timing,
    ]
