from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable

import psycopg
import pytest

from lbcompanion.crawler.queue.backlog import Backlog
from lbcompanion.crawler.queue.database import Database, open_engine
from lbcompanion.crawler.queue.membership import CrawlerNameInUse, Membership, session_engine
from tests.support.arrivals import arrival
from tests.support.children import wait_for
from tests.support.store_servers import Mariadb, Postgresql, Server, of_its_own

pytestmark = [pytest.mark.programs, pytest.mark.slow]


class Place:
    def __init__(self, server: Server) -> None:
        self.server = server
        self.database = Database(open_engine(server.url))
        self.database.open()
        self.heard: list[str] = []
        self.failed: list[str] = []

    def member(self, name: str, claimant: str) -> Membership:
        engine = session_engine(self.server.url)
        return Membership(engine, self.database, name, claimant, self.heard.append, self.failed.append)


@pytest.mark.parametrize("kind", [Postgresql, Mariadb])
def test_a_name_has_one_crawler(kind: Callable[[], Server]) -> None:
    with of_its_own(kind) as server:
        place = Place(server)
        first = place.member("a", "a/1")
        first.join()
        other = place.member("A", "A/1")
        other.join()
        with pytest.raises(CrawlerNameInUse) as caught:
            place.member("a", "a/2").join()
        assert f'name "a": process {os.getpid()} on {socket.gethostname()}' in str(caught.value)
        assert "[crawler] name" in str(caught.value)
        assert first.is_held
        # The server is started again: both take their names again.
        server.stop()
        wait_for("the loss", lambda: (not first.is_held and len(place.failed) >= 2) or None)
        server.start()
        wait_for("the name", lambda: first.is_held or None)
        assert any("see whether the server runs" in each for each in place.failed)
        assert place.failed[-1] == ""
        # Notifications may have been missed.
        assert "" in place.heard
        first.leave()
        again = place.member("a", "a/3")
        again.join()
        again.leave()
        other.leave()
        place.database.close()
        assert not [each for each in threading.enumerate() if each.name == "queue-membership"]


def test_others_are_notified() -> None:
    with of_its_own(Postgresql) as server:
        place = Place(server)
        member = place.member("a", "a/1")
        member.join()
        backlog = Backlog(place.database)
        place.database.claimant = "a/1"
        backlog.add([arrival("own")], 1.0)
        place.database.claimant = "b/1"
        backlog.add([arrival("t1")], 1.0)
        wait_for("a notification", lambda: place.heard or None)
        backlog.add([arrival("t1")], 1.0)
        assert place.heard == ["notices"]
        member.leave()
        place.database.close()


def test_a_name_that_another_crawler_took_meanwhile() -> None:
    with of_its_own(Postgresql) as server:
        place = Place(server)
        first, second = place.member("a", "a/1"), place.member("a", "a/2")
        first.join()
        with psycopg.connect(server.url) as client:
            client.execute("SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'")
        second.join()
        expected = f"the server has given it to process {os.getpid()} on {socket.gethostname()}"
        wait_for("the refusal", lambda: any(each.startswith(expected) for each in place.failed) or None)
        assert not first.is_held
        second.leave()
        wait_for("the name", lambda: first.is_held or None)
        assert place.failed[-1] == ""
        first.leave()
        place.database.close()
