"""Apache httpd 2.4: mod_proxy_balancer with the ROUTEID recipe of its manual, health checks by mod_proxy_hcheck."""

from __future__ import annotations

from lbcompanion.balancer_config.comments import comment, file_header, sticky_settings, text
from lbcompanion.balancer_config.pool import Member, Pool, joined

#: The sticky cookie, if the nodes' files name none: one that ``auto`` recognises.
COOKIE = "ROUTEID"
#: The dialect of this cookie, and the usual name of the file.
DIALECT = "apache-route"
FILE_NAME = "apache.conf"
_MODULES = (
    *("authz_core", "headers", "watchdog", "slotmem_shm", "lbmethod_byrequests"),
    *("proxy", "proxy_http", "proxy_balancer", "proxy_hcheck"),
)
_PROBE_SECONDS = 2


def configuration(pool: Pool) -> str:
    """Return the whole file."""
    cookie = pool.cookie or COOKIE
    return text(
        [
            *file_header(
                "Apache httpd",
                pool,
                "Check it: apache2 -t -f FILE. Run it: apache2 -DFOREGROUND -f FILE. For an existing Apache, take the "
                "part from Listen on, and enable the modules.",
            ),
            *sticky_settings("apache-route", cookie),
            "",
            *_modules(),
            "",
            *_server_section(pool),
            "",
            *_balancer(pool, cookie),
            "",
            *_virtual_host(pool, cookie),
        ]
    )


def _modules() -> list[str]:
    lines = [
        "# Where this system has Apache's modules.",
        'Define LBC_MODULES "/usr/lib/apache2/modules"',
        "<IfFile /usr/lib64/httpd/modules/mod_proxy.so>",
        '    Define LBC_MODULES "/usr/lib64/httpd/modules"',
        "</IfFile>",
        "<IfFile /usr/local/apache2/modules/mod_proxy.so>",
        '    Define LBC_MODULES "/usr/local/apache2/modules"',
        "</IfFile>",
        "<IfModule !mpm_event_module>",
        "    <IfModule !mpm_worker_module>",
        "        <IfModule !mpm_prefork_module>",
        "            LoadModule mpm_event_module ${LBC_MODULES}/mod_mpm_event.so",
        "        </IfModule>",
        "    </IfModule>",
        "</IfModule>",
    ]
    for name in _MODULES:
        lines += [
            f"<IfModule !{name}_module>",
            f"    LoadModule {name}_module ${{LBC_MODULES}}/mod_{name}.so",
            "</IfModule>",
        ]
    return lines


def _server_section(pool: Pool) -> list[str]:
    return [
        "ServerName localhost",
        "<IfModule unixd_module>",
        "    # The user of the server's children, if root starts it.",
        "    User www-data",
        "    Group www-data",
        "</IfModule>",
        "ErrorLog /dev/stderr",
        "<IfDefine !FOREGROUND>",
        "    <IfFile /var/log/apache2>",
        "        ErrorLog /var/log/apache2/error.log",
        "    </IfFile>",
        "</IfDefine>",
        "LogLevel warn",
        "",
        f"Listen {joined(pool.listen_host, pool.listen_port) if pool.listen_host else pool.listen_port}",
        "# For https: mod_ssl, and a VirtualHost with SSLEngine on.",
    ]


def _balancer(pool: Pool, cookie: str) -> list[str]:
    return [
        *comment(
            "The health check goes to the public port, and the companion answers it itself: mod_proxy_hcheck cannot "
            "use another port, such as that of /readyz. The check detects a dead node, but not a node that is about "
            "to stop. A stopping companion finishes its requests before it closes its port. Better: drain the node "
            "first (balancer-manager, or status=+N).",
        ),
        "<Proxy balancer://nodes>",
        *(line for member in pool.members for line in _member(pool, member)),
        "    # The part of the cookie after the first dot is the route. If its node is down, another one is chosen.",
        f"    ProxySet stickysession={cookie} lbmethod=byrequests",
        "</Proxy>",
    ]


def _member(pool: Pool, member: Member) -> list[str]:
    return [
        f"    BalancerMember http://{member.address} route={member.name} retry=5 connectiontimeout=5 \\",
        f"        timeout={pool.answer_seconds} ttl={pool.keep_seconds} upgrade=websocket \\",
        f"        hcmethod=GET hcuri={pool.prefix}/whoami hcinterval={_PROBE_SECONDS} hcpasses=1 hcfails=2",
    ]


def _virtual_host(pool: Pool, cookie: str) -> list[str]:
    return [
        f"<VirtualHost *:{pool.listen_port}>",
        "    ProxyPreserveHost On",
        *comment(
            "Remove what visitors claim about themselves; mod_proxy then sets X-Forwarded-For and -Host itself. "
            "Behind another proxy, omit the three lines.",
            "    ",
        ),
        "    RequestHeader unset X-Forwarded-For early",
        "    RequestHeader unset X-Forwarded-Host early",
        "    RequestHeader unset X-Forwarded-Server early",
        '    RequestHeader set X-Forwarded-Proto "expr=%{REQUEST_SCHEME}"',
        *comment("(No X-LB-Server: Apache writes the request headers before it has chosen the node.)", "    "),
        "    # The sticky cookie, set when the route is new or has changed.",
        f'    Header add Set-Cookie "{cookie}=.%{{BALANCER_WORKER_ROUTE}}e; path=/; HttpOnly" \\',
        "        env=BALANCER_ROUTE_CHANGED",
        '    ProxyPass "/" "balancer://nodes/"',
        "</VirtualHost>",
    ]
