"""What ``[store] url`` may be: which stores there are, how each one's URL is written, and which driver it needs.

Checked when a configuration is read and again when the store is opened; nothing is opened here. What stands behind a
scheme is never shown, as it may hold a password.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

from attrs import frozen

from lbcompanion import checks
from lbcompanion.errors import InvalidValue

#: Whether a module can be imported.
FindModule = Callable[[str], object]


@frozen
class ServerStore:
    """A kind of store that a server of its own keeps.

    :ivar form: its URL, as a message shows it.
    :ivar module: the driver's module.
    :ivar extra: the extra of this package that brings the driver.
    :ivar files: options after ``?`` that name files; relative ones start at the configuration's folder.
    :ivar options: other such options.
    :ivar scheme: what it is called in the end.
    :ivar database_is_number: whether a database is a number, and may be left out.
    """

    form: str
    module: str
    extra: str
    files: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    scheme: str = ""
    database_is_number: bool = False


_REDIS_FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_REDIS = ServerStore(
    "redis://[USER:PASSWORD@]HOST[:PORT][/NUMBER]", "redis", "redis", scheme="redis", database_is_number=True
)
_REDIS_TLS = ServerStore("rediss://...", "redis", "redis", _REDIS_FILES, scheme="rediss", database_is_number=True)
_POSTGRESQL = ServerStore(
    "postgresql://[USER:PASSWORD@]HOST[:PORT]/DATABASE",
    "psycopg",
    "postgres",
    ("sslrootcert", "sslcert", "sslkey"),
    ("sslmode", "host", "target_session_attrs"),
    "postgresql",
)
_MYSQL = ServerStore(
    "mysql://[USER:PASSWORD@]HOST[:PORT]/DATABASE",
    "pymysql",
    "mysql",
    ("ssl_ca", "ssl_cert", "ssl_key"),
    ("unix_socket",),
    "mysql",
)

#: By scheme.
SERVER_STORES: Mapping[str, ServerStore] = {
    "redis": _REDIS,
    "rediss": _REDIS_TLS,
    "valkey": _REDIS,
    "valkeys": _REDIS_TLS,
    "postgresql": _POSTGRESQL,
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
#: What the manual of another day may have, and why it is not here.
_UNSUPPORTED = {
    "mssql": "SQL Server is not served: no server was there to test with",
    "postgres": "written postgresql://",
}
_SQLITE = "sqlite:///FILE"
URL_FORMS = "memory:, " + ", ".join((_SQLITE, _REDIS.form, _REDIS_TLS.form, _POSTGRESQL.form, _MYSQL.form))


def store_url(value: object, folder: Path, find_module: FindModule = find_spec) -> str:
    """A check of :mod:`lbcompanion.checks`: the URL with its scheme's usual name and with absolute paths.

    :raises InvalidValue: for a URL of no known form, and where the driver is not installed.
    """
    if not isinstance(value, str) or not value.isprintable() or ":" not in value:
        raise InvalidValue(URL_FORMS, "no URL" if isinstance(value, str) else None)
    scheme = value.partition(":")[0]
    if scheme == "memory":
        if value.rstrip("/") != "memory:":
            raise InvalidValue("memory: alone", "memory: with something behind it")
        return "memory:"
    if scheme == "sqlite":
        return sqlite_url(value, folder)
    kind = SERVER_STORES.get(scheme)
    if kind is None:
        plain, plus, _ = scheme.partition("+")
        hint = _UNSUPPORTED.get(plain, "without a driver's name" if plus and plain in SERVER_STORES else "")
        raise InvalidValue(URL_FORMS + (f" ({hint})" if hint else ""), checks.hide_password(value))
    checked = _checked_url(kind, value, folder)
    if find_module(kind.module) is None:
        allowed = f"the same once its driver is there (pip install 'lbcompanion[{kind.extra}]'), or another store"
        raise InvalidValue(allowed, f"{scheme}: whose driver, {kind.module}, is not installed")
    return checked


def sqlite_url(value: str, folder: Path) -> str:
    """``sqlite:///FILE`` with the file's absolute path.

    :raises InvalidValue: for anything else.
    """
    file = value.removeprefix("sqlite:///")
    if file == value or not file or file.startswith(":") or "?" in file or not value.isprintable():
        raise InvalidValue(f"{_SQLITE}; for copies in memory, memory:", checks.hide_password(value))
    return f"sqlite:///{(folder / file).absolute()}"


def _checked_url(kind: ServerStore, value: str, folder: Path) -> str:
    redacted_url = checks.hide_password(value)
    try:
        parts = urlsplit(value)
        port_is_valid = parts.port != 0
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        raise InvalidValue(kind.form, redacted_url) from None
    host_options = {"host", "unix_socket"} & {key for key, _ in options}
    if not (parts.hostname or host_options) or not port_is_valid or parts.fragment or not _names_database(kind, parts):
        raise InvalidValue(kind.form, redacted_url)
    known = (*kind.files, *kind.options)
    for key, _ in options:
        if key not in known:
            allowed = ", ".join(known) if known else "none"
            raise InvalidValue(f"{kind.form}; after a ?: {allowed}", f'{parts.scheme}: with the option "{key}"')
    checked = [(key, _file(key, file, folder) if key in kind.files else file) for key, file in options]
    return f"{kind.scheme}://{parts.netloc}{parts.path}" + (f"?{urlencode(checked)}" if checked else "")


def _names_database(kind: ServerStore, parts: SplitResult) -> bool:
    name = parts.path.removeprefix("/")
    if kind.database_is_number:
        return not name or (name.isascii() and name.isdigit())
    return bool(name) and "/" not in name


def _file(key: str, name: str, folder: Path) -> str:
    path = (folder / name).absolute()
    checks.read_file(path, f"a file that can be read, for {key}")
    return str(path)
