"""Apache's configuration."""

from __future__ import annotations

from lbcompanion.balancer_config.apache import configuration
from lbcompanion.balancer_config.pool import pool_of
from tests.support.configured_nodes import node


def test_each_node_has_its_name_as_its_route() -> None:
    nodes = [node(name, f"tcp:8080:interface=10.0.0.{at}") for at, name in enumerate(("n1", "n2"), 1)]
    text = configuration(pool_of([("", one) for one in nodes], ("", 8500)))
    assert "BalancerMember http://10.0.0.1:8080 route=n1 " in text
    assert "BalancerMember http://10.0.0.2:8080 route=n2 " in text
    assert "ProxySet stickysession=ROUTEID " in text
    assert "Listen 8500\n" in text
