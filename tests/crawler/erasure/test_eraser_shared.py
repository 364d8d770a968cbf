"""Erasing where several crawlers share one queue: each rewrites only its own files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

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
