"""Registers all dialects in the tree: each balancer's way of stickiness has one file, and one line here."""

from __future__ import annotations

from importlib import import_module

from lbcompanion.sticky.dialects.interface import Dialect, NodeFacts, Sample
from lbcompanion.sticky.dialects.registry import AUTO, Registry, catalogue

__all__ = [
    "ALL",
    "AUTO",
    "GENERIC",
    "NAMES",
    "Dialect",
    "NodeFacts",
    "Sample",
    "by_name",
    "catalogue",
    "known",
    "known_names",
    "use_further",
]

# What ``dialect`` may be set to, but for ``auto`` and what plugins bring. The file of ``haproxy-insert`` is
# ``haproxy_insert.py``; its ``DIALECT`` is the dialect.
#
# The order is that in which ``auto`` asks who recognises a cookie: the most specific forms first, ``generic`` last.
# tests/sticky/dialects/test_dialects.py lists the pairs for which the order matters.
_IN_ORDER = (
    "digitalocean",
    "envoy",
    "istio-persistent",
    "bigip",
    "bigip-encrypted",
    "netscaler",
    "a10",
    "alteon",
    "aws-alb",
    "aws-alb-weighted",
    "aws-alb-application",
    "aws-elb",
    "google-gclb",
    "google-gcilb",
    "google-gssa",
    "google-gaesa",
    "azure-arr",
    "azure-app-gateway",
    "azure-agc",
    "azure-front-door",
    "cloudflare",
    "heroku",
    "oracle-oci",
    "imperva",
    "cloud-foundry",
    "ingress-nginx-persistent",
    "ingress-nginx-balanced",
    "haproxy-ingress",
    "openshift-router",
    "contour",
    "caddy",
    "traefik",
    "alibaba",
    "haproxy-prefix",
    "haproxy-insert",
    "haproxy-dated",
    "haproxy-postonly",
    "haproxy-dynamic",
    "haproxy-rewrite",
    "haproxy-table",
    "haproxy-hash",
    "haproxy-use-server",
    "apache-route",
    "jvmroute",
    "apache-mod-jk",
    "tomcat",
    "undertow",
    "weblogic",
    "websphere",
    "nginx-sticky",
    "nginx-sticky-module",
    "nginx-learn",
    "nginx-route",
    "nginx-map",
    "nginx-userid",
    "nginx-hash",
    "envoy-hash",
    "istio",
    "varnish-hash",
    "varnish-vcl",
    "kong",
    "pound",
    "perlbal",
    "iis-arr",
    "kemp",
    "barracuda",
    "bigip-hash",
    "generic",
)


def _load(name: str) -> Dialect:
    dialect: Dialect = import_module(f"{__name__}.{name.replace('-', '_')}").DIALECT
    return dialect


#: Those in the tree, in the order in which ``auto`` asks.
ALL: tuple[Dialect, ...] = tuple(_load(name) for name in _IN_ORDER)

GENERIC: Dialect = ALL[-1]

#: Their names: what ``dialect`` may be set to, but for ``auto`` and what plugins bring.
NAMES: tuple[str, ...] = tuple(sorted(catalogue(ALL)))

_registry = Registry(ALL)


def use_plugin_dialects(plugin_dialects: tuple[Dialect, ...]) -> None:
    """Know these beside those in the tree, and no others; for the whole process, once, before a file is read.

    :raises CompanionError: where two have one name, or one is called ``auto``; then nothing has changed.
    """
    _registry.use_plugin_dialects(plugin_dialects)


def known() -> tuple[Dialect, ...]:
    """All dialects; those from outside are asked first, and ``generic`` is the last."""
    return _registry.known


def known_names() -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted(_registry.names))


def by_name(name: str) -> Dialect:
    """The dialect of that name.

    :raises KeyError: if there is no such dialect; :func:`known_names` lists all.
    """
    return _registry.names[name]
