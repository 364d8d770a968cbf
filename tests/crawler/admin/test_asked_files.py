from __future__ import annotations

from contextlib import suppress

import pytest

from lbcompanion.crawler.admin.asked_files import MAX_FILES, MAX_RECORDINGS, AskedFiles, script_files
from lbcompanion.crawler.admin.endpoint import HttpError
from lbcompanion.crawler.archive.warc_reader import StoredRecord
from lbcompanion.crawler.replay.documents import Replayed
from lbcompanion.crawler.replay.recorded_files import Recorded


def ask(files: AskedFiles, url: str, status: int = 404, token: str = "T") -> None:
    recorded = Recorded("", "f", StoredRecord(0, 0, "response", {}), {})
    replayed = Replayed(token, "http://s/", {}, recorded, reasons={"http://s/known": "404"})
    with suppress(HttpError), files.noting(replayed, url):
        raise HttpError(status, "x")


def test_only_files_that_are_missing_for_no_known_reason_are_noted() -> None:
    files = AskedFiles()
    for url in ("http://s/b", "http://s/a", "http://s/known", "data:x", "http://s/\n", "http://s/" + "x" * 8000):
        ask(files, url)
    ask(files, "http://s/c", 500)
    assert files.of("T") == ["http://s/a", "http://s/b"]
    assert files.of("other") == []


@pytest.mark.slow
def test_what_pages_ask_for_is_bounded() -> None:
    files = AskedFiles()
    for number in range(MAX_FILES + 9):
        ask(files, f"http://s/{number}")
    assert len(files.of("T")) == MAX_FILES
    for number in range(MAX_RECORDINGS):
        ask(files, "http://s/", token=str(number))
    assert files.of("T") == []
    assert files.of("0") == ["http://s/"]


def test_the_setting_has_paths_of_the_pages_origin() -> None:
    urls = ["http://s/a?b='\"<", "http://s/x*", "http://s/?\\", "https://s/y", "http://s:80/z"]
    assert script_files(urls, "http://s/page") == 'script_files = [\n    "/a?b=%27%22%3C",\n    "/z",\n]'
    assert script_files(["http://t/"], "http://s/") == ""
