from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lbcompanion.errors import ConfigError
from lbcompanion.settings import StoreTable
from lbcompanion.stores.encryption import EncryptedStore
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.registry import PROVIDERS, open_store
from lbcompanion.stores.remote import BatchedStore
from lbcompanion.stores.sql import SqlStore
from lbcompanion.stores.urls import SERVER_STORES
from lbcompanion.testing.stores import ManualWallClock, make_page
from tests.support.commands import ROOT
from tests.support.open_store import at_once, result_of
from tests.support.programs import need_library


def opened(url: str, key_file: Path | None = None) -> object:
    return open_store(StoreTable(url=url, encryption_key_file=key_file), ManualWallClock(), at_once)


def test_memory() -> None:
    assert isinstance(opened("memory:"), MemoryStore)


def test_sqlite_opens_nothing_before_it_is_asked(tmp_path: Path) -> None:
    store = opened(f"sqlite:///{tmp_path}/deeper/pages.db")
    assert isinstance(store, SqlStore)
    assert not list(tmp_path.iterdir())
    result_of(store.put(make_page("a")))
    assert (tmp_path / "deeper/pages.db").exists()
    result_of(store.close())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("url", "driver", "kind"),
    [
        ("redis://db", "redis", "RedisStore"),
        ("rediss://user:hunter2@db:6380/3", "redis", "RedisStore"),
        ("valkey://db/0", "redis", "RedisStore"),
        ("postgresql://user:hunter2@db/pages?sslmode=require", "psycopg", "SqlStore"),
        ("mysql://user:hunter2@db/pages", "pymysql", "SqlStore"),
        ("mariadb://db/pages", "pymysql", "SqlStore"),
    ],
)
def test_nor_does_what_is_served(url: str, driver: str, kind: str) -> None:
    need_library(driver)
    store = opened(url)
    assert isinstance(store, BatchedStore)
    assert type(store).__name__ == kind
    assert not store.backend.is_open
    result_of(store.close())


def test_each_url_has_its_provider() -> None:
    assert set(PROVIDERS) == {"memory", "sqlite"} | {kind.scheme for kind in SERVER_STORES.values()}


def test_what_is_not() -> None:
    with pytest.raises(ConfigError, match="SQL Server is not served") as caught:
        opened("mssql://user:hunter2@db/pages")
    assert caught.value.key == "store.url"
    assert "hunter2" not in str(caught.value)


def test_a_key_file_seals(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(b"  0123456789abcdef0123456789abcdef\n")
    assert isinstance(opened("memory:", key_file), EncryptedStore)


def test_an_unusable_key_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        opened("memory:", tmp_path / "key")
    (tmp_path / "key").write_bytes(b"short\n")
    with pytest.raises(ConfigError, match="16 bytes or more") as caught:
        opened("memory:", tmp_path / "key")
    assert "short" not in str(caught.value)


@pytest.mark.programs
def test_a_node_with_copies_in_memory_loads_no_sqlalchemy() -> None:
    script = "import sys, lbcompanion.node.service; sys.exit('sqlalchemy' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
