from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from attrs import evolve
from sqlalchemy import update
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.export import Export, ExportFailed, new_file
from lbcompanion.crawler.archive.warc_reader import StoredRecord, records_with_payloads, stored_records
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.erasures import Erasures
from lbcompanion.crawler.queue.erasures import Selection as Erase
from lbcompanion.crawler.queue.filters import Filters, Pattern
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival

STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
SCRIPT = Requisite("http://www.example.com/x.js", "text/javascript", digest_of(b"x()"), b"x()")
PATHS = {"t0": "/a", "t1": "/b", "t2": "/b/c", "t3": "/d%5Fe", "t4": "/d_e"}


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Place:
    """Five pages in two files; all have the style sheet, the later ones a script."""
    place = Place(tmp_path)
    for number, (token, path) in enumerate(PATHS.items()):
        if number == 3:
            place.now += 90
            place.archive._rotate_seconds = 60
        page = evolve(
            copy(f"<p>{path}".encode(), method="POST" if number == 2 else "GET"),
            url=f"http://www.example.com{path}",
            captured_at=NOW + number,
            node=f"n{number % 2}",
        )
        noticed = arrival(token, node=page.node, visitor=f"visitor{number}")
        place.backlog.add([evolve(noticed, notice=evolve(noticed.notice, viewed_at=NOW + number))], NOW)
        place.archive.store(token, page, (STYLE, SCRIPT) if number else (STYLE,), "own", ())
    return place


@pytest.mark.slow
def test_an_erased_page_is_not_exported_while_its_records_wait(place: Place) -> None:
    erasures, chosen = Erasures(place.database), Erase(tokens=("t1", "t4"))
    erasures.erase(erasures.begin(chosen, "api", NOW), chosen, NOW)
    _, records = exported(place)
    assert not any(each.url[-2:] == "/b" or each.url.endswith("/d_e") for each in records)


def exported(place: Place, **selection: object) -> tuple[bytes, list[StoredRecord]]:
    out = io.BytesIO()
    export = Export(place.database, place.archive.reader, Filters(**selection))  # type: ignore[arg-type]
    pages = list(export.write_warc(out, "out.warc.gz"))
    data = out.getvalue()
    records = list(stored_records(io.BytesIO(data)))
    listed = [record for page in pages for record in page.records]
    assert [(each.offset, each.length, each.record_id) for each in records[1:]] == [
        (each.offset, each.length, each.record_id) for each in listed
    ]
    for record in ArchiveIterator(io.BytesIO(data), check_digests="raise"):
        record.content_stream().read()
    return data, records


def shape(records: list[StoredRecord]) -> list[tuple[str, str]]:
    return [(each.kind, each.url.rpartition("example.com")[2]) for each in records]


@pytest.mark.slow
def test_all_pages_are_copied(place: Place) -> None:
    assert len(place.files()) == 2
    data, records = exported(place)
    assert shape(records) == [
        ("warcinfo", ""),
        *(("response", "/a"), ("response", "/x.css")),
        *(("response", "/b"), ("revisit", "/x.css"), ("response", "/x.js")),
        *(("response", "/b/c"), ("request", "/b/c"), ("revisit", "/x.css"), ("revisit", "/x.js")),
        *(("response", "/d%5Fe"), ("revisit", "/x.css"), ("revisit", "/x.js")),
        *(("response", "/d_e"), ("revisit", "/x.css"), ("revisit", "/x.js")),
    ]
    # Every revisit refers to a record that is there.
    there = {(each.url, each.date): each.payload_digest for each in records if each.kind == "response"}
    for each in records:
        if each.kind == "revisit":
            first = (each.fields["warc-refers-to-target-uri"], each.fields["warc-refers-to-date"])
            assert there[first] == each.payload_digest
    # Records that need no change are copied byte for byte.
    first_file = place.files()[0].read_bytes()
    with place.files()[0].open("rb") as stream:
        pages = [each for each in stored_records(stream) if each.url]
    for each in pages:
        assert first_file[each.offset : each.offset + each.length] in data


