"""The spool: what was written is there, whatever happens."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.errors import StoreError
from lbcompanion.model import Loss, LossCode, Notice
from lbcompanion.node.health import SPOOL, SPOOL_FULL, Health
from lbcompanion.node.notices.spool import Spool
from lbcompanion.protocol.notices import write_notices
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


def small(number: int, url: str = "http://a/") -> Notice:
    token = Tokens(SECRET, "n1", lambda count: number.to_bytes(4, "big") + bytes(count - 4)).mint()
    return Notice(token, f"{url}{number}", {}, 1.0, 2.0)


LARGE = "http://a/" + "x" * 4000


class FullSpoolTests(SynchronousTestCase):
    """Anybody can post notices."""

    def setUp(self) -> None:
        self.path = new_folder(self) / "notices.db"
        self.logged: list[str] = []
        self.health = Health(lambda event, detail: self.logged.append(event))
        self.spool = self.opened()

    def opened(self, **more: Any) -> Spool:
        return Spool(self.path, at_once, **{"max_bytes": 65536, "health": self.health, **more})

    def add(self, notice: Notice, source: str = "") -> bool:
        accepted = self.successResultOf(self.spool.add(notice, source))
        assert isinstance(accepted, bool)
        assert self.spool.waiting_bytes <= 65536
        return accepted

    def urls(self) -> list[str]:
        return [found.url for _, found in self.successResultOf(self.spool.oldest(10000))]

    def counted(self) -> tuple[int, int]:
        """The triggers' counts equal the rows."""
        with sqlite3.connect(self.path) as database:
            totals = database.execute("SELECT bytes, notices FROM totals").fetchall()
            shares = database.execute("SELECT sum(bytes), sum(notices) FROM shares").fetchall()
            there = database.execute("SELECT sum(length(notice)), count(*) FROM waiting").fetchall()
        assert totals == shares == there
        return there[0]

    @pytest.mark.slow
    def test_it_has_a_limit_in_bytes(self) -> None:
        accepted = [self.add(small(number, LARGE)) for number in range(30)]
        assert accepted.count(True) == 15
        assert accepted == sorted(accepted, reverse=True)
        assert self.counted() == (self.spool.waiting_bytes, 15)
        assert self.health.problems() == [SPOOL_FULL.problem]
        assert self.logged == ["spool is full"]
        # The crawler hears of each page that has no notice.
        lost = self.successResultOf(self.spool.losses(100))
        assert [loss.token for loss in lost] == [small(number).token for number in range(15, 30)]
        assert {loss.reason.code for loss in lost} == {LossCode.SPOOL_FULL}

    @pytest.mark.slow
    def test_one_sender_cannot_keep_others_out(self) -> None:
        for number in range(200):
            self.add(small(number, LARGE), "198.51.100.1")
        honest = [small(1000 + number) for number in range(100)]
        assert all(self.add(notice, f"192.0.2.{number}") for number, notice in enumerate(honest))
        assert {notice.url for notice in honest} <= set(self.urls())
        assert self.spool.dropped > 0
        assert self.spool.waiting > 100
        self.counted()
        # It does not get its room back from senders with a smaller share.
        for number in range(200, 300):
            self.add(small(number, LARGE), "198.51.100.1")
        assert {notice.url for notice in honest} <= set(self.urls())

    @pytest.mark.slow
    def test_of_one_sender_small_notices_replace_large_ones(self) -> None:
        for number in range(30):
            self.add(small(number, LARGE))
        assert all(self.add(small(1000 + number)) for number in range(50))
        assert not self.add(small(2000, LARGE))

    @pytest.mark.slow
    def test_no_room_is_made_for_a_notice_that_waits(self) -> None:
        for number in range(30):
            self.add(small(number, LARGE))
        assert self.add(small(0, LARGE))
        assert self.spool.dropped == 0

    def test_nothing_is_dropped_for_a_notice_that_gets_no_room_after_all(self) -> None:
        for number in range(15):
            assert self.add(small(number, LARGE), f"192.0.2.{number % 3}")
        kept = set(self.urls())
        dropped = self.spool.dropped
        # After three notices no sender has a larger share.
        assert not self.add(small(1000, LARGE + "x" * 13000), "198.51.100.1")
        assert set(self.urls()) == kept
        assert self.spool.dropped == dropped
        assert small(1000).token in [loss.token for loss in self.successResultOf(self.spool.losses(100))]
        self.counted()

    def test_it_has_room_again_when_a_part_is_free(self) -> None:
        while self.add(small(self.spool.waiting, LARGE)):
            pass
        number, _ = self.successResultOf(self.spool.oldest(1))[0]
        self.successResultOf(self.spool.remove([number]))
        assert self.add(small(500))
        assert self.logged == ["spool is full"]
        self.successResultOf(self.spool.remove([number for number, _ in self.successResultOf(self.spool.oldest(5))]))
        assert self.add(small(501))
        assert (self.logged, self.health.problems()) == (["spool is full", "spool has room again"], [])

    def test_two_processes_share_the_limit(self) -> None:
        other = self.opened()
        for number in range(8):
            assert self.add(small(number, LARGE))
            self.successResultOf(other.add(small(100 + number, LARGE)))
        assert not self.add(small(150, LARGE))
        assert self.counted() == (self.spool.waiting_bytes, 15)

    def test_rows_of_an_earlier_version_are_counted(self) -> None:
        with sqlite3.connect(self.path) as database:
            database.execute(
                "CREATE TABLE waiting (id INTEGER PRIMARY KEY AUTOINCREMENT, token TEXT UNIQUE, notice BLOB)"
            )
            rows = [
                (notice.token, write_notices([notice])) for notice in (small(number, LARGE) for number in range(15))
            ]
            database.executemany("INSERT INTO waiting (token, notice) VALUES (?, ?)", rows)
        assert not self.add(small(20, LARGE))
        assert len(self.urls()) == 15
        # A process of the earlier version may still run.
        with sqlite3.connect(self.path) as database:
            database.execute("INSERT INTO waiting (token, notice) VALUES (?, ?)", ("t", write_notices([small(30)])))
            database.execute("DELETE FROM waiting WHERE id = 1")
        self.counted()

    def test_letters_are_not_doubled_by_escapes(self) -> None:
        url = "http://a/" + "\u20ac" * 1000
        assert self.add(small(1, url))
        assert self.urls() == [f"{url}1"]
        assert self.spool.waiting_bytes < 3500

    @given(
        st.lists(
            st.tuples(st.integers(0, 40), st.sampled_from(["a", "b", "c"]), st.integers(0, 4000), st.booleans()),
            max_size=60,
        )
    )
    def test_the_counts_are_right_after_any_calls(self, calls: list[tuple[int, str, int, bool]]) -> None:
        self.spool = Spool(new_folder(self) / "notices.db", at_once, max_bytes=20000, max_waiting=12)
        self.path = self.spool._path
        for number, source, size, remove in calls:
            self.successResultOf(self.spool.add(small(number, "http://a/" + "x" * size), source))
            assert self.spool.waiting_bytes <= 20000
            assert self.spool.waiting <= 12
            if remove and self.spool.waiting:
                self.successResultOf(self.spool.remove([self.successResultOf(self.spool.oldest(1))[0][0]]))
        if self.spool.waiting:
            assert self.counted() == (self.spool.waiting_bytes, self.spool.waiting)


class BrokenDiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = new_folder(self) / "state" / "notices.db"
        self.logged: list[str] = []
        self.health = Health(lambda event, detail: self.logged.append(f"{event}: {detail}"))
        self.spool = Spool(self.path, at_once, health=self.health)

    def limit_pages(self, pages: int) -> None:
        """SQLite's own limit gives the same error as a full disk."""
        database = self.spool._open_database()
        database.execute(f"PRAGMA max_page_count={pages}")

    def fill(self) -> None:
        self.limit_pages(1)
        database = self.spool._open_database()
        while True:
            try:
                database.execute("INSERT INTO lost VALUES (hex(randomblob(30)), hex(randomblob(500)))")
            except sqlite3.OperationalError:
                return

    def test_a_full_disk_is_reported_until_a_write_succeeds(self) -> None:
        self.successResultOf(self.spool.add(notice("a")))
        self.fill()
        for _ in range(3):
            # A failed transaction closes the file.
            self.limit_pages(1)
            self.failureResultOf(self.spool.add(Notice("1" * 40, LARGE, {}, 1.0, 2.0)), StoreError)
            assert len(self.successResultOf(self.spool.oldest(5))) == 1
            self.limit_pages(1)
            self.failureResultOf(self.spool.probe(), StoreError)
            assert self.health.problems() == [SPOOL.problem]
        (line,) = self.logged
        assert line.startswith("spool fails: ")
        assert "full" in line
        self.successResultOf(self.spool.probe())
        assert self.health.problems() == []
        assert self.logged[1:] == ["spool works again: "]

    def test_a_folder_that_cannot_be_used(self) -> None:
        self.path.parent.write_text("not a folder")
        self.failureResultOf(self.spool.add(notice("a")), StoreError)
        self.failureResultOf(self.spool.oldest(5), StoreError)
        assert self.logged == ["spool fails: the spool of notices fails: FileExistsError: File exists"]
