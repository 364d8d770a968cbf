"""The parts of each site are made from the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock

from lbcompanion.crawler.sites import build_sites, nonce
from lbcompanion.settings import CrawlerSettings, CrawlerTable, SiteSettings
from lbcompanion.sticky.routes import Routes


def test_each_site_has_a_crew_of_its_own() -> None:
    sites = {name: SiteSettings(name, f"https://{name}.example.com") for name in ("one", "two")}
    asked: list[SiteSettings] = []

    def agents(site: SiteSettings) -> tuple[Any, Any]:
        asked.append(site)
        return object(), object()

    settings = CrawlerSettings(CrawlerTable(Path("farm.secret"), b"secret"), sites)
    contexts = build_sites(settings, Clock(), Routes(), lambda route: None, lambda: 0.0, agents)
    assert set(contexts) == {"one", "two"}
    assert asked == list(sites.values())


def test_no_nonce_comes_twice() -> None:
    assert len({nonce() for _ in range(100)}) == 100
