"""The client of a crawler's API."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lbcompanion.client.connection import ApiError, ClientError, Connection, NotReachable, check_whole
from lbcompanion.client.event_stream import LineTooLong, read_events
from lbcompanion.client.values import Erased, Missed, Outcome, Payload, Recording, Session, Version

_PIECE_BYTES, _STREAM_PIECE_BYTES = 1 << 20, 65536
_PAGE_SIZE = 500
#: A stream has a line every 15 seconds, or as ``[outcomes] heartbeat_seconds`` says.
_STREAM_TIMEOUT = 90.0
_FIRST_PAUSE_SECONDS, _MOST_PAUSE_SECONDS = 1.0, 60.0
_TOO_MANY = (429, 502, 503, 504)

#: The values of filters: texts, numbers (``status``) and times (``from_``, ``to``).
Filter = str | int | datetime


class Client:
    """The API of one crawler. An object may be used from several threads.

    The filters of its methods have the names of the API: ``url``, ``from_`` (an underline, because ``from`` is a word
    of Python), ``to``, ``node``, ``route``, ``outcome``, ``reason``, ``status``, ``method``, ``visitor``, ``title``
    and ``site``.

    :param url: the origin of the admin listener, such as ``http://127.0.0.1:9201``.
    :param token: the access token of ``lbcompanion user add --token``; empty where no log-in is configured.
    :param timeout: how long to wait for the connection and for each part of an answer, in seconds.
    :param ca_file: the only certificate authorities to trust, in PEM; None: those of the system.
    :param sleep: waits a number of seconds.
    :raises ValueError: if the URL is no origin of ``http`` or ``https``.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        timeout: float = 30.0,
        ca_file: Path | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._connection = Connection(url, token, timeout, ca_file)
        self._sleep = sleep

    def recordings(self, **filters: Filter) -> Iterator[Recording]:
        """Return recordings, the page that was viewed last first.

        :raises ClientError: if an answer is an error, or none came.
        """
        yield from map(Recording.read, self._listed("/api/recordings", "recordings", _query(filters)))

    def recording(self, token: str) -> Recording:
        """Return one recording.

        :raises ApiError: with status 404 if there is none.
        """
        return Recording.read(self._connection.json(f"/api/recordings/{quote(token, safe='')}"))

    def page(self, token: str) -> Payload:
        """Return the archived bytes of a recording.

        :raises ApiError: with status 404 if it is not archived.
        """
        with self._connection.open(f"/api/recordings/{quote(token, safe='')}/page") as response:
            return Payload(response.read(), response.getheader("Content-Type", "application/octet-stream"))

    def sessions(self, **filters: Filter) -> Iterator[Session]:
        """Return visitors' walks, the one with the last view first.

        :param filters: ``from_``, ``to`` and ``site``, of the last view.
        """
        yield from map(Session.read, self._listed("/api/sessions", "sessions", _query(filters)))

    def session(self, visitor: str) -> Iterator[Recording]:
        """Return the recordings of a visitor, in the order of the views.

        :param visitor: the pseudonym.
        """
        path = f"/api/sessions/{quote(visitor, safe='')}"
        yield from map(Recording.read, self._listed(path, "recordings", {}))

    def versions(self, url: str, **filters: Filter) -> list[Version]:
        """Return the versions of an address, the one that was viewed last first."""
        found: dict[str, Version] = {}
        for given in self._listed("/api/versions", "versions", {"url": url, **_query(filters)}):
            version = Version.read(given)
            known = found.get(version.sha256)
            found[version.sha256] = version if known is None else known.with_more(version)
        return sorted(found.values(), key=lambda version: version.last_at, reverse=True)

    def export(self, file: Path, *, token: str = "", visitor: str = "", **filters: Filter) -> int:
        """Write archived pages with their files to a WACZ file, and return its length in bytes.

        The file appears when it is complete. Only its owner may read it.

        :param token: export this recording only.
        :param visitor: export the walk of this visitor only.
        :raises ApiError: with status 404 if nothing is found.
        :raises OSError: if the file cannot be written.
        """
        path = "/api/export"
        if token:
            path = f"/api/recordings/{quote(token, safe='')}/export"
        elif visitor:
            path = f"/api/sessions/{quote(visitor, safe='')}/export"
        descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with open(descriptor, "wb") as new:
                for piece in self._pieces(path, _query(filters)):
                    new.write(piece)
                length = new.tell()
            os.replace(name, file)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(name)
            raise
        return length

    def erase(
        self,
        *,
        token: str | Sequence[str] = (),
        url: str | Sequence[str] = (),
        visitor: str | Sequence[str] = (),
        before: datetime | str = "",
        dry_run: bool = False,
    ) -> Erased:
        """Erase the recordings that fulfil all criteria that are given. The role operator is needed.

        :param before: erase what was viewed before this time.
        :param dry_run: only count them.
        :raises ApiError: with status 400 if no criterion is given.
        """
        given: dict[str, Any] = {"token": token, "url": url, "visitor": visitor, "before": _text(before)}
        body = {name: value if isinstance(value, str) else list(value) for name, value in given.items() if value}
        answer = self._connection.json("/api/erase", method="POST", body={**body, "dry_run": dry_run})
        return Erased.read(answer)

    def stream(
        self, after: str = "", *, seconds: int | None = None, max_failures: int | None = None, **filters: Filter
    ) -> Iterator[Outcome | Missed]:
        """Return recordings as they get their outcome, and wait for further ones.

        A lost connection is made again, and continues where it was, so nothing is missed and nothing comes twice. A
        program that has to continue after its own restart stores the ``id`` of the last value that it has worked off.

        :param after: the ``id`` of the last value; ``beginning``: all that are kept; empty: from now on.
        :param seconds: when to end; 0: after the outcomes that are there. None: never.
        :param max_failures: how many connections in a row may fail before an error is raised. None: any number, or none
            where ``seconds`` is given.
        :raises ApiError: if the crawler refuses the request. Too many streams are a failed connection.
        :raises NotReachable: after too many failures.
        """
        query, failures = _query(filters), 0
        if seconds is not None:
            query["seconds"] = str(seconds)
            max_failures = max_failures or 0
        while True:
            try:
                for position, value in self._stream_once(query, after):
                    after, failures = position, 0
                    if value is not None:
                        yield value
                if seconds is not None:
                    return
                pause = None
            except (ApiError, NotReachable) as failure:
                is_final = isinstance(failure, ApiError) and failure.status not in _TOO_MANY
                if is_final or (max_failures is not None and failures >= max_failures):
                    raise
                pause = failure.retry_after if isinstance(failure, ApiError) else None
            failures += 1
            doubled = min(_FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 10), _MOST_PAUSE_SECONDS)
            self._sleep(doubled if pause is None else pause)

    def _stream_once(self, query: dict[str, str], after: str) -> Iterator[tuple[str, Outcome | Missed | None]]:
        """Read one answer: the position, and the value unless only the position has changed."""
        given = {**query, "after": after} if after else query
        with self._connection.open("/api/recordings/stream", given, timeout=_STREAM_TIMEOUT) as response:
            try:
                # After a connection was cut, readline() of a response says that it ended; read1() raises an error.
                for event in read_events(partial(response.read1, _STREAM_PIECE_BYTES), after):
                    if event.data is None:
                        yield event.id, None
                    elif event.kind == "missed":
                        yield event.id, Missed(event.id)
                    elif event.kind == "recording":
                        yield event.id, Outcome(event.id, Recording.read(json.loads(event.data)))
            except LineTooLong as failure:
                raise ClientError(str(failure)) from None

    def _pieces(self, path: str, query: dict[str, str]) -> Iterator[bytes]:
        """Return the body of an answer in pieces. An error of the caller is no error of the connection."""
        with self._connection.open(path, query) as response:
            while piece := response.read(_PIECE_BYTES):
                yield piece
            check_whole(response)

    def _listed(self, path: str, member: str, query: dict[str, str]) -> Iterator[Any]:
        """Return the members of all pages of a listing."""
        query = {"limit": str(_PAGE_SIZE), **query}
        while True:
            answer = self._connection.json(path, query)
            yield from answer[member]
            if answer["next"] is None:
                return
            query["after"] = answer["next"]


def _query(filters: dict[str, Filter]) -> dict[str, str]:
    return {"from" if name == "from_" else name: _text(value) for name, value in filters.items()}


def _text(value: Filter) -> str:
    if not isinstance(value, datetime):
        return str(value)
    if value.tzinfo is None:
        raise ValueError("a time needs a zone, such as datetime.now(UTC)")
    return value.isoformat()
