"""Puts together what works for each site: agents, fetcher, cookie reader, minter."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.task import deferLater

from lbcompanion.crawler.crawl.round_runner import SiteContext
from lbcompanion.crawler.fetching.fetcher import SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.model import WallClock
from lbcompanion.settings import CrawlerSettings, SiteSettings
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes

#: Between two probes of a campaign that takes long.
PROBE_PAUSE_SECONDS = 0.05

#: Gives the agents of a site: through the balancer, and to nodes' own hosts. Tests hand in one without a network.
AgentFactory = Callable[[SiteSettings], "tuple[Any, Any]"]


def network_agents(reactor: Any) -> AgentFactory:
    """Agents over the network."""

    def make(site: SiteSettings) -> tuple[Any, Any]:
        return agent_for(reactor, site.connect, site.ca_file), agent_for(reactor, "", site.ca_file)

    return make


def nonce() -> str:
    """An unguessable text for one request."""
    return os.urandom(16).hex()


def build_sites(
    settings: CrawlerSettings,
    reactor: Any,
    routes: Routes,
    save_route: Callable[[Route], object],
    now: WallClock,
    agent_factory: AgentFactory,
) -> Mapping[str, SiteContext]:
    """The crews of all sites, by the sites' names.

    :param save_route: told of every route that changed.
    :raises OSError: where a site's ``ca_file`` cannot be read.
    """
    contexts = {}
    for name, site in settings.sites.items():
        balancer, direct = agent_factory(site)
        seconds = settings.crawler.timeout_seconds
        fetcher = SiteFetcher(
            site=site,
            secret=settings.crawler.secret,
            balancer=Client(balancer, reactor, seconds),
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
