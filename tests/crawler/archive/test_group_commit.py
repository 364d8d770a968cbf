"""Pages that are ready together cost one sync and one transaction. One that fails does not affect the others."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.group_commit import ENOUGH_PAGES, GroupCommit, ReadyPage, store_all
from lbcompanion.crawler.archive.warc_records import RecordRefused, Requisite
from lbcompanion.crawler.queue.archive_index import ArchivedRecord
from lbcompanion.crawler.queue.backlog import AlreadyEnded
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival

FILE = Requisite("http://www.example.com/s.css", "text/css", digest_of(b"p{}"), b"p{}")


def ready(place: Place, *tokens: str, files: tuple[Requisite, ...] = (), **more: Any) -> list[ReadyPage]:
    """Pages of notices that are in the queue; the body is the token."""
    place.backlog.add([arrival(token) for token in tokens], NOW)
    return [ReadyPage(token, copy(token.encode(), **more), files, "own", ()) for token in tokens]


class Counted:
    """The syncs of the archive and the transactions that changed the queue."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = self.commits = 0
        real = os.fsync

        def fsync(descriptor: int) -> None:
            self.syncs += 1
            real(descriptor)

        monkeypatch.setattr(os, "fsync", fsync)
        event.listen(place.database._engine, "commit", self._commit)

    def _commit(self, _connection: object) -> None:
        self.commits += 1


def responses(place: Place) -> int:
    return [kind for kind, _ in place.records()].count("response")


def test_a_file_that_pages_share_counts_once(tmp_path: Path) -> None:
    """Else pages with many files, all from the cache, would each get a sync of their own."""
    image = bytes(1000)
    files = (FILE, Requisite("http://www.example.com/i.png", "image/png", digest_of(image), image))
    first, second, third = ready(Place(tmp_path), "one", "second", "third", files=files)
    digests: set[bytes] = set()
    assert first.size_beside(digests) == len("one") + len("p{}") + 1000
    assert second.size_beside(digests) == len("second")
    assert evolve(third, requisites=()).size_beside(set()) == len("third")


@pytest.mark.slow
def test_pages_share_a_sync_and_a_transaction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    store_all(place.archive, ready(place, "first"))
    pages = ready(place, *(f"t{number}" for number in range(20)))
    counted = Counted(place, monkeypatch)
    results = store_all(place.archive, pages)
    assert counted.syncs == 1
    assert counted.commits <= 2  # the pages, and a read
    assert all(isinstance(each, ArchivedRecord) for each in results)
    for page in pages:
        assert place.page(page.token) == page.token.encode()
    assert responses(place) == 21


@pytest.mark.slow
def test_a_page_that_cannot_be_archived_leaves_the_others(tmp_path: Path) -> None:
    place = Place(tmp_path)
    first, refused, ended, unknown, last = ready(place, "first", "refused", "ended", "unknown", "last")
    place.archive.store("ended", copy(b"earlier"), (), "own", ())
    bad = ReadyPage("refused", evolve(copy(b"x"), url="http://www.example.com/\r\nA: b"), (), "own", ())
    missing = ReadyPage("never there", unknown.copy, (FILE,), "own", ())
    lost = ReadyPage("ended", ended.copy, (FILE,), "own", ())
    with_file = ReadyPage("last", last.copy, (FILE,), "own", ())
    results = store_all(place.archive, [first, bad, lost, missing, with_file])
    kinds = [type(each) for each in results]
    assert kinds == [ArchivedRecord, RecordRefused, AlreadyEnded, AlreadyEnded, ArchivedRecord]
    assert (place.page("first"), place.page("last"), place.page("ended")) == (b"first", b"last", b"earlier")
    # The file of the pages that were left out is not in the archive: the last page brings it.
    assert [kind for kind, _ in place.records()] == ["warcinfo", *["response"] * 4]
    assert refused.token == bad.token


