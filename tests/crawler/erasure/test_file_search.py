"""Erasing files of pages by their addresses, and how their records are found."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from lbcompanion.crawler.archive.file_index import index_path, write_index
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.erasures import Matches, Selection
from lbcompanion.crawler.queue.requisite_report import RequisiteReport
from tests.support.archives import NOW, copy
from tests.support.arrivals import arrival
from tests.support.erasing_place import Crashed, ErasingPlace, file_of_page, finished

PHOTO = file_of_page("photo.jpg", b"a face")
SAME = file_of_page("copy.jpg", b"a face")
CSS = file_of_page("x.css", b"body {}")
ROOT = "http://www.example.com/"


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[ErasingPlace]:
    place = ErasingPlace(tmp_path)
    yield place
    place.close()


def keep(place: ErasingPlace, number: int, *files: Requisite, **more: Any) -> None:
    place.keep(f"t{number}", f"page {number}".encode(), *files, at=NOW + number, **more)


def addresses(place: ErasingPlace) -> list[str]:
    """The addresses of all files of pages in the archive."""
    urls = [url for kind, url in place.records() if kind != "warcinfo"]
    return sorted(url.removeprefix(ROOT) for url in urls if "/t" not in url)


def pages(*numbers: int) -> dict[str, bytes]:
    return {f"t{number}": f"page {number}".encode() for number in numbers}


@pytest.mark.slow
def test_a_file_goes_from_all_pages_and_they_stay(place: ErasingPlace) -> None:
    keep(place, 0, CSS, PHOTO)
    keep(place, 1, PHOTO)
    place.archive.close_file()
    place.now += 1
    keep(place, 2, PHOTO, CSS)
    assert addresses(place).count("photo.jpg") == 3
    before = place.archive.current_file
    result = place.erase(urls=(f"{ROOT}photo.jpg#face",))
    assert (result.recordings, result.records, result.files, result.files_unsearched) == (0, 3, 2, 0)
    assert addresses(place) == ["x.css", "x.css"]
    assert PHOTO.body not in place.plain()
    place.check(pages(0, 1, 2))
    place.check_files()
    assert place.archive.current_file != before
    for file in place.files():
        assert PHOTO.sha256.hex() not in place.index.payloads(file.name)
        assert PHOTO.sha256.hex() not in place.index.references(file.name)
        assert b"photo" not in index_path(file).read_bytes()
    assert place.index.file_erasures.requests() == []
    # The next page that has the file has its bytes too.
    keep(place, 3, PHOTO)
    place.check(pages(0, 1, 2, 3))
    assert addresses(place).count("photo.jpg") == 1


@pytest.mark.slow
@pytest.mark.parametrize("in_one_file", [True, False])
def test_the_same_bytes_at_another_address_stay(place: ErasingPlace, in_one_file: bool) -> None:
    keep(place, 0, PHOTO)
    if not in_one_file:
        place.archive.close_file()
        place.now += 1
    keep(place, 1, SAME)
    keep(place, 2, PHOTO, SAME)
    place.erase(urls=(f"{ROOT}photo.jpg",))
    assert addresses(place) == ["copy.jpg", "copy.jpg"]
    assert place.plain().count(PHOTO.body) == 1
    place.check(pages(0, 1, 2))
    place.check_files()
    assert b"photo.jpg" not in place.plain()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("criteria", "left"),
    [
        ({"tokens": ("t1",)}, [0, 2]),
        ({"visitors": ("v1ann",)}, [1]),
        ({"before": NOW + 1.5}, [2]),
        ({"before": NOW + 1.5, "visitors": ("v1ann",)}, [1, 2]),
        ({"tokens": ("t9",)}, [0, 1, 2]),
    ],
)
def test_other_criteria_are_those_of_the_page(place: ErasingPlace, criteria: dict[str, Any], left: list[int]) -> None:
    for number in range(3):
        keep(place, number, file_of_page("photo.jpg", b"face %d" % number), visitor="v1bob" if number == 1 else "v1ann")
    selection = {"urls": (f"{ROOT}photo*",), **criteria}
    matches = finished(Deferred.fromCoroutine(place.eraser.count(Selection(**selection))))
    assert matches == Matches(0, 0, 3 - len(left))
    assert len(addresses(place)) == 3
    assert place.erase(**selection).records == 3 - len(left)
    assert [number for number in range(3) if b"face %d" % number in place.plain()] == left
    place.check(pages(0, 1, 2))
    place.check_files()


@pytest.mark.slow
def test_a_page_that_is_a_file_of_another_page_goes_in_both_places(place: ErasingPlace) -> None:
    keep(place, 0, Requisite(f"{ROOT}t1", "text/html", copy(b"page 1").sha256, b"page 1"))
    keep(place, 1)
    keep(place, 2)
    selection = Selection(urls=(f"{ROOT}t1",))
    assert finished(Deferred.fromCoroutine(place.eraser.count(selection))) == Matches(1, 1, 1)
    result = place.erase(urls=selection.urls)
    assert (result.recordings, result.records) == (1, 2)
    assert b"page 1" not in place.plain()
    assert b"/t1" not in place.plain()
    place.check(pages(0, 2))
    place.check_files()


@pytest.mark.slow
def test_the_report_of_a_page_counts_its_erased_files(place: ErasingPlace) -> None:
    place.backlog.add([arrival("t0")], NOW)
    place.archive.store("t0", copy(b"page 0"), (CSS, PHOTO), "own", (), RequisiteReport(3))
    place.erase(urls=(f"{ROOT}photo.jpg",))
    row = place.backlog.recording("t0")
    assert row is not None
    assert json.loads(row["requisites"]) == {"wanted": 3, "archived": 2, "missing": [], "erased": 1}


@pytest.mark.slow
def test_what_was_fetched_before_the_erasure_is_not_archived_after_it(place: ErasingPlace) -> None:
    forgotten: list[str] = []
    place.parts.forget_files = lambda: forgotten.append("all")
    place.backlog.add([arrival("t0")], NOW)
    place.erase(urls=(f"{ROOT}photo.jpg",))
    assert forgotten == ["all"]
    place.archive.store("t0", copy(b"page 0"), (CSS, PHOTO), "own", (), RequisiteReport(2))
    assert addresses(place) == ["a?b=c", "x.css"]
    row = place.backlog.recording("t0")
    assert row is not None
    assert json.loads(row["requisites"])["erased"] == 1
    # A later view has what the site still serves.
    keep(place, 1, PHOTO)
    assert "photo.jpg" in addresses(place)
    place.sweep()
    assert forgotten == ["all"]


@pytest.mark.slow
@pytest.mark.parametrize("index", ["whole", "none", "cut", "empty", "[]", "x"])
def test_a_file_is_searched_with_and_without_its_index(place: ErasingPlace, index: str) -> None:
    keep(place, 0, CSS, PHOTO)
    place.archive.close_file()
    (file,) = place.files()
    write_index(file)
    lines = index_path(file).read_bytes()
    if index == "none":
        index_path(file).unlink()
    elif index != "whole":
        damaged = {"cut": lines[: len(lines) // 2 + 9], "[]": b"key 20261123211000000 []\n", "x": b"x\n"}
        index_path(file).write_bytes(damaged.get(index, b""))
    place.erase(urls=(f"{ROOT}photo.jpg",))
    assert addresses(place) == ["x.css"]
    place.check(pages(0))


@pytest.mark.slow
def test_a_file_with_pages_that_the_queue_does_not_know_keeps_them(place: ErasingPlace) -> None:
    keep(place, 0, PHOTO)
    with place.database.change() as connection:
        connection.exec_driver_sql("DELETE FROM recordings")
    place.erase(urls=(f"{ROOT}photo.jpg",))
    assert [url for kind, url in place.records() if kind == "response"] == [f"{ROOT}t0"]
    assert place.plain().count(b"page 0") == 1


@pytest.mark.slow
def test_a_missing_file_is_reported_and_searched_when_it_is_back(place: ErasingPlace) -> None:
    keep(place, 0, PHOTO)
    place.archive.close_file()
    (file,) = place.files()
    content = file.read_bytes()
    file.unlink()
    assert place.erase(urls=(f"{ROOT}photo.jpg",)).files_unsearched == 1
    assert any("missing" in line for line in place.health.lines())
    assert place.erasures.entries(1)[0]["finished_at"] is None
    file.write_bytes(content)
    place.sweep()
    assert addresses(place) == []
    place.check(pages(0))
    assert place.erasures.entries(1)[0]["finished_at"] == NOW


@pytest.mark.slow
@pytest.mark.parametrize("step", ["doomed", "copied", "written", "replaced", "removed"])
def test_a_crash_leaves_a_request_that_is_carried_out_later(tmp_path: Path, step: str) -> None:
    def crash(done: str) -> None:
        if done == step:
            raise Crashed

    place = ErasingPlace(tmp_path, crash, rotate_bytes=1)
    for number in range(3):
        place.now += 1
        keep(place, number, PHOTO, SAME)
    with pytest.raises(Crashed):
        place.erase(urls=(f"{ROOT}photo.jpg",))
    place.close()
    place = ErasingPlace(tmp_path, rotate_bytes=1)
    place.check(pages(0, 1, 2))
    place.sweep()
    assert addresses(place) == ["copy.jpg"] * 3
    assert place.plain().count(PHOTO.body) == 1
    place.check(pages(0, 1, 2))
    place.check_files()
    assert place.index.file_erasures.requests() == []
    place.close()


def _names(values: list[int]) -> tuple[Requisite, ...]:
    contents = (b"a face", b"a face", b"body {}", b"alert(1)")
    names = ("photo.jpg", "copy.jpg", "x.css", "y.js")
    return tuple(file_of_page(names[value], contents[value]) for value in dict.fromkeys(values))


_PAGE = st.tuples(st.just("page"), st.lists(st.integers(0, 3), max_size=4))
_ERASE_FILE = st.tuples(st.just("file"), st.integers(0, 3))
_ERASE_PAGE = st.tuples(st.just("token"), st.integers(0, 9))


@pytest.mark.slow
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(_PAGE, _PAGE, _ERASE_FILE, _ERASE_PAGE), min_size=3, max_size=14), st.booleans())
def test_any_sequence_leaves_what_was_not_erased(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, Any]], small: bool
) -> None:
    place = ErasingPlace(tmp_path_factory.mktemp("archive"), rotate_bytes=1 if small else 1 << 30)
    left: dict[str, bytes] = {}
    files: dict[str, list[str]] = {}
    number = 0
    for kind, value in steps:
        place.now += 1
        if kind == "page":
            given_files = _names(value)
            keep(place, number, *given_files)
            left |= pages(number)
            files[f"t{number}"] = [each.url.removeprefix(ROOT) for each in given_files]
            number += 1
        elif kind == "file":
            (file,) = _names([value])
            place.erase(urls=(file.url,))
            for names in files.values():
                names[:] = [each for each in names if f"{ROOT}{each}" != file.url]
        else:
            place.erase(tokens=(f"t{value}",))
            left.pop(f"t{value}", None)
            files.pop(f"t{value}", None)
        place.check(left)
        place.check_files()
        assert addresses(place) == sorted(name for names in files.values() for name in names)
    place.close()


@pytest.mark.slow
def test_a_file_that_was_never_created_is_not_missed(tmp_path: Path) -> None:
    place = ErasingPlace(tmp_path)
    keep(place, 0, CSS, PHOTO)
    # The process is killed after it registered the next file, before it creates it.
    place.index.new_file("crawler-20261124000000-00001.warc.gz", NOW)
    place.close()
    place = ErasingPlace(tmp_path)
    result = place.erase(urls=(f"{ROOT}photo.jpg",))
    assert (result.records, result.files_unsearched) == (1, 0)
    assert place.health.lines() == []
    place.check_files()
    place.close()
