from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.crawler.queue import audit as module
from lbcompanion.crawler.queue.audit import FAILED, AuditLine, AuditLog
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.erasures import Erasures, Selection
from tests.support.arrivals import arrival
from tests.support.queue_databases import QUEUE_KINDS, empty_database, queue_url

DAY = 86400.0


class Rig:
    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = AuditLog(self.database)
        self.erasures = Erasures(self.database)
        Backlog(self.database).add([arrival("t1", visitor="v1ann"), arrival("t2", visitor="v1bob")], 100.0)

    def view(self, token: str, at: float = 1.0, **more: Any) -> int:
        return self.log.write(AuditLine("ann", "token", "10.0.0.1", "view page", token=token, **more), at)

    def visitors(self) -> dict[str, str | None]:
        return {row["token"]: row["visitor"] for row in self.log.entries(100)}

    def erase(self, **criteria: Any) -> None:
        selection = Selection(**criteria)
        self.erasures.erase(self.erasures.begin(selection, "api", 5.0), selection, 5.0)


@pytest.fixture(params=QUEUE_KINDS, scope="module", name="url")
def _url(request: pytest.FixtureRequest) -> Iterator[str]:
    with queue_url(request.param) as url:
        yield url


@pytest.fixture(name="rig")
def _rig(url: str) -> Iterator[Rig]:
    with empty_database(url) as database:
        yield Rig(database)


def test_a_line_has_the_visitor_of_its_recording(rig: Rig) -> None:
    for token in ("t1", "t2", "t3", ""):
        rig.view(token)
    assert rig.visitors() == {"t1": "v1ann", "t2": "v1bob", "t3": None, None: None}


@pytest.mark.parametrize("criteria", [{"tokens": ("t1",)}, {"visitors": ("v1ann",)}, {"before": 1e12}])
def test_an_erased_recording_leaves_no_pseudonym(rig: Rig, criteria: dict[str, Any]) -> None:
    rig.view("t1")
    rig.erase(**criteria)
    assert rig.visitors() == {"t1": None}


def test_a_visitor_is_forgotten_whose_recordings_are_gone(rig: Rig) -> None:
    """The recording itself was erased by a crawler of a version without the audit log, or is not there any more."""
    rig.view("t1")
    rig.view("t2")
    with rig.database.change() as connection:
        connection.execute(module.RECORDINGS.delete())
    rig.erase(visitors=("v1ann",))
    assert rig.visitors() == {"t1": None, "t2": "v1bob"}


def test_filters_and_pages(rig: Rig) -> None:
    numbers = [rig.view("t1"), rig.view("t2", result=FAILED), rig.view("t1")]
    assert [row["id"] for row in rig.log.entries(2)] == [numbers[2], numbers[1]]
    assert [row["id"] for row in rig.log.entries(2, numbers[1])] == [numbers[0]]
    assert [row["id"] for row in rig.log.entries(9, None, {"token": "t2", "user": ""})] == [numbers[1]]
    assert [row["id"] for row in rig.log.entries(9, None, {"result": "failed", "visitor": "v1bob"})] == [numbers[1]]
    assert rig.log.entries(9, None, {"user": "x' OR 1=1"}) == []


def test_a_line_is_described(rig: Rig) -> None:
    number = rig.view("")
    rig.log.describe(number, "by url")
    assert rig.log.entries(1)[0]["detail"] == "by url"


def test_any_text_fits(rig: Rig) -> None:
    rig.log.write(
        AuditLine("u" * 999, "how" * 99, "\x00" * 99, "a\n" * 99, "r" * 99, "t" * 999, detail="\ud800" * 999), 1.0
    )
    row = rig.log.entries(1)[0]
    assert len(row["user"]) == 128
    assert row["action"].startswith("a?a?")
    assert row["detail"] == "?" * 255


def test_old_lines_are_pruned(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PRUNED_AT_ONCE", 2)
    for day in range(7):
        rig.view("", day * DAY)
    assert rig.log.prune(0, 100 * DAY) == 0
    assert rig.log.prune(3, 8 * DAY) == 5
    assert [row["at"] for row in rig.log.entries(9)] == [6 * DAY, 5 * DAY]
