from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.file_index import index_name, index_path, write_index
from lbcompanion.crawler.archive.object_store import FileNameTaken, ObjectStore, StoreFailed
from lbcompanion.crawler.archive.uploads import FIRST_PAUSE_SECONDS, INTERVAL_SECONDS, MOST_PAUSE_SECONDS, Uploads
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.database import BacklogError
from tests.support.archives import Place
from tests.support.object_stores import BUCKET, S3Server, objects, s3_server

URL = "s3://archive/prefix"


class FakeStore(ObjectStore):
    """A store in memory that fails on demand."""

    def __init__(self) -> None:
        super().__init__(URL)
        self.files: dict[str, bytes] = {}
        self.failure: Callable[[], Exception] | None = None
        self.looked_for: list[str] = []

    def upload(
        self, name: str, path: Path, is_stopped: Callable[[], bool] = lambda: False, *, may_replace: bool = False
    ) -> int:
        assert may_replace == name.endswith(".cdxj")
        if self.failure is not None:
            raise self.failure()
        assert not is_stopped()
        self.files[name] = path.read_bytes()
        return len(self.files[name])

    def size(self, name: str) -> int | None:
        self.looked_for.append(name)
        return len(self.files[name]) if name in self.files else None

    def _chunks(self, name: str) -> Iterator[bytes]:
        return (self.files[name][start : start + 7] for start in range(0, len(self.files[name]), 7))


class Moving:
    """A place and its uploads, without threads."""

    def __init__(self, folder: Path, store: ObjectStore | None, **place: Any) -> None:
        self.place = Place(folder, **place)
        self.clock = Clock()
        self.metrics = CrawlerMetrics()
        self.in_thread: Callable[..., Deferred[Any]] = execute
        self.uploads = Uploads(
            archive=self.place.archive,
            index=self.place.index,
            store=store,
            defer=execute,
            in_thread=self._in_thread,
            reactor=self.clock,
            metrics=self.metrics,
            health=self.place.health,
            jitter=lambda: 1.0,
        )

    def _in_thread(self, *call: Any) -> Deferred[Any]:
        return self.in_thread(*call)

    def value(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"lbcompanion_crawler_{name}", labels) or 0.0

    def states(self) -> list[str]:
        return [str(file.state) for file in self.place.index.own_files()]


