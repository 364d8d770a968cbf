"""nginx, open source."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.balancer_kinds.kind import Kind
from tests.support.session_site import SESSION, SHOPPER

_NGINX = """events {{ worker_connections 512; }}
http {{
    upstream nodes {{
        {how};
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        {server}
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            {host}
        }}
    }}
}}
"""
_NO_DRAIN = "`drain` is for those who pay (nginx.org, ngx_http_upstream_module), and `down` turns all away"


def nginx(how: str, server: str = "", host: str = "proxy_set_header Host $http_host;") -> Kind:
    """nginx with one upstream, this directive in it, and these in its server.

    :param host: the directive that passes Host on; nginx's own default replaces it by the upstream's name.
    """

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        servers = " ".join(f"server 127.0.0.1:{at} fail_timeout=1s;" for at in nodes.values())
        return _NGINX.format(how=how, servers=servers, port=port, server=server, host=host)

    return Kind("nginx", text, _NO_DRAIN)


HASH = nginx(f"hash $cookie_{SHOPPER} consistent")
SECRET_HASH = nginx(f"hash $cookie_{SESSION}")
USERID = nginx("hash $uid_got$uid_set consistent", "userid on; userid_name uid; userid_path /;")
#: As in most examples: ``proxy_pass`` and nothing else, so that nodes get ``Host: nodes``.
DEFAULT_HOST = nginx(f"hash $cookie_{SHOPPER} consistent", host="")
#: Changes each HTML page.
SUB_FILTER = nginx(
    f"hash $cookie_{SHOPPER} consistent",
    "sub_filter_once on; sub_filter '</html>' '<!-- changed on the way --></html>';",
)
ADDRESS = nginx("ip_hash")
