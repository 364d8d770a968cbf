"""Open source nginx, any version: the cookie is made with ``map``, because ``sticky`` exists only from 1.29.6 on.

Each node has an upstream, with the other nodes as backups. The cookie names the node that answered.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lbcompanion.balancer_config.comments import comment, file_header, sticky_settings, text
from lbcompanion.balancer_config.pool import Member, Pool, is_address, joined
from lbcompanion.errors import ConfigError

#: The sticky cookie, if the nodes' files name none: one that ``auto`` recognises.
COOKIE = "SERVERID"
#: The dialect of this cookie, and the usual name of the file.
DIALECT = "haproxy-insert"
FILE_NAME = "nginx.conf"
_VARIABLE = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


def configuration(pool: Pool) -> str:
    """Return the whole file.

    :raises ConfigError: if the cookie's name cannot be part of a variable's name.
    """
    cookie = pool.cookie or COOKIE
    if not _VARIABLE.fullmatch(cookie):
        raise ConfigError("sticky.cookies", "", cookie, "letters, digits and _, which is all that nginx can look for")
    return text(
        [
            *file_header(
                "nginx",
                pool,
                "Check it: nginx -t -c FILE. For an existing nginx, put the content of http {...} into a file in "
                "conf.d.",
            ),
            *sticky_settings("haproxy-insert", cookie),
            *comment("(This file makes the same cookie as HAProxy's `insert`.)"),
            "",
            "events {",
            "    worker_connections 4096;",
            "}",
            "",
            "http {",
            *_stickiness(pool, cookie),
            "",
            *_server(pool),
            "}",
        ]
    )


def _stickiness(pool: Pool, cookie: str) -> list[str]:
    members = pool.members
    return [
        *comment(
            "From nginx 1.29.6 on, one upstream with `sticky cookie NAME path=/ httponly;` can replace all of this. "
            "Here the cookie contains the node's name, and selects the upstream.",
            "    ",
        ),
        f"    map $cookie_{cookie} $lbc_known {{",
        '        default "";',
        *(f'        "~^{member.name}$" {member.name};' for member in members),
        "    }",
        "    # Without a cookie of a known node: any node.",
        '    split_clients "$request_id" $lbc_fresh {',
        *_shares(members),
        "    }",
        "    map $lbc_known $lbc_pool {",
        "        default lbc_$lbc_known;",
        '        "" lbc_$lbc_fresh;',
        "    }",
        *_answering_node(members),
        *comment("The cookie is set if it does not name the node that answered.", "    "),
        f'    map "$lbc_answered $cookie_{cookie}" $lbc_set_cookie {{',
        f'        default "{cookie}=$lbc_answered; Path=/; HttpOnly";',
        r'        "~^(\S+) \1$" "";',
        r'        "~^ " "";',
        "    }",
        "",
        *comment(
            "Open source nginx has no active health checks (so it cannot use /readyz, which has another port). It "
            "detects a failure when a visitor's request fails, and then avoids the node for a while. A stopping "
            "companion finishes its requests before it closes its port. To avoid failed requests, first take a node "
            "out by hand (`server ... down;` and reload).",
            "    ",
        ),
        *(line for member in members for line in _pool(member, pool)),
    ]


def _shares(members: Sequence[Member]) -> list[str]:
    share = f"{100 / len(members):.2f}%"
    *others, last = members
    return [*(f"        {share} {member.name};" for member in others), f"        * {last.name};"]


def _answering_node(members: Sequence[Member]) -> list[str]:
    """Return the map to the node that answered: the last address in ``$upstream_addr``, after failures too."""
    known = [member for member in members if is_address(member.host)]
    lines = comment(
        "$upstream_addr contains the tried addresses; the last one answered."
        + ("" if len(known) == len(members) else " For a node with a host name, add its address here."),
        "    ",
    )
    lines += ["    map $upstream_addr $lbc_answered {"]
    # For a host name, $upstream_addr has the resolved address; then assume that the pool's own node answered.
    lines += ["        default $lbc_chosen;" if len(known) < len(members) else '        default "";']
    lines += [f'        "~(^|[ ,]){re.escape(member.address)}$" {member.name};' for member in known]
    lines += ["    }"]
    if len(known) < len(members):
        lines += ["    map $lbc_known $lbc_chosen {", "        default $lbc_known;", '        "" $lbc_fresh;', "    }"]
    return lines


def _pool(member: Member, pool: Pool) -> list[str]:
    others = [other for other in pool.members if other is not member]
    return [
        f"    upstream lbc_{member.name} {{",
        f"        server {member.address} max_fails=1 fail_timeout=2s;",
        *(f"        server {other.address} max_fails=1 fail_timeout=2s backup;" for other in others),
        "        keepalive 32;",
        f"        keepalive_timeout {pool.keep_seconds}s;",
        "    }",
    ]


def _server(pool: Pool) -> list[str]:
    listen = joined(pool.listen_host, pool.listen_port) if pool.listen_host else str(pool.listen_port)
    return [
        "    map $http_upgrade $lbc_connection {",
        "        default upgrade;",
        '        "" "";',
        "    }",
        "",
        "    server {",
        f"        listen {listen};",
        "        # For https: listen 443 ssl; ssl_certificate and ssl_certificate_key.",
        "        client_max_body_size 0;",
        "",
        "        location / {",
        "            proxy_pass http://$lbc_pool;",
        "            proxy_http_version 1.1;",
        "            proxy_set_header Upgrade $http_upgrade;",
        "            proxy_set_header Connection $lbc_connection;",
        "            proxy_set_header Host $http_host;",
        *comment(
            "Overwrite what visitors claim about themselves. Behind another proxy, use $proxy_add_x_forwarded_for.",
            "            ",
        ),
        "            proxy_set_header X-Forwarded-For $remote_addr;",
        "            proxy_set_header X-Forwarded-Proto $scheme;",
        "            proxy_set_header X-Forwarded-Host $http_host;",
        *comment(
            "(No X-LB-Server: nginx writes the headers before it has chosen the node.)",
            "            ",
        ),
        "            proxy_connect_timeout 5s;",
        *comment(
            "The companion has a shorter timeout for its application, so it can report the error.",
            " " * 12,
        ),
        f"            proxy_read_timeout {pool.answer_seconds}s;",
        f"            proxy_send_timeout {pool.answer_seconds}s;",
        "            # Pass pages on while the application writes them.",
        "            proxy_buffering off;",
        "            proxy_request_buffering off;",
        "            # If a node cannot be reached, try another one; never repeat a POST that was sent.",
        "            proxy_next_upstream error timeout;",
        f"            proxy_next_upstream_tries {min(3, len(pool.members))};",
        "            add_header Set-Cookie $lbc_set_cookie always;",
        "        }",
        "    }",
    ]
