"""Configurations for balancers in front of companions: one product in a file, plain text made of plain values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from lbcompanion.balancer_config import apache, caddy, envoy, haproxy, nginx
from lbcompanion.balancer_config.pool import Pool, pool_of

__all__ = ["COOKIES", "PRODUCTS", "Pool", "configuration", "pool_of"]

PRODUCTS: Mapping[str, Callable[[Pool], str]] = MappingProxyType(
    {
        "haproxy": haproxy.configuration,
        "nginx": nginx.configuration,
        "apache": apache.configuration,
        "caddy": caddy.configuration,
        "envoy": envoy.configuration,
    }
)

#: The cookie that each sticks by where the nodes' files name none: names that ``auto`` knows.
COOKIES: Mapping[str, str] = MappingProxyType(
    {"haproxy": "SERVERID", "nginx": "SERVERID", "apache": "ROUTEID", "caddy": "lb", "envoy": "SERVERID"}
)


def configuration(product: str, pool: Pool) -> str:
    """The product's configuration for these nodes.

    :raises KeyError: for a product that there is not; :data:`PRODUCTS` has them.
    :raises ConfigError: where the product cannot do what is asked for.
    """
    return PRODUCTS[product](pool)
