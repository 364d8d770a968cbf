from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

from attrs import evolve
from twisted.internet.task import Clock

from lbcompanion.crawler.admin.access import PRUNE_SECONDS, AuditPruning, build_access
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.settings import CrawlerTable
from tests.support.simulated_farm import immediately

TABLE = CrawlerTable(secret_file=Path("secret"), secret=b"")


def built(**settings: Any) -> tuple[Any, Health]:
    health = Health()
    table = evolve(TABLE, **settings)
    return build_access(table, Mock(), health=health, metrics=CrawlerMetrics(), clock=lambda: 0.0), health


def test_whether_somebody_is_asked(tmp_path: Path) -> None:
    assert built()[0].is_open
    assert not built(forward_auth_header="X-User")[0].is_open
    access, health = built(users_file=tmp_path / "users")
    assert not access.is_open
    assert "lbcompanion user add" in health.lines()[0]


def test_old_lines_are_pruned_every_hour() -> None:
    log, clock = Mock(), Clock()
    pruning = AuditPruning(log, days=3, defer=immediately, now=lambda: 5.0, reactor=clock)
    pruning.start()
    log.prune.side_effect = BacklogError("away")
    clock.advance(PRUNE_SECONDS)
    clock.advance(PRUNE_SECONDS)
    assert log.prune.call_count == 3
    log.prune.assert_called_with(3, 5.0)
    pruning.stop()
    pruning.stop()
    assert not clock.getDelayedCalls()


def test_lines_may_be_kept_for_ever() -> None:
    log, clock = Mock(), Clock()
    AuditPruning(log, days=0, defer=immediately, now=lambda: 5.0, reactor=clock).start()
    assert not log.prune.called
