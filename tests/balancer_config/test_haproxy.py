"""HAProxy's configuration."""

from __future__ import annotations

from lbcompanion.balancer_config.haproxy import configuration
from lbcompanion.balancer_config.pool import pool_of
from tests.support.configured_nodes import node


def test_each_node_has_its_name_as_the_cookies_value() -> None:
    one = node("n1", "tcp:8080:interface=10.0.0.1", "tcp:9101:interface=10.9.0.1", cookies=("MINE",))
    text = configuration(pool_of([("", one)], ("", 8500)))
    assert "cookie MINE insert nocache httponly\n" in text
    assert "server n1 10.0.0.1:8080 cookie n1 check addr 10.9.0.1 port 9101\n" in text


def test_a_host_name_that_does_not_resolve_does_not_stop_the_start() -> None:
    by_name = node("n2", "tcp:8080", direct_origin="http://n2.internal:8080")
    assert "init-addr last,libc,none" in configuration(pool_of([("", by_name)], ("", 8500)))
    by_address = node("n1", "tcp:8080:interface=10.0.0.1")
    assert "init-addr" not in configuration(pool_of([("", by_address)], ("", 8500)))
