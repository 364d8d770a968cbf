from __future__ import annotations

import os

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.endpoint import Caller
from lbcompanion.crawler.admin.viewings import Viewings
from lbcompanion.crawler.metrics import CrawlerMetrics

ADA = Caller("ada", Role.VIEWER, "password", "192.0.2.1")


class Hours:
    now = 0.0


def viewings(seconds: float = 600, most: int = 1000, metrics: CrawlerMetrics | None = None) -> Viewings:
    Hours.now = 0.0
    metrics = metrics or CrawlerMetrics()
    return Viewings(seconds=seconds, most=most, clock=lambda: Hours.now, random=os.urandom, metrics=metrics)


def test_a_key_is_for_one_recording_of_one_viewing() -> None:
    them = viewings()
    first, second = them.begin(ADA), them.begin(ADA)
    assert them.find(first.key("A"), "A") is first
    assert them.find(second.key("A"), "A") is second
    assert them.find(first.key("A"), "B") is None
    mixed = f"{first.id}-{second.key('A').partition('-')[2]}"
    assert them.find(mixed, "A") is None


def test_other_texts_are_no_keys() -> None:
    them = viewings()
    key = them.begin(ADA).key("A")
    for other in ("", "-", key[:-1], key + "0", key.upper() + "x", key.partition("-")[0], "\udcff", f"{key}-{key}"):
        assert them.find(other, "A") is None, other


def test_a_viewing_ends() -> None:
    them = viewings(seconds=600)
    key = them.begin(ADA).key("A")
    Hours.now = 599.0
    assert them.find(key, "A") is not None
    Hours.now = 600.0
    assert them.find(key, "A") is None


def test_a_viewing_can_be_ended() -> None:
    them = viewings()
    ended, other = them.begin(ADA), them.begin(ADA)
    for _ in range(2):
        them.end(ended)
    assert them.find(ended.key("A"), "A") is None
    assert them.find(other.key("A"), "A") is other


def test_a_restart_ends_them() -> None:
    assert viewings().find(viewings().begin(ADA).key("A"), "A") is None


def test_a_key_does_not_tell_the_user() -> None:
    viewing = viewings().begin(ADA)
    assert "ada" not in viewing.key("A")
    assert "192.0.2.1" not in viewing.key("A")
    assert "_secret" not in repr(viewing)


def test_the_oldest_viewing_makes_room() -> None:
    metrics = CrawlerMetrics()
    them = viewings(most=3, metrics=metrics)
    keys = [them.begin(ADA).key("A") for _ in range(4)]
    assert them.find(keys[0], "A") is None
    assert them.find(keys[1], "A") is not None
    exported = metrics.exposition(0).decode()
    assert "\nlbcompanion_crawler_viewings 3.0" in exported
    assert "\nlbcompanion_crawler_viewings_dropped_total 1.0" in exported
    Hours.now = 601.0
    them.begin(ADA)
    assert "\nlbcompanion_crawler_viewings 1.0" in metrics.exposition(0).decode()
