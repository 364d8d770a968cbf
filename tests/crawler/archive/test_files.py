from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, update

from lbcompanion.crawler.archive.errors import ArchiveError, FileOfAnotherCrawler
from lbcompanion.crawler.archive.files import Archive
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine
from lbcompanion.crawler.queue.schema import FILES
from lbcompanion.errors import CompanionError
from lbcompanion.model import LossCode, LossReason
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival


def test_a_page_comes_back(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"<p>one</p>")
    place.store("t2", b"\x1f\x8b\x00 not gzip", status=404)
    assert place.page("t1") == b"<p>one</p>"
    assert place.page("t2") == b"\x1f\x8b\x00 not gzip"
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response"]
    text = gzip.decompress(place.files()[0].read_bytes())
    assert b"WARC/1.1\r\n" in text
    assert b"WARC-Target-URI: http://www.example.com/a?b=c\r\n" in text
    assert b"HTTP/1.1 404 Not Found\r\n" in text
    assert b"WARC-Payload-Digest: sha256:" in text
    for forbidden in (b"cookie", b"authorization", b"transfer-encoding", b"content-encoding"):
        assert forbidden not in text.lower()


@pytest.mark.slow
def test_files_rotate_and_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    stranger = tmp_path / "archive" / "lbc-crawler-20261123211000-0000.warc.gz"
    stranger.write_bytes(b"somebody's")
    place = Place(tmp_path, rotate_bytes=1)
    place.store("t1", b"one")
    place.store("t2", b"two")
    assert len(place.files()) == 3
    assert (place.page("t1"), place.page("t2")) == (b"one", b"two")
    place = Place(tmp_path)
    assert stranger.read_bytes() == b"somebody's" or len(place.index.files()) == 2


def states(place: Place) -> list[str]:
    return [str(file.state) for file in place.index.own_files()]


@pytest.mark.slow
def test_a_file_is_closed_by_its_age(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_seconds=60)
    assert not place.archive.close_if_due()
    place.store("t1", b"one")
    place.now += 59
    assert not place.archive.close_if_due()
    place = Place(tmp_path, rotate_seconds=60)
    place.now += 60
    place.store("t2", b"two")  # also without a timer
    assert states(place) == ["closed", "open"]
    place.now -= 3600  # the clock was set back
    assert place.archive.close_if_due()
    assert not place.archive.close_if_due()
    assert states(place) == ["closed", "closed"]
    place = Place(tmp_path)
    place.store("t3", b"three")
    assert states(place) == ["closed", "closed", "open"]
    assert [place.page(token) for token in ("t1", "t2", "t3")] == [b"one", b"two", b"three"]


@pytest.mark.slow
def test_a_closed_file_ends_with_its_last_record(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_seconds=60)
    place.store("t1", b"one")
    place.backlog.add([arrival("t2")], NOW)
    place.backlog.mark_lost("t2", LossReason.of(LossCode.EXPIRED), (), NOW)
    with pytest.raises(BacklogError):
        place.archive.store("t2", copy(b"never"), (), "own", ())
    place.now += 60
    assert place.archive.close_if_due()
    assert b"never" not in gzip.decompress(place.files()[0].read_bytes())
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response"]


@pytest.mark.slow
def test_an_empty_file_is_continued_whatever_its_age(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_seconds=60)
    place.backlog.add([arrival("t1")], NOW)
    place.backlog.mark_lost("t1", LossReason.of(LossCode.EXPIRED), (), NOW)
    with pytest.raises(BacklogError):
        place.archive.store("t1", copy(b"never"), (), "own", ())
    place.now += 3600
    assert not place.archive.close_if_due()
    place.store("t2", b"two")
    assert states(place) == ["open"]


