"""The keys of the configuration."""

from __future__ import annotations

from attrs import fields

from lbcompanion import settings
from lbcompanion.config import tables


def test_every_setting_has_a_key_and_every_key_a_setting() -> None:
    derived = {"secret", "top", "bottom", "name", "sticky", "nodes"}
    classes: dict[str, type] = {
        "node": settings.NodeTable,
        "capture": settings.CaptureTable,
        "inject": settings.InjectTable,
        "store": settings.StoreTable,
        "sticky": settings.StickyTable,
        "fetch": settings.FetchTable,
        "crawler": settings.NodeCrawlerTable,
        "limits": settings.LimitsTable,
    }
    for name, cls in classes.items():
        assert {f.name for f in fields(cls)} - {"secret", "top", "bottom"} == set(tables.NODE[name])
    assert {f.name for f in fields(settings.CrawlerTable)} - {"secret"} == set(tables.CRAWLER)
    assert {f.name for f in fields(settings.SiteSettings)} - derived | set(tables.STICKY) == set(tables.SITE)
    assert {f.name for f in fields(settings.KnownNode)} == set(tables.KNOWN_NODE)
