from __future__ import annotations

from collections.abc import Iterator

import pytest
from attrs import evolve

from lbcompanion.crawler.replay.nearest import Nearest
from lbcompanion.crawler.replay.recorded_files import RecordedFiles
from tests.support.admin_server import ORIGIN, RecordedPages, requisite
from tests.support.archives import NOW


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RecordedPages]:
    found = RecordedPages(tmp_path_factory.mktemp("archive"))
    yield found
    found.close()


@pytest.mark.slow
def test_the_visitors_own_come_first_then_those_of_the_node(pages: RecordedPages) -> None:
    nearest = Nearest(pages.place.database)
    near = pages.record(b"1", "/x", visitor="v2", node="n2", at=NOW + 1)
    of_node = pages.record(b"2", "/x", visitor="v3", node="n1", at=NOW + 50)
    own = pages.record(b"3", "/x", visitor="v1", node="n3", at=NOW - 500)
    later = pages.record(b"4", "/x", visitor="v1", node="n3", at=NOW + 900)
    pages.record(b"5", "/x?y", visitor="v1", node="n1", at=NOW)

    def found(**row: object) -> str | None:
        given = {"captured_at": NOW, "answered_by": "n1", "visitor": "v1", **row}
        each = nearest.recording(f"{ORIGIN}/x", given)
        return None if each is None else each.token

    assert found() == own
    assert found(captured_at=NOW + 800) == later
    assert found(visitor=None) == of_node
    assert found(visitor="v9", answered_by="n9") == near
    assert nearest.recording(f"{ORIGIN}/y", {"captured_at": NOW, "answered_by": "n1", "visitor": "v1"}) is None
    assert found(captured_at=None) is None


def test_a_page_that_was_answered_to_a_post_comes_last(pages: RecordedPages) -> None:
    nearest = Nearest(pages.place.database)
    row = {"captured_at": NOW, "answered_by": "n1", "visitor": "v1"}
    posted = pages.record(b"posted", "/form", visitor="v1", method="POST")
    found = nearest.recording(f"{ORIGIN}/form", row)
    assert found is not None
    assert found.token == posted
    form = pages.record(b"form", "/form", visitor="v2", node="n9", at=NOW + 999)
    found = nearest.recording(f"{ORIGIN}/form", row)
    assert found is not None
    assert found.token == form


def test_the_neighbours_in_the_file_are_those_of_the_node_first(pages: RecordedPages) -> None:
    nearest = Nearest(pages.place.database)
    tokens = [pages.record(b"%d" % at, f"/n{at}", node=node, at=NOW + at) for at, node in enumerate("abababab")]
    row = pages.place.backlog.recording(tokens[4])
    found = [each.token for each in nearest.neighbours(row)]
    assert sorted(found[:2]) == sorted((tokens[2], tokens[6]))
    assert sorted(found[2:]) == sorted((tokens[3], tokens[5]))


def test_a_revisits_payload_is_looked_for_in_the_pages_of_its_time(pages: RecordedPages) -> None:
    nearest = Nearest(pages.place.database)
    files = RecordedFiles(pages.place.archive.reader)
    image = requisite("/i", b"image", "image/png")
    rows = [
        pages.place.backlog.recording(pages.record(b"i%d" % at, "/i", (image,), at=NOW + 7000 + at)) for at in (1, 2)
    ]
    first, second = (files.read(row["warc_file"], row["warc_offset"], "") for row in rows)
    revisit = second.files[image.url]
    assert revisit.kind == "revisit"
    assert rows[0]["warc_offset"] in nearest.pages_with(second.file, revisit)
    assert files.body(second, revisit, [rows[0]["warc_offset"]]) == b"image"
    assert nearest.pages_with(second.file, evolve(revisit, first_date="x")) == []
    assert first.files[image.url].kind == "response"
