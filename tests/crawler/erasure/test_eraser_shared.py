"""Erasing where several crawlers share one queue: each rewrites only its own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert, update

from lbcompanion.crawler.queue.file_erasures import KEPT_SECONDS
from lbcompanion.crawler.queue.gone_crawlers import GoneCrawlers
from lbcompanion.crawler.queue.schema import CRAWLERS, DOOMED_FILES, FILES
from tests.support.archives import NOW, copy
from tests.support.arrivals import arrival
from tests.support.erasing_place import ErasingPlace, file_of_page

CSS = file_of_page("x.css", b"body {}")


def at_sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder}/queue.db"


def at_server(kind: str) -> Callable[[Path], Iterator[str]]:
    def made(_folder: Path) -> Iterator[str]:
        # Its drivers are extras.
        from tests.support import store_servers

        with store_servers.of_its_own(getattr(store_servers, kind)) as server:
            yield server.url

    return made


@pytest.fixture(
    name="places",
    params=[
        pytest.param(at_sqlite, id="sqlite"),
        pytest.param(at_server("Postgresql"), id="postgresql", marks=[pytest.mark.programs, pytest.mark.slow]),
        pytest.param(at_server("Mariadb"), id="mariadb", marks=[pytest.mark.programs, pytest.mark.slow]),
    ],
)
def _places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[ErasingPlace, ErasingPlace]]:
    for url in request.param(tmp_path):
        for name in ("c1", "c2"):
            (tmp_path / name).mkdir()
        first, second = (ErasingPlace(tmp_path / name, queue=url, crawler=name) for name in ("c1", "c2"))
        yield first, second
        first.close()
        second.close()


@pytest.mark.slow
def test_each_crawler_rewrites_its_own_files(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    for number, place in enumerate(places):
        place.keep(f"ann{number}", b"secret of ann", CSS, visitor="v1ann")
        place.keep(f"bob{number}", b"body of bob", CSS, visitor="v1bob", at=NOW + 1)
    first.backlog.add([arrival("open", visitor="v1ann")], NOW)
    result = first.erase(visitors=("v1ann",))
    assert (result.recordings, result.archived, result.files, result.waiting) == (3, 2, 1, 1)
    assert first.erasures.entries(9)[0]["finished_at"] is None
    assert b"secret" not in first.plain()
    assert b"secret" in second.plain()
    assert {row["token"] for row in second.backlog.recordings(9)} == {"bob0", "bob1"}
    first.sweep()
    second.sweep()
    for number, place in enumerate(places):
        assert b"secret" not in place.plain()
        assert place.page(f"bob{number}") == b"body of bob"
        place.check_payloads()
        place.check_files()
    entry = second.erasures.entries(9)[0]
    assert (entry["records"], entry["files"], entry["finished_at"]) == (4, 2, NOW)


@pytest.mark.slow
def test_what_another_crawler_fetches_is_not_archived(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    first.backlog.add([arrival("t1", visitor="v1ann")], NOW)
    assert first.erase(urls=("http://www.example.com/*",)).recordings == 1
    with pytest.raises(Exception, match="has its outcome"):
        second.archive.store("t1", copy(b"secret of ann"), (), "own", ())
    assert b"secret" not in second.plain()
    assert second.erasures.without_erased([arrival("t1")], [])[0] == []
    assert second.erase(urls=("http://www.example.com/A*",), before=NOW + 9).recordings == 0


@pytest.mark.slow
def test_each_crawler_searches_its_own_files_for_a_file_of_pages(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    for number, place in enumerate(places):
        place.keep(f"t{number}", b"page", CSS, file_of_page("same.css", CSS.body))
    forgotten: list[str] = []
    second.parts.forget_files = lambda: forgotten.append("all")
    result = first.erase(urls=(CSS.url,), before=NOW + 9)
    assert (result.recordings, result.records, result.files_unsearched) == (0, 1, 1)
    assert b"/x.css" not in first.plain()
    assert b"/x.css" in second.plain()
    assert first.erasures.entries(1)[0]["finished_at"] is None
    # Until it looks for requests, the other crawler may archive the file from its memory.
    second.archive.close_file()
    second.now += 1
    second.keep("late", b"late", CSS)
    second.sweep()
    assert forgotten == ["all"]
    assert first.erasures.entries(1)[0]["finished_at"] == second.now
    assert second.plain().count(b"/x.css") == 1  # of the page that came after the request
    first.now += KEPT_SECONDS + 1
    first.sweep()
    assert first.index.file_erasures.requests() == []
    for number, place in enumerate(places):
        assert place.page(f"t{number}") == b"page"
        place.check_payloads()
        place.check_files()


@pytest.mark.slow
def test_files_of_a_crawler_that_is_gone_are_taken_over(places: tuple[ErasingPlace, ErasingPlace]) -> None:
    first, second = places
    first.keep("t1", b"page")
    (name,) = first.index.files()
    store = "s3://bucket/prefix"
    with first.database.change() as connection:
        row = {"name": "c1", "instance": "c1", "host": "h", "process": 1, "started_at": 0.0, "seen_at": 0.0}
        connection.execute(insert(CRAWLERS).values(**row))
        connection.execute(update(FILES).values(state="uploaded", place=store))
        connection.execute(insert(DOOMED_FILES).values(name="old.warc.gz", crawler="c1", place=store))
    for _ in range(2):
        assert GoneCrawlers(second.database, "c2", store).look(60) == []
        assert list(second.index.files()) == [name]
        assert second.replacements.doomed() == {"old.warc.gz": store}
        assert first.replacements.left_copies() == [name, "old.warc.gz"]
    first.sweep()
    assert (first.files(), first.replacements.left_copies()) == ([], [])
