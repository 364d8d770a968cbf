"""WACZ files of pages, for tests."""

from __future__ import annotations

from pathlib import Path

from attrs import evolve

from lbcompanion.crawler.archive.export import Export
from lbcompanion.crawler.archive.wacz import WaczWriter
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival

STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")
FORM = "http://www.example.com/form"


def package(folder: Path, pages: list[tuple[str, str, bytes]]) -> Path:
    """Archive pages, given as method, URL and body, and export them as one file."""
    place = Place(folder)
    for number, (method, url, body) in enumerate(pages):
        page = evolve(copy(body, method=method), url=url, captured_at=NOW + 10 * number + 0.25)
        place.backlog.add([arrival(f"t{number}")], NOW)
        place.archive.store(f"t{number}", page, (STYLE,), "own", ())
    path = folder / "out.wacz"
    with path.open("w+b") as out:
        assert len(list(WaczWriter(out, NOW).write(Export(place.database, place.archive.reader, Filters())))) == len(
            pages
        )
    return path
