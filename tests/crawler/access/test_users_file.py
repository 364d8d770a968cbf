from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from lbcompanion.crawler.access.passwords import Cost, PasswordHash, token_hash
from lbcompanion.crawler.access.users_file import (
    MAX_BYTES,
    User,
    UsersFile,
    UsersFileError,
    change_users,
    is_name,
    parse_users,
    read_users,
)

HASH = PasswordHash.of("a password", Cost(2, 1, 1))


def add(path: Path, *users: User) -> None:
    change_users(path, lambda found: found.update({user.name: user for user in users}))


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "users"
    users = {"a": User("a", "viewer", HASH), "b@c": User("b@c", "operator", None, token_hash("x"))}
    add(path, *users.values())
    assert read_users(path) == users
    assert path.stat().st_mode & 0o777 == 0o600
    assert b"a password" not in path.read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "[]",
        "null",
        '"a"',
        '{"name": "a"}',
        '{"name": "a", "role": "admin"}',
        '{"name": "a b", "role": "viewer"}',
        '{"name": "", "role": "viewer"}',
        '{"name": 1, "role": "viewer"}',
        '{"name": "a", "role": "viewer", "extra": "1"}',
        '{"name": "a", "role": "viewer", "password": "secret"}',
        '{"name": "a", "role": "viewer", "password": null}',
        '{"name": "a", "role": "viewer", "token": "secret"}',
        '{"name": "a", "role": "viewer", "token": "sha256:"}',
        '{"name": "a", "role": "viewer"}\n{"name": "a", "role": "operator"}',
        "[" * 100_000,
    ],
)
def test_a_wrong_line(line: str) -> None:
    with pytest.raises(UsersFileError, match=r"line [12]") as refused:
        parse_users(line)
    assert "secret" not in str(refused.value)


def test_comments_and_empty_lines() -> None:
    assert parse_users('# people\n\n{"name": "a", "role": "viewer"}\n') == {"a": User("a", "viewer")}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610, 0o777])
def test_rights(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "users"
    add(path, User("a", "viewer", HASH))
    path.chmod(mode)
    with pytest.raises(UsersFileError, match=f"{mode:04o}.*chmod 600"):
        read_users(path)
    with pytest.raises(UsersFileError, match="chmod 600"):
        add(path, User("b", "viewer", HASH))


def test_what_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsersFileError, match="no such file"):
        read_users(tmp_path / "none")
    with pytest.raises(UsersFileError):
        read_users(tmp_path)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe, 0o600)
    with pytest.raises(UsersFileError, match="not a file"):
        read_users(pipe)
    large = tmp_path / "large"
    large.touch(0o600)
    os.truncate(large, MAX_BYTES + 1)
    with pytest.raises(UsersFileError, match="bytes"):
        read_users(large)
    binary = tmp_path / "binary"
    binary.touch(0o600)
    binary.write_bytes(b"\xff")
    with pytest.raises(UsersFileError, match="UTF-8"):
        read_users(binary)


def test_a_change_that_fails_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "users"
    add(path, User("a", "viewer", HASH))
    before = path.read_bytes()

    def fails(users: dict[str, User]) -> None:
        users.clear()
        raise UsersFileError("no")

    with pytest.raises(UsersFileError, match="no"):
        change_users(path, fails)
    assert path.read_bytes() == before


def test_changes_at_once_are_all_made(tmp_path: Path) -> None:
    path = tmp_path / "users"
    threads = [threading.Thread(target=add, args=(path, User(f"u{number}", "viewer"))) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_users(path)) == 8


def test_a_change_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "users"
    file = UsersFile(path)
    with pytest.raises(UsersFileError):
        file.users()
    add(path, User("a", "viewer", HASH, token_hash("one")))
    assert list(file.users()) == ["a"]
    assert file.users() is file.users()
    assert file.of_token("one") == file.users()["a"]
    assert file.of_token("") is None
    change_users(path, lambda users: users.clear())
    assert file.of_token("one") is None
    path.write_text(json.dumps({"name": "b", "role": "viewer"}))
    assert list(file.users()) == ["b"]
    path.write_text("broken")
    with pytest.raises(UsersFileError):
        file.users()
    with pytest.raises(UsersFileError):
        file.of_token("one")


def test_names() -> None:
    assert all(map(is_name, ("a", "a.b-c_d@example.com", "x" * 64)))
    assert not any(map(is_name, ("", "x" * 65, "a b", "a\n", "é", "a,b", "a:b", "a/b")))
