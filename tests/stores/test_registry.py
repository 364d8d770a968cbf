from __future__ import annotations

from pathlib import Path

import pytest

from lbcompanion.errors import ConfigError
from lbcompanion.settings import StoreTable
from lbcompanion.stores.memory import MemoryStore
from lbcompanion.stores.registry import open_store
from lbcompanion.stores.sealing import SealedStore
from lbcompanion.stores.sql import SqlStore
from lbcompanion.testing.stores import WallClockByHand, a_page
from tests.stores.opening import at_once, result_of


def opened(url: str, key_file: Path | None = None) -> object:
    return open_store(StoreTable(url=url, encryption_key_file=key_file), WallClockByHand(), at_once)


def test_memory() -> None:
    assert isinstance(opened("memory:"), MemoryStore)


def test_sqlite_opens_nothing_before_it_is_asked(tmp_path: Path) -> None:
    store = opened(f"sqlite:///{tmp_path}/deeper/pages.db")
    assert isinstance(store, SqlStore)
    assert not list(tmp_path.iterdir())
    result_of(store.put(a_page("a")))
    assert (tmp_path / "deeper/pages.db").exists()
    result_of(store.close())


@pytest.mark.parametrize("scheme", ["redis", "postgresql", "postgresql+psycopg", "mysql", "mssql", "mssql+pyodbc"])
def test_what_is_to_come(scheme: str) -> None:
    with pytest.raises(ConfigError, match="not in this version yet") as caught:
        opened(f"{scheme}://user:hunter2@db/pages")
    assert caught.value.key == "store.url"
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["", "memory", "sqlit:///x", "file:///x", "memory:x", "sqlite://", "sqlite:///:memory:", "sqlite:///x?mode=ro",
     "sqlite+aiosqlite:///x", "sqlite://host:port/x"],
)  # fmt: skip
def test_what_is_not(url: str) -> None:
    with pytest.raises(ConfigError, match="memory:"):
        opened(url)


def test_a_key_file_seals(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_bytes(b"  0123456789abcdef0123456789abcdef\n")
    assert isinstance(opened("memory:", key_file), SealedStore)


def test_a_key_file_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        opened("memory:", tmp_path / "key")
    (tmp_path / "key").write_bytes(b"short\n")
    with pytest.raises(ConfigError, match="random bytes") as caught:
        opened("memory:", tmp_path / "key")
    assert "short" not in str(caught.value)
