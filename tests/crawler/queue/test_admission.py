"""Notices of erased recordings stay out, also if the erasure happens at the same moment."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lbcompanion.crawler.queue.admission import Admission, Admitted
from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.erasures import Erasures, Selection
from lbcompanion.model import Loss, LossCode, LossReason
from tests.support.arrivals import arrival

NOW = 1000.0
LOST = LossReason.of(LossCode.EXPIRED)


class Crawler:
    """One crawler's connection to the queue."""

    def __init__(self, url: str) -> None:
        self.database = Database(open_engine(url))
        self.database.open()
        self.backlog, self.erasures = Backlog(self.database), Erasures(self.database)
        self.admission = Admission(self.database, self.backlog, self.erasures)

    def erase(self, *tokens: str) -> None:
        selection = Selection(tokens=tokens)
        self.erasures.erase(self.erasures.begin(selection, "api", NOW), selection, NOW)


def test_erased_notices_and_losses_are_left_out() -> None:
    crawler = Crawler("sqlite://")
    crawler.erase("t1", "t2")
    losses = [Loss("t1", LOST), Loss("t4", LOST)]
    assert crawler.admission.add([arrival("t1"), arrival("t3")], losses, NOW) == Admitted(("n1",), 1)
    assert crawler.admission.add([arrival("t2")], losses[:1], NOW) == Admitted((), 1)
    assert [row["token"] for row in crawler.backlog.recordings(9)] == ["t3"]
    assert (crawler.backlog.loss_of("t1"), crawler.backlog.loss_of("t4")) == (None, LOST)
    crawler.database.close()


@pytest.fixture(name="url", params=["Postgresql", "Mariadb"])
def _url(request: pytest.FixtureRequest) -> Iterator[str]:
    # Its drivers are extras.
    from tests.support import store_servers

    with store_servers.of_its_own(getattr(store_servers, request.param)) as server:
        yield server.url


@pytest.mark.programs
@pytest.mark.slow
def test_an_erasure_at_the_same_moment(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The erasure comes between the check and the insertion: it waits, and then finds the notice."""
    intake, other = Crawler(url), Crawler(url)
    erased = threading.Event()

    def erase() -> None:
        other.erase("t1")
        erased.set()

    thread = threading.Thread(target=erase)
    add, was_waiting = intake.backlog.add, []

    def add_later(*arguments: Any) -> int:
        thread.start()
        was_waiting.append(not erased.wait(0.5))
        return add(*arguments)

    monkeypatch.setattr(Backlog, "add", lambda _self, *arguments: add_later(*arguments))
    assert intake.admission.add([arrival("t1")], [], NOW) == Admitted(("n1",), 0)
    thread.join()
    assert was_waiting == [True]
    assert intake.backlog.recordings(9) == []
    monkeypatch.undo()
    assert intake.admission.add([arrival("t1")], [], NOW) == Admitted((), 1)
    for each in (intake, other):
        each.database.close()


@pytest.mark.programs
@pytest.mark.slow
def test_many_erasures_and_deliveries_at_once(url: str) -> None:
    crawlers = [Crawler(url) for _ in range(3)]
    tokens = [f"t{number}" for number in range(60)]

    def deliver(crawler: Crawler) -> None:
        for token in tokens:
            crawler.admission.add([arrival(token), arrival(f"x{token}")], [Loss(token, LOST)], NOW)

    threads = [threading.Thread(target=deliver, args=[crawler]) for crawler in crawlers[:2]]
    for thread in threads:
        thread.start()
    for token in tokens:
        crawlers[2].erase(token)
    for thread in threads:
        thread.join()
    left = {row["token"] for row in crawlers[0].backlog.recordings(1000)}
    assert left == {f"x{token}" for token in tokens}
    assert not any(crawlers[0].backlog.loss_of(token) for token in tokens)
    for each in crawlers:
        each.database.close()
