"""Which store a URL names. The one place that knows all providers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from lbcompanion.errors import ConfigError
from lbcompanion.settings import StoreTable
from lbcompanion.stores.interface import IPageStore
from lbcompanion.stores.lifetime import WallClock
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.sealing import MIN_KEY_BYTES, SealedStore
from lbcompanion.stores.sql import SqlStore
from lbcompanion.stores.threads import DeferToThread

#: Opens a store; raises ``ConfigError`` for a URL that it cannot use, and fails for nothing else.
Provider = Callable[[StoreTable, WallClock, DeferToThread], IPageStore]

#: Schemes of the manual that this version does not bring.
NOT_YET = ("redis", "rediss", "valkey", "postgresql", "mysql", "mariadb", "mssql")

_KEY = "store.url"


def _open_memory(settings: StoreTable, clock: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    if settings.url.partition(":")[2].strip("/"):
        raise ConfigError("", _KEY, "memory: with something behind it", "memory: alone")
    return MemoryStore(settings, clock)


def _open_sqlite(settings: StoreTable, clock: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    return SqlStore(_sqlite_url(settings.url), settings, clock, defer_to_thread)


#: Scheme to provider.
PROVIDERS: Mapping[str, Provider] = {"memory": _open_memory, "sqlite": _open_sqlite}


def open_store(settings: StoreTable, clock: WallClock, defer_to_thread: DeferToThread) -> IPageStore:
    """Open the store that ``settings.url`` names, sealed where a key file is named.

    Nothing is connected yet: a database that cannot be reached shows in the Deferreds of the store.

    :param clock: seconds since the epoch.
    :param defer_to_thread: takes blocking work off the loop (:class:`~lbcompanion.stores.threads.OneThread`).
    :raises ConfigError: for a scheme, a URL or a key file that cannot be used.
    """
    store = _provider(settings.url)(settings, clock, defer_to_thread)
    if settings.encryption_key_file is None:
        return store
    return SealedStore(store, _read_key(settings.encryption_key_file))


def _provider(url: str) -> Provider:
    # What stands behind the scheme is never shown: it may hold a password.
    scheme = url.partition(":")[0]
    found = PROVIDERS.get(scheme)
    if found is not None and ":" in url:
        return found
    named = ", ".join(f"{name}:" for name in PROVIDERS)
    shown = f"{scheme}:" if ":" in url else "not a URL"
    if scheme.partition("+")[0] in NOT_YET:
        raise ConfigError("", _KEY, shown, f"{named} ({scheme}: is not in this version yet)")
    raise ConfigError("", _KEY, shown, named)


def _sqlite_url(text: str) -> URL:
    allowed = "sqlite:///FILE; for copies in memory, memory:"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ConfigError("", _KEY, "sqlite: of a wrong form", allowed) from None
    if not url.database or url.database == ":memory:" or url.host or url.query:
        raise ConfigError("", _KEY, "sqlite: without a plain file", allowed)
    return url


def _read_key(path: Path) -> bytes:
    key = "store.encryption_key_file"
    try:
        content = path.read_bytes().strip()
    except OSError as error:
        raise ConfigError("", key, str(path), f"a file that can be read ({error.strerror})") from None
    if len(content) < MIN_KEY_BYTES:
        raise ConfigError("", key, str(path), f"a file with {MIN_KEY_BYTES} random bytes or more in it")
    return content