@pytest.mark.slow
def test_files_of_an_earlier_version_are_closed_with_the_next_one(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    with place.database.change() as connection:
        connection.execute(update(FILES).values(state=None, opened_at=None, crawler=None))
    place = Place(tmp_path, rotate_bytes=1)
    place.store("t2", b"two")
    assert states(place) == ["closed", "open"]
    assert (place.page("t1"), place.page("t2")) == (b"one", b"two")


@pytest.mark.slow
def test_a_commit_that_fails_leaves_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    before = place.files()[0].stat().st_size
    place.backlog.add([arrival("t2")], NOW)
    place.backlog.mark_lost("t2", LossReason.of(LossCode.EXPIRED), (), NOW)
    with pytest.raises(BacklogError):
        place.archive.store("t2", copy(b"never"), (), "own", ())
    place.store("t3", b"three")
    assert place.page("t3") == b"three"
    assert [kind for kind, _ in place.records()] == ["warcinfo", "response", "response"]
    assert b"never" not in gzip.decompress(place.files()[0].read_bytes())
    assert place.files()[0].stat().st_size > before


@pytest.mark.slow
def test_a_file_that_was_never_created_is_forgotten(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    # The process is killed after it registered the next file, before it creates it.
    place.index.new_file("crawler-20261124000000-00001.warc.gz", NOW)
    place.database.close()
    place = Place(tmp_path, rotate_bytes=1)
    assert list(place.index.files()) == [file.name for file in place.files()]
    place.store("t2", b"two")
    assert states(place) == ["closed", "open"]
    assert (place.page("t1"), place.page("t2")) == (b"one", b"two")


@pytest.mark.slow
def test_a_file_that_was_created_but_not_written_is_continued(tmp_path: Path) -> None:
    place = Place(tmp_path)
    name = "crawler-20261124000000-00001.warc.gz"
    place.index.new_file(name, NOW)
    place.archive.path(name).touch()
    place.database.close()
    place = Place(tmp_path)
    assert place.archive.current_file == name


@pytest.mark.slow
def test_a_lost_file_with_pages_is_not_forgotten(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    before = place.index.files()
    place.files()[0].unlink()
    place.database.close()
    place = Place(tmp_path)
    assert place.index.files() == before
    assert place.health.lines()


class Died(BaseException):
    """The process is gone at this point."""


class Dying(ArchiveIndex):
    """An index on which the process dies at a chosen step."""

    at = ""

    def new_file(self, name: str, now: float) -> None:
        self._die("before new file")
        super().new_file(name, now)
        self._die("after new file")

    def mark_archived(self, *args: object) -> None:
        self._die("before commit")
        super().mark_archived(*args)  # type: ignore[arg-type]
        self._die("after commit")

    def _die(self, point: str) -> None:
        if self.at == point:
            raise Died


@pytest.mark.slow
@pytest.mark.parametrize("point", ["before new file", "after new file", "before commit", "after commit", "torn"])
@pytest.mark.parametrize("earlier", [0, 2])
def test_dying_at_any_step_leaves_exactly_one_record(tmp_path: Path, point: str, earlier: int) -> None:
    place = Place(tmp_path, rotate_bytes=1 << 30 if earlier else 1)
    for number in range(earlier):
        place.store(f"e{number}", b"earlier")
    place.backlog.add([arrival("t")], NOW)
    database = Database(open_engine(f"sqlite:///{tmp_path}/q.db"))
    dying = Dying(database)
    dying.at = point
    archive = Archive(tmp_path / "archive", dying, lambda: NOW)
    archive.recover()
    if point == "torn":
        dying.at = "before commit"
    died = False
    try:
        archive.store("t", copy(b"the page"), (), "own", ())
    except Died:
        died = True
    database.close()
    place.database.close()
    if point == "torn":
        newest = place.files()[-1]
        newest.write_bytes(newest.read_bytes()[:-7])
    after = Place(tmp_path)
    row = after.backlog.recording("t")
    assert row is not None
    assert died or earlier
    if row["outcome"] is None:
        after.archive.store("t", copy(b"the page"), (), "own", ())
    assert after.page("t") == b"the page"
    assert len([kind for kind, _ in after.records() if kind in ("response", "revisit")]) == earlier + 1


@pytest.mark.slow
def test_a_file_that_lost_bytes_is_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    short = place.files()[0]
    short.write_bytes(short.read_bytes()[:-3])
    size = short.stat().st_size
    place = Place(tmp_path)
    place.store("t2", b"two")
    assert short.stat().st_size == size
    assert place.page("t2") == b"two"


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["folder", "file", "end"])
def test_a_lost_file_is_reported_and_the_archive_goes_on(tmp_path: Path, loss: str) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    (first,) = place.files()
    if loss == "folder":
        shutil.rmtree(tmp_path / "archive")
    elif loss == "file":
        first.unlink()
    else:
        first.write_bytes(first.read_bytes()[:-5])
    place.store("t2", b"two")
    place.store("t3", b"three")
    assert (place.page("t2"), place.page("t3")) == (b"two", b"three")
    (line,) = place.health.lines()
    assert line.startswith(f"archive file {first.name}: ")
    assert "bytes with archived pages are missing" in line
    later = Place(tmp_path)
    assert later.health.lines()[0].startswith(f"archive file {first.name}: ")
    later.store("t4", b"four")
    assert later.page("t4") == b"four"


@pytest.mark.slow
def test_the_archive_has_its_own_word(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    folder = tmp_path / "archive"
    folder.rename(tmp_path / "away")
    folder.write_bytes(b"")
    with pytest.raises(ArchiveError):
        place.store("t2", b"two")
    assert place.archive.is_failing()
    assert any(line.startswith("the archive cannot be written: ") for line in place.health.lines())
    folder.unlink()
    (tmp_path / "away").rename(folder)
    place.backlog.postpone("t2", 0, (), NOW)
    place.archive.store("t2", copy(b"two"), (), "own", ())
    assert not place.archive.is_failing()
    assert place.page("t1") == b"one"


@pytest.mark.slow
def test_nothing_is_fetched_for_a_disk_that_is_nearly_full(tmp_path: Path) -> None:
    place = Place(tmp_path, min_free_bytes=1 << 60)
    assert not place.archive.may_store()
    (line,) = place.health.lines()
    assert line.startswith("the archive has no room: ")
    assert Place(tmp_path, min_free_bytes=1).archive.may_store()


@pytest.mark.slow
def test_files_of_another_crawler_are_left_alone(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    file = place.files()[0]
    assert file.name == "lbc-crawler-20261123211000-0000.warc.gz"
    with file.open("ab") as stream:
        stream.write(b"not committed")
    size = file.stat().st_size
    other = ArchiveIndex(place.database, "other")
    archive = Archive(tmp_path / "archive", other, lambda: NOW)
    archive.recover()
    assert (other.files(), file.stat().st_size) == ({}, size)
    place.backlog.add([arrival("t2")], NOW)
    assert archive.store("t2", copy(b"two"), (), "own", ()).file == "lbc-other-20261123211000-0000.warc.gz"
    elsewhere = Archive(tmp_path / "elsewhere", other, lambda: NOW)
    with pytest.raises(FileOfAnotherCrawler, match=f"the archive of the crawler crawler, in its file {file.name}"):
        elsewhere.reader.read_page(file.name, 0)
    Place(tmp_path)
    assert file.stat().st_size == size - len(b"not committed")


@pytest.mark.slow
def test_files_without_a_name_belong_to_the_only_crawler(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    with place.database.change() as connection:
        connection.execute(update(FILES).values(crawler=None))
    assert list(ArchiveIndex(place.database, "renamed").files()) == [place.files()[0].name]


def _gathered(place: Place, token: str, body: bytes) -> None:
    place.backlog.add([arrival(token)], NOW)
    with place.archive.gathering():
        place.archive.store(token, copy(body), (), "own", ())


def _alone(place: Place, token: str, body: bytes) -> None:
    place.backlog.add([arrival(token)], NOW)
    place.archive.store(token, copy(body), (), "own", ())


@pytest.mark.slow
@pytest.mark.parametrize("store", [_gathered, _alone])
def test_a_file_that_the_database_has_lost_is_left(tmp_path: Path, store: Callable[[Place, str, bytes], None]) -> None:
    """A server that does not sync its commits may lose the file's row, and tells nobody."""
    place = Place(tmp_path)
    place.store("t1", b"one")
    (first,) = place.files()
    size = first.stat().st_size
    with place.database.change() as connection:
        connection.execute(delete(FILES))
    with pytest.raises(BacklogError, match="lost the archive file"):
        store(place, "t2", b"two")
    store(place, "t2", b"two")
    store(place, "t3", b"three")
    assert [place.page(f"t{number}") for number in (1, 2, 3)] == [b"one", b"two", b"three"]
    assert states(place) == ["closed", "open"]
    assert place.index.files() == {file.name: file.stat().st_size for file in place.files()}
    assert first.stat().st_size == size
    place.database.close()
    assert Place(tmp_path).health.lines() == []


@pytest.mark.slow
def test_a_lost_file_is_left_although_the_answer_to_its_registration_is_lost(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    (first,) = place.files()
    with place.database.change() as connection:
        connection.execute(delete(FILES))
    with pytest.raises(BacklogError):
        _alone(place, "t2", b"two")
    for _ in range(2):
        place.index.keep_lost_file(first.name, first.stat().st_size, NOW)
    _alone(place, "t2", b"two")
    assert [place.page(f"t{number}") for number in (1, 2)] == [b"one", b"two"]
    assert states(place) == ["closed", "open"]


@pytest.mark.slow
def test_a_lost_file_without_pages_is_removed(tmp_path: Path) -> None:
    place = Place(tmp_path)
    with pytest.raises(RuntimeError), place.archive.gathering():  # creates the file
        raise RuntimeError
    with place.database.change() as connection:
        connection.execute(delete(FILES))
    _alone(place, "t1", b"one")
    assert place.page("t1") == b"one"
    assert states(place) == ["open"]
    assert len(place.files()) == 1


class AnswerLost(ArchiveIndex):
    """An index whose next commit works, although its answer is lost; after that the database is gone for a while."""

    lost = gone = False

    def mark_archived(self, *arguments: Any) -> None:
        super().mark_archived(*arguments)
        if self.lost:
            self.lost, self.gone = False, True
            raise BacklogError("the connection broke")

    def committed(self, name: str) -> int | None:
        if self.gone:
            raise BacklogError("still gone")
        return super().committed(name)


@pytest.mark.slow
def test_a_commit_whose_answer_was_lost_is_not_overwritten(tmp_path: Path) -> None:
    place = Place(tmp_path)
    index = AnswerLost(place.database)
    archive = Archive(tmp_path / "archive", index, lambda: NOW)
    archive.recover()
    style = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
    place.backlog.add([arrival(f"t{number}") for number in range(3)], NOW)
    index.lost = True
    with pytest.raises(BacklogError):
        archive.store("t0", copy(b"<p>zero"), (style,), "own", ())
    with pytest.raises(BacklogError, match="still gone"):
        archive.store("t1", copy(b"<p>one"), (), "own", ())
    index.gone = False
    archive.store("t1", copy(b"<p>one"), (style,), "own", ())
    with pytest.raises(BacklogError):  # it has its outcome
        archive.store("t0", copy(b"<p>zero"), (), "own", ())
    archive.store("t2", copy(b"<p>two"), (), "own", ())
    assert [place.page(f"t{number}") for number in range(3)] == [b"<p>zero", b"<p>one", b"<p>two"]
    kinds = [kind for kind, _ in place.records()]
    assert kinds == ["warcinfo", "response", "response", "response", "revisit", "response"]


@pytest.mark.parametrize("state", ["uploaded", "closed", "open", None])
def test_a_name_in_the_queue_leads_to_no_other_file(tmp_path: Path, state: str | None) -> None:
    """Other machines can write the database of a shared queue."""
    place = Place(tmp_path)
    other = tmp_path / "other.warc.gz"
    other.write_bytes(b"not the crawler's")
    place.index.new_file("../other.warc.gz", NOW)
    with place.database.change() as connection:
        connection.execute(update(FILES).values(state=state, committed=3))
    (file,) = place.index.own_files()
    for call in (
        place.archive.recover,
        lambda: place.archive.whole_file(file),
        lambda: place.archive.drop(file.name),
        lambda: place.archive.reader.read_page(file.name, 0),
    ):
        with pytest.raises(CompanionError, match=r"names the archive file '\.\./other"):
            call()
    assert other.read_bytes() == b"not the crawler's"
