"""Models of real products, built from :mod:`lbcompanion.testing.balancer_models`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lbcompanion.sticky.dialects.caddy import DIALECT as CADDY
from lbcompanion.sticky.dialects.envoy import DIALECT as ENVOY
from lbcompanion.sticky.dialects.interface import NodeFacts
from lbcompanion.testing.balancer_models import CookieInsertion, CookieRewrite, StickTable, TwoTiers


def haproxy_insert(name: str = "SRV", *, indirect: bool = False) -> CookieInsertion:
    """``cookie NAME insert [indirect]``."""
    return CookieInsertion(name, indirect=indirect, rewrite=CookieRewrite.DROPPED)


def haproxy_prefix(name: str = "sess") -> CookieInsertion:
    """``cookie NAME prefix``."""
    return CookieInsertion(name, sets_cookie=False, rewrite=CookieRewrite.PREFIXED, read=_before_tilde)


def haproxy_rewrite(name: str = "SRV") -> CookieInsertion:
    """``cookie NAME rewrite``: the application sets the cookie."""
    return CookieInsertion(name, sets_cookie=False, rewrite=CookieRewrite.REPLACED)


def haproxy_table(name: str = "sess") -> StickTable:
    """``stick on req.cook(NAME)`` with ``stick store-response res.cook(NAME)``."""
    return StickTable(name, learns=True)


def haproxy_tiers(groups: Mapping[str, Sequence[str]], outer: str = "DC", inner: str = "SRV") -> TwoTiers:
    """``insert`` before ``insert``."""
    return TwoTiers(
        outer=haproxy_insert(outer),
        groups={group: tuple(nodes) for group, nodes in groups.items()},
        inner={group: haproxy_insert(inner) for group in groups},
    )


def apache_route(name: str = "ROUTEID", attributes: str = "; path=/; HttpOnly") -> CookieInsertion:
    """mod_proxy_balancer with ``stickysession=NAME``, and a ``Header add Set-Cookie`` as in its manual."""
    return CookieInsertion(
        name, attributes=attributes, first_only=True, read=_after_dot, write=lambda route: f".{route}"
    )


def caddy(addresses: Mapping[str, str], name: str = "lb", secret: str = "") -> CookieInsertion:
    """``lb_policy cookie NAME SECRET``.

    :param addresses: node to ``host:port``.
    """
    values = {node: str(CADDY.write(NodeFacts(node, address, secret))) for node, address in addresses.items()}
    return CookieInsertion(name, values, attributes="; Path=/", first_only=True, read=_unquoted)


def envoy(addresses: Mapping[str, str], name: str = "sess", attributes: str = "; Path=/; HttpOnly") -> CookieInsertion:
    """The stateful session filter with a cookie.

    :param addresses: node to ``ip:port``.
    """
    values = {node: str(ENVOY.write(NodeFacts(node, address, ""))) for node, address in addresses.items()}
    return CookieInsertion(
        name, values, attributes=attributes, first_only=True, read=_without_expiry, write=lambda text: f'"{text}"'
    )


def _before_tilde(value: str) -> str:
    return value.partition("~")[0]


def _after_dot(value: str) -> str:
    return value.partition(".")[2]


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) > 1 and value[0] == value[-1] == '"' else value


def _without_expiry(value: str) -> str:
    text = _unquoted(value)
    return "" if '"' in text else ENVOY.reduce("", text, True) or ""
