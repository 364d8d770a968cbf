"""Places that cannot be used are no good configuration: the file and the key are named, and nothing is opened."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from lbcompanion import config
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


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
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


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"state": "a.file"}, "node.state_dir", "not a folder"),
        ({"state": "a.file/state"}, "node.state_dir", "a.file is not a folder"),
        ({"store": "sqlite:///a.folder"}, "store.url", "a folder"),
        ({"store": "sqlite:///a.file"}, "store.url", "not an SQLite database"),
        ({"store": "sqlite:///a.file/copies.db"}, "store.url", "not a folder"),
        ({"store": "sqlite:///pipe"}, "store.url", "not a file"),
        ({"listen": '["tcp:8080", "tcp:8080:interface=127.0.0.1"]'}, "node.listen", ""),
        ({"listen": '["tcp:8080:interface=10.0.0.1", "tcp:8080:interface=0.0.0.0"]'}, "node.listen", ""),
        ({"listen": '["tcp:8080", "tcp:8080:interface=\\\\\\\\:\\\\\\\\:"]'}, "node.listen", ""),
        ({"listen": '["tcp6:8080:interface=0\\\\:\\\\:1", "tcp6:8080:interface=\\\\:\\\\:1"]'},
         "node.listen", ""),
        ({"listen": '["tcp:8080", "haproxy:tcp:8080:backlog=9"]'}, "node.listen", ""),
        ({"listen": '["unix:a.sock", "unix:./a.folder/../a.sock:mode=660"]'}, "node.listen", ""),
        ({"admin": "tcp:8080"}, "node.admin", ""),
        ({"admin": "tcp:8080:interface=127.0.0.1"}, "node.admin", ""),
        ({"listen": '["tcp:9101"]'}, "node.admin", ""),
        ({"upstream": "tcp:127.0.0.1:8080"}, "node.upstream", "which is not node.listen"),
        ({"upstream": "tcp:localhost:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:127.0.0.5:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:0.0.0.0:8080"}, "node.upstream", ""),
        ({"upstream": "tcp:10.0.0.1:8080", "listen": '["tcp:8080:interface=10.0.0.1"]'}, "node.upstream", ""),
        ({"upstream": "tcp:127.0.0.1:9101"}, "node.upstream", "node.admin"),
        ({"upstream": "unix:a.sock", "listen": '["unix:a.sock"]'}, "node.upstream", ""),
    ],
)  # fmt: skip
def test_a_node_with_a_place_that_cannot_be_used(folder: Path, changed: dict[str, str], key: str, why: str) -> None:
    error = error_of(folder, NODE.format(**GOOD_NODE | changed))
    assert error is not None
    assert error.key == key
    assert why in str(error)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"state": "a.folder"},
        {"state": "a.folder/b/c"},
        {"store": "sqlite:///good.db"},
        {"store": "sqlite:///empty.db"},
        {"store": "sqlite:///a.folder/new/copies.db"},
        {"listen": '["tcp:8080:interface=127.0.0.1", "tcp:8080:interface=127.0.0.2", "tcp:8081"]'},
        {"listen": '["tcp:8080", "tcp6:8080:interface=\\\\:\\\\:1"]'},
        {"listen": '["tcp:0", "tcp:0:backlog=5"]', "admin": "tcp:0"},
        {"listen": '["unix:a.sock", "unix:b.sock"]'},
        {"listen": '["systemd:domain=INET:index=0"]'},
        {"upstream": "tcp:10.0.0.1:8080"},
        {"upstream": "tcp:127.0.0.1:8080", "listen": '["tcp:8080:interface=10.0.0.1"]'},
        {"upstream": "tcp:app.example:8080"},
        {"upstream": "unix:app.sock"},
    ],
)
def test_a_node_with_places_that_can_be_used(folder: Path, changed: dict[str, str]) -> None:
    assert error_of(folder, NODE.format(**GOOD_NODE | changed)) is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"admin": "tcp:9200:interface=127.0.0.2"}, "crawler.admin"),
        ({"admin": "tcp:9200:interface=127.0.0.1"}, "crawler.admin"),
        ({"state": "a.file"}, "crawler.state_dir"),
        ({"archive": "a.file"}, "crawler.archive_dir"),
        ({"queue": "sqlite:///a.folder"}, "crawler.queue"),
        ({"queue": "sqlite:///a.file"}, "crawler.queue"),
    ],
)
def test_a_crawler_with_a_place_that_cannot_be_used(folder: Path, changed: dict[str, str], key: str) -> None:
    assert error_of(folder, CRAWLER.format(**GOOD_CRAWLER)) is None
    error = error_of(folder, CRAWLER.format(**GOOD_CRAWLER | changed))
    assert error is not None
    assert error.key == key


def test_a_folder_that_cannot_be_written_to(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For root everything is writable, so the answer of the system is replaced.
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != folder / "a.folder")
    for state in ("a.folder", "a.folder/state"):
        error = error_of(folder, NODE.format(**GOOD_NODE | {"state": state}))
        assert error is not None
        assert "not writable" in str(error)


def test_defaults_are_checked_too(folder: Path) -> None:
    (folder / "state").write_text("")
    text = NODE.format(**GOOD_NODE).replace('state_dir = "state"\n', "").replace('admin = "tcp:9101', '#"')
    error = error_of(folder, text)
    assert error is not None
    assert error.key == "node.state_dir"
    (folder / "state").unlink()
    error = error_of(folder, text.replace("8080", "9101"))
    assert error is not None
    assert error.key == "node.admin"


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True)]
)
def test_a_secret_that_others_can_read_gives_a_warning(folder: Path, mode: int, warned: bool) -> None:
    (folder / "seal.key").write_bytes(b"k" * 32)
    (folder / "seal.key").chmod(mode)
    (folder / "farm.secret").chmod(mode)
    file = folder / "it.toml"
    file.write_text(NODE.format(**GOOD_NODE) + 'encryption_key_file = "seal.key"\n')
    found = config.warnings(read_any(file))
    assert [key for key, _ in found] == ["node.secret_file", "store.encryption_key_file"] * warned
    assert all(f"{mode:04o}" in warning for _, warning in found)
    file.write_text(CRAWLER.format(**GOOD_CRAWLER))
    assert [key for key, _ in config.warnings(read_any(file))] == ["crawler.secret_file"] * warned
