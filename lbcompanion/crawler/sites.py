"""Builds the objects of each site: agents, fetcher, cookie reader, minter."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.task import deferLater

from lbcompanion.crawler.crawl.round_runner import SiteContext
from lbcompanion.crawler.fetching.cookie_check import CookieCheckClient
from lbcompanion.crawler.fetching.fetcher import SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import WallClock
from lbcompanion.settings import CrawlerFetchTable, CrawlerSettings, SiteSettings
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes
from lbcompanion.web import USER_AGENT

#: Pause between two probes of a long campaign.
PROBE_PAUSE_SECONDS = 0.05

#: Makes the two agents of a site: one through the balancer, one to the nodes' own origins. Tests pass one without a
#: network.
AgentFactory = Callable[[SiteSettings], "tuple[Any, Any]"]


def network_agents(reactor: Any, fetch: CrawlerFetchTable) -> AgentFactory:
    """Return a factory of agents that use the network.

    :param fetch: how to send requests; an empty ``user_agent`` means the program's name and version.
    """
    user_agent, max_head_bytes = fetch.user_agent or USER_AGENT, fetch.response_head_bytes

    def make(site: SiteSettings) -> tuple[Any, Any]:
        options = user_agent, max_head_bytes, fetch.idle_seconds, fetch.idle_connections
        balancer = agent_for(reactor, site.connect, site.ca_file, *options)
        return balancer, agent_for(reactor, "", site.ca_file, *options)

    return make


def nonce() -> str:
    """Return an unguessable text for one request."""
    return os.urandom(16).hex()


def build_sites(
    settings: CrawlerSettings,
    reactor: Any,
    routes: Routes,
    save_route: Callable[[Route], object],
    now: WallClock,
    agent_factory: AgentFactory,
) -> Mapping[str, SiteContext]:
    """Build the objects of all sites, by site name.

    :param save_route: called with every route that changed.
    :raises OSError: if a site's ``ca_file`` cannot be read.
    """
    contexts = {}
    for name, site in settings.sites.items():
        balancer, direct = agent_factory(site)
        seconds = settings.crawler.timeout_seconds
        fetcher = SiteFetcher(
            site=site,
            secret=settings.crawler.secret,
            balancer=CookieCheckClient(balancer, reactor, seconds),
            direct=Client(direct, reactor, seconds),
            nonce=nonce,
            now=now,
        )
        reader = CookieReader(site.sticky)
        minter = Minter(
            fetcher=fetcher,
            reader=reader,
            routes=routes,
            save_route=save_route,
            now=now,
            new_key=nonce,
            pause=lambda: deferLater(reactor, PROBE_PAUSE_SECONDS),
        )
        contexts[name] = SiteContext(site, fetcher, minter, reader)
    return contexts
