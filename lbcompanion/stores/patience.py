"""A connection to PostgreSQL that does not wait for ever."""

from __future__ import annotations

from collections.abc import Generator
from time import monotonic
from typing import Any

import psycopg


class TimeoutConnection(psycopg.Connection[Any]):
    """Gives a server up that says nothing for too long.

    :ivar patience_seconds: for how long one answer may take.
    """

    timeout_seconds = 10.0

    def wait(self, gen: Generator[Any, Any, Any], *arguments: Any, **keywords: Any) -> Any:
        """As psycopg waits, which looks in on the generator ten times a second though nothing came."""
        return super().wait(self._bounded(gen), *arguments, **keywords)

    def _bounded(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        until = monotonic() + self.timeout_seconds
        ready = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as done:
                return done.value
            ready = yield wanted
            if monotonic() >= until:
                # So that nothing more is asked on it either.
                self.pgconn.finish()
                raise psycopg.OperationalError("the server does not answer")
