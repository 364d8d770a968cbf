"""Command line options together with a configuration."""

from __future__ import annotations

from pathlib import Path

from lbcompanion.doctor.run import target_of
from lbcompanion.settings import CrawlerSettings, CrawlerTable, SiteSettings, StickyTable
from tests.support.configured_nodes import node

URL = "https://www.example.com/shop"


def crawler() -> CrawlerSettings:
    sites = {
        "other": SiteSettings("other", "https://other.example.com"),
        "main": SiteSettings("main", "https://www.example.com", "tcp:10.0.0.5:443", sticky=StickyTable(cookies=("S",))),
    }
    return CrawlerSettings(CrawlerTable(Path("farm.secret"), b"secret"), sites)


def test_without_a_configuration_there_is_the_url_alone() -> None:
    case = target_of(URL, "", None)
    assert (case.site.url, case.site.secret, case.sticky, case.connect) == (URL, None, None, "")


def test_a_crawlers_file_has_the_site_of_that_origin() -> None:
    case = target_of(URL, "", crawler())
    assert (case.connect, case.site.configured, case.site.secret) == ("tcp:10.0.0.5:443", ("S",), b"secret")
    assert target_of("https://unknown.example.com/", "", crawler()).site.configured == ()


def test_what_is_typed_counts_more() -> None:
    assert target_of(URL, "tcp:10.0.0.9:443", crawler()).connect == "tcp:10.0.0.9:443"


def test_a_nodes_file_names_the_nodes() -> None:
    settings = node("n1", "tcp:8080", peers={"n2": "http://10.0.0.2:8080"}, cookies=("S",))
    case = target_of(URL, "", settings)
    assert (case.site.known_nodes, case.site.configured) == (("n1", "n2"), ("S",))
