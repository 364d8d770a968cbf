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

#: The cookie that it sticks by where the nodes' files name none: one that ``auto`` knows.
COOKIE = "lb"


def configuration(pool: Pool) -> str:
    """The whole Caddyfile."""
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
    """As `caddy fmt` would have it."""
    return text([f"{chr(9) * ((len(line) - len(line.lstrip(' '))) // 4)}{line.lstrip(' ')}" for line in lines])


def _site(pool: Pool) -> list[str]:
    lines = [
        "# Plain HTTP at this port, for any host. With the site's name in its place (www.example.com {) Caddy serves",
        "# https and gets the certificate by itself.",
        f"http://:{pool.listen_port} {{",
    ]
    if pool.listen_host:
        lines.append(f"    bind {pool.listen_host}")
    return lines


def _proxy(pool: Pool, cookie: str) -> list[str]:
    return [
        f"reverse_proxy {' '.join(member.address for member in pool.members)} {{",
        *comment(
            "The cookie's value is an HMAC of the node's address as it stands above; a secret after the name would "
            "make it one that only Caddy can compute.",
            "    ",
        ),
        f"    lb_policy cookie {cookie}",
        "    # A node that cannot be connected to: another one. Of what was sent, only a GET is ever sent again.",
        "    lb_try_duration 5s",
        "    lb_try_interval 100ms",
        "",
        *indented(_health(pool), "    "),
        "    # Besides, a node at which a request failed is left alone for a moment.",
        "    fail_duration 2s",
        "    max_fails 1",
        "",
        "    # The node learns the address that it has here, on every request.",
        "    header_up X-LB-Server {http.reverse_proxy.upstream.hostport}",
        *comment(
            "X-Forwarded-For, -Proto and -Host: Caddy sets them, and takes none from visitors. Host stays as it came.",
            "    ",
        ),
        "    flush_interval -1",
        "    transport http {",
        "        dial_timeout 5s",
        f"        response_header_timeout {pool.answer_seconds}s",
        f"        keepalive {pool.keep_seconds}s",
        "        # Bytes flow on as they came; the companion compresses where the application does.",
        "        compression off",
        "    }",
        "}",
    ]


def _health(pool: Pool) -> list[str]:
    """Caddy asks all nodes at one and the same port, at the host where they serve."""
    ports = {member.check_port for member in pool.members}
    same_host = all(
        member.check_host == member.host or (is_loopback(member.check_host) and is_loopback(member.host))
        for member in pool.members
    )
    timing = ["health_interval 1s", "health_timeout 2s", "health_status 200"]
    if pool.readyz_is_reachable and len(ports) == 1 and same_host:
        return [
            "# Is the node ready? Asked at its admin listener.",
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
            "Caddy can ask all nodes at one and the same port only, and these have their admin listeners, where "
            f"/readyz is, at several; so {pool.prefix}/whoami is asked for at the public port, which tells a dead "
            "node, but not one whose application is down or that is about to stop."
        ),
        f"health_uri {pool.prefix}/whoami",
        *timing,
    ]
