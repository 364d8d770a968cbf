"""nginx, the open source one, any version: a cookie by ``map``, since ``sticky`` is there from 1.29.6 on only.

A pool for each node, with the other nodes as its backups; the cookie names the node that answered in the end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lbcompanion.balancer_config.comments import comment, file_header, sticky_settings, text
from lbcompanion.balancer_config.pool import Member, Pool, is_address, joined
from lbcompanion.errors import ConfigError

#: The cookie that it sticks by where the nodes' files name none: one that ``auto`` knows.
COOKIE = "SERVERID"
_VARIABLE = re.compile(r"[A-Za-z0-9_]+", re.ASCII)


def configuration(pool: Pool) -> str:
    """The whole file.

    :raises ConfigError: where the cookie's name cannot be a variable's.
    """
    cookie = pool.cookie or COOKIE
    if not _VARIABLE.fullmatch(cookie):
        raise ConfigError("sticky.cookies", "", cookie, "letters, digits and _, which is all that nginx can look for")
    return text(
        [
            *file_header(
                "nginx",
                pool,
                "Check it: nginx -t -c FILE. In an nginx that runs already, put what stands within http {...} into a "
                "file in conf.d.",
            ),
            *sticky_settings("haproxy-insert", cookie),
            *comment("(That is how HAProxy's `insert` does it, and what this file does is the same.)"),
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
            "From nginx 1.29.6 on all of this can be one upstream with the line `sticky cookie NAME path=/ httponly;`. "
            "Before that, the cookie holds the node's name, and chooses the pool.",
            "    ",
        ),
        f"    map $cookie_{cookie} $lbc_known {{",
        '        default "";',
        *(f'        "~^{member.name}$" {member.name};' for member in members),
        "    }",
        "    # Who has no cookie, or one of no node: any node.",
        '    split_clients "$request_id" $lbc_fresh {',
        *_shares(members),
        "    }",
        "    map $lbc_known $lbc_pool {",
        "        default lbc_$lbc_known;",
        '        "" lbc_$lbc_fresh;',
        "    }",
        *_answering_node(members),
        *comment("The cookie is set where it does not name the node that answered.", "    "),
        f'    map "$lbc_answered $cookie_{cookie}" $lbc_set_cookie {{',
        f'        default "{cookie}=$lbc_answered; Path=/; HttpOnly";',
        r'        "~^(\S+) \1$" "";',
        r'        "~^ " "";',
        "    }",
        "",
        *comment(
            "Open source nginx does not ask the nodes how they are (and could not ask /readyz, which listens at "
            "another port): it notices a failure when a visitor's request meets it, and then leaves the node alone for "
            "a while. A companion that stops finishes what it has begun before it closes its port. Take a node out by "
            "hand (`server ... down;` and reload) where that is too rough.",
            "    ",
        ),
        *(line for member in members for line in _pool(member, pool)),
    ]


def _shares(members: Sequence[Member]) -> list[str]:
    share = f"{100 / len(members):.2f}%"
    *others, last = members
    return [*(f"        {share} {member.name};" for member in others), f"        * {last.name};"]


def _answering_node(members: Sequence[Member]) -> list[str]:
    """Who answered, after failures too: the last address of several."""
    known = [member for member in members if is_address(member.host)]
    lines = comment(
        "$upstream_addr has the addresses that were tried; the last one answered."
        + ("" if len(known) == len(members) else " Put a node's address here where it is named by a host name."),
        "    ",
    )
    lines += ["    map $upstream_addr $lbc_answered {"]
    # Behind a name nginx shows what it resolved to; then the pool's own node is taken to have answered.
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
            "What visitors claim about themselves is overwritten. If another proxy stands before this one: "
            "$proxy_add_x_forwarded_for.",
            "            ",
        ),
        "            proxy_set_header X-Forwarded-For $remote_addr;",
        "            proxy_set_header X-Forwarded-Proto $scheme;",
        "            proxy_set_header X-Forwarded-Host $http_host;",
        *comment(
            "(The node cannot be told its name here: when headers are written, nginx has not chosen yet.)",
            "            ",
        ),
        "            proxy_connect_timeout 5s;",
        *comment(
            "A companion itself gives up an application that does not answer; it is given time to say so.", " " * 12
        ),
        f"            proxy_read_timeout {pool.answer_seconds}s;",
        f"            proxy_send_timeout {pool.answer_seconds}s;",
        "            # Pages flow on as the application makes them.",
        "            proxy_buffering off;",
        "            proxy_request_buffering off;",
        "            # Another node where this one cannot be reached; a POST that was sent is never sent again.",
        "            proxy_next_upstream error timeout;",
        f"            proxy_next_upstream_tries {min(3, len(pool.members))};",
        "            add_header Set-Cookie $lbc_set_cookie always;",
        "        }",
        "    }",
    ]
