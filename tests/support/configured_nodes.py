"""Nodes' settings as their files would give them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lbcompanion.settings import NodeSettings, NodeTable, StickyTable


def node(
    name: str,
    listen: str,
    admin: str = "tcp:9101:interface=127.0.0.1",
    peers: Mapping[str, str] | None = None,
    direct_origin: str = "",
    cookies: tuple[str, ...] = (),
) -> NodeSettings:
    table = NodeTable(
        name, (listen,), "tcp:127.0.0.1:8000", Path("farm.secret"), b"", admin=admin, direct_origin=direct_origin
    )
    return NodeSettings(table, sticky=StickyTable(cookies=cookies), peers=peers or {})
