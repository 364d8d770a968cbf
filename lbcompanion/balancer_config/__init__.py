"""Configurations for balancers in front of companions: one product in a file, plain text made of plain values."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from lbcompanion.balancer_config import apache, caddy, envoy, haproxy, nginx
from lbcompanion.balancer_config.pool import Pool, pool_of

__all__ = ["PRODUCTS", "Pool", "Product", "configuration", "pool_of"]


class Product(Protocol):
    """What the module of a product has."""

    @property
    def COOKIE(self) -> str:
        """The cookie that it sticks by where the nodes' files name none."""

    def configuration(self, pool: Pool) -> str:
        """The whole file."""


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {"haproxy": haproxy, "nginx": nginx, "apache": apache, "caddy": caddy, "envoy": envoy}
)


def configuration(product: str, pool: Pool) -> str:
    """The product's configuration for these nodes.

    :raises KeyError: for a product that there is not; :data:`PRODUCTS` has them.
    :raises ConfigError: where the product cannot do what is asked for.
    """
    return PRODUCTS[product].configuration(pool)
