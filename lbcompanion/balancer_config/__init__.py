"""Generates configurations for balancers in front of companions; each product has a module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

from lbcompanion.balancer_config import apache, caddy, envoy, haproxy, nginx
from lbcompanion.balancer_config.pool import Pool, pool_of

__all__ = ["PRODUCTS", "Pool", "Product", "configuration", "pool_of"]


class Product(Protocol):
    """The interface of a product's module."""

    @property
    def COOKIE(self) -> str:
        """The sticky cookie, if the nodes' files name none."""

    @property
    def DIALECT(self) -> str:
        """The dialect of the sticky cookie."""

    @property
    def FILE_NAME(self) -> str:
        """The usual name of the file."""

    def configuration(self, pool: Pool) -> str:
        """Return the whole file."""


PRODUCTS: Mapping[str, Product] = MappingProxyType(
    {"haproxy": haproxy, "nginx": nginx, "apache": apache, "caddy": caddy, "envoy": envoy}
)


def configuration(product: str, pool: Pool) -> str:
    """Return the product's configuration for a pool of nodes.

    :raises KeyError: if the product is not one of :data:`PRODUCTS`.
    :raises ConfigError: if the product does not support a setting.
    """
    return PRODUCTS[product].configuration(pool)
