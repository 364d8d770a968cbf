"""``lbcompanion user`` and ``lbcompanion audit``: changes of the file of users, and the audit log of a queue."""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from attrs import evolve

from lbcompanion.crawler.access.passwords import (
    MAX_PASSWORD_BYTES,
    MIN_PASSWORD_CHARACTERS,
    PasswordHash,
    new_token,
    token_hash,
)
from lbcompanion.crawler.access.users_file import (
    NAME_ALLOWED,
    User,
    UsersFileError,
    change_users,
    is_name,
    read_users,
)
from lbcompanion.crawler.queue.audit import AuditLine, AuditLog
from lbcompanion.crawler.queue.database import BacklogError, Database, open_engine, queue_file
from lbcompanion.errors import CompanionError
from lbcompanion.settings import CrawlerSettings

_MAX_LINES = 1000


class UserCommandFailed(CompanionError):
    """The users were not changed; the text says why."""


class UserCommands:
    """Changes the users of a crawler. Each change gets a line in the audit log.

    :param warn: is called with a text if a change is not in the audit log.
    """

    def __init__(self, settings: CrawlerSettings, warn: Callable[[str], None]) -> None:
        if settings.crawler.users_file is None:
            raise UserCommandFailed('set [crawler] users_file in the configuration first, such as users_file = "users"')
        self.path = settings.crawler.users_file
        self._queue = settings.crawler.queue
        self._warn = warn

    def users(self) -> list[User]:
        """Return the users in order of their names."""
        users = read_users(self.path) if self.path.exists() else {}
        return [users[name] for name in sorted(users)]

    def check_new(self, name: str) -> None:
        """Refuse the name of a new user before the password is asked for.

        :raises UserCommandFailed: if it is not allowed, or there is such a user.
        """
        if not is_name(name):
            raise UserCommandFailed(f"{name!r} is not allowed as a name; allowed: {NAME_ALLOWED}")
        if any(each.name == name for each in self.users()):
            raise UserCommandFailed(f"there is a user {name} already")

    def check_known(self, name: str) -> None:
        """Refuse the name of a user that does not exist.

        :raises UserCommandFailed: if there is no such user.
        """
        if all(each.name != name for each in self.users()):
            raise UserCommandFailed(f"there is no user {name} in {self.path}")

    def add(self, name: str, role: str, password: str | None) -> str:
        """Add a user with a password, or with an access token, which is returned."""
        self.check_new(name)
        token = new_token() if password is None else ""
        hashed = _hashed(password) if password is not None else None

        def change(users: dict[str, User]) -> None:
            if name in users:
                raise UserCommandFailed(f"there is a user {name} already")
            users[name] = User(name, role, hashed, token_hash(token) if token else "")

        change_users(self.path, change)
        self._log("add user", f"{name}, {role}, with {'a token' if token else 'a password'}")
        return token

    def remove(self, name: str) -> None:
        """Remove a user."""
        self._change(name, lambda users: users.__delitem__(name))
        self._log("remove user", name)

    def set_password(self, name: str, password: str) -> None:
        """Give a user another password; the user's sessions end."""
        hashed = _hashed(password)
        self._change(name, lambda users: users.update({name: evolve(users[name], password=hashed)}))
        self._log("set password", name)

    def set_token(self, name: str) -> str:
        """Give a user another access token, and return it; the old one is no longer accepted."""
        token = new_token()
        self._change(name, lambda users: users.update({name: evolve(users[name], token=token_hash(token))}))
        self._log("set token", name)
        return token

    def set_role(self, name: str, role: str) -> None:
        """Give a user another role."""
        self._change(name, lambda users: users.update({name: evolve(users[name], role=role)}))
        self._log("set role", f"{name}, {role}")

    def _change(self, name: str, change: Callable[[dict[str, User]], None]) -> None:
        def checked(users: dict[str, User]) -> None:
            if name not in users:
                raise UserCommandFailed(f"there is no user {name} in {self.path}")
            change(users)

        change_users(self.path, checked)

    def _log(self, action: str, detail: str) -> None:
        try:
            with _audit_log(self._queue) as log:
                log.write(AuditLine(_who(), "command", "", action, detail=detail), time.time())
        except (BacklogError, UsersFileError) as failure:
            self._warn(f"the change is made, but it is not in the audit log: {failure}")


def audit_lines(settings: CrawlerSettings, limit: int, filters: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the newest lines of the audit log.

    :raises CompanionError: if the queue cannot be read.
    """
    with _audit_log(settings.crawler.queue) as log:
        return log.entries(min(limit, _MAX_LINES), None, filters)


@contextmanager
def _audit_log(queue: str) -> Iterator[AuditLog]:
    file = queue_file(queue)
    if file is not None and not file.is_file():
        raise BacklogError(f"there is no queue {file} yet; the crawler makes it when it starts")
    database = Database(open_engine(queue))
    try:
        database.open()
        yield AuditLog(database)
    finally:
        database.close()


def _hashed(password: str) -> PasswordHash:
    if len(password) < MIN_PASSWORD_CHARACTERS:
        raise UserCommandFailed(f"the password is too short; allowed: {MIN_PASSWORD_CHARACTERS} characters or more")
    if len(password.encode("utf-8", "surrogatepass")) > MAX_PASSWORD_BYTES:
        raise UserCommandFailed(f"the password is too long; allowed: {MAX_PASSWORD_BYTES} bytes at most")
    return PasswordHash.of(password)


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