@pytest.mark.slow
def test_files_of_several_pages_are_stored_once(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store_all(place.archive, ready(place, "a", "b", "c", files=(FILE,)))
    kinds = [kind for kind, _ in place.records()]
    assert (kinds.count("response"), kinds.count("revisit")) == (4, 2)


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_when_the_disk_refuses_one_page_the_others_are_stored_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    place = Place(tmp_path)
    store_all(place.archive, ready(place, "before"))
    real, calls = getattr(os, failing), []

    def fail_once(*given: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        return real(*given)

    monkeypatch.setattr(os, failing, fail_once)
    results = store_all(place.archive, ready(place, "a", "b", "c"))
    assert all(isinstance(each, ArchivedRecord) for each in results)
    assert [place.page(token) for token in ("before", "a", "b", "c")] == [b"before", b"a", b"b", b"c"]
    assert responses(place) == 4
    assert not place.archive.is_failing()


@pytest.mark.slow
def test_a_full_disk_is_not_tried_for_each_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Place(tmp_path)
    store_all(place.archive, ready(place, "before"))
    calls: list[int] = []

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        results = store_all(place.archive, ready(place, *"abcdefgh"))
    assert [type(each) for each in results] == [ArchiveError] * 8
    assert len(calls) == 3
    assert place.archive.is_failing()
    results = store_all(place.archive, ready(place, *"abcdefgh"))
    assert [place.page(token) for token in "abcdefgh"] == [token.encode() for token in "abcdefgh"]
    assert responses(place) == 9


@pytest.mark.slow
def test_a_commit_that_fails_commits_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    store_all(place.archive, ready(place, "before"))

    def fail(_connection: object) -> None:
        raise OperationalError("COMMIT", {}, Exception("disk I/O error"))

    event.listen(place.database._engine, "commit", fail)
    results = store_all(place.archive, ready_without_queue("a", "b", "c"))
    assert [type(each) for each in results] == [BacklogError] * 3
    event.remove(place.database._engine, "commit", fail)
    results = store_all(place.archive, ready(place, "a", "b", "c"))
    assert all(isinstance(each, ArchivedRecord) for each in results)
    assert [place.page(token) for token in ("before", "a", "b", "c")] == [b"before", b"a", b"b", b"c"]
    assert responses(place) == 4


def ready_without_queue(*tokens: str) -> list[ReadyPage]:
    return [ReadyPage(token, copy(token.encode()), (), "own", ()) for token in tokens]


@pytest.mark.slow
def test_what_was_not_committed_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Died(BaseException):
        """The process is gone at this point."""

    place = Place(tmp_path)
    store_all(place.archive, ready(place, "before"))
    pages = ready(place, "a", "b")

    def die(self: Archive) -> None:
        raise Died

    monkeypatch.setattr(Archive, "_sync", die)
    with pytest.raises(Died):
        store_all(place.archive, pages)
    monkeypatch.undo()
    place.database.close()
    after = Place(tmp_path)
    assert [after.backlog.recording(token)["outcome"] for token in ("before", "a", "b")] == ["archived", None, None]
    assert responses(after) == 1
    store_all(after.archive, pages)
    assert (after.page("a"), after.page("b")) == (b"a", b"b")


@pytest.mark.slow
def test_a_full_file_is_left_in_the_middle(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_bytes=1)
    store_all(place.archive, ready(place, "a", "b", "c"))
    assert len(place.files()) == 3
    assert [place.page(token) for token in "abc"] == [b"a", b"b", b"c"]


class Group:
    """A group commit whose writes end when the test says so."""

    def __init__(self, gather_seconds: float = 0.02, **limits: int) -> None:
        self.clock = Clock()
        self.writes: list[list[str]] = []
        self.results: dict[str, object] = {}
        self.outcome: Callable[[str], Any] = lambda token: f"record of {token}"
        self.may_come = 1
        self.pending: list[Deferred[Any]] = []
        self.commits: list[None] = []
        self.commit = GroupCommit(
            *(None, self._defer, self.clock, gather_seconds, lambda: self.may_come, lambda: self.commits.append(None)),
            **limits,
        )  # type: ignore[arg-type]
        self.waits = False

    def _defer(self, _call: object, _archive: object, pages: list[ReadyPage]) -> Deferred[Any]:
        self.writes.append([page.token for page in pages])
        results = [self.outcome(page.token) for page in pages]
        if not self.waits:
            return succeed(results)
        self.pending.append(Deferred())
        return self.pending[-1].addCallback(lambda _none: results)

    def add(self, *tokens: str) -> None:
        for page in ready_without_queue(*tokens):
            done = self.commit.store(page)
            done.addBoth(lambda result, token=page.token: self.results.update({token: result}))


def test_pages_wait_for_others_for_a_moment() -> None:
    group = Group()
    group.add("a")
    group.clock.advance(0.015)
    group.add("b")
    group.clock.advance(0.015)
    assert group.writes == []
    group.clock.advance(0.006)
    assert group.writes == [["a", "b"]]
    assert group.results == {"a": "record of a", "b": "record of b"}
    assert len(group.commits) == 1


def test_the_wait_is_limited() -> None:
    group = Group()
    for number in range(14):
        group.add(f"t{number}")
        group.clock.advance(0.015)
    assert [len(each) for each in group.writes] == [14]
    assert not group.clock.getDelayedCalls()


def test_enough_pages_do_not_wait() -> None:
    group = Group()
    group.add(*(f"t{number}" for number in range(ENOUGH_PAGES)))
    assert [len(each) for each in group.writes] == [ENOUGH_PAGES]
    big = ReadyPage("big", copy(b"x" * (9 << 20)), (), "own", ())
    group.commit.store(big)
    assert group.writes[1:] == [["big"]]


def test_without_others_to_come_nothing_waits() -> None:
    group = Group()
    group.may_come = 0
    group.add("a")
    assert group.writes == [["a"]]
    group.may_come = 1
    group.add("b")
    group.may_come = 0  # the last job ended without a page
    group.commit.recheck()
    assert group.writes == [["a"], ["b"]]


def test_while_pages_are_written_others_gather() -> None:
    group = Group(0)
    group.waits = True
    group.add("a", "b", "c")
    assert group.writes == [["a"]]
    group.pending.pop().callback(None)
    assert group.writes == [["a"], ["b", "c"]]
    assert group.results == {"a": "record of a"}


@pytest.mark.parametrize("limits", [{"enough_pages": 3}, {"enough_bytes": 6}])
def test_the_gathered_pages_and_bytes_are_settings(limits: dict[str, int]) -> None:
    group = Group(**limits)
    group.add("t1", "t2")
    assert group.writes == []
    group.add("t3")
    assert group.writes == [["t1", "t2", "t3"]]


def test_four_times_the_bytes_stop_the_fetching() -> None:
    group = Group(enough_bytes=2)
    group.waits = True
    group.add("t1", "t2", "t3", "t4")
    assert not group.commit.is_full
    group.add("t5")
    assert group.commit.is_full


@pytest.mark.slow
def test_too_many_bytes_stop_the_fetching() -> None:
    group = Group()
    group.waits = True
    group.add("a")
    for _ in range(5):
        group.commit.store(ReadyPage("big", copy(b"x" * (9 << 20)), (), "own", ()))
    assert group.commit.is_full
    group.pending.pop().callback(None)
    assert not group.commit.is_full


def test_each_page_gets_its_own_failure() -> None:
    group = Group()
    group.outcome = lambda token: RecordRefused("bad") if token == "b" else token
    group.add("a", "b")
    group.clock.advance(0.02)
    assert group.results["a"] == "a"
    assert isinstance(getattr(group.results["b"], "value", None), RecordRefused)


def test_a_defect_fails_all_and_the_next_ones_are_written() -> None:
    group = Group()

    def defect(_token: str) -> Any:
        raise ZeroDivisionError

    group.outcome = defect
    real = group.commit._defer
    group.commit._defer = lambda call, *args: succeed(None).addCallback(lambda _none: real(call, *args))  # type: ignore[assignment]
    group.add("a", "b")
    group.clock.advance(0.02)
    assert [each.type for each in group.results.values()] == [ZeroDivisionError] * 2  # type: ignore[attr-defined]
    group.outcome = lambda token: token
    group.add("c")
    group.clock.advance(0.02)
    assert group.results["c"] == "c"


def test_a_job_that_was_cancelled_leaves_the_others() -> None:
    group = Group()
    cancelled = group.commit.store(ready_without_queue("a")[0])
    cancelled.addErrback(lambda _failure: None)
    group.add("b")
    cancelled.cancel()
    group.clock.advance(0.02)
    assert group.results == {"b": "record of b"}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3])
