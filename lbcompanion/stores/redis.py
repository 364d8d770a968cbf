"""``redis:`` and ``rediss:``: copies in a Redis or Valkey server, which all nodes may share.

The server executes the scripts of :mod:`~lbcompanion.stores.redis_scripts`. All waiting requests go to the server in
one pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from hashlib import sha1
from math import ceil, inf
from typing import Any

from attrs import frozen
from redis import ConnectionPool
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from lbcompanion.errors import PageRefused, StoreError, StoreUnreachable, StoreUnwritable
from lbcompanion.model import PAGE_METADATA, Miss, MissReason, Page, WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores.engines import CONNECT_SECONDS, STATEMENT_SECONDS
from lbcompanion.stores.expiry import expiry_bounds, grace_seconds
from lbcompanion.stores.redis_scripts import SCRIPTS
from lbcompanion.stores.remote import BatchedStore, RemoteBackend, Request
from lbcompanion.stores.threads import DeferToThread

#: Redis itself deletes a copy this long after its expiry. A node normally removes it before, and writes a tombstone.
PAGE_MARGIN_SECONDS = 5
#: How long tombstones and counters outlive the last copy if no node uses the store any more.
TOMBSTONE_SECONDS = 86400

#: The fields of a page except its token.
_FIELDS = (*(name for name in PAGE_METADATA if name != "token"), "body", "sha256", "head")
_SHAS = {name: sha1(text.encode(), usedforsecurity=False).hexdigest().encode() for name, text in SCRIPTS.items()}
_MAX_MESSAGE_CHARS = 200


class RedisStore(BatchedStore):
    """A store in Redis.

    :param url: a URL for redis-py.
    """

    def __init__(self, url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> None:
        super().__init__(_RedisBackend(url, settings), settings, now, defer_to_thread)


@frozen
class _Command:
    """A script call, and the function that reads its reply."""

    verb: str
    arguments: Sequence[Any]
    read: Callable[[Any], object]


class _Commands:
    """Makes script calls of requests."""

    def __init__(self, settings: StoreTable) -> None:
        self._settings = settings
        grace = grace_seconds(settings)
        self._grace = -1.0 if grace is None else float(grace)
        self._limits = (settings.max_pages, settings.max_bytes, ceil((settings.max_seconds + TOMBSTONE_SECONDS) * 1000))
        self._page_ttl_ms = ceil((settings.max_seconds + PAGE_MARGIN_SECONDS) * 1000)

    def command_for(self, request: Request) -> _Command:
        """Return the script call for a request.

        :raises UnicodeEncodeError: if a text of the page cannot be encoded as UTF-8.
        """
        arguments, read = self._verb_arguments(request)
        settings, now = self._settings, request.now
        stored_bound, sent_bound = expiry_bounds(settings, now)
        bounds = (repr(stored_bound), repr(-inf if sent_bound is None else sent_bound))
        head = (repr(now), repr(float(settings.max_seconds)), repr(self._grace), *bounds, *self._limits)
        token = (request.token,) if request.token else ()
        return _Command(request.verb, (*head, *token, *arguments), read)

    def _verb_arguments(self, request: Request) -> tuple[Sequence[Any], Callable[[Any], object]]:
        page, miss = request.page, request.miss
        if page is not None:
            values = [part for name in _FIELDS for part in (name, _encode(getattr(page, name)))]
            return (page.size, self._page_ttl_ms, *values), _read_none
        if miss is not None:
            return ("\0".join((miss.reason.value, miss.detail, miss.owner)),), _read_none
        if request.verb in {"find", "take"}:
            return _FIELDS, lambda found: _read_page_or_miss(request.token, found)
        return (), _DECODERS[request.verb]


class _RedisBackend(RemoteBackend):
    """One blocking connection to Redis."""

    def __init__(self, url: str, settings: StoreTable) -> None:
        super().__init__()
        # RemoteBackend does the retries.
        self._pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=CONNECT_SECONDS,
            socket_timeout=STATEMENT_SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        self._commands = _Commands(settings)
        self._connection: Any = None
        self._counters = {"put": 0, "evicted": 0, "expired": 0, "pulled": 0}

    @property
    def is_open(self) -> bool:
        """Whether there is a connection. It may be broken without our knowledge."""
        return self._connection is not None

    def attempt(self, requests: Sequence[Request]) -> list[object]:
        """Send all requests, then read all replies."""
        try:
            commands = [self._command_of(request) for request in requests]
            replies = self._pipeline(
                [(b"EVALSHA", _SHAS[command.verb], 0, *command.arguments) for command in commands if command]
            )
        except (RedisError, OSError) as error:
            # A replica answers reads, and so an empty sweep.
            kind = StoreUnwritable if isinstance(error.__cause__, ReadOnlyError) else StoreUnreachable
            raise kind(_safe_message(error)) from error
        refused = PageRefused("a page with text that cannot be encoded in UTF-8")
        return [refused if command is None else self._read(command, next(replies)) for command in commands]

    def _command_of(self, request: Request) -> _Command | None:
        try:
            return self._commands.command_for(request)
        except UnicodeEncodeError:
            return None

    def disconnect(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(RedisError, OSError):
                connection.disconnect()

    def _pipeline(self, commands: Iterable[tuple[Any, ...]]) -> Any:
        connection = self._connect()
        batch = list(commands)
        connection.send_packed_command(connection.pack_commands(batch))
        # Read all replies before raising an error; otherwise the next request would read the rest.
        return iter([_reply(connection) for _ in batch])

    def _connect(self) -> Any:
        if self._connection is None:
            connection: Any = self._pool.make_connection()
            try:
                connection.connect()
                connection.send_packed_command(
                    connection.pack_commands([("SCRIPT", "LOAD", text) for text in SCRIPTS.values()])
                )
                for sha in _SHAS.values():
                    loaded = connection.read_response()
                    assert loaded in (sha, sha.decode())
            except BaseException:
                with suppress(RedisError, OSError):
                    connection.disconnect()
                raise
            self._connection = connection
        return self._connection

    def _read(self, command: _Command, reply: Any) -> object:
        if isinstance(reply, ResponseError):
            return StoreError(_safe_message(reply))
        expired, pulled, evicted, value = reply
        for name, number in (("expired", expired), ("pulled", pulled), ("evicted", evicted)):
            self._counters[name] += number
        if command.verb == "put":
            self._counters["put"] += 1
        result = command.read(value)
        return {**result, **self._counters} if isinstance(result, dict) else result


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response(disable_decoding=True)
    except (NoScriptError, ReadOnlyError) as error:
        # The scripts were flushed, or the server became a replica. A new connection loads the scripts, or reaches
        # another server.
        raise RedisConnectionError(str(error)) from error
    except ResponseError as error:
        return error


def _encode(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else repr(value)).encode()


def _read_page_or_miss(token: str, found: Any) -> Page | Miss:
    if found is None:
        return Miss(MissReason.UNKNOWN)
    if isinstance(found, bytes):
        reason, *details = found.decode().split("\0")
        return Miss(MissReason(reason), *details)
    values = dict(zip(_FIELDS, found, strict=True))
    return Page(
        token=token,
        url=values["url"].decode(),
        method=values["method"].decode(),
        status=int(values["status"]),
        content_type=values["content_type"].decode(),
        captured_at=float(values["captured_at"]),
        body=values["body"],
        sha256=values["sha256"],
        # A copy that a node of an earlier version stored has no head.
        head=values["head"] or b"",
    )


def _read_none(_: object) -> None:
    return None


def _read_url(found: Any) -> str:
    return found.decode() if isinstance(found, bytes) else ""


def _read_tokens(found: Sequence[bytes]) -> list[str]:
    return [token.decode() for token in found]


def _read_totals(found: Sequence[Any]) -> dict[str, int]:
    return {"pages": int(found[0]), "bytes": int(found[1])}


#: Decoders of replies that need nothing else.
_DECODERS: Mapping[str, Callable[[Any], object]] = {
    "url": _read_url,
    "sent": _read_none,
    "drop": bool,
    "sweep": int,
    "tokens": _read_tokens,
    "stats": _read_totals,
}


def _safe_message(error: Exception) -> str:
    """The error as a message. Errors of Redis and of the system contain no arguments, so no page data."""
    if isinstance(error, RedisTimeoutError):
        return "the store's Redis does not answer"
    message = " ".join(str(error).split())[:_MAX_MESSAGE_CHARS] or type(error).__name__
    return f"the store's Redis {'cannot be used' if isinstance(error, RedisConnectionError) else 'refuses'}: {message}"
