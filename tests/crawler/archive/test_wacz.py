from __future__ import annotations

import gzip
import hashlib
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lbcompanion.crawler.archive import cdxj, wacz
from tests.support.replay_tools import cdxj_lines, pywb, run_tool
from tests.support.wacz_packages import FORM, STYLE, package

PAGES = [
    ("GET", FORM, b"<title>The\n form &amp; more</title>"),
    ("POST", FORM, b"<p>first result"),
    ("GET", FORM, b"<title>Again</title>"),
    ("POST", f"{FORM}?step=2", b"<!-- <title>old</title> --><svg><title>icon</title></svg><p>second result"),
]


@pytest.mark.slow
def test_a_package_has_all_that_it_names(tmp_path: Path) -> None:
    path = package(tmp_path, PAGES)
    content = zipfile.ZipFile(path)
    assert content.testzip() is None
    described: dict[str, Any] = json.loads(content.read("datapackage.json"))
    assert (described["profile"], described["wacz_version"]) == ("data-package", "1.1.1")
    for each in described["resources"]:
        data = content.read(each["path"])
        assert (each["bytes"], each["hash"]) == (len(data), f"sha256:{hashlib.sha256(data).hexdigest()}")
    assert {each["path"] for each in described["resources"]} | {"datapackage.json", "datapackage-digest.json"} == {
        *content.namelist()
    }
    signed = json.loads(content.read("datapackage-digest.json"))
    assert signed["hash"] == f"sha256:{hashlib.sha256(content.read('datapackage.json')).hexdigest()}"
    # Players read these members by ranges, so ZIP does not compress them.
    for name in ("archive/pages.warc.gz", "indexes/index.cdx.gz"):
        assert content.getinfo(name).compress_type == zipfile.ZIP_STORED
    # ReplayWeb.page skips the fields of a local header only if the directory's entry has fields too.
    with path.open("rb") as raw:
        for info in content.infolist():
            raw.seek(info.header_offset + 28)
            assert bool(info.extra) or raw.read(2) == b"\0\0"


@pytest.mark.slow
def test_the_list_of_pages(tmp_path: Path) -> None:
    content = zipfile.ZipFile(package(tmp_path, PAGES))
    head, *pages = map(json.loads, content.read("pages/pages.jsonl").splitlines())
    assert head == {"format": "json-pages-1.0", "id": "pages", "title": "Pages", "hasText": False}
    assert len({each.pop("id") for each in pages}) == 4
    assert pages == [
        {"url": FORM, "ts": "2026-11-23T21:10:00.250Z", "title": "The form & more"},
        {"url": f"{FORM}?__wb_method=POST&", "ts": "2026-11-23T21:10:10.250Z"},
        {"url": FORM, "ts": "2026-11-23T21:10:20.250Z", "title": "Again"},
        {"url": f"{FORM}?step=2&__wb_method=POST&", "ts": "2026-11-23T21:10:30.250Z"},
    ]


@pytest.mark.slow
def test_the_index_is_sorted_and_found_by_its_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wacz, "_BLOCK_LINES", 2)
    monkeypatch.setattr(cdxj, "_SORTED_LINES", 3)
    pages = [("GET", f"http://www.example.com/{name}", name.encode()) for name in "zyxba"]
    content = zipfile.ZipFile(package(tmp_path, [*PAGES, *pages]))
    data = content.read("indexes/index.cdx.gz")
    lines = gzip.decompress(data).decode().splitlines()
    assert lines == sorted(lines)
    assert len(lines) == 18
    meta, *blocks = content.read("indexes/index.idx").decode().splitlines()
    assert json.loads(meta.partition(" 0 ")[2]) == {"format": "cdxj-gzip-1.0", "filename": "index.cdx.gz"}
    found = []
    for block in blocks:
        key, _, values = block.partition(" {")
        place = json.loads("{" + values)
        part = data[place["offset"] : place["offset"] + place["length"]]
        assert place["digest"] == f"sha256:{hashlib.sha256(part).hexdigest()}"
        text = gzip.decompress(part).decode().splitlines()
        assert text[0].startswith(key)
        found += text
    assert found == lines
    # The lines of the form are in one block, those of the style sheet in another.
    assert len(blocks) == 4


@pytest.mark.programs
def test_public_tools_accept_it(tmp_path: Path) -> None:
    path = package(tmp_path, PAGES)
    assert "is valid" in run_tool("wacz", "validate", "-f", path)
    with zipfile.ZipFile(path) as content:
        content.extract("archive/pages.warc.gz", tmp_path)
        ours = gzip.decompress(content.read("indexes/index.cdx.gz")).decode().splitlines()
    parsed = ((key, date[:14], json.loads(rest)) for key, date, rest in (line.split(" ", 2) for line in ours))
    assert sorted(parsed, key=str) == sorted(cdxj_lines(tmp_path / "archive" / "pages.warc.gz"), key=str)
    with pywb(tmp_path, path) as player:
        assert player.page("20261123211000", FORM) == PAGES[0][2]
        assert player.page("20261123211010", f"{FORM}?__wb_method=POST") == PAGES[1][2]
        assert player.page("20261123211010", FORM, b"a=b") == PAGES[1][2]
        assert player.page("20261123211020", FORM) == PAGES[2][2]
        assert player.page("20261123211030", STYLE.url) == STYLE.body