@pytest.mark.slow
@pytest.mark.parametrize(
    ("selection", "pages"),
    [
        ({}, "t0 t1 t2 t3 t4"),
        ({"url": Pattern.read("http://www.example.com/b*")}, "t1 t2"),
        ({"url": Pattern.read("http://www.example.com/d_*")}, "t4"),
        ({"url": Pattern.read("http://www.example.com/d%*")}, "t3"),
        ({"start": NOW + 1, "end": NOW + 3}, "t1 t2"),
        ({"node": "n1"}, "t1 t3"),
        ({"route": "own", "tokens": ("t4", "t0")}, "t0 t4"),
        ({"route": "direct"}, ""),
        ({"visitors": ("visitor1", "visitor4")}, "t1 t4"),
        ({"visitors": ()}, ""),
        ({"node": "n1", "start": NOW + 2}, "t3"),
    ],
)
def test_a_selection_is_complete_and_nothing_else(place: Place, selection: dict[str, object], pages: str) -> None:
    data, records = exported(place, **selection)
    nodes = [each for each in records if "lbc-node" in each.fields]
    assert shape(nodes) == [("response", PATHS[token]) for token in pages.split()]
    payloads = {each.payload_digest: body for each, body in records_with_payloads(io.BytesIO(data)) if body}
    for each in records:
        if each.kind in ("response", "revisit"):
            assert payloads[each.payload_digest]
    if nodes:
        styles = [each for each in records if each.url == STYLE.url]
        assert styles[0].kind == "response"
        assert {each.date for each in styles} == {each.date for each in nodes}
        assert styles[0].http_fields["content-type"] == "text/css"


@pytest.mark.slow
def test_a_page_whose_bytes_are_in_another_file_is_exported_with_them(tmp_path: Path) -> None:
    place = Place(tmp_path, rotate_bytes=1)
    for number in range(3):
        place.now += 1
        place.store(f"t{number}", b"the same", (STYLE,))
    assert [kind for kind, _ in place.records()].count("revisit") == 4
    _, records = exported(place, tokens=("t2",))
    assert [each.kind for each in records] == ["warcinfo", "response", "response"]
    _, records = exported(place, tokens=("t1", "t2"))
    assert [each.kind for each in records] == ["warcinfo", "response", "response", "revisit", "revisit"]
    assert records[3].fields["warc-refers-to-date"] == records[1].date


@pytest.mark.slow
def test_what_cannot_be_read(place: Place, tmp_path: Path) -> None:
    _, second = place.files()
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    with pytest.raises(ExportFailed, match=second.name):
        exported(place)
    second.unlink()
    with pytest.raises(ExportFailed, match=second.name):
        exported(place)
    exported(place, tokens=("t1",))


def test_a_new_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def write(fails: bool) -> Iterator[None]:
        with new_file(path) as out:
            out.write(b"some")
            assert not path.exists()
            if fails:
                raise ExportFailed("halfway")
            yield

    with pytest.raises(ExportFailed, match="halfway"):
        list(write(fails=True))
    assert list(tmp_path.iterdir()) == []
    list(write(fails=False))
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ExportFailed, match="is there already"):
        list(write(fails=False))
    assert path.read_bytes() == b"some"
    with pytest.raises(ExportFailed, match="cannot be written"), new_file(tmp_path / "no" / "out"):
        pass


@pytest.mark.slow
@pytest.mark.parametrize("is_removed", [False, True])
def test_a_file_that_is_rewritten_meanwhile_leaves_no_page_out_silently(place: Place, *, is_removed: bool) -> None:
    """Its pages have another file's name from one moment to the next; the old file may still be there."""
    export = Export(place.database, place.archive.reader, Filters())
    pages = export.write_warc(io.BytesIO(), "out.warc.gz")
    next(pages)
    _first, second = place.index.files()
    with place.database.change() as connection:
        connection.execute(update(RECORDINGS).where(RECORDINGS.c.warc_file == second).values(warc_file="new.warc.gz"))
    if is_removed:
        place.archive.drop(second)
    with pytest.raises(ExportFailed, match=f"{second}: .*export again"):
        list(pages)
