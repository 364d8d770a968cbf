"""Configurations of a node and a crawler with places that can or cannot be used, and the error that they give."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from lbcompanion.config import read_any
from lbcompanion.errors import ConfigError

NODE = """\
[node]
name = "n1"
listen = {listen}
upstream = "{upstream}"
admin = "{admin}"
secret_file = "farm.secret"
state_dir = "{state}"
[store]
url = "{store}"
"""
CRAWLER = """\
[crawler]
secret_file = "farm.secret"
listen = "{listen}"
admin = "{admin}"
state_dir = "{state}"
archive_dir = "{archive}"
queue = "{queue}"
[sites.main]
origin = "https://www.example.com"
"""
GOOD_NODE = {
    "listen": '["tcp:8080"]',
    "upstream": "tcp:127.0.0.1:8000",
    "admin": "tcp:9101:interface=127.0.0.1",
    "state": "state",
    "store": "memory:",
}
GOOD_CRAWLER = {
    "listen": "tcp:9200",
    "admin": "tcp:9201:interface=127.0.0.1",
    "state": "state",
    "archive": "archive",
    "queue": "sqlite:///crawler.db",
}


def folder_with_files(tmp_path: Path) -> Path:
    """Make files, folders, a database and a pipe, which the configurations name."""
    (tmp_path / "farm.secret").write_text("0123456789abcdef-secret\n")
    (tmp_path / "farm.secret").chmod(0o600)
    (tmp_path / "a.file").write_text("not a database")
    (tmp_path / "empty.db").write_bytes(b"")
    (tmp_path / "a.folder").mkdir()
    with sqlite3.connect(tmp_path / "good.db") as database:
        database.execute("CREATE TABLE a (b)")
    database.close()
    os.mkfifo(tmp_path / "pipe")
    return tmp_path


def error_of(folder: Path, text: str) -> ConfigError | None:
    """The one error of a configuration, which names its file."""
    file = folder / "it.toml"
    file.write_text(text)
    error = None
    try:
        read_any(file)
    except ConfigError as raised:
        error = raised
    if error is not None:
        assert str(error).startswith(str(file))
        assert len(str(error).splitlines()) == 1
    return error


def assert_crawler_error(folder: Path, changed: dict[str, str], key: str) -> None:
    """Check that the good configuration of a crawler has an error at this key when it is changed so."""
    assert error_of(folder, CRAWLER.format(**GOOD_CRAWLER)) is None
    error = error_of(folder, CRAWLER.format(**GOOD_CRAWLER | changed))
    assert error is not None
    assert error.key == key
