"""Varnish, which here passes everything on and keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.balancer_kinds.kind import Kind
from tests.support.session_site import SHOPPER

_NO_DRAIN = "a backend is healthy or sick (varnish-cache.org, varnish-cli), and a sick one gets nobody"

_BEGIN = """vcl 4.1;
import cookie;
import directors;
import header;
import std;
"""
_BACKEND = """backend {name} {{
    .host = "127.0.0.1"; .port = "{at}";
    .probe = {{ .url = "/_lbc/whoami"; .interval = 300ms; .timeout = 5s; .window = 2; .threshold = 1; .initial = 1; }}
}}
"""
# Newcomers are spread by their request's number.
_SHARD = """sub vcl_init {{
    new nodes = directors.shard();
    {members}
    nodes.reconfigure();
}}
sub vcl_recv {{
    cookie.parse(req.http.Cookie);
    if (cookie.isset("{name}")) {{
        set req.backend_hint = nodes.backend(by=KEY, key=nodes.key(cookie.get("{name}")));
    }} else {{
        set req.backend_hint = nodes.backend(by=KEY, key=nodes.key(req.xid));
    }}
    return (pass);
}}
"""
_RULE = """sub vcl_init {{
    new nodes = directors.round_robin();
    {members}
}}
sub vcl_recv {{
    cookie.parse(req.http.Cookie);
    set req.backend_hint = nodes.backend();
    set req.http.X-New = "1";
    {rules}
    return (pass);
}}
sub vcl_backend_fetch {{
    set bereq.backend = bereq.backend.resolve();
    unset bereq.http.X-New;
}}
sub vcl_backend_response {{
    set beresp.http.X-Backend = bereq.backend;
}}
sub vcl_deliver {{
    if (req.http.X-New) {{ header.append(resp.http.Set-Cookie, "{name}=" + resp.http.X-Backend + "; Path=/"); }}
    unset resp.http.X-Backend;
}}
"""
_RULE_OF_ONE = """if (cookie.get("{name}") == "{node}" && std.healthy({node})) {{
        set req.backend_hint = {node}; unset req.http.X-New;
    }}"""


def _varnish(text: str, name: str, member: str) -> Kind:
    def whole(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        backends = "".join(_BACKEND.format(name=node, at=at) for node, at in nodes.items())
        members = "\n    ".join(member.format(node) for node in nodes)
        rules = "\n    ".join(_RULE_OF_ONE.format(name=name, node=node) for node in nodes)
        (folder / "varnish.port").write_text(str(port))
        return _BEGIN + backends + text.format(members=members, name=name, rules=rules)

    return Kind("varnish", whole, _NO_DRAIN)


SHARD = _varnish(_SHARD, SHOPPER, "nodes.add_backend({});")
RULE = _varnish(_RULE, "seat", "nodes.add_backend({});")
