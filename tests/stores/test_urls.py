from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbcompanion.errors import InvalidValue
from lbcompanion.stores.urls import store_url

FOLDER = Path("/etc/lbcompanion")


def there(module: str) -> object:
    return module


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("memory:", "memory:"),
        ("memory://", "memory:"),
        ("sqlite:///pages.db", "sqlite:////etc/lbcompanion/pages.db"),
        ("sqlite:////var/pages.db", "sqlite:////var/pages.db"),
        ("redis://db", "redis://db"),
        ("redis://:p%40ss@db:6380/2", "redis://:p%40ss@db:6380/2"),
        ("valkey://db", "redis://db"),
        ("valkeys://u:p@[::1]:6380/", "rediss://u:p@[::1]:6380/"),
        ("postgresql://u:p%2Fw@db:5433/pages", "postgresql://u:p%2Fw@db:5433/pages"),
        ("postgresql:///pages?host=/run/postgresql", "postgresql:///pages?host=%2Frun%2Fpostgresql"),
        ("mysql://db/pages", "mysql://db/pages"),
        ("mariadb://u@/pages?unix_socket=/run/db", "mysql://u@/pages?unix_socket=%2Frun%2Fdb"),
    ],
)
def test_what_it_may_be(url: str, checked: str) -> None:
    assert store_url(url, FOLDER, there) == checked
    assert store_url(checked, Path("/elsewhere"), there) == checked


@pytest.mark.parametrize(
    "url",
    [
        *(None, 1, "", "memory", "memory:x", "sqlit:///x", "file:///x", "redis", "redis:"),
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///x?mode=ro", "sqlite+aiosqlite:///x"),
        *("redis:///1", "redis://db/one", "redis://db/1/2", "redis://db:port/", "redis://db:0", "redis://db:99999"),
        *(
            "redis://db?ssl_ca_certs=x",
            "redis://db?db=3",
            "redis://db#f",
            "redis://[::1",
            "redis://db?x",
            "redis://d\nb",
        ),
        *("postgresql://db", "postgresql://db/", "postgresql://db/a/b", "postgresql:///pages", "postgres://db/pages"),
        *(
            "postgresql+psycopg://db/pages",
            "postgresql://db/pages?options=-c",
            "mysql://db",
            "mysql+pymysql://db/pages",
        ),
        *("mssql://u:hunter2@db/pages", "mssql+pyodbc://db/pages", "oracle://db/pages"),
    ],
)
def test_what_it_may_not_be(url: Any) -> None:
    with pytest.raises(InvalidValue):
        store_url(url, FOLDER, there)


@pytest.mark.parametrize(
    "url", ["redis://u:hunter2@db/x", "postgresql://u:hunter2@db", "mysql://u:hunter2@db:x/", "mssql://u:hunter2@db/x",
            "redis://u:hunter2@db?x=y"]
)  # fmt: skip
def test_no_password_is_shown(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        store_url(url, FOLDER, there)
    assert "hunter2" not in f"{caught.value.shown_value} {caught.value.allowed}"
    assert caught.value.shown_value


def test_files_start_at_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("a certificate")
    for url, key in (
        ("rediss://db/0", "ssl_ca_certs"),
        ("postgresql://db/pages", "sslrootcert"),
        ("mysql://db/pages", "ssl_ca"),
    ):
        assert str(tmp_path / "ca.pem").replace("/", "%2F") in store_url(f"{url}?{key}=ca.pem", tmp_path, there)
        with pytest.raises(InvalidValue, match=key):
            store_url(f"{url}?{key}=none.pem", tmp_path, there)


@pytest.mark.parametrize(
    ("url", "extra"),
    [("redis://db", "redis"), ("postgresql://u:hunter2@db/pages", "postgres"), ("mysql://db/p", "mysql")],
)
def test_a_driver_that_is_missing(url: str, extra: str) -> None:
    with pytest.raises(InvalidValue, match=rf"pip install 'lbcompanion\[{extra}\]'") as caught:
        store_url(url, FOLDER, lambda module: None)
    assert "is not installed" in str(caught.value.shown_value)
    assert "hunter2" not in str(caught.value.shown_value)


def test_what_needs_no_driver() -> None:
    assert store_url("memory:", FOLDER, lambda module: None)
    assert store_url("sqlite:///x", FOLDER, lambda module: None)
