"""``erase`` where no crawler runs; tests/crawler/erasure/test_erasure_service.py erases where one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.archive.lock import Lock
from lbcompanion.crawler.erase_command import EraseFailed, erase
from lbcompanion.crawler.erasure.criteria import BadCriteria
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym
from lbcompanion.settings import CrawlerSettings
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import SECRET, SimulatedFarm

OLD = b"o" * 32


@pytest.fixture(name="settings")
def _settings(tmp_path: Path) -> CrawlerSettings:
    farm = SimulatedFarm()
    rig = InMemoryCrawler(farm, tmp_path)
    for number, secret in enumerate((SECRET, OLD)):
        visitor = visitor_pseudonym(visitor_key(secret), "alice")
        rig.take(farm.nodes["n1"].capture(f"page {number}".encode()), visitor=visitor)
    rig.close()
    return rig.settings


@pytest.mark.slow
def test_pages_are_erased_where_no_crawler_runs(settings: CrawlerSettings) -> None:
    counted = {"dry_run": True, "recordings": 1, "archived": 1, "file_records": 0}
    assert erase(settings, {"visitor": "alice"}, dry_run=True) == counted
    done = erase(settings, {"visitor": "alice"})
    assert (done["recordings"], done["records"], done["files"], done["waiting"]) == (1, 1, 1, 0)
    assert erase(settings, {"visitor": "alice"})["recordings"] == 0


@pytest.mark.slow
def test_a_former_secret_finds_older_recordings(settings: CrawlerSettings) -> None:
    assert erase(settings, {"visitor": "alice"}, old_secrets=(OLD,))["recordings"] == 2
    assert list(settings.crawler.archive_dir.glob("*.gz")) == []


@pytest.mark.slow
def test_a_missing_queue_is_not_created(settings: CrawlerSettings) -> None:
    queue = Path(settings.crawler.queue.removeprefix("sqlite:///"))
    queue.unlink()
    with pytest.raises(EraseFailed, match="there is no queue"):
        erase(settings, {"token": "t"})
    assert not queue.exists()


@pytest.mark.slow
def test_a_mistake_changes_nothing(settings: CrawlerSettings) -> None:
    with pytest.raises(BadCriteria):
        erase(settings, {"before": "soon"})


@pytest.mark.network
def test_a_crawler_that_cannot_be_asked_is_named(settings: CrawlerSettings) -> None:
    lock = Lock(settings.crawler.state_dir, "another")
    for admin, why in (("unix:/nowhere/socket", "cannot be reached at"), ("ssl:1", "cannot reach an admin listener")):
        with pytest.raises(EraseFailed, match=why):
            erase(evolve(settings, crawler=evolve(settings.crawler, admin=admin)), {"token": "t"})
    lock.release()
    assert erase(settings, {"token": "t"})["recordings"] == 0