@pytest.mark.slow
def test_a_closed_file_moves_to_the_store(tmp_path: Path) -> None:
    store = FakeStore()
    moving = Moving(tmp_path, store, rotate_seconds=60)
    moving.place.store("t1", b"one")
    moving.uploads.start()
    assert moving.states() == ["open"]
    (file,) = moving.place.files()
    content = file.read_bytes()
    moving.place.now += 60
    moving.clock.advance(INTERVAL_SECONDS)
    assert moving.states() == ["uploaded"]
    assert moving.place.index.own_files()[0].place == URL
    assert store.files[file.name] == content
    index = store.files[index_name(file.name)]
    assert index.count(b"\n") == 1
    assert list(store.files) == [file.name, index_name(file.name)]
    assert list(file.parent.glob("lbc-*")) == []
    assert moving.value("archive_uploads_total", result="done") == 1
    assert moving.value("archive_uploaded_bytes_total") == len(content) + len(index)
    assert moving.value("archive_files_waiting") == 0
    again = Moving(tmp_path, store)
    again.place.store("t2", b"two")
    assert again.states() == ["uploaded", "open"]
    assert again.place.health.lines() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stored", "local", "is_found", "is_open", "folder"),
    [
        ("whole", "none", True, False, "marked"),
        ("whole", "none", True, True, "marked"),
        ("whole", "none", True, True, "lost"),
        ("whole", "part", True, False, "lost"),
        ("whole", "other", False, True, "marked"),
        ("half", "none", False, False, "marked"),
        ("none", "none", False, False, "lost"),
    ],
)
def test_a_queue_that_is_older_than_an_upload(
    tmp_path: Path, stored: str, local: str, is_found: bool, is_open: bool, folder: str
) -> None:
    """A backup of the queue was restored; meanwhile the file had got a second page, and was moved to the store."""
    store = FakeStore()
    moving = Moving(tmp_path, store)
    place = moving.place
    place.store("t1", b"one")
    if not is_open:
        place.archive.close_file()
    known = place.index.own_files()[0].committed
    place.database.close()
    backup = (tmp_path / "q.db").read_bytes()
    moving = Moving(tmp_path, store)
    moving.place.store("t2", b"two")
    (file, *_) = moving.place.files()
    content = file.read_bytes()
    moving.place.archive.close_file()
    moving.uploads.start()
    moving.place.database.close()
    assert moving.place.files() == []
    if stored != "whole":
        store.files = {file.name: content[: known // 2]} if stored == "half" else {}
    if local != "none":
        file.write_bytes(content[: known // 2] if local == "part" else b"x" * (known // 2))
    if folder == "lost":
        (file.parent / ".crawler.mark").unlink()
    (tmp_path / "q.db").write_bytes(backup)

    moving = Moving(tmp_path, store)
    moving.uploads.start()
    (found,) = moving.place.index.own_files()
    if is_found:
        assert (str(found.state), found.place, found.committed) == ("uploaded", URL, len(content))
        assert moving.place.health.lines() == []
        assert moving.place.files() == []
    else:
        assert (str(found.state), found.place) == ("closed", "")
        assert "bytes with archived pages are missing" in moving.place.health.lines()[0]
        moving.clock.advance(INTERVAL_SECONDS)
    assert store.looked_for == [file.name]
    moving.place.database.close()


@pytest.mark.slow
@pytest.mark.parametrize("has_store", [False, True])
def test_a_queue_that_was_away_is_no_failed_upload(tmp_path: Path, has_store: bool) -> None:
    """After a long outage, files would wait for minutes more, and so would the report that all works."""
    store = FakeStore() if has_store else None
    moving = Moving(tmp_path, store, rotate_seconds=1)
    moving.place.store("t1", b"one")
    moving.place.now += 1
    index = moving.place.index

    def fail() -> NoReturn:
        raise BacklogError("the queue's database cannot be reached")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(index, "closed_files", fail)
        moving.uploads.start()
        moving.clock.pump([INTERVAL_SECONDS] * 9)
        assert moving.place.health.lines() == []
        assert moving.states() == ["closed"]
    moving.clock.advance(INTERVAL_SECONDS)
    assert moving.states() == (["uploaded"] if has_store else ["closed"])
    assert moving.value("archive_uploads_total", result="failed") == 0


@pytest.mark.slow
def test_each_closed_file_gets_its_index(tmp_path: Path) -> None:
    moving = Moving(tmp_path, None, rotate_seconds=60)
    moving.place.store("t1", b"one")
    moving.uploads.start()
    (file,) = moving.place.files()
    assert not index_path(file).exists()
    moving.place.now += 60
    moving.clock.advance(INTERVAL_SECONDS)
    assert index_path(file).read_text("ascii").count("\n") == 1
    index_path(file).unlink()
    moving.clock.advance(INTERVAL_SECONDS)
    assert index_path(file).exists()
    # A damaged file has no index, and is not read again and again.
    moving.place.store("t2", b"two")
    moving.place.now += 60
    damaged = moving.place.files()[1]
    content = bytearray(damaged.read_bytes())
    content[30:60] = bytes(30)
    damaged.write_bytes(content)
    reads: list[object] = []
    moving.in_thread = lambda *call: reads.append(call) or execute(*call)  # type: ignore[func-returns-value]
    for _ in range(3):
        moving.clock.advance(INTERVAL_SECONDS)
    assert len(reads) == 1
    assert not index_path(damaged).exists()
    moving.uploads.stop()


@pytest.mark.slow
def test_a_failing_store_is_tried_again_ever_more_slowly(tmp_path: Path) -> None:
    store = FakeStore()
    store.failure = lambda: StoreFailed("503")
    moving = Moving(tmp_path, store, rotate_bytes=1)
    moving.place.store("t1", b"one")
    moving.place.store("t2", b"two")
    moving.place.store("t3", b"three")
    moving.uploads.start()
    pauses = []
    for _ in range(9):
        (call,) = moving.clock.getDelayedCalls()
        pauses.append(call.getTime() - moving.clock.seconds())
        moving.clock.advance(pauses[-1])
    assert pauses[:3] == [FIRST_PAUSE_SECONDS, 2 * FIRST_PAUSE_SECONDS, 4 * FIRST_PAUSE_SECONDS]
    assert pauses[-1] == MOST_PAUSE_SECONDS
    (line,) = moving.place.health.lines()
    assert line.startswith("archive files cannot be uploaded: 503; ")
    assert len(moving.place.files()) == 3
    assert moving.value("archive_files_waiting") == 2 + 1
    assert moving.value("archive_uploads_total", result="failed") == 10
    assert [moving.place.page(token) for token in ("t1", "t2", "t3")] == [b"one", b"two", b"three"]
    store.failure = None
    moving.clock.advance(MOST_PAUSE_SECONDS)
    assert moving.states() == ["uploaded", "uploaded", "uploaded"]
    assert moving.place.health.lines() == []
    (call,) = moving.clock.getDelayedCalls()
    assert call.getTime() - moving.clock.seconds() == INTERVAL_SECONDS


@pytest.mark.slow
@pytest.mark.parametrize("step", ["write_index", "_send", "mark_uploaded", "drop"])
def test_a_crash_between_two_steps(tmp_path: Path, step: str) -> None:
    store = FakeStore()
    moving = Moving(tmp_path, store, rotate_bytes=1)
    moving.place.store("t1", b"one")
    content = moving.place.files()[0].read_bytes()

    class Died(Exception):
        """The process is gone after this step."""

    def defer(call: Callable[..., Any], *args: Any) -> Deferred[Any]:
        done = execute(call, *args)
        return execute(died) if call.__name__ == step else done

    def died() -> None:
        raise Died

    moving.uploads._defer = defer
    moving.in_thread = defer
    moving.uploads.start()
    later = Moving(tmp_path, store)
    later.uploads.start()
    assert later.states() == ["uploaded"]
    assert [data for name, data in store.files.items() if not name.endswith(".cdxj")] == [content]
    assert len(store.files) == 2
    assert later.place.files() == []


@pytest.mark.slow
def test_a_taken_name_does_not_hold_up_other_files(tmp_path: Path) -> None:
    store = FakeStore()
    failures = [FileNameTaken("another file; give each crawler a name of its own")]
    moving = Moving(tmp_path, store, rotate_bytes=1)
    moving.place.store("t1", b"one")
    moving.place.store("t2", b"two")
    moving.place.archive.close_if_due()
    upload = store.upload

    def once(name: str, path: Path, *arguments: Any, **more: Any) -> int:
        if failures:
            raise failures.pop()
        return upload(name, path, *arguments, **more)

    store.upload = once  # type: ignore[method-assign]
    moving.uploads.start()
    assert moving.states() == ["closed", "uploaded"]
    (line,) = moving.place.health.lines()
    assert "give each crawler a name of its own" in line
    moving.clock.advance(INTERVAL_SECONDS)
    assert moving.states() == ["uploaded", "uploaded"]
    assert moving.place.health.lines() == []


@pytest.mark.slow
def test_a_short_file_is_not_uploaded(tmp_path: Path) -> None:
    store = FakeStore()
    moving = Moving(tmp_path, store, rotate_bytes=1)
    moving.place.store("t1", b"one")
    moving.place.archive.close_if_due()
    (file,) = moving.place.files()
    file.write_bytes(file.read_bytes()[:-5])
    moving.uploads.start()
    assert (store.files, moving.states()) == ({}, ["closed"])
    assert "5 bytes with archived pages are missing" in moving.place.health.lines()[0]


@pytest.mark.slow
def test_a_folder_is_the_place(tmp_path: Path) -> None:
    moving = Moving(tmp_path, None, rotate_seconds=60)
    moving.place.store("t1", b"one")
    moving.place.now += 60
    moving.uploads.start()
    assert moving.states() == ["closed"]
    assert len(moving.place.files()) == 1
    assert moving.uploads.stop().called
    assert moving.clock.getDelayedCalls() == []


@pytest.mark.slow
def test_a_stop_waits_for_the_upload(tmp_path: Path) -> None:
    moving = Moving(tmp_path, FakeStore(), rotate_bytes=1)
    moving.place.store("t1", b"one")
    waiting: Deferred[int] = Deferred()
    asked: list[Callable[[], bool]] = []

    def upload(_name: str, _path: Path, is_stopped: Callable[[], bool], **_more: object) -> int:
        asked.append(is_stopped)
        return 0

    def in_thread(call: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        done = execute(call, *arguments)
        return done if call is write_index else waiting

    moving.uploads._store.upload = upload  # type: ignore[union-attr,method-assign]
    moving.in_thread = in_thread
    moving.uploads.start()
    assert not asked[0]()
    stopped = moving.uploads.stop()
    assert asked[0]()
    assert not stopped.called
    waiting.callback(3)
    assert stopped.called
    assert moving.states() == ["uploaded"]
    assert moving.clock.getDelayedCalls() == []


@pytest.fixture(name="server")
def _server() -> Iterator[S3Server]:
    with s3_server() as server:
        yield server


@pytest.mark.programs
def test_pages_are_read_from_the_store(tmp_path: Path, server: S3Server) -> None:
    moving = Moving(tmp_path, ObjectStore(f"s3://{BUCKET}/prefix"), rotate_bytes=40_000)
    bodies = {f"t{number}": random.Random(number).randbytes(20_000) for number in range(8)}
    for token, body in bodies.items():
        moving.place.store(token, body)
    server.failing = 50
    moving.uploads.start()
    assert moving.place.health.lines()
    server.failing, server.cutting = 0, 1
    for _ in range(3):
        moving.clock.advance(FIRST_PAUSE_SECONDS * 4)
    assert moving.place.health.lines() == []
    uploaded = [file for file in moving.place.index.own_files() if file.state == "uploaded"]
    assert len(uploaded) == 4
    assert {key: len(data) for key, data in objects(server).items() if not key.endswith(".cdxj")} == {
        f"prefix/{file.name}": file.committed for file in uploaded
    }
    server.requests.clear()
    for token, body in bodies.items():
        row = moving.place.backlog.recording(token)
        assert row is not None
        place = moving.place.archive.reader.place_of(row["warc_file"])
        assert moving.place.archive.reader.read_page(row["warc_file"], row["warc_offset"], place) == body
    assert {method for method, _, asked in server.requests if asked} == {"GET"}
    sent = moving.place.archive.reader.read_page
    with pytest.raises(ArchiveError, match="the file is missing"):
        sent("lbc-missing.warc.gz", 0, f"s3://{BUCKET}/prefix")
    server.failing = 50
    with pytest.raises(ArchiveError, match="503"):
        sent(uploaded[0].name, 0, f"s3://{BUCKET}/prefix")
