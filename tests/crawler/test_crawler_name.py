from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.crawler.crawler_name import (
    BadFileName,
    archive_file_name,
    crawler_name,
    crawler_of_file,
    name_from_host,
    path_in_archive,
    remember,
)
from lbcompanion.crawler.erasure.folder import successor_name
from lbcompanion.model import CRAWLER_NAME
from lbcompanion.settings import CrawlerTable


def settings(folder: Path, name: str = "") -> CrawlerTable:
    return CrawlerTable(folder / "farm.secret", b"", name, state_dir=folder)


@given(st.text(max_size=100))
def test_any_host_name_gives_a_valid_name(host: str) -> None:
    assert CRAWLER_NAME.fullmatch(name_from_host(host))


@pytest.mark.parametrize(
    ("host", "name"), [("web1.example.com", "web1"), ("", "crawler"), ("a b_c", "a-b_c"), ("é", "crawler")]
)
def test_the_name_of_a_host(host: str, name: str) -> None:
    assert name_from_host(host) == name


def test_the_configured_name_comes_first(tmp_path: Path) -> None:
    remember("earlier", tmp_path)
    assert crawler_name(settings(tmp_path, "c.1"), lambda: "host") == "c.1"


def test_the_name_of_the_first_start_stays(tmp_path: Path) -> None:
    assert crawler_name(settings(tmp_path), lambda: "first.example.com") == "first"
    remember("first", tmp_path)
    remember("first", tmp_path)
    assert crawler_name(settings(tmp_path), lambda: "second.example.com") == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["crawler-name"]


@pytest.mark.parametrize("content", [b"", b"a/b\n", b"\xff", b"a\nb", b"x" * 65])
def test_a_damaged_file_gives_no_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "crawler-name").write_bytes(content)
    assert crawler_name(settings(tmp_path), lambda: "host") == "host"


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        remember("name", tmp_path / "missing")
    (tmp_path / "crawler-name").mkdir()
    with pytest.raises(OSError, match="directory"):
        remember("name", tmp_path)
    assert len(list(tmp_path.iterdir())) == 1


@given(st.from_regex(CRAWLER_NAME, fullmatch=True), st.integers(0, 20000))
def test_a_file_names_its_crawler(name: str, serial: int) -> None:
    file = archive_file_name(name, "20261123211000", serial)
    assert crawler_of_file(file) == name
    assert crawler_of_file(successor_name(file, lambda _other: False)) == name


def test_a_file_of_an_earlier_version_names_none() -> None:
    assert crawler_of_file("lbc-20261123211000-0000.warc.gz") == ""


@given(st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9./_-]{0,20}\.warc\.gz\n?", fullmatch=True))
def test_a_file_of_the_archive_is_in_its_folder(name: str) -> None:
    folder = Path("/var/lib/archive")
    try:
        path = path_in_archive(folder, name)
    except BadFileName:
        return
    assert (path.parent, path.name) == (folder, name)


@given(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), st.integers(0, 99999))
def test_every_name_of_an_archive_file_is_allowed(crawler: str, serial: int) -> None:
    name = archive_file_name(crawler, "20261123211000", serial)
    for each in (name, successor_name(name, lambda _other: False)):
        assert path_in_archive(Path("/archive"), each) == Path("/archive", each)
