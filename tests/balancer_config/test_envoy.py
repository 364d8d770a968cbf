"""Envoy's configuration."""

from __future__ import annotations

from lbcompanion.balancer_config.envoy import configuration
from lbcompanion.balancer_config.pool import pool_of
from tests.support.configured_nodes import node


def test_names_of_hosts_are_resolved_and_addresses_are_not() -> None:
    by_address = node("n1", "tcp:8080:interface=10.0.0.1")
    by_name = node("n2", "tcp:8080", direct_origin="http://n2.internal:8080")
    assert "type: STATIC" in configuration(pool_of([("", by_address)], ("", 8500)))
    assert "type: STRICT_DNS" in configuration(pool_of([("", by_address), ("", by_name)], ("", 8500)))


def test_without_a_configured_cookie_it_sticks_by_the_default_one() -> None:
    one = node("n1", "tcp:8080:interface=10.0.0.1")
    assert "cookie: { name: SERVERID, path: / }" in configuration(pool_of([("", one)], ("", 8500)))
