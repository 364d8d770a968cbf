"""One visit of the doctor: what the configuration says, the asking, the judgement."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import evolve, field, frozen
from twisted.internet.defer import Deferred

from lbcompanion.crawler.fetching.http_client import Client, agent_for
from lbcompanion.doctor.advice import Advice, advice, reads
from lbcompanion.doctor.asking import MOST_SECONDS, Examiner, Site, Told
from lbcompanion.doctor.diagnosis import Diagnosis, Finding, Severity, worst_first
from lbcompanion.doctor.judge import judge
from lbcompanion.doctor.observed import Observed
from lbcompanion.html.urls import resolve_url
from lbcompanion.settings import CrawlerSettings, NodeSettings, SiteSettings, StickyTable


@frozen
class Case:
    """What to look at, and how to get there.

    :ivar connect: a client endpoint string; empty: where the URL says.
    :ivar sticky: what is configured; None where no configuration was named.
    """

    site: Site
    connect: str = ""
    ca_file: Path | None = None
    sticky: StickyTable | None = field(default=None)


def case_of(url: str, connect: str, settings: NodeSettings | CrawlerSettings | None) -> Case:
    """Join what was typed with what is configured; what was typed counts more."""
    url = resolve_url("", url) or url
    if isinstance(settings, NodeSettings):
        site = Site(
            url,
            settings.node.prefix,
            settings.node.secret,
            (settings.node.name, *settings.peers),
            settings.sticky.cookies,
        )
        return Case(site, connect, None, settings.sticky)
    if settings is None:
        return Case(Site(url), connect)
    chosen = _chosen(url, settings.sites)
    site = Site(url, chosen.prefix, settings.crawler.secret, tuple(chosen.nodes), chosen.sticky.cookies)
    return Case(site, connect or chosen.connect, chosen.ca_file, chosen.sticky)


def _chosen(url: str, sites: Mapping[str, SiteSettings]) -> SiteSettings:
    """The site of that origin; the first one where none is."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc}".lower()
    return next((one for one in sites.values() if one.origin.lower().rstrip("/") == origin), next(iter(sites.values())))


@frozen
class Visited:
    """All that came of it."""

    observed: Observed
    diagnosis: Diagnosis
    advice: Advice


def visit(case: Case, reactor: Any, told: Told) -> Deferred[Visited]:
    """Look at a site and judge it; never fails for what the site does.

    :raises OSError: where the file of authorities cannot be read.
    """
    client = Client(agent_for(reactor, case.connect, case.ca_file), reactor, MOST_SECONDS)
    examiner = Examiner(
        site=case.site, client=client, nonce=lambda: secrets.token_urlsafe(18), reactor=reactor, told=told
    )

    async def run() -> Visited:
        observed = await examiner.examine()
        diagnosis = judge(observed)
        told_so = advice(diagnosis, case.site.origin, case.connect, case.site.prefix)
        return Visited(observed, _with_configuration(diagnosis, case.sticky), told_so)

    return Deferred.fromCoroutine(run())


def _with_configuration(diagnosis: Diagnosis, sticky: StickyTable | None) -> Diagnosis:
    """Say whether the configuration that was named knows the sticky cookies."""
    if sticky is None or not diagnosis.sticky:
        return diagnosis
    if reads(sticky, diagnosis):
        told = Finding("configured", Severity.GOOD, "The configuration knows the sticky cookies.")
    else:
        told = Finding(
            "other-configuration",
            Severity.WARNING,
            "The configuration named by --config does not know the sticky cookies: see below what it should have.",
        )
    return evolve(diagnosis, findings=worst_first((*diagnosis.findings, told)))
