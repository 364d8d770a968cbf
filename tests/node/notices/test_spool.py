"""The spool: what was written is there, whatever happens."""

from __future__ import annotations

import sqlite3
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.errors import StoreError
from lbcompanion.model import Loss, Notice
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.tokens import Tokens
from lbcompanion.testing.strategies import SECRET
from tests.support.in_memory_node import at_once, new_folder


def notice(name: str) -> Notice:
    token = Tokens(SECRET, "n1", lambda count: (name.encode() * count)[:count]).mint()
    return Notice(token, f"http://a/{name}", {"SRV": "n1"}, 1.0, 2.0)


class SpoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_folder(self) / "state" / "notices.db"
        self.spool = Spool(self.path, at_once)

    def result(self, deferred: Deferred[Any]) -> Any:
        return self.successResultOf(deferred)

    def names(self) -> list[str]:
        return [found.url[-1] for _, found in self.result(self.spool.oldest(100))]

    def test_oldest_first_and_away_when_removed(self) -> None:
        for name in "abc":
            assert self.result(self.spool.add(notice(name))) is True
        assert self.spool.waiting == 3
        found = self.result(self.spool.oldest(2))
        assert [one for _, one in found] == [notice("a"), notice("b")]
        self.result(self.spool.remove([number for number, _ in found]))
        assert self.names() == ["c"]
        assert self.spool.waiting == 1

    def test_it_survives_being_opened_again(self) -> None:
        for name in "ab":
            self.result(self.spool.add(notice(name)))
        self.result(self.spool.close())
        self.spool = Spool(self.path, at_once)
        assert self.names() == ["a", "b"]
        assert self.spool.waiting == 2

    def test_a_kill_takes_nothing_away(self) -> None:
        self.result(self.spool.add(notice("a")))
        other = Spool(self.path, at_once)
        assert len(self.result(other.oldest(5))) == 1

    def test_one_token_waits_once(self) -> None:
        for _ in range(2):
            assert self.result(self.spool.add(notice("a"))) is True
        assert self.names() == ["a"]

    def test_nobody_else_reads_it(self) -> None:
        self.result(self.spool.add(notice("a")))
        assert self.path.stat().st_mode & 0o777 == 0o600
        assert self.path.parent.stat().st_mode & 0o777 == 0o700

    def test_it_has_a_limit(self) -> None:
        self.spool = Spool(self.path, at_once, max_waiting=2)
        assert [self.result(self.spool.add(notice(name))) for name in "abc"] == [True, True, False]
        self.result(self.spool.remove([self.result(self.spool.oldest(1))[0][0]]))
        assert self.result(self.spool.add(notice("c"))) is True

    def test_a_row_that_cannot_be_read_holds_up_nobody(self) -> None:
        for name in "abc":
            self.result(self.spool.add(notice(name)))
        with sqlite3.connect(self.path) as database:
            database.execute("UPDATE waiting SET notice = x'ff' WHERE id = 1")
            database.execute("UPDATE waiting SET notice = '{\"notices\": []}' WHERE id = 2")
        assert self.names() == ["c"]
        assert self.spool.unreadable == 2
        assert self.spool.waiting == 1

    def test_lost_copies_wait_beside_the_notices(self) -> None:
        self.result(self.spool.add(notice("a")))
        self.result(self.spool.add_losses({"t1": "it went", "t2": "it went"}))
        self.result(self.spool.add_losses({"t1": "otherwise"}))
        self.result(self.spool.close())
        self.spool = Spool(self.path, at_once)
        assert self.result(self.spool.losses(10)) == [Loss("t1", "it went"), Loss("t2", "it went")]
        assert len(self.result(self.spool.losses(1))) == 1
        self.result(self.spool.remove_losses([Loss("t1", "it went")]))
        assert self.result(self.spool.losses(10)) == [Loss("t2", "it went")]
        assert self.names() == ["a"]
        assert self.spool.waiting == 1

    def test_no_more_lost_copies_wait_than_may(self) -> None:
        self.spool = Spool(self.path, at_once, max_waiting=2)
        self.result(self.spool.add_losses(dict.fromkeys(["t1", "t2", "t3"], "it went")))
        assert len(self.result(self.spool.losses(10))) == 2
        self.result(self.spool.add_losses({"t4": "it went"}))
        assert len(self.result(self.spool.losses(10))) == 2
        assert self.result(self.spool.add(notice("a"))) is True

    def test_a_spool_of_an_earlier_version_takes_them_too(self) -> None:
        self.path.parent.mkdir()
        with sqlite3.connect(self.path) as database:
            database.execute(
                "CREATE TABLE waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT UNIQUE, notice BLOB)"
            )
        self.result(self.spool.add_losses({"t1": "it went"}))
        assert self.result(self.spool.losses(10)) == [Loss("t1", "it went")]

    def test_a_disk_that_fails_and_works_again(self) -> None:
        self.path.parent.write_text("not a folder")
        self.failureResultOf(self.spool.add(notice("a")), StoreError)
        self.path.parent.unlink()
        assert self.result(self.spool.add(notice("a"))) is True

    def test_nothing_is_taken_after_the_close(self) -> None:
        self.result(self.spool.close())
        self.failureResultOf(self.spool.add(notice("a")), StoreError)
