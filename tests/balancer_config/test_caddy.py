"""Caddy's configuration."""

from __future__ import annotations

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import pool_of
from tests.support.configured_nodes import node

CLOSE = [node(f"n{at}", f"tcp:808{at}:interface=127.0.0.1", f"tcp:910{at}:interface=127.0.0.1") for at in (1, 2, 3)]


def made(product, nodes, listen=("127.0.0.1", 8500)):
    return balancer_config.configuration(product, pool_of([("", one) for one in nodes], listen))


def test_caddy_asks_all_at_one_port_only():
    apart = [node(f"n{at}", f"tcp:8080:interface=10.0.0.{at}", f"tcp:9101:interface=10.0.0.{at}") for at in (1, 2)]
    assert "health_uri /readyz\n\t\thealth_port 9101\n\t\thealth_headers {\n\t\t\tHost localhost\n" in made(
        "caddy", apart
    )
    assert "health_port" not in made("caddy", CLOSE)
    assert "health_uri /_lbc/whoami" in made("caddy", CLOSE)
