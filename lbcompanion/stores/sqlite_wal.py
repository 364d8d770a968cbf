"""Switches a SQLite database to write-ahead logging (WAL), and waits for other connections while it does so."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable

_PAUSE_SECONDS = 0.01


def use_wal(connection: sqlite3.Connection, seconds: float, sleep: Callable[[float], None] = time.sleep) -> None:
    """Switch to WAL; later connections find the database switched.

    SQLite's busy timeout does not help here: if another connection holds the write lock, or switches too, the statement
    fails at once, because two connections that wait for each other would never end.

    :param seconds: how long to try again while another connection has the lock.
    :raises sqlite3.OperationalError: if the database is still locked then, or fails otherwise.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
        except sqlite3.OperationalError as failure:
            # The low byte of the code is the primary result code.
            if failure.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            sleep(_PAUSE_SECONDS)
        else:
            return
