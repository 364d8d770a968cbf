"""Folders and files that cannot be used: the error names the file and the key, and nothing is opened."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion import config
from lbcompanion.config import read_any
from tests.support.checked_configuration import (
    CRAWLER,
    GOOD_CRAWLER,
    GOOD_NODE,
    NODE,
    assert_crawler_error,
    error_of,
    folder_with_files,
)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    return folder_with_files(tmp_path)


@pytest.mark.parametrize(
    ("changed", "key", "why"),
    [
        ({"state": "a.file"}, "node.state_dir", "not a folder"),
        ({"state": "a.file/state"}, "node.state_dir", "a.file is not a folder"),
        ({"store": "sqlite:///a.folder"}, "store.url", "a folder"),
        ({"store": "sqlite:///a.file"}, "store.url", "not an SQLite database"),
        ({"store": "sqlite:///a.file/copies.db"}, "store.url", "not a folder"),
        ({"store": "sqlite:///pipe"}, "store.url", "not a file"),
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
    ],
)
def test_a_node_with_places_that_can_be_used(folder: Path, changed: dict[str, str]) -> None:
    assert error_of(folder, NODE.format(**GOOD_NODE | changed)) is None


@pytest.mark.parametrize(
    ("changed", "key"),
    [
        ({"state": "a.file"}, "crawler.state_dir"),
        ({"archive": "a.file"}, "crawler.archive_dir"),
        ({"queue": "sqlite:///a.folder"}, "crawler.queue"),
        ({"queue": "sqlite:///a.file"}, "crawler.queue"),
    ],
)
def test_a_crawler_with_a_place_that_cannot_be_used(folder: Path, changed: dict[str, str], key: str) -> None:
    assert_crawler_error(folder, changed, key)


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
    ("mode", "warned"),
    [(0o600, False), (0o400, False), (0o640, True), (0o604, True), (0o644, True), (0o620, True), (0o602, True)],
)
def test_a_secret_that_others_can_read_or_write_gives_a_warning(folder: Path, mode: int, warned: bool) -> None:
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


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, True), (0o644, True)])
def test_a_secret_in_the_configuration_itself_counts_too(folder: Path, mode: int, warned: bool) -> None:
    file = folder / "it.toml"
    file.write_text(NODE.format(**GOOD_NODE | {"store": "redis://:it%2Fself@redis/0"}))
    file.chmod(mode)
    assert [key for key, _ in config.warnings(read_any(file))] == ["store.url"] * warned
    file.write_text(NODE.format(**GOOD_NODE | {"store": "redis://user@redis/0"}))
    assert config.warnings(read_any(file)) == []
    queue = {"queue": "postgresql://lbc:itself@db/queue"}
    file.write_text(CRAWLER.format(**GOOD_CRAWLER | queue) + 'key = "of the balancer"\n')
    assert [key for key, _ in config.warnings(read_any(file))] == ["crawler.queue", "sites.main.key"] * warned
