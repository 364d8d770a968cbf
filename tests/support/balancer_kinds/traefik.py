"""Traefik, its routes in a file that it watches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from attrs import frozen

from tests.support.balancer_kinds.kind import Kind

_STATIC = """entryPoints: {{ visitors: {{ address: "127.0.0.1:{port}" }} }}
providers: {{ file: {{ filename: "{routes}", watch: true }} }}
log: {{ level: WARN }}
global: {{ checkNewVersion: false, sendAnonymousUsage: false }}
"""
_CHECK = {"path": "/_lbc/whoami", "interval": "300ms", "timeout": "10s"}


@frozen
class Traefik(Kind):
    """:ivar groups: services between which a weighted one chooses by a cookie of its own; none: one service."""

    groups: Mapping[str, tuple[str, ...]] = {}

    def readdress(self, farm: Any, node: str) -> None:
        """In the file."""
        _write_routes(farm.folder, farm.public, self.groups)


def _service(nodes: Mapping[str, int], names: Iterable[str]) -> dict[str, Any]:
    servers = [{"url": f"http://127.0.0.1:{nodes[name]}"} for name in names]
    return {"loadBalancer": {"sticky": {"cookie": {"name": "srv"}}, "servers": servers, "healthCheck": _CHECK}}


def _write_routes(folder: Path, nodes: Mapping[str, int], groups: Mapping[str, tuple[str, ...]]) -> Path:
    """Put the file in the place of the one before: what Traefik watches for."""
    half, file = folder / "traefik-routes.half", folder / "traefik-routes.yaml"
    services = {name: _service(nodes, members) for name, members in groups.items()} or {"nodes": _service(nodes, nodes)}
    if groups:
        members = [{"name": name, "weight": 1} for name in groups]
        services["nodes"] = {"weighted": {"sticky": {"cookie": {"name": "tier"}}, "services": members}}
    routers = {"all": {"rule": "PathPrefix(`/`)", "service": "nodes", "entryPoints": ["visitors"]}}
    half.write_text(json.dumps({"http": {"routers": routers, "services": services}}))  # JSON is YAML
    half.rename(file)
    return file


def traefik(groups: Mapping[str, tuple[str, ...]] | None = None) -> Traefik:
    """Traefik with ``sticky.cookie``, for one service or for a weighted one."""
    chosen = groups or {}

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        return _STATIC.format(port=port, routes=_write_routes(folder, nodes, chosen))

    return Traefik("traefik", text, "it has no such state: a server is there or is not", chosen)


COOKIE = traefik()
WEIGHTED = traefik({"left": ("n1",), "right": ("n2", "n3")})
