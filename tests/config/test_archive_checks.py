from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.config import archive_checks, read_crawler
from lbcompanion.errors import ConfigError, InvalidValue

CRAWLER = """\
[crawler]
secret_file = "farm.secret"
{lines}
[sites.main]
origin = "https://www.example.com"
"""


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "farm.secret").write_text("0123456789abcdef-secret\n")
    (tmp_path / "farm.secret").chmod(0o600)
    (tmp_path / "a.file").write_text("a file")
    return tmp_path


def written(folder: Path, *lines: str) -> Path:
    file = folder / "crawler.toml"
    file.write_text(CRAWLER.format(lines="\n".join(lines)))
    return file


def error_of(folder: Path, *lines: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_crawler(written(folder, *lines))
    return caught.value


def test_a_folder_is_the_same_by_either_key(folder: Path) -> None:
    table = read_crawler(written(folder, f'archive = "file://{folder}/warcs"')).crawler
    assert (table.archive, table.archive_dir) == ("", folder / "warcs")
    table = read_crawler(written(folder, 'archive_dir = "warcs"')).crawler
    assert (table.archive, table.archive_dir) == ("", folder / "warcs")
    assert (table.rotate_bytes, table.rotate_seconds, table.revisit_bytes) == (1 << 30, 86400, 2 << 30)


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/a/b.c", "gs://bucket/a", "az://container/a", "s3://bucket/a/"]
)
def test_files_for_an_object_store_wait_below_the_state(folder: Path, url: str) -> None:
    table = read_crawler(written(folder, f'archive = "{url}"', 'state_dir = "kept"', "rotate_seconds = 0")).crawler
    assert (table.archive, table.archive_dir) == (url.rstrip("/"), folder / "kept" / "archive")
    assert table.rotate_seconds == 0


@pytest.mark.parametrize(
    "url",
    [
        *(
            "s3://",
            "s3:///a",
            "s3://b",
            "S3://bucket",
            "bucket",
            "http://bucket/a",
            "s3://bucket/a//b",
            "s3://bucket/..",
        ),
        *(
            "s3://key:secret@bucket/a",
            "s3://bucket/a?region=x",
            "s3://bucket/a#b",
            "s3://bucket/%2e%2e",
            "s3://b\u00fccket",
        ),
        *("file://", "file:///", "file://host/a", "file:relative", "file:///a%20b", " s3://bucket", "s3://bucket/a b"),
    ],
)
def test_other_urls_are_refused(folder: Path, url: str) -> None:
    error = error_of(folder, f'archive = "{url}"')
    assert error.key == "crawler.archive"
    assert "secret@" not in str(error)


def test_one_of_the_two_keys(folder: Path) -> None:
    for url in ("s3://bucket/a", f"file://{folder}/warcs"):
        error = error_of(folder, f'archive = "{url}"', 'archive_dir = "warcs"')
        assert str(error).endswith("crawler.archive_dir is set; allowed: left out where archive is set")
    assert error_of(folder, f'archive = "file://{folder}/a.file"').key == "crawler.archive"
    assert error_of(folder, "rotate_bytes = 0").key == "crawler.rotate_bytes"
    assert error_of(folder, "revisit_bytes = -1").key == "crawler.revisit_bytes"
    assert error_of(folder, "rotate_seconds = -1").key == "crawler.rotate_seconds"
    assert error_of(folder, "keep_days = -1").key == "crawler.keep_days"
    assert error_of(folder, "keep_bytes = 1.5").key == "crawler.keep_bytes"


def test_the_library_is_an_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_checks, "find_spec", lambda name: None)
    assert archive_checks.archive_url(f"file://{tmp_path}", tmp_path) == f"file://{tmp_path}"
    with pytest.raises(InvalidValue) as caught:
        archive_checks.archive_url("s3://bucket", tmp_path)
    assert "lbcompanion[object-store]" in caught.value.allowed
