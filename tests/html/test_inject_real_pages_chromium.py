"""Manuals of several megabytes as their makers wrote them, in a real Chromium, with their own scripts and styles.

``make test`` brings them out of packages of documentation: Sphinx's cousin for HAProxy with jQuery, Bootstrap and a
search field that writes into the page; Node.js' with text in its head, which ends it; FFmpeg's by Texinfo, in almost
standards mode.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.html.fast_path import fast_head_start
from lbcompanion.html.redaction import Masks, redact
from lbcompanion.settings import CaptureTable
from tests.support.browser import TAG, Site
from tests.support.programs import leave_out
from tests.support.tag_placement import same_document

pytestmark = pytest.mark.browser

FOLDER = Path(sys.prefix) / "pages"
#: The page, and how many bytes it has at least.
PAGES = {
    "usr/share/doc/haproxy/html/configuration.html": 2_000_000,
    "usr/share/doc/nodejs/api/all.html": 4_000_000,
    "usr/share/doc/ffmpeg/manual/ffmpeg-all.html": 2_000_000,
}


def real(name: str) -> bytes:
    path = FOLDER / name
    if not path.is_file():
        leave_out("the large pages")
    return path.read_bytes()


# One of them as a site serves it that leaves the encoding to the page.
@pytest.mark.parametrize(
    ("name", "content_type"),
    list(zip(PAGES, ["text/html; charset=utf-8", "text/html", "text/html;charset=UTF-8"], strict=True)),
)
def test_but_for_the_script_the_document_is_the_same(name: str, content_type: str, site: Site, page: Any) -> None:
    plain = real(name)
    assert len(plain) >= PAGES[name]
    site.folder = FOLDER
    before = same_document(plain, content_type, site, page, f"/{Path(name).parent}/")
    assert before[0] > len(plain) // 2
    assert before[3] == "CSS1Compat"


@pytest.mark.parametrize("name", PAGES)
def test_usual_to_us(name: str) -> None:
    plain = real(name)
    place = fast_head_start(plain, "utf-8", len(TAG))
    assert place is not None
    assert plain[:place].endswith(b"<head>")
    # Words of masks stand in a manual of them all; what matches none is given back as it came.
    assert redact(plain, exclude_blocks=True, masks=Masks(CaptureTable().mask), charset="utf-8") is plain
