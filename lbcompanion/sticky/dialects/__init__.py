"""Every dialect in the tree, by name. One balancer's way of writing stickiness has one file, and one line here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from lbcompanion.errors import CompanionError
from lbcompanion.sticky.dialects import (
    apache_route,
    aws_alb,
    azure_arr,
    caddy,
    envoy,
    envoy_hash,
    generic,
    haproxy_dynamic,
    haproxy_insert,
    haproxy_prefix,
    haproxy_rewrite,
    haproxy_table,
    jvmroute,
    nginx_hash,
    nginx_learn,
    nginx_sticky,
    traefik,
)
from lbcompanion.sticky.dialects.interface import Dialect, Sample

__all__ = ["ALL", "AUTO", "GENERIC", "NAMES", "Dialect", "Sample", "by_name", "catalogue"]

#: What configuration says where each cookie shall be judged by itself. No dialect.
AUTO = "auto"


def catalogue(dialects: Iterable[Dialect]) -> Mapping[str, Dialect]:
    """Dialects by name.

    :raises CompanionError: where two have one name, or one is called ``auto``.
    """
    known: dict[str, Dialect] = {}
    for dialect in dialects:
        if dialect.name in known or dialect.name == AUTO:
            raise CompanionError(f"two dialects are named {dialect.name}, and only one can be")
        known[dialect.name] = dialect
    return MappingProxyType(known)


GENERIC: Dialect = generic.DIALECT

#: In the order in which ``auto`` asks who recognises a cookie; the most telling shapes first.
ALL: tuple[Dialect, ...] = (
    envoy.DIALECT,
    aws_alb.DIALECT,
    azure_arr.DIALECT,
    caddy.DIALECT,
    traefik.DIALECT,
    haproxy_prefix.DIALECT,
    haproxy_insert.DIALECT,
    haproxy_dynamic.DIALECT,
    haproxy_rewrite.DIALECT,
    haproxy_table.DIALECT,
    apache_route.DIALECT,
    jvmroute.DIALECT,
    nginx_sticky.DIALECT,
    nginx_learn.DIALECT,
    nginx_hash.DIALECT,
    envoy_hash.DIALECT,
    GENERIC,
)

_KNOWN = catalogue(ALL)

#: What ``dialect`` may be set to, but for ``auto``.
NAMES: tuple[str, ...] = tuple(sorted(_KNOWN))


def by_name(name: str) -> Dialect:
    """The dialect of that name.

    :raises KeyError: where there is none; :data:`NAMES` has them.
    """
    return _KNOWN[name]
