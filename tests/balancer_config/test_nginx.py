"""nginx's configuration."""

from __future__ import annotations

import pytest

from lbcompanion import balancer_config
from lbcompanion.balancer_config.pool import pool_of
from lbcompanion.errors import ConfigError
from tests.support.configured_nodes import node


def made(product, nodes, listen=("127.0.0.1", 8500)):
    return balancer_config.configuration(product, pool_of([("", one) for one in nodes], listen))


def test_nginx_cannot_look_for_every_cookie():
    with pytest.raises(ConfigError, match="my-cookie"):
        made("nginx", [node("n1", "tcp:8080", cookies=("my-cookie",))])
