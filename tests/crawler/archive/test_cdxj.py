from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.archive.cdxj import digits, index_lines, url_key
from lbcompanion.crawler.archive.warc_reader import stored_records
from tests.support.archives import Place
from tests.support.replay_tools import surt_keys

URLS = [
    "https://www.h.example/Form?__wb_method=POST",
    "https://h.example/a?b=2&a=1&",
    "https://h.example/?",
    "http://h.example:80/x/",
    "https://h.example:443/x//y/../z/./q",
    "https://h.example:8080/a%20b%41%2f?c=%C3%84%26",
    "http://10.0.0.1/a",
    "http://[::1]:81/a",
    "http://www2.h.example",
    "https://h.example/a?b&a=%25#part",
    "http://h.example./%7euser/",
    "http://www.h.example.www.x/",
]
KEYS = [
    "example,h)/form?__wb_method=post",
    "example,h)/a?&a=1&b=2",
    "example,h)/",
    "example,h)/x",
    "example,h)/x/z/q",
    "example,h:8080)/a%20ba?&c=%c3%84",
    "1,0,0,10)/a",
    "::1:81)/a",
    "example,h)/",
    "example,h)/a?a=%25&b",
    "example,h)/~user",
    "x,www,example,h)/",
]


def test_keys_of_addresses() -> None:
    assert [url_key(url) for url in URLS] == KEYS


@pytest.mark.slow
@given(st.from_regex(r"https?://[!-~]{0,40}", fullmatch=True))
def test_every_address_has_a_key_without_spaces(url: str) -> None:
    assert " " not in url_key(url)


@pytest.mark.programs
def test_keys_are_those_of_the_public_library() -> None:
    assert surt_keys(URLS) == KEYS


def test_times_have_milliseconds() -> None:
    assert digits("2026-11-23T21:10:00.123456Z") == "20261123211000123"
    assert digits("2026-11-23T22:10:00+01:00") == "20261123211000000"


@pytest.mark.slow
def test_a_line_for_each_page(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.store("t1", b"one")
    place.store("t2", b"two", method="POST", status=404)
    with place.files()[0].open("rb") as stream:
        records = list(stored_records(stream))
    first, second = index_lines(records, "a.warc.gz")
    assert first.text == (
        'com,example)/a?b=c 20261123211000000 {"url": "http://www.example.com/a?b=c", "mime": "text/html", '
        f'"status": "200", "digest": "{records[1].payload_digest}", "length": "{records[1].length}", '
        f'"offset": "{records[1].offset}", "filename": "a.warc.gz"}}\n'
    )
    assert second.key == "com,example)/a?__wb_method=post&b=c"
    assert '"status": "404"' in second.values
    assert second.values.endswith('"method": "POST", "requestBody": ""}')
