"""Caddy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.support.balancer_kinds.kind import Kind


def caddy(policy: str) -> Kind:
    """Caddy with this ``lb_policy``."""

    def text(folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]) -> str:
        upstreams = " ".join(f"127.0.0.1:{at}" for at in nodes.values())
        inside = f"lb_policy {policy}\n\t\tlb_try_duration 3s\n\t\tfail_duration 1s"
        return f"http://:{port} {{\n\tbind 127.0.0.1\n\treverse_proxy {upstreams} {{\n\t\t{inside}\n\t}}\n}}\n"

    return Kind("caddy", text, "it has no such state: an upstream is there or is not (caddyserver.com, reverse_proxy)")


COOKIE = caddy("cookie lb a-secret-of-caddy")
