"""Every dialect in the tree, by name. One balancer's way of writing stickiness has one file, and one line here."""

from __future__ import annotations

from lbcompanion.sticky.dialects import (
    a10,
    alibaba,
    alteon,
    apache_mod_jk,
    apache_route,
    aws_alb,
    aws_alb_application,
    aws_alb_weighted,
    aws_elb,
    azure_agc,
    azure_app_gateway,
    azure_arr,
    azure_front_door,
    barracuda,
    bigip,
    bigip_encrypted,
    bigip_hash,
    caddy,
    cloud_foundry,
    cloudflare,
    contour,
    digitalocean,
    envoy,
    envoy_hash,
    generic,
    google_gaesa,
    google_gcilb,
    google_gclb,
    google_gssa,
    haproxy_dated,
    haproxy_dynamic,
    haproxy_hash,
    haproxy_ingress,
    haproxy_insert,
    haproxy_postonly,
    haproxy_prefix,
    haproxy_rewrite,
    haproxy_table,
    haproxy_use_server,
    heroku,
    iis_arr,
    imperva,
    ingress_nginx_balanced,
    ingress_nginx_persistent,
    istio,
    istio_persistent,
    jvmroute,
    kemp,
    kong,
    netscaler,
    nginx_hash,
    nginx_learn,
    nginx_map,
    nginx_route,
    nginx_sticky,
    nginx_sticky_module,
    nginx_userid,
    openshift_router,
    oracle_oci,
    perlbal,
    pound,
    tomcat,
    traefik,
    undertow,
    varnish_hash,
    varnish_vcl,
    weblogic,
    websphere,
)
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

GENERIC: Dialect = generic.DIALECT

#: Those in the tree, in the order in which ``auto`` asks who recognises a cookie; the most telling shapes first.
ALL: tuple[Dialect, ...] = (
    digitalocean.DIALECT,
    envoy.DIALECT,
    istio_persistent.DIALECT,
    bigip.DIALECT,
    bigip_encrypted.DIALECT,
    netscaler.DIALECT,
    a10.DIALECT,
    alteon.DIALECT,
    aws_alb.DIALECT,
    aws_alb_weighted.DIALECT,
    aws_alb_application.DIALECT,
    aws_elb.DIALECT,
    google_gclb.DIALECT,
    google_gcilb.DIALECT,
    google_gssa.DIALECT,
    google_gaesa.DIALECT,
    azure_arr.DIALECT,
    azure_app_gateway.DIALECT,
    azure_agc.DIALECT,
    azure_front_door.DIALECT,
    cloudflare.DIALECT,
    heroku.DIALECT,
    oracle_oci.DIALECT,
    imperva.DIALECT,
    cloud_foundry.DIALECT,
    ingress_nginx_persistent.DIALECT,
    ingress_nginx_balanced.DIALECT,
    haproxy_ingress.DIALECT,
    openshift_router.DIALECT,
    contour.DIALECT,
    caddy.DIALECT,
    traefik.DIALECT,
    alibaba.DIALECT,
    haproxy_prefix.DIALECT,
    haproxy_insert.DIALECT,
    haproxy_dated.DIALECT,
    haproxy_postonly.DIALECT,
    haproxy_dynamic.DIALECT,
    haproxy_rewrite.DIALECT,
    haproxy_table.DIALECT,
    haproxy_hash.DIALECT,
    haproxy_use_server.DIALECT,
    apache_route.DIALECT,
    jvmroute.DIALECT,
    apache_mod_jk.DIALECT,
    tomcat.DIALECT,
    undertow.DIALECT,
    weblogic.DIALECT,
    websphere.DIALECT,
    nginx_sticky.DIALECT,
    nginx_sticky_module.DIALECT,
    nginx_learn.DIALECT,
    nginx_route.DIALECT,
    nginx_map.DIALECT,
    nginx_userid.DIALECT,
    nginx_hash.DIALECT,
    envoy_hash.DIALECT,
    istio.DIALECT,
    varnish_hash.DIALECT,
    varnish_vcl.DIALECT,
    kong.DIALECT,
    pound.DIALECT,
    perlbal.DIALECT,
    iis_arr.DIALECT,
    kemp.DIALECT,
    barracuda.DIALECT,
    bigip_hash.DIALECT,
    GENERIC,
)

#: Their names: what ``dialect`` may be set to, but for ``auto`` and what plugins bring.
NAMES: tuple[str, ...] = tuple(sorted(catalogue(ALL)))

_registry = Registry(ALL)


def use_further(further: tuple[Dialect, ...]) -> None:
    """Know these beside those in the tree, and no others; for the whole process, once, before a file is read.

    :raises CompanionError: where two have one name, or one is called ``auto``; then nothing has changed.
    """
    _registry.use_further(further)


def known() -> tuple[Dialect, ...]:
    """All dialects; those from outside are asked first, and ``generic`` is the last."""
    return _registry.known


def known_names() -> tuple[str, ...]:
    """Their names, sorted."""
    return tuple(sorted(_registry.names))


def by_name(name: str) -> Dialect:
    """The dialect of that name.

    :raises KeyError: where there is none; :func:`known_names` has them.
    """
    return _registry.names[name]
