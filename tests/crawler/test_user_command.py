from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest

from lbcompanion.crawler.access.users_file import UsersFileError
from lbcompanion.crawler.user_command import UserCommandFailed, UserCommands


def commands(folder: Path, queue: str, warned: list[str]) -> UserCommands:
    settings: Any = Mock()
    settings.crawler.users_file, settings.crawler.queue = folder / "users", queue
    return UserCommands(settings, warned.append)


def test_a_user_is_removed_though_the_queue_is_away(tmp_path: Path) -> None:
    warned: list[str] = []
    found = commands(tmp_path, f"sqlite:///{tmp_path}/none/queue", warned)
    found.add("ann", "viewer", None)
    found.remove("ann")
    assert found.users() == []
    assert len(warned) == 2


def test_a_broken_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "users").touch(0o600)
    (tmp_path / "users").write_text("mine")
    found = commands(tmp_path, "sqlite:///none", [])
    with pytest.raises(UsersFileError, match="line 1"):
        found.add("ann", "viewer", None)
    assert (tmp_path / "users").read_text() == "mine"


def test_without_a_file() -> None:
    settings: Any = Mock()
    settings.crawler.users_file = None
    with pytest.raises(UserCommandFailed, match="users_file"):
        UserCommands(settings, print)
