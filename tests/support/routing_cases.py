"""The balancers that the routing is tried behind: each with what is configured for it, and what is to be expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from tests.support.balancer_kinds import apache, by_address, caddy, envoy, haproxy, nginx, tiers, traefik, varnish
from tests.support.balancer_kinds.kind import Kind
from tests.support.farm import StickySettings
from tests.support.session_site import SESSION, SHOPPER, TOMCAT, WHERE

OWN = frozenset({"own"})
RECORDED = frozenset({"recorded"})
BOTH = OWN | RECORDED
ANY = BOTH | {"any"}

NO_ROUTE_INFO = StickySettings()

#: Whom a balancer itself gives to another node when a node gets another address.
NOBODY, ITS_OWN, ANYBODY = "nobody", "its own visitors", "anybody"


@frozen
class Case:
    """One balancer.

    :ivar kind: the balancer.
    :ivar sticky: the settings for it of companions and crawler.
    :ivar routes: over which pages may come at the first attempt.
    :ivar site_lines: what the crawler is told besides, by the companions' ports.
    :ivar more: of :class:`tests.support.farm.ProcessFarm`.
    :ivar sticks: whether a visitor has a node.
    :ivar late: whether a visitor's first page comes before there is a cookie to go by.
    :ivar by_address: whether it goes by where visitors come from.
    :ivar tomcat: whether real Tomcats are the application.
    :ivar readdressed: whom the balancer moves when a node gets another address.
    :ivar roaming: whether the balancer gives visitors of the other nodes to one another too while a node is away.
    """

    kind: Kind
    sticky: StickySettings = NO_ROUTE_INFO
    routes: frozenset[str] = RECORDED
    site_lines: Callable[[Mapping[str, int]], str] = lambda _public: ""
    more: Mapping[str, Any] = {}
    sticks: bool = True
    late: bool = False
    by_address: bool = False
    tomcat: bool = False
    readdressed: str = NOBODY
    roaming: bool = False


def _dynamic(public: Mapping[str, int]) -> str:
    """The inputs of the formula for dynamic cookies."""
    nodes = "".join(f'[sites.main.nodes.{name}]\naddress = "127.0.0.1:{at}"\n' for name, at in public.items())
    return f'key = "{haproxy.DYNAMIC_KEY}"\n{nodes}'


def _computed_only(public: Mapping[str, int]) -> str:
    return 'ladder = ["computed"]\n' + _dynamic(public)


def _direct(public: Mapping[str, int]) -> str:
    return "".join(f'[sites.main.nodes.{name}]\ndirect = "http://127.0.0.1:{at}"\n' for name, at in public.items())


def _nothing(public: Mapping[str, int]) -> str:
    return ""


PLUGIN: Mapping[str, Any] = {"plugins": Path(__file__).resolve().parents[2] / "examples" / "dialect"}
PEERS: Mapping[str, Any] = {"peers": True}
CENTRAL: Mapping[str, Any] = {"store": "sqlite:///pages.db"}

#: As an operator would configure it who has read the manual.
CONFIGURED: Mapping[str, Case] = {
    "haproxy insert": Case(haproxy.INSERT, StickySettings(("SRV",), "haproxy-insert")),
    "haproxy insert indirect nocache httponly": Case(haproxy.HIDDEN, StickySettings(("SRV",), "haproxy-insert"), OWN),
    "haproxy insert postonly": Case(haproxy.POSTONLY, StickySettings(("SRV",), "haproxy-postonly"), BOTH, late=True),
    "haproxy insert dated": Case(haproxy.DATED, StickySettings(("SRV",), "haproxy-dated")),
    "haproxy cookie check": Case(haproxy.COOKIE_CHECK, StickySettings(), OWN),
    "haproxy prefix": Case(haproxy.PREFIX, StickySettings((TOMCAT,), "haproxy-prefix")),
    "haproxy rewrite": Case(haproxy.REWRITE, StickySettings((WHERE,), "haproxy-rewrite")),
    "haproxy dynamic": Case(
        haproxy.DYNAMIC, StickySettings(("SRV",), "haproxy-dynamic"), site_lines=_dynamic, readdressed=ITS_OWN
    ),
    "haproxy dynamic, computed": Case(
        haproxy.DYNAMIC, StickySettings(("SRV",), "haproxy-dynamic"), frozenset({"computed"}), _computed_only
    ),
    "haproxy stick table": Case(haproxy.TABLE, StickySettings((SESSION,), "haproxy-table"), OWN),
    "haproxy stick table, set free": Case(haproxy.TABLE, StickySettings((SESSION,), "haproxy-table", (SESSION,)), OWN),
    "haproxy hash": Case(
        haproxy.HASH, StickySettings((SHOPPER,), "haproxy-hash"), BOTH, late=True, readdressed=ANYBODY
    ),
    "haproxy tiers": Case(haproxy.haproxy_tiers(), StickySettings(("OUTER", "INNER"), "haproxy-insert")),
    "apache ROUTEID": Case(apache.ROUTE, StickySettings(("ROUTEID",), "apache-route")),
    "apache before Tomcat": Case(apache.TOMCATS, StickySettings((TOMCAT,), "jvmroute"), tomcat=True),
    "apache before Tomcat, as configured": Case(
        apache.TOMCATS, StickySettings((TOMCAT,), "generic", part="after .", replay_safe=True), tomcat=True
    ),
    "haproxy tiers, as configured": Case(
        haproxy.haproxy_tiers(), StickySettings(("/^(OUTER|INNER)$/",), "generic", replay_safe=True)
    ),
    "haproxy insert, a plugin's dialect": Case(haproxy.ACME, StickySettings((), "acme"), more=PLUGIN),
    "nginx hash": Case(nginx.HASH, StickySettings((SHOPPER,), "nginx-hash"), BOTH, late=True, readdressed=ANYBODY),
    "nginx hash of a session": Case(nginx.SECRET_HASH, StickySettings((SESSION,), "nginx-hash"), OWN, late=True),
    "nginx userid": Case(nginx.USERID, StickySettings(("uid",), "nginx-userid"), BOTH, readdressed=ANYBODY),
    "caddy": Case(caddy.COOKIE, StickySettings(("lb",), "caddy"), readdressed=ITS_OWN),
    "envoy": Case(envoy.STATEFUL, StickySettings(("stuck",), "envoy"), readdressed=ITS_OWN),
    # A ring of 1,024 points, whatever the number of nodes: each has more of them while one is away.
    "envoy ring hash": Case(
        envoy.RING, StickySettings(("ring",), "envoy-hash"), BOTH, readdressed=ANYBODY, roaming=True
    ),
    "envoy maglev": Case(envoy.MAGLEV, StickySettings(("ring",), "envoy-hash"), BOTH, readdressed=ANYBODY),
    "traefik": Case(traefik.COOKIE, StickySettings(("srv",), "traefik"), readdressed=ITS_OWN),
    "traefik weighted": Case(traefik.WEIGHTED, StickySettings(("srv", "tier"), "traefik"), readdressed=ITS_OWN),
    "haproxy before nginx": Case(
        tiers.HAPROXY_BEFORE_NGINX, StickySettings(("OUTER", "seat"), "generic", replay_safe=True)
    ),
    "haproxy before caddy": Case(
        tiers.HAPROXY_BEFORE_CADDY,
        StickySettings(("OUTER", "lb"), "generic", replay_safe=True),
        BOTH,
        readdressed=ITS_OWN,
    ),
    "nginx before haproxy": Case(
        tiers.NGINX_BEFORE_HAPROXY, StickySettings(("edge", "SRV"), "generic", replay_safe=True)
    ),
    "haproxy behind an edge that replaces Host": Case(tiers.HOST_REPLACED_AT_EDGE, StickySettings(), BOTH),
    "haproxy behind an edge that renames the cookie": Case(
        tiers.COOKIE_RENAMED_AT_EDGE, StickySettings(("edge_SRV",), "haproxy-insert"), BOTH
    ),
    "haproxy insert for pages only": Case(tiers.COOKIE_OF_PAGES, StickySettings(("SRV",), "haproxy-insert")),
    "two balancers of apache": Case(tiers.APACHE_TWO_BALANCERS, StickySettings(("ROUTEID",), "apache-route"), BOTH),
    "varnish shard": Case(varnish.SHARD, StickySettings((SHOPPER,), "varnish-hash"), BOTH, late=True),
    "varnish, rules of one's own": Case(varnish.RULE, StickySettings(("seat",), "varnish-vcl"), BOTH),
    "nginx ip_hash, direct": Case(by_address.IP_HASH, StickySettings(), ANY | {"direct"}, _direct, by_address=True),
    "pen, peers": Case(by_address.PEN, StickySettings(), ANY, more=PEERS, by_address=True, readdressed=ANYBODY),
    "nothing, peers": Case(haproxy.NOTHING, StickySettings(), ANY, more=PEERS, sticks=False),
    "nothing, a central store": Case(haproxy.NOTHING, StickySettings(), ANY, more=CENTRAL, sticks=False),
}

#: What nobody who is told nothing could tell from another one.
_NO_DIFFERENCE = {name for name, case in CONFIGURED.items() if not case.sticks or case.by_address} | {
    "haproxy cookie check",
    "haproxy insert dated",
    "haproxy dynamic, computed",
    "haproxy stick table, set free",
    "haproxy tiers, as configured",
    "haproxy insert, a plugin's dialect",
    "apache before Tomcat, as configured",
    "envoy maglev",
    "haproxy behind an edge that renames the cookie",
    "haproxy behind an edge that replaces Host",
    "haproxy insert for pages only",
    "two balancers of apache",
}


def _unconfigured(name: str, told: str, cookies: tuple[str, ...]) -> tuple[str, Case]:
    return f"{name}, {told}", evolve(CONFIGURED[name], sticky=StickySettings(cookies), routes=BOTH, site_lines=_nothing)


#: As a stranger would begin: told nothing, or only what the cookie is called. There its own cookies take the crawler
#: everywhere.
UNCONFIGURED: Mapping[str, Case] = dict(
    [_unconfigured(name, "told nothing", ()) for name in CONFIGURED if name not in _NO_DIFFERENCE]
    + [
        _unconfigured(name, "told the name", CONFIGURED[name].sticky.cookies)
        for name in (
            "haproxy insert",
            "haproxy insert postonly",
            "haproxy prefix",
            "haproxy stick table",
            "haproxy tiers",
            "apache before Tomcat",
            "nginx hash of a session",
        )
    ]
)