def test_a_file_that_is_removed_while_it_is_written_has_no_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The bytes would be synced into a file without a name, and the pages committed with the name."""
    place = Place(tmp_path)
    place.store("before", b"the first page of the file")
    pages = ready(place, *(f"t{number}" for number in range(count)))
    real, removed = os.fsync, []

    def fsync(descriptor: int) -> None:
        if not removed:
            removed.extend(place.files())
            removed[0].unlink()
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    results = store_all(place.archive, pages)
    for page, result in zip(pages, results, strict=True):
        if isinstance(result, ArchiveError):
            row = place.backlog.recording(page.token)
            assert row is not None
            assert row["outcome"] is None  # it is fetched again
            assert isinstance(store_all(place.archive, [page])[0], ArchivedRecord)
        assert place.page(page.token) == page.token.encode()


@pytest.mark.slow
@pytest.mark.parametrize("cause", ["removed", "old"])
def test_no_file_is_begun_among_gathered_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    """Its row would go with the transaction if that fails; then no erasure would find the pages in the file."""
    place = Place(tmp_path, rotate_seconds=60)
    place.store("before", b"the first page of the file")
    pages = ready(place, "t1", "t2", "t3")
    stored: list[str] = []
    real = Archive.store

    def store(archive: Archive, token: str, *others: Any) -> ArchivedRecord:
        if stored == ["t1"] and cause == "removed":
            place.files()[0].unlink()
        elif stored == ["t1"]:
            place.now += 100
        stored.append(token)
        return real(archive, token, *others)

    monkeypatch.setattr(Archive, "store", store)
    assert all(isinstance(each, ArchivedRecord) for each in store_all(place.archive, pages))
    for page in pages:
        assert place.page(page.token) == page.token.encode()
    rows = place.index.files()
    assert {path.name for path in place.files()} <= set(rows)
    assert {path.name: path.stat().st_size for path in place.files()}.items() <= rows.items()


def test_pages_fail_if_nothing_can_be_written_any_more() -> None:
    """The crawler stopped; the timer must not raise, nor later pages wait for ever."""
    group = Group()

    def outcome(_token: str) -> Any:
        raise RuntimeError("the crawler does not run")

    group.outcome = outcome
    group.add("t1")
    group.clock.advance(1)
    group.add("t2")
    group.clock.advance(1)
    failures: list[Any] = list(group.results.values())
    assert [each.type for each in failures] == [RuntimeError, RuntimeError]
    assert group.clock.getDelayedCalls() == []


def test_a_defect_in_a_result_does_not_end_the_writing(tmp_path: Path) -> None:
    """Else no page would be archived until the crawler starts again."""
    place = Place(tmp_path)
    (page,) = ready(place, "one")
    written: list[int] = []

    def defer(_call: object, _archive: object, pages: list[ReadyPage]) -> Deferred[Any]:
        written.append(len(pages))
        return succeed([])  # fewer results than pages

    commit = GroupCommit(place.archive, defer, Clock(), may_come=lambda: 0)
    failures: list[Any] = []
    for _ in range(2):
        commit.store(page).addErrback(failures.append)
    assert written == [1, 1]
    assert [failure.type for failure in failures] == [ValueError, ValueError]
