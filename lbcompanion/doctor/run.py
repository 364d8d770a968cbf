"""One run of the doctor: read the configuration, probe the site, analyse the observations."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred

from lbcompanion.crawler.fetching.cookie_check import CookieCheckClient
from lbcompanion.crawler.fetching.http_client import agent_for
from lbcompanion.doctor.advice import Advice, advice, knows_cookies
from lbcompanion.doctor.analysis import analyse
from lbcompanion.doctor.diagnosis import Diagnosis, Finding, Severity, worst_first
from lbcompanion.doctor.observations import Observations
from lbcompanion.doctor.prober import MAX_SECONDS, Prober, ProgressCallback, TargetSite
from lbcompanion.html.urls import resolve_url
from lbcompanion.settings import CrawlerSettings, NodeSettings, SiteSettings, StickyTable
from lbcompanion.sticky.dialects import AUTO


@frozen
class Target:
    """The site to examine, and how to connect to it.

    :ivar connect: a client endpoint string; empty to connect to the URL's host.
    :ivar sticky: the ``[sticky]`` settings; None without a configuration.
    """

    site: TargetSite
    connect: str = ""
    ca_file: Path | None = None
    sticky: StickyTable | None = field(default=None)


def target_of(url: str, connect: str, settings: NodeSettings | CrawlerSettings | None) -> Target:
    """Combine command line and configuration; the command line takes precedence."""
    url = resolve_url("", url) or url
    if isinstance(settings, NodeSettings):
        site = TargetSite(
            url,
            settings.node.prefix,
            settings.node.secret,
            (settings.node.name, *settings.peers),
            settings.sticky.cookies,
        )
        return Target(site, connect, None, settings.sticky)
    if settings is None:
        return Target(TargetSite(url), connect)
    site_settings = _site_for(url, settings.sites)
    site = TargetSite(
        url, site_settings.prefix, settings.crawler.secret, tuple(site_settings.nodes), site_settings.sticky.cookies
    )
    return Target(site, connect or site_settings.connect, site_settings.ca_file, site_settings.sticky)


def _site_for(url: str, sites: Mapping[str, SiteSettings]) -> SiteSettings:
    """Return the site with this origin, else the first one."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    return next(
        (site for site in sites.values() if site.origin.lower().rstrip("/") == origin), next(iter(sites.values()))
    )


@frozen
class DoctorResult:
    """Observations, diagnosis and advice."""

    observations: Observations
    diagnosis: Diagnosis
    advice: Advice


def run_doctor(target: Target, reactor: Any, on_progress: ProgressCallback) -> Deferred[DoctorResult]:
    """Probe and diagnose a site; the site's behaviour never makes it fail.

    :raises OSError: if ``ca_file`` cannot be read.
    """
    client = CookieCheckClient(agent_for(reactor, target.connect, target.ca_file), reactor, MAX_SECONDS)
    prober = Prober(
        site=target.site,
        client=client,
        nonce=lambda: secrets.token_urlsafe(18),
        reactor=reactor,
        on_progress=on_progress,
    )

    async def run() -> DoctorResult:
        observations = await prober.probe()
        diagnosis = analyse(observations)
        configuration = advice(diagnosis, target.site.origin, target.connect, target.site.prefix)
        complete = _with_configuration(diagnosis, target.sticky, configuration.sticky)
        return DoctorResult(observations, complete, configuration)

    return Deferred.fromCoroutine(run())


def _with_configuration(diagnosis: Diagnosis, sticky: StickyTable | None, advised: StickyTable) -> Diagnosis:
    """Add a finding on whether the configuration covers the sticky cookies."""
    if sticky is None or not diagnosis.sticky:
        return diagnosis
    reaches_one_node = {"one-node", "client-address"} & {finding.code for finding in diagnosis.findings}
    is_known = knows_cookies(sticky, diagnosis)
    if is_known and sticky.dialect == AUTO and reaches_one_node and advised.dialect != AUTO:
        finding = Finding(
            "name-the-dialect",
            Severity.WARNING,
            'The configuration knows the sticky cookies, but has dialect = "auto", and new requests reach one node '
            "only: pages of the other nodes wait until notices of several of their visitors came. Set "
            f'dialect = "{advised.dialect}".',
        )
    elif is_known:
        finding = Finding("configured", Severity.GOOD, "The configuration knows the sticky cookies.")
    else:
        finding = Finding(
            "other-configuration",
            Severity.WARNING,
            "The configuration named by --config does not know the sticky cookies: see below what it should have.",
        )
    return evolve(diagnosis, findings=worst_first((*diagnosis.findings, finding)))
