"""Balancers as they can be had, as models: see :mod:`lbcompanion.testing.sticking`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lbcompanion.sticky.dialects.caddy import DIALECT as CADDY
from lbcompanion.sticky.dialects.envoy import DIALECT as ENVOY
from lbcompanion.sticky.dialects.interface import NodeFacts
from lbcompanion.testing.sticking import Inserting, Mark, Remembering, TwoTiers


def haproxy_insert(name: str = "SRV", indirect: bool = False) -> Inserting:
    """``cookie NAME insert [indirect]``."""
    return Inserting(name, indirect=indirect, mark=Mark.DROPPED)


def haproxy_prefix(name: str = "sess") -> Inserting:
    """``cookie NAME prefix``."""
    return Inserting(name, gives=False, mark=Mark.PREFIXED, read=_before_tilde)


def haproxy_rewrite(name: str = "SRV") -> Inserting:
    """``cookie NAME rewrite``: the application sets the cookie."""
    return Inserting(name, gives=False, mark=Mark.REPLACED)


def haproxy_table(name: str = "sess") -> Remembering:
    """``stick on req.cook(NAME)`` with ``stick store-response res.cook(NAME)``."""
    return Remembering(name, learns=True)


def haproxy_tiers(groups: Mapping[str, Sequence[str]], outer: str = "DC", inner: str = "SRV") -> TwoTiers:
    """``insert`` before ``insert``."""
    return TwoTiers(
        outer=haproxy_insert(outer),
        groups={group: tuple(nodes) for group, nodes in groups.items()},
        inner={group: haproxy_insert(inner) for group in groups},
    )


def apache_route(name: str = "ROUTEID", attributes: str = "; path=/; HttpOnly") -> Inserting:
    """mod_proxy_balancer with ``stickysession=NAME``, and a ``Header add Set-Cookie`` as in its manual."""
    return Inserting(name, attributes=attributes, first_only=True, read=_behind_dot, write=lambda route: f".{route}")


def caddy(addresses: Mapping[str, str], name: str = "lb", secret: str = "") -> Inserting:
    """``lb_policy cookie NAME SECRET``.

    :param addresses: node to ``host:port``.
    """
    values = {node: str(CADDY.write(NodeFacts(node, address, secret))) for node, address in addresses.items()}
    return Inserting(name, values, attributes="; Path=/", first_only=True, read=_unquoted)


def envoy(addresses: Mapping[str, str], name: str = "sess", attributes: str = "; Path=/; HttpOnly") -> Inserting:
    """The stateful session filter with a cookie.

    :param addresses: node to ``ip:port``.
    """
    values = {node: str(ENVOY.write(NodeFacts(node, address, ""))) for node, address in addresses.items()}
    return Inserting(
        name, values, attributes=attributes, first_only=True, read=_without_expiry, write=lambda text: f'"{text}"'
    )


def _before_tilde(value: str) -> str:
    return value.partition("~")[0]


def _behind_dot(value: str) -> str:
    return value.partition(".")[2]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _without_expiry(value: str) -> str:
    text = _unquoted(value)
    return "" if '"' in text else ENVOY.reduce("", text, True) or ""
