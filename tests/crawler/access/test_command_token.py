from __future__ import annotations

from pathlib import Path

from lbcompanion.crawler.access.command_token import read_command_token, write_command_token
from lbcompanion.crawler.access.passwords import token_hash


def test_a_new_token_at_each_start(tmp_path: Path) -> None:
    assert read_command_token(tmp_path) == ""
    first = write_command_token(tmp_path)
    assert token_hash(read_command_token(tmp_path)) == first
    assert (tmp_path / "admin.token").stat().st_mode & 0o777 == 0o600
    assert write_command_token(tmp_path) != first


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    assert write_command_token(tmp_path / "none") == ""
    (tmp_path / "admin.token").write_bytes(b"\xff")
    assert read_command_token(tmp_path) == ""
