"""The file of users: one JSON object a line, readable by its owner only.

The commands replace the file as a whole, under a lock. A running crawler reads it again when it has changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from lbcompanion.crawler.access.passwords import BadHash, PasswordHash, token_hash
from lbcompanion.crawler.access.roles import USER_ROLES
from lbcompanion.errors import CompanionError

NAME_ALLOWED = "1 to 64 letters, digits, ., _, @ or -"
#: The largest file: some thousands of users.
MAX_BYTES = 1 << 20

_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}", re.ASCII)
_HEX = re.compile(r"[0-9a-f]{64}")


class UsersFileError(CompanionError):
    """The file of users cannot be read or written, or a change is not possible; the text says why."""


@frozen
class User:
    """One user. A person has a password, a program a token; a user may have both.

    :ivar token: SHA-256 of the token, or empty.
    """

    name: str
    role: str
    password: PasswordHash | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)

    @property
    def stamp(self) -> str:
        """A text that changes with the password; a session ends when it changes."""
        return token_hash(str(self.password))

    def to_json(self) -> str:
        """Write the line of the file."""
        values = {"name": self.name, "role": self.role}
        values |= {"password": str(self.password)} if self.password else {}
        values |= {"token": f"sha256:{self.token}"} if self.token else {}
        return json.dumps(values)


Users = Mapping[str, User]


def is_name(name: str) -> bool:
    """Whether a user may have this name."""
    return _NAME.fullmatch(name) is not None


def parse_users(text: str) -> dict[str, User]:
    """Read the users of a file's content.

    :raises UsersFileError: if a line is wrong; the text has the line's number, never its content.
    """
    users: dict[str, User] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        try:
            user = _user(json.loads(line))
        except (ValueError, RecursionError):
            raise UsersFileError(f'line {number} has to be a JSON object with "name" and "role"') from None
        except BadHash as error:
            raise UsersFileError(f"line {number}: {error}") from None
        if user.name in users:
            raise UsersFileError(f"line {number}: there is a user {user.name} in an earlier line")
        users[user.name] = user
    return users


def _user(given: Any) -> User:
    """Read one user; a ValueError says that the line has another form."""
    known = {"name", "role", "password", "token"}
    if not isinstance(given, dict) or set(given) - known or not all(isinstance(each, str) for each in given.values()):
        raise ValueError
    name, role, token = given.get("name", ""), given.get("role", ""), given.get("token", "")
    hashed = token.removeprefix("sha256:")
    if not is_name(name) or role not in USER_ROLES or (token and (hashed == token or not _HEX.fullmatch(hashed))):
        raise ValueError
    password = PasswordHash.parse(given["password"]) if "password" in given else None
    return User(name, role, password, hashed)


def read_users(path: Path) -> dict[str, User]:
    """Read a file of users.

    :raises UsersFileError: if it is missing, if others can read it, or if it is wrong.
    """
    return _read(path)[0]


def _read(path: Path) -> tuple[dict[str, User], tuple[int, ...]]:
    try:
        # A named pipe must not block: O_NONBLOCK.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            status = os.fstat(file.fileno())
            if why := _not_private(status):
                raise UsersFileError(f"{path}: {why}")
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsersFileError(f"{path}: there is no such file; make it with: lbcompanion user add") from None
    except OSError as error:
        raise UsersFileError(f"{path}: {error.strerror}") from None
    if len(content) > MAX_BYTES:
        raise UsersFileError(f"{path}: has more than {MAX_BYTES} bytes")
    try:
        return parse_users(content.decode("utf-8")), _version(status)
    except UnicodeDecodeError:
        raise UsersFileError(f"{path}: is not UTF-8") from None
    except UsersFileError as error:
        raise UsersFileError(f"{path}: {error}") from None


def _not_private(status: os.stat_result) -> str:
    mode = stat.S_IMODE(status.st_mode)
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if mode & 0o077:
        return f"has mode {mode:04o}; its group and others must have no rights: chmod 600"
    if status.st_uid not in (os.geteuid(), 0):
        return f"belongs to the user {status.st_uid}; it has to belong to the user {os.geteuid()} that runs the crawler"
    return ""


def _version(status: os.stat_result) -> tuple[int, ...]:
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


class UsersFile:
    """The users of a running crawler. The file is read again when it has changed.

    :ivar path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._version: tuple[int, ...] | None = None
        self._users: dict[str, User] = {}
        self._by_token: dict[str, User] = {}

    def users(self) -> Users:
        """Return the present users.

        :raises UsersFileError: if the file cannot be used. Then nobody may be let in.
        """
        try:
            status = self.path.stat()
        except OSError:
            status = None
        if status is None or self._version != _version(status):
            self._version = None
            self._users, self._version = _read(self.path)
            self._by_token = {user.token: user for user in self._users.values() if user.token}
        return self._users

    def of_token(self, token: str) -> User | None:
        """Return the user of an access token.

        :raises UsersFileError: if the file cannot be used.
        """
        self.users()
        return self._by_token.get(token_hash(token))


def change_users(path: Path, change: Callable[[dict[str, User]], None]) -> None:
    """Change the users, under a lock, and replace the file; a missing file is made.

    :param change: changes the users in place; if it raises, nothing is changed.
    :raises UsersFileError: if the file cannot be read or written.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(path):
            users = read_users(path) if path.exists() else {}
            change(users)
            _replace(path, "".join(f"{user.to_json()}\n" for user in users.values()))
    except OSError as error:
        raise UsersFileError(f"{path}: cannot be written: {error.strerror}") from None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("a+b") as lock:
        os.fchmod(lock.fileno(), 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, text: str) -> None:
    content = text.encode()
    if len(content) > MAX_BYTES:
        raise UsersFileError(f"{path}: would have more than {MAX_BYTES} bytes")
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
