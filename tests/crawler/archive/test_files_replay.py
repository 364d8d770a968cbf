"""Public tools show the archive's files as they were captured."""

from __future__ import annotations

from pathlib import Path

import pytest
from attrs import evolve

from lbcompanion.crawler.archive.file_index import write_index
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival
from tests.support.replay_tools import cdxj_lines, pywb, pywb_on_archive

pytestmark = pytest.mark.programs
FORM, ONLY = "http://www.example.com/form", "http://www.example.com/only"
STYLE = Requisite("http://www.example.com/x.css", "text/css", digest_of(b"body{}"), b"body{}")


def visited(place: Place) -> None:
    """A form, its results by POST, and the form again."""
    pages = [
        ("GET", FORM, b"<p>the form"),
        ("POST", FORM, b"<p>first result"),
        ("GET", FORM, b"<p>the form again"),
        ("POST", FORM, b"<p>second result"),
        ("POST", FORM + "?step=2", b"<p>with a query"),
        ("POST", ONLY, b"<p>only by POST"),
        ("PUT", ONLY, b"<p>only by PUT"),
        ("GET", FORM, b"<p>the form"),
    ]
    for number, (method, url, body) in enumerate(pages):
        page = evolve(copy(body, method=method), url=url, captured_at=NOW + 10 * number)
        place.backlog.add([arrival(f"t{number}")], NOW)
        place.archive.store(f"t{number}", page, (STYLE,), "own", ())


@pytest.mark.parametrize("rotate_bytes", [1 << 30, 1])
def test_results_of_forms_are_shown_as_they_were(tmp_path: Path, rotate_bytes: int) -> None:
    place = Place(tmp_path, rotate_bytes=rotate_bytes)
    visited(place)
    keys = [key for key, _, values in cdxj_lines(*place.files()) if values.get("method")]
    assert keys == [
        "com,example)/form?__wb_method=post",
        "com,example)/form?__wb_method=post",
        "com,example)/form?__wb_method=post&step=2",
        "com,example)/only?__wb_method=post",
        "com,example)/only?__wb_method=put",
    ]
    player_of_files = pywb(tmp_path, *place.files())
    if rotate_bytes == 1:
        place.archive.close_file()
        for file in place.files():
            write_index(file)
        player_of_files = pywb_on_archive(tmp_path, place.files()[0].parent)
    with player_of_files as player:
        assert player.page("20261123211000", FORM) == b"<p>the form"
        assert player.page("20261123211020", FORM) == b"<p>the form again"
        # By the key of the record, each at its own time.
        assert player.page("20261123211010", f"{FORM}?__wb_method=POST") == b"<p>first result"
        assert player.page("20261123211030", f"{FORM}?__wb_method=POST") == b"<p>second result"
        assert player.page("20261123211040", f"{FORM}?step=2&__wb_method=POST") == b"<p>with a query"
        # The form is sent again in the player, with any input.
        for body in (b"name=anything", b"{}"):
            assert player.page("20261123211010", FORM, body) == b"<p>first result"
            assert player.page("20261123211050", ONLY, body) == b"<p>only by POST"
        # No page is at this address otherwise.
        assert player.page("20261123211050", ONLY) == b"<p>only by POST"
        # The same page again is a revisit.
        assert player.page("20261123211110", FORM) == b"<p>the form"
        # The style sheet is in the archive once; later occurrences are revisits of it.
        assert player.page("20261123211050", STYLE.url) == b"body{}"
