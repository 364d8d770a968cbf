"""The sessions of users that logged in with a password. They are kept in memory: a restart ends them."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable

from attrs import evolve, frozen

from lbcompanion.crawler.access.passwords import token_hash
from lbcompanion.crawler.access.users_file import User, Users

#: How many sessions there are at most, and how many of one user; the ones that were used least recently end.
MAX_SESSIONS, MAX_SESSIONS_OF_USER = 10_000, 32


@frozen
class Session:
    """One session.

    :ivar stamp: of the user's password at the log-in.
    """

    name: str
    stamp: str
    began_at: float
    used_at: float


class Sessions:
    """The sessions, by the hash of their id: a copy of the memory shows no id.

    :param idle_seconds: a session ends when it has not been used for this time.
    :param max_seconds: a session ends this time after the log-in.
    :param clock: seconds that only increase.
    """

    def __init__(self, *, idle_seconds: float, max_seconds: float, clock: Callable[[], float]) -> None:
        self._idle_seconds = idle_seconds
        self._max_seconds = max_seconds
        self._clock = clock
        self._sessions: OrderedDict[str, Session] = OrderedDict()  # the one that was used last is at the end

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user: User) -> str:
        """Begin a session, and return its id, which is new at each log-in."""
        now = self._clock()
        self._forget_ended(now)
        of_user = [key for key, session in self._sessions.items() if session.name == user.name]
        for key in of_user[: max(len(of_user) - MAX_SESSIONS_OF_USER + 1, 0)]:
            del self._sessions[key]
        while len(self._sessions) >= MAX_SESSIONS:
            self._sessions.popitem(last=False)
        given = secrets.token_urlsafe(32)
        self._sessions[token_hash(given)] = Session(user.name, user.stamp, now, now)
        return given

    def find(self, given: str, users: Users) -> User | None:
        """Return the user of a session, and note that it is used.

        A session ends with its time, and when its user is removed or gets another password.
        """
        key, now = token_hash(given), self._clock()
        session = self._sessions.get(key)
        if session is None:
            return None
        user = users.get(session.name)
        if user is None or user.stamp != session.stamp or self._has_ended(session, now):
            del self._sessions[key]
            return None
        self._sessions[key] = evolve(session, used_at=now)
        self._sessions.move_to_end(key)
        return user

    def end(self, given: str) -> None:
        """End a session."""
        self._sessions.pop(token_hash(given), None)

    def _has_ended(self, session: Session, now: float) -> bool:
        return now - session.used_at >= self._idle_seconds or now - session.began_at >= self._max_seconds

    def _forget_ended(self, now: float) -> None:
        while self._sessions:
            key, session = next(iter(self._sessions.items()))
            if not self._has_ended(session, now):
                return
            del self._sessions[key]
