"""Apache with mod_proxy_balancer, steered by its balancer manager."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from attrs import frozen

from tests.support.balancer_kinds.kind import Kind, joined
from tests.support.session_site import TOMCAT

_APACHE = """{modules}
ServerName localhost
User www-data
Group www-data
ErrorLog /dev/stderr
LogLevel warn
Listen 127.0.0.1:{port}
{host}
<Proxy balancer://nodes>
{members}
    ProxySet stickysession={cookie} lbmethod=byrequests
</Proxy>
{more}
<Location "/balancer-manager">
    SetHandler balancer-manager
</Location>
ProxyPass "/balancer-manager" "!"
ProxyPass "/" "balancer://nodes/"
"""
_MODULES = (
    *("mpm_event", "authz_core", "headers", "slotmem_shm", "lbmethod_byrequests"),
    *("proxy", "proxy_http", "proxy_balancer"),
)


@frozen
class Apache(Kind):
    """Apache."""

    def drain(self, farm: Any, node: str, on: bool) -> None:
        """By the manager's form, whose nonce keeps others from filling it in."""
        url = f"http://127.0.0.1:{farm.balanced}/balancer-manager"
        with urllib.request.urlopen(url, timeout=60) as page:
            nonce = re.search(rb"[?&](?:amp;)?nonce=([0-9a-f-]+)", page.read())
        assert nonce is not None
        member = f"http://127.0.0.1:{farm.public[node]}"
        form = {"b": "nodes", "w": member, "nonce": nonce[1].decode(), "w_status_N": int(on)}
        asked = urllib.request.Request(url, urlencode(form).encode(), {"Referer": url})
        with urllib.request.urlopen(asked, timeout=60) as page:
            assert page.status == 200


def apache(cookie: str, *more: str, host: str = "ProxyPreserveHost On") -> Apache:
    """Apache with this ``stickysession``.

    :param host: the directive that passes Host on; Apache's own default replaces it, and sends X-Forwarded-Host.
    """

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        loaded = [f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so" for name in _MODULES]
        members = [f"    BalancerMember http://127.0.0.1:{at} route={name} retry=1" for name, at in nodes.items()]
        return _APACHE.format(
            modules=joined(loaded), port=port, members=joined(members), cookie=cookie, more=joined(more), host=host
        )

    return Apache("apache", text)


_SET_ROUTE = 'Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED'
ROUTE = apache("ROUTEID", _SET_ROUTE)
DEFAULT_HOST = apache("ROUTEID", _SET_ROUTE, host="")
TOMCATS = apache(f"{TOMCAT}|{TOMCAT.lower()}")
