"""A crawler's membership of a shared queue: it holds its name there, and receives notifications of other crawlers.

A lock in a database session of its own holds the name: PostgreSQL's advisory locks, GET_LOCK of MariaDB. The
server releases it when the connection ends, however the crawler ends. The session must not go through a proxy that
shares connections between transactions.
"""

from __future__ import annotations

import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, func, insert, select, text, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from lbcompanion.crawler.queue.database import CHANNEL, Database, database_clock
from lbcompanion.crawler.queue.schema import CRAWLERS
from lbcompanion.errors import CompanionError
from lbcompanion.stores import engines

#: The topic of :class:`~lbcompanion.crawler.health.Health`.
NAME = "the crawler's name is not held at the queue"

#: How long to wait for notifications until the stop is looked at, and how often the session is tested and noted.
_WAIT_SECONDS, _TEST_SECONDS = 0.5, 5.0
_RECONNECT_SECONDS = 1.0
#: How long a start waits for the name: the server may not have noticed yet that an earlier run was killed.
_JOIN_SECONDS = 3.0
#: The server finds out by these that a crawler's machine has vanished, and releases its name.
_KEEPALIVE = (
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 5",
    "SET tcp_keepalives_count = 2",
)


class CrawlerNameInUse(CompanionError):
    """Another crawler of the same name runs at the queue; the text names it."""


class Membership:
    """One crawler's membership.

    :param engine: makes the session; its pool must not keep connections (:func:`session_engine`).
    :param database: where the crawlers are listed.
    :param claimant: the name of this run.
    :param notified: called in the session's thread with a word for each notification of another crawler, and with an
        empty text after the session was made again, because notifications may have been missed.
    :param failed: called in the session's thread with a text while the name is not held, and with an empty one when it
        is held again.
    """

    def __init__(
        self,
        engine: Engine,
        database: Database,
        name: str,
        claimant: str,
        notified: Callable[[str], object],
        failed: Callable[[str], object],
    ) -> None:
        self._engine = engine
        self._database = database
        self._name = name
        self._claimant = claimant
        self._notified = notified
        self._failed = failed
        self._session: Connection | None = None
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_held(self) -> bool:
        """Whether the name is held, as far as this process knows."""
        return self._session is not None

    def join(self) -> None:
        """Take the name; blocking.

        :raises CrawlerNameInUse: if another crawler has it.
        :raises SQLAlchemyError: if the database fails.
        """
        until = time.monotonic() + _JOIN_SECONDS
        while not self._connect():
            if time.monotonic() >= until:
                raise CrawlerNameInUse(self._refusal())
            time.sleep(0.1)
        self._note_start()
        self._thread = threading.Thread(target=self._run, name="queue-membership", daemon=True)
        self._thread.start()

    def _refusal(self) -> str:
        with self._database.read() as connection:
            return (
                f'the queue is in use by another crawler of the name "{self._name}": {self._holder(connection)}; '
                "give each crawler of a queue a [crawler] name of its own"
            )

    def _holder(self, connection: Connection) -> str:
        first = connection.execute(select(CRAWLERS).where(CRAWLERS.c.name == self._name)).first()
        return f"process {first.process} on {first.host}" if first is not None else "one that did not write its host"

    def _note_start(self) -> None:
        with self._database.change() as connection:
            now = database_clock(connection)
            values = {
                "instance": self._claimant,
                "host": socket.gethostname()[:255],
                "process": os.getpid(),
                "started_at": now,
                "seen_at": now,
            }
            row = CRAWLERS.c.name == self._name
            if connection.execute(update(CRAWLERS).where(row).values(values)).rowcount == 0:
                connection.execute(insert(CRAWLERS).values(name=self._name, **values))

    def _connect(self) -> bool:
        """Make the session and take the name; returns whether that worked."""
        session = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            is_postgresql = session.dialect.name == "postgresql"
            for each in _KEEPALIVE if is_postgresql else ():
                session.execute(text(each))
            if not session.execute(select(_lock(session, self._name))).scalar():
                session.close()
                return False
            if is_postgresql:
                session.execute(text(f"LISTEN {CHANNEL}"))
        except BaseException:
            with suppress(SQLAlchemyError):
                session.close()
            raise
        self._session = session
        return True

    def _run(self) -> None:
        tested_at = time.monotonic()
        while not self._stopping.is_set():
            session = self._session
            try:
                if session is None:
                    self._rejoin()
                    tested_at = time.monotonic()
                    continue
                self._wait(session)
                if time.monotonic() - tested_at >= _TEST_SECONDS:
                    tested_at = time.monotonic()
                    now = database_clock(session)
                    session.execute(update(CRAWLERS).where(CRAWLERS.c.instance == self._claimant).values(seen_at=now))
            except Exception as failure:  # of many classes: the server's, the driver's, the network's
                with suppress(Exception):  # a defect in reporting it must not keep the name from being taken again
                    self._lost(failure)
                self._stopping.wait(_RECONNECT_SECONDS)
        self._close_session()

    def _wait(self, session: Connection) -> None:
        """Wait a moment for notifications; MariaDB does not send any."""
        if session.dialect.name != "postgresql":
            self._stopping.wait(_WAIT_SECONDS)
            return
        driver: Any = session.connection.driver_connection
        for notification in driver.notifies(timeout=_WAIT_SECONDS):
            what, _, sender = notification.payload.partition(" ")
            if sender != self._claimant:
                self._notified(what)

    def _rejoin(self) -> None:
        """Take the name again after the session was lost."""
        if self._connect():
            self._failed("")
            self._notified("")
        else:
            with self._engine.connect() as connection:
                why = f"the server has given it to {self._holder(connection)}"
            # After a broken connection it may be this process's own earlier session, for some seconds.
            self._failed(f"{why}; give each crawler of a queue a name of its own")
            self._stopping.wait(_RECONNECT_SECONDS)

    def _lost(self, failure: Exception) -> None:
        self._close_session()
        cause = getattr(failure, "orig", None) or failure
        self._failed(f"{engines.safe_cause(cause)}; see whether the server runs")

    def _close_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            with suppress(Exception):
                session.close()

    def leave(self) -> None:
        """End the session, which releases the name; blocking."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self._close_session()
        self._engine.dispose()


def session_engine(url: str) -> Engine:
    """Make the engine for the session at a database server."""
    return (engines.postgresql(url) if url.startswith("postgresql:") else engines.mysql(url)).engine


def _lock(session: Connection, name: str) -> Any:
    """The function that takes the lock of a name, without waiting: it returns whether the lock was taken."""
    digest = hashlib.blake2b(f"lbcompanion crawler {name}".encode(), digest_size=8).digest()
    if session.dialect.name == "postgresql":  # locks belong to a database
        return func.pg_try_advisory_lock(int.from_bytes(digest, "big", signed=True))
    return func.get_lock(func.concat(func.left(func.database(), 40), f".{digest.hex()}"), 0)
