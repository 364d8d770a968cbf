"""HAProxy (2.2 or later): ``cookie NAME insert``, health checks of ``/readyz`` at each node's admin listener."""

from __future__ import annotations

from lbcompanion.balancer_config.comments import (
    comment,
    file_header,
    indented,
    readyz_unreachable,
    sticky_settings,
    text,
)
from lbcompanion.balancer_config.pool import Member, Pool, joined

#: The sticky cookie, if the nodes' files name none: one that ``auto`` recognises.
COOKIE = "SERVERID"
#: The dialect of this cookie, and the usual name of the file.
DIALECT = "haproxy-insert"
FILE_NAME = "haproxy.cfg"


def configuration(pool: Pool) -> str:
    """Return the whole file."""
    cookie = pool.cookie or COOKIE
    return text(
        [
            *file_header("HAProxy", pool, "Check it: haproxy -c -f FILE. Run it: haproxy -db -f FILE."),
            *sticky_settings("haproxy-insert", cookie),
            "",
            "global",
            "    # Concurrent visitors. Each needs two file descriptors (`ulimit -n`).",
            "    maxconn 4000",
            "",
            *_defaults(pool),
            "",
            *_frontend(pool),
            "",
            *_backend(pool, cookie),
        ]
    )


def _defaults(pool: Pool) -> list[str]:
    return [
        "defaults",
        "    mode http",
        "    timeout connect 5s",
        "    timeout http-request 10s",
        "    timeout http-keep-alive 15s",
        "    timeout client 75s",
        *comment(
            "The companion has a shorter timeout for its application, so it can report the error.",
            "    ",
        ),
        f"    timeout server {pool.answer_seconds}s",
        "    timeout tunnel 1h",
        "    # If a connection to a node fails, try another node at once; no request is sent twice.",
        "    option redispatch 1",
        "    retries 2",
        "    retry-on conn-failure",
    ]


def _frontend(pool: Pool) -> list[str]:
    return [
        "frontend visitors",
        f"    bind {joined(pool.listen_host, pool.listen_port) if pool.listen_host else f'*:{pool.listen_port}'}",
        "    # For https: bind *:443 ssl crt /etc/haproxy/site.pem",
        *comment(
            "Remove what visitors claim about themselves. Behind another proxy, omit the three del-header lines.",
            "    ",
        ),
        "    http-request del-header X-Forwarded-For",
        "    http-request del-header X-Forwarded-Proto",
        "    http-request del-header X-Forwarded-Host",
        "    option forwardfor",
        "    http-request set-header X-Forwarded-Proto https if { ssl_fc }",
        "    http-request set-header X-Forwarded-Proto http if !{ ssl_fc }",
        "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        "    default_backend nodes",
    ]


def _backend(pool: Pool, cookie: str) -> list[str]:
    path = "/readyz" if pool.readyz_is_reachable else f"{pool.prefix}/whoami"
    return [
        "backend nodes",
        "    balance roundrobin",
        *comment(
            "The sticky cookie, set by HAProxy. Without `indirect` the companions see it too, and can record it. With "
            "`indirect` the crawler uses its own cookies instead. Scripts need not read the cookie.",
            "    ",
        ),
        f"    cookie {cookie} insert nocache httponly",
        "    # Every request tells the node its name in this file.",
        "    http-send-name-header X-LB-Server",
        "    http-reuse safe",
        *indented(readyz_unreachable(pool), "    "),
        "    # Health check: a stopping node reports that it is not ready, and continues to serve.",
        "    option httpchk",
        f"    http-check send meth GET uri {path} ver HTTP/1.1 hdr Host localhost",
        "    http-check expect status 200",
        "    default-server inter 1s fastinter 500ms downinter 1s fall 2 rise 1",
        *comment(
            f"Connections are closed before the companion closes them ({pool.idle_seconds} s). To take a node out of "
            "rotation while its visitors stay: `set server nodes/NAME state drain` on the stats socket.",
            "    ",
        ),
        f"    default-server pool-purge-delay {pool.keep_seconds}s",
        # An unresolvable host name must not prevent the start: the node may appear later.
        *(["    default-server init-addr last,libc,none"] if not all(m.has_address for m in pool.members) else []),
        *(_server(pool, member) for member in pool.members),
    ]


def _server(pool: Pool, member: Member) -> str:
    line = f"    server {member.name} {member.address} cookie {member.name} check"
    if not pool.readyz_is_reachable:
        return line
    other = "" if member.check_host == member.host else f" addr {member.check_host}"
    return f"{line}{other} port {member.check_port}"
