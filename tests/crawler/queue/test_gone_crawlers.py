"""A crawler that does not come back: its uploaded files are taken over, and the others are reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from lbcompanion.crawler.queue.database import BacklogError, database_clock
from lbcompanion.crawler.queue.file_replacement import Replacement
from lbcompanion.crawler.queue.gone_crawlers import GoneCrawler, GoneCrawlers
from lbcompanion.crawler.queue.schema import CRAWLERS, FILES
from tests.support.archives import NOW
from tests.support.erasing_place import Crashed, ErasingPlace

STORE = "s3://bucket/prefix"


@pytest.fixture(name="places")
def _places(tmp_path: Path) -> tuple[ErasingPlace, ErasingPlace]:
    for name in ("c1", "c2"):
        (tmp_path / name).mkdir()
    queue = f"sqlite:///{tmp_path}/q.db"
    first, second = (ErasingPlace(tmp_path / name, queue=queue, crawler=name, rotate_bytes=1) for name in ("c1", "c2"))
    with first.database.change() as connection:
        now = database_clock(connection)
        for name, seen_at in (("c1", now - 5000), ("c2", now - 9000)):
            values = {"name": name, "instance": name, "host": f"host of {name}", "process": 1}
            connection.execute(insert(CRAWLERS).values(**values, started_at=0.0, seen_at=seen_at))
    return first, second


def mark_uploaded(place: ErasingPlace, name: str) -> None:
    with place.database.change() as connection:
        connection.execute(update(FILES).where(FILES.c.name == name).values(state="uploaded", place=STORE))


@pytest.mark.slow
def test_files_of_a_crawler_that_is_gone(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    for number in range(3):
        first.now += 1
        first.keep(f"t{number}", f"page {number}".encode(), at=NOW + number)
    second.keep("own", b"own")
    names = [file.name for file in first.files()]
    mark_uploaded(first, names[0])
    assert GoneCrawlers(second.database, "c2", STORE).look(6000) == []
    assert GoneCrawlers(second.database, "c2", "s3://other").look(3600) == [GoneCrawler("c1", "host of c1", 2)]
    assert list(first.index.files()) == names
    assert GoneCrawlers(second.database, "c2", STORE).look(3600) == [GoneCrawler("c1", "host of c1", 2)]
    assert list(first.index.files()) == names[1:]
    assert names[0] in second.index.files()
    assert GoneCrawlers(second.database, "c1", "").look(3600) == [GoneCrawler("c2", "host of c2", 1)]


@pytest.mark.slow
def test_files_that_a_crawler_had_to_remove(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    """It ended after its file was rewritten, and before the old one was removed from the store."""
    first, second = places
    first.keep("t0", b"page 0")
    (old,) = (file.name for file in first.files())
    first.parts.store_url = STORE
    first.parts.on_step = crash_after("replaced")
    with pytest.raises(Crashed):
        first.erase(tokens=("t0",))
    unfinished = old.replace(".warc.gz", "-e1.warc.gz")
    assert first.replacements.doomed() == {old: STORE, unfinished: ""}
    assert GoneCrawlers(second.database, "c2", "").look(3600) == [GoneCrawler("c1", "host of c1", 0, 2)]
    assert GoneCrawlers(second.database, "c2", STORE).look(3600) == [GoneCrawler("c1", "host of c1", 0, 1)]
    removed: list[tuple[str, str]] = []
    second.parts.place.remove = lambda *what: removed.append(what)  # type: ignore[method-assign]
    second.sweep()
    assert removed == [(old, STORE)]
    assert second.replacements.doomed() == {}
    # It comes back, and removes its copy.
    assert [file.name for file in first.files()] == [old]
    first.parts.on_step = lambda _step: None
    first.sweep()
    assert first.files() == []
    assert first.replacements.left_copies() == []


@pytest.mark.slow
@pytest.mark.parametrize("is_erased", [False, True])
def test_a_crash_before_the_local_file_was_removed(places: tuple[ErasingPlace, ErasingPlace], is_erased: bool) -> None:
    """The file was marked as uploaded; then its crawler ended, and another one took the file over."""
    first, second = places
    for number in range(2):
        first.keep(f"t{number}", f"page {number}".encode())
    first.archive.close_file()
    (taken, kept) = (file.name for file in first.files())
    mark_uploaded(first, taken)
    GoneCrawlers(second.database, "c2", STORE).look(3600)
    if is_erased:
        second.parts.place.size = lambda name, _place="": 99 if name == taken else -1  # type: ignore[method-assign]
        second.parts.place.remove = lambda *_of: None  # type: ignore[method-assign]
        assert second.erase(tokens=("t0",)).waiting == 0
    first.close()
    first = ErasingPlace(first.folder, queue=f"sqlite:///{first.folder.parent}/q.db", crawler="c1")
    first.sweep()
    assert [file.name for file in first.files()] == [kept]
    assert first.page("t1") == b"page 1"
    assert first.replacements.left_copies() == []
    file = first.index.file(taken)
    assert (file is None) == is_erased
    first.close()


def crash_after(step: str) -> Callable[[str], None]:
    def crash(done: str) -> None:
        if done == step:
            raise Crashed

    return crash


@pytest.mark.slow
def test_bytes_that_a_file_of_another_crawler_needs_stay(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    for number in range(2):
        first.now += 1
        first.keep(f"t{number}", b"the same", at=NOW + number)
    (holder, _) = first.files()
    with first.database.change() as connection:
        connection.execute(update(FILES).where(FILES.c.name == holder.name).values(crawler="c2"))
    assert second.erase(tokens=("t0",)).waiting == 1
    assert "a file of another crawler" in second.health.lines()[0]
    assert first.page("t1") == b"the same"
    with first.database.change() as connection:
        connection.execute(update(FILES).where(FILES.c.name == holder.name).values(crawler="c1"))
    first.sweep()
    first.check({"t1": b"the same"})


@pytest.mark.slow
def test_an_erasure_that_was_interrupted_leaves_a_file_that_was_taken_over(
    places: tuple[ErasingPlace, ErasingPlace],
) -> None:
    first, second = places
    first.keep("t0", b"the same")
    (taken,) = (file.name for file in first.files())
    mark_uploaded(first, taken)
    (row,) = first.replacements.rows(taken)
    GoneCrawlers(second.database, "c2", STORE).look(3600)
    with pytest.raises(BacklogError, match="belongs to another crawler now"):
        first.replacements.replace([Replacement(taken, "b.warc.gz", 77, {row.id: 5}, [])])
    file = second.index.file(taken)
    assert file is not None
    assert (file.crawler, file.place) == ("c2", STORE)


@pytest.mark.slow
def test_a_crawler_that_was_only_paused_refers_to_no_file_that_was_taken_over(
    places: tuple[ErasingPlace, ErasingPlace],
) -> None:
    first, second = places
    first.keep("t0", b"the same")
    (taken,) = (file.name for file in first.files())
    first.archive.close_file()
    first = ErasingPlace(first.folder, queue=f"sqlite:///{first.folder.parent}/q.db", crawler="c1")
    first.keep("t1", b"another", at=NOW + 1)
    mark_uploaded(first, taken)
    GoneCrawlers(second.database, "c2", STORE).look(3600)
    first.keep("t2", b"the same", at=NOW + 2)
    assert first.archive.current_file != taken
    assert first.index.references(first.archive.current_file) == {}
    assert first.page("t2") == b"the same"
