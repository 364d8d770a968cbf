from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.crawler.crawler_name import BadFileName
from lbcompanion.crawler.erasure.folder import ArchiveFolder, closing_on_error, successor_name
from lbcompanion.crawler.erasure.rewriting import RewritingStopped
from tests.support.programs import need_library


def test_a_file_is_written_read_and_removed(tmp_path: Path) -> None:
    folder = ArchiveFolder(tmp_path)
    assert folder.size("a.warc.gz") == -1
    stream = folder.create("a.warc.gz")
    stream.write(b"bytes")
    folder.sync(stream)
    assert stream.closed
    assert folder.size("a.warc.gz") == 5
    assert (tmp_path / "a.warc.gz").stat().st_mode & 0o777 == 0o600
    with folder.open("a.warc.gz") as found:
        assert found.read() == b"bytes"
    with pytest.raises(FileExistsError):
        folder.create("a.warc.gz")
    folder.remove("a.warc.gz")
    folder.remove("a.warc.gz")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_closed_when_its_writing_fails(tmp_path: Path) -> None:
    stream = ArchiveFolder(tmp_path).create("a.warc.gz")
    with pytest.raises(ValueError, match="no"), closing_on_error(stream):
        raise ValueError("no")
    assert stream.closed


@pytest.mark.parametrize(
    ("name", "taken", "expected"),
    [
        ("lbc-1.warc.gz", (), "lbc-1-e1.warc.gz"),
        ("lbc-1-e1.warc.gz", (), "lbc-1-e2.warc.gz"),
        ("lbc-1-e9.warc.gz", ("lbc-1-e10.warc.gz",), "lbc-1-e11.warc.gz"),
        ("lbc-e.warc.gz", (), "lbc-e-e1.warc.gz"),
    ],
)
def test_a_successor_has_the_next_free_number(name: str, taken: tuple[str, ...], expected: str) -> None:
    assert successor_name(name, lambda other: other in taken) == expected


@pytest.mark.parametrize("name", ["../other.warc.gz", "/other.warc.gz", "other", "a/../../other.warc.gz", ""])
def test_no_other_file_is_touched(tmp_path: Path, name: str) -> None:
    """The names of files to remove come from the database of the queue, which other machines can write."""
    folder = ArchiveFolder(tmp_path / "archive")
    (tmp_path / "archive").mkdir()
    for other in ("other.warc.gz", "other"):
        (tmp_path / other).write_bytes(b"kept")
    for call in (folder.size, folder.open, folder.create, folder.remove):
        with pytest.raises(BadFileName):
            call(name)
    assert {path.name for path in tmp_path.iterdir()} == {"archive", "other.warc.gz", "other"}


@pytest.mark.slow
def test_a_stop_ends_the_fetching_of_a_file(tmp_path: Path) -> None:
    """The crawler waits for this thread when it stops; a file may have a gigabyte."""
    need_library("obstore")
    folder, stored = ArchiveFolder(tmp_path / "archive"), tmp_path / "store"
    for each in (tmp_path / "archive", stored):
        each.mkdir()
    content = bytes(5_000_000)
    (stored / "a.warc.gz").write_bytes(content)
    asked: list[bool] = []

    def check() -> None:
        asked.append(True)
        if len(asked) == 3:
            raise RewritingStopped("the crawler stops")

    with pytest.raises(RewritingStopped):
        folder.open("a.warc.gz", f"file://{stored}", check)
    assert list((tmp_path / "archive").iterdir()) == []
    with folder.open("a.warc.gz", f"file://{stored}") as found:
        assert found.read() == content
