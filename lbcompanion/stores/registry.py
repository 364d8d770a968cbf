"""Opens the store that a URL names; the only module that knows all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from lbcompanion import checks
from lbcompanion.errors import ConfigError, InvalidValue
from lbcompanion.model import WallClock
from lbcompanion.settings import StoreTable
from lbcompanion.stores import urls
from lbcompanion.stores.encryption import EncryptedStore
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.threads import DeferToThread

#: Opens a store for a checked URL, without connecting.
Provider = Callable[[str, StoreTable, WallClock, DeferToThread], IPageStore]

_SQLITE_BUSY_SECONDS = 5.0


def _open_memory(url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    return MemoryStore(settings, now)


# SQLAlchemy is imported by those who need it only: it takes a quarter of a node's start.


def _open_sqlite(url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    from sqlalchemy.engine import make_url  # noqa: PLC0415 - see above

    from lbcompanion.stores import engines  # noqa: PLC0415
    from lbcompanion.stores.sql import SqlStore  # noqa: PLC0415

    return SqlStore(engines.sqlite(make_url(url), _SQLITE_BUSY_SECONDS), settings, now, defer_to_thread)


def _open_postgresql(url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    from lbcompanion.stores import engines  # noqa: PLC0415 - see above
    from lbcompanion.stores.sql import SqlStore  # noqa: PLC0415

    return SqlStore(engines.postgresql(url), settings, now, defer_to_thread)


def _open_mysql(url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    from lbcompanion.stores import engines  # noqa: PLC0415 - see above
    from lbcompanion.stores.sql import SqlStore  # noqa: PLC0415

    return SqlStore(engines.mysql(url), settings, now, defer_to_thread)


def _open_redis(url: str, settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    from lbcompanion.stores.redis import RedisStore  # noqa: PLC0415 - the driver is an extra, which may not be installed

    return RedisStore(url, settings, now, defer_to_thread)


#: Scheme, as :func:`lbcompanion.stores.urls.store_url` leaves it, to provider.
PROVIDERS: Mapping[str, Provider] = {
    "memory": _open_memory,
    "sqlite": _open_sqlite,
    "redis": _open_redis,
    "rediss": _open_redis,
    "postgresql": _open_postgresql,
    "mysql": _open_mysql,
}


def open_store(settings: StoreTable, now: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    """Open the store that ``settings.url`` names, with encryption if a key file is configured.

    This does not connect: if a server is unreachable, the Deferreds of the store's methods fail.

    :param now: seconds since the epoch.
    :param defer_to_thread: runs blocking work in a thread (:class:`~lbcompanion.stores.threads.SingleThread`).
    :raises ConfigError: if the URL or the key file cannot be used, or a driver is missing.
    """
    try:
        url = urls.store_url(settings.url, Path())
    except InvalidValue as error:
        raise ConfigError("", "store.url", error.shown_value or "no URL", error.allowed) from None
    store = PROVIDERS[url.partition(":")[0]](url, settings, now, defer_to_thread)
    if settings.encryption_key_file is None:
        return store
    try:
        key = checks.read_secret(settings.encryption_key_file)
    except InvalidValue as error:
        raise ConfigError("", "store.encryption_key_file", error.shown_value or "no key", error.allowed) from None
    return EncryptedStore(store, key)
