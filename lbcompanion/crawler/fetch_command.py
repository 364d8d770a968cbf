"""One fetch by the ladder that reports each step, for the ``fetch`` command. Nothing is archived or confirmed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from attrs import field, frozen
from twisted.internet.defer import Deferred

from lbcompanion.crawler.crawl.round_runner import RoundResult, RoundRunner, SiteContext
from lbcompanion.crawler.fetching.fetcher import FetchedCopy
from lbcompanion.crawler.queue.backlog import PendingNotice
from lbcompanion.crawler.sites import AgentFactory, build_sites, network_agents
from lbcompanion.errors import CompanionError
from lbcompanion.html.urls import origin_of
from lbcompanion.model import Attempt, LossCode, LossReason, RoutingCookie, WallClock
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.recorder.fetch_url import decode_fetch_url
from lbcompanion.settings import CrawlerSettings, SiteSettings
from lbcompanion.sticky.ladder import Fetched, Finish, LadderLimits
from lbcompanion.sticky.routes import Routes


class NotFetchable(CompanionError):
    """The page cannot be fetched with this configuration; the text says why."""


@frozen
class FetchOutcome:
    """How one fetch ended.

    :ivar owner: the node that the token names.
    :ivar loss_reason: why the copy was not fetched; None if it was fetched, proven and complete.
    :ivar copy: the copy, or None.
    """

    token: str = field(repr=False)
    owner: str
    loss_reason: LossReason | None
    attempts: tuple[Attempt, ...]
    copy: FetchedCopy | None = field(repr=False)


def fetch_once(
    settings: CrawlerSettings,
    reactor: Any,
    url_or_token: str,
    cookies: Mapping[str, str] | None = None,
    report_step: Callable[[str], None] = lambda _text: None,
    agent_factory: AgentFactory | None = None,
    now: WallClock = time.time,
) -> Deferred[FetchOutcome]:
    """Fetch a page once.

    :param url_or_token: a token, or a fetch URL, with or without ``#CTFetchCookies=``.
    :param cookies: recorded cookies, in addition to those of the URL.
    :param report_step: called with a text for each step, without cookie values.
    :returns: fails with :class:`NotFetchable` or :class:`~lbcompanion.errors.TokenError` if the text names no page
        of this farm.
    """
    agent_factory = agent_factory or network_agents(reactor, settings.fetch)
    fetching = _fetch(settings, reactor, url_or_token, dict(cookies or {}), report_step, agent_factory, now)
    return Deferred.fromCoroutine(fetching)


async def _fetch(
    settings: CrawlerSettings,
    reactor: Any,
    text: str,
    cookies: dict[str, str],
    report_step: Callable[[str], None],
    agent_factory: AgentFactory,
    now: WallClock,
) -> FetchOutcome:
    url = ""
    if "/" in text:
        url, pairs = decode_fetch_url(text)
        cookies = {**dict(pairs), **cookies}
    token = url.partition("?")[0].rstrip("/").rpartition("/")[2] if url else text
    owner = Tokens(settings.crawler.secret).owner_of(token)
    routes = Routes()
    contexts = build_sites(settings, reactor, routes, lambda _route: None, now, agent_factory)
    context = contexts[_site_name(url, settings.sites)]
    report_step(f"the token belongs to {owner}; site {context.settings.name}, {context.settings.origin}")
    job = PendingNotice(
        token, context.settings.name, owner, _routing_cookies(context, cookies, report_step), now(), 0, ()
    )
    round_runner = RoundRunner(
        routes=routes,
        save_route=lambda _route: None,
        now=now,
        jitter=random.random,
        limits=LadderLimits(give_up_after_seconds=0),
        report_step=report_step,
    )
    try:
        round_result = await round_runner.run(context, job)
    finally:
        context.fetcher.close()
    return FetchOutcome(token, owner, _loss_reason(round_result, report_step), round_result.attempts, round_result.copy)


def _loss_reason(round_result: RoundResult, report_step: Callable[[str], None]) -> LossReason | None:
    if isinstance(round_result.step, Fetched):
        report_step("fetched")
        return None
    reason = (
        round_result.step.reason if isinstance(round_result.step, Finish) else LossReason.of(LossCode.NO_ROUND_ENDED)
    )
    report_step(f"not fetched: {reason.text}")
    return reason


def _routing_cookies(
    context: SiteContext, cookies: dict[str, str], report_step: Callable[[str], None]
) -> tuple[RoutingCookie, ...]:
    """Return the routing cookies among the given ones; if no dialect recognises any, return all of them unchanged."""
    if not cookies:
        return ()
    reduced = context.reader.read(cookies)
    if not reduced:
        report_step("none of these cookies is of a known dialect: they are used as they are")
        return tuple(RoutingCookie(name, value) for name, value in cookies.items())
    report_step(f"the routing part is in {', '.join(each.name for each in reduced)}")
    return reduced


def _site_name(url: str, sites: Mapping[str, SiteSettings]) -> str:
    """Return the site that has the URL's origin, as its own or as a node's; the only site if there is just one."""
    for name, site in sites.items():
        origins = [site.origin, *site.origins, *(node.direct for node in site.nodes.values() if node.direct)]
        if url and any(origin_of(url) == origin_of(each) for each in origins):
            return name
    if len(sites) == 1:
        return next(iter(sites))
    known = ", ".join(site.origin for site in sites.values())
    raise NotFetchable(f"no site for {urlsplit(url).netloc or 'a bare token'}; configured: {known}")
