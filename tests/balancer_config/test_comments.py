"""The comments in every configuration."""

from __future__ import annotations

import pytest

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import pool_of
from tests.support.configured_nodes import node

CLOSE = [node(f"n{at}", f"tcp:808{at}:interface=127.0.0.1", f"tcp:910{at}:interface=127.0.0.1") for at in (1, 2, 3)]
#: Admin listeners out of reach; names that a balancer could take for words of its own; one alone; IPv6.
HIDDEN = [node(name, f"tcp:8080:interface=10.0.0.{at}") for at, name in enumerate(("default", "hostnames", "N-1_x"), 1)]


def made(product, nodes, listen=("127.0.0.1", 8500)):
    return balancer_config.configuration(product, pool_of([("", one) for one in nodes], listen))


@pytest.mark.parametrize("product", balancer_config.PRODUCTS)
def test_where_the_admin_listener_is_out_of_reach_that_is_reported(product):
    text = " ".join(line.strip(" \t#") for line in made(product, HIDDEN).splitlines())
    if product not in ("nginx", "apache"):  # these never ask there
        assert "Only its own machine can reach the admin listener of" in text
    assert ("/_lbc/whoami" in text) is (product != "nginx")


@pytest.mark.parametrize("product", balancer_config.PRODUCTS)
def test_a_guess_is_reported(product):
    assert "# LOOK HERE" in made(product, [node("n1", "tcp:8080"), node("n2", "tcp:8080")])
    assert "# LOOK HERE" not in made(product, CLOSE)
